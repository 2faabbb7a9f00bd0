"""The best local optimum under a cap on the number of clusters, and at alpha below 1.

With a cap the problem is no longer convex, and sweeps, which are hard at once where beta is high, stay where they start. So hard
clusters are sought first (`dualib.clusters.search`). The best of these, of the optimum without a cap merged down, and of the encoder
given are then softened to the beta wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dualib.clusters.columns import best_columns
from dualib.clusters.search import search_hard
from dualib.clusters.seeds import canonical
from dualib.distortions.interface import Array
from dualib.engine.batch import Batch, by_owner, in_order
from dualib.engine.descent import Descent, descend, lowest
from dualib.engine.initial import feasible
from dualib.engine.optimum import goal_of
from dualib.engine.problem import Ints, Problem
from dualib.engine.sweep import Sweep

_SOFT = 1e-3  # part of everything in a softened start
_GLANCED, _SWEEPS = 160, 10  # softened starts, and the sweeps after which they are compared
_FOLLOWED = 3  # of them that are followed to the end
_AT_ONCE = 1_000_000  # numbers of the posteriors, or of the Jacobians, of a batch


class Capped(NamedTuple):
    """What was found under a cap.

    Attributes
    ----------
    ended : Descent
        The lowest end, one solution.
    labels : list of (n,) int
        The hard clusterings that were sought first, the best first.
    rounds : list of (n,) int
        What each of their restarts came to.
    restarts : tuple of float
        The objectives that these came to, nats, the best first: that of `ended`.
    """

    ended: Descent
    labels: list[Ints]
    rounds: list[Ints]
    restarts: tuple[float, ...]


def capped(
    problem: Problem,
    beta: float,
    n_clusters: int,
    starts: Sequence[Batch],
    n_restarts: int,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
) -> Capped:
    """The best local optimum found with at most `n_clusters` clusters; never above a feasible one of `starts`, one solution each.

    Raises
    ------
    ValueError
        No clustering of finite distortion was found (dual IB, disjoint supports).
    """
    given = [start for start in starts if len(start.weights) <= n_clusters and feasible(problem, start).all()]
    if problem.fixed:
        begun = [*given, best_columns(problem, beta, n_clusters, given)]
        return Capped(_best_end(problem, together(begun), tol, max_iter), [], [], ())
    known = [canonical(labels) for labels in likeliest(problem, given)]
    labels, ends = search_hard(problem, beta, n_clusters, n_restarts, known, rng)
    rounds = [end for _, end in ends]
    if not (labels or given):
        raise ValueError(f"n_clusters: no feasible clustering with {n_clusters} cluster(s) was found: supports are disjoint")
    begun, others = given, np.zeros(0)
    if labels:
        soft, _ = softened(problem, beta, labels)
        begun = [*given, batch_of_labels(problem, beta, labels[:1]), soft.copied(range(min(_FOLLOWED, len(soft.beta))))[0]]
    if rounds:
        others = softened(problem, beta, rounds)[1][1:]
    ended = _best_end(problem, together(begun), tol, max_iter)
    least = float(ended.sweep.objective[0])
    return Capped(ended, labels, rounds, (least, *np.maximum(others, least).tolist()))


def likeliest(problem: Problem, starts: Sequence[Batch]) -> list[Ints]:
    """The likeliest cluster of each source in batches of one solution."""
    return [np.asarray(np.argmax(Sweep(problem, start).posterior, axis=0), dtype=np.int64) for start in starts]


def _best_end(problem: Problem, batch: Batch, tol: float, max_iter: int) -> Descent:
    """The lowest end of descents; where these are too large to be together, that of the solution lowest after a few sweeps."""
    if _numbers(problem, batch) * len(batch.beta) > _AT_ONCE:
        solutions = [_glance(problem, batch.copied([i])[0]) for i in range(len(batch.beta))]
        batch, _ = min(solutions, key=lambda pair: float(pair[1][0]))
    return lowest(descend(problem, batch, goal=goal_of(tol), most=max_iter))


def _numbers(problem: Problem, batch: Batch) -> int:
    """Of the posterior, or of the Jacobians, of the largest solution."""
    dense = problem.jacobian(batch.means[:1], batch.face[:1]).dense.size
    return max(problem.n, dense) * int(batch.counts.max())


def together(batches: Sequence[Batch]) -> Batch:
    """One batch of the solutions of all, in order."""
    first = np.cumsum([0] + [len(batch.beta) for batch in batches])
    return in_order([(first[i] + np.arange(len(batch.beta)), batch) for i, batch in enumerate(batches)])


def softened(problem: Problem, beta: float, found: Sequence[Ints]) -> tuple[Batch, Array]:
    """Clusterings as solutions a few sweeps from softened clusters, the best first, and their objectives.

    Those of the dual IB, whose faces would shrink, begin as they are.
    """
    share = 0.0 if problem.faces is not None and not problem.faces.cover else _SOFT
    states = [_glance(problem, batch) for batch in _in_parts(problem, beta, found[:_GLANCED], share)]
    batch, objective = together([state for state, _ in states]), np.concatenate([values for _, values in states])
    order = np.argsort(objective, kind="stable")
    return batch.copied(order)[0], objective[order]


def batch_of_labels(problem: Problem, beta: float, found: Sequence[Ints], share: float = 0.0) -> Batch:
    """Solutions with an atom at the centroid of each hard cluster, mixed with a `share` of everything, which gives all one face."""
    parts = []
    for number, labels in enumerate(map(canonical, found)):
        weights = np.bincount(labels, problem.px).astype(np.float64)
        means, face, _ = problem.centroids(problem.members(labels, len(weights), problem.px / weights[labels]))
        parts.append((weights, means, np.full(len(weights), number), face))
    weights, means, owner, face = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    if share > 0.0:
        everything = problem.members(np.zeros(problem.n, dtype=np.int64), 1, problem.px)
        middle, whole, _ = problem.centroids(everything)
        means, face = (1.0 - share) * means + share * middle, np.repeat(whole, len(owner))
    return by_owner(np.full(len(found), float(beta)), weights, means, owner, face)


def _in_parts(problem: Problem, beta: float, found: Sequence[Ints], share: float) -> list[Batch]:
    """The batch of softened clusterings in parts that fit into memory."""
    one = batch_of_labels(problem, beta, found[:1], share)
    numbers = _numbers(problem, one) // len(one.weights)
    size = max(1, _AT_ONCE // (numbers * max(int(labels.max()) + 1 for labels in found)))
    return [batch_of_labels(problem, beta, found[i : i + size], share) for i in range(0, len(found), size)]


def _glance(problem: Problem, batch: Batch) -> tuple[Batch, Array]:
    """The solutions after a few sweeps, and their objectives one sweep before."""
    sweep = Sweep(problem, batch)
    for _ in range(_SWEEPS):
        batch = _swept(batch, sweep)
        sweep = Sweep(problem, batch)
    return _swept(batch, sweep), sweep.objective


def _swept(batch: Batch, sweep: Sweep) -> Batch:
    """The batch after a sweep, without atoms that lost all their weight."""
    new = Batch(batch.beta, sweep.new_weights, sweep.new_means, batch.owner, batch.face)
    return new.keep(sweep.new_weights > 0.0)
