"""When is a world model limited by its data? Its error on held-out trajectories against steps.

A line is one world model without any policy: C-LAP's or LAWM's, with the actions of some
trajectories. From states that it has filtered, it foresees 1 and 10 steps of trajectories that it
was not trained on: by the true actions, and by those of another trajectory, which tells whether
actions are used. Errors are squared, over the variance of the observations (as the model sees
them). Lines that are in the file already are not made again.

    lawm-data build expert
    lawm-data split corpora/expert/walker-walk/all-3 fit=0.9 held=0.1 --out corpora/walker
    python benchmarks/error_curve.py corpora/walker/fit corpora/walker/held \
        --out benchmarks/results/error_curve.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from model_error import Episodes, read

from lawm_data import make_mask, open_corpus, save_mask
from lawm_data.batches.loader import device_of
from lawm_data.system.atomic import write_file
from lawm_models import configure
from lawm_models.algorithms.lawm import Algorithm
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.training import seeding
from lawm_models.training.experiment import build, open_sources, resolve
from lawm_models.training.versions import installed_versions

AHEAD = (1, 10)
"""Steps that are foreseen."""


def curve(
    corpus: str, algorithm: str, seed: int, steps: int, every: int, held: Episodes
) -> Iterator[dict[str, Any]]:
    """Train a world model and tell its errors every so many steps."""
    settings = {"steps.model": steps, "steps.agent": 0}
    config = resolve(configure(corpus, algorithm=algorithm, seed=seed, settings=settings))
    sources = open_sources(config)
    trained = build(config, sources.record, device_of("cpu"))
    assert isinstance(trained, Algorithm)
    trained.prepare([view for view, _ in sources.corpora])
    trained.begin("model")
    generator = torch.Generator().manual_seed(seeding.derive(seed).updates)
    for step in range(1, steps + 1):
        trained.update("model", sources.loaders["model"].next(), generator)
        if step % every == 0:
            yield {"step": step, **errors(trained, held)}


@torch.no_grad()
def errors(trained: Algorithm, held: Episodes) -> dict[str, float]:
    """How wrong a world model is about trajectories that it has not seen."""
    world = trained.model.world
    action = trained.scale.to_model(held.action)
    target = world.encoder.target(Observation(held.observation))
    variance = target.flatten(0, 1).var(0)
    known = world.rssm.project(world.encoder(Observation(held.observation)))
    state = world.rssm.initial(len(action), action)
    filtered: list[State] = []
    for t in range(action.shape[1]):
        state = State(state.deter, world.rssm.posterior(state.deter, known[:, t]).mean)
        filtered.append(state)
        state = State(world.rssm.transition(state, action[:, t]), state.stoch)
    found = {}
    for name, taken in (("error", action), ("shuffled", action.roll(1, 0))):
        for ahead in AHEAD:
            last = action.shape[1] - ahead
            states = State(
                *(torch.stack(part, 1)[:, : last + 1] for part in zip(*filtered, strict=True))
            )
            for k in range(ahead):
                deter = world.rssm.transition(states, taken[:, k : k + last + 1])
                states = State(deter, world.rssm.prior(deter).mean)
            off = world.observation_head(states.feature) - target[:, ahead:]
            found[f"{name}_{ahead}"] = round((off.square() / variance).mean().item(), 5)
    return found


def main() -> None:
    """Train what is not there yet, one line after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("fit", type=Path, help="corpus that is learned from")
    parser.add_argument("held", type=Path, help="corpus that errors are told of")
    parser.add_argument("--labels", type=int, nargs="+", default=[20, 50], help="and all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--every", type=int, default=1_000)
    parser.add_argument("--out", type=Path, required=True, help="JSON file")
    arguments = parser.parse_args()
    whole = open_corpus(arguments.fit)
    held = read(open_corpus(arguments.held))
    result: dict[str, Any] = {
        "command": shlex.join(["python", *sys.argv]),
        "versions": installed_versions(),
        "trajectories": len(whole),
        "held": len(held.reward),
        "lines": json.loads(arguments.out.read_text())["lines"] if arguments.out.exists() else [],
    }
    made = {(line["algorithm"], line["labels"], line["seed"]) for line in result["lines"]}
    asked = [(name, n) for n in arguments.labels for name in ("clap", "lawm")]
    for seed in arguments.seeds:
        for algorithm, labels in (*asked, ("clap", len(whole))):
            if (algorithm, labels, seed) in made:
                continue
            mask = f"{labels}-{seed}"
            if mask not in whole.masks():
                share = labels / len(whole)
                save_mask(whole, make_mask(whole, share, seed=seed, name=mask, stratify="return"))
            corpus, began, points = f"{arguments.fit}@{mask}", time.process_time(), []
            with seeding.thread_limit(1):
                for point in curve(corpus, algorithm, seed, arguments.steps, arguments.every, held):
                    points.append(point)
                    print(algorithm, labels, seed, point, flush=True)
            line = {"algorithm": algorithm, "labels": labels, "seed": seed, "points": points}
            result["lines"].append({**line, "seconds": round(time.process_time() - began)})
            write_file(arguments.out, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
