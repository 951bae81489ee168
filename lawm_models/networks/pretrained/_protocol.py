"""What an architecture must offer; every other module of this folder is one.

A module named after the architecture holds ``Config`` (an ``EncoderConfig`` that can be made
without arguments), ``Encoder`` (as in ``networks.encoders``, without targets) and ``converted``.
Nothing else registers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from lawm_models.networks.encoders._protocol import EncoderClass, EncoderConfig


class Pretrained(Protocol):
    """A module of this folder, or one that another package brings."""

    Config: type[EncoderConfig]
    """Settings, with a default for each."""
    Encoder: EncoderClass
    """The class of the encoder; it is given no sizes."""

    def converted(self, published: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights under the names that ``Encoder`` has for them; more of them do no harm.

        Args:
            published: the tensors of a file, by name.

        Raises:
            ValueError: they are not of this architecture; says why.
        """
        ...
