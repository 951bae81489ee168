"""Corpora to publish: hidden actions are not hidden there, they do not exist."""

from __future__ import annotations

import shutil
from pathlib import Path

from lawm_schemas import LineageStep, Role, StorageError

from lawm_data.atomic import storage_errors, sync_folder, temporary_name
from lawm_data.compaction import SHARD_BYTES
from lawm_data.corpus import Corpus
from lawm_data.mask import mask_sha256
from lawm_data.store import open_store
from lawm_data.table import OBSERVED
from lawm_data.writer import CorpusWriter


def withhold(corpus: Corpus, out: str | Path) -> Path:
    """Write what a view shows into a corpus of its own; ids are kept.

    The checksums of the source are compared first, since the copy gets new ones. Every trajectory
    is written anew through the view, so that nothing the view hides can be in the new files.
    Inferred actions are not recorded ones and stay behind.

    Args:
        corpus: the view, usually ``with_mask(...)``.
        out: a folder that does not exist yet.

    Raises:
        CorpusError: the source was altered.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    out = Path(out)
    if out.exists():
        raise StorageError("something is already there", str(out), "choose another place")
    open_store(corpus.path, verify=True)
    with storage_errors(out):
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(out.absolute())
    try:
        _copy(corpus, temporary)
        with storage_errors(out):
            (temporary / ".lock").unlink()
            temporary.rename(out)
            sync_folder(out.absolute().parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return out


def _copy(corpus: Corpus, out: Path) -> None:
    manifest = corpus.manifest
    with CorpusWriter.create(
        out,
        observations=manifest.observations,
        action=manifest.action,
        environment=manifest.environment,
        lineage=(*manifest.lineage, _step(corpus)),
        licence=manifest.licence,
    ) as writer:
        physics = [s.name for s in manifest.observations if s.role is Role.physics]
        for trajectory, entry in zip(corpus, corpus.table.provenance, strict=True):
            observations = dict(trajectory.observations.items())
            if trajectory.physics is not None:
                observations[physics[0]] = trajectory.physics
            info = trajectory.info
            shown = bool(trajectory.action_observed.any())
            writer.add(
                observations,
                trajectory.rewards,
                trajectory.actions if shown else None,
                action_observed=trajectory.action_observed if shown else None,
                terminated=info.terminated,
                truncated=info.truncated,
                provenance=manifest.provenance[entry],
                agent_step=info.agent_step,
                seed=info.seed,
                metadata=info.metadata,
                trajectory_id=info.id,
            )
            if writer.pending_bytes >= SHARD_BYTES:
                writer.commit()


def _step(corpus: Corpus) -> LineageStep:
    mask = corpus.mask
    settings: dict[str, object] = {"trajectories": len(corpus)}
    if mask is not None:
        settings |= {
            "mask": mask.name,
            "mask_sha256": mask_sha256(mask),
            "fraction": mask.fraction,
            "seed": mask.seed,
            "by": mask.by,
            "stratify": mask.stratify,
        }
    settings["labeled"] = int((corpus.table.labels == OBSERVED).sum())
    return LineageStep(operation="withhold", parents=(corpus.root_fingerprint,), settings=settings)
