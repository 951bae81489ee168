r"""Operations of a gradient step at the sizes of a preset, counted and not timed.

Floating-point operations in matrix products, forward and backward, as torch counts them, of every
stage of every algorithm on one corpus through a mask: the mean of two steps, for TD3+BC's policy
learns in every other one. And what a whole run of the preset's steps comes to.

    python benchmarks/operations.py corpora/claim/walker-walk-medium@5pct \
        --out benchmarks/results/operations.json
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from lawm_schemas import ExperimentConfig
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lawm_models.algorithms import ALGORITHMS
from lawm_models.networks.world_model import WorldModel
from lawm_models.training import presets
from lawm_models.training.experiment import build, open_sources, resolve
from lawm_models.training.versions import installed_versions

IN_PLACE = {torch.ops.aten.addmm_: torch.ops.aten.addmm}
"""Operations that torch's registry lacks, and the ones that take as much."""


class Counter(TorchDispatchMode):
    """Adds up what torch says an operation takes; its own counter does not bear ``no_grad``."""

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Count and do it."""
        out = func(*args, **(kwargs or {}))
        counted = IN_PLACE.get(func._overloadpacket, func._overloadpacket)
        flop = flop_registry.get(counted)
        if flop is not None:
            self.flop += flop(*args, **(kwargs or {}), out_val=out)
        return out


def counted(name: str, preset: str, corpus: str) -> dict[str, Any]:
    """GFLOP of a step by stage, and PFLOP of a run."""
    path, _, mask = corpus.partition("@")
    data = presets.load(preset, name) | {"corpora": [{"path": path, "mask": mask or None}]}
    config = resolve(ExperimentConfig.model_validate(data))
    sources = open_sources(config)
    algorithm = build(config, sources.record, torch.device("cpu"))
    assert isinstance(algorithm, torch.nn.Module)
    for part in algorithm.modules():
        if isinstance(part, WorldModel):  # torch counts what it computes itself
            part.config = part.config.model_copy(update={"scan": "fused"})
    algorithm.prepare([view for view, _ in sources.corpora])
    generator = torch.Generator().manual_seed(0)
    gflop = {}
    for stage in algorithm.stages:
        algorithm.begin(stage)
        with Counter() as counter:
            for _ in range(2):
                algorithm.update(stage, sources.loaders[stage].next(), generator)
        gflop[stage] = counter.flop / 2e9
    whole = sum(gflop[stage] * steps for stage, steps in config.steps.items()) / 1e6
    return {
        "steps": config.steps,
        "gflop_a_step": {stage: round(value, 3) for stage, value in gflop.items()},
        "pflop_a_run": round(whole, 2),
    }


def main() -> None:
    """Count, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpus", metavar="PATH[@MASK]")
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    result = {
        "benchmark": "operations",
        "command": shlex.join(["python", *sys.argv]),
        "versions": installed_versions(),
        "preset": given.preset,
        "results": {name: counted(name, given.preset, given.corpus) for name in ALGORITHMS.names()},
    }
    text = json.dumps(result, indent=1) + "\n"
    print(text, end="")
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
