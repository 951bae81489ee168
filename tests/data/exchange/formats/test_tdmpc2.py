from __future__ import annotations

import contextlib
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, CorpusError, LabelState

from lawm_data import open_corpus
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus

# torch.save of tensordict 0.14.3: 3 trajectories of 5 steps, of the tasks 3, 3 and 7
REAL = Path(__file__).parents[3] / "fixtures" / "foreign" / "tdmpc2-tensordict-0.14.pt"


def recorded(count: int, steps: int, seed: int = 0, nested: bool = False) -> dict[str, Any]:
    """The tensors of a file, as ``to_td`` of TD-MPC2's trainer puts them together."""
    g = torch.Generator().manual_seed(seed)
    obs: Any = torch.randn(count, steps + 1, 4, generator=g)
    if nested:
        obs = {"state": obs, "goal": torch.randn(count, steps + 1, 2, generator=g)}
    action = torch.rand(count, steps + 1, 2, generator=g) * 2 - 1
    reward = torch.rand(count, steps + 1, generator=g)
    action[:, 0] = reward[:, 0] = torch.nan
    return {"obs": obs, "action": action, "reward": reward}


@pytest.mark.parametrize("nested", [False, True])
def test_an_action_leaves_the_observation_before_the_one_it_stood_beside(
    tmp_path: Path, nested: bool
) -> None:
    files = [recorded(3, 5, seed, nested) for seed in range(12)]
    files[2]["action"][:, 1:] *= 2
    for number, file in enumerate(files):
        (tmp_path / "set").mkdir(exist_ok=True)
        torch.save(file, tmp_path / "set" / f"chunk_{number}.pt")
    made = import_corpus(f"tdmpc2:{tmp_path / 'set'}", tmp_path / "out", {"env": "walker-walk"})
    assert any("moved to the observation it was taken at" in note for note in made.notes)
    assert not any("-1 and 1 were taken" in note for note in made.notes)
    corpus = open_corpus(made.path, verify=True)
    assert validate(made.path) == []
    assert corpus.manifest.action.low is None
    for place, trajectory in enumerate(corpus):
        file, i = files[place // 3], place % 3  # 10 comes after 9
        shown = file["obs"] if nested else {"observation": file["obs"]}
        for name, tensor in shown.items():
            assert np.array_equal(trajectory.observations[name], tensor[i])
        assert np.array_equal(trajectory.actions, file["action"][i, 1:])
        assert np.array_equal(trajectory.rewards, file["reward"][i, 1:])
        assert (trajectory.info.terminated, trajectory.info.truncated) == (False, True)
        assert trajectory.info.metadata == {"file": f"chunk_{place // 3}.pt", "row": i}


def test_a_tensordict_is_read_without_its_class(tmp_path: Path) -> None:
    import_corpus(f"tdmpc2:{REAL}", tmp_path / "all")
    corpus = open_corpus(tmp_path / "all")
    assert [t.info.metadata["task"] for t in corpus] == [3, 3, 7]
    assert (len(corpus[0]), corpus.manifest.action.high) == (5, (1.0, 1.0))
    import_corpus(f"tdmpc2:{REAL}", tmp_path / "one", {"task": 7})
    (kept,) = open_corpus(tmp_path / "one")
    assert kept.info.id == corpus[2].info.id
    for wrong, words in ((True, "is True"), ("walker", "is 'walker'")):
        with pytest.raises(ConfigError, match=words):
            import_corpus(f"tdmpc2:{REAL}", tmp_path / "no", {"task": wrong})
    torch.save(recorded(1, 3), tmp_path / "plain.pt")
    with pytest.raises(ConfigError, match="is not stored in these files"):
        import_corpus(f"tdmpc2:{tmp_path / 'plain.pt'}", tmp_path / "no", {"task": 1})


def test_ends_and_missing_actions(tmp_path: Path) -> None:
    file = recorded(2, 4)
    file["terminated"] = torch.zeros(2, 5)
    file["terminated"][:, 0] = torch.nan
    file["terminated"][1, 4] = 1
    torch.save(file, tmp_path / "a.pt")
    import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "ends")
    ends = [(t.info.terminated, t.info.truncated) for t in open_corpus(tmp_path / "ends")]
    assert ends == [(False, True), (True, False)]
    torch.save({"obs": file["obs"]}, tmp_path / "b.pt")
    made = import_corpus(f"tdmpc2:{tmp_path / 'b.pt'}", tmp_path / "states", {"actions": 2})
    assert any("no actions are stored: they are missing" in note for note in made.notes)
    corpus = open_corpus(tmp_path / "states")
    assert {t.labels for t in corpus} == {LabelState.missing}
    assert (corpus.manifest.action.shape, corpus.table.rewarded.any()) == ((2,), False)


