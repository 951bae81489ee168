from pathlib import Path

import pytest
from lawm_cli.experiment import changes, from_file, from_options
from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig
from lawm_schemas.plain_yaml import dump_yaml


def options(
    *settings: str, corpora=("c",), mask=None, labels=None, seed=0, device=None
) -> ExperimentConfig:
    asked = changes(settings, device=device)
    return from_options(corpora, mask, labels, "lawm", "demo", seed, asked)


def test_options_change_the_preset_and_leave_the_rest() -> None:
    base, changed = options(), options("window=9", "steps.agent=1", seed=3, device=None)
    assert (changed.window, changed.steps["agent"], changed.seed) == (9, 1, 3)
    assert changed.steps["model"] == base.steps["model"]
    assert changed.device == base.device == "cpu"


def test_mask_goes_to_the_one_corpus() -> None:
    assert options(mask="5pct").corpora == (CorpusSource(path="c", mask="5pct"),)


def test_labels_go_there_too_or_stand_behind_each() -> None:
    wanted = CorpusSource(path="c", mask="5pct", labels="lawm-a")
    assert options(mask="5pct", labels="lawm-a").corpora == (wanted,)
    several = options(corpora=("c@5pct+lawm-a", "d+b*0.5", "c++/d")).corpora
    assert several == (
        wanted,
        CorpusSource(path="d", labels="b", weight=0.5),
        CorpusSource(path="c++/d"),
    )
    with pytest.raises(ConfigError, match=r"--labels: goes with one corpus; .* PATH\+LABELS"):
        options(corpora=("c+a",), labels="b")


def test_empty_mask_is_not_all_labels() -> None:
    with pytest.raises(ConfigError, match="--mask '': mask: "):
        options(mask="")
    with pytest.raises(ConfigError, match="corpus c@: mask: "):
        options(corpora=("c@",))


@pytest.mark.parametrize("corpora", [("c", "d"), ("c@other",)])
def test_mask_is_refused_where_it_is_not_clear(corpora: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="--mask: goes with one corpus"):
        options(corpora=corpora, mask="5pct")


def test_unknown_setting_is_named() -> None:
    with pytest.raises(ConfigError, match="windw"):
        options("windw=3")


def test_file_round_trip_with_a_change(tmp_path: Path) -> None:
    config = options("algorithm.settings.support=1.5", corpora=("c@m*2", "d"))
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    assert from_file(path, changes([])) == config
    assert from_file(path, changes(["batch_size=3"], seed=5)) == config.model_copy(
        update={"batch_size": 3, "seed": 5}
    )


def test_file_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml({**options().model_dump(mode="json"), "sed": 1}))
    with pytest.raises(ConfigError, match="sed"):
        from_file(path, {})


def test_folder_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        from_file(tmp_path, {})
