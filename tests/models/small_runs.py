"""Small corpora, tiny experiments on them, and what an earlier version has written."""

import shutil
from collections.abc import Callable, Container
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ExperimentConfig, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training.run_folder import CONFIG, RECORD, RunFolder
from lawm_models.training.trainer import train

WRITTEN = Path(__file__).resolve().parents[1] / "fixtures" / "57c0a20"
LOW, HIGH = (-1.0, 0.0), (1.0, 4.0)
SETTINGS = {
    "bc": {"units": 8, "layers": 1},
    "lawm": {
        "model": {
            "rssm": {"deter": 8, "stoch": 4, "hidden": 8},
            "embed": 8,
            "units": 8,
            "layers": 1,
            "latent_action": {"dim": 2, "units": 8, "layers": 1, "inverse_layers": 1},
        },
        "agent": {"units": 8, "layers": 1, "horizon": 2},
    },
    "autoencoder": {"latent": 4, "units": 8},
    "lam": {"model": {"units": 8, "layers": 1, "latent": 3}, "controller": {"units": 8}},
    "cola": {"model": {"units": 8, "layers": 1, "latent": 3}, "controller": {"units": 8}},
    "dila": {
        "model": {"units": 8, "layers": 1, "latent": 3, "structure": 4, "content": 4},
        "controller": {"units": 8},
    },
    "flam": {
        "model": {"units": 8, "layers": 1, "latent": 4, "slots": 2, "slot": 4},
        "controller": {"units": 8},
    },
    "rla": {"model": {"units": 8, "layers": 1, "latent": 3}, "controller": {"units": 8}},
    "bc_rla": {
        "model": {"units": 8, "layers": 1, "latent": 3},
        "controller": {"units": 8},
        "agent": {"units": 8, "layers": 1},
    },
    "acwm": {"model": {"units": 8, "layers": 1}},
    "td3_bc": {"units": 8},
    "idm_td3_bc": {
        "inverse": {"units": 8, "layers": 1, "validate_every": 5},
        "agent": {"units": 8},
    },
}
SETTINGS["rebrac"] = SETTINGS["iql"] = SETTINGS["td3_bc"]
SETTINGS["idm_rebrac"] = SETTINGS["idm_iql"] = SETTINGS["idm_td3_bc"]
SETTINGS["clap"] = SETTINGS["lawm_plus"] = SETTINGS["lawm"]
LIKE_OTHERS = ("bc_rla", "dila", "flam", "rla", "iql", "rebrac", "idm_iql", "idm_rebrac")
DISTINCT = [name for name in ALGORITHMS.names() if name not in LIKE_OTHERS]
"""Algorithms for slow tests: lam, td3_bc and idm_td3_bc stand for those with other networks."""


def write_corpus(
    path: Path,
    lengths: tuple[int, ...] = (40, 40, 25, 40, 40, 33),
    unrewarded: Container[int] = (),
    lacking: int = 0,
) -> Path:
    """The action is a function of the observation, and moves it; the last trajectory has none.

    No rewards were recorded of the trajectories in ``unrewarded``, and ``lacking`` actions at the
    beginning of each were not observed.
    """
    draws = np.random.default_rng(0)
    shift = draws.normal(size=(2, 3)) / 10
    with CorpusWriter.create(
        path,
        observations=(
            ArraySpec(name="position", shape=(2,)),
            ArraySpec(name="speed", shape=(1,)),
        ),
        action=ArraySpec(name="action", shape=(2,), role=Role.action, low=LOW, high=HIGH),
    ) as writer:
        for number, length in enumerate(lengths):
            state, action = np.zeros((2, length + 1, 3), np.float32)
            state[0] = draws.normal(size=3)
            for t in range(length):
                action[t, :2] = np.tanh(state[t, :2]) * [1, 2] + [0, 2]
                state[t + 1] = 0.9 * state[t] + action[t, :2] @ shift + draws.normal(size=3) / 2
            writer.add(
                {"position": state[:, :2], "speed": state[:, 2:]},
                rewards=state[1:, 0] * (number not in unrewarded),
                actions=action[:-1, :2] if number + 1 < len(lengths) else None,
                action_observed=(
                    np.arange(length) >= lacking if lacking and number + 1 < len(lengths) else None
                ),
                provenance=Provenance(source="test"),
                metadata={"rewards": "none"} if number in unrewarded else {},
            )
    if not lacking:
        corpus = open_corpus(path)
        save_mask(corpus, make_mask(corpus, 0.5, seed=0, name="half"))
    return path


