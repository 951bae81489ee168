"""What an encoder must offer a model; every other module of this folder is one encoder.

A module named after the encoder holds ``Config`` (an ``EncoderConfig``), and ``Encoder`` and
``Decoder`` (``torch.nn.Module`` that satisfy the protocols below). Nothing else registers it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from jaxtyping import Float, UInt
from lawm_schemas import ArraySpec, ConfigError, Role, Schema
from pydantic import BeforeValidator, SerializeAsAny
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus


class Observation(NamedTuple):
    """What is observed, at all steps of a batch of windows or at one step of N environments."""

    state: Float[Tensor, "*b O"]
    """Concatenated state fields; O is 0 where there are pixels alone."""
    pixels: Mapping[str, UInt[Tensor, "*b h w c"]] = {}
    """Camera fields by name."""

    @classmethod
    def of(cls, batch: Batch) -> Observation:
        """The observations of a batch, (B, T+1, ·)."""
        return cls(batch.observation, batch.pixels)

    @classmethod
    def of_flat(cls, flat: Float[Tensor, "*b N"], specs: Sequence[ArraySpec]) -> Observation:
        """From the fields, flattened and side by side in the order of ``specs``."""
        parts = flat.split([spec.size for spec in specs], -1)
        state = [part for spec, part in zip(specs, parts, strict=True) if spec.role is Role.state]
        pixels = {
            spec.name: part.unflatten(-1, spec.shape)
            for spec, part in zip(specs, parts, strict=True)
            if spec.role is Role.pixels
        }
        return cls(torch.cat([flat[..., :0], *state], -1), pixels)

    def map(self, change: Callable[[Tensor], Tensor]) -> Observation:
        """The same change of every array, such as a slice of its first axes."""
        pixels = {name: change(images) for name, images in self.pixels.items()}
        return Observation(change(self.state), pixels)


class Sizes(NamedTuple):
    """Sizes of the networks of the model that an encoder or decoder is part of."""

    embed: int
    """E, the width that it asks for."""
    units: int
    """Hidden units."""
    layers: int
    """Hidden layers."""


class EncoderConfig(Schema):
    """Which encoder; its own settings stand beside its name."""

    name: str
    """An encoder's name, such as ``vectors``."""


class Encoder(Protocol):
    """Observations to an embedding, and to what a decoder reconstructs; a ``torch.nn.Module``.

    One that reads pixels also has ``split``: from the fields of an observation, flattened and side
    by side as a policy gets them, to an ``Observation``. See ``shows_images`` for what else it may
    have.
    """

    dim: int
    """E, width of the embedding."""
    target_dim: int
    """M, width of the target."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """See ``torch.nn.Module``."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """See ``torch.nn.Module``."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """See ``torch.nn.Module``."""
        ...

    def __call__(self, observation: Observation) -> Float[Tensor, "*b E"]:
        """The embedding."""
        ...

    def target(self, observation: Observation) -> Float[Tensor, "*b M"]:
        """The numbers that a decoder reconstructs, on their scale."""
        ...

    def fit(self, corpora: Sequence[Corpus], labeled: bool = False) -> None:
        """Learn from the data what no batch can tell, such as means; nothing where there is none.

        Args:
            corpora: views in which hidden actions are not.
            labeled: learn from the steps alone whose actions can be read.
        """
        ...


class Decoder(Protocol):
    """p(o | s) over the encoder's targets."""

    def __call__(self, feature: Float[Tensor, "*b F"]) -> Float[Tensor, "*b M"]:
        """The mean."""
        ...

    def log_prob(
        self, mean: Float[Tensor, "*b M"], target: Float[Tensor, "*b M"]
    ) -> Float[Tensor, "*b"]:
        """Log-density of a target, in nats."""
        ...


class EncoderClass(Protocol):
    """The class of an encoder."""

    def __call__(
        self, config: Any, observations: Sequence[ArraySpec], sizes: Sizes | None = None
    ) -> Encoder:
        """Fresh weights, drawn from torch's global generator.

        Args:
            config: the module's ``Config``.
            observations: what can be observed; state fields in the order of ``Observation.state``.
            sizes: of its networks; none for a model that begins with networks of its own.

        Raises:
            ConfigError: nothing in the observations is for this encoder, or it needs networks.
        """
        ...


class DecoderClass(Protocol):
    """The class of a decoder."""

    def __call__(
        self,
        config: Any,
        observations: Sequence[ArraySpec],
        feature_dim: int,
        sizes: Sizes,
        std: float,
    ) -> Decoder:
        """Fresh weights, drawn from torch's global generator.

        Args:
            config: the module's ``Config``.
            observations: as for the encoder.
            feature_dim: F.
            sizes: of its networks.
            std: fixed width of p(o | s).
        """
        ...


class EncoderModule(Protocol):
    """A module of this folder, or one that another package brings."""

    Config: type[EncoderConfig]
    """Settings, with a default for each."""
    Encoder: EncoderClass
    """The class of the encoder."""
    Decoder: DecoderClass
    """The class of the decoder."""


def shows_images(encoder: Encoder) -> bool:
    """Whether the target is pixels, whose differences mean little: then embeddings are compared.

    An encoder says so by an attribute ``target_is_image``.
    """
    return getattr(encoder, "target_is_image", False)


def require_no_weights(encoder: Encoder, algorithm: str) -> None:
    """Refuse an encoder that would have to be trained where nothing trains it.

    Raises:
        ConfigError: it has weights.
    """
    if any(True for _ in encoder.parameters()):
        hint = "observe features of an autoencoder: observe=features:NAME"
        raise ConfigError(f"{algorithm} trains no encoder", "observe", hint)


def _chosen(value: Any) -> Any:
    """Plain data as the ``Config`` of the encoder named there, else of ``vectors``."""
    if not isinstance(value, Mapping):
        return value
    from lawm_models.networks.encoders import ENCODERS

    try:
        module = ENCODERS.load(str(value.get("name", "vectors")))
    except ConfigError as error:
        raise ValueError(f"{error.what}; {error.hint}") from None
    return module.Config.model_validate(value)


EncoderChoice = Annotated[SerializeAsAny[EncoderConfig], BeforeValidator(_chosen)]
"""A setting of a model: an encoder by its name, with the settings of that encoder."""
