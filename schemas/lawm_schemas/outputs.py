"""What each command prints with ``--json``, key by key; ``docs/json.md`` is made from this.

The commands print plain data; the tests hold the output of every one to its schema here. A
description is that of its key and of those after it that have none. Objects that the page lists in
one line have notes instead, without a full stop, each of its key alone.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lawm_schemas.arrays import ArraySpec
from lawm_schemas.base import Schema
from lawm_schemas.provenance import EnvironmentInfo
from lawm_schemas.run import CorpusRecord, Evaluation, TakenStages

# Parts of several outputs.


class LabelCounts(Schema):
    """A count for each state that actions can be in."""

    observed: int
    withheld: int
    missing: int
    inferred: int


class Spread(Schema):
    """How numbers are distributed; the standard deviation is that of the population."""

    mean: float
    std: float
    min: float
    p25: float
    median: float
    p75: float
    max: float


class Fault(Schema):
    """Something that is wrong, and its remedy."""

    where: str
    what: str
    mend: str


# Looking at a corpus.


class MaskSummary(Schema):
    """A mask beside a corpus."""

    fraction: float
    """share that keeps its actions"""
    seed: int
    labeled: int
    """trajectories that do"""
    by: Literal["trajectories", "steps"]
    stratify: Literal["return", "source"] | None
    where: str | None
    """expression that chose them, or ``ids``"""
    current: bool
    """whether it fits the corpus as it is now"""


class InertActions(Schema):
    """Trajectories whose actions count as observed and never change: often they were lost."""

    zero: int
    """all zero"""
    constant: int
    """all the same, not zero"""


class OverlaySummary(Schema):
    """Inferred actions beside a corpus."""

    trajectories: int
    algorithm: str
    mask: str | None
    """that the model was trained under"""
    r2: float | None
    current: bool


class LatentsSummary(Schema):
    """Latent actions beside a corpus."""

    width: int
    codes: int | None
    """of the codebook"""
    constraint: str
    algorithm: str
    run: str
    """its folder's name"""
    current: bool


class FeaturesSummary(Schema):
    """What an encoder has made of every observation of a corpus."""

    width: int
    """numbers for each"""
    algorithm: str
    encoder: str
    """checksum of its weights"""
    probe: dict[str, float]
    current: bool


class SourceSummary(Schema):
    """The trajectories of one source."""

    trajectories: int
    steps: int
    label_states: LabelCounts
    label_steps: LabelCounts
    returns: Spread | None
    lengths: Spread


class ObservationArray(Schema):
    """An array of observations."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    role: Literal["state", "pixels", "physics", "exogenous"]
    drawing: str | None
    """of pixels, how a simulator drew them"""


class ActionArray(Schema):
    """The array of actions."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class ObservationStats(Schema):
    """Statistics of an array, by dimension; of pixels by channel."""

    name: str
    elements: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min: tuple[float, ...]
    max: tuple[float, ...]


class ActionStats(Schema):
    """Statistics of the actions, by dimension."""

    steps: int
    elements: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min: tuple[float, ...]
    max: tuple[float, ...]
    at_low: tuple[float, ...] | None
    """share within 0.1% of the range from the bound"""
    at_high: tuple[float, ...] | None


