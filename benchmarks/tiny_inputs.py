"""The smallest inputs of every kind: a corpus, files of every format, a run, YAML files.

For ``fuzz.py``, which damages them, and ``kill_calls.py``, which has commands read them.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import ArraySpec, EnvironmentInfo, Provenance, Role

from lawm_data import CorpusWriter, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.exchange import export_corpus
from lawm_data.system.video import write_video

STEPS = (5, 9, 4, 7, 6, 8)
CARTPOLE = (
    ArraySpec(name="position", shape=(3,)),
    ArraySpec(name="velocity", shape=(2,)),
)
ACTION = ArraySpec(name="action", shape=(1,), role=Role.action, low=(-1.0,), high=(1.0,))
ENVIRONMENT = EnvironmentInfo(
    task="cartpole-swingup", action_repeat=40, control_timestep=0.01, max_return=25.0
)

RECIPE = """\
steps:
  - make: cs
    collect:
      {env: cartpole-swingup, agent: random, trajectories: 4, num_envs: 2, action_repeat: 100}
  - {make: long, filter: {corpus: cs, where: "length > 1"}}
  - {make: both, merge: {corpora: [cs, long]}}
  - {make: cs@half, mask: {fraction: 0.5}}
"""
STUDY = """\
preset: demo
seeds: [0]
corpora: {c: c}
algorithms:
  bc: {settings: {steps.agent: 3}}
labels: [0.5]
settings: {evaluation_episodes: 1, checkpoint_every: 2, log_every: 1, batch_size: 4, window: 4}
"""
HUB_CLIENT = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Settings of the Hub's client, which reads them when it is imported."""
TINY = ("batch_size=4", "window=4", "evaluation_episodes=0", "checkpoint_every=2", "log_every=1")


