"""Relabeling: what is hidden is filled in, and scored against the truth where there is one."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ConfigError, CorpusError, Provenance

from lawm_data import (
    CorpusWriter,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    read_overlay,
    save_mask,
    write_overlay,
)
from lawm_data.inspection.label_error import compare_labels
from lawm_models.networks.encoders import Observation, pixels
from lawm_models.runs.relabel import (
    Label,
    batch_of,
    errors_against,
    infer_labels,
    relabel,
    uncertainty,
)
from lawm_models.training.checkpoint import MODEL
from lawm_models.training.trainer import train


@pytest.fixture(scope="module")
def corpus(make_corpus, tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("corpora") / "relabeled")


@pytest.fixture(scope="module")
def runs(experiment, corpus, tmp_path_factory):
    corpora = [{"path": str(corpus), "mask": "half"}]
    folder = tmp_path_factory.mktemp("runs")
    names = ("bc", "clap", "idm_td3_bc", "lawm", "td3_bc")
    return {n: train(experiment(n, corpora=corpora), folder / n) for n in names}


@pytest.mark.parametrize("name", ["bc", "idm_td3_bc", "lawm"])
def test_what_is_hidden_is_filled_in(runs, corpus, name):
    run, report = runs[name], relabel(runs[name].path, corpus, name, truth_from_withheld=True)
    json.dumps(report, allow_nan=False)
    whole, seen = open_corpus(corpus), open_corpus(corpus).with_mask("half")
    view = seen.with_labels(name)
    assert view.label_counts() == {"observed": 3, "withheld": 0, "missing": 0, "inferred": 3}
    assert (report["trajectories"], report["name"]) == (3, name)
    assert report["path"] == str(corpus / "labels" / name)

    truth, inferred = [], []
    for i, trajectory in enumerate(view):
        if trajectory.labels == "inferred" and whole[i].actions is not None:
            truth.append(whole[i].actions)
            inferred.append(trajectory.actions)
    truth, inferred = np.concatenate(truth), np.concatenate(inferred)
    nmse = ((truth - inferred) ** 2).mean(0) / truth.var(0)
    assert report["nmse_per_dimension"] == pytest.approx(nmse, rel=1e-4)
    assert report["r2"] == pytest.approx(1 - nmse.mean(), rel=1e-4)

    overlay = json.loads((corpus / "labels" / name / "overlay.json").read_text())
    assert (overlay["mask"], overlay["algorithm"]) == ("half", name)
    assert overlay["nmse_per_dimension"] is overlay["r2"] is None
    weights = (run.latest_checkpoint() / MODEL).read_bytes()
    assert overlay["model"] == sha256(weights).hexdigest()


def test_padding_changes_no_label(runs, corpus):
    relabel(runs["bc"], corpus, "padded")
    view = open_corpus(corpus).with_mask("half")
    labeled, algorithm = view.with_labels("padded"), runs["bc"].algorithm()
    for i in range(len(view)):
        if view[i].actions is None:
            mean, std = algorithm.infer_actions(batch_of([view[i]], 2, ()))
            assert np.allclose(labeled[i].actions, mean[0], atol=1e-5)
            assert np.allclose(labeled[i].action_std, std[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "method"), [("td3_bc", "inverse"), ("clap", "inverse"), ("clap", "smoothing")]
)
def test_algorithm_that_infers_nothing_is_refused(runs, corpus, name, method):
    with pytest.raises(ConfigError, match="infers no actions"):
        relabel(runs[name], corpus, "nothing", method=method)
    assert not (corpus / "labels" / "nothing").exists()


def test_altered_corpus_is_not_relabeled(runs, corpus, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(corpus, copy)
    (shard,) = (copy / "shards").iterdir()
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(CorpusError, match=f"{shard.name}: was altered"):
        relabel(runs["bc"], copy, "altered")
    assert not (copy / "labels" / "altered").exists()


def test_name_is_taken_once(runs, corpus):
    relabel(runs["bc"], corpus, "taken")
    with pytest.raises(CorpusError, match="another overlay has this name"):
        relabel(runs["bc"], corpus, "taken")
    assert relabel(runs["lawm"], corpus, "taken", replace=True)["trajectories"] == 3
    assert read_overlay(corpus / "labels" / "taken").algorithm == "lawm"


def test_other_mask_of_the_same_name_is_refused(experiment, make_corpus, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    corpora = [{"path": str(corpus), "mask": "half"}]
    run = train(experiment("bc", corpora=corpora), tmp_path / "run")
    (corpus / "masks" / "half.json").unlink()
    view = open_corpus(corpus)
    save_mask(view, make_mask(view, 0.2, seed=0, name="half"))
    with pytest.raises(ConfigError, match="mask half: is not the mask that the run was trained"):
        relabel(run, corpus, "first")


def test_a_run_that_saw_through_two_masks_infers_nothing(experiment, make_corpus, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    whole = open_corpus(corpus)
    save_mask(whole, make_mask(whole, 0.8, seed=0, name="most"))
    seen = [{"path": str(corpus), "mask": mask} for mask in ("half", "most")]
    run = train(experiment("bc", corpora=seen), tmp_path / "run")
    with pytest.raises(ConfigError, match="through the masks half and most: no one says which"):
        relabel(run.path, corpus, "both")
    assert not (corpus / "labels").exists()
    whole = train(experiment("bc", corpora=[seen[0], {"path": str(corpus)}]), tmp_path / "whole")
    # the last trajectory has no actions; those of all others were seen, whatever the mask hides
    assert relabel(whole.path, corpus, "one")["trajectories"] == 1
    twice = train(experiment("bc", corpora=[seen[0], seen[0]]), tmp_path / "twice")
    assert relabel(twice.path, corpus, "once")["trajectories"] == 3


def test_nothing_hidden_is_nothing_to_do(runs, corpus, tmp_path):
    whole = open_corpus(corpus)
    specs = {"observations": whole.manifest.observations, "action": whole.manifest.action}
    with CorpusWriter.create(tmp_path / "labeled", **specs) as writer:
        for t in (whole[0], whole[1]):
            writer.add(
                dict(t.observations.items()),
                t.rewards,
                t.actions,
                provenance=Provenance(source="test"),
            )
    with pytest.raises(ConfigError, match="the run could read every action"):
        relabel(runs["bc"], tmp_path / "labeled", "first")
    assert not (tmp_path / "labeled" / "labels").exists()


def test_unmasked_corpus_has_no_truth(experiment, corpus, tmp_path):
    config = experiment("bc", corpora=[{"path": str(corpus)}])
    run = train(config, tmp_path / "run")
    report = relabel(run, corpus, "missing-only", truth_from_withheld=True)
    assert report["trajectories"] == 1
    assert report["nmse_per_dimension"] is None
    assert report["r2"] is None


def test_perfect_labels_have_no_error(corpus):
    whole = open_corpus(corpus)
    labels = [Label(whole.table.id[i], whole[i].actions, whole[i].actions) for i in (1, 2)]
    assert errors_against(whole, (1, 2), labels) == (0.0, 0.0)
    means = np.concatenate([whole[i].actions for i in (1, 2)]).mean(0, keepdims=True)
    constant = [label._replace(mean=np.repeat(means, len(label.mean), 0)) for label in labels]
    assert errors_against(whole, (1, 2), constant) == pytest.approx((1.0, 1.0))


def test_both_commands_leave_out_what_never_changes(experiment, make_corpus, tmp_path):
    """An action of one number throughout has no R²; ``relabel`` and ``compare-labels`` agree."""
    source = open_corpus(make_corpus(tmp_path / "source"))
    specs = {"observations": source.manifest.observations, "action": source.manifest.action}
    for constant, columns in ((0.1, [1]), (0.7, [0, 1])):
        path = tmp_path / f"{constant}"
        with CorpusWriter.create(path, **specs) as writer:
            for i in range(5):
                actions = source[i].actions.copy()
                actions[:, columns] = constant
                arrays = dict(source[i].observations.items())
                writer.add(arrays, source[i].rewards, actions, provenance=Provenance(source="test"))
        corpus = open_corpus(path)
        save_mask(corpus, make_mask(corpus, 0.5, seed=0, name="half"))
        config = experiment("lam", corpora=[{"path": str(path), "mask": "half"}])
        run = train(config, tmp_path / f"run-{constant}")
        found = relabel(run, path, "ours", truth_from_withheld=True)
        judged = compare_labels(corpus, ["ours"])["overlays"]["ours"]
        errors = found["nmse_per_dimension"]
        assert [error is None for error in errors] == [i in columns for i in range(2)]
        varies = [1 - error for error in errors if error is not None]
        assert found["r2"] == (pytest.approx(varies[0]) if varies else None)
        for r2 in (judged, judged["by_source"]["test"]):
            assert r2["r2"] == (pytest.approx(found["r2"], rel=1e-4) if varies else None)
        per_dimension = [e for e in judged["r2_per_dimension"] if e is not None]
        assert per_dimension == pytest.approx(varies, rel=1e-4)
        json.dumps([found, judged], allow_nan=False)


def test_padded_batch_is_what_batches_are(corpus):
    whole = open_corpus(corpus)
    batch = batch_of([whole[0], whole[2]], 2, ())
    assert batch.observation.shape == (2, 41, 3)
    assert batch.valid.sum(1).tolist() == [40, 25]
    assert torch.equal(batch.observation[1, :26], torch.from_numpy(whole[2].observations.state))
    assert (batch.observation[1, 26:] == batch.observation[1, 25]).all()
    assert (batch.reward[1, 25:] == 0).all()
    assert not batch.action_mask.any()
    assert not batch.labeled.any()


def test_an_action_that_leads_nowhere_is_not_inferred(runs, corpus, tmp_path):
    """Its label is as good as none, and no view calls it inferred."""
    whole = open_corpus(corpus)
    manifest, copy = whole.manifest, tmp_path / "copy"
    with CorpusWriter.create(
        copy, observations=manifest.observations, action=manifest.action
    ) as writer:
        for i in (0, 1):
            trajectory = whole[i]
            arrays = trajectory.arrays(manifest.observations)
            arrays = {k: np.concatenate([a[:-1], a[-2:-1]]) for k, a in arrays.items()}
            known = {"final_observation": "missing"} if i else {}
            source = manifest.provenance[0]
            writer.add(arrays, trajectory.rewards, provenance=source, metadata=known)
    view = open_corpus(copy)
    batch = batch_of([view[0], view[1]], 2, ())
    assert batch.unseen.sum(1).tolist() == [0, 1]
    assert batch.valid.sum(1).tolist() == [len(view[0]), len(view[1]) - 1]
    algorithm, weights = runs["lawm"].trained()
    labels = list(infer_labels(algorithm, view, (0, 1)))
    low, high = manifest.action.bounds()
    np.testing.assert_allclose(labels[1].mean[-1], (low + high) / 2, atol=1e-6)
    np.testing.assert_allclose(labels[1].std[-1], (high - low) / 12**0.5, rtol=1e-5)
    write_overlay(view, labels, name="lawm", model=weights, algorithm="lawm")
    states = [t.label_runs()[-1][0].value for t in view.with_labels("lawm")]
    assert states == ["inferred", "missing"]


def test_only_what_was_inferred_is_judged(runs, corpus, tmp_path):
    """The filler of a last step that led nowhere is neither an error nor an uncertainty.

    ``relabel`` and ``compare-labels`` agree. Of a trajectory of one such step nothing is judged.
    """
    whole = open_corpus(corpus)
    manifest, path = whole.manifest, tmp_path / "copy"
    with CorpusWriter.create(
        path, observations=manifest.observations, action=manifest.action
    ) as writer:
        for i, length in enumerate((6, 6, 6, 6, 1)):
            arrays = whole[i].arrays(manifest.observations)
            arrays = {k: a[[*range(length), length - 1]] for k, a in arrays.items()}
            parts = arrays, whole[i].rewards[:length], whole[i].actions[:length]
            source = manifest.provenance[0]
            writer.add(*parts, provenance=source, metadata={"final_observation": "missing"})
    copy = open_corpus(path)
    labels = list(infer_labels(runs["lawm"].trained().algorithm, copy, range(5)))
    write_overlay(copy, labels, name="ours", model="0" * 64, algorithm="lawm")
    judged = compare_labels(copy, ["ours"])["overlays"]["ours"]
    assert (judged["trajectories"], judged["steps"]) == (4, 20)
    assert judged["by_source"]["test"]["trajectories"] == 4
    errors = errors_against(copy, range(5), labels)
    assert judged["r2"] == pytest.approx(1 - np.mean(errors), rel=1e-5)
    truth = np.concatenate([copy[i].actions[:5] for i in range(4)])
    half = np.array([1.0, 2.0])
    wrong = (np.concatenate([label.mean[:5] for label in labels[:4]]) - truth) / half
    assert judged["rmse"] == pytest.approx(np.sqrt(np.square(wrong).mean()), rel=1e-5)
    assert errors_against(copy, [4], labels[4:]) is None
    write_overlay(copy, labels[4:], name="one", model="0" * 64, algorithm="lawm")
    with pytest.raises(ConfigError, match="label no trajectory whose action is known"):
        compare_labels(copy, ["one"])

    found = uncertainty(labels, manifest.action, copy.table.final_observed)
    expected = [np.sqrt(np.square(label.std[:5] / half).mean()) for label in labels]
    assert found == pytest.approx(expected)
    assert found[4] == pytest.approx(3**-0.5)
    assert uncertainty(labels, manifest.action, np.ones(5, bool))[0] != pytest.approx(found[0])


def test_uncertain_trajectories_are_left_out_whole(runs, corpus):
    whole, view = open_corpus(corpus), open_corpus(corpus).with_mask("half")
    everything = relabel(runs["lawm"], corpus, "everything")
    labeled = view.with_labels("everything")
    half = np.array([1.0, 2.0])
    found = {}
    for i, trajectory in enumerate(labeled):
        if trajectory.action_std is not None:
            found[i] = np.sqrt(np.square(trajectory.action_std / half).mean())
    spread = everything["uncertainty"]
    assert sorted(found.values()) == pytest.approx([*sorted(spread.values())], rel=1e-4)
    limit = (spread["median"] + spread["max"]) / 2
    report = relabel(runs["lawm"], corpus, "sure", max_uncertainty=limit)
    assert (report["trajectories"], report["left_out"]) == (2, 1)
    assert report["uncertainty"] == spread
    kept = [whole.table.id[i] for i, value in found.items() if value <= limit]
    sure = view.with_labels("sure")
    assert [t.info.id for t in sure if t.labels == "inferred"] == kept
    overlay = read_overlay(corpus / "labels" / "sure")
    assert overlay.max_uncertainty == limit
    assert overlay.method == "inverse"
    with pytest.raises(ConfigError, match="no trajectory is as certain as 1e-09; the best is at"):
        relabel(runs["lawm"], corpus, "none", max_uncertainty=1e-9)
    assert not (corpus / "labels" / "none").exists()


def test_dry_run_writes_nothing(runs, corpus):
    planned = relabel(runs["bc"], corpus, "dry", dry_run=True)
    assert planned["dry_run"]
    assert planned["r2"] is planned["nmse_per_dimension"] is None  # nobody asked
    assert not (corpus / "labels" / "dry").exists()
    assert relabel(runs["bc"], corpus, "dry") == {**planned, "dry_run": False}


def test_smoothing_needs_a_world_model(runs, corpus):
    asked = {"truth_from_withheld": True}
    report = relabel(runs["lawm"], corpus, "smooth", method="smoothing", **asked)
    assert report["method"] == read_overlay(corpus / "labels" / "smooth").method == "smoothing"
    plain = relabel(runs["lawm"], corpus, "plain", **asked)
    assert report["nmse_per_dimension"] != plain["nmse_per_dimension"]
    with pytest.raises(ConfigError, match="has no world model to smooth with"):
        relabel(runs["bc"], corpus, "smooth-bc", method="smoothing")


def test_every_frame_is_encoded_once(
    drawn: Path, learn: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many samples of the latent action are drawn for it."""
    run, encoded = learn("lawm", "pixels"), []
    plain = pixels.Encoder.forward

    def counted(encoder: pixels.Encoder, observation: Observation) -> torch.Tensor:
        encoded.append(observation.pixels["pixels"][..., 0, 0, 0].numel())
        return plain(encoder, observation)

    monkeypatch.setattr(pixels.Encoder, "forward", counted)
    for method in ("inverse", "smoothing"):
        encoded.clear()
        relabel(run, drawn, method, method=method)
        assert sum(encoded) == 33  # three hidden trajectories of 10 steps


