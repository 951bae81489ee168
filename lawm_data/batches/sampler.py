"""Which windows are in which batch: a pure function of data, settings and step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Int
from lawm_schemas import ConfigError

from lawm_data.batches.gather import WindowReader
from lawm_data.batches.mixture import Mixture
from lawm_data.batches.windows import Pool, Runs, Short, split_partial, uniforms, valid_starts

LabelUnit = Literal["trajectory", "window"]
"""What Eq. 10's m is taken over."""


@dataclass(frozen=True)
class SamplingSettings:
    """How windows are drawn.

    Raises:
        ConfigError: a number is out of range, or a name unknown.
    """

    batch_size: int
    """B, windows per batch."""
    window: int
    """T, steps per window."""
    labeled_ratio: float | None = None
    """Share of labeled windows, which come first in the batch; None draws them as they come."""
    seed: int = 0
    """Key of the draws."""
    short: Short = "pad"
    """What happens to trajectories shorter than the window."""
    label_unit: LabelUnit = "trajectory"
    """Whose actions have to be observed for a window to be labeled: the trajectory's or its own."""
    oversample_ends: bool = False
    """Also draw windows that begin up to T − 1 steps before a trajectory or end as far behind it,
    and move them inside. A uniform draw sees the first step, where every episode of an evaluation
    begins, and the last, T times less often than others. After DreamerV2's replay."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "window"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{getattr(self, name)} is below 1", name, "give 1 or more")
        for name, names in (("short", get_args(Short)), ("label_unit", get_args(LabelUnit))):
            if getattr(self, name) not in names:
                known = ", ".join(names)
                raise ConfigError(f"{getattr(self, name)!r} is unknown", name, f"known: {known}")
        ratio = self.labeled_ratio
        if ratio is None:
            return
        if not 0 <= ratio <= 1:
            raise ConfigError(f"{ratio} is outside [0, 1]", "labeled_ratio", "give a share")
        labeled = self.num_labeled
        if (ratio > 0 and labeled == 0) or (ratio < 1 and labeled == self.batch_size):
            kind = "labeled" if labeled == 0 else "unlabeled"
            raise ConfigError(
                f"{ratio} of {self.batch_size} windows leaves no {kind} one",
                "labeled_ratio",
                "raise the batch size or change the ratio",
            )

    @property
    def num_labeled(self) -> int:
        """Labeled windows per batch when there is a ratio."""
        return round(self.batch_size * (self.labeled_ratio or 0.0))


DRAWS = 2
"""Version of how windows are drawn. In the first one the key covered hidden actions."""


def require_same_draws(state: Mapping[str, Any], identity: str, where: str) -> None:
    """Refuse a saved state of a loader that draws other windows.

    Args:
        state: holds ``identity`` and ``draws``.
        identity: of the loader that is to go on.
        where: for messages.

    Raises:
        ConfigError: it is of other data or settings, or of an earlier version.
    """
    hint = "resume with what it was saved with, or start anew"
    if state.get("draws") != DRAWS:
        what = "it is of another version of lawm, which drew other windows"
        raise ConfigError(what, where, "start anew")
    if state.get("identity") != identity:
        raise ConfigError("it was saved with other corpora, masks or settings", where, hint)


class Sampler:
    """Draws windows: a corpus by its weight, a valid start in it uniformly, or the ends more often.

    Batch k depends on ids and lengths of the trajectories, on which of their actions can be read,
    the settings and k, and on nothing else: on no action, on no batch drawn before, on the number
    of shards, or on where a corpus lies.
    Several batches, a block, are drawn at once, because that costs little more than one.

    Args:
        mixture: the trajectories.
        settings: how they are drawn.

    Raises:
        ConfigError: there is nothing to draw.
    """

    def __init__(self, mixture: Mixture, settings: SamplingSettings) -> None:
        self.settings = settings
        """How windows are drawn."""
        self.block = max(1, min(64, 2**18 // (settings.batch_size * settings.window)))
        """Batches per block; small when batches are large, to bound the memory."""
        chosen = asdict(settings)
        if not settings.oversample_ends:
            del chosen["oversample_ends"]  # batches stay those of before there was a choice
        data = {
            "corpora": mixture.digest(),
            "weights": mixture.weights.tolist(),
            "settings": chosen,
            "block": self.block,
        }
        self.identity = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        """Hash of all that decides what is drawn."""
        self._pools = _pools(mixture, settings, _runs(mixture, settings))

    @property
    def trajectories(self) -> Int[np.ndarray, " D"]:
        """Trajectories that windows are drawn from."""
        return np.unique(
            np.concatenate([pool.trajectories for pool, count in self._pools if count])
        )

    def draw(self, block: int) -> tuple[Int[np.ndarray, "K B"], Int[np.ndarray, "K B"]]:
        """Trajectories and starts of the windows of K batches, the labeled ones first.

        Each pool draws from a stream of its own.
        """
        key = int(self.identity[:32], 16)
        parts = [
            pool.draw(uniforms(key, stream, block, (self.block, count, pool.numbers)))
            for stream, (pool, count) in enumerate(self._pools)
            if count
        ]
        trajectory, start = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return trajectory, start


def _runs(mixture: Mixture, settings: SamplingSettings) -> Runs:
    """Every valid start, or one line that says why there are none."""
    window, lengths = settings.window, mixture.length
    # A longer window than that would be padding in every batch: a mistake under any policy.
    if window > lengths.max():
        longest = int(lengths.argmax())
        raise ConfigError(
            f"{window} steps, but the longest trajectory ({mixture.id(longest)}) "
            f"has {lengths[longest]}",
            "window",
            f"give {lengths[longest]} or less",
        )
    if settings.short == "error" and window > lengths.min():
        shortest = int(lengths.argmin())
        raise ConfigError(
            f"{window} steps, but trajectory {mixture.id(shortest)} has {lengths[shortest]}",
            "window",
            f"give {lengths[shortest]} or less, or choose short=pad or short=drop",
        )
    runs = valid_starts(lengths, window, settings.short)
    present = np.unique(mixture.corpus[runs.trajectory])
    for number, corpus in enumerate(mixture.corpora):
        if number not in present:
            raise ConfigError(
                f"no trajectory has the {window} steps of a window",
                str(corpus.path),
                "give a shorter window, choose short=pad, or leave the corpus out",
            )
    return runs


def _pools(mixture: Mixture, settings: SamplingSettings, runs: Runs) -> list[tuple[Pool, int]]:
    """Pools of starts, and how many windows of a batch are drawn from each."""
    beyond = settings.window - 1 if settings.oversample_ends else 0
    if settings.labeled_ratio is None:
        return [(_pool(mixture, runs, beyond), settings.batch_size)]
    labeled, unlabeled = _divide(mixture, settings, runs)
    count = settings.num_labeled
    pools = [
        (_pool(mixture, labeled, beyond), count),
        (_pool(mixture, unlabeled, beyond), settings.batch_size - count),
    ]
    for (pool, count), kind in zip(pools, ("labeled", "unlabeled"), strict=True):
        if count and not len(pool):
            raise ConfigError(
                f"{settings.labeled_ratio} asks for {count} {kind} windows in a batch, "
                f"but there are no {kind} windows",
                "labeled_ratio",
                "choose another mask, or leave the ratio out",
            )
    return pools


def _divide(mixture: Mixture, settings: SamplingSettings, runs: Runs) -> tuple[Runs, Runs]:
    """Labeled and unlabeled starts."""
    whole = mixture.complete[runs.trajectory]
    labeled, unlabeled = runs.where(whole), runs.where(~whole)
    if settings.label_unit == "trajectory":
        return labeled, unlabeled
    readable = mixture.partial & (mixture.action_row >= 0) & (mixture.length >= settings.window)
    some = readable[unlabeled.trajectory]
    partial = unlabeled.where(some)
    ids = partial.trajectory
    full, rest = split_partial(partial, mixture.length[ids], mixture.observed(ids), settings.window)
    return labeled.join(full), unlabeled.where(~some).join(rest)


def _pool(mixture: Mixture, runs: Runs, beyond: int) -> Pool:
    return Pool(runs, mixture.corpus[runs.trajectory], mixture.weights, beyond)


class Windows(NamedTuple):
    """The windows of one batch, and where their rows are."""

    trajectory: Int[np.ndarray, " B"]
    """Row of the mixture's table."""
    local: Int[np.ndarray, " B"]
    """Place in its corpus."""
    corpus: Int[np.ndarray, " B"]
    """Which corpus that is."""
    start: Int[np.ndarray, " B"]
    """First step."""
    remaining: Int[np.ndarray, " B"]
    """Steps from there to the end of the trajectory."""
    shard: Int[np.ndarray, " B"]
    row: Int[np.ndarray, " B"]
    """Row of the first observation."""
    action_row: Int[np.ndarray, " B"]
    """Row of the first action; -1 where there is none to read."""
    action_shard: Int[np.ndarray, " B"]
    """Where that row is, see ``Mixture``."""
    complete: Bool[np.ndarray, " B"]
    """Every action of the trajectory is observed."""
    rewarded: Bool[np.ndarray, " B"]
    """Its rewards were recorded."""
    final_observed: Bool[np.ndarray, " B"]
    """Its last observation was recorded."""
    padded: bool
    """Some window reaches beyond the end of its trajectory."""
    hidden: bool
    """Some window has no actions to read."""
    partial: bool
    """Some window with actions to read is of a partially labeled trajectory."""
    ended: bool
    """Some window reaches a terminal state."""
    unseen: bool
    """Some window reaches a last observation that was not recorded."""

    @property
    def last_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's final observation; None when no window is padded."""
        return self.row + self.remaining if self.padded else None

    @property
    def last_action_row(self) -> Int[np.ndarray, " B"] | None:
        """Row of each trajectory's last action; None when no window is padded."""
        return self.action_row + self.remaining - 1 if self.padded else None


