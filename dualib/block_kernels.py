"""Blocks of points at which log c is evaluated, for the distortions whose link is known here, where no zero of p(y|x) matters.

An evaluation, with the ascent step from each point, costs little more than exponentials and products of matrices if it is made for
many points at once. In a block the points are the columns, so that sums and maxima over sources and features run along contiguous
memory. A block is of the precision of its arrays, and so is beta.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import MORE, helper, leaf
from dualib.linear_kernels import by_hand, multiply
from dualib.row_kernels import TINY, exp_less, exp_less_single, exp_row, exp_single, log_row, log_single
from dualib.view_kernels import as_row

WIDTH = 32  # points of a block, whose numbers stay in the cache; four times as many in single precision
_TOY = 32  # features up to which a block has no spare columns
# of single precision: the least mean, and minus its logarithm; the largest exponent, whose rounding is then 1e-3
_LEAST, _LOG_LEAST, _LARGEST = np.float32(1e-30), 70.0, 2e4


@leaf
def evaluated(kind, beta, u, log_a, points, v, q, numbers):  # type: ignore[no-untyped-def]
    """Log c of a block of points (k, m) into the first of `numbers` (4, m), and their V into `v`.

    The weights of the sources in their ascent steps are those in `q` (n, m), times the second of the numbers.
    """
    (n, m), hand, double = (log_a.shape[0], points.shape[1]), by_hand(u.size), numbers.itemsize == 8
    values, b, top, mass = numbers[0], numbers[1], numbers[2], numbers[3]
    b[:] = 0.0
    link_block(kind, points, v, b, top, mass)
    multiply(u, v, q, hand)
    top[:] = -1e300 if double else -1e38  # where all is -inf: -inf - (-1e300) stays -inf, never NaN
    mass[:] = 0.0
    for x in range(n):
        row, a = q[x], log_a[x]
        for j in range(m):
            row[j] = a + beta * (row[j] - b[j])
            top[j] = max(top[j], row[j])
    for x in range(n):
        if double:
            exp_less(q[x], 0.0, top, mass, hand == 0)
        else:
            exp_less_single(q[x], top, mass)
    for j in range(m):
        b[j] = 1.0 / mass[j] if mass[j] > 0.0 else 0.0
        values[j] = mass[j] if mass[j] > 0.0 else 1.0
    if double:
        log_row(values)
    else:
        log_single(values)
    for j in range(m):
        values[j] = values[j] + top[j] if b[j] > 0.0 else -np.inf


@leaf
def stepped(ut, q, share, points):  # type: ignore[no-untyped-def]
    """Where an ascent step leads, into `points` (k, m), by the weights of `evaluated`."""
    multiply(ut, q, points, by_hand(ut.size))
    for y in range(points.shape[0]):
        row = points[y]
        for j in range(row.shape[0]):
            row[j] *= share[j]


@leaf
def link_block(kind, points, v, b, top, mass):  # type: ignore[no-untyped-def]
    """V and b of a block, `top` and `mass` being scratch."""
    if kind == 1:
        _soft(points, v, b, top, mass)
        return
    k, m = points.shape
    double, nothing = points.itemsize == 8, points.dtype.type(0.0)
    least = points.dtype.type(TINY) if double else points.dtype.type(_LEAST)
    for y in range(k):
        for j in range(m):
            v[y, j] = max(points[y, j], least)
    if double:
        log_row(as_row(v))
    else:
        log_single(as_row(v))
    for y in range(k):
        for j in range(m):
            v[y, j] += nothing * points[y, j]  # NaN stays NaN


@leaf
def _soft(points, v, b, top, mass):  # type: ignore[no-untyped-def]
    """V and b of the dual IB, `top` and `mass` being scratch."""
    k, m = points.shape
    double = points.itemsize == 8
    top[:] = -np.inf
    for y in range(k):
        for j in range(m):
            top[j] = max(top[j], points[y, j])
    for y in range(k):
        for j in range(m):
            v[y, j] = points[y, j] - top[j]
    if double:
        exp_row(as_row(v))
    else:
        exp_single(as_row(v))
    mass[:] = 0.0
    for y in range(k):
        for j in range(m):
            mass[j] += v[y, j]
    for j in range(m):
        b[j] = mass[j]
    if double:
        log_row(b)
    else:
        log_single(b)
    for j in range(m):
        top[j] += b[j]
        b[j] = 0.0
        mass[j] = 1.0 / mass[j]
    for y in range(k):
        for j in range(m):
            v[y, j] *= mass[j]
            b[j] += v[y, j] * (points[y, j] - top[j])


@leaf
def width_of(like):  # type: ignore[no-untyped-def]
    """The points of a block in the precision of another array, at most."""
    return WIDTH if like.itemsize == 8 else 4 * WIDTH


@leaf
def padded(some, u):  # type: ignore[no-untyped-def]
    """The columns of a block of so many points: rows that are whole vectors of the processor's take less time than shorter ones."""
    strand = 1 if u.size <= _TOY else (8 if u.itemsize == 8 else 16)
    return (some + strand - 1) // strand * strand


