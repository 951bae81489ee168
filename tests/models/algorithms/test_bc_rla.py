"""What is of ``bc_rla`` alone; the rest holds of every algorithm."""

import pytest
import torch

from lawm_data.batches.loader import Loader
from lawm_models.algorithms import bc_rla, rla

SMALL = {
    "model": {"units": 8, "layers": 1, "latent": 4},
    "controller": {"units": 8, "layers": 1},
}


@pytest.fixture
def build(spec):
    def make(module=bc_rla, **own):
        torch.manual_seed(0)
        return module.Algorithm(module.Config.parse({**SMALL, **own}, "test"), spec)

    return make


def test_until_it_clones_it_is_rla_bit_for_bit(build, make_batch):
    found = []
    for algorithm in (build(rla), build(agent={"units": 8})):
        generator = torch.Generator().manual_seed(1)
        metrics = [
            algorithm.update(stage, make_batch(seed=seed), generator)
            for stage in ("model", "controller")
            for seed in (0, 1)
        ]
        state = algorithm.state_dict()
        found.append((metrics, {k: v for k, v in state.items() if not k.startswith("agent.")}))
    (ours, weights), (theirs, others) = found
    assert ours == theirs
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_it_clones_what_it_is_shown_and_moves_nothing_else(build, random_view):
    algorithm = build(agent={"units": 32, "layers": 1}, agent_rate=1e-2)
    algorithm.prepare([random_view])
    before = {name: value.clone() for name, value in algorithm.state_dict().items()}
    loader = Loader(random_view, batch_size=8, window=8, labeled_ratio=0.5, seed=0)
    metrics = [algorithm.update("agent", loader.next(), torch.Generator()) for _ in range(80)]
    assert metrics[-1]["action_error"] < 0.1 < 0.5 < metrics[0]["action_error"]
    after = algorithm.state_dict()
    moved = {name.partition(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert moved == {"agent"}
