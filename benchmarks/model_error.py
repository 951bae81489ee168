"""Where a world model is wrong: on its data, and where the policy that was trained in it goes.

One step is predicted from the state that a run's model has filtered so far, with the true action:
in trajectories whose actions the run could not see, and in episodes of its own policy. Errors are
squared, over the variance of the data's observations (as the model sees them), by time in the
episode; the bias of rewards is predicted minus paid. Also told: the error of inferred actions over
their variance; the returns of the policy, of actions drawn from p(u|s) and p(a|s,u), of the action
at the mean of p(u|s), and of the data; and rewards after that action has been taken for 100 steps
and the policy takes over, beside those that the model expects then. For runs of clap, lawm and
lawm_plus.

    python benchmarks/model_error.py \
        runs/plus/runs/*/{clap,lawm,lawm_plus-free,lawm_plus}-5pct-seed0 \
        --out benchmarks/results/model_error.json
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lawm_data import Corpus, open_corpus
from lawm_data.batches.batch import Batch
from lawm_data.envs.rollout import rollout
from lawm_models.algorithms.lawm import Algorithm
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.policies import FilteringPolicy, noisy
from lawm_models.training import seeding
from lawm_models.training.evaluate import Evaluator
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.versions import installed_versions

TIMES = (0, 4, 16, 64)
"""Steps at which the ranges of time begin."""
HAND_OVER = 100
"""Step at which the policy takes over."""
LATER = (0, 5, 25, 75, 150, 250)
"""Steps after that at which the ranges of time begin, and the end of the last."""
EPISODES = 10


class Episodes(NamedTuple):
    """Whole episodes of one length."""

    observation: Tensor
    """(N, T+1, O) float32."""
    action: Tensor
    """(N, T, A) float32, in environment units."""
    reward: Tensor
    """(N, T) float32."""


class Errors(NamedTuple):
    """One-step errors by time."""

    squared: Tensor
    """(T,) mean over episodes and dimensions, over the data's variance."""
    reward_bias: Tensor
    """(T,) mean over episodes."""


def measure(path: Path, trajectories: int) -> dict[str, Any]:
    """Everything about one run."""
    run = RunFolder.open(path)
    trained, _ = run.trained()
    assert isinstance(trained, Algorithm), f"{path}: runs of clap, lawm and lawm_plus only"
    held_out = unseen(run, trajectories)
    evaluator = Evaluator(run.record, EPISODES)
    policy, prior = trained.policy(), prior_sample(trained)
    own = play(evaluator, policy, run)
    variance = (
        trained.model.world.encoder.target(Observation(held_out.observation)).flatten(0, 1).var(0)
    )
    return {
        "run": str(path),
        "algorithm": run.config.algorithm.name,
        "labeled": run.record.corpora[0].labeled,
        "returns": {
            "policy": mean_return(own),
            "prior": mean_return(play(evaluator, prior, run)),
            "prior_mean": mean_return(play(evaluator, prior_mean(trained), run)),
            "data": mean_return(held_out),
        },
        "inferred_actions": inferred_error(trained, held_out),
        "on_data": mean_by_time(one_step(trained, held_out, variance)),
        "on_policy": mean_by_time(one_step(trained, own, variance)),
        "handed_over": handed_over(evaluator, trained, run),
    }


def unseen(run: RunFolder, count: int) -> Episodes:
    """Trajectories that were there without their actions; with them, to judge."""
    source = run.config.corpora[0]
    whole = open_corpus(source.path)
    mask = whole.with_mask(source.mask).mask if source.mask else None
    seen = set(mask.labeled) if mask else set()
    ids = [name for name in whole.table.id.tolist() if name not in seen]
    chosen = np.random.default_rng(0).choice(len(ids), min(count, len(ids)), replace=False)
    return read(whole.filter([ids[i] for i in chosen]))


def read(corpus: Corpus) -> Episodes:
    """All trajectories of a corpus, which are equally long."""
    return stacked([(t.observations.state, t.actions, t.rewards) for t in corpus])


def play(evaluator: Evaluator, policy: Any, run: RunFolder) -> Episodes:
    """Episodes of a policy."""
    each = []
    for tape in rollout(evaluator.environments, policy, range(EPISODES), noise_seed=0):
        rows = len(tape["rewards"]) + 1
        fields = [tape["observations"][s.name].reshape(rows, -1) for s in run.record.state]
        each.append((np.concatenate(fields, 1), tape["actions"], tape["rewards"]))
    return stacked(each)


def stacked(each: list[tuple[Any, Any, Any]]) -> Episodes:
    """Observations, actions and rewards of episodes that are equally long."""
    parts = zip(*each, strict=True)
    return Episodes(*(torch.from_numpy(np.stack(part)).float() for part in parts))


def prior_sample(trained: Algorithm) -> FilteringPolicy:
    """Acts as the data, as far as p(u|s) and p(a|s,u) know: without any policy."""
    model = trained.model

    def draw(feature: Tensor, noise: Tensor) -> Tensor:
        return model.decoder(feature, model.prior(feature).sample(noise))

    dim = trained.config.model.latent_action.dim
    return FilteringPolicy(model.world, trained.scale, noisy(draw, dim))


