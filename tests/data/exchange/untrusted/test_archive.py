from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import CorpusError

from lawm_data.exchange.untrusted.archive import DIRECTORY_LIMIT, Archive

CONTENT = {"a.bin": b"some bytes" * 100, "folder/b.bin": b"", "c.bin": bytes(range(256)) * 50}


def packed(
    path: Path, content: dict[str, bytes] = CONTENT, method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_as_they_were_packed(tmp_path: Path, method: int) -> None:
    archive = Archive(packed(tmp_path / "a.zip", method=method))
    assert {name: archive.content(name, 1 << 20).read() for name in archive.members} == CONTENT
    archive.close()
    inside = Archive(Path("inside"), io.BytesIO((tmp_path / "a.zip").read_bytes()))
    assert list(inside.members) == list(CONTENT)
    inside.close()


def named(name: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        packed(path, {"a.bin": b"1", name: b"2"})

    return make


def twice(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.bin", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.bin", b"2")


def changed(offset: int, kind: str, value: int) -> Callable[[Path], None]:
    """A field of the last member's entry in the table of contents."""

    def make(path: Path) -> None:
        data = bytearray(packed(path).read_bytes())
        struct.pack_into(kind, data, data.rfind(b"PK\1\2") + offset, value)
        path.write_bytes(data)

    return make


def directory(offset: int, value: int, before: int = 0) -> Callable[[Path], None]:
    """A field of the last record, with some empty bytes in front of the archive."""

    def make(path: Path) -> None:
        data = bytearray(packed(path).read_bytes())
        struct.pack_into("<L", data, data.rfind(b"PK\5\6") + offset, value)
        path.write_bytes(bytes(before) + data)

    return make


def directory64(path: Path) -> None:
    """A small size in the old record, a large one in the new record before it."""
    data = packed(path).read_bytes()
    at = data.rfind(b"PK\5\6")
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, DIRECTORY_LIMIT + 1, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
    path.write_bytes(data[:at] + record + locator + data[at:])


def overlapping(path: Path) -> None:
    """Many entries that point at the same bytes."""
    data = packed(path, {"a.bin": bytes(1 << 20)}).read_bytes()
    start, end = data.rfind(b"PK\1\2"), data.rfind(b"PK\5\6")
    entry, tail = data[start:end], bytearray(data[end:])
    copies = [entry.replace(b"a.bin", f"{i:05d}".encode()) for i in range(2000)]
    struct.pack_into("<2H2L", tail, 8, 2000, 2000, len(entry) * 2000, start)
    path.write_bytes(data[:start] + b"".join(copies) + tail)


HOSTILE = {
    "parent": (named("../a.bin"), "path that leads elsewhere"),
    "parent inside": (named("x/../../a.bin"), "path that leads elsewhere"),
    "absolute": (named("/etc/passwd"), "path that leads elsewhere"),
    "backslash": (named("..\\a.bin"), "path that leads elsewhere"),
    "drive": (named("C:a.bin"), "path that leads elsewhere"),
    "twice": (twice, "a.bin: stands in the file twice"),
    "nameless": (changed(46, "<B", 0), "has a member without a name"),
    "encrypted": (changed(8, "<H", 1), "c.bin: is encrypted"),
    "lzma": (lambda path: packed(path, method=zipfile.ZIP_LZMA), "other than deflate"),
    "bomb": (changed(24, "<L", 1 << 30), "c.bin: declares 1073741824 bytes in"),
    "more than the file": (changed(20, "<L", 1 << 30), "compressed bytes and has"),
    "overlapping": (overlapping, "compressed bytes and has"),
    "large directory": (
        directory(12, DIRECTORY_LIMIT + 1, 1 << 25),
        "table of contents of 16777217 bytes",
    ),
    "large directory 64": (directory64, "has a table of contents of 16777217 bytes"),
    "empty": (lambda path: path.write_bytes(b""), "is not a complete zip file"),
    "before the file": (directory(16, 1 << 30), "a.bin: would begin before the file"),
    "version": (changed(6, "<H", 64), r"cannot be read \(zip file version 6\.4\)"),
    "a page": (lambda path: path.write_bytes(b"<html>" * 999), "is not a complete zip file"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_archives_are_refused(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "a.zip")
    with pytest.raises(CorpusError, match=message) as caught:
        Archive(tmp_path / "a.zip")
    assert "\n" not in str(caught.value)
    assert "a.zip" in str(caught.value)


@pytest.mark.parametrize(
    ("bit", "reason"), [(5, r"compressed patched data \(flag bit 5\)"), (6, "strong encryption")]
)
def test_members_that_nothing_can_read_are_refused(tmp_path: Path, bit: int, reason: str) -> None:
    changed(8, "<H", 1 << bit)(tmp_path / "a.zip")
    archive = Archive(tmp_path / "a.zip")
    with pytest.raises(CorpusError, match=rf"c\.bin: cannot be read \({reason}"):
        archive.content("c.bin", 1 << 20)
    archive.close()


def test_truncated_and_altered_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    whole = packed(path).read_bytes()
    for length in np.linspace(0, len(whole) - 1, 16).astype(int).tolist():
        path.write_bytes(whole[:length])
        with pytest.raises(CorpusError, match=r"complete zip|cannot be read"):
            Archive(path)
    at = whole.index(b"a.bin") + 8
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    archive = Archive(path)
    with pytest.raises(CorpusError, match=r"a\.bin: (cannot be read|ends early|is longer)"):
        archive.content("a.bin", 1 << 20)
    archive.close()


def test_what_the_library_says_is_told_in_part(tmp_path: Path) -> None:
    """It puts the bytes in which it looked for a name into its message."""
    path = tmp_path / "a.zip"
    data = bytearray(packed(path, {"a.bin": b"1" * 5000}, zipfile.ZIP_STORED).read_bytes())
    struct.pack_into("<H", data, 26, 5000)  # length of the name, in front of the member
    path.write_bytes(data)
    archive = Archive(path)
    with pytest.raises(CorpusError, match=r"a\.bin: cannot be read") as caught:
        archive.content("a.bin", 1 << 20)
    assert len(str(caught.value)) < 400 + len(str(path))
    archive.close()


def test_a_member_is_read_into_memory_only_when_it_is_small(tmp_path: Path) -> None:
    archive = Archive(packed(tmp_path / "a.zip"))
    with pytest.raises(CorpusError, match=r"c\.bin: has 12800 bytes, more than 12799"):
        archive.content("c.bin", 12799)
    archive.close()
