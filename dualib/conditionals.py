"""What a joint distribution knows of its table, dense, sparse or smoothed: conditionals and information; and read-only arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib._validation import Array, is_sparse
from dualib.information.entropies import mutual_information, sparse_mutual_information
from dualib.memory import check_fits
from dualib.smoothed import Smoothed


def conditionals_of(matrix: Any, px: Array, py: Array) -> Any:
    """p(y|x) in the form of p(x, y); p(y) in the rows of p(x) = 0."""
    if isinstance(matrix, Smoothed):
        return matrix.divided(px)
    if is_sparse(matrix):
        from scipy import sparse

        data = np.repeat(px, np.diff(matrix.indptr))  # a row of p(x) = 0 has nothing stored
        np.divide(matrix.data, data, out=data)
        rows = sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)  # indices shared with p(x, y)
        rows.has_canonical_format = True
        return rows if (px > 0.0).all() else _with_rows(rows, px == 0.0, py)
    with np.errstate(over="ignore"):
        rows = np.where(px[:, None] > 0.0, matrix / np.where(px > 0.0, px, 1.0)[:, None], py)
    return rows / rows.sum(axis=1, keepdims=True)


def _with_rows(rows: Any, dead: np.ndarray, py: Array) -> Any:
    """The CSR `rows` with p(y) in those of `dead`, which are empty."""
    from scipy import sparse

    check_fits(
        int(np.count_nonzero(dead)),
        int(np.count_nonzero(py)),
        "p(y|x) = p(y) of the x of probability 0: leave them out; a table",
    )
    column = sparse.csr_array(dead[:, None].astype(np.float64))
    filled = sparse.csr_array(rows + column @ sparse.csr_array(py[None, :]))
    filled.sort_indices()
    return filled


def information_of(pxy: Any) -> float:
    """I(X;Y), nats."""
    if isinstance(pxy, Smoothed):
        return pxy.mutual_information()
    return sparse_mutual_information(pxy) if is_sparse(pxy) else mutual_information(pxy)


def frozen(value: Any) -> Any:
    """A table, or an array, that cannot be written to from now on."""
    if isinstance(value, Smoothed):
        frozen(value.sparse)
        value.background.flags.writeable = False
        return value
    if is_sparse(value):
        for part in (value.data, value.indices, value.indptr):
            part.flags.writeable = False
        return value
    array = np.ascontiguousarray(value, dtype=np.float64)
    array.flags.writeable = False
    return array
