"""Processes that train one run together: who they are, and what they have to agree on.

``torchrun`` starts them, each with the same command. The first one alone writes and speaks.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist
from lawm_schemas import ConfigError, LawmError

from lawm_data.batches.batch import Batch
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.networks.data_parallel import REFUSED, Share, reaching, share
from lawm_models.training.run_folder import first_difference

PATIENCE = timedelta(days=1)
"""How long processes wait for each other, as while the first one evaluates; it ends sooner when one
of them has ended."""


class Processes(NamedTuple):
    """This process, among those that train a run together."""

    rank: int = 0
    """Number of this one, from 0."""
    size: int = 1
    """How many there are."""

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return not self.rank

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """What one process refuses inside, all do, and the first one says so.

        Raises:
            LawmError: in the first process.
            SystemExit: in the others, once it has ended.
        """
        error = None
        try:
            yield
        except LawmError as found:
            if self.size == 1:
                raise
            error = found
        said = self._gathered(error and (error.what, error.where, error.hint))
        for number, refused in enumerate(said):
            if refused is not None:
                self._end(error, number, *refused)

    def _end(
        self, error: LawmError | None, number: int, what: str, where: str, hint: str
    ) -> NoReturn:
        """End with what process ``number`` has found to be wrong."""
        if not self.is_first:
            self._gathered(None)  # until the first one has spoken and ended
            raise SystemExit(REFUSED)
        raise error or LawmError(f"{what} (process {number})", where, hint)

    def require_same(self, mine: Mapping[str, Any], where: str) -> None:
        """Refuse to go on unless all processes say the same.

        Args:
            mine: what this one says, as plain data.
            where: for the message.

        Raises:
            ConfigError: in the first process, names the first key that differs.
            SystemExit: in the others.
        """
        first, *others = self._gathered(mine)
        with self.agreed():
            for number, other in enumerate(others, 1):
                if found := first_difference(first, other):
                    key, before, now = found
                    what = f"{key} is {now!r} in process {number} and {before!r} in the first"
                    raise ConfigError(what, where, "give all processes the same command and data")

    def require_same_weights(self, algorithm: Algorithm, where: str) -> None:
        """Refuse to go on where the weights of processes have come apart.

        Raises:
            ConfigError: in the first process.
            SystemExit: in the others.
        """
        if self.size == 1:
            return
        digest = hashlib.sha256()
        for tensor in algorithm.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        self.require_same({"hash of the weights": digest.hexdigest()}, where)

    def step(self, batch: Batch) -> Any:
        """A context for a gradient step on this process's share of a batch."""
        if self.size == 1:
            return nullcontext()
        return share(Share(self.rank, self.size, len(batch.labeled)))

    def _gathered(self, mine: Any) -> list[Any]:
        """What every process says, in their order."""
        if self.size == 1:
            return [mine]
        said = [None] * self.size
        with reaching():
            dist.all_gather_object(said, mine)
        return said


ALONE = Processes()


def launched() -> int:
    """How many processes were started to train together."""
    if dist.is_initialized():
        return dist.get_world_size()
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def is_first() -> bool:
    """Whether this process is the first or only one."""
    if dist.is_initialized():
        return dist.get_rank() == 0
    return launched() == 1 or os.environ["RANK"] == "0"


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Inside, the processes that ``torchrun`` has started know each other.

    Args:
        device: as in the configuration; of ``cuda`` every process takes another one.

    Raises:
        ConfigError: they were all to take one device.
    """
    if launched() == 1:
        yield ALONE
        return
    own = not dist.is_initialized()
    on_gpus = device.startswith("cuda") and torch.cuda.is_available()
    if own:
        dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=PATIENCE)
    group = Processes(dist.get_rank(), dist.get_world_size())
    if on_gpus:
        with group.agreed():
            _take_gpu(device)
    yield group
    if own:  # not after an error: others wait until the first one has spoken and ended
        dist.destroy_process_group()


def _take_gpu(device: str) -> None:
    """Let ``cuda`` stand for a GPU of this process's own."""
    place, found = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if device != "cuda":
        raise ConfigError(f"{device} is one for several processes", "device", "set it to cuda")
    if place >= found:
        what = f"a machine with {found} GPUs is to train with more processes"
        raise ConfigError(what, "device", f"start {found} on it")
    torch.cuda.set_device(place)
