#!/bin/sh
# Hugging Face datasets 4.8.5, pandas 2.3.3, pyarrow 21.0.0.
# Guess: pandas.read_parquet gives the same frame whether or not datasets has been imported.
# Behaviour: once datasets is imported, an Array2D column is read as an extension type that cannot be compared:
# a boolean mask, concat and groupby raise. So does LeRobot 0.6.1's delete_episodes where a feature is 2-D.
set -e
python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datasets==4.8.5 pandas==2.3.3 pyarrow==21.0.0 numpy==2.2.6
cat >"$folder/write.py" <<'PYTHON'
import sys

import datasets
import numpy as np

features = datasets.Features({"episode_index": datasets.Value("int64"), "pose": datasets.Array2D((2, 3), "float32")})
rows = {"episode_index": [0, 0, 1, 1], "pose": np.arange(24, dtype="float32").reshape(4, 2, 3)}
datasets.Dataset.from_dict(rows, features=features).to_parquet(sys.argv[1])
PYTHON
cat >"$folder/read.py" <<'PYTHON'
import sys

import pandas as pd

if sys.argv[2] == "after":
    import datasets

frame = pd.read_parquet(sys.argv[1])
print(f"{sys.argv[2]} importing datasets: pose is read as {frame.dtypes['pose']}")
uses = {
    "frame[mask]": lambda: frame[frame["episode_index"] == 1],
    "concat": lambda: pd.concat([frame, frame]),
    "groupby": lambda: list(frame.groupby("episode_index")),
    "dtype == dtype": lambda: frame.dtypes["pose"] == frame.dtypes["pose"],
}
for name, use in uses.items():
    try:
        use()
        seen = "works"
    except AttributeError as error:
        seen = f"AttributeError: {error}"
    print(f"  {name}: {seen}")
    assert (seen == "works") == (sys.argv[2] == "before"), (name, seen)
PYTHON
export HF_DATASETS_DISABLE_PROGRESS_BARS=1 HF_DATASETS_CACHE="$folder/cache"
"$folder/venv/bin/python" "$folder/write.py" "$folder/data.parquet"
"$folder/venv/bin/python" "$folder/read.py" "$folder/data.parquet" before
"$folder/venv/bin/python" "$folder/read.py" "$folder/data.parquet" after
