"""The compiled functions: the fused loops between the matrix products, each here because it brought a measured factor.

Every function has its signature, so that importing this module reads all of them from numba's on-disk cache or compiles them,
within seconds, and a broken cache shows in one place (`dualib.engine.loading`). They call nothing outside this file: numba would
not notice a change there.
"""

# the arguments are named by the docstrings of the functions' callers, in batch, sweep and descent
from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dualib.engine import loading

# sums may be reordered, which is what vectorises them; NaN and infinities keep their meaning. No sum is taken in a loop that stores
# something as well: its order would depend on how far apart two arrays happen to lie in memory
_OPTIONS: Any = {
    "cache": loading.use_cache,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
_F1, _F2, _F3, _I1 = "float64[::1]", "float64[:,::1]", "float64[:,:,::1]", "int64[::1]"


@njit(f"Tuple(({_F1}, {_I1}))({_F1}, {_I1}, {_F2}, {_F2}, {_I1}, {_I1}, {_F2}, {_F2}, {_I1}, boolean)", **_OPTIONS)
def nearest(beta, ends, means, V, face, owner, point_means, point_V, point_face, itself):  # type: ignore[no-untyped-def]
    """Of each point the least squared natural distance to an atom of its solution, and that atom; `itself`: the points are they."""
    count, k = point_means.shape
    distance, which = np.full(count, np.inf), np.zeros(count, np.int64)
    for p in range(count):
        b = beta[owner[p]]
        for t in range(ends[owner[p]], ends[owner[p] + 1]):
            if face[t] != point_face[p] or (itself and t == p):
                continue
            some = 0.0
            for y in range(k):
                some += (point_means[p, y] - means[t, y]) * (point_V[p, y] - V[t, y])
            if b * some < distance[p]:
                distance[p], which[p] = b * some, t
    return distance, which


@njit(f"{_I1}({_F1}, {_I1}, {_F2}, {_F2}, {_I1}, {_F1})", **_OPTIONS)
def first_alike(beta, owner, means, V, face, radius):  # type: ignore[no-untyped-def]
    """Of each point the first one of its solution within a squared natural distance that is such a first one, or itself."""
    count, k = means.shape
    first, begin = np.arange(count), 0
    for p in range(count):
        begin = p if owner[p] != owner[begin] else begin
        b, least = beta[owner[p]], radius[owner[p]]
        for t in range(begin, p):
            if first[t] != t or face[t] != face[p]:
                continue
            some = 0.0
            for y in range(k):
                some += (means[p, y] - means[t, y]) * (V[p, y] - V[t, y])
            if b * some < least:
                first[p] = t
                break
    return first


@njit(f"void({_I1}, {_F2}, {_F1}, {_F2})", **_OPTIONS)
def exponentials(owner, terms, shift, reference):  # type: ignore[no-untyped-def]
    """Rows become exp(row + shift - reference of their owner), 0 below exp(-250): twice as fast as NumPy's four passes.

    exp(v) = 2^i exp(f) with f within half of log 2, whose series to the 13th power is exact to rounding.
    """
    power = np.empty(terms.shape[1])
    bits = power.view(np.int64)
    for t in range(len(terms)):
        line, less, more = terms[t], reference[owner[t]], shift[t]
        for x in range(terms.shape[1]):
            value = line[x] + more - less[x]
            v = min(max(value, -250.0), 700.0)
            whole = np.floor(v * 1.4426950408889634 + 0.5)
            f = (v - whole * 0.693145751953125) - whole * 1.42860682030941723212e-6
            series = 1 / 39916800 + f * (1 / 479001600 + f * (1 / 6227020800))
            series = 1 / 5040 + f * (1 / 40320 + f * (1 / 362880 + f * (1 / 3628800 + f * series)))
            series = 1.0 + f * (1.0 + f * (0.5 + f * (1 / 6 + f * (1 / 24 + f * (1 / 120 + f * (1 / 720 + f * series))))))
            line[x] = series if value > -250.0 else (0.0 if value <= -250.0 else np.nan)
            bits[x] = (np.int64(whole) + 1023) << 52
        for x in range(terms.shape[1]):
            line[x] *= power[x]


@njit(
    f"void({_I1}, {_F1}, {_F1}, {_F2}, {_F1}, {_F2}, {_F2}, {_F3}, {_F2}, {_F2}, "
    f"{_F1}, {_F1}, {_F1}, {_F2}, {_F2}, int64, {_F2}, {_I1})",
    **_OPTIONS,
)
def conjugate(  # type: ignore[no-untyped-def]
    ends, beta, weights, means, c, diagonal, vector, dense, posterior, force, part, radius, far, U1T, pxU1, most, result, taken
):
    """Newton's steps (m, 1 + k) by conjugate gradients: the Hessian is self-adjoint in the inner product of `sweep.dual`.

    With delta = a + beta <U - M, J m> and zeta its mean under p(t|x), ``H step = c step - sum_x p(x|t) (delta - zeta) [1, U - M]``.
    Cut short where a step becomes longer than its radius, or where the objective bends down: that way it goes `far` (Steihaug 1983).
    `taken` counts the products with H.
    """
    k, n = means.shape[1], posterior.shape[1]
    for s in range(len(beta)):
        first, last = ends[s], ends[s + 1]
        T, step, rest, way = last - first, result[first:last], force[first:last].copy(), force[first:last].copy()
        lead, bent, image, ahead = np.empty((T, 1 + k)), np.empty((T, 1 + k)), np.empty((T, 1 + k)), np.zeros((T, 1 + k))
        told, delta, zeta, own = np.zeros((T, 1 + k)), np.empty((T, n)), np.empty(n), posterior[first:last]
        step[:] = 0.0
        length, end = -1.0, 0.0
        for round_ in range(most + 1):
            after = 0.0  # the squared length of what rests, and its dual
            for t in range(T):
                image[t, 0] = rest[t, 0]
                dot, across = rest[t, 0] ** 2, 0.0
                if dense.shape[0] == 0:
                    for i in range(k):
                        across += vector[first + t, i] * rest[t, 1 + i]
                    for i in range(k):
                        image[t, 1 + i] = beta[s] * (diagonal[first + t, i] * rest[t, 1 + i] - across * vector[first + t, i])
                else:
                    for i in range(k):
                        some = 0.0
                        for j in range(k):
                            some += dense[first + t, i, j] * rest[t, 1 + j]
                        image[t, 1 + i] = beta[s] * some
                for i in range(k):
                    dot += image[t, 1 + i] * rest[t, 1 + i]
                after += weights[first + t] * dot
            ratio = after / length if length > 0.0 else 0.0
            for t in range(T):
                for i in range(1 + k):
                    way[t, i] = rest[t, i] + ratio * way[t, i]
                    ahead[t, i] = image[t, i] + ratio * ahead[t, i]
            end = end if length >= 0.0 else after * part[s] ** 2
            length = after
            if not length > end or round_ == most:
                break
            taken[s] += 1
            for t in range(T):
                some = ahead[t, 0]
                for i in range(k):
                    some -= ahead[t, 1 + i] * means[first + t, i]
                lead[t, 0] = some
                for i in range(k):
                    lead[t, 1 + i] = ahead[t, 1 + i]
            np.dot(lead, U1T, delta)
            zeta[:] = 0.0
            for t in range(T):
                for x in range(n):
                    delta[t, x] *= own[t, x]
                    zeta[x] += delta[t, x]
            for t in range(T):
                for x in range(n):
                    delta[t, x] = own[t, x] * zeta[x] - delta[t, x]
            np.dot(delta, pxU1, bent)
            curvature = 0.0
            for t in range(T):
                off, dot = bent[t, 0] / weights[first + t], 0.0
                for i in range(1 + k):
                    mean = means[first + t, i - 1] if i > 0 else 0.0
                    bent[t, i] = bent[t, i] / weights[first + t] - off * mean + c[first + t] * way[t, i]
                for i in range(1 + k):
                    dot += bent[t, i] * ahead[t, i]
                curvature += weights[first + t] * dot
            alpha = length / curvature if curvature > 0.0 else (1e3 if round_ == 0 else far[s])
            longest, moved = 0.0, 0.0
            for t in range(T):
                for i in range(1 + k):
                    step[t, i] += alpha * way[t, i]
                    told[t, i] += alpha * ahead[t, i]
                    rest[t, i] -= alpha * bent[t, i]
                some = 0.0
                for i in range(1, 1 + k):
                    some += step[t, i] * told[t, i]
                longest = max(longest, some)
                moved += weights[first + t] * step[t, 0] ** 2
            if not curvature > 0.0 or max(longest, moved) > radius[s] ** 2:
                break
