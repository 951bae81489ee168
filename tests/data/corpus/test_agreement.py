"""Whether arrays mean the same, and the edits that bring them together."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, Role
from lawm_schemas.arrays import DTYPES

from lawm_data.corpus import agreement

specs = st.builds(
    ArraySpec,
    name=st.just("x"),
    shape=st.just((2,)),
    dtype=st.sampled_from(sorted(DTYPES)),
)
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action)


@given(specs, specs)
def test_the_wider_type_holds_the_numbers_of_both(one: ArraySpec, other: ArraySpec) -> None:
    both, turned = agreement.wider(one, other), agreement.wider(other, one)
    assert (both and both.dtype) == (turned and turned.dtype)
    if one.dtype == other.dtype:
        assert both == one
    if both is not None:
        for spec in (one, other):
            joint = np.promote_types(spec.dtype, both.dtype)
            assert joint == both.dtype
    elif "bool" not in (one.dtype, other.dtype):
        kinds = {np.dtype(spec.dtype).kind for spec in (one, other)}
        assert kinds == {"i", "u"}  # what no whole number holds


@given(st.permutations(["a", "b", "c"]))
def test_fields_of_one_shape_are_taken_in_their_order(names: list[str]) -> None:
    ours = [
        ArraySpec(name=name, shape=(size,)) for name, size in zip("abc", (2, 2, 3), strict=True)
    ]
    its = [ArraySpec(name=f"their_{n}", shape=(3 if n == "c" else 2,)) for n in names]
    found = agreement.renamed(ours, its)
    assert sorted(found) == ["a", "b", "c"]
    assert found.index("a") < found.index("b")
    assert agreement.renamed(ours, ours) == ["a", "b", "c"]


def test_a_name_that_says_nothing_is_no_difference() -> None:
    one, other, own = (ArraySpec(name=name, shape=(3,)) for name in ("obs", "state", "height"))
    assert agreement.same_under_another_name([one], [other])
    assert not agreement.same_under_another_name([one], [own])
    assert not agreement.same_under_another_name([one], [one, other])


def test_corpora_of_one_kind_go_together_and_bounds_of_one_hold_for_all(
    random_corpus: Callable,
) -> None:
    free = ArraySpec(name="action", shape=(3,), role=Role.action)
    views = [random_corpus("a"), random_corpus("b", action=free, seed=1, unlabeled=(0,))]
    state, action = agreement.require_joint(views)
    assert state == views[0].manifest.state
    assert action == views[0].manifest.action
    assert agreement.reads_alike(views[1], state, action)
    hidden = random_corpus("c", unlabeled=range(8))
    assert [agreement.records_actions(view) for view in (*views, hidden)] == [True, True, False]


def test_what_keeps_corpora_apart_is_named_with_its_edit(random_corpus: Callable) -> None:
    one = random_corpus("one")
    fields = (ArraySpec(name="place", shape=(2,)), ArraySpec(name="height", shape=()))
    other = random_corpus("other", observations=fields)
    with pytest.raises(ConfigError, match=r"the state is place .*, not position") as caught:
        agreement.require_joint([one, other])
    assert f"lawm-data edit {other.path} --rename place=position" in caught.value.hint
    unlike = random_corpus("unlike", action=ACTION)
    with pytest.raises(ConfigError, match=r"the action has shape \(2,\), not \(3,\)"):
        agreement.require_joint([one, unlike])


@given(st.text(min_size=1).filter(str.isprintable))
def test_a_command_can_be_copied_whatever_is_in_it(text: str) -> None:
    line = agreement.command(Path("a b/cs"), ["--drop x"], "--where", text)
    words = ["lawm-data", "edit", "a b/cs", "--drop", "x", "--where", text]
    assert shlex.split(line) == [*words, "--out", "a b/cs-edited"]
