"""The starts of the search for points where c exceeds 1, as a compiled kernel, for the distortions whose link is known here.

The same points as of `dualib.starts.starting_points` where no zero of p(y|x) matters.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import helper, kernel
from dualib.kernels import distances, exp
from dualib.linear_kernels import inner, product
from dualib.newton_kernels import link
from dualib.search_kernels import log_c_known

# part of beta; steps; squared natural distance of the first step of a source at rest, and from one point to another, or to a source
TEMPER, TEMPERED_STEPS, STAYS, ALIKE = 0.5, 6, 1e-6, 0.1
_BLOCK = 512  # points at a time, which stay in the cache


@kernel(
    "float64[:, ::1](int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], int64[::1], float64[:, ::1],"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64)"
)
def starts_known(kind, beta, px, u, ut, log_a, chosen, own, first, second, one, other, n_pairs):  # type: ignore[no-untyped-def]
    """The means (m, k) of all starts.

    Parameters
    ----------
    chosen : (c,)
        Sources to start from.
    own : (n_t, k)
        Centroids of the atoms.
    first, second : (p,)
        Atoms between which to start.
    one, other : (q,)
        Pairs of sources, of which the `n_pairs` best count.
    """
    k, n = ut.shape
    c, n_t, p = chosen.shape[0], own.shape[0], first.shape[0]
    sources = np.empty((c, k))
    for j in range(c):
        sources[j] = u[chosen[j]]
    tempered, pairs = _tempered(kind, beta, u, ut, log_a, sources), _best_pairs(kind, beta, u, ut, log_a, one, other, n_pairs)
    means = np.empty((c + 1 + n_t + p + tempered.shape[0] + pairs.shape[0], k))
    means[:c] = sources
    means[c] = product(px.reshape((1, n)), u)[0]
    means[c + 1 : c + 1 + n_t] = own
    for j in range(p):
        row, here, there = means[c + 1 + n_t + j], own[first[j]], own[second[j]]
        for y in range(k):
            row[y] = 0.5 * (here[y] + there[y])
    done = c + 1 + n_t + p
    means[done : done + tempered.shape[0]] = tempered
    means[done + tempered.shape[0] :] = pairs
    return means


@helper
def _tempered(kind, beta, u, ut, log_a, sources):  # type: ignore[no-untyped-def]
    """Where ascent steps at a smaller beta lead from the sources, without those that stay, or come to where another is."""
    c, k = sources.shape
    n = log_a.shape[0]
    nowhere = np.empty((0, 0), np.bool_)
    source_v, b = np.empty((c, k)), np.empty(c)
    link(kind, sources, nowhere, source_v, b)
    points, v = sources, source_v
    for step in range(TEMPERED_STEPS):
        values, terms = np.empty(points.shape[0]), np.empty((points.shape[0], n))
        log_c_known(kind, TEMPER * beta, ut, log_a, points, nowhere, nowhere, values, terms)
        points = product(terms, u)
        if step == 0:
            v = np.empty(points.shape)
            link(kind, points, nowhere, v, b)
            goes = np.empty(c, np.bool_)
            for j in range(c):
                goes[j] = _apart(beta, points[j], v[j], sources[j], source_v[j]) > STAYS
            points = points[np.flatnonzero(goes)]
        if points.shape[0] == 0:
            return points
    m = points.shape[0]
    v, b = np.empty((m, k)), np.empty(m)
    link(kind, points, nowhere, v, b)
    to_sources, to_points, new = np.empty((m, c)), np.empty((m, m)), np.empty(m, np.bool_)
    distances(beta, points, v, nowhere, sources, source_v, nowhere, to_sources)
    distances(beta, points, v, nowhere, points, v, nowhere, to_points)
    for j in range(m):
        new[j] = np.min(to_sources[j]) >= ALIKE and (j == 0 or np.min(to_points[j, :j]) >= ALIKE)
    return points[np.flatnonzero(new)]


@helper
def _apart(beta, mean, v, other, other_v):  # type: ignore[no-untyped-def]
    """The squared natural distance of two points."""
    return beta * ((inner(mean, v) - inner(mean, other_v)) + (inner(other, other_v) - inner(other, v)))


@helper
def _best_pairs(kind, beta, u, ut, log_a, one, other, n_pairs):  # type: ignore[no-untyped-def]
    """The centroids of the pairs of sources at which c is largest."""
    q, k, n = one.shape[0], u.shape[1], log_a.shape[0]
    nowhere = np.empty((0, 0), np.bool_)
    means, values = np.empty((q, k)), np.empty(q)
    for j in range(q):
        share = 1.0 / (1.0 + exp(log_a[other[j]] - log_a[one[j]]))
        row, here, there = means[j], u[one[j]], u[other[j]]
        for y in range(k):
            row[y] = share * here[y] + (1.0 - share) * there[y]
    if q <= n_pairs:
        return means
    for begin in range(0, q, _BLOCK):
        block = means[begin : begin + _BLOCK]
        terms = np.empty((block.shape[0], n))
        log_c_known(kind, beta, ut, log_a, block, nowhere, nowhere, values[begin : begin + _BLOCK], terms)
    order = np.argsort(-values, kind="mergesort")
    return means[order[:n_pairs]]
