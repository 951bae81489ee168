"""Factors that are known, and what parts of a latent action are to them."""

from pathlib import Path

import factors
import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, open_corpus

K = 3


def test_every_trajectory_is_of_every_factor_once(tmp_path: Path) -> None:
    state = ArraySpec(name="state", shape=(2,))
    action = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-9.0,), high=(9.0,))
    with CorpusWriter.create(tmp_path / "one", observations=(state,), action=action) as writer:
        for n in range(7):
            told = {"state": np.full((4, 2), n, np.float32) + np.arange(4)[:, None] / 10}
            actions = np.full((3, 1), n, np.float32)
            writer.add(told, np.ones(3), actions, provenance=Provenance(source="test"))
    made = factors.side_by_side(open_corpus(tmp_path / "one"), K, tmp_path / "many")
    found = np.array([trajectory.actions for trajectory in made])[:, 0]
    assert found.shape == (7, K)
    assert all(len(set(row)) == K for row in found)  # never a factor beside itself
    assert all(sorted(column) == list(range(7)) for column in found.T)
    for trajectory, actions in zip(made, found, strict=True):
        seen = trajectory.observations.state.reshape(4, K, 2)
        np.testing.assert_array_equal(seen[0, :, 0], actions)
    assert factors.side_by_side(made, K, tmp_path / "many").fingerprint == made.fingerprint


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_parts_that_are_factors_are_found_in_any_order(order: list[int]) -> None:
    told = torch.eye(K, dtype=torch.float64)[order]
    found = factors.found_of(told + 0.01 * (1 - told), told)
    assert found["matched"] == pytest.approx(1 / 1.02)
    assert found["spill"] == found["largest_spill"] == pytest.approx(0.1)
    assert (found["action_matched"], found["action_elsewhere"]) == (1, 0)
    assert found["idle"] == 0


def test_parts_that_move_all_alike_are_no_factors() -> None:
    found = factors.found_of(torch.ones(K, K), torch.full((K, K), 0.3))
    assert found["matched"] == pytest.approx(1 / K)
    assert found["spill"] == pytest.approx(1)
    assert [found["action_matched"], found["action_elsewhere"]] == pytest.approx([0.3, 0.3])
    idle = torch.ones(K, K)
    idle[0] = 1e-5
    assert factors.found_of(idle, idle)["idle"] == 1
