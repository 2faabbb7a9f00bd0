"""The search for the best clusters under a cap on their number.

With a cap the problem is no longer convex, and sweeps, which are hard at once where beta is high, stay where they start. So hard
clusters are sought first (`dualib.hard`): from seeds as of k-means++ by the distortion, by moves of all x and of single ones that
the exact objective judges, and by some clusters more and as many mergers. This is done at the beta wanted and at larger ones up to
infinity, each from the clusters of the next larger, for what is good at a neighbouring beta is a good start. The best of these, of
the optimum without a cap merged down, and of the encoder given are then softened to the beta wanted.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np

from dualib.distortions import Array
from dualib.hard import HardClusters, Labels, batch_moves, hard_clusters, merged_pairs, work_of_pass
from dualib.optimise import Outcome, best_local, feasible
from dualib.problem import Atoms, Problem, Sweep, sweep
from dualib.weights import reweight

_BETAS = (math.inf, 16.0, 4.0, 1.0)  # in units of the one wanted, at which hard clusters are sought
_MORE = 5  # times as many seeds at most, whose clusters are then merged
_REGROWN, _BEGUN = 12, 6  # trials with more clusters and as many mergers for each restart, and how many more at most
_WORK = 2_000_000  # terms of a pass over all x: from there on one seeding, at the beta wanted
_KEPT = 400_000  # numbers of pairings that are kept for further seeds
_SOFT = 1e-3  # part of everything in a softened start
_GLANCED, _SWEEPS = 100, 10  # softened starts, and the sweeps after which they are compared
_FOLLOWED = 3  # of them that are followed to the end
_MOST_COVERS = 20_000  # steps of the search for clusters with a common support
_MOST_SETS = 100  # sets of columns that are all tried


def capped(
    problem: Problem,
    beta: float,
    n_clusters: int,
    starts: list[Atoms],
    n_restarts: int,
    *,
    tol: float,
    max_iter: int,
    rng: np.random.Generator,
) -> Outcome:
    """The best local optimum found with at most `n_clusters` clusters, not certified; never above a feasible one of `starts`.

    Raises
    ------
    ValueError
        No clustering of finite distortion was found (dual IB, disjoint supports).
    """
    given = [start.normalised() for start in starts if len(start) <= n_clusters and feasible(problem, start)]
    if problem.distortion.fixed_atoms:
        return best_local(problem, beta, [*given, best_columns(problem, beta, n_clusters, given)], tol, max_iter)
    known = [np.argmax(sweep(problem, beta, start).posterior, axis=0) for start in given]
    found = search_hard(problem, beta, n_clusters, n_restarts, known, rng)
    if not (found or given):
        raise ValueError(f"n_clusters: no feasible clustering with {n_clusters} cluster(s) was found: supports are disjoint")
    soft = softened(problem, beta, found)
    exact = [atoms_of_labels(problem, labels) for labels in found[:1]]
    return best_local(problem, beta, [*given, *exact, *(state.new for state in soft[:_FOLLOWED])], tol, max_iter)


def softened(problem: Problem, beta: float, found: list[Labels]) -> list[Sweep]:
    """The states a few sweeps from softened clusters, the best first; the dual IB's, whose faces would shrink, are as they are."""
    share = 0.0 if problem.support is not None and problem.distortion.support == "inside" else _SOFT
    states = [_glance(problem, beta, atoms_of_labels(problem, labels, share)) for labels in found[:_GLANCED]]
    return sorted(states, key=lambda state: state.objective)


