"""The starts of the search for points where c exceeds 1, as a compiled kernel, for the distortions whose link is known here.

The same points as of `dualib.starts.starting_points` where no zero of p(y|x) matters.
"""

from __future__ import annotations

import numpy as np

from dualib.block_kernels import (
    apart,
    beside,
    block_of,
    closest_pairs,
    evaluated,
    few_digits,
    heights,
    own_of,
    stepped,
    upright,
    width_of,
)
from dualib.jit import helper, kernel, leaf
from dualib.kernels import exp
from dualib.linear_kernels import by_hand, product
from dualib.newton_kernels import link
from dualib.row_kernels import put, single
from dualib.search_kernels import distance
from dualib.strand_kernels import total
from dualib.view_kernels import as_table

# part of beta; steps; squared natural distance of the first step of a source at rest, and from one point to another, or to a source
TEMPER, TEMPERED_STEPS, STAYS, ALIKE = 0.5, 6, 1e-6, 0.1
FEW = 16  # pairs of neighbouring atoms, pairs of sources, sources: so many are always looked at
TOO_FAR = 64.0  # squared natural distance of a pair of atoms between which none is born


@helper
def members_known(px, posterior):  # type: ignore[no-untyped-def]
    """p(x|t), (n_t, n); p(x) for a cluster that no source goes to."""
    members = np.empty(posterior.shape)
    _fill_members(px, posterior, members)
    return members


@leaf
def _fill_members(px, posterior, members):  # type: ignore[no-untyped-def]
    """The same, into `members`."""
    n_t, n = posterior.shape
    for t in range(n_t):
        row, line = members[t], posterior[t]
        for x in range(n):
            row[x] = line[x] * px[x]
        weight = total(row)
        if weight > 0.0:
            for x in range(n):
                row[x] /= weight
        else:
            put(px, row)


@kernel(
    "float64[:, ::1](int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], int64[::1], float64[:, ::1],"
    " float64[:, ::1], float64[:, ::1], int64, int64[::1], int64[::1], int64)"
)
def starts_known(  # type: ignore[no-untyped-def]
    kind, beta, px, u, ut, log_a, chosen, means, v, posterior, n_between, one, other, n_pairs
):
    """The means (m, k) of all starts.

    Parameters
    ----------
    chosen : (c,)
        Sources to start from.
    means, v, posterior : (n_t, k), (n_t, k), (n_t, n)
        Of the atoms: it is started from their centroids, and between the `n_between` closest pairs of them.
    one, other : (q,)
        Pairs of sources, of which the `n_pairs` best count.
    """
    k, n = ut.shape
    c, n_t = chosen.shape[0], means.shape[0]
    sources, own = np.empty((c, k)), product(members_known(px, posterior), u, by_hand(u.size))
    for j in range(c):
        for y in range(k):
            sources[j, y] = u[chosen[j], y]
    close = closest_pairs(beta, means, v, TOO_FAR, n_between, by_hand(u.size))
    tempered, pairs = _tempered(kind, beta, u, ut, log_a, sources), _best_pairs(kind, beta, u, log_a, one, other, n_pairs)
    p = close.shape[0]
    found = np.empty((c + 1 + n_t + p + tempered.shape[0] + pairs.shape[0], k))
    found[:c] = sources
    found[c] = product(as_table(px, 0, 1, n), u, by_hand(u.size))[0]
    found[c + 1 : c + 1 + n_t] = own
    for j in range(p):
        for y in range(k):
            found[c + 1 + n_t + j, y] = 0.5 * (own[close[j, 0], y] + own[close[j, 1], y])
    done = c + 1 + n_t + p
    found[done : done + tempered.shape[0]] = tempered
    found[done + tempered.shape[0] :] = pairs
    return found


@helper
def _ascended(kind, beta, u, ut, log_a, points):  # type: ignore[no-untyped-def]
    """Where an ascent step at beta leads from each point (m, k)."""
    m, k = points.shape
    n = log_a.shape[0]
    moved = np.empty((m, k))
    for begin in range(0, m, width_of(u)):
        block = block_of(points[begin : begin + width_of(u)], u)
        wide = block.shape[1]
        q, numbers = np.empty((n, wide), u.dtype), np.empty((4, wide), u.dtype)
        evaluated(kind, beta, u, log_a, block[:k], block[k:], q, numbers)
        stepped(ut, q, numbers[1], block[:k])
        for j in range(min(m - begin, width_of(u))):
            for y in range(k):
                moved[begin + j, y] = block[y, j]
    return moved


