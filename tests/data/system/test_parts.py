"""Parts of an output wait beside it for a process that goes on."""

from lawm_data.system.atomic import TEMPORARY
from lawm_data.system.parts import open_parts, parts_folder, remove_parts


def test_parts_of_the_same_purpose_stay(tmp_path):
    out = tmp_path / "out"
    folder = open_parts(out, "a")
    assert folder.parent == parts_folder(out)
    (folder / "1").mkdir()
    (folder / f"{TEMPORARY}2").write_text("what a killed process was writing")
    assert open_parts(out, "a") == folder
    assert [path.name for path in folder.iterdir()] == ["1"]


def test_parts_of_another_purpose_go(tmp_path):
    out = tmp_path / "out"
    (open_parts(out, "a") / "1").mkdir()
    folder = open_parts(out, "b")
    assert [*parts_folder(out).iterdir()] == [folder]
    assert not [*folder.iterdir()]


def test_nothing_is_left_of_them(tmp_path):
    out = tmp_path / "out"
    (open_parts(out, "a") / "1").mkdir()
    remove_parts(out)
    remove_parts(out)
    assert not [*tmp_path.iterdir()]
