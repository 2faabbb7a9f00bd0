"""What somebody's encoder costs: its rate and its expected distortion."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Problem


def encoder_costs(problem: Problem, encoder: Array, batch: Batch) -> tuple[float, float]:
    """I(X;T) and E d of an encoder (n_x, n_t) of the original sources, with its own marginal and centroids.

    `batch` is the one solution that `dualib.engine.initial.of_encoder` makes of it. E d is inf where an x is in a cluster that is
    infinitely far.
    """
    rows = encoder / encoder.sum(axis=1, keepdims=True)
    live = problem.row_of >= 0
    px, rows = problem.joint.px[live], rows[live]
    weights = px @ rows
    kept = weights > 0.0
    rows, weights = rows[:, kept], weights[kept]
    ratio = np.divide(rows, weights, out=np.ones_like(rows), where=rows > 0.0)
    rate = float(np.sum(px[:, None] * rows * np.log(ratio)))
    pairs = np.zeros((len(weights), problem.n))
    np.add.at(pairs.T, problem.row_of[live], px[:, None] * rows)
    lost = problem.lost(batch.face)
    if lost is not None and (pairs[lost] > 0.0).any():
        return rate, np.inf
    if problem.fixed:  # equal columns are one atom of the batch, and as many clusters of the encoder as it makes of them
        V, b = problem.link(np.eye(problem.k)[kept], np.zeros(len(weights), dtype=np.int64))
    else:
        V, b = problem.link(batch.means, batch.face)
    if problem.is_sparse:  # the means of the batch have a little of everything
        sums, mass = problem.sums(pairs), pairs.sum(axis=1, keepdims=True)
        V, b = problem.link(sums / mass, batch.face)
        return rate, problem.constant + float(np.sum(mass[:, 0] * b) - np.sum(sums * V))
    return rate, problem.constant + float(pairs.sum(axis=1) @ b - np.sum((pairs @ problem.U) * V))
