"""Files of a set lie in the set, and its episodes are counted without a gap."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import CorpusError

from lawm_data.exchange.formats.lerobot.layout import inside, read_episodes, read_json, read_lines


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_patterns_of_both_versions_are_filled_in(chunk: int, file: int) -> None:
    root = Path("/set")
    new = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    old = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    assert inside(root, new, (chunk, file)) == root / new.format(chunk_index=chunk, file_index=file)
    expected = old.format(episode_chunk=chunk, episode_index=file, video_key="cam")
    assert inside(root, old, (chunk, file), "cam") == root / expected


@pytest.mark.parametrize(
    "pattern", ["../a", "/a", "a/../../b", "", "{other}", "a\0b", "{chunk_index!r}"]
)
def test_patterns_that_lead_elsewhere_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(CorpusError, match="has a path"):
        inside(tmp_path, pattern)
    with pytest.raises(CorpusError, match="has a path"):
        inside(tmp_path, "{video_key}", key="../a")


def test_links_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "meta").mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    (root / "meta" / "info.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(CorpusError, match="leads outside the set; copy the set with"):
        read_json(root, "meta/info.json")


def test_the_table_of_an_export_is_that_of_its_trajectories(exported: Path, corpus) -> None:
    episodes = read_episodes(exported, [])
    assert episodes.length.tolist() == corpus.table.length.tolist()
    assert sum(map(len, episodes.tasks)) == len(corpus)
    assert (episodes.place >= 0).all()


def lines(folder: Path, rows: list[dict]) -> Path:
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "meta" / "episodes.jsonl").write_text(text)
    return folder


@given(st.permutations(range(5)), st.integers(1, 3))
def test_lines_may_stand_in_any_order(tmp_path_factory, order: list[int], chunk: int) -> None:
    rows = [{"episode_index": i, "length": i + 1, "tasks": [f"task {i}"]} for i in order]
    found = read_lines(lines(tmp_path_factory.mktemp("set"), rows), ["cam"], chunk)
    assert found.length.tolist() == [1, 2, 3, 4, 5]
    assert found.place.tolist() == [[i // chunk, i] for i in range(5)]
    assert found.tasks[0].to_pylist() == [[f"task {i}"] for i in range(5)]
    assert (found.films["cam"][1] == 0).all()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "has no episodes"),
        ([{"episode_index": 1, "length": 3}], "has episode 1 in the place of 0"),
        ([{"episode_index": 0, "length": 0}], "of impossible lengths"),
        ([{"episode_index": 0, "length": True}], "has no sound length"),
        ([{"episode_index": "0", "length": 3}], "has no sound episode_index"),
    ],
)
def test_episodes_that_cannot_be_are_refused(tmp_path: Path, rows: list, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        read_lines(lines(tmp_path, rows), [], 1000)
