"""Windows for PyTorch's own ``DataLoader``: several processes, the same batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from copy import copy
from operator import index
from typing import Any

import torch
from lawm_schemas import ConfigError
from torch.utils.data import IterableDataset, get_worker_info

from lawm_data.batches.loader import Loader
from lawm_data.batches.sampler import DRAWS, LabelUnit, require_same_draws
from lawm_data.batches.windows import Short
from lawm_data.corpus.corpus import Corpus


class TorchWindows(IterableDataset[dict[str, Any]]):
    """The batches of a ``Loader`` as a dataset for ``torch.utils.data.DataLoader``.

    ``DataLoader(TorchWindows(corpus, 64, 50), batch_size=None, num_workers=4)`` gives dicts of the
    fields of a ``Batch``: batch 0, 1, 2, … of ``Loader(corpus, 64, 50)``, in this order for any
    number of workers. Each worker opens the corpus by itself and makes every n-th batch. Of
    ``world_size`` processes that train together, the one of a ``rank`` gets the batches ``rank``,
    ``rank + world_size``, …, so that all of them together get each batch once.

    Every iteration begins at the same batch, in workers that live on too; ``set_epoch`` and
    ``load_state_dict`` say at which.

    Args:
        corpora: a view, or views with their weights; see ``Loader``.
        batch_size: B, windows per batch.
        window: T, steps per window.
        batches: batches of an iteration, of this rank; None goes on without end.
        rank: number of this process among those that train together.
        world_size: how many these are.
        labeled_ratio: share of labeled windows in every batch; see ``Loader``.
        seed: key of the draws.
        short: what happens to trajectories shorter than the window; see ``Loader``.
        label_unit: whether all actions of the trajectory, or of the window, make it labeled.
        oversample_ends: see the first and last steps of trajectories about as often as the others.
        inferred: take inferred actions, of views ``with_labels``, for observed ones.

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
        batches: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        labeled_ratio: float | None = None,
        seed: int = 0,
        short: Short = "pad",
        label_unit: LabelUnit = "trajectory",
        oversample_ends: bool = False,
        inferred: bool = False,
    ) -> None:
        if batches is not None and index(batches) < 1:
            raise ConfigError(f"{batches} is below 1", "batches", "give 1 or more, or None")
        if not 0 <= index(rank) < index(world_size):
            hint = "count the processes from 0"
            raise ConfigError(f"{rank} is not among {world_size} processes", "rank", hint)
        self._corpora = [(corpora, 1.0)] if isinstance(corpora, Corpus) else list(corpora)
        self._settings: dict[str, Any] = {
            "batch_size": batch_size,
            "window": window,
            "labeled_ratio": labeled_ratio,
            "seed": seed,
            "short": short,
            "label_unit": label_unit,
            "oversample_ends": oversample_ends,
            "inferred": inferred,
        }
        self._batches, self._rank, self._world_size = batches, rank, world_size
        # Numbers of batches count those of this rank. In shared memory, so that workers that
        # live on learn where the next iteration begins.
        self._start = torch.zeros((), dtype=torch.int64).share_memory_()
        self._resumed: tuple[int, int] | None = None
        self._first = self._next = -1
        self._process = os.getpid()
        self._loader: Loader | None = Loader(self._corpora, **self._settings)

    def __repr__(self) -> str:
        paths = ", ".join(repr(str(corpus.path)) for corpus, _ in self._corpora)
        settings = ", ".join(f"{name}={value!r}" for name, value in self._settings.items())
        ours = f"batches={self._batches}, rank={self._rank}, world_size={self._world_size}"
        return f"TorchWindows({paths}: {settings}, {ours})"

    def __len__(self) -> int:
        if self._batches is None:
            raise TypeError("an endless dataset has no length; give batches=…")
        return self._batches

    def __iter__(self) -> Iterator[dict[str, Any]]:
        loader = self._opened()
        worker, workers = _place()
        first, step = self._resumed or (int(self._start), int(self._start) + worker)
        self._first, self._next, self._resumed = first, step, None
        end = None if self._batches is None else (first // self._batches + 1) * self._batches
        return self._made(loader, step, end, workers)

    def set_epoch(self, epoch: int) -> None:
        """Let the next iteration be number ``epoch``, counted from 0: other batches.

        Raises:
            ConfigError: the dataset is endless.
        """
        if self._batches is None:
            what, hint = "an endless dataset has no epochs", "give TorchWindows batches=…"
            raise ConfigError(what, "set_epoch", hint)
        self._start.fill_(epoch * self._batches)

    def state_dict(self, taken: int | None = None) -> dict[str, Any]:
        """Where the dataset is, as plain data.

        Args:
            taken: batches that were taken from this iteration. None counts those that this process
                has made, which is right without workers and in torchdata's
                ``StatefulDataLoader``, which asks each worker. Workers of a plain ``DataLoader``
                make batches ahead, so there the training loop has to count.

        Raises:
            ConfigError: this process has made none, and ``taken`` does not say how many.
        """
        identity = self._opened().identity
        worker, workers = _place()
        start, step = self._first, self._next
        if taken is not None:
            start = int(self._start)
            step = start + index(taken)
        elif self._next < 0 and workers == 1 and get_worker_info() is None:
            what = "batches that workers made were not counted here"
            raise ConfigError(what, "state_dict", "give the number of batches taken: taken=…")
        elif self._next < 0:
            start = int(self._start)
            step = start + worker
        return {
            "start": start,
            "step": step,
            "workers": workers,
            "world_size": self._world_size,
            "identity": identity,
            "draws": DRAWS,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin the next iteration where another dataset of the same data and settings was.

        Raises:
            ConfigError: the state is of other data or settings, or of another number of processes.
        """
        require_same_draws(state, self._opened().identity, "dataset state")
        _, workers = _place()
        for name, here in (("workers", workers), ("world_size", self._world_size)):
            if state[name] != here:
                raise ConfigError(
                    f"it was saved with {name} {state[name]}, not {here}",
                    "dataset state",
                    f"resume with {name} {state[name]}",
                )
        if get_worker_info() is None:
            self._start.fill_(state["step"])
        else:
            self._resumed = (state["start"], state["step"])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loader": None}

    def _made(
        self, loader: Loader, step: int, end: int | None, stride: int
    ) -> Iterator[dict[str, Any]]:
        while end is None or step < end:
            batch = loader.batch(step * self._world_size + self._rank)
            step = self._next = step + stride
            yield batch.as_dict()

    def _opened(self) -> Loader:
        """The loader of this process, which shares no open file with another one."""
        if self._loader is None or self._process != os.getpid():
            corpora = [(copy(corpus), weight) for corpus, weight in self._corpora]  # opened again
            self._loader, self._process = Loader(corpora, **self._settings), os.getpid()
            self._first, self._next, self._resumed = -1, -1, None
        return self._loader


def _place() -> tuple[int, int]:
    """Number of this worker, and how many there are; one where there are none."""
    info = get_worker_info()
    return (0, 1) if info is None else (info.id, info.num_workers)
