from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from lawm_data.system.notebook import LONGEST, Html, facts, grid, shares

HOSTILE = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
COLORS = {"a": "#111", "b": "#222"}


class Reader(HTMLParser):
    """Text of a page, and its elements; everything that is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.seen: set[str] = set()
        self.text = ""
        self.feed(page)
        self.close()
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        assert all(name == "style" for name, _ in attrs)
        self.seen.add(tag)
        if tag != "br":
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(max_size=LONGEST))
def test_words_are_never_elements(text: str) -> None:
    for words in (text, HOSTILE):
        for page in (facts(words, {words: words}), shares({"a": 1}, COLORS)):
            assert Reader(page).seen <= {"div", "b", "table", "tr", "td", "span", "br"}
        assert Reader(grid([words], [[words], [1]])).seen == {
            *("table", "thead", "tbody", "tr", "th", "td"),
        }


def test_what_is_known_is_shown_and_what_is_long_is_cut() -> None:
    seen = Reader(facts("title", {"a": 1234, "b": None, "c": "x" * 500, "d": Html("<b>y</b>")}))
    assert seen.text.startswith("titlea1,234c")
    assert "x" * (LONGEST - 1) + "…" in seen.text
    assert "x" * LONGEST not in seen.text
    assert seen.text.endswith("dy")


def test_shares_name_what_is_there() -> None:
    assert Reader(shares({"a": 3000, "b": 0}, COLORS)).text == "3,000 a"
    assert Reader(shares({"a": 1, "b": 2}, COLORS)).text == "1 a, 2 b"
    assert shares({"a": 0}, COLORS) == "none"


def test_of_many_rows_the_ends_are_shown() -> None:
    seen = Reader(grid(["place", "b"], [[str(i), "x"] for i in range(61)]))
    assert seen.text == "placeb" + "".join(f"{i}x" for i in range(5)) + "…" + (
        "".join(f"{i}x" for i in range(56, 61))
    )
    assert "…" not in Reader(grid(["place"], [[i] for i in range(60)])).text
