"""An order of names that depends on a seed alone, and not on what other names there are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np


def ranks(names: Iterable[bytes], seed: int) -> np.ndarray:
    """(n,) uint64: keyed hashes of the names; sorting by them is a shuffle that can be repeated.

    A name that joins or leaves does not change the order of the others, so choices that take the
    first ones are nested.
    """
    key = hashlib.sha256(str(seed).encode()).digest()
    digests = (hashlib.blake2b(name, digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(b"".join(digests), ">u8")
