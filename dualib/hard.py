"""Hard clusters of a reduced problem: their exact objective, and moves that lower it.

With each x in one cluster ``I(X;T) = H(T)``, so that the objective, in units of the distortion, is

    price H(T) + E d,      price = 1 / beta

and beta = inf, where only the distortion counts, is the price 0. It is a sum over clusters, and the constant ``sum_x p(x) a(x)``, of

    cost_t = w_t b(M_t) - <S_t, V(M_t)> - price w_t log w_t,      S_t = sum_{x in t} p(x) U[x] = w_t M_t

so that a move of one x changes two terms only (p(x), U, V, b as in `dualib.distortions`).

The single moves are the sequential IB of Slonim, Friedman and Tishby (2002), Hartigan's step for k-means: the exact change of the
objective counts what the move does to both centroids. Nearest-cluster moves, and sweeps at high beta, do not: they stay where they
start.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dualib.distortions import IB, Array, Mask
from dualib.moves import ib_single_moves
from dualib.problem import Atoms, Problem
from dualib.sparse_problem import SparseProblem, csr_parts

Labels = npt.NDArray[np.int64]

_SOFT = (0.1, 0.01)  # parts of everything in the centroids of a batch move, so that no x is infinitely far from a cluster
_LEAST = 1e-12  # relative to the objective's size: moves that lower it by less are rounding
_PASSES = 100  # over all x
_AT_ONCE = 200_000  # numbers of trial means, or of distortions, at a time
_TINY = 1e-300
_ROWS: weakref.WeakKeyDictionary[Problem, tuple[Array, np.ndarray, np.ndarray]] = weakref.WeakKeyDictionary()


class HardClusters:
    """A hard clustering, and what any one move would change.

    Attributes
    ----------
    labels : (n,) int
        The cluster of each source, below `size`; some clusters may be empty.
    counts : (size,) int
        Members of each cluster.
    objective : float
        ``price H(T) + E d``; inf where some x is infinitely far from its cluster.
    """

    _needs_zeros = True

    def __init__(self, problem: Problem, price: float, labels: Labels, size: int) -> None:
        self.problem, self.price, self.size = problem, price, size
        self.labels: Labels = np.array(labels, dtype=np.int64)
        self._zeros = source_zeros(problem) if self._needs_zeros else None
        self.refresh()

    def refresh(self) -> None:
        """Sum up anew from the labels."""
        members = np.zeros((self.size, self.problem.n))
        members[self.labels, np.arange(self.problem.n)] = 1.0
        self.counts: Array = members.sum(axis=1)
        self._weights: Array = members @ self.problem.px
        self._sums: Array = members @ self.problem.pxU
        self._seen = None if self._zeros is None else members @ self._zeros
        self._costs = self._cost(self._weights, self._sums, self._seen, self.counts)

    @property
    def objective(self) -> float:  # noqa: D102 - an attribute
        return self.problem.constant + float(np.sum(self._costs))

    def objective_at(self, price: float) -> float:
        """The objective at another price."""
        w = self._weights
        return self.objective - (price - self.price) * float(np.sum(w * np.log(np.maximum(w, _TINY))))

    def changes(self, sources: np.ndarray) -> Array:
        """What the objective would change by if each source (m,) alone went to each cluster, (m, size); 0 for its own.

        inf where the move would make a distortion infinite.
        """
        problem, own = self.problem, self.labels[sources]
        p, features = problem.px[sources, None], problem.pxU[sources, None]
        weights = np.concatenate(
            [self._weights + p, self._weights[own, None] - p], axis=1
        )  # with x in each, and its own without it
        sums = np.concatenate([self._sums + features, self._sums[own, None] - features], axis=1)
        counts = np.ones(weights.shape)
        counts[:, -1] = self.counts[own] - 1.0
        seen = None
        if self._zeros is not None and self._seen is not None:
            zeros = self._zeros[sources, None]
            seen = np.concatenate([self._seen + zeros, self._seen[own, None] - zeros], axis=1)
        costs = self._cost(weights, sums, seen, counts)
        change = (costs[:, :-1] - self._costs) + (costs[:, -1] - self._costs[own])[:, None]
        change[np.arange(len(sources)), own] = 0.0
        return change

    def best_changes(self) -> Array:
        """The least change that each source can make, (n,)."""
        width = (self.size + 1) * (self.problem.U.shape[1] + 1)
        parts = np.array_split(np.arange(self.problem.n), -(-self.problem.n * width // _AT_ONCE))
        return np.concatenate([self.changes(part).min(axis=1) for part in parts])

    def move(self, x: int, to: int) -> None:
        """Put x into another cluster; both are summed up anew, so that of a heavy x that leaves no rounding stays behind."""
        old, self.labels[x] = self.labels[x], to
        pair = np.array([old, to])
        for t in pair:
            members = np.flatnonzero(self.labels == t)
            self.counts[t] = len(members)
            self._weights[t] = self.problem.px[members].sum()
            self._sums[t] = self.problem.pxU[members].sum(axis=0)
            if self._zeros is not None and self._seen is not None:
                self._seen[t] = self._zeros[members].sum(axis=0)
        seen = None if self._seen is None else self._seen[pair]
        self._costs[pair] = self._cost(self._weights[pair], self._sums[pair], seen, self.counts[pair])

    def single_moves(self) -> None:
        """One x at a time to the cluster where the exact objective is least, until no such move lowers it.

        A pass tries all x against the clusters as they are, then makes the moves that promise something, best first, each judged
        anew.
        """
        least = _LEAST * (1.0 + abs(self.problem.constant))
        for _ in range(_PASSES):
            promise, moved = self.best_changes(), False
            for x in np.argsort(promise, kind="stable")[: np.count_nonzero(promise < -least)]:
                change = self.changes(np.array([x]))[0]
                to = int(np.argmin(change))
                if change[to] < -least:
                    self.move(int(x), to)
                    moved = True
            if not moved:
                return

    def merge_down(self, size: int, rng: np.random.Generator | None = None) -> None:
        """Merge the two clusters whose merger costs the objective least, and again, down to `size` if a common support allows.

        With `rng` costs count up to twice, at random, so that the second best is tried too.
        """
        kept = np.flatnonzero(self.counts)
        w, sums, costs = self._weights[kept], self._sums[kept], self._costs[kept]
        seen = None if self._seen is None else self._seen[kept]

        def losses_with(i: int) -> Array:
            both = self._cost(w[i] + w, sums[i] + sums, None if seen is None else seen[i] + seen, np.ones(len(w)))
            both -= costs[i] + costs
            both[gone] = np.inf
            both[i] = np.inf
            return both

        gone = np.zeros(len(kept), dtype=bool)

        losses = np.array([losses_with(i) for i in range(len(kept))]) if len(kept) > size else np.zeros((0, 0))
        noise = np.ones(losses.shape) if rng is None else 1.0 + rng.random(losses.shape)
        for _ in range(len(kept) - size):
            i, j = divmod(int(np.argmin(losses * noise)), len(losses))
            if not np.isfinite(losses[i, j]):
                break
            self.labels[self.labels == kept[j]] = kept[i]
            for array in (w, sums) if seen is None else (w, sums, seen):
                array[i] += array[j]
            costs[i] = self._cost(w[[i]], sums[[i]], None if seen is None else seen[[i]], np.ones(1))[0]
            gone[j] = True
            losses[j] = losses[:, j] = np.inf
            losses[i] = losses[:, i] = losses_with(i)
        self.refresh()

    def own_distortions(self) -> Array:
        """``p(x) d(x, t)`` of each source and its cluster, (n,)."""
        d = -self._nearness(0.0)[self.labels, np.arange(self.problem.n)]
        return self.problem.px * np.maximum(d + self.problem.a, 0.0)

    def nearest(self, share: float) -> Labels:
        """For each x the cluster of least ``d - price log w``, by centroids with a `share` of everything; else its own."""
        score = self._nearness(share)
        score += self.price * np.log(np.maximum(self._weights, _TINY))[:, None]
        score[self.counts == 0] = -np.inf
        best = np.argmax(score, axis=0)
        return np.where(np.isfinite(score.max(axis=0)), best, self.labels)

    def _nearness(self, share: float) -> Array:
        """``a(x) - d(x, t)``, (size, n)."""
        return self.problem.log_terms(self.centroids(share), 1.0)

    def centroids(self, share: float) -> Atoms:
        """Atoms at the centroids (empty clusters: of everything), mixed with a `share` of everything, for which all get one face."""
        live = self.counts > 0.0
        everything = self._sums.sum(axis=0)
        means = np.where(live[:, None], self._sums / np.maximum(self._weights, _TINY)[:, None], everything)
        face = None
        if self._seen is not None:
            face = self._seen > 0.5 if self.problem.distortion.support == "cover" else self._seen < 0.5
            if share > 0.0:
                face = np.ones_like(face)
        return Atoms(self._weights, (1.0 - share) * means + share * everything, face)

    def pairings(self, x: int) -> Array:
        """What the objective rises by where x and each other source, alone so far, share a cluster, (n,)."""
        problem, zeros = self.problem, self._zeros
        live, seen = np.ones(problem.n), None if zeros is None else zeros + zeros[x]
        alone = self._cost(problem.px, problem.pxU, zeros, live)
        both = self._cost(problem.px + problem.px[x], problem.pxU + problem.pxU[x], seen, live)
        result = np.maximum(both - alone - alone[x], 0.0)
        result[x] = 0.0
        return result

    def _cost(self, weights: Array, sums: Array, seen: Array | None, counts: Array) -> Array:
        return _costs(self.problem, self.price, weights, sums, seen, counts)


class IBHardClusters(HardClusters):
    """The same by the IB, where ``cost_t = (1 - price) w log w - sum_y S log S``, faces are where S > 0, single moves compiled."""

    _needs_zeros = False

    def single_moves(self) -> None:
        """As of `HardClusters`."""
        least = _LEAST * (1.0 + abs(self.problem.constant))
        sums = np.array(self._sums.T, order="C")
        into = (self.labels, self.counts, self._weights, sums, _xlogx(sums))
        ib_single_moves(self.price, least, _PASSES, *_csr(self.problem), self.problem.px, *into)
        self.refresh()

    def centroids(self, share: float) -> Atoms:
        """As of `HardClusters`."""
        atoms = super().centroids(share)
        whole = self.problem.support is None and not self.problem.is_sparse
        return Atoms(atoms.weights, atoms.means, None if whole else atoms.means > 0.0)

    def _cost(self, weights: Array, sums: Array, seen: Array | None, counts: Array) -> Array:
        return np.asarray((1.0 - self.price) * _xlogx(weights) - _xlogx(sums).sum(axis=-1))


class SparseHardClusters(IBHardClusters):
    """The same of a sparse problem of the IB."""

    problem: SparseProblem

    def refresh(self) -> None:
        """Sum up anew from the labels."""
        from scipy import sparse

        problem, n = self.problem, self.problem.n
        members = sparse.csr_array((problem.px, (self.labels, np.arange(n))), shape=(self.size, n))
        self.counts = np.bincount(self.labels, minlength=self.size).astype(np.float64)
        self._weights = np.bincount(self.labels, problem.px, minlength=self.size).astype(np.float64)
        self._sums = np.asarray((members @ problem.rows).toarray())
        self._seen = None
        self._costs = self._cost(self._weights, self._sums, None, self.counts)

    def pairings(self, x: int) -> Array:
        """As of `HardClusters`."""
        problem, w = self.problem, self.problem.px
        data, indices, indptr = _csr(problem)
        own = np.zeros(problem.joint.n_y)
        begin, end = indptr[x], indptr[x + 1]
        own[indices[begin:end]] = w[x] * data[begin:end]
        shared = np.empty(problem.n)
        for part in np.array_split(np.arange(problem.n), min(problem.n, -(-len(data) // _AT_ONCE))):
            entries = slice(indptr[part[0]], indptr[part[-1] + 1])
            here, other = own[indices[entries]], np.repeat(w[part], np.diff(indptr)[part]) * data[entries]
            rise = _xlogx(here + other) - _xlogx(here) - _xlogx(other)
            shared[part] = np.add.reduceat(rise, indptr[part] - indptr[part[0]])
        weights = (1.0 - self.price) * (_xlogx(w + w[x]) - _xlogx(w) - _xlogx(w[x]))
        result = np.asarray(np.maximum(weights - shared, 0.0))
        result[x] = 0.0
        return result

    def own_distortions(self) -> Array:
        """As of `HardClusters`."""
        nearness = np.concatenate([scores[np.arange(len(part)), self.labels[part]] for part, scores in self._scores(0.0)])
        return self.problem.px * np.maximum(self.problem.a - nearness, 0.0)

    def nearest(self, share: float) -> Labels:
        """As of `HardClusters`."""
        weighed = self.price * np.log(np.maximum(self._weights, _TINY))
        weighed[self.counts == 0] = -np.inf
        return np.concatenate([np.argmax(scores + weighed, axis=1) for _, scores in self._scores(share)])

    def _scores(self, share: float) -> Iterator[tuple[np.ndarray, Array]]:
        """``a(x) - d(x, t)`` of some sources at a time, (m, size)."""
        table = np.ascontiguousarray(np.log(np.maximum(self.centroids(share).means, _TINY)).T)
        for part in np.array_split(np.arange(self.problem.n), -(-self.problem.n * self.size // _AT_ONCE)):
            yield part, np.asarray(self.problem.rows[part] @ table)


def hard_clusters(problem: Problem, price: float, labels: Labels, size: int) -> HardClusters:
    """Clusters of the given labels, of a dense or a sparse problem."""
    kind: type[HardClusters] = HardClusters
    if type(problem.distortion) is IB:  # by exact type: a subclass may have another link
        kind = SparseHardClusters if problem.is_sparse else IBHardClusters
    return kind(problem, price, labels, size)


def _csr(problem: Problem) -> tuple[Array, np.ndarray, np.ndarray]:
    """p(y|x) as the arrays of a CSR matrix."""
    found = _ROWS.get(problem)
    if found is None:
        from scipy import sparse

        found = _ROWS[problem] = csr_parts(problem.rows if isinstance(problem, SparseProblem) else sparse.csr_array(problem.U))
    return found


def work_of_pass(problem: Problem, size: int) -> int:
    """How many terms a pass of single moves over all x looks at."""
    return size * (len(_csr(problem)[0]) if type(problem.distortion) is IB else problem.U.size)


def source_zeros(problem: Problem) -> Array | None:
    """For each source the y at which it widens (IB) or narrows (dual IB) the face of its cluster, (n, n_y); None without zeros."""
    if problem.support is None:
        return None
    return (problem.support if problem.distortion.support == "cover" else ~problem.support).astype(np.float64)


def batch_moves(clusters: HardClusters) -> None:
    """Every x to its nearest cluster at once, as long as the objective falls."""
    for share in _SOFT if clusters.problem.distortion.support == "cover" else (0.0,):
        for _ in range(_PASSES):
            before = copy.copy(clusters)
            clusters.labels = clusters.nearest(share)
            clusters.refresh()
            if not clusters.objective < before.objective - _LEAST * (1.0 + abs(before.objective)):
                vars(clusters).update(vars(before))
                break


def merged_pairs(problem: Problem, price: float, pairs: Array, size: int) -> Array:
    """Soft clusters p(t, x) (m, n) merged two by two down to `size`, each time the two whose merger costs the objective least.

    The cost is exact: of a cluster it is ``price sum_x p(t, x) log( p(t, x) / (p(x) w_t) )`` and its part of E d. More than `size`
    are left where every merger would make the distortion infinite.
    """
    pairs = pairs[pairs.sum(axis=1) > 0.0]
    costs, losses = _pair_costs(problem, price, pairs), np.full((len(pairs), len(pairs)), np.inf)
    for i in range(len(pairs) - 1):
        losses[i, i + 1 :] = _pair_costs(problem, price, pairs[i] + pairs[i + 1 :]) - costs[i] - costs[i + 1 :]
    while len(pairs) > size:
        i, j = divmod(int(np.argmin(losses)), len(losses))
        if not np.isfinite(losses[i, j]):
            break
        pairs[i] += pairs[j]
        pairs, costs = np.delete(pairs, j, axis=0), np.delete(costs, j)
        losses = np.delete(np.delete(losses, j, axis=0), j, axis=1)
        costs[i] = _pair_costs(problem, price, pairs[[i]])[0]
        row = _pair_costs(problem, price, pairs[i] + pairs) - costs[i] - costs
        losses[i, i + 1 :], losses[:i, i] = row[i + 1 :], row[:i]
    return pairs


def _pair_costs(problem: Problem, price: float, pairs: Array) -> Array:
    """The cost of clusters p(t, x) (m, n), with their part of the rate, (m,)."""
    zeros = source_zeros(problem)
    seen = None if zeros is None else (pairs > 0.0).astype(np.float64) @ zeros
    costs = _costs(problem, price, pairs.sum(axis=1), pairs @ problem.U, seen, np.ones(len(pairs)))
    share = np.where(pairs > 0.0, pairs / problem.px, 1.0)
    return np.asarray(costs + price * np.sum(pairs * np.log(share), axis=1))


def _costs(problem: Problem, price: float, weights: Array, sums: Array, seen: Array | None, counts: Array) -> Array:
    """``cost_t`` of the module's docstring, shape of `weights` (...,), for sums (..., k) and sums of `source_zeros` (..., n_y).

    0 for a cluster without members; inf for one without a face.
    """
    live: Mask = counts > 0.0
    w = np.where(live, np.maximum(weights, _TINY), 1.0).ravel()
    sums, face, void = sums.reshape(len(w), -1), None, None
    if seen is not None:
        seen = seen.reshape(len(w), -1)
        face = seen > 0.5 if problem.distortion.support == "cover" else seen < 0.5
        void = ~face.any(axis=1)
        face[void] = True
    v, b = problem.link(Atoms(w, sums / w[:, None], face))
    with np.errstate(all="ignore"):  # where a heavy x would leave light ones, rounding is all there is to judge by
        costs = w * b - np.einsum("tk,tk->t", sums, v) - price * w * np.log(w)
    costs[np.isnan(costs)] = np.inf
    if void is not None:
        costs[void] = np.inf
    return np.where(live, costs.reshape(weights.shape), 0.0)


def _xlogx(values: Any) -> Any:
    return values * np.log(np.maximum(values, _TINY))
