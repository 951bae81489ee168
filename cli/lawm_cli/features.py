"""``lawm-data features``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from lawm_schemas import ConfigError

from lawm_cli.options import Corpus, Json, Replace, example
from lawm_cli.output import print_json
from lawm_data.system import terminal as show

if TYPE_CHECKING:
    from lawm_data.system.registry import Registry

EPILOG = example(
    "lawm train --corpus corpora/cs --algorithm autoencoder --out runs/ae",
    "lawm-data features corpora/cs --run runs/ae --name ae64",
    "lawm-data features corpora/videos --like corpora/cs --name ae64",
    "lawm train --corpus corpora/cs@5pct --set observe=features:ae64 --out runs/a",
)


def choices() -> Mapping[str, Registry[Any]]:
    """What ``--arch`` and ``--backend`` can be."""
    from lawm_data.system.workers import BACKENDS
    from lawm_models.networks.pretrained import PRETRAINED

    return {"Architectures": PRETRAINED, "Backends": BACKENDS}


def features(
    corpus: Corpus,
    name: Annotated[str, typer.Option(help="What the features are called.")],
    run: Annotated[Path | None, typer.Option(help="Run that has trained an encoder.")] = None,
    frozen: Annotated[
        Path | None, typer.Option(help="File with weights for --arch: safetensors, or of torch.")
    ] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture, see below.")] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Corpus or run with features of this name: their encoder and scale."),
    ] = None,
    replace: Replace = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers at once; by default 1, on Ray one per CPU."),
    ] = None,
    backend: Annotated[str, typer.Option(help="Where workers run, see below.")] = "processes",
    json: Json = False,
) -> None:
    """Encode every observation once, and keep what comes out beside the corpus.

    The encoder is that of a run, an architecture with weights from a file, or that of another
    corpus's features. Training on features is as fast as on a state. The probe says how much of the
    true state they tell on trajectories that it has not seen: nothing that learns from them can
    know more. Workers do not change the features. A command that was killed goes on where it was.
    """
    from lawm_data.corpus.corpus import open_corpus
    from lawm_data.system.workers import executor
    from lawm_models.runs import encoder_sources as encoders
    from lawm_models.runs.make_features import make_features

    if (run is not None) + (frozen is not None) + (like is not None) != 1:
        what = "give one of --run, --frozen and --like"
        raise ConfigError(what, "features", "such as --run runs/ae, see lawm-data features --help")
    if (frozen is None) != (arch is None):
        raise ConfigError("--frozen and --arch go together", "features", "give both, or neither")
    alone = backend == "processes" and workers in (None, 1)
    execute = None if alone else executor(backend)
    if like is not None:
        encoder = encoders.of_features(like, name)
    elif frozen is not None:
        encoder = encoders.of_file(frozen, str(arch), open_corpus(corpus))
    else:
        encoder = encoders.of_run(str(run))
    with show.Bars() as bars:
        made = make_features(encoder, corpus, name, replace, bars, execute=execute, workers=workers)
    result = {"corpus": corpus, "run": run, "frozen": frozen, "arch": arch, "like": like, **made}
    if json:
        print_json(result)
        return
    rows = {
        "features": f"{made['width']} numbers for each of {made['observations']:,} observations",
        "size": f"{made['bytes'] / 1e6:,.1f} MB",
        "written to": made["path"],
        "observe them": f"lawm train --corpus {corpus} --set observe=features:{name}",
    }
    show.facts(rows, title=f"{corpus}: features {name}")
    if made["probe"]:
        print("\nR² of the true state from them, on held-out trajectories")
        show.grid(["field", "R²"], [[field, r2] for field, r2 in made["probe"].items()])
