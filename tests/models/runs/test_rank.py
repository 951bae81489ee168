"""Policies ordered by their returns in world models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, Provenance, Role
from small_runs import SETTINGS

from lawm_data import CorpusWriter, open_corpus
from lawm_models import load_run, rank
from lawm_models.runs.make_features import make_features
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train

STANDARD = {**SETTINGS["lawm"]["model"], "reward_scale": "standard"}


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve trajectories that terminate, of rewards of 5 and more."""
    draws, path = np.random.default_rng(0), tmp_path_factory.mktemp("ending") / "corpus"
    action = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-2.0,), high=(2.0,))
    observations = (ArraySpec(name="state", shape=(2,)),)
    with CorpusWriter.create(path, observations=observations, action=action) as writer:
        for _ in range(12):
            state = np.cumsum(draws.normal(size=(10, 2)), 0).astype(np.float32)
            writer.add(
                {"state": state},
                rewards=5 + np.abs(state[1:, 0]),
                actions=draws.uniform(-2, 2, (9, 1)).astype(np.float32),
                terminated=True,
                provenance=Provenance(source="test"),
            )
    return path


@pytest.fixture(scope="module")
def learned(
    experiment: Callable, ending: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., RunFolder]:
    """A few steps on that corpus: ``learned("lawm", seed=1)``."""
    folder = tmp_path_factory.mktemp("runs")

    def make(name: str, seed: int = 0, begin_from: Path | None = None, **settings) -> RunFolder:
        changes = {"corpora": [{"path": str(ending)}], "window": 5, "labeled_ratio": None}
        chosen = {"name": name, "settings": {**SETTINGS[name], **settings}}
        config = experiment(name, seed=seed, algorithm=chosen, **changes)
        out = folder / f"{name}-{seed}{''.join(sorted(settings))}{'-taken' if begin_from else ''}"
        return train(config, out, begin_from=begin_from)

    return make


def test_a_policy_acts_on_what_a_world_model_shows_it(learned: Callable, ending: Path) -> None:
    judge = learned("lawm", model=STANDARD)
    cloned = learned("bc")
    steps = 7
    found = rank([cloned.path], [judge.path], starts=12, steps=steps)

    # again, with the policy as its users have it and the model as planners do
    algorithm = judge.algorithm()
    model = judge.planning_model(algorithm)
    rssm = algorithm.model.world.rssm  # pyright: ignore[reportAttributeAccessIssue]
    corpus = open_corpus(ending)
    shown = torch.from_numpy(np.stack([t.observations.state[0] for t in corpus]))
    policy, draws = load_run(cloned.path).policy(), torch.Generator().manual_seed(0)
    total, alive = np.zeros(12), np.ones(12)
    with torch.no_grad():
        state = model.infer(shown, torch.zeros(12, model.memory_dim))
        for _ in range(steps):
            action = torch.from_numpy(policy.act({"state": shown.numpy()}))
            deter = model.remember(state, action / 2)  # of bounds of -2 and 2
            prior = rssm.prior(deter)
            noise = torch.randn(prior.mean.shape, generator=draws)
            state = torch.cat((deter, prior.mean + prior.std * noise), -1)
            total += alive * model.reward(state).numpy()
            alive *= model.continuation(state).numpy()
            scaled = model.predicted(state)
            shown = scaled.sign() * (scaled.abs().exp() - 1)  # symlog, the other way
    assert alive.max() < 0.99  # the ends matter
    unit = np.sqrt(np.mean([np.square(t.rewards).mean() for t in corpus]))
    (row,) = found["policies"]
    assert row["mean"] == row["lowest"] == row["returns"][0]
    assert row["mean"] == pytest.approx(unit * total.mean(), rel=1e-4)


def test_a_world_model_has_no_say_on_its_own_policies(
    learned: Callable, capsys: pytest.CaptureFixture
) -> None:
    first, other = learned("lawm"), learned("lawm", seed=1)
    near = learned("lawm", begin_from=first.path, support=0.5)
    found = rank([first.path, other.path, near.path], starts=4, steps=3)
    assert [model["run"] for model in found["models"]] == [str(first.path), str(other.path)]
    rows = {row["run"]: row for row in found["policies"]}
    for run in (first, near):  # they share a world model
        own, foreign = rows[str(run.path)]["returns"]
        assert own is None
        assert rows[str(run.path)]["mean"] == foreign
    assert rows[str(other.path)]["returns"][1] is None
    assert not any(row["own"] for row in rows.values())
    means = [row["mean"] for row in found["policies"]]
    assert means == sorted(means, reverse=True)
    assert found == rank([first.path, other.path, near.path], starts=4, steps=3)
    assert "judged" not in capsys.readouterr().err

    (alone,) = rank([near.path], [first.path], starts=4, steps=3)["policies"]
    assert alone["own"]
    assert alone["mean"] is not None
    assert "judged by nothing but the world model it was trained in" in capsys.readouterr().err


def test_episodes_begin_as_trajectories_do(learned: Callable, ending: Path) -> None:
    runs = [learned("bc").path], [learned("lawm").path]
    found = rank(*runs)
    assert found["starts"] == 12  # all that there are
    assert found["steps"] == 9  # of the longest
    assert found["corpus"] == str(ending)
    few, others = (rank(*runs, starts=3, seed=seed)["policies"][0]["mean"] for seed in (0, 1))
    assert few != others
    assert rank(*runs, corpus=ending, starts=3)["policies"][0]["mean"] == few


def test_features_are_observed_as_they_were_learned_from(
    drawn: Path, encoder: RunFolder, learn: Callable
) -> None:
    make_features(encoder, drawn, "ae")
    cloned, judge = learn("bc", "features:ae"), learn("lawm", "features:ae")
    (row,) = rank([cloned.path], [judge.path], starts=2, steps=2)["policies"]
    assert np.isfinite(row["mean"])
    seeing = learn("bc", "pixels")
    with pytest.raises(ConfigError, match="observes pixels, and the first world model features:ae"):
        rank([seeing.path], [judge.path])
    with pytest.raises(ConfigError, match="world models predict no pictures to act on"):
        rank([seeing.path], [learn("lawm", "pixels").path])


def test_what_cannot_be_ranked_is_refused(
    learned: Callable, experiment: Callable, tmp_path: Path
) -> None:
    cloned, judge = learned("bc").path, learned("lawm").path
    for runs, models, message in (
        ([cloned], [], "no world model among the runs"),
        ([cloned], [cloned], "bc learns no world model with rewards"),
        ([learned("acwm").path], [judge], "acwm learns no policy"),
    ):
        with pytest.raises(ConfigError, match=message):
            rank(runs, models)
    with pytest.raises(ConfigError, match="starts: 0 is below 1"):
        rank([cloned], [judge], starts=0)
    with pytest.raises(ConfigError, match="steps: 0 is below 1"):
        rank([cloned], [judge], steps=0)
    elsewhere = train(experiment("bc"), tmp_path / "elsewhere").path
    with pytest.raises(ConfigError, match="its observations or actions are not those of the run"):
        rank([elsewhere], [judge])
    nobody = train(experiment("lawm", steps={"model": 3, "agent": 0}), tmp_path / "nobody").path
    with pytest.raises(ConfigError, match="its policy has not been trained"):
        rank([nobody])
