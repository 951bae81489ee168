"""``lawm-data collect``: the environment, the agent and the corpus, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lawm_schemas import ConfigError, LineageStep, Manifest, Provenance, Role

from lawm_cli.show import Bars

if TYPE_CHECKING:
    from lawm_data import CorpusWriter
    from lawm_data.envs import Environments
    from lawm_data.policy import Policy

LEARNING = ("dreamer", "plan2explore")
"""Agents that learn while they collect; the keys of ``lawm_models.learning_agents.KINDS``."""

ACTION_REPEAT = 2
"""Control steps per recorded step, when nobody says otherwise."""


class Collection(NamedTuple):
    """What ``lawm-data collect`` is told."""

    task: str
    """Environment."""
    out: Path
    """Folder of the corpus."""
    trajectories: int
    """Size of the corpus when done; with ``append``, how many to add."""
    seed: int
    """The one seed."""
    action_repeat: int | None
    """Control steps per recorded step; None takes the run's, or 2."""
    pixels: int | None
    """Edge of the camera image, or none."""
    num_envs: int
    """Environments stepped together."""
    noise: bool
    """Sample a run's policy instead of taking its mode."""
    append: bool
    """Add to a corpus of another collection."""


class Agent(NamedTuple):
    """A policy that does not learn, and where it comes from."""

    policy: Policy
    """Chooses the actions."""
    provenance: Provenance
    """What the corpus remembers of it."""


def collect_learning_with(agent: str, collection: Collection) -> None:
    """An agent of ``LEARNING`` collects; goes on where an earlier call was stopped.

    Raises:
        ConfigError: an option that this agent does not have.
    """
    from lawm_models.collector import collect_learning

    refused = {
        "--pixels": collection.pixels is not None,
        "--num-envs": collection.num_envs != 1,
        "--append": collection.append,
        "--noise": collection.noise,
    }
    for option, given in refused.items():
        if given:
            raise ConfigError(f"does not go with --agent {agent}", option, "leave it out")
    with Bars() as bars:
        bars.start(agent, collection.trajectories)
        bars.reach(_collected(collection.out))
        collect_learning(
            agent,
            collection.task,
            collection.out,
            collection.trajectories,
            collection.seed,
            collection.action_repeat or ACTION_REPEAT,
            on_round=lambda done, total, _: bars.reach(done, {"return": total}),
        )


def collect_with(agent: str, collection: Collection) -> None:
    """Record a policy that does not learn: ``random``, or that of a run.

    Raises:
        ConfigError: unknown environment or agent, or the corpus is of another collection.
    """
    from lawm_data.collect import collect

    envs, acting = _prepare(agent, collection)
    with _writer(collection, acting.provenance, envs) as writer, Bars() as bars:
        done = writer.manifest.trajectories
        total = collection.trajectories + (done if collection.append else 0)
        bars.start(acting.provenance.source, total)
        bars.reach(done)
        collect(
            envs,
            acting.policy,
            writer,
            total,
            collection.seed,
            acting.provenance,
            lambda count, recorded: bars.reach(count, {"return": float(recorded["rewards"].sum())}),
        )


def _prepare(agent: str, collection: Collection) -> tuple[Environments, Agent]:
    if agent == "random":
        from lawm_data.policy import RandomPolicy

        envs = _environments(collection, collection.action_repeat or ACTION_REPEAT)
        provenance = Provenance(source="random", agent="random", origin="rollout")
        return envs, Agent(RandomPolicy(envs.action), _complete(provenance, collection))
    if not Path(agent).exists():
        known = ", ".join((*LEARNING, "random"))
        raise ConfigError(
            "no such agent", f"--agent {agent}", f"give {known} or the folder of a run"
        )
    return _prepare_trained(Path(agent), collection)


def _prepare_trained(path: Path, collection: Collection) -> tuple[Environments, Agent]:
    from lawm_models.trained_policy import load_policy

    trained = load_policy(path, deterministic=not collection.noise)
    known = trained.environment
    repeat = collection.action_repeat or (known.action_repeat if known else ACTION_REPEAT)
    envs = _environments(collection, repeat)
    state = [(spec.name, spec.shape) for spec in envs.observations if spec.role is Role.state]
    wanted = [(spec.name, spec.shape) for spec in trained.state]
    if state != wanted or envs.action.shape != trained.action.shape:
        names = ", ".join(name for name, _ in wanted)
        raise ConfigError(
            f"the agent observes {names}, not what {collection.task} shows",
            str(path),
            "collect in the environment it was trained for",
        )
    name = trained.name
    provenance = Provenance(source=name, agent=f"{name}:{trained.weights}", origin="rollout")
    return envs, Agent(trained.policy, _complete(provenance, collection))


def _environments(collection: Collection, action_repeat: int) -> Environments:
    from lawm_data import envs

    return envs.make(
        collection.task,
        num_envs=collection.num_envs,
        action_repeat=action_repeat,
        pixels=collection.pixels,
    )


def _complete(provenance: Provenance, collection: Collection) -> Provenance:
    from lawm_models.versions import installed_versions

    update = {
        "seed": collection.seed,
        "versions": installed_versions(),
        "settings": {"noise": collection.noise, "num_envs": collection.num_envs},
    }
    return provenance.model_copy(update=update)


@contextmanager
def _writer(
    collection: Collection, provenance: Provenance, envs: Environments
) -> Iterator[CorpusWriter]:
    from lawm_data import CorpusWriter

    out = collection.out
    settings = {"agent": provenance.agent, "seed": collection.seed, **provenance.settings}
    step = LineageStep(operation="collect", settings=settings)
    if (out / "corpus.json").exists() or collection.append:
        with CorpusWriter.append(out) as writer:
            _require_same(collection, writer, step, envs)
            yield writer
        return
    with CorpusWriter.create(
        out,
        observations=envs.observations,
        action=envs.action,
        environment=envs.info,
        lineage=(step,),
    ) as writer:
        yield writer


def _require_same(
    collection: Collection, writer: CorpusWriter, step: LineageStep, envs: Environments
) -> None:
    """Refuse a corpus of other arrays, and without ``--append`` one of another collection."""
    manifest, where = writer.manifest, str(collection.out)
    there, asked = _described(manifest), _described(envs)
    if there != asked:
        raise ConfigError(f"holds {there}, not {asked}", where, "choose another --out")
    if not collection.append and manifest.lineage != (step,):
        raise ConfigError(
            "is a corpus of another collection", where, "choose another --out, or add --append"
        )


def _described(source: Manifest | Environments) -> str:
    """Everything in which the trajectories of one corpus agree, in words."""
    info = source.environment if isinstance(source, Manifest) else source.info
    task = f"{info.task} with action repeat {info.action_repeat}" if info else "no environment"
    arrays = ", ".join(f"{spec.name}{list(spec.shape)}" for spec in source.observations)
    return f"{task} ({arrays})"


def _collected(out: Path) -> int:
    """Trajectories of an earlier call."""
    from lawm_data.store import read_manifest

    return read_manifest(out).trajectories if (out / "corpus.json").exists() else 0


def outcome(summary: Mapping[str, Any], agent: str, seed: int) -> dict[str, Any]:
    """The object that ``collect --json`` prints, from that of ``info``."""
    kept = (
        "path",
        "trajectories",
        "steps",
        "fingerprint",
        "label_states",
        "returns",
        "environment",
    )
    return {**{key: summary[key] for key in kept}, "agent": agent, "seed": seed}