def corpus(path: Path, seed: int = 0, shards: int = 2, everything: bool = False) -> Path:
    """Six trajectories: one without actions, one with some; mask ``half``, overlay ``idm``."""
    rng = np.random.default_rng(seed)
    fields = [*CARTPOLE]
    if everything:
        fields += [
            ArraySpec(name="count", shape=(2,), dtype="int16"),
            ArraySpec(name="camera", shape=(4, 4, 3), dtype="uint8", role=Role.pixels),
            ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics),
        ]
    writer = CorpusWriter.create(
        path, observations=fields, action=ACTION, environment=ENVIRONMENT, licence="MIT"
    )
    for i, steps in enumerate(STEPS):
        rows = steps + 1
        arrays = {
            "position": rng.standard_normal((rows, 3)),
            "velocity": rng.standard_normal((rows, 2)),
            "count": rng.integers(0, 9, (rows, 2)),
            "camera": rng.integers(0, 256, (rows, 4, 4, 3)),
            "physics": rng.standard_normal((rows, 4)),
        }
        writer.add(
            {spec.name: arrays[spec.name] for spec in fields},
            rng.standard_normal(steps),
            None if i == 1 else rng.uniform(-1, 1, (steps, 1)),
            action_observed=np.arange(steps) > 2 if i == 3 else None,
            terminated=i == 2,
            truncated=i != 2,
            provenance=Provenance(source="random" if i % 2 else "robot", seed=seed),
            seed=i,
            metadata={"i": i},
        )
        if (i + 1) % (len(STEPS) // shards) == 0:
            writer.commit()
    writer.commit()
    writer.discard()
    (path / ".lock").unlink()
    made = open_corpus(path)
    save_mask(made, make_mask(made, 0.5, 0, "half"))
    labels = [(t.info.id, np.full((len(t), 1), 0.5), np.ones((len(t), 1))) for t in made]
    write_overlay(made, labels, name="idm", model="0" * 64, algorithm="lawm")
    return path


def small_agents() -> None:
    """Let the agents that learn be too small to learn anything in this process.

    Their settings have no options of ``lawm-data collect``: the defaults are what it takes.
    """
    from lawm_models.collection.agents import dreamer, plan2explore

    world = {
        "rssm": {"deter": 8, "stoch": 4, "hidden": 8},
        **{"embed": 8, "units": 8, "layers": 1, "observation_std": 0.316, "reward_std": 0.316},
    }
    agent = {"units": 8, "layers": 1, "horizon": 2, "start_states": 8, "critics": 1}
    rounds = {"random_trajectories": 2, "first_updates": 2, "updates": 1}
    for module in (dreamer, plan2explore):
        small = {"world": world, "agent": agent, "batch_size": 2, "window": 4, **rounds}
        if module is plan2explore:
            small["ensemble"] = {"units": 8}
        for name, value in module.Config.parse(small, "agent"):
            module.Config.model_fields[name].default = value
        module.Config.model_rebuild(force=True)


def run(folder: Path, source: Path, algorithm: str = "bc", *settings: str) -> Path:
    """A run of three steps."""
    steps = settings or ("steps.agent=3",)
    words = " ".join(f"--set {setting}" for setting in (*TINY, *steps))
    preset = "demo" if algorithm == "bc" else "small"
    data = f"--corpus {source}@half --algorithm {algorithm} --preset {preset}"
    require(f"lawm train {data} {words} --out {folder}")
    return folder


def agent(folder: Path, rounds: int) -> None:
    """A collection ``folder`` of an agent that learns, or some more of it."""
    from lawm_models.collection.agents.dreamer import DreamerConfig
    from lawm_models.collection.collector import collect_learning
    from lawm_models.networks.actor_critic import ActorCriticConfig
    from lawm_models.networks.rssm import RSSMConfig
    from lawm_models.networks.world_model import WorldModelConfig

    config = DreamerConfig(
        world=WorldModelConfig(
            rssm=RSSMConfig(deter=8, stoch=4, hidden=8), embed=8, units=8, layers=1
        ),
        agent=ActorCriticConfig(units=8, layers=1, horizon=2, start_states=8, critics=1),
        batch_size=2,
        window=4,
        random_trajectories=2,
        first_updates=1,
        updates=1,
    )
    task = ENVIRONMENT.task
    collect_learning("dreamer", task, folder, rounds, 0, 100, config, processes=1)


def main_of(program: str) -> Callable[[list[str]], int]:
    """A program, to be called in this process."""
    from lawm_cli import app, data_app

    return app.main if program == "lawm" else data_app.main


def require(line: str) -> None:
    """Run a command that cannot fail."""
    program, *words = line.split()
    with quiet():
        code = main_of(program)(words)
    if code:
        raise SystemExit(f"{line}: exit code {code}")


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing meanwhile."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def exported(name: str, folder: Path, source: Path) -> str:
    """A corpus in a format that can be written; returns the address."""
    place = {"lerobot": "set", "minari": "tiny/set-v0"}.get(name, "set.hdf5")
    address = f"{name}:{place if name == 'minari' else folder / place}"
    if name == "minari":
        os.environ["MINARI_DATASETS_PATH"] = str(folder)
    export_corpus(open_corpus(source), address)
    return address


def minari_arrow(folder: Path) -> str:
    """A set that Minari itself has written as Arrow; returns the address."""
    import gymnasium
    import minari
    from minari.data_collector import EpisodeBuffer

    os.environ["MINARI_DATASETS_PATH"] = str(folder)
    rng = np.random.default_rng(0)
    episode: Any = EpisodeBuffer  # its annotations know of lists alone
    episodes = [
        episode(
            id=i,
            seed=i,
            observations=rng.standard_normal((n + 1, 3)).astype("f4"),
            actions=rng.uniform(-1, 1, (n, 2)).astype("f4"),
            rewards=list(rng.random(n)),
            terminations=[False] * n,
            truncations=[False] * (n - 1) + [True],
        )
        for i, n in enumerate((4, 6))
    ]
    minari.create_dataset_from_buffers(
        "tiny/arrow-v0",
        episodes,
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float32),
        action_space=gymnasium.spaces.Box(-1, 1, (2,), np.float32),
        data_format="arrow",
    )
    return "minari:tiny/arrow-v0"


