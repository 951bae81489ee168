"""Writing corpora: trajectories are checked, buffered, and committed as immutable shards."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from lawm_schemas import (
    MANIFEST,
    ArraySpec,
    ConfigError,
    CorpusError,
    EnvironmentInfo,
    LineageStep,
    Manifest,
    Provenance,
    Role,
    ShardInfo,
    StorageError,
)
from pydantic import ValidationError

from lawm_data.corpus.fingerprint import feed_trajectories, start_fingerprint
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.shard import open_shard
from lawm_data.corpus.store import SHARDS, Store, open_store, read_manifest
from lawm_data.corpus.table import ID_BYTES
from lawm_data.corpus.writing.commit import (
    COMMIT_BYTES,
    Pending,
    Sources,
    TakenIds,
    groups,
    merge,
    plan_all,
    plan_latest,
    to_parts,
    whole_number,
)
from lawm_data.corpus.writing.copying import parts_of
from lawm_data.corpus.writing.encode import Parts, write_shard
from lawm_data.corpus.writing.leftovers import refuse_existing, remove_leftovers
from lawm_data.corpus.writing.record import Record, make_record
from lawm_data.system.atomic import (
    WriterLock,
    own_folder,
    storage_errors,
    sync_folder,
    write_file,
)
from lawm_data.system.output import refuse_inside

_ID = re.compile(rf"[0-9A-Za-z][0-9A-Za-z-]{{0,{ID_BYTES - 1}}}")


class CorpusWriter:
    """The one writer of a corpus: ``create`` or ``append``, then ``add``, ``commit``, ``close``.

    As a context manager it closes at the end; after an exception what was not committed is
    discarded, and what was committed stays.
    """

    def __init__(self, path: Path, lock: WriterLock, manifest: Manifest) -> None:
        self.path = path
        self._lock = lock
        self._manifest = manifest
        self._layout = layout_of(manifest)
        self._sources = Sources(manifest.provenance)
        self._pending: list[Pending] = []
        self._pending_bytes = 0
        self._taken = TakenIds()
        self._running = start_fingerprint(manifest)
        remove_leftovers(path, manifest)

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        observations: Sequence[ArraySpec],
        action: ArraySpec,
        environment: EnvironmentInfo | None = None,
        lineage: Sequence[LineageStep] = (),
        licence: str | None = None,
    ) -> Self:
        """Start a corpus; it can be opened, empty, at once.

        Raises:
            ConfigError: the specs contradict each other.
            StorageError: something is already there, or the file system refused.
        """
        path = Path(path)
        refuse_inside(path)
        try:
            manifest = Manifest(
                observations=tuple(observations),
                action=action,
                environment=environment,
                lineage=tuple(lineage),
                licence=licence,
            )
        except ValidationError as error:
            raise ConfigError(error.errors()[0]["msg"], str(path), "correct the specs") from None
        if sum(spec.role is Role.physics for spec in observations) > 1:
            raise ConfigError("two arrays have the role physics", str(path), "keep one")
        fingerprint = start_fingerprint(manifest).hexdigest()
        manifest = manifest.model_copy(update={"fingerprint": fingerprint})
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(path)
        try:
            refuse_existing(path)
            own_folder(path / SHARDS)
            write_file(path / MANIFEST, manifest.to_json().encode())
            with storage_errors(path):
                sync_folder(path.absolute().parent)
            return cls(path, lock, manifest)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def append(cls, path: str | Path) -> Self:
        """Continue a corpus.

        Raises:
            CorpusError: there is none, or it is damaged.
            StorageError: somebody else is writing to it.
        """
        path = Path(path)
        read_manifest(path)
        lock = WriterLock(path)
        try:
            own_folder(path / SHARDS)
            store = open_store(path)
            writer = cls(path, lock, store.manifest)
            writer._taken = TakenIds(store.table.id.tolist())
            feed_trajectories(writer._running, store.table.ids, store.digest)
            if writer._running.hexdigest() != store.manifest.fingerprint:
                what, hint = "the fingerprint differs from the content", "run validate on it"
                raise CorpusError(what, str(path / MANIFEST), hint)
            return writer
        except BaseException:
            lock.release()
            raise

    @property
    def manifest(self) -> Manifest:
        """What is committed."""
        return self._manifest

    @property
    def pending(self) -> int:
        """Trajectories added and not yet committed."""
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """Bytes of memory that they take."""
        return self._pending_bytes

    def add(
        self,
        observations: Mapping[str, Any],
        rewards: Any,
        actions: Any = None,
        *,
        provenance: Provenance,
        action_observed: Any = None,
        terminated: Any = False,
        truncated: Any = False,
        agent_step: int | None = None,
        seed: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        trajectory_id: str | None = None,
    ) -> str:
        """Check a trajectory and keep a copy of it until the next commit.

        Args:
            observations: every array of the corpus by name, (T+1, *shape), physics included.
            rewards: (T,).
            actions: (T, *shape), or None when they were never recorded.
            provenance: where it comes from.
            action_observed: (T,) bool, when only some actions were recorded; the others are
                not stored.
            terminated: the last step ended in a terminal state; a bool or (T,) of them.
            truncated: the last step was cut by a limit; likewise.
            agent_step: age of the collecting agent, from 0 to 2**63 - 1.
            seed: seed of the environment's reset, from 0 to 2**64 - 1.
            metadata: anything else that JSON can hold.
            trajectory_id: keeps the id of a trajectory that is copied from another corpus.

        Returns:
            The id of the trajectory.

        Raises:
            CorpusError: something does not fit the specs; nothing is kept of this trajectory.
        """
        self._require_open()
        record = make_record(
            self._manifest,
            observations,
            rewards,
            actions,
            action_observed,
            terminated,
            truncated,
            metadata,
        )
        return self.add_record(
            record,
            provenance=provenance,
            agent_step=agent_step,
            seed=seed,
            trajectory_id=trajectory_id,
        )

    def add_record(
        self,
        record: Record,
        *,
        provenance: Provenance,
        agent_step: int | None = None,
        seed: int | None = None,
        trajectory_id: str | None = None,
    ) -> str:
        """``add`` a trajectory that was checked; see ``make_record``."""
        self._require_open()
        numbers = [whole_number(agent_step, "agent_step", 63), whole_number(seed, "seed", 64)]
        wanted = record.base_id if trajectory_id is None else trajectory_id
        if not _ID.fullmatch(wanted):
            raise CorpusError(f"{wanted!r} is not an id", "trajectory_id", "use letters and digits")
        source = self._sources.place(provenance)
        name = self._taken.take(wanted)
        item = Pending(name, record, source, *numbers)
        self._pending.append(item)
        self._pending_bytes += record.nbytes
        return name

    def commit(self) -> None:
        """Make everything added visible to readers, and durable.

        Raises:
            StorageError: the file system refused; what was committed before is intact, and what
                was added is still waiting.
        """
        self._require_open()
        if not self._pending:
            return
        ordinal = self._manifest.trajectories
        content = []
        for group in groups(self._pending):
            content.append((group, ordinal))
            ordinal += len(group)
        self._write(to_parts(group, first, self._layout.apart) for group, first in content)
        self._forget()
        run = plan_latest(self._manifest.shards)
        if run is not None:
            self._compact(run)

    def copy(
        self,
        store: Store,
        positions: np.ndarray,
        ids: Sequence[str],
        sources: Sequence[Provenance],
        *,
        anew: bool = False,
    ) -> None:
        """Write trajectories of another corpus, and commit.

        Much faster than ``add``: whole runs of rows go over, and content hashes stay what they are.
        What was added before is committed first.

        Args:
            store: a corpus that has the arrays of this one, opened with its checksums compared.
            positions: (N,) which of its trajectories, in the new order.
            ids: (N,) what they are called here; one that is taken gets a suffix, as in ``add``.
            sources: what each source of the store is here.
            anew: hash them again: the store has other arrays too, or is what a view shows of one.

        Raises:
            StorageError: the file system refused; what was committed before is intact.
        """
        self._require_open()
        self.commit()
        used, first = np.unique(store.table.provenance[positions], return_index=True)
        places = np.zeros(len(sources), np.int32)
        for place in used[np.argsort(first)].tolist():  # in the order in which they come
            places[place] = self._sources.place(sources[place])
        names = list(map(self._taken.take, ids))
        ordinal, layout = self._manifest.trajectories, self._layout if anew else None
        self._write(parts_of(store, positions, names, places, ordinal, COMMIT_BYTES, layout))

    def close(self) -> None:
        """Commit, put small shards together, and let others write."""
        if self._lock.released:
            return
        try:
            self.commit()
            for run in reversed(plan_all(self._manifest.shards)):
                self._compact(run)
        finally:
            self._lock.release()

    def discard(self) -> None:
        """Forget what was not committed and let others write."""
        self._forget()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _forget(self) -> None:
        self._pending.clear()
        self._pending_bytes = 0

    def _require_open(self) -> None:
        if self._lock.released:
            raise StorageError("the writer is closed", str(self.path), "open it with append")

    def _write(self, content: Iterable[Parts]) -> None:
        """Write shards, then the manifest that has them."""
        running, infos = self._running.copy(), list(self._manifest.shards)
        about = self._manifest.model_copy(update={"provenance": self._sources.all()})
        for parts in content:
            infos.append(write_shard(self.path / SHARDS, parts, self._layout, about))
            feed_trajectories(running, parts.columns["id"], parts.columns["digest"])
        self._replace(infos, running.hexdigest())
        self._running = running

    def _replace(self, shards: Sequence[ShardInfo], fingerprint: str) -> None:
        update = {
            "shards": tuple(shards),
            "provenance": self._sources.all(),
            "fingerprint": fingerprint,
        }
        manifest = self._manifest.model_copy(update=update)
        write_file(self.path / MANIFEST, manifest.to_json().encode())
        self._manifest = manifest

    def _compact(self, run: slice) -> None:
        """Replace neighbouring shards by one. It is housekeeping: without space it waits."""
        old = self._manifest.shards[run]
        folder, sources = self.path / SHARDS, len(self._manifest.provenance)
        # Checksums too: what was altered must not come out with a new, matching checksum.
        opened = [open_shard(folder / o.file, o, self._layout, sources, True) for o in old]
        for part in opened:
            part.shard.release_memory()  # of the checksums; the new shard is made beside it
        with contextlib.suppress(StorageError):
            parts = merge(opened, self._layout)
            info = write_shard(folder, parts, self._layout, self._manifest)
            shards = [*self._manifest.shards]
            shards[run] = [info]
            self._replace(shards, self._manifest.fingerprint)
            for gone in old:
                with contextlib.suppress(OSError):
                    (folder / gone.file).unlink()
