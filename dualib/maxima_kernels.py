"""The search for points where c exceeds 1 from given starts, as one compiled kernel, for the distortions whose link is known here.

The same as `dualib.search.search` where no zero of p(y|x) matters, without NumPy's calls on small arrays.
"""

from __future__ import annotations

import numpy as np

from dualib.climb_kernels import climbed
from dualib.jit import MORE, apart, helper, kernel, leaf
from dualib.kernels import exp, log
from dualib.linear_kernels import BY_HAND, across, applied, apply, by_hand, dot, multiply, product
from dualib.newton_kernels import link
from dualib.row_kernels import put
from dualib.search_kernels import ascend_known, distance
from dualib.spread_kernels import spread_of, traces_of
from dualib.start_kernels import members_known
from dualib.strand_kernels import inner
from dualib.view_kernels import as_row

_ascend = apart(ascend_known)
CLIMBS = 6  # rounds of ascent
NEWTON_STEPS = 48  # then; what has not come to rest by then tells nothing of its maximum
MOST_FINISHED = 256  # points after the first of these steps, the best ones
COARSE, FINE = 1e-4, 1e-8  # squared natural distance within which points on the way up, and maxima, are one
BASIN = 0.1  # squared natural distance at which a stable, stationary atom swallows a candidate, by (1 - its stability)^2
STABLE = 0.5  # stability numbers that matter: below it they only make that radius smaller
NEARLY, TILT = 0.9, 0.3  # ... from which it is started beside an atom; how much of p(x|t) is moved for that
LEAST_RADIUS, NO_RADIUS = (
    1e-7,
    1e-14,
)  # of an atom that is all but unstable, and of one that is not stationary, and hides no maximum
STATIONARY = 1e-18  # squared natural distance that a stationary atom moves in a sweep
_SQUARINGS, _CLOSELY = 12, 0.05  # of a matrix, for its largest eigenvalue; error, beside its distance from where it matters
_SLIGHT = 1e-12  # p(x|t) of no account


@kernel(
    "Tuple((float64[:, ::1], float64[::1]))(int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1],"
    " float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])"
)
def maxima_known(kind, beta, px, u, ut, log_a, weights, means, v, posterior, starts, hints):  # type: ignore[no-untyped-def]
    """Local maxima of log c off the atoms, and the values on the atoms: (m, k) and (m,), best first.

    Parameters
    ----------
    weights, means, v, posterior : (n_t,), (n_t, k), (n_t, k), (n_t, n)
        Of the atoms.
    starts, hints : (s, k), (h, k)
        Means of the points to ascend from.
    """
    (n_t, k), hand = means.shape, by_hand(u.size)
    members = members_known(px, posterior)
    rates, tilted = _rates(kind, beta, ut, means, v, members)
    stepped, stepped_v, b = product(members, u, hand), np.empty((n_t, k)), np.empty(n_t)
    nowhere = np.empty((0, 0), np.bool_)
    link(kind, stepped, nowhere, stepped_v, b)
    radius, own, stable = np.empty(n_t), np.empty(n_t), np.empty(n_t, np.bool_)
    _radii(beta, px, weights, means, v, posterior, stepped, stepped_v, rates, hand, radius, own, stable)
    first, second = starts.shape[0], starts.shape[0] + hints.shape[0]
    points = np.empty((second + tilted.shape[0], k))
    points[:first], points[first:second], points[second:] = starts, hints, tilted
    points = climbed(kind, beta, u, ut, log_a, points, means, v, radius, stable, CLIMBS, COARSE)
    common = (kind, beta, ut, log_a)
    if points.shape[0] > MOST_FINISHED:
        points, _, _ = _ascend(*common, points, nowhere, nowhere, means, v, nowhere, radius, 0, 1, FINE)
        points = points[:MOST_FINISHED]
    points, heights, _ = _ascend(*common, points, nowhere, nowhere, means, v, nowhere, radius, 0, NEWTON_STEPS, FINE)
    found, values = np.empty((n_t + points.shape[0], k)), np.empty(n_t + points.shape[0])
    found[:n_t], found[n_t:] = means, points
    values[:n_t], values[n_t:] = own, heights
    order = np.argsort(-values, kind="mergesort")
    return found[order], values[order]