def exorl(folder: Path) -> str:
    """Two files of ExORL."""
    rng, place = np.random.default_rng(0), folder / "set"
    place.mkdir()
    for i, steps in enumerate((5, 7)):
        rows = steps + 1
        np.savez_compressed(
            place / f"20210823T150000_{i}_{steps}.npz",
            observation=rng.random((rows, 4)).astype("f4"),
            action=np.tanh(rng.standard_normal((rows, 3))).astype("f4")
            * (np.arange(rows) > 0)[:, None],
            reward=rng.random((rows, 1)).astype("f4"),
            discount=np.ones((rows, 1), "f4"),
            physics=rng.random((rows, 5)),
        )
    return f"exorl:{place}"


def aime(folder: Path) -> str:
    """Two files of AIME."""
    import h5py

    rng, place = np.random.default_rng(0), folder / "set"
    place.mkdir()
    for i, rows in enumerate((5, 8)):
        last = np.arange(rows)[:, None] == rows - 1
        arrays = {
            "reward": rng.random((rows, 1)),
            "is_first": np.arange(rows)[:, None] == 0,
            "is_last": last,
            "is_terminal": last & bool(i),
            "velocity": rng.standard_normal((rows, 3)),
            "pre_action": rng.uniform(-1, 1, (rows, 2)) * (np.arange(rows) > 0)[:, None],
            "image": rng.integers(0, 256, (rows, 8, 9, 3), dtype="u1"),
        }
        with h5py.File(place / f"{i}.hdf5", "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array.astype("f4"), compression="lzf")
    return f"aime:{place}"


def ogbench(folder: Path) -> str:
    """A file of OGBench."""
    rng, rows = np.random.default_rng(0), (6, 4, 5)
    terminals = np.zeros(sum(rows), bool)
    terminals[np.cumsum(rows) - 1] = True
    shapes = {"observations": 5, "actions": 2, "qpos": 3, "qvel": 2}
    arrays: dict[str, Any] = {
        name: rng.uniform(-1, 1, (sum(rows), n)).astype("f4") for name, n in shapes.items()
    }
    np.savez(folder / "set.npz", terminals=terminals, **arrays)
    return f"ogbench:{folder / 'set.npz'}"


def dreamer(folder: Path) -> str:
    """Two files of Dreamer."""
    rng, place = np.random.default_rng(0), folder / "set"
    place.mkdir()
    for i, rows in enumerate((5, 8)):
        last = np.arange(rows) == rows - 1
        np.savez_compressed(
            place / f"20210823T15000{i}-{i:032x}-{rows - 1}.npz",
            image=rng.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8),
            height=rng.random(rows).astype("f4"),
            action=rng.uniform(-1, 1, (rows, 2)).astype("f4") * (np.arange(rows) > 0)[:, None],
            reward=rng.random(rows).astype("f4"),
            discount=np.where(last, 0.0, 1.0).astype("f4"),
            is_first=np.arange(rows) == 0,
            is_last=last,
            is_terminal=last,
        )
    return f"dreamer:{place}"


def d3rlpy(folder: Path) -> str:
    """A file of d3rlpy 2."""
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(folder / "set.h5", "w") as file:
        file["columns"] = ["observations", "actions", "rewards", "terminated"]
        file["num_episodes"] = 2
        for i, rows in enumerate((5, 8)):
            file[f"observations_{i}"] = rng.random((rows, 3)).astype("f4")
            file[f"actions_{i}"] = rng.uniform(-1, 1, (rows, 2)).astype("f4")
            file[f"rewards_{i}"] = rng.random((rows, 1))
            file[f"terminated_{i}"] = bool(i)
        file["version"] = "2.1"
    return f"d3rlpy:{folder / 'set.h5'}"


