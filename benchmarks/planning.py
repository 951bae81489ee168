r"""How near plans come: true and latent actions, open and closed loop, and planning for rewards.

Trains models of the sizes of the study ``constraints`` on its corpora, seed after seed, and plans
in each towards goals of held-out trajectories. ``--observe`` takes features instead of states, two
at a time, since one shows no speed; distances are the state's all the same. What is done is kept
in ``--out`` and not done again, and the result has whatever is there. ``--policies`` names runs
whose learned policies are compared with CEM in their models.

    lawm-data build constraints --out corpora/constraints
    python benchmarks/planning.py corpora/constraints --out runs/planning \
        --results benchmarks/results/planning.json
    lawm-data build relatives-features --out corpora/relatives-features
    python benchmarks/planning.py corpora/relatives-features --corpus reacher-easy-clean \
        --held reacher-easy-clean-whole --observe features:ae64 --out runs/planning-features \
        --results benchmarks/results/planning-features.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lawm_data import open_corpus
from lawm_data.corpus.mask import make_mask, save_mask
from lawm_data.system.atomic import write_file
from lawm_models import Run, configure, load_run, reach_goals, train
from lawm_models.training.versions import installed_versions

FRACTION = 0.05
"""Of labels; other trajectories for each seed."""
GAUSSIAN = {"name": "gaussian", "beta": 0.1}
MODELS: dict[str, dict[str, Any]] = {
    # settings of the model; labels are of the mask, but for those of acwm-all
    "acwm-all": {},
    "acwm-5pct": {},
    "gaussian": {"constraint": GAUSSIAN},
    "sparse": {"constraint": {"name": "sparse", "l1": 0.02}},
    "vq": {"constraint": {"name": "vq", "codes": 64}},
    "gaussian-labels": {"constraint": GAUSSIAN, "labels": 1},
}
STEPS = {"steps.model": 800, "steps.controller": 400}
LABELED = {"gaussian-labels": 0.5}
"""Share of labeled windows in a batch."""
WAYS = (("usual", False), ("blind_controller", False), ("usual", True), ("latents", False))
"""What is searched, and whether the loop is closed."""
GOALS, HORIZON, RADIUS = 30, 6, 0.25
"""RADIUS, in standard deviations: a plan that ends within it counts as a success."""
EPISODES = 5


class Row(NamedTuple):
    """A model, and how it is planned in."""

    model: str
    seed: int
    space: str
    closed: bool

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.model}-{self.seed}-{self.space}-{'closed' if self.closed else 'open'}"


def main() -> None:
    """Parse arguments, do what is missing, write what is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpora", type=Path, help="folder of the corpora")
    parser.add_argument("--corpus", default="reacher-easy", help="what is learned from")
    parser.add_argument("--held", default="reacher-easy-held", help="where goals are from")
    parser.add_argument("--observe", default="state")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and rows")
    parser.add_argument("--policies", nargs="*", default=(), help="runs, as of `lawm demo`")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    asked = parser.parse_args()
    command = shlex.join(["python", *sys.argv])
    rows: dict[Row, dict[str, Any]] = {}
    rewards: dict[str, dict[str, Any]] = {}

    def write() -> None:
        result = {
            "command": command,
            "versions": installed_versions(),
            "table": table(rows),
            "goals": {row.name: found for row, found in rows.items()},
            "rewards": rewards,
        }
        asked.results.write_text(json.dumps(result, indent=1) + "\n")

    for row in every_row([int(seed) for seed in asked.seeds.split(",")]):
        rows[row] = once(asked.out / f"{row.name}.json", plan, asked, row)
        write()
    for path in asked.policies:
        for planner in (None, "cem"):
            key = f"{Path(path).name}-{planner or 'policy'}"
            rewards[key] = once(asked.out / f"{key}.json", evaluate, path, planner)
            write()


