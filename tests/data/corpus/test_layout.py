"""Where each array of a trajectory lies in a shard."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, Manifest, Role

from lawm_data.corpus.layout import element_names, is_chunked, layout_of, stored_dtype

ACTION = ArraySpec(name="action", shape=(2,), dtype="bool", role=Role.action)
shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(["float32", "float64", "uint8", "bool", "int64"])
roles = st.sampled_from([Role.state, Role.physics])


@st.composite
def observations(draw) -> tuple[ArraySpec, ...]:
    """State fields and physics of any type, and a camera."""
    some = st.lists(st.tuples(shapes, dtypes, roles), max_size=6)
    specs = [
        ArraySpec(name=f"field{i}", shape=shape, dtype=dtype, role=role)
        for i, (shape, dtype, role) in enumerate(draw(some))
        if role is Role.state or dtype == "float64"
    ]
    camera = ArraySpec(name="camera", shape=(2, 3, 3), dtype="uint8", role=Role.pixels)
    return (*specs, camera)


@given(observations())
def test_every_array_has_one_place(specs: tuple[ArraySpec, ...]) -> None:
    layout = layout_of(Manifest(observations=specs, action=ACTION))
    assert {s.name for s, _ in layout.packed} | {s.name for s in layout.apart} == {
        s.name for s in specs
    }
    taken = [i for _, place in layout.packed for i in range(place.start, place.stop)]
    assert taken == list(range(layout.width - 1))  # the reward is behind them
    for spec, place in layout.packed:
        assert place.stop - place.start == spec.size
        assert (spec.role, spec.dtype) == (Role.state, "float32")
    assert [s.name for s in layout.apart if is_chunked(s)] == ["camera"]


@given(shapes, dtypes)
def test_types_on_disk_hold_the_values(shape: tuple[int, ...], dtype: str) -> None:
    stored = stored_dtype(ArraySpec(name="x", shape=shape, dtype=dtype))
    assert stored.str[0] in "<|"
    values = np.ones(shape, dtype)
    assert np.array_equal(values.astype(stored).view(dtype), values)


@given(shapes)
def test_every_element_has_a_name(shape: tuple[int, ...]) -> None:
    spec = ArraySpec(name="x", shape=shape)
    names = element_names(spec)
    assert len(set(names)) == len(names) == spec.size
    pixels = ArraySpec(name="x", shape=(5, 4, 3), dtype="uint8", role=Role.pixels)
    assert element_names(pixels) == ["x[0]", "x[1]", "x[2]"]
