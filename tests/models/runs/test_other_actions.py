"""A corpus that differs in actions alone: all else is the same, through the mask everything."""

import numpy as np
import pytest

from lawm_data import open_corpus
from lawm_data.corpus.mask import read_mask
from lawm_models.runs.other_actions import write_with_other_actions


@pytest.mark.parametrize("hidden", [True, False])
def test_some_actions_are_others_and_nothing_else(make_corpus, tmp_path, hidden):
    path, out = make_corpus(tmp_path / "corpus"), tmp_path / "other"
    mask = read_mask(path / "masks" / "half.json")
    write_with_other_actions(path, mask, out, seed=0, hidden=hidden)
    before, after = open_corpus(path), open_corpus(out, verify=True)
    assert before.fingerprint != after.fingerprint
    for one, other in zip(before, after, strict=True):
        assert one.info == other.info
        assert np.array_equal(one.rewards, other.rewards)
        for name, array in one.observations.items():
            assert np.array_equal(array, other.observations[name])
        if one.actions is None:  # never recorded
            assert other.actions is None
            continue
        others = (one.info.id in mask.labeled) != hidden
        assert np.array_equal(one.actions, other.actions) != others
    views = [corpus.with_mask("half") for corpus in (before, after)]
    same = views[0].visible_fingerprint == views[1].visible_fingerprint
    assert same == hidden
    for one, other in zip(*views, strict=True):
        shown = one.actions is not None
        assert shown == (other.actions is not None)
        assert not shown or np.array_equal(one.actions, other.actions) == hidden
