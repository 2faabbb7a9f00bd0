"""The true onset of learning: a global test, where the textbook's critical beta is a local one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dualib.distortions import Array, Distortion, as_distortion
from dualib.engine.batch import Batch
from dualib.engine.initial import one_cluster
from dualib.engine.problem import Problem
from dualib.engine.search import price
from dualib.engine.stability import stability
from dualib.engine.starts import Points, columns, for_each
from dualib.engine.sweep import Sweep, log_c
from dualib.memory import check_solvable
from dualib.path.branch import distances
from dualib.path.touching import touching
from dualib.sparse_problem import engine_problem
from dualib.threads import one_blas_thread

if TYPE_CHECKING:
    from dualib.joint import JointDistribution

_INDEPENDENT = 1e12  # a beta beyond which there is nothing to learn but rounding
_ROUNDING = 1e-14  # of a difference of distortions, relative to the largest one
_BESIDE = 1e-3  # spread of beta (d(x, s) - d(x, r0)) below which s is right beside r0
_CLIMBS, _MOST_STEPS, _MOST_ROUNDS = 10, 80, 60
_FEW = 16  # points of lowest root that climb again
_NEAR = 2e-3  # in log beta, that the root found along the branch may lie lower: beside a split points climb slowly


@one_blas_thread
def onset(joint: JointDistribution, distortion: str | Distortion = "ib") -> float:
    """The true onset of learning: the largest beta at which the one-cluster solution is globally optimal.

    ``sup { beta : c(s) <= 1 for all s }`` at the one-cluster solution, a global test; `local_critical_beta` is an upper bound.

    Parameters
    ----------
    joint : JointDistribution
    distortion : "ib", "dualib" or Distortion

    Returns
    -------
    float
        0 where one cluster is infeasible (dual IB, no common support); inf where nothing can be learned (Y independent of X).

    Notes
    -----
    For a fixed s, ``log sum_x p(x) exp(-beta (d(x, s) - d(x, r0)))`` is convex in beta and 0 at beta = 0, so it has one more root
    beta(s), and the onset is its minimum over s: from any beta with a violation at s, go to beta(s), let s climb there, and
    so on; then search again. This is Newton's method on the maximum over s; the searches decide, so the value is as sure as
    a multistart certificate.
    """
    problem = engine_problem(joint, as_distortion(distortion), "onset")
    check_solvable(problem)
    return onset_of(problem, np.random.default_rng(0))


@np.errstate(all="ignore")
def onset_of(problem: Problem, rng: np.random.Generator) -> float:
    """`onset` on the reduced problem."""
    single = one_cluster(problem, [1.0])
    allowed = None if single is None else problem.allowed(single.face)
    if single is None or (allowed is not None and not allowed.all()):
        return 0.0
    number = float(stability(problem, single, Sweep(problem, single))[0])
    beta = 1.0 / number if number * _INDEPENDENT > 1.0 else math.inf
    points = columns(problem, 1) if problem.fixed else for_each(problem, problem.U, problem.source_face, 1)
    best = None
    for _ in range(_MOST_ROUNDS):
        at = crossings(problem, single, points)
        lower = float(at.min(initial=math.inf))
        if lower < beta:
            order = np.argsort(at, kind="stable")[:_FEW]
            beta, best, points = lower, points.pick(order[:1]), points.pick(order)
        elif not beta < _INDEPENDENT:
            return math.inf
        else:
            here = Batch(np.array([beta]), single.weights, single.means, single.owner, single.face)
            points = price(problem, here, Sweep(problem, here), tol=0.0, rng=rng).points
            if not len(points.means) or not (crossings(problem, single, points) < beta * (1.0 - 1e-13)).any():
                break
        points = points if problem.fixed or not beta < math.inf else _climbed(problem, single, beta, points)
    return beta if problem.fixed else _refined(problem, single, beta, best)


def crossings(problem: Problem, single: Batch, points: Points) -> Array:
    """beta(s) of points: the root beside 0 of ``log sum_x p(x) exp(-beta (d(x, s) - d(x, r0)))``; inf where there is none.

    Newton's method from the right, where this convex function is positive. Points right beside r0, where it is all but rounding,
    count as having none: their roots tend to the local critical beta.
    """
    excess = distances(problem, points.means, points.face) - distances(problem, single.means, single.face)
    lost = problem.lost(points.face)
    if lost is not None:
        excess[lost] = np.inf
    size = np.abs(np.where(np.isfinite(excess), excess, 0.0)).max(initial=0.0)
    scale = max(size, float(np.abs(problem.U).max())) * _ROUNDING
    falls = excess < -scale
    beta = np.where(falls, problem.log_px / np.where(falls, excess, -1.0), np.inf).min(axis=1)
    live = np.isfinite(beta)
    for _ in range(_MOST_STEPS):
        if not live.any():
            break
        exponents = problem.log_px - beta[live, None] * excess[live]
        top = exponents.max(axis=1, keepdims=True)
        terms = np.exp(exponents - top)
        total = terms.sum(axis=1)
        slope = -(terms * np.where(terms > 0.0, excess[live], 0.0)).sum(axis=1) / total
        step = (top[:, 0] + np.log(total)) / slope
        beta[live] -= np.where(slope > 0.0, step, 0.0)
        live[live] = (slope > 0.0) & (np.abs(step) > 1e-16 * beta[live])
    spread = beta * np.sqrt(np.where(np.isfinite(excess), excess, 1.0) ** 2 @ problem.px)
    return np.where((beta > 0.0) & (spread > _BESIDE), beta, np.inf)


def _climbed(problem: Problem, single: Batch, beta: float, points: Points) -> Points:
    """Points after some ascent steps of log c at the one-cluster solution of a beta."""
    here = Batch(np.array([beta]), single.weights, single.means, single.owner, single.face)
    log_z = Sweep(problem, here).log_z
    for _ in range(_CLIMBS):
        means = log_c(problem, here.beta, log_z, *points)[2]
        fine = np.isfinite(means).all(axis=1)
        points = Points(means[fine], points.face[fine], points.owner[fine])
    return points


def _refined(problem: Problem, single: Batch, beta: float, best: Points | None) -> float:
    """The beta at which what touches first does so, as a root along the branch of one cluster."""
    points = Points(single.means, single.face, single.owner) if best is None else _climbed(problem, single, beta, best)
    if not len(points.means):
        return beta
    start = Batch(np.array([beta * (1.0 - 1e-3)]), single.weights, single.means, single.owner, single.face)
    low, high = np.log(start.beta), np.log([beta * (1.0 + 1e-3)])
    found = float(np.exp(touching(problem, start, points.means, points.face, low, high, np.array([True])).log_beta[0]))
    return found if (1.0 - _NEAR) * beta < found < (1.0 + 1e-9) * beta else beta
