"""The report in a real browser: it loads, asks for nothing, and works by keyboard and mouse."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Provenance, Role

from lawm_data import CorpusWriter, Trajectory, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.inspection.report import write_report
from lawm_data.system.terminal import Bars

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
FIELDS = (ArraySpec(name="position", shape=(3,)), ArraySpec(name="height", shape=(1,)))
ACTION = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0,) * 2, high=(1.0,) * 2)
LENGTH = 40

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium")


def frames(trajectory: Trajectory, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures that grow brighter; tests need no display."""
    return (np.full((48, 64, 3), 5 * int(row), np.uint8) for row in rows)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve trajectories: one in four labeled, some inferred, one missing, one partial."""
    folder = tmp_path_factory.mktemp("report")
    writer = CorpusWriter.create(folder / "corpus", observations=FIELDS, action=ACTION)
    rng = np.random.default_rng(0)
    for i in range(12):
        writer.add(
            {spec.name: rng.normal(size=(LENGTH + 1, *spec.shape)) for spec in FIELDS},
            np.full(LENGTH, float(i * 7 % 12)),
            None if i == 3 else rng.uniform(-1, 1, (LENGTH, 2)),
            action_observed=np.arange(LENGTH) < 15 if i == 5 else None,
            truncated=True,
            provenance=Provenance(source=HOSTILE if i % 2 else "calm", tier="medium", seed=i % 3),
        )
    writer.close()
    whole = open_corpus(folder / "corpus")
    mask = make_mask(whole, 0.25, 0, "quarter")
    save_mask(whole, mask)
    view = whole.with_mask("quarter")
    inferred = [
        (t.info.id, np.zeros((LENGTH, 2)), np.ones((LENGTH, 2))) for t in view if not t.is_labeled
    ]
    write_overlay(view, inferred[:4], name="idm", model="0" * 64, algorithm="test", r2=0.5)
    with Bars() as bars:
        out = folder / "report.html"
        write_report(view.with_labels("idm"), out, clips=2, bars=bars, frames=frames)
    return out


@pytest.fixture(scope="module")
def load(page_file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the page in a window of its own; what it says or asks for is kept in ``heard``."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as engine:
        flags = [f"--{flag}" for flag in FLAGS]
        browser = engine.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)

        def opened(width: int = 1280, height: int = 800, scheme: str = "light") -> Any:
            viewport = {"width": width, "height": height}
            page = browser.new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
            page.heard = []
            page.on("console", lambda message: page.heard.append(message.text))
            page.on("pageerror", lambda error: page.heard.append(str(error)))
            page.on("dialog", lambda dialog: (page.heard.append(dialog.message), dialog.dismiss()))
            page.on("request", lambda request: page.heard.append(request.url))
            page.goto(page_file.as_uri())
            page.wait_for_selector("html[data-ready=yes]")
            return page

        yield opened
        browser.close()


@pytest.fixture(scope="module")
def laptop(load) -> Any:
    return load()


@pytest.fixture
def page(laptop: Any) -> Iterator[Any]:
    """The page on a laptop, with the list as it is at first."""
    for name in ("state", "group"):
        laptop.locator(f"#{name}").select_option("")
    laptop.locator("#search").fill("")
    laptop.locator("#sort").select_option("place")
    yield laptop
    require_silence(laptop)


def require_silence(page: Any) -> None:
    """Nothing on the console, no dialog, and no request but for the page and what is in it."""
    inside = (page.url, "data:")
    assert [text for text in page.heard if not text.startswith(inside)] == []


def until(page: Any, holds: str) -> None:
    """Wait for a JavaScript expression. Playwright's own way needs ``eval``, which is forbidden."""
    end = time.monotonic() + 30
    while not page.evaluate(holds):
        assert time.monotonic() < end, holds
        page.wait_for_timeout(30)


def chosen(page: Any) -> str:
    (row,) = page.locator("#list [aria-selected=true]").all()
    return row.get_attribute("aria-label")


def labels(page: Any) -> list[str]:
    rows = page.locator("#list [role=option]")
    return rows.evaluate_all("rows => rows.map(row => row.getAttribute('aria-label'))")


def test_every_chart_is_drawn_and_described(page) -> None:
    charts = page.locator("[data-chart]")
    names = charts.evaluate_all("all => all.map(one => one.dataset.chart)")
    kinds = [name.partition("-")[0] for name in names]
    assert [kinds.count(kind) for kind in ("returns", "actions", "observations")] == [2, 2, 4]
    assert {"order", "coverage", "signals"} <= set(kinds)
    specs = json.loads(page.locator("#data").text_content())["charts"]
    for name in names:
        graphic = page.locator(f"[data-chart={name}][role=graphics-document]")
        assert graphic.get_attribute("aria-label") == specs[name]["spec"]["description"]
        assert graphic.locator(".mark-rect path, .mark-line path").count() > 0, name
    assert page.locator(".graph svg path").count() == 4


