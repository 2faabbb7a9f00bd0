"""How much of a curve is the sample's: `cross_fit`.

The encoder is chosen on one half of the observations and measured on the other, so that nothing is measured on what chose it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dualib._validation import (
    is_sparse,
    random_generator,
    validate_at_least_zero,
    validate_betas,
    validate_integer,
)
from dualib.data.labelled import labelled
from dualib.distortions.exponential import ExponentialFamily
from dualib.distortions.interface import Array, Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.engine.choice import MOST_DENSE_CELLS, engine_problem
from dualib.engine.rounding import check_beta
from dualib.engine.sizes import check_solvable
from dualib.information.entropies import mutual_information_of
from dualib.joint import JointDistribution
from dualib.many.workers import in_order, pool_of, value_of
from dualib.memory import in_words, least_memory
from dualib.path.grid import all_around
from dualib.path.onset import onset_of
from dualib.path.points import Points
from dualib.predict.cross_fit_result import CrossFit
from dualib.predict.scores import log_loss_of
from dualib.predict.tables import as_count_table, draw
from dualib.progress import Progress, Reporter, reporter
from dualib.results.solution import Solution
from dualib.solving.solver import check_options, solve
from dualib.warnings import warn_of_convergence

_STRENGTHS = np.geomspace(1e-3, 30.0, 13)  # pseudocounts to choose from
_BETAS, _SATURATED = 12, 0.05  # of the grid where none is given, which ends where all but this part of I(X;Y) is kept
_MOST_SWEEPS = 20_000
_VALIDATION = 0.25  # of the training half that is set aside to choose the smoothing by
_FEWEST = 4  # observations that make two halves of more than one each


class Measured(NamedTuple):
    """Of encoders on counts that did not choose them: relevance, log loss and smoothing (m,), and the largest gap."""

    relevance: Array
    loss: Array
    smoothing: Array
    gap: float


@door
def cross_fit(
    counts: Any,
    distortion: str | Distortion = "ib",
    betas: npt.ArrayLike | None = None,
    n_splits: int = 5,
    smoothing: float | None = None,
    random_state: int | np.random.Generator | None = None,
    *,
    table_smoothing: float = 0.0,
    n_shuffles: int = 20,
    tol: float = 1e-2,
    n_jobs: int | None = None,
    progress: Progress = False,
) -> CrossFit:
    """How much of a curve is the sample's: relevance and prediction of encoders on counts that did not choose them.

    For each split the observations are divided into two halves at random. At each beta the encoder is solved for on the one half and
    measured on the other, and the other way round; the mean of both is the value of the split. Besides, the curve of all counts with
    its in-sample (plug-in) relevance, and the onsets of tables with y shuffled within the sample, which hold nothing but noise.

    Parameters
    ----------
    counts : array_like, scipy.sparse matrix, pandas.DataFrame or table with labels, shape (n_x, n_y)
        Whole numbers: how often each pair (x, y) was seen.
    distortion : "ib", "dualib" or Distortion
        Of an `ExponentialFamily` p(y|x) is its own, whatever the counts: fit it to other samples. It has no shuffled onsets.
    betas : array_like, shape (m,), optional
        Trade-offs, > 0. None: 12 in geometric steps, from below the onset of all counts to where 95% of their I(X;Y) is kept.
    n_splits : int
        Random divisions into halves. Two are the least for a standard error.
    smoothing : float, optional
        Pseudocounts of the predictions, >= 0: the mean number added to each cell of the table of clusters by y, spread like p(y).
        None: for each beta and half the one of 13 from .001 to 30 that is best for a quarter of that half, the training part, by
        encoders of the rest of it. Given, it saves half of the time.
    random_state : int, Generator or None
        Seed of the splits and shuffles; None is a fixed seed.
    table_smoothing : float
        Added to every cell of each table before it is solved, as of `JointDistribution.from_counts`: the dual IB, whose clusters
        no zero of p(y|x) lets join, needs it on samples. What is measured are the counts as they are.
    n_shuffles : int
        Tables with y shuffled; 0 for none.
    tol : float
        Wanted gap of the many solutions, nats; small beside what the sample leaves open. `best` is solved to 1e-9.
    n_jobs : int, optional
        Splits and shuffles at a time, as of `compare_predictions`; the result is the same for all. Needs the extra `parallel` where
        it is not 1.
    progress : bool or callable
        As of `anneal`; a step is a beta of all counts, a split or a shuffle.

    Returns
    -------
    CrossFit

    Raises
    ------
    ValueError, TypeError
        A bad argument, named with its value; counts that are not whole, or fewer than four.

    Warns
    -----
    ConvergenceWarning
        One for all solutions that missed `tol`.

    Notes
    -----
    The relevance measured on a half of N observations is the plug-in I(T;Y) of its soft table of clusters by y, less the
    Miller-Madow term ``(t - 1) (y - 1) / (2 N)``, with the t clusters and the y that occur in it. An x without counts in the half
    that chose the encoder gets p(t|x) = p(t). Where the observations are fewer than the cells t y, the term takes away too much, and
    the value falls below 0: then there is nothing to measure.

    The encoder has seen half of the data, so its relevance is below that of the encoder of all counts. It hardly ever peaks along
    beta, for a finer encoder is never worse where p(y|t) is known. The held-out log loss does have a least value: p(y|t) has to be
    estimated too, from the half that chose the encoder, and so every cluster is paid for.

    The standard errors are over the splits of one sample: they say how well the mean over splits is known, not how another sample
    would come out.

    Examples
    --------
    >>> import dualib, numpy as np
    >>> counts = np.random.default_rng(0).multinomial(400, np.full(60, 1 / 60)).reshape(20, 3)  # x tells nothing of y
    >>> result = dualib.cross_fit(counts, betas=[20.0, 60.0], n_splits=3, n_shuffles=0)
    >>> bool((result.relevance > 0.01).all()), bool((result.cross_fitted_relevance < 0.01).all())
    (True, True)
    """
    _refuse_large(counts)
    table = as_count_table("counts", counts)
    kind = as_distortion(distortion)
    check_options(tol)
    wanted = None if betas is None else sorted(set(validate_betas(betas)))
    splits, shuffles = validate_integer("n_splits", n_splits, 1), validate_integer("n_shuffles", n_shuffles, 0)
    strengths = _STRENGTHS if smoothing is None else np.array([validate_at_least_zero("smoothing", smoothing)])
    added = validate_at_least_zero("table_smoothing", table_smoothing)
    _check_divisible(table, kind)
    seed = int(random_generator(random_state).integers(2**31))
    pool = pool_of(n_jobs)
    with reporter(progress, "cross-fit") as report:
        report.expect(splits + shuffles * (not isinstance(kind, ExponentialFamily)))
        joint = _joint(table, kind, added, *labelled("counts", counts)[1:])
        onset, path = _path(joint, kind, wanted, tol, report)
        grid = [solution.beta for solution in path]
        halves = functools.partial(_split, table, kind, grid, strengths, added, tol, seed)
        measured = _collected(pool, halves, splits, report)
        null: list[float] = []
        if not isinstance(kind, ExponentialFamily):
            null = _collected(pool, functools.partial(_null_onset, table, kind, added, seed), shuffles, report)
    missed = max([solution.gap for solution in path] + [part.gap for part in measured])
    if missed > tol:
        warn_of_convergence(f"cross_fit: a gap of {missed:.1e} nats, tol {tol:g}; the numbers may be off by as much")
    losses = np.array([part.loss for part in measured])
    least = int(np.argmin(losses.mean(axis=0)))
    return CrossFit(
        counts=table,
        solutions=tuple(path),
        relevance=np.array([_plug_in(solution.encoder, table) for solution in path]),
        relevance_of_splits=np.array([part.relevance for part in measured]),
        log_loss_of_splits=losses,
        smoothing_of_splits=np.array([part.smoothing for part in measured]),
        onset=onset,
        null_onsets=np.array(null, dtype=np.float64),
        best=solve(joint, grid[least], kind),
    )


def _collected(pool: Any, call: Any, count: int, report: Reporter) -> list[Any]:
    values = []
    with contextlib.closing(in_order(pool, call, [(i,) for i in range(count)])) as outcomes:
        for outcome in outcomes:
            values.append(value_of(outcome))
            report.step()
    return values


def _joint(
    table: Array, kind: Distortion, added: float, x_labels: Sequence[str] | None = None, y_labels: Sequence[str] | None = None
) -> JointDistribution:
    """The empirical distribution to solve; of a family its own conditionals, with the p(x) of the counts."""
    if isinstance(kind, ExponentialFamily):
        return JointDistribution.from_conditionals(kind.conditionals(), table.sum(axis=1) / table.sum(), x_labels, y_labels)
    return JointDistribution.from_counts(table, added, x_labels, y_labels)


def _path(
    joint: JointDistribution, kind: Distortion, betas: list[float] | None, tol: float, report: Reporter
) -> tuple[float, list[Solution]]:
    """The onset, and the solutions on all counts, ascending in beta; with `betas` None on a grid of its own."""
    problem = engine_problem(joint, kind, "cross_fit")
    check_solvable(problem)
    points = Points(problem, tol, _MOST_SWEEPS, 0, report)
    onset = onset_of(problem, np.random.default_rng(0))
    if betas is not None:
        check_beta(problem, max(betas), "betas")
    points.solve(all_around(points, onset, None, None, count=_BETAS, saturated=_SATURATED) if betas is None else betas)
    return onset, points.solutions()


def _split(
    table: Array, kind: Distortion, betas: list[float], strengths: Array, added: float, tol: float, seed: int, split: int
) -> Measured:
    """One split: means of both directions."""
    rng = np.random.default_rng([seed, 0, split])
    first = draw(rng, table, int(table.sum()) // 2)
    rules = (kind, betas, added, tol)
    parts = []
    for chooses, measures in ((first, table - first), (table - first, first)):
        held_out = draw(rng, chooses, max(round(_VALIDATION * float(chooses.sum())), 1))
        chosen, gap = _strengths(chooses - held_out, held_out, strengths, *rules)
        part = _direction(chooses, measures, chosen, *rules)
        parts.append(part._replace(gap=max(part.gap, gap)))
    one, other = parts
    relevance, loss, smoothing = (0.5 * (a + b) for a, b in zip(one[:3], other[:3], strict=True))
    return Measured(relevance, loss, smoothing, max(one.gap, other.gap))


def _strengths(
    kept: Array, held_out: Array, strengths: Array, kind: Distortion, betas: list[float], added: float, tol: float
) -> tuple[Array, float]:
    """For each beta the smoothing of least log loss on a part of the training half that is set aside; the largest gap."""
    if len(strengths) == 1:
        return np.full(len(betas), strengths[0]), 0.0
    encoders, gap = _encoders(kept, kind, betas, added, tol)
    losses = [[log_loss_of(_predicted(encoder, strength, kept), held_out) for strength in strengths] for encoder in encoders]
    return strengths[np.argmin(losses, axis=1)], gap


def _direction(
    chooses: Array, measures: Array, strengths: Array, kind: Distortion, betas: list[float], added: float, tol: float
) -> Measured:
    """Encoders chosen on one half and measured on the other, with the smoothing (m,) of each."""
    encoders, gap = _encoders(chooses, kind, betas, added, tol)
    pairs = list(zip(encoders, strengths, strict=True))
    relevance = np.array([corrected_relevance(encoder, measures) for encoder in encoders])
    loss = np.array([log_loss_of(_predicted(encoder, strength, chooses), measures) for encoder, strength in pairs])
    return Measured(relevance, loss, strengths, gap)


def _encoders(table: Array, kind: Distortion, betas: list[float], added: float, tol: float) -> tuple[list[Array], float]:
    """The optimal encoders (n_x, n_t) of counts at each beta, p(t|x) = p(t) of an x that nothing is known of; the largest gap."""
    points = Points(engine_problem(_joint(table, kind, added), kind, "cross_fit"), tol, _MOST_SWEEPS, 0, Reporter())
    points.solve(betas)
    solutions = points.solutions()
    unknown = table.sum(axis=1) == 0.0
    if added or isinstance(kind, ExponentialFamily):  # these tell of every x
        unknown[:] = False
    encoders = [np.where(unknown[:, None], solution.weights, solution.encoder) for solution in solutions]
    return encoders, max(solution.gap for solution in solutions)


def corrected_relevance(encoder: Array, counts: Array) -> float:
    """I(T;Y) of an encoder (n_x, n_t) on counts that did not choose it, less the Miller-Madow term, nats."""
    pairs = encoder.T @ counts
    clusters, columns = (np.count_nonzero(pairs.sum(axis=axis)) for axis in (1, 0))
    return mutual_information_of(pairs / pairs.sum()) - (clusters - 1) * (columns - 1) / (2.0 * float(counts.sum()))


def _plug_in(encoder: Array, counts: Array) -> float:
    pairs = encoder.T @ counts
    return mutual_information_of(pairs / pairs.sum())


def _predicted(encoder: Array, strength: float, counts: Array) -> Array:
    """``p(y|x) = sum_t p(t|x) p(y|t)``, p(y|t) of the counts with `strength` of them added to each cell, on average.

    They are spread like p(y), each y counted once more.
    """
    prior = counts.sum(axis=0) + 1.0
    rows = encoder.T @ counts + strength * prior / prior.mean()
    rows[rows.sum(axis=1) == 0.0] = prior  # a cluster of x without counts, which only smoothing of the table has made
    return np.asarray(encoder @ (rows / rows.sum(axis=1, keepdims=True)))


def _null_onset(table: Array, kind: Distortion, added: float, seed: int, shuffle: int) -> float:
    """The onset of a table of the same margins with x and y independent: y shuffled within the sample."""
    from scipy.stats import random_table

    rng = np.random.default_rng([seed, 1, shuffle])
    shuffled = random_table(table.sum(axis=1).astype(np.int64), table.sum(axis=0).astype(np.int64), seed=rng).rvs()
    joint = JointDistribution.from_counts(np.asarray(shuffled, dtype=np.float64), added)
    return onset_of(engine_problem(joint, kind, "cross_fit"), np.random.default_rng(0))


def _refuse_large(counts: Any) -> None:
    """Refuse a sparse table of more cells than would be made dense unasked, before it is, with what that would take."""
    matrix = getattr(counts, "counts", counts)
    if is_sparse(matrix) and matrix.shape[0] * matrix.shape[1] > MOST_DENSE_CELLS:
        size = in_words(least_memory(matrix.shape[0], matrix.shape[1], matrix.shape[1]))
        raise ValueError(
            f"counts: cross_fit needs the dense form, and this sparse table has {matrix.shape[0]} x {matrix.shape[1]} cells, more "
            f"than {MOST_DENSE_CELLS}, whose solves would take {size} of memory at"
            " least: leave out rare x or y, join them, or give the dense table"
        )


def _check_divisible(table: Array, kind: Distortion) -> None:
    """Refuse what cannot be divided into different halves, or is not of the x of the family."""
    if table.sum() < _FEWEST or np.count_nonzero(table) < 2:
        raise ValueError(
            f"counts must hold at least {_FEWEST} observations, in more than one cell, got {int(table.sum())} in "
            f"{np.count_nonzero(table)}: there are no two halves of it that differ"
        )
    if isinstance(kind, ExponentialFamily) and (kind.n_x, kind.n_y) != table.shape:
        raise ValueError(f"counts must have the shape of the family, {(kind.n_x, kind.n_y)}, got {table.shape}")
