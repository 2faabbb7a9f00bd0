"""The true onset of learning: the largest beta at which one cluster is globally optimal."""

from __future__ import annotations

import math

import numpy as np

from dualib.distortions.interface import Array
from dualib.doors import step
from dualib.engine.batch import Batch, distinct, moved, nearest
from dualib.engine.conjugate import to_maxima
from dualib.engine.faces import has_faces, look_at_faces
from dualib.engine.initial import feasible, one_cluster
from dualib.engine.problem import Problem, inner
from dualib.engine.search import price
from dualib.engine.stability import stability
from dualib.engine.starts import Points, columns, for_each, stability_numbers, stacked, starting_points
from dualib.engine.sweep import Sweep, log_c

_POSITIVE, _ROUNDING = 1e-14, 1e-15  # log c above the first is looked for, and above the second is no rounding
_FEW = 8  # points of lowest root that climb again
_APART = 1e-6  # squared natural distance from the one cluster below which log c is rounding
_FIRST_STEPS, _MOST_RISEN = 4, 64  # ascent steps from all starts, and how many of the best go on
_ALIKE = 1e-6  # squared natural distance of points that are one
_MOST_CLIMBS, _AT_REST = 60, 1e-26  # Newton's steps, and their squared natural length at a maximum
_FEW_FEATURES = 30  # up to which these steps are by matrices
_FIRST, _LARGEST = 1e-3, 1e12  # betas between which a violation is looked for where the local test tells none
_NEWTON, _CLOSE = 100, 1e-15  # steps to a root, and its relative precision
_MOST_LANCZOS, _MOST_CG = 1200, 60  # of a large problem: steps of Lanczos's method, and products behind each of Newton's steps


@step("onset")
@np.errstate(all="ignore")
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
    if not problem.is_sparse:  # of a large problem all sources would be a dense table, and each is far from every other
        sources = columns(problem, 1) if problem.fixed else for_each(problem, *problem.features(), 1)
        beta = _descended(problem, trivial, beta, _positive(problem, *_at(problem, trivial, beta), sources))
    while True:
        lower = _descended(problem, trivial, beta, _violating(problem, trivial, beta, rng))
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
    rate = float(stability(problem, trivial, Sweep(problem, trivial), _MOST_LANCZOS)[0])
    return 1.0 / rate if rate > 0.0 else math.inf


def _violating(problem: Problem, trivial: Batch, beta: float, rng: np.random.Generator) -> Points:
    """Maxima of log c above 0 at the one cluster, from all starts."""
    (batch, sweep), least = _at(problem, trivial, beta), _POSITIVE * (1.0 + beta)
    if problem.fixed:
        return _positive(problem, batch, sweep, columns(problem, 1))
    _, beside = stability_numbers(problem, batch, sweep)
    if problem.is_sparse:
        points = beside
    else:
        points, _ = starting_points(problem, batch, sweep, beside, rng, 1.0)
        for _ in range(_FIRST_STEPS):
            value, _, new, _ = log_c(problem, batch.beta, sweep.log_z, *points)
            fine = np.isfinite(new).all(axis=1) & np.isfinite(value)
            points = Points(new, points.face, points.owner).pick(fine)
        points = _highest(problem, batch, sweep, points)
    found = price(problem, batch, sweep, tol=least, rng=rng)
    if has_faces(problem):
        found, _ = look_at_faces(problem, batch, sweep, found, np.ones(1, dtype=bool), least)
    if problem.is_sparse:  # what was found has climbed
        points = stacked([risen(problem, batch, sweep, points), found.points, found.best])
        return _positive(problem, batch, sweep, _highest(problem, batch, sweep, points))
    return _positive(problem, batch, sweep, risen(problem, batch, sweep, stacked([points, found.points])))


