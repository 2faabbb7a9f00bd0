"""Neighbouring clusters put together where one would do, as a compiled kernel, for the distortions whose link is known here.

The same as `dualib.local.coalesce`, which says why.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import kernel, leaf
from dualib.kernels import distances
from dualib.linear_kernels import by_hand, product
from dualib.newton_kernels import link
from dualib.spread_kernels import exceeding_known
from dualib.strand_kernels import total
from dualib.view_kernels import as_table


@kernel(
    "Tuple((int64[::1], float64[::1], float64[:, ::1]))(int64, float64, float64[::1], float64[:, ::1], float64[:, ::1],"
    " float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64)"
)
def coalesced(kind, beta, px, u, ut, means, v, face, posterior, radius):  # type: ignore[no-untyped-def]
    """Merge pairs of clusters, closest first, below a squared natural distance, where the one that pools them is stable.

    Parameters
    ----------
    means, v, face, posterior : (n_t, k), (n_t, k), (n_t, n_y), (n_t, n)
        Of the clusters after a sweep, and p(t|x) of the sweep; `face` is empty where no zero matters.

    Returns
    -------
    kept, weights, means : (m,), (m,), (m, k)
        The clusters left, among those given.
    """
    n_t = means.shape[0]
    apart, pairs, means, v = np.empty((n_t, n_t)), posterior * px, means.copy(), v.copy()
    distances(beta, means, v, face, means, v, face, apart)
    alive, nearest = np.ones(n_t, np.bool_), np.empty(n_t, np.int64)
    for i in range(n_t):
        apart[i, i] = np.inf
    for i in range(n_t):
        nearest[i] = np.argmin(apart[i])
    while n_t > 1:
        i = 0
        for t in range(n_t):
            i = t if apart[t, nearest[t]] < apart[i, nearest[i]] else i
        j = nearest[i]
        if not apart[i, j] < radius:
            break
        pooled = as_table(pairs[i] + pairs[j], 0, 1, px.shape[0])
        weight = total(pooled[0])
        members, mean, mean_v, b = (
            pooled / weight,
            product(pooled, u, by_hand(u.size)) / weight,
            np.empty((1, u.shape[1])),
            np.empty(1),
        )
        own = face[i : i + 1] if face.shape[0] > 0 else face
        link(kind, mean, own, mean_v, b)
        if exceeding_known(kind, ut, mean, mean_v, own, members, 1.0 / beta)[0]:
            _set(apart, nearest, i, j, np.inf)
            continue
        pairs[i], means[i], v[i], alive[j] = pooled[0], mean[0], mean_v[0], False
        here = np.empty((1, n_t))
        distances(beta, mean, mean_v, own, means, v, face, here)
        for t in range(n_t):
            _set(apart, nearest, t, j, np.inf)
        for t in range(n_t):
            if alive[t] and t != i:
                _set(apart, nearest, i, t, here[0, t])
    kept = np.flatnonzero(alive)
    weights = np.empty(kept.shape[0])
    for t in range(kept.shape[0]):
        weights[t] = total(pairs[kept[t]])
    return kept, weights / total(weights), means[kept]


@leaf
def _set(apart, nearest, i, j, distance):  # type: ignore[no-untyped-def]
    """Another distance of a pair, and which cluster is nearest to each of the two."""
    for one, other in ((i, j), (j, i)):
        before = apart[one, other]
        apart[one, other] = distance
        if distance < apart[one, nearest[one]] or (distance == apart[one, nearest[one]] and other < nearest[one]):
            nearest[one] = other
        elif nearest[one] == other and distance > before:
            nearest[one] = np.argmin(apart[one])
