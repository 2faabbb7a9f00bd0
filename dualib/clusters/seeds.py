"""Hard clusterings to begin with: from seeds, from a cover of the supports, and from others with some clusters more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dualib.clusters.hard import HardClusters, hard_clusters
from dualib.distortions.interface import Array
from dualib.engine.problem import Ints, Problem

_MOST_COVERS = 20_000  # steps of the search for clusters with a common support


def canonical(labels: Ints) -> Ints:
    """The same clusters, numbered in the order of their first members."""
    _, first, of = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[of.ravel()], dtype=np.int64)


def seeded_labels(
    problem: Problem, price: float, size: int, n_seeds: int, pairings: Callable[[int], Array], rng: np.random.Generator
) -> Ints | None:
    """Clusters after moves of all x, from seeds as of k-means++, merged two by two where the seeds are more than `size`.

    Seeds are drawn by what E d rises by (`pairings`) where an x shares a cluster with the nearest seed so far. Where that puts x
    without a common support together (dual IB), each cluster shares a y instead; None where so many clusters cannot.
    """
    nearest, labels = pairings(int(rng.choice(problem.n, p=problem.px))), np.zeros(problem.n, dtype=np.int64)
    for seed in range(1, n_seeds):
        chances = np.where(np.isinf(nearest), problem.px, 0.0) if np.isinf(nearest).any() else nearest
        if not chances.sum() > 0.0:
            break
        costs = pairings(int(rng.choice(problem.n, p=chances / chances.sum())))
        labels[costs < nearest] = seed
        nearest = np.minimum(nearest, costs)
    clusters = hard_clusters(problem, price, labels, n_seeds)
    if np.isfinite(clusters.objective):
        clusters.batch_moves()
        if n_seeds > size:
            clusters.single_moves()
            clusters.merge_down(size, rng)
        if np.count_nonzero(clusters.counts) <= size:
            return canonical(clusters.labels)
    return None if problem.faces is None else covered_labels(problem, size, rng)


def covered_labels(problem: Problem, size: int, rng: np.random.Generator) -> Ints | None:
    """Clusters that each share a y, at random where there is a choice; None where `size` of them do not suffice or are not found."""
    assert problem.faces is not None
    support = problem.faces.support[:, rng.permutation(problem.faces.support.shape[1])]
    steps = 0

    def cover(chosen: list[int], left: np.ndarray) -> list[int] | None:
        nonlocal steps
        steps += 1
        if not len(left):
            return chosen
        if len(chosen) == size or steps > _MOST_COVERS:
            return None
        rows = support[left]
        hardest = rows[np.argmin(rows.sum(axis=1))]
        options = np.flatnonzero(hardest)
        for y in options[np.argsort(-rows[:, options].sum(axis=0), kind="stable")]:
            found = cover([*chosen, int(y)], left[~rows[:, y]])
            if found is not None:
                return found
        return None

    chosen = cover([], np.arange(problem.n))
    if chosen is None:
        return None
    return np.asarray(np.argmax(support[:, chosen] * rng.random((problem.n, len(chosen))), axis=1), dtype=np.int64)


def regrown_labels(clusters: HardClusters, more: int, rng: np.random.Generator, *, noisy: bool = False) -> Ints:
    """The clusters with up to `more` others, begun at x drawn by what their distortion costs, and the cheapest merged again.

    With one more these are mergers of the clusters as they are: an x leaves its own for good. With `noisy` the costs of mergers
    count up to twice, at random.
    """
    problem, size = clusters.problem, clusters.size
    chances = clusters.own_distortions()
    labels, possible = clusters.labels.copy(), int(np.count_nonzero(chances))
    if possible:
        begun = rng.choice(problem.n, min(more, possible), replace=False, p=chances / chances.sum())
        labels[begun] = size + np.arange(len(begun))
    grown = hard_clusters(problem, clusters.price, labels, size + more)
    if more > 1:
        grown.batch_moves()
        grown.single_moves()
    grown.merge_down(size, rng if noisy else None)
    return canonical(grown.labels) if np.count_nonzero(grown.counts) <= size else clusters.labels
