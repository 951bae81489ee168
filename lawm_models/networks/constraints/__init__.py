"""What a latent action may say, by name: one module of this folder, or of another package."""

from __future__ import annotations

from lawm_data.system.registry import Modules
from lawm_models.networks.constraints._protocol import Constrained as Constrained
from lawm_models.networks.constraints._protocol import Constraint as Constraint
from lawm_models.networks.constraints._protocol import ConstraintChoice as ConstraintChoice
from lawm_models.networks.constraints._protocol import ConstraintModule as ConstraintModule

CONSTRAINTS = Modules[ConstraintModule](
    "constraint", __name__, "lawm.constraints", {"Config": type, "Constraint": type}
)
"""Every constraint on latent actions."""
