"""All runs of a study, in parallel, over several sittings."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from lawm_schemas import AnchorResult, CellResult, Results, Study

from lawm_data.system import terminal as show
from lawm_data.system.atomic import WriterLock, storage_errors, write_file
from lawm_data.system.output import refuse_inside
from lawm_data.system.workers.processes import cores
from lawm_models.studies import judging, pace, record, relabeling, running
from lawm_models.studies.cell import Cell, CellRun, Place, cell_runs, run_key
from lawm_models.studies.judging import Judgement, Panel
from lawm_models.studies.plan import Plan, read_study
from lawm_models.studies.record import Known
from lawm_models.studies.running import Turn, turns


def benchmark(
    study: Study | Path | str,
    out: Path | str,
    *,
    only: Sequence[str] = ("*",),
    known: Sequence[Path | str] = (),
    workers: int | None = None,
    backend: str = "processes",
    device: str | None = None,
    stack: int | None = None,
    dry_run: bool = False,
) -> Results:
    """Run a study: corpora × algorithms × labels × seeds.

    The same call again goes on where runs were stopped, and tries those that failed once more.
    Everything is checked before anything runs; a run that fails does not stop the others.

    Args:
        study: the study, a YAML file of one, or the name of one in the package.
        out: its folder: the runs, and ``results.json``, from which ``lawm table`` makes tables.
        only: shell patterns; the runs of these names alone, such as ``*/lawm-5pct-seed0``.
        known: ``results.json`` of earlier studies, whose runs are not made again.
        workers: runs at once, one thread each; None takes one per core.
        backend: where they run, ``processes`` here or ``ray`` on a cluster.
        device: ``cpu``, ``cuda`` or ``cuda:N`` for all runs; None takes what the study says.
        stack: seeds that a worker trains at once; None takes all, if no worker is left idle.
        dry_run: only look what is there.

    Returns:
        What is known of the runs that were asked for; their ``state`` says whether they are done,
        and ``unjudged`` why the probe of the study found nothing of one.

    Raises:
        ConfigError: something is wrong with the study; ``SeveralErrors`` names all of it.
        StorageError: the folder is in a corpus, or another process works on the study.
    """
    out, made = Path(out), isinstance(study, Study)
    where = out.name if isinstance(study, Study) else str(study)
    asked = study if isinstance(study, Study) else read_study(where)
    folder = out.absolute()
    refuse_inside(folder / record.RESULTS)
    plan = Plan(asked, where, device)
    files = [Path(path) for path in known]
    there = record.kept(folder / record.RESULTS, asked, plan.cells)
    there |= record.read(files, asked, plan.cells)
    chosen = plan.named(only)
    called = ["lawm", "benchmark", where, "--out", str(out)]
    called += ["--device", device] if device else []
    name = out.name if made else Path(where).stem
    if dry_run:
        found = StudyState(folder, name, shlex.join(called), plan, there, files)
    else:
        about = (folder, name, shlex.join(called), plan, there, files)
        found = _run(*about, chosen, workers, backend, stack)
    return found.results_of(chosen)


class StudyState:
    """The cells of a study, their runs, and what is known of them.

    Args:
        out: its folder.
        name: its name.
        called: the command.
        plan: its cells.
        known: runs that are taken from elsewhere.
        files: where these are from: their anchors come along.

    Raises:
        ConfigError: a file is damaged.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        called: str,
        plan: Plan,
        known: Known,
        files: Sequence[Path] = (),
    ) -> None:
        self.out, self.name, self.called, self.study = out, name, called, plan.study
        self.known = known
        self.cells = plan.cells
        self.runs = cell_runs(out, plan.cells)
        # of runs by the keys of their cells, of judgements by what else they depend on, too
        self.errors: dict[str, str] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.figures: dict[tuple[str, str | None], dict[str, float]] = {}
        self.reasons: dict[tuple[str, str | None], str] = {}
        self._anchors: dict[Place, list[AnchorResult]] = {}
        for path in files:
            self._anchors |= record.anchors(Results.read_json(path), plan.study, plan.cells)
        before = record.previous(out)
        if before is not None:
            self._remember(before)
        self.results = [self._result(cell) for cell in plan.cells]

    def _remember(self, before: Results) -> None:
        """What was known until now of the runs that the study still has."""
        self._anchors |= record.anchors(before, self.study, self.cells)
        for known, cell in record.matched(before, self.cells):
            if known.taken_from:
                continue
            if known.error is not None:
                self.errors[cell.key] = known.error
            if known.cpu_seconds is not None:
                self.cpu_seconds[cell.key] = known.cpu_seconds
            judged = (cell.key, cell.judged_by)
            if known.figures and record.has_figures(before, known, self.study, cell):
                self.figures[judged] = known.figures
            elif known.unjudged and known.judged_by == cell.judged_by:
                self.reasons[judged] = known.unjudged

    @property
    def anchors(self) -> tuple[AnchorResult, ...]:
        """What runs were judged beside, in the order of the study."""
        places = dict.fromkeys(cell.place for cell in self.cells)
        return tuple(anchor for place in places for anchor in self._anchors.get(place, ()))

    def results_of(self, cells: Sequence[Cell]) -> Results:
        """What is known of some of them."""
        names = {cell.name for cell in cells}
        each = zip(self.cells, self.results, strict=True)
        kept = [(cell, result) for cell, result in each if cell.name in names]
        some: tuple[list[Cell], list[CellResult]] = ([c for c, _ in kept], [r for _, r in kept])
        return record.results(self.name, self.called, self.study, *some, self.anchors)

    def unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        """One cell for each run of some of them that is not done."""
        each = {cell.key: cell for cell in cells}
        done = {key for key in each if self.runs[key].finished} | self.known.keys()
        return [cell for key, cell in each.items() if key not in done]

    def untrained(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those whose own runs are not done, whatever is known from elsewhere."""
        return [cell for cell in cells if not self.runs[cell.key].finished]

    def finish(self, key: str, error: str | None, cpu_seconds: float) -> None:
        """Look again at a run that has ended, and keep what came out and what it took."""
        from lawm_models.training.run_folder import CONFIG, RunFolder

        folder = self.runs[key].folder
        saved = RunFolder.open(folder) if (folder / CONFIG).is_file() else None
        if error is None and saved is not None and run_key(saved) != key:
            # a run of its own, which a study of the corpus as it is now finds
            path = saved.record.corpora[0].path
            error = f"{path}: has changed since the study was checked; run the benchmark again"
            saved = None
        self.runs[key] = CellRun(folder, saved)
        self.cpu_seconds[key] = self.cpu_seconds.get(key, 0.0) + cpu_seconds
        self.errors.pop(key, None)
        # they were of a run that has given way to this one
        self.figures = {judged: each for judged, each in self.figures.items() if judged[0] != key}
        if error is not None:
            self.errors[key] = error
        for number, cell in enumerate(self.cells):
            if cell.key == key:
                self.results[number] = self._result(cell)
        self.write()

    def write(self) -> None:
        """Write what is known."""
        each = (self.cells, self.results, self.anchors)
        found = record.results(self.name, self.called, self.study, *each)
        write_file(self.out / record.RESULTS, found.to_json().encode())

    def _result(self, cell: Cell) -> CellResult:
        run, known = self.runs[cell.key], self.known.get(cell.key)
        teacher = cell.teacher and self.runs[cell.teacher.key].folder
        if known is not None and not run.finished:
            return record.taken_over(self.out, self.study, cell, run, known, teacher)
        error = self.errors.get(cell.key)
        found = record.cell_result(self.out, self.study, cell, run, error, teacher)
        known_of = {"cpu_seconds": self.cpu_seconds.get(cell.key)}
        if found.state == "done":
            judged = (cell.key, cell.judged_by)
            figures, reason = self.figures.get(judged), self.reasons.get(judged)
            known_of |= {"figures": figures, "unjudged": None if figures else reason}
            known_of["judged_by"] = cell.judged_by if figures or reason else None
        return found.model_copy(update=known_of)

    def unjudged(self, chosen: Sequence[Cell]) -> list[Panel]:
        """Runs to be judged: with all that stand beside one of which nothing is known yet."""
        done = [cell for cell in chosen if self.runs[cell.key].finished]
        found = judging.panels(self.study, done, [self.runs[cell.key].folder for cell in done])
        return [panel for panel in found if not self._judgements(panel) <= self.figures.keys()]

    def judged(self, found: Judgement) -> None:
        """Keep what the probe found, or why it found nothing."""
        if found.error is not None:
            self.reasons |= dict.fromkeys(self._judgements(found.panel), found.error)
        else:
            self._anchors[found.panel.key] = list(found.anchors)
            by_folder = {str(run.folder): key for key, run in self.runs.items()}
            for folder, figures in found.figures.items():
                self.figures[by_folder[folder], found.panel.judged_by] = figures
        self.results = [self._result(cell) for cell in self.cells]
        self.write()

    def _judgements(self, panel: Panel) -> set[tuple[str, str | None]]:
        """The keys of its runs, with what else their figures depend on."""
        return {
            (key, panel.judged_by)
            for key, run in self.runs.items()
            if str(run.folder) in panel.runs
        }


def _run(
    out: Path,
    name: str,
    called: str,
    plan: Plan,
    known: Known,
    files: Sequence[Path],
    chosen: Sequence[Cell],
    workers: int | None,
    backend: str,
    stack: int | None,
) -> StudyState:
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(out, "study")
    try:
        state = StudyState(out, name, called, plan, known, files)
        left = state.unfinished(chosen)
        # those of runs that were taken from elsewhere, too: their commands name them
        plan.write_masks([cell for cell in chosen if not state.runs[cell.key].finished])
        state.write()
        told = [cell for cell in left if cell.teacher]
        if told:
            asked = [cell for cell in left if not cell.teacher]
            needed = relabeling.teachers(told)
            left = list({cell.key: cell for cell in (*asked, *state.untrained(needed))}.values())
        if left:
            _work(state, left, workers, backend, stack)
        if told:
            told = _inferred(state, told, workers, backend)
        if told:
            _work(state, told, workers, backend, stack)
        if plan.study.probe is not None:
            _judge(state, chosen, workers, backend)
        return state
    finally:
        lock.release()


def _work(
    state: StudyState,
    left: list[Cell],
    workers: int | None,
    backend: str,
    stack: int | None,
) -> None:
    done = {
        cell.key: (
            cell,
            (result.seconds or 0.0) - pace.taken_seconds(state.runs[cell.key].folder),
        )
        for cell, result in zip(state.cells, state.results, strict=True)
        if result.state == "done"
    }
    order = turns(left, state.cells, state.runs)
    shorter = {turn.cell.key for turn in order if turn.shorter}
    shorter |= {key for key, run in state.runs.items() if run.saved and run.saved.record.taken}
    watch = pace.Pace(left, done, state.runs, shorter)
    work = [_item(turn, state.runs[turn.cell.key]) for turn in order]
    if stack is None:  # no worker is left without any
        stack = max(1, sum(not turn.shorter for turn in order) // (workers or cores()))
    stacks = running.stacks(work, stack)
    try:
        for key, error, trace, cpu_seconds in running.run(stacks, workers, backend, watch):
            _keep_traceback(state.runs[key].folder, trace)
            watch.finish(key, error is not None)
            state.finish(key, error, cpu_seconds)
    finally:
        watch.stop()


def _inferred(state: StudyState, told: list[Cell], workers: int | None, backend: str) -> list[Cell]:
    """The cells whose inferred actions are there, once they are made."""
    needed = relabeling.teachers(told)
    work = relabeling.tasks(needed, state.runs)
    errors = {cell.inferred: f"the run of {cell.name} is not done" for cell in needed}
    for number, found in enumerate(relabeling.infer(work, workers, backend), 1):
        if found.error is None:
            del errors[found.name]
        else:
            errors[found.name] = found.error
        show.line(f"inferred actions: {number} of {len(work)} done")
    ready = []
    for cell in told:
        assert cell.teacher is not None
        error = errors.get(cell.teacher.inferred)
        if error is None:
            ready.append(cell)
        else:
            state.finish(cell.key, error, 0.0)
    return ready


def _judge(state: StudyState, chosen: Sequence[Cell], workers: int | None, backend: str) -> None:
    work = state.unjudged(chosen)
    began = time.monotonic()
    for number, found in enumerate(judging.judge(work, workers, backend, lambda: None), 1):
        name = "/".join(map(str, found.panel.key))
        state.judged(found)
        if found.error is not None:
            show.line(f"not judged: {name}: {found.error}")
            continue
        took = time.monotonic() - began
        show.line(f"probe: {number} of {len(work)} done, {name}, {took:.0f} s")


def _item(turn: Turn, run: CellRun) -> running.Work:
    # what is begun goes on as it began: a mask of another name may hide the same
    config = run.saved.config if run.saved else turn.cell.config
    return running.Work(
        turn.cell.key,
        config.model_dump(mode="json"),
        str(run.folder),
        turn.cell.data.model_dump(mode="json"),
        turn.others,
    )


def _keep_traceback(folder: Path, trace: str | None) -> None:
    """Beside the run folder, so that what is in that stays a run."""
    path = folder.with_name(f"{folder.name}.traceback.txt")
    if trace is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, trace.encode())
