"""Studies and recipes by name: YAML files of this folder, or of another package."""

from __future__ import annotations

from lawm_data.system.registry import YamlFiles

STUDIES = YamlFiles("study", f"{__name__}.studies", "lawm.studies")
"""What ``lawm benchmark`` takes."""
RECIPES = YamlFiles("recipe", f"{__name__}.recipes", "lawm.recipes")
"""What ``lawm-data build`` takes."""
