"""What runs and corpora record of the packages."""

import platform

import torch

from lawm_models.training import versions


def test_versions_are_those_that_run() -> None:
    found = versions.installed_versions()
    assert found["python"] == platform.python_version()
    assert torch.__version__.startswith(found["torch"])
