"""Batches of a published corpus that is never on the disk as a whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from lawm_schemas import (
    MANIFEST,
    ConfigError,
    CorpusError,
    Manifest,
    Mask,
    PublishedShard,
    RemoteError,
)
from lawm_schemas.plain_json import parse_json

from lawm_data.batches.windows import uniforms
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.layout import layout_of
from lawm_data.corpus.mask import MASKS, Masked, mask_sha256
from lawm_data.corpus.shard import OpenShard, open_shard
from lawm_data.corpus.store import SHARDS, join_shards
from lawm_data.exchange.hub.cache import parse_hub_address
from lawm_data.exchange.hub.pull import native_files, require_commit, require_listed
from lawm_data.exchange.hub.remote import NOT_OURS, Remote
from lawm_data.exchange.hub.repository import NATIVE, read_publication
from lawm_data.system.atomic import require_space, storage_errors
from lawm_data.system.output import scratch_folder

if TYPE_CHECKING:
    import torch

    from lawm_data.batches.batch import Batch
    from lawm_data.batches.loader import Loader
    from lawm_data.batches.sampler import LabelUnit
    from lawm_data.batches.windows import Short


USUAL = {
    "labeled_ratio": None,
    "short": "pad",
    "label_unit": "trajectory",
    "oversample_ends": False,
}
"""How windows are drawn where nobody says."""


class ShardLabels(NamedTuple):
    """What is known of a shard before it is read."""

    trajectories: int
    steps: int
    labeled: int
    """Trajectories with every action readable."""


class ShardRounds:
    """The order in which shards come and go: a pure function of content, seed and round.

    Without a labeled ratio the shards pass by in a random order, a few of them at a time, and
    each round one leaves. With a ratio a round holds one shard with labels and one without, each
    from an order of its own, so that every batch can have its share of both. When all shards fit
    there is one round without end.

    Args:
        shards: the shards of the corpus.
        key: 128 bits.
        at_once: shards that may be on the disk.
        by_label: whether batches have a labeled ratio between 0 and 1.

    Raises:
        ConfigError: there is nothing to draw from.
    """

    def __init__(
        self, shards: Sequence[ShardLabels], key: int, at_once: int, by_label: bool
    ) -> None:
        self._shards, self._key = shards, key
        self._pools = [list(range(len(shards)))] * at_once
        self.is_whole = len(shards) <= at_once
        """Whether everything is on the disk at once."""
        if by_label and not self.is_whole:
            labeled = [i for i, s in enumerate(shards) if s.labeled]
            unlabeled = [i for i, s in enumerate(shards) if s.labeled < s.trajectories]
            for pool, kind in ((labeled, "labeled"), (unlabeled, "unlabeled")):
                if not pool:
                    what, hint = f"there are no {kind} trajectories", "leave the ratio out"
                    raise ConfigError(what, "labeled_ratio", hint)
            self._pools = [labeled, unlabeled]
        self._by_label = by_label and not self.is_whole

    def __len__(self) -> int:
        """Rounds until every shard has been there."""
        return 1 if self.is_whole else max(map(len, self._pools))

    def shards(self, number: int) -> tuple[int, ...]:
        """The shards of a round."""
        if self.is_whole:
            return tuple(range(len(self._shards)))
        if self._by_label:
            places = [(stream, number) for stream in range(2)]
        else:
            places = [(0, number + ahead) for ahead in range(len(self._pools))]
        return tuple(dict.fromkeys(self._at(stream, place) for stream, place in places))

    def batches(self, number: int, steps: int) -> int | None:
        """Batches of a round; so many that an epoch of rounds draws an epoch of steps.

        Args:
            number: the round.
            steps: steps in a batch.

        Returns:
            None for a round without end.
        """
        if self.is_whole:
            return None
        leaving = self._at(1 if self._by_label else 0, number)
        return max(1, round(self._shards[leaving].steps / steps))

    def seed(self, number: int, seed: int) -> int:
        """Seed of the draws of a round; the first has the seed that was asked for."""
        if number == 0:
            return seed
        text = hashlib.sha256(f"{self._key}/{seed}/{number}".encode()).digest()
        return int.from_bytes(text[:7], "big")

    def _at(self, stream: int, place: int) -> int:
        """The shard at a place of an endless order, which is another one in every epoch."""
        pool = self._pools[stream]
        epoch, here = divmod(place, len(pool))
        order = np.argsort(uniforms(self._key, stream, epoch, (len(pool),)), kind="stable")
        return pool[int(order[here])]


class Stream:
    """An endless source of batches straight from the Hub; iterate over it or call ``next``.

    A few shards are on the disk at a time, nameless, so that nothing is left when the process
    dies. Windows are drawn from them as ``Loader`` draws them; then one shard leaves and another
    comes. Batch k is a pure function of the corpus, the mask, these arguments and k. ``stream`` is
    another name of this class.

    Args:
        address: ``hf://user/name@REVISION``.
        batch_size: B, windows per batch.
        window: T, steps per window.
        mask: a mask beside the corpus, to look through.
        shards: shards on the disk at a time, at least 2; windows are drawn from them alone.
        seed: key of the order of the shards and of the draws.
        token: an access token; None takes the one that the user has set up.
        labeled_ratio: share of labeled windows in every batch; see ``Loader``.
        short: what happens to trajectories shorter than the window; see ``Loader``.
        label_unit: whether all actions of the trajectory, or of the window, make it labeled.
        oversample_ends: see the first and last steps of trajectories about as often as the others.
        device: where the tensors of a batch are: ``cpu``, ``cuda``, ``cuda:N``.

    Raises:
        ConfigError: an argument is out of range, or there is nothing to draw.
        RemoteError: the repository holds no corpus, or is not what it says.
    """

    def __init__(
        self,
        address: str,
        batch_size: int,
        window: int,
        *,
        mask: str | None = None,
        shards: int = 2,
        seed: int = 0,
        token: str | None = None,
        labeled_ratio: float | None = None,
        short: Short = "pad",
        label_unit: LabelUnit = "trajectory",
        oversample_ends: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        if index(shards) < 2:
            raise ConfigError(f"{shards} is below 2", "shards", "give 2 or more")
        where = parse_hub_address(address)
        self._remote = Remote(where.repo, token)
        self.revision = require_commit(self._remote, where.revision)
        """The commit that is read."""
        publication, _ = read_publication(self._remote, self.revision)
        self._files = {
            file.path: file for file in native_files(self._remote, self.revision, publication)
        }
        self.manifest: Manifest = self._document(MANIFEST, Manifest)
        """Manifest of the whole corpus."""
        require_listed(self.manifest, publication, where.repo)
        self._mask: Mask | None = None
        if mask is not None:
            if f"{NATIVE}/{MASKS}/{mask}.json" not in self._files:
                raise ConfigError("no such mask", f"{where.repo}: {mask}", "see its card")
            self._mask = found = self._document(f"{MASKS}/{mask}.json", Mask)
            if found.corpus != self.manifest.fingerprint:
                raise RemoteError("belongs to another corpus", f"mask {mask}", NOT_OURS)
        self._drawn: dict[str, Any] = {
            "batch_size": index(batch_size),
            "window": index(window),
            "labeled_ratio": labeled_ratio,
            "short": short,
            "label_unit": label_unit,
            "oversample_ends": oversample_ends,
        }
        self._device = device
        self._seed = index(seed)
        self._rounds = ShardRounds(
            self._labels({s.file: s for s in publication.shards}),
            int(self._hash("order")[:32], 16),
            shards,
            0 < (labeled_ratio or 0) < 1,
        )
        self._shards = shards
        self._layout = layout_of(self.manifest)
        self._opened: dict[int, OpenShard] = {}
        self._round, self._step = 0, 0
        self._loader: Loader | None = None
        self._ordinal = np.empty(0, np.int64)

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._drawn.items())
        address = f"hf://{self._remote.repo}@{self.revision[:12]}"
        return f"Stream({address!r}: {settings}, seed={self._seed})"

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.next()

    def next(self) -> Batch:
        """The next batch; ``trajectory`` is the place in the whole corpus."""
        import torch

        size = self._drawn["batch_size"] * self._drawn["window"]
        count = self._rounds.batches(self._round, size)
        if count is not None and self._step >= count:
            self._round, self._step, self._loader = self._round + 1, 0, None
        if self._loader is None:
            self._loader = self._next_loader()
        batch = self._loader.batch(self._step)
        self._step += 1
        place = self._ordinal[batch.trajectory.cpu().numpy()]
        return replace(batch, trajectory=torch.from_numpy(place).to(batch.trajectory.device))

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, as plain data."""
        return {"round": self._round, "step": self._step, "identity": self._hash(str(self._shards))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another stream of the same corpus and arguments was.

        Raises:
            ConfigError: the state is of another corpus or of other arguments.
        """
        if state.get("identity") != self._hash(str(self._shards)):
            raise ConfigError(
                "it was saved with another corpus, mask or settings",
                "stream state",
                "resume with what it was saved with, or start anew",
            )
        self._round, self._step, self._loader = int(state["round"]), int(state["step"]), None

    def _next_loader(self) -> Loader:
        """A loader over the shards of this round, or of the next one that has windows."""
        for _ in range(len(self._rounds) - 1):
            try:
                return self._make_loader()
            except ConfigError:
                self._round, self._step = self._round + 1, 0
        return self._make_loader()

    def _make_loader(self) -> Loader:
        from lawm_data.batches.loader import Loader

        seed = self._rounds.seed(self._round, self._seed)
        return Loader([(self._view(), 1.0)], seed=seed, device=self._device, **self._drawn)

    def _view(self) -> Corpus:
        """The trajectories of this round, through the mask."""
        wanted = sorted(self._rounds.shards(self._round))
        self._opened = {i: part for i, part in self._opened.items() if i in wanted}
        for i in wanted:
            if i not in self._opened:
                self._opened[i] = self._fetch(i)
        parts = [self._opened[i] for i in wanted]
        self._ordinal = np.concatenate([part.columns["ordinal"] for part in parts])
        counts = np.cumsum([0, *(len(part.columns["length"]) for part in parts)])
        here = [
            part._replace(columns={**part.columns, "ordinal": np.arange(first, end)})
            for part, first, end in zip(parts, counts[:-1], counts[1:], strict=True)
        ]
        infos = tuple(self.manifest.shards[i] for i in wanted)
        manifest = self.manifest.model_copy(update={"shards": infos})
        store = join_shards(Path(self._remote.repo), manifest, self._layout, here, verify=False)
        if self._mask is None:
            return Corpus(store)
        labeled = np.array([name.encode() for name in self._mask.labeled], "S")
        return Corpus(store, None, Masked(store, self._mask, np.isin(store.table.ids, labeled)))

    def _fetch(self, number: int) -> OpenShard:
        """A shard, checked and mapped; its file has no name any more."""
        info = self.manifest.shards[number]
        file = self._files[f"{NATIVE}/{SHARDS}/{info.file}"]
        with scratch_folder("stream") as folder:
            path = folder / info.file
            require_space(path.parent, info.bytes)
            with storage_errors(path), path.open("xb") as target:
                self._remote.download(
                    self.revision, file.path, info.bytes, info.sha256, target.write
                )
            sources = len(self.manifest.provenance)
            part = open_shard(path, info, self._layout, sources)
        first = sum(shard.trajectories for shard in self.manifest.shards[:number])
        if not np.array_equal(part.columns["ordinal"], first + np.arange(info.trajectories)):
            raise CorpusError("its trajectories are not in order", file.path, NOT_OURS)
        return part

    def _document(self, name: str, schema: type[Any]) -> Any:
        """A small file of the corpus, checked."""
        file = self._files[f"{NATIVE}/{name}"]
        parts: list[bytes] = []
        self._remote.download(self.revision, file.path, file.bytes, file.sha256, parts.append)
        where = f"{self._remote.repo}: {file.path}"
        try:
            return schema.parse(parse_json(b"".join(parts), where), where)
        except ConfigError as error:
            raise RemoteError(error.what, error.where, NOT_OURS) from None

    def _labels(self, published: dict[str, PublishedShard]) -> list[ShardLabels]:
        labels = []
        for shard in self.manifest.shards:
            about = published.get(shard.file)
            if about is None:
                raise RemoteError(f"does not list {shard.file}", self._remote.repo, NOT_OURS)
            mask = self._mask
            labeled = about.labeled if mask is None else about.masks.get(mask.name, 0)
            labels.append(ShardLabels(shard.trajectories, shard.steps, labeled))
        return labels

    def _hash(self, purpose: str) -> str:
        """A hash of all that decides what is drawn."""
        mask = None if self._mask is None else mask_sha256(self._mask)
        # What is as usual is left out: the hash stays that of before there was a choice.
        settings = {k: str(v) for k, v in self._drawn.items() if USUAL.get(k, ()) != v}
        content = self.manifest.fingerprint
        if mask is not None:  # the fingerprint covers actions that it hides
            content = [[shard.trajectories, shard.steps] for shard in self.manifest.shards]
        data = [purpose, content, mask, settings, self._seed]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


stream = Stream
