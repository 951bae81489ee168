"""TD-MPC2: a folder of ``.pt`` files of trajectories of one length; ``action`` led to its row.

A file is a ``TensorDict`` of N trajectories with T + 1 rows: ``obs``, ``action`` and ``reward``,
and in some ``task`` and ``terminated``. Row 0 is the reset, whose action and reward are NaN. Where
several tasks are in one file, observations and actions are padded with zeros to the widest.

Only tensors are read. A ``TensorDict`` is a Python object: PyTorch's reader for weights puts it
together without any code of its class, and everything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lawm_schemas import ArraySpec, ConfigError, CorpusError, LabelState, Provenance

from lawm_data.corpus.table import NO_REWARDS
from lawm_data.exchange.formats._protocol import BOUNDS_NOTE, REWARDS_NOTE, About, Episode, Incoming
from lawm_data.exchange.formats._settings import (
    DECLARED,
    UNRECORDED,
    UNRECORDED_NOTE,
    WITHOUT,
    declared_action,
    declared_environment,
    dispensable,
    require_none,
    unrecorded_action,
    wanted,
)
from lawm_data.exchange.untrusted.archive import Archive
from lawm_data.exchange.untrusted.arrays import (
    flags,
    natural,
    plain_dtype,
    require_finite,
    to_plain,
    turned_spec,
)
from lawm_data.system.atomic import storage_errors

if TYPE_CHECKING:
    from torch import Tensor

ABOUT = About(
    title="TD-MPC2, tensors in .pt files",
    place="FOLDER or FILE.pt",
    extra=None,
    reads=True,
    writes=False,
    label_states=(LabelState.observed, LabelState.missing),
    partial=False,
    arrays="all",
    alignment="a_t enters o_t",
    final_observation=True,
    ends="terminated",
    pixels="lossless",
    metadata=False,
    streaming=True,
    settings={
        "task": "take the trajectories of this number alone, from files of several tasks",
        **UNRECORDED,
        **DECLARED,
        **WITHOUT,
    },
)
STRUCTURE_LIMIT = 1 << 20
"""Bytes of what a file says of its tensors; that of a thousand tensors has a tenth of it."""
PLAIN = "save its tensors alone, as the plain dict that td.to_dict() gives"
_KNOWN = ("obs", "action", "reward", "task", "terminated", "episode")


def read(place: str, settings: Mapping[str, Any]) -> Incoming:
    """Open files of tensors; see ``FormatModule.read``."""
    path = Path(place)
    with storage_errors(path):
        if not path.exists():
            raise ConfigError("is not there", str(path), "give a folder or a .pt file")
        inside = [p for p in path.iterdir() if p.suffix == ".pt"] if path.is_dir() else [path]
    if not inside:
        raise CorpusError("holds no .pt file", str(path), "give the folder that they are in")
    paths = sorted(inside, key=lambda path: natural(path.name))
    found = {path: _flattened(_load(path), path) for path in paths}
    places = _observations(chain(*found.values()))
    fields = wanted(settings, places)
    files = [_File(path, tensors, fields) for path, tensors in found.items()]
    task = settings.get("task")
    if task is not None and (type(task) is not int or "task" not in files[0].arrays):
        what = f"is {task!r}" if type(task) is not int else "is not stored in these files"
        raise ConfigError(what, "task", "give one of the numbers that they have, or leave it out")
    action = _action(files, settings)
    return Incoming(
        observations=files[0].observations,
        action=action,
        trajectories=_trajectories(files, task, f"tdmpc2:{path.name}"),
        count=sum(len(file) for file in files) if task is None else None,
        name=path.name,
        files=tuple(file.path for file in files),
        environment=declared_environment(settings),
        notes=_notes(files, action, settings),
    )


class _Array(NamedTuple):
    """A tensor of a file, (N, T+1, …)."""

    tensor: Tensor
    dtype: np.dtype
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        return tuple(self.tensor.shape[2:])

    def read(self, i: int) -> np.ndarray:
        """The rows of a trajectory, (T+1, …)."""
        return to_plain(self.tensor[i].numpy(), self.dtype)


def _observations(names: Iterable[str]) -> dict[str, str]:
    """The tensors of observations, by their names in a corpus."""
    found = (name for name in names if name == "obs" or name.startswith("obs."))
    return {"observation" if n == "obs" else n.removeprefix("obs."): n for n in found}


class _File:
    """The tensors of one file; they stay on disk until they are read."""

    def __init__(self, path: Path, found: dict[str, Tensor], fields: Mapping[str, str]) -> None:
        self.path = path
        self.names = {place: name for name, place in fields.items() if place in found}
        if not self.names:
            hint = "give files of obs, action and reward"
            raise CorpusError("holds no observations (obs)", str(path), hint)
        self.left = [name for name in found if name not in self.names and name not in _KNOWN]
        self.arrays: dict[str, _Array] = {}
        self.turn: dict[str, bool] = {}
        specs = []
        for place, name in self.names.items():
            with dispensable(name, self.names):
                array = self._add(place, found[place])
                spec, self.turn[name] = turned_spec(name, array.shape, array.dtype, array.where)
                specs.append(spec)
        self.observations = tuple(specs)
        for name in ("action", "reward", "task", "terminated"):
            if name in found:
                self._add(name, found[name])

    @property
    def shape(self) -> tuple[int, ...]:
        """N and T + 1."""
        return tuple(next(iter(self.arrays.values())).tensor.shape[:2])

    def __len__(self) -> int:
        return self.shape[0]

    def _add(self, name: str, tensor: Tensor) -> _Array:
        """One more array of these trajectories."""
        array = self._array(name, tensor)
        shape = tuple(tensor.shape)
        if len(shape) < 2 or shape[1] < 2 or not shape[0]:
            hint = "give (trajectories, T + 1, …), with T 1 or more"
            raise CorpusError(f"has shape {shape}", array.where, hint)
        self.arrays[name] = array
        if shape[:2] != self.shape:
            what = f"has shape {shape}; {next(iter(self.arrays))} begins {self.shape}"
            raise CorpusError(what, array.where, "make them agree")
        return array

    def _array(self, name: str, tensor: Tensor) -> _Array:
        import torch

        where = f"{self.path}: {name}"
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise CorpusError("is no plain tensor", where, PLAIN)
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        with storage_errors(self.path):
            size = self.path.stat().st_size
        if tensor.numel() * tensor.element_size() > size:
            what = f"declares shape {tuple(tensor.shape)} in {size} bytes"
            raise CorpusError(what, where, PLAIN)
        dtype = plain_dtype(np.dtype(str(tensor.dtype).removeprefix("torch.")), where)
        return _Array(tensor.detach(), dtype, where)


class _Object:
    """Stands for an object that a file has in it; none of its code is run."""

    def __init__(self, *parts: Any) -> None:
        self.parts: Any = parts

    def __setstate__(self, state: Any) -> None:
        self.parts = (state,)


_OBJECTS: dict[str, Any] = {
    "tensordict._td.TensorDict": _Object,
    "tensordict.tensordict.TensorDict": _Object,
    "tensordict._reductions._make_td": _Object,
    "tensordict._td._StringOnlyDict": dict,
    "tensordict.tensordict._StringOnlyDict": dict,
}
"""What a ``TensorDict`` is made of, by the versions of tensordict, and what stands for it."""


def _load(path: Path) -> Any:
    """The structure of a file, with its tensors mapped."""
    import torch

    with closing(Archive(path)) as archive:
        inside = [name for name in archive.members if name.endswith("/data.pkl")]
        if len(inside) != 1:
            raise CorpusError("is no file of torch.save", str(path), "give the .pt files")
        if archive.size(inside[0]) > STRUCTURE_LIMIT:
            what = f"says {archive.size(inside[0])} bytes of its tensors"
            raise CorpusError(what, str(path), PLAIN)
    serialization = torch.serialization
    try:
        odd = set(serialization.get_unsafe_globals_in_checkpoint(str(path))) - set(_OBJECTS)
        if odd:
            what = f"holds more than tensors ({', '.join(sorted(odd)[:3])})"
            raise CorpusError(what, str(path), PLAIN)
        stand_ins: list[Any] = [(thing, name) for name, thing in _OBJECTS.items()]
        with serialization.safe_globals(stand_ins):
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except CorpusError:
        raise
    except Exception as error:  # a damaged pickle can lead its reader anywhere
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise CorpusError(f"cannot be read ({reason})", str(path), PLAIN) from None


def _flattened(found: Any, path: Path, above: str = "") -> dict[str, Tensor]:
    """The tensors of a structure by their names, those of inner ones with dots."""
    import torch

    for _ in range(4):  # how deep a TensorDict is wrapped
        if not isinstance(found, _Object):
            break
        states = [part for part in found.parts if isinstance(part, dict)]
        found = states[0].get("_tensordict", states[0]) if states else None
    if not isinstance(found, dict) or above.count(".") > 4:
        raise CorpusError("holds no tensors by name", str(path), PLAIN)
    tensors = {}
    for key, value in found.items():
        name = f"{above}{key}"
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            tensors |= _flattened(value, path, f"{name}.")
    return tensors


def _action(files: list[_File], settings: Mapping[str, Any]) -> ArraySpec:
    recorded = [file.arrays["action"] for file in files if "action" in file.arrays]
    if not recorded:
        return unrecorded_action(settings)
    require_none(settings, UNRECORDED, "files without actions")
    first = recorded[0]
    blocks = (array.tensor[i, 1:].numpy() for array in recorded for i in range(len(array.tensor)))
    return declared_action(settings, first.shape, first.dtype, first.where, blocks)


def _notes(files: list[_File], action: ArraySpec, settings: Mapping[str, Any]) -> list[str]:
    arrays = files[0].arrays
    notes = []
    if any("action" in file.arrays for file in files):
        notes.append(
            "action leads to the observation beside it in this format; each was moved to the "
            "observation it was taken at, and the first row's, a dummy, was dropped"
        )
        if action.low is not None and "low" not in settings:
            notes.append(BOUNDS_NOTE)
    else:
        notes.append(UNRECORDED_NOTE)
    if "reward" not in arrays:
        notes.append(REWARDS_NOTE)
    if "terminated" not in arrays:
        notes.append("ends are not told apart: all trajectories count as truncated")
    if files[0].left:
        notes.append(f"not kept: {', '.join(files[0].left)}")
    return notes


def _trajectories(files: list[_File], task: int | None, source: str) -> Iterator[Episode]:
    provenance, first = Provenance(source=source, origin="import"), files[0]
    known = set(first.arrays) - {"action"}
    for file in files:
        if file.observations != first.observations or set(file.arrays) - {"action"} != known:
            what = "holds other arrays than the first file"
            raise CorpusError(what, str(file.path), "import files of one kind together")
        for i in range(len(file)):
            number = _task(file, i)
            if task is None or number == task:
                yield _episode(file, i, number, provenance)


def _task(file: _File, i: int) -> int | None:
    """The number of a trajectory's task."""
    if "task" not in file.arrays:
        return None
    found = np.unique(file.arrays["task"].read(i))
    if len(found) != 1 or (found.dtype.kind == "f" and not found[0].is_integer()):
        raise CorpusError(f"is no number in trajectory {i}", file.arrays["task"].where, PLAIN)
    return int(found[0])


