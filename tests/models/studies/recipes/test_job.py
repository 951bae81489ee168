"""The jobs of a recipe are its steps, once for every seed."""

from lawm_models.studies.recipes import jobs

RECIPE = {
    "seeds": [0, 1],
    "steps": [
        {"make": "c-{seed}", "collect": {"env": "cartpole-swingup", "trajectories": 6}},
        {"make": "all", "merge": {"corpora": ["c-{seed}"]}},
        {"make": "all@half", "mask": {"fraction": 0.5}},
    ],
}


def test_every_seed_has_its_job_and_names_are_filled_in() -> None:
    found = jobs(RECIPE, "r.yaml")
    assert [job.name for job in found] == ["c-0", "c-1", "all", "all@half"]
    assert [job.corpus for job in found] == ["c-0", "c-1", "all", "all"]
    assert [job.plain().get("seed") for job in found[:2]] == [0, 1]
    assert [job.together for job in found] == ["c", "c", None, None]
    assert found[2].inputs == ("c-0", "c-1")
    assert not any("{seed}" in str(job.plain()) for job in found)
