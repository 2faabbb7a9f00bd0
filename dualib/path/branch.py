"""Branches: stationary solutions with a fixed number of atoms, followed along beta.

A branch is smooth in log beta wherever Newton's matrix is regular, whether or not it is optimal there. So it passes through the
births of clusters that it lacks without noticing; that is what makes every event a simple root of a smooth function.
All functions take batches: S solutions of one problem, each with a beta of its own.
"""

from __future__ import annotations

import numpy as np

from dualib.engine import Array, Batch, Problem, Sweep, conjugate, dual, first_alike, inner, newton

REST, BROKEN = 1e-12, 1e-9  # residual of a branch that is corrected no further; above which it is none
MOST_CORRECTIONS = 8
TANGENT, MOST_PRODUCTS = 1e-3, 100  # relative residual of the tangents, and products spent on them
MATCH, FARTHEST = 10.0, 1.0  # squared natural distance that an atom moves, by the difference of log beta, and at most
TOGETHER = 1e-8  # ... that is always allowed: two solutions at one beta are the same within this
DISTINCT = 1e-12  # squared natural distance below which two atoms have met


def settled(problem: Problem, batch: Batch) -> tuple[Batch, Sweep]:
    """Newton's method on fixed atoms, wherever it leads; the residual (S,) of the sweep tells whether that is a branch."""
    batch = Batch(batch.beta, batch.w.copy(), batch.M.copy(), batch.owner)
    sweep, going = Sweep(problem, batch), np.ones(len(batch.beta), bool)
    for _ in range(MOST_CORRECTIONS):
        going &= sweep.residual > REST
        if not going.any():
            break
        part, rows = batch.pick(going)
        w, M, _ = newton(problem, part, sweep.pick(going, rows), np.ones(len(part.beta)))
        part = Batch(part.beta, w, M, part.owner)
        part = part.keep(np.ones(len(w), bool))
        new, before = Sweep(problem, part), sweep.residual[going]
        batch.w[rows], batch.M[rows] = part.w, part.M
        sweep.put(going, rows, new)
        going[going] = (before > BROKEN) | (new.residual < 0.1 * before)
    return batch, sweep


def tangents(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Array, Array]:
    """Derivatives by log beta along the branches: d log w and dM (m, 1 + k), and d log Z (S, n), less a(x).

    Stationarity, differentiated: the Hessian times the tangent is the derivative of a sweep by log beta with the atoms held.
    """
    change = -batch.b[:, None] * distances(problem, batch.M, sweep.V)
    log_z = batch.total(sweep.post * change)
    sums = (sweep.post * (change - log_z[batch.owner])) @ problem.pxU1
    force = np.hstack([sums[:, :1], sums[:, 1:] - sums[:, :1] * batch.M]) / batch.w[:, None]
    tangent = np.empty_like(force)
    jacobian = problem.kind.jacobian(batch.M, sweep.V)
    accuracy = np.full(len(batch.beta), TANGENT)
    arrays = (batch.ends, batch.beta, batch.w, batch.M, sweep.c, jacobian, sweep.post, force, accuracy, problem.U1T, problem.pxU1)
    conjugate(*arrays, MOST_PRODUCTS, tangent)
    ahead = dual(problem, batch, sweep.V, tangent)
    moving = (ahead[:, 0] - inner(ahead[:, 1:], batch.M))[:, None] + ahead[:, 1:] @ problem.UT
    return tangent, log_z + batch.total(sweep.post * moving)


def distances(problem: Problem, M: Array, V: Array | None = None) -> Array:
    """d(x, t) - a(x) of points (p, k): (p, n)."""
    link, offset = problem.kind.link(M)
    return offset[:, None] - (link if V is None else V) @ problem.UT


def predicted(problem: Problem, batch: Batch, tangent: Array, by: Array) -> Batch:
    """The branches a step in log beta (S,) further along their tangents; no weight falls below a tenth of what it was."""
    step = by[batch.owner]
    M = batch.M + step[:, None] * tangent[:, 1:]
    outside = ~np.isfinite(problem.kind.link(M)[0]).all(axis=1)
    M[outside] = batch.M[outside]
    w = batch.w * np.maximum(1.0 + step * tangent[:, 0], 0.1)
    return Batch(batch.beta * np.exp(by), w, M, batch.owner).keep(np.ones(len(w), bool))


def followed(problem: Problem, batch: Batch, beta: Array) -> tuple[Batch, Sweep, Array]:
    """The branches at other betas (S,), by one step; and which arrived with all their atoms, each near where it was."""
    tangent, _ = tangents(problem, batch, Sweep(problem, batch))
    new, sweep = settled(problem, predicted(problem, batch, tangent, np.log(beta / batch.beta)))
    new.beta[:] = beta
    way = new.b * inner(new.M - batch.M, sweep.V - problem.kind.link(batch.M)[0])
    far = way > radius(np.abs(np.log(beta / batch.beta)))[batch.owner]
    return new, sweep, whole(problem, new, sweep) & ~(np.bincount(batch.owner[far], minlength=len(beta)) > 0)


def radius(step: Array) -> Array:
    """The squared natural distance that an atom may move over a step in log beta."""
    return np.clip(MATCH * step, TOGETHER, FARTHEST)


def whole(problem: Problem, batch: Batch, sweep: Sweep) -> Array:
    """Which solutions are at rest, with atoms that have weight and are distinct."""
    alike = first_alike(batch.beta, batch.owner, batch.M, sweep.V, DISTINCT) != np.arange(len(batch.w))
    lost = np.bincount(batch.owner[alike | ~(batch.w > 1e-14)], minlength=len(batch.beta)) > 0
    return (sweep.residual < BROKEN) & ~lost


def copied(batch: Batch, which: Array) -> tuple[Batch, Array]:
    """Solutions of a batch by number (S',), repeatedly perhaps, and the rows of their atoms."""
    counts = np.diff(batch.ends)[which]
    rows = np.repeat(batch.start[which] - np.append(0, np.cumsum(counts)[:-1]), counts) + np.arange(counts.sum())
    return Batch(batch.beta[which], batch.w[rows], batch.M[rows], np.repeat(np.arange(len(which)), counts)), rows


def arranged(parts: list[tuple[Array, Batch]]) -> Batch:
    """One batch out of several, given the place (S,) of each solution in it."""
    shift = np.cumsum([0] + [len(part.beta) for _, part in parts])
    order = np.argsort(np.concatenate([places for places, _ in parts]), kind="stable")
    beta, w, M = (np.concatenate([getattr(part, name) for _, part in parts]) for name in ("beta", "w", "M"))
    owner = np.concatenate([part.owner + first for (_, part), first in zip(parts, shift, strict=False)])
    return copied(Batch(beta, w, M, owner), order)[0]
