"""The contract of every algorithm in the folder."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, Schema

from lawm_models.algorithms import ALGORITHMS, acwm, autoencoder, lam
from lawm_models.algorithms._protocol import Acting


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ConfigError,
        match=r"no algorithm 'ppo'; known ones: acwm, .*lam, .*lawm_plus, rebrac, rla, td3_bc",
    ):
        ALGORITHMS.load("ppo")


def test_listing_imports_none():
    program = (
        "import sys; from lawm_models.algorithms import ALGORITHMS; print(*ALGORITHMS.names());"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ALGORITHMS.names(), done.stderr


@pytest.fixture(params=ALGORITHMS.names())
def module(request):
    return ALGORITHMS.load(request.param)


@pytest.fixture
def build(module, experiment, spec):
    """Makes the algorithm at a tiny size, always with the same weights."""
    name = module.__name__.rpartition(".")[2]
    config = module.Config.parse(experiment(name).algorithm.settings, name)

    def make():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return module.Algorithm(config, spec)

    return make


def weights(algorithm):
    return {name: value.clone() for name, value in algorithm.state_dict().items()}


def test_settings_have_defaults_and_are_closed(module):
    assert issubclass(module.Config, Schema)
    module.Config()
    with pytest.raises(ConfigError, match="nonsense"):
        module.Config.parse({"nonsense": 1}, "settings")


@pytest.mark.parametrize("labels", ["all", "mixed", "none"])
def test_every_stage_learns_from_a_batch(build, make_batch, labels):
    algorithm, generator = build(), torch.Generator().manual_seed(0)
    assert algorithm.stages
    for stage in algorithm.stages:
        algorithm.begin(stage)
        before = weights(algorithm)
        if labels == "none" and algorithm.__module__.endswith(".clap"):
            with pytest.raises(ConfigError, match=r"without a labeled window.*; set it to 1"):
                algorithm.update(stage, make_batch(labels), generator)
            continue
        metrics = algorithm.update(stage, make_batch(labels, padded=True), generator)
        assert metrics
        for name, value in metrics.items():
            assert value.shape == (), name
            assert not value.requires_grad, name
            assert torch.isfinite(value), name
        changed = any(not torch.equal(v, before[k]) for k, v in weights(algorithm).items())
        # without a single label there is nothing to clone, to be told or to map
        alone = isinstance(algorithm, acwm.Algorithm) or stage == "controller"
        assert changed or (labels == "none" and (alone or algorithm.stages == ("agent",)))


def test_a_stage_can_begin_in_a_fresh_process(build, make_batch):
    """Weights and optimisers loaded after ``begin`` are all there is to a stage."""
    first, second = build(), build()
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    stage = first.stages[-1]
    first.begin(stage)
    first.update(stage, make_batch(), generators[0])
    generators[1].set_state(generators[0].get_state())
    second.begin(stage)
    second.load_state_dict(weights(first))
    for name, optimizer in first.optimizers().items():
        second.optimizers()[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for algorithm, generator in zip((first, second), generators, strict=True):
        algorithm.update(stage, make_batch(seed=1), generator)
    assert all(torch.equal(v, weights(second)[k]) for k, v in weights(first).items())


def test_inferring_ignores_the_actions(build, make_batch, spec):
    algorithm, batch = build(), make_batch("none")
    inferred = algorithm.infer_actions(batch)
    if inferred is None:
        return
    mean, std = inferred
    again, _ = algorithm.infer_actions(batch)
    assert torch.equal(mean, again)
    assert mean.shape == std.shape == batch.action.shape
    assert (std >= 0).all()
    assert not mean.requires_grad
    assert (mean >= torch.tensor(spec.action.low) - 1e-6).all()
    assert (mean <= torch.tensor(spec.action.high) + 1e-6).all()


@pytest.mark.parametrize("deterministic", [True, False])
def test_policy_acts_within_the_bounds(build, spec, deterministic):
    algorithm = build()
    if not isinstance(algorithm, Acting):
        assert isinstance(algorithm, (acwm.Algorithm, autoencoder.Algorithm, lam.Algorithm))
        return
    policy = algorithm.policy(deterministic)
    observation = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    acts = []
    for _ in range(2):
        policy.start(4, seed=3)
        acts.append([policy.act(observation) for _ in range(3)])
    assert np.array_equal(*acts)
    for action in acts[0]:
        assert (action.shape, action.dtype) == ((4, 2), np.float32)
        assert (action >= np.float32(spec.action.low) - 1e-6).all()
        assert (action <= np.float32(spec.action.high) + 1e-6).all()
