"""Latent actions through every format that says that it keeps them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ConfigError

from lawm_data import make_mask, open_corpus
from lawm_data.corpus.latents import CODE, KNOWN, LATENT
from lawm_data.exchange.exporting import export_corpus
from lawm_data.exchange.formats import FORMATS
from lawm_data.exchange.importing import import_corpus

PLACES = {"lerobot": "{}/set", "minari": "wild/z-v0"}


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return lambda name: f"{name}:{PLACES[name].format(tmp_path)}"


def test_both_formats_say_so() -> None:
    members, _ = FORMATS.load_all()
    assert {name for name, m in members.items() if m.ABOUT.latents} == set(PLACES)


@pytest.mark.parametrize("codes", [None, 7])
@pytest.mark.parametrize("name", PLACES)
def test_they_come_back_to_the_bit(
    name: str,
    codes: int | None,
    random_corpus: Callable,
    write_latents: Callable,
    address: Callable,
    tmp_path: Path,
) -> None:
    """Of a part of a corpus and through a mask, too; trajectories without any among them."""
    whole = random_corpus(lengths=(5, 1, 9))
    write_latents(whole.path, "z", codes=codes, horizon=2)
    mask = make_mask(whole, 0.5, seed=0, name="half")
    for number, view in enumerate((whole, whole[[2, 1]].with_mask(mask))):
        view = view.with_latents("z")
        place = address(name).replace("z-v0", f"z-v{number}").replace("/set", f"/set{number}")
        export_corpus(view, place)
        made = import_corpus(place, tmp_path / f"back{number}")
        assert made.latents == ("z",)
        back = open_corpus(tmp_path / f"back{number}").with_latents("z")
        assert back.latents is not None
        assert view.latents is not None
        changed = {"corpus", "trajectories", "sha256"}
        assert back.latents.model_dump(exclude=changed) == view.latents.model_dump(exclude=changed)
        for before, after in zip(view, back, strict=True):
            np.testing.assert_array_equal(after.latents.values, before.latents.values)
            if codes is not None:
                np.testing.assert_array_equal(after.latents.codes, before.latents.codes)


def test_lerobot_has_columns_that_its_policies_do_not_take_for_actions(
    random_corpus: Callable, write_latents: Callable, address: Callable, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    whole = random_corpus(lengths=(5, 1, 9))
    write_latents(whole.path, "z", codes=7, horizon=2)
    view = whole.with_latents("z")
    export_corpus(view, address("lerobot"))
    files = sorted((tmp_path / "set").glob("data/*/*.parquet"))
    table = parquet.read_table(files[0]).to_pydict()
    values = np.concatenate([t.latents.values for t in view])
    known = np.array(table[KNOWN])
    assert known.tolist() == [i < len(t) - 1 for t in view for i in range(len(t))]
    np.testing.assert_array_equal(np.array(table[LATENT], "f4")[known], values)
    assert np.array(table[CODE])[~known].tolist() == [-1] * 3
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())[LATENT]
    np.testing.assert_allclose(stats["mean"], values.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["q50"], np.quantile(values, 0.5, axis=0), rtol=1e-5)
    (tmp_path / "set/meta/lawm").rename(tmp_path / "away")  # as another program's set
    bare = import_corpus(address("lerobot"), tmp_path / "bare")
    assert any(LATENT in note for note in bare.notes if note.startswith("left out"))


def test_lerobot_does_not_take_them_for_the_action(
    random_corpus: Callable, write_latents: Callable, address: Callable, tmp_path: Path
) -> None:
    whole = random_corpus(lengths=(5, 9))
    write_latents(whole.path, "z")
    export_corpus(whole.with_latents("z"), address("lerobot"))
    (tmp_path / "set/meta/lawm").rename(tmp_path / "away")
    with pytest.raises(ConfigError, match="holds latent actions, not actions"):
        import_corpus(address("lerobot"), tmp_path / "out", {"action": LATENT})


def test_minari_itself_reads_them(
    random_corpus: Callable, write_latents: Callable, address: Callable
) -> None:
    minari = pytest.importorskip("minari")
    whole = random_corpus(lengths=(5, 9))
    write_latents(whole.path, "z", horizon=2)
    view = whole.with_latents("z")
    export_corpus(view, address("minari"))
    episodes = list(minari.load_dataset("wild/z-v0").iterate_episodes())
    for episode, trajectory in zip(episodes, view, strict=True):
        rows = np.asarray(episode.infos[LATENT])
        np.testing.assert_array_equal(rows[:-2], trajectory.latents.values)
        assert np.isnan(rows[-2:]).all()


def test_a_format_without_a_place_for_them_says_so(
    random_corpus: Callable, write_latents: Callable, tmp_path: Path
) -> None:
    whole = random_corpus(lengths=(5, 9))
    write_latents(whole.path, "z")
    written = export_corpus(whole.with_latents("z"), f"d4rl:{tmp_path}/data.hdf5", dry_run=True)
    assert "latent actions z: the format has no place for them" in written.notes
