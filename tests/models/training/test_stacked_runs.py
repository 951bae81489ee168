"""Runs in a stack: each as if it were alone, whenever it was stopped."""

import pytest
from lawm_schemas import ConfigError
from runs_compared import Watcher, numbers, weights
from safetensors.torch import load

from lawm_data import filter_corpus, make_mask, open_corpus, save_mask
from lawm_models.algorithms import ALGORITHMS
from lawm_models.training.experiment import expected_labeled, open_sources, resolve
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.stacked_runs import Asked, alike, train_stack
from lawm_models.training.trainer import train

SEEDS = (0, 1, 2)
STEPS = 6
"""Of every stage; a checkpoint and a line of the log are made on the way."""


def close(line, expected):
    """Whether two lines of a log say the same up to rounding."""
    values = {key: value for key, value in expected.items() if key != "stage"}
    return line["stage"] == expected["stage"] and {
        key: value for key, value in line.items() if key != "stage"
    } == pytest.approx(values, rel=1e-3, abs=1e-4)


def short(experiment, name="lawm", **changes):
    steps = dict.fromkeys(ALGORITHMS.load(name).Algorithm.stages, STEPS)
    return experiment(name, steps=steps, **changes)


def asked(experiment, folder, name="lawm", **changes):
    return [
        Asked(short(experiment, name, seed=seed, **changes), folder / f"seed{seed}")
        for seed in SEEDS
    ]


