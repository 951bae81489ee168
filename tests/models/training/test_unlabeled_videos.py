"""Videos that nobody recorded actions and rewards for, beside pictures that have both."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import Provenance

from lawm_data import CorpusWriter, Loader, merge_corpora, open_corpus
from lawm_data.exchange import import_corpus
from lawm_data.system.video import write_video
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.trainer import train


@pytest.fixture
def films(drawn: Path, tmp_path: Path) -> Path:
    """A folder with a video of what dm_control drew, larger than the corpus has it."""
    images = open_corpus(drawn)[0].observations["pixels"]
    (tmp_path / "films").mkdir()
    larger = np.concatenate([images, images[::-1]]).repeat(4, 1).repeat(4, 2)
    write_video(tmp_path / "films/swing.mp4", list(larger), 15)
    return tmp_path / "films"


@pytest.fixture
def learn_lawm(experiment: Callable, tmp_path: Path) -> Callable[..., RunFolder]:
    """Trains LAWM on pixels of several corpora: ``learn_lawm("out", [{"path": …}])``."""

    def call(out: str, corpora: list[dict[str, str]], observe: str = "pixels") -> RunFolder:
        settings = {"steps": {"model": 3, "agent": 2}, "window": 5, "evaluation_episodes": 0}
        return train(
            experiment("lawm", corpora=corpora, observe=observe, **settings), tmp_path / out
        )

    return call


def test_videos_train_a_model_beside_a_labeled_corpus(
    drawn: Path, films: Path, learn_lawm: Callable, tmp_path: Path
) -> None:
    """Two corpora or one merged one; through the convolutions or from features."""
    videos = tmp_path / "videos"
    import_corpus(
        f"video:{films}",
        videos,
        {"like": str(drawn), "clip": 0.4, "crops": 2, "crop_size": 32},
    )
    assert len(open_corpus(videos)) == 8
    both = learn_lawm("of both", [{"path": str(drawn), "mask": "half"}, {"path": str(videos)}])
    assert [corpus.labeled for corpus in both.record.corpora] == [3, 0]
    merge_corpora([open_corpus(drawn), open_corpus(videos)], tmp_path / "merged", common=True)
    merged = learn_lawm("of merged", [{"path": str(tmp_path / "merged"), "mask": "half"}])
    assert (merged.record.corpora[0].trajectories, merged.record.corpora[0].labeled) == (14, 3)
    assert both.is_finished()
    assert merged.is_finished()


def test_rewards_that_were_not_recorded_teach_nothing(
    drawn: Path, learn_lawm: Callable, tmp_path: Path
) -> None:
    """Whatever stands in their place: no weight changes."""
    whole = open_corpus(drawn)
    pixels = [spec for spec in whole.manifest.observations if spec.name == "pixels"]
    weights, rewards = [], []
    for name, scale in (("zeros", 0.0), ("garbage", 1e6)):
        path = tmp_path / name
        with CorpusWriter.create(path, observations=pixels, action=whole.manifest.action) as writer:
            for number, trajectory in enumerate(whole):
                writer.add(
                    {"pixels": trajectory.observations["pixels"]},
                    scale * np.random.default_rng(number).normal(size=len(trajectory)),
                    provenance=Provenance(source="video"),
                    trajectory_id=f"video-{number}",
                    metadata={"rewards": "none"},
                )
        run = learn_lawm(f"of {name}", [{"path": str(drawn), "mask": "half"}, {"path": str(path)}])
        weights.append(run.algorithm().state_dict())
        rewards.append(Loader(open_corpus(path), 4, 5).next().reward)
    assert not torch.equal(*rewards)
    one, other = weights
    assert all(torch.equal(one[name], other[name]) for name in one)
