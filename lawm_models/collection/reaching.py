"""``lawm plan``: a world model, a corpus, and how near plans come to what was observed in it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ConfigError
from lawm_schemas.outputs import Plan

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.exchange.hub.cache import located
from lawm_data.system.progress import Progress, silent
from lawm_data.system.terminal import line
from lawm_models.collection.trained_policy import Trained, load_world_model
from lawm_models.planning import goals as planning
from lawm_models.planning.planner import ModelPlanner
from lawm_models.runs.run import folder_of
from lawm_models.training.seeding import thread_limit
from lawm_models.training.versions import installed_versions


def reach_goals(
    run: Path | str,
    corpus: Corpus | Path | str | None = None,
    *,
    goals: int = 100,
    horizon: int = 6,
    closed_loop: bool = False,
    planner: str = "cem",
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    film: Path | str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Plan towards observations that trajectories reached some steps later, in the simulator.

    Args:
        run: a run folder, or the ``OUT.agent`` of a collection.
        corpus: where goals are from; None for the first that the run was trained on. Trajectories
            that it was not trained on are taken if there are some. The whole corpus, or its folder.
        goals: how many.
        horizon: steps between start and goal, and of the plan.
        closed_loop: look again and plan the rest anew at every step.
        planner: ``cem``, ``icem`` or ``mppi``.
        settings: of the planner, by name.
        seed: of goals, planner and random actions.
        film: video of the first goals, what was reached beside the goal: FILE.mp4 or FILE.gif.
        progress: called with how many goals are done, and of how many.

    Returns:
        What ``lawm plan --json`` prints: everything that was found, and all that it depends on.

    Raises:
        ConfigError: something is unknown, or a number makes no sense.
        CorpusError: states were not recorded.
    """
    trained = load_world_model(run)
    given = dict(settings or {})
    if "horizon" in given:
        raise ConfigError("is that of the goals here", "setting horizon", "give --horizon")
    search = ModelPlanner(trained.model, planner, {**given, "horizon": horizon}, goals=True)
    if corpus is not None:
        corpus = folder_of(corpus, "goals are drawn from all of it")
    whole = open_corpus(located(trained.address if corpus is None else str(corpus)))
    view, held_out = _unseen(whole, trained)
    began = time.process_time()
    with thread_limit(1):
        film = None if film is None else Path(film)
        found = planning.reach_goals(
            search, trained.reads, view, goals, horizon, closed_loop, seed, film, progress
        )
    if not held_out:
        line(f"warning: {whole.path}: the run was trained on these trajectories; --corpus others")
    return {
        "run": str(run),
        "algorithm": trained.name,
        "weights": trained.weights,
        "corpus": str(whole.path if corpus is None else corpus),
        "fingerprint": whole.fingerprint,
        "held_out": held_out,
        "goals": goals,
        "horizon": horizon,
        "closed_loop": closed_loop,
        "seed": seed,
        "planner": {"name": planner, **search.config.model_dump(mode="json")},
        **_summary(found),
        "each": _each(found),
        "seconds": time.process_time() - began,
        "film": None if film is None else str(film),
        "versions": installed_versions(),
        "again": None,
    }


def reach_again(
    file: Path, film: Path | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Repeat what ``reach_goals`` returned, from that alone.

    Args:
        file: its JSON.
        film: as there.
        progress: as there.

    Returns:
        The same, with the largest difference of a distance under ``again``.

    Raises:
        ConfigError: it is no such file, or of a run or a corpus that has changed.
    """
    before = Plan.read_json(file)
    settings = {k: v for k, v in before.planner.items() if k not in ("name", "horizon")}
    trained = load_world_model(before.run)
    if trained.weights != before.weights:
        raise ConfigError("was trained on since", before.run, "plan anew, without --again")
    if open_corpus(located(before.corpus)).fingerprint != before.fingerprint:
        raise ConfigError("has changed since", before.corpus, "plan anew, without --again")
    now = reach_goals(
        before.run,
        before.corpus,
        goals=before.goals,
        horizon=before.horizon,
        closed_loop=before.closed_loop,
        planner=before.planner["name"],
        settings=settings,
        seed=before.seed,
        film=film,
        progress=progress,
    )
    pairs = zip(before.each, now["each"], strict=True)
    difference = max(
        abs(getattr(old, name) - new[name])
        for old, new in pairs
        for name in ("start", "plan", "no_action", "random")
    )
    return {**now, "again": {"file": str(file), "largest_difference": difference}}


def _unseen(corpus: Corpus, trained: Trained) -> tuple[Corpus, bool | None]:
    """The trajectories that no training saw, and whether that is known; all where there are none.

    Ids tell: they are hashes of what was observed.
    """
    known = [view for view in trained.corpora if view is not None]
    seen = {name for view in known for name in view.table.id.tolist()}
    fresh = np.array([name not in seen for name in corpus.table.id.tolist()], bool)
    if not fresh.any():
        return corpus, False
    whole = len(known) == len(trained.corpora)
    return corpus[np.flatnonzero(fresh)], True if whole else None


def _summary(found: planning.Reached) -> dict[str, Any]:
    """Distances, and what share of the way was closed."""
    ways = {name: getattr(found, name) for name in ("start", "plan", "no_action", "random")}
    mean = {name: float(distance.mean()) for name, distance in ways.items()}
    closed = {
        f"closed_against_{name}": 1 - mean["plan"] / mean[name] if mean[name] else None
        for name in ("no_action", "random")
    }
    return {
        "distance": {
            name: {"mean": mean[name], "median": float(np.median(distance))}
            for name, distance in ways.items()
        },
        **closed,
    }


def _each(found: planning.Reached) -> list[dict[str, Any]]:
    return [
        {
            "trajectory": start.trajectory,
            "step": start.step,
            "start": float(found.start[i]),
            "plan": float(found.plan[i]),
            "no_action": float(found.no_action[i]),
            "random": float(found.random[i]),
        }
        for i, start in enumerate(found.starts)
    ]
