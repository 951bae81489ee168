"""Filling in missing actions: inferred by a trained model, written beside the corpus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypedDict, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from lawm_schemas import ArraySpec, ConfigError, LawmError, Role
from torch import Tensor

from lawm_data.batches.batch import Batch
from lawm_data.batches.stacks import stacked
from lawm_data.corpus.agreement import reads_alike
from lawm_data.corpus.corpus import Corpus, open_corpus
from lawm_data.corpus.integrity.leakage import shared_content
from lawm_data.corpus.mask import mask_sha256
from lawm_data.corpus.overlay import free_folder, half_range, write_overlay
from lawm_data.corpus.table import MISSING, WITHHELD
from lawm_data.corpus.trajectory import Trajectory
from lawm_data.corpus.transitions import known_transitions
from lawm_data.corpus.unexplained import r_squared, unexplained
from lawm_models.algorithms._protocol import Algorithm
from lawm_models.training import seeding
from lawm_models.training.experiment import data_now, is_of_unlabeled, seen_through
from lawm_models.training.run_folder import RunFolder

STEPS_AT_ONCE = 32768
"""Steps of a batch of whole trajectories, padding included."""
FRAMES_AT_ONCE = 512
"""The same where pixels are observed."""
Method = Literal["inverse", "smoothing"]
"""How actions are inferred; see ``relabel``."""


@runtime_checkable
class Smoother(Protocol):
    """An algorithm whose world model can weigh inferred actions."""

    def smooth_actions(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "B T A"], Float[Tensor, "B T A"]] | None:
        """As ``Algorithm.infer_actions``, but by what the model makes of later observations."""
        ...


class Label(NamedTuple):
    """The inferred actions of one trajectory."""

    trajectory: str
    """Its id."""
    mean: Float[np.ndarray, "T A"]
    """Actions in environment units."""
    std: Float[np.ndarray, "T A"]
    """Their uncertainty."""


class Relabeled(TypedDict):
    """What came of inferring actions."""

    nmse_per_dimension: list[float | None] | None
    """Mean squared error over the variance of the true actions; None where nobody asked, or no
    truth is known, and for a dimension that never changes."""
    r2: float | None
    """1 minus the mean of those that are known."""
    trajectories: int
    """Trajectories that have inferred actions now."""
    left_out: int
    """Trajectories that are not certain enough."""
    uncertainty: dict[str, float]
    """``min``, ``median`` and ``max`` of all trajectories."""
    method: Method
    """How they were inferred."""
    name: str
    """What they are called."""
    path: str
    """Where they are."""
    dry_run: bool
    """Nothing was written."""


def relabel(
    run: RunFolder | Path | str,
    corpus: Path | str,
    name: str,
    replace: bool = False,
    method: Method = "inverse",
    max_uncertainty: float | None = None,
    dry_run: bool = False,
    truth_from_withheld: bool = False,
) -> Relabeled:
    """Infer the actions that the run could not see and write them as a label overlay.

    Every trajectory is read whole, so that the state is filtered from its first step. No hidden
    action is read, unless ``truth_from_withheld`` asks how good the labels are; what is found then
    is returned and not written, so that an overlay holds nothing that was made of hidden actions.

    Args:
        run: the run, or its folder.
        corpus: the corpus; seen through the run's mask if the run was trained on it.
        name: of the overlay.
        replace: an overlay of this name gives way.
        method: ``inverse`` asks the algorithm for its inferred actions, ``smoothing`` weighs them
            by what its world model foresees.
        max_uncertainty: trajectories whose ``uncertainty`` is larger are left out, whole: an
            overlay labels all steps of a trajectory or none.
        dry_run: write nothing.
        truth_from_withheld: compare the labels with the true actions, where a mask only hides them.

    Raises:
        ConfigError: nothing to relabel or nothing certain enough, a corpus of another environment,
            one that is a copy in which actions are missing that the run saw, or an algorithm that
            infers no actions.
        CorpusError: the name is taken, or the corpus was altered.
    """
    run = run if isinstance(run, RunFolder) else RunFolder.open(run)
    whole = open_corpus(corpus, verify=True).observing(run.config.observe)
    view = _as_seen(run, whole)
    path = free_folder(whole.path, name, replace)
    hidden = hidden_trajectories(view)
    if not len(hidden):
        raise ConfigError(
            "the run could read every action", str(whole.path), "there is nothing to relabel"
        )
    _require_unseen(run, whole, hidden)
    algorithm, weights = run.trained()
    with seeding.thread_limit(run.config.threads):
        stack = run.config.frame_stack
        labels = list(infer_labels(algorithm, view, hidden, method, stack))
    uncertain = uncertainty(labels, view.manifest.action, view.table.final_observed[hidden])
    limit = np.inf if max_uncertainty is None else max_uncertainty
    kept = np.flatnonzero(uncertain <= limit)
    if not len(kept):
        what = f"no trajectory is as certain as {limit:.4g}"
        raise ConfigError(what, "--max-uncertainty", f"the best is at {uncertain.min():.4g}")
    labels = [labels[i] for i in kept]
    errors = None
    if truth_from_withheld:
        errors = errors_against(whole, [hidden[i] for i in kept], labels)
    if not dry_run:
        write_overlay(
            view,
            labels,
            name=name,
            model=weights,
            algorithm=run.config.algorithm.name,
            method=method,
            max_uncertainty=max_uncertainty,
            replace=replace,
        )
    low, median, high = np.quantile(uncertain, (0, 0.5, 1)).tolist()
    return {
        "nmse_per_dimension": None if errors is None else list(errors),
        "r2": None if errors is None else r_squared(errors),
        "trajectories": len(labels),
        "left_out": len(hidden) - len(labels),
        "uncertainty": {"min": low, "median": median, "max": high},
        "method": method,
        "name": name,
        "path": str(path),
        "dry_run": dry_run,
    }


def uncertainty(
    labels: Sequence[Label], action: ArraySpec, final_observed: Bool[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Root mean square of the stated std of each trajectory, over steps and dimensions.

    In units of half the action's range, so that it is about 0.58 for guessing uniformly. A last
    step of which nobody recorded where it led says nothing of the others, and counts only if it is
    the only one.
    """
    half = half_range(action)
    counts = [max(1, len(x.std) - (not f)) for x, f in zip(labels, final_observed, strict=True)]
    return np.array(
        [
            np.sqrt(np.square(label.std[:count] / half).mean())
            for label, count in zip(labels, counts, strict=True)
        ]
    )


