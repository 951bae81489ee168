"""A corpus with camera images, drawn from the states of the simulator that another one recorded.

Pictures are drawn one trajectory after another into parts beside the output, and the corpus is put
together when all are there: a command that was stopped goes on where it was, with the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lawm_schemas import (
    MANIFEST,
    ArraySpec,
    ConfigError,
    CorpusError,
    Drawing,
    EnvironmentInfo,
    LawmError,
    Role,
    StorageError,
)

from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.physics import PIXELS, physics_hint
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.curation.common_arrays import Arrays
from lawm_data.curation.derive import Derived, derive, through
from lawm_data.envs.distractors import parse as parse_distractors
from lawm_data.envs.suites import LARGEST_SEED, Environments, make, usual_drawing
from lawm_data.system.atomic import read_file, write_file
from lawm_data.system.output import claimed, folder_for, require_free
from lawm_data.system.parts import open_parts, parts_folder, remove_parts
from lawm_data.system.progress import Progress, silent
from lawm_data.system.workers import Executor

PACKAGES = ("lawm", "mujoco", "dm_control", "gymnasium")
"""Pictures that other versions have drawn may differ, and are drawn again."""


def rerender_corpus(
    corpus: Corpus,
    out: str | Path,
    *,
    size: int,
    drawing: Drawing | None = None,
    execute: Executor | None = None,
    workers: int | None = None,
    keep: Collection[str] = (),
    dry_run: bool = False,
    progress: Progress = silent,
) -> Derived:
    """Write a corpus of the same trajectories with camera images.

    They are drawn from the recorded states of the simulator. Where none were recorded the actions
    are replayed from the seed of the reset, and must lead to every recorded observation exactly.

    Args:
        corpus: the view. Through a mask the new corpus has no hidden action, as ``filter`` writes
            none, and no hidden action is replayed.
        out: a folder that does not exist yet.
        size: edge of the square images, in pixels.
        drawing: how they are drawn; None as the suite itself does.
        execute: runs workers that draw; None draws in this process.
        workers: how many.
        keep: clues to hidden actions that are kept, see ``without_clues``.
        dry_run: only report what would be written.
        progress: called with how many trajectories are drawn, and of how many.

    Raises:
        ConfigError: no such camera, or the environment cannot be made or drawn on this machine.
        CorpusError: what is seen is not determined by what was recorded.
        StorageError: something is already there, or the file system refused; nothing is left.
    """
    out = Path(out)
    _require_free(out)
    artist = _Artist(corpus, size, drawing)
    artist.require_all()
    arrays = _with(corpus, artist.arrays)
    drawn = artist.arrays[0].drawing and artist.arrays[0].drawing.model_dump(mode="json")
    settings = {"size": size, "drawing": drawn, **through(corpus)}
    names = [spec.name for spec in artist.arrays]
    derived = partial(
        *(derive, [corpus], out, "rerender", settings), arrays=arrays, remade=names, keep=keep
    )
    if dry_run:
        return derived(dry_run=True)
    with folder_for(out.absolute()), claimed(parts_folder(out.absolute())):
        purpose = [corpus.root_fingerprint, corpus.table.id.tolist(), settings, _versions()]
        folder = open_parts(out, json.dumps(purpose, sort_keys=True))
        try:
            missing = [i for i in range(len(corpus)) if not (folder / _name(i)).exists()]
            _draw_all(artist, missing, folder, execute, workers, progress)
            places = {name: i for i, name in enumerate(corpus.table.id.tolist())}
            made = derived(made=lambda name: _read(artist, folder, places[name]))
        except StorageError:
            raise  # what is drawn is of use once there is space again
        except LawmError:
            remove_parts(out)
            raise
        remove_parts(out)
    return made


def drawing_of(
    corpus: Corpus,
    by: Literal["fast", "shadows", "suite"] | None = None,
    camera: int | str | None = None,
    distractors: Sequence[str] = (),
    seed: int = 0,
) -> Drawing | None:
    """How new pictures of a corpus are drawn; None where its suite draws in its own way only.

    Args:
        corpus: names the environment.
        by: see ``Drawing``; None as is usual of the suite.
        camera: number or name; None takes the usual one.
        distractors: what else moves in them.
        seed: of the distractors.

    Raises:
        ConfigError: no such distractor.
    """
    info = corpus.manifest.environment
    usual = None if info is None else usual_drawing(info.task, info.suite)
    others = parse_distractors(distractors)
    if by is None and camera is None and not others:
        return usual
    return Drawing(
        by=by or (usual or Drawing()).by,
        camera=camera,
        distractors=others,
        seed=seed if others else 0,
    )


def _with(corpus: Corpus, new: Sequence[ArraySpec]) -> Arrays:
    """The arrays of a corpus and new ones, which take the place of those that they are called."""
    manifest = corpus.manifest
    there, notes = {spec.name: spec for spec in manifest.observations}, []
    for spec in new:
        same = there.get(spec.name)
        if same is not None and same.role is not spec.role:
            what = f"its array {spec.name} is {same.role}, and not {spec.role}"
            hint = f"give it another name: lawm-data edit --rename {spec.name}=NAME"
            raise ConfigError(what, str(corpus.path), hint)
        notes += [] if same is None else [f"array {spec.name}: was made anew"]
        there[spec.name] = spec
    return Arrays(tuple(there.values()), manifest.action, tuple(notes))


def _require_free(out: Path) -> None:
    """Refuse a place where something is; of a corpus that is done no parts are kept."""
    try:
        require_free(out)
    except StorageError:
        parts = parts_folder(out.absolute())
        if (out / MANIFEST).is_file() and parts.is_dir():
            with suppress(StorageError), claimed(parts):
                remove_parts(out)
        raise


def _draw_all(
    artist: _Artist,
    missing: Sequence[int],
    folder: Path,
    execute: Executor | None,
    workers: int | None,
    progress: Progress,
) -> None:
    """Write the parts that are missing."""
    count = len(artist.corpus)
    progress(count - len(missing), count)
    if execute is None:
        written = map(partial(_write, artist, folder), missing)
    else:
        prepare = partial(_prepare, artist.corpus, artist.size, artist.drawing, folder)
        written = execute(prepare, missing, workers)
    for number, _ in enumerate(written, count - len(missing) + 1):
        progress(number, count)


def _prepare(
    corpus: Corpus, size: int, drawing: Drawing | None, folder: Path
) -> Callable[[int], None]:
    """Make a worker ready."""
    return partial(_write, _Artist(corpus, size, drawing), folder)


def _write(artist: _Artist, folder: Path, place: int) -> None:
    """Draw a trajectory and write its part, which appears complete or not at all."""
    packed = io.BytesIO()
    np.savez(packed, *artist.draw(place))
    write_file(folder / _name(place), zlib.compress(packed.getvalue(), 1))


def _read(artist: _Artist, folder: Path, place: int) -> dict[str, np.ndarray]:
    packed = io.BytesIO(zlib.decompress(read_file(folder / _name(place))))
    with np.load(packed, allow_pickle=False) as arrays:
        drawn = [arrays[f"arr_{number}"] for number in range(len(artist.arrays))]
    return {spec.name: array for spec, array in zip(artist.arrays, drawn, strict=True)}


def _name(place: int) -> str:
    return f"{place:08d}"


class _Artist:
    """Draws the trajectories of a view, in one environment.

    Args:
        corpus: the view.
        size: edge of the pictures.
        drawing: how they are drawn.

    Raises:
        ConfigError: the environment cannot be made or drawn on this machine.
    """

    def __init__(self, corpus: Corpus, size: int, drawing: Drawing | None) -> None:
        info = _environment(corpus)
        self.corpus, self.size, self.drawing = corpus, size, drawing
        self._replays = not any(s.role is Role.physics for s in corpus.manifest.observations)
        self._envs: Environments = make(
            info.task,
            suite=info.suite,
            action_repeat=info.action_repeat,
            pixels=size,
            drawing=drawing,
        )
        self._seeded = self._envs.seed_matters()
        made = (Role.pixels, Role.exogenous)
        self.arrays = tuple(s for s in self._envs.observations if s.role in made)

    def require_all(self) -> None:
        """Refuse trajectories whose pictures are not determined.

        Raises:
            CorpusError: says which, and what to do.
            ConfigError: the simulator has other states than those that were recorded.
        """
        table, where = self.corpus.table, str(self.corpus.path)
        seeds = table.seeded & (table.seed <= LARGEST_SEED)
        if self._replays:
            self._require_replay(seeds)
        elif self._seeded and not seeds.all():
            what = f"{int((~seeds).sum())} of {len(table)} trajectories have no seed of a reset, "
            first, hint = table.id[~seeds][0], "collect it again: seeds are recorded then"
            hint = _leave_out(where) if seeds.any() else hint
            what += "and it decides more than the state"
            raise CorpusError(what, f"{where}: trajectory {first}", hint)
        if len(self.corpus) and not self._replays:
            next(self._states(self.corpus[0]))  # what is wrong with one is wrong with all

    def _require_replay(self, seeds: np.ndarray) -> None:
        """Without states, everything that decides them must be known."""
        table, path = self.corpus.table, str(self.corpus.path)
        reason = None
        if not self.corpus.manifest.state:
            reason = "no observation can tell whether a replay is right"
        elif not seeds.all():
            reason = "not every reset has a seed to replay from"
        elif (table.num_observed < table.length).any() or self.corpus.withheld.any():
            reason = "not every action is shown to replay it"
        elif (table.length > self._envs.steps_per_episode).any():
            reason = "some are longer than an episode of the environment"
        if reason is not None:
            what = f"has no states of the simulator (physics), and {reason}"
            raise CorpusError(what, path, physics_hint(self.corpus, "draw from", PIXELS))

    def draw(self, place: int) -> list[np.ndarray]:
        """The new ``arrays`` of a trajectory, (T+1, *shape) each.

        Raises:
            CorpusError: a replay does not lead to what was recorded.
        """
        trajectory = self.corpus[place]
        rows = len(trajectory) + 1
        drawn = {spec.name: np.empty((rows, *spec.shape), spec.dtype) for spec in self.arrays}
        for t, _ in enumerate(self._states(trajectory)):
            for name, value in self._envs.look(0, t).items():
                drawn[name][t] = value
        if not trajectory.final_observed:
            for array in drawn.values():
                array[-1] = array[-2]
        return list(drawn.values())

    def _states(self, trajectory: Trajectory) -> Iterator[None]:
        """Puts the environment into one state after the other."""
        seed, physics = trajectory.info.seed, trajectory.physics
        if seed is None or seed > LARGEST_SEED:  # it decides no more than the distractors
            digest = hashlib.sha256(trajectory.info.id.encode()).digest()
            seed = int.from_bytes(digest[:4], "little")
        first = self._envs.reset([seed])
        if physics is None:
            yield from self._replayed(trajectory, first)
            return
        for state in physics:
            self._envs.restore(0, state)
            yield

    def _replayed(self, trajectory: Trajectory, first: dict[str, np.ndarray]) -> Iterator[None]:
        assert trajectory.actions is not None
        observed, actions = first, iter(trajectory.actions)
        last = len(trajectory) - (not trajectory.final_observed)
        for t in range(len(trajectory) + 1):
            for spec in self.corpus.manifest.state:
                same = t > last or np.array_equal(
                    observed[spec.name][0], trajectory.observations[spec.name][t]
                )
                if not same:
                    where = f"{self.corpus.path}: trajectory {trajectory.info.id}"
                    what = "has no states of the simulator (physics), and a replay differs at "
                    hint = physics_hint(self.corpus, "draw from", PIXELS)
                    raise CorpusError(f"{what}observation {t} in {spec.name}", where, hint)
            yield
            for action in actions:
                observed = self._envs.step(action[None]).observations
                break


def _environment(corpus: Corpus) -> EnvironmentInfo:
    info = corpus.manifest.environment
    if info is None:
        what, hint = "names no environment to draw", "say it: lawm-data edit --set env=NAME"
        raise CorpusError(what, str(corpus.path), hint)
    return info


def _leave_out(path: str) -> str:
    expression = f"'seed <= {LARGEST_SEED}'"
    return f"leave them out: lawm-data filter {shlex.quote(path)} {expression} --out NEW"


def _versions() -> dict[str, Any]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
