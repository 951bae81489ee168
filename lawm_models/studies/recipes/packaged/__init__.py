"""Recipes by name: YAML files of this folder, or of another package."""

from __future__ import annotations

from lawm_data.system.registry import YamlFiles

RECIPES = YamlFiles("recipe", __name__, "lawm.recipes")
"""What ``lawm-data build`` takes."""
