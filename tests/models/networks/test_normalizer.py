"""Normalising observations: over the right rows, by the right formula."""

import numpy as np
import pytest
import torch

from lawm_models.networks.scaling import Normalizer


def test_moments_are_those_of_all_rows():
    draws = np.random.default_rng(0)
    parts = [1e4 + draws.normal(size=(n, 3)) * [1, 1e-2, 0] for n in (1, 40, 7)]
    normalizer = Normalizer(3)
    normalizer.fit(part.astype(np.float32) for part in parts)
    rows = np.concatenate(parts).astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, rows.mean(0), rtol=1e-6)
    np.testing.assert_allclose(normalizer.std, rows.std(0) + 1e-3, rtol=1e-6)
    assert normalizer.std[2] == pytest.approx(1e-3)


def test_it_is_the_identity_before():
    x = torch.randn(4, 3)
    assert torch.equal(Normalizer(3)(x), x)