@pytest.fixture(scope="session")
def make_corpus() -> Callable[..., Path]:
    """Writes such a corpus: ``make_corpus(path)``."""
    return write_corpus


@pytest.fixture(scope="session")
def corpus_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpus; tests do not change it."""
    return write_corpus(tmp_path_factory.mktemp("corpora") / "linear")


@pytest.fixture(scope="session")
def experiment(corpus_path: Path) -> Callable[..., ExperimentConfig]:
    """Makes tiny experiments, twelve steps per stage: ``experiment(algorithm, **changes)``."""

    def make(name: str = "bc", **changes) -> ExperimentConfig:
        data = {
            "corpora": [{"path": str(corpus_path), "mask": "half"}],
            "algorithm": {"name": name, "settings": SETTINGS[name]},
            "steps": dict.fromkeys(ALGORITHMS.load(name).Algorithm.stages, 12),
            "batch_size": 4,
            "window": 8,
            "labeled_ratio": 0.5,
            "log_every": 3,
            "checkpoint_every": 5,
        }
        return ExperimentConfig.parse({**data, **changes}, "test")

    return make


@pytest.fixture(scope="session", params=DISTINCT)
def config(request: pytest.FixtureRequest, experiment: Callable) -> ExperimentConfig:
    """A tiny experiment with each of them."""
    return experiment(request.param)


@pytest.fixture(scope="session")
def whole(config: ExperimentConfig, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """An uninterrupted run of it."""
    return train(config, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What commit 57c0a20 has written, in a copy in which runs name the copy of their corpus.

    ``corpus``, of Pendulum-v1, with a mask and inferred labels; ``whole``, a finished run on it;
    and ``half``, the same run killed at step 16 of its 24 model steps.
    """
    folder = Path(shutil.copytree(WRITTEN, tmp_path / "written"))
    corpus = str(folder / "corpus")
    for run in ("whole", "half"):
        for name, before in ((CONFIG, "path: corpus\n"), (RECORD, '"path": "corpus"')):
            path = folder / run / name
            text = path.read_text()
            assert text.count(before) == 1
            path.write_text(text.replace(before, before.replace("corpus", corpus)))
    return folder


@pytest.fixture
def learn(experiment: Callable, drawn: Path, tmp_path: Path) -> Callable[..., RunFolder]:
    """Trains a few steps of an algorithm on the drawn corpus: ``learn("bc", "pixels")``."""

    def call(
        algorithm: str, observe: str, out: str = "", settings: dict | None = None, **changes: object
    ) -> RunFolder:
        mask = {} if algorithm == "autoencoder" else {"mask": "half"}
        corpora = [{"path": str(drawn), **mask}]
        steps = dict.fromkeys(ALGORITHMS.load(algorithm).Algorithm.stages, 3)
        changes = {"evaluation_episodes": 0, "steps": steps, "window": 5, **changes}
        if settings is not None:
            changes["algorithm"] = {"name": algorithm, "settings": settings}
        config = experiment(algorithm, corpora=corpora, observe=observe, **changes)
        return train(config, tmp_path / (out or f"{algorithm}-{observe.replace(':', '-')}"))

    return call


@pytest.fixture
def encoder(learn: Callable) -> RunFolder:
    """A trained autoencoder."""
    return learn("autoencoder", "pixels")
