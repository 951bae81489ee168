"""What our own exports say is checked, too."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from lawm_schemas import CorpusError
from minari_sets import ID, imported, rewrite

from lawm_data.exchange import export_corpus


def test_flags_survive_what_minari_does_to_a_dataset(plain_plan: Callable, tmp_path: Path) -> None:
    labels = ("missing", "partial", "observed")
    plans = tuple({**plain_plan().trajectories[0], "labels": name} for name in labels)
    whole = plain_plan(trajectories=plans, masks=()).write(tmp_path / "corpus")
    export_corpus(whole, f"minari:{ID}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.combine_datasets([minari.load_dataset(ID)], "lab/combined-v0")
    corpus = imported(tmp_path, "lab/combined-v0")
    for one, other in zip(whole, corpus, strict=True):
        assert np.array_equal(one.action_observed, other.action_observed)
        assert one.action_observed.any() or other.actions is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, value) for key in ("overlay", "manifest") for value in ([], {}, 0, "", [1])),
        ("masks", 0),
        ("masks", [1]),
    ],
)
def test_what_our_own_export_says_is_not_believed(
    plain_plan: Callable, root: Path, tmp_path: Path, key: str, value: Any
) -> None:
    export_corpus(plain_plan().write(tmp_path / "corpus"), f"minari:{ID}")
    rewrite(root, lambda metadata: metadata["lawm"].update({key: value}))
    with pytest.raises(CorpusError, match="lawm"):
        imported(tmp_path)
    assert not (tmp_path / "back").exists()
