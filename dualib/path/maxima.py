"""Maxima of log c beside the atoms of a branch: where the next cluster will be born, how high c is there, and where an atom divides.

At a stationary solution c is 1 on every atom. A cluster is born where c at another maximum touches 1. Near an atom that height falls
with the fourth power of the distance, below the rounding of c itself; so it is computed there as the integral of the gradient of
log c from the atom. Closer still, log c is its Taylor polynomial along the `Ridge` on which the atom is least stable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, nearest
from dualib.engine.conjugate import softest, to_maxima
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.stability import visible_jacobian
from dualib.engine.sweep import Sweep, log_c

APART = 1e-6  # squared natural distance of a maximum from the atoms; nearer than that the ridge is used
BESIDE = 0.1  # squared natural distance below which a height is the integral of the gradient from the nearest atom
FARTHEST_CLIMB = 4.0  # squared natural distance that a maximum may lie from where it is looked for
LONGEST_STEP = 0.3  # of Newton's method, natural distance
MOST_STEPS, FREE_STEPS = 14, 5
MOST_PRODUCTS = 100  # behind each of these steps on a large problem
NEARS = 0.5  # part of its squared length before, below which a step must be after the free ones
RIDGE = 5e-3  # natural distance at which the polynomial is fitted
NODES, SHARES = (0.5 * (part + shift) for part, shift in zip(np.polynomial.legendre.leggauss(8), (1.0, 0.0), strict=True))


def members(problem: Problem, sweep: Sweep, rows: Ints) -> Array:
    """p(x|t) of some atoms (p, n)."""
    return sweep.posterior[rows] * problem.px / sweep.new_weights[rows, None]


def linear_maps(problem: Problem, beta: Array, q: Array, means: Array, face: Ints) -> tuple[Array, Array]:
    """The derivative of an ascent step by its point, beta Cov_q(U) J (p, k, k), and beta J, for members q and their means.

    To all digits, unlike `Problem.covariances`: whether an atom divides or one is born beside it is told by the last of them.
    """
    centred = problem.U - means[:, None]
    metric = beta[:, None, None] * problem.jacobian(means, face).matrices()
    return ((q[:, :, None] * centred).transpose(0, 2, 1) @ centred) @ metric, metric


def _solved(matrices: Array, right: Array) -> Array:
    """The solutions (p, k) of linear systems; those of least length where one of them is singular."""
    try:
        return np.asarray(np.linalg.solve(matrices, right[:, :, None])[:, :, 0])
    except np.linalg.LinAlgError:
        return np.asarray((np.linalg.pinv(matrices) @ right[:, :, None])[:, :, 0])


@dataclass
class Maxima:
    """One maximum of log c for each of p points: place, height, members q (p, n), whether there is one, nearest atom (row)."""

    means: Array
    height: Array
    q: Array
    exists: Mask
    apart: Array
    atom: Ints


@np.errstate(all="ignore")
def approached(
    problem: Problem, batch: Batch, sweep: Sweep, points: Array, face: Ints, owner: Ints, most: int
) -> tuple[Array, Array, Array]:
    """Newton's steps towards maxima of log c, so many at most: means (p, k), members (p, n), squared length (p,) of the last."""
    p = len(points)
    means = points.copy()
    q, length, live = np.zeros((p, problem.n)), np.full(p, np.inf), np.arange(p)
    for step_ in range(most):
        beta, here, on = batch.beta[owner[live]], means[live], face[live]
        _, _, once, terms = log_c(problem, batch.beta, sweep.log_z, here, on, owner[live])
        terms *= problem.px
        terms /= terms.sum(axis=1, keepdims=True)
        q[live] = terms
        if problem.fixed:
            length[live] = 0.0
            break
        before = length[live]
        step, length[live], bad = newtons_steps(problem, beta, terms, here, once, on)
        moved = here + step * np.minimum(1.0, LONGEST_STEP / np.sqrt(np.maximum(length[live], 1e-300)))[:, None]
        outside = problem.outside(moved, problem.link(moved, on)[0])
        means[live] = np.where(outside[:, None], once, moved)
        length[live[bad]] = np.inf
        nears = (length[live] < NEARS * before) | (step_ < FREE_STEPS)
        live = live[(length[live] > 1e-26) & ~bad & nears]
        if not len(live):
            break
    return means, q, length


