"""Checkpoints: weights, optimisers and position in one folder that appears at once or not at all.

``model.safetensors`` holds the module's state; ``optimizer.safetensors`` every other tensor
(moments, generator states); ``state.json`` the plain rest, the checksums of both and its own.
No pickle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

import torch
from lawm_schemas import CHECKSUM, ConfigError, StorageError, checksum_of, load_json
from lawm_schemas.errors import reason_of
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from lawm_data.system.atomic import (
    REPLACED,
    TEMPORARY,
    read_file,
    temporary_name,
    write_folder,
)

MODEL = "model.safetensors"
TENSORS = "optimizer.safetensors"
STATE = "state.json"
KEYS = {"sha256", "optimizers", "state"}
"""What ``state.json`` holds."""
RESERVED = {"tensor", "tuple", "items"}
"""Keys with which ``pack`` marks what JSON does not have."""


class Stateful(Protocol):
    """Anything with torch's state methods."""

    def state_dict(self) -> dict[str, Any]:
        """Its state."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """Take over a state."""
        ...


def save_checkpoint(
    folder: Path,
    module: Stateful,
    optimizers: Mapping[str, torch.optim.Optimizer],
    state: Mapping[str, Any],
) -> None:
    """Write a checkpoint durably: ``folder`` appears complete or not at all.

    Args:
        folder: replaced when it exists.
        module: its state must be tensors alone.
        optimizers: by name.
        state: anything else; a tree of dicts, lists, tuples, plain values and tensors.

    Raises:
        StorageError: the file system refuses.
    """
    saved = {name: optimizer.state_dict() for name, optimizer in optimizers.items()}
    plain, tensors = pack({"optimizers": saved, "state": dict(state)})
    files = {MODEL: to_bytes(_owned(module.state_dict())), TENSORS: to_bytes(_owned(tensors))}
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    document = {"sha256": sha256, **plain}
    document[CHECKSUM] = checksum_of(document)
    files[STATE] = json.dumps(document, allow_nan=False).encode()
    write_folder(folder, files)


def load_module(folder: Path, module: Stateful) -> None:
    """Load the weights of a checkpoint into a module of the same architecture.

    Raises:
        ConfigError: the module has other parameters.
    """
    try:
        module.load_state_dict(load_weights(folder))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"other weights than this version's: {reason}", str(folder), "train it again"
        ) from None


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The module's state in a checkpoint, on the CPU."""
    return _tensors(folder, MODEL, _document(folder))


def load_optimizers(folder: Path, optimizers: Mapping[str, torch.optim.Optimizer]) -> None:
    """Load the optimisers of a checkpoint; those that it does not know are left alone."""
    document = _document(folder)
    tensors = _tensors(folder, TENSORS, document)
    with understood(folder):
        saved = unpack(document["optimizers"], tensors)
        for name, optimizer in optimizers.items():
            if name in saved:
                before = [dict(group) for group in optimizer.param_groups]
                optimizer.load_state_dict(saved[name])
                _require_settings(before, optimizer.param_groups)
                _require_whole(optimizer)


def _require_settings(before: Sequence[Mapping], now: Sequence[Mapping]) -> None:
    """Rates and kernels may be others than the code's; what an optimizer computes may not."""
    for old, new in zip(before, now, strict=True):
        for name in old.keys() - {"params"}:
            kernel = name in ("fused", "foreach")
            if not (isinstance(new[name], bool | None) if kernel else _fits(old[name], new[name])):
                raise ValueError(f"the optimizer's {name} is {new[name]!r}")


def _fits(old: Any, new: Any) -> bool:
    """Whether a setting may stand for the code's: other numbers, and nothing else that differs."""
    if isinstance(old, tuple):
        alike = isinstance(new, list | tuple) and len(new) == len(old)
        return alike and all(map(_fits, old, new))
    if isinstance(old, float | int) and not isinstance(old, bool):
        return isinstance(new, float | int) and not isinstance(new, bool) and isfinite(new)
    return new is old or (type(new) is type(old) and new == old)


