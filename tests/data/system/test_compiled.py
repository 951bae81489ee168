"""C that is compiled once, and what is said where it cannot be."""

import pytest
from lawm_schemas import LawmError

from lawm_data.system.compiled import load_library


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and ``cc`` whatever the environment says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache" / "lawm" / "compiled"


@pytest.mark.usefixtures("compiler")
def test_every_source_and_every_option_is_compiled_once(cache, tmp_path):
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return ANSWER; }\n")
    assert [load_library(source, [f"-DANSWER={n}"]).answer() for n in (1, 2, 1)] == [1, 2, 1]
    made = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(made) == 2
    source.write_text("int answer(void) { return 10 * ANSWER; }\n")
    assert load_library(source, ["-DANSWER=1"]).answer() == 10
    assert made.items() <= {path: path.stat().st_mtime_ns for path in cache.iterdir()}.items()


@pytest.mark.usefixtures("compiler")
def test_what_does_not_compile_is_told_in_a_line(cache, tmp_path):
    source = tmp_path / "wrong.c"
    source.write_text("int f(void) { return nothing; }\n")
    with pytest.raises(LawmError, match=r"wrong\.c: does not compile: .*nothing") as caught:
        load_library(source, [])
    assert str(caught.value).isprintable()
    assert not cache.exists() or not list(cache.iterdir())


def test_compiler_that_is_missing_is_named(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    (tmp_path / "any.c").touch()
    with pytest.raises(LawmError, match=r"no-such-compiler: cannot be run: .*name it in CC"):
        load_library(tmp_path / "any.c", [])


@pytest.mark.parametrize(
    ("command", "said"),
    [("'", "CC: is no command: No closing quotation"), ("true", "true: cannot be run: ")],
)
def test_command_that_is_no_compiler_is_named(command, said, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", command)
    (tmp_path / "any.c").touch()
    with pytest.raises(LawmError, match=said):
        load_library(tmp_path / "any.c", [])
    assert not cache.exists() or not list(cache.iterdir())


@pytest.mark.usefixtures("compiler")
def test_damaged_library_is_made_anew(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", " ")  # as good as none
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 1; }\n")
    load_library(source, [])
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:4096], whole[:-1], b"\0" + whole[1:]):
        kept.unlink()  # as it is it stays for who has loaded it
        kept.write_bytes(damaged)
        assert load_library(source, []).answer() == 1
        assert kept.read_bytes() == whole


@pytest.mark.usefixtures("compiler")
def test_nothing_is_loaded_from_where_others_may_write(cache, tmp_path):
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 1; }\n")
    load_library(source, [])
    cache.chmod(0o777)
    with pytest.raises(LawmError, match=r"compiled: others may write .*; chmod go-w .*compiled"):
        load_library(source, [])
    cache.chmod(0o700)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    kept.unlink()
    kept.write_bytes(b"of somebody else")
    kept.chmod(0o666)
    assert load_library(source, []).answer() == 1
    assert kept.read_bytes() == whole
