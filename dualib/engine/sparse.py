"""A large sparse p(y|x) kept sparse: the same reduced problem, its features as an operator by blocks of rows.

Two kinds of tables are: p(y|x) with zeros, by the IB, and counts with a pseudocount in every cell (`dualib.smoothed.Smoothed`), by
the IB and the dual IB. With a number u(x) in every cell of a row and more, C(x, y), in a few of them, the features are

    IB       p(y|x)      =  u(x)      +  C(x, y)
    dual IB  log p(y|x)  =  log u(x)  +  log( 1 + C(x, y) / u(x) )

again a number for each row and a sparse table, so that products with them are of rank one plus sparse.

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
from dualib.engine.problem import NEGLIGIBLE, SLACK, Ints, Problem, numbered
from dualib.engine.sizes import check_sparse_fits
from dualib.joint import JointDistribution
from dualib.smoothed import Smoothed

MOST_ATOMS = 500  # to which a solution grows without a cap
_FEWEST_ROWS, _LARGEST_BLOCK = 512, 2_000_000  # rows of a block, and numbers of a temporary with as many atoms as there may be


class SparseProblem(Problem):
    """A sparse joint distribution seen through the IB, or the dual IB where it is smoothed; for a cap on the clusters, if any.

    Of `Problem` it has everything but the dense arrays `U`, `UT`, `U1T`, `pxU1`, `py_x` and those of the original sources.

    Attributes
    ----------
    rows : CSR array (n, n_y)
        The features of the distinct live sources, in the order of their first; less the background of a smoothed table.
    background : (n,) or None
        What is in every cell of a row beside.
    conditionals : CSR array or Smoothed, (n, n_y)
        Their p(y|x).
    has_zeros : bool
        Whether p(y|x) may be 0.
    """

    is_sparse = True

    def __init__(self, joint: JointDistribution, n_clusters: int | None = None, distortion: Distortion | None = None) -> None:
        check_sparse_fits(joint, 1 if n_clusters is None else min(n_clusters, joint.n_x))
        self.joint = joint
        self.distortion: Distortion = IB() if distortion is None else distortion
        first, self.row_of = distinct_sparse_rows(joint.py_x.sparse if joint.is_smoothed else joint.py_x, joint.px)
        live = self.row_of >= 0
        merged = np.bincount(self.row_of[live], joint.px[live], minlength=len(first))
        self.px: Array = merged / merged.sum()
        self.conditionals: Any = joint.py_x if len(first) == joint.n_x else joint.py_x[first]
        self.has_zeros = not joint.is_smoothed
        is_ib = type(self.distortion) is IB
        self.rows, self.background, self._negentropy, self._least = _features(self.conditionals, is_ib=is_ib)
        self.n, self.k = self.rows.shape
        self.a: Array = self._negentropy if is_ib else np.zeros(self.n)
        self.constant: float = float(np.sum(self.px * self.a))
        self.log_px: Array = np.log(self.px)
        self.most_atoms: int = MOST_ATOMS if n_clusters is None else n_clusters
        self.fixed, self.non_negative, self.faces = False, is_ib, None
        self._low, self._high = _box(self.rows, self.background)
        self._sum, self._has_parts = (1.0 if is_ib else None), True
        self._blocks = list(_in_blocks(self.rows))

    def features(self, which: npt.NDArray | slice = slice(None)) -> tuple[Array, Ints]:
        """As of `Problem`: dense, so for a few sources only."""
        means = self.rows[which].toarray()
        if self.background is not None:
            means += self.background[which, None]
        return means, np.zeros(len(means), dtype=np.int64)

    def products(self, V: Array) -> Array:
        """As of `Problem`."""
        columns, result = np.ascontiguousarray(V.T), np.empty((len(V), self.n))
        for part, rows, _ in self._blocks:
            result[:, part] = (rows @ columns).T
        if self.background is not None:
            result += V.sum(axis=1)[:, None] * self.background
        return result

    def entropy_products(self, V: Array) -> Array:
        """``sum_y p(y|x) log p(y|x) V[t, y]`` of the sources, (m, n), by the IB where p(y|x) has zeros."""
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
            sums = np.asarray((members @ self.rows).toarray())
            return sums if self.background is None else sums + (members @ self.background)[:, None]
        result = np.zeros((self.k, len(members)))
        for part, _, columns in self._blocks:
            result += columns @ np.ascontiguousarray(members[:, part].T)
        if self.background is not None:
            result += np.einsum("tx,x->t", members, self.background)
        return np.ascontiguousarray(result.T)

    def outcomes(self, members: Any) -> Array:
        """As of `Problem`."""
        return self.sums(members) if type(self.distortion) is IB else np.asarray(members @ self.conditionals)

    def absolute_sums(self, members: Array) -> Array:
        """As of `Problem`: no features, probabilities or their logarithms, differ in sign."""
        return np.abs(self.sums(members))

    def moments(self, pairs: Array) -> Array:
        """As of `Problem`."""
        weights, sums, result = np.zeros(len(pairs)), np.zeros((self.k, len(pairs))), np.empty((len(pairs), 1 + self.k))
        for part, _, columns in self._blocks:
            some = pairs[:, part].T * self.px[part, None]
            weights += some.sum(axis=0)
            sums += columns @ some
            if self.background is not None:
                sums += np.einsum("xt,x->t", some, self.background[part])
        result[:, 0], result[:, 1:] = weights, sums.T
        return result

    def sizes(self) -> tuple[Array, float]:
        """As of `Problem`."""
        return 2.0 * np.abs(self._negentropy), float(-np.log(self._least))

    def terms_of(self, beta: Array, V: Array, b: Array, face: Ints, sources: Ints) -> Array:
        """As of `Problem`; in a smoothed table no source has probability 0, and these are few."""
        scaled = beta[:, None] * V
        if self.background is None:
            return np.ascontiguousarray((self.joint.py_x[sources] @ np.ascontiguousarray(scaled.T)).T)
        features, _ = self.distortion.lift(self.joint.py_x[sources].toarray())
        return np.asarray(scaled @ features.T - (beta * b)[:, None])

    @functools.cached_property
    def csr(self) -> tuple[Array, npt.NDArray[np.int32], Ints]:
        """As of `Problem`, less the background; not copied where the types are right."""
        return (
            np.ascontiguousarray(self.rows.data, dtype=np.float64),
            np.ascontiguousarray(self.rows.indices, dtype=np.int32),
            np.ascontiguousarray(self.rows.indptr, dtype=np.int64),
        )

    def members(self, labels: Ints, size: int, shares: Array) -> Any:
        """As of `Problem`, as a CSR array."""
        # else products copy the indices of the rows as int64
        places = labels.astype(np.int32), np.arange(self.n, dtype=np.int32)
        return sparse.csr_array((shares, places), shape=(size, self.n))


def _features(py_x: Any, *, is_ib: bool) -> tuple[Any, Array | None, Array, float]:
    """Features ``background[x] + rows[x, y]``, None being 0; ``sum_y p(y|x) log p(y|x)`` (n,), and the least p(y|x) above 0."""
    if not isinstance(py_x, Smoothed):
        return py_x, None, _negentropies(py_x.data, py_x.indptr), py_x.data.min()
    more, background, size = py_x.sparse, py_x.background, np.diff(py_x.sparse.indptr)
    negentropy = _negentropies(py_x.cells(), more.indptr) + py_x.others() * _xlogx(background)
    if is_ib:
        return more, background, negentropy, background.min()
    data = np.log1p(more.data / np.repeat(background, size))
    rows = sparse.csr_array((data, more.indices, more.indptr), shape=more.shape)
    return rows, np.log(background), negentropy, background.min()


def _negentropies(p: Array, indptr: Ints) -> Array:
    """The sums of ``p log p`` over the cells p of each row of a CSR array, (n,); a block of rows at a time: there are many cells."""
    result = np.zeros(len(indptr) - 1)
    for first in range(0, len(result), _FEWEST_ROWS):
        ends = indptr[first : first + _FEWEST_ROWS + 1]
        row = np.repeat(np.arange(len(ends) - 1), np.diff(ends))
        result[first : first + _FEWEST_ROWS] = np.bincount(row, _xlogx(p[ends[0] : ends[-1]]), minlength=len(ends) - 1)
    return result


def _box(rows: Any, background: Array | None) -> tuple[Array, Array]:
    """Bounds of the features for each y, (n_y,), with some slack: no mean is beyond them."""
    size = np.diff(rows.indptr)
    cells = rows.data if background is None else rows.data + np.repeat(background, size)
    ends = (0.0, 0.0) if background is None else (background.min(), background.max())
    low, high = (np.full(rows.shape[1], end) for end in ends)
    np.maximum.at(high, rows.indices, cells)
    return low - SLACK * np.abs(low), high + SLACK * np.abs(high)


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
    return numbered(head, live, len(px))


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
