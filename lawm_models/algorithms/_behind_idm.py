"""Behind an inverse dynamics model: it fills in actions, then a learner takes all of them.

This is the pipeline of SS-ORL (Zheng et al. 2023, arXiv 2210.06518) with any learner. Stage ``idm``
trains the model of the paper's Table 3 on labeled trajectories and keeps the weights that do best
on some held-out ones. Stage ``agent`` is the learner on every trajectory: true actions where they
are observed, elsewhere the mode of the frozen model, inferred anew in every batch, so that nothing
has to be stored and a resumed run infers the same. Steps whose rewards were not recorded are left
out there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from lawm_schemas import Role, Schema
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_data.corpus.mask import ranks
from lawm_data.corpus.table import INFERRED
from lawm_data.corpus.transitions import known_transitions, with_known_transitions
from lawm_models.algorithms._offline import Learner, require_steps, returns
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.encoders import ENCODERS, vectors
from lawm_models.networks.encoders._protocol import Encoder, EncoderChoice, Observation
from lawm_models.networks.inverse_dynamics import InverseDynamics, InverseDynamicsConfig, contexts
from lawm_models.networks.layers import load_renamed
from lawm_models.networks.offline.transitions import Transitions, choose_step, one_step, weighted
from lawm_models.networks.optimizer import adam, minimize
from lawm_models.networks.policies import ReactivePolicy
from lawm_models.networks.scaling import ActionScale
from lawm_models.networks.world_model import standard_noise


class BehindIDMConfig(Schema):
    """Settings of the first stage; those of the learner are ``agent``."""

    encoder: EncoderChoice = Field(default_factory=lambda: vectors.Config(scale="standard"))
    """How observations enter."""
    inverse: InverseDynamicsConfig = Field(default_factory=InverseDynamicsConfig)
    """The inverse dynamics model."""


class Examples(NamedTuple):
    """Steps whose action is known, of one held-out trajectory."""

    observation: Observation
    """All of it, (1, T+1, ·)."""
    known: Bool[Tensor, " T"]
    """Which steps."""
    action: Float[Tensor, "M A"]
    """In [-1, 1]."""


class BehindIDM(nn.Module):
    """A learner on true and inferred actions; see ``algorithms._protocol.Algorithm``.

    Args:
        config: settings of both stages, a ``BehindIDMConfig`` with ``agent``.
        spec: arrays of the data.
    """

    stages: ClassVar[tuple[str, ...]] = ("idm", "agent")
    last_stage: ClassVar[LastStage] = LastStage(("agent",), ("agent",))
    needs_labels: ClassVar[bool] = True
    rewards_from: ClassVar[RewardsFrom] = "all"
    learner: ClassVar[type[Learner]]
    """The class of the learner."""
    best_loss: Tensor

    def __init__(self, config: Any, spec: ModelSpec) -> None:
        super().__init__()
        self.config = config
        self.action_dim = spec.action.size
        self.scale = ActionScale.of(spec.action)
        parts = ENCODERS.load(config.encoder.name)
        self.encoder = parts.Encoder(config.encoder, spec.observations)
        self.inverse = InverseDynamics(config.inverse, self.encoder.dim, self.action_dim)
        self.best = copy.deepcopy(self.inverse).requires_grad_(False)
        self.best_encoder: nn.Module | None = None
        if any(True for _ in self.encoder.parameters()):
            self.best_encoder = copy.deepcopy(cast(nn.Module, self.encoder)).requires_grad_(False)
        self.register_buffer("best_loss", torch.tensor(torch.inf))
        self.agent = self.learner(config.agent, self.encoder.dim, self.action_dim)
        load_renamed(self, "normalizer", "encoder.normalizer")
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            "inverse": adam(
                [*self.encoder.parameters(), *self.inverse.parameters()],
                config.inverse.learning_rate,
                eps=1e-8,
            ),
            **self.agent.optimizers,
        }
        self._steps = 0
        self._held_out = torch.zeros(0, dtype=torch.int64)
        self._first = torch.zeros(1, dtype=torch.int64)
        self._examples: list[Examples] = []
        self._drawn: set[int] | None = None

    def get_extra_state(self) -> Tensor:
        """Gradient steps of the inverse model."""
        return torch.tensor(self._steps)

    def set_extra_state(self, state: Tensor) -> None:
        """See ``get_extra_state``."""
        self._steps = int(state)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self._optimizers

    def draws_from(self, stage: str, trajectories: Int[np.ndarray, " D"]) -> None:
        """See ``_protocol.HoldingOut``."""
        if stage == "idm":
            self._drawn = set(trajectories.tolist())

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Normalise over all observations, and hold some labeled trajectories out."""
        self.encoder.fit(corpora)
        self.agent.fit(returns(corpora, labeled=False))
        device = self.best_loss.device
        chosen = sorted(held_out(corpora, self.config.inverse.held_out, self._drawn))
        first = first_numbers(corpora)
        self._held_out = torch.tensor(chosen, dtype=torch.int64, device=device)
        self._first = torch.from_numpy(first).to(device)
        of = (np.searchsorted(first, chosen, side="right") - 1).tolist()
        self._examples = [
            self._example(corpora[corpus], number - int(first[corpus]))
            for corpus, number in zip(of, chosen, strict=True)
        ]

    def _example(self, view: Corpus, place: int) -> Examples:
        trajectory, like = view[place], self.best_loss
        known = torch.from_numpy(known_transitions(trajectory))
        action = np.asarray(trajectory.actions).reshape(len(known), -1)
        cameras = [spec.name for spec in view.manifest.observations if spec.role is Role.pixels]
        seen = {name: torch.from_numpy(trajectory.observations[name]) for name in cameras}
        observation = Observation(torch.from_numpy(trajectory.observations.state).to(like), seen)
        return Examples(
            observation.map(lambda x: x.to(like.device).unsqueeze(0)),
            known.to(like.device),
            self.scale.to_model(torch.from_numpy(action)[known].to(like)),
        )

    def _contexts(self, embed: Float[Tensor, "B T1 E"]) -> Float[Tensor, "B T1-1 C"]:
        return contexts(embed, self.config.inverse.observations)

    @property
    def kept_encoder(self) -> Encoder:
        """The encoder that the best weights of the inverse model go with."""
        return self.encoder if self.best_encoder is None else cast(Encoder, self.best_encoder)

    @classmethod
    def corrects_ends(cls) -> bool:
        """See ``_protocol.CorrectsEnds``."""
        return True

    def require_window(self, steps: int) -> None:
        """See ``_protocol.Windowed``."""
        self._require(steps, int(self.agent.reads_next_action))

    def _require(self, steps: int, after: int) -> None:
        looks_at = self.config.inverse.observations + after
        require_steps(steps, looks_at - 1, f"to look at {looks_at} observations")

    def begin(self, stage: str) -> None:
        """The last weights of the inverse model have not been looked at when it is finished."""
        if stage == "agent":
            self._validate()

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """See the protocol."""
        if stage == "agent":
            t = self.steps(batch, generator)
            return self.agent.update(t, standard_noise(t.action, generator, *t.action.shape))
        place, weight, rows = self._choose(batch, generator, after=0)
        embed = self.encoder(Observation.of(batch))
        t = one_step(batch, embed, self.scale, place, weight)
        held_out = torch.isin(self._first[batch.corpus] + batch.trajectory, self._held_out)
        weight = t.weight * batch.valid[rows, place] * t.observed * ~held_out
        context = self._contexts(embed)[rows, place]
        return self._update_inverse(t._replace(weight=weight), context, generator)

    def steps(self, batch: Batch, generator: torch.Generator) -> Transitions:
        """What the learner takes: actions are true where they are observed, elsewhere inferred.

        Steps whose rewards were not recorded have no weight, nor those of which no action is known
        and the observation that it led to neither.
        """
        after = int(self.agent.reads_next_action)
        place, weight, rows = self._choose(batch, generator, after)
        embed = self.kept_encoder(Observation.of(batch))
        t = one_step(batch, embed, self.scale, place, weight)
        context, leads = self._contexts(embed), batch.valid
        inferred = self.best(context[rows, place]).mode()
        t = t._replace(
            action=torch.where(t.observed.unsqueeze(-1), t.action, inferred),
            weight=t.weight * t.rewarded * (t.observed | leads[rows, place]),
        )
        if not after:
            return t
        ahead = (place + 1).clamp(max=leads.shape[1] - 1)
        inferred = self.best(context[rows, ahead]).mode()
        known = t.next_observed | leads[rows, ahead] | (t.terminated > 0)
        return t._replace(
            next_action=torch.where(t.next_observed.unsqueeze(-1), t.next_action, inferred),
            weight=t.weight * known,
        )

    def _choose(
        self, batch: Batch, generator: torch.Generator, after: int
    ) -> tuple[Int[Tensor, " B"], Float[Tensor, " B"], Int[Tensor, " B"]]:
        """A step of every window, its weight, and the number of the window."""
        self._require(batch.valid.shape[1], after)
        place, weight = choose_step(batch, generator, after)
        return place, weight, torch.arange(len(place), device=place.device)

    def _update_inverse(
        self, t: Transitions, context: Float[Tensor, "N C"], generator: torch.Generator
    ) -> dict[str, Tensor]:
        self._steps += 1
        density = self.inverse(context, self.inverse.draw_kept(len(context), generator))
        loss = weighted(-density.log_prob(t.action), t.weight)
        error = (density.mode() - t.action).square().mean(-1)
        metrics = {"nll": loss.detach(), "error": weighted(error.detach(), t.weight)}
        minimize(self._optimizers["inverse"], loss)
        if self._steps % self.config.inverse.validate_every == 0:
            metrics |= self._validate()
        return metrics

    def alarms(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """See ``_protocol.Watched``: batches without a step to learn from."""
        if any(metrics.get(name, 1.0) for name in ("nll", "error")):
            return {}
        what = "no batch has a step to learn from that is not held out: the model learns nothing"
        return {"nll": f"{what}; draw others (labeled_ratio, label_unit), or label more"}

    @torch.no_grad()
    def _validate(self) -> dict[str, Tensor]:
        """Keep the weights if they are the best so far, or if there is nothing to judge them by."""
        if self._examples:
            densities = [
                self.inverse(self._contexts(self.encoder(e.observation)).squeeze(0)[e.known])
                for e in self._examples
            ]
            nll = [-d.log_prob(e.action) for d, e in zip(densities, self._examples, strict=True)]
            loss = torch.cat(nll).mean()
            if loss >= self.best_loss:
                return {"validation_nll": loss}
            self.best_loss.copy_(loss)
        self.best.load_state_dict(self.inverse.state_dict())
        if self.best_encoder is not None:
            self.best_encoder.load_state_dict(self.encoder.state_dict())
        return {"validation_nll": self.best_loss.clone()} if self._examples else {}

    def policy(self, deterministic: bool = True) -> ReactivePolicy:
        """See the protocol."""
        return ReactivePolicy(self, self.best_loss, deterministic)

    def act(self, observation: Observation, noise: Float[Tensor, "N A"]) -> Float[Tensor, "N A"]:
        """Actions within the bounds; zero noise is the policy itself."""
        return self.scale.to_environment(self.agent.act(self.kept_encoder(observation), noise))

    @torch.no_grad()
    def infer_actions(self, batch: Batch) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]]:
        """The inverse model's mode and standard deviation; windows begin with their trajectory."""
        density = self.best(self._contexts(self.kept_encoder(Observation.of(batch))))
        std = self.best.uncertainty(density) * self.scale.half_range
        return self.scale.to_environment(density.mode()), std


