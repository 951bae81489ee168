"""CoLA: a world model trained before becomes the forward model of a latent-action model.

After CoLA-World (Wang et al. 2025, arXiv 2510.26433), on states or features, of the parts of
``lam``:

- stage ``world``: a forward model that is told no action, as a video model is not; or, by
  ``--from RUN``, the one of a run of ``acwm`` or ``lam``;
- stage ``warm_up``: an inverse model learns to be understood by it, which stays as it is, but for
  the layers by which an action enters;
- stage ``model``: both learn on together;
- stage ``controller``: between true and latent actions, where actions are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import ClassVar, Literal, cast

import torch
from lawm_schemas import ConfigError
from pydantic import Field
from torch import nn

from lawm_data.batches.batch import Batch
from lawm_models.algorithms import acwm, lam
from lawm_models.algorithms._protocol import ModelSpec
from lawm_models.networks.lam.forward_dynamics import ForwardDynamics
from lawm_models.networks.lam.transition_model import Losses
from lawm_models.networks.optimizer import adam, frozen

SIZES = ("encoder", "context", "horizon", "units", "layers")
"""Settings of the model in which a world model trained before must be the same."""


class Config(lam.Config):
    """Settings of CoLA."""

    warm_up: Literal["conditioning", "inverse"] = "conditioning"
    """What learns in the warm-up: the inverse model with the layers of the forward one by which an
    action enters, or the inverse model alone."""

    world_rate: float = Field(default=1e-3, gt=0)
    """Learning rate of the forward model; ``model_rate`` is that of the inverse one."""


class Algorithm(lam.Algorithm):
    """See ``algorithms._protocol.Algorithm``; ``model`` and ``controller`` are for planners."""

    stages: ClassVar[tuple[str, ...]] = ("world", "warm_up", "model", "controller")
    name: ClassVar[str] = "cola"
    adopts: ClassVar[tuple[str, ...]] = ("acwm", "lam")

    def __init__(self, config: Config, spec: ModelSpec) -> None:
        super().__init__(config, spec)
        self.rates, self.warm_up = (config.world_rate, config.model_rate), config.warm_up
        self.begin("world")

    def begin(self, stage: str) -> None:
        """Every stage has momenta of its own."""
        world_rate, model_rate = self.rates
        found = {**self.model.optimizers(model_rate)}
        found["model"] = adam(self.model.dynamics.parameters(), world_rate)
        others = ("dynamics.", "alone.")
        inverse = [p for name, p in self.model.named_parameters() if not name.startswith(others)]
        found["model"].add_param_group({"params": inverse, "lr": model_rate})
        self._optimizers |= found

    def adopt(self, other: object) -> None:
        """See ``_protocol.Adopting``.

        Raises:
            ConfigError: its forward model is of another size, or takes actions of another width
                than the latent ones here.
        """
        assert isinstance(other, (acwm.Algorithm, lam.Algorithm))
        own, theirs, key = self.model, other.model, "algorithm.settings.model"
        for name in SIZES:
            before, now = getattr(theirs.config, name), getattr(own.config, name)
            if before != now:
                what = f"{name} was {before!r} in this run and is now {now!r}"
                raise ConfigError(f"{key}.{what}", "", f"set it to the same: --set {key}.{name}=…")
        if theirs.action_dim != own.action_dim:
            what = f"its forward model takes actions of width {theirs.action_dim}, latent ones have"
            hint = f"--set {key}.latent={theirs.action_dim}"
            raise ConfigError(f"{what} {own.action_dim}", "", hint)
        for name in ("encoder", "dynamics", "alone"):
            getattr(own, name).load_state_dict(getattr(theirs, name).state_dict())
        own.change.copy_(theirs.change)
        own.error.copy_(theirs.error)

    def losses(self, stage: str, batch: Batch, generator: torch.Generator) -> Losses:
        """Of the stages before the last."""
        if stage != "world":
            with frozen(self._kept()) if stage == "warm_up" else nullcontext():
                return super().losses(stage, batch, generator)
        steps = self.model.steps(batch, self.scale)
        untold = steps.state.new_zeros(len(steps.state), self.model.action_dim)
        found = self.model.losses(steps.state, steps.after, untold, steps.weight)
        # it is no latent action whose capacity could be told
        del found.metrics["capacity"]
        return found

    def _kept(self) -> nn.Module:
        """What of the forward model stays as it is in the warm-up."""
        world = cast(ForwardDynamics, self.model.dynamics)
        if self.warm_up == "inverse":
            return world
        return nn.ModuleList((world.state, world.blocks, world.out))

    def alarms(self, metrics: Mapping[str, float]) -> dict[str, str]:
        """See ``_protocol.Watched``; what has collapsed here lacks a warm-up."""
        found = super().alarms(metrics)
        if "capacity" in found:
            found["capacity"] += "; or give steps.warm_up more"
        return found
