from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import pytest
from lawm_schemas import ArraySpec, LabelState, Role

from lawm_data import Corpus, Observations, make_mask, write_overlay
from lawm_data.corpus.table import LABEL_STATES

FIELDS = (
    ArraySpec(name="position", shape=(2,)),
    ArraySpec(name="keys", shape=(), dtype="int32"),
    ArraySpec(name="reward", shape=(1,), dtype="float64"),
    ArraySpec(name="camera", shape=(3, 3, 3), dtype="uint8", role=Role.pixels),
)
WHOLE = ArraySpec(name="action", shape=(2, 2), dtype="int64", role=Role.action)


@pytest.fixture
def seen(random_corpus: Callable) -> Corpus:
    """Trajectory 0 is missing, 1 partial, 2 observed, 3 withheld, 4 inferred, 5 unrewarded."""
    corpus = random_corpus(
        lengths=(4, 6, 5, 3, 4, 4),
        observations=FIELDS,
        action=WHOLE,
        unlabeled=(0,),
        partial=(1,),
        unrewarded=(5,),
    )
    mask = make_mask(corpus, 1 / 6, 0, "one")
    kept = tuple(corpus.table.id[[2, 5]].tolist())
    view = corpus.with_mask(mask.model_copy(update={"labeled": kept}))
    labels = [(str(corpus.table.id[4]), np.full((4, 4), 0.5), np.ones((4, 4)))]
    write_overlay(view, labels, name="idm", model="0" * 64, algorithm="test")
    return view.with_labels("idm")


def test_observations_are_a_mapping_of_fields(random_corpus: Callable) -> None:
    seen = random_corpus(observations=FIELDS)[0].observations
    assert isinstance(seen, Mapping)
    names = ["position", "keys", "reward", "camera"]
    assert list(seen) == [*seen.keys()] == names
    assert len(seen) == len(dict(seen)) == 4
    assert seen.position is seen["position"]
    assert "position" in dir(seen)
    assert seen.state.shape == (10, 4)
    assert np.array_equal(np.asarray(seen), seen.state)
    assert np.asarray(seen, np.float64).dtype == np.float64
    assert callable(seen.keys)  # the field of this name is reached by its name alone
    assert seen["keys"].dtype == np.int32
    assert "physics" not in seen
    assert 0 not in seen
    assert seen != random_corpus("other", observations=FIELDS)[0].observations
    for again in (copy.copy(seen), pickle.loads(pickle.dumps(seen))):
        assert list(again) == names
    with pytest.raises(KeyError, match="no field speed; fields: position, keys"):
        seen["speed"]
    with pytest.raises(AttributeError, match="no field 'speed'"):
        seen.speed  # noqa: B018
    for row in (0, slice(3)):
        with pytest.raises(TypeError, match=r"takes the name of a field; rows are in \.state"):
            seen[row]  # pyright: ignore
    assert repr(Observations(seen.state, {})) == "Observations()"


def test_each_step_has_its_label(seen: Corpus) -> None:
    states = [[LABEL_STATES[code].value for code in t.step_labels] for t in seen]
    assert states == [
        ["missing"] * 4,
        ["withheld"] * 6,
        ["observed"] * 5,
        ["withheld"] * 3,
        ["inferred"] * 4,
        ["observed"] * 4,
    ]


def test_a_partial_trajectory_lacks_what_was_not_recorded(random_corpus: Callable) -> None:
    trajectory = random_corpus(partial=(0,))[0]
    observed = np.array(LABEL_STATES)[trajectory.step_labels] == LabelState.observed
    assert observed.tolist() == trajectory.action_observed.tolist()
    frame = trajectory.to_pandas()
    assert frame["action[0]"].isna().tolist() == (~observed).tolist()
    assert frame["label"].tolist() == np.where(observed, "observed", "missing").tolist()


def test_a_frame_has_a_row_for_each_step(seen: Corpus) -> None:
    for trajectory in seen:
        frame = trajectory.to_pandas()
        assert len(frame) == len(trajectory)
        fields = trajectory.observations
        for i in range(2):
            assert frame[f"position[{i}]"].tolist() == fields["position"][:-1, i].tolist()
        assert frame["keys"].dtype == np.int32
        assert frame["observation.reward"].tolist() == fields["reward"][:-1, 0].tolist()
        assert not any(name.startswith("camera") for name in frame)
        assert frame["terminated"].tolist() == trajectory.terminated.tolist()
        assert frame["truncated"].tolist() == trajectory.truncated.tolist()
        assert frame["label"].cat.categories.tolist() == [s.value for s in LABEL_STATES]
        actions = frame[["action[0,0]", "action[0,1]", "action[1,0]", "action[1,1]"]]
        if trajectory.actions is None:
            assert actions.isna().all(axis=None)
        else:
            assert actions.to_numpy().tolist() == trajectory.actions.reshape(-1, 4).tolist()
        if trajectory.labels is LabelState.inferred:
            assert (frame["action_std[0,1]"] == 1).all()
        else:
            assert "action_std[0,1]" not in frame
            assert (actions.dtypes == "Int64").all()
        recorded = [] if not trajectory.is_rewarded else trajectory.rewards.tolist()
        assert frame["reward"].dropna().tolist() == recorded
        pd.testing.assert_frame_equal(
            trajectory.to_arrow().to_pandas()[["reward", "terminated"]],
            frame[["reward", "terminated"]].reset_index(drop=True),
        )


def test_the_table_of_a_view_as_a_frame(seen: Corpus) -> None:
    frame, table = seen.to_pandas(), seen.table
    assert frame.index.name == "place"
    assert frame["id"].tolist() == table.id.tolist()
    assert frame["labels"].tolist() == [t.labels.value for t in seen]
    assert frame["labels"].cat.categories.tolist() == [s.value for s in LABEL_STATES]
    assert frame["source"].cat.categories.tolist() == ["test"]
    assert frame["num_observed"].tolist() == table.num_observed.tolist()
    assert frame["episode_return"].isna().tolist() == [False] * 5 + [True]
    assert frame["seed"].isna().all()
    assert frame["seed"].dtype == "UInt64"
    assert frame["metadata"].dropna().to_dict() == {5: '{"rewards":"none"}'}
    assert seen.to_arrow().column_names == frame.columns.tolist()
    assert seen.to_arrow().column("episode_return").null_count == 1
    # what a frame chooses, a view shows
    best = frame["episode_return"] > 0
    assert seen[best.to_numpy()].table.id.tolist() == frame["id"][best].tolist()
    order = frame.sort_values("length").index
    assert seen[order.to_numpy()].table.length.tolist() == sorted(table.length.tolist())
    assert len(seen[:0].to_pandas()) == 0
