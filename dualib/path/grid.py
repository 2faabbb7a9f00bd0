"""The betas of a curve where none are given: from below the onset to saturation, refined where the curve bends."""

from __future__ import annotations

import math
import warnings

import numpy as np

from dualib.distortions.interface import Array
from dualib.path.points import Points
from dualib.results.enclosure import Enclosure
from dualib.warnings import DualibWarning

LARGEST_BETA = 1e4
SATURATED = 1e-3  # the grid ends where all but this part of I(X;Y) is kept
COARSE_POINTS = 16
# of a large sparse problem: the clusters at which the grid ends; the factor by which beta rises until there, at first and at most;
# and by which the clusters must become more for a smaller one, and less for a larger one
MOST_CLUSTERS = 32
_FIRST_FACTOR, _LARGEST_FACTOR, _FAST, _SLOW = 1.05, 2.0, 1.6, 1.2
LARGEST_STEP = 0.04  # in rate and relevance, relative to their ranges, between neighbours of the adaptive grid
MOST_POINTS = 120
MOST_FOR_ENCLOSURE = 4_000
JUMP, SAME = 1e-2, 1e-9  # in log beta, of intervals that are divided no further: for the shape, and for the enclosure


def all_around(
    points: Points,
    first: float,
    low: float | None,
    high: float | None,
    *,
    count: int = COARSE_POINTS,
    saturated: float = SATURATED,
) -> Array:
    """A coarse grid around the onset `first`: its ends, where not given, below the onset and where the relevance saturates."""
    scale = first if 0.0 < first < math.inf else 1.0
    if low is None:
        low = 0.8 * scale if high is None else min(0.8 * scale, 0.5 * high)
    if high is None:
        begin = (1.0 if points.problem.is_sparse else 4.0) * max(scale, low)
        high = _saturation(points, begin, saturated) if math.isfinite(first) else 4.0 * max(scale, low)
    return np.geomspace(low, max(high, 1.25 * low), count)


def _saturation(points: Points, beta: float, saturated: float) -> float:
    """The first beta, by doubling, at which all but that part of I(X;Y) is kept."""
    total = points.problem.joint.mutual_information
    if points.problem.is_sparse:
        return _end_of_few(points, beta, (1.0 - saturated) * total)
    while beta < LARGEST_BETA:
        points.solve([beta])
        (solution,) = points.solutions()
        points.forget(beta)
        if solution.relevance >= (1.0 - saturated) * total:
            break
        beta *= 2.0
    return min(beta, LARGEST_BETA)


def _end_of_few(points: Points, beta: float, relevance: float) -> float:
    """The first beta of a large sparse problem at which so much is kept, or at which there are MOST_CLUSTERS.

    The factor by which beta rises follows the number of clusters, for twice as large a beta may have too many to be solved.
    """
    factor, before = _FIRST_FACTOR, 1
    while beta < LARGEST_BETA:
        beta *= factor
        points.solve([beta])
        solution = points.solutions()[-1]
        points.forget(beta)
        if solution.relevance >= relevance:
            break
        if solution.n_clusters >= MOST_CLUSTERS:
            warnings.warn(
                f"the grid of this sparse p(x, y) ends at beta={beta:.6g} with {solution.n_clusters} clusters, which keep"
                f" {solution.relevance:.6g} of {points.problem.joint.mutual_information:.6g} nats: give beta_max for more, whose"
                " time grows with the clusters, or a cap n_clusters",
                DualibWarning,
                stacklevel=6,
            )
            break
        grown, before = solution.n_clusters / before, solution.n_clusters
        factor = math.sqrt(factor) if grown > _FAST else min(factor**2, _LARGEST_FACTOR) if grown < _SLOW else factor
    return min(beta, LARGEST_BETA)


def refine_shape(points: Points) -> None:
    """Add the middle of intervals across which rate or relevance change too much, widest change first."""
    while len(points.found) < MOST_POINTS:
        solutions, betas = points.solutions(), np.array(points.betas)
        rate, relevance = (np.array([getattr(solution, name) for solution in solutions]) for name in ("rate", "relevance"))
        step = np.maximum(_relative_steps(rate), _relative_steps(relevance))
        step[np.diff(np.log(betas)) < JUMP] = 0.0  # a jump stays a jump however close the grid
        wide = np.argsort(-step, kind="stable")[: MOST_POINTS - len(betas)]
        wide = wide[step[wide] > LARGEST_STEP]
        if not len(wide):
            break
        points.solve(np.sqrt(betas[wide] * betas[wide + 1]))


def refine_enclosure(points: Points, width: float) -> None:
    """Add the middle of intervals inside which the enclosure of the objective is wider than `width`."""
    while len(points.found) < MOST_FOR_ENCLOSURE:
        betas, gaps = np.array(points.betas), Enclosure.of(points.solutions()).widths()
        gaps[np.diff(np.log(betas)) < SAME] = 0.0
        wide = np.flatnonzero(gaps > width)
        if not len(wide):
            break
        points.solve(np.sqrt(betas[wide] * betas[wide + 1]))


def _relative_steps(values: Array) -> Array:
    span = np.ptp(values)
    return np.abs(np.diff(values)) / span if span > 0.0 else np.zeros(len(values) - 1)
