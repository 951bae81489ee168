from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, LawmError, Provenance, Role, TrajectoryInfo

from lawm_data import Corpus, CorpusWriter, make_mask, matching, open_corpus
from lawm_data.curation.expression import require_expression

SOURCES = (
    Provenance(source="dreamer", agent="dreamer", seed=3, tier="medium"),
    Provenance(source="random", origin="rollout"),
    Provenance(source="it's", agent="return"),
)
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
SAME = {"==": operator.eq, "!=": operator.ne}
Predicate = Callable[[TrajectoryInfo], bool]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Twelve trajectories of three sources; every third has no age and no actions."""
    path, rng = tmp_path_factory.mktemp("expression") / "corpus", np.random.default_rng(0)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(
        path, observations=[ArraySpec(name="x", shape=(2,))], action=action
    ) as writer:
        for i in range(12):
            length = 1 + i % 5
            writer.add(
                {"x": rng.standard_normal((length + 1, 2))},
                np.full(length, i / length),
                None if i % 3 == 2 else np.zeros((length, 1)),
                terminated=i % 2 == 0,
                provenance=SOURCES[i % 3],
                agent_step=None if i % 3 == 2 else 10 * i,
                seed=i,
            )
    return open_corpus(path)


def comparison(name: str, read: Callable[[TrajectoryInfo], Any], values: st.SearchStrategy):
    """Text and predicate of a comparison of a column; unknown numbers have no order."""

    def ordered(symbol: str, value: Any) -> tuple[str, Predicate]:
        def holds(info: TrajectoryInfo) -> bool:
            known = read(info)
            return known is not None and ORDER[symbol](known, value)

        return f"{name} {symbol} {value!r}", holds

    def chained(low: Any, high: Any) -> tuple[str, Predicate]:
        def holds(info: TrajectoryInfo) -> bool:
            known = read(info)
            return known is not None and low < known <= high

        return f"{low!r} < {name} <= {high!r}", holds

    return st.one_of(
        st.builds(ordered, st.sampled_from(sorted(ORDER)), values),
        st.builds(
            lambda s, v: (f"{name} {s} {v!r}", lambda i: SAME[s](read(i), v)),
            st.sampled_from(sorted(SAME)),
            st.one_of(values, st.none()),
        ),
        st.builds(
            lambda vs: (f"{name} in {vs!r}", lambda i: read(i) in vs),
            st.lists(st.one_of(values, st.none()), max_size=3),
        ),
        st.builds(chained, values, values),
    )


NUMBERS = st.one_of(st.integers(-5, 130), st.floats(-5, 130, allow_nan=False))
LEAVES = st.one_of(
    comparison("return", lambda info: info.episode_return, NUMBERS),
    comparison("length", lambda info: info.length, NUMBERS),
    comparison("agent_step", lambda info: info.agent_step, NUMBERS),
    comparison("seed", lambda info: info.seed, NUMBERS),
    comparison("source", lambda info: info.source, st.sampled_from(["dreamer", "it's", "zzz"])),
    st.just(("terminated", lambda info: info.terminated)),
    st.just(("labels == 'missing'", lambda info: info.labels == "missing")),
)


def combined(parts: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(
        st.builds(lambda p: (f"not ({p[0]})", lambda i: not p[1](i)), parts),
        st.builds(
            lambda a, b: (f"({a[0]}) and ({b[0]})", lambda i: a[1](i) and b[1](i)), parts, parts
        ),
        st.builds(
            lambda a, b: (f"({a[0]}) or ({b[0]})", lambda i: a[1](i) or b[1](i)), parts, parts
        ),
    )


@given(question=st.recursive(LEAVES, combined, max_leaves=6))
def test_an_expression_is_the_predicate_it_reads_like(
    corpus: Corpus, question: tuple[str, Predicate]
) -> None:
    text, predicate = question
    truth = [predicate(corpus.table.info(i)) for i in range(len(corpus))]
    assert matching(corpus, text).tolist() == truth
    require_expression(text)


def refusal(ask: Callable[[], object]) -> str | None:
    """Why it is refused, or None."""
    try:
        ask()
    except LawmError as error:
        return str(error)
    return None


@given(text=st.text(alphabet="returnlgthsouceandi0123.<>=!()[]'\" ,-+", max_size=40))
def test_any_text_is_answered_or_refused_in_one_line(corpus: Corpus, text: str) -> None:
    refused = refusal(lambda: matching(corpus, text))
    assert refused is None or ("expression, column" in refused and "\n" not in refused)
    assert refusal(lambda: require_expression(text)) == refused


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("reurn > 3", 1, "no such name 'reurn'"),
        ("Return > 3", 1, "no such name 'Return'"),
        ("  return > lenght", 12, "no such name 'lenght'"),
        ("source == 'é' and lenght > 3", 19, "no such name 'lenght'"),
        ("return > ", 9, "invalid syntax"),
        ("", 1, "invalid syntax"),
        ("length", 1, "is a number, not a comparison"),
        ("length > 3 and seed", 16, "is a number, not a comparison"),
        ("length > 'a'", 10, "a number cannot be smaller or larger than a text"),
        ("terminated > 3", 14, "a flag cannot be smaller"),
        ("source == 3", 11, "a text never equals a number"),
        ("length in 3", 11, r"needs a list .* \(3,\); or write == 3"),
        ("source in ('x')", 12, r"needs a list .*a list of one has a comma, \('x',\); or write =="),
        ("source not in ('x')", 16, "a list of one has a comma"),
        ("3 in source", 1, "a text never holds a number"),
        ("source in length", 11, "a number holds nothing"),
        ("None in source", 1, "a text never holds a none"),
        ("length is 3", 11, "'is' goes with None only"),
        ("labels == 'observd'", 11, "'observd' is not one of observed, withheld"),
        ("length > 1e30", 10, "too large a number"),
        ("length + 1 > 3", 1, "only columns, keys of metadata, numbers"),
        ("__import__('os').system('true')", 1, "only columns, keys of metadata, numbers"),
        ("length > (lambda: 3)()", 10, "only columns, keys of metadata, numbers"),
        ("length.__class__ == 3", 1, "only columns, keys of metadata, numbers"),
        ("length > 3; 4", 11, "invalid syntax"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(
    corpus: Corpus, text: str, column: int, words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        matching(corpus, text)
    assert caught.value.where == f"expression, column {column}"
    with pytest.raises(ConfigError) as early:
        require_expression(text)
    assert str(early.value) == str(caught.value)


@pytest.mark.parametrize("text", ["not " * 1000 + "terminated", "(" * 3000 + "1" + ")" * 3000])
def test_endless_expressions_are_refused(corpus: Corpus, text: str) -> None:
    with pytest.raises(ConfigError, match="expression"):
        matching(corpus, text)


def test_every_name_means_its_column(corpus: Corpus, tmp_path: Path) -> None:
    def found(text: str, view: Corpus = corpus) -> list[int]:
        return np.flatnonzero(matching(view, text)).tolist()

    assert found("agent == 'return' and return == 5") == [5]
    assert found('source == "it\'s"') == [2, 5, 8, 11]
    assert found("tier == 'medium' and run_seed == 3 and origin == 'training'") == [0, 3, 6, 9]
    assert found("tier is None and run_seed is not None") == []
    assert found("agent_step is None") == found("num_observed == 0") == [2, 5, 8, 11]
    assert found("num_observed < length") == [2, 5, 8, 11]
    assert found(f"id in ('{corpus.table.id[4]}', 'unknown')") == [4]
    assert found("position >= 10 or truncated") == [10, 11]
    assert found("position >= 10", corpus.filter(np.arange(12) > 8)) == [1, 2]
    masked = corpus.with_mask(make_mask(corpus, 0.25, 0, "m"))
    assert len(found("labels == 'withheld'", masked)) == 5
    assert found("labels == 'withheld'") == []


METADATA = (
    {"demo": "demo_0", "filter_keys": ["train", "10"], "success": True, "score": 1.5, "mixed": 1},
    {"demo": "demo_1", "filter_keys": ["valid"], "success": False, "mixed": "x"},
    {"meta": {"task name": "lift the cube", "difficulty": 3}, "filter_keys": [], "seed": 7},
    {"meta": {"task name": "open the drawer"}, "score": 2, "success": None},
    {},
)


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Five trajectories with metadata; seeds of the resets are 0, 1, …"""
    path = tmp_path_factory.mktemp("metadata") / "corpus"
    action = ArraySpec(name="action", shape=(2,), role=Role.action)
    kinds = np.zeros((12, 2)), np.full((12, 2), 0.5), np.eye(12)[:, :2], None, np.ones((1, 2))
    with CorpusWriter.create(
        path, observations=[ArraySpec(name="x", shape=(2,))], action=action
    ) as writer:
        for i, (metadata, actions) in enumerate(zip(METADATA, kinds, strict=True)):
            steps = 12 if actions is None else len(actions)
            rest = {"provenance": SOURCES[0], "seed": i, "metadata": metadata}
            writer.add({"x": np.full((steps + 1, 2), i)}, np.zeros(steps), actions, **rest)
    return open_corpus(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("'train' in filter_keys", [0]),
        ("'train' not in filter_keys", [1, 2, 3, 4]),
        ("10 in filter_keys", []),
        ("filter_keys is None", [3, 4]),
        ("demo == 'demo_1' or demo in ('demo_0',)", [0, 1]),
        ("demo != 'demo_1'", [0, 2, 3, 4]),
        ("success", [0]),
        ("success == False", [1]),
        ("success is None", [2, 3, 4]),
        ("score >= 1.5", [0, 3]),
        ("'lift' in meta['task name']", [2]),
        ("metadata['meta'].difficulty == 3", [2]),
        ("meta.difficulty < 4 and seed == 2", [2]),
        ("metadata['seed'] == 7", [2]),
        ("actions == 'zero'", [0]),
        ("actions == 'constant'", [1]),
        ("actions == 'varied'", [2, 4]),  # of a single action nothing is said
        ("actions is None", [3]),
        ("'drea' in source", [0, 1, 2, 3, 4]),
    ],
)
def test_keys_of_the_metadata_are_names(described: Corpus, text: str, found: list[int]) -> None:
    assert np.flatnonzero(matching(described, text)).tolist() == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("succes == True", "no such name 'succes'; names: .*in the metadata: demo, filter_keys"),
        ("meta.dificulty == 3", "no such name 'meta.dificulty'"),
        ("meta == 3", "meta has keys of its own; name one of its keys: meta.task name, meta.dif"),
        ("mixed == 1", "mixed is a number in some trajectories, a text in others"),
        ("filter_keys == 'train'", "is a list; write for example 'train' in filter_keys"),
        ("metadata == 3", "metadata has keys of its own"),
        ("filter_keys[0] == 'train'", "only columns, keys"),
        ("meta.__class__ == 3", "no such name 'meta.__class__'"),
        ("actions == 'zeros'", "'zeros' is not one of varied, zero, constant"),
    ],
)
def test_keys_that_make_no_sense_are_refused(described: Corpus, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        matching(described, text)


def test_before_there_is_a_corpus_metadata_is_named_as_such() -> None:
    require_expression("metadata['success'] == True and length > 3")
    with pytest.raises(ConfigError, match="no such name 'success'"):
        require_expression("success == True")


def test_a_return_without_recorded_rewards_is_not_known(random_corpus: Callable) -> None:
    corpus = random_corpus(unrewarded=(1, 4))
    unrewarded = ~corpus.table.rewarded
    assert unrewarded.sum() == 2
    assert (matching(corpus, "return is None") == unrewarded).all()
    for comparison in ("return >= 0", "return <= 0", "return == 0", "-1e9 <= return <= 1e9"):
        assert not matching(corpus, comparison)[unrewarded].any()
    assert matching(corpus, "return != 0").all()
    require_expression("return is None")