def test_hostile_names_are_only_text(page) -> None:
    assert page.locator("#returns th", has_text=HOSTILE).count() == 1
    assert page.locator("#group option", has_text=HOSTILE).count() == 1
    assert page.locator("img").count() == 0


def test_arrow_keys_go_through_the_trajectories(page) -> None:
    page.locator("#list").focus()
    page.keyboard.press("Home")
    rows = labels(page)
    assert len(rows) == 12
    assert chosen(page) == rows[0]
    for key, place in (("ArrowDown", 1), ("ArrowRight", 2), ("ArrowUp", 1), ("End", 11)):
        page.keyboard.press(key)
        assert chosen(page) == rows[place]
    page.keyboard.press("ArrowDown")
    assert chosen(page) == rows[11]
    active = page.locator("#list").get_attribute("aria-activedescendant")
    assert page.locator(f"[id='{active}']").get_attribute("aria-label") == rows[11]
    assert (
        page.evaluate("getComputedStyle(document.getElementById('list')).outlineStyle") == "solid"
    )


def test_mouse_chooses_and_signals_follow(page) -> None:
    row = page.locator("#list [role=option]").nth(4)
    row.click()
    assert chosen(page) == row.get_attribute("aria-label")
    name = row.get_attribute("id").removeprefix("row-")
    page.wait_for_selector(f"#signals[data-shown='{name}']")
    assert name in page.locator("#told").inner_text()
    page.locator("#next").click()
    assert chosen(page) == labels(page)[5]
    before = page.locator("#now").inner_text()
    signals = page.locator("#signals svg")
    width = signals.bounding_box()["width"]
    signals.hover(position={"x": 0.6 * width, "y": 30}, force=True)
    until(page, f"document.getElementById('now').textContent !== {before!r}")
    step = int(page.locator("#now").inner_text().split()[0])
    assert 0.45 * LENGTH < step < 0.65 * LENGTH
    assert page.locator("#time").input_value() == str(step)


def test_lists_are_sorted_and_filtered(page) -> None:
    page.locator("#sort").select_option("high")
    returns = [float(label.split("return ")[1].split(",")[0]) for label in labels(page)]
    assert returns == sorted(returns, reverse=True)
    page.locator("#state").select_option("inferred")
    assert len(labels(page)) == 4
    assert all("actions inferred" in label for label in labels(page))
    assert chosen(page) in labels(page)
    page.locator("#state").select_option("")
    page.locator("#group").select_option(index=1)
    assert len(labels(page)) == 6
    page.locator("#search").fill("nothing has this id")
    assert labels(page) == []
    assert page.locator("#count").inner_text() == "0 of 12"


def test_clip_plays_and_moves_the_cursor(page) -> None:
    filmed = next(i for i, label in enumerate(labels(page)) if "with clip" in label)
    page.locator("#list [role=option]").nth(filmed).click()
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    until(page, "parseInt(document.getElementById('now').textContent) > 3")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('clip').paused")
    page.locator("#time").focus()
    page.keyboard.press("End")
    until(page, "document.getElementById('clip').currentTime > 1.8")
    plain = next(i for i, label in enumerate(labels(page)) if "with clip" not in label)
    page.locator("#list [role=option]").nth(plain).click()
    assert not page.locator("#clip").is_visible()
    assert not page.locator("#play").is_visible()


def test_a_clip_that_loads_while_it_plays_goes_on(page) -> None:
    filmed = next(i for i, label in enumerate(labels(page)) if "with clip" in label)
    page.locator("#list [role=option]").nth(filmed).click()
    until(page, "document.getElementById('clip').duration > 0")
    paused = page.evaluate("""() => {
        const clip = document.getElementById("clip");
        clip.play();
        clip.dispatchEvent(new Event("loadedmetadata"));
        return clip.paused;
    }""")
    assert not paused


def test_click_on_a_point_opens_the_trajectory(page) -> None:
    page.locator("#state").select_option("inferred")
    point = page.locator("[data-chart=order] .mark-symbol path").nth(2)
    point.click(force=True)
    assert chosen(page).startswith("trajectory 2,")
    assert page.evaluate("document.activeElement.id") == "list"


def test_charts_follow_the_scheme(load) -> None:
    page = load(scheme="dark")
    papers = set()
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        style = "getComputedStyle(document.documentElement)"
        observed = page.evaluate(f"{style}.getPropertyValue('--observed').trim()")
        page.wait_for_selector(f"[data-chart=coverage] svg path[fill='{observed}']")
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2
    require_silence(page)


def test_phone_needs_no_sideways_scrolling(load) -> None:
    page = load(width=360, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.locator("#next").click()
    box = page.locator("#signals svg").bounding_box()
    assert box["x"] + box["width"] <= 360
    page.set_viewport_size({"width": 740, "height": 360})
    until(page, "document.querySelector('#signals svg').clientWidth > 400")
    require_silence(page)