def held_out(corpora: Sequence[Corpus], share: float, drawn: set[int] | None = None) -> set[int]:
    """Numbers of the labeled trajectories that are held out, counted through all corpora.

    At least one, unless it is the only one or the share is 0, and never all, nor all that batches
    are drawn from; an order of the ids decides. Those without a step to judge by take no part.

    Args:
        corpora: the views.
        share: of those trajectories.
        drawn: numbers of the trajectories that batches are drawn from; None: of all.
    """
    first = first_numbers(corpora).tolist()
    found = [
        (str(view.table.id[place]), before + place)
        for before, view in zip(first, corpora, strict=True)
        for place in np.flatnonzero(with_known_transitions(view)).tolist()
    ]
    count = max(0, min(max(1, round(share * len(found))), len(found) - 1)) if share else 0
    order = np.argsort(ranks((name.encode() for name, _ in found), seed=0), kind="stable")
    numbers = [found[i][1] for i in order]
    if drawn is not None:
        inferred = (
            before + place
            for before, view in zip(first, corpora, strict=True)
            for place in np.flatnonzero(view.table.labels == INFERRED).tolist()
        )
        teaching = drawn & {*numbers, *inferred}
        if teaching and teaching <= set(numbers[:count]):
            numbers.remove(next(number for number in reversed(numbers) if number in drawn))
    return set(numbers[:count])


def first_numbers(corpora: Sequence[Corpus]) -> Int[np.ndarray, " C"]:
    """The number of each corpus's first trajectory, where those of all corpora are counted on."""
    counts = np.array([len(view) for view in corpora], np.int64)
    return counts.cumsum() - counts
