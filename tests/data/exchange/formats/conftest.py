"""Corpora of every kind that there is, for round trips through foreign formats.

``plans()`` draws plans of corpora: plain data that prints well when a law fails, with ``write``
to make the corpus and ``view`` to look at it as the plan says. Arrays come from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, EnvironmentInfo, LineageStep, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.corpus.overlay import overlay_names

NAMES = ("position", "joint.angle", "camera-pose", "reward", "actions", "_0", "Höhe")
SOURCES = (
    Provenance(source="dreamer", agent="dreamer:1", seed=3, versions={"mujoco": "3.17.0"}),
    Provenance(source="robot 7", origin="import", licence="CC-BY-4.0", tier="expert"),
    Provenance(source="ünï", settings={"noise": 0.25, "layers": [1, 2], "nested": {"a": None}}),
)
METADATA: tuple[dict[str, Any], ...] = (
    {},
    {"operator": "Ada", "success": True},
    {"nested": {"list": [1, 2.5, None, "é"], "empty": {}}, "with/slash": 1, "big": 2**60},
)
LENGTHS = (1, 2, 3, 7, 40, 1000)


@dataclass(frozen=True)
class Plan:
    """A corpus, and how it is looked at."""

    observations: tuple[ArraySpec, ...]
    action: ArraySpec
    trajectories: tuple[dict[str, Any], ...]
    masks: tuple[float, ...]
    seen: str
    """``plain``, ``masked``, ``labels`` or ``both``."""
    seed: int

    def write(self, path: Path) -> Corpus:
        """Write it, masks and overlay included; returns the whole corpus."""
        with CorpusWriter.create(
            path,
            observations=self.observations,
            action=self.action,
            environment=EnvironmentInfo(task="walker-walk", action_repeat=2, max_return=500.0),
            lineage=(LineageStep(operation="collect", settings={"seed": self.seed}),),
            licence="CC-BY-4.0",
        ) as writer:
            for place, plan in enumerate(self.trajectories):
                rng = np.random.default_rng([self.seed, place])
                add(writer, plan, rng)
        whole = open_corpus(path)
        complete = int((whole.table.num_observed == whole.table.length).sum())
        for number, share in enumerate(self.masks if complete else ()):
            save_mask(whole, make_mask(whole, share * complete / len(whole), 0, f"mask-{number}"))
        view = self._masked(whole)
        if self.seen in ("labels", "both"):
            _infer(view, np.random.default_rng([self.seed, 1 << 20]))
        return whole

    def view(self, whole: Corpus) -> Corpus:
        """What is exported."""
        view = self._masked(whole)
        return view.with_labels("idm") if "idm" in overlay_names(whole.path) else view

    def _masked(self, whole: Corpus) -> Corpus:
        wanted = self.seen in ("masked", "both") and "mask-0" in whole.masks()
        return whole.with_mask("mask-0") if wanted else whole


def add(writer: CorpusWriter, plan: dict[str, Any], rng: np.random.Generator) -> None:
    """Add one trajectory of random numbers to a corpus."""
    manifest, length = writer.manifest, plan["length"]
    observed = {
        "observed": None,
        "partial": np.arange(length) % 3 != 1,
        "missing": np.zeros(length, bool),
    }[plan["labels"]]
    actions = numbers(manifest.action, length, rng)
    writer.add(
        {spec.name: numbers(spec, length + 1, rng) for spec in manifest.observations},
        rng.standard_normal(length).astype(np.float32),
        None if plan["labels"] == "missing" else actions,
        action_observed=observed,
        terminated=plan["terminated"],
        truncated=plan["truncated"],
        agent_step=plan["agent_step"],
        seed=plan["seed"],
        metadata=METADATA[plan["metadata"]],
        provenance=SOURCES[plan["source"]],
    )


def numbers(spec: ArraySpec, rows: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, *shape) within the bounds, the ends of the type's range among them."""
    shape, kind = (rows, *spec.shape), np.dtype(spec.dtype)
    if kind.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    bounds = spec.bounds()
    if kind.kind == "f":
        drawn = rng.standard_normal(shape) if bounds is None else rng.uniform(*bounds, shape)
        drawn = drawn.astype(kind)
        if bounds is None:
            drawn.flat[0] = rng.choice([0.0, -0.0, np.finfo("f4").max, np.finfo("f4").tiny])
        return drawn
    if bounds is None:
        info = np.iinfo(kind)
        return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)
    return rng.integers(*(bound.astype(int) for bound in bounds), shape, endpoint=True).astype(kind)