@leaf
def _radii(beta, px, weights, means, v, posterior, stepped, stepped_v, rates, hand, radius, own, stable):  # type: ignore[no-untyped-def]
    """The squared natural distance at which each atom swallows a point, log c on it, and whether it is far from unstable."""
    n_t = weights.shape[0]
    for t in range(n_t):
        moved = max(distance(beta, means[t], v[t], stepped[t], stepped_v[t]), 0.0)
        own[t] = log(dot(posterior[t], px, hand) / weights[t])
        room = max(1.0 - rates[t], 0.0)
        radius[t] = max(BASIN * room * room, LEAST_RADIUS) if moved < STATIONARY else NO_RADIUS
        stable[t] = moved < STATIONARY and BASIN * room * room > LEAST_RADIUS


@helper
def _rates(kind, beta, ut, means, v, members):  # type: ignore[no-untyped-def]
    """The stability number of each atom, no less than it is, and the means of two starts beside each that is nearly unstable."""
    n_t, k = means.shape
    rates, tilted, count = traces_of(kind, ut, means, v, members), np.empty((2 * n_t, k)), 0
    everywhere = np.empty(0, np.bool_)
    for t in range(n_t):
        rates[t] *= beta
        if rates[t] < STABLE:
            continue
        _, rows, source = spread_of(kind, ut, means[t], v[t], everywhere, members[t], 0.0)
        by_source = source.shape[0] < k
        columns = np.ascontiguousarray(rows.T)
        gram = across(columns, columns) if by_source else across(rows, rows)
        largest, vector = largest_eigenvalue(gram, 1.0 / beta, by_hand(ut.size))
        rates[t] = beta * largest
        if rates[t] > NEARLY:
            tilts = vector if by_source else applied(columns, vector, BY_HAND)
            count += _tilted(ut, members[t], source, tilts, tilted[count : count + 2])
    return rates, tilted[:count]


@helper
def _tilted(ut, members, source, tilts, means):  # type: ignore[no-untyped-def]
    """Two means beside an atom along its softest direction, given times the roots of p(x|t); their number, 2 or 0."""
    longest = 0.0
    for i in range(source.shape[0]):
        share = members[source[i]]
        tilts[i] = tilts[i] / np.sqrt(share) if share > _SLIGHT else 0.0
        longest = max(longest, abs(tilts[i]))
    if not longest > 0.0:
        return 0
    row = np.empty(ut.shape[1])
    for side in range(2):
        row[:] = 0.0
        mass = 0.0
        for i in range(source.shape[0]):
            share = members[source[i]] * (1.0 + (TILT if side == 0 else -TILT) * tilts[i] / longest)
            row[source[i]] = share
            mass += share
        for x in range(row.shape[0]):
            row[x] /= mass
        apply(ut, row, means[side], MORE)
    return 2


@helper
def largest_eigenvalue(matrix, limit, hand):  # type: ignore[no-untyped-def]
    """An upper bound on the largest eigenvalue of a positive semidefinite matrix, and about its eigenvector.

    Powers of the matrix by squaring: their traces bound the eigenvalue, and their columns tend to the eigenvector. The error is a
    small part of the distance to `limit`, unless that is very small; `hand` as of `multiply`.
    """
    n = matrix.shape[0]
    vector, powers, image = np.zeros(n), np.empty((2, n, n)), np.empty(n)
    return _largest(matrix, limit, hand, vector, powers, image), vector


@leaf
def _largest(matrix, limit, hand, vector, powers, image):  # type: ignore[no-untyped-def]
    """The same bound, the vector put in its place; `powers` and `image` are scratch."""
    n, log_scale, exponent, best, bound = matrix.shape[0], 0.0, 1.0, 0, 0.0
    for i in range(n):
        put(matrix[i], powers[0, i])
    for squaring in range(_SQUARINGS + 1):
        power, trace = powers[squaring % 2], 0.0
        for i in range(n):
            trace += power[i, i]
            best = i if power[i, i] > power[best, best] else best
        if not trace > 0.0:
            return bound
        log_scale += log(trace)
        bound = exp(log_scale / exponent)
        scale, numbers = 1.0 / trace, as_row(power)
        for i in range(n * n):
            numbers[i] *= scale
        put(power[best], vector)
        apply(matrix, vector, image, hand)
        least = inner(vector, image) / inner(vector, vector)
        if bound - least <= _CLOSELY * abs(limit - bound):
            break
        multiply(power, power, powers[1 - squaring % 2], hand)
        log_scale, exponent = 2.0 * log_scale, 2.0 * exponent
    return bound