def every_row(seeds: list[int]) -> Iterator[Row]:
    """In this order they are made."""
    for space, closed in WAYS:
        for seed in seeds:
            for model in MODELS:
                if not model.startswith("acwm") or space == "usual":
                    yield Row(model, seed, space, closed)


def once(path: Path, make: Callable[..., dict[str, Any]], *given: Any) -> dict[str, Any]:
    """What an earlier call has found, or what is found now."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(make(*given)).encode())
    return json.loads(path.read_bytes())


def model(asked: argparse.Namespace, row: Row) -> Path:
    """The run of a row, trained if it is not."""
    corpus, out = asked.corpora / asked.corpus, asked.out / f"{row.model}-{row.seed}"
    whole, mask = open_corpus(corpus), f"5pct-seed{row.seed}"
    if mask not in whole.masks():
        save_mask(whole, make_mask(whole, FRACTION, seed=row.seed, name=mask))
    algorithm = "acwm" if row.model.startswith("acwm") else "lam"
    settings: dict[str, Any] = {"algorithm.settings.model": dict(MODELS[row.model]), **STEPS}
    if asked.observe != "state":
        settings["observe"] = asked.observe
        settings["algorithm.settings.model"]["context"] = 2
    if algorithm == "acwm":
        del settings["steps.controller"]
    if row.model in LABELED:
        settings["labeled_ratio"] = LABELED[row.model]
    config = configure(
        str(corpus) if row.model == "acwm-all" else f"{corpus}@{mask}",
        algorithm=algorithm,
        seed=row.seed,
        settings=settings,
    )
    return Path(train(config, out).path)


def plan(asked: argparse.Namespace, row: Row) -> dict[str, Any]:
    """What ``lawm plan --json`` prints, with a share of successes in place of every goal."""
    found = reach_goals(
        model(asked, row),
        asked.corpora / asked.held,
        goals=GOALS,
        horizon=HORIZON,
        closed_loop=row.closed,
        settings={} if row.space == "usual" else {"space": row.space},
    )
    each = found.pop("each")
    success = {
        way: statistics.fmean(goal[way] <= RADIUS for goal in each) for way in found["distance"]
    }
    left_out = ("film", "versions", "again")
    return {**{k: v for k, v in found.items() if k not in left_out}, "success": success}


def table(rows: dict[Row, dict[str, Any]]) -> list[dict[str, Any]]:
    """Means and sample standard deviations over seeds.

    ``gain`` is (D_none − D) / (D_none − D_all): of the way that planning with all true actions
    closes, in the same loop and with the same seed, the share that is closed.
    """
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        groups.setdefault(row._replace(seed=0), []).append(row)
    found = []
    for group, members in groups.items():
        closed, gains, success = [], [], []
        for row in members:
            distance, full = rows[row]["distance"], row._replace(model="acwm-all", space="usual")
            none, left = (distance[way]["mean"] for way in ("no_action", "plan"))
            closed.append(1 - left / none)
            success.append(rows[row]["success"]["plan"])
            if full in rows:
                gains.append((none - left) / (none - rows[full]["distance"]["plan"]["mean"]))
        figures = {"closed_against_no_action": closed, "gain": gains, "success": success}
        about = {"model": group.model, "space": rows[members[0]]["planner"]["space"]}
        found.append(
            {
                **about,
                "closed_loop": group.closed,
                "seeds": [row.seed for row in members],
                **{name: figure(values) for name, values in figures.items()},
            }
        )
    return found


def figure(values: list[float]) -> dict[str, float | None]:
    """Mean and sample standard deviation; none of one."""
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }


def evaluate(path: str, planner: str | None) -> dict[str, Any]:
    """Returns of the learned policy of a run, or of planning in its model."""
    run: Run = load_run(path)
    found = run.evaluate(episodes=EPISODES, planner=planner)
    return {"run": path, **found.model_dump(mode="json")}


if __name__ == "__main__":
    main()