def tdmpc2(folder: Path) -> str:
    """Two files of TD-MPC2."""
    import torch

    place = folder / "set"
    place.mkdir()
    for i in range(2):
        g = torch.Generator().manual_seed(i)
        action, reward = torch.rand(3, 6, 2, generator=g), torch.rand(3, 6, generator=g)
        action[:, 0] = reward[:, 0] = torch.nan
        tensors = {"obs": torch.randn(3, 6, 4, generator=g), "action": action, "reward": reward}
        torch.save(tensors, place / f"chunk_{i}.pt")
    return f"tdmpc2:{place}"


def zarr_buffer(version: int, place: str, shards: bool = False) -> Callable[[Path], str]:
    """Makes a replay buffer of zarr; with ``shards`` the pictures are stored in some."""

    def make(folder: Path) -> str:
        from zarr import open_group, storage

        rng, lengths, path = np.random.default_rng(0), (6, 4), folder / place
        rows = sum(lengths)
        arrays: dict[str, Any] = {
            "img": rng.integers(1, 256, (rows, 8, 8, 3), dtype=np.uint8),
            "state": rng.random((rows, 5)).astype("f4") + 1,
            "action": rng.random((rows, 2)).astype("f4") + 1,
            "reward": rng.random((rows, 1)) + 1,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of members that are written twice
            packed = path.suffix == ".zip"
            store: Any = storage.ZipStore(path, mode="w") if packed else str(path)
            root = open_group(store, mode="w", zarr_format=2 if version == 2 else 3)
            for name, array in arrays.items():
                shard = (4, *array.shape[1:]) if shards and name == "img" else None
                made = root.require_group("data").create_array(
                    name,
                    shape=array.shape,
                    chunks=(2, *array.shape[1:]),
                    shards=shard,
                    dtype=array.dtype,
                )
                made[:] = array
            made = root.create_array("meta/episode_ends", shape=(2,), chunks=(1,), dtype="i8")
            made[:] = np.cumsum(lengths)
            if packed:
                store.close()
        return f"zarr:{path}"

    return make


def video(folder: Path) -> str:
    """A film and a folder of pictures."""
    from PIL import Image

    place = folder / "set"
    (place / "pictures").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    write_video(place / "a.mp4", list(frames), 10)
    for i, frame in enumerate(frames[:3]):
        Image.fromarray(frame).save(place / "pictures" / f"{i}.png")
    return f"video:{place}"


FOREIGN = {
    "aime": aime,
    "d3rlpy": d3rlpy,
    "dreamer": dreamer,
    "exorl": exorl,
    "ogbench": ogbench,
    "tdmpc2": tdmpc2,
    "video": video,
    "zarr": zarr_buffer(2, "set.zarr"),
    "zarr-zip": zarr_buffer(3, "set.zip"),
    "zarr-shards": zarr_buffer(3, "set.zarr", shards=True),
}
WRITTEN = ("d4rl", "robomimic", "lerobot", "minari")


def foreign(name: str, folder: Path, source: Path) -> str:
    """Data of a format in a folder that is there; returns the address."""
    if name == "minari-arrow":
        return minari_arrow(folder)
    return exported(name, folder, source) if name in WRITTEN else FOREIGN[name](folder)


@contextmanager
def hub(folder: Path) -> Iterator[Any]:
    """A Hub on loopback, as the tests have it; ``folder`` is the home of its client."""
    modules = str(Path(__file__).resolve().parents[1] / "tests/data/exchange/hub")
    if modules not in sys.path:
        sys.path.append(modules)
    server = importlib.import_module("hub_server")
    with server.Hub() as running:
        os.environ |= {
            **HUB_CLIENT,
            "HF_ENDPOINT": running.url,
            "HF_TOKEN": server.TOKEN,
            "HF_HOME": str(folder / "home"),
        }
        yield running


def copy(source: Path, to: Path) -> Path:
    """A copy in the place of what was there."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(source, to, symlinks=True)
    return to
