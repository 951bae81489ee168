"""Parquet tables against the corpus that they were written from, over generated corpora."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, Provenance, Role
from PIL import Image

from lawm_data import Corpus, CorpusWriter, open_corpus
from lawm_data.exchange.hub import rows

parquet = pytest.importorskip("pyarrow.parquet")

SHAPES = st.sampled_from([(), (1,), (3,), (2, 2)])
FIELD = st.builds(
    ArraySpec,
    name=st.sampled_from(["a", "b.c", "step", "reward"]),
    shape=SHAPES,
    dtype=st.sampled_from(["float32", "float64", "int64", "uint8", "bool"]),
)
CAMERA = st.builds(
    ArraySpec,
    name=st.just("camera"),
    shape=st.sampled_from([(2, 3, 1), (3, 2, 3), (2, 2, 4), (2, 2, 2)]),
    dtype=st.just("uint8"),
    role=st.just(Role.pixels),
)
ACTION = st.builds(
    ArraySpec,
    name=st.just("action"),
    shape=SHAPES,
    dtype=st.sampled_from(["float32", "int64"]),
    role=st.just(Role.action),
)


@st.composite
def corpora(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.lists(FIELD, min_size=1, max_size=3, unique_by=lambda spec: spec.name))
    return {
        "observations": (*fields, *draw(st.lists(CAMERA, max_size=1))),
        "action": draw(ACTION),
        "lengths": draw(st.lists(st.sampled_from([1, 2, 7, 40, 1000]), min_size=1, max_size=4)),
        "labels": draw(st.lists(st.sampled_from(["all", "some", "none"]), min_size=4, max_size=4)),
        "seed": draw(st.integers(0, 99)),
    }


def written(folder: Path, made: dict[str, Any]) -> Corpus:
    rng = np.random.default_rng(made["seed"])

    def numbers(spec: ArraySpec, count: int) -> np.ndarray:
        return (rng.standard_normal((count, *spec.shape)) * 50).astype(spec.dtype)

    specs = {name: made[name] for name in ("observations", "action")}
    with CorpusWriter.create(folder, **specs) as writer:
        for steps, label in zip(made["lengths"], made["labels"], strict=False):
            seen = np.arange(steps) % 2 == 0
            writer.add(
                {spec.name: numbers(spec, steps + 1) for spec in made["observations"]},
                rng.standard_normal(steps).astype(np.float32),
                None if label == "none" else numbers(made["action"], steps),
                action_observed=seen if label == "some" else None,
                truncated=True,
                seed=None if label == "none" else 3,
                metadata={"label": label} | ({"rewards": "none"} if label == "some" else {}),
                provenance=Provenance(source=label),
            )
    return open_corpus(folder)


def read(view: Corpus, folder: Path, name: str, write: Any) -> dict[str, list]:
    """A table in as many pieces as there are trajectories."""
    columns: dict[str, list] = {}
    for i in range(len(view)):
        write(view, range(i, i + 1), folder / f"{name}-{i}.parquet")
        for column, values in (
            parquet.read_table(folder / f"{name}-{i}.parquet").to_pydict().items()
        ):
            columns.setdefault(column, []).extend(values)
    return columns


def arrays(values: list, spec: ArraySpec) -> np.ndarray:
    if values and isinstance(values[0], dict):
        values = [np.array(Image.open(io.BytesIO(value["bytes"]))) for value in values]
    return np.array(values, spec.dtype).reshape(-1, *spec.shape)


@settings(max_examples=12)
@given(corpora())
def test_tables_hold_what_the_corpus_holds(made: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        view = written(folder / "corpus", made)
        steps = read(view, folder, "steps", rows.write_steps)
        ends = read(view, folder, "rows", rows.write_trajectories)
        first = 0
        for i, one in enumerate(view):
            here, first = slice(first, first + len(one)), first + len(one)
            for spec in made["observations"]:
                values = steps[f"observation.{spec.name}"][here]
                values = [*values, ends[f"final_observation.{spec.name}"][i]]
                np.testing.assert_array_equal(arrays(values, spec), one.observations[spec.name])
            assert steps["action_observed"][here] == one.action_observed.tolist()
            for t, action in enumerate(steps["action"][here]):
                if one.action_observed[t]:
                    assert one.actions is not None
                    np.testing.assert_array_equal(action, one.actions[t])
                else:
                    assert set(np.ravel(np.array(action, object))) == {None}
            assert json.loads(ends["metadata"][i]) == one.info.metadata
            if one.is_rewarded:
                assert steps["reward"][here] == one.rewards.tolist()
                assert ends["return"][i] == one.info.episode_return
            else:
                assert set(steps["reward"][here]) == {ends["return"][i]} == {None}
            assert ends["seed"][i] == one.info.seed
        assert first == len(steps["step"])


def test_a_view_is_divided_between_files(random_corpus: Any, monkeypatch: Any) -> None:
    view = random_corpus(lengths=(5, 5, 40, 5, 5, 5))
    monkeypatch.setattr(rows, "PIECE_BYTES", 10 * 44)
    parts = rows.pieces(view, steps=True)
    assert [i for part in parts for i in part] == list(range(6))
    assert [len(part) for part in parts] == [2, 1, 2, 1]
    assert rows.pieces(view, steps=False) == [range(6)]


def test_a_missing_last_observation_is_null(tmp_path: Path) -> None:
    specs = (
        ArraySpec(name="x", shape=(2,)),
        ArraySpec(name="cam", shape=(8, 8, 3), dtype="uint8", role=Role.pixels),
    )
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(tmp_path / "c", observations=specs, action=action) as writer:
        for i, seed in enumerate((None, 2**64 - 1)):
            writer.add(
                {"x": np.full((3, 2), i), "cam": np.zeros((3, 8, 8, 3), "u1")},
                np.ones(2),
                np.zeros((2, 1)),
                provenance=Provenance(source="test"),
                seed=seed,
                metadata={"final_observation": "missing"} if i else {},
            )
    rows.write_trajectories(open_corpus(tmp_path / "c"), range(2), tmp_path / "t.parquet")
    table = parquet.read_table(tmp_path / "t.parquet").to_pydict()
    assert table["final_observation.x"] == [[0, 0], [None, None]]
    assert [picture is None for picture in table["final_observation.cam"]] == [False, True]
    assert table["seed"] == [None, 2**64 - 1]
