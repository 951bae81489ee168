"""What the page is made of; ``test_web_browser`` looks at the page itself."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, CorpusError
from report_corpora import corpus_with, even_ones, report

from lawm_data.inspection.report.page import embeddable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40)
@given(JSON)
def test_embedded_data_cannot_end_its_element(data) -> None:
    text = embeddable(data)
    assert json.loads(text) == data
    assert not set("<>&") & set(text)


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


def test_page_without_rewards_has_no_returns(tmp_path: Path) -> None:
    text = report(corpus_with(tmp_path / "c", unrewarded=range(8)), tmp_path / "page.html")
    assert "No rewards were recorded, so trajectories have no returns." in text
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert "order" not in json.loads(data)["charts"]
    assert not re.findall(r'data-chart="(?:order|returns)', text)
    some = report(corpus_with(tmp_path / "d", unrewarded=(1, 2)), tmp_path / "page.html")
    assert "Not shown: 2 without recorded rewards." in some
