"""An exported program does what the policy does, step by step, for any number of robots."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, StorageError
from small_runs import DISTINCT

from lawm_data.envs.convert import nearest
from lawm_data.envs.policy import RandomPolicy
from lawm_models.acting.export import export_policy
from lawm_models.acting.policy import Policy
from lawm_models.algorithms import ALGORITHMS
from lawm_models.networks.policies import StepPolicy

POLICIES = [n for n in DISTINCT if hasattr(ALGORITHMS.load(n).Algorithm, "policy")]
ALIKE = ("lawm", "lawm_plus")
"""With real actions their programs are clap's: the same modules with another prior, or none."""
STEPS = 4


class Archive:
    """A program of ``torch.export``."""

    def __init__(self, path: Path) -> None:
        files = {"lawm": ""}
        self._program = torch.export.load(io.BytesIO(path.read_bytes()), extra_files=files)
        self.facts = json.loads(files["lawm"])

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        out = self._program.module()(**{k: torch.from_numpy(v) for k, v in inputs.items()})
        return [part.numpy() for part in (out if isinstance(out, tuple) else (out,))]


class Model:
    """An ONNX model."""

    def __init__(self, path: Path) -> None:
        onnx.checker.check_model(onnx.load(path), full_check=True)
        self._session = onnxruntime.InferenceSession(path)
        self.facts = json.loads(self._session.get_modelmeta().custom_metadata_map["lawm"])

    def __call__(self, **inputs: np.ndarray) -> list[np.ndarray]:
        return self._session.run(None, inputs)


def assert_bad_readings_are_forgotten(program: Archive | Model) -> None:
    """The second of three robots observes nothing for a step; it goes on from where it was."""
    width, draws = program.facts["state"], np.random.default_rng(0)
    state = draws.normal(size=(3, width)).astype(np.float32) * 0.1
    good = draws.normal(size=(3, 4)).astype(np.float32)
    for bad in (np.nan, np.inf):
        broken = good.copy()
        broken[1, 2] = bad
        inputs = {"state": state} if width else {}
        action, *following = program(observation=broken, **inputs)
        expected, *after = program(observation=good, **inputs)
        np.testing.assert_allclose(action[[0, 2]], expected[[0, 2]], rtol=1e-4, atol=1e-5)
        for found, wanted in zip(following, after, strict=True):
            np.testing.assert_allclose(found[[0, 2]], wanted[[0, 2]], rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(found[1], state[1])


def assert_same(policy: Policy, program: Archive | Model, robots: int) -> None:
    draws, width = np.random.default_rng(robots), program.facts["state"]
    memory = {"state": np.zeros((robots, width), np.float32)} if width else {}
    policy.reset()
    for _ in range(STEPS):
        observation = draws.normal(size=(robots, 4)).astype(np.float32)
        action, *following = program(observation=observation, **memory)
        memory = {"state": following[0]} if following else {}
        expected = policy.act(observation)
        assert (action.shape, action.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(action, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch's own, while it loads
@pytest.mark.filterwarnings("ignore:.*get_attr:UserWarning")
@pytest.mark.parametrize(
    ("name", "action"),
    [
        *(
            pytest.param(name, "box", marks=[pytest.mark.slow] if name in ALIKE else [])
            for name in POLICIES
        ),
        ("lawm", "discrete"),
        ("bc", "many"),
    ],
)
def test_archive_acts_as_the_policy(make_policy, tmp_path, name: str, action: str) -> None:
    policy = make_policy(name, action)
    program = Archive(policy.export(tmp_path / "policy.pt2"))
    for robots in (1, 2, 5):
        assert_same(policy, program, robots)
    assert_bad_readings_are_forgotten(program)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("lawm", "discrete"),
        pytest.param("clap", "box", marks=pytest.mark.slow),
        pytest.param("bc", "many", marks=pytest.mark.slow),
    ],
)
def test_onnx_acts_as_the_policy(make_policy, tmp_path, name: str, action: str) -> None:
    policy = make_policy(name, action)
    program = Model(policy.export(str(tmp_path / "new" / "policy.onnx")))
    for robots in (1, 2, 5):
        assert_same(policy, program, robots)
    assert_bad_readings_are_forgotten(program)
    facts = program.facts
    assert [field["name"] for field in facts["observation"]] == [s.name for s in policy.state]
    assert facts["action"] == policy.action.model_dump(mode="json")
    assert (facts["algorithm"], facts["weights"]) == (name, policy.weights)


BOUNDED = [
    ArraySpec(name="a", shape=(2,), dtype="float32", low=(-0.1, -0.3), high=(0.1, 0.7)),
    ArraySpec(name="a", shape=(2,), dtype="float64", low=(-0.1, -0.3), high=(0.1, 0.7)),
    ArraySpec(name="a", shape=(2,), dtype="int64", low=(-(2**25) - 1, 0), high=(-(2**25) + 1, 9)),
    ArraySpec(name="a", shape=(2,), dtype="uint8", low=(1, 0), high=(9, 255)),
]


class Echo(StepPolicy):
    """Does what it observes."""

    def step(self, observation, memory, generator):
        return observation, memory


@pytest.mark.filterwarnings("ignore:`isinstance:FutureWarning")  # torch's own, while it loads
@pytest.mark.filterwarnings("ignore:.*get_attr:UserWarning")
@pytest.mark.parametrize(("suffix", "kind"), [(".pt2", Archive), (".onnx", Model)])
@pytest.mark.parametrize("spec", BOUNDED, ids=lambda spec: spec.dtype)
def test_a_program_keeps_the_bounds_that_a_policy_keeps(
    spec: ArraySpec, suffix: str, kind: type, tmp_path: Path
) -> None:
    echo, state = Echo(0, torch.zeros(1)), [ArraySpec(name="o", shape=(2,))]
    path = export_policy(echo, state, spec, tmp_path / f"echo{suffix}", {"algorithm": "echo"})
    chosen = np.array([[-1e9, -1e9], [1e9, 1e9], [0.05, 0.6]], np.float32)
    (found,) = kind(path)(observation=chosen)
    expected = nearest(chosen, spec, "here")
    assert ((found >= spec.low) & (found <= spec.high)).all()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_what_cannot_be_exported_is_refused(make_policy, tmp_path) -> None:
    policy = make_policy("bc")
    with pytest.raises(ConfigError, match="is no format of programs"):
        policy.export(tmp_path / "policy.pt")
    with pytest.raises(ConfigError, match="bc: acts with noise"):
        make_policy("bc", deterministic=False).export(tmp_path / "policy.pt2")
    policy.actor = RandomPolicy(policy.action)
    with pytest.raises(ConfigError, match="bc: is no function of tensors"):
        policy.export(tmp_path / "policy.pt2")
    (tmp_path / "corpus.json").touch()
    with pytest.raises(StorageError, match="lies in the corpus"):
        make_policy("bc").export(tmp_path / "policy.pt2")
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.json"]


def test_missing_package_is_named(make_policy, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ConfigError, match=r"onnxscript; pip install 'lawm\[onnx\]'"):
        make_policy("bc").export(tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())