@pytest.mark.parametrize(
    "spoiled",
    [
        torch.full((2, 6, 2), torch.nan),
        torch.zeros(2, 6, 2, dtype=torch.complex64),
        torch.zeros(2, 5, 2),
        torch.zeros(2, 6, 2).to_sparse(),
        None,
    ],
    ids=["NaN", "complex", "too short", "sparse", "not there"],
)
def test_an_observation_that_cannot_be_read_is_left_out(
    tmp_path: Path, spoiled: torch.Tensor | None
) -> None:
    for i in range(2):
        file = recorded(2, 5, seed=i, nested=True)
        if i:
            file["obs"] |= {"goal": spoiled}
        file["obs"] = {name: value for name, value in file["obs"].items() if value is not None}
        torch.save(file, tmp_path / f"{i}.pt")
    with pytest.raises(CorpusError, match=r"--without goal|holds other arrays|more than tensors"):
        import_corpus(f"tdmpc2:{tmp_path}", tmp_path / "corpus")
    import_corpus(f"tdmpc2:{tmp_path}", tmp_path / "corpus", without=["obs.goal"])
    corpus = open_corpus(tmp_path / "corpus")
    assert [spec.name for spec in corpus.manifest.observations] == ["state"]
    assert len(corpus) == 4
    with pytest.raises(ConfigError, match="there is no array 'x'; there are state, goal"):
        import_corpus(f"tdmpc2:{tmp_path}", tmp_path / "other", without=["x"])


def test_the_only_observation_is_kept(tmp_path: Path) -> None:
    torch.save({**recorded(2, 5), "obs": NAN}, tmp_path / "a.pt")
    with pytest.raises(ConfigError, match="leaves nothing"):
        import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus", without=["obs"])
    with pytest.raises(CorpusError, match="a number that is not finite") as caught:
        import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus")
    assert "without" not in str(caught.value)


def test_what_is_not_kept_is_not_read(tmp_path: Path) -> None:
    file = {**recorded(2, 5), "extra": torch.zeros(3, dtype=torch.complex64)}
    torch.save(file, tmp_path / "a.pt")
    made = import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus")
    assert "not kept: extra" in made.notes


def test_pictures_have_their_channels_last(tmp_path: Path) -> None:
    """A stack of three pictures, as ``obs=rgb`` has it."""
    file = recorded(1, 3)
    file["obs"] = torch.randint(0, 256, (1, 4, 9, 64, 64), dtype=torch.uint8)
    torch.save(file, tmp_path / "a.pt")
    import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus")
    (trajectory,) = open_corpus(tmp_path / "corpus")
    shown = trajectory.observations["observation"]
    assert np.array_equal(shown, file["obs"][0].permute(0, 2, 3, 1))


class Harm:
    """What a file of somebody who means harm would run."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harm"),))


def saved(**tensors: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        found = {**recorded(2, 5), **tensors}
        torch.save({k: v for k, v in found.items() if v is not None}, path)

    return make


def cut(path: Path) -> None:
    torch.save(recorded(2, 5), path)
    path.write_bytes(path.read_bytes()[:-99])


def old(path: Path) -> None:
    torch.save(recorded(2, 5), path, _use_new_zipfile_serialization=False)


def bomb(path: Path) -> None:
    torch.save(recorded(2, 5), path)
    with zipfile.ZipFile(path) as before:
        members = {name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as after:
        for name, data in members.items():
            after.writestr(name, bytes(1 << 22) if name.endswith("data.pkl") else data)


NAN = torch.full((2, 6, 4), torch.nan)
STRIDED = torch.zeros(1).expand(2, 6, 1 << 40)
WRONG: dict[str, tuple[Callable[[Path], None], str]] = {
    "code": (saved(task=Harm()), "holds more than tensors"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(recorded(1, 2))), "not a complete zip"),
    "a legacy file": (old, "is not a complete zip file"),
    "a cut file": (cut, "is not a complete zip file"),
    "a long structure": (bomb, "says 4194304 bytes of its tensors"),
    "no tensors": (lambda path: torch.save([1, 2], path), "holds no tensors by name"),
    "no observations": (saved(obs=None), "holds no observations"),
    "other lengths": (saved(reward=torch.zeros(2, 5)), r"reward: has shape \(2, 5\); obs begins"),
    "another alignment": (saved(action=torch.ones(2, 6, 2)), "has a number in row 0 of trajectory"),
    "NaN": (saved(obs=NAN), "obs, trajectory 0: row 0 holds a number that is not finite"),
    "more than its bytes": (saved(obs=STRIDED), "declares shape"),
    "complex": (saved(obs=torch.zeros(2, 6, 4, dtype=torch.complex64)), "has type complex64"),
    "sparse": (saved(obs=torch.zeros(2, 6, 4).to_sparse()), "is no plain tensor|more than tensors"),
    "two tasks": (saved(task=torch.arange(12).reshape(2, 6)), "task: is no number in trajectory 0"),
    "an early end": (saved(terminated=torch.eye(6)[1:3] * 1.0), "terminated.*is true in row 1"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG.keys())
def test_files_that_are_wrong_are_refused_and_nothing_is_written(
    tmp_path: Path, make: Callable[[Path], None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.pt")
    with pytest.raises(CorpusError, match=message) as caught:
        import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_flipped_bytes_never_crash(tmp_path: Path) -> None:
    whole = REAL.read_bytes()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        content = np.frombuffer(whole, np.uint8).copy()
        content[rng.integers(0, len(whole), 1 + seed % 4)] = rng.integers(0, 256)
        (tmp_path / "a.pt").write_bytes(content.tobytes())
        shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
        with contextlib.suppress(CorpusError):
            import_corpus(f"tdmpc2:{tmp_path / 'a.pt'}", tmp_path / "corpus")
            assert not [f for f in validate(tmp_path / "corpus") if f.severity == "error"]
