"""The betas of a curve where none are given: from below the onset to saturation, refined where the curve bends."""

from __future__ import annotations

import math

import numpy as np

from dualib.distortions.interface import Array
from dualib.path.points import Points
from dualib.results.enclosure import Enclosure

LARGEST_BETA = 1e4
SATURATED = 1e-3  # the grid ends where all but this part of I(X;Y) is kept
COARSE_POINTS = 16
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
        high = _saturation(points, 4.0 * max(scale, low), saturated) if math.isfinite(first) else 4.0 * max(scale, low)
    return np.geomspace(low, max(high, 1.25 * low), count)


def _saturation(points: Points, beta: float, saturated: float) -> float:
    """The first beta, by doubling, at which all but that part of I(X;Y) is kept."""
    total = points.problem.joint.mutual_information
    while beta < LARGEST_BETA:
        points.solve([beta])
        (solution,) = points.solutions()
        points.forget(beta)
        if solution.relevance >= (1.0 - saturated) * total:
            break
        beta *= 2.0
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
