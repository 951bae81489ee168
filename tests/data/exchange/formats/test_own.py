"""What our own exports say is not believed either: every array is the one that was written."""

from __future__ import annotations

import shutil
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
