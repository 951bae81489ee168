"""Latent actions beside a corpus: a trained model infers them of every transition, once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from lawm_schemas import ConfigError, LatentSet
from torch import nn

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.latents import LatentActions, free_latents, save_latents
from lawm_models.algorithms._protocol import Probed
from lawm_models.networks.latent_dynamics import LatentDynamics, side_by_side
from lawm_models.runs.relabel import STEPS_AT_ONCE, groups, require_readable
from lawm_models.training import seeding
from lawm_models.training.experiment import seen_through
from lawm_models.training.run_folder import RunFolder


class LatentsMade(TypedDict):
    """What came of inferring latent actions."""

    name: str
    """What they are called."""
    path: str
    """Where they are."""
    width: int
    """D, numbers of each."""
    codes: int | None
    """Size of the codebook that they are from."""
    trajectories: int
    """Trajectories that have latent actions: all."""
    transitions: int
    """How many of their steps have one."""
    dry_run: bool
    """Nothing was written."""


def make_latents(
    run: RunFolder | Path | str,
    corpus: Path | str,
    name: str,
    replace: bool = False,
    dry_run: bool = False,
) -> LatentsMade:
    """Infer the latent action of every transition of a corpus; no action is read.

    They stand beside the corpus, with its fingerprint and what they are of, and are no labels:
    nothing that takes actions takes them.

    Args:
        run: the run, or its folder; of an algorithm with latent actions.
        corpus: folder of the corpus; any with the observations of the run.
        name: of the latent actions.
        replace: others of this name give way.
        dry_run: write nothing.

    Raises:
        ConfigError: a run without latent actions, or a corpus with other observations.
        CorpusError: the name is taken, or the corpus was altered.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    whole = open_corpus(corpus, verify=True).observing(run.config.observe)
    require_readable(run, whole)
    seen = seen_through(run.path, run.record.corpora, whole)
    folder = free_latents(whole.path, name, replace)
    trained = run.trained()
    dynamics = _dynamics(trained.algorithm, run)
    with seeding.thread_limit(run.config.threads), torch.no_grad():
        lengths = whole.table.length.tolist()
        inferred = zip(lengths, _inferred(dynamics, whole), strict=True)
        found = {name: (length, latents) for length, (name, latents) in inferred}
    info = LatentSet(
        name=name,
        corpus=whole.root_fingerprint,
        width=dynamics.latent_dim,
        codes=dynamics.codes,
        horizon=dynamics.horizon,
        constraint=run.config.algorithm.settings["model"]["constraint"],
        run=run.path.resolve().name,
        model=trained.sha256,
        algorithm=run.config.algorithm.name,
        observe=run.config.observe,
        mask=seen and seen.mask,
        mask_sha256=seen and seen.mask_sha256,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        trajectories=0,
        sha256="",
    )
    if not dry_run:
        save_latents(folder, info, found)
    return {
        "name": name,
        "path": str(folder),
        "width": info.width,
        "codes": info.codes,
        "trajectories": len(found),
        "transitions": sum(len(latents.values) for _, latents in found.values()),
        "dry_run": dry_run,
    }


def _dynamics(algorithm: object, run: RunFolder) -> LatentDynamics:
    """What infers them."""
    dynamics = algorithm.latent_dynamics() if isinstance(algorithm, Probed) else None
    if dynamics is None or not dynamics.infers:
        what = f"{run.config.algorithm.name} has no latent actions"
        raise ConfigError(what, str(run.path), "give a run of lam, lawm or a relative")
    if isinstance(algorithm, nn.Module):
        algorithm.requires_grad_(False)
    return dynamics


def _inferred(dynamics: LatentDynamics, whole: Corpus) -> Iterator[tuple[str, LatentActions]]:
    """Of every trajectory, in the order of the corpus."""
    reach, ids = dynamics.horizon, whole.table.id.tolist()
    for group in groups(whole.table.length, STEPS_AT_ONCE):
        seen = []
        for place in group:
            trajectory = whole[place]
            # the last row may only repeat the one before it
            rows = len(trajectory) + trajectory.final_observed
            state = np.array(trajectory.observations.state[:rows], np.float32)
            seen.append(torch.from_numpy(state))
        states = dynamics.states(side_by_side(seen))
        for place, observed, state in zip(group, seen, states, strict=True):
            count = max(len(observed) - reach, 0)
            latent = dynamics.infer(state[:count], observed[reach:])
            code = dynamics.code(latent)
            codes = None if code is None else code.numpy().astype(np.int32)
            yield ids[place], LatentActions(latent.numpy(), codes)
