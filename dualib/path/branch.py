"""Branches: stationary solutions with a fixed number of atoms, followed along beta.

A branch is smooth in log beta wherever Newton's matrix is regular, whether or not it is optimal there. So it passes through the
births of clusters that it lacks without noticing; that is what makes every event a simple root of a smooth function.
All functions take batches: S solutions of one problem, each with a beta of its own.
"""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, across_faces, first_alike, moved
from dualib.engine.descent import newton_direction
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.stability import visible_jacobian
from dualib.engine.sweep import Sweep, dual

REST, BROKEN = 1e-12, 1e-9  # residual of a branch that is corrected no further; above which it is none
MOST_CORRECTIONS, MOST_PRODUCTS = 10, 300
FIRST, ASTRAY = 5, 0.02  # corrections after which a residual above the latter shows that they lead nowhere
TANGENT, MOST_FOR_TANGENT = 1e-5, 100  # relative residual of the tangents, and products spent on them
LONGEST = 1.0  # of a Newton step, natural length of a mean's move
LEAST_PART = 0.1  # of its weight that an atom keeps over a step
MATCH, FARTHEST = 10.0, 1.0  # squared natural distance that an atom moves, by the difference of log beta, and at most
TOGETHER = 1e-8  # ... that is always allowed: two solutions at one beta are the same within this
DISTINCT, WEIGHTLESS = 1e-12, 1e-14  # squared natural distance at which two atoms have met; weight of one that is gone


def settled(problem: Problem, batch: Batch) -> tuple[Batch, Sweep]:
    """Newton's method on fixed atoms, wherever it leads; the residual (S,) of the sweep tells whether that is a branch."""
    batch = Batch(batch.beta, batch.weights.copy(), batch.means.copy(), batch.owner, batch.face)
    sweep, going = Sweep(problem, batch), np.ones(len(batch.beta), dtype=bool)
    for correction in range(MOST_CORRECTIONS):
        going &= (sweep.residual > REST) & (sweep.residual < (ASTRAY if correction >= FIRST else np.inf))
        if not going.any():
            break
        part, rows = batch.pick(going)
        old = sweep.pick(going, rows)
        step = newton_direction(problem, part, old, np.minimum(0.3, old.residual**0.75), MOST_PRODUCTS)
        length = part.highest(inner(step[:, 1:], dual(part, old.jacobian, step)[:, 1:]))
        shorter = np.minimum(1.0, LONGEST / np.sqrt(np.maximum(length, 1e-300)))
        new = stepped(problem, part, step, shorter)
        if problem.is_sparse:  # components that are not seen follow the others, and no step
            unseen = visible_jacobian(problem, part.means, part.face)[1]
            new.means[unseen] = old.new_means[unseen]
        after = Sweep(problem, new)
        batch.weights[rows], batch.means[rows] = new.weights, new.means
        sweep.replace(going, rows, after)
        going[going] = (old.residual > BROKEN) | (after.residual < 0.1 * old.residual)
    return batch, sweep


def stepped(problem: Problem, batch: Batch, step: Array, by: Array) -> Batch:
    """The atoms a part or multiple (S,) of a step (m, 1 + k) further; a mean that would leave its domain stays."""
    by = by[batch.owner]
    means = batch.means
    if not problem.fixed:
        means = means + by[:, None] * step[:, 1:]
        if problem.is_sparse:  # what has next to nothing of some y stays there alone
            beyond = problem.beyond(means)
            means[beyond] = batch.means[beyond]
        outside = problem.outside(means, problem.link(means, batch.face)[0])
        means[outside] = batch.means[outside]
    weights = batch.weights * np.maximum(1.0 + by * step[:, 0], LEAST_PART)
    return batch.moved(weights, means)


def distances(problem: Problem, means: Array, face: Ints) -> Array:
    """d(x, t) - a(x) of points (p, n); 0 where it is infinite, as what it is multiplied with is 0 there."""
    V, offset = problem.link(means, face)
    d = offset[:, None] - problem.products(V)
    lost = problem.lost(face)
    if lost is not None:
        d[lost] = 0.0
    return d