def _infer(view: Corpus, rng: np.random.Generator) -> None:
    """Write an overlay for the trajectories that show no action."""
    hidden = [info for info in map(view.table.info, range(len(view))) if not info.num_observed]
    size = view.manifest.action.size
    if not hidden:
        return

    def labels() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for info in hidden:
            shape = (info.length, size)
            yield info.id, rng.standard_normal(shape), np.abs(rng.standard_normal(shape))

    write_overlay(view, labels(), name="idm", model="0" * 64, algorithm="lawm", r2=0.5)


@st.composite
def specs(draw: Any) -> tuple[ArraySpec, ...]:
    """State fields of all types, with and without bounds; pixels; physics."""
    kinds = st.sampled_from(
        ("float32", "float64", "uint8", "uint16", "int8", "int16", "int32", "int64")
    )
    kinds = st.one_of(st.just("float32"), kinds, st.just("bool"))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    found = []
    for name in names:
        shape = draw(st.sampled_from(((), (1,), (3,), (2, 2))))
        spec = ArraySpec(name=name, shape=shape, dtype=draw(kinds))
        if spec.dtype != "bool" and draw(st.booleans()):
            bounds = {"low": (0.0,) * spec.size, "high": (4.0,) * spec.size}
            spec = spec.model_copy(update=bounds)
        found.append(spec)
    for edges in draw(st.lists(st.sampled_from(((2, 3), (36, 40))), max_size=1)):
        found.append(ArraySpec(name="pixels", shape=(*edges, 3), dtype="uint8", role=Role.pixels))
    if draw(st.booleans()):
        found.append(ArraySpec(name="depth", shape=(9, 8, 1), dtype="uint16", role=Role.pixels))
    if draw(st.booleans()):
        found.append(ArraySpec(name="state", shape=(5,), dtype="float64", role=Role.physics))
    return tuple(draw(st.permutations(found)))


@st.composite
def actions(draw: Any) -> ArraySpec:
    """Continuous ones with and without bounds, one or several discrete ones, switches."""
    kind = draw(st.sampled_from(("bounded", "free", "double", "discrete", "several", "switches")))
    given: dict[str, Any] = {
        "bounded": {"shape": (3,), "low": (-1.0, -2.0, 0.0), "high": (1.0, 2.0, 0.5)},
        "free": {"shape": (2,)},
        "double": {"shape": (1,), "dtype": "float64", "low": (-1.0,), "high": (1.0,)},
        "discrete": {"shape": (), "dtype": "int64", "low": (2.0,), "high": (6.0,)},
        "several": {"shape": (2,), "dtype": "int64", "low": (0.0, 0.0), "high": (3.0, 1.0)},
        "switches": {"shape": (3,), "dtype": "bool"},
    }[kind]
    return ArraySpec(name="action", role=Role.action, **given)


def trajectories(labels: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """What is drawn of one trajectory."""
    return st.fixed_dictionaries(
        {
            "length": st.sampled_from(LENGTHS),
            "labels": labels,
            "terminated": st.booleans(),
            "truncated": st.booleans(),
            "agent_step": st.sampled_from((None, 0, 2**62)),
            "seed": st.sampled_from((None, 0, 2**63 - 1, 2**63, 2**64 - 1)),
            "metadata": st.integers(0, len(METADATA) - 1),
            "source": st.integers(0, len(SOURCES) - 1),
        }
    )


@st.composite
def plans(draw: Any, seen: tuple[str, ...] = ("plain", "masked", "labels", "both")) -> Plan:
    """Plans of corpora of one to five trajectories."""
    labels = st.sampled_from(("observed", "observed", "partial", "missing"))
    return Plan(
        observations=draw(specs()),
        action=draw(actions()),
        trajectories=tuple(draw(st.lists(trajectories(labels), min_size=1, max_size=5))),
        masks=tuple(draw(st.lists(st.sampled_from((0.3, 0.6, 1.0)), max_size=2, unique=True))),
        seen=draw(st.sampled_from(seen)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@pytest.fixture
def plain_plan() -> Callable[..., Plan]:
    """A plan of four observed trajectories of float32, with whatever is different."""

    def make(**changed: Any) -> Plan:
        one = {
            "length": 7,
            "labels": "observed",
            "terminated": False,
            "truncated": True,
            "agent_step": None,
            "seed": None,
            "metadata": 0,
            "source": 0,
        }
        given: dict[str, Any] = {
            "observations": (ArraySpec(name="position", shape=(2,)), ArraySpec(name="z", shape=())),
            "action": ArraySpec(
                name="action", shape=(2,), role=Role.action, low=(-1.0,) * 2, high=(1.0,) * 2
            ),
            "trajectories": tuple({**one, "length": length} for length in (7, 3, 12, 1)),
            "masks": (0.5,),
            "seen": "plain",
            "seed": 0,
        }
        return Plan(**(given | changed))

    return make