@helper
def block_of(means, u):  # type: ignore[no-untyped-def]
    """A block of the points of rows (m, k), in the precision of u: (2k, m'), with room for V below; spare ones repeat the last."""
    some, k = means.shape
    block = np.empty((2 * k, padded(some, u)), u.dtype)
    for j in range(block.shape[1]):
        for y in range(k):
            block[y, j] = means[min(j, some - 1), y]
    return block


@helper
def beside(first, second):  # type: ignore[no-untyped-def]
    """Rows of two tables (m, k), each pair as one row."""
    m, k = first.shape
    both = np.empty((m, 2 * k), first.dtype)
    both[:, :k], both[:, k:] = first, second
    return both


@helper
def upright(first, second):  # type: ignore[no-untyped-def]
    """The same as columns: a block (2k, m)."""
    m, k = first.shape
    both = np.empty((2 * k, m), first.dtype)
    _turn(first, both[:k])
    _turn(second, both[k:])
    return both


@leaf
def _turn(table, turned):  # type: ignore[no-untyped-def]
    """The transpose of a table, into another."""
    for i in range(table.shape[0]):
        row = table[i]
        for y in range(row.shape[0]):
            turned[y, i] = row[y]


@helper
def apart(beta, block, others, own, most):  # type: ignore[no-untyped-def]
    """The squared natural distances of others from a block of points and their V (2k, m), (c, m).

    The others are rows (c, 2k) of V and M, and `own` is <M, V> of each; `most` as of `multiply`. The error is about that of a
    number, times beta <M, V>.
    """
    m = block.shape[1]
    out, here = np.empty((others.shape[0], m), block.dtype), np.zeros(m, block.dtype)
    _apart(beta, block, others, own, most, out, here)
    return out


@leaf
def _apart(beta, block, others, own, most, out, here):  # type: ignore[no-untyped-def]
    """The same into `out`; `here` (m,) holds zeros."""
    k, m = block.shape[0] // 2, block.shape[1]
    multiply(others, block, out, most)
    for y in range(k):
        mean, line = block[y], block[k + y]
        for j in range(m):
            here[j] += mean[j] * line[j]
    for i in range(others.shape[0]):
        row, away = out[i], own[i]
        for j in range(m):
            row[j] = beta * (away + here[j] - row[j])


@helper
def heights(kind, beta, u, log_a, means):  # type: ignore[no-untyped-def]
    """Log c at each point (m, k), in the precision of u and log a."""
    (m, k), n = means.shape, log_a.shape[0]
    values = np.empty(m, u.dtype)
    for first in range(0, m, width_of(u)):
        block = block_of(means[first : first + width_of(u)], u)
        wide, some = block.shape[1], min(m - first, width_of(u))
        numbers = np.empty((4, wide), u.dtype)
        evaluated(kind, beta, u, log_a, block[:k], block[k:], np.empty((n, wide), u.dtype), numbers)
        values[first : first + some] = numbers[0, :some]
    return values


@helper
def few_digits(kind, beta, u):  # type: ignore[no-untyped-def]
    """Whether single precision will do for `evaluated`: its exponents are beta times features times V."""
    if u.size <= MORE:
        return False
    largest = _LOG_LEAST
    if kind == 1:
        largest = max(np.max(u), -np.min(u))
    return beta * largest <= _LARGEST


@helper
def closest_pairs(beta, means, v, limit, most, hand):  # type: ignore[no-untyped-def]
    """The closest pairs of atoms within a squared natural distance, at most so many: (p, 2), `hand` as of `multiply`."""
    n_t, near = means.shape[0], 0
    distance = apart(beta, upright(means, v), beside(v, means), own_of(means, v), hand)
    for i in range(n_t):
        for j in range(i):
            near += int(distance[i, j] < limit)
    pairs, far = np.empty((near, 2), np.int64), np.empty(near)
    near = 0
    for i in range(n_t):
        for j in range(i):
            if distance[i, j] < limit:
                pairs[near, 0], pairs[near, 1], far[near] = j, i, distance[i, j]
                near += 1
    if near > most:
        closest = np.flatnonzero(far <= np.partition(far, most)[most])
        pairs = pairs[closest[np.argsort(far[closest], kind="mergesort")[:most]]]
    return pairs


@helper
def own_of(means, vs):  # type: ignore[no-untyped-def]
    """``<M, V>`` of each point (m,)."""
    own = np.zeros(means.shape[0], means.dtype)
    for i in range(means.shape[0]):
        for y in range(means.shape[1]):
            own[i] += means[i, y] * vs[i, y]
    return own
