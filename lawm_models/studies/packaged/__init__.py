"""Studies by name: YAML files of this folder, or of another package."""

from __future__ import annotations

from lawm_data.system.registry import YamlFiles

STUDIES = YamlFiles("study", __name__, "lawm.studies")
"""What ``lawm benchmark`` takes."""