def test_a_copy_without_the_actions_that_the_run_saw_is_refused(experiment, make_corpus, tmp_path):
    """Under the mask that the copy was made with, the run has not seen them."""
    corpus, copy = make_corpus(tmp_path / "corpus"), tmp_path / "copy"
    filter_corpus(open_corpus(corpus).with_mask("half"), "length > 0", copy)
    # under other names, too, and beside others
    other = make_corpus(tmp_path / "other", lengths=(21, 22))
    merged = tmp_path / "merged"
    merge_corpora([open_corpus(other), open_corpus(copy)], merged)
    runs = {
        mask: train(
            experiment("bc", corpora=[{"path": str(corpus), "mask": mask}]), tmp_path / f"{mask}"
        )
        for mask in (None, "half")
    }
    for path in (copy, merged):
        with pytest.raises(ConfigError, match=r"lacks the actions of 2 trajectories that the run"):
            relabel(runs[None], path, "all", dry_run=True)
        assert relabel(runs["half"], path, "all")["trajectories"] == 3 + (path == merged)
    # on the corpus itself its mask says what was seen
    assert relabel(runs[None], corpus, "all")["trajectories"] == 1
    # what else the run was trained on tells, too
    both = [{"path": str(other)}, {"path": str(corpus)}]
    run = train(experiment("bc", corpora=both), tmp_path / "both")
    with pytest.raises(ConfigError, match="lacks the actions of 2 trajectories"):
        relabel(run, copy, "all", replace=True)
    corpus.rename(tmp_path / "gone")  # then nothing does
    assert relabel(run, copy, "all", replace=True)["trajectories"] == 3
