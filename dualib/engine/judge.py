"""How far the states of a batch can be from the optimum: proved where that is to be had, else the largest c that was found."""

from __future__ import annotations

import functools
from typing import Any, Literal, NamedTuple

import numpy as np

from dualib.distortions import IB, Array, DualIB, Mask
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep, log_c

Kind = Literal["rigorous", "multistart"]
PROVABLE_N_Y, MOST_CELLS = 4, 400_000
_PROOF, _MISSED = 0.5, 0.25  # parts of a tolerance: that of a proof, and by how much c is larger where a search has missed it


class Proofs(NamedTuple):
    """Of some solutions: the upper bounds of log c (s,), which of them are proved, and points of larger c than was known."""

    upper: Array
    proved: Mask
    missed: Points
    log_c: Array


def provable(problem: Problem) -> bool:
    """Whether branch and bound applies: the IB and the dual IB with few y."""
    return problem.joint.n_y <= PROVABLE_N_Y and isinstance(problem.distortion, (IB, DualIB))


def prove(problem: Problem, batch: Batch, sweep: Sweep, which: Mask, lower: Array, tol: float) -> Proofs:
    """Branch and bound at the solutions of a mask (S,), of which the largest log c found is `lower` (S,)."""
    from dualib.bounds import bound

    rows = _rows(problem)
    kind: Literal["ib", "dualib"] = "ib" if isinstance(problem.distortion, IB) else "dualib"
    decoders = problem.decoder(batch.means, batch.face)
    upper, proved, points = lower[which].copy(), np.zeros(int(which.sum()), dtype=bool), []
    for i, s in enumerate(np.flatnonzero(which)):
        # the bounds count the offset a(x) in d, the sweeps leave it out of d and Z
        shifted = problem.log_px - sweep.log_z[s] + batch.beta[s] * problem.a
        own = decoders[batch.ends[s] : batch.ends[s + 1]]
        result = bound(shifted, rows, float(batch.beta[s]), kind, own, _PROOF * tol, float(lower[s]), MOST_CELLS)
        proved[i] = result.proved
        upper[i] = max(upper[i], result.upper) if result.proved else upper[i]
        if result.best > lower[s] + _MISSED * tol:
            points.append((result.best_point(), int(s)))
    return Proofs(upper, proved, *_ascended(problem, batch, sweep, points))


@functools.lru_cache(maxsize=4)
def _rows(problem: Problem) -> Any:
    """The conditionals as `dualib.bounds.Rows`, for many proofs of one problem."""
    from dualib.bounds import Rows

    return Rows(problem.py_x)


def _ascended(problem: Problem, batch: Batch, sweep: Sweep, found: list[tuple[Array, int]]) -> tuple[Points, Array]:
    """Points one ascent step from decoders (n_y,) of solutions, which gives them faces that sweeps keep; and log c there."""
    if not found:
        return Points(np.zeros((0, problem.k)), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)), np.zeros(0)
    decoders, owner = np.array([point for point, _ in found]), np.array([s for _, s in found])
    means = decoders if isinstance(problem.distortion, IB) else np.log(np.where(decoders > 0.0, decoders, 1.0))
    face = np.zeros(len(owner), dtype=np.int64) if problem.faces is None else problem.faces.numbers(decoders > 0.0)
    _, _, _, terms = log_c(problem, batch.beta, sweep.log_z, means, face, owner)
    pairs = terms * problem.px
    means, face, feasible = problem.centroids(pairs / pairs.sum(axis=1, keepdims=True))
    points = Points(means, face, owner[feasible])
    return points, log_c(problem, batch.beta, sweep.log_z, *points)[0]
