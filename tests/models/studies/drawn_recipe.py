"""A recipe that takes a corpus of the package, draws it and encodes it."""

TINY = {
    "steps.encoder": 2,
    "batch_size": 2,
    "algorithm.settings.latent": 3,
    "algorithm.settings.units": 4,
    "algorithm.settings.encoder.depth": 2,
}


def recipe(film: str, **features: object) -> dict:
    return {
        "steps": [
            {"make": "all", "shipped": {"corpus": "cartpole-swingup"}},
            {"make": "states", "filter": {"corpus": "all", "where": "return > 873.5"}},
            {
                "make": "drawn",
                "rerender": {
                    "corpus": "states",
                    "size": 16,
                    "distractors": [f"video:{film}", "agents"],
                    "seed": 3,
                },
            },
            {"make": "drawn@ae", "features": {"settings": TINY, **features}},
        ]
    }
