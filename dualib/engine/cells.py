"""Upper bounds of log c on simplices, many at once: a quadratic form around a centre of each, rounding counted.

On a cell with vertices v let ``log c(s) = log sum_x exp(alpha_x + beta U_x . h(s)) - beta psi(s)``: dual IB ``U = log p``, ``h(s) = s``,
``psi(s) = sum s log s``; IB ``U = p``, ``h(s) = log s``, ``psi = 0``. Let r be any point with r > 0, q_x the terms of c at r, shares of 1,
``d = s - r`` and ``t = d / r``.

The exponents
    ``e_x = beta U_x . d`` (dual IB), or ``beta p_x . t`` (IB) less ``Q_x = beta sum_y p(y|x) (t_y - log(1 + t_y))``. With ``L = sum_x q_x e_x``
    and ``z_x = e_x - L``, both linear in s,

        ``log c(s) = log c(r) + L + log sum_x q_x exp(z_x - Q_x) - [beta psi(s) - beta psi(r)]``.

The convex part
    ``exp(z) <= 1 + z + z^2 f(m)`` for ``z <= m``, with ``f(m) = (exp(m) - 1 - m) / m^2``, which increases and for 0 <= m < 3 is at most
    ``1 / (2 - 2 m / 3)`` (Bernstein); m_x is the largest z_x of the cell. It gives the form ``A = sum_x q_x f(m_x) z_x z_x'``.

The concave part
    Dual IB: ``KL(s || r) = sum_y r_y t_y^2 g(t_y)``, ``g(t) = ((1 + t) log(1 + t) - t) / t^2``, which decreases, so that the largest t_y of
    the cell may stand in it; the rest of -beta psi is linear. IB: likewise ``Q_x >= R_x = beta sum_y p(y|x) t_y^2 g(t_y)`` with
    ``g(t) = (t - log(1 + t)) / t^2``, and with k_x such that ``1 - exp(-R) >= k_x R`` up to the largest R_x of the cell,

        ``sum_x q_x exp(z_x - R_x) <= sum_x q_x exp(z_x) - sum_x q_x k_x (1 + z_x) R_x``:

    for each y the weight ``sum_x q_x k_x (1 + z_x) p(y|x)`` is linear in s, so it is at least its least value at a vertex. Either way
    there is a form N, a sum of squares, with ``log c(s) <= log c(r) + L + d'(A - N)d`` on the cell, as ``log(1 + u) <= u``.

The maximum over the cell
    In barycentric coordinates l the right side is ``L_v . l + l'(A - N) l``. For every share b in [0, 1] a convex form is at most its
    values at the vertices, so it is at most ``(L_v + (1 - b) A_vv) . l + l'(b A - N) l``; the largest b of a few for which ``N - b A``
    has a Cholesky factor makes that concave, and a concave function is at most its tangent at any point: a mirror ascent finds a good
    one. Where z is large, ``max_v (L_v + log sum_x q_x exp(z_xv))`` is better (log sum exp is convex in z).

Rounding
    Errors of the exponents, whose relative share is what the errors of q are, move log c by no more than the largest among the
    terms that count (within exp(-46) of all): ``eps`` times the operations and magnitudes of one exponent. That of the sums is eps times
    their number and size. `bounds` returns the sum, to be added to what is reported.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[np.float64]

EPS = 2.220446049250313e-16
_NEGLIGIBLE = 46.0  # exp(-46) = 1e-20: what is so much smaller does not count
_NARROW = 1.0  # largest exponent of a cell up to which only the form is tried
_WIDEST = 30.0  # ... from which on only the vertices are
_SWEEPS = 30  # of the mirror ascent
_LENGTH = 0.3  # weight of an edge's natural length against the bend of A along it, when an edge is chosen


class Terms(NamedTuple):
    """``c`` of many owners (betas) on one face.

    Attributes
    ----------
    alpha : (m, n_x), beta : (m,)
        As above, for each owner.
    size : (m,)
        Largest magnitude of what an alpha was summed from.
    features : (n_y, n_x)
        U, transposed.
    is_ib : bool
    """

    alpha: Array
    beta: Array
    size: Array
    features: Array
    is_ib: bool


class Bounds(NamedTuple):
    """Of each cell: log c is at most `upper`, plus `error` for rounding; log c at the centre; vertices ``k v + w`` of the edge to halve."""

    upper: Array
    error: Array
    value: Array
    edge: npt.NDArray[np.intp]


def log_c(terms: Terms, points: Array, owner: npt.NDArray[np.intp]) -> Array:
    """Log c (b,) at points (b, n_y) > 0."""
    beta, logs = terms.beta[owner], np.log(points)
    exponents = (beta[:, None] * (logs if terms.is_ib else points)) @ terms.features + terms.alpha[owner]
    top = exponents.max(axis=1)
    value = top + np.log(np.exp(exponents - top[:, None]).sum(axis=1))
    return np.asarray(value if terms.is_ib else value - beta * (points * logs).sum(axis=1))


def bounds(terms: Terms, cells: Array, extent: Array, owner: npt.NDArray[np.intp], limit: Array) -> Bounds:
    """Bound log c on cells (b, k, n_y), around the centroid of each.

    `extent` (b, k, n_y) is the sum of the magnitudes that the vertices were summed from. The work on a cell ends as soon as its
    bound is at most `limit` (b,).
    """
    beta, is_ib = terms.beta[owner], terms.is_ib
    (n_cells, k, n_y), n_x = cells.shape, terms.features.shape[1]
    centre = np.maximum(cells, 0.0).mean(axis=1)
    logs, offset = np.log(centre), cells - centre[:, None]
    ratio = offset / centre[:, None]
    most = ratio.max(axis=1)
    steps = beta[:, None, None] * (ratio if is_ib else offset)
    bend = _remainder(most, is_ib)
    bends = steps * ratio * bend[:, None] if is_ib else steps[:, :0]
    start, slope = np.empty(n_cells), np.empty((n_cells, k))
    spread, vertex = np.zeros((n_cells, k, k)), np.full((n_cells, k), np.inf)
    pull, reach = np.empty((n_cells, n_y)), np.empty(n_cells)
    height = beta[:, None] * (logs if is_ib else centre)
    _sums(terms.alpha, terms.features, owner, height, steps, bends, start, slope, spread, vertex, pull, reach)
    if is_ib:
        value, weight = start, beta[:, None] * pull * bend
    else:
        slope -= np.matmul(steps, logs[:, :, None])[:, :, 0]
        value, weight = start - beta * (centre * logs).sum(axis=1), beta[:, None] * centre * bend
    roots = ratio * np.sqrt(weight)[:, None]
    tension = np.matmul(roots, roots.transpose(0, 2, 1))
    scale = np.trace(spread, axis1=1, axis2=2) + np.trace(tension, axis1=1, axis2=2)
    slack = EPS * (4 * n_x + 200) * scale
    upper = (slope + vertex).max(axis=1)
    _greatest(slope, spread, tension, slack, reach, limit - value, upper)
    magnitude = 2.0 * terms.size[owner] + np.abs(start) + _NEGLIGIBLE + reach
    if is_ib:
        magnitude += beta * (extent.max(axis=1) / centre).max(axis=1)
    else:
        largest = np.abs(terms.features).max() + np.abs(logs).max(axis=1)
        magnitude += beta * (1.0 + largest * np.abs(offset).sum(axis=2).max(axis=1))
    error = EPS * (n_y + k + 8) * magnitude + 4.0 * slack
    error += EPS * (n_x + n_y + 60) * (1.0 + np.abs(value) + 2.0 * np.abs(slope).max(axis=1) + reach)
    return Bounds(value + upper, error, value, _edges(ratio, spread, centre * beta[:, None]))


def _remainder(most: Array, is_ib: bool) -> Array:
    """The function g of the concave part, from below: its Bernstein bound where t is small and the difference would cancel."""
    t = np.maximum(most, -1.0)
    small = t < 0.5
    near = 0.5 / (1.0 + t * (2.0 / 3.0 if is_ib else 1.0 / 3.0))
    far = np.where(small, 1.0, t)
    log = np.log1p(far)
    return np.where(small, near, (far - log if is_ib else (1.0 + far) * log - far) / far**2)


def _edges(ratio: Array, spread: Array, weight: Array) -> npt.NDArray[np.intp]:
    """The edge along which A bends most, its natural length counting a little."""
    n_cells, k, _ = ratio.shape
    natural = np.square(ratio[:, :, None] - ratio[:, None]) @ weight[:, None, :, None]
    diagonal = np.diagonal(spread, axis1=1, axis2=2)
    bend = 2.0 * (diagonal[:, :, None] + diagonal[:, None] - 2.0 * spread)
    return np.asarray((bend + _LENGTH * natural[..., 0]).reshape(n_cells, k * k).argmax(axis=1))


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _sums(alpha, features, owner, height, steps, bends, start, slope, spread, vertex, pull, reach):  # type: ignore[no-untyped-def]
    """All sums over x: ``start = log sum exp``, the slopes L_v, the form A, the vertices' ``log sum q exp z``, the weights of the IB's N.

    `reach` is the largest z; the form is left 0 where that is above _WIDEST, the vertices inf where it is below _NARROW.
    """
    n_cells, k, n_y = steps.shape
    n_x = features.shape[1]
    z, q, high, work = np.empty((k, n_x)), np.empty(n_x), np.empty(n_x), np.empty(n_x)
    for i in range(n_cells):
        for x in range(n_x):
            q[x], high[x] = alpha[owner[i], x], -np.inf
        for y in range(n_y):
            for x in range(n_x):
                q[x] += height[i, y] * features[y, x]
        top, total, low = -np.inf, 0.0, 0.0
        for x in range(n_x):
            top = max(top, q[x])
        for x in range(n_x):
            q[x] = math.exp(q[x] - top)
            total += q[x]
        start[i] = top + math.log(total)
        for v in range(k):
            mean = 0.0
            for x in range(n_x):
                z[v, x] = 0.0
            for y in range(n_y):
                for x in range(n_x):
                    z[v, x] += steps[i, v, y] * features[y, x]
            for x in range(n_x):
                mean += q[x] * z[v, x]
            mean /= total
            slope[i, v] = mean
            for x in range(n_x):
                z[v, x] -= mean
                high[x] = max(high[x], z[v, x])
                low = min(low, z[v, x])
        most = 0.0
        for x in range(n_x):
            q[x] /= total
            most = max(most, high[x])
        reach[i] = most
        if most > _NARROW:
            for v in range(k):
                top, total = -np.inf, 0.0
                for x in range(n_x):
                    top = max(top, z[v, x])
                for x in range(n_x):
                    total += q[x] * math.exp(z[v, x] - top)
                vertex[i, v] = top + math.log(total)
        if most > _WIDEST:
            for y in range(n_y):
                pull[i, y] = 0.0
            continue
        for x in range(n_x):
            work[x] = q[x] / (2.0 - max(high[x], 0.0) * (2.0 / 3.0))
        if most > _NARROW:
            for x in range(n_x):
                if high[x] > _NARROW:
                    work[x] = q[x] * (math.exp(high[x]) - 1.0 - high[x]) / high[x] ** 2
        for v in range(k):
            for w in range(v + 1):
                total = 0.0
                for x in range(n_x):
                    total += work[x] * z[v, x] * z[w, x]
                spread[i, v, w] = spread[i, w, v] = total
        if bends.shape[1] == 0:
            continue
        for x in range(n_x):
            high[x] = 0.0
        for v in range(k):
            for x in range(n_x):
                work[x] = 0.0
            for y in range(n_y):
                for x in range(n_x):
                    work[x] += bends[i, v, y] * features[y, x]
            for x in range(n_x):
                high[x] = max(high[x], work[x])
        for x in range(n_x):  # 1 - exp(-R) >= R (1 + R / 2) / (1 + R + R^2 / 2)
            q[x] *= (1.0 + 0.5 * high[x]) / (1.0 + high[x] * (1.0 + 0.5 * high[x]))
        rounding = 1.0 - EPS * (n_x + 8) * (1.0 + max(most, -low))
        for y in range(n_y):
            least = np.inf
            whole = 0.0
            for x in range(n_x):
                work[x] = q[x] * features[y, x]
                whole += work[x]
            for v in range(k):
                total = 0.0
                for x in range(n_x):
                    total += work[x] * z[v, x]
                least = min(least, total)
            pull[i, y] = max(whole * rounding + least, 0.0)


@njit(cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _greatest(slope, spread, tension, slack, reach, limit, upper):  # type: ignore[no-untyped-def]
    """Lower `upper` to the maximum of the quadratic form over each cell, or to something above it that is at most `limit`."""
    n_cells, k = slope.shape
    form, factor = np.empty((k, k)), np.empty((k, k))
    linear, tilted, weights = np.empty(k), np.empty(k), np.empty(k)
    for i in range(n_cells):
        if reach[i] > _WIDEST or upper[i] <= limit[i]:
            continue
        share, tried, step = 1.0, 1.0, 1.0
        for trial in range(6):  # the largest share for which the form is concave: 1, else by halving
            concave = True
            for v in range(k):
                for w in range(v + 1):
                    total = tension[i, v, w] - tried * spread[i, v, w] + (slack[i] if v == w else 0.0)
                    for u in range(w):
                        total -= factor[v, u] * factor[w, u]
                    if v == w:
                        concave = concave and total > 0.0
                        factor[v, v] = math.sqrt(max(total, 1e-300))
                    else:
                        factor[v, w] = total / factor[w, w]
            if trial == 0:
                if concave:
                    break
                share = 0.0
            elif concave:
                share = tried
            step *= 0.5
            tried = share + step
        best = -np.inf
        for v in range(k):
            linear[v] = slope[i, v] + (1.0 - share) * spread[i, v, v]
            weights[v] = 1.0 / k
            best = max(best, linear[v])
            for w in range(k):
                form[v, w] = share * spread[i, v, w] - tension[i, v, w]
        before, step = -np.inf, 0.0
        for sweep in range(_SWEEPS):
            square, value, high, low = 0.0, 0.0, -np.inf, np.inf
            for v in range(k):
                product = 0.0
                for w in range(k):
                    product += form[v, w] * weights[w]
                tilted[v] = linear[v] + 2.0 * product
                square += weights[v] * product
                value += weights[v] * linear[v]
                high, low = max(high, tilted[v]), min(low, tilted[v])
            value += square
            best = min(best, high - square)
            if best <= limit[i] or value > limit[i] or not high > low:
                break
            step = 2.0 / (high - low) if sweep == 0 else step * (0.3 if value < before else 1.3)
            before, total = value, 0.0
            for v in range(k):
                weights[v] = max(weights[v], 1e-9) * math.exp(max(step * (tilted[v] - high), -6.0))
                total += weights[v]
            for v in range(k):
                weights[v] /= total
        upper[i] = min(upper[i], best)
