"""Quality tiers: trajectories of collections, chosen by return and by the age of the agent.

What is chosen of each collection, in the order of its agent's training:

- ``expert``: returns in the band (which has no upper end).
- ``medium``: returns in the band, from a stretch in the middle of training. It begins where the
  running median of the returns first reaches the lower end of the band, and ends where it first
  exceeds the upper end.
- ``medium-replay``: likewise, and as the band has no lower end the stretch begins with training:
  the replay of an agent that has become medium.

Trajectories whose rewards were not recorded have no return, and are of no tier.

Of those, each collection gives its share, the first ones in the order of a keyed hash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from lawm_schemas import ConfigError, CorpusError, Manifest
from numpy.lib.stride_tricks import sliding_window_view

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import ranks
from lawm_data.corpus.table import Table
from lawm_data.curation.common_arrays import require_same_arrays
from lawm_data.curation.derive import Derived, derive, digests_of
from lawm_data.system.output import require_free

Tier = Literal["expert", "medium", "medium-replay"]
TIERS: tuple[Tier, ...] = get_args(Tier)


class Band(NamedTuple):
    """Returns from ``low`` to ``high``, both included; None is no bound."""

    low: float | None
    high: float | None

    def __str__(self) -> str:
        ends = ("" if end is None else f"{end:g}" for end in self)
        return ":".join(ends)


class Bands(NamedTuple):
    """The bands of one environment, for returns of a whole episode (1,000 at most)."""

    expert: Band
    medium: Band
    medium_replay: Band


def _bands(expert: float, medium: tuple[float, float], replay: float) -> Bands:
    return Bands(Band(expert, None), Band(*medium), Band(None, replay))


BANDS = {
    # smallest and largest returns of Table 4
    "walker-walk": _bands(750, (275, 700), 600),
    "cheetah-run": _bands(750, (300, 600), 600),
    "hopper-stand": _bands(800, (250, 750), 700),
    # not in the paper; where training on it is under way and where it is over
    "cartpole-swingup": _bands(800, (300, 700), 700),
}


def band_of(task: str | None, tier: Tier) -> Band:
    """The band of a tier in an environment.

    Raises:
        ConfigError: there is no preset for it.
    """
    if task not in BANDS:
        where = f"environment {task or 'unknown'}"
        hint = f"give --returns LOW:HIGH; known are {', '.join(BANDS)}"
        raise ConfigError(f"has no preset returns for {tier}", where, hint)
    return BANDS[task]._asdict()[tier.replace("-", "_")]


def parse_band(text: str) -> Band:
    """``LOW:HIGH``, of which one may be left out.

    Raises:
        ConfigError: it is not that, or the wrong way round.
    """
    number = r"\s*([-+]?(?:\d+\.?\d*|\.\d+))?\s*"
    found = re.fullmatch(f"{number}:{number}", text)
    if not found or not any(found.groups()):
        raise ConfigError("is not LOW:HIGH", f"--returns {text!r}", "write 300:600, or 750:")
    low, high = (None if end is None else float(end) for end in found.groups())
    if low is not None and high is not None and low > high:
        raise ConfigError("LOW is above HIGH", f"--returns {text!r}", "exchange them")
    return Band(low, high)


WINDOW = 11
"""Trajectories of the running median."""


class Share(NamedTuple):
    """What one collection gives to a tier."""

    path: Path
    fingerprint: str
    wanted: int
    eligible: int
    """Trajectories in the band and in the stretch of training."""
    taken: int
    missing: int
    unplaced: int
    """Trajectories in the band whose age is not known, so that they cannot be in the stretch."""
    agent_steps: tuple[int, int] | None
    """Ages at the ends of the stretch; None when it is empty, or without ages."""


class Tiered(NamedTuple):
    """A corpus of one tier, or with ``dry_run`` what it would be."""

    derived: Derived
    tier: Tier
    returns: Band
    wanted: int
    missing: int
    """Trajectories that the collections do not have; nothing stands in for them."""
    shares: tuple[Share, ...]


def write_tier(
    corpora: Sequence[Corpus],
    tier: Tier,
    trajectories: int,
    out: str | Path,
    *,
    returns: Band | None = None,
    seed: int = 0,
    dry_run: bool = False,
) -> Tiered:
    """Write a corpus of one tier, equal shares from every collection.

    A collection that cannot fill its share gives what it has: no other one, and nothing outside
    the band, makes up for it. When the shares do not come out even, the first collections give
    one more. ``tier`` stands in the provenance of every trajectory.

    Args:
        corpora: collections of one environment, usually one per seed.
        tier: what is chosen.
        trajectories: size of the corpus, if everything is there.
        out: a folder that does not exist yet.
        returns: the band; None takes the preset of the environment.
        seed: key of the choice.
        dry_run: only report what would be written.

    Raises:
        ConfigError: an unknown tier, or an environment without a preset.
        CorpusError: the corpora differ or are the same, or not one trajectory is in the tier.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    _check(corpora, tier, trajectories)
    require_free(Path(out))
    environment = corpora[0].manifest.environment
    band = returns or band_of(environment and environment.task, tier)
    shares, views, seen = [], [], set()
    for k, corpus in enumerate(corpora):
        wanted = trajectories // len(corpora) + (k < trajectories % len(corpora))
        digests = list(map(bytes, digests_of(corpus)))
        new = np.array([digest not in seen for digest in digests], bool)
        seen.update(digests)
        share, view = _choose(corpus, new, tier, band, wanted, seed)
        shares.append(share)
        views.append(view)
    if not any(share.taken for share in shares):
        what = f"no trajectory is of tier {tier} (returns {band})"
        hint = "collect more, or give other returns (--returns)"
        if not any(corpus.table.rewarded.any() for corpus in corpora):
            what = "no rewards were recorded, and a tier is chosen by returns"
            hint = "give corpora with rewards"
        raise CorpusError(what, ", ".join(str(share.path) for share in shares), hint)
    settings = {
        "tier": tier,
        "returns": list(band),
        "trajectories": trajectories,
        "seed": seed,
        "taken": [share.taken for share in shares],
    }

    def described(manifest: Manifest) -> Manifest:
        sources = tuple(s.model_copy(update={"tier": tier}) for s in manifest.provenance)
        return manifest.model_copy(update={"provenance": sources})

    derived = derive(views, out, "tier", settings, described=described, dry_run=dry_run)
    missing = sum(share.missing for share in shares)
    return Tiered(derived, tier, band, trajectories, missing, tuple(shares))


