"""What a run observes: the encoder that goes with it, and the features of several corpora."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from lawm_schemas import ConfigError, Schema

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.encoders import pixels
from lawm_models.networks.encoders._protocol import EncoderConfig

S = TypeVar("S", bound=Schema)


def observes_pixels(observe: str) -> bool:
    """Whether cameras are among what an experiment observes."""
    return any(word.strip().partition(":")[0] == "pixels" for word in observe.split("+"))


def with_pixel_encoder(settings: S) -> S:
    """Settings in which every encoder that reads no pixels has given way to one that does."""
    update = {}
    for name in type(settings).model_fields:
        part = getattr(settings, name)
        if isinstance(part, EncoderConfig):
            update[name] = pixels.Config() if part.name == "vectors" else part
        elif isinstance(part, Schema):
            update[name] = with_pixel_encoder(part)
    return settings.model_copy(update=update)


def require_one_encoder(views: Sequence[Corpus]) -> None:
    """Refuse features of one name that different encoders have made.

    Raises:
        ConfigError: names the corpus whose features are of another encoder.
    """
    for view in views[1:]:
        for ours, its in zip(views[0].features, view.features, strict=True):
            if ours.encoder_sha256 != its.encoder_sha256:
                raise ConfigError(
                    f"its features {its.name} are of another encoder than those of {views[0].path}",
                    str(view.path),
                    f"give them one encoder and scale: lawm-data features {view.path} "
                    f"--like {views[0].path} --name {its.name} --replace",
                )
