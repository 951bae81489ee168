"""Training: repeated exactly, refused clearly, stopped at the first number that is not one."""

import hashlib
import json
import os

import h5py
import numpy as np
import pytest
import torch
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    LawmError,
    Provenance,
    Role,
    StorageError,
)
from runs_compared import Watcher, numbers, weights
from safetensors.torch import load_file
from small_runs import DISTINCT

from lawm_data import CorpusWriter, edit_corpus, make_mask, open_corpus, save_mask
from lawm_data.corpus.table import FINAL_MISSING
from lawm_data.system.atomic import WriterLock
from lawm_models.algorithms import ALGORITHMS, lawm
from lawm_models.runs.relabel import relabel
from lawm_models.training import trainer
from lawm_models.training.configure import configure
from lawm_models.training.evaluate import evaluate
from lawm_models.training.experiment import open_sources, resolve, settings_of
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import batch_tensors, train

PROVENANCE = Provenance(source="test")
TASKS = ("walker-walk", "walker-run")


def test_same_seed_same_numbers(config, whole, tmp_path):
    again = train(config, tmp_path / "again")
    assert numbers(again) == numbers(whole)
    assert weights(again) == weights(whole)
    assert [line["step"] for line in numbers(whole)][:4] == [3, 6, 9, 12]


def test_other_seed_other_numbers(config, whole, tmp_path):
    # the first line is of the first three steps, however many come after them
    steps = dict.fromkeys(config.steps, 3)
    same, other = (
        train(config.model_copy(update={"seed": seed, "steps": steps}), tmp_path / str(seed))
        for seed in (0, 1)
    )
    assert numbers(other)[0] != numbers(same)[0] == numbers(whole)[0]


def test_finished_run_returns_at_once(config, whole):
    before = {p: p.stat().st_mtime_ns for p in whole.path.rglob("*")}
    watcher = Watcher()
    assert train(config, whole.path, watcher).path == whole.path
    assert {p: p.stat().st_mtime_ns for p in whole.path.rglob("*")} == before
    assert watcher.stages == []


def test_finished_run_refuses_another_mask_of_the_same_name(experiment, make_corpus, tmp_path):
    path = make_corpus(tmp_path / "corpus")
    config = experiment("bc", corpora=[{"path": str(path), "mask": "half"}])
    train(config, tmp_path / "run")
    corpus = open_corpus(path)
    save_mask(corpus, make_mask(corpus, 0.2, seed=0, name="half"), replace=True)
    with pytest.raises(ConfigError, match="the mask has changed"):
        train(config, tmp_path / "run")
    path.rename(tmp_path / "gone")
    assert train(config, tmp_path / "run").is_finished()


def test_rates_fall_at_the_end_of_every_stage(experiment, tmp_path, monkeypatch):
    rates = []

    def record(self, stage, *_):
        optimizer = self.optimizers()["model" if stage == "model" else "actor"]
        rates.append((stage, optimizer.param_groups[0]["lr"]))
        return {"loss": torch.zeros(())}

    steps = {"model": 8, "agent": 4}
    config = experiment("lawm", steps=steps, rate_decay=0.5, checkpoint_every=5)
    base = config.algorithm.settings
    monkeypatch.setattr(lawm.Algorithm, "update", record)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Watcher(until=6))
    train(config, tmp_path / "run")
    scale = [1, 1, 1, 1, 1, 0.75, 0.5, 0.25], [1, 1, 1, 0.5]
    whole = lawm.Config.model_validate(base)
    expected = [("model", whole.model_rate * s) for s in scale[0]]
    expected += [("agent", whole.agent_rate * s) for s in scale[1]]
    assert rates == [(stage, pytest.approx(rate)) for stage, rate in expected]


def test_stages_may_draw_other_batches(experiment):
    """Each by its own settings; those that draw alike share one loader."""
    config = experiment("idm_td3_bc", batches={"idm": {"batch_size": 6, "labeled_ratio": 1.0}})
    loaders = open_sources(resolve(config)).loaders
    assert [len(loaders[stage].next().labeled) for stage in ("idm", "agent")] == [6, 4]
    assert loaders["idm"].next().labeled.all()
    assert loaders["agent"].next().labeled.sum() == 2
    same = open_sources(resolve(experiment("lawm"))).loaders
    assert same["model"] is same["agent"]


