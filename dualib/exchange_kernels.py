"""What makes conjugate gradients short: close clusters may exchange weight, or move apart, at next to no cost.

Where clusters are close to one another the Hessian H of `dualib.conjugate_kernels` is nearly singular, and nearly all of that is
in few directions, two for each close pair: weight goes from one to the other while both means shift so that what is common to the
two stays; and both means move apart along the line between them. With these as columns of Z conjugate gradients are preconditioned
by ``I + Z E^-1 Z^T J``, ``E = Z^T J H Z``, and take half to three quarters of the products.

E is formed in the precision of the products; its inverse, and what is made of it, are in double precision.
"""

from __future__ import annotations

import numpy as np

from dualib.blas_kernels import by_blas
from dualib.jit import helper, leaf
from dualib.linear_kernels import apply, by_hand, multiply
from dualib.row_kernels import put
from dualib.view_kernels import as_row, as_table

_DEPENDENT = 1e-4  # part of a number on the diagonal of E below which a pivot is rounding, or the curvature negative


@leaf
def room_for_pairs(pairs, k):  # type: ignore[no-untyped-def]
    """How many numbers `dualib.conjugate_kernels` keeps of up to so many pairs."""
    return pairs * (k + 10 + 4 * pairs)


@leaf
def keep_pairs(close, left, place):  # type: ignore[no-untyped-def]
    """Put first those pairs (p, 2) of which both clusters are among those left (their numbers, ascending), renumbered: how many.

    `place`, of the length of all clusters, is scratch.
    """
    count = 0
    place[:] = -1
    for i in range(left.shape[0]):
        place[left[i]] = i
    for a in range(close.shape[0]):
        i, j = place[close[a, 0]], place[close[a, 1]]
        if i >= 0 and j >= 0:
            close[count, 0], close[count, 1] = i, j
            count += 1
    return count


@leaf
def exchanges(beta, weights, means, close, lines, parts):  # type: ignore[no-untyped-def]
    """The line between each pair of clusters into `lines` (p, k), and the parts of it that make the columns of Z, (p, 6).

    These are, for both clusters of the pair by turns: the steps of the weights, and the part of the line that the means move, where
    weight is exchanged; the latter where they move apart.
    """
    p, k = lines.shape
    for a in range(p):
        i, j = close[a, 0], close[a, 1]
        w_i, w_j = np.float64(weights[i]), np.float64(weights[j])
        for y in range(k):
            lines[a, y] = means[i, y] - means[j, y]
        parts[a, 0], parts[a, 1] = 1.0 / np.sqrt(w_i), -1.0 / np.sqrt(w_j)
        parts[a, 2], parts[a, 3] = -np.sqrt(beta * w_i) / (w_i + w_j), -np.sqrt(beta * w_j) / (w_i + w_j)
        parts[a, 4], parts[a, 5] = np.sqrt(beta / w_i), -np.sqrt(beta / w_j)


@leaf
def corrected(close, lines, parts, inverse, rest, pushed, result, scratch):  # type: ignore[no-untyped-def]
    """``(I + Z E^-1 Z^T J) rest`` into `result`, `pushed` being J rest; `scratch` (2, 2p)."""
    along, amount = scratch[0], scratch[1]
    p, k = lines.shape
    for a in range(p):
        i, j, own, here, there = close[a, 0], close[a, 1], parts[a], 0.0, 0.0
        for y in range(k):
            here += lines[a, y] * pushed[1 + y, i]
            there += lines[a, y] * pushed[1 + y, j]
        along[2 * a] = own[0] * pushed[0, i] + own[1] * pushed[0, j] + own[2] * here + own[3] * there
        along[2 * a + 1] = own[4] * here + own[5] * there
    apply(inverse, along, amount, 0)
    for y in range(k + 1):
        put(rest[y], result[y])
    for a in range(p):
        i, j, own, first, second = close[a, 0], close[a, 1], parts[a], amount[2 * a], amount[2 * a + 1]
        result[0, i] += first * own[0]
        result[0, j] += first * own[1]
        here, there = first * own[2] + second * own[4], first * own[3] + second * own[5]
        for y in range(k):
            result[1 + y, i] += here * lines[a, y]
            result[1 + y, j] += there * lines[a, y]


@helper
def invert_exchanges(kind, means, metric, pairs, features, c, close, lines, parts, inverse):  # type: ignore[no-untyped-def]
    """E^-1 into `inverse` (2p, 2p), without the columns of Z that depend on others or have negative curvature.

    Parameters
    ----------
    metric, pairs, features
        As of `dualib.conjugate_kernels`: what J is made of, the pairs of cluster and source that count, and the features where
        all do.
    """
    p, n = lines.shape[0], features.shape[1]
    moves = _pushed_lines(kind, means, metric, close, lines)
    image, system = np.zeros((2 * p, n), features.dtype), np.empty((2 * p, 2 * p), features.dtype)
    rows = _moved(pairs, features, close, moves)
    coupled = np.empty_like(rows)
    _couple(pairs, close, parts, rows, coupled, image)
    by_blas(image, image.T, system)
    put(as_row(system), as_row(inverse))
    _add_own(pairs, close, parts, c, lines, moves, rows, coupled, inverse)
    _invert(inverse)


