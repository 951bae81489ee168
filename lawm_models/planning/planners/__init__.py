"""Planners by name: one module of this folder, or of another package, is one planner."""

from __future__ import annotations

from lawm_data.system.registry import Modules
from lawm_models.planning.planners._protocol import PlannerModule as PlannerModule

PLANNERS = Modules[PlannerModule](
    "planner", __name__, "lawm.planners", {"Config": type, "Planner": type}
)
"""Every planner; listing them imports none, and no torch."""
