"""A step of a recipe has a name that is a folder, and one thing to do."""

import pytest
from documents import require_refused, require_round_trip
from lawm_schemas import Recipe
from lawm_schemas.recipe import BESIDE, OPERATIONS, Step

SETTINGS = {
    "collect": {"env": "walker-walk", "trajectories": 3},
    "tier": {"corpora": ["a"], "tier": "expert", "trajectories": 2},
    "merge": {"corpora": ["a", "b"]},
    "filter": {"corpus": "a", "where": "length > 3"},
    "mask": {"fraction": 0.5},
    "shipped": {"corpus": "cartpole-swingup"},
    "rerender": {"corpus": "a", "size": 64, "distractors": ["agents"]},
    "features": {"settings": {"steps.encoder": 3}},
}
COLLECT = {"make": "walker/{seed}", "collect": SETTINGS["collect"]}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_step_does_one_thing(operation: str) -> None:
    name = "a@half" if operation in BESIDE else "a"
    step = require_round_trip(Step, {"make": name, operation: SETTINGS[operation]})
    assert step.operation == operation
    assert step.settings is getattr(step, operation)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"collect": None}, f"one of {', '.join(OPERATIONS)} must be given, none is"),
        ({"merge": SETTINGS["merge"]}, "must be given, 2 of them are"),
        (
            {"make": "walker@half"},
            "CORPUS@NAME is the name of a mask or features step, and of no other",
        ),
        ({"make": "../walker"}, "cannot be the name of a step: use letters"),
        ({"make": "/walker"}, "cannot be the name"),
        ({"make": ""}, "cannot be the name"),
        ({"seeds": [1, 2, 1]}, "a seed stands twice"),
        ({"seeds": []}, "seeds"),
        ({"collect": {**SETTINGS["collect"], "trajectories": 0}}, r"collect\.trajectories"),
    ],
)
def test_bad_steps_are_refused(change: dict, words: str) -> None:
    require_refused(Step, COLLECT, change, words)


@pytest.mark.parametrize(
    ("change", "words"), [({"steps": []}, "steps"), ({"seeds": [0, 0]}, "a seed stands twice")]
)
def test_bad_recipes_are_refused(change: dict, words: str) -> None:
    require_refused(Recipe, {"steps": [COLLECT]}, change, words)