def test_run_folder_is_complete(config, whole):
    stages = [line["stage"] for line in whole.metrics()]
    assert stages == [stage for stage in config.steps for _ in range(4)]
    assert all(json.loads(line) for line in whole.metrics_path.read_text().splitlines())
    assert list(whole.events_path.glob("events.out.tfevents.*"))
    total = sum(config.steps.values())
    kept = {*range(12, total + 1, 12), total - 2}  # the end of every stage, and the last two
    assert set(whole.checkpoints()) == kept
    assert whole.config.algorithm.settings == settings_of(config).model_dump(mode="json")
    (corpus,) = whole.record.corpora
    assert (corpus.mask, corpus.trajectories, corpus.labeled) == ("half", 6, 3)
    assert whole.evaluation() is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, r"seed was 0 in this run and is now 3; set seed back"),
        ({"steps": {"agent": 13}}, r"steps.agent was 12 in this run and is now 13"),
        (
            {"algorithm": {"name": "bc", "settings": {"units": 9, "layers": 1}}},
            r"algorithm.settings.units was 8 in this run and is now 9",
        ),
    ],
)
def test_other_config_is_refused(experiment, tmp_path, changes, message):
    run = train(experiment("bc"), tmp_path / "run")
    with pytest.raises(ConfigError, match=message):
        train(experiment("bc", **changes), run.path)
    assert train(experiment("bc", preset="demo"), run.path).is_finished()


def on(corpus, **changes):
    """Changes of an experiment: other data."""
    return {"corpora": [{"path": str(corpus), "mask": "half"}], **changes}


def test_changed_corpus_is_refused(experiment, make_corpus, tmp_path):
    config = experiment("bc", **on(make_corpus(tmp_path / "corpus"), steps={"agent": 30}))
    watcher = Watcher(until=7)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", watcher)
    mask = tmp_path / "corpus" / "masks" / "half.json"
    corpus = open_corpus(tmp_path / "corpus")
    mask.unlink()
    save_mask(corpus, make_mask(corpus, 0.2, seed=0, name="half"))
    with pytest.raises(ConfigError, match=r"the mask has changed since .*run started"):
        train(config, tmp_path / "run")
    with CorpusWriter.append(tmp_path / "corpus") as writer:
        first = corpus[0]
        writer.add(dict(first.observations.items()), first.rewards, None, provenance=PROVENANCE)
    mask.unlink()
    corpus = open_corpus(tmp_path / "corpus")
    save_mask(corpus, make_mask(corpus, 0.2, seed=0, name="half"))
    with pytest.raises(ConfigError, match=r"the corpus has changed since .*run started"):
        train(config, tmp_path / "run")


