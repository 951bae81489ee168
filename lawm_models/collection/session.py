"""``lawm-data collect``: the environment, the agent and the corpus, put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lawm_schemas import ArraySpec, ConfigError, Drawing, LineageStep, Manifest, Provenance, Role

from lawm_data.system.progress import ProgressBar
from lawm_models.collection.agents import AGENTS, agent_config
from lawm_models.collection.snapshots import SnapshotRange

if TYPE_CHECKING:
    from lawm_data.corpus.writing.writer import CorpusWriter
    from lawm_data.envs.suites import Environments


class Collection(NamedTuple):
    """The options of ``lawm-data collect``."""

    agent: str
    """What acts."""
    task: str
    """Environment."""
    out: Path
    """Folder of the corpus."""
    trajectories: int
    """Size of the corpus when done; with ``append``, how many to add."""
    seed: int
    """The one seed."""
    action_repeat: int | None
    """Control steps per recorded step; None takes the agent's, or the suite's."""
    pixels: int | None
    """Edge of the camera image; None for none, or for such an image as the agent sees."""
    num_envs: int | None
    """Environments stepped together; None takes 16 for snapshots and else 1."""
    noise: bool | None
    """Sample the policy instead of taking its mode; None does so for snapshots."""
    append: bool
    """Add to a corpus of another collection."""
    workers: int | None
    """Workers at once; None takes one per core for snapshots and else this process."""
    backend: str
    """Where they work."""
    physics: bool = True
    """Record the simulator's state."""
    draw: str | None = None
    """How the image is drawn; None as in the corpus that is there, as the agent saw it, or as is
    usual."""
    distractors: tuple[str, ...] = ()
    """What else moves in it."""
    planner: str | None = None
    """What searches the world model of the agent for actions, instead of its policy."""
    planner_settings: Mapping[str, Any] | None = None
    """Its settings."""
    observe: str | None = None
    """What a learning agent learns from; None for the state."""


def collect(collection: Collection, bars: ProgressBar, processes: int = 2) -> None:
    """Collect one corpus; goes on where an earlier call was stopped.

    Args:
        collection: what is asked for.
        bars: shows how far it is.
        processes: a learning agent's, 1 or 2.

    Raises:
        ConfigError: an option that this agent does not have, or the corpus is another one's.
    """
    if collection.planner is None and collection.planner_settings:
        raise ConfigError("goes with --planner", "--set", "give both")
    if collection.planner is not None and collection.noise is not None:
        raise ConfigError("does not go with --planner", "--noise", "leave it out")
    if unfit(collection.agent, collection.noise):
        option = "--noise" if collection.noise else "--deterministic"
        raise ConfigError(f"does not go with --agent {collection.agent}", option, "leave it out")
    for option, given in (("--draw", collection.draw), ("--distractors", collection.distractors)):
        if given and collection.pixels is None:
            raise ConfigError("goes with --pixels", option, "give both")
    if collection.observe and collection.agent not in AGENTS:
        hint = "leave it out: what acts knows what it reads"
        raise ConfigError("goes with an agent that learns", "--observe", hint)
    if collection.agent in AGENTS:
        _collect_learning(collection, bars, processes)
    else:
        _collect_rollouts(collection, bars)


def unfit(agent: str, noise: bool | None) -> tuple[str, ...]:
    """Which of these settings an agent does not have: one that learns, or that acts at random."""
    return ("noise",) if noise is not None and (agent in AGENTS or agent == "random") else ()


def _collect_learning(collection: Collection, bars: ProgressBar, processes: int) -> None:
    from lawm_data.envs.suites import usual_repeat
    from lawm_models.collection.collector import collect_learning

    agent = collection.agent
    refused = {
        "--append": collection.append,
        "--workers": collection.workers is not None,
        "--backend": collection.backend != "processes",
        "--planner": collection.planner is not None,
    }
    for option, given in refused.items():
        if given:
            hint = "leave it out"
            if option == "--planner":
                hint = f"collect first, and give the folder: --agent {collection.out}.agent"
            if option in ("--workers", "--backend"):
                hint = "one agent learns in one place; give several --seeds"
            raise ConfigError(f"does not go with --agent {agent}", option, hint)
    bars.start(agent, collection.trajectories)
    bars.reach(collected(collection.out))
    collect_learning(
        agent,
        collection.task,
        collection.out,
        collection.trajectories,
        collection.seed,
        collection.action_repeat or usual_repeat(collection.task),
        agent_config(agent, {"environments": collection.num_envs or 1}),
        on_round=lambda done, total, _: bars.reach(done, {"return": total}),
        processes=processes,
        physics=collection.physics,
        pixels=collection.pixels,
        drawing=_drawing(collection),
        observe=collection.observe or "state",
    )


