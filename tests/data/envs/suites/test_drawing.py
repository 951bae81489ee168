"""Camera images by name: the same bytes wherever they are drawn, and the suite's untouched."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from lawm_schemas import ArraySpec, ConfigError, Drawing, Role

from lawm_data.envs import suites as envs
from lawm_data.envs.suites._drawing import STYLES

PICTURES = """
import sys
import numpy as np
from lawm_schemas import Drawing
from lawm_data.envs import suites as envs
for task in sys.argv[1:]:
    drawn = {}
    for by in ("fast", "shadows", "suite"):
        drawing = Drawing(by=by)
        paths = [envs.make(task, pixels=48, drawing=drawing, direct=d) for d in (None, False)]
        assert paths[0].observations[-1].drawing == drawing
        pictures = []
        for env in paths:
            assert env.reset([3])["pixels"].shape == (1, 48, 48, 3)
            action = np.full((1, *env.action.shape), 0.4, np.float32)
            for _ in range(2):
                seen = env.step(action).observations["pixels"][0]
            assert np.array_equal(seen, env.look(0)["pixels"])
            pictures.append(seen)
        assert np.array_equal(*pictures)
        plain = [env.render(0, 48, 48) for env in paths]
        drawn[by] = pictures[0]
        assert np.array_equal(*plain)
    # another context beside it does not change what the suite draws
    assert np.array_equal(drawn["suite"], plain[0])
    assert drawn["fast"].std() > 5
    away = {by: np.abs(drawn[by].astype(int) - drawn["suite"]).mean() for by in drawn}
    assert away["shadows"] < away["fast"] / 4, away
    sys.stdout.buffer.write(b"".join(drawn[by].tobytes() for by in drawn))
"""

TERRAIN = """
import numpy as np
from lawm_schemas import Drawing
from lawm_data.envs import suites as envs
fast = Drawing(by="fast")
used, new = (envs.make("quadruped-escape", pixels=32, drawing=fast) for _ in range(2))
first = used.reset([1])["pixels"]
second = used.reset([2])["pixels"]
assert np.array_equal(second, new.reset([2])["pixels"]) and not np.array_equal(first, second)
"""

LENSES = """
import numpy as np
from lawm_schemas import ConfigError, Drawing
from lawm_data.envs import suites as envs
seen = {}
for camera in (None, 0, 1, -1, "side", "back"):
    env = envs.make("walker-walk", pixels=20, drawing=Drawing(by="fast", camera=camera))
    seen[camera] = env.reset([0])["pixels"]
assert np.array_equal(seen[None], seen[0]) and np.array_equal(seen[0], seen["side"])
assert np.array_equal(seen[1], seen["back"])
assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[-1])
for camera in (7, "nobody"):
    try:
        envs.make("walker-walk", pixels=20, drawing=Drawing(by="fast", camera=camera))
    except ConfigError as error:
        assert "no such camera" in str(error)
    else:
        raise AssertionError(camera)
# larger than the suite's own buffer
large = envs.make("walker-walk", pixels=700, drawing=Drawing(by="fast"))
assert large.look(0)["pixels"].shape == (700, 700, 3)
"""


def _run(script: str, variables: dict[str, str], *words: str) -> bytes:
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, env=variables)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("task", ["walker-walk", "dog-walk"])
def test_equal_bytes_in_two_processes_and_on_both_paths(egl: dict[str, str], task: str) -> None:
    digests = {hashlib.sha256(_run(PICTURES, egl, task)).hexdigest() for _ in range(2)}
    assert len(digests) == 1


def test_a_terrain_that_a_reset_draws_is_seen(egl: dict[str, str]) -> None:
    _run(TERRAIN, egl)


def test_cameras_by_number_and_by_name(egl: dict[str, str]) -> None:
    _run(LENSES, egl)


def test_every_name_but_the_suites_has_a_style() -> None:
    names = Drawing.model_json_schema()["properties"]["by"]["enum"]
    assert {*STYLES, "suite"} == set(names)


def test_a_suite_that_draws_in_its_own_way_says_so() -> None:
    with pytest.raises(ConfigError, match="gym:Pendulum-v1: does not draw by name; leave out how"):
        envs.make("gym:Pendulum-v1", pixels=32, drawing=Drawing(by="fast"))


def test_arrays_without_a_drawing_are_written_as_before(tmp_path: Path) -> None:
    camera = ArraySpec(name="c", shape=(8, 8, 3), dtype="uint8", role=Role.pixels)
    assert "drawing" not in camera.model_dump(mode="json")
    drawn = camera.model_copy(update={"drawing": Drawing(by="suite")})
    assert ArraySpec.parse(drawn.model_dump(mode="json"), "x") == drawn
    with pytest.raises(ConfigError, match="only pixels are drawn"):
        ArraySpec.parse({"name": "s", "shape": (2,), "drawing": {"by": "fast"}}, "s")
