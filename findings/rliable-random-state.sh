#!/bin/sh
# rliable 1.2.0 (arch 7.2.0), get_interval_estimates with random_state.
# Guess: the same scores and a RandomState of the same seed give the same interval ("ensures reproducibility", it says).
# Behaviour: the runs are drawn from numpy's global generator, whatever is passed: three calls give three intervals (as
# lower bounds -0.49, -0.55, -0.51), and after the same numpy.random.seed those of another RandomState and of none are
# the same. All that arch warns of is that random_state will have another name.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile arch==7.2.0 numpy==2.2.6 scipy==1.15.3 pandas==2.3.3 \
	statsmodels==0.14.6 absl-py==2.3.1 setuptools==80.9.0 wheel==0.45.1
"$folder/venv/bin/pip" install -q --no-compile --no-deps --no-build-isolation rliable==1.2.0
cat >"$folder/show.py" <<'PYTHON'
import importlib.metadata

import numpy as np
from rliable import library, metrics

scores = {"agent": np.random.default_rng(0).normal(size=(5, 4))}  # runs by tasks


def interval(state: np.random.RandomState | None) -> list[float]:
    def aggregate(found: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(found)])

    _, intervals = library.get_interval_estimates(scores, aggregate, reps=200, random_state=state)
    return intervals["agent"].ravel().round(4).tolist()


print("rliable", importlib.metadata.version("rliable"), "arch", importlib.metadata.version("arch"))
same_seed = [interval(np.random.RandomState(0)) for _ in range(3)]
print(f"three times RandomState(0): {same_seed}")
np.random.seed(7)
seeded = interval(np.random.RandomState(0))
np.random.seed(7)
other = interval(np.random.RandomState(1))
np.random.seed(7)
none = interval(None)
print(f"after numpy.random.seed(7): {seeded} with RandomState(0), {other} with RandomState(1), {none} with none")
assert len({tuple(found) for found in same_seed}) == 3
assert seeded == other == none
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
