"""What the report is made of; ``test_html_report_browser`` looks at the page itself."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus
from lawm_data.inspection.report import browser, write_report
from lawm_data.inspection.report.histogram import BINS, histograms, nice_edges
from lawm_data.inspection.report.page import embeddable
from lawm_data.system.terminal import Bars

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
STATE = (ArraySpec(name="position", shape=(2,)), ArraySpec(name="height", shape=(1,)))
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0,) * 2, high=(1.0,) * 2)


def corpus_with(path: Path, hidden: float = 0.5, length: int = 12) -> Corpus:
    """Eight trajectories; the actions of the odd ones are ``hidden``."""
    writer = CorpusWriter.create(path, observations=STATE, action=ACTION)
    rng = np.random.default_rng(0)
    for i in range(8):
        actions = rng.uniform(-1, 1, (length, 2))
        writer.add(
            {spec.name: rng.normal(size=(length + 1, *spec.shape)) for spec in STATE},
            rng.normal(size=length),
            actions if i % 2 == 0 else np.full_like(actions, hidden),
            provenance=Provenance(source="test"),
        )
    writer.close()
    return open_corpus(path)


def even_ones(corpus: Corpus) -> Corpus:
    labeled = tuple(sorted(corpus.table.id[::2].tolist()))
    mask = make_mask(corpus, 0.5, 0, "even")
    return corpus.with_mask(mask.model_copy(update={"labeled": labeled}))


def report(view: Corpus, out: Path, **options) -> str:
    with Bars() as bars:
        write_report(view, out, bars=bars, **{"clips": 0, **options})
    return out.read_text(encoding="utf-8")


def unpack(data: dict, i: int) -> np.ndarray:
    codes = np.frombuffer(base64.b64decode(data["trajectories"][i]["data"]), "<u2")
    low, high = np.array(data["low"]), np.array(data["high"])
    codes = codes.reshape(-1, len(low))
    return np.where(codes == browser.ABSENT, np.nan, low + codes / 65534 * (high - low))


@settings(max_examples=40)
@given(JSON)
def test_embedded_data_cannot_end_its_element(data) -> None:
    text = embeddable(data)
    assert json.loads(text) == data
    assert not set("<>&") & set(text)


@given(
    st.lists(st.tuples(*[st.floats(-1e3, 1e3)] * 2), min_size=1, max_size=50), st.integers(1, 50)
)
def test_histograms_count_every_row_where_it_lies(rows: list, cut: int) -> None:
    data = np.array(rows)
    low, high = data.min(0), data.max(0)
    found = histograms(lambda: [data[:cut], data[cut:]], low, high)
    for column, (edges, counts) in zip(data.T, found, strict=True):
        assert counts.sum() == len(data)
        assert len(edges) == len(counts) + 1 == BINS + 1
        assert edges[0] <= column.min()
        assert edges[-1] >= column.max() - 1e-9
        # a value on an edge may count on either side of it
        below = np.concatenate([[0], counts.cumsum()])
        for edge, count in zip(edges, below, strict=True):
            assert (column < edge - 1e-6).sum() <= count <= (column < edge + 1e-6).sum()


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(5, 60))
def test_nice_edges_cover_the_range(low: float, span: float, most: int) -> None:
    edges = nice_edges(low, low + span, most)
    assert 2 <= len(edges) <= most + 2
    assert edges[0] <= low + 1e-6 * abs(low)
    assert edges[-1] >= low + span
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0], rtol=1e-3)


@pytest.mark.parametrize("most", [1, 2, 5, 8, 20])
def test_chosen_trajectories_span_the_returns(tmp_path: Path, most: int) -> None:
    corpus = corpus_with(tmp_path / "c")
    places, returns = browser.choose(corpus, most), corpus.table.episode_return
    assert len(set(places.tolist())) == len(places) == min(most, 8)
    assert returns[places].max() == returns.max()
    if most > 1:
        assert returns[places].min() == returns.min()
        assert (np.diff(places) > 0).all()


@pytest.mark.parametrize("length", [12, 700])
def test_packed_signals_are_those_of_the_view(tmp_path: Path, length: int) -> None:
    view = even_ones(corpus_with(tmp_path / "c", length=length))
    data = browser.pack(view, np.arange(8), dict.fromkeys(range(8), "test"))
    span = np.array(data["high"]) - data["low"]
    for i, trajectory in enumerate(view):
        signals, stride = unpack(data, i), data["trajectories"][i]["stride"]
        assert len(signals) <= browser.MOST_ROWS
        last = None if stride > 1 else -1
        np.testing.assert_allclose(
            signals[:last, 0], trajectory.rewards[::stride], atol=span[0] / 6e4
        )
        state = trajectory.observations.state[::stride]
        assert (np.abs(signals[:, 3:] - state) <= span[3:] / 6e4).all()
        if trajectory.actions is None:
            assert np.isnan(signals[:, 1:3]).all()
            assert data["trajectories"][i]["runs"] == [("withheld", 0, length)]
        else:
            actions = trajectory.actions[::stride]
            assert (np.abs(signals[: len(actions), 1:3] - actions) <= span[1:3] / 6e4).all()


def test_hidden_actions_change_nothing_on_the_page(tmp_path: Path) -> None:
    pages = []
    for hidden in (0.25, -0.75):
        view = even_ones(corpus_with(tmp_path / str(hidden) / "corpus", hidden))
        text = report(view, tmp_path / f"{hidden}.html")
        pages.append(text.replace(view.fingerprint, "").replace(view.fingerprint[:16], ""))
    assert pages[0] == pages[1]


def test_page_refers_to_nothing_outside(tmp_path: Path) -> None:
    text = report(corpus_with(tmp_path / "c"), tmp_path / "page.html")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "default-src 'none'" in own
    assert re.findall(r"""(?:src|href)=["']([^#"']+)""", own) == ["data:,"]
    assert "url(" not in own
    assert "@import" not in own


def test_same_view_gives_the_same_page(tmp_path: Path) -> None:
    corpus = corpus_with(tmp_path / "c")
    assert report(corpus, tmp_path / "a.html") == report(corpus, tmp_path / "b.html")


def test_corpus_that_cannot_be_drawn_has_a_page_that_says_so(tmp_path: Path) -> None:
    text = report(corpus_with(tmp_path / "c"), tmp_path / "page.html", clips=2)
    assert "No moving pictures: neither physics states nor camera images" in text


def test_empty_view_is_refused(tmp_path: Path) -> None:
    view = corpus_with(tmp_path / "c").filter(lambda info: False)
    with pytest.raises(CorpusError, match="has no trajectories; collect some first"):
        report(view, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(ConfigError, match=r'pip install "lawm\[report\]"'):
        report(corpus_with(tmp_path / "c"), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_physics_state_is_drawn(corpus: Path, tmp_path: Path, egl: dict[str, str]) -> None:
    code = "import sys; from lawm_cli.data_app import main; sys.exit(main())"
    words = ["report", corpus, "--out", tmp_path / "page.html", "--clips", 1, "--json"]
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=egl)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert (told["clips"], told["clips_problem"]) == (1, None)
    (film,) = re.findall(r"data:video/mp4;base64,([\w+/=]+)", text)
    assert base64.b64decode(film)[4:8] == b"ftyp"
    assert "No moving pictures" not in text
