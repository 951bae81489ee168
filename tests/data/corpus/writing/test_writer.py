from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, CorpusError, LawmError, Provenance, Role, StorageError

from lawm_data import CorpusWriter, matching, open_corpus
from lawm_data.corpus.integrity.validate import validate

OBSERVATIONS = (ArraySpec(name="position", shape=(3,)),)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action)
SOURCE = Provenance(source="test")


def create(path: Path) -> CorpusWriter:
    return CorpusWriter.create(path, observations=OBSERVATIONS, action=ACTION)


def add(writer: CorpusWriter, number: int, steps: int = 5) -> str:
    return writer.add(
        {"position": np.full((steps + 1, 3), number)},
        np.full(steps, number),
        np.full((steps, 2), number),
        provenance=SOURCE,
    )


def numbers(path: Path) -> list[int]:
    """What ``add`` was called with, as the corpus has it."""
    return [int(trajectory.rewards[0]) for trajectory in open_corpus(path, verify=True)]


def files(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path / "shards").iterdir())


def test_commits_are_visible_and_the_rest_is_not(tmp_path: Path) -> None:
    writer = create(tmp_path / "corpus")
    assert numbers(tmp_path / "corpus") == []
    add(writer, 1)
    add(writer, 2)
    assert writer.pending == 2
    assert numbers(tmp_path / "corpus") == []
    writer.commit()
    assert writer.pending == 0
    assert numbers(tmp_path / "corpus") == [1, 2]
    add(writer, 3)
    writer.close()
    writer.close()
    assert numbers(tmp_path / "corpus") == [1, 2, 3]
    with pytest.raises(StorageError, match="writer is closed"):
        add(writer, 4)