def newtons_steps(problem: Problem, beta: Array, q: Array, here: Array, once: Array, face: Ints) -> tuple[Array, Array, Mask]:
    """Newton's steps from points `here` (p, k) with members q, an ascent step leading `once`; their squared length; which have none.

    The latter stay: `once` becomes `here`.
    """
    if problem.is_sparse:
        bad = np.asarray(~np.isfinite(once).all(axis=1))
        once[bad] = here[bad]
        jacobian, unseen = visible_jacobian(problem, once, face)
        step = to_maxima(problem, beta, q, once, jacobian, once - here, MOST_PRODUCTS)
        step[unseen] = (once - here)[unseen]
        return step, beta * inner(step, jacobian.times(step)), bad
    metric = beta[:, None, None] * problem.jacobian(once, face).matrices()
    image = problem.covariances(q, once) @ metric
    bad = np.asarray(~np.isfinite(image).all(axis=(1, 2)) | ~np.isfinite(once).all(axis=1))
    image[bad], once[bad] = 0.0, here[bad]
    step = _solved(np.eye(problem.k) - image, once - here)
    return step, inner(step, (metric @ step[:, :, None])[:, :, 0]), bad


@np.errstate(all="ignore")
def maxima_near(problem: Problem, batch: Batch, sweep: Sweep, points: Array, face: Ints, owner: Ints) -> Maxima:
    """Newton's method to the maxima of log c near points (p, k) of solutions (p,), on their faces."""
    means, q, length = approached(problem, batch, sweep, points, face, owner, MOST_STEPS)
    height, _, V, apart, atom = heights(problem, batch, sweep, means, face, owner)
    atom = np.where(np.isfinite(apart), atom, batch.start[owner])
    climbed = batch.beta[owner] * inner(means - points, V - problem.link(points, face)[0])
    exists = (length < 1e-8 * apart) & (apart > APART) & (climbed < FARTHEST_CLIMB)
    return Maxima(means, height, q, exists, apart, atom)


def heights(
    problem: Problem, batch: Batch, sweep: Sweep, means: Array, face: Ints, owner: Ints
) -> tuple[Array, Array, Array, Array, Ints]:
    """Log c at points, by `rise` where it is rounding; the terms of c; V; the nearest atom, its squared natural distance first."""
    height, V, _, terms = log_c(problem, batch.beta, sweep.log_z, means, face, owner)
    apart, atom = nearest(problem, batch, sweep.V, owner, means, V, face)
    beside = np.flatnonzero(apart < BESIDE)
    if len(beside) and not problem.fixed:
        height[beside] = rise(problem, batch, sweep, batch.means[atom[beside]], means[beside], face[beside], owner[beside])
    return height, terms, V, apart, atom


def rise(problem: Problem, batch: Batch, sweep: Sweep, start: Array, end: Array, face: Ints, owner: Ints) -> Array:
    """How much higher log c is at some points (p, k) than at others: the integral of its gradient along the line between them."""
    way = end - start
    line = (start[:, None] + NODES[:, None] * way[:, None]).reshape(-1, problem.k)
    along = np.repeat(np.arange(len(start)), len(NODES))
    once = log_c(problem, batch.beta, sweep.log_z, line, face[along], owner[along])[2]
    gradient = inner(once - line, problem.jacobian(line, face[along]).times(way[along]))
    return gradient.reshape(len(start), -1) @ SHARES * batch.beta[owner]


@dataclass
class Ridge:
    """Log c beside each of p atoms: ``t^2 (a2 + a3 t + a4 t^2 + a5 t^3)``, t from it in its least stable direction.

    `number` is the atom's stability number, 1 + 2 a2. As it rises, a maximum beside the atom touches 0 at the distance `distance`
    when the number is `born_at`, before 1 if a3 is not 0; where a3 is 0 the atom divides, at 1.
    """

    number: Array
    born_at: Array
    distance: Array
    maximum: Array  # (p, k): where the maximum is now, if there is one
    halves: Array  # (p, 2, k): where two clusters may be sought that the atom has divided into, not too near


@dataclass
class _Axis:
    """Stability numbers (p,) and least stable directions (p, k), of natural length 1; and two linear maps of (p, k)."""

    number: Array
    direction: Array
    along: Callable[[Array], Array]  # the projection on that direction
    bend: Callable[[Array], Array]  # the inverse of I less the derivative of an ascent step, plus that projection


