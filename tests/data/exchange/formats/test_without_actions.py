"""Files in which not one action is stored: they are missing, in every format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lawm_schemas import ConfigError, LabelState

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus

STEPS = 5
ROWS = STEPS + 1
STATE = np.arange(ROWS * 3.0, dtype="f4").reshape(ROWS, 3)


def d4rl(path: Path, actions: np.ndarray | None) -> str:
    with h5py.File(path / "a.hdf5", "w") as file:
        file["observations"], file["next_observations"] = STATE[:-1], STATE[1:]
        file["rewards"], ends = np.ones(STEPS, "f4"), np.arange(STEPS) == STEPS - 1
        file["terminals"], file["timeouts"] = ~ends & False, ends
        if actions is not None:
            file["actions"] = actions[1:]
    return f"d4rl:{path / 'a.hdf5'}"


def ogbench(path: Path, actions: np.ndarray | None) -> str:
    rest = {} if actions is None else {"actions": actions}
    ends = (np.arange(ROWS) == STEPS).astype("f4")
    np.savez(path / "a.npz", observations=STATE, terminals=ends, **rest)
    return f"ogbench:{path / 'a.npz'}"


def robomimic(path: Path, actions: np.ndarray | None) -> str:
    with h5py.File(path / "a.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo["obs/state"], demo["next_obs/state"] = STATE[:-1], STATE[1:]
        demo["dones"] = np.zeros(STEPS)
        if actions is not None:
            demo["actions"] = actions[1:]
    return f"robomimic:{path / 'a.hdf5'}"


def exorl(path: Path, actions: np.ndarray | None) -> str:
    rest = {} if actions is None else {"action": actions}
    np.savez(path / f"a_0_{STEPS}.npz", observation=STATE, discount=np.ones((ROWS, 1)), **rest)
    return f"exorl:{path}"


def aime(path: Path, actions: np.ndarray | None) -> str:
    rest = {} if actions is None else {"pre_action": actions}
    np.savez(path / "0.npz", state=STATE, is_last=np.arange(ROWS) == STEPS, **rest)
    return f"aime:{path}"


def dreamer(path: Path, actions: np.ndarray | None) -> str:
    rest = {} if actions is None else {"action": actions}
    np.savez(path / "a.npz", state=STATE, is_last=np.arange(ROWS) == STEPS, **rest)
    return f"dreamer:{path}"


@pytest.mark.parametrize("write", [d4rl, ogbench, robomimic, exorl, aime, dreamer])
def test_actions_that_are_not_stored_are_missing(tmp_path: Path, write: Any) -> None:
    (tmp_path / "set").mkdir()
    address = write(tmp_path / "set", None)
    made = import_corpus(address, tmp_path / "one")
    assert any("no actions are stored: they are missing" in note for note in made.notes)
    assert not any("-1 and 1 were taken" in note for note in made.notes)
    corpus = open_corpus(tmp_path / "one", verify=True)
    assert not [f for f in validate(tmp_path / "one") if f.severity == "error"]
    (trajectory,) = corpus
    assert (trajectory.labels, trajectory.actions) == (LabelState.missing, None)
    assert np.array_equal(trajectory.observations.state, STATE)
    assert corpus.manifest.action.shape == (1,)
    import_corpus(address, tmp_path / "four", {"actions": 4, "low": -2, "high": 2})
    action = open_corpus(tmp_path / "four").manifest.action
    assert (action.shape, action.low, action.high) == ((4,), (-2.0,) * 4, (2.0,) * 4)


@pytest.mark.parametrize("write", [d4rl, ogbench, robomimic, exorl, aime, dreamer])
def test_the_shape_of_actions_that_are_stored_is_not_asked_for(tmp_path: Path, write: Any) -> None:
    actions = np.linspace(0, 1, ROWS, dtype="f4")[:, None]
    (tmp_path / "set").mkdir()
    address = write(tmp_path / "set", actions)
    with pytest.raises(ConfigError, match="actions: is a setting of files without actions"):
        import_corpus(address, tmp_path / "one", {"actions": 1})
    import_corpus(address, tmp_path / "one")
    assert open_corpus(tmp_path / "one").label_counts()["observed"] == 1
