"""Somebody tries to recover hidden actions from what is published, and can only where asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, EnvironmentInfo, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, withhold
from lawm_data.curation.action_clues import CLUES, REMAINS, without_clues

pytest.importorskip("gymnasium")
Attack = Callable[[Corpus, Path, Callable], dict[str, np.ndarray]]


def regenerated(public: Corpus, tmp_path: Path, run: Callable) -> dict[str, np.ndarray]:
    """Actions of the collection that the provenance names, made again."""
    (source,), environment = public.manifest.provenance, public.manifest.environment
    if source.agent is None or source.seed is None:
        return {}
    task = f"{environment.suite}:{environment.task}"
    words = ("--env", task, "--agent", source.agent, "--seed", source.seed)
    out = tmp_path / "again"
    assert run("lawm-data", "collect", *words, "--trajectories", 4, "--out", out).code == 0
    return {t.info.id: t.actions for t in open_corpus(out)}


def recorded_controls(public: Corpus, tmp_path: Path, run: Callable) -> dict[str, np.ndarray]:
    """Controls that the simulator's state holds."""
    if public[0].physics is None:
        return {}
    return {t.info.id: t.physics[:-1, -1:] for t in public}


def solved_from_costs(public: Corpus, tmp_path: Path, run: Callable) -> dict[str, np.ndarray]:
    """Sizes of actions, from Pendulum-v1's reward -(θ² + 0.1 θ'² + 0.001 u²)."""
    found = {}
    for t in public:
        if t.is_rewarded:
            cosine, sine, speed = t.observations.state[:-1].T.astype(np.float64)
            rest = np.arctan2(sine, cosine) ** 2 + 0.1 * speed**2
            found[t.info.id] = np.sqrt(np.maximum(0, (-t.rewards - rest) / 0.001))[:, None]
    return found


@pytest.fixture
def pendulum(run: Callable, tmp_path: Path) -> Corpus:
    """Four trajectories that ``collect`` made, with controls in the simulator's state."""
    words = ("--env", "gym:Pendulum-v1", "--trajectories", 4, "--seed", 71, "--agent", "random")
    assert run("lawm-data", "collect", *words, "--out", tmp_path / "collected").code == 0
    collected = open_corpus(tmp_path / "collected")
    manifest = collected.manifest
    physics = ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics)
    with CorpusWriter.create(
        tmp_path / "corpus",
        observations=(*manifest.observations, physics),
        action=manifest.action,
        environment=manifest.environment,
        lineage=manifest.lineage,
    ) as writer:
        for t in collected:
            arrays = t.arrays(manifest.observations)
            controls = np.append(t.actions, [[0]], 0)
            arrays["physics"] = np.hstack([t.observations.state, controls])
            writer.add(
                arrays,
                t.rewards,
                t.actions,
                truncated=t.info.truncated,
                provenance=manifest.provenance[0],
                seed=t.info.seed,
                trajectory_id=t.info.id,
            )
    return open_corpus(tmp_path / "corpus")


@pytest.mark.parametrize(
    ("attack", "keep", "precision"),
    [
        (regenerated, ("seeds", "agent"), 0),
        (recorded_controls, ("physics",), 1e-6),
        (solved_from_costs, ("rewards",), 0.1),
    ],
)
def test_hidden_actions_are_recovered_only_where_clues_are_kept(
    pendulum: Corpus,
    run: Callable,
    tmp_path: Path,
    attack: Attack,
    keep: Sequence[str],
    precision: float,
) -> None:
    mask = make_mask(pendulum, 0.25, 0, "one")
    view = pendulum.with_mask(mask)
    hidden = [t for t in pendulum if t.info.id not in mask.labeled]
    public = open_corpus(withhold(view, tmp_path / "public"))
    recovered = attack(public, tmp_path, run)
    assert not {t.info.id for t in hidden} & recovered.keys()
    careless = open_corpus(withhold(view, tmp_path / "careless", keep=keep))
    recovered = attack(careless, tmp_path, run)
    assert len(hidden) == 3
    for trajectory in hidden:
        found = recovered[trajectory.info.id]
        if attack is solved_from_costs:
            found = np.sign(trajectory.actions) * found
        np.testing.assert_allclose(found, trajectory.actions, atol=precision)


