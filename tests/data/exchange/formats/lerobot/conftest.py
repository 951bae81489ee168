"""LeRobot sets, exported and then changed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lawm_data import Corpus
from lawm_data.exchange import export_corpus

# The helpers stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))

from lerobot_sets import DOUBLE, LABELS, PHYSICS, PIXELS, STATE


@pytest.fixture
def corpus(tmp_path: Path, plain_plan: Callable) -> Corpus:
    """Four trajectories, the second without actions and the third with some."""
    plan = plain_plan(observations=(*STATE, DOUBLE, PIXELS, PHYSICS))
    changed = [{**t, "labels": labels} for t, labels in zip(plan.trajectories, LABELS, strict=True)]
    return plain_plan(observations=plan.observations, trajectories=tuple(changed)).write(
        tmp_path / "corpus"
    )


@pytest.fixture
def exported(tmp_path: Path, corpus: Corpus) -> Path:
    export_corpus(corpus, f"lerobot:{tmp_path / 'set'}")
    return tmp_path / "set"


@pytest.fixture
def foreign(exported: Path) -> Path:
    """The same set as somebody else would have written it."""
    shutil.rmtree(exported / "meta/lawm")
    return exported
