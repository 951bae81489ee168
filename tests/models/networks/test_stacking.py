"""A stack of models makes the numbers that its models make alone, and mixes none of them."""

import copy

import pytest
import torch
from lawm_schemas import ArraySpec, Role

from lawm_data.batches.batch import Batch
from lawm_models.algorithms import clap, lawm, lawm_plus
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.networks.stacking import (
    labeled_rows,
    put,
    share_moments,
    share_weights,
    side_by_side,
    take,
    windows,
)

MODELS, SIZE, STEPS = 3, 6, 4
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0, -0.3), high=(1.0, 0.7))
SPEC = ModelSpec((ArraySpec(name="state", shape=(3,)),), ACTION, terminates=True)
SIZES = {
    "model": {
        "rssm": {"deter": 5, "stoch": 4, "hidden": 6},
        "embed": 7,
        "units": 8,
        "layers": 1,
        "latent_action": {"dim": 3, "units": 9, "inverse_layers": 2},
    },
    "agent": {"units": 6, "horizon": 3},
}
WAYS = {
    "lawm": (lawm, {}),
    "lawm, step by step": (lawm, {"model": {"scan": "plain"}}),
    "lawm, several inverse posteriors": (
        lawm,
        {"model": {"inverse_members": 2, "inverse_steps": 2, "inverse_supervision": 1.0}},
    ),
    "lawm, everything drawn": (
        lawm,
        {
            "model": {
                "sample_decoded": True,
                "action_density": "tanh_normal",
                "encoder": {"scale": "standard"},
                "reward_scale": "standard",
                "free_nats_unit": "step",
                "inverse_input": "difference",
            },
            "sample_dreamed": True,
            "warmup": 2,
            "clip": 0.1,
        },
    ),
    "lawm_plus": (
        lawm_plus,
        {"model": {"continuation": False}, "agent": {"start_states": 7, "target_every": 2}},
    ),
    "clap": (clap, {"agent": {"policy": "clamped_normal", "critics": 3}}),
}


def merged(base, changes):
    both = copy.deepcopy(base)
    for key, value in changes.items():
        both[key] = merged(both.get(key, {}), value) if isinstance(value, dict) else value
    return both


def windows_of(seed):
    """Windows of another number of real steps each, half of them labeled, not the first half."""
    torch.manual_seed(seed)
    labeled = torch.zeros(SIZE, dtype=torch.bool)
    labeled[torch.randperm(SIZE)[: SIZE // 2]] = True
    valid = torch.arange(STEPS) < torch.randint(1, STEPS + 1, (SIZE, 1))
    mask = labeled.unsqueeze(1) & valid
    action = torch.rand(SIZE, STEPS, 2) * 0.5
    return Batch(
        observation=torch.randn(SIZE, STEPS + 1, 3),
        action=action * mask.unsqueeze(2),
        action_mask=mask,
        reward=torch.randn(SIZE, STEPS) * valid,
        rewarded=torch.rand(SIZE) < 0.7,
        terminated=torch.rand(SIZE, STEPS) < 0.3,
        valid=valid,
        unseen=torch.zeros(SIZE, STEPS, dtype=torch.bool),
        labeled=labeled,
        trajectory=torch.arange(SIZE),
        start=torch.zeros(SIZE, dtype=torch.int64),
    )


def build(module, changes, seed):
    torch.manual_seed(seed)
    made = module.Algorithm(module.Config.model_validate(merged(SIZES, changes)), SPEC)
    if made.model.world.reward_unit is not None:
        made.model.world.reward_unit.fill_(1.0 + seed)  # each has that of its own data
    return made


def join(whole, models):
    share_weights(whole, models)
    for name, optimizer in whole.optimizers().items():
        share_moments(optimizer, [model.optimizers()[name] for model in models])


@pytest.mark.parametrize("way", WAYS)
def test_updates_of_a_stack_are_those_of_its_models(way):
    module, changes = WAYS[way]
    assert module.Algorithm.stackable(module.Config.model_validate(merged(SIZES, changes)))
    alone = [build(module, changes, seed) for seed in range(MODELS)]
    parts = [build(module, changes, seed) for seed in range(MODELS)]
    whole = build(module, changes, 9)
    join(whole, parts)
    generators = [[torch.Generator().manual_seed(seed) for seed in range(MODELS)] for _ in range(2)]
    step = 0
    for stage in whole.stages:
        for algorithm in (whole, *alone):
            algorithm.begin(stage)
        for _ in range(3):
            batches = [windows_of(100 * step + seed) for seed in range(MODELS)]
            step += 1
            together = whole.update(stage, side_by_side(batches), generators[0])
            each = [
                model.update(stage, batch, generator)
                for model, batch, generator in zip(alone, batches, generators[1], strict=True)
            ]
            assert set(together) == set(each[0])
            for name, values in together.items():
                expected = torch.stack([metrics[name] for metrics in each])
                torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5, msg=name)
    for model, part in zip(alone, parts, strict=True):
        assert model.state_dict().keys() == part.state_dict().keys()
        for name, value in model.state_dict().items():
            found = part.state_dict()[name]
            torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-4, msg=name)
        before = build(module, changes, 0).state_dict()
        assert any(not torch.equal(value, before[n]) for n, value in model.state_dict().items())