class Stats(Schema):
    """What the arrays have to be read for."""

    observations: tuple[ObservationStats, ...]
    """Of each array by dimension, of pixels by channel."""
    actions: ActionStats | None
    """Of the observed actions in view, by dimension."""
    near_constant: tuple[str, ...]
    """Dimensions whose std is at most 10⁻⁴ of the largest magnitude."""
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of ids with equal observations and rewards."""


class Info(Schema):
    """What ``lawm-data info`` prints."""

    path: str
    """In view."""
    trajectories: int
    steps: int
    fingerprint: str
    """Hash of the content, which masks do not change."""
    mask: str | None
    """As given."""
    labels: str | None
    label_states: LabelCounts
    """Trajectories by state of their actions."""
    label_steps: LabelCounts
    """Steps, likewise."""
    partially_labeled: int
    """Those with actions at some steps only."""
    masks: dict[str, MaskSummary]
    """Each mask."""
    overlays: dict[str, OverlaySummary]
    """Each overlay."""
    features: dict[str, FeaturesSummary]
    """Each set of features."""
    latents: dict[str, LatentsSummary]
    """Each set of latent actions."""
    damaged: tuple[Fault, ...]
    """What cannot be read."""
    leftovers: tuple[str, ...]
    """What killed writers left."""
    returns: Spread | None
    """Of the trajectories whose rewards were recorded."""
    inert_actions: InertActions
    """Trajectories whose observed actions never change."""
    without_rewards: int
    """Trajectories without recorded rewards."""
    lengths: Spread | None
    """Steps per trajectory."""
    sources: dict[str, int]
    """Trajectories of each source."""
    by_source: dict[str, SourceSummary]
    """Each source."""
    environment: EnvironmentInfo | None
    """Where they come from."""
    observations: tuple[ObservationArray, ...]
    """Arrays with T+1 rows."""
    action: ActionArray
    """The action."""
    licence: str | None
    """SPDX licence."""
    lineage: tuple[str, ...]
    """Operations, oldest first."""
    shards: int
    """Number and size of files."""
    bytes: int
    stats: Stats | None
    """With ``--stats``."""


class Report(Schema):
    """What ``lawm-data report`` prints."""

    path: str
    """Of the corpus in view."""
    fingerprint: str
    trajectories: int
    mask: str | None
    """As given."""
    labels: str | None
    report: str
    """The page, and its size."""
    bytes: int
    browsable: int
    """Trajectories that can be chosen."""
    clips: int
    """Those with moving pictures."""
    clips_problem: str | None
    """Why there are none."""


class Render(Schema):
    """What ``lawm-data render`` prints."""

    path: str
    """Of the trajectory and its corpus."""
    trajectory: str
    episode_return: float | None = Field(alias="return")
    video: str
    """The video, and its pictures: how many, how long, width and height."""
    frames: int
    seconds: float
    size: tuple[int, int]


# Making corpora.


class Collect(Schema):
    """What ``lawm-data collect`` prints.

    With ``--seeds`` the one key is ``corpora``: a list of such objects, in the order of the seeds.
    """

    path: str
    """Of the corpus, earlier calls included."""
    trajectories: int
    steps: int
    fingerprint: str
    label_states: LabelCounts
    """Trajectories by state of their actions."""
    returns: Spread | None
    """Returns of the trajectories."""
    environment: EnvironmentInfo | None
    """Where they come from."""
    agent: str
    """As given."""
    seed: int


class Mask(Schema):
    """What ``lawm-data mask`` prints."""

    name: str
    """The mask, and its file."""
    path: str
    labeled: int
    """Trajectories that keep their actions, and all."""
    trajectories: int
    fraction: float
    """How they were chosen."""
    seed: int
    by: Literal["trajectories", "steps"]
    stratify: Literal["return", "source"] | None
    where: str | None
    """Expression that chose them, or ``ids``."""
    withheld: str | None
    """Folder of the corpus without the hidden actions."""
    left: tuple[str, ...]
    """Sentences: what would give hidden actions away, left out or not."""


class Import(Schema):
    """What ``lawm-data import`` prints."""

    path: str
    """Of the new corpus, as far as a dry run knows."""
    trajectories: int | None
    steps: int | None
    fingerprint: str | None
    source: str
    """What the lineage calls the source."""
    masks: tuple[str, ...]
    """That came along."""
    overlays: tuple[str, ...]
    latents: tuple[str, ...]
    """Sets of latent actions."""
    said: tuple[str, ...]
    """Sentences: what was converted or not kept."""
    dry_run: bool
    """As given."""


class Export(Schema):
    """What ``lawm-data export`` prints."""

    path: str | None
    """The file or folder, not on the Hub."""
    address: str
    """As given."""
    trajectories: int
    """In view."""
    steps: int
    masks: tuple[str, ...]
    """Masks of the corpus; ``said`` names those that cannot go along."""
    said: tuple[str, ...]
    """Sentences: what the format cannot hold."""
    mask: str | None
    """As given."""
    labels: str | None
    latents: str | None
    dry_run: bool


class Format(Schema):
    """A foreign format, and what it can hold."""

    title: str
    place: str
    extra: str | None
    reads: bool
    writes: bool
    label_states: tuple[Literal["observed", "withheld", "missing", "inferred"], ...]
    partial: bool
    arrays: Literal["all", "state"]
    alignment: Literal["a_t leaves o_t", "a_t enters o_t"]
    final_observation: bool
    ends: Literal["both", "terminated", "none"]
    pixels: Literal["lossless", "lossy", "none"]
    metadata: bool
    streaming: bool
    latents: bool
    settings: dict[str, str]


class Formats(Schema):
    """What ``lawm-data formats`` prints."""

    formats: dict[str, Format]
    """Each format, [column by column](exchange.md#what-each-format-keeps)."""


class Derived(Schema):
    """A corpus that was made out of others."""

    path: str
    """Of the new corpus, as far as a dry run knows."""
    trajectories: int
    steps: int
    fingerprint: str | None
    duplicates: int
    """Trajectories that an earlier corpus has too, taken once."""
    renamed: int
    """Trajectories whose id was taken and got a suffix."""
    masks: tuple[str, ...]
    """That came along."""
    overlays: tuple[str, ...]
    features: tuple[str, ...]
    left: tuple[str, ...]
    """Sentences: what stayed behind, and why."""
    said: tuple[str, ...]
    """Sentences: what else is to know, such as frame rates that differ"""
    dry_run: bool
    """As given."""


class Filter(Derived):
    """What ``lawm-data filter`` prints."""

    of: int
    """Trajectories to choose from."""


class Edit(Filter):
    """What ``lawm-data edit`` prints."""


class Rerender(Filter):
    """What ``lawm-data rerender`` prints."""

    size: int
    """Edge of the pictures."""
    drawing: str
    """How they were drawn."""


class Merge(Filter):
    """What ``lawm-data merge`` prints."""


class Delete(Filter):
    """What ``lawm-data delete`` prints."""


class Split(Schema):
    """What ``lawm-data split`` prints."""

    parts: dict[str, Derived]
    """Each part."""
    of: int
    """Trajectories in all."""
    rest: int
    """Trajectories in no part."""
    seed: int
    """As given."""
    by: Literal["trajectory", "source", "agent", "seed"]
    dry_run: bool


class TierShare(Schema):
    """What one collection gives to a tier."""

    path: str
    fingerprint: str
    wanted: int
    eligible: int
    taken: int
    missing: int
    unplaced: int
    """in the band, but of unknown age"""
    agent_steps: tuple[int, int] | None
    """ends of the stretch of training"""


class Tier(Derived):
    """What ``lawm-data tier`` prints."""

    tier: Literal["expert", "medium", "medium-replay"]
    """As given."""
    returns: tuple[float | None, float | None]
    """Bounds of the returns, ``null`` for none."""
    wanted: int
    """Trajectories asked for."""
    missing: int
    """Trajectories that are not there."""
    corpora: tuple[TierShare, ...]
    """Each collection."""


class BuildStep(Schema):
    """A step of a recipe."""

    name: str
    operation: Literal["collect", "filter", "merge", "tier", "mask"]
    state: Literal["done", "begun", "open", "changed", "foreign"]
    """``done``, ``begun``, ``open``, ``changed``, or ``foreign``: not made by a recipe"""
    reason: str | None
    """why it is one of the last two"""
    trajectories: int
    missing: int | None
    seconds: float | None
    fingerprint: str | None


class Build(Schema):
    """What ``lawm-data build`` prints."""

    recipe: str
    """As given."""
    out: str
    dry_run: bool
    done: bool
    """Whether every step is."""
    missing: int
    """Trajectories that tiers lack."""
    steps: tuple[BuildStep, ...]
    """Each step."""


# Keeping and publishing corpora.


class Finding(Fault):
    """Something that validation found."""

    severity: Literal["error", "warning"]


class Replay(Schema):
    """Recorded actions that were simulated again."""

    trajectories: int
    exact: int
    """the same, bit for bit"""
    skipped: dict[str, int]
    """how many, by reason"""


class Against(Schema):
    """What two corpora share."""

    path: str
    equal: tuple[str, ...]
    """ids with the same observations"""
    near: tuple[str, ...]
    """other ids with the same source and seeds"""
    compared: tuple[str, ...]
    """arrays that both have"""


class Validate(Schema):
    """What ``lawm-data validate`` prints."""

    path: str
    """The corpus."""
    valid: bool
    """Without errors."""
    findings: tuple[Finding, ...]
    """Each fault."""
    replay: Replay | None
    """With ``--replay``, where nothing was wrong before."""
    against: Against | None
    """With ``--against``, likewise."""


class Change(Schema):
    """Something that a repair does."""

    where: str
    what: str


class Loss(Schema):
    """A trajectory that cannot be restored."""

    shard: str
    id: str
    """empty where it cannot be read"""
    what: str


class Repair(Schema):
    """What ``lawm-data repair`` prints."""

    path: str
    """The corpus."""
    out: str | None
    """As given."""
    dry_run: bool
    sound: bool
    """Whether there was nothing to do."""
    changes: tuple[Change, ...]
    """What is done, or would be."""
    trajectories: int
    """Those kept."""
    lost: tuple[Loss, ...]
    """Trajectories that are not kept."""
    unproven: tuple[str, ...]
    """Shards whose ids, sources, seeds and metadata no hash proves."""
    backup: str | None
    """Folder with the damaged files."""
    fingerprint: str
    """Hash of the kept content."""


class Push(Schema):
    """What ``lawm-data push-to-hub`` prints."""

    repo: str
    """As given."""
    url: str
    """Its page, commit and tag."""
    commit: str | None
    tag: str
    fingerprint: str
    """Of the published corpus."""
    trajectories: int
    steps: int
    mask: str | None
    """As given."""
    withheld: int
    """Trajectories whose actions the mask hides."""
    kept: bool
    """Whether they were published."""
    masks: tuple[str, ...]
    """Published beside it."""
    overlays: tuple[str, ...]
    latents: str | None
    """As given."""
    left: tuple[str, ...]
    """Sentences: which others stayed behind, and why."""
    licence: str | None
    """SPDX licence on the card."""
    files: int
    """Number and size of the files, the size without ``lawm.json``."""
    bytes: int
    new: int
    """Files that the repository did not hold."""
    dry_run: bool
    """As given."""


class Pull(Schema):
    """What ``lawm-data pull`` prints."""

    repo: str
    """As given."""
    path: str
    """Of the corpus."""
    revision: str
    fingerprint: str
    trajectories: int
    steps: int | None
    masks: tuple[str, ...]
    """Beside it."""
    overlays: tuple[str, ...]
    latents: tuple[str, ...]
    """Sets of latent actions."""
    files: int
    """What was fetched."""
    bytes: int
    dry_run: bool
    """As given."""


# Training.


class Evaluate(Evaluation):
    """What ``lawm evaluate`` prints."""

    run: str
    """As given."""
    video: str | None


class Distance(Schema):
    """Over all goals."""

    mean: float
    median: float


class Distances(Schema):
    """From the goal, at the end of different ways."""

    start: Distance
    """before anything was done"""
    plan: Distance
    no_action: Distance
    """with zeros for actions"""
    random: Distance
    """with uniform actions"""


class ReachedGoal(Schema):
    """One goal."""

    trajectory: str
    """id"""
    step: int
    """of its first observation; the goal is that ``horizon`` steps later"""
    start: float
    plan: float
    no_action: float
    random: float
    """distances"""


class Repeated(Schema):
    """A comparison with what was found before."""

    file: str
    """as given"""
    largest_difference: float
    """of a distance"""


class Plan(Schema):
    """What ``lawm plan`` prints.

    A distance is the root mean square of a difference in the state, in units of its standard
    deviations over the corpus. ``lawm plan --again FILE`` needs nothing but this to repeat it.
    """

    run: str
    """As given."""
    algorithm: str
    """Or kind of the collecting agent."""
    weights: str
    """Hash of the weights."""
    corpus: str
    """That goals are from."""
    fingerprint: str
    """Of that corpus."""
    held_out: bool | None
    """Whether the run was not trained on these trajectories; `null` if a corpus of it is gone."""
    goals: int
    """Goals."""
    horizon: int
    """Steps between start and goal, and of a plan."""
    closed_loop: bool
    """Whether the rest was planned anew at every step."""
    seed: int
    """Of goals, planner and random actions."""
    planner: dict[str, Any]
    """Name and all settings."""
    distance: Distances
    """Distances from the goals."""
    closed_against_no_action: float | None
    closed_against_random: float | None
    """1 − mean distance by the plan / by no action, or by random ones; `null` where that is 0."""
    each: tuple[ReachedGoal, ...]
    """Every goal."""
    seconds: float
    """CPU time of planning and simulating."""
    film: str | None
    """As given."""
    versions: dict[str, str]
    """Of the packages."""
    again: Repeated | None
    """With ``--again``: how far this is from what was found before."""


class RankingModel(Schema):
    """A world model in the place of an environment."""

    run: str
    """as given"""
    algorithm: str
    weights: str
    """their hash"""


class RankedPolicy(Schema):
    """A policy, and what it returns in world models."""

    run: str
    """as given"""
    algorithm: str
    weights: str
    """their hash"""
    mean: float | None
    lowest: float | None
    """over the world models that were asked; null if a return is not finite"""
    returns: tuple[float | None, ...]
    """in each world model; null where it was not asked, or the return is not finite"""
    own: bool
    """whether it was trained in the only world model there is"""
    evaluated: float | None
    """mean return of the evaluation that ended its training"""


class Rank(Schema):
    """What ``lawm rank`` prints.

    A world model has no say on the policy that was trained in it, unless there is no other.
    """

    corpus: str
    """That episodes begin as trajectories of."""
    fingerprint: str
    """Of that corpus."""
    starts: int
    """Episodes of each policy in each world model."""
    steps: int
    """Of an episode."""
    seed: int
    """Of the beginnings and of what the models draw."""
    models: tuple[RankingModel, ...]
    """The world models; each once, however many runs share it."""
    policies: tuple[RankedPolicy, ...]
    """Best first."""
    versions: dict[str, str]
    """Of the packages."""


class Train(Schema):
    """What ``lawm train`` prints.

    With ``--seeds`` the one key is ``runs``: a list of such objects, in the order of the seeds.
    """

    run: str
    """The run folder."""
    algorithm: str
    """As given."""
    preset: str | None
    seed: int
    device: str
    steps: dict[str, int]
    """Gradient steps of each stage."""
    seconds: float
    """Time spent training, over all calls; of runs trained at once, its share."""
    taken: TakenStages | None
    """What ``--from`` took over."""
    corpora: tuple[CorpusRecord, ...]
    """The data."""
    evaluation: Evaluation | None
    """At the end."""


class Range(Schema):
    """A range, and its middle."""

    min: float
    median: float
    max: float


class Features(Schema):
    """What ``lawm-data features`` prints."""

    corpus: str
    """As given."""
    run: str | None
    frozen: str | None
    arch: str | None
    like: str | None
    name: str
    """The features, and their folder."""
    path: str
    width: int
    """Numbers for each observation."""
    trajectories: int
    """How many were read, and the size of the numbers."""
    observations: int
    bytes: int
    encoder: str
    """Checksum of the encoder's weights."""
    probe: dict[str, float]
    """R² of each recorded state field, predicted from two observations in a row, on held-out
    trajectories."""


class Relabel(Schema):
    """What ``lawm relabel`` prints."""

    run: str
    """As given."""
    corpus: str
    """The corpus, the overlay and its folder."""
    name: str
    path: str
    trajectories: int
    """Trajectories with inferred actions, or with ``--latents`` with latent ones: then the keys
    from ``left_out`` to ``r2`` are null."""
    left_out: int | None
    """Trajectories not certain enough (``--max-uncertainty``)."""
    uncertainty: Range | None
    """Of both: root mean square of the stated std, half the action's range being 1."""
    method: Literal["inverse", "smoothing"] | None
    """As given."""
    nmse_per_dimension: tuple[float | None, ...] | None
    """Mean squared error over the variance: with ``--truth-from-withheld``, where it is known; null
    for a dimension that never changes."""
    r2: float | None
    """1 − the mean of those that are known."""
    width: int | None
    """With ``--latents`` numbers of a latent action."""
    codes: int | None
    """Size of the codebook that they are from."""
    transitions: int | None
    """Transitions that have one."""
    dry_run: bool
    """As given."""


class RunSummary(Schema):
    """A run in a few numbers."""

    run: str
    """its folder"""
    state: Literal["done", "running", "stopped", "unreadable"]
    """``done``, ``running``, ``stopped``, or ``unreadable``: then only ``error`` is known"""
    error: str | None
    algorithm: str | None
    preset: str | None
    corpora: tuple[str, ...]
    """folders, or addresses on the Hub"""
    masks: tuple[str | None, ...]
    """of each corpus"""
    labeled: int | None
    """trajectories whose actions it could see"""
    trajectories: int | None
    """trajectories that it saw"""
    seed: int | None
    step: int | None
    """gradient steps made"""
    steps: int | None
    """asked for"""
    seconds: float | None
    """spent training"""
    return_mean: float | None
    """of the evaluation at the end"""
    return_std: float | None
    """over episodes, population"""
    normalized: float | None
    """100 × ``return_mean`` / largest possible return"""
    labels_r2: dict[str, float | None]
    """R² of the overlays of its newest weights, where known"""


class Runs(Schema):
    """What ``lawm runs`` prints."""

    folder: str
    """As given."""
    runs: tuple[RunSummary, ...]
    """Each run in it or below, by name."""


class Setting(Schema):
    """Something that ``--set`` changes."""

    key: str
    type: str
    """in words"""
    value: Any
    """of the preset, or else the default"""
    meaning: str


class Settings(Schema):
    """What ``lawm settings`` prints."""

    algorithm: str
    """As given."""
    preset: str
    """As given."""
    settings: tuple[Setting, ...]
    """Each key of ``--set``."""


class ObservedField(Schema):
    """A field of an observation."""

    name: str
    shape: tuple[int, ...]


class ExportPolicy(Schema):
    """What ``lawm export-policy`` prints."""

    run: str
    """As given."""
    out: str
    """As given."""
    bytes: int
    """Size of the file."""
    algorithm: str
    """Algorithm, or kind of agent."""
    weights: str
    """Hash of the weights."""
    observation: tuple[ObservedField, ...]
    """The fields in the order of the program's ``observation``."""
    state: int
    """Numbers that it remembers of each robot; 0 without ``state``."""
    action: ArraySpec
    """What it chooses."""


class ReliabilityBin(Schema):
    """A tenth of the inferred actions, by their stated error."""

    share: float
    expected: float
    observed: float


class GroupError(Schema):
    """Errors within a group of trajectories."""

    trajectories: int
    rmse: float
    r2: float | None
    nll: float


class LabelError(Schema):
    """How far inferred actions are from the true ones."""

    algorithm: str
    """Of the overlay."""
    method: str | None
    mask: str | None
    labeled: int | None
    """Trajectories whose actions the model saw."""
    trajectories: int
    """That it is judged on."""
    steps: int
    rmse: float
    """Error, R², and negative log-likelihood in nats per step and dimension. Dimensions of the
    action that never change have no R², and are left out of the mean."""
    r2: float | None
    nll: float
    rmse_per_dimension: tuple[float, ...]
    """The same by dimension; RMSE in the action's own units."""
    r2_per_dimension: tuple[float | None, ...]
    nll_per_dimension: tuple[float, ...]
    coverage: dict[Literal["50", "80", "95"], float]
    """Share of true actions within the stated ``50``, ``80`` and ``95`` percent intervals."""
    calibration_error: float
    """Mean distance of stated and observed error."""
    reliability: tuple[ReliabilityBin, ...]
    """Ten bins by stated error."""
    by_return: dict[str, GroupError]
    """Each third of the returns, as far as rewards were recorded: ``low``, ``middle``, ``high``."""
    by_source: dict[str, GroupError]
    """Each source."""


class CompareLabels(Schema):
    """What ``lawm compare-labels`` prints.

    Errors are on the scale on which half the action's range is 1, unless it says otherwise.
    """

    corpus: str
    """The corpus."""
    held_out: str | None
    """As given."""
    own: bool
    picture: str | None
    overlays: dict[str, LabelError]
    """Each overlay."""


class Check(Schema):
    """A check of an audit."""

    name: str
    passed: bool
    what: str


class StateCount(Schema):
    """How much is in a label state."""

    trajectories: int
    steps: int


class AuditedCorpus(Schema):
    """What a run could see of a corpus."""

    path: str
    mask: str | None
    states: dict[str, StateCount]
    observed: tuple[str, ...]
    """ids of those whose actions the run could see"""


class GarbageTest(Schema):
    """Runs on corpora with and without garbage in the place of hidden actions."""

    steps: int
    """Gradient steps of each training."""
    hidden_steps: int
    """Steps with garbage."""
    batches_equal: bool
    """Whether garbage left all batches the same."""
    weights: str
    """Hash of the weights: as they are, with garbage (must be equal), with other actions (must
    differ)."""
    weights_poisoned: str
    weights_altered: str
    labeled_windows: int
    """Windows with observed actions in the batches."""
    artefacts: tuple[str, ...]
    """What both runs wrote."""
    artefacts_differing: tuple[str, ...]
    """Which of it garbage changed."""


class Audit(Schema):
    """What ``lawm audit`` prints."""

    run: str
    """As given."""
    passed: bool
    """Whether every check passed."""
    checks: tuple[Check, ...]
    """Each check."""
    corpora: tuple[AuditedCorpus, ...]
    """The data."""
    poison: GarbageTest | None
    """The test with garbage for hidden actions, if records match the corpora."""


class ProbedTrajectories(Schema):
    """Trajectories of a probe."""

    fit: int
    """anchors and probes learned from them"""
    labeled: int
    """those of them whose actions the mask shows"""
    held_out: int
    """no training has seen them"""


class ProbeFigure(Schema):
    """A figure of a row."""

    mean: float
    std: float | None
    """sample standard deviation over seeds; null of fewer than three"""
    values: tuple[float, ...]
    """of each seed"""


class ProbeRow(Schema):
    """A row of a probe."""

    name: str
    kind: str
    """``run``, or the anchor: ``state_only``, ``acwm``, ``acwm_all``, ``unconstrained``, ``idm``"""
    runs: tuple[str, ...]
    """folders, by seed; none of an anchor that was trained for this table"""
    figures: dict[str, ProbeFigure]
    """by the names of columns; what does not apply is left out"""


class ProbeColumn(Schema):
    """A column of a probe."""

    name: str
    title: str
    best: str
    """``low``, ``high`` or ``neither``"""
    range: str
    definition: str
    silent: str
    """what it does not say"""
    shown: bool
    """whether the table has it"""


class Probe(Schema):
    """What ``lawm probe`` prints."""

    corpus: str
    """As given."""
    mask: str | None
    """As given."""
    held_out_by: str
    """``record``: the runs have seen the others; ``hash``: they have seen none."""
    trajectories: ProbedTrajectories
    """How many were for what."""
    transitions: int
    """That were judged."""
    simulated: int
    """Of them, in the state of another."""
    horizon: int
    """Steps that an action leads over."""
    steps: int
    """As given."""
    pairs: int
    """As given."""
    goals: int
    """As given."""
    seed: int
    """As given."""
    rows: tuple[ProbeRow, ...]
    """Runs, then anchors."""
    columns: tuple[ProbeColumn, ...]
    """What the figures are."""
    page: str | None
    """The page that was written."""


class Cell(Schema):
    """A run of a study."""

    corpus: str
    algorithm: str
    labels: float | str
    """a fraction, ``all``, or the name of a mask"""
    seed: int
    state: Literal["done", "begun", "open", "failed"]
    run: str
    """within ``out``"""
    command: str
    """the ``lawm train`` that does the same"""
    seconds: float | None
    error: str | None
    labeled: int
    """trajectories with actions"""
    return_mean: float | None
    normalized: float | None
    unjudged: str | None
    """why the probe found nothing, in a study that is judged by it"""


class Benchmark(Schema):
    """What ``lawm benchmark`` prints."""

    study: str
    """As given."""
    out: str
    results: str | None
    """Its ``results.json``."""
    dry_run: bool
    """As given."""
    done: int
    """Runs in each state."""
    begun: int
    open: int
    failed: int
    cells: tuple[Cell, ...]
    """Each run."""


class IntervalEstimate(Schema):
    """A figure and its 95% interval, which fewer than three seeds have not."""

    value: float
    low: float | None
    high: float | None


class TableColumn(Schema):
    """A column of a table."""

    algorithm: str
    title: str
    labels: float | str
    fraction: float
    """share of trajectories with actions"""
    average: float | None
    iqm: IntervalEstimate | None
    """interquartile mean"""


class Reported(Schema):
    """A number of the paper."""

    mean: float
    std: float


class Entry(Schema):
    """A cell of a table."""

    scores: tuple[float, ...]
    mean: float | None
    std: float | None
    """of the sample (n − 1), of three seeds or more"""
    stderr: float | None
    """of the mean, likewise"""
    best: bool
    """of the same labels on this corpus"""
    paper: Reported | None


class Row(Schema):
    """A row of a table."""

    corpus: str
    normalized: bool
    """whether scores are normalised returns"""
    entries: tuple[Entry, ...]
    """by column"""


class RunPair(Schema):
    """Two runs of one corpus and seed."""

    corpus: str
    seed: int
    difference: float


class RunDifference(Schema):
    """An algorithm compared with another one with the same labels."""

    algorithm: str
    labels: float | str
    mean: float
    """over all pairs"""
    by_corpus: dict[str, float]
    ahead: int
    """pairs in which it returns more"""
    p: float
    """two-sided, of a sign-flip test over all pairs"""
    pairs: tuple[RunPair, ...]


class ProbedRow(Schema):
    """A row of a table of probes."""

    corpus: str
    labels: float | str
    name: str
    kind: str
    """as of `lawm probe`"""
    figures: dict[str, ProbeFigure]
    """by the names of its columns"""


class Table(Schema):
    """What ``lawm table`` prints."""

    results: str
    """As given."""
    files: tuple[str, ...]
    """Written files."""
    name: str
    """Of the study."""
    seeds: tuple[int, ...]
    columns: tuple[TableColumn, ...]
    """Each column."""
    rows: tuple[Row, ...]
    """Each row."""
    against: str | None
    """Title of the algorithm that the others are compared with, as asked for."""
    differences: tuple[RunDifference, ...]
    """Each algorithm minus that one, for each label budget that both have."""
    probed: tuple[ProbedRow, ...]
    """Of a study that is judged by the probe, which has no scores: each algorithm, then anchors."""


class DemoCorpus(Schema):
    """The copy of the corpus in the package."""

    path: str
    trajectories: int
    labeled: int
    """those that keep their actions"""
    return_mean: float
    return_max: float


class DemoLabels(Schema):
    """The inferred actions of the demo."""

    name: str
    path: str
    trajectories: int
    nmse_per_dimension: tuple[float | None, ...] | None
    r2: float | None


class Demo(Train):
    """What ``lawm demo`` prints."""

    corpus: DemoCorpus
    """The unpacked corpus."""
    labels: DemoLabels
    """As of ``lawm relabel``."""
    picture: str
    """The picture."""
    dream: str | None
    """With ``--pixels`` the picture of a dream."""
    probe: dict[str, float] | None
    """With ``--pixels`` R² of each state field from the features."""


OUTPUTS: dict[str, type[Schema]] = {
    "lawm-data info": Info,
    "lawm-data collect": Collect,
    "lawm-data mask": Mask,
    "lawm-data features": Features,
    "lawm-data report": Report,
    "lawm-data render": Render,
    "lawm-data import": Import,
    "lawm-data export": Export,
    "lawm-data formats": Formats,
    "lawm-data filter": Filter,
    "lawm-data edit": Edit,
    "lawm-data rerender": Rerender,
    "lawm-data merge": Merge,
    "lawm-data split": Split,
    "lawm-data delete": Delete,
    "lawm-data tier": Tier,
    "lawm-data build": Build,
    "lawm-data validate": Validate,
    "lawm-data repair": Repair,
    "lawm-data push-to-hub": Push,
    "lawm-data pull": Pull,
    "lawm evaluate": Evaluate,
    "lawm plan": Plan,
    "lawm rank": Rank,
    "lawm train": Train,
    "lawm relabel": Relabel,
    "lawm runs": Runs,
    "lawm settings": Settings,
    "lawm export-policy": ExportPolicy,
    "lawm compare-labels": CompareLabels,
    "lawm audit": Audit,
    "lawm probe": Probe,
    "lawm benchmark": Benchmark,
    "lawm table": Table,
    "lawm demo": Demo,
}
"""What each command prints, in the order of the page."""
