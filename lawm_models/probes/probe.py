"""The table: runs and anchors, on trajectories that no training has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lawm_schemas import ConfigError, Mask

from lawm_data.corpus.agreement import reads_alike
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_models.networks.latent_dynamics import LatentDynamics
from lawm_models.probes.anchors import config_beside, train_anchors
from lawm_models.probes.columns import PROBES
from lawm_models.probes.columns._protocol import ProbeModule
from lawm_models.probes.evidence import SMALLEST, Evidence, Kind, Row, Seen
from lawm_models.probes.held_out import divide
from lawm_models.probes.result import TITLES, Latents, Line, Probe, Settings
from lawm_models.probes.simulator import Simulator
from lawm_models.probes.subjects import (
    Subject,
    as_anchors,
    by_seed,
    labeled_names,
    open_latent,
    open_subject,
    require_alike,
)
from lawm_models.probes.transitions import Recorded, read, see

TRAJECTORIES = 200
"""Most that anchors and probes learn from; those whose actions the mask shows come first. And most
that are judged."""
JUDGED = 4000
"""Most transitions that are judged, drawn from all that are held out."""
TAUGHT, OTHERS = 20_000, 5_000
"""Most transitions that probes learn from, with labels and without."""


def probe(
    runs: Sequence[Path | str],
    corpus: Path | str,
    mask: str | Mask | None = None,
    *,
    simulate: bool = False,
    anchors: Sequence[Path | str] = (),
    settings: Settings | None = None,
    progress: ProgressBar | None = None,
) -> Probe:
    """Judge latent actions on trajectories that no training has seen.

    Runs that differ in nothing but their seed make one row; so many seeds have all anchors.

    Args:
        runs: folders of runs with latent actions, of the same observations.
        corpus: folder of the corpus. What runs have seen of it anchors and probes learn from, the
            rest is judged; if they have seen none of it, a fifth is judged.
        mask: whose labels anchors and probes learn from; None for all that were recorded.
        simulate: judge transfer and plans by the simulator, which takes recorded physics.
        anchors: runs to take as anchors instead of training them here: of ``acwm``, or of ``lam``
            without a constraint.
        settings: how much is done.
        progress: hears of each part.

    Raises:
        ConfigError: a run without latent actions, of other observations or another horizon than
            the first; nothing is held out; an anchor that is none; a probe that is broken.
        CorpusError: a corpus is damaged, or has no physics to simulate.
        MaskError: no such mask, or that of another corpus.
    """
    bar, settings = progress or NoBar(), settings or Settings()
    if not runs:
        raise ConfigError("no run", "lawm probe", "name one")
    probes = _probes()
    subjects, given = [open_latent(run) for run in runs], [open_subject(run) for run in anchors]
    require_alike([*subjects, *given])
    whole = open_corpus(corpus, verify=True)
    shown = _shown(whole, mask)
    everything, whole = whole, _as_observed(whole, subjects[0])
    horizon = subjects[0].dynamics.horizon
    simulator = Simulator(whole, horizon) if simulate else None
    as_given = as_anchors(given, shown, whole)
    division = divide(whole, [subject.run for subject in (*subjects, *given)])
    context = max(subject.dynamics.context for subject in (*subjects, *given))
    labeled = np.array([whole.table.id[i] in shown for i in division.fit], bool)
    order = np.concatenate([division.fit[labeled], division.fit[~labeled]])[:TRAJECTORIES]
    fit = read(whole, order, shown, horizon, context, everything)
    held = read(whole, division.judged[:TRAJECTORIES], shown, horizon, context, everything)
    evidence = _evidence(fit, held, settings)
    if simulator is not None:
        bar.start("simulate", settings.pairs)
        transfer = simulator.transfer(
            held.places,
            evidence.judged,
            evidence.other,
            settings.pairs,
            lambda done, _: bar.reach(done),
        )
        goals = simulator.goals(held, evidence.judged, settings.goals)
        evidence = replace(evidence, transfer=transfer, goals=goals)
    table = _Table(whole, fit, held, evidence, probes, settings, bar)
    lines, latents = table.lines(subjects, as_given)
    bar.stop()
    return Probe(
        corpus=str(corpus),
        mask=mask.name if isinstance(mask, Mask) else mask,
        division=division,
        fit=len(order),
        labeled=int(labeled[: len(order)].sum()),
        transitions=len(evidence.judged.step),
        simulated=0 if evidence.transfer is None else len(evidence.transfer.source),
        horizon=horizon,
        settings=settings,
        lines=tuple(lines),
        columns=tuple(column for module in probes for column in module.COLUMNS),
        latents=latents,
    )


class _Table:
    """Measures rows, seed by seed."""

    def __init__(
        self,
        whole: Corpus,
        fit: Recorded,
        held: Recorded,
        evidence: Evidence,
        probes: Sequence[ProbeModule],
        settings: Settings,
        bar: ProgressBar,
    ) -> None:
        self._view, self._fit, self._held = whole.filter(np.sort(fit.places)), fit, held
        self._evidence, self._settings, self._bar = evidence, settings, bar
        self._probes, self._done = probes, 0

    def lines(
        self, subjects: Sequence[Subject], given: Mapping[Kind, Sequence[Subject]]
    ) -> tuple[list[Line], dict[str, Latents]]:
        """All rows that have a figure, and the latent actions of each row's first run."""
        groups, latents = dict(by_seed(subjects)), {}
        lines = {
            name: Line(name, "run", tuple(str(subject.run.path) for subject in group), {})
            for name, group in groups.items()
        }
        about = {
            kind: Line(title, kind, tuple(str(s.run.path) for s in given.get(kind, ())), {})
            for kind, title in TITLES.items()
        }
        rounds = max(map(len, groups.values()))
        self._bar.start("probe", rounds * len(TITLES) + len(subjects))
        for number in range(rounds):
            anchors = self._anchors(number, subjects[0], given)
            seed = self._settings.seed + number
            evidence = replace(self._evidence, anchors=anchors, seed=seed)
            for kind, row in anchors.items():
                self._measure(about[kind], row, evidence)
            for name, group in groups.items():
                if number < len(group):
                    row = self._row("run", group[number].dynamics)
                    self._measure(lines[name], row, evidence)
                    latents.setdefault(name, Latents(row.judged.latent, *_truth(evidence)))
        return [line for line in (*lines.values(), *about.values()) if line.values], latents

    def _anchors(
        self, number: int, first: Subject, given: Mapping[Kind, Sequence[Subject]]
    ) -> dict[Kind, Row]:
        made = train_anchors(
            config_beside(first.dynamics),
            first.run.record.observations,
            self._view,
            self._fit,
            self._settings.steps,
            self._settings.seed + number,
            {kind: several[number % len(several)].dynamics for kind, several in given.items()},
        )
        rows: dict[Kind, Row] = {kind: self._row(kind, dynamics) for kind, dynamics in made.items()}
        if self._evidence.fit.shown.any():
            seen, fit, judged = rows["unconstrained"], self._evidence.fit, self._evidence.judged
            both = (Seen(seen.fit.state, fit.after), Seen(seen.judged.state, judged.after))
            rows["idm"] = Row("idm", None, *both)
        return rows

    def _row(self, kind: Kind, dynamics: LatentDynamics) -> Row:
        fit = see(dynamics, self._fit.observations, self._evidence.fit)
        judged = see(dynamics, self._held.observations, self._evidence.judged)
        return Row(kind, dynamics, fit, judged)

    def _measure(self, line: Line, row: Row, evidence: Evidence) -> None:
        """Add the figures of one seed."""
        for module in self._probes:
            for name, value in module.measure(row, evidence).items():
                line.values.setdefault(name, []).append(value)
        self._done += 1
        self._bar.reach(self._done)