def test_no_model_knows_of_another():
    def weights(other):
        parts = [build(lawm, {}, seed) for seed in (0, other)]
        whole = build(lawm, {}, 9)
        join(whole, parts)
        generators = [torch.Generator().manual_seed(seed) for seed in (0, other)]
        for stage in whole.stages:
            whole.begin(stage)
            for step in range(2):
                batches = [windows_of(step), windows_of(step + 10 * other)]
                whole.update(stage, side_by_side(batches), generators)
        return [part.state_dict() for part in parts]

    (one, differs), (same, other) = weights(1), weights(2)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in differs.items())


def test_moments_are_of_the_step_that_was_reached():
    parts = [build(lawm, {}, seed) for seed in range(2)]
    for seed, part in enumerate(parts):
        part.update("model", windows_of(seed), torch.Generator().manual_seed(seed))
    saved = [copy.deepcopy(part.optimizers()["model"].state_dict()) for part in parts]
    whole = build(lawm, {}, 9)
    join(whole, parts)
    for part, before in zip(parts, saved, strict=True):
        now = part.optimizers()["model"].state_dict()
        for key, state in before["state"].items():
            assert all(torch.equal(now["state"][key][name], value) for name, value in state.items())


@pytest.mark.parametrize("models", [(), (3,)])
def test_rows_are_taken_and_put_back(models):
    torch.manual_seed(0)
    x = torch.randn(*models, 5, 2, 4)
    rows = torch.stack([torch.randperm(5)[:3] for _ in range(max(1, *models, 0))])
    rows = rows if models else rows[0]
    taken = take(x, rows)
    assert torch.equal(put(x, rows, taken), x)
    assert torch.equal(take(put(torch.zeros_like(x), rows, taken), rows), taken)
    for i in range(models[0] if models else 0):
        assert torch.equal(taken[i], take(x[i], rows[i]))


def test_labeled_windows_of_every_model():
    batches = [windows_of(seed) for seed in range(MODELS)]
    joint = side_by_side(batches)
    chosen = windows(joint, labeled_rows(joint.labeled))
    assert chosen.labeled.all()
    for i, batch in enumerate(batches):
        alone = windows(batch, labeled_rows(batch.labeled))
        assert torch.equal(chosen.observation[i], alone.observation)


def test_models_need_as_many_labeled_windows():
    labeled = torch.tensor([[True, False, True], [False, False, True]])
    with pytest.raises(ValueError, match=r"\[2, 1\] labeled windows"):
        labeled_rows(labeled)


def test_dropout_is_not_stacked():
    config = lawm.Config.model_validate(merged(SIZES, {"model": {"inverse_dropout": 0.1}}))
    assert not lawm.Algorithm.stackable(config)
