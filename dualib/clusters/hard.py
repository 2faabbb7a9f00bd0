"""Hard clusters of a reduced problem: their exact objective, and moves that lower it.

With each x in one cluster ``I(X;T) = H(T)``, so that the objective, in units of the distortion, is

    price H(T) + E d,      price = 1 / beta

and beta = inf, where only the distortion counts, is the price 0. It is a sum over clusters of the distortion of the cluster's pool
(`dualib.clusters.pools`) and ``- price w_t log w_t``, so that a move of one x changes two terms only.

The single moves are the sequential IB of Slonim, Friedman and Tishby (2002), Hartigan's step for k-means: the exact change of the
objective counts what the move does to both centroids. Nearest-cluster moves, and sweeps at high beta, do not: they stay where they
start.
"""

from __future__ import annotations

import copy
import weakref

import numpy as np
import numpy.typing as npt

from dualib.clusters.merging import merged_into
from dualib.clusters.pools import Pools, distortions_of, face, marks_of, pools_of, xlogx
from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Mask
from dualib.engine.loading import loaded
from dualib.engine.problem import Ints, Problem

_SOFT = (0.1, 0.01)  # parts of everything in the centroids of a batch move, so that no x is infinitely far from a cluster
LEAST = 1e-12  # relative to the objective's size: moves that lower it by less are rounding
PASSES = 100  # over all x
_MOST_TERMS = 200_000_000  # of a pass of single moves on a smoothed sparse table, a few seconds
_AT_ONCE = 200_000  # numbers of trial means, or of pairs of entries, at a time
_TINY = 1e-300  # stands for 0 in logarithms
_alone: weakref.WeakKeyDictionary[Problem, Pools] = weakref.WeakKeyDictionary()