def search_hard(
    problem: Problem, beta: float, n_clusters: int, n_restarts: int, known: list[Labels], rng: np.random.Generator
) -> list[Labels]:
    """Hard clusterings with at most `n_clusters` clusters that no move improves at `beta` or at a larger one, best at `beta` first.

    From the clusterings `known`, from `n_restarts` rounds of seeds (infinity first; `beta` first; more seeds than clusters, merged),
    and from the best of these with some clusters more and as many mergers, again and again.
    """
    size = min(n_clusters, problem.n)
    best: dict[float, HardClusters] = {}  # by price
    found: dict[bytes, tuple[float, Labels]] = {}

    def follow(labels: Labels, order: list[float]) -> None:
        for price in order:
            clusters = hard_clusters(problem, price, labels, size)
            clusters.single_moves()
            labels = clusters.labels
            if not np.isfinite(clusters.objective):
                continue
            if price not in best or clusters.objective < best[price].objective:
                best[price] = clusters
            found[canonical(labels).tobytes()] = clusters.objective_at(falling[-1]), labels

    work = work_of_pass(problem, size)
    n_restarts = max(1, min(n_restarts, _WORK // work))
    falling = [1.0 / (factor * beta) for factor in _BETAS] if work <= _WORK else [1.0 / beta]
    rising = falling[::-1]
    seedings = [(falling, size), (rising, size), (rising, _MORE * size)] if work <= _WORK else [(rising, size)]
    alone = hard_clusters(problem, 0.0, np.zeros(problem.n, dtype=np.int64), 1)
    pairings = functools.lru_cache(max(1, _KEPT // problem.n))(alone.pairings)
    for labels in known:
        follow(labels, falling)
    for order, n_seeds in seedings * n_restarts:
        n_seeds = n_seeds if n_seeds == size else int(rng.integers(size, n_seeds, endpoint=True))
        seeded = seeded_labels(problem, order[0], size, min(n_seeds, problem.n), pairings, rng)
        if seeded is not None:
            follow(seeded, order)
    for turn in range(_REGROWN * n_restarts if best and 1 < size < problem.n and work <= _WORK else 0):
        price = falling[-1] if turn % 2 == 0 else falling[turn // 2 % len(falling)]
        before = best[price]
        follow(regrown_labels(before, 1 + turn // 2 % _BEGUN, rng, noisy=turn % 5 > 2), [price])
        if best[price] is not before:
            follow(best[price].labels, rising if turn % 2 == 0 else falling)
    return [labels for _, labels in sorted(found.values(), key=lambda pair: pair[0])]


def canonical(labels: Labels) -> Labels:
    """The same clusters, numbered in the order of their first members."""
    _, first, of = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[of.ravel()]


def seeded_labels(
    problem: Problem, price: float, size: int, n_seeds: int, pairings: Callable[[int], Array], rng: np.random.Generator
) -> Labels | None:
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
        batch_moves(clusters)
        if n_seeds > size:
            clusters.single_moves()
            clusters.merge_down(size, rng)
        if np.count_nonzero(clusters.counts) <= size:
            return canonical(clusters.labels)
    return None if problem.support is None else covered_labels(problem, size, rng)


def covered_labels(problem: Problem, size: int, rng: np.random.Generator) -> Labels | None:
    """Clusters that each share a y, at random where there is a choice; None where `size` of them do not suffice or are not found."""
    assert problem.support is not None
    support = problem.support[:, rng.permutation(problem.support.shape[1])]
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
    return np.argmax(support[:, chosen] * rng.random((problem.n, len(chosen))), axis=1)


def regrown_labels(clusters: HardClusters, more: int, rng: np.random.Generator, *, noisy: bool = False) -> Labels:
    """The clusters with up to `more` others, begun at x drawn by what their distortion costs, and the cheapest merged again.

    With `noisy` the costs of mergers count up to twice, at random.
    """
    problem, size = clusters.problem, clusters.size
    chances = clusters.own_distortions()
    labels, possible = clusters.labels.copy(), int(np.count_nonzero(chances))
    if possible:
        begun = rng.choice(problem.n, min(more, possible), replace=False, p=chances / chances.sum())
        labels[begun] = size + np.arange(len(begun))
    grown = hard_clusters(problem, clusters.price, labels, size + more)
    batch_moves(grown)
    grown.single_moves()
    grown.merge_down(size, rng if noisy else None)
    return canonical(grown.labels) if np.count_nonzero(grown.counts) <= size else clusters.labels


def atoms_of_labels(problem: Problem, labels: Labels, share: float = 0.0) -> Atoms:
    """Atoms at the centroids of hard clusters, mixed with a `share` of everything."""
    numbered = canonical(labels)
    return hard_clusters(problem, 0.0, numbered, int(numbered.max()) + 1).centroids(share)


def _glance(problem: Problem, beta: float, atoms: Atoms) -> Sweep:
    """The state after a few sweeps."""
    state = sweep(problem, beta, atoms.normalised())
    for _ in range(_SWEEPS):
        state = sweep(problem, beta, state.new.pick(state.new.weights > 0.0).normalised())
    return state


def merged_down(problem: Problem, state: Sweep, n_clusters: int) -> list[Atoms]:
    """The clusters of a state merged two by two down to `n_clusters`, by the exact cost; [] if infeasible."""
    if problem.distortion.fixed_atoms:
        return [state.atoms.pick(np.argsort(-state.atoms.weights, kind="stable")[:n_clusters]).normalised()]
    pairs = merged_pairs(problem, 1.0 / state.beta, state.posterior * problem.px, n_clusters)
    if len(pairs) > n_clusters:
        return []
    weights = pairs.sum(axis=1)
    return [problem.atoms_from_members(pairs / weights[:, None], weights).normalised()]


def best_columns(problem: Problem, beta: float, n_clusters: int, given: list[Atoms]) -> Atoms:
    """At most `n_clusters` of the columns that cannot move (rate-distortion): the best set, or where there are many a good one.

    That is one from which no exchange of one column for another leads down, from the sets `given` and the one that grows by the best
    column at a time.
    """
    n_columns = problem.U.shape[1]
    size = min(n_clusters, n_columns)
    found: dict[tuple[int, ...], tuple[float, Atoms]] = {}

    def value(columns: tuple[int, ...]) -> float:
        columns = tuple(sorted(columns))
        if columns not in found:
            start = Atoms(np.full(len(columns), 1.0 / len(columns)), np.eye(n_columns)[list(columns)], None)
            atoms = reweight(problem, beta, start)
            found[columns] = sweep(problem, beta, atoms).objective, atoms
        return found[columns][0]

    if math.comb(n_columns, size) <= _MOST_SETS:
        for columns in itertools.combinations(range(n_columns), size):
            value(columns)
    else:
        grown: tuple[int, ...] = ()
        while len(grown) < size:
            grown = min(((*grown, j) for j in range(n_columns) if j not in grown), key=value)
        sets = [tuple(np.argmax(start.means, axis=1).tolist()) for start in given]
        for columns in [*sets, grown]:
            while True:
                kept = [columns[:i] + columns[i + 1 :] for i in range(len(columns))]
                others = ((*rest, j) for rest in kept for j in range(n_columns) if j not in columns)
                exchanged = min(others, key=value)
                if not value(exchanged) < value(columns) - 1e-12:
                    break
                columns = exchanged
    return min(found.values(), key=lambda pair: pair[0])[1]
