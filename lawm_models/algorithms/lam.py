"""LAM: latent actions of observations alone, a forward model on them, and a controller.

After "Learning Latent Action World Models In The Wild" (Garrido et al. 2026, arXiv 2601.05230), on
states or features. Stage ``model`` needs neither actions nor rewards. Stage ``controller`` maps
true actions to latent ones and back, where actions are known; it learns nothing where none are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from lawm_schemas import ConfigError, Schema
from pydantic import Field
from torch import Tensor, nn

from lawm_data.batches.batch import Batch
from lawm_data.corpus.corpus import Corpus
from lawm_models.algorithms._protocol import LastStage, ModelSpec, RewardsFrom
from lawm_models.networks.encoders._protocol import Observation
from lawm_models.networks.lam.controller import Controller, ControllerConfig
from lawm_models.networks.lam.latent_transition_model import (
    LatentTransitionConfig,
    LatentTransitionModel,
)
from lawm_models.networks.lam.planning_model import TransitionPlanningModel
from lawm_models.networks.lam.transition_model import Losses
from lawm_models.networks.latent_dynamics import TransitionDynamics
from lawm_models.networks.optimizer import adam, clip_and_step
from lawm_models.networks.scaling import ActionScale, require_bounds

COLLAPSED, PREDICTABLE, UNUSED = 0.05, 0.01, 0.1
"""An alarm is due below this capacity, unless a state alone leaves less than this error; and below
this share of the codes."""


class Config(Schema):
    """Settings of LAM."""

    model: LatentTransitionConfig = Field(default_factory=LatentTransitionConfig)
    """Inverse and forward model, and the constraint between them."""
    controller: ControllerConfig = Field(default_factory=ControllerConfig)
    """Between true and latent actions."""
    model_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of the model."""
    controller_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of the controller."""
    clip: float = Field(default=100.0, gt=0)
    """Gradient norm limit of each part."""


class Algorithm(nn.Module):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    stages: ClassVar[tuple[str, ...]] = ("model", "controller")
    last_stage: ClassVar[LastStage] = LastStage(("controller", "controller_rate"), ("controller",))
    needs_labels: ClassVar[bool] = False
    rewards_from: ClassVar[RewardsFrom] = "none"
    name: ClassVar[str] = "lam"
    """Of the algorithm, for messages; others are made of the same parts."""
    model_class: ClassVar[type[LatentTransitionModel]] = LatentTransitionModel
    controller_class: ClassVar[type[Controller]] = Controller

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        bounded = spec.action.low is not None and spec.action.high is not None
        self.scale = ActionScale.of(spec.action) if bounded else None
        action_dim = config.model.horizon * spec.action.size
        self.model = self.model_class(config.model, spec.observations, action_dim, self.name)
        self.controller = self.controller_class(
            config.controller, self.model.state_dim, config.model.latent, action_dim
        )
        self._optimizers: dict[str, torch.optim.Optimizer] = {
            **self.model.optimizers(config.model_rate),
            "controller": adam(self.controller.parameters(), config.controller_rate),
        }
        self._labeled = True

    def prepare(self, corpora: Sequence[Corpus]) -> None:
        """Learn scales, and whether there is a label.

        Raises:
            ConfigError: labels are to be learned from and there are none, or they have no bounds.
        """
        self.model.fit(corpora)
        self._labeled = any(view.table.readable.any() for view in corpora)
        if self._labeled:
            require_bounds(self.spec.action, corpora)
        elif self.config.model.labels:
            what = "not a single trajectory has readable actions to learn from"
            raise ConfigError(what, "algorithm.settings.model.labels", "set it to 0")

    def begin(self, stage: str) -> None:
        """See the protocol; nothing to prepare."""

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """See the protocol."""
        return self._optimizers

    def require_window(self, steps: int) -> None:
        """See ``_protocol.Windowed``."""
        self.model.require_window(steps)

    @staticmethod
    def require_shareable(config: Config, processes: int) -> None:
        """See ``_protocol.Shareable``; all settings will do."""

    def latent_dynamics(self) -> TransitionDynamics:
        """See ``_protocol.Probed``."""
        return TransitionDynamics(self.model)

    def update(self, stage: str, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """One gradient step of a stage."""
        if stage == "controller":
            return self._update_controller(batch, generator)
        losses = self.losses(stage, batch, generator)
        norm = clip_and_step(self._optimizers["model"], losses.prediction, self.config.clip)
        clip_and_step(self._optimizers["alone"], losses.alone, self.config.clip)
        return {**losses.metrics, "gradient_norm": norm.detach()}

    def losses(self, stage: str, batch: Batch, generator: torch.Generator) -> Losses:
        """Of the stages before the last."""
        return self.model.latent_losses(self.model.steps(batch, self.scale), generator)

    def _update_controller(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        if not self._labeled:  # nothing to learn takes no time
            return {"labels": self.controller.labels.clone()}
        with torch.no_grad():
            steps = self.model.steps(batch, self.scale)
            latent = self.model.inverse(steps.state, steps.after)
        loss, metrics = self.controller.losses(
            steps.state, latent, steps.action, steps.labeled, generator
        )
        norm = clip_and_step(self._optimizers["controller"], loss, self.config.clip)
        return {**metrics, "gradient_norm": norm.detach()}

    def alarms(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """See ``_protocol.Watched``: a latent that says nothing, a codebook that is not used."""
        found, constraint = {}, self.config.model.constraint
        capacity = metrics.get("capacity", 1.0)
        if capacity < COLLAPSED and metrics["state_only_error"] > PREDICTABLE:
            found["capacity"] = (
                f"the latent action has collapsed: it says {max(capacity, 0):.1%} of what the "
                f"state leaves open; weaken algorithm.settings.model.constraint ({constraint.name})"
            )
        codes = getattr(constraint, "codes", None)
        if codes is not None and metrics.get("codes", codes) < UNUSED * codes:
            found["codes"] = (
                f"the codebook has collapsed: {metrics['codes']:.0f} of {codes} codes are used; "
                "take fewer by algorithm.settings.model.constraint.codes"
            )
        return found

    def planning_model(self) -> TransitionPlanningModel:
        """See ``_protocol.Plannable``.

        Raises:
            ConfigError: no action is known to go with a latent one.
        """
        if self.scale is None or not self.controller.is_trained:
            what = "the controller has never seen a label, and no latent action can be acted out"
            raise ConfigError(what, self.name, "train it under a mask that shows some: lawm train")
        return TransitionPlanningModel(self.model, self.scale, self.controller)

    @torch.no_grad()
    def infer_actions(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]] | None:
        """Latent actions through the controller; none if it has never seen a label."""
        if self.scale is None or not self.controller.is_trained:
            return None
        states = self.model.states(Observation.of(batch))
        reach, steps = self.model.horizon, batch.valid.shape[1]
        time = torch.arange(steps, device=states.device)
        # the last actions are those within the last k steps that were seen
        last = batch.valid.sum(1, keepdim=True)
        first = torch.minimum(time, (last - reach).clamp(min=0))
        rows = torch.arange(len(states), device=states.device).unsqueeze(1)
        after = states[rows, torch.minimum(first + reach, last.clamp(min=1)), -1]
        state = states[rows, first]
        found = self.controller.action(state, self.model.inverse(state, after))
        mean, std = (x.unflatten(-1, (reach, -1)) for x in found)
        place = (time - first).clamp(max=reach - 1)[..., None, None]
        mean, std = (x.take_along_dim(place, -2).squeeze(-2) for x in (mean, std))
        return self.scale.to_environment(mean), std * self.scale.half_range
