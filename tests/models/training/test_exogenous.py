"""What distractors did is read by no training, and an audit says so."""

from pathlib import Path

import numpy as np
import pytest
from lawm_schemas import ArraySpec, Role
from small_runs import DISTINCT

from lawm_data import CorpusWriter, Loader, open_corpus
from lawm_models.algorithms import ALGORITHMS
from lawm_models.runs.audit import audit
from lawm_models.training import checkpoint
from lawm_models.training.trainer import train

GARBAGE = np.array([1e30, -1e30, 7], np.float32)


@pytest.fixture
def write(corpus_path: Path, tmp_path: Path):
    """The corpus with an array more: of a role, and with garbage in it or not."""

    def made(role: Role, garbage: bool) -> Path:
        source, out = open_corpus(corpus_path), tmp_path / f"{role}-{garbage}"
        rng = np.random.default_rng(garbage)
        extra = ArraySpec(name="agents", shape=(3, 2), role=role)
        observations = (*source.manifest.observations, extra)
        action = source.manifest.action
        with CorpusWriter.create(out, observations=observations, action=action) as writer:
            for t in source:
                shape = (len(t) + 1, 3, 2)
                wild = rng.choice(GARBAGE[2:] if role is Role.state else GARBAGE, shape)
                values = wild if garbage else rng.random(shape, np.float32)
                writer.add(
                    {
                        **t.observations,
                        "agents": values if garbage else rng.random(shape, np.float32),
                    },
                    t.rewards,
                    t.actions,
                    provenance=source.manifest.provenance[0],
                    trajectory_id=t.info.id,
                )
        return out

    return made


@pytest.mark.parametrize("algorithm", DISTINCT)
def test_garbage_there_changes_no_training(experiment, write, tmp_path, algorithm) -> None:
    weights, steps = {}, dict.fromkeys(ALGORITHMS.load(algorithm).Algorithm.stages, 2)
    for garbage in (False, True):
        source = {"path": str(write(Role.exogenous, garbage))}
        run = train(experiment(algorithm, corpora=[source], steps=steps), tmp_path / f"r{garbage}")
        weights[garbage] = checkpoint.model_sha256(run.latest_checkpoint())
    assert weights[False] == weights[True]


def test_what_is_state_is_read(experiment, write, tmp_path) -> None:
    """Else the law above would hold of anything."""
    weights = {}
    for garbage in (False, True):
        source = {"path": str(write(Role.state, garbage))}
        run = train(
            experiment("bc", corpora=[source], steps={"agent": 2}), tmp_path / f"s{garbage}"
        )
        weights[garbage] = checkpoint.model_sha256(run.latest_checkpoint())
    assert weights[False] != weights[True]


def test_it_is_in_no_batch_and_probes_can_read_it(write, corpus_path) -> None:
    corpus = open_corpus(write(Role.exogenous, False))
    batch = Loader([(corpus, 1.0)], 4, 8).next()
    assert batch.observation.shape[-1] == open_corpus(corpus_path).manifest.state_dim
    assert not batch.pixels
    assert corpus[0].observations["agents"].shape == (len(corpus[0]) + 1, 3, 2)


def test_the_audit_says_so(experiment, write, tmp_path) -> None:
    source = {"path": str(write(Role.exogenous, False))}
    run = train(experiment("bc", corpora=[source], steps={"agent": 2}), tmp_path / "run")
    result = audit(run, steps=2)
    names = [check["name"] for check in result["checks"] if check["passed"]]
    assert "garbage in what is exogenous (agents)" in names
    assert result["passed"]
