"""What our own exports say is not believed either: every array is the one that was written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from lawm_schemas import ArraySpec, LawmError, Role

from lawm_data import Corpus
from lawm_data.exchange import export_corpus, import_corpus

PIXELS = ArraySpec(name="pixels", shape=(4, 6, 3), dtype="uint8", role=Role.pixels)
PHYSICS = ArraySpec(name="state", shape=(5,), dtype="float64", role=Role.physics)


@pytest.fixture
def corpus(tmp_path: Path, plain_plan: Callable) -> Corpus:
    """Every kind of array, and every state of labels."""
    one = plain_plan().trajectories[0]
    return plain_plan(
        observations=(*plain_plan().observations, PIXELS, PHYSICS),
        trajectories=tuple(
            {**one, "labels": labels, "metadata": 1}
            for labels in ("observed", "partial", "missing", "observed")
        ),
    ).write(tmp_path / "corpus")


@pytest.mark.parametrize("name", ["robomimic", "d4rl"])
def test_an_array_of_another_shape_is_refused_wherever_it_stands(
    tmp_path: Path, corpus: Corpus, name: str
) -> None:
    whole, changed, out = (tmp_path / path for path in ("a.hdf5", "b.hdf5", "out"))
    export_corpus(corpus, f"{name}:{whole}")
    places: list[str] = []
    with h5py.File(whole) as file:
        file.visititems(lambda at, found: places.append(at) if hasattr(found, "shape") else None)
    # robomimic's own reader wants dones, terminals and timeouts; the table says the same
    places = [p for p in places if p.rpartition("/")[2] not in ("dones", "terminals", "timeouts")]
    assert len(places) > 20
    for place in places:
        shutil.copy(whole, changed)
        with h5py.File(changed, "r+") as file:
            array = file[place][()]
            del file[place]
            file[place] = np.stack([array, array], -1)
        with pytest.raises(LawmError) as refusal:
            import_corpus(f"{name}:{changed}", out)
        assert "\n" not in str(refusal.value)
        assert not out.exists(), place
    import_corpus(f"{name}:{whole}", out)


FULL = """
import resource, signal, sys
from lawm_data import open_corpus
from lawm_data.exchange import export_corpus

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
export_corpus(open_corpus("corpus"), sys.argv[1])
"""


@pytest.mark.parametrize("name", ["robomimic", "d4rl"])
@pytest.mark.parametrize("limit", [0, 20_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, plain_plan: Callable, name: str, limit: int
) -> None:
    one = plain_plan().trajectories[0]
    plain_plan(trajectories=({**one, "length": 1000},) * 3).write(tmp_path / "corpus")
    words = [sys.executable, "-c", FULL, f"{name}:a.hdf5", str(limit)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .endswith(
            "StorageError: a.hdf5: no space left on the device; free some space and run it again"
        )
    )
    assert "Exception ignored" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