class BatchPlan(NamedTuple):
    """A batch without its large arrays."""

    windows: Windows
    valid: Bool[np.ndarray, "B T"]
    unseen: Bool[np.ndarray, "B T"]
    action_mask: Bool[np.ndarray, "B T"]
    terminated: Bool[np.ndarray, "B T"]
    labeled: Bool[np.ndarray, " B"]

    def rows(self, chosen: slice) -> BatchPlan:
        """The plan of some windows; what is said of all of them still holds."""
        arrays = {k: v for k, v in self.windows._asdict().items() if isinstance(v, np.ndarray)}
        own = self.windows._replace(**{name: array[chosen] for name, array in arrays.items()})
        return BatchPlan(own, *(array[chosen] for array in self[1:]))


class Planner:
    """Plans batches; windows are drawn for many batches at once, which costs little more.

    Args:
        mixture: the trajectories.
        settings: how they are drawn.
    """

    def __init__(self, mixture: Mixture, settings: SamplingSettings) -> None:
        self._mixture, self._window = mixture, settings.window
        self.sampler = Sampler(mixture, settings)
        self._complete = mixture.complete
        self._local = np.arange(len(mixture.length)) - mixture.first[mixture.corpus]
        self._partial = mixture.partial & (mixture.action_row >= 0)
        self._per_window = settings.label_unit == "window"
        self._all = np.ones((settings.batch_size, settings.window), bool)
        self._steps = np.arange(settings.window)
        self._flags = None
        if self._partial.any():
            flags = [shard.action_observed for shard in mixture.shards]
            self._flags = WindowReader(flags, settings.window)
        self._block, self._windows = -1, dict[int, Windows]()

    @property
    def num_labeled(self) -> int | None:
        """Labeled windows in every batch; None where that is left to chance."""
        size, ratio = self._all.shape[0], self.sampler.settings.labeled_ratio
        if ratio is not None:
            return self.sampler.settings.num_labeled
        if self._complete.all():
            return size
        some = self._complete.any() or (self._per_window and self._partial.any())
        return None if some else 0

    def plan(self, step: int) -> BatchPlan:
        """The plan of batch ``step``."""
        block, place = divmod(step, self.sampler.block)
        if block != self._block or place not in self._windows:
            self._block, self._windows = block, dict(enumerate(self._draw(block)))
        # Windows are handed out once: their arrays become the caller's tensors, to change.
        windows = self._windows.pop(place)
        valid = self._all.copy()
        if windows.padded:
            valid = self._steps < windows.remaining[:, None]
        mask = self._action_mask(windows, valid)
        labeled = windows.complete
        if self._per_window and windows.partial:
            labeled = np.all(mask == valid, axis=1)
        terminated, unseen = np.zeros((2, *self._all.shape), bool)
        if windows.ended:
            terminated = self._at_end(windows, self._mixture.terminated[windows.trajectory])
        if windows.unseen:
            unseen = self._at_end(windows, ~windows.final_observed)
            valid &= ~unseen
            # nothing was inferred of an action that led to nothing recorded; a filler stands there
            mask &= ~(unseen & (windows.action_shard >= len(self._mixture.shards))[:, None])
        return BatchPlan(windows, valid, unseen, mask, terminated, labeled)

    def _at_end(self, windows: Windows, which: Bool[np.ndarray, " B"]) -> Bool[np.ndarray, "B T"]:
        """The last step of the trajectories of some windows, where it is in the window."""
        found = np.zeros(self._all.shape, bool)
        here = np.flatnonzero(which & (windows.remaining <= self._window))
        found[here, windows.remaining[here] - 1] = True
        return found

    def _draw(self, block: int) -> list[Windows]:
        table = self._mixture
        trajectory, start = self.sampler.draw(block)
        remaining = table.length[trajectory] - start
        action_row = table.action_row[trajectory]
        hidden = np.less(action_row, 0)
        at_end, seen = remaining <= self._window, table.final_observed[trajectory]
        ended = table.terminated[trajectory] & at_end
        partial = self._partial[trajectory]
        flags = (remaining < self._window, hidden, partial, ended, at_end & ~seen)
        columns = zip(  # in the order of the fields of Windows
            *(trajectory, self._local[trajectory], table.corpus[trajectory]),
            *(start, remaining, table.shard[trajectory]),
            *(table.row[trajectory] + start, np.where(hidden, -1, action_row + start)),
            table.action_shard[trajectory],
            *(self._complete[trajectory], table.rewarded[trajectory], seen),
            *(np.any(flag, axis=1).tolist() for flag in flags),
            strict=True,
        )
        return [Windows(*row) for row in columns]

    def _action_mask(
        self, windows: Windows, valid: Bool[np.ndarray, "B T"]
    ) -> Bool[np.ndarray, "B T"]:
        if not (windows.hidden or windows.partial):
            return valid.copy()
        mask = valid & (windows.action_row >= 0)[:, None]
        if windows.partial and self._flags is not None:
            some, last = self._partial[windows.trajectory], windows.last_action_row
            last = None if last is None else last[some]
            mask[some] &= self._flags(windows.shard[some], windows.action_row[some], last)
        return mask
