"""The runs that are judged, and runs that are taken as anchors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lawm_schemas import ConfigError
from torch import nn

from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import Probed
from lawm_models.networks.latent_dynamics import LatentDynamics
from lawm_models.probes.evidence import Kind
from lawm_models.training.experiment import data_now
from lawm_models.training.run_folder import RunFolder


class Subject(NamedTuple):
    """A run, opened."""

    run: RunFolder
    dynamics: LatentDynamics


def open_subject(path: Path | str) -> Subject:
    """A run with actions, latent or true.

    Raises:
        ConfigError: no run, or one of an algorithm that is without.
    """
    run = RunFolder.open(path)
    algorithm = run.algorithm()
    if not isinstance(algorithm, Probed):
        what, hint = "has no latent actions to probe", "give a run of lam, lawm or a relative"
        raise ConfigError(f"{run.config.algorithm.name} {what}", str(run.path), hint)
    if isinstance(algorithm, nn.Module):
        algorithm.requires_grad_(False)
    return Subject(run, algorithm.latent_dynamics())


def open_latent(path: Path | str) -> Subject:
    """A run with latent actions.

    Raises:
        ConfigError: no run, or one of an algorithm that has none.
    """
    subject = open_subject(path)
    if not subject.dynamics.infers:
        what = f"{subject.run.config.algorithm.name} has no latent actions to probe"
        raise ConfigError(what, str(path), "give it as --anchors")
    return subject


def require_alike(subjects: Sequence[Subject]) -> None:
    """Refuse runs that cannot stand in one table.

    Raises:
        ConfigError: they differ in what they observe or in how many steps an action leads over.
    """
    first = subjects[0].run
    for run, dynamics in subjects[1:]:
        where, hint = str(run.path), "probe them one by one"
        named, other = (
            [(spec.name, spec.shape) for spec in each.record.state] for each in (first, run)
        )
        if named != other or run.config.observe != first.config.observe:
            names = ", ".join(name for name, _ in named)
            raise ConfigError(f"does not observe what {first.path} does ({names})", where, hint)
        steps = subjects[0].dynamics.horizon
        if dynamics.horizon != steps:
            what = f"its actions lead over {dynamics.horizon} steps, those of {first.path} {steps}"
            raise ConfigError(what, where, hint)


def by_seed(subjects: Sequence[Subject]) -> Iterator[tuple[str, list[Subject]]]:
    """Runs that differ in nothing but their seed, under a name of all of them."""
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        key = subject.run.config.model_copy(update={"seed": 0}).to_yaml()
        groups.setdefault(key, []).append(subject)
    taken: set[str] = set()
    for group in groups.values():
        first = group[0].run
        name = first.path.name
        if len(group) > 1:
            name = name.removesuffix(f"-{first.config.seed}")
        name = str(first.path) if name in taken else name
        taken.add(name)
        yield name, group


def labeled_names(view: Corpus) -> set[str]:
    """Names of the trajectories of a view with readable actions."""
    return set(view.table.id[view.table.num_observed > 0].tolist())


def as_anchors(
    subjects: Sequence[Subject], shown: set[str], whole: Corpus
) -> dict[Kind, list[Subject]]:
    """Runs by what they are to the table.

    Args:
        subjects: the runs.
        shown: names of the trajectories whose actions the mask shows.
        whole: the corpus that is probed, without a mask.

    Raises:
        ConfigError: one is no anchor, or has learned from other labels than those of the mask, or
            from inferred ones.
    """
    found: dict[Kind, list[Subject]] = {}
    for subject in subjects:
        found.setdefault(_kind(subject, shown, whole), []).append(subject)
    return found


def _kind(subject: Subject, shown: set[str], whole: Corpus) -> Kind:
    run = subject.run
    if any(corpus.inferred for corpus in run.record.corpora):
        hint = "give a run without --labels"
        raise ConfigError("learned from inferred actions: is no anchor", str(run.path), hint)
    if subject.dynamics.infers:
        model = run.config.algorithm.settings.get("model", {})
        free = model.get("constraint", {}).get("name") == "none" and not model.get("labels")
        if free and run.config.algorithm.name == "lam":
            return "unconstrained"
        hint = "give runs of acwm, or of lam with the constraint none and without labels"
        raise ConfigError("is no anchor", str(run.path), hint)
    views = [view for view in data_now(run.config) if view is not None]
    unmasked = all(corpus.mask is None for corpus in run.record.corpora)
    if unmasked and all(_shows_all(view, whole) for view in views):
        return "acwm_all"
    for view in views:
        if labeled_names(view) != shown & set(view.table.id.tolist()):
            hint = "train it on those, or leave it out: it is trained here then"
            raise ConfigError("learned from other labels than the mask's", str(run.path), hint)
    return "acwm"


def _shows_all(view: Corpus, whole: Corpus) -> bool:
    """Whether a view has every action that the corpus has of trajectories of the same names."""
    known = dict(zip(whole.table.id.tolist(), whole.table.num_observed.tolist(), strict=True))
    rows = zip(view.table.id.tolist(), view.table.num_observed.tolist(), strict=True)
    return all(count >= known.get(name, 0) for name, count in rows)