def _highest(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """The points of largest log c, each once."""
    points = points.pick(distinct(problem, batch.beta, points.owner, points.means, points.face, _ALIKE))
    value = log_c(problem, batch.beta, sweep.log_z, *points)[0]
    return points.pick(np.sort(np.argsort(-value, kind="stable")[:_MOST_RISEN]))


def _positive(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """The points of log c above 0, but for those that have run into the one cluster: there it is rounding."""
    V = problem.link(points.means, points.face)[0]
    distance = nearest(problem, batch, sweep.V, points.owner, points.means, V, points.face)[0]
    value = _height(problem, _excess(problem, batch, points), batch.beta[points.owner])[0]
    return points.pick((value > _ROUNDING) & (distance > _APART))


def _at(problem: Problem, trivial: Batch, beta: float) -> tuple[Batch, Sweep]:
    batch = moved(trivial, beta)
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
    for _ in range(_NEWTON):
        if not len(points.means):
            break
        roots = _roots(problem, trivial, points, beta)
        lowest = np.argsort(roots, kind="stable")[:_FEW]  # if another leads further down, the next search finds it
        if not roots[lowest[0]] < beta * (1.0 - 10.0 * _CLOSE):
            break
        beta = float(roots[lowest[0]])
        batch, sweep = _at(problem, trivial, beta)
        points = _positive(problem, batch, sweep, risen(problem, batch, sweep, points.pick(np.sort(lowest))))
    return beta


def risen(problem: Problem, batch: Batch, sweep: Sweep, points: Points) -> Points:
    """The maxima of log c that points climb to.

    Newton's steps ``(I - beta Cov_q(U) J)^-1 (mean under q - M)`` where these climb, else ascent steps; columns stay where they are.
    """
    if problem.fixed:
        return points
    _, _, new, terms = log_c(problem, batch.beta, sweep.log_z, *points)
    for _ in range(_MOST_CLIMBS):
        b = batch.beta[points.owner]
        q = terms * problem.px
        q /= q.sum(axis=1, keepdims=True)
        ahead = _newtons_points(problem, b, q, points, new)
        # one ascent step brings them back to true means
        ahead = log_c(problem, batch.beta, sweep.log_z, ahead, points.face, points.owner)[2]
        fine = np.isfinite(ahead).all(axis=1)
        ahead[~fine] = new[~fine]
        tried = log_c(problem, batch.beta, sweep.log_z, ahead, points.face, points.owner)
        plain = log_c(problem, batch.beta, sweep.log_z, new, points.face, points.owner)
        better = tried[0] >= plain[0]
        means = np.where(better[:, None], ahead, new)
        turned = problem.link(means, points.face)[0] - problem.link(points.means, points.face)[0]
        length = b * inner(means - points.means, turned)
        points = Points(means, points.face, points.owner)
        _, _, new, terms = (np.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, p) for a, p in zip(tried, plain, strict=True))
        if not (length > _AT_REST).any():
            break
    return points


def _newtons_points(problem: Problem, b: Array, q: Array, points: Points, new: Array) -> Array:
    """Where Newton's steps of `risen` lead, by members q (p, n); `new` (p, k), where an ascent step does, if there are none."""
    jacobian, right = problem.jacobian(points.means, points.face), new - points.means
    if problem.is_sparse or problem.k > _FEW_FEATURES:  # no matrices of k x k numbers for each point
        return np.asarray(points.means + to_maxima(problem, b, q, new, jacobian, right, _MOST_CG))
    centred = problem.U[None] - points.means[:, None]
    covariance = np.matmul((q[:, :, None] * centred).transpose(0, 2, 1), centred)
    system = np.eye(problem.k) - b[:, None, None] * np.matmul(covariance, jacobian.matrices())
    try:
        return np.asarray(points.means + np.linalg.solve(system, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:  # a singular one among them: this time all make the ascent step
        return new


def _roots(problem: Problem, trivial: Batch, points: Points, beta: float) -> Array:
    """The beta at which ``log c(s)`` at the one cluster crosses 0, for each point, below a beta; that beta where it is not above 0.

    ``g(b) = log sum_x p(x) exp(b e(x))`` is convex, e being what the distortion of x is less than at the one cluster, so Newton's
    method from the right never passes the root.
    """
    excess = _excess(problem, trivial, points)
    at, live = np.full(len(excess), beta), np.ones(len(excess), dtype=bool)
    for _ in range(_NEWTON):
        value, slope = _height(problem, excess, at)
        step = np.where(live & (value > 0.0) & (slope > 0.0), value / slope, 0.0)
        at = at - step
        live = step > _CLOSE * at
        if not live.any():
            break
    return np.where(at > 1e-12 * beta, at, beta)


def _excess(problem: Problem, trivial: Batch, points: Points) -> Array:
    """How much nearer each source is to points than to the one cluster, (p, n); -inf where infinitely farther."""
    V, b = problem.link(trivial.means, trivial.face)
    own = problem.terms(np.ones(1), V, b, trivial.face)
    V, b = problem.link(points.means, points.face)
    return problem.terms(np.ones(len(b)), V, b, points.face) - own


def _height(problem: Problem, excess: Array, beta: Array) -> tuple[Array, Array]:
    """Log c at the one cluster, of points at betas (p,), and its slope in beta; exact where the points are near it, too."""
    terms = beta[:, None] * excess
    top = np.maximum(terms.max(axis=1, keepdims=True), 1.0) - 1.0
    weights = np.exp(terms - top) * problem.px
    total = weights.sum(axis=1)
    near = np.log1p((np.expm1(np.minimum(terms, 1.0)) * problem.px).sum(axis=1))
    value = np.where(top[:, 0] > 0.0, np.log(total) + top[:, 0], near)
    return value, np.where(weights > 0.0, weights * excess, 0.0).sum(axis=1) / total
