"""A training in Python: make it, load it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lawm_schemas import ConfigError, Evaluation, ExperimentConfig, RunRecord

from lawm_data.corpus.corpus import Corpus
from lawm_data.system import notebook
from lawm_data.system.atomic import is_locked
from lawm_data.system.progress import NoBar, ProgressBar
from lawm_data.system.terminal import Bars, near
from lawm_models.acting.observation import ObservationLike
from lawm_models.acting.policy import Policy
from lawm_models.planning.policy import planning_policy
from lawm_models.runs import audit, make_latents, relabel
from lawm_models.training import evaluate, trainer
from lawm_models.training.metrics import Metrics
from lawm_models.training.run_folder import RunFolder
from lawm_models.training.stacked_runs import Asked, train_stack

if TYPE_CHECKING:
    from matplotlib.figure import Figure

State = Literal["done", "running", "stopped"]
"""All steps are made, and the evaluation; a process is at work; or the run waits to be gone on."""


def train(
    config: ExperimentConfig,
    out: Path | str,
    *,
    progress: ProgressBar | bool = True,
    begin_from: Path | str | None = None,
) -> Run:
    """Train, from the start or from where an earlier call was stopped.

    The same call again goes on as if nothing had happened: the same batches, the same noise, the
    same numbers. A run that is done returns at once.

    Args:
        config: what to train on what; see ``configure``.
        out: the run folder; new, empty, or a run of this very configuration.
        progress: show a bar on a terminal, and a line now and then elsewhere; or a
            ``ProgressBar`` of your own, which hears of every step.
        begin_from: folder of a run of which all stages but the last are taken over, such as its
            world model.

    Raises:
        ConfigError: a setting is wrong, the folder is not a run or one of other settings or data.
        CorpusError: a corpus is damaged.
        StorageError: the folder is in a corpus, another process trains here, or the file system
            refuses.
        LawmError: a loss became NaN or infinite; names the term and the step.
        KeyboardInterrupt: interrupted, after a checkpoint.
    """
    if progress is True:
        with Bars() as bars:
            return Run(trainer.train(config, out, bars, begin_from))
    return Run(trainer.train(config, out, progress or NoBar(), begin_from))


def train_seeds(
    config: ExperimentConfig,
    seeds: Sequence[int],
    out: Path | str,
    *,
    progress: ProgressBar | bool = True,
) -> list[Run]:
    """Train OUT-SEED for every seed, as one stack of models where the algorithm can.

    Every run is what ``train`` makes with its seed, up to the order of summation. The same call
    again goes on.

    Args:
        config: what to train on what; its seed has no say.
        seeds: the seeds.
        out: how the run folders begin.
        progress: as for ``train``.

    Raises:
        LawmError: as of ``train``; what is wrong with one run stops all.
        KeyboardInterrupt: interrupted, after a checkpoint of each.
    """
    if progress is True:
        with Bars() as bars:
            return train_seeds(config, seeds, out, progress=bars)
    out = Path(out)
    each = [
        Asked(config.model_copy(update={"seed": s}), out.with_name(f"{out.name}-{s}"))
        for s in seeds
    ]
    return [Run(folder) for folder in train_stack(each, progress or NoBar())]


def load_run(path: Path | str) -> Run:
    """A run that exists, whether it is done or not; its corpora need not be there.

    Raises:
        ConfigError: the folder is not a run, or this version cannot read it.
    """
    return Run(RunFolder.open(path))


class Run:
    """A training run: what was asked for, what came out, and what can be done with it.

    Use ``train`` or ``load_run``.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @property
    def path(self) -> Path:
        """The run folder."""
        return self._folder.path

    @property
    def config(self) -> ExperimentConfig:
        """What was asked for, with every default written out."""
        return self._folder.config

    @property
    def record(self) -> RunRecord:
        """What it was run on: corpora, arrays, environment, device, versions."""
        return self._folder.record

    @property
    def state(self) -> State:
        """Whether it is done, running in some process, or stopped."""
        if self._folder.is_finished():
            return "done"
        return "running" if is_locked(self.path) else "stopped"

    @property
    def metrics(self) -> Metrics:
        """The log so far: a list of rows, and a DataFrame by its ``to_pandas``."""
        return Metrics(self._folder.metrics())

    @property
    def evaluation(self) -> Evaluation | None:
        """The evaluation that ended the training; none before, or where there was none to make."""
        return self._folder.evaluation()

    @property
    def unevaluated(self) -> str | None:
        """Why a training has no evaluation at its end; none where it makes one."""
        if self.record.environment is None:
            return "the corpus names no environment; lawm evaluate --env says where"
        if not self.config.evaluation_episodes:
            return "evaluation_episodes is 0"
        return None

    def policy(
        self,
        *,
        deterministic: bool = True,
        device: str = "cpu",
        planner: str | None = None,
        settings: Mapping[str, Any] | None = None,
        goal: ObservationLike | None = None,
    ) -> Policy:
        """The newest policy, for a loop of your own.

        Args:
            deterministic: act without noise; of no meaning with a planner, which a seed decides.
            device: where its networks compute.
            planner: search the world model for every action, instead of asking the learned policy:
                ``cem``, ``icem`` or ``mppi``.
            settings: of the planner, by name, such as ``horizon``.
            goal: an observation that the planner is to reach, instead of rewards.

        Raises:
            ConfigError: there is no checkpoint yet, the algorithm learns no policy or no world
                model, or the planner cannot do what is asked.
        """
        algorithm, weights = self._folder.trained(device)
        if planner is not None:
            return planning_policy(
                self._folder.planning_model(algorithm),
                planner,
                settings,
                goal,
                name=self.config.algorithm.name,
                weights=weights,
                state=self._folder.reads(),
                action=self.record.action,
                environment=self.record.environment,
            )
        if settings or goal is not None:
            given = "settings" if goal is None else "goal"
            raise ConfigError("goes with a planner", given, "name one: planner='cem'")
        return Policy(
            self._folder.policy_of(algorithm, deterministic),
            name=self.config.algorithm.name,
            weights=weights,
            state=self._folder.reads(),
            action=self.record.action,
            environment=self.record.environment,
            deterministic=deterministic,
        )

    def evaluate(
        self,
        episodes: int = 10,
        *,
        seed: int = 0,
        env: str | None = None,
        action_repeat: int | None = None,
        video: Path | str | None = None,
        planner: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Evaluation:
        """Run the newest policy for whole episodes, without noise.

        Args:
            episodes: how many, all at once.
            seed: of the first one's reset; the others count up from it.
            env: where, ``gym:ID`` or a task of dm_control, instead of what the corpus names.
            action_repeat: control steps for each action; None takes that of the corpus, and where
                it names no environment 1 in Gymnasium and 2 in dm_control.
            video: film the first episode: FILE.mp4 or FILE.gif.
            planner: what acts instead of the learned policy, see ``policy``.
            settings: of the planner.

        Raises:
            ConfigError: no checkpoint, no environment, or one that does not fit.
        """
        info = None if env is None else evaluate.environment(self.record, env, action_repeat)
        policy = None
        if planner is not None or settings is not None:
            policy = self.policy(planner=planner, settings=settings)
        return evaluate.evaluate(self._folder, episodes, seed, video, info, policy)

    def relabel(
        self,
        corpus: Corpus | Path | str,
        *,
        name: str,
        method: relabel.Method = "inverse",
        max_uncertainty: float | None = None,
        replace: bool = False,
        dry_run: bool = False,
        truth_from_withheld: bool = False,
    ) -> relabel.Relabeled:
        """Infer the actions that the run could not see; they are written beside the corpus.

        Read them with ``corpus.with_labels(name)``.

        Args:
            corpus: the whole corpus, or its folder; it is seen through the mask that the run saw
                it through, whatever mask this view has.
            name: what the inferred actions are called.
            method: ``inverse`` takes the model's own inference, ``smoothing`` weighs it by what
                its world model foresees.
            max_uncertainty: trajectories that are less certain are left out; 1 is half the range.
            replace: others of this name give way.
            dry_run: write nothing.
            truth_from_withheld: compare them with the true actions that a mask hides; what is
                found is returned and not written.

        Raises:
            ConfigError: nothing to infer, a part of a corpus, a corpus of another environment, or
                an algorithm that infers no actions.
            CorpusError: the name is taken, or the corpus is damaged.
        """
        return relabel.relabel(
            self._folder,
            folder_of(corpus, "with_labels() fills in any part"),
            name,
            replace,
            method,
            max_uncertainty,
            dry_run,
            truth_from_withheld,
        )

    def infer_latents(
        self,
        corpus: Corpus | Path | str,
        *,
        name: str,
        replace: bool = False,
        dry_run: bool = False,
    ) -> make_latents.LatentsMade:
        """Infer the latent action of every transition; they are written beside the corpus.

        Read them with ``corpus.with_latents(name)``, as ``trajectory.latents``.

        Args:
            corpus: the whole corpus, or its folder.
            name: what the latent actions are called.
            replace: others of this name give way.
            dry_run: write nothing.

        Raises:
            ConfigError: a run without latent actions, a part of a corpus, or one with other
                observations.
            CorpusError: the name is taken, or the corpus is damaged.
        """
        whole = folder_of(corpus, "with_latents() shows those of any part")
        return make_latents.make_latents(self._folder, whole, name, replace, dry_run)

    def audit(self, *, steps: int = 5, seed: int = 0) -> audit.Audit:
        """Prove which actions the run could see: by its records, and with garbage in their place.

        Args:
            steps: gradient steps of every stage.
            seed: of the garbage.

        Returns:
            ``passed``, and the ``checks`` that were made.

        Raises:
            ConfigError: a corpus is gone.
            CorpusError: a corpus is damaged.
        """
        return audit.audit(self._folder, steps, seed)

    def plot(self) -> Figure:
        """Return, losses and all other metrics against gradient steps; ``savefig`` writes it."""
        from lawm_models.runs.plot import plot_metrics

        return plot_metrics(self.metrics, near(self.path))

    def facts(self) -> dict[str, str]:
        """The run in a few words, by what they say."""
        facts = {
            "algorithm": self.config.algorithm.name,
            "corpora": ", ".join(
                f"{near(seen.path)}{f'@{seen.mask}' if seen.mask else ''}"
                f"{f'+{seen.labels}' if seen.labels else ''}"
                f" ({seen.labeled:,} of {seen.trajectories:,} labeled"
                f"{f', {seen.inferred:,} inferred' if seen.labels else ''})"
                for seen in self.record.corpora
            ),
            "seed": str(self.config.seed),
            "steps": ", ".join(f"{n:,} {stage}" for stage, n in self.config.steps.items()),
            "state": self.state,
        }
        if (found := self.evaluation) is not None:
            facts["return"] = f"{found.return_mean:.1f} ± {found.return_std:.1f}"
        return facts

    def __repr__(self) -> str:
        facts = self.facts()
        words = [
            f"{facts['algorithm']} on {facts['corpora']}",
            f"seed {facts['seed']}",
            f"{facts['steps']} steps",
            facts["state"],
            *([f"return {facts['return']}"] if "return" in facts else []),
        ]
        return f"Run({near(self.path)}: {', '.join(words)})"

    def _repr_html_(self) -> str:
        return notebook.facts(f"Run {near(self.path)}", self.facts())


def folder_of(corpus: Corpus | Path | str, otherwise: str) -> Path | str:
    """The folder of a corpus.

    Raises:
        ConfigError: it is a view of a part of one.
    """
    if not isinstance(corpus, Corpus):
        return corpus
    if corpus.fingerprint != corpus.root_fingerprint:
        raise ConfigError("is a part of a corpus", str(corpus.path), f"give all of it; {otherwise}")
    return corpus.path