@leaf
def _couple(pairs, close, parts, rows, coupled, image):  # type: ignore[no-untyped-def]
    """What the columns of Z move log Z by, at all sources (2p, n), and their moves times p(x|t)."""
    (p, n), (source, start, _, s, q) = (close.shape[0], image.shape[1]), pairs
    for u in range(2 * p):
        side = u % 2
        first, last = _span(start, close[u // 2, side], n)
        step, part, spread = parts[u // 2, side], parts[u // 2, 2 + side], parts[u // 2, 4 + side]
        line, weighted, one, other = rows[u], coupled[u], image[u - side], image[u - side + 1]
        for i in range(last - first):
            x, value = source[first + i] if start.shape[0] > 0 else i, s[first + i]
            one[x] += value * (step + part * line[i])
            other[x] += value * spread * line[i]
            weighted[i] = q[first + i] * line[i]


@leaf
def _add_own(pairs, close, parts, c, lines, moves, rows, coupled, inverse):  # type: ignore[no-untyped-def]
    """Add what columns of Z have in common at the same cluster to E."""
    p, n = lines.shape[0], rows.shape[1]
    for u in range(2 * p):
        for r in range(2 * p):
            a, b, t = u // 2, r // 2, close[u // 2, u % 2]
            if close[b, r % 2] == t:
                first, last = _span(pairs[1], t, n)
                own = -np.dot(rows[u, : last - first], coupled[r, : last - first])
                for y in range(lines.shape[1]):
                    own += c[t] * lines[a, y] * moves[r, y]
                for one in range(2):
                    for other in range(2):
                        inverse[2 * a + one, 2 * b + other] += (
                            parts[a, 2 + 2 * one + u % 2] * parts[b, 2 + 2 * other + r % 2] * own
                        )


@leaf
def _span(start, t, n):  # type: ignore[no-untyped-def]
    """Where the pairs of cluster t begin and end; `start` is empty where all count."""
    if start.shape[0] == 0:
        return t * n, (t + 1) * n
    return start[t], start[t + 1]


@helper
def _moved(pairs, features, close, moves):  # type: ignore[no-untyped-def]
    """How far each line moves log p(t|x), (2p, n), at the sources that count."""
    (m, k), n, blocks = moves.shape, features.shape[1], pairs[2]
    rows = np.empty((m, n), features.dtype)
    if pairs[1].shape[0] == 0:
        multiply(moves, features, rows, by_hand(features.size))
    for u in range(m if pairs[1].shape[0] > 0 else 0):
        first, last = _span(pairs[1], close[u // 2, u % 2], n)
        by_blas(moves[u, : k - 1], as_table(blocks, first * (k - 1), k - 1, last - first), rows[u, : last - first])
    return rows


@helper
def _invert(a):  # type: ignore[no-untyped-def]
    """The inverse of a symmetric matrix in its place, but for rows and columns of small or negative pivots, which become 0."""
    _invert_above(a, _DEPENDENT * np.diag(a))


@leaf
def _invert_above(a, least):  # type: ignore[no-untyped-def]
    """`_invert`, with the least pivots."""
    n = a.shape[0]
    for j in range(n):
        pivot = a[j, j]
        if not pivot > least[j]:
            for i in range(n):
                a[j, i] = a[i, j] = 0.0
            continue
        row = a[j]
        for x in range(n):
            row[x] /= pivot
        row[j] = 1.0 / pivot
        for i in range(n):
            if i != j:
                factor, other = a[i, j], a[i]
                other[j] = 0.0
                for x in range(n):
                    other[x] -= factor * row[x]


@helper
def _pushed_lines(kind, means, metric, close, lines):  # type: ignore[no-untyped-def]
    """J of each line at both of its clusters, and minus <M, J line>: (2p, k + 1)."""
    p, k = lines.shape
    moves = np.empty((2 * p, k + 1), means.dtype)
    for u in range(2 * p):
        t, line, centre, last = close[u // 2, u % 2], lines[u // 2], 0.0, 0.0
        if kind == 1:
            for y in range(k):
                centre += metric[y, t] * line[y]
        for y in range(k):
            moves[u, y] = metric[y, t] * (line[y] - centre)
            last -= moves[u, y] * means[t, y]
        moves[u, k] = last
    return moves