def tangents(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Array, Array]:
    """Derivatives by log beta along the branches: d log w and dM (m, 1 + k), and d log Z (S, n), less a(x)."""
    change = -batch.b[:, None] * distances(problem, batch.means, batch.face)
    log_z = batch.total(sweep.posterior * change)
    return response(problem, batch, sweep, change - log_z[batch.owner], log_z, TANGENT, MOST_FOR_TANGENT)


def response(
    problem: Problem, batch: Batch, sweep: Sweep, change: Array, log_z: Array, accuracy: float, most: int
) -> tuple[Array, Array]:
    """How solutions at rest follow a change (m, n) of log p(t|x), the atoms held: d log w and dM (m, 1 + k), and d log Z (S, n).

    `log_z` (S, n) is the change of log Z with the atoms held. Stationarity, differentiated: the Hessian times the answer is the
    change of a sweep.
    """
    sums = problem.moments(sweep.posterior * change)
    force = np.hstack([sums[:, :1], sums[:, 1:] - sums[:, :1] * batch.means]) / batch.weights[:, None]
    if problem.fixed:
        force[:, 1:] = 0.0
    step = newton_direction(problem, batch, sweep, np.full(len(batch.beta), accuracy), most, force=force)
    ahead = dual(batch, sweep.jacobian, step)
    moving = (ahead[:, 0] - inner(ahead[:, 1:], batch.means))[:, None] + problem.products(ahead[:, 1:])
    return step, log_z + batch.total(sweep.posterior * moving)


def predicted(problem: Problem, batch: Batch, tangent: Array, beta: Array) -> Batch:
    """The branches at other betas (S,), along their tangents."""
    return moved(stepped(problem, batch, tangent, np.log(beta / batch.beta)), beta.copy())


def led(problem: Problem, batch: Batch, beta: Array) -> tuple[Batch, Sweep]:
    """Where one step along the branches leads, at rest or not."""
    tangent, _ = tangents(problem, batch, Sweep(problem, batch))
    return settled(problem, predicted(problem, batch, tangent, beta))


def followed(problem: Problem, batch: Batch, beta: Array) -> tuple[Batch, Sweep, Mask]:
    """The branches at other betas (S,), by one step; and which arrived with all their atoms, each near where it was."""
    new, sweep = led(problem, batch, beta)
    way = new.b * inner(new.means - batch.means, sweep.V - problem.link(batch.means, batch.face)[0])
    far = way > radius(np.abs(np.log(beta / batch.beta)))[batch.owner]
    return new, sweep, whole(problem, new, sweep) & (np.bincount(batch.owner[far], minlength=len(beta)) == 0)


def radius(step: Array) -> Array:
    """The squared natural distance that an atom may move over a step in log beta."""
    return np.clip(MATCH * step, TOGETHER, FARTHEST)


def whole(problem: Problem, batch: Batch, sweep: Sweep) -> Mask:
    """Which solutions are at rest, with atoms that have weight and are distinct."""
    alike = first_alike(problem, batch.beta, batch.owner, batch.means, batch.face, DISTINCT) != np.arange(len(batch.weights))
    alike |= across_faces(problem, batch, batch.owner, batch.means, batch.face, np.full(len(alike), TOGETHER)) >= 0
    lost = np.bincount(batch.owner[alike | ~(batch.weights > WEIGHTLESS)], minlength=len(batch.beta)) > 0
    return np.asarray((sweep.residual < BROKEN) & ~lost)


def polished(problem: Problem, batch: Batch) -> Batch:
    """Solutions brought to rest on their atoms, where that makes them no worse."""
    before = Sweep(problem, batch).objective
    new, sweep = settled(problem, batch)
    return in_place_of(batch, new, whole(problem, new, sweep) & (sweep.objective <= before + 1e-13 * (1.0 + np.abs(before))))[
        0
    ]


def in_place_of(batch: Batch, other: Batch, which: Mask) -> tuple[Batch, Mask]:
    """A batch with some solutions (S,) of another one, of as many atoms, in their places; and the mask of their atoms."""
    rows = which[batch.owner]
    beta, weights = np.where(which, other.beta, batch.beta), np.where(rows, other.weights, batch.weights)
    return Batch(beta, weights, np.where(rows[:, None], other.means, batch.means), batch.owner, batch.face), rows