def test_what_is_left_out_is_named_and_visible_trajectories_keep_theirs(
    pendulum: Corpus, tmp_path: Path
) -> None:
    mask = make_mask(pendulum, 0.25, 0, "one")
    view = pendulum.with_mask(mask)
    left = without_clues(view).left
    names = [line.partition("--keep ")[2].rstrip(")") for line in left[:-1]]
    assert names == ["seeds", "agent", "lineage", "physics", "rewards"]
    assert left[-1] == REMAINS
    assert without_clues(view, CLUES).left == (REMAINS,)
    public = open_corpus(withhold(view, tmp_path / "public"))
    for seen, kept in zip(view, public, strict=True):
        if seen.info.id in mask.labeled:
            np.testing.assert_array_equal(kept.rewards, seen.rewards)
            np.testing.assert_array_equal(kept.actions, seen.actions)
        else:
            assert not kept.is_rewarded
            assert not kept.rewards.any()
        assert kept.info.seed is None  # the seed of the collection follows from those of resets
        np.testing.assert_array_equal(kept.observations.state, seen.observations.state)
    assert without_clues(pendulum).left == ()
    assert without_clues(pendulum).view is pendulum
    with pytest.raises(ConfigError, match="no 'seed' is left out; known: seeds, agent"):
        without_clues(view, ["seed"])


def test_rewards_of_other_environments_stay(random_corpus: Callable, tmp_path: Path) -> None:
    corpus = random_corpus()
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))
    public = open_corpus(withhold(view, tmp_path / "public"))
    for seen, kept in zip(view, public, strict=True):
        np.testing.assert_array_equal(kept.rewards, seen.rewards)


@pytest.mark.parametrize(
    ("low", "high", "published"),
    [
        ((-1.0, -2.0), (1.0, 0.4), ((-1.0, -2.0), (1.0, 0.4))),
        ((-0.8731, 0.0), (0.7712, 137.2), ((-0.9, 0.0), (0.8, 200.0))),
        ((0.123, -40.1), (0.95, -31.0), ((0.1, -50.0), (1.0, -30.0))),
        (
            (float(np.float32(-0.4)), -1.0),
            (float(np.float32(0.4)), 1.0),
            ((-0.4, -1.0), (0.4, 1.0)),
        ),
    ],
)
def test_bounds_are_rounded_outward(
    random_corpus: Callable, low: tuple, high: tuple, published: tuple
) -> None:
    """Who took them from the data published extremes of hidden actions."""
    action = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1, -1), high=(1, 1))
    corpus = random_corpus(action=action)
    view = corpus.with_mask(make_mask(corpus, 0.5, 0, "half"))
    manifest = view.manifest
    spec = action.model_copy(update={"low": low, "high": high})
    told = view.told_as(manifest.model_copy(update={"action": spec}), corpus.table)
    shown = without_clues(told).view.manifest.action
    np.testing.assert_allclose((shown.low, shown.high), published, rtol=1e-6)
    assert without_clues(told, ["bounds"]).view.manifest.action == spec


def test_one_source_may_be_hidden_and_another_shown(
    random_corpus: Callable, tmp_path: Path
) -> None:
    corpus = random_corpus()
    environment = EnvironmentInfo(suite="gym", task="CartPole-v1")
    sources = [
        corpus.manifest.provenance[0].model_copy(update={"source": name, "agent": name, "seed": 3})
        for name in ("shown", "hidden")
    ]
    with CorpusWriter.create(
        tmp_path / "two",
        observations=corpus.manifest.observations,
        action=corpus.manifest.action,
        environment=environment,
    ) as writer:
        for i, t in enumerate(corpus):
            arrays = t.arrays(corpus.manifest.observations)
            source = sources[i >= 4]
            writer.add(arrays, t.rewards, t.actions, provenance=source, seed=i)
    both = open_corpus(tmp_path / "two")
    mask = make_mask(both, 0.5, 0, "half")
    mask = mask.model_copy(update={"labeled": tuple(both.table.id[:4].tolist())})
    shown = without_clues(both.with_mask(mask)).view
    assert shown.manifest.environment == environment
    assert [entry.seed for entry in shown.manifest.provenance] == [3, None]
    assert [entry.agent for entry in shown.manifest.provenance] == ["shown", None]
    seeds = [shown.table.info(i).seed for i in range(8)]
    assert seeds == [0, 1, 2, 3, None, None, None, None]
