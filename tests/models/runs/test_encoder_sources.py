"""Encoders from runs, from files of weights and from other features."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, LawmError
from pretrained_weights import published
from safetensors.torch import save_file as save_safetensors

from lawm_data import filter_corpus, open_corpus
from lawm_data.corpus.features import FEATURES
from lawm_models.runs.encoder_sources import of_features, of_file
from lawm_models.runs.make_features import make_features
from lawm_models.runs.relabel import relabel
from lawm_models.runs.run import load_run
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of EfficientNet-Lite0, as ``torch.save`` writes them."""
    torch.save({"state_dict": published()}, tmp_path / "lite0.pth")
    return tmp_path / "lite0.pth"


def test_an_architecture_with_weights_from_a_file_makes_features(
    drawn: Path, weights: Path, learn: Callable
) -> None:
    """A run on them needs neither the file nor the corpus to act."""
    source = of_file(weights, "efficientnet_lite0", open_corpus(drawn))
    made = make_features(source, drawn, "lite0")
    assert (made["width"], made["observations"]) == (320, 66)
    assert set(made["probe"]) == {"position", "velocity"}
    (info,) = open_corpus(drawn).observing("features:lite0").features
    assert info.algorithm == info.encoder["config"]["name"] == "efficientnet_lite0"
    run, trajectory = learn("bc", "features:lite0"), open_corpus(drawn)[0]
    features = open_corpus(drawn).observing("features:lite0")[0].observations.state
    inner = run.acting(run.algorithm()).policy()
    inner.start(11, 0)
    expected = inner.act(features)
    shutil.rmtree(drawn)
    weights.unlink()
    actions = load_run(run.path).policy().act({"pixels": trajectory.observations["pixels"]})
    np.testing.assert_allclose(actions, expected, atol=1e-2)


def test_the_fingerprint_of_an_encoder_covers_weights_and_architecture(
    drawn: Path, weights: Path, tmp_path: Path
) -> None:
    view, found = open_corpus(drawn), []
    save_safetensors(published(), tmp_path / "lite0.safetensors")
    torch.save(published(seed=1), tmp_path / "other.pth")
    for file in (weights, tmp_path / "lite0.safetensors", tmp_path / "other.pth"):
        made = make_features(of_file(file, "efficientnet_lite0", view), drawn, file.stem, True)
        found.append(made["encoder"])
    assert found[0] == found[1] != found[2]
    frozen = of_file(weights, "efficientnet_lite0", view).frozen
    before = frozen.to_bytes()
    frozen.config = frozen.config.model_copy(update={"name": "another"})
    assert frozen.to_bytes() != before


def test_weights_of_no_such_architecture_are_one_line_and_leave_nothing(
    drawn: Path, weights: Path, tmp_path: Path
) -> None:
    class Code:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "run",))

    broken = published()
    broken["_conv_stem.weight"] = broken["_conv_stem.weight"][:, :2]
    nan = {**published(), "_bn0.bias": torch.full((32,), torch.nan)}
    files = {
        "text": b"no weights " * 9,
        "empty": b"",
        "torn": weights.read_bytes()[:-1000],
        "code": torch_bytes({"_conv_stem.weight": Code()}),
        "list": torch_bytes([torch.zeros(3)]),
        "numbers": torch_bytes({"epoch": 3}),
        "broken": torch_bytes(broken),
        "nan": torch_bytes(nan),
    }
    view = open_corpus(drawn)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ConfigError, match=name) as refusal:
            of_file(tmp_path / name, "efficientnet_lite0", view)
        assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="no architecture 'resnet'; known ones: efficient"):
        of_file(weights, "resnet", view)
    with pytest.raises(LawmError, match="No such file"):
        of_file(tmp_path / "nowhere", "efficientnet_lite0", view)
    assert not (drawn / FEATURES).exists()


def test_corpora_share_an_encoder_and_its_scale(
    drawn: Path, encoder: RunFolder, learn: Callable, experiment: Callable, tmp_path: Path
) -> None:
    """The same run on another corpus makes features of another scale; ``like`` keeps it."""
    other = tmp_path / "other"
    filter_corpus(open_corpus(drawn)[:2], "length > 0", other)
    make_features(encoder, drawn, "ae")
    make_features(encoder, other, "ae")
    corpora = [{"path": str(drawn), "mask": "half"}, {"path": str(other)}]
    settings = {"observe": "features:ae", "window": 5, "evaluation_episodes": 0}
    config = experiment("bc", corpora=corpora, **settings)
    with pytest.raises(ConfigError, match=f"{other} --like {drawn} --name ae --replace"):
        train(config, tmp_path / "both")
    run = learn("bc", "features:ae")
    with pytest.raises(ConfigError, match=f"{other} --like {run.path} --name ae --replace"):
        relabel(run, other, "inferred")
    make_features(of_features(run.path, "ae"), other, "ae", replace=True)
    make_features(of_features(drawn, "ae"), other, "ae", replace=True)
    whole, part = (open_corpus(path).observing("features:ae") for path in (drawn, other))
    np.testing.assert_array_equal(whole[0].observations["ae"], part[0].observations["ae"])
    assert train(config, tmp_path / "both").is_finished()


def torch_bytes(content: object) -> bytes:
    data = io.BytesIO()
    torch.save(content, data)
    return data.getvalue()