def test_altered_corpus_is_refused(experiment, make_corpus, tmp_path):
    corpus = make_corpus(tmp_path / "corpus")
    (shard,) = (corpus / "shards").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorpusError, match=shard.name):
        train(experiment("bc", **on(corpus)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def far(name: str, *stages: str) -> dict:
    """A model of steps that are longer than a window."""
    steps = dict.fromkeys(("model", *stages), 3)
    return {"steps": steps, "algorithm": {"name": name, "settings": {"model": {"horizon": 9}}}}


def of(name: str, *stages: str) -> dict:
    """Another algorithm."""
    return {"steps": dict.fromkeys(stages, 3), "algorithm": {"name": name}}


TOO_FAR = "window: 8 is too short for 1 observations and a step of 9; give 9 or more"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device": "cuda:99"}, "cuda:99.*is not available here; use cpu"),
        ({"window": 41}, "41 steps, but the longest trajectory .* has 40"),
        ({"steps": {"model": 3}}, "steps.model: no such stage; known ones: agent"),
        ({"batches": {"model": {}}}, "batches.model: no such stage; known ones: agent"),
        ({"steps": {}}, "steps.agent: missing"),
        ({"steps": {"agent": 0}}, "steps: all are 0"),
        ({"algorithm": {"name": "nope"}}, "no algorithm 'nope'; known ones: acwm, autoencoder, bc"),
        ({"algorithm": {"name": "bc", "settings": {"u": 1}}}, "algorithm.settings: u: .*units"),
        (far("rla", "controller"), TOO_FAR),
        (far("acwm"), TOO_FAR),
        (of("rebrac", "agent") | {"window": 1}, "1 is too short to see the next action; give 2"),
        (of("idm_iql", "idm", "agent") | {"window": 3}, "3 is too short to look at 5 observations"),
    ],
)
def test_wrong_setting_writes_nothing(experiment, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        train(experiment("bc", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_corpus_without_a_label_is_refused(experiment, make_corpus, tmp_path):
    whole = open_corpus(make_corpus(tmp_path / "corpus"))
    last = whole[len(whole) - 1]
    specs = {"observations": whole.manifest.observations, "action": whole.manifest.action}
    with CorpusWriter.create(tmp_path / "unlabeled", **specs) as writer:
        writer.add(dict(last.observations.items()), last.rewards, None, provenance=PROVENANCE)
    corpora = [{"path": str(tmp_path / "unlabeled")}]
    with pytest.raises(ConfigError, match="not a single trajectory has readable actions"):
        train(experiment("bc", corpora=corpora), tmp_path / "run")


@pytest.mark.parametrize("name", DISTINCT)
def test_corpora_without_rewards_are_refused(experiment, make_corpus, tmp_path, name):
    """Unless nothing would be learned from them, or there is a stage that does without."""
    algorithm = ALGORITHMS.load(name).Algorithm
    one, out = len(algorithm.stages) == 1, tmp_path / "run"
    cases = (("none", range(6), ("all", "labeled")), ("last", range(5), ("labeled",)))
    for folder, unrewarded, kinds in cases:
        corpora = [{"path": str(make_corpus(tmp_path / folder, unrewarded=unrewarded))}]
        if algorithm.rewards_from not in kinds:
            few = dict.fromkeys(algorithm.stages, 2)
            train(experiment(name, corpora=corpora, steps=few), tmp_path / f"{folder}-run")
            continue
        labeled = "labeled " if algorithm.rewards_from == "labeled" else ""
        hint = "--algorithm bc" if one else "--set steps.agent=0"
        message = f"not a single {labeled}trajectory has recorded rewards.*{hint}"
        with pytest.raises(ConfigError, match=message):
            train(experiment(name, corpora=corpora), out)
        assert not out.exists()
        if not one:
            steps = {algorithm.stages[0]: 2, "agent": 0}
            train(experiment(name, corpora=corpora, steps=steps), tmp_path / f"{folder}-model")


def test_folder_of_something_else_is_refused(experiment, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"exists and is not a run \(it holds thesis.tex"):
        train(experiment("bc"), tmp_path)
    with pytest.raises(ConfigError, match="exists and is a file"):
        train(experiment("bc"), tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_second_trainer_is_refused(experiment, tmp_path):
    lock = WriterLock(tmp_path, "run")
    with pytest.raises(StorageError, match=f"process {os.getpid()} is writing to this run"):
        train(experiment("bc"), tmp_path)
    lock.release()
    assert train(experiment("bc"), tmp_path).is_finished()


def test_first_non_finite_metric_stops_the_run(experiment, tmp_path):
    # Adam moves every weight by the learning rate: after one step the output overflows
    settings = {"units": 8, "layers": 1, "learning_rate": 1e37}
    config = experiment("bc", algorithm={"name": "bc", "settings": settings}, log_every=10)
    with pytest.raises(LawmError, match=r"action is nan at step 2, in stage agent") as caught:
        train(config, tmp_path / "run")
    (saved,) = (tmp_path / "run").glob("*.safetensors")
    assert saved.name in caught.value.hint
    batch = open_sources(resolve(config)).loaders["agent"].batch(1)
    loaded = load_file(saved)
    assert loaded.keys() == batch_tensors(batch).keys()
    assert all(torch.equal(loaded[k], v) for k, v in batch_tensors(batch).items())
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == ""
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    with pytest.raises(LawmError, match="action is nan at step 2"):
        train(config, tmp_path / "run")


def poison(corpus):
    """Overwrite the hidden actions on disk, and mend the checksum so that nobody notices."""
    view = open_corpus(corpus)
    labeled = view.with_mask("half").mask.labeled
    garbage = np.random.default_rng(1)
    (shard,) = (corpus / "shards").iterdir()
    hidden = 0
    with h5py.File(shard, "r+") as file:
        for i, row in enumerate(view.index.action_row.tolist()):
            if row >= 0 and view.table.id[i] not in labeled:
                rows = slice(row, row + int(view.table.length[i]))
                file["actions"][rows] = garbage.choice([np.nan, np.inf, 1e30, -7.0], (1, 2))
                hidden += 1
    assert hidden == 2
    manifest = json.loads((corpus / "corpus.json").read_text())
    manifest["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    del manifest["checksum"]
    (corpus / "corpus.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("algorithm", DISTINCT)
def test_hidden_actions_cannot_matter(experiment, make_corpus, tmp_path, algorithm):
    """Garbage in every hidden action on disk: the same weights, bit for bit."""
    runs = []
    for name in ("clean", "poisoned"):
        corpus = make_corpus(tmp_path / name)
        if name == "poisoned":
            poison(corpus)
        runs.append(train(experiment(algorithm, **on(corpus)), tmp_path / f"run-{name}"))
    assert weights(runs[0]) == weights(runs[1])
    assert numbers(runs[0]) == numbers(runs[1])


@pytest.mark.parametrize("first", ["known", "unknown"])
def test_two_sources_of_one_environment_are_trained_on_together(
    experiment, make_corpus, tmp_path, first
):
    """Of one the types are wider and the bounds unknown; the run knows them, and labels both."""
    known = make_corpus(tmp_path / "known")
    wide = {"dtype": {"position": "float64", "action": "float64"}, "bounds": {"action": None}}
    unknown = edit_corpus(open_corpus(known), tmp_path / "unknown", **wide).path
    paths = [known, unknown] if first == "known" else [unknown, known]
    corpora = [{"path": str(path), "mask": "half"} for path in paths]
    run = train(experiment("lawm", corpora=corpora), tmp_path / "run")
    assert (run.record.action.low, run.record.action.high) == ((-1.0, 0.0), (1.0, 4.0))
    assert [spec.dtype for spec in run.record.state] == ["float64", "float32"]
    for path in paths:
        assert relabel(run.path, path, "ours")["trajectories"] == 3


def test_actions_that_never_change_are_warned_of(experiment, make_corpus, tmp_path, capsys):
    path = make_corpus(tmp_path / "corpus")
    with CorpusWriter.append(path) as writer:
        for action in ((0.0, 0.0), (0.5, 3.0)):
            arrays = {"position": np.ones((31, 2)), "speed": np.ones((31, 1))}
            rest = {"provenance": Provenance(source="lost"), "metadata": {"is": list(action)}}
            writer.add(arrays, np.ones(30), np.full((30, 2), action), **rest)
    train(experiment(corpora=[{"path": str(path)}]), tmp_path / "run")
    told = capsys.readouterr().err
    assert f"warning: {path}: the actions of a trajectory are all zero, and count as" in told
    assert "the actions of a trajectory are always the same, and count as observed" in told
    mask = make_mask(open_corpus(path), 0.2, 0, "few")
    save_mask(open_corpus(path), mask)
    hidden = set(open_corpus(path).table.id[-2:].tolist()) - set(mask.labeled)
    train(experiment(corpora=[{"path": str(path), "mask": "few"}]), tmp_path / "masked")
    assert capsys.readouterr().err.count("count as observed") == 2 - len(hidden)


def test_rewards_that_no_world_model_learns_from_are_warned_of(
    experiment, make_corpus, tmp_path, capsys
):
    path = make_corpus(tmp_path / "corpus")
    with CorpusWriter.append(path) as writer:
        arrays = {"position": np.ones((31, 2)), "speed": np.ones((31, 1))}
        rest = {"provenance": Provenance(source="foreign"), "metadata": FINAL_MISSING}
        writer.add(arrays, np.ones(30), **rest)
    warning = f"{path}: the last observation of 1 trajectories was not recorded"
    for name in ("bc", "lam", "lawm"):
        train(experiment(name, corpora=[{"path": str(path)}]), tmp_path / name)
        assert (warning in capsys.readouterr().err) == (name == "lawm")


def test_what_has_collapsed_is_said_once(experiment, tmp_path, capsys, monkeypatch):
    """Not in the first steps of a stage, where nothing is learned yet."""
    monkeypatch.setattr(trainer, "EARLY", 4)
    settings = {"model": {"units": 8, "layers": 1, "constraint": {"beta": 1e6}}}
    config = experiment("lam", algorithm={"name": "lam", "settings": settings})
    train(config, tmp_path / "run")
    (told,) = capsys.readouterr().err.splitlines()
    assert f"warning: {tmp_path / 'run'}, model step 6: the latent action has collapsed" in told
    rows = [row for row in numbers(RunFolder.open(tmp_path / "run")) if row["stage"] == "model"]
    assert all({"capacity", "effective_size", "kl"} <= row.keys() for row in rows)


def test_observations_alone_train_a_latent_action_model(make_corpus, tmp_path):
    """Without one action and one reward, with what the preset says; nothing can be relabeled."""
    source = open_corpus(make_corpus(tmp_path / "corpus"))
    free = ArraySpec(name="action", shape=(1,), role=Role.action)
    observations = source.manifest.observations
    with CorpusWriter.create(tmp_path / "film", observations=observations, action=free) as writer:
        for t in source:
            seen, meta = dict(t.observations.items()), {"rewards": "none"}
            writer.add(seen, 0 * t.rewards, None, provenance=PROVENANCE, metadata=meta)
    changes = {f"steps.{stage}": 3 for stage in ("model", "controller")}
    config = configure(tmp_path / "film", algorithm="lam", settings=changes)
    run = train(config, tmp_path / "run")
    assert run.is_finished()
    with pytest.raises(ConfigError, match="infers no actions"):
        relabel(run, tmp_path / "film", "ours")
    with pytest.raises(ConfigError, match="lam learns no policy"):
        evaluate(run, 1)


@pytest.fixture
def repeats(make_corpus, tmp_path):
    """A corpus of an environment, as if recorded with an action repeat: ``repeats(2)``."""
    make_corpus(tmp_path / "linear")

    def declare(repeat, task="walker-walk"):
        settings = {"env": task, "action_repeat": repeat}
        out = tmp_path / f"{task}-{repeat}"
        return edit_corpus(open_corpus(tmp_path / "linear"), out, settings=settings).path

    return declare


def test_one_environment_has_one_action_repeat(experiment, repeats, tmp_path):
    """Of two, the order of the corpora would decide where the policy is evaluated."""
    of = {(repeat, task): repeats(repeat, task) for repeat in (2, 8) for task in TASKS}

    def config(*pairs):
        corpora = [{"path": str(of[pair])} for pair in pairs]
        return experiment("bc", corpora=corpora, labeled_ratio=None, evaluation_episodes=0)

    two, eight, other = (2, TASKS[0]), (8, TASKS[0]), (8, TASKS[1])
    for first, last in ((two, eight), (eight, two)):
        words = f"{of[last]}: the action repeat is {last[0]}, not {first[0]}, and a step means"
        for pairs in ((first, last), (first, other, last)):
            with pytest.raises(ConfigError, match=f"{words} another time there; compared with"):
                train(config(*pairs), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train(config(two, other), tmp_path / "run")  # another environment is another question


def test_runs_on_several_action_repeats_from_before_go_on(experiment, repeats, tmp_path):
    """Earlier versions began such runs."""
    one, two = (
        repeats(2),
        edit_corpus(open_corpus(repeats(4)), tmp_path / "two", settings={"action_repeat": 2}).path,
    )
    corpora = [{"path": str(one)}, {"path": str(two)}]
    config = experiment("bc", corpora=corpora, labeled_ratio=None, evaluation_episodes=0)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", Watcher(until=4))
    manifest = open_corpus(two).manifest
    environment = manifest.environment.model_copy(update={"action_repeat": 4})
    declared = manifest.model_copy(update={"environment": environment})
    (two / "corpus.json").write_text(declared.to_json())
    run = train(config, tmp_path / "run")
    assert run.is_finished()
    assert train(config, tmp_path / "run").path == run.path
    assert relabel(run, two, "bc")["trajectories"] == 1  # it has one without actions
    with pytest.raises(ConfigError, match="the action repeat is 4, not 2"):
        train(config, tmp_path / "new")
