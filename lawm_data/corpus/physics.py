"""How a corpus without states of the simulator could have come by some."""

from __future__ import annotations

from lawm_data.corpus.corpus import Corpus

COLLECT = "collect it again, without --no-physics"
PIXELS = "collect it with --pixels"


def physics_hint(corpus: Corpus, purpose: str, instead: str = "") -> str:
    """What to do about a corpus that has no states of the simulator, by where it is from.

    Args:
        corpus: any view without the role ``physics``.
        purpose: what they are wanted for, behind "there is nothing to", such as ``draw from``.
        instead: what else to do where no collecting brings them; none if nothing helps.
    """
    manifest = corpus.manifest
    done = {step.operation for step in manifest.lineage}
    imported = "import" in done or any(entry.origin == "import" for entry in manifest.provenance)
    environment = manifest.environment
    suite = environment.suite if environment else None
    nothing = f"there is nothing to {purpose}"
    if imported or "record" in done:
        how = "imported" if imported else "recorded by a wrapper"
        return f"it was {how} without them, and {nothing}"
    if suite == "dm_control":
        return COLLECT
    if suite == "gym":
        reason = "environments of Gymnasium keep no such state"
        return f"{reason}; {instead}" if instead else f"{reason}, and {nothing}"
    return nothing
