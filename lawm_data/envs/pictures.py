"""Pictures that a policy sees: whether an environment shows them, and which it is told to draw."""

from __future__ import annotations

from collections.abc import Sequence

from lawm_schemas import ArraySpec, ConfigError, Role

from lawm_data.envs import suites as envs


def cameras(specs: Sequence[ArraySpec]) -> tuple[ArraySpec, ...]:
    """Those of some arrays that are pictures."""
    return tuple(spec for spec in specs if spec.role is Role.pixels)


def drawn_picture(
    reads: Sequence[ArraySpec], task: str, suite: str = "dm_control"
) -> ArraySpec | None:
    """The picture among what a policy reads that its environment has to be told to draw.

    An environment of Gymnasium may observe pictures of its own, for which nobody asks.
    """
    told = (s for s in cameras(reads) if s.name == envs.camera_name(task, suite))
    return next(told, None)


def shapes(specs: Sequence[ArraySpec]) -> str:
    """Arrays for a message, ``pixels[64, 64, 3]``; ``nothing`` without any."""
    return ", ".join(f"{spec.name}{list(spec.shape)}" for spec in specs) or "nothing"


def require_pictures(
    reads: Sequence[ArraySpec], environments: envs.Environments, where: str, hint: str
) -> None:
    """Refuse an environment that does not show every picture that a policy sees.

    Raises:
        ConfigError: names what it sees, and what is shown.
    """
    seen, shown = cameras(reads), cameras(environments.observations)
    if not {(s.name, s.shape) for s in seen} <= {(s.name, s.shape) for s in shown}:
        what = f"the policy sees {shapes(seen)}, and {environments.info.task} shows {shapes(shown)}"
        raise ConfigError(what, where, hint)
