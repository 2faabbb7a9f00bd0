"""Matrix Market files of real numbers, read here: scipy's reader ends the process on some damaged files.

The format: https://math.nist.gov/MatrixMarket/formats.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.memory import check_fits

if TYPE_CHECKING:
    from scipy import sparse

_FIELDS = ("real", "double", "integer", "unsigned-integer", "pattern")


def read_matrix_market(data: bytes) -> np.ndarray | sparse.csr_array:
    """The matrix, float64: dense for the form "array", CSR for "coordinate", where entries given twice are added.

    Raises
    ------
    ValueError
        With the line: it is no such file, its numbers are complex, or it holds other than it declares.
    MemoryError
        It declares a matrix that cannot fit into memory.
    """
    lines = data.decode("latin-1").splitlines()
    form, pattern, symmetric = _banner(lines[0] if lines else "")
    body = [(i, line.split()) for i, line in enumerate(lines, 1) if line.strip() and not line.startswith("%")]
    if not body:
        raise ValueError("it ends before the line of its size")
    at, size = body[0]
    if len(size) != (3 if form == "coordinate" else 2) or not all(part.isdecimal() and len(part) < 16 for part in size):
        raise ValueError(f"line {at}: {' '.join(size)[:40]!r} is not a size")
    n_x, n_y = int(size[0]), int(size[1])
    check_fits(n_x, n_y, "a table")
    if symmetric and n_x != n_y:
        raise ValueError(f"line {at}: a symmetric matrix must be square, got {n_x} by {n_y}")
    if form == "array":
        return _array(body[1:], n_x, n_y, symmetric)
    return _coordinates(body[1:], n_x, n_y, int(size[2]), pattern, symmetric)


def _banner(line: str) -> tuple[str, bool, bool]:
    """The form, whether entries have no values, and whether the matrix is symmetric."""
    words = line.lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"] or words[2] not in ("coordinate", "array"):
        raise ValueError(f"line 1: {line[:60]!r} does not describe a matrix")
    if words[3] not in _FIELDS:
        raise ValueError(f"line 1: a table must hold real numbers, got {words[3]!r}")
    if words[4] not in ("general", "symmetric"):
        raise ValueError(f"line 1: a table must be general or symmetric, got {words[4]!r}")
    if words[2] == "array" and words[3] == "pattern":
        raise ValueError("line 1: a pattern is given by coordinates")
    return words[2], words[3] == "pattern", words[4] == "symmetric"


def _numbers(body: list[tuple[int, list[str]]], rows: int, width: int) -> np.ndarray:
    """`rows` lines of `width` numbers."""
    if len(body) != rows:
        raise ValueError(f"it declares {rows} entries and holds {len(body)}")
    values = np.empty((rows, width))
    for row, (at, words) in zip(values, body, strict=True):
        if len(words) != width:
            raise ValueError(f"line {at}: {len(words)} number(s), and {width} are wanted")
        try:
            row[:] = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"line {at}: {' '.join(words)[:40]!r} is not {width} number(s)") from None
    return values


def _array(body: list[tuple[int, list[str]]], n_x: int, n_y: int, symmetric: bool) -> np.ndarray:
    """Column by column; of a symmetric matrix, the lower triangle."""
    values = _numbers(body, n_x * (n_x + 1) // 2 if symmetric else n_x * n_y, 1)[:, 0]
    if not symmetric:
        return values.reshape((n_x, n_y), order="F")
    full = np.zeros((n_x, n_x))
    y, x = np.triu_indices(n_x)
    full[x, y] = full[y, x] = values
    return full


def _coordinates(
    body: list[tuple[int, list[str]]], n_x: int, n_y: int, entries: int, pattern: bool, symmetric: bool
) -> sparse.csr_array:
    from scipy import sparse

    values: Any = _numbers(body, entries, 2 if pattern else 3)
    index = values[:, :2]
    bad = np.flatnonzero(~((index == np.rint(index)) & (index >= 1.0) & (index <= [n_x, n_y])).all(axis=1))
    if len(bad):
        at, words = body[bad[0]]
        raise ValueError(f"line {at}: the place {' '.join(words[:2])!r} is not in a matrix of {n_x} by {n_y}")
    x, y = (index.T - 1.0).astype(np.int64)
    weights = np.ones(entries) if pattern else values[:, 2]
    if symmetric:
        off = x != y
        x, y, weights = np.concatenate([x, y[off]]), np.concatenate([y, x[off]]), np.concatenate([weights, weights[off]])
    return sparse.csr_array(sparse.coo_array((weights, (x, y)), shape=(n_x, n_y)))