def prior_mean(trained: Algorithm) -> FilteringPolicy:
    """Acts at the mean of p(u|s)."""
    model = trained.model

    def choose(state: State, generator: torch.Generator) -> Tensor:
        return model.decoder(state.feature, model.prior(state.feature).mean)

    return FilteringPolicy(model.world, trained.scale, choose)


class HandOver(FilteringPolicy):
    """The mean of p(u|s) acts, then the policy; keeps what the model expects of the policy."""

    def __init__(self, trained: Algorithm) -> None:
        self.first, self.then = prior_mean(trained)._choose, trained.policy()._choose
        self.world = trained.model.world
        super().__init__(trained.model.world, trained.scale, self.choose)

    def start(self, num_envs: int, seed: int) -> None:
        """See ``VectorPolicy.start``."""
        self.acted, self.expected = 0, torch.empty(0)
        super().start(num_envs, seed)

    def choose(self, state: State, generator: torch.Generator) -> Tensor:
        """The action of one of them."""
        if self.acted == HAND_OVER:
            self.expected = self.dream(state, generator)
        self.acted += 1
        chooser = self.then if self.acted > HAND_OVER else self.first
        return chooser(state, generator)

    def dream(self, state: State, generator: torch.Generator) -> Tensor:
        """Mean rewards of the policy by step, as the model expects them."""
        rewards = []
        for _ in range(LATER[-1]):
            noise = torch.randn(state.stoch.shape, generator=generator)
            state = self.world.rssm.imagine(state, self.then(state, generator), noise)
            rewards.append(self.world.reward(state.feature).mean())
        return torch.stack(rewards)


def handed_over(evaluator: Evaluator, trained: Algorithm, run: RunFolder) -> dict[str, Any]:
    """Mean rewards by time since the policy took over, paid and expected."""
    policy = HandOver(trained)
    paid = play(evaluator, policy, run).reward.mean(0)[HAND_OVER:]
    return {
        f"{begin}-{end - 1}": {
            "paid": round(paid[begin:end].mean().item(), 3),
            "expected": round(policy.expected[begin:end].mean().item(), 3),
        }
        for begin, end in pairwise(LATER)
    }


def one_step(trained: Algorithm, episodes: Episodes, variance: Tensor) -> Errors:
    """Filter with true actions and predict every next observation and reward."""
    world = trained.model.world
    action = trained.scale.to_model(episodes.action)
    seen = Observation(episodes.observation)
    target = world.encoder.target(seen)
    known = world.rssm.project(world.encoder(seen))
    deter = world.rssm.initial(len(action), action).deter
    squared, bias = [], []
    for t in range(action.shape[1]):
        state = State(deter, world.rssm.posterior(deter, known[:, t]).mean)
        deter = world.rssm.transition(state, action[:, t])
        feature = State(deter, world.rssm.prior(deter).mean).feature
        error = (world.observation_head(feature) - target[:, t + 1]).square()
        squared.append((error / variance).mean())
        bias.append((world.reward(feature) - episodes.reward[:, t]).mean())
    return Errors(torch.stack(squared), torch.stack(bias))


def inferred_error(trained: Algorithm, episodes: Episodes) -> float | None:
    """Squared error of inferred actions over their variance; none where none are inferred."""
    found = trained.infer_actions(unlabeled(episodes))
    if found is None:
        return None
    error = (found[0] - episodes.action).square().mean((0, 1)) / episodes.action.var((0, 1))
    return error.mean().item()


def unlabeled(episodes: Episodes) -> Batch:
    """Whole trajectories as windows without labels."""
    size, steps = episodes.reward.shape
    none = torch.zeros(size, steps, dtype=torch.bool)
    return Batch(
        observation=episodes.observation,
        action=torch.zeros_like(episodes.action),
        action_mask=none,
        reward=episodes.reward,
        rewarded=~none[:, 0],
        terminated=none,
        valid=~none,
        unseen=torch.zeros_like(~none),
        labeled=none[:, 0],
        trajectory=torch.arange(size),
        start=torch.zeros(size, dtype=torch.int64),
        pixels={},
    )


def mean_by_time(errors: Errors) -> dict[str, Any]:
    """Means over the ranges of time."""
    ends = [*TIMES[1:], len(errors.squared)]
    return {
        f"{begin}-{end - 1}": {
            "error": round(errors.squared[begin:end].mean().item(), 4),
            "reward_bias": round(errors.reward_bias[begin:end].mean().item(), 4),
        }
        for begin, end in zip(TIMES, ends, strict=True)
    }


def mean_return(episodes: Episodes) -> float:
    """Mean over episodes."""
    return round(episodes.reward.sum(1).mean().item(), 1)


def main() -> None:
    """Measure every run and print; write JSON with ``--out``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--trajectories", type=int, default=40, help="of the data")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with seeding.thread_limit(1), torch.no_grad():
        runs = [measure(path, arguments.trajectories) for path in arguments.runs]
    command = "python " + " ".join(sys.argv)
    text = json.dumps(
        {"command": command, "versions": installed_versions(), "runs": runs}, indent=2
    )
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
