from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from study_results import papers_own, results

from lawm_models.studies.table import make_table
from lawm_models.studies.web_page import web_page


class _Tags(HTMLParser):
    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open += [] if tag in self.VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_whole_and_alone() -> None:
    table = papers_own()._replace(name="<script>", description="a & b")
    page = web_page(table, {"a picture": b"\x89PNG"})
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert "<script>" not in page
    assert "a & b" in tags.text
    assert "91.4 ± 1.1" in tags.text
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)


def test_page_has_the_differences_that_were_asked_for() -> None:
    found = results({("a", name, 0.1): [10.0, 20.0] for name in ("bc", "lawm")})
    for against in (None, "bc"):
        tags = _Tags()
        tags.feed(web_page(make_table(found, against), {}))
        assert tags.open == []
        assert ("minus BC" in tags.text) == ("0 of 2" in tags.text) == (against is not None)