@helper
def _tempered(kind, beta, u, ut, log_a, sources):  # type: ignore[no-untyped-def]
    """Where ascent steps at a smaller beta lead from the sources, without those that stay, or come to where another is."""
    c, k = sources.shape
    nowhere = np.empty((0, 0), np.bool_)
    source_v, b = np.empty((c, k)), np.empty(c)
    link(kind, sources, nowhere, source_v, b)
    points, rough = sources, few_digits(kind, beta, u)
    coarse, coarse_t, coarse_a = (
        (single(u), single(ut), single(log_a)) if rough else (single(u[:0]), single(ut[:0]), single(log_a[:0]))
    )
    for step in range(TEMPERED_STEPS):
        if rough:
            points = _ascended(kind, np.float32(TEMPER * beta), coarse, coarse_t, coarse_a, points)
        else:
            points = _ascended(kind, TEMPER * beta, u, ut, log_a, points)
        if step == 0:
            v = np.empty(points.shape)
            link(kind, points, nowhere, v, b)
            goes = np.empty(c, np.bool_)
            for j in range(c):
                goes[j] = distance(beta, points[j], v[j], sources[j], source_v[j]) > STAYS
            points = points[np.flatnonzero(goes)]
        if step == TEMPERED_STEPS // 2 - 1:  # most have met by then, if they will
            points = points[
                np.flatnonzero(_first_of_alike(kind, beta, points, sources[:0], source_v[:0], ALIKE, by_hand(u.size)))
            ]
        if points.shape[0] == 0:
            return points
    return points[np.flatnonzero(_first_of_alike(kind, beta, points, sources, source_v, ALIKE, by_hand(u.size)))]


@helper
def _first_of_alike(kind, beta, points, others, others_v, radius, hand):  # type: ignore[no-untyped-def]
    """Which points (m, k) are, within a squared natural distance, where no earlier one is, nor another."""
    m, k = points.shape
    v, b, new = np.empty((m, k)), np.empty(m), np.ones(m, np.bool_)
    link(kind, points, np.empty((0, 0), np.bool_), v, b)
    block = upright(points, v)
    if others.shape[0] > 0:
        to_others = apart(beta, block, beside(others_v, others), own_of(others, others_v), hand)
        for i in range(others.shape[0]):
            for j in range(m):
                new[j] = new[j] and to_others[i, j] >= radius
    to_points = apart(beta, block, beside(v, points), own_of(points, v), hand)
    for i in range(m):
        for j in range(i + 1, m):
            new[j] = new[j] and to_points[i, j] >= radius
    return new


@helper
def _best_pairs(kind, beta, u, log_a, one, other, n_pairs):  # type: ignore[no-untyped-def]
    """The centroids of the pairs of sources at which c is largest."""
    q, k = one.shape[0], u.shape[1]
    means = np.empty((q, k))
    for j in range(q):
        share = 1.0 / (1.0 + exp(log_a[other[j]] - log_a[one[j]]))
        for y in range(k):
            means[j, y] = share * u[one[j], y] + (1.0 - share) * u[other[j], y]
    if q <= n_pairs:
        return means
    if few_digits(kind, beta, u):
        values = heights(kind, np.float32(beta), single(u), single(log_a), means).astype(np.float64)
    else:
        values = heights(kind, beta, u, log_a, means)
    best = np.flatnonzero(values >= np.partition(values, q - n_pairs)[q - n_pairs])
    return means[best[np.argsort(-values[best], kind="mergesort")[:n_pairs]]]


@kernel(
    "Tuple((float64[:, ::1], float64[::1]))(int64, float64, float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    " float64[:, ::1], float64[:, ::1], int64, float64)"
)
def taken_up(kind, beta, u, ut, log_a, points, means, v, steps, radius):  # type: ignore[no-untyped-def]
    """Points after a few ascent steps, and log c there, without those within a squared natural distance of an atom or another.

    Parameters
    ----------
    points, means, v : (m, k), (n_t, k), (n_t, k)
        The means of the points, and those of the atoms with their V.

    Returns
    -------
    points, log_c : (m', k), (m',)
    """
    for _ in range(steps):
        points = _ascended(kind, beta, u, ut, log_a, points)
    points = points[np.flatnonzero(_first_of_alike(kind, beta, points, means, v, radius, by_hand(u.size)))]
    return points, heights(kind, beta, u, log_a, points)


@kernel("Tuple((int64[::1], int64[::1]))(int64, float64[::1])")
def pairs_drawn(n, draws):  # type: ignore[no-untyped-def]
    """A pair of n sources from each of as many equal parts of all pairs as there are draws (numbers from 0 up to 1)."""
    q, n_pairs = draws.shape[0], n * (n - 1) // 2
    first, second = np.empty(q, np.int64), np.empty(q, np.int64)
    for i in range(q):
        least = i * n_pairs // q
        number = least + int(draws[i] * ((i + 1) * n_pairs // q - least))
        high = int(0.5 + np.sqrt(0.25 + 2.0 * number))  # pairs are numbered (0, 1), (0, 2), (1, 2), (0, 3), ...
        if high * (high - 1) // 2 > number:  # rounding
            high -= 1
        if high * (high + 1) // 2 <= number:
            high += 1
        first[i], second[i] = number - high * (high - 1) // 2, high
    return first, second