class HardClusters:
    """A hard clustering, and what any one move would change.

    Attributes
    ----------
    labels : (n,) int
        The cluster of each source, below `size`; some clusters may be empty.
    pools : Pools
        The sums over the members of each cluster, (size,).
    objective : float
        ``price H(T) + E d``; inf where some x is infinitely far from its cluster.
    """

    def __init__(self, problem: Problem, price: float, labels: Ints, size: int) -> None:
        self.problem, self.price, self.size = problem, price, size
        self.labels: Ints = np.array(labels, dtype=np.int64)
        self.refresh()

    def refresh(self) -> None:
        """Sum up anew from the labels."""
        self.pools = self._summed()
        self._costs = self._cost(self.pools)

    @property
    def counts(self) -> Array:
        """The members of each cluster, (size,)."""
        return self.pools.counts

    @property
    def objective(self) -> float:  # noqa: D102 - an attribute
        return float(np.sum(self._costs))

    def objective_at(self, price: float) -> float:
        """The objective at another price."""
        return self.objective - (price - self.price) * float(np.sum(xlogx(self.pools.weights)))

    # ---- single moves

    def changes(self, sources: Ints) -> Array:
        """What the objective would change by if each source (m,) alone went to each cluster, (m, size); 0 for its own.

        inf where the move would make a distortion infinite.
        """
        own, count, width = self.labels[sources], len(sources), self.pools.table.shape[1]
        alone = self._alone(sources)[:, None]
        trials = np.empty((count, self.size + 1, width))  # with x in each cluster, and its own without it
        np.add(self.pools.table, alone, out=trials[:, :-1])
        np.subtract(self.pools.table[own, None], alone, out=trials[:, -1:])
        costs = self._cost(Pools(trials.reshape(-1, width), self.problem.k)).reshape(count, -1)
        change = (costs[:, :-1] - self._costs) + (costs[:, -1] - self._costs[own])[:, None]
        change[np.arange(count), own] = 0.0
        return change

    def _alone(self, sources: Ints) -> Array:
        """The tables of pools of one source each."""
        return _sources(self.problem).table[sources]

    def _pooled(self, which: Mask) -> Array:
        """That of the pool of the sources of a mask."""
        return np.asarray(_sources(self.problem).table[which].sum(axis=0))

    def best_changes(self) -> Array:
        """The least change that each source can make, (n,)."""
        width = (self.size + 1) * (self.problem.k + 1)
        parts = np.array_split(np.arange(self.problem.n), -(-self.problem.n * width // _AT_ONCE))
        return np.concatenate([self.changes(part).min(axis=1) for part in parts])

    def move(self, x: int, to: int) -> None:
        """Put x into another cluster; both are summed up anew, so that of a heavy x that leaves no rounding stays behind."""
        old, self.labels[x] = self.labels[x], to
        for t in (old, to):
            self.pools.table[t] = self._pooled(self.labels == t)
        pair = np.array([old, to])
        self._costs[pair] = self._cost(self.pools.pick(pair))

    def single_moves(self) -> None:
        """One x at a time to the cluster where the exact objective is least, until no such move lowers it.

        A pass tries all x against the clusters as they are, then makes the moves that promise something, best first, each judged
        anew.
        """
        least = LEAST * (1.0 + abs(self.problem.constant))
        for _ in range(PASSES):
            promise, moved = self.best_changes(), False
            for x in np.argsort(promise, kind="stable")[: np.count_nonzero(promise < -least)]:
                change = self.changes(np.array([x]))[0]
                to = int(np.argmin(change))
                if change[to] < -least:
                    self.move(int(x), to)
                    moved = True
            if not moved:
                return

    # ---- moves of all, and mergers

    def batch_moves(self) -> None:
        """Every x to its nearest cluster at once, as long as the objective falls."""
        for share in _SOFT if self.problem.distortion.support == "cover" else (0.0,):
            for _ in range(PASSES):
                before = copy.copy(self)
                self.labels = self._nearest(share)
                self.refresh()
                if not self.objective < before.objective - LEAST * (1.0 + abs(before.objective)):
                    vars(self).update(vars(before))
                    break

    def merge_down(self, size: int, rng: np.random.Generator | None = None) -> None:
        """Merge the two clusters whose merger costs the objective least, and again, down to `size` if a common support allows.

        Then on, as long as that lowers the objective. With `rng` costs count up to twice, at random, so that the second best is
        tried too.
        """
        kept = np.flatnonzero(self.counts)
        into = merged_into(self.pools.table[kept], lambda table: self._cost(Pools(table, self.problem.k)), 1, rng, most=size)
        number = np.zeros(self.size, dtype=np.int64)
        number[kept] = kept[into]
        self.labels = number[self.labels]
        self.refresh()

    def own_distortions(self) -> Array:
        """``p(x) d(x, t)`` of each source and its cluster, (n,)."""
        kept, nearness = self._nearness(0.0)
        own = nearness[np.searchsorted(kept, self.labels), np.arange(self.problem.n)]
        return np.asarray(self.problem.px * np.maximum(self.problem.a - own, 0.0))

    def pairings(self, x: int) -> Array:
        """What the objective rises by where x and each other source, alone so far, share a cluster, (n,)."""
        alone = _sources(self.problem)
        cost = self._cost(alone)
        result = np.maximum(self._cost(Pools(alone.table + alone.table[x], alone.k)) - cost - cost[x], 0.0)
        result[x] = 0.0
        return result

    # ---- the parts that the IB has in another form

    def _summed(self) -> Pools:
        members = self.problem.members(self.labels, self.size, np.ones(self.problem.n))
        return Pools(members @ _sources(self.problem).table, self.problem.k)

    def _nearness(self, share: float) -> tuple[Ints, Array]:
        """The clusters that have members, and ``a(x) - d(x, t)`` of these (m, n); centroids with a `share` of everything."""
        kept = np.flatnonzero(self.counts)
        pools = self.pools.pick(kept)
        means = pools.features / pools.weights[:, None]
        if share > 0.0:
            means = (1.0 - share) * means + share * pools.features.sum(axis=0)
        link, on = self.problem.distortion.link, face(self.problem.distortion, pools)
        if on is None or share > 0.0:
            values, offset = link(means)
            return kept, self.problem.products(values) - offset[:, None]
        values, offset = link(means, on)
        nearness = self.problem.products(values) - offset[:, None]
        assert self.problem.faces is not None
        nearness[~self.problem.faces.reached(on, self.problem.faces.support)] = -np.inf
        return kept, nearness

    def _cost(self, pools: Pools) -> Array:
        return distortions_of(self.problem.distortion, pools) - self.price * xlogx(pools.weights)

    def _nearest(self, share: float) -> Ints:
        """For each x the cluster of least ``d - price log w``, by centroids with a `share` of everything; else its own."""
        kept, score = self._nearness(share)
        score += self.price * np.log(self.pools.weights[kept])[:, None]
        return np.where(np.isfinite(score.max(axis=0)), kept[np.argmax(score, axis=0)], self.labels)


class IBHardClusters(HardClusters):
    """The same by the IB, from the rows of p(y|x) as those of a sparse matrix: no dense table is made, single moves are compiled."""

    def single_moves(self) -> None:
        """As of `HardClusters`."""
        size, least = self.size, LEAST * (1.0 + abs(self.problem.constant))
        into = (np.empty(size), np.empty(size), np.empty((self.problem.k, size)), np.empty((self.problem.k, size)))
        move = loaded("dualib.clusters.compiled").single_moves
        move(self.price, least, PASSES, 0, size, *compiled_table(self.problem), self.labels, *into)
        self.refresh()

    def _summed(self) -> Pools:
        return _summed_by_products(self)

    def _nearness(self, share: float) -> tuple[Ints, Array]:
        kept = np.flatnonzero(self.counts)
        means = self.pools.features[kept] / self.pools.weights[kept, None]
        if share > 0.0:
            means = (1.0 - share) * means + share * self.pools.features.sum(axis=0)
        return kept, self.problem.products(np.log(np.maximum(means, _TINY)))


class SmoothedHardClusters(HardClusters):
    """The same of a smoothed sparse table, by products with its features; no dense table is made.

    A move of one x changes what its clusters have of every y, so that a pass of single moves looks at as many numbers as the table
    has cells, for each cluster. Where these are too many, moves are of all x at once.
    """

    def single_moves(self) -> None:
        """As of `HardClusters`, or moves of all x."""
        if self.problem.n * self.problem.k * self.size <= _MOST_TERMS:
            super().single_moves()
        else:
            self.batch_moves()

    def pairings(self, x: int) -> Array:
        """``p(x') d(x', x)``, what each other source would cost in a cluster whose centroid is x, (n,)."""
        problem = self.problem
        V, b = problem.link(*problem.features(np.array([x])))
        result = problem.px * np.maximum(problem.a + b - problem.products(V)[0], 0.0)
        result[x] = 0.0
        return np.asarray(result)

    def _alone(self, sources: Ints) -> Array:
        problem, px = self.problem, self.problem.px[sources]
        features, _ = problem.features(sources)
        columns = (np.ones(len(px)), px, px * problem.a[sources], px[:, None] * features)
        return np.column_stack(columns)

    def _pooled(self, which: Mask) -> Array:
        problem = self.problem
        members = np.where(which, problem.px, 0.0)[None]
        sums = (np.count_nonzero(which), members.sum(), np.sum(members * problem.a))
        return np.concatenate([sums, problem.sums(members)[0]])

    def _summed(self) -> Pools:
        return _summed_by_products(self)


def _summed_by_products(clusters: HardClusters) -> Pools:
    """The pools of clusters, their features by one product."""
    problem, labels, size = clusters.problem, clusters.labels, clusters.size
    counts, weights, offsets = (
        np.bincount(labels, part, size).astype(np.float64) for part in (np.ones(problem.n), problem.px, problem.px * problem.a)
    )
    sums = problem.sums(problem.members(labels, size, problem.px))
    return pools_of(counts, weights, offsets, sums, np.zeros((size, 0)))


def hard_clusters(problem: Problem, price: float, labels: Ints, size: int) -> HardClusters:
    """Clusters of the given labels."""
    kind = IBHardClusters if is_compiled(problem) else HardClusters if not problem.is_sparse else SmoothedHardClusters
    return kind(problem, price, labels, size)


def is_compiled(problem: Problem) -> bool:
    """Whether single moves are by compiled code: of the IB (by exact type: a subclass may have another link), not smoothed."""
    return type(problem.distortion) is IB and (problem.has_zeros or not problem.is_sparse)


def compiled_table(problem: Problem) -> tuple[Array, npt.NDArray[np.int32], Ints, Array]:
    """p(x, y) as data, indices and row ends of a CSR matrix, and p(x), as the compiled functions take them."""
    data, indices, ends = problem.csr
    own = problem.joint.pxy
    if problem.is_sparse and problem.n == problem.joint.n_x and np.shares_memory(indices, own.indices):
        return own.data, indices, ends, problem.px
    pxy = np.repeat(problem.px, np.diff(ends))
    pxy *= data
    return pxy, indices, ends, problem.px


def work_of_pass(problem: Problem, size: int) -> int:
    """How many terms a pass of moves over all x looks at: of single ones, where these are made."""
    every = size * problem.n * problem.k
    few = size * len(problem.csr[0])
    return few if is_compiled(problem) or (problem.is_sparse and every > _MOST_TERMS) else every


def _sources(problem: Problem) -> Pools:
    """The pools of single sources, (n,), summed up once for each problem."""
    if problem not in _alone:
        marks = marks_of(problem.distortion, problem.n, None if problem.faces is None else problem.faces.support)
        px = problem.px
        _alone[problem] = pools_of(np.ones(problem.n), px, px * problem.a, px[:, None] * problem.U, marks)
    return _alone[problem]
