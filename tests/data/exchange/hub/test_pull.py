"""A repository is not trusted: what is not as it says is refused, and nothing is left of it."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from hub_handler import Fault, Handler, drop, status
from hub_server import Hub
from hub_store import Blob, Repo
from lawm_schemas import RemoteError, StorageError

from lawm_data import Corpus
from lawm_data.exchange.hub import pull, push

Files = dict[str, bytes]


MADE: Files = {}
"""The files of a published corpus, the same in every test."""


@pytest.fixture
def files(hub: Hub, rich: Corpus) -> Files:
    """The files of a published corpus."""
    if not MADE:
        push(rich, "user/cs")
        MADE.update((path, blob.data) for path, blob in hub.repos["user/cs"].files.items())
    publish(hub, MADE)
    return dict(MADE)


def publish(hub: Hub, files: Files) -> None:
    """Put files into the repository as a server would that nobody watches."""
    large = (".h5", ".parquet", ".png")
    blobs = {path: Blob(data, path.endswith(large)) for path, data in files.items()}
    hub.repos["user/cs"] = Repo(private=False)
    hub.repos["user/cs"].put(blobs)


def listed(files: Files, **changes: object) -> Files:
    """The files with a ``lawm.json`` that lists them as they are."""
    content = json.loads(files["lawm.json"]) | changes
    content["files"] = [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in files.items()
        if path not in ("lawm.json", ".gitattributes")
    ]
    return {**files, "lawm.json": json.dumps(content).encode()}


def shard_of(files: Files) -> str:
    return next(path for path in files if path.endswith(".h5") and "shards" in path)


def altered_shard(files: Files) -> Files:
    """One bit of one number, with every checksum made to fit."""
    path = shard_of(files)
    data = bytearray(files[path])
    with h5py.File(io.BytesIO(files[path])) as file:
        data[file["steps"].id.get_offset() + 1] ^= 1
    manifest = json.loads(files["corpus/corpus.json"])
    del manifest["checksum"]
    for shard in manifest["shards"]:
        if path.endswith(shard["file"]):
            shard["sha256"] = hashlib.sha256(data).hexdigest()
    return listed({**files, path: bytes(data), "corpus/corpus.json": json.dumps(manifest).encode()})


def smaller_manifest(files: Files) -> Files:
    manifest = json.loads(files["corpus/corpus.json"])
    del manifest["checksum"]
    manifest["shards"][0]["bytes"] -= 1
    return listed({**files, "corpus/corpus.json": json.dumps(manifest).encode()})


def claimed(path: str, size: int) -> Callable[[Files], Files]:
    """The files, one of which is said to be of another size, and the server agrees."""

    def change(files: Files) -> Files:
        content = json.loads(files["lawm.json"])
        for file in content["files"]:
            if file["path"] == path:
                file["bytes"] = size
        return {**files, "lawm.json": json.dumps(content).encode()}

    return change


def moved(path: str) -> Callable[[Files], Files]:
    """The files, one of which claims another place."""

    def change(files: Files) -> Files:
        content = json.loads(files["lawm.json"])
        content["files"].append({"path": path, "bytes": 1, "sha256": "0" * 64})
        return {**files, "lawm.json": json.dumps(content).encode(), path: b"x"}

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda f: {**f, shard_of(f): f[shard_of(f)] + b"x"}, "is not the file that lawm.json"),
        (lambda f: {**f, "corpus/corpus.json": f["corpus/corpus.json"][:-2] + b" }"}, "checksum"),
        (lambda f: {p: d for p, d in f.items() if p != shard_of(f)}, "which is not there"),
        (lambda f: {**f, "corpus/evil.py": b"x"}, "does not list corpus/evil.py"),
        (lambda f: listed({**f, "corpus/evil.py": b"x"}), "evil.py, which is no part of a corpus"),
        (lambda f: listed({**f, "corpus/shards/a/b.h5": b"x"}), "which is no part of a corpus"),
        (moved("corpus/../../evil"), "String should match pattern"),
        (moved("corpus/shards/../evil.h5"), "String should match pattern"),
        (moved("/etc/evil"), "String should match pattern"),
        (moved("corpus/masks/.hidden.json"), "String should match pattern"),
        (moved("corpus\\evil"), "String should match pattern"),
        (claimed("corpus/corpus.json", 7), "is not the file that lawm.json lists"),
        (altered_shard, "its content was altered: the hash differs"),
        (smaller_manifest, "contradict each other"),
        (lambda f: listed(f, fingerprint="0" * 64), "contradict each other"),
        (lambda f: {**f, "lawm.json": b"[1]"}, "should be keys with values"),
        (lambda f: {**f, "lawm.json": b"[" * 100000}, "is not JSON"),
        (lambda f: {**f, "lawm.json": b" " * (1 << 24) + b"{}"}, "is larger than 16777216 bytes"),
        (lambda f: listed(f, format_version=2), "has format version 2"),
        (lambda f: listed(f, surprise=1), "surprise"),
        (lambda f: listed({**f, "corpus/corpus.json": b"{}"}), "Field required"),
        (lambda f: listed({**f, "corpus/masks/half.json": b"{}"}), "Field required"),
        (lambda f: {".gitattributes": f[".gitattributes"]}, "is not there"),
    ],
)
def test_hostile_repositories(
    hub: Hub, files: Files, tmp_path: Path, change: Callable[[Files], Files], words: str
) -> None:
    publish(hub, change(files))
    target = tmp_path / "here"
    target.mkdir()
    with pytest.raises(RemoteError, match=words) as error:
        pull("user/cs", target / "out")
    assert "\n" not in str(error.value)
    assert not list(target.iterdir())
    assert not (tmp_path / "evil").exists()


def test_a_server_that_serves_other_bytes(hub: Hub, files: Files, tmp_path: Path) -> None:
    target = tmp_path / "here"
    target.mkdir()
    path = shard_of(files)
    for data, words in (
        (files[path][:-1] + b"\1", "its checksum differs from the one in lawm.json"),
        (files[path] + b"x", "has more than"),
        (files[path][:-9], "has less than"),
    ):
        hub.served[path] = data
        with pytest.raises(RemoteError, match=words):
            pull("user/cs", target / "out")
        assert not list(target.iterdir())


def test_more_than_the_disk_holds_is_refused_before_it_begins(
    hub: Hub, files: Files, tmp_path: Path
) -> None:
    path = shard_of(files)
    publish(hub, claimed(path, 1 << 60)(files))
    hub.listed[path] = {"size": 1 << 60}
    hub.log.clear()
    with pytest.raises(StorageError, match="GB are to come"):
        pull("user/cs", tmp_path / "out")
    assert not [asked for _, asked in hub.log if asked.endswith(path)]


def test_something_is_there_already(hub: Hub, files: Files, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(StorageError, match="something is already there"):
        pull("user/cs", tmp_path / "out")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", r"\.h5", status(503, Retry_After="0")),
        Fault("GET", "/tree/", status(429, Retry_After="0")),
        Fault("GET", "/api/datasets/user/cs", drop),
    ],
    ids=lambda fault: fault.path,
)
def test_what_passes_is_waited_for(hub: Hub, files: Files, tmp_path: Path, fault: Fault) -> None:
    hub.faults.append(fault)
    assert pull("user/cs", tmp_path / "out").trajectories == 8
    assert fault.times == 0


def test_a_broken_download_goes_on_where_it_broke(
    hub: Hub, files: Files, tmp_path: Path, contents: Callable
) -> None:
    path, ranges = shard_of(files), []

    def half(handler: Handler) -> bool:
        ranges.append(handler.headers.get("Range"))
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(files[path])))
        handler.end_headers()
        handler.wfile.write(files[path][: len(files[path]) // 2])
        handler.connection.shutdown(2)
        handler.close_connection = True
        return True

    def note(handler: Handler) -> bool:
        ranges.append(handler.headers.get("Range"))
        return False

    hub.faults += [Fault("GET", path, half), Fault("GET", path, note)]
    pull("user/cs", tmp_path / "out")
    pulled = {f"corpus/{path}": data for path, data in contents(tmp_path / "out").items()}
    assert pulled == {path: data for path, data in files.items() if path.startswith("corpus/")}
    assert ranges == [None, f"bytes={len(files[path]) // 2}-"]


def test_a_server_that_falls_silent_is_asked_again(
    hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    fault = Fault("GET", r"\.h5", lambda handler: time.sleep(1.5) is not None)
    hub.faults.append(fault)
    assert pull("user/cs", tmp_path / "out").trajectories == 8
    assert fault.times == 0


def test_revisions(hub: Hub, files: Files, tmp_path: Path) -> None:
    head = hub.repos["user/cs"].head
    hub.repos["user/cs"].tags["v1"] = head
    for number, revision in enumerate((None, "main", head, "v1")):
        out = tmp_path / str(number)
        assert pull("user/cs", out, revision=revision).revision == head
    with pytest.raises(RemoteError, match="has no revision 'v9'"):
        pull("user/cs", tmp_path / "out", revision="v9")
    with pytest.raises(RemoteError, match="no such dataset repository"):
        pull("user/none", tmp_path / "out")
