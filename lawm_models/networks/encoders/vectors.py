"""State fields side by side as one vector, with all its numbers on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from lawm_schemas import ArraySpec, ConfigError, Role
from torch import Tensor, nn

from lawm_data.corpus.corpus import Corpus
from lawm_models.networks.distributions import log_prob
from lawm_models.networks.encoders._protocol import EncoderConfig, Observation, Sizes
from lawm_models.networks.layers import MLP, symexp, symlog
from lawm_models.networks.scaling import SMALLEST_STD, Normalizer, all_states, labeled_states


class Config(EncoderConfig):
    """Settings of the encoder ``vectors``."""

    # narrower than its parent's, which is sound: settings do not change
    name: Literal["vectors"] = "vectors"  # pyright: ignore[reportIncompatibleVariableOverride]
    """This encoder."""
    scale: Literal["symlog", "standard", "raw"] = "symlog"
    """What is encoded and reconstructed: symlog(o), without which velocities drown positions; o
    with the mean and standard deviation of the data taken out, whatever its units; or o as it
    is."""


class Encoder(nn.Module):
    """The scaled vector through an MLP or, without sizes, as it is."""

    stackable = True
    """Its weights can be those of several models, see ``networks.stacking``."""

    def __init__(
        self, config: Config, observations: Sequence[ArraySpec], sizes: Sizes | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.target_dim = width(observations)
        self.normalizer: Normalizer | None = None
        if config.scale == "standard":
            added = SMALLEST_STD if sizes is None else 0.0  # TD3+BC's, which reads x as it is
            self.normalizer = Normalizer(self.target_dim, added)
        self.dim = self.target_dim
        self.hidden = nn.ModuleList()
        self.out: nn.Module = nn.Identity()
        if sizes is not None:
            net = MLP(self.target_dim, sizes.embed, sizes.units, sizes.layers)
            # its parts, not itself: checkpoints know them as encoder.hidden and encoder.out
            self.dim, self.hidden, self.out = sizes.embed, net.hidden, net.out

    def forward(self, observation: Observation) -> Float[Tensor, "*b E"]:
        """See ``_protocol.Encoder``."""
        x = self.target(observation)
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)

    def target(self, observation: Observation) -> Float[Tensor, "*b O"]:
        """The scaled vector."""
        if self.normalizer is not None:
            return self.normalizer(observation.state)
        return symlog(observation.state) if self.config.scale == "symlog" else observation.state

    def observation(self, target: Float[Tensor, "*b O"]) -> Float[Tensor, "*b O"]:
        """The vector that has this target."""
        if self.normalizer is not None:
            return target * self.normalizer.std + self.normalizer.mean
        return symexp(target) if self.config.scale == "symlog" else target

    def fit(self, corpora: Sequence[Corpus], labeled: bool = False) -> None:
        """Mean and standard deviation of every observation that an action was taken at."""
        if self.normalizer is not None:
            self.normalizer.fit(labeled_states(corpora) if labeled else all_states(corpora))


class Decoder(MLP):
    """An MLP to the mean of the scaled vector."""

    def __init__(
        self,
        config: Config,
        observations: Sequence[ArraySpec],
        feature_dim: int,
        sizes: Sizes,
        std: float,
    ) -> None:
        super().__init__(feature_dim, width(observations), sizes.units, sizes.layers)
        self.std = std

    def log_prob(
        self, mean: Float[Tensor, "*b O"], target: Float[Tensor, "*b O"]
    ) -> Float[Tensor, "*b"]:
        """See ``_protocol.Decoder``."""
        return log_prob(mean, self.std, target)


def width(observations: Sequence[ArraySpec]) -> int:
    """O, width of the state fields side by side.

    Raises:
        ConfigError: there are none.
    """
    total = sum(spec.size for spec in observations if spec.role is Role.state)
    if not total:
        what = "this corpus has pixels only"
        raise ConfigError(what, "observations", "record a state beside them")
    return total
