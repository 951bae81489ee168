"""Tables for a notebook: nothing in them is taken for HTML."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from lawm_data.system.notebook import html_facts, html_table

# what XML cannot hold at all is left out
TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")))


def cells(html: str) -> list[list[str]]:
    return [[cell.text or "" for cell in row] for row in ElementTree.fromstring(html).iter("tr")]


@given(st.dictionaries(TEXT, TEXT), TEXT)
def test_facts_read_back(facts: dict[str, str], title: str) -> None:
    html = html_facts(facts, title)
    assert cells(html) == [list(pair) for pair in facts.items()]
    assert (ElementTree.fromstring(html).findtext("caption") or "") == title


@given(st.lists(TEXT, min_size=1), st.integers(-(10**6), 10**6))
def test_tables_read_back(columns: list[str], number: int) -> None:
    row = [None, number, *columns][: len(columns)]
    shown = ["-", f"{number:,}", *columns][: len(columns)]
    assert cells(html_table(columns, [row])) == [columns, shown]
