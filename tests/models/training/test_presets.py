"""Presets are complete and valid; overrides change one value and refuse typing errors."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import ConfigError, ExperimentConfig

from lawm_models.algorithms import ALGORITHMS
from lawm_models.training import presets
from lawm_models.training.experiment import resolve

CORPORA = [{"path": "corpora/cs", "mask": "5pct"}]


KNOWN = {
    "demo": ALGORITHMS.names(),
    "longer": ["clap", "lawm", "lawm_plus"],
    "paper": ALGORITHMS.names(),
    "pixels": ["bc", "clap", "idm_td3_bc", "lawm", "lawm_plus"],
    "small": ALGORITHMS.names(),
}
"""Algorithms that a preset knows."""


@pytest.mark.parametrize(
    ("preset", "algorithm"), [(preset, name) for preset, names in KNOWN.items() for name in names]
)
def test_preset_is_a_whole_experiment(preset, algorithm):
    data = presets.load(preset, algorithm)
    config = resolve(ExperimentConfig.parse({**data, "corpora": CORPORA}, preset))
    assert (config.preset, config.algorithm.name) == (preset, algorithm)
    assert resolve(config) == config
    assert sum(config.steps.values()) > config.checkpoint_every


def test_every_file_is_tested():
    assert presets.PRESETS.names() == list(KNOWN)


@pytest.mark.parametrize("algorithm", KNOWN["longer"])
def test_a_preset_may_be_like_another(algorithm):
    data, base = presets.load("longer", algorithm), presets.load("small", algorithm)
    assert list(data["steps"]) == list(base.pop("steps"))
    assert data.pop("steps") == {"model": 15000, "agent": 6000}
    assert (data.pop("preset"), base.pop("preset")) == ("longer", "small")
    if algorithm == "lawm_plus":
        settings = data["algorithm"]["settings"]
        assert settings.pop("prior_kl") == 0.002
        assert settings["agent"].pop("dream_noise") == 0
    assert data == base


@pytest.mark.parametrize("preset", ["demo", "paper", "small"])
def test_an_algorithm_may_be_like_another(preset):
    """LAWM+ has LAWM's settings, word for word; what is its own is in its defaults."""
    plus, plain = presets.load(preset, "lawm_plus"), presets.load(preset, "lawm")
    choice = plus.pop("algorithm")
    if preset == "paper":  # which has the KL and the dreams of another one
        own = choice["settings"]
        longer = presets.load("longer", "lawm_plus")["algorithm"]["settings"]
        assert own.pop("prior_kl") == longer["prior_kl"]
        assert own["agent"].pop("dream_noise") == longer["agent"]["dream_noise"]
    assert choice == {**plain.pop("algorithm"), "name": "lawm_plus"}
    assert plus == plain


def test_paper_preset_is_the_papers():
    data = presets.load("paper", "lawm")
    assert (data["batch_size"], data["window"]) == (64, 50)
    model = resolve(
        ExperimentConfig.parse({**data, "corpora": CORPORA}, "paper")
    ).algorithm.settings["model"]
    written = {"kl_balance": None, "free_nats": 0, "sample_decoded": True, "decoded_gradient": True}
    written |= {"inverse_input": "embedding", "inverse_supervision": 0, "reward_scale": "raw"}
    assert {key: model[key] for key in written} == written
    assert (data["labeled_ratio"], data.get("oversample_ends", False)) == (None, False)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(ConfigError, match=f"no preset 'huge'; known ones: {', '.join(KNOWN)}"):
        presets.load("huge", "bc")
    with pytest.raises(ConfigError, match="about algorithm 'bc'; it knows clap, lawm, lawm_plus"):
        presets.load("longer", "bc")
    known = (
        "acwm, autoencoder, bc, bc_rla, clap, cola, dila, flam, idm_iql, idm_rebrac, idm_td3_bc, "
        "iql, lam, lawm, lawm_plus, rebrac, rla, td3_bc"
    )
    with pytest.raises(ConfigError, match=f"no algorithm 'ppo'; known ones: {known}"):
        presets.load("small", "ppo")