@pytest.fixture(scope="module", params=["lawm", "lawm_plus", "clap"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def changes(name):
    return {"labeled_ratio": 1.0} if name == "clap" else {}


@pytest.fixture(scope="module")
def together(name, changes, experiment, tmp_path_factory):
    return train_stack(asked(experiment, tmp_path_factory.mktemp("stack"), name, **changes))


def test_each_is_as_if_alone(name, changes, experiment, together, tmp_path):
    for each, run in zip(asked(experiment, tmp_path, name, **changes), together, strict=True):
        alone = train(each.config, each.out)
        assert run.config == alone.config
        assert run.checkpoints().keys() == alone.checkpoints().keys()
        assert len(run.metrics()) == len(alone.metrics())
        assert all(map(close, numbers(run), numbers(alone)))
        found, expected = load(weights(run)), load(weights(alone))
        assert found.keys() == expected.keys()
        assert all(v.shape == expected[n].shape for n, v in found.items())


# which has all that is stacked of the others, and its running moments
@pytest.mark.parametrize("name", ["lawm_plus"], indirect=True, scope="module")
def test_stopped_and_gone_on_with(name, changes, experiment, together, tmp_path):
    runs = asked(experiment, tmp_path, name, **changes)
    done = 0
    for steps in (2, 2, 3, 2):
        watcher = Watcher(until=steps)
        with pytest.raises(KeyboardInterrupt):
            train_stack(runs, watcher)
        assert watcher.stopped
        done += steps
        assert {max(RunFolder.open(each.out).checkpoints()) for each in runs} == {done}
    again = train_stack(runs)
    assert [numbers(run) for run in again] == [numbers(run) for run in together]
    assert [weights(run) for run in again] == [weights(run) for run in together]
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert all(run.is_finished() for run in train_stack(runs))
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_those_at_other_steps_go_on_by_themselves(experiment, tmp_path):
    first, *others = asked(experiment, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train(first.config, first.out, Watcher(until=4))
    runs = train_stack([first, *others])
    whole = train(first.config, tmp_path / "whole")
    assert numbers(runs[0]) == numbers(whole)
    assert weights(runs[0]) == weights(whole)
    assert all(run.is_finished() for run in runs)


def test_masks_may_differ(experiment, make_corpus, tmp_path):
    path = make_corpus(tmp_path / "corpus")
    corpus = open_corpus(path)
    runs = []
    for seed in SEEDS:
        mask = f"seed{seed}"
        save_mask(corpus, make_mask(corpus, 0.5, seed=seed, name=mask))
        config = short(experiment, seed=seed, corpora=[{"path": str(path), "mask": mask}])
        runs.append(Asked(config, tmp_path / mask))
    made = train_stack(runs)
    assert len({run.record.corpora[0].mask_sha256 for run in made}) > 1
    for run, each in zip(made, runs, strict=True):
        alone = train(each.config, tmp_path / f"{each.out.name}-alone")
        assert all(map(close, numbers(run), numbers(alone)))


def test_those_with_as_many_labeled_windows_are_one_stack(experiment, make_corpus, tmp_path):
    """Few labels with half of every batch labeled, and all of them, where all of it is."""
    whole = open_corpus(make_corpus(tmp_path / "corpus"))
    path = tmp_path / "labeled"
    filter_corpus(whole, "labels == 'observed'", path)
    corpus = open_corpus(path)
    runs = []
    for mask in ("few", "some", None):
        for seed in SEEDS[:2]:
            name = mask and f"{mask}{seed}"
            if name:
                fraction = 0.2 if mask == "few" else 0.6
                save_mask(corpus, make_mask(corpus, fraction, seed=seed, name=name))
            corpora = [{"path": str(path), "mask": name}]
            runs.append(
                Asked(short(experiment, seed=seed, corpora=corpora), tmp_path / f"{mask}{seed}")
            )
    watcher = Watcher()
    made = train_stack(runs, watcher)
    assert watcher.stages == 2 * [("model", STEPS), ("agent", STEPS)]  # of two stacks
    for run, each in zip(made, runs, strict=True):
        alone = train(each.config, tmp_path / f"{each.out.name}-alone")
        assert all(map(close, numbers(run), numbers(alone)))
        config, data = resolve(each.config), run.record.corpora
        loaders = open_sources(config).loaders
        assert expected_labeled(config, data) == {k: v.num_labeled for k, v in loaders.items()}
        labeled = 4 if config.corpora[0].mask is None else 2
        assert set(expected_labeled(config, data).values()) == {labeled}
    kinds = [
        alike(resolve(each.config), run.record.corpora)
        for each, run in zip(runs, made, strict=True)
    ]
    assert len(set(kinds[:4])) == len(set(kinds[4:])) == 1
    assert len(set(kinds)) == 2


def test_stages_are_taken_over(experiment, tmp_path):
    donors = train_stack(asked(experiment, tmp_path / "donors"))
    settings = donors[0].config.algorithm.settings | {"support": 1.0}
    algorithm = {"name": "lawm", "settings": settings}
    runs = [
        Asked(short(experiment, seed=seed, algorithm=algorithm), tmp_path / str(seed), donor.path)
        for seed, donor in zip(SEEDS, donors, strict=True)
    ]
    for run, donor in zip(train_stack(runs), donors, strict=True):
        assert run.record.taken is not None
        assert run.record.taken.run == str(donor.path)
        model = [[row for row in numbers(each) if row["stage"] == "model"] for each in (run, donor)]
        assert len(model[0]) == STEPS // 3
        assert model[0] == model[1]


@pytest.mark.parametrize(
    ("name", "changes"), [("bc", {}), ("lawm", {"labeled_ratio": None})], ids=["bc", "by chance"]
)
def test_what_cannot_be_stacked_is_trained_all_the_same(experiment, tmp_path, name, changes):
    runs = train_stack(asked(experiment, tmp_path, name, **changes))
    for run in runs:
        alone = train(run.config, tmp_path / "alone" / run.path.name)
        assert numbers(run) == numbers(alone)
        assert weights(run) == weights(alone)


def test_unlike_runs_are_refused(experiment, tmp_path):
    first = Asked(experiment("lawm"), tmp_path / "a")
    with pytest.raises(ConfigError, match=r"window is 4, and 8 in the first"):
        train_stack([first, Asked(experiment("lawm", window=4), tmp_path / "b")])
    with pytest.raises(ConfigError, match="give each a folder"):
        train_stack([first, Asked(experiment("lawm", seed=1), tmp_path / "a")])
    assert not [*tmp_path.iterdir()]
