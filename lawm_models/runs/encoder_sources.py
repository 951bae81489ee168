"""Where an encoder comes from that makes features: a run, a file of weights, or other features."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from lawm_schemas import ArraySpec, ConfigError, Role
from safetensors.torch import load as load_safetensors
from torch import Tensor

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.features import ENCODER, FEATURES, open_features, read_feature_set
from lawm_data.corpus.store import open_store
from lawm_data.system.atomic import read_file
from lawm_models.networks.frozen_encoder import FrozenEncoder, read
from lawm_models.networks.pretrained import PRETRAINED
from lawm_models.training.run_folder import CONFIG, ENCODERS, RunFolder

TORCH_MAGIC = (b"PK", b"\x80")
"""How files begin that ``torch.save`` has written; safetensors begin with a length."""
NESTED = ("state_dict", "model")
"""Names under which training scripts put the weights in a file."""
OTHER_FILE = "give weights of this architecture (--frozen, --arch)"


@runtime_checkable
class Encoding(Protocol):
    """An algorithm that learns an encoder for others."""

    def frozen(self) -> FrozenEncoder:
        """A copy of the encoder, which learns no more."""
        ...


class EncoderSource(NamedTuple):
    """An encoder, and what features say of where it is from."""

    frozen: FrozenEncoder
    observe: str
    """What it reads, as ``Corpus.observing`` takes it."""
    model: str
    """Hash of the weights it is made of."""
    algorithm: str
    """Algorithm that trained it, or its architecture."""
    place: str
    """Where it is from, for messages."""
    scaled: bool = False
    """Its mean and scale are known: those of other features."""
    threads: int = 1
    """CPU threads; the last digits of convolutions depend on their number."""


def of_run(run: RunFolder | Path | str) -> EncoderSource:
    """The encoder that a run has trained.

    Raises:
        ConfigError: it has none, or no checkpoint.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    algorithm, model = run.trained()
    config = run.config
    if not isinstance(algorithm, Encoding):
        what = f"{config.algorithm.name} learns no encoder for others"
        raise ConfigError(what, str(run.path), "give a run of --algorithm autoencoder")
    return EncoderSource(
        algorithm.frozen(),
        config.observe,
        model,
        config.algorithm.name,
        str(run.path),
        threads=config.threads,
    )


def of_file(file: Path | str, architecture: str, corpus: Corpus) -> EncoderSource:
    """An architecture with weights from a file, for all cameras of a corpus.

    Args:
        file: safetensors, or what ``torch.save`` wrote of tensors by name; nothing in it is run.
        architecture: one of ``PRETRAINED``.
        corpus: whose pictures it is to read.

    Raises:
        ConfigError: no such architecture, weights that do not fit it, or no cameras for it.
        StorageError: the file system refused.
    """
    file, module = Path(file), PRETRAINED.load(architecture, "--arch")
    cameras = [s for s in corpus.observing("pixels").manifest.observations if s.role is Role.pixels]
    data = read_file(file)
    try:
        weights = module.converted(tensors_in(data, str(file)))
    except (ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"is no {architecture}: {reason}", str(file), OTHER_FILE) from None
    frozen = FrozenEncoder(module.Config.parse({}, "--arch"), cameras, None)
    own = frozen.encoder.state_dict()
    for name, tensor in own.items():
        if name not in weights or weights[name].shape != tensor.shape:
            what = f"is no {architecture}: {name} does not fit"
            raise ConfigError(what, str(file), OTHER_FILE)
        if not weights[name].isfinite().all():
            raise ConfigError(f"has numbers in {name} that are not finite", str(file), OTHER_FILE)
    frozen.encoder.load_state_dict({name: weights[name] for name in own})
    return EncoderSource(
        frozen, "pixels", hashlib.sha256(data).hexdigest(), architecture, str(file)
    )


def of_features(place: Path | str, name: str) -> EncoderSource:
    """The encoder of features that a corpus has, or a run learns from, with their mean and scale.

    Args:
        place: folder of the corpus or run.
        name: of the features.

    Raises:
        ConfigError: weights that do not fit.
        CorpusError: no such corpus, run or features.
    """
    place = Path(place)
    if (place / CONFIG).is_file():
        folder = place / ENCODERS / name
        info = read_feature_set(folder)
    else:
        folder = place / FEATURES / name
        info = open_features(open_store(place), name, verify=True).info
    frozen = read(info, read_file(folder / ENCODER), str(folder / ENCODER))
    observe = _words(info.observations)
    return EncoderSource(frozen, observe, info.model, info.algorithm, str(folder), scaled=True)


def _words(specs: tuple[ArraySpec, ...]) -> str:
    """What ``Corpus.observing`` is told to show these fields."""
    words = (f"pixels:{s.name}" if s.role is Role.pixels else "state" for s in specs)
    return "+".join(dict.fromkeys(words))


def tensors_in(data: bytes, where: str) -> dict[str, Tensor]:
    """The tensors in a file, by name; nothing that is no tensor is made of it, and no code run.

    Args:
        data: the file.
        where: it, for messages.

    Raises:
        ConfigError: it holds no tensors by name.
    """
    try:
        if data.startswith(TORCH_MAGIC):
            found: Any = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        else:
            found = load_safetensors(data)
    except Exception:  # torch raises whatever a damaged file makes of it
        raise ConfigError("holds no weights", where, OTHER_FILE) from None
    for key in NESTED:
        found = found[key] if isinstance(found, Mapping) and key in found else found
    sound = isinstance(found, Mapping) and all(
        isinstance(name, str) and isinstance(x, Tensor) and x.layout is torch.strided
        for name, x in found.items()
    )
    if not sound or not found:
        raise ConfigError("holds no tensors by name", where, OTHER_FILE)
    return dict(found)
