"""Linear algebra inside kernels: products, and systems solved by elimination.

NumPy's calls cost ten times the arithmetic on small arrays. Where a matrix is large enough for BLAS to be quicker, the work is
done in products of blocks; that is beyond any size at which a kernel is interpreted, so that Python and compiled code, whose BLAS
may differ, give the same bits.
"""

from __future__ import annotations

import math

import numpy as np

from dualib.blas_kernels import by_blas
from dualib.jit import FEW, MORE, helper, leaf
from dualib.strand_kernels import inner

# multiplications up to which loops are as quick as BLAS: an interpreted kernel makes fewer in one product, but for blocks of points
BY_HAND = max(FEW**2, math.isqrt(MORE**3))
_WHOLE = 2 * FEW  # unknowns of a system: no interpreted kernel solves a larger one
_BLOCK, _STRIP = 24, 48  # columns eliminated at a time, and rows updated, where the matrix is symmetric
_NARROW = 16  # ... where it is any
_LEAST_PIVOT = 0.5


@leaf
def by_hand(size):  # type: ignore[no-untyped-def]
    """Multiplications up to which products are made by loops: none in a kernel that is not interpreted, by an argument's size."""
    return 0 if size > FEW else BY_HAND


@helper
def product(a, b, most):  # type: ignore[no-untyped-def]
    """The matrix product of a (m, k) and b (k, n): by BLAS where it takes more than `most` multiplications."""
    result = np.empty((a.shape[0], b.shape[1]))
    multiply(a, b, result, most)
    return result


@leaf
def multiply(a, b, result, most):  # type: ignore[no-untyped-def]
    """The same, into `result` (m, n)."""
    if a.size * b.shape[1] > most:
        by_blas(a, b, result)
    else:
        _by_hand(a, b, result)


@leaf
def multiply_across(a, b, result, most):  # type: ignore[no-untyped-def]
    """A (m, n) times the transpose of b (k, n), into `result` (m, k), likewise."""
    if a.size * b.shape[0] > most:
        by_blas(a, b.T, result)
        return
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            result[i, j] = inner(a[i], b[j])


@leaf
def _by_hand(a, b, result):  # type: ignore[no-untyped-def]
    """The same, by loops that give the same bits everywhere; two rows of b at a time, each term added by itself."""
    k, n = b.shape
    for i in range(a.shape[0]):
        row = result[i]
        if k % 2 == 1:
            factor, line = a[i, 0], b[0]
            for x in range(n):
                row[x] = factor * line[x]
        else:
            row[:] = 0.0
        for j in range(k % 2, k, 2):
            factor, line, more, other = a[i, j], b[j], a[i, j + 1], b[j + 1]
            for x in range(n):
                row[x] = (row[x] + factor * line[x]) + more * other[x]


@leaf
def dot(a, b, most):  # type: ignore[no-untyped-def]
    """`inner`: by BLAS where the rows have more than `most` numbers."""
    return np.dot(a, b) if a.shape[0] > most else inner(a, b)


@leaf
def apply(a, vector, result, most):  # type: ignore[no-untyped-def]
    """The product of a (m, k) and a vector (k,), into `result` (m,): by BLAS where a has more than `most` numbers."""
    if a.size > most:
        by_blas(a, vector, result)
        return
    for i in range(a.shape[0]):
        result[i] = inner(a[i], vector)


@helper
def applied(a, vector, most):  # type: ignore[no-untyped-def]
    """The same."""
    result = np.empty(a.shape[0])
    apply(a, vector, result, most)
    return result


@helper
def across(a, b):  # type: ignore[no-untyped-def]
    """A (m, n) times the transpose of b (k, n): by BLAS where b has more than `MORE` numbers."""
    result = np.empty((a.shape[0], b.shape[0]))
    multiply_across(a, b, result, a.size * b.shape[0] - 1 if b.size > MORE else a.size * b.shape[0])
    return result


@leaf
def _pivot(a, j):  # type: ignore[no-untyped-def]
    """The row from j on whose entry in column j is largest."""
    pivot = j
    for i in range(j + 1, a.shape[0]):
        if abs(a[i, j]) > abs(a[pivot, j]):
            pivot = i
    return pivot


@leaf
def _subtract_row(row, factor, other):  # type: ignore[no-untyped-def]
    """Row less a multiple of another."""
    for x in range(row.shape[0]):
        row[x] -= factor * other[x]


@leaf
def _subtract(a, i, factor, j):  # type: ignore[no-untyped-def]
    """Row i of a less a multiple of row j."""
    if a.shape[1] == 1:
        a[i, 0] -= factor * a[j, 0]
        return
    _subtract_row(a[i], factor, a[j])


