"""Recipes are checked as a whole, before anything is made."""

import re
from pathlib import Path

import pytest
from lawm_schemas import ConfigError
from lawm_schemas.plain_yaml import dump_yaml

from lawm_data.curation.tier import band_of
from lawm_models.studies.plan import read_study
from lawm_models.studies.recipes import jobs, read_jobs

COLLECT = {"env": "cartpole-swingup", "trajectories": 6}
LEARN = {**COLLECT, "agent": "dreamer"}
A = {"make": "a", "collect": COLLECT}
D = {"make": "d", "collect": LEARN}


def collect(**settings: object) -> dict:
    return {"make": "b", "collect": {**COLLECT, **settings}}


def tier(**settings: object) -> dict:
    wanted = {"corpora": ["a"], "tier": "medium", "trajectories": 4}
    return {"make": "t", "tier": {**wanted, **settings}}


def lines(data: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        jobs(data, "r.yaml")
    assert all("\n" not in line for line in caught.value.lines)
    return caught.value.lines


MISTAKES = [
    ([], "steps: "),
    (
        [{"make": "a"}],
        "one of collect, shipped, rerender, tier, merge, filter, mask, features must be given",
    ),
    ([{"make": "../a", "collect": COLLECT}], "'../a' cannot be the name of a step: use letters"),
    ([{"make": "a@m", "collect": COLLECT}], "is the name of a mask or features step"),
    ([A, A], "step 2 (a): 'a' is made twice"),
    ([{"make": "a", "merge": {"corpora": ["b"]}}], "'b' is not made by an earlier step"),
    ([{"make": "a-{sed}", "collect": COLLECT}], "cannot fill in 'a-{sed}'"),
    ([collect(agent="x-{seed}.agent")], "cannot fill in"),
    ([collect(speed=3)], "collect.speed: "),
    ([collect(env="cartpole-swngup")], "cartpole-swngup: unknown environment; nearest names: cart"),
    ([collect(agent="runs/x")], "collect.agent: no agent 'runs/x'; give random, dreamer"),
    ([collect(agent="b.agent")], "'b' is not made by an earlier step"),
    ([D, collect(agent="d.agentx")], "no agent 'd.agentx'"),
    ([D, collect(agent="d.agent@snapshot")], "no agent 'd.agent@snapshot'"),
    ([D, collect(agent="d.agent@snapshots:expret")], "no tier 'expret'; give expert, medium"),
    ([D, collect(agent="d.agent@snapshots:9:3")], "rounds 9:3 are the wrong way round"),
    ([D, collect(agent="d.agent", env="walker-walk")], "learned in cartpole-swingup"),
    ([A, collect(agent="a.agent")], "'a' is collected by random, which keeps no agent"),
    ([collect(agent="dreamer", noise=True)], "collect.noise: does not go with agent dreamer"),
    ([collect(agent="random", noise=False)], "collect.noise: does not go with agent random"),
    ([{"make": "a-{seed}", "collect": {**COLLECT, "seed": 3}}], "collect.seed: the name of"),
    ([A, tier(tier="expret")], "tier.tier: Input should be 'expert', 'medium'"),
    ([A, tier(returns="700:300")], "tier.returns: --returns '700:300': LOW is above HIGH"),
    ([A, tier(corpora=["a", "a"])], "tier.corpora: 'a' stands twice"),
    ([A, collect(), tier(corpora=["a", "b"], trajectories=1)], "1 of 2 corpora"),
    (
        [{"make": "a", "collect": {**COLLECT, "env": "pendulum-swingup"}}, tier()],
        "has no preset returns for medium; give returns: LOW:HIGH",
    ),
    (
        [A, collect(env="cartpole-balance"), tier(corpora=["a", "b"])],
        "'b' holds cartpole-balance with action repeat 2; 'a' cartpole-swingup",
    ),
    (
        [A, collect(physics=False), {"make": "m", "merge": {"corpora": ["a", "b"]}}],
        "'b' holds cartpole-swingup with action repeat 2, no physics",
    ),
    (
        [A, {"make": "f", "filter": {"corpus": "a", "where": "reurn > 3"}}],
        "step 2 (f): filter.where: expression, column 1: no such name 'reurn'",
    ),
    ([A, {"make": f"a@{'m' * 101}", "mask": {"fraction": 0.5}}], "cannot be the name of a mask"),
    ([A, {"make": "a/shards", "collect": COLLECT}], "'a/shards' would lie inside the corpus 'a'"),
    ([{"make": "a/b", "collect": COLLECT}, A], "'a/b' would lie inside the corpus 'a'"),
    ([A, {"make": "a.agent", "collect": COLLECT}], "does not end in .agent"),
    ([{"make": "x.parts/a", "collect": COLLECT}], "does not end in .parts"),
]


@pytest.mark.parametrize(("steps", "words"), MISTAKES)
def test_recipes_that_make_no_sense_are_refused(steps: list, words: str) -> None:
    (line,) = lines({"steps": steps})
    assert line.startswith("r.yaml")
    assert words in line


@pytest.mark.parametrize("data", [None, [], {}, {"steps": 3}, {"steps": {}}, {"steps": [3]}])
def test_what_is_no_recipe_is_refused(data: object) -> None:
    assert len(lines(data)) == 1


def test_mistakes_of_all_steps_are_told_at_once() -> None:
    """Those of steps that cannot even be read too, and nothing is said of those who use them."""
    steps = [entry for group, _ in MISTAKES[3:] for entry in group]
    steps = [{**entry, "make": f"s{i}-{{seed}}"} for i, entry in enumerate(steps)]
    bad = [
        {"make": "x-{seed}", "collect": {**COLLECT, "trajectories": 0}},
        {"make": "y", "merge": {"corpora": ["x-{seed}"]}},
        {"make": "z", "collect": {**COLLECT, "env": "nothing"}},
        {"make": "all", "merge": {"corpora": ["y", "z"]}},
    ]
    found = lines({"seeds": [0, 1], "sed": 1, "steps": bad})
    assert [line.partition(": ")[0] for line in found] == [
        "r.yaml",
        "r.yaml, step 1 (x-{seed})",
        "r.yaml, step 3 (z)",
    ]
    assert len(lines({"seeds": [0, 1], "steps": steps})) > 20


def test_seeds_that_stand_twice_are_refused() -> None:
    for data in ({"seeds": [1, 1], "steps": [A]}, {"steps": [{**A, "seeds": [2, 2]}]}):
        (line,) = lines(data)
        assert "seeds: a seed stands twice" in line


def test_mistakes_are_told_before_anything_is_made(run, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(dump_yaml({"steps": [A, tier(tier="expret"), collect(env="nothing")]}))
    for more in ((), ("--dry-run",)):
        result = run("lawm-data", "build", path, "--out", tmp_path / "out", *more)
        assert (result.code, result.out, result.err.count("\n")) == (2, "", 2)
        assert result.err.count(f"lawm-data: {path}, step ") == 2
        assert not (tmp_path / "out").exists()
    path.write_text("steps:\n  - make: a\n    make: b\n    collect: {env: cartpole-swingup}\n")
    result = run("lawm-data", "build", path, "--out", tmp_path / "out")
    assert f'{path}, line 3: found duplicate key "make"' in result.err


def test_a_recipe_of_the_package_is_not_hidden_by_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    assert len(read_jobs("paper")) == 39


@pytest.mark.parametrize("name", ["claim", "explorers", "paper", "two-cores", "unseen"])
def test_shipped_recipes_make_what_they_promise(name: str) -> None:
    made = {job.name: job for job in read_jobs(name)}
    environments = {"walker-walk", "cheetah-run"}
    environments |= {"hopper-stand"} if name == "paper" else {"cartpole-swingup"}
    tiers = [job for job in made.values() if job.operation == "tier"]
    for job in tiers:
        env = next(env for env in environments if job.name.startswith(env))
        assert job.settings.trajectories == 2000
        assert band_of(env, job.settings.tier)
        assert job.name == f"{env}-{job.settings.tier}"
        assert len(job.inputs) == (5 if name == "paper" else 2)
    if name == "paper":
        wanted = {"walker-walk/dreamer-0": 1500, "hopper-stand/dreamer-4": 3000}
        wanted |= {f"{env}-plan2explore": 2005 for env in environments}
        assert {one: made[one].settings.trajectories for one in wanted} == wanted
    studies = [other for other in made if re.fullmatch(r"[a-z]+-[a-z]+-[a-z0-9-]+", other)]
    promised = {"claim": 3, "explorers": 1, "paper": 12, "two-cores": 6, "unseen": 2}
    assert len(studies) == promised[name]
    assert {f"{study}@5pct" for study in studies} <= set(made)


@pytest.mark.parametrize("study", ["constraints", "relatives"])
def test_studies_are_judged_on_more_than_is_learned_from(study: str) -> None:
    for entry in read_study(study).corpora.values():
        made = {job.name: job for job in read_jobs(Path(entry.path).parent.name)}
        path, whole = (made[Path(at).name] for at in (entry.path, entry.whole or ""))
        others = [job for job in made.values() if job.name not in (path.name, whole.name)]
        assert [Path(at).name for at in whole.inputs] == [path.name, *(job.name for job in others)]
        seeds = [job.settings.seed for job in (path, *others)]
        assert len(set(seeds)) == len(seeds)


def test_features_of_a_study_are_those_of_the_whole_corpus() -> None:
    """Of one encoder, which a part takes along."""
    study, made = read_study("relatives-features"), read_jobs("relatives-features")
    jobs = {job.name: job for job in made}
    kind, _, name = study.settings["observe"].partition(":")
    assert kind == "features"
    for entry in study.corpora.values():
        path, whole = Path(entry.path).name, Path(entry.whole or "").name
        assert jobs[path].inputs == (whole,)
        before = [job.name for job in made[: made.index(jobs[path])]]
        assert f"{whole}@{name}" in before


def test_unknown_recipes_are_named(run, tmp_path: Path) -> None:
    result = run("lawm-data", "build", "nothing", "--out", tmp_path / "out")
    assert result.code == 2
    known = "claim, constraints, demo, expert, explorers, few-labels, paper, pixels, "
    known += "relatives, relatives-features, two-cores, unseen"
    assert f"no recipe 'nothing'; known ones: {known}; or give a YAML file\n" in result.err
    listed = run("lawm-data", "build", "--help").out.partition("Recipes:")[2].partition("\n\n")[0]
    assert re.findall(r"^  (\S+)", listed, re.M) == known.split(", ")
