"""Does `flam` find factors? Independent reachers side by side, where they are known exactly.

K trajectories of a corpus become one, whose observations and actions are those of all K. `flam`
with K slots and `lam` learn from these, with latent actions of the same width. On trajectories of
another corpus, joined in the same way, one part of a latent action is replaced by that of another
transition: whom does it move, and how much the others?

Trains what is not finished (the same command goes on where it was stopped).

    lawm-data build constraints
    python benchmarks/factors.py corpora/constraints/reacher-easy \
        --held corpora/constraints/reacher-easy-held --out runs/factors \
        --results benchmarks/results/factors.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import Provenance, Role
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.system.atomic import write_file
from lawm_models import Run, configure, train
from lawm_models.networks.latent_dynamics import TransitionDynamics
from lawm_models.probes.evidence import SMALLEST
from lawm_models.probes.regression import explained, linear
from lawm_models.probes.subjects import open_latent
from lawm_models.probes.transitions import read, see

PART, UNITS, BATCH = 2, 64, 32
"""Numbers of a latent action for each reacher, as many as move it; width of the networks; windows
in a batch."""
BETA = 0.03
"""Weight of the KL where there is one reacher. The error is a mean over the numbers of all K, of
which those of one are a K-th, and the KL a sum: for the same bargain the weight is divided by K."""
MODELS = ("lam", "flam")
LABELED = 6
"""Trajectories from which actions are read off latent ones."""


def side_by_side(source: Corpus, count: int, out: Path) -> Corpus:
    """A corpus of which each trajectory is ``count`` of another; as many as those have.

    The n-th is made of n, n + N/K, n + 2N/K, …: each is of every factor once.

    Args:
        source: trajectories of one length, in which nothing is hidden.
        count: K.
        out: where it is written, unless it is there.
    """
    if out.exists():
        return open_corpus(out)
    state = [spec for spec in source.manifest.observations if spec.role is Role.state]
    action = source.manifest.action
    # factor by factor, so that the numbers of one are neighbours
    observations = [
        spec.model_copy(update={"name": f"{spec.name}{k}"}) for k in range(count) for spec in state
    ]
    assert action.low is not None
    assert action.high is not None
    bounds = {"low": count * action.low, "high": count * action.high}
    joined = action.model_copy(update={"shape": (count * action.size,), **bounds})
    with CorpusWriter.create(out, observations=observations, action=joined) as writer:
        for n in range(len(source)):
            parts = [source[(n + k * len(source) // count) % len(source)] for k in range(count)]
            writer.add(
                {
                    f"{spec.name}{k}": part.observations[spec.name]
                    for k, part in enumerate(parts)
                    for spec in state
                },
                rewards=np.sum([part.rewards for part in parts], 0),
                actions=np.concatenate([np.asarray(part.actions) for part in parts], 1),
                provenance=Provenance(source="factors"),
                truncated=True,
            )
    return open_corpus(out)


def trained(corpus: Path, algorithm: str, count: int, seed: int, steps: int, out: Path) -> Run:
    """A run, unless it is there already."""
    settings: dict[str, Any] = {
        "steps.model": steps,
        "steps.controller": 0,
        "batch_size": BATCH,
        "algorithm.settings.model.units": UNITS,
        "algorithm.settings.model.latent": count * PART,
        "algorithm.settings.model.constraint": {"name": "gaussian", "beta": BETA / count},
    }
    if algorithm == "flam":
        settings["algorithm.settings.model.slots"] = count
    config = configure(str(corpus), algorithm=algorithm, seed=seed, settings=settings)
    return train(config, out)


def judge(run: Path, fit: Corpus, held: Corpus, count: int) -> dict[str, Any]:
    """How well a run foresees held-out trajectories, and what its parts are.

    Args:
        run: with a latent action of K parts side by side.
        fit: what it has learned from.
        held: what it has not.
        count: K.
    """
    dynamics = open_latent(run).dynamics
    assert isinstance(dynamics, TransitionDynamics)
    reach = dynamics.horizon, dynamics.context
    taught = read(fit, np.arange(LABELED), (), *reach)
    asked = read(held, np.arange(len(held)), (), *reach)
    known, seen = (see(dynamics, each.observations, each.transitions) for each in (taught, asked))
    before, after, action = (asked.transitions[i] for i in (2, 3, 4))
    unit = (after - before).square().mean(0).sqrt()
    predicted = dynamics.predict(seen.state, seen.latent)
    errors = {
        name: float(((found - after) / unit).square().mean())  # of no change it is 1
        for name, found in (
            ("error", predicted),
            ("state_only_error", dynamics.without_action(seen.state)),
        )
    }
    others = torch.randperm(len(after), generator=torch.Generator().manual_seed(0))
    moved, told = [], []
    for k in range(count):
        part = slice(k * PART, (k + 1) * PART)
        mixed = seen.latent.clone()
        mixed[:, part] = seen.latent[others, part]
        change = (dynamics.predict(seen.state, mixed) - predicted) / unit
        moved.append(change.unflatten(-1, (count, -1)).square().mean((0, 2)))
        heard = (known.latent[:, part], taught.transitions.action, seen.latent[:, part])
        each = zip(*(x.chunk(count, -1) for x in (linear(*heard), action)), strict=True)
        told.append(torch.tensor([explained(*pair) for pair in each]))
    return {**errors, **found_of(torch.stack(moved), torch.stack(told))}


def found_of(moved: Float[Tensor, "K K"], told: Float[Tensor, "K K"]) -> dict[str, Any]:
    """What K parts are to K factors, each part assigned to another factor.

    Args:
        moved: mean squared change of each factor, when a part is replaced.
        told: R² of each factor's action from a part.
    """
    parts, factors = linear_sum_assignment(moved.numpy(), maximize=True)
    own = moved[parts, factors]
    rest = (moved.sum(1) - own) / (len(moved) - 1)
    spill = (rest / own.clamp(min=SMALLEST)).sqrt()
    best = told[linear_sum_assignment(told.numpy(), maximize=True)]
    return {
        # of all change, what is of the factor that the part is assigned to: 1/K by chance
        "matched": float(own.sum() / moved.sum().clamp(min=SMALLEST)),
        # root mean square change of another factor over that of the own one
        "spill": float(spill.mean()),
        "largest_spill": float(spill.max()),
        # parts that move less than a tenth of what the most effective one does
        "idle": int((moved.sum(1) < 0.01 * moved.sum(1).max()).sum()),
        "action_matched": float(best.mean()),
        "action_elsewhere": float((told.sum() - best.sum()) / (told.numel() - len(told))),
        "moved": moved.tolist(),
        "told": told.tolist(),
    }


def main() -> None:
    """Parse arguments, train what is missing and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", type=Path, help="folder of a corpus; its actions are not hidden")
    parser.add_argument("--held", type=Path, required=True, help="another, of the same")
    parser.add_argument("--counts", default="2,4,8", help="K, with commas")
    parser.add_argument("--seeds", default="0,1,2", help="with commas")
    parser.add_argument("--steps", type=int, default=400, help="gradient steps")
    parser.add_argument("--out", type=Path, required=True, help="folder of corpora and runs")
    parser.add_argument("--results", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    rows, versions = [], {}
    for seed in map(int, options.seeds.split(",")):
        for count in map(int, options.counts.split(",")):
            fit, held = (
                side_by_side(open_corpus(path), count, options.out / f"{name}-{count}")
                for name, path in (("fit", options.corpus), ("held", options.held))
            )
            for name in MODELS:
                out = options.out / f"{name}-{count}-{seed}"
                run = trained(fit.path, name, count, seed, options.steps, out)
                versions = run.record.versions
                row = {"count": count, "model": name, "seed": seed}
                rows.append({**row, **judge(run.path, fit, held, count)})
                print(json.dumps({k: v for k, v in rows[-1].items() if not isinstance(v, list)}))
                result = {
                    "command": shlex.join(["python", *sys.argv]),
                    "versions": versions,
                    "steps": options.steps,
                    "rows": rows,
                }
                write_file(options.results, (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