def _collect_rollouts(collection: Collection, bars: ProgressBar) -> None:
    """Record a policy that does not learn."""
    from lawm_data.recording.collect import add_rollouts
    from lawm_data.recording.parallel import discard_parts, parallel_rollouts
    from lawm_data.system.workers import executor
    from lawm_models.collection.rollouts import RolloutSettings, open_context, plan_rollouts

    execute = executor(collection.backend)
    settings = RolloutSettings(
        collection.agent,
        collection.task,
        collection.trajectories,
        collection.seed,
        collection.action_repeat,
        collection.pixels,
        collection.num_envs,
        collection.noise,
        collection.physics,
        _drawing(collection),
        collection.planner,
        collection.planner_settings,
    )
    plan = plan_rollouts(settings)
    context, provenance = plan.context, plan.provenance
    workers = collection.workers
    if workers is None and not plan.apart and collection.backend == "processes":
        workers = 1
    with _writer(collection, provenance, context.envs) as writer:
        there = writer.manifest.trajectories
        done = _collected_before(collection.out, provenance) if plan.apart else there
        added = there if collection.append and not plan.apart else 0
        total = collection.trajectories + added
        bars.start(provenance.source, total + there - done)
        bars.reach(there)
        rollouts = plan.rollouts(total, done)
        if workers == 1 and collection.backend == "processes":
            discard_parts(collection.out)
            rolled = ((rollout, rollout.run(context)) for rollout in rollouts)
        else:
            # by a name that holds in any folder
            agent = collection.agent
            agent = agent if agent == "random" else str(Path(agent).absolute())
            away = partial(open_context, settings._replace(agent=agent))
            rolled = parallel_rollouts(
                collection.out, away, context.envs, rollouts, provenance, execute, workers
            )
        add_rollouts(
            writer,
            rolled,
            provenance,
            lambda count, made: bars.reach(count, {"return": float(made["rewards"].sum())}),
        )


def _drawing(collection: Collection) -> Drawing | None:
    """How the camera image is drawn: as asked, as in the corpus, as the agent saw it, as usual.

    None as the suite itself does.
    """
    from lawm_data.corpus.store import read_manifest
    from lawm_data.envs.suites import usual_drawing

    if collection.pixels is None:
        return None
    usual, asked = usual_drawing(collection.task), collection.distractors
    seed = collection.seed if asked else 0
    if (collection.out / "corpus.json").exists():
        specs = read_manifest(collection.out).observations
        camera = next((spec for spec in specs if spec.role is Role.pixels), None)
        if camera is not None:
            there = camera.drawing or Drawing(by="suite")
            if collection.draw in (None, there.by) and not asked:
                return camera.drawing
            usual, seed = there, there.seed if there.distractors else seed
    if collection.draw is None and not asked:
        seen = _seen(collection)
        return usual if seen is None else seen.drawing
    by = collection.draw or (usual or Drawing(by="suite")).by
    return Drawing.parse({"by": by, "distractors": asked, "seed": seed}, "--draw")


def _seen(collection: Collection) -> ArraySpec | None:
    """The picture that the policy of a folder sees, if it sees one."""
    span = SnapshotRange.parse(collection.agent)
    path = Path(collection.agent) if span is None else span.path
    if collection.agent in ("random", *AGENTS.names()) or not path.exists():
        return None
    from lawm_data.envs.pictures import drawn_picture
    from lawm_models.collection.trained_policy import observed

    return drawn_picture(observed(path), collection.task)


def _collected_before(out: Path, provenance: Provenance) -> int:
    """Trajectories of this very collection in a corpus; other versions of packages are no other."""
    from lawm_data.corpus.corpus import open_corpus

    corpus = open_corpus(out)
    plain = {"versions": {}, "tier": None, "licence": None}
    mine = [
        entry
        for entry, known in enumerate(corpus.manifest.provenance)
        if known.model_copy(update=plain) == provenance.model_copy(update=plain)
    ]
    return sum(int((corpus.table.provenance == entry).sum()) for entry in mine)


@contextmanager
def _writer(
    collection: Collection, provenance: Provenance, envs: Environments
) -> Iterator[CorpusWriter]:
    from lawm_data.corpus.writing.writer import CorpusWriter

    out = collection.out
    settings = {"agent": provenance.agent, "seed": collection.seed, **provenance.settings}
    step = LineageStep(operation="collect", settings=settings)
    if (out / "corpus.json").exists() or collection.append:
        with CorpusWriter.append(out) as writer:
            manifest, where = writer.manifest, str(out)
            there, asked = _described(manifest), _described(envs)
            if there != asked:
                raise ConfigError(f"holds {there}, not {asked}", where, "choose another --out")
            if not collection.append and manifest.lineage != (step,):
                hint = "choose another --out, or add --append"
                raise ConfigError("is a corpus of another collection", where, hint)
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


def _described(source: Manifest | Environments) -> str:
    """Everything in which the trajectories of one corpus agree."""
    info = source.environment if isinstance(source, Manifest) else source.info
    task = f"{info.task} with action repeat {info.action_repeat}" if info else "no environment"
    arrays = ", ".join(map(_array, source.observations))
    return f"{task} ({arrays})"


def _array(spec: ArraySpec) -> str:
    drawn = f" drawn by {spec.drawing}" if spec.drawing else ""
    return f"{spec.name}{list(spec.shape)}{drawn}"


def collected(out: Path) -> int:
    """Trajectories of an earlier call."""
    from lawm_data.corpus.store import read_manifest

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