@leaf
def eliminate(a, right):  # type: ignore[no-untyped-def]
    """Solve a z = right in place by Gaussian elimination with partial pivoting; False where a is singular."""
    n, m = right.shape
    for j in range(n):
        pivot = _pivot(a, j)
        if not abs(a[pivot, j]) > 0.0:
            return False
        if pivot != j:
            for i in range(j, n):
                a[j, i], a[pivot, i] = a[pivot, i], a[j, i]
            for i in range(m):
                right[j, i], right[pivot, i] = right[pivot, i], right[j, i]
        inverse = 1.0 / a[j, j]
        for i in range(j + 1, n):
            factor = a[i, j] * inverse
            if factor != 0.0:
                _subtract_row(a[i, j + 1 :], factor, a[j, j + 1 :])
                _subtract(right, i, factor, j)
    for j in range(n - 1, -1, -1):
        for i in range(j + 1, n):
            factor = a[j, i]
            if factor != 0.0:
                _subtract(right, j, factor, i)
        inverse = 1.0 / a[j, j]
        for x in range(m):
            right[j, x] *= inverse
    return True


@helper
def factorize(a, m, pivots):  # type: ignore[no-untyped-def]
    """Factors of a symmetric a (n, n) whose leading (m, m) block is I and something positive, in its place; False if singular.

    These are L D L^T, without pivoting, in the lower triangle; where the block is not so positive L U with pivots by rows.
    """
    diagonal = np.diag(a).copy()
    if _factorize_symmetric(a, m):
        pivots[0] = -1
        return True
    for i in range(a.shape[0]):
        a[i, i] = diagonal[i]
        for j in range(i):
            a[i, j] = a[j, i]
    return _factorize_any(a, pivots)


@helper
def _factorize_symmetric(a, m):  # type: ignore[no-untyped-def]
    """L D L^T in the lower triangle, D on the diagonal; False where one of the first m pivots is small, or another is 0."""
    n = a.shape[0]
    width = n if n <= _WHOLE else _BLOCK
    for first in range(0, n, width):
        last = min(first + width, n)
        count = last - first
        columns = np.empty((count, n - first))  # of L D, each contiguous
        for j in range(count):
            for i in range(j, n - first):
                columns[j, i] = a[first + i, first + j]
        for j in range(count):
            if (first + j < m and not columns[j, j] > _LEAST_PIVOT) or not abs(columns[j, j]) > 0.0:
                return False
            inverse = 1.0 / columns[j, j]
            for i in range(j + 1, count):
                factor = columns[j, i] * inverse
                if factor != 0.0:
                    _subtract_row(columns[i, i:], factor, columns[j, i:])
        for j in range(count):
            inverse = 1.0 / columns[j, j]
            a[first + j, first + j] = columns[j, j]
            for i in range(j + 1, n - first):
                a[first + i, first + j] = columns[j, i] * inverse
        for low in range(last, n, _STRIP):
            high = min(low + _STRIP, n)
            done = np.dot(
                np.ascontiguousarray(a[low:high, first:last]), np.ascontiguousarray(columns[:, count : count + high - last])
            )
            for i in range(low, high):
                _subtract_row(a[i, last : i + 1], 1.0, done[i - low])
    return True


@helper
def _factorize_any(a, pivots):  # type: ignore[no-untyped-def]
    """L U, with partial pivoting by rows into `pivots`; False where a is singular."""
    n = a.shape[0]
    width = n if n <= _WHOLE else _NARROW
    for first in range(0, n, width):
        last = min(first + width, n)
        for j in range(first, last):
            pivot = _pivot(a, j)
            if not abs(a[pivot, j]) > 0.0:
                return False
            pivots[j] = pivot
            if pivot != j:
                for x in range(n):
                    a[j, x], a[pivot, x] = a[pivot, x], a[j, x]
            inverse = 1.0 / a[j, j]
            for i in range(j + 1, n):
                a[i, j] *= inverse
                if a[i, j] != 0.0:
                    _subtract_row(a[i, j + 1 : last], a[i, j], a[j, j + 1 : last])
        if last < n:
            for j in range(first, last):
                for i in range(j + 1, last):
                    _subtract_row(a[i, last:], a[i, j], a[j, last:])
            done = np.dot(np.ascontiguousarray(a[last:, first:last]), np.ascontiguousarray(a[first:last, last:]))
            for i in range(last, n):
                _subtract_row(a[i, last:], 1.0, done[i - last])
    return True


@leaf
def substitute(factors, pivots, right):  # type: ignore[no-untyped-def]
    """Solve a z = row for each row of right (m, n) in place, from what `factorize` made of a."""
    n = factors.shape[0]
    for r in range(right.shape[0]):
        z = right[r]
        if pivots[0] >= 0:
            for i in range(n):
                if pivots[i] != i:
                    z[i], z[pivots[i]] = z[pivots[i]], z[i]
        for i in range(n):
            z[i] -= inner(factors[i, :i], z[:i])
        if pivots[0] >= 0:
            for i in range(n - 1, -1, -1):
                z[i] = (z[i] - inner(factors[i, i + 1 :], z[i + 1 :])) / factors[i, i]
            continue
        for i in range(n):
            z[i] /= factors[i, i]
        for i in range(n - 1, 0, -1):
            _subtract_row(z[:i], z[i], factors[i])
