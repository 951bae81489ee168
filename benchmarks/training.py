"""How fast training steps run on the CPU: shares of the matmul rate, and ratios in one run.

At two sizes, ``paper`` (Table 2, 64 × 50) and ``small`` (deter 128, 16 × 32), 25 % of the rows
labeled, one gradient step each (loss, backward, clip, Adam) of:

- ``lawm``: the library's world-model step, Eq. 9 + 11;
- ``labels_only``: the same code base without latent actions in the recurrence (a C-LAP-like
  model: all actions known, everything but GRU and posterior outside of the scan);
- ``plain_lawm``, ``plain_labels_only``: the same models written straightforwardly: nn.GRUCell,
  every density evaluated step by step on concatenated inputs, autograd, all rows, default Adam;
- ``dreamerv3_torch`` (with ``--dreamerv3-torch``, a clone of NM512's repository, which needs
  ``pip install tensorboard``): its world model, labels alone, at the same sizes;
- ``policy``: the library's policy step, model frozen, 256 start states;
- ``policy_unfrozen``: the same with gradients for the model's weights too;
- ``policy_all_states``: the model frozen, dreams from all states;
- ``lawm_stack``, ``policy_stack``: both steps of five models at once.

``share`` is the work in matrix products over time and over the rate of a 1024 × 1024 fp32 product,
measured in every round. Rounds are interleaved; times are process CPU time (wall time with more
than one thread), shares and ratios are medians over rounds.

    python benchmarks/training.py --out benchmarks/results/training.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from training_ways import (
    ACTION,
    ARRAYS,
    OBSERVATION,
    Step,
    dreamerv3_torch_step,
    labels_only_step,
    plain_step,
    policy_step,
    stack_step,
)

from lawm_data.batches.batch import Batch
from lawm_models.algorithms.lawm import Algorithm, Config
from lawm_models.networks.encoders import vectors
from lawm_models.networks.latent_action_model import LatentActionModel
from lawm_models.networks.rssm import RSSM

LABELED = 0.25
STACK = 5
"""Models of a stack."""
PRODUCTS = 16
"""Square products per timing: about as long as the steps, so that noise hits both alike."""
PACKAGES = ("lawm", "torch", "numpy")
SMALL = {
    "model": {
        "rssm": {"deter": 128, "stoch": 32, "hidden": 128},
        "embed": 128,
        "units": 128,
        "latent_action": {"units": 128},
    },
    "agent": {"start_states": 256},
}
SIZES = {"paper": (Config(), 64, 50), "small": (Config.model_validate(SMALL), 16, 32)}


def make_batch(size: int, steps: int) -> Batch:
    """Windows of noise, the first quarter of them labeled."""
    labeled = torch.arange(size) < size * LABELED
    mask = labeled[:, None].expand(size, steps)
    return Batch(
        observation=torch.randn(size, steps + 1, OBSERVATION),
        action=(torch.rand(size, steps, ACTION) * 2 - 1) * mask[..., None],
        action_mask=mask,
        reward=torch.rand(size, steps),
        rewarded=torch.ones(size, dtype=torch.bool),
        terminated=torch.zeros(size, steps, dtype=torch.bool),
        valid=torch.ones(size, steps, dtype=torch.bool),
        unseen=torch.zeros_like(torch.ones(size, steps, dtype=torch.bool)),
        labeled=labeled,
        trajectory=torch.arange(size),
        start=torch.zeros(size, dtype=torch.int64),
    )


def macs(*modules: nn.Module) -> int:
    """Multiply-accumulates of one pass of a row through modules: their Linear weights."""
    linears = (m for module in modules for m in module.modules() if isinstance(m, nn.Linear))
    return sum(linear.weight.numel() for linear in linears)


def model_flops(model: LatentActionModel, batch: Batch) -> int:
    """FLOPs in matrix products of one ``lawm`` step.

    A Linear costs 2 FLOPs per weight and token forward, and twice that backward (gradients of its
    input and of its weight): 6 × MACs × tokens. The encoder's first layer has no input gradient.
    """
    size, steps = batch.reward.shape
    world, rssm = model.world, model.world.rssm
    encoder, decoder = world.encoder, world.observation_head
    assert isinstance(encoder, vectors.Encoder)
    assert isinstance(decoder, vectors.Decoder)
    assert isinstance(rssm, RSSM)
    states, transitions, known = size * (steps + 1), size * steps, int(batch.labeled.sum()) * steps
    per_state = macs(encoder, rssm.posterior_in, rssm.posterior_out, rssm.prior_net)
    per_state += macs(decoder)
    per_transition = macs(model.inverse, model.decoder, rssm.input, rssm.cell, world.reward_head)
    per_known = macs(model.posterior, model.decoder)
    total = 6 * (per_state * states + per_transition * transitions + per_known * known)
    return total - 2 * macs(encoder.hidden[0]) * states


def matmul() -> Step:
    """Square products; their rate is what shares refer to."""
    a, b, out = (torch.randn(1024, 1024) for _ in range(3))

    def run() -> None:
        for _ in range(PRODUCTS):
            torch.mm(a, b, out=out)

    return run


def ways_of(name: str, config: Config, batch: Batch, peer: Path | None) -> dict[str, Step]:
    """Every step at one size; policies at the small size alone, for they cost a lot."""
    generator = torch.Generator().manual_seed(0)
    lawm = Algorithm(config, ARRAYS)
    ways = {
        "matmul": matmul(),
        "lawm": lambda: lawm.update("model", batch, generator),
        "labels_only": labels_only_step(Algorithm(config, ARRAYS), batch),
        "plain_lawm": plain_step(config, batch, latent=True),
        "plain_labels_only": plain_step(config, batch, latent=False),
    }
    if peer is not None:
        ways["dreamerv3_torch"] = dreamerv3_torch_step(peer, config, batch)
    if name == "small":
        starts = config.agent.start_states
        ways["policy"] = policy_step(Algorithm(config, ARRAYS), batch, starts, frozen=True)
        ways["policy_unfrozen"] = policy_step(
            Algorithm(config, ARRAYS), batch, starts, frozen=False
        )
        ways["policy_all_states"] = policy_step(Algorithm(config, ARRAYS), batch, 0, frozen=True)
        batches = [batch] * STACK
        ways["lawm_stack"] = stack_step(config, batches, "model")
        ways["policy_stack"] = stack_step(config, batches, "agent")
    return ways


def measure(ways: dict[str, Step], rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds per call of every way, interleaved, in every round."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(-1, rounds):  # the first one warms up
        order = list(ways)
        first = round_ % len(order)
        for name in order[first:] + order[:first]:
            began = clock()
            for _ in range(repeats):
                ways[name]()
            if round_ >= 0:
                times[name].append((clock() - began) / repeats)
    return times


RATIOS = (
    ("lawm", "labels_only"),
    ("plain_lawm", "lawm"),
    ("plain_labels_only", "labels_only"),
    ("dreamerv3_torch", "lawm"),
    ("dreamerv3_torch", "labels_only"),
    ("policy_unfrozen", "policy"),
    ("policy_all_states", "policy"),
    ("lawm_stack", "lawm"),
    ("policy_stack", "policy"),
)


def report(name: str, rounds: int, repeats: int, peer: Path | None) -> dict[str, Any]:
    """Everything about one size."""
    config, size, steps = SIZES[name]
    torch.manual_seed(0)
    batch = make_batch(size, steps)
    times = measure(ways_of(name, config, batch, peer), rounds, repeats)
    flops = model_flops(Algorithm(config, ARRAYS).model, batch)
    rates = [PRODUCTS * 2 * 1024**3 / seconds for seconds in times["matmul"]]
    shares = [flops / t / rate for t, rate in zip(times["lawm"], rates, strict=True)]
    ratios = {
        f"{a}/{b}": statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))
        for a, b in RATIOS
        if a in times
    }
    return {
        "size": name,
        "batch": [size, steps],
        "milliseconds": {
            n: round(statistics.median(t) * 1e3, 2) for n, t in times.items() if n != "matmul"
        },
        "matmul_gflops": round(statistics.median(rates) / 1e9, 1),
        "lawm_gflop": round(flops / 1e9, 3),
        "lawm_share_of_matmul_rate": round(statistics.median(shares), 3),
        "ratios": {n: round(ratio, 3) for n, ratio in ratios.items()},
    }


def main() -> None:
    """Measure and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5, help="steps a round at the small size")
    parser.add_argument("--dreamerv3-torch", type=Path, help="clone of NM512/dreamerv3-torch")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    results = []
    for name in args.sizes:
        results.append(
            report(name, args.rounds, args.repeats if name == "small" else 1, args.dreamerv3_torch)
        )
        print(json.dumps(results[-1]), flush=True)
    document = {
        "benchmark": "training",
        "command": f"python {' '.join(sys.argv)}",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "machine": {
            "platform": platform.platform(),
            "cpus": os.cpu_count(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "load": round(os.getloadavg()[0], 2),
        },
        "threads": args.threads,
        "rounds": args.rounds,
        "results": results,
    }
    if args.out:
        args.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