def _truth(evidence: Evidence) -> tuple[torch.Tensor, torch.Tensor]:
    return evidence.judged.action, evidence.judged.known


def _probes() -> list[ProbeModule]:
    """All of them, in the order of their columns."""
    return sorted((PROBES.load(name) for name in PROBES.names()), key=lambda probe: probe.PLACE)


def _shown(whole: Corpus, mask: str | Mask | None) -> set[str]:
    return labeled_names(whole if mask is None else whole.with_mask(mask))


def _as_observed(whole: Corpus, subject: Subject) -> Corpus:
    """The corpus with what the run observes."""
    record, view = subject.run.record, whole.observing(subject.run.config.observe)
    if not reads_alike(view, record.state, record.action):
        what = "its observations or actions are not those of the run"
        names = ", ".join(spec.name for spec in record.observations)
        raise ConfigError(what, str(whole.path), f"the run reads {names}")
    subject.run.encoders().require_same(view)
    return view


def _evidence(fit: Recorded, held: Recorded, settings: Settings) -> Evidence:
    """What all rows are judged by."""
    generator = torch.Generator().manual_seed(settings.seed)
    every, among = fit.transitions, held.transitions
    change = (every.after - every.before).double().square().mean(0).sqrt()
    taught = _some(every.shown, TAUGHT, generator), _some(~every.shown, OTHERS, generator)
    # all rows on the same ones: of known actions, if there are some
    which = among.known if among.known.any() else torch.ones_like(among.known)
    judged = among.take(_some(which, JUDGED, generator).sort().values)
    # another one for each: a shift of a random order is never the same place
    order = torch.randperm(len(judged.step), generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return Evidence(
        unit=torch.where(change > SMALLEST, change, 1.0),
        fit=every.take(torch.cat(taught).sort().values),
        judged=judged,
        other=other,
        steps=settings.steps,
    )


def _some(which: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """Places of some that are true."""
    places = which.nonzero().squeeze(1)
    return places[torch.randperm(len(places), generator=generator)[:most]]
