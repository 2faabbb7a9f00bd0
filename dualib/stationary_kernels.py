"""The linear system of `dualib.stationary` as compiled kernels, for the distortions whose link is known here.

It is filled from the pairs of cluster and source that matter alone: a source whose row in Y_t is shorter than sqrt(_SLIGHT) changes
the matrix by less than _SLIGHT, which Newton's method, whose right-hand side is exact, does not notice.

Y_t is kept transposed, (k, count), one block after the other in a flat array: its loops then run over the sources.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import helper, leaf
from dualib.kernels import square
from dualib.linear_kernels import BY_HAND, across, eliminate, factorize, product, substitute
from dualib.spread_kernels import metric_root
from dualib.view_kernels import as_table

NUDGE = 1e-8  # added to c_t - Y_t^T Y_t: see dualib.stationary
_SLIGHT = 1e-12
_DENSE = 64**3  # numbers multiplied, above those of any interpreted call, from which a matrix product is worth its zeros
_FILLED = 0.4  # ... part of the pairs that must matter
_TOGETHER = 100  # columns of a matrix product, so that it stays in the cache
_STRIP = 32  # ... and its rows


@helper
def eliminated(  # type: ignore[no-untyped-def]
    kind, beta, px, ut, weights, means, v, face, post, c, damping, rows, solved, source, start, root_post, system, pivots
):
    """The system at a point, eliminated, into the last seven arrays; False where it is singular.

    The coordinates of the n sources come first, then those of the n_t weights. A `damping` of the Hessian is in `c` already.
    """
    n_t, n = post.shape
    if not _rows(kind, beta, px, ut, weights, means, v, face, post, c, rows, solved, source, start):
        return False
    root_px, inverse_w = np.sqrt(px), 1.0 / np.sqrt(weights)
    system[:] = 0.0
    for t in range(n_t):
        for x in range(n):
            root_post[t, x] = np.sqrt(post[t, x])
            system[n + t, x] = post[t, x] * root_px[x] * inverse_w[t]
    _couple(rows, solved, source, start, root_post, system)
    for x in range(n):
        system[x, x] += 1.0
        for t in range(n_t):
            system[n + t, x] = -system[n + t, x]
            system[x, n + t] = system[n + t, x]
    for t in range(n_t):
        system[n + t, n + t] = -damping
    return factorize(system, n, pivots)  # a NaN there comes out in the directions


@helper
def _block(numbers, start, t, k):  # type: ignore[no-untyped-def]
    """The (k, count) block of cluster t."""
    return as_table(numbers, start[t] * k, k, start[t + 1] - start[t])


@helper
def _rows(kind, beta, px, ut, weights, means, v, face, post, c, rows, solved, source, start):  # type: ignore[no-untyped-def]
    """Y_t and Y_t (c_t - Y_t^T Y_t)^-1 of each cluster over the sources that matter to it, in `rows` and `solved`.

    Those of cluster t are start[t] to start[t + 1], each belonging to a source. False where one system is singular.
    """
    n_t, k = means.shape
    n = px.shape[0]
    whole, centre, energy = np.empty((k, n)), np.empty(n), np.empty(n)
    start[0] = 0
    for t in range(n_t):
        centre[:] = 0.0
        energy[:] = 0.0
        if kind == 1:
            for y in range(k):
                for x in range(n):
                    centre[x] += v[t, y] * (ut[y, x] - means[t, y])
        for y in range(k):
            root = metric_root(kind, means[t, y], v[t, y], face.shape[0] == 0 or face[t, y])
            line, feature, mean = whole[y], ut[y], means[t, y]
            for x in range(n):
                line[x] = (feature[x] - mean - centre[x]) * root
            for x in range(n):
                energy[x] += line[x] * line[x]
        total, scale = start[t], beta / weights[t]
        for x in range(n):
            factor = scale * post[t, x] * px[x]
            if factor * energy[x] > _SLIGHT:
                energy[total - start[t]] = np.sqrt(factor)  # read already
                source[total] = x
                total += 1
        start[t + 1] = total
        block = _block(rows, start, t, k)
        for y in range(k):
            row, line = block[y], whole[y]
            if row.shape[0] == n:
                for i in range(n):
                    row[i] = line[i] * energy[i]
            else:
                for i in range(row.shape[0]):
                    row[i] = line[source[start[t] + i]] * energy[i]
        if total > start[t] and not _respond(block, c[t] + NUDGE, _block(solved, start, t, k)):
            return False
    return True


@helper
def _respond(rows, c, solved):  # type: ignore[no-untyped-def]
    """(c - Y^T Y)^-1 Y^T = Y^T (c - Y Y^T)^-1 of one cluster, by the smaller of the two; False where that is singular."""
    k, count = rows.shape
    if k <= count:
        own = -across(rows, rows)
        for i in range(k):
            own[i, i] += c
        inverse = np.eye(k)
        if not eliminate(own, inverse):
            return False
        solved[:] = product(inverse, rows, BY_HAND)
        return True
    turned = rows.T.copy()
    own = -across(turned, turned)
    for i in range(count):
        own[i, i] += c
    if not eliminate(own, turned):
        return False
    solved[:] = turned.T
    return True


@helper
def _couple(rows, solved, source, start, root_post, system):  # type: ignore[no-untyped-def]
    """Add the coupling of the sources, sum over t of sqrt(p(t|x) p(t|x')) Y_t (c_t - Y_t^T Y_t)^-1 Y_t^T."""
    n_t, n = root_post.shape
    k = rows.shape[0] // (n * n_t)
    if n * n * n_t * k > _DENSE and start[n_t] > _FILLED * n * n_t:
        _couple_densely(rows, solved, source, start, root_post, system)
        return
    work, columns = np.empty(n), np.empty((k, n))
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        block, answer = _block(rows, start, t, k), _block(solved, start, t, k)
        for y in range(k):
            for i in range(count):
                columns[y, i] = root_post[t, source[first + i]] * answer[y, i]
        for i in range(count):
            xi = source[first + i]
            row = work[: i + 1]
            row[:] = 0.0
            for y in range(k):
                factor, column = root_post[t, xi] * block[y, i], columns[y]
                for j in range(row.shape[0]):
                    row[j] += factor * column[j]
            for j in range(i):
                system[xi, source[first + j]] += row[j]
                system[source[first + j], xi] += row[j]
            system[xi, xi] += row[i]


@helper
def _couple_densely(rows, solved, source, start, root_post, system):  # type: ignore[no-untyped-def]
    """The same by products of matrices, a few clusters at a time; the sum is symmetric, so half of it is computed."""
    n_t, n = root_post.shape
    k = rows.shape[0] // (n * n_t)
    size = max(1, min(n_t, _TOGETHER // k))
    left, right = np.zeros((size * k, n)), np.zeros((size * k, n))
    for first in range(0, n_t, size):
        left[:], right[:] = 0.0, 0.0
        for t in range(first, min(first + size, n_t)):
            block, answer = _block(rows, start, t, k), _block(solved, start, t, k)
            for y in range(k):
                line, other = left[(t - first) * k + y], right[(t - first) * k + y]
                for i in range(block.shape[1]):
                    x = source[start[t] + i]
                    line[x] = root_post[t, x] * block[y, i]
                    other[x] = root_post[t, x] * answer[y, i]
        for low in range(0, n, _STRIP):
            high = min(low + _STRIP, n)
            strip = np.dot(np.ascontiguousarray(left[:, low:high]).T, np.ascontiguousarray(right[:, :high]))
            for x in range(low, high):
                row, more = system[x], strip[x - low]
                for other in range(high):
                    row[other] += more[other]
    for x in range(n):
        for other in range(x):
            system[other, x] = system[x, other]


@leaf
def _natural(kind, mean, v, face, forces, scale, natural):  # type: ignore[no-untyped-def]
    """Forces (m, k) on a mean in its natural coordinates, times `scale`: times R, where R R^T = J, into `natural`."""
    m, k = forces.shape
    for i in range(m):
        centre = 0.0
        if kind == 1:
            for y in range(k):
                centre += v[y] * forces[i, y]
        for y in range(k):
            natural[i, y] = scale * (forces[i, y] - centre) * metric_root(kind, mean[y], v[y], face.shape[0] == 0 or face[y])


@helper
def directions(  # type: ignore[no-untyped-def]
    kind, beta, px, u, weights, means, v, face, c, rows, solved, source, start, root_post, system, pivots, forces, right
):
    """The steps of weights and means for the right-hand sides of this point or one near by, by the system that was eliminated here.

    Parameters
    ----------
    forces : (n_t, m, k)
        ``sum_x p(x) p(t|x) (U[x] - M_t)``, or its derivative.
    right : (m, n + n_t)
        Its last n_t columns are ``sqrt(w_t) (c_t - 1)``, or its derivative over the sqrt(w_t) of the system; it is lost.

    Returns
    -------
    d_weights, d_means : (m, n_t), (m, n_t, k)
    longest, slope : float
        Of the first: the longest move of a mean in its natural coordinates, and the slope of the objective.
    """
    n_t, m, k = forces.shape
    n = px.shape[0]
    d_weights, shares, naturals = np.empty((m, n_t)), np.zeros((m, n_t, n)), np.empty((n_t, m, k))
    weights_right = right[0, n:].copy()
    right[:, :n] = 0.0
    for t in range(n_t):
        first, last = start[t], start[t + 1]
        own = face[t] if face.shape[0] > 0 else np.empty(0, np.bool_)
        _natural(kind, means[t], v[t], own, forces[t], np.sqrt(beta / weights[t]), naturals[t])
        answers = product(naturals[t], _block(solved, start, t, k), BY_HAND)
        for i in range(m):
            for j in range(last - first):
                x = source[first + j]
                right[i, x] += root_post[t, x] * answers[i, j]
    for i in range(m):
        for t in range(n_t):
            right[i, n + t] = -right[i, n + t]  # as the last rows of the system, so that it is symmetric
    substitute(system, pivots, right)
    longest, slope = 0.0, 0.0
    for t in range(n_t):
        first, last = start[t], start[t + 1]
        root_w = np.sqrt(weights[t])
        slope -= weights_right[t] * right[0, n + t]
        pulls = np.empty((m, last - first))
        for i in range(m):
            d_weights[i, t] = root_w * right[i, n + t]
            for j in range(last - first):
                x = source[first + j]
                pulls[i, j] = root_post[t, x] * right[i, x]
        block = _block(rows, start, t, k)
        rest = naturals[t] - across(pulls, block)
        answers = product(rest, _block(solved, start, t, k), BY_HAND)
        moved = across(answers[:1], block)
        length = 0.0
        for y in range(k):
            move = (rest[0, y] + moved[0, y]) / (c[t] + NUDGE)
            length += square(move)
            slope -= naturals[t, 0, y] * move
        longest = max(longest, np.sqrt(length) / root_w)
        for i in range(m):
            for x in range(n):
                shares[i, t, x] = -root_post[t, x] * right[i, x]
            for j in range(last - first):
                shares[i, t, source[first + j]] += answers[i, j]
    return d_weights, _means_moved(px, u, weights, means, c, root_post, beta, forces, shares), longest, slope


@helper
def _means_moved(px, u, weights, means, c, root_post, beta, forces, shares):  # type: ignore[no-untyped-def]
    """The steps of the means (m, n_t, k): combinations of ``U[x] - M_t``, for R_t need not be invertible."""
    m, n_t, n = shares.shape
    k = u.shape[1]
    d_means = np.empty((m, n_t, k))
    for i in range(m):
        total = np.zeros(n_t)
        for t in range(n_t):
            for x in range(n):
                shares[i, t, x] *= root_post[t, x] * np.sqrt(px[x])
                total[t] += shares[i, t, x]
        d_means[i] = product(shares[i], u, BY_HAND)
        for t in range(n_t):
            scale = 1.0 / (weights[t] * (c[t] + NUDGE))
            for y in range(k):
                d_means[i, t, y] = scale * (forces[t, i, y] + d_means[i, t, y] - total[t] * means[t, y])
    return d_means