def hidden_trajectories(view: Corpus) -> list[int]:
    """Positions in a view of the trajectories without a single readable action."""
    return np.flatnonzero(np.isin(view.table.labels, (WITHHELD, MISSING))).tolist()


def infer_labels(
    algorithm: Algorithm,
    view: Corpus,
    positions: Sequence[int],
    method: Method = "inverse",
    frame_stack: int = 1,
) -> Iterator[Label]:
    """Labels of some trajectories of a view, in their order.

    Args:
        algorithm: infers them.
        view: the corpus as the run sees it.
        positions: trajectories in it.
        method: see ``relabel``.
        frame_stack: frames that it sees at every step.

    Raises:
        ConfigError: the algorithm infers no actions, or not by this method.
    """
    infer = algorithm.infer_actions
    if method == "smoothing":
        if not isinstance(algorithm, Smoother):
            raise ConfigError(
                "has no world model to smooth with", "--method smoothing", "use --method inverse"
            )
        infer = algorithm.smooth_actions
    cameras = tuple(s.name for s in view.manifest.observations if s.role is Role.pixels)
    limit = FRAMES_AT_ONCE if cameras else STEPS_AT_ONCE
    for group in groups(view.table.length[np.asarray(positions)], limit):
        trajectories = [view[positions[i]] for i in group]
        batch = batch_of(trajectories, view.manifest.action.size, cameras, frame_stack)
        inferred = infer(batch)
        if inferred is None:
            raise ConfigError(
                "infers no actions", "algorithm.name", "relabel with a run of another algorithm"
            )
        mean, std = (tensor.cpu().numpy() for tensor in inferred)
        for i, trajectory in enumerate(trajectories):
            label = Label(trajectory.info.id, mean[i, : len(trajectory)], std[i, : len(trajectory)])
            yield label if trajectory.final_observed else _without_last(label, view.manifest.action)


def _without_last(label: Label, action: ArraySpec) -> Label:
    """The label of a trajectory whose last action led to nothing that was recorded.

    Nothing is known of that action: it is uniform within the bounds.
    """
    mean, std, half = label.mean.copy(), label.std.copy(), half_range(action)
    bounds = action.bounds()
    mean[-1] = 0 if bounds is None else np.mean(bounds, axis=0).ravel()
    std[-1] = half / np.sqrt(3)
    return Label(label.trajectory, mean, std)


def errors_against(
    whole: Corpus, positions: Sequence[int], labels: Sequence[Label]
) -> tuple[float | None, ...] | None:
    """Mean squared error over the variance of the true actions, per dimension.

    Args:
        whole: the corpus without a mask.
        positions: trajectories in it.
        labels: their labels, in the same order.

    Returns:
        A number per dimension over all observed steps, see ``unexplained``, or None when there
        are none.
    """
    truths, predictions = [], []
    for position, label in zip(positions, labels, strict=True):
        trajectory = whole[position]
        if trajectory.actions is not None:
            observed = known_transitions(trajectory)
            truths.append(trajectory.actions.reshape(label.mean.shape)[observed])
            predictions.append(label.mean[observed])
    if not sum(map(len, truths)):
        return None
    return unexplained(np.concatenate(truths), np.concatenate(predictions))