def stretch(table: Table, band: Band) -> np.ndarray:
    """Which trajectories were recorded while the agent was as good as a band, (N,) bool.

    Trajectories are put in the order of the agent's age, and of the corpus where ages are equal
    or not one is known. If some are known, those that are not lie outside. So do those whose
    rewards were not recorded: they tell nothing of how good the agent was.
    """
    known = table.agent_step >= 0
    placed = np.flatnonzero(table.rewarded & (known if known.any() else True))
    order = placed[np.argsort(table.agent_step[placed], kind="stable")]
    typical = table.episode_return[order]
    if len(order):  # the running median, over fewer trajectories at the ends
        padded = np.pad(typical, WINDOW // 2, constant_values=np.nan)
        typical = np.nanmedian(sliding_window_view(padded, WINDOW), axis=1)
    begin = 0 if band.low is None else _first(typical >= band.low)
    end = len(order)
    if band.high is not None:
        end = begin + _first(typical[begin:] > band.high)
    inside = np.zeros(len(table), bool)
    inside[order[begin:end]] = True
    return inside


def _check(corpora: Sequence[Corpus], tier: str, trajectories: int) -> None:
    if tier not in TIERS:
        raise ConfigError(f"no tier {tier!r}", "tier", f"known ones: {', '.join(TIERS)}")
    if trajectories < len(corpora) or not corpora:
        what = f"{trajectories} trajectories of {len(corpora)} collections"
        raise ConfigError(what, "tier", "ask for one of each at least")
    require_same_arrays(corpora)
    for k, corpus in enumerate(corpora):
        twins = [other for other in corpora[:k] if other.fingerprint == corpus.fingerprint]
        if twins:
            what = f"is the same corpus as {twins[0].path}"
            raise CorpusError(what, str(corpus.path), "give it once")


def _choose(
    corpus: Corpus, new: np.ndarray, tier: Tier, band: Band, wanted: int, seed: int
) -> tuple[Share, Corpus]:
    table = corpus.table
    low = -np.inf if band.low is None else band.low
    high = np.inf if band.high is None else band.high
    fits = new & table.rewarded & (table.episode_return >= low) & (table.episode_return <= high)
    inside = np.ones(len(table), bool) if tier == "expert" else stretch(table, band)
    unplaced = fits & ~inside & (table.agent_step < 0)
    eligible = np.flatnonzero(fits & inside)
    ids = table.ids[eligible]
    taken = eligible[np.lexsort((ids, ranks(ids.tolist(), seed)))[:wanted]]
    kept = np.zeros(len(table), bool)
    kept[taken] = True
    ages = table.agent_step[inside & (table.agent_step >= 0)]
    share = Share(
        path=corpus.path,
        fingerprint=corpus.fingerprint,
        wanted=wanted,
        eligible=len(eligible),
        taken=len(taken),
        missing=wanted - len(taken),
        unplaced=int(unplaced.sum()) if (table.agent_step >= 0).any() else 0,
        agent_steps=(int(ages.min()), int(ages.max())) if len(ages) else None,
    )
    return share, corpus.filter(kept)


def _first(holds: np.ndarray) -> int:
    """Where it first holds; behind the end when it never does."""
    return int(np.argmax(holds)) if holds.any() else len(holds)


def rounds_of(corpus: Corpus, tier: Tier) -> tuple[int, int]:
    """First and last trajectory, from 0, of the stretch of one training that is of a tier.

    Args:
        corpus: all trajectories of one training, in their order.
        tier: ``expert`` stands for all of training from the first time on.

    Raises:
        CorpusError: the agent never was that good.
    """
    environment = corpus.manifest.environment
    band = band_of(environment and environment.task, tier)
    inside = np.flatnonzero(stretch(corpus.table, band))
    if not len(inside):
        what = f"its agent never was of tier {tier} (returns {band})"
        raise CorpusError(what, str(corpus.path), "let it learn longer")
    return int(inside[0]), int(inside[-1])