def base():
    return {**presets.load("small", "bc"), "corpora": copy.deepcopy(CORPORA)}


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("batch_size=3", ["batch_size"], 3),
        ("labeled_ratio=null", ["labeled_ratio"], None),
        ("algorithm.settings.learning_rate=1e-4", ["algorithm", "settings", "learning_rate"], 1e-4),
        ("steps.agent=7", ["steps", "agent"], 7),
        ("steps={agent: 8}", ["steps"], {"agent": 8}),
        ("corpora.0.mask=10pct", ["corpora", 0, "mask"], "10pct"),
        ("corpora.0.mask='1e3'", ["corpora", 0, "mask"], "1e3"),
        ("device=cuda:1", ["device"], "cuda:1"),
    ],
)
def test_override_changes_one_value(assignment, path, value):
    before, after = base(), presets.override(base(), [assignment])
    node = after
    for part in path[:-1]:
        node = node[part]
    assert node.pop(path[-1]) == value
    node = before
    for part in path[:-1]:
        node = node[part]
    node.pop(path[-1], None) if isinstance(node, dict) else None
    assert after == before
    assert presets.override(base(), []) == base()


@settings(max_examples=10)
@given(st.integers(1, 999), st.integers(1, 999))
def test_last_override_wins(first, second):
    config = presets.override(base(), [f"window={first}", f"window={second}"])
    assert config["window"] == second


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("batchsize=3", "batchsize: no such setting; known: corpora, algorithm"),
        (
            "algorithm.settings.free_nat=0",
            "algorithm.settings.free_nat: no such setting; known: encoder, u",
        ),
        ("corpora.0.maks=x", r"corpora.0.maks: no such setting; known: path, mask, labels, weight"),
        ("corpora.1.mask=x", "'1' is not one of 1; count from 0"),
        ("batches.agent.batchsize=3", r"agent.batchsize: no such setting; known: batch_size, l"),
        ("batch_size", "no '=' in it; write key=value"),
        ("steps={agent", "--set steps={agent: not YAML: "),
        ("steps={agent: 1, agent: 2}", 'duplicate key "agent"'),
    ],
)
def test_typing_error_is_named(assignment, message):
    with pytest.raises(ConfigError, match=message):
        presets.override(base(), [assignment])


def test_batches_of_a_stage_are_known():
    for algorithm in ("bc", "idm_td3_bc"):
        config = presets.override(
            presets.load("small", algorithm), ["batches.agent.batch_size=5", "corpora=[{path: x}]"]
        )
        config = resolve(ExperimentConfig.parse(config, "test"))
        assert config.batches["agent"].batch_size == 5
        assert config.batches["agent"].labeled_ratio is None


def test_nested_settings_are_known():
    config = presets.override(presets.load("small", "lawm"), ["algorithm.settings.model.units=4"])
    assert config["algorithm"]["settings"]["model"]["units"] == 4
    with pytest.raises(ConfigError, match=r"settings.model.unit: no such setting; known: encoder"):
        presets.override(config, ["algorithm.settings.model.unit=4"])


def test_settings_of_an_encoder_are_looked_at_when_its_name_is_known():
    key = "algorithm.settings.model.encoder"
    config = presets.override(presets.load("paper", "lawm"), [f"{key}.scale=standard"])
    encoder = config["algorithm"]["settings"]["model"]["encoder"]
    assert encoder == {"scale": "standard"}
    for setting, message in (
        ("scael=raw", r"model\.encoder\.scael: Extra inputs.*; check its spelling"),
        ("name=ears", r"model\.encoder: no encoder 'ears'; known ones: .*vectors"),
    ):
        wrong = presets.override(config, [f"{key}.{setting}", "corpora=[{path: x}]"])
        with pytest.raises(ConfigError, match=message):
            resolve(ExperimentConfig.parse(wrong, "test"))
