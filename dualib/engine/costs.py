"""What somebody's encoder costs: its rate and its expected distortion."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.initial import reduced_pairs
from dualib.engine.problem import Problem


def encoder_costs(problem: Problem, encoder: Array, batch: Batch) -> tuple[float, float]:
    """I(X;T) and E d of an encoder (n_x, n_t) of the original sources, with its own marginal and centroids.

    `batch` is the one solution that `dualib.engine.initial.of_encoder` makes of it. E d is inf where an x is in a cluster that is
    infinitely far.
    """
    rows = encoder / encoder.sum(axis=1, keepdims=True)
    px = np.where(problem.row_of >= 0, problem.joint.px, 0.0)
    weights = px @ rows
    kept = weights > 0.0
    rows, weights = rows[:, kept], weights[kept]
    ratio = np.divide(rows, weights, out=np.ones_like(rows), where=rows > 0.0)
    rate = float(np.sum(px[:, None] * rows * np.log(ratio)))
    pairs = np.ascontiguousarray(reduced_pairs(problem, rows).T)
    lost = problem.lost(batch.face)
    if lost is not None and (pairs[lost] > 0.0).any():
        return rate, np.inf
    sums, mass = problem.sums(pairs), pairs.sum(axis=1)
    V, b = problem.link(np.eye(problem.k)[kept] if problem.fixed else sums / mass[:, None], batch.face)
    return rate, problem.constant + float(mass @ b - np.sum(sums * V))
