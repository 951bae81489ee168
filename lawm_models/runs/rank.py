"""Which policy is best, as far as world models can tell: without an environment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lawm_schemas import ConfigError
from torch import Tensor

from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.mask import ranks
from lawm_data.exchange.hub.cache import located
from lawm_data.system.progress import Progress, silent
from lawm_data.system.terminal import line
from lawm_models.algorithms import lawm
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.networks.dynamics import State
from lawm_models.networks.encoders import vectors
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.world_model import standard_noise
from lawm_models.runs.relabel import require_readable
from lawm_models.runs.run import folder_of
from lawm_models.training import seeding
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.versions import installed_versions


def rank(
    runs: Sequence[Path | str],
    models: Sequence[Path | str] = (),
    corpus: Corpus | Path | str | None = None,
    *,
    starts: int = 50,
    steps: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Let policies act in world models and order them by what they return there.

    Off-policy evaluation by models: a world model takes the place of the environment. It begins
    with the first observation of a recorded trajectory, draws from p(z'|h') and shows the mean of
    p(o'|s'); rewards are means of p(r|s'), and count as much as it is likely that nothing ended
    before. A policy acts without noise on what it is shown.

    A policy exploits what is wrong in the world model that it was trained in, so that one has no
    say on it, unless there is no other.

    Args:
        runs: run folders, of algorithms that learn a policy.
        models: run folders of ``clap``, ``lawm`` or ``lawm_plus``; none for those among ``runs``.
        corpus: where trajectories begin; None for the first that the first model was trained on.
        starts: how many beginnings; fewer where there are no more trajectories.
        steps: of an episode; None for those of the longest trajectory.
        seed: of the beginnings and of what is drawn.
        progress: called with how many policies have acted in how many models, and of how many.

    Returns:
        What ``lawm rank --json`` prints, the best policy first.

    Raises:
        ConfigError: a run without a policy or a world model, or of other arrays than the corpus.
        CorpusError: the corpus is damaged.
    """
    for count, name in ((starts, "starts"), (1 if steps is None else steps, "steps")):
        if count < 1:
            raise ConfigError(f"{count} is below 1", name, "give 1 or more")
    policies = [_Policy(_opened(run)) for run in runs]
    judges = _judges([_opened(run) for run in models], policies)
    shown = judges[0].run.config.observe
    source = judges[0].run.config.corpora[0].path
    if corpus is not None:
        source = str(folder_of(corpus, "episodes begin as trajectories of it do"))
    whole = open_corpus(located(source)).observing(shown)
    for entry in (*policies, *judges):
        _require_same(entry.opened, shown, whole)
    began = _beginnings(whole, starts, seed)
    length = int(whole.table.length.max()) if steps is None else steps
    rows: list[dict[str, Any]] = []
    with seeding.thread_limit(1):
        for policy in policies:
            own = [judge.is_of(policy.opened) for judge in judges]
            returns: list[float | None] = []
            for judge, same in zip(judges, own, strict=True):
                asked = all(own) or not same
                returns.append(judge.returned(policy, began, length, seed) if asked else None)
                progress(len(rows) * len(judges) + len(returns), len(policies) * len(judges))
            rows.append(policy.row(returns, all(own)))
    for row in rows:
        _warn(row)
    return {
        "corpus": str(source),
        "fingerprint": whole.root_fingerprint,
        "starts": len(began),
        "steps": length,
        "seed": seed,
        "models": [judge.opened.facts() for judge in judges],
        "policies": sorted(rows, key=_best_first),
        "versions": installed_versions(),
    }


class _Opened(NamedTuple):
    """A run with its newest weights."""

    name: str
    """As given."""
    run: RunFolder
    algorithm: Algorithm
    weights: str

    def facts(self) -> dict[str, Any]:
        """What is printed of it."""
        name = self.run.config.algorithm.name
        return {"run": self.name, "algorithm": name, "weights": self.weights}


def _opened(path: Path | str) -> _Opened:
    run = RunFolder.open(path)
    return _Opened(str(path), run, *run.trained())


class _Policy:
    """Acts without noise on what its run observes."""

    def __init__(self, opened: _Opened) -> None:
        self.opened, self.run = opened, opened.run
        self.actor = self.run.acting(opened.algorithm).policy(True)
        before = self.run.total_steps - self.run.config.steps[opened.algorithm.stages[-1]]
        if max(self.run.checkpoints()) <= before:
            hint = "train it first: the same lawm train goes on"
            raise ConfigError("its policy has not been trained", opened.name, hint)

    def row(self, returns: list[float | None], own: bool) -> dict[str, Any]:
        """What is printed of it.

        Args:
            returns: in every model, None where it was not asked.
            own: all models are that which it was trained in.
        """
        found = [value for value in returns if value is not None]
        finite = all(map(math.isfinite, found))
        evaluation = self.run.evaluation()
        return {
            **self.opened.facts(),
            "mean": fmean(found) if finite else None,
            "lowest": min(found) if finite else None,
            "returns": [v if v is None or math.isfinite(v) else None for v in returns],
            "own": own,
            "evaluated": None if evaluation is None else evaluation.return_mean,
        }


