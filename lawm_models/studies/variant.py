"""An algorithm of a study with its settings, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lawm_schemas import ConfigError, CorpusSource, ExperimentConfig, LawmError, Study

OWN = ("corpora", "seed", "preset")
"""Top-level keys of a configuration that the study itself decides."""


def variant(
    study: Study, name: str, device: str | None
) -> tuple[dict[str, Any], list[ConfigError]]:
    """The configuration of an algorithm as plain data without ``corpora``, and what is wrong.

    Args:
        study: the study.
        name: which of its algorithms.
        device: where it runs instead of where its settings say, or none.
    """
    from lawm_models.algorithms import ALGORITHMS
    from lawm_models.training import presets

    where, entry = f"algorithms.{name}", study.algorithms[name]
    algorithm = entry.algorithm or name
    try:
        ALGORITHMS.load(algorithm)
        data = presets.load(entry.preset or study.preset, algorithm)
    except LawmError as error:
        return {}, [_within(where, error)]
    errors: list[ConfigError] = []
    for key, value in {**study.settings, **entry.settings}.items():
        try:
            if key.split(".")[0] in OWN or key == "algorithm.name":
                hint = "leave it out of the settings"
                raise ConfigError("is decided by the study", key, hint)
            data = presets.replace(data, {key: value})
        except LawmError as error:
            errors.append(_within(f"{where}.settings", error))
    if device is not None:
        data["device"] = device
    return data, errors or list(_faults(where, data, study))


def _faults(where: str, data: dict[str, Any], study: Study) -> Iterator[ConfigError]:
    """Everything that is wrong with the values."""
    from lawm_data.batches.loader import device_of
    from lawm_models.algorithms import ALGORITHMS
    from lawm_models.algorithms._protocol import Probed
    from lawm_models.training.experiment import learns_policy, resolve

    # no corpus is looked at here
    whole = data | {"corpora": [CorpusSource(path=".").model_dump()]}
    own = ALGORITHMS.load(data["algorithm"]["name"]).Config
    faults = [
        *ExperimentConfig.faults(whole),
        *(
            fault._replace(key=("algorithm", "settings", *fault.key))
            for fault in own.faults(data["algorithm"]["settings"])
        ),
    ]
    for fault in faults:
        yield fault.error(where)
    if faults:
        return
    try:
        config = resolve(ExperimentConfig.model_validate(whole))
        device_of(config.device)
    except LawmError as error:
        yield _within(where, error)
        return
    if study.probe is not None:
        if not issubclass(ALGORITHMS.load(config.algorithm.name).Algorithm, Probed):
            what = f"{config.algorithm.name} has no latent actions, which are compared here"
            yield ConfigError(what, where, "leave it out")
        return
    if not learns_policy(config):
        what = f"{config.algorithm.name} learns no policy, and returns are compared here"
        yield ConfigError(what, where, "leave it out")
    if not config.evaluation_episodes:
        what = "evaluation_episodes: without any there is nothing to compare"
        yield ConfigError(what, where, "give 1 or more")


def _within(where: str, error: LawmError) -> ConfigError:
    return ConfigError(
        f"{error.where}: {error.what}" if error.where else error.what, where, error.hint
    )
