"""The audit passes honest runs, and finds what it is there to find."""

import json
import shutil

import numpy as np
import pytest
from lawm_schemas import ConfigError
from small_runs import DISTINCT

from lawm_data import make_mask, open_corpus, save_mask
from lawm_data.batches.mixture import Mixture
from lawm_data.corpus import mask as masked
from lawm_models.algorithms import ALGORITHMS
from lawm_models.runs.audit import audit
from lawm_models.runs.other_actions import write_with_other_actions
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train


@pytest.fixture
def corpus(make_corpus, tmp_path):
    return make_corpus(tmp_path / "corpus")


@pytest.fixture
def run(experiment, corpus, tmp_path):
    config = experiment("bc", corpora=[{"path": str(corpus), "mask": "half"}], steps={"agent": 5})
    return train(config, tmp_path / "run")


def failed(result):
    return [check["name"] for check in result["checks"] if not check["passed"]]


@pytest.mark.parametrize(
    ("algorithm", "mask"),
    # where nothing is hidden an audit has nothing that depends on the algorithm but reading actions
    [*((name, "half") for name in DISTINCT), ("bc", None), ("autoencoder", None)],
)
def test_an_honest_run_passes(experiment, corpus, tmp_path, algorithm, mask):
    steps = dict.fromkeys(ALGORITHMS.load(algorithm).Algorithm.stages, 2)
    source = {"path": str(corpus), "mask": mask}
    run = train(experiment(algorithm, corpora=[source], steps=steps), tmp_path / "run")
    result = audit(run, steps=2)
    assert (result["passed"], failed(result)) == (True, [])
    poison = result["poison"]
    assert poison["weights"] == poison["weights_poisoned"]
    reads_actions = algorithm != "autoencoder"
    assert (poison["weights"] != poison["weights_altered"]) == reads_actions
    assert poison["batches_equal"]
    assert poison["artefacts_differing"] == []
    assert {"config.yaml", "run.json", "metrics.jsonl"} < set(poison["artefacts"])
    assert poison["labeled_windows"] > 0
    (seen,) = result["corpora"]
    view = open_corpus(corpus)
    view = view.with_mask(mask) if mask else view
    counts = {name: state["trajectories"] for name, state in seen["states"].items()}
    assert counts == view.label_counts()
    assert seen["observed"] == view.table.id[view.table.num_observed > 0].tolist()
    hidden = view.table.labels == 1
    assert poison["hidden_steps"] == view.table.length[hidden].sum() == (80 if mask else 0)


def test_two_audits_say_the_same(run):
    first, again = audit(run), audit(RunFolder.open(run.path), garbage_seed=1)
    assert first["poison"]["weights_altered"] != again["poison"]["weights_altered"]
    for result in (first, again):
        del result["poison"]["weights_altered"]
    assert first == again


def test_a_leak_is_found(run, monkeypatch):
    """As if the masked shards were not masked at all."""
    monkeypatch.setattr(
        masked, "masked_shards", lambda store, readable: (store.shards, store.index.action_row)
    )
    result = audit(run)
    assert failed(result) == ["loader of the newest checkpoint", "garbage in the hidden actions"]
    assert not result["poison"]["batches_equal"]


def test_a_hash_of_hidden_actions_is_found(experiment, corpus, tmp_path, monkeypatch):
    """As windows were drawn once: by a fingerprint that covers them."""
    monkeypatch.setattr(
        Mixture, "digest", lambda mixture: [corpus.fingerprint for corpus in mixture.corpora]
    )
    config = experiment("bc", corpora=[{"path": str(corpus), "mask": "half"}], steps={"agent": 5})
    result = audit(train(config, tmp_path / "run"))
    assert failed(result) == ["garbage in the hidden actions"]
    assert "run.json" not in result["poison"]["artefacts_differing"]
    assert "metrics.jsonl" in result["poison"]["artefacts_differing"]


def test_another_mask_of_the_same_name_is_found(run, corpus):
    view = open_corpus(corpus)
    save_mask(view, make_mask(view, 0.5, 7, "half"), replace=True)
    result = audit(run)
    assert failed(result) == [f"mask of {corpus}"]
    assert result["poison"] is None


def test_another_corpus_is_found(run, corpus, random_actions):
    shutil.rmtree(corpus)
    random_actions(corpus)
    assert failed(audit(run)) == [f"fingerprint of {corpus}"]


@pytest.fixture
def random_actions(make_corpus):
    return lambda path: make_corpus(path, (40, 30))


def test_a_false_record_is_found(run, corpus):
    path = run.path / "run.json"
    record = json.loads(path.read_text())
    record["corpora"][0]["labeled"] += 1
    del record["checksum"]
    path.write_text(json.dumps(record))
    assert failed(audit(RunFolder.open(run.path))) == [f"labeled trajectories of {corpus}"]


def test_a_corpus_that_is_gone_is_refused(run, corpus):
    shutil.rmtree(corpus)
    with pytest.raises(ConfigError, match="is gone; put the corpus back"):
        audit(run)
    with pytest.raises(ConfigError, match="0 is below 1"):
        audit(run, steps=0)


def test_other_actions_are_everywhere_but_where_they_shall_not_be(corpus, tmp_path):
    whole, view = open_corpus(corpus), open_corpus(corpus).with_mask("half")
    seen = np.concatenate([np.full(len(t), t.actions is not None) for t in view])
    stored = np.concatenate([np.full(len(t), t.actions is not None) for t in whole])
    for hidden in (True, False):
        out = tmp_path / str(hidden)
        write_with_other_actions(corpus, view.mask, out, 0, hidden)
        other = open_corpus(out, verify=True)
        same = (whole._store.shards[0].actions == other._store.shards[0].actions).all(1)
        np.testing.assert_array_equal(same, seen[stored] == hidden)
        assert other.fingerprint != whole.fingerprint
        assert other.unlabeled_fingerprint == whole.unlabeled_fingerprint
        through = other.with_mask("half")
        assert (through.visible_fingerprint == view.visible_fingerprint) == hidden
        for mine, theirs in zip(view, through, strict=True):
            assert mine.info == theirs.info
            np.testing.assert_array_equal(mine.observations.state, theirs.observations.state)
