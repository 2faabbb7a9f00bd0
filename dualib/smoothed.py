"""A sparse table with a pseudocount in every cell, kept as what it is: the sparse cells, and beside them a number for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array


class Smoothed:
    """``background[x] + sparse[x, y]``, a table (n_x, n_y) that is never made; with what is asked of a CSR array.

    Parameters
    ----------
    sparse : CSR array (n_x, n_y)
        What each cell is above the background of its row, >= 0.
    background : ndarray (n_x,)
        Above 0.
    """

    ndim = 2
    __array_ufunc__ = None  # so that an array times this comes to `__rmatmul__`

    def __init__(self, sparse: Any, background: Array) -> None:
        self.sparse, self.background = sparse, background
        self.shape: tuple[int, int] = sparse.shape

    @property
    def nnz(self) -> int:
        """The sparse cells."""
        return int(self.sparse.nnz)

    @property
    def T(self) -> _Transposed:
        """The transposed table, for products."""
        return _Transposed(self)

    def cells(self) -> Array:
        """The values of the sparse cells, (nnz,)."""
        return np.asarray(self.sparse.data + np.repeat(self.background, np.diff(self.sparse.indptr)))

    def others(self) -> npt.NDArray[np.int64]:
        """How many cells of each row are its background alone, (n_x,)."""
        return self.shape[1] - np.diff(self.sparse.indptr).astype(np.int64)

    def divided(self, by: Array) -> Smoothed:
        """Each row by a number of its own (n_x,); its indices are these."""
        from scipy import sparse

        own = self.sparse
        data = own.data / np.repeat(by, np.diff(own.indptr))
        new = sparse.csr_array((data, own.indices, own.indptr), shape=own.shape)
        new.has_canonical_format = True
        return Smoothed(new, self.background / by)

    def sum(self, axis: int) -> Array:
        """Sums over x (axis 0) or y."""
        own = np.asarray(self.sparse.sum(axis=axis), dtype=np.float64).ravel()
        return np.asarray(own + (self.background.sum() if axis == 0 else self.shape[1] * self.background))

    def mutual_information(self) -> float:
        """I(X;Y), nats, of a table that sums to 1: ``H(X) + H(Y) - H(X, Y)``."""
        cells, (px, py) = self.cells(), (self.sum(axis=1), self.sum(axis=0))
        own = np.sum(cells * np.log(cells)) + np.sum(self.others() * self.background * np.log(self.background))
        return max(0.0, float(own - np.sum(px * np.log(px)) - np.sum(py * np.log(py))))

    def toarray(self) -> Array:
        """The table, dense."""
        return np.asarray(self.sparse.toarray() + self.background[:, None])

    def __getitem__(self, which: Any) -> Smoothed:
        rows = which[0] if isinstance(which, tuple) else which
        return Smoothed(self.sparse[which], self.background[rows])

    def __matmul__(self, other: Array) -> Array:
        rank_one = np.multiply.outer(self.background, np.sum(other, axis=0))
        return np.asarray(self.sparse @ other + rank_one)

    def __rmatmul__(self, other: Array) -> Array:
        return np.asarray((self.T @ np.ascontiguousarray(np.asarray(other).T)).T)


class _Transposed:
    """A `Smoothed` table, transposed."""

    __array_ufunc__ = None

    def __init__(self, table: Smoothed) -> None:
        self.T = table
        self.shape = table.shape[::-1]

    def __matmul__(self, other: Array) -> Array:
        return np.asarray(self.T.sparse.T @ other + np.einsum("x,x...->...", self.T.background, other))
