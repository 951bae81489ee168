"""Which shards of a published corpus are on the disk together, one round after the other."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from lawm_schemas import ConfigError

from lawm_data.batches.windows import uniforms


class ShardLabels(NamedTuple):
    """What is known of a shard before it is read."""

    trajectories: int
    steps: int
    labeled: int
    """Trajectories with every action readable."""


class Rounds:
    """The order in which shards come and go: a pure function of content, seed and round.

    Without a labeled ratio the shards pass by in a random order, a few of them at a time, and
    each round one leaves. With a ratio a round holds one shard with labels and one without, each
    from an order of its own, so that every batch can have its share of both. When all shards fit
    there is one round without end.

    Args:
        shards: the shards of the corpus.
        key: 128 bits.
        at_once: shards that may be on the disk.
        by_label: whether batches have a labeled ratio between 0 and 1.

    Raises:
        ConfigError: there is nothing to draw from.
    """

    def __init__(
        self, shards: Sequence[ShardLabels], key: int, at_once: int, by_label: bool
    ) -> None:
        self._shards, self._key = shards, key
        self._pools = [list(range(len(shards)))] * at_once
        self.is_whole = len(shards) <= at_once
        """Whether everything is on the disk at once."""
        if by_label and not self.is_whole:
            labeled = [i for i, s in enumerate(shards) if s.labeled]
            unlabeled = [i for i, s in enumerate(shards) if s.labeled < s.trajectories]
            for pool, kind in ((labeled, "labeled"), (unlabeled, "unlabeled")):
                if not pool:
                    what, mend = f"there are no {kind} trajectories", "leave the ratio out"
                    raise ConfigError(what, "labeled_ratio", mend)
            self._pools = [labeled, unlabeled]
        self._by_label = by_label and not self.is_whole

    def __len__(self) -> int:
        """Rounds until every shard has been there."""
        return 1 if self.is_whole else max(map(len, self._pools))

    def shards(self, number: int) -> tuple[int, ...]:
        """The shards of a round."""
        if self.is_whole:
            return tuple(range(len(self._shards)))
        if self._by_label:
            places = [(stream, number) for stream in range(2)]
        else:
            places = [(0, number + ahead) for ahead in range(len(self._pools))]
        return tuple(dict.fromkeys(self._at(stream, place) for stream, place in places))

    def batches(self, number: int, steps: int) -> int | None:
        """Batches of a round; so many that an epoch of rounds draws an epoch of steps.

        Args:
            number: the round.
            steps: steps in a batch.

        Returns:
            None for a round without end.
        """
        if self.is_whole:
            return None
        leaving = self._at(1 if self._by_label else 0, number)
        return max(1, round(self._shards[leaving].steps / steps))

    def seed(self, number: int, seed: int) -> int:
        """Seed of the draws of a round; the first has the seed that was asked for."""
        if number == 0:
            return seed
        text = hashlib.sha256(f"{self._key}/{seed}/{number}".encode()).digest()
        return int.from_bytes(text[:7], "big")

    def _at(self, stream: int, place: int) -> int:
        """The shard at a place of an endless order, which is another one in every epoch."""
        pool = self._pools[stream]
        epoch, here = divmod(place, len(pool))
        order = np.argsort(uniforms(self._key, stream, epoch, (len(pool),)), kind="stable")
        return pool[int(order[here])]
