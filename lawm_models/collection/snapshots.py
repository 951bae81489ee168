"""The policies of a collecting agent along its training, and rollouts that share them out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError

from lawm_data.recording.collect import NOISE, RESET, Rollout, derive

MARK = "@snapshots"
_NAMED = re.compile(rf"(?P<path>.+){MARK}(:(?P<low>\d*):(?P<high>\d*))?")


class SnapshotRange(NamedTuple):
    """Snapshots of one agent, ``FOLDER@snapshots`` or ``FOLDER@snapshots:LOW:HIGH``."""

    path: Path
    """Folder of the agent, ``OUT.agent``."""
    low: int | None
    """First round, included."""
    high: int | None
    """Last round, included."""

    @classmethod
    def parse(cls, agent: str) -> SnapshotRange | None:
        """The snapshots that an agent's name asks for; None when it names none.

        Raises:
            ConfigError: it cannot be read.
        """
        if MARK not in agent:
            return None
        found = _NAMED.fullmatch(agent)
        if found is None:
            hint = f"give FOLDER{MARK}, or FOLDER{MARK}:LOW:HIGH with rounds"
            raise ConfigError("cannot be read", f"--agent {agent}", hint)
        low, high = (int(found[k]) if found[k] else None for k in ("low", "high"))
        return cls(Path(found["path"]), low, high)

    def choose(self, names: Sequence[str]) -> list[str]:
        """Of all snapshots of the agent, in order, those of these rounds.

        Raises:
            ConfigError: there is none.
        """
        if not names:
            hint = "let it collect longer: one is kept every 10 rounds"
            raise ConfigError("this agent has no snapshots yet", str(self.path), hint)
        low = 0 if self.low is None else self.low
        high = int(names[-1]) if self.high is None else self.high
        chosen = [name for name in names if low <= int(name) <= high]
        if not chosen:
            what = f"no snapshot of rounds {low} to {high}"
            hint = f"it has those of rounds {int(names[0])} to {int(names[-1])}"
            raise ConfigError(what, str(self.path), hint)
        return chosen


def snapshot_rollouts(
    ages: Mapping[str, int],
    trajectories: int,
    num_envs: int,
    seed: int | Sequence[int],
    done: int = 0,
) -> Iterator[Rollout]:
    """Rollouts over snapshots: as many trajectories for each, up to one, in their order.

    The trajectories of a snapshot stand together. A prefix of the rollouts is not what fewer
    trajectories would have been: the shares are of the whole.

    Args:
        ages: the snapshots in order, with the ``agent_step`` of each.
        trajectories: how many from all of them.
        num_envs: N, at most so many in one rollout.
        seed: of resets and noise.
        done: trajectories that are there already.
    """
    place = 0
    for i, (name, age) in enumerate(ages.items(), 1):
        count = trajectories * i // len(ages) - place
        lots = -(-count // num_envs)
        for lot in range(lots):
            size = count * (lot + 1) // lots - count * lot // lots
            seeds = tuple(derive(seed, RESET, k) for k in range(place, place + size))
            rest = Rollout(place, seeds, derive(seed, NOISE, place), name, age).after(done)
            if rest is not None:
                yield rest
            place += size