def test_an_exception_discards_what_was_not_committed(tmp_path: Path) -> None:
    def interrupted() -> None:
        with create(tmp_path / "corpus") as writer:
            add(writer, 1)
            writer.commit()
            add(writer, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert numbers(tmp_path / "corpus") == [1]
    with CorpusWriter.append(tmp_path / "corpus") as writer:
        add(writer, 3)
    assert numbers(tmp_path / "corpus") == [1, 3]


def test_appending_continues_ids_and_fingerprint(tmp_path: Path) -> None:
    with create(tmp_path / "once") as writer:
        for number in (1, 2, 1, 2):
            add(writer, number)
    with create(tmp_path / "twice") as writer:
        add(writer, 1)
        add(writer, 2)
    with CorpusWriter.append(tmp_path / "twice") as writer:
        add(writer, 1)
        add(writer, 2)
    once, twice = open_corpus(tmp_path / "once"), open_corpus(tmp_path / "twice")
    assert once.fingerprint == twice.fingerprint
    assert once.table.id.tolist() == twice.table.id.tolist()
    assert twice.manifest.provenance == (SOURCE,)


def test_creating_refuses_what_is_there(tmp_path: Path) -> None:
    create(tmp_path / "corpus").close()
    with pytest.raises(StorageError, match="a corpus is already there"):
        create(tmp_path / "corpus")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(StorageError, match=r"not empty \(notes.txt\)"):
        create(tmp_path / "other")
    with pytest.raises(StorageError, match=r"notes.txt"):
        create(tmp_path / "other/notes.txt")
    with pytest.raises(CorpusError, match="does not exist"):
        CorpusWriter.append(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_there_is_one_writer(tmp_path: Path) -> None:
    writer = create(tmp_path / "corpus")
    with pytest.raises(StorageError, match=f"process {os.getpid()} is writing") as caught:
        CorpusWriter.append(tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    code = f"from lawm_data import CorpusWriter; CorpusWriter.append({str(tmp_path / 'corpus')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "StorageError" in done.stderr
    add(writer, 1)
    writer.close()
    CorpusWriter.append(tmp_path / "corpus").close()
    assert numbers(tmp_path / "corpus") == [1]


def test_a_view_stays_as_it_was_while_a_writer_appends_and_compacts(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    writer = create(path)
    for number in range(10):
        add(writer, number)
        writer.commit()
    view = open_corpus(path)
    before = files(path)
    assert len(view.shards) == 10
    for number in range(10, 40):
        add(writer, number)
        writer.commit()
    writer.close()
    assert not set(before) & set(files(path))
    assert len(open_corpus(path).shards) == 1
    assert [int(t.rewards[0]) for t in view] == list(range(10))
    assert [int(t.actions[0, 0]) for t in view if t.actions is not None] == list(range(10))
    assert numbers(path) == list(range(40))


def test_readers_may_open_while_a_writer_commits_and_compacts(tmp_path: Path) -> None:
    path, seen, failures, done = tmp_path / "corpus", [0], [], threading.Event()
    writer = create(path)

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(len(open_corpus(path)))
            except LawmError as error:
                failures.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(25):
        add(writer, number)
        writer.commit()
    writer.close()
    done.set()
    reader.join()
    assert failures == []
    assert seen == sorted(seen)
    assert max(seen) > 0


def test_small_shards_are_joined_on_the_way(tmp_path: Path) -> None:
    writer = create(tmp_path / "corpus")
    for number in range(33):
        add(writer, number)
        writer.commit()
        assert len(writer.manifest.shards) <= 16
    writer.discard()
    assert len(files(tmp_path / "corpus")) == len(writer.manifest.shards)
    assert numbers(tmp_path / "corpus") == list(range(33))


@pytest.fixture
def file_limit() -> Iterator[Any]:
    """Sets the largest size of a file that this process may write: a full device, in small."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [0, 100, 6_000])
def test_a_full_device_loses_nothing_that_was_committed(
    tmp_path: Path, file_limit: Any, limit: int
) -> None:
    path = tmp_path / "corpus"
    writer = create(path)
    add(writer, 1)
    writer.commit()
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    add(writer, 2)
    file_limit(limit)
    with pytest.raises(StorageError, match="no space left") as caught:
        writer.commit()
    file_limit(resource.RLIM_INFINITY)
    assert "\n" not in str(caught.value)
    assert {p: p.read_bytes() for p in path.rglob("*") if p.is_file()} == before
    writer.commit()
    writer.close()
    assert numbers(path) == [1, 2]


def test_a_device_too_full_to_compact_keeps_the_small_shards(
    tmp_path: Path, file_limit: Any
) -> None:
    path = tmp_path / "corpus"
    writer = create(path)
    for number in range(3):
        add(writer, number, steps=300)
        writer.commit()
    largest = max(shard.bytes for shard in writer.manifest.shards)
    file_limit(largest + 100)
    writer.close()
    file_limit(resource.RLIM_INFINITY)
    assert len(open_corpus(path).shards) == 3
    assert numbers(path) == [0, 1, 2]
    assert not [f for f in validate(path) if f.severity == "error"]


def test_an_altered_shard_gets_no_new_checksum(tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    with create(path) as writer:
        add(writer, 1, steps=7)
    (name,) = files(path)
    content = bytearray((path / "shards" / name).read_bytes())
    content[content.index(np.full(14, 1, np.float32).tobytes())] ^= 1
    (path / "shards" / name).write_bytes(content)
    writer = CorpusWriter.append(path)
    add(writer, 2)
    with pytest.raises(CorpusError, match=f"{name}: was altered"):
        writer.close()
    # What was added is there, and what was altered is still seen to be.
    assert len(open_corpus(path)) == 2
    assert any(finding.where.endswith(name) for finding in validate(path))


WRITE_FOREVER = """
import sys
import numpy as np
from lawm_data import CorpusWriter
from lawm_schemas import Provenance
with CorpusWriter.append(sys.argv[1]) as writer:
    number = len(writer._taken)
    while True:
        for _ in range(3):
            writer.add({"position": np.full((201, 3), number)}, np.full(200, number),
                       np.full((200, 2), number), provenance=Provenance(source="test"))
            number += 1
        writer.commit()
        print(number, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_committed(tmp_path: Path) -> None:
    path, clock = tmp_path / "corpus", random.Random(0)
    create(path).close()
    committed = 0
    for _ in range(3):
        command = [sys.executable, "-c", WRITE_FOREVER, str(path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        time.sleep(clock.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().split()
        process.wait()
        process.stdout.close()
        found = numbers(path)
        assert found == list(range(len(found)))
        committed = int(lines[-1])
        # A commit may have become durable just before its writer could say so.
        assert committed <= len(found) <= committed + 3
        assert len(found) % 3 == 0
        assert not [finding for finding in validate(path) if finding.severity == "error"]
        committed = len(found)
    with CorpusWriter.append(path) as writer:
        add(writer, committed)
    assert numbers(path) == list(range(committed + 1))
    assert not [f for f in validate(path) if f.severity == "error"]


SEEDS = [None, 0, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1, None, 7]


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_seeds_are_64_bits_without_a_sign(shards: int, tmp_path: Path) -> None:
    writer = create(tmp_path / "corpus")
    for i, seed in enumerate(SEEDS):
        writer.add({"position": np.full((2, 3), i)}, np.full(1, i), provenance=SOURCE, seed=seed)
        if (i + 1) % (len(SEEDS) // shards) == 0:
            writer.commit()
    writer.discard()
    corpus = open_corpus(tmp_path / "corpus", verify=True)
    assert [t.info.seed for t in corpus] == SEEDS
    assert validate(tmp_path / "corpus") == []
    assert corpus.to_arrow()["seed"].to_pylist() == SEEDS
    frame = corpus.to_pandas()["seed"]
    assert [
        None if missing else int(s) for s, missing in zip(frame, frame.isna(), strict=True)
    ] == SEEDS
    for seed in SEEDS:
        assert matching(corpus, f"seed == {seed}").tolist() == [its == seed for its in SEEDS]
    assert matching(corpus, f"seed >= {2**63}").sum() == 3
    assert matching(corpus, f"seed in ({2**64 - 1}, {2**64 - 2}, 7, -1)").sum() == 3
    assert matching(corpus, "seed > -1").sum() == 6
    CorpusWriter.append(tmp_path / "corpus").close()  # which joins the shards
    assert [t.info.seed for t in open_corpus(tmp_path / "corpus", verify=True)] == SEEDS


def test_the_same_bytes_as_before_where_no_seed_needs_64_bits(tmp_path: Path) -> None:
    for last, columns in ((2**63 - 1, {"seed"}), (2**63, {"seed", "seeded"})):
        writer = create(tmp_path / str(last))
        for i, seed in enumerate((None, 3, last)):
            arrays = {"position": np.full((2, 3), i)}
            writer.add(arrays, np.full(1, i), provenance=SOURCE, seed=seed)
        writer.close()
        (shard,) = (tmp_path / str(last) / "shards").iterdir()
        with h5py.File(shard) as file:
            assert {name for name in file["table"] if name.startswith("seed")} == columns
            assert file["table/seed"].dtype == np.int64
            assert file["table/seed"][:2].tolist() == [-1, 3]
