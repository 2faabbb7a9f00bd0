"""The true onset of learning: the largest beta at which one cluster is globally optimal."""

from __future__ import annotations

import math

import numpy as np

from dualib.distortions import Array
from dualib.engine.batch import Batch
from dualib.engine.faces import has_faces, look_at_faces
from dualib.engine.initial import feasible, one_cluster
from dualib.engine.problem import Problem
from dualib.engine.search import climb, price
from dualib.engine.stability import stability
from dualib.engine.starts import Points, columns, for_each
from dualib.engine.sweep import Sweep, log_c

_POSITIVE = 1e-14  # log c above this is a violation: rounding in d counts beta-fold
_FIRST, _LARGEST = 1e-3, 1e12  # betas between which a violation is looked for where the local test tells none
_NEWTON, _CLOSE = 100, 1e-13  # steps to a root, and its relative precision


def onset(problem: Problem, rng: np.random.Generator) -> float:
    """``sup { beta : c(s) <= 1 for all s }`` at the one cluster; 0 where that is infeasible, inf where nothing can be learned.

    For a fixed s, log c(s) is convex in beta and 0 at beta = 0, so it has one more root, and the onset is the least of them over s:
    from a beta with a violation at s to its root, where s climbs on, and so on; then search again.
    """
    trivial = one_cluster(problem, [1.0])
    if trivial is None or not feasible(problem, trivial).all():
        return 0.0
    beta = _first_violation(problem, trivial, rng)
    if not math.isfinite(beta):
        return math.inf
    sources = columns(problem, 1) if problem.fixed else for_each(problem, problem.U, problem.source_face, 1)
    beta = _descended(problem, trivial, beta, sources)
    while True:
        batch, sweep = _at(problem, trivial, beta)
        least = _POSITIVE * (1.0 + beta)
        found = price(problem, batch, sweep, tol=least, rng=rng)
        if has_faces(problem) and not len(found.weights):
            found, _ = look_at_faces(problem, batch, sweep, found, np.array([True]), least)
        lower = _descended(problem, trivial, beta, found.points)
        if lower == beta:
            return beta
        beta = lower


def local_critical_beta(problem: Problem) -> float:
    """The beta at which the one cluster loses its stability; inf where it never does, ValueError where it is infeasible."""
    if problem.fixed:
        raise ValueError("local_critical_beta needs atoms that can move; a rate-distortion matrix has fixed columns")
    trivial = one_cluster(problem, [1.0])
    if trivial is None or not feasible(problem, trivial).all():
        raise ValueError("joint has no feasible one-cluster solution: its conditionals share no support")
    rate = float(stability(problem, trivial, Sweep(problem, trivial))[0])
    return 1.0 / rate if rate > 0.0 else math.inf


def _at(problem: Problem, trivial: Batch, beta: float) -> tuple[Batch, Sweep]:
    batch = Batch(np.array([beta]), trivial.weights, trivial.means, trivial.owner, trivial.face)
    return batch, Sweep(problem, batch)


def _first_violation(problem: Problem, trivial: Batch, rng: np.random.Generator) -> float:
    """A beta at or above the onset: the local critical beta, or where that is infinite one found by doubling."""
    if not problem.fixed:
        local = local_critical_beta(problem)
        if local < _LARGEST:
            return local
    beta = _FIRST
    while beta < _LARGEST:
        if price(problem, *_at(problem, trivial, beta), tol=1e-12 * (1.0 + beta), rng=rng).gap[0] > 1e-12 * (1.0 + beta):
            return beta
        beta *= 2.0
    return math.inf


def _descended(problem: Problem, trivial: Batch, beta: float, points: Points) -> float:
    """The least beta that these points lead to: from each root of log c at fixed points they climb again, until none violates."""
    while len(points.means):
        lowest = float(_roots(problem, trivial, points, beta).min())
        if not lowest < beta * (1.0 - 10.0 * _CLOSE):
            break
        beta = lowest
        batch, sweep = _at(problem, trivial, beta)
        if problem.fixed:
            values = log_c(problem, batch.beta, sweep.log_z, *points)[0]
            points = points.pick(values > _POSITIVE * (1.0 + beta))
        else:
            points = climb(problem, batch, sweep, points, _POSITIVE * (1.0 + beta))
    return beta


def _roots(problem: Problem, trivial: Batch, points: Points, beta: float) -> Array:
    """The beta at which ``log c(s)`` at the one cluster crosses 0, for each point, below a beta; that beta where it is not above 0.

    ``g(b) = log sum_x p(x) exp(b e(x))`` is convex, e being what the distortion of x is less than at the one cluster, so Newton's
    method from the right never passes the root.
    """
    one = np.ones(1)
    V, b = problem.link(trivial.means, trivial.face)
    own = -problem.terms(one, V, b, trivial.face)
    V, b = problem.link(points.means, points.face)
    excess = problem.terms(np.ones(len(b)), V, b, points.face) + own
    at, live = np.full(len(b), beta), np.ones(len(b), dtype=bool)
    with np.errstate(all="ignore"):
        for _ in range(_NEWTON):
            terms = at[:, None] * excess
            top = terms.max(axis=1, keepdims=True)
            weights = np.exp(terms - top) * problem.px
            total = weights.sum(axis=1)
            value = np.log(total) + top[:, 0]
            slope = np.where(weights > 0.0, weights * excess, 0.0).sum(axis=1) / total
            step = np.where(live & (value > 0.0) & (slope > 0.0), value / slope, 0.0)
            at = at - step
            live = step > _CLOSE * at
            if not live.any():
                break
    return np.where(at > 1e-12 * beta, at, beta)
