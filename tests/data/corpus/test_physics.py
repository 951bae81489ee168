"""What is said of a corpus without states of the simulator is true of where it is from."""

from collections.abc import Callable
from pathlib import Path

import pytest
from lawm_schemas import CorpusError, EnvironmentInfo, LineageStep, Provenance

from lawm_data import CorpusWriter, RecordTrajectories, filter_corpus, open_corpus
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.physics import physics_hint
from lawm_data.envs import suites as envs
from lawm_data.envs.policy import RandomPolicy
from lawm_data.inspection.render import frames
from lawm_data.recording.collect import collect


def collected(path: Path, task: str, origin: str = "rollout") -> Corpus:
    environments = envs.make(task, action_repeat=20, physics=False)
    with CorpusWriter.create(
        path,
        observations=environments.observations,
        action=environments.action,
        environment=environments.info,
    ) as writer:
        source = Provenance(source="random", origin=origin)
        collect(environments, RandomPolicy(environments.action), writer, 2, 0, source)
    return open_corpus(path)


def test_what_can_be_collected_again_is(tmp_path: Path) -> None:
    pytest.importorskip("dm_control")
    corpus = collected(tmp_path / "corpus", "cartpole-swingup")
    for view in (corpus, filter_corpus(corpus, "length > 0", tmp_path / "some").path):
        view = view if isinstance(view, Corpus) else open_corpus(view)
        with pytest.raises(CorpusError, match="recorded; collect it again, without --no-physics"):
            frames(view, 0)
    assert physics_hint(corpus, "begin in") == "collect it again, without --no-physics"
    foreign = collected(tmp_path / "foreign", "cartpole-swingup", "import")
    with pytest.raises(CorpusError, match="recorded; import it with its pictures"):
        frames(foreign, 0)
    told = physics_hint(foreign, "begin in")
    assert told == "it was imported without them, and there is nothing to begin in"


def test_gymnasium_keeps_no_state(tmp_path: Path) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    corpus = collected(tmp_path / "corpus", "gym:Pendulum-v1")
    why = "environments of Gymnasium keep no such state"
    with pytest.raises(CorpusError, match=f"recorded; {why}; collect it with --pixels"):
        frames(corpus, 0)
    assert physics_hint(corpus, "begin in") == f"{why}, and there is nothing to begin in"
    env = RecordTrajectories(gymnasium.make("Pendulum-v1"), tmp_path / "recorded")
    env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    recorded = open_corpus(tmp_path / "recorded")
    why = "it was recorded by a wrapper without them, and there is nothing to draw from"
    with pytest.raises(CorpusError, match=f"recorded; {why}"):
        frames(recorded, 0)


@pytest.mark.parametrize("operation", ["record", "import", None])
def test_nothing_else_is_promised(
    random_corpus: Callable, tmp_path: Path, operation: str | None
) -> None:
    """Whatever environment it says it is of, and however it is drawn."""
    given = random_corpus("given")
    path = tmp_path / "corpus"
    environment = EnvironmentInfo(suite="dm_control" if operation else "mine", task="walker-walk")
    with CorpusWriter.create(
        path,
        observations=given.manifest.observations,
        action=given.manifest.action,
        environment=environment,
        lineage=(LineageStep(operation=operation),) if operation else (),
    ) as writer:
        for each in given:
            writer.add(
                dict(each.observations), each.rewards, None, provenance=Provenance(source="s")
            )
    corpus = open_corpus(path)
    assert "nothing to draw from" in physics_hint(corpus, "draw from")
    assert "collect" not in physics_hint(corpus, "draw from")
    assert "nothing to draw from" in physics_hint(corpus, "draw from", "collect it")
