"""How much of the true state pictures and their features tell: the probe of `lawm-data features`.

Rows are the pictures themselves, averaged to 32 x 32, and all features beside the corpus. An angle
that winds on is in no picture: with `--angles position:0` the sine and the cosine of number 0 of
`position` are asked for, too.

    lawm-data build pixels
    python benchmarks/state_probe.py corpora/pixels/reacher-easy --angles position:0
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lawm_schemas import Role

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import feature_names, open_features
from lawm_data.corpus.mask import ranks
from lawm_data.corpus.store import open_store
from lawm_models.runs.probe import probe
from lawm_models.training import seeding
from lawm_models.training.versions import installed_versions

MOST = 100
"""Trajectories that are looked at; pictures of more do not fit into memory."""
EDGE = 32


def pictures(corpus: Corpus) -> Iterator[np.ndarray]:
    """(T+1, 32 · 32 · 3) of every trajectory."""
    camera = next(s.name for s in corpus.manifest.observations if s.role is Role.pixels)
    for trajectory in corpus:
        frames = trajectory.observations[camera]
        step = frames.shape[1] // EDGE
        shape = (len(frames), EDGE, step, EDGE, step, frames.shape[3])
        means = frames.reshape(shape).mean((2, 4), dtype=np.float32)
        yield (means.reshape(len(frames), -1) / 255 - 0.5).astype(np.float16)


def truths(corpus: Corpus, angles: list[str]) -> tuple[list[np.ndarray], dict[str, int]]:
    """The state of every trajectory, and sine and cosine of numbers of it; widths by name."""
    columns, fields = {}, {}
    for spec in corpus.manifest.state:
        columns[spec.name] = sum(fields.values())
        fields[spec.name] = spec.size
    wound = []
    for name in angles:
        field, _, number = name.partition(":")
        wound.append(columns[field] + int(number))
        fields[f"sine and cosine of {name}"] = 2
    found = []
    for trajectory in corpus:
        state = trajectory.observations.state
        turned = [turn(state[:, [c]]) for c in wound for turn in (np.sin, np.cos)]
        found.append(np.concatenate([state, *turned], 1))
    return found, fields


def probed(path: Path, angles: list[str]) -> Iterator[dict[str, Any]]:
    """What is told by each of the inputs."""
    whole = open_corpus(path)
    chosen = np.argsort(ranks(whole.table.ids.tolist(), seed=0), kind="stable")[:MOST]
    corpus = whole[np.sort(chosen)]
    truth, fields = truths(corpus, angles)
    ids = corpus.table.ids.tolist()
    names = corpus.table.id.tolist()
    inputs = {"pixels": partial(pictures, corpus)}
    for name in feature_names(path):
        stored = dict(open_features(open_store(path), name).by_id())
        inputs[f"features:{name}"] = partial(map, stored.__getitem__, names)
    for name, make in inputs.items():
        found = list(make())
        r2 = probe(ids, found, truth.__getitem__, fields)
        yield {
            "corpus": path.name,
            "input": name,
            "width": found[0].shape[1],
            "r2": {field: round(value, 3) for field, value in r2.items()},
        }


def main() -> None:
    """Probe, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("corpora", type=Path, nargs="+", help="with pixels and features")
    parser.add_argument("--angles", nargs="*", default=[], metavar="FIELD:NUMBER")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    rows = []
    with seeding.thread_limit(1):
        for path in arguments.corpora:
            for row in probed(path, arguments.angles):
                print(row, flush=True)
                rows.append(row)
    document = {
        "command": shlex.join(["python", *sys.argv]),
        "trajectories": MOST,
        "versions": installed_versions(),
        "rows": rows,
    }
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