def _axis(problem: Problem, beta: Array, q: Array, means: Array, face: Ints) -> _Axis:
    image, metric = linear_maps(problem, beta, q, means, face)
    values, vectors = np.linalg.eig(image)
    which, first = np.arange(len(means)), np.argmax(values.real, axis=1)
    number, u = values.real[which, first], vectors.real[which, :, first]
    u = u / np.sqrt(np.maximum(inner(u, (metric @ u[:, :, None])[:, :, 0]), 1e-300))[:, None]
    across = u[:, :, None] * (metric @ u[:, :, None]).transpose(0, 2, 1)
    return _Axis(
        number,
        u,
        lambda rows: np.asarray((across @ rows[:, :, None])[:, :, 0]),
        lambda rows: _solved(np.eye(problem.k) - image + across, rows),
    )


def _axis_by_products(problem: Problem, beta: Array, q: Array, means: Array, face: Ints) -> _Axis:
    """The same of a problem whose features are an operator."""
    jacobian, _ = visible_jacobian(problem, means, face)
    number, u = softest(problem, beta, q, means, jacobian)
    ahead = beta[:, None] * jacobian.times(u)
    return _Axis(
        number,
        u,
        lambda rows: inner(ahead, rows)[:, None] * u,
        lambda rows: to_maxima(problem, beta, q, means, jacobian, rows, MOST_PRODUCTS, across=u),
    )


@np.errstate(all="ignore")
def ridges(problem: Problem, batch: Batch, sweep: Sweep, atom: Ints) -> Ridge:
    """The ridges of some atoms, by their rows."""
    p, M, face, owner, b = len(atom), batch.means[atom], batch.face[atom], batch.owner[atom], batch.b[atom]
    if problem.fixed or not p:  # no atom divides
        return Ridge(np.zeros(p), np.ones(p), np.zeros(p), M, np.stack([M, M], axis=1))
    axis = (_axis_by_products if problem.is_sparse else _axis)(problem, b, members(problem, sweep, atom), M, face)
    number, u = axis.number, axis.direction

    def ascent(points: Array) -> Array:
        return log_c(problem, batch.beta, sweep.log_z, points, face, owner)[2]

    # the ridge is M + t u + t^2 bend: across it, an ascent step leads nowhere
    curved = (ascent(M + RIDGE * u) + ascent(M - RIDGE * u) - 2.0 * M) / (2.0 * RIDGE**2)
    curved -= axis.along(curved)
    bent = np.isfinite(curved).all(axis=1)
    curved[~bent] = 0.0
    bend = axis.bend(curved)
    steps = RIDGE * np.array([-2.0, -1.0, 1.0, 2.0])
    slopes = np.empty((p, len(steps)))
    for j, t in enumerate(steps):
        point, way = M + t * u + t**2 * bend, u + 2.0 * t * bend
        slopes[:, j] = b * inner(ascent(point) - point, problem.jacobian(point, face).times(way)) / t
    known = bent & np.isfinite(slopes).all(axis=1)
    slopes[~known] = np.linspace(1.0, -1.0, 4)
    _, third, fourth, fifth = np.linalg.solve(steps[:, None] ** np.arange(4), slopes.T)  # 2 a2, 3 a3, 4 a4, 5 a5
    a3, a4, a5 = third / 3.0, fourth / 4.0, fifth / 5.0
    known &= a4 < 0.0
    a3, a4, a5 = np.where(known, a3, 0.0), np.where(known, a4, -1.0), np.where(known, a5, 0.0)
    t = -a3 / (2.0 * a4)
    for _ in range(3):
        t = np.where(
            np.abs(a5 * t) < 0.1 * np.abs(a4), t - (a3 + 2.0 * a4 * t + 3.0 * a5 * t**2) / (2.0 * a4 + 6.0 * a5 * t), t
        )
    born_at = 1.0 - 2.0 * (a3 * t + a4 * t**2 + a5 * t**3)
    a2 = 0.5 * (number - 1.0)
    root = np.sqrt(np.maximum(9.0 * a3**2 - 32.0 * a2 * a4, 0.0))
    top = -(3.0 * a3 + np.where(a3 < 0.0, -root, root)) / (8.0 * a4)
    aside = np.sqrt(np.maximum(-0.5 * a2 / a4, 0.0))
    places = []
    for t_ in (top, aside, -aside):
        t_ = np.clip(t_, -LONGEST_STEP, LONGEST_STEP)[:, None]
        place = M + t_ * u + t_**2 * bend
        outside = problem.outside(place, problem.link(place, face)[0])
        places.append(np.where(outside[:, None], M, place))
    born_at = np.where(np.abs(t) < LONGEST_STEP, np.clip(born_at, 0.5, 1.0), 1.0)
    return Ridge(number, born_at, np.abs(t), places[0], np.stack(places[1:], axis=1))
