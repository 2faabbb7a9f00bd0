"""Upper bounds of log c on simplices, many at once: a quadratic form around a centre of each, rounding counted.

On a cell with vertices v let ``log c(s) = log sum_x exp(alpha_x + beta U_x . h(s)) - beta psi(s)``: dual IB ``U = log p``,
``h(s) = s``, ``psi(s) = sum s log s``; IB ``U = p``, ``h(s) = log s``, ``psi = 0``. Let r be any point with r > 0, q_x the terms of
c at r, shares of 1, ``d = s - r`` and ``t = d / r``.

The exponents
    ``e_x = beta U_x . d`` (dual IB), or ``beta p_x . t`` (IB) less ``Q_x = beta sum_y p(y|x) (t_y - log(1 + t_y))``. With
    ``L = sum_x q_x e_x`` and ``z_x = e_x - L``, both linear in s,

        ``log c(s) = log c(r) + L + log sum_x q_x exp(z_x - Q_x) - [beta psi(s) - beta psi(r)]``.

The convex part
    ``exp(z) <= 1 + z + z^2 f(m)`` for ``z <= m``, with ``f(m) = (exp(m) - 1 - m) / m^2``, which increases and for 0 <= m < 3 is
    at most ``1 / (2 - 2 m / 3)`` (Bernstein); m_x is the largest z_x of the cell. It gives the form
    ``A = sum_x q_x f(m_x) z_x z_x'``.

The concave part
    Dual IB: ``KL(s || r) = sum_y r_y t_y^2 g(t_y)``, ``g(t) = ((1 + t) log(1 + t) - t) / t^2``, which decreases, so that the
    largest t_y of the cell may stand in it; the rest of -beta psi is linear. IB: likewise
    ``Q_x >= R_x = beta sum_y p(y|x) t_y^2 g(t_y)`` with ``g(t) = (t - log(1 + t)) / t^2``; with k_x such that
    ``1 - exp(-R) >= k_x R`` up to the largest R_x of the cell,

        ``sum_x q_x exp(z_x - R_x) <= sum_x q_x exp(z_x) - sum_x q_x k_x (1 + z_x) R_x``:

    for each y the weight ``sum_x q_x k_x (1 + z_x) p(y|x)`` is linear in s, so it is at least its least value at a vertex. Either
    way there is a form N, a sum of squares, with ``log c(s) <= log c(r) + L + d'(A - N)d`` on the cell, as ``log(1 + u) <= u``.

The maximum over the cell
    In barycentric coordinates l the right side is ``L_v . l + l'(A - N) l``. For every share b in [0, 1] a convex form is at most
    its values at the vertices, so it is at most ``(L_v + (1 - b) A_vv) . l + l'(b A - N) l``; the largest b of a few for which
    ``N - b A`` has a Cholesky factor makes that concave, and a concave function is at most its tangent at any point: a mirror
    ascent finds a good one. Where z is large, ``max_v (L_v + log sum_x q_x exp(z_xv))`` is better (log sum exp is convex in z).
    With an atom as r, where c is stationary, that discards every cell around it on which c is proved concave.

Rounding
    Errors of the exponents, whose relative share is what the errors of q are, move log c by no more than the largest among the
    terms that count (within exp(-46) of all): ``eps`` times the operations and magnitudes of one exponent. That of the sums is
    eps times their number and size. `bound_cells` gives the sum of these beside each bound, to be added to what is reported.

Compiled when it is first used, as `dualib.engine.compiled` is, and apart from it: many problems are not proved.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from dualib.engine import loading

_EPS = 2.220446049250313e-16
_NEGLIGIBLE = 46.0  # exp(-46) = 1e-20: what is so much smaller does not count
_NARROW = 1.0  # largest exponent of a cell up to which only the form is tried
_WIDEST = 30.0  # ... from which on only the vertices are
_ASCENTS = 30  # of the mirror ascent
_LENGTH = 0.3  # weight of an edge's natural length against the bend of A along it, when an edge is chosen
_OPTIONS: Any = {"cache": loading.use_cache, "nogil": True, "error_model": "numpy"}
_F1, _F2, _F3, _I1 = "float64[::1]", "float64[:,::1]", "float64[:,:,::1]", "int64[::1]"


@njit("float64(float64, boolean)", **_OPTIONS)
def _remainder(t, is_ib):  # type: ignore[no-untyped-def]
    """The function g of the concave part, from below: its Bernstein bound where t is small and the difference would cancel."""
    if t < 0.5:
        return 0.5 / (1.0 + t * (2.0 / 3.0 if is_ib else 1.0 / 3.0))
    log = math.log1p(t)
    return (t - log if is_ib else (1.0 + t) * log - t) / t**2


@njit(f"float64({_F2}, {_F2}, {_F2}, {_F2}, float64, float64)", **_OPTIONS)
def _greatest(slope, spread, tension, factor, slack, limit):  # type: ignore[no-untyped-def]
    """The maximum of ``slope[0] . l + l'(A - N) l`` over the simplex, or something above it; `limit` is low enough."""
    k = len(tension)
    linear, tilted, weights = slope[0], slope[1], slope[2]
    share, tried, step = 1.0, 1.0, 1.0
    for trial in range(6):  # the largest share for which the form is concave: 1, else by halving
        concave = True
        for v in range(k):
            for w in range(v + 1):
                total = tension[v, w] - tried * spread[v, w] + (slack if v == w else 0.0)
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
        linear[v] += (1.0 - share) * spread[v, v]
        weights[v] = 1.0 / k
        best = max(best, linear[v])
        for w in range(k):
            factor[v, w] = share * spread[v, w] - tension[v, w]
    before, step = -np.inf, 0.0
    for sweep in range(_ASCENTS):
        square, value, high, low = 0.0, 0.0, -np.inf, np.inf
        for v in range(k):
            product = 0.0
            for w in range(k):
                product += factor[v, w] * weights[w]
            tilted[v] = linear[v] + 2.0 * product
            square += weights[v] * product
            value += weights[v] * linear[v]
            high, low = max(high, tilted[v]), min(low, tilted[v])
        value += square
        best = min(best, high - square)
        if best <= limit or value > limit or not high > low:
            break
        step = 2.0 / (high - low) if sweep == 0 else step * (0.3 if value < before else 1.3)
        before, total = value, 0.0
        for v in range(k):
            weights[v] = max(weights[v], 1e-9) * math.exp(max(step * (tilted[v] - high), -6.0))
            total += weights[v]
        for v in range(k):
            weights[v] /= total
    return best