def batch_of(
    trajectories: Sequence[Trajectory],
    action_dim: int,
    cameras: Sequence[str],
    frame_stack: int = 1,
) -> Batch:
    """Whole trajectories as one batch without actions, padded to the longest."""
    lengths = torch.tensor([len(t) for t in trajectories])
    size = (len(trajectories), int(lengths.max()))
    step, seen = torch.arange(size[1]), torch.tensor([t.final_observed for t in trajectories])
    real = step < lengths[:, None]
    unseen = (step == lengths[:, None] - 1) & ~seen[:, None]
    return Batch(
        observation=_stack([t.observations.state for t in trajectories], size[1] + 1),
        action=torch.zeros(*size, action_dim),
        action_mask=torch.zeros(size, dtype=torch.bool),
        reward=_stack([t.rewards for t in trajectories], size[1]) * real,
        rewarded=torch.tensor([t.is_rewarded for t in trajectories]),
        terminated=_stack([t.terminated for t in trajectories], size[1]) & real,
        valid=real & ~unseen,
        unseen=unseen,
        labeled=torch.zeros(size[0], dtype=torch.bool),
        trajectory=torch.arange(size[0]),
        start=torch.zeros(size[0], dtype=torch.int64),
        pixels={
            camera: _stack(
                [_frames(t.observations[camera], frame_stack) for t in trajectories], size[1] + 1
            )
            for camera in cameras
        },
    )


def _frames(images: np.ndarray, count: int) -> np.ndarray:
    """(T+1, h, w, count·c): the images of a whole trajectory, stacked."""
    if count == 1:
        return images
    early = np.concatenate([images[:1].repeat(count - 1, 0), images])
    return stacked(early[None], np.zeros(1, np.int64), count)[0]


def _stack(arrays: Sequence[np.ndarray], rows: int) -> Tensor:
    """One array per row, each extended to so many rows by repeating its last."""
    index = np.arange(rows)
    return torch.from_numpy(np.stack([a[np.minimum(index, len(a) - 1)] for a in arrays]))


def groups(lengths: np.ndarray, limit: int) -> Iterator[range]:
    """Neighbours in groups of about so many padded steps."""
    first = 0
    for end in range(1, len(lengths) + 1):
        longest = int(lengths[first : end + 1].max())
        if end == len(lengths) or (end + 1 - first) * longest > limit:
            yield range(first, end)
            first = end


def require_readable(run: RunFolder, whole: Corpus) -> None:
    """Refuse a corpus that the run cannot read.

    Raises:
        ConfigError: it is one.
    """
    cameras = [(s.name, s.shape) for s in whole.manifest.observations if s.role is Role.pixels]
    same_cameras = cameras == [(s.name, s.shape) for s in run.record.pixels]
    if not (same_cameras and reads_alike(whole, run.record.state, run.record.action)):
        raise ConfigError(
            "its observations or actions are not those of the run",
            str(whole.path),
            f"the run reads {', '.join(s.name for s in run.record.observations)}",
        )
    run.encoders().require_same(whole)


def _as_seen(run: RunFolder, whole: Corpus) -> Corpus:
    """The corpus through the mask that the run saw it through, if it saw it at all."""
    require_readable(run, whole)
    seen = seen_through(run.path, run.record.corpora, whole)
    if seen is None or seen.mask is None:
        return whole
    view = whole.with_mask(seen.mask)
    if view.mask and mask_sha256(view.mask) != seen.mask_sha256:
        raise ConfigError(
            "is not the mask that the run was trained under",
            f"{whole.path}: mask {seen.mask}",
            "restore the mask",
        )
    return view


def _require_unseen(run: RunFolder, whole: Corpus, hidden: Sequence[int]) -> None:
    """Refuse trajectories whose actions the run has seen in another corpus.

    A copy of a corpus, such as ``mask --withhold`` writes, has a fingerprint of its own, and its
    hidden actions are missing. Corpora of the run that are gone or have changed tell nothing.

    Args:
        run: the run.
        whole: the corpus.
        hidden: places of those trajectories.

    Raises:
        ConfigError: it has.
    """
    for record, source in zip(run.record.corpora, run.config.corpora, strict=True):
        try:
            (view,) = data_now(run.config.model_copy(update={"corpora": (source,)}))
        except LawmError:
            continue
        if view is None or not is_of_unlabeled(record, view):
            continue
        if view.root_fingerprint == whole.root_fingerprint:
            continue  # its mask says what was seen
        seen = view.index.position[view.table.num_observed > 0].tolist()
        if count := len(shared_content(whole.path, hidden, view.path, seen)):
            what = f"lacks the actions of {count:,} trajectories that the run saw with them"
            raise ConfigError(
                f"{what}, in {record.path}",
                str(whole.path),
                "take a run that was trained on this corpus, or under a mask that hides them",
            )
