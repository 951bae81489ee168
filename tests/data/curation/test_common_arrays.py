"""Laws of ``merge --common``: what several corpora share is kept, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lawm_schemas import (
    ArraySpec,
    ConfigError,
    CorpusError,
    Drawing,
    EnvironmentInfo,
    LawmError,
    Provenance,
    Role,
)
from PIL import Image

from lawm_data import (
    Corpus,
    CorpusWriter,
    Loader,
    filter_corpus,
    make_mask,
    merge_corpora,
    open_corpus,
    save_mask,
    write_overlay,
)
from lawm_data.corpus.integrity.validate import validate
from lawm_data.exchange import import_corpus

ACTION = ArraySpec(name="action", shape=(3,), role=Role.action, low=(-1.0,) * 3, high=(1.0,) * 3)
OTHER = ArraySpec(name="action", shape=(1,), role=Role.action)
CAMERA = ArraySpec(name="camera", shape=(6, 8, 3), dtype="uint8", role=Role.pixels)
POSITION = ArraySpec(name="position", shape=(2,))
COUNT = ArraySpec(name="count", shape=(), dtype="int16", low=(0.0,), high=(9.0,))
PHYSICS = ArraySpec(name="physics", shape=(4,), dtype="float64", role=Role.physics)
ALL = (POSITION, CAMERA, COUNT, PHYSICS)
WALKER = EnvironmentInfo(task="walker-walk")


def write(path: Path, specs: Any, seed: int = 0, labeled: bool = True, **rest: Any) -> Corpus:
    """Three trajectories of random numbers; the first one is partially labeled."""
    rng = np.random.default_rng(seed)
    rest = {"action": ACTION, **rest}
    with CorpusWriter.create(path, observations=specs, **rest) as writer:
        for length in (5, 3, 9):
            arrays = {
                spec.name: rng.integers(0, 10, (length + 1, *spec.shape)).astype(spec.dtype)
                for spec in ALL
            }
            writer.add(
                {spec.name: resized(arrays, spec) for spec in specs},
                rng.random(length),
                rng.uniform(-1, 1, (length, *rest["action"].shape)) if labeled else None,
                action_observed=np.arange(length) > 1 if labeled and length == 5 else None,
                terminated=length == 3,
                truncated=length == 9,
                agent_step=length,
                seed=seed,
                metadata={"length": length},
                provenance=Provenance(source=path.name),
            )
    return open_corpus(path)


def resized(arrays: dict[str, np.ndarray], spec: ArraySpec) -> np.ndarray:
    array = arrays[spec.name]
    return array if array.shape[1:] == spec.shape else np.resize(array, (len(array), *spec.shape))


subsets = st.sets(st.sampled_from(ALL)).map(lambda found: (*sorted(found, key=ALL.index), CAMERA))
kinds = subsets.map(lambda specs: tuple(dict.fromkeys(specs)))


@settings(max_examples=25)
@given(one=kinds, two=kinds, order=st.randoms(use_true_random=False))
def test_what_all_have_is_kept_and_the_rest_is_named(
    tmp_path_factory: pytest.TempPathFactory, one: Any, two: Any, order: Any
) -> None:
    root = tmp_path_factory.mktemp("merge")
    two = tuple(order.sample(two, len(two)))
    views = [write(root / "one", one), write(root / "two", two, seed=1)]
    shared = [spec for spec in one if spec in two]
    planned = merge_corpora(views, root / "out", common=True, dry_run=True)
    assert not (root / "out").exists()
    derived = merge_corpora(views, root / "out", common=True)
    same = derived.fingerprint == planned.fingerprint
    assert same or (planned.fingerprint is None and one != two)
    assert derived._replace(fingerprint=None) == planned._replace(fingerprint=None)
    merged = open_corpus(derived.path, verify=True)
    assert merged.manifest.observations == tuple(shared)
    assert validate(derived.path) == []
    odd = {spec.name for spec in {*one} ^ {*two}}
    assert {line.split()[1].rstrip(":") for line in derived.left} == odd
    step = merged.manifest.lineage[-1]
    assert step.parents == tuple(view.fingerprint for view in views)
    assert step.settings["left"] == list(derived.left)
    theirs = [trajectory for view in views for trajectory in view]
    for ours, before in zip(merged, theirs, strict=True):
        for name, array in ours.arrays(shared).items():
            assert np.array_equal(array, before.arrays(shared)[name])
            assert array.dtype == before.arrays(shared)[name].dtype
        assert np.array_equal(ours.rewards, before.rewards)
        assert np.array_equal(ours.actions, before.actions)
        assert np.array_equal(ours.action_observed, before.action_observed)
        assert ours.info == before.info


def test_a_mix_of_labeled_states_and_videos(tmp_path: Path) -> None:
    """The whole way: videos like a corpus, merged, masked, loaded in windows."""
    robot = write(tmp_path / "robot", ALL)
    save_mask(robot, make_mask(robot, 0.4, 0, "some"))
    for take in ("a", "b"):
        (tmp_path / "films" / take).mkdir(parents=True)
        for i in range(7):
            Image.new("RGB", (40, 30), (i, 0, 0)).save(tmp_path / "films" / take / f"{i}.png")
    import_corpus(f"video:{tmp_path / 'films'}", tmp_path / "like", {"like": str(robot.path)})
    films = open_corpus(tmp_path / "like")
    with pytest.raises(CorpusError, match="keep what they share with --common"):
        merge_corpora([robot, films], tmp_path / "mixed")
    derived = merge_corpora([robot, films], tmp_path / "mixed", common=True)
    mixed = open_corpus(derived.path)
    assert mixed.label_counts() == {"observed": 3, "withheld": 0, "missing": 2, "inferred": 0}
    assert mixed.manifest.observations == (CAMERA,)
    assert mixed.manifest.action == ACTION
    assert [t.info.metadata.get("rewards") for t in mixed] == [None] * 3 + ["none"] * 2
    # where no action was recorded there is none to hide, so the mask comes along
    assert derived.masks == ("some",)
    seen, before = mixed.with_mask("some"), robot.with_mask("some")
    assert seen.mask is not None
    assert before.mask is not None
    assert seen.mask.labeled == before.mask.labeled
    assert seen.label_counts() == {"observed": 1, "withheld": 2, "missing": 2, "inferred": 0}
    batch = Loader([(seen, 1.0)], 8, 3, labeled_ratio=0.25).next()
    assert batch.labeled.tolist() == [True] * 2 + [False] * 6
    assert batch.pixels["camera"].shape == (8, 4, 6, 8, 3)
    assert not batch.action[2:].any()
    save_mask(mixed, make_mask(mixed, 0.2, 0, "again"))


def test_pictures_of_other_sizes_are_brought_to_one(tmp_path: Path) -> None:
    small = CAMERA.model_copy(update={"shape": (4, 4, 3)})
    one, two = write(tmp_path / "one", (CAMERA,)), write(tmp_path / "two", (small,), seed=1)
    with pytest.raises(CorpusError, match=r"in .*two it has shape \(4, 4, 3\), not \(6, 8, 3\)"):
        merge_corpora([one, two], tmp_path / "out", common=True)
    merged = merge_corpora([one, two], tmp_path / "out", common=True, size=4)
    out = open_corpus(merged.path)
    assert out.manifest.observations == (small,)
    assert out.manifest.lineage[-1].settings["size"] == 4
    assert np.array_equal(out[3].observations["camera"], two[0].observations["camera"])
    for picture, was in zip(
        out[0].observations["camera"], one[0].observations["camera"], strict=True
    ):
        wanted = Image.fromarray(was).resize((4, 4), Image.Resampling.BOX)
        assert np.array_equal(picture, np.asarray(wanted))
    for size in (0, 5000):
        with pytest.raises(ConfigError, match="--size: is"):
            merge_corpora([one, two], tmp_path / "no", common=True, size=size)
    with pytest.raises(ConfigError, match="--size: goes with --common"):
        merge_corpora([one, two], tmp_path / "no", size=4)


def test_what_is_the_same_in_the_arrays_that_are_kept_is_taken_once(tmp_path: Path) -> None:
    robot, films = write(tmp_path / "a", ALL), write(tmp_path / "b", (CAMERA,), 1, labeled=False)
    first = merge_corpora([robot, films], tmp_path / "first", common=True)
    views = [robot, open_corpus(first.path), films]
    planned = merge_corpora(views, tmp_path / "second", common=True, dry_run=True)
    second = merge_corpora(views, tmp_path / "second", common=True)
    assert (second.duplicates, second.renamed, second.trajectories) == (6, 0, 6)
    assert second.fingerprint == first.fingerprint
    assert planned == second._replace(fingerprint=None)


def test_through_a_mask_no_hidden_action_is_written(tmp_path: Path) -> None:
    robot, films = write(tmp_path / "a", ALL), write(tmp_path / "b", (CAMERA,), 1, labeled=False)
    masked = robot.with_mask(make_mask(robot, 0.4, 0, "some"))
    merged = merge_corpora([masked, films], tmp_path / "out", common=True)
    data = b"".join(path.read_bytes() for path in merged.path.rglob("*.h5"))
    shown = {t.info.id for t in masked if t.actions is not None}
    for trajectory in robot:
        assert trajectory.actions is not None
        for row in trajectory.actions[trajectory.action_observed]:
            assert (row.tobytes() in data) == (trajectory.info.id in shown)


def test_inferred_actions_of_another_kind_stay_behind(tmp_path: Path) -> None:
    robot = write(tmp_path / "a", ALL)
    films = write(tmp_path / "b", (CAMERA,), 1, labeled=False, action=OTHER)
    for view, name in ((robot, "ours"), (films, "theirs")):
        size = view.manifest.action.size
        labels = [(t.info.id, np.zeros((len(t), size)), np.ones((len(t), size))) for t in view]
        write_overlay(view, labels, name=name, model="0" * 64, algorithm="lawm")
    merged = merge_corpora([films, robot], tmp_path / "out", common=True)
    assert merged.overlays == ("ours",)
    assert f"overlay theirs: that of {films.path} is of another action" in merged.left
    assert f"action of {films.path}: none was recorded there" in merged.left
    filled = open_corpus(merged.path).with_labels("ours")
    assert filled.manifest.action == ACTION
    assert filled.label_counts()["missing"] == 3


def test_bounds_that_differ_bind_nobody(tmp_path: Path) -> None:
    free = COUNT.model_copy(update={"low": None, "high": None})
    one, two = write(tmp_path / "a", (COUNT,)), write(tmp_path / "b", (free,), 1)
    merged = merge_corpora([one, two], tmp_path / "out", common=True)
    assert open_corpus(merged.path).manifest.observations == (free,)


def test_licences_that_differ_stay_with_their_sources(tmp_path: Path) -> None:
    mit, free = (
        write(tmp_path / name, (CAMERA,), i, licence=name) for i, name in enumerate(("MIT", "CC0"))
    )
    both = open_corpus(merge_corpora([mit, free], tmp_path / "both").path)
    assert both.manifest.licence is None
    assert [source.licence for source in both.manifest.provenance] == ["MIT", "CC0"]
    alone = open_corpus(filter_corpus(mit, "length > 0", tmp_path / "alone").path)
    assert alone.manifest.licence == "MIT"
    assert [source.licence for source in alone.manifest.provenance] == [None]


@pytest.mark.parametrize("common", [True, False])
def test_two_environments_are_never_one(tmp_path: Path, common: bool) -> None:
    """Also when a corpus that names none comes first."""
    films = write(tmp_path / "films", (CAMERA,), 2, labeled=False)
    walk = write(tmp_path / "walk", (CAMERA,), environment=WALKER)
    run = write(tmp_path / "run", (CAMERA,), 1, environment=EnvironmentInfo(task="walker-run"))
    with pytest.raises(CorpusError, match="environment is walker-run, not walker-walk") as refusal:
        merge_corpora([films, walk, run], tmp_path / "out", common=common)
    assert "--common" not in str(refusal.value)
    merged = merge_corpora([films, walk], tmp_path / "out", common=common)
    assert open_corpus(merged.path).manifest.environment == WALKER


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            {"specs": (POSITION,)},
            "shares no observation with the others .array camera: is .*position: is",
        ),
        ({"specs": (CAMERA,), "action": OTHER}, r"the action has shape \(1,\), not \(3,\)"),
        ({"specs": (CAMERA, PHYSICS), "only": (POSITION, PHYSICS)}, "shares no observation"),
    ],
)
def test_what_cannot_be_one_corpus_is_refused(
    tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    specs, only = other.pop("specs"), other.pop("only", (CAMERA,))
    views = [write(tmp_path / "a", only), write(tmp_path / "b", specs, 1, **other)]
    with pytest.raises(LawmError, match=words) as refusal:
        merge_corpora(views, tmp_path / "out", common=True)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_corpora_of_one_kind_merge_as_before(tmp_path: Path, random_corpus: Callable) -> None:
    views = [random_corpus("one"), random_corpus("two", seed=1)]
    plain = merge_corpora(views, tmp_path / "plain")
    shared = merge_corpora(views, tmp_path / "shared", common=True)
    assert (plain.fingerprint, shared.left) == (shared.fingerprint, ())


def test_pictures_that_look_different_are_not_one_array(tmp_path: Path) -> None:
    """Those without an entry are the suite's; films were drawn by nobody and go with any."""

    def drawn(name: str, by: str | None, environment: EnvironmentInfo | None = WALKER) -> Corpus:
        drawing = None if by is None else Drawing.parse({"by": by}, "by")
        camera = CAMERA.model_copy(update={"drawing": drawing})
        return write(tmp_path / name, (POSITION, camera), environment=environment)

    fast, slow, old = drawn("fast", "fast"), drawn("slow", "suite"), drawn("old", None)
    film = drawn("film", None, None)
    for common in (False, True):
        options = {"common": common, "dry_run": True}
        for views in ([slow, old], [fast, film], [film, fast], [film, old]):
            assert merge_corpora(views, tmp_path / "m", **options).left == ()
    with pytest.raises(CorpusError, match="old: camera has drawing suite, not fast; keep"):
        merge_corpora([fast, old], tmp_path / "m")
    for others in ([fast, slow], [film, fast, old]):
        left = merge_corpora(others, tmp_path / "m", common=True, dry_run=True).left
        assert left == (f"array camera: in {others[-1].path} it has drawing suite, not fast",)
    merged = merge_corpora([film, fast], tmp_path / "both", common=True)
    assert open_corpus(merged.path).manifest.observations[-1].drawing == Drawing(by="fast")
    with pytest.raises(ConfigError, match="drawn by fast"):
        Loader([(fast, 1.0), (slow, 1.0)], 8, 3)
