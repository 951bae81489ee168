"""Small models, batches and runs."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus
from lawm_data.batches.batch import Batch
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.networks.latent_action import LatentActionConfig
from lawm_models.networks.latent_action_model import (
    LatentActionModel,
    LatentActionModelConfig,
    Noise,
)
from lawm_models.networks.rssm import RSSMConfig

# What stands beside the tests, which are no package, is found there.
sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "training")]
from small_runs import (
    config,
    corpus_path,
    encoder,
    experiment,
    learn,
    make_corpus,
    whole,
    written,
)

__all__ = [
    "config",
    "corpus_path",
    "encoder",
    "experiment",
    "learn",
    "make_corpus",
    "whole",
    "written",
]

STEPS = 9
"""Of every trajectory of ``random_view``."""
LABELS = {"all": (1, 1, 1, 1), "none": (0, 0, 0, 0), "mixed": (1, 0, 1, 0)}


@pytest.fixture
def spec() -> ModelSpec:
    """Three observations, two actions, bounds that are neither symmetric nor exact in binary."""
    action = ArraySpec(
        name="action", shape=(2,), role=Role.action, low=(-1.0, -0.3), high=(1.0, 0.7)
    )
    return ModelSpec((ArraySpec(name="state", shape=(3,)),), action)


@pytest.fixture
def make_batch(spec) -> Callable[..., Batch]:
    """Four windows of five steps in the environment's units.

    ``labels``: which rows are labeled. ``padded``: the last two steps of rows 2 and 3 are padding,
    of the form that the loader gives it.
    """

    def make(labels="mixed", padded=False, seed=0, dtype=torch.float32, steps=5) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        labeled = torch.tensor(LABELS[labels], dtype=torch.bool)
        size = len(labeled)
        observation = torch.randn(size, steps + 1, spec.observations[0].size, generator=generator)
        unit = torch.rand(size, steps, spec.action.size, generator=generator)
        low, high = torch.tensor(spec.action.low), torch.tensor(spec.action.high)
        action = low + unit * (high - low)
        reward = torch.randn(size, steps, generator=generator)
        valid = torch.ones(size, steps, dtype=torch.bool)
        if padded:
            valid[2:, -2:] = False
            observation[2:, -2:] = observation[2:, -3:-2]
            reward[2:, -2:] = 0
        mask = labeled[:, None] & valid
        return Batch(
            observation=observation.to(dtype),
            action=torch.where(mask[..., None], action, 0.0).to(dtype),
            action_mask=mask,
            reward=reward.to(dtype),
            rewarded=torch.ones(size, dtype=torch.bool),
            terminated=torch.zeros_like(valid),
            valid=valid,
            unseen=torch.zeros_like(valid),
            labeled=labeled,
            trajectory=torch.arange(size),
            start=torch.zeros(size, dtype=torch.int64),
        )

    return make


@pytest.fixture
def random_view(spec: ModelSpec, tmp_path: Path) -> Corpus:
    """Twenty trajectories of one policy, of which a mask shows the actions of ten."""
    draws, path = np.random.default_rng(0), tmp_path / "corpus"
    low, high = np.array(spec.action.low), np.array(spec.action.high)
    with CorpusWriter.create(path, observations=spec.observations, action=spec.action) as writer:
        for _ in range(20):
            state = draws.normal(size=(STEPS + 1, 3)).astype(np.float32)
            unit = (1 + np.tanh(state[:-1, :2])) / 2
            writer.add(
                {"state": state},
                rewards=draws.normal(size=STEPS).astype(np.float32),
                actions=(low + unit * (high - low)).astype(np.float32),
                provenance=Provenance(source="test"),
            )
    whole = open_corpus(path)
    return whole.with_mask(make_mask(whole, 0.5, seed=0, name="half"))


@pytest.fixture
def model_config() -> Callable[..., LatentActionModelConfig]:
    """A latent-action world model that is as small as it can be and still differ everywhere."""

    def make(prior="standard_normal", **settings) -> LatentActionModelConfig:
        return LatentActionModelConfig(
            rssm=RSSMConfig(deter=5, stoch=4, hidden=6),
            embed=7,
            units=8,
            layers=1,
            latent_action=LatentActionConfig(
                dim=3, units=9, layers=1, inverse_layers=2, prior=prior
            ),
            **settings,
        )

    return make


@pytest.fixture
def randomize() -> Callable[[torch.nn.Module], None]:
    """Give every parameter a random value, also those that start at zero."""

    def fill(module: torch.nn.Module, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(parameter + 0.3 * noise)

    return fill


class Adam:
    """Adam (Kingma & Ba 2015) on one vector, in NumPy."""

    def __init__(self, rate: float, eps: float) -> None:
        self.rate, self.eps, self.steps, self.m, self.v = rate, eps, 0, 0.0, 0.0

    def step(self, value: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The vector after one step."""
        self.steps += 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient**2
        m, v = self.m / (1 - 0.9**self.steps), self.v / (1 - 0.999**self.steps)
        return value - self.rate * m / (np.sqrt(v) + self.eps)


@pytest.fixture
def numpy_adam() -> type[Adam]:
    """``numpy_adam(rate, eps).step(value, gradient)``."""
    return Adam


@pytest.fixture
def numpy_gradient() -> Callable[..., np.ndarray]:
    """Central differences of a function of one vector: ``numpy_gradient(f, x)``."""

    def gradient(f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-6) -> np.ndarray:
        return np.array([(f(x + e) - f(x - e)) / (2 * h) for e in h * np.eye(len(x))])

    return gradient


@pytest.fixture
def problem(
    spec, model_config, make_batch, randomize
) -> Callable[..., tuple[LatentActionModel, Batch, Noise]]:
    """A model in float64, a batch whose actions are in [-1, 1], and noise; always the same ones."""

    def make(labels="mixed", padded=False, terminates=False, **settings):
        torch.manual_seed(0)
        config = model_config(**settings)
        model = LatentActionModel(config, spec.observations, 2, terminates).double()
        randomize(model)
        batch = make_batch(labels, padded, dtype=torch.float64)
        return model, batch, model.draw_noise(batch, torch.Generator().manual_seed(1))

    return make
