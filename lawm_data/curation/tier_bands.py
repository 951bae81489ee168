"""Which returns make a quality tier: those of the paper's corpora, by environment."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, get_args

from lawm_schemas import ConfigError

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
        mend = f"give --returns LOW:HIGH; known are {', '.join(BANDS)}"
        raise ConfigError(f"has no preset returns for {tier}", where, mend)
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