def _require_whole(optimizer: torch.optim.Optimizer) -> None:
    """Fused kernels trust that moments are as large as weights, and else read beyond their end."""
    for group in optimizer.param_groups:
        for weights in group["params"] if group.get("fused") else ():
            moments = dict(optimizer.state.get(weights, {}))
            if moments:
                step = moments.pop("step")
                names = ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * group["amsgrad"])
                sizes = {moments[name].shape for name in (*names, *moments)}
                if step.numel() != 1 or sizes != {weights.shape}:
                    raise ValueError("the optimizer's moments are not those of the weights")


def load_state(folder: Path) -> dict[str, Any]:
    """What was given as ``state``; its tensors are on the CPU."""
    document = _document(folder)
    tensors = _tensors(folder, TENSORS, document)
    with understood(folder):
        return unpack(document["state"], tensors)


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """Inside, what a checkpoint holds is taken up; a checksum that fits does not prove its sense.

    Raises:
        StorageError: it was not written by this program.
    """
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError) as e:
        what = f"is not the state of a checkpoint ({reason_of(e)})"
        raise _damaged(folder, STATE, what) from None


def model_sha256(folder: Path) -> str:
    """Hash of a checkpoint's ``model.safetensors``."""
    document = _document(folder)
    with understood(folder):
        return str(document["sha256"][MODEL])


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint; a kill in between leaves no half of it under its name."""
    doomed = temporary_name(folder)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def remove_leftovers(parent: Path) -> None:
    """Undo or finish what a killed writer left in a folder of checkpoints."""
    for path in parent.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path)
    for path in parent.glob(f".*{REPLACED}"):
        replaced = parent / path.name[1 : -len(REPLACED)]
        if replaced.exists():
            shutil.rmtree(path)
        else:
            path.rename(replaced)


def pack(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split a tree into JSON and tensors. Keys keep their type, tuples stay tuples.

    Returns:
        The JSON, in which a tensor is ``{"tensor": NAME}``, and the tensors by name.
    """
    tensors: dict[str, Tensor] = {}

    def visit(node: Any, at: str) -> Any:
        match node:
            case Tensor():
                tensors[at] = node
                return {"tensor": at}
            case tuple():
                return {"tuple": [visit(v, f"{at}/{i}") for i, v in enumerate(node)]}
            case list():
                return [visit(v, f"{at}/{i}") for i, v in enumerate(node)]
            case dict():
                parts = [(k, visit(v, f"{at}/{k}")) for k, v in node.items()]
                simple = all(isinstance(k, str) and k not in RESERVED for k in node)
                return dict(parts) if simple else {"items": parts}
            case _:
                return node

    return visit(tree, ""), tensors


def unpack(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that ``pack`` split."""
    match plain:
        case {"tensor": name}:
            return tensors[name]
        case {"tuple": parts}:
            return tuple(unpack(v, tensors) for v in parts)
        case {"items": parts}:
            return {k: unpack(v, tensors) for k, v in parts}
        case dict():
            return {k: unpack(v, tensors) for k, v in plain.items()}
        case list():
            return [unpack(v, tensors) for v in plain]
        case _:
            return plain


def _owned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # safetensors refuses tensors that share memory
    layout = torch.contiguous_format
    return {k: v.detach().cpu().clone(memory_format=layout) for k, v in tensors.items()}


def _document(folder: Path) -> dict[str, Any]:
    """``state.json``, compared with its checksum; that of an older version has none."""
    try:
        document = load_json(folder / STATE)
    except ConfigError as error:
        raise _damaged(folder, STATE, error.what) from None
    if not isinstance(document, dict) or not document.keys() >= KEYS:
        raise _damaged(folder, STATE, "is not the state of a checkpoint")
    checksum = document.pop(CHECKSUM, None)
    if checksum is not None and checksum != checksum_of(document):
        raise _damaged(folder, STATE, "does not match its checksum")
    return document


def _tensors(folder: Path, name: str, document: Mapping[str, Any]) -> dict[str, Tensor]:
    try:
        content = read_file(folder / name)
    except StorageError as error:
        raise _damaged(folder, name, error.what) from None
    with understood(folder):
        known = document["sha256"][name]
    if hashlib.sha256(content).hexdigest() != known:
        raise _damaged(folder, name, "does not match its checksum")
    try:
        return from_bytes(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(folder, name, f"cannot be read ({reason_of(error)})") from None


def _damaged(folder: Path, name: str, what: str) -> StorageError:
    hint = f"remove {folder.name} to go on from what was kept before it"
    return StorageError(what, str(folder / name), hint)
