"""Architectures by name whose weights come from a file: one module of this folder is one of them.

They learn nothing here. Features are made with them, see ``networks.frozen_encoder``.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

from lawm_data.system.registry import Modules

if TYPE_CHECKING:
    from lawm_models.networks.pretrained._protocol import Pretrained

PRETRAINED: Modules[Pretrained] = Modules(
    "architecture",
    __name__,
    "lawm.architectures",
    {"Config": type, "Encoder": type, "converted": FunctionType},
)
"""Every architecture: how pictures become features, and how published weights are read."""
