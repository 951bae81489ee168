"""Batches of windows from corpora: deterministic, resumable, with a chosen share of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import index
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_data.batches.arrays import RESIDENT_SHARE, MappedArrays, ResidentArrays, resident_bytes
from lawm_data.batches.batch import Batch
from lawm_data.batches.image_shifts import shifted
from lawm_data.batches.mixture import mix
from lawm_data.batches.sampler import (
    DRAWS,
    LabelUnit,
    Planner,
    SamplingSettings,
    Windows,
    require_same_draws,
)
from lawm_data.batches.windows import Short
from lawm_data.corpus.corpus import Corpus
from lawm_data.system.notebook import facts

MOST_FRAMES = 16
"""Frames of a stack."""


class Loader:
    """An endless source of batches; iterate over it or call ``next``.

    For PyTorch's own ``DataLoader``, and several processes, there is ``TorchWindows``.

    Batch k is a pure function of what the views show, these arguments and k. No action that a mask
    hides has any part in it, and a copy of the corpus without them gives the same batches.
    Corpora are mixed by weight; with a labeled ratio the weights hold among the labeled windows
    and among the unlabeled ones, each over the corpora that have such windows.

    Args:
        corpora: a view, or views with their weights.
        batch_size: B, windows per batch.
        window: T, steps per window; a window has T+1 observations.
        labeled_ratio: share of labeled windows, exact in every batch; they come first. None
            draws windows as they come.
        seed: key of the draws.
        short: trajectories shorter than the window are dropped, padded or an error.
        label_unit: whether all actions of the trajectory, or of the window, make it labeled.
        oversample_ends: see the first and last steps of trajectories about as often as the others.
        random_shift: pixels by which the pictures of a window move at random, all alike (DrQ).
        frame_stack: pictures of so many steps, up to each one, are its observation, one behind the
            other in the channels; before a trajectory's start its first picture is repeated.
        inferred: take inferred actions, of views ``with_labels``, for observed ones.
        device: where the tensors of a batch are: ``cpu``, ``cuda``, ``cuda:N``.
        resident: keep the numbers (not the pixels) in the device's memory. None does so on
            devices other than the CPU when they take at most ``RESIDENT_SHARE`` of what is free.
        share: (r, N) for process r of N, whose ``next`` reads windows r::N of every batch alone.

    Raises:
        ConfigError: an argument is out of range, corpora do not agree, or there is nothing to
            draw.
    """

    def __init__(
        self,
        corpora: Corpus | Sequence[tuple[Corpus, float]],
        batch_size: int,
        window: int,
        *,
        labeled_ratio: float | None = None,
        seed: int = 0,
        short: Short = "pad",
        label_unit: LabelUnit = "trajectory",
        oversample_ends: bool = False,
        random_shift: int = 0,
        frame_stack: int = 1,
        inferred: bool = False,
        device: str | torch.device = "cpu",
        resident: bool | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        settings = SamplingSettings(
            batch_size=index(batch_size),
            window=index(window),
            labeled_ratio=None if labeled_ratio is None else float(labeled_ratio),
            seed=index(seed),
            short=short,
            label_unit=label_unit,
            oversample_ends=bool(oversample_ends),
        )
        self.settings = settings
        """How windows are drawn."""
        self._share, (_, processes) = share, share
        if settings.batch_size % processes:
            what = f"{settings.batch_size} windows cannot be dealt to {processes} processes evenly"
            raise ConfigError(what, "batch_size", f"give a multiple of {processes}")
        self._device = device_of(device)
        self._on_cpu = self._device.type == "cpu"
        mixture = mix([(corpora, 1.0)] if isinstance(corpora, Corpus) else corpora, inferred)
        self._corpora = mixture.corpora
        self._planner = Planner(mixture, settings)
        if not 1 <= index(frame_stack) <= MOST_FRAMES:
            hint = f"give a whole number from 1 to {MOST_FRAMES}"
            raise ConfigError(f"is {frame_stack}", "frame_stack", hint)
        self._mapped = MappedArrays(mixture, window, index(frame_stack))
        if index(random_shift) < 0:
            raise ConfigError(f"{random_shift} is below 0", "random_shift", "give pixels, or 0")
        self._shift = index(random_shift)
        if resident is None and self._device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(self._device)
            resident = resident_bytes(mixture) <= RESIDENT_SHARE * free
        self._arrays: MappedArrays | ResidentArrays = self._mapped
        if resident:
            self._arrays = ResidentArrays(mixture, window, self._device)
        self.step = 0
        """Number of the batch that ``next`` returns."""

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self.settings).items())
        corpora = ", ".join(repr(str(corpus.path)) for corpus in self._corpora)
        return f"Loader({corpora}: {settings}; next batch {self.step:,}, on {self._device})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        settings = self.settings
        ratio = settings.labeled_ratio
        rows = {
            "corpora": ", ".join(str(corpus.path) for corpus in self._corpora),
            "batch": f"{settings.batch_size:,} windows of {settings.window:,} steps",
            "labeled": "as drawn" if ratio is None else f"{settings.num_labeled:,} of each batch",
            "short trajectories": settings.short,
            "seed": str(settings.seed),
            "device": str(self._device),
            "next batch": self.step,
        }
        return facts("Loader", rows)

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        return self.next()

    def next(self) -> Batch:
        """The next batch, or this process's share of it."""
        batch = self._read(self.step, self._share)
        self.step += 1
        return batch

    def batch(self, step: int) -> Batch:
        """Batch number ``step``, all of it, whatever was drawn before."""
        return self._read(step, (0, 1))

    def _read(self, step: int, share: tuple[int, int]) -> Batch:
        first, count = share
        plan = self._planner.plan(step)
        if count > 1:
            plan = plan.rows(slice(first, None, count))
        windows = plan.windows
        state, reward = self._arrays.state(windows)
        batch = Batch(
            observation=state,
            action=self._arrays.action(windows, plan.action_mask),
            action_mask=torch.from_numpy(plan.action_mask),
            reward=reward,
            rewarded=torch.from_numpy(windows.rewarded),
            terminated=torch.from_numpy(plan.terminated),
            valid=torch.from_numpy(plan.valid),
            unseen=torch.from_numpy(plan.unseen),
            labeled=torch.from_numpy(plan.labeled),
            trajectory=torch.from_numpy(windows.local),
            start=torch.from_numpy(windows.start),
            pixels=self._pixels(windows, step, share),
            corpus=torch.from_numpy(windows.corpus),
        )
        return batch if self._on_cpu else _move(batch, self._device)

    def _pixels(self, windows: Windows, step: int, share: tuple[int, int]) -> dict[str, Tensor]:
        """Camera fields by name, perhaps moved."""
        found = self._mapped.pixels(windows)
        if self._shift:
            key = int(self.identity[:32], 16)
            found = {
                name: shifted(images, self._shift, key, step, share)
                for name, images in found.items()
            }
        return {name: torch.from_numpy(images) for name, images in found.items()}

    @property
    def num_labeled(self) -> int | None:
        """Labeled windows in every batch; None where that is left to chance."""
        return self._planner.num_labeled

    @property
    def trajectories(self) -> Int[np.ndarray, " D"]:
        """Places of the trajectories that windows are drawn from, counted through all corpora."""
        return self._planner.sampler.trajectories

    @property
    def identity(self) -> str:
        """Hash of all that decides what is drawn."""
        return self._planner.sampler.identity

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, as plain data."""
        return {"step": self.step, "identity": self.identity, "draws": DRAWS}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another loader of the same data and settings was.

        Raises:
            ConfigError: the state is of other data or settings, or of an earlier version.
        """
        require_same_draws(state, self.identity, "loader state")
        self.step = int(state["step"])


def device_of(name: str | torch.device) -> torch.device:
    """A device by its name.

    Raises:
        ConfigError: this machine does not have it.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"{name} is not available here", "device", "use cpu") from None
    return device


def _move(batch: Batch, device: torch.device) -> Batch:
    """Copy what is not there yet, through pinned memory so that the CPU need not wait."""

    def pin(tensor: Tensor) -> Tensor:
        if tensor.is_cuda:
            return tensor
        # Views are made dense: only dense memory is copied without waiting.
        return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor)

    if device.type == "cuda":
        tensors = {f.name: pin(getattr(batch, f.name)) for f in fields(batch) if f.name != "pixels"}
        pixels = {name: pin(images) for name, images in batch.pixels.items()}
        batch = Batch(**tensors, pixels=pixels)
    return batch.to(device)
