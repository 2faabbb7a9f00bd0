"""How far the members of a cluster are spread in its own metric, as compiled kernels: it is stable while that is below 1 / beta.

The spread of cluster t is ``R_t^T Cov_t(U) R_t``, R R^T = J; its largest eigenvalue counts, or whether that is below a level.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import helper, kernel, leaf
from dualib.linear_kernels import across, by_hand, dot, multiply
from dualib.row_kernels import TINY
from dualib.strand_kernels import inner
from dualib.view_kernels import as_row

_ROUNDING, _ROUGHLY = 1e-22, 1e-10  # what a source may add to a spread unnoticed; ... beside the floor from which it matters
_ROUGH = 1e-13  # error allowed to squares, relative
_VARIED = (
    1e-6  # over p(x|t), least: a source adds at most 1 / min p(y|t) times that to a spread of the IB, or (log p)^2 of the dual
)


@kernel(
    "void(int64, float64[:, ::1], float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64, float64[:, :, ::1])"
)
def spreads_known(kind, ut, means, v, face, members, floor, spreads):  # type: ignore[no-untyped-def]
    """``R_t^T Cov_t(U) R_t`` of each cluster, where R R^T = J, into `spreads` (n_t, k, k); members (n_t, n) are p(x|t).

    Of a matrix whose trace is below `floor` only a bound on that is given, as its first number, all others 0.
    """
    for t in range(means.shape[0]):
        own = face[t] if face.shape[0] > 0 else as_row(face)
        bound, rows, _ = spread_of(kind, ut, means[t], v[t], own, members[t], floor)
        if bound < floor:
            spreads[t] = 0.0
            spreads[t, 0, 0] = bound
        else:
            spreads[t] = across(rows, rows)


@kernel("boolean[::1](int64, float64[:, ::1], float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64)")
def exceeding_known(kind, ut, means, v, face, members, level):  # type: ignore[no-untyped-def]
    """Whether the largest eigenvalue of each spread, as of `spreads_known`, is at least `level` > 0."""
    found, whole = np.zeros(means.shape[0], np.bool_), face.shape[0] == 0
    traces = traces_of(kind, ut, means, v, members) if whole else np.full(means.shape[0], np.inf)
    for t in range(means.shape[0]):
        if traces[t] < level:
            continue
        own = as_row(face) if whole else face[t]
        bound, rows, _ = spread_of(kind, ut, means[t], v[t], own, members[t], level)
        if not bound < level:
            if rows.shape[1] < rows.shape[0]:
                rows = np.ascontiguousarray(rows.T)
            found[t] = not _all_below(across(rows, rows), level)
    return found


@helper
def traces_of(kind, ut, means, v, members):  # type: ignore[no-untyped-def]
    """The trace of each cluster's spread, ``sum_x p(x|t) <U_x - M_t, J (U_x - M_t)>``, no less than it is, by products of matrices.

    The squares are taken apart for that: for the IB, whose U and M sum to 1, ``sum_y U_xy^2 / M_ty - 1``.
    """
    (n_t, k), n = means.shape, ut.shape[1]
    squares, traces, weights, pairs = (
        np.empty((k, n)),
        np.empty(n_t),
        np.empty((n_t, k)),
        np.empty((3 if kind == 1 else 1, n_t, n)),
    )
    _trace(kind, ut, means, v, members, squares, weights, pairs, traces)
    return traces


@leaf
def _trace(kind, ut, means, v, members, squares, weights, pairs, traces):  # type: ignore[no-untyped-def]
    """The same, into `traces`; the three arrays before it are scratch."""
    (n_t, k), n, hand = means.shape, ut.shape[1], by_hand(ut.size)
    lengths = pairs[0]
    for y in range(k):
        for x in range(n):
            squares[y, x] = ut[y, x] * ut[y, x]
    for t in range(n_t):
        for y in range(k):
            weights[t, y] = 1.0 / max(means[t, y], TINY) if kind == 0 else v[t, y]
    multiply(weights, squares, lengths, hand)
    if kind == 0:
        for t in range(n_t):
            for x in range(n):
                lengths[t, x] += _ROUGH * lengths[t, x] - 1.0
    else:
        for t in range(n_t):
            for y in range(k):
                weights[t, y] = v[t, y] * means[t, y]
        crossed, centres = pairs[1], pairs[2]
        multiply(weights, ut, crossed, hand)
        multiply(v, ut, centres, hand)
        for t in range(n_t):
            own, centre = inner(weights[t], means[t]), inner(v[t], means[t])
            for x in range(n):
                off = centres[t, x] - centre
                slack = _ROUGH * (lengths[t, x] + own)
                lengths[t, x] += own - 2.0 * crossed[t, x] - off * off + slack
    for t in range(n_t):
        traces[t] = dot(members[t], lengths[t], hand)


@leaf
def _all_below(matrix, level):  # type: ignore[no-untyped-def]
    """Whether all eigenvalues of a symmetric matrix are: whether `level` less it, factorized in its place, has pivots > 0."""
    n = matrix.shape[0]
    for i in range(n):
        for j in range(n):
            matrix[i, j] = (level if i == j else 0.0) - matrix[i, j]
    for j in range(n):
        if not matrix[j, j] > 0.0:
            return False
        inverse = 1.0 / matrix[j, j]
        for i in range(j + 1, n):
            factor, row, pivot = matrix[j, i] * inverse, matrix[i], matrix[j]
            for x in range(i, n):
                row[x] -= factor * pivot[x]
    return True


@helper
def spread_of(kind, ut, mean, v, face, members, floor):  # type: ignore[no-untyped-def]
    """A bound on the trace of one cluster's spread if that is below `floor`, else inf; rows and sources as of `_spread`."""
    n, unit = ut.shape[1], _VARIED
    if kind == 0:
        unit = 1.0
        for y in range(mean.shape[0]):
            if face.shape[0] == 0 or face[y]:
                unit = min(unit, mean[y])
    if floor > 0.0:
        rows, source = _spread(kind, ut, mean, v, face, members, _ROUGHLY * floor * unit)
        bound = inner(as_row(rows), as_row(rows)) + n * _ROUGHLY * floor
        if bound < floor:
            return bound, rows, source
    rows, source = _spread(kind, ut, mean, v, face, members, _ROUNDING * unit)
    return np.inf, rows, source


@helper
def _spread(kind, ut, mean, v, face, members, least):  # type: ignore[no-untyped-def]
    """The sources of one cluster with more than `least` of it, (k, count), and which: their spread is this times its transpose."""
    k, n = ut.shape
    source, count = np.empty(n, np.int64), 0
    for x in range(n):
        if members[x] > least:
            source[count] = x
            count += 1
    rows, root_q, centre = np.empty((k, count)), np.empty(count), np.zeros(count)
    for i in range(count):
        root_q[i] = np.sqrt(members[source[i]])
    for y in range(k):
        row, line = rows[y], ut[y]
        for i in range(count):
            row[i] = line[source[i]] - mean[y]
        if kind == 1:
            for i in range(count):
                centre[i] += v[y] * row[i]
    for y in range(k):
        row, root = rows[y], metric_root(kind, mean[y], v[y], face.shape[0] == 0 or face[y])
        for i in range(count):
            row[i] = (row[i] - centre[i]) * root * root_q[i]
    return rows, source[:count]


@leaf
def metric_root(kind, mean, v, on_face):  # type: ignore[no-untyped-def]
    """The diagonal of R, where R R^T = J: of the dual IB after its rows have been centred."""
    if not on_face:
        return 0.0
    return 1.0 / np.sqrt(max(mean, TINY)) if kind == 0 else np.sqrt(v)
