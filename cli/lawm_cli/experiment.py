"""From the words of ``lawm train`` to an experiment's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig

from lawm_data.exchange.hub.cache import fetch, is_hub_address, parse_hub_address, pin
from lawm_data.system.terminal import Bars

if TYPE_CHECKING:
    from lawm_models.runs.run import Run


def from_options(
    corpora: Sequence[str],
    mask: str | None,
    labels: str | None,
    algorithm: str,
    preset: str,
    seed: int,
    settings: Mapping[str, Any],
) -> ExperimentConfig:
    """A preset, the data, and what the command line changes.

    Args:
        corpora: ``PATH``, and behind it ``@MASK``, ``+LABELS`` and ``*WEIGHT`` if any.
        mask: of a single corpus that names none itself.
        labels: the same.
        algorithm: name of the algorithm.
        preset: name of the preset.
        seed: of all randomness.
        settings: values by dotted key.

    Raises:
        ConfigError: something is unknown or contradicts itself.
    """
    from lawm_models.training.configure import configure, corpus_source

    sources = [corpus_source(word) for word in corpora]
    for key, value, sign in (("mask", mask, "@MASK"), ("labels", labels, "+LABELS")):
        if value is None:
            continue
        if len(sources) != 1 or getattr(sources[0], key) is not None:
            hint = f"write --corpus PATH{sign} for each"
            raise ConfigError("goes with one corpus", f"--{key}", hint)
        named = sources[0].model_dump() | {key: value}
        sources = [CorpusSource.parse(named, f"--{key} {value!r}")]
    return configure(sources, algorithm=algorithm, preset=preset, seed=seed, settings=settings)


def from_file(path: Path, settings: Mapping[str, Any]) -> ExperimentConfig:
    """A configuration file, such as the ``config.yaml`` of a run, and what is changed in it."""
    from lawm_models.training import presets

    if path.is_dir():
        raise ConfigError("is a folder, not a YAML file", str(path), "write --corpus before it")
    data = ExperimentConfig.read_yaml(path).model_dump(mode="json")
    return ExperimentConfig.parse(presets.replace(data, settings), str(path))


def changes(
    assignments: Sequence[str] | None,
    *,
    seed: int | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> dict[str, Any]:
    """Values by dotted key: the options that are given, and above them ``--set KEY=VALUE``."""
    from lawm_schemas.plain_yaml import load_setting

    options = {"seed": seed, "device": device, "threads": threads}
    given = {key: value for key, value in options.items() if value is not None}
    return given | dict(map(load_setting, assignments or []))


def config_of(out: Path, other: Path) -> Path:
    """The configuration file of a run that has been begun from another one, or else of that.

    So the same command goes on, whatever has become of the other run.

    Raises:
        ConfigError: the other one is not a run, or ``out`` is something else than a run.
    """
    from lawm_models.training.run_folder import CONFIG, RunFolder, is_run

    taken = RunFolder.open(out).record.taken if is_run(out) else None
    if taken and taken.run == str(other.absolute()):
        return out / CONFIG
    return RunFolder.open(other).path / CONFIG


def fetched(config: ExperimentConfig, bars: Bars) -> ExperimentConfig:
    """The same with addresses pinned to commits, and their corpora on this disk.

    Raises:
        RemoteError: one of them cannot be pulled.
    """
    corpora = []
    for source in config.corpora:
        if is_hub_address(source.path):
            address = pin(parse_hub_address(source.path))
            fetch(address, progress=bars.of("fetch"))
            source = source.model_copy(update={"path": str(address)})
        corpora.append(source)
    return config.model_copy(update={"corpora": tuple(corpora)})


def outcome(run: Run) -> dict[str, Any]:
    """The object that ``train --json`` prints."""
    metrics, evaluation = run.metrics, run.evaluation
    return {
        "run": run.path,
        "algorithm": run.config.algorithm.name,
        "preset": run.config.preset,
        "seed": run.config.seed,
        "device": run.record.device,
        "steps": run.config.steps,
        "seconds": metrics[-1]["elapsed"] if metrics else 0.0,
        "taken": run.record.taken and run.record.taken.model_dump(mode="json"),
        "corpora": [record.model_dump(mode="json") for record in run.record.corpora],
        "evaluation": None if evaluation is None else evaluation.model_dump(mode="json"),
    }
