import errno

import pytest
from lawm_schemas import ConfigError, LawmError, StorageError
from lawm_schemas.errors import LONGEST, LONGEST_HINT, reason_of


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (("is wrong",), "is wrong"),
        (("is wrong", "here"), "here: is wrong"),
        (("is wrong", "here", "mend it"), "here: is wrong; mend it"),
        (("is wrong", "", "mend it"), "is wrong; mend it"),
    ],
)
def test_line_names_place_thing_and_mend(parts: tuple[str, ...], line: str) -> None:
    error = ConfigError(*parts)
    assert str(error) == line
    assert (error.what, error.where, error.hint) == (*parts, "", "")[:3]
    assert isinstance(error, LawmError)


def test_a_line_is_bounded_and_moves_no_cursor() -> None:
    hostile = ConfigError("has \x1b[31m\n\u202e in it", "a\rb " + "x" * 10**6 + "end", "m" * 10**6)
    assert str(hostile).isprintable()
    assert len(str(hostile)) < 2 * LONGEST + LONGEST_HINT + 100
    assert hostile.where.startswith("a b x")
    assert hostile.where.endswith("xend")
    assert hostile.what == r"has \x1b[31m \x202e in it"
    assert ConfigError("größer  als").what == "größer  als"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on the device"),
        (errno.EDQUOT, "no space left on the device"),
        (errno.EFBIG, "no space left on the device"),
        (errno.EACCES, "no permission to write"),
        (errno.EROFS, "no permission to write"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_file_system_errors_become_one_line(number: int, words: str) -> None:
    error = StorageError.from_os_error(OSError(number, "Input/output error"), "corpus")
    assert str(error).startswith(f"corpus: {words}; ")


def test_file_system_error_without_a_number_keeps_its_words() -> None:
    assert "odd" in str(StorageError.from_os_error(OSError("odd"), "corpus"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one  \n"), "one"),
        (EOFError(), "EOFError"),
        (ValueError("\n"), "ValueError"),
        (ValueError("x" * 5000), "x" * 200),
    ],
)
def test_reason_of_an_exception_is_one_line_and_never_empty(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
