"""A corpus with masks and overlays, and what is in corpora."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lawm_data import (
    Corpus,
    make_mask,
    save_mask,
)

# The helpers stand beside the tests, which are no package.
sys.path.append(str(Path(__file__).parent))

from curated import label


@pytest.fixture
def corpus(random_corpus: Callable) -> Corpus:
    """With a mask of half of it, and inferred actions for the other half."""
    whole = random_corpus(partial=(2,), unlabeled=(4,), shards=2)
    save_mask(whole, make_mask(whole, 0.5, 0, "half"))
    label(whole)
    return whole
