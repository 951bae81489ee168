"""Laws of the tiers: bands respected, shares equal, deterministic, lineage right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    EnvironmentInfo,
    Provenance,
    Role,
    StorageError,
)

from lawm_data import Corpus, CorpusWriter, make_mask, open_corpus, save_mask, write_tier
from lawm_data.curation.tier import (
    BANDS,
    TIERS,
    WINDOW,
    Band,
    Tier,
    band_of,
    parse_band,
    stretch,
)

WALKER = EnvironmentInfo(task="walker-walk", action_repeat=2)
Collections = Callable[..., list[Corpus]]


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Collections:
    """Writes collections whose agents improve from 0 to 950 in a hundred trajectories."""

    def write(count: int = 3, sizes: Sequence[int] = (100, 100, 100), **options) -> list[Corpus]:
        folder = tmp_path_factory.mktemp("tier")
        return [
            history(folder / f"seed-{k}", k, np.linspace(0, 950, sizes[k]), **options)
            for k in range(count)
        ]

    return write


def history(
    path: Path,
    seed: int,
    returns: np.ndarray,
    ages: Sequence[int | None] | None = None,
    environment: EnvironmentInfo | None = WALKER,
    noise: float = 60,
) -> Corpus:
    rng = np.random.default_rng(seed)
    deviation = noise * np.random.default_rng((seed, 1)).standard_normal(len(returns))
    noisy = np.clip(returns + deviation, 0, 1000)
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    with CorpusWriter.create(
        path,
        observations=[ArraySpec(name="x", shape=(2,))],
        action=action,
        environment=environment,
    ) as writer:
        for k, value in enumerate(noisy):
            writer.add(
                {"x": rng.standard_normal((3, 2))},
                np.full(2, value / 2),
                rng.standard_normal((2, 1)),
                provenance=Provenance(source="dreamer", seed=seed),
                agent_step=10 * k if ages is None else ages[k],
            )
    return open_corpus(path)


@pytest.fixture(scope="module")
def three(collections: Collections) -> list[Corpus]:
    return collections()


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("wanted", [3, 10, 29])
def test_bands_are_respected_and_shares_are_equal(
    three: list[Corpus], tmp_path: Path, tier, wanted: int
) -> None:
    tiered = write_tier(three, tier, wanted, tmp_path / "out")
    out = open_corpus(tmp_path / "out", verify=True)
    low, high = band_of("walker-walk", tier)
    returns = out.table.episode_return
    assert (returns >= (low or 0)).all()
    assert (returns <= (high or 1000)).all()
    seeds = [out.manifest.provenance[k].seed for k in out.table.provenance]
    counts = [seeds.count(k) for k in range(3)]
    assert counts == [share.taken for share in tiered.shares]
    assert sum(counts) == len(out) == wanted
    assert max(counts) - min(counts) <= 1
    assert counts == sorted(counts, reverse=True)
    assert tiered.missing == 0
    assert {entry.tier for entry in out.manifest.provenance} == {tier}
    known = {(t.info.id, t.rewards.tobytes()) for corpus in three for t in corpus}
    assert {(t.info.id, t.rewards.tobytes()) for t in out} <= known
    step = out.manifest.lineage[-1]
    assert (step.operation, step.parents) == ("tier", tuple(c.fingerprint for c in three))
    assert step.settings == {
        "tier": tier,
        "returns": [low, high],
        "trajectories": wanted,
        "seed": 0,
        "taken": counts,
    }


def test_the_choice_is_that_of_the_seed(three: list[Corpus], tmp_path: Path) -> None:
    def chosen(seed: int, wanted: int = 30, corpora: Sequence[Corpus] = three) -> str | None:
        out = tmp_path / "out"
        return write_tier(
            corpora, "expert", wanted, out, seed=seed, dry_run=True
        ).derived.fingerprint

    again = [open_corpus(corpus.path) for corpus in three]
    assert chosen(0) == chosen(0, corpora=again)
    assert chosen(0) != chosen(1)
    write_tier(three, "expert", 30, tmp_path / "large")
    write_tier(three, "expert", 15, tmp_path / "small")
    large, small = (open_corpus(tmp_path / name) for name in ("large", "small"))
    assert large.fingerprint == chosen(0)
    assert set(small.table.id) < set(large.table.id)


def test_medium_comes_from_the_middle_and_replay_from_before(three: list[Corpus]) -> None:
    table = three[0].table
    medium, replay = (stretch(table, band_of("walker-walk", t)) for t in TIERS[1:])
    inside = np.flatnonzero(medium)
    assert (np.diff(inside) == 1).all()
    # 275 and 700 of 950 in a hundred trajectories
    assert abs(inside[0] - 29) <= WINDOW
    assert abs(inside[-1] - 73) <= WINDOW
    assert replay[0]
    assert (np.diff(np.flatnonzero(replay)) == 1).all()
    assert abs(np.flatnonzero(replay)[-1] - 63) <= WINDOW


@given(
    returns=st.lists(st.floats(0, 1000), max_size=40),
    low=st.floats(0, 1000) | st.none(),
    width=st.floats(0, 1000) | st.none(),
)
def test_a_stretch_is_one_piece_of_training_without_better_agents(
    three: list[Corpus], returns: list[float], low: float | None, width: float | None
) -> None:
    rng, n = np.random.default_rng(len(returns)), len(returns)
    table = three[0].table.take(np.arange(n))
    ages = rng.permutation(n)
    object.__setattr__(table, "episode_return", np.array(returns)[ages] if n else np.empty(0))
    object.__setattr__(table, "agent_step", ages)
    high = None if width is None else (low or 0) + width
    inside = stretch(table, Band(low, high))
    in_order = np.flatnonzero(inside[np.argsort(ages)])
    assert (np.diff(in_order) == 1).all()
    typical = [np.median(returns[max(0, k - WINDOW // 2) : k + WINDOW // 2 + 1]) for k in range(n)]
    assert all(typical[k] <= high for k in in_order if high is not None)
    begins = [k for k in range(n) if low is None or typical[k] >= low]
    wanted = bool(begins) and (high is None or typical[begins[0]] <= high)
    assert (list(in_order[:1]) == begins[:1]) if wanted else not len(in_order)


def test_what_is_missing_is_counted_and_not_made_up_for(
    collections: Collections, tmp_path: Path
) -> None:
    corpora = collections(3, (100, 10, 100))
    tiered = write_tier(corpora, "expert", 30, tmp_path / "out")
    first, second, third = tiered.shares
    assert (first.taken, third.taken) == (10, 10)
    assert second.taken == second.eligible == 10 - second.missing < 10
    assert tiered.missing == second.missing == 30 - len(open_corpus(tmp_path / "out"))
    with pytest.raises(CorpusError, match=r"no trajectory is of tier medium \(returns 2000:\)"):
        write_tier(corpora, "medium", 30, tmp_path / "none", returns=Band(2000, None))
    assert not (tmp_path / "none").exists()


def test_trajectories_without_age(tmp_path: Path) -> None:
    returns = np.linspace(0, 950, 40)
    ages = [None if k % 4 == 0 else k for k in range(40)]
    some = history(tmp_path / "some", 0, returns, ages, noise=0)
    tiered = write_tier([some], "medium", 40, tmp_path / "medium")
    (share,) = tiered.shares
    assert share.unplaced > 0
    kept = open_corpus(tmp_path / "medium").table
    assert (kept.agent_step >= 0).all()
    assert share.agent_steps is not None
    assert share.agent_steps[0] <= kept.agent_step.min()
    assert kept.agent_step.max() <= share.agent_steps[1]
    none = history(tmp_path / "none", 0, returns, [None] * 40, noise=0)
    (share,) = write_tier([none], "medium", 40, tmp_path / "m2").shares
    assert (share.unplaced, share.agent_steps) == (0, None)
    assert share.taken == share.eligible > 0


def test_a_trajectory_of_two_collections_is_taken_once(tmp_path: Path) -> None:
    one = history(tmp_path / "one", 0, np.full(20, 900.0))
    both = history(tmp_path / "both", 0, np.full(21, 900.0))
    tiered = write_tier([one, both], "expert", 40, tmp_path / "out", returns=Band(0, None))
    assert [share.taken for share in tiered.shares] == [20, 1]
    assert tiered.derived.renamed == tiered.derived.duplicates == 0


def test_masks_come_along(three: list[Corpus], tmp_path: Path) -> None:
    masks = [make_mask(corpus, 0.5, 0, "half") for corpus in three]
    for corpus, mask in zip(three, masks, strict=True):
        save_mask(corpus, mask)
    tiered = write_tier(three, "medium", 30, tmp_path / "out")
    assert tiered.derived.masks == ("half",)
    shown = open_corpus(tmp_path / "out").with_mask("half").filter(lambda i: i.labels == "observed")
    seen = {name for mask in masks for name in mask.labeled}
    assert set(shown.table.id) == seen & set(open_corpus(tmp_path / "out").table.id)


def test_the_bands_are_those_of_the_paper() -> None:
    assert {name: [str(band) for band in bands] for name, bands in BANDS.items()} == {
        "walker-walk": ["750:", "275:700", ":600"],
        "cheetah-run": ["750:", "300:600", ":600"],
        "hopper-stand": ["800:", "250:750", ":700"],
        "cartpole-swingup": ["800:", "300:700", ":700"],
    }


def test_bands_are_read() -> None:
    assert parse_band("300:600") == Band(300, 600)
    assert parse_band("750:") == Band(750, None)
    assert parse_band(" :-1.5") == Band(None, -1.5)
    for text in (":", "", "300", "a:b", "1:2:3", "nan:", "1e3:"):
        with pytest.raises(ConfigError, match="is not LOW:HIGH"):
            parse_band(text)
    with pytest.raises(ConfigError, match="LOW is above HIGH"):
        parse_band("600:300")


def test_what_makes_no_sense_is_refused(three: list[Corpus], tmp_path: Path) -> None:
    out, twin = tmp_path / "out", open_corpus(three[0].path)
    unknown = history(tmp_path / "unknown", 0, np.ones(3), environment=None)
    other = history(
        tmp_path / "other", 9, np.ones(3), environment=EnvironmentInfo(task="hopper-hop")
    )
    for corpora, tier, wanted, kind, words in (
        (three, "good", 30, ConfigError, "no tier 'good'; known ones: expert, medium, "),
        (three, "expert", 2, ConfigError, "2 trajectories of 3 collections"),
        ([], "expert", 2, ConfigError, "2 trajectories of 0 collections"),
        ([three[0], twin], "expert", 2, CorpusError, "is the same corpus as"),
        (
            [three[0], other],
            "expert",
            2,
            CorpusError,
            "is hopper-hop, not walker-walk",
        ),
        ([other], "expert", 2, ConfigError, "hopper-hop: has no preset returns for expert"),
        ([unknown], "expert", 2, ConfigError, "environment unknown: has no preset"),
    ):
        with pytest.raises(kind, match=words):
            write_tier(corpora, tier, wanted, out)
    with pytest.raises(StorageError, match="something is already there"):
        write_tier(three, "expert", 30, three[0].path)
    assert not out.exists()


@pytest.mark.parametrize("tier", TIERS)
def test_trajectories_without_recorded_rewards_are_of_no_tier(tmp_path: Path, tier: Tier) -> None:
    """Their return is 0, which is no result: neither in a band nor in the running median."""
    path, out, rng = tmp_path / "c", tmp_path / "out", np.random.default_rng(0)
    with CorpusWriter.create(
        path,
        observations=[ArraySpec(name="x", shape=(2,))],
        action=ArraySpec(name="action", shape=(1,), role=Role.action),
    ) as writer:
        for i in range(60):
            rewarded = i % 3 == 0
            writer.add(
                {"x": rng.standard_normal((3, 2))},
                np.full(2, -10.0 if rewarded and i < 30 else -3.0 * rewarded),
                rng.standard_normal((2, 1)),
                provenance=Provenance(source="dreamer"),
                agent_step=i,
                metadata={} if rewarded else {"rewards": "none"},
            )
    corpus = open_corpus(path)
    found = write_tier([corpus], tier, 60, out, returns=Band(-7, 1))
    (share,) = found.shares
    assert (share.eligible, share.taken, share.missing) == (10, 10, 50)
    assert open_corpus(out).table.rewarded.all()
    # rewarded trajectories alone make the median: the first half of them is below the band
    inside, rewarded = stretch(corpus.table, Band(-7, 1)), corpus.table.rewarded
    assert not inside[~rewarded].any()
    assert inside[rewarded].tolist() == [False] * 10 + [True] * 10
    none = corpus.filter(~corpus.table.rewarded)
    with pytest.raises(CorpusError, match="no rewards were recorded, and a tier is chosen by"):
        write_tier([none], tier, 6, tmp_path / "none", returns=Band(-7, 1))
