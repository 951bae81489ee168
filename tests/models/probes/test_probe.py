import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from lawm_schemas import ArraySpec, ConfigError, CorpusError, MaskError, Provenance, Role
from lawm_schemas.outputs import OUTPUTS

from lawm_data.corpus.corpus import open_corpus
from lawm_data.corpus.mask import make_mask
from lawm_data.corpus.overlay import write_overlay
from lawm_data.corpus.writing.writer import CorpusWriter
from lawm_data.curation.derive import derive
from lawm_data.envs.suites import make
from lawm_models.probes.columns import PROBES
from lawm_models.probes.evidence import AHEAD
from lawm_models.probes.page import web_page
from lawm_models.probes.probe import probe
from lawm_models.probes.result import Settings
from lawm_models.probes.simulator import Simulator
from lawm_models.probes.transitions import read
from lawm_models.training.trainer import train

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = ROOT / "lawm_data" / "shipped" / "cartpole-swingup"
FEW = Settings(steps=3, pairs=4)


@pytest.fixture(scope="module")
def runs(
    corpus_path: Path, experiment: Callable, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Tiny runs on the first four trajectories of the corpus, by their names."""
    folder = tmp_path_factory.mktemp("probed")
    part = folder / "part"
    derive([open_corpus(corpus_path).filter(np.arange(4))], part, "filter", {})
    made = {}
    asked = {"lam": ("lam", 0), "lam-1": ("lam", 1), "lawm": ("lawm", 0), "acwm": ("acwm", 0)}
    for name, (algorithm, seed) in {**asked, "bc": ("bc", 0)}.items():
        config = experiment(algorithm, corpora=[{"path": str(part)}], seed=seed)
        steps = {stage: 2 * (not place) for place, stage in enumerate(config.steps)}
        train(config.model_copy(update={"steps": steps}), folder / name)
        made[name] = folder / name
    long = experiment("lam").algorithm.settings
    long = {**long, "model": {**long["model"], "horizon": 2, "context": 2}}
    changes = {
        "algorithm": {"name": "lam", "settings": long},
        "steps": {"model": 2, "controller": 0},
    }
    train(experiment("lam", corpora=[{"path": str(part)}], **changes), folder / "long")
    return {**made, "long": folder / "long"}


def test_runs_and_anchors_have_all_columns_that_apply(
    corpus_path: Path, runs: dict[str, Path]
) -> None:
    given = [runs["lam"], runs["lam-1"], runs["lawm"]]
    found = probe(given, corpus_path, "half", settings=Settings(steps=30))
    printed = json.loads(json.dumps({**found.to_json(), "page": None}))
    read_back = OUTPUTS["lawm probe"].model_validate_json(json.dumps(printed), strict=True)
    assert read_back.model_dump(mode="json") == printed
    rows = {row["kind"] + row["name"] * (row["kind"] == "run"): row for row in printed["rows"]}
    anchors = {"state_only", "acwm", "acwm_all", "unconstrained", "idm"}
    assert set(rows) == {"runlam", "runlawm"} | anchors
    of_latents = {"error", "capacity", "leak", "cycle", "action_linear", "controller_state", "rare"}
    for name in ("runlam", "runlawm", "unconstrained"):
        assert of_latents <= set(rows[name]["figures"])
    assert rows["state_only"]["figures"]["capacity"]["mean"] == 0
    assert rows["unconstrained"]["figures"]["capacity"]["mean"] == pytest.approx(1)
    error = rows["runlam"]["figures"]["error"]
    assert error["mean"] == pytest.approx(np.mean(error["values"]))
    assert (error["std"], len(error["values"])) == (None, 2)
    assert rows["runlawm"]["figures"]["error"]["std"] is None
    # the one trajectory of recorded actions that no run has seen: nothing else can be judged
    assert printed["transitions"] == 40
    assert printed["trajectories"]["held_out"] == 2
    page = web_page(found)
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("http-equiv", "")


def test_a_run_of_acwm_stands_in_for_the_anchor(corpus_path: Path, runs: dict[str, Path]) -> None:
    found = probe([runs["long"]], corpus_path, "half", settings=FEW)
    assert found.horizon == 2
    # of 40 steps, those with two observations before and a second step behind
    assert found.transitions == 40 - 2 - 1
    given = probe([runs["lam"]], corpus_path, "half", anchors=[runs["acwm"]], settings=FEW)
    lines = {line.kind: line for line in given.lines}
    assert lines["acwm_all"].runs == (str(runs["acwm"]),)
    assert lines["acwm"].runs == ()


def test_an_anchor_of_all_labels_has_seen_all(
    corpus_path: Path, runs: dict[str, Path], experiment: Callable, tmp_path: Path
) -> None:
    """A copy lacks, without a mask, what a mask hides of the corpus; or some steps alone."""
    whole = open_corpus(corpus_path)
    part = [whole.with_mask("half").filter(np.arange(4))]
    derive(part, tmp_path / "few", "filter", {})
    with CorpusWriter.create(
        tmp_path / "partial", observations=whole.manifest.observations, action=whole.manifest.action
    ) as writer:
        for i in range(4):
            t = whole[i]
            writer.add(
                dict(t.observations.items()),
                t.rewards,
                t.actions,
                action_observed=np.arange(len(t)) > 0,
                trajectory_id=t.info.id,
                provenance=Provenance(source="test"),
            )
    for name in ("few", "partial"):
        config = experiment("acwm", corpora=[{"path": str(tmp_path / name)}], labeled_ratio=None)
        train(config, tmp_path / f"on-{name}")
    words = {"corpus": corpus_path, "settings": FEW}
    found = probe([runs["lam"]], mask="half", anchors=[tmp_path / "on-few"], **words)
    lines = {line.kind: line.runs for line in found.lines}
    assert (lines["acwm"], lines["acwm_all"]) == ((str(tmp_path / "on-few"),), ())
    for name, mask in (("few", None), ("partial", "half")):
        with pytest.raises(ConfigError, match=f"on-{name}: learned from other labels"):
            probe([runs["lam"]], mask=mask, anchors=[tmp_path / f"on-{name}"], **words)


def test_an_anchor_has_not_learned_from_inferred_actions(
    make_corpus: Callable, runs: dict[str, Path], experiment: Callable, tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    view = open_corpus(corpus).with_mask("half")
    labels = [
        (t.info.id, np.zeros((len(t), 2)), np.ones((len(t), 2))) for t in view if not t.is_labeled
    ]
    write_overlay(view, labels, name="ours", model="0" * 64, algorithm="lam")
    source = {"path": str(corpus), "mask": "half", "labels": "ours"}
    run = train(experiment("acwm", corpora=[source]), tmp_path / "run")
    with pytest.raises(ConfigError, match="learned from inferred actions: is no anchor"):
        probe([runs["lam"]], corpus, "half", anchors=[run.path], settings=FEW)


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        ({"runs": ["bc"]}, ConfigError, "has no latent actions"),
        ({"runs": ["acwm"]}, ConfigError, "has no latent actions.*--anchors"),
        ({"runs": ["lam", "long"]}, ConfigError, "actions lead over 2 steps.*one by one"),
        ({"runs": ["lam"], "anchors": ["lam"]}, ConfigError, "is no anchor"),
        ({"runs": ["lam"], "mask": "other"}, MaskError, "other"),
        ({"runs": ["lam"], "simulate": True}, CorpusError, "no states of the simulator"),
        ({"runs": []}, ConfigError, "no run"),
    ],
)
def test_what_cannot_be_judged(
    corpus_path: Path, runs: dict[str, Path], words: dict, error: type, message: str
) -> None:
    words = {"mask": "half", "anchors": [], **words}
    words |= {key: [runs[name] for name in words[key]] for key in ("runs", "anchors")}
    with pytest.raises(error, match=message):
        probe(words.pop("runs"), corpus_path, settings=FEW, **words)


def test_a_corpus_of_other_fields(runs: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match=r"not those of the run.*position, speed"):
        probe([runs["lam"]], SHIPPED, settings=FEW)


def test_a_mask_of_another_corpus(
    corpus_path: Path, runs: dict[str, Path], make_corpus: Callable, tmp_path: Path
) -> None:
    path = make_corpus(tmp_path / "other")
    shipped = open_corpus(SHIPPED)
    foreign = make_mask(shipped, 0.5, seed=0, name="foreign")
    (path / "masks" / "foreign.json").write_text(foreign.to_json())
    with pytest.raises(MaskError):
        probe([runs["lam"]], path, "foreign", settings=FEW)


def test_the_simulator_repeats_what_was_recorded() -> None:
    whole = open_corpus(SHIPPED)
    recorded = read(whole, np.array([0, 7]), (), 2, 1)
    some = recorded.transitions.take(torch.tensor([3, 100, 300]))
    places = torch.arange(3)
    itself = Simulator(whole, 2).transfer(recorded.places, some, places, 3)
    torch.testing.assert_close(itself.after, some.after, rtol=1e-4, atol=1e-4)


def test_the_simulator_takes_the_action_of_one_place_in_the_state_of_another() -> None:
    whole = open_corpus(SHIPPED)
    recorded = read(whole, np.array([0, 7]), (), 1, 1)
    some = recorded.transitions.take(torch.tensor([3, 300]))
    found = Simulator(whole, 1).transfer(recorded.places, some, torch.tensor([1, 0]), 2)
    assert found.place.tolist() == [1, 0]
    home, away = whole[0], whole[7]
    assert home.actions is not None
    assert away.physics is not None
    envs = make("cartpole-swingup", action_repeat=4)
    envs.reset([away.info.seed])
    envs.restore(0, away.physics[int(some.step[1])])
    reached = envs.state(envs.step(home.actions[3][None]).observations)
    np.testing.assert_array_equal(found.after[0], reached[0])


def test_recorded_actions_lead_to_every_goal() -> None:
    whole = open_corpus(SHIPPED)
    held = read(whole, np.array([0, 7]), (), 2, 1)
    goals = Simulator(whole, 2).goals(held, held.transitions, 3)
    assert goals is not None
    some = held.transitions.take(goals.place)
    ahead = torch.arange(0, 2 * AHEAD, 2)
    recorded = torch.stack([held.transitions.action[place + ahead] for place in goals.place])
    reached = goals.act_out(recorded)
    torch.testing.assert_close(reached, goals.wanted, rtol=1e-4, atol=1e-4)
    assert goals.distance(reached) < 0.01 < goals.distance(goals.without)
    assert some.trajectory.tolist() == [0, 0, 1]  # the last one as near to the end as can be
    last = len(held.observations[1]) - 1
    torch.testing.assert_close(goals.wanted[-1], held.observations[1][last])
    short = held.transitions.take(torch.tensor([len(held.transitions.step) - 1]))
    assert Simulator(whole, 2).goals(held, short, 3) is None


def test_hidden_actions_are_known_and_not_shown(corpus_path: Path) -> None:
    whole = open_corpus(corpus_path)
    view = whole.with_mask(make_mask(whole, 0.2, seed=3, name="one"))
    shown = set(view.table.id[view.table.num_observed > 0].tolist())
    found = read(whole, np.arange(len(whole)), shown, 1, 1).transitions
    assert found.known.sum() == whole.table.num_observed.sum()
    assert found.shown.sum() == view.table.num_observed.sum()
    assert (found.action.abs() <= 1).all()


def test_what_no_action_moves_is_read_whatever_a_run_observes(tmp_path: Path) -> None:
    fields = (
        ArraySpec(name="state", shape=(2,)),
        ArraySpec(name="film", shape=(1,), role=Role.exogenous),
    )
    action = ArraySpec(name="action", shape=(1,), role=Role.action)
    frames = np.array([[1], [2], [4], [7]], np.float32)
    with CorpusWriter.create(tmp_path / "c", observations=fields, action=action) as writer:
        seen = {"state": np.zeros((4, 2), np.float32), "film": frames}
        writer.add(seen, np.zeros(3), provenance=Provenance(source="test"))
    everything = open_corpus(tmp_path / "c")
    view = everything.observing("state")
    found = read(view, np.array([0]), (), 1, 1, everything).transitions
    assert found.exogenous.tolist() == [[1], [2], [3]]
    assert read(view, np.array([0]), (), 1, 1).transitions.exogenous.shape == (3, 0)


OWN = """
\"\"\"Twice the error.\"\"\"
from lawm_models.probes.columns import Column

PLACE = 0
COLUMNS = (Column("twice", "twice", "low", "0 exact", "2 x error", "what error does not"),)


def measure(row, evidence):
    error = evidence.one_step_error(row)
    return {} if error is None else {"twice": 2 * error}
"""


def test_a_probe_of_another_package_is_a_column(
    corpus_path: Path, runs: dict[str, Path], install: Callable
) -> None:
    install(
        "lab 1.0",
        {"lab/__init__.py": "", "lab/twice.py": OWN},
        {"lawm.probes": {"twice": "lab.twice"}},
    )
    line = probe([runs["lam"]], corpus_path, "half", settings=FEW).lines[0]
    assert line.values["twice"] == [2 * line.values["error"][0]]


def test_the_documentation_defines_every_column() -> None:
    text = (ROOT / "docs" / "wild.md").read_text(encoding="utf-8")
    for name in PROBES.names():
        for column in PROBES.load(name).COLUMNS:
            cells = (f"`{column.name}`", column.definition, column.range, column.silent)
            assert f"| {' | '.join(cells)} |" in text
