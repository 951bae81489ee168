"""Recorded physics states are drawn as the environment drew them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Provenance, Role

from lawm_data import CorpusWriter, open_corpus
from lawm_data.inspection.render import frame_rate, frames, place_of

DRAW = """
import sys
from pathlib import Path
import numpy as np
from lawm_schemas import ConfigError, Provenance
from lawm_data import CorpusWriter, open_corpus
from lawm_data.envs import suites as envs
from lawm_data.inspection.render import frame_rate, frames
for task in ("walker-walk", "reacher-easy"):  # the second one has its goal in the model
    env = envs.make(task, pixels=32)
    rng, first = np.random.default_rng(0), env.reset([7])
    rows, rewards = [first], []
    for _ in range(6):
        step = env.step(rng.uniform(-1, 1, (1, *env.action.shape)).astype(np.float32))
        rows.append(step.observations), rewards.append(step.reward[0])
    tape = {name: np.stack([row[name][0] for row in rows]) for name in rows[0]}
    path = Path(sys.argv[1]) / task
    with CorpusWriter.create(
        path, observations=env.observations, action=env.action, environment=env.info
    ) as writer:
        name = writer.add(tape, rewards, provenance=Provenance(source="s"), seed=7)
    corpus = open_corpus(path)
    drawn = list(frames(corpus, name, (32, 32)))
    assert len(drawn) == 7 and drawn[0].std() > 1
    # Positions alone decide a picture, so a state that nothing led to gives the same one.
    assert all(np.array_equal(a, b) for a, b in zip(drawn, tape["pixels"], strict=True))
assert [f.shape for f in frames(corpus, 0, (48, 20), rows=[0, 4])] == [(20, 48, 3)] * 2
assert not np.array_equal(next(frames(corpus, 0, (32, 32), camera=-1)), drawn[0])
try:
    next(frames(corpus, 0, camera="nobody"))
except ConfigError as error:
    assert "no such camera" in str(error)
else:
    raise AssertionError
assert frame_rate(corpus, 2) == 1 / (env.info.control_timestep * 4)
"""


def test_drawn_later_as_while_collecting(egl: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRAW, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, env=egl)
    assert run.returncode == 0, run.stderr


def test_recorded_images_stand_in_for_physics(random_corpus: Callable) -> None:
    camera = ArraySpec(name="camera", shape=(4, 6, 3), dtype="uint8", role=Role.pixels)
    corpus = random_corpus(observations=(camera,))
    drawn = np.stack(list(frames(corpus, 0, rows=slice(None, None, 2))))
    np.testing.assert_array_equal(drawn, corpus[0].observations["camera"][::2])


def test_what_cannot_be_drawn(random_corpus: Callable) -> None:
    corpus = random_corpus("plain")
    what = "neither physics states nor camera images were recorded"
    with pytest.raises(CorpusError, match=f"{what}; there is nothing to draw from"):
        frames(corpus, 0)
    with CorpusWriter.append(corpus.path) as writer:
        first = corpus[0]
        source = Provenance(source="other", origin="import")
        writer.add(dict(first.observations), first.rewards, None, provenance=source)
    with pytest.raises(CorpusError, match=f"{what}; import it with its pictures, if it has some"):
        frames(open_corpus(corpus.path), 0)
    with pytest.raises(CorpusError, match="place from 0 to 7"):
        frames(corpus, "8")
    with pytest.raises(ConfigError, match="above 0"):
        frames(corpus, 0, (0, 20))
    physics = ArraySpec(name="state", shape=(2,), dtype="float64", role=Role.physics)
    with pytest.raises(ConfigError, match="names no environment"):
        frames(random_corpus("homeless", observations=(*corpus.manifest.state, physics)), 0)


def test_trajectories_by_id_and_by_place(random_corpus: Callable) -> None:
    corpus = random_corpus()
    assert [place_of(corpus, name) for name in corpus.table.id] == list(range(8))
    assert place_of(corpus, 3) == place_of(corpus, "3") == 3
    assert frame_rate(corpus) == pytest.approx(50)
