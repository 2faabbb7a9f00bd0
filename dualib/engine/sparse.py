"""A large sparse p(y|x) of the IB kept sparse: the same reduced problem, its features as an operator by blocks of rows.

Atoms keep dense means (n_t, n_y) and posteriors (n_t, n). There are no faces here: all atoms are on that of everything, where no
distance is infinite, what starts anywhere has a part of everything, and sweeps find each entry of a mean, however small. Products
are those of SciPy, on one thread, so that no bit depends on the number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Distortion
from dualib.engine.problem import NEGLIGIBLE, SLACK, Ints, Problem
from dualib.engine.sizes import check_sparse_fits
from dualib.joint import JointDistribution

MOST_ATOMS = 500  # to which a solution grows without a cap
_FEWEST_ROWS, _LARGEST_BLOCK = 512, 2_000_000  # rows of a block, and numbers of a temporary with as many atoms as there may be


class SparseProblem(Problem):
    """A sparse joint distribution seen through the IB's distortion, for a cap on the clusters where there is one.

    Of `Problem` it has everything but the dense arrays `U`, `UT`, `U1T`, `pxU1`, `py_x` and those of the original sources.

    Attributes
    ----------
    rows : CSR array (n, n_y)
        p(y|x) of the distinct live sources, in the order of their first.
    """

    is_sparse = True

    def __init__(self, joint: JointDistribution, n_clusters: int | None = None) -> None:
        check_sparse_fits(joint, 1 if n_clusters is None else min(n_clusters, joint.n_x))
        self.joint = joint
        self.distortion: Distortion = IB()
        first, self.row_of = distinct_sparse_rows(joint.py_x, joint.px)
        live = self.row_of >= 0
        merged = np.bincount(self.row_of[live], joint.px[live], minlength=len(first))
        self.px: Array = merged / merged.sum()
        self.rows: Any = joint.py_x if len(first) == joint.n_x else joint.py_x[first]
        self.n, self.k = self.rows.shape
        self.a: Array = np.add.reduceat(_xlogx(self.rows.data), self.rows.indptr[:-1])  # no row is empty
        self.constant: float = float(np.sum(self.px * self.a))
        self.log_px: Array = np.log(self.px)
        self.most_atoms: int = MOST_ATOMS if n_clusters is None else n_clusters
        self.fixed, self.non_negative, self.faces = False, True, None
        self._low, self._high = np.zeros(self.k), np.zeros(self.k)
        np.maximum.at(self._high, self.rows.indices, self.rows.data)
        self._high *= 1.0 + SLACK
        self._sum, self._has_parts = 1.0, True
        self._blocks = list(_in_blocks(self.rows))

    def features(self, which: npt.NDArray | slice = slice(None)) -> tuple[Array, Ints]:
        """As of `Problem`: dense, so for a few sources only."""
        means = self.rows[which].toarray()
        return means, np.zeros(len(means), dtype=np.int64)

    def products(self, V: Array) -> Array:
        """As of `Problem`."""
        columns, result = np.ascontiguousarray(V.T), np.empty((len(V), self.n))
        for part, rows, _ in self._blocks:
            result[:, part] = (rows @ columns).T
        return result

    def entropy_products(self, V: Array) -> Array:
        """``sum_y p(y|x) log p(y|x) V[t, y]`` of the sources, (m, n)."""
        columns, result = np.ascontiguousarray(V.T), np.empty((len(V), self.n))
        for part, rows, _ in self._blocks:
            own = sparse.csr_array((_xlogx(rows.data), rows.indices, rows.indptr), shape=rows.shape)
            result[:, part] = (own @ columns).T
        return result

    def expectation(self, rows: Array) -> Array:
        """As of `Problem`, not by BLAS, which rounds by its number of threads."""
        return np.einsum("tx,x->t", rows, self.px)

    def sums(self, members: Any) -> Array:
        """As of `Problem`, of a dense or a sparse array (m, n)."""
        if sparse.issparse(members):
            return np.asarray((members @ self.rows).toarray())
        result = np.zeros((self.k, len(members)))
        for part, _, columns in self._blocks:
            result += columns @ np.ascontiguousarray(members[:, part].T)
        return np.ascontiguousarray(result.T)

    def outcomes(self, members: Any) -> Array:
        """As of `Problem`: the features are p(y|x)."""
        return self.sums(members)

    def moments(self, pairs: Array) -> Array:
        """As of `Problem`."""
        weights, sums, result = np.zeros(len(pairs)), np.zeros((self.k, len(pairs))), np.empty((len(pairs), 1 + self.k))
        for part, _, columns in self._blocks:
            some = pairs[:, part].T * self.px[part, None]
            weights += some.sum(axis=0)
            sums += columns @ some
        result[:, 0], result[:, 1:] = weights, sums.T
        return result

    def sizes(self) -> tuple[Array, float]:
        """As of `Problem`."""
        return 2.0 * np.abs(self.a), float(-np.log(self.rows.data.min()))

    def terms_of(self, beta: Array, V: Array, b: Array, face: Ints, sources: Ints) -> Array:
        """As of `Problem`."""
        scaled = beta[:, None] * V
        return np.ascontiguousarray((self.joint.py_x[sources] @ np.ascontiguousarray(scaled.T)).T)

    @functools.cached_property
    def csr(self) -> tuple[Array, npt.NDArray[np.int32], Ints]:
        """As of `Problem`; not copied where the types are right."""
        return (
            np.ascontiguousarray(self.rows.data, dtype=np.float64),
            np.ascontiguousarray(self.rows.indices, dtype=np.int32),
            np.ascontiguousarray(self.rows.indptr, dtype=np.int64),
        )

    def members(self, labels: Ints, size: int, shares: Array) -> Any:
        """As of `Problem`, as a CSR array."""
        places = (
            labels.astype(np.int32),
            np.arange(self.n, dtype=np.int32),
        )  # else products copy the indices of the rows as int64
        return sparse.csr_array((shares, places), shape=(size, self.n))

    def centroids(self, members: Any) -> tuple[Array, Ints, npt.NDArray[np.bool_]]:
        """As of `Problem`, of a dense or a sparse array (m, n)."""
        means = self.sums(members)
        return means, np.zeros(len(means), dtype=np.int64), np.ones(len(means), dtype=bool)


def distinct_sparse_rows(rows: Any, px: Array) -> tuple[Ints, Ints]:
    """Indices of the first of each set of equal live rows of a CSR array, and for each row its set (-1: p(x) = 0).

    Equal rows have the same products with two random vectors. Rows that have the same and are not equal stay apart, as do all but
    the first of several kinds of rows with the same products.
    """
    live = np.flatnonzero(px > NEGLIGIBLE)
    keys = (rows @ np.random.default_rng(0).random((rows.shape[1], 2)))[live]
    _, start, of = np.unique(keys.view(np.complex128).ravel(), return_index=True, return_inverse=True)
    head = live[start][of.ravel()]
    others = np.flatnonzero(head != live)
    apart = others[~_equal(rows[live[others]], rows[head[others]])]
    head[apart] = live[apart]
    first, index = np.unique(head, return_inverse=True)
    row_of = np.full(len(px), -1)
    row_of[live] = index.ravel()
    return first, row_of


def _equal(one: Any, other: Any) -> npt.NDArray[np.bool_]:
    """Which rows of two CSR arrays of one shape are the same, entry by entry."""
    return np.asarray(abs(one - other).sum(axis=1) == 0.0)


def _in_blocks(rows: Any) -> Any:
    """Slices of the rows, with them and their transposed: as many rows as make up for the sums (n_y, m) of a block, or few."""
    n, k = rows.shape
    size = max(_FEWEST_ROWS, min(-(-n * k // max(rows.nnz, 1)), _LARGEST_BLOCK // min(n, MOST_ATOMS)))
    for begin in range(0, n, size):
        end = min(begin + size, n)
        entries = slice(rows.indptr[begin], rows.indptr[end])
        block, turned = sparse.csr_array((end - begin, k)), sparse.csc_array((k, end - begin))
        for part in (block, turned):  # their constructors would copy parts of large arrays
            part.data, part.indices = rows.data[entries], rows.indices[entries]
            part.indptr = rows.indptr[begin : end + 1] - rows.indptr[begin]
        yield slice(begin, end), block, turned


def _xlogx(p: Array) -> Array:
    result = np.log(p)
    result *= p
    return result