def _episode(file: _File, i: int, task: int | None, provenance: Provenance) -> Episode:
    def entering(name: str) -> np.ndarray:
        """What a step leads to; row 0, the reset, has none and says so with NaN or 0."""
        array = file.arrays[name]
        rows = array.read(i)
        if rows[0].any() and not np.isnan(rows[0]).all():
            hint = "row 0 is the reset: nothing led to it; check that the file is of this format"
            raise CorpusError(f"has a number in row 0 of trajectory {i}", array.where, hint)
        return require_finite(rows[1:], f"{array.where}, trajectory {i}", 1)

    observed = {}
    for name, short in file.names.items():
        where = f"{file.arrays[name].where}, trajectory {i}"
        with dispensable(short, file.names):
            array = require_finite(file.arrays[name].read(i), where)
        observed[short] = np.moveaxis(array, 1, -1) if file.turn[short] else array
    steps = file.shape[1] - 1
    terminated = False
    if "terminated" in file.arrays:
        ended = flags(entering("terminated"), file.arrays["terminated"].where)
        if ended[:-1].any():
            where = f"{file.arrays['terminated'].where}, trajectory {i}"
            row = 1 + int(np.argmax(ended))
            raise CorpusError(f"is true in row {row}", where, "cut the trajectory there")
        terminated = bool(ended[-1])
    rewarded = "reward" in file.arrays
    return Episode(
        observations=observed,
        rewards=entering("reward").reshape(steps) if rewarded else np.zeros(steps, np.float32),
        provenance=provenance,
        actions=entering("action") if "action" in file.arrays else None,
        terminated=terminated,
        truncated=not terminated,
        metadata={
            "file": file.path.name,
            "row": i,
            **({} if task is None else {"task": task}),
            **({} if rewarded else NO_REWARDS),
        },
    )
