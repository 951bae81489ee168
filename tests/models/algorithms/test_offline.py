"""What learners on single steps read, on labels alone and behind an inverse model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError

from lawm_models.algorithms import idm_iql, idm_rebrac, iql, rebrac
from lawm_models.algorithms._offline import returns
from lawm_models.algorithms._protocol import Windowed
from lawm_models.networks.inverse_dynamics import InverseDynamicsConfig
from lawm_models.networks.offline.iql import IQLConfig
from lawm_models.networks.offline.rebrac import ReBRACConfig

K = 3


@pytest.fixture
def on_labels(spec):
    torch.manual_seed(0)
    return rebrac.Algorithm(rebrac.Config(units=4), spec)


@pytest.fixture
def behind_idm(spec, randomize):
    torch.manual_seed(0)
    inverse = InverseDynamicsConfig(units=4, layers=1, observations=K)
    config = idm_rebrac.Config(inverse=inverse, agent=ReBRACConfig(units=4))
    algorithm = idm_rebrac.Algorithm(config, spec)
    randomize(algorithm.best)
    return algorithm


def test_a_step_without_a_known_next_action_teaches_nothing(on_labels, make_batch):
    """But an end, which has none."""
    batch = make_batch("all", steps=2)
    mask = batch.action_mask.clone()
    mask[0, 1] = mask[1, 0] = mask[2, 1] = False
    ended = torch.zeros_like(mask)
    ended[2, 0] = True
    batch = replace(batch, action_mask=mask, terminated=ended, start=torch.full((4,), 5))
    t = on_labels.steps(batch, torch.Generator())
    assert t.weight.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(t.next_action[3], on_labels.scale.to_model(batch.action[3, 1]))


def test_next_actions_are_inferred_like_others(behind_idm, make_batch):
    """What relabeling says of the step and of the one behind it, where nothing is observed."""
    batch = make_batch("mixed", steps=K)
    batch = replace(batch, start=torch.tensor([5, 5, 0, 0]))
    t = behind_idm.steps(batch, torch.Generator())
    inferred = behind_idm.scale.to_model(behind_idm.infer_actions(batch)[0])
    known = behind_idm.scale.to_model(batch.action)
    expected = torch.where(batch.action_mask[..., None], known, inferred)
    for row in range(4):
        place = int((batch.observation[row, :-1] == t.observation[row]).all(-1).nonzero())
        assert place in ([0, 1] if batch.start[row] == 0 else [1])
        torch.testing.assert_close(t.action[row], expected[row, place])
        torch.testing.assert_close(t.next_action[row], expected[row, place + 1])
    assert (t.weight > 0).all()


def test_short_windows_are_refused(on_labels, behind_idm):
    on_labels.require_window(2)
    with pytest.raises(ConfigError, match="1 is too short to see the next action; give 2 or more"):
        on_labels.require_window(1)
    behind_idm.require_window(3)
    with pytest.raises(ConfigError, match=r"2 is too short to look at 4 obs.*; give 3 or more"):
        behind_idm.require_window(2)


def test_short_windows_are_refused_before_a_run_begins(on_labels, behind_idm):
    for algorithm, fewest in ((on_labels, 2), (behind_idm, 3)):
        assert isinstance(algorithm, Windowed)
        algorithm.require_window(fewest)
        with pytest.raises(ConfigError, match=f"give {fewest} or more"):
            algorithm.require_window(fewest - 1)


def test_the_scale_of_rewards_is_that_of_what_is_learned_from(spec, random_view):
    table = random_view.table
    labeled = table.num_observed > 0
    assert 1 < labeled.sum() < len(table)
    inverse = InverseDynamicsConfig(units=4, layers=1)
    alone = iql.Algorithm(iql.Config(units=4), spec)
    behind = idm_iql.Algorithm(idm_iql.Config(inverse=inverse, agent=IQLConfig(units=4)), spec)
    for algorithm, chosen in ((alone, labeled), (behind, labeled | True)):
        algorithm.prepare([random_view])
        found = table.episode_return[chosen]
        np.testing.assert_array_equal(returns([random_view], algorithm is alone), found)
        assert algorithm.agent.reward_scale.item() == pytest.approx(1000 / np.ptp(found))
