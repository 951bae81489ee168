"""One seed for everything: independent streams derived from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch


class Seeds(NamedTuple):
    """Seeds in [0, 2³¹), one per use, so that adding draws to one use disturbs no other."""

    weights: int
    """Initial weights."""
    loader: int
    """Which windows are drawn."""
    updates: int
    """The generator handed to ``Algorithm.update``."""
    ambient: int
    """Torch's global generator, for what cannot be told a generator (dropout)."""
    evaluation: int
    """First environment reset of an evaluation."""


def derive(seed: int) -> Seeds:
    """The streams of one seed."""
    streams = np.random.SeedSequence(seed).spawn(len(Seeds._fields))
    return Seeds(*(int(stream.generate_state(1)[0] >> 1) for stream in streams))


@contextmanager
def ambient_randomness(device: torch.device) -> Iterator[None]:
    """Torch's global generators may be seeded inside and are put back afterwards."""
    devices: Sequence[torch.device] = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def thread_limit(threads: int) -> Iterator[None]:
    """Torch uses this many CPU threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def generator_states(generator: torch.Generator) -> dict[str, torch.Tensor]:
    """State of a generator and of the ambient ones of its device."""
    states = {"updates": generator.get_state(), "ambient": torch.get_rng_state()}
    if generator.device.type == "cuda":
        states["ambient_cuda"] = torch.cuda.get_rng_state(generator.device)
    return states


def restore_generators(generator: torch.Generator, states: dict[str, torch.Tensor]) -> None:
    """Undo what was drawn since ``generator_states``."""
    generator.set_state(states["updates"])
    torch.set_rng_state(states["ambient"])
    if generator.device.type == "cuda":
        torch.cuda.set_rng_state(states["ambient_cuda"], generator.device)