class _Judge:
    """A world model in the place of an environment."""

    def __init__(self, opened: _Opened) -> None:
        algorithm = opened.algorithm
        assert isinstance(algorithm, lawm.Algorithm)
        self.opened, self.run = opened, opened.run
        self.world, self.scale = algorithm.model.world, algorithm.scale
        if not self.world.has_rewards:
            hint = "take runs whose data have rewards"
            raise ConfigError("its world model has not learned rewards", opened.name, hint)

    @torch.no_grad()
    def returned(
        self, policy: _Policy, began: Float[Tensor, "N O"], steps: int, seed: int
    ) -> float:
        """Mean return of a policy; not finite where the model leads it out of all bounds."""
        rssm, encoder = self.world.rssm, self.world.encoder
        assert isinstance(encoder, vectors.Encoder)
        generator = torch.Generator().manual_seed(seed)
        policy.actor.start(len(began), seed)
        deter, observed = rssm.initial(len(began), began).deter, began
        known = rssm.project(encoder(Observation(observed)))
        state = State(deter, rssm.posterior(deter, known).mean)
        returned, going_on = torch.zeros(len(began)), torch.ones(len(began))
        for _ in range(steps):
            action = torch.from_numpy(policy.actor.act(observed.numpy())).to(observed)
            deter = rssm.transition(state, self.scale.to_model(action))
            noise = standard_noise(deter, generator, *state.stoch.shape)
            state = State(deter, rssm.prior(deter).sample(noise))
            returned += going_on * self.world.reward(state.feature)
            goes_on = self.world.continuation(state.feature)
            going_on = going_on if goes_on is None else going_on * goes_on
            observed = encoder.observation(self.world.observation_head(state.feature))
        unit = self.world.reward_unit
        return (returned if unit is None else returned * unit).mean().item()

    def is_of(self, opened: _Opened) -> bool:
        """Whether a run has this world model, as those have that differ in their policy alone."""
        other = opened.algorithm
        if not isinstance(other, lawm.Algorithm):
            return False
        mine, its = self.world.state_dict(), other.model.world.state_dict()
        same = mine.keys() == its.keys() and all(mine[k].shape == its[k].shape for k in mine)
        return same and all(torch.equal(mine[k], its[k]) for k in mine)


def _judges(models: Sequence[_Opened], policies: Sequence[_Policy]) -> list[_Judge]:
    """The world models: those that were given, or else those of the policies, each once."""
    for opened in models:
        if not isinstance(opened.algorithm, lawm.Algorithm):
            what = f"{opened.run.config.algorithm.name} learns no world model with rewards"
            raise ConfigError(what, opened.name, "give runs of lawm, lawm_plus or clap")
    if not models:
        models = [p.opened for p in policies if isinstance(p.opened.algorithm, lawm.Algorithm)]
    judges: list[_Judge] = []
    for opened in models:
        if not any(judge.is_of(opened) for judge in judges):
            judges.append(_Judge(opened))
    if not judges:
        hint = "name some by --model: runs of lawm, lawm_plus or clap"
        raise ConfigError("no world model among the runs", "lawm rank", hint)
    return judges


def _require_same(opened: _Opened, observe: str, whole: Corpus) -> None:
    """Refuse runs that do not observe and do what a corpus has."""
    config = opened.run.config
    if config.observe != observe:
        what = f"observes {config.observe}, and the first world model {observe}"
        raise ConfigError(what, opened.name, "rank runs that observe the same")
    if opened.run.record.pixels or config.frame_stack > 1:
        hint = "rank runs that observe states or features"
        raise ConfigError("world models predict no pictures to act on", opened.name, hint)
    require_readable(opened.run, whole)


def _beginnings(whole: Corpus, count: int, seed: int) -> Float[Tensor, "N O"]:
    """First observations of trajectories that are drawn."""
    order = np.argsort(ranks(whole.table.ids.tolist(), seed), kind="stable")[:count]
    first = [whole[int(place)].observations.state[0] for place in np.sort(order)]
    return torch.from_numpy(np.stack(first).astype(np.float32))


def _warn(row: Mapping[str, Any]) -> None:
    """Say on stderr of which policies nothing, or too much, is to be expected."""
    if row["own"]:
        what = "judged by nothing but the world model it was trained in, which it exploits"
        line(f"warning: {row['run']}: {what}; name others by --model")
    if row["mean"] is None:
        line(f"warning: {row['run']}: its returns are not finite in some world model")


def _best_first(row: Mapping[str, Any]) -> float:
    """Highest mean first; last those that world models cannot tell of."""
    return math.inf if row["mean"] is None else -row["mean"]
