"""Labels against the truth: figures of labels whose error is known, and what is read."""

from collections.abc import Callable

import numpy as np
import pytest
from lawm_schemas import ArraySpec, ConfigError, CorpusError, Role

from lawm_data import Corpus, make_mask, open_corpus, save_mask, write_overlay
from lawm_data.inspection.label_error import compare_labels

BOUNDED = ArraySpec(name="action", shape=(2,), role=Role.action, low=(-1.0, -4.0), high=(1.0, 4.0))
HALF = np.array([1.0, 4.0])


@pytest.fixture
def corpus(random_corpus: Callable) -> Corpus:
    """Actions of two widths; masks ``few`` in ``more``; the last trajectory was never labeled."""
    made = random_corpus(lengths=[400] * 12, action=BOUNDED, unlabeled=(11,))
    for name, fraction in (("few", 0.2), ("more", 0.5)):
        save_mask(made, make_mask(made, fraction, seed=0, name=name))
    return open_corpus(made.path)


def write(corpus: Corpus, name: str, noise=0.1, stated=None, mask="few", keep=None) -> None:
    """Labels off by Gaussian noise (half the range is 1) which state such an error."""
    rng = np.random.default_rng(1)
    view, labels = corpus.with_mask(mask), []
    for i in range(len(view)):
        if view[i].actions is None and (keep is None or i in keep):
            true = corpus[i].actions
            true = np.zeros((400, 2)) if true is None else true
            std = np.full(true.shape, noise) * rng.choice([0.5, 1.0, 2.0], (400, 1))
            error = rng.normal(size=true.shape) * std
            stated_std = std if stated is None else std * stated
            labels.append((view.table.id[i], true + error * HALF, stated_std * HALF))
    write_overlay(view, labels, name=name, model="0" * 64, algorithm="test", replace=True)


def judged(corpus: Corpus, *names: str, **options):
    found = compare_labels(corpus, names, **options)["overlays"]
    assert tuple(found) == names
    return list(found.values())


def test_known_errors_are_found(corpus: Corpus) -> None:
    write(corpus, "a", noise=0.1)
    (a,) = judged(corpus, "a")
    rms = 0.1 * np.sqrt((0.25 + 1 + 4) / 3)
    assert a["rmse"] == pytest.approx(rms, rel=0.03)
    assert a["rmse_per_dimension"] == pytest.approx((rms * HALF).tolist(), rel=0.04)
    variance = 1 / 3  # uniform in [-1, 1]; the corpus' second dimension is so in its own units
    assert a["r2_per_dimension"][0] == pytest.approx(1 - rms**2 / variance, abs=0.01)
    assert a["r2"] == pytest.approx(np.mean(a["r2_per_dimension"]))
    entropy = np.log(0.1) + 0.5 * np.log(2 * np.pi * np.e)  # the mean of log 0.5, 1 and 2 is 0
    assert a["nll"] == pytest.approx(entropy, abs=0.03)
    assert a["nll"] == pytest.approx(np.mean(a["nll_per_dimension"]))


def test_honest_labels_are_calibrated_and_others_not(corpus: Corpus) -> None:
    write(corpus, "honest")
    write(corpus, "bold", stated=0.5)
    honest, bold = judged(corpus, "honest", "bold")
    for percent, share in honest["coverage"].items():
        assert share == pytest.approx(int(percent) / 100, abs=0.02)
    assert honest["calibration_error"] < 0.01
    for row in honest["reliability"]:
        assert row["observed"] == pytest.approx(row["expected"], rel=0.12)
    assert sum(row["share"] for row in bold["reliability"]) == pytest.approx(1)
    distance = sum(
        row["share"] * abs(row["expected"] - row["observed"]) for row in bold["reliability"]
    )
    assert bold["calibration_error"] == pytest.approx(distance)
    assert bold["calibration_error"] == pytest.approx(0.5 * 0.1 * 3.5 / 3, rel=0.1)
    assert bold["coverage"]["95"] < 0.75
    assert bold["nll"] > honest["nll"]
    assert bold["rmse"] == honest["rmse"]