# sums over x may be taken in any order, which lets them vectorise; none is taken in a loop that stores something as well, for there
# the order would depend on how far apart two arrays happen to lie in memory
@njit(
    f"void({_F2}, {_F1}, {_F1}, {_F2}, boolean, {_F3}, {_F3}, {_F2}, {_I1}, {_F1}, {_F1}, {_F1}, {_F1}, {_I1})",
    fastmath={"reassoc", "contract"},
    **_OPTIONS,
)
def bound_cells(  # type: ignore[no-untyped-def]
    alpha, beta_of, size, features, is_ib, cells, extent, centre, owner, limit, upper, error, value, edge
):
    """Bound log c on cells, each around a centre.

    Parameters
    ----------
    alpha, beta_of, size, features, is_ib
        Of `Terms`.
    cells, extent : (b, k, n_y)
        Vertices, and the sum of the magnitudes that each was summed from.
    centre : (b, n_y)
        Points > 0.
    owner : (b,) int
    limit : (b,)
        The work on a cell ends as soon as its bound is at most that.
    upper, error, value : (b,)
        Become the bounds, without rounding, the allowance for it, and log c at the centre.
    edge : (b,) int
        Becomes the edge to halve, ``k v + w`` with v > w: along which A bends most, its natural length counting a little.
    """
    (n_cells, k, n_y), n_x = cells.shape, features.shape[1]
    z, q, log_q, high, work = np.empty((k, n_x)), np.empty(n_x), np.empty(n_x), np.empty(n_x), np.empty(n_x)
    ratio, bends, height, weight = np.empty((k, n_y)), np.empty((k, n_y)), np.empty(n_y), np.empty(n_y)
    slope, spread, tension, factor = np.empty((3, k)), np.empty((k, k)), np.empty((k, k)), np.empty((k, k))
    largest = 0.0
    for y in range(n_y):
        for x in range(n_x):
            largest = max(largest, abs(features[y, x]))
    for i in range(n_cells):
        beta = beta_of[owner[i]]
        constant, magnitude, summed = 0.0, 0.0, 0.0
        for y in range(n_y):
            log = math.log(centre[i, y])
            height[y] = beta * (log if is_ib else centre[i, y])
            constant -= 0.0 if is_ib else height[y] * log
            summed = max(summed, abs(log))
        for x in range(n_x):  # q and log c at the centre
            log_q[x], high[x] = alpha[owner[i], x], -np.inf
        for y in range(n_y):
            for x in range(n_x):
                log_q[x] += height[y] * features[y, x]
        top, total, low, most, steepest = -np.inf, 0.0, 0.0, 0.0, 0.0
        for x in range(n_x):
            top = max(top, log_q[x])
        for x in range(n_x):
            q[x] = math.exp(log_q[x] - top) if log_q[x] - top > -700.0 else 0.0
        for x in range(n_x):
            total += q[x]
        start = top + math.log(total)
        value[i] = start + constant
        for x in range(n_x):
            log_q[x] -= start
            q[x] /= total
        for v in range(k):  # z, and the slopes
            shift, tilt, moved = 0.0, 0.0, 0.0
            for x in range(n_x):
                z[v, x] = 0.0
            for y in range(n_y):
                offset = cells[i, v, y] - centre[i, y]
                ratio[v, y] = offset / centre[i, y]
                step = beta * (ratio[v, y] if is_ib else offset)
                if is_ib:
                    magnitude = max(magnitude, beta * (extent[i, v, y] - cells[i, v, y]) / centre[i, y])
                else:
                    tilt -= step * math.log(centre[i, y])
                    moved += abs(step)
                for x in range(n_x):
                    z[v, x] += step * features[y, x]
            for x in range(n_x):
                shift += q[x] * z[v, x]
            for x in range(n_x):
                z[v, x] -= shift
                high[x] = max(high[x], z[v, x])
                low = min(low, z[v, x])
            slope[0, v] = shift + tilt
            steepest = max(steepest, abs(shift), abs(tilt))
            magnitude = max(magnitude, moved * (largest + summed))
        for x in range(n_x):
            if log_q[x] + high[x] > -_NEGLIGIBLE:
                most = max(most, high[x])
        magnitude += 2.0 * size[owner[i]] + abs(start) + 2.0 * beta + _NEGLIGIBLE + most + steepest
        error[i] = _EPS * (n_y + k + 8) * magnitude + _EPS * (n_x + n_y + 60) * (1.0 + abs(value[i]) + 2.0 * steepest + most)
        bound = upper[i] = np.inf
        if most > _NARROW:  # log c with the convex part exact at the vertices, and nothing of the concave one
            bound = -np.inf
            for v in range(k):
                top, total = -np.inf, 0.0
                for x in range(n_x):
                    work[x] = log_q[x] + z[v, x]
                    top = max(top, work[x])
                for x in range(n_x):
                    total += math.exp(work[x] - top)
                bound = max(bound, slope[0, v] + top + math.log(total))
        upper[i] = value[i] + bound
        if upper[i] <= limit[i]:
            continue
        for x in range(n_x):
            work[x] = q[x] / (2.0 - min(max(high[x], 0.0), _NARROW) * (2.0 / 3.0))
        for x in range(n_x):
            if high[x] > _NARROW:
                m = min(high[x], _WIDEST - log_q[x])
                work[x] = (math.exp(log_q[x] + m) - q[x] * (1.0 + m)) / m**2
        for v in range(k):
            for w in range(v + 1):
                total = 0.0
                for x in range(n_x):
                    total += work[x] * z[v, x] * z[w, x]
                spread[v, w] = spread[w, v] = total
        longest = -1.0
        for v in range(k):
            for w in range(v):
                bend = 2.0 * (spread[v, v] + spread[w, w] - 2.0 * spread[v, w])
                for y in range(n_y):
                    bend += _LENGTH * beta * (ratio[v, y] - ratio[w, y]) ** 2 * centre[i, y]
                if bend > longest:
                    longest, edge[i] = bend, k * v + w
        if most > _WIDEST:
            continue
        for y in range(n_y):  # the concave part
            far = -1.0
            for v in range(k):
                far = max(far, ratio[v, y])
            weight[y] = _remainder(far, is_ib)
            for v in range(k):
                bends[v, y] = beta * weight[y] * ratio[v, y] ** 2
            weight[y] *= beta * (1.0 if is_ib else centre[i, y])
        if is_ib:
            largest_z = -low
            for x in range(n_x):
                largest_z = max(largest_z, high[x])
                high[x] = 0.0
            for v in range(k):
                for x in range(n_x):
                    work[x] = 0.0
                for y in range(n_y):
                    for x in range(n_x):
                        work[x] += bends[v, y] * features[y, x]
                for x in range(n_x):
                    high[x] = max(high[x], work[x])
            for x in range(n_x):  # 1 - exp(-R) >= R (1 + R / 2) / (1 + R + R^2 / 2)
                q[x] *= (1.0 + 0.5 * high[x]) / (1.0 + high[x] * (1.0 + 0.5 * high[x]))
            rounding = 1.0 - _EPS * (n_x + 8) * (1.0 + largest_z)
            for y in range(n_y):
                whole, least = 0.0, np.inf
                for x in range(n_x):
                    work[x] = q[x] * features[y, x]
                for x in range(n_x):
                    whole += work[x]
                for v in range(k):
                    total = 0.0
                    for x in range(n_x):
                        total += work[x] * z[v, x]
                    least = min(least, total)
                weight[y] *= max(whole * rounding + least, 0.0)
        scale = 0.0
        for v in range(k):
            for w in range(v + 1):
                total = 0.0
                for y in range(n_y):
                    total += weight[y] * ratio[v, y] * ratio[w, y]
                tension[v, w] = tension[w, v] = total
            scale += spread[v, v] + tension[v, v]
        slack = _EPS * (4 * n_x + 200) * scale
        form = _greatest(slope, spread, tension, factor, slack, limit[i] - value[i])
        if form + 4.0 * slack < bound:
            upper[i] = value[i] + form
            error[i] += 4.0 * slack
