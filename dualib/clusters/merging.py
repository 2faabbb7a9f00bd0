"""Clusters merged two by two, hard or soft, each time the two whose merger costs the objective least."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dualib.clusters.pools import distortions_of, marks_of, pools_of, xlogx
from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Problem
from dualib.engine.sweep import Sweep


def merged_into(
    table: Array,
    cost: Callable[[Array], Array],
    size: int,
    rng: np.random.Generator | None = None,
    *,
    most: int | None = None,
) -> Ints:
    """Of each of m clusters the one that it ends in, (m,), when `size` are left, or more where all other mergers cost infinity.

    Parameters
    ----------
    table : (m, ...)
        A row of each cluster: of two that merge they are added.
    cost : callable
        The costs (m',) of clusters, from their rows.
    size : int
    rng : Generator, optional
        With it costs of mergers count up to twice, at random, so that the second best is tried, too.
    most : int, optional
        So many may be left where more mergers would not lower the sum of the costs.
    """
    most = size if most is None else most
    table = np.array(table)
    into, gone = np.arange(len(table)), np.zeros(len(table), dtype=bool)
    if len(into) <= size:
        return into
    costs = cost(table)

    def losses_with(i: int) -> Array:
        losses = cost(table[i] + table) - costs[i] - costs
        losses[gone] = np.inf
        losses[i] = np.inf
        return losses

    losses = np.array([losses_with(i) for i in range(len(into))])
    noise = np.ones(losses.shape) if rng is None else 1.0 + rng.random(losses.shape)
    for left in range(len(into), size, -1):
        i, j = divmod(int(np.argmin(losses * noise)), len(losses))
        if not np.isfinite(losses[i, j]) or (left <= most and losses[i, j] >= 0.0):
            break
        into[into == j] = i
        table[i] += table[j]
        costs[i] = cost(table[[i]])[0]
        gone[j] = True
        losses[j] = losses[:, j] = np.inf
        losses[i] = losses[:, i] = losses_with(i)
    return into


def merged_soft(
    problem: Problem, beta: Array, posterior: Array, size: int, *, alpha: float = 1.0, most: int | None = None
) -> Batch:
    """Soft clusters, of the encoder (m, n) of one solution at `beta` (1,), merged down to `size`; `most` as of `merged_into`.

    There are more where other mergers would make a distortion infinite.
    """
    price, pairs = 1.0 / float(beta[0]), posterior * problem.px
    marks = marks_of(problem.distortion, problem.n, None if problem.faces is None else problem.faces.support)

    def cost(pairs: Array) -> Array:
        """``price I_t + E_t d`` with I_t the cluster's part of the rate, or of H(T) - alpha H(T|X)."""
        weights = pairs.sum(axis=1)
        seen = (pairs > 0.0).astype(np.float64) @ marks
        pools = pools_of(np.ones(len(pairs)), weights, pairs @ problem.a, problem.sums(pairs), seen)
        share = np.where(pairs > 0.0, pairs / problem.px, 1.0)
        part = alpha * (pairs * np.log(share)).sum(axis=1) - xlogx(weights)
        return distortions_of(problem.distortion, pools) + price * part

    pairs = pairs[pairs.sum(axis=1) > 0.0]
    into = merged_into(pairs, cost, size, most=most)
    pairs = np.array([pairs[into == t].sum(axis=0) for t in np.unique(into)])
    weights = pairs.sum(axis=1)
    means, face, _ = problem.centroids(pairs / weights[:, None])
    return Batch(beta, weights / weights.sum(), means, np.zeros(len(weights), dtype=np.int64), face)


def merged_down(problem: Problem, batch: Batch, sweep: Sweep, n_clusters: int) -> Batch | None:
    """The clusters of one solution merged down to `n_clusters`, of fixed columns the heaviest; None if infeasible."""
    if problem.fixed:
        heaviest = np.isin(np.arange(len(batch.weights)), np.argsort(-batch.weights, kind="stable")[:n_clusters])
        return batch.keep(heaviest)
    fewer = merged_soft(problem, batch.beta, sweep.posterior, n_clusters)
    return fewer if len(fewer.weights) <= n_clusters else None