def test_groups_are_all_there_is(corpus: Corpus) -> None:
    write(corpus, "a")
    (a,) = judged(corpus, "a")
    few = corpus.with_mask("few").label_counts()["observed"]
    assert a["labeled"] == few
    assert a["trajectories"] == 11 - few
    assert a["steps"] == 400 * a["trajectories"]
    for groups in (a["by_return"], a["by_source"]):
        assert sum(group["trajectories"] for group in groups.values()) == a["trajectories"]
    assert list(a["by_return"]) == ["low", "middle", "high"]
    whole = a["by_source"]["test"]
    assert {key: whole[key] for key in ("rmse", "r2", "nll")} == {
        key: a[key] for key in ("rmse", "r2", "nll")
    }


def test_common_trajectories_unless_asked_otherwise(corpus: Corpus) -> None:
    hidden = [i for i in range(11) if corpus.with_mask("few")[i].actions is None]
    write(corpus, "all")
    write(corpus, "some", keep=hidden[:3])
    assert [o["trajectories"] for o in judged(corpus, "all", "some")] == [3, 3]
    own = judged(corpus, "all", "some", own=True)
    assert [o["trajectories"] for o in own] == [len(hidden), 3]


def test_masks_are_compared_where_both_are_blind(corpus: Corpus) -> None:
    write(corpus, "few")
    write(corpus, "more", mask="more")
    few, more = judged(corpus, "few", "more")
    assert few["labeled"] < more["labeled"]
    assert few["trajectories"] == more["trajectories"] == 11 - more["labeled"]


def test_nothing_is_judged_on_what_it_was_taught(corpus: Corpus) -> None:
    """An overlay that labels what its mask shows as well."""
    view = corpus.with_mask("few")
    labels = [(t.info.id, np.zeros((400, 2)), np.ones((400, 2))) for t in view]
    write_overlay(view, labels, name="a", model="0" * 64, algorithm="test")
    (a,) = judged(corpus, "a")
    assert a["trajectories"] == 11 - a["labeled"]


def test_held_out_labels_are_all_that_is_read(corpus: Corpus) -> None:
    """What the larger mask hides could be anything: here, it is not there at all."""
    write(corpus, "a")
    (a,) = judged(corpus, "a", held_out="more")
    counts = [corpus.with_mask(name).label_counts()["observed"] for name in ("few", "more")]
    assert a["trajectories"] == counts[1] - counts[0]
    truth = corpus.with_mask("more")
    (b,) = judged(truth, "a")
    assert a == b


def test_judging_writes_nothing(corpus: Corpus) -> None:
    write(corpus, "a")
    before = {p: p.read_bytes() for p in corpus.path.rglob("*") if p.is_file()}
    judged(corpus, "a")
    assert before == {p: p.read_bytes() for p in corpus.path.rglob("*") if p.is_file()}


def test_what_cannot_be_judged(corpus: Corpus) -> None:
    write(corpus, "missing", keep=[11])
    with pytest.raises(ConfigError, match="label no trajectory whose action is known"):
        judged(corpus, "missing")
    with pytest.raises(CorpusError, match="no such overlay"):
        judged(corpus, "other")
    with pytest.raises(ConfigError, match="no labels"):
        judged(corpus)


def test_without_recorded_rewards_a_trajectory_is_in_no_third_of_the_returns(
    random_corpus: Callable,
) -> None:
    for name, unrewarded in (("some", (0, 2, 4)), ("all", range(12))):
        made = random_corpus(name, lengths=[400] * 12, action=BOUNDED, unrewarded=unrewarded)
        save_mask(made, make_mask(made, 0.1, seed=0, name="few"))
        corpus = open_corpus(made.path)
        write(corpus, "a")
        (a,) = judged(corpus, "a")
        view = corpus.with_mask("few")
        judged_on = view.table.rewarded & (view.table.num_observed == 0)
        counts = {name: group["trajectories"] for name, group in a["by_return"].items()}
        assert sum(counts.values()) == judged_on.sum()
        assert list(counts) == (["low", "middle", "high"] if judged_on.any() else [])
        assert max(counts.values(), default=0) - min(counts.values(), default=0) <= 1
        assert a["by_source"]["test"]["trajectories"] == a["trajectories"]
