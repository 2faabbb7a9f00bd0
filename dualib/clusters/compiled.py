"""The compiled search of hard clusters by the IB, which `dualib.clusters.hard` and `search` have for every distortion in NumPy.

For the IB a cluster costs ``(1 - price) w log w - sum_y S log S``, S(y) = sum of p(x, y) over its members, of which a move of x
changes the terms of the y that go with x. Nearly all time goes into such terms, so that `xlogx` computes many at a time. As in
`dualib.engine.compiled` the functions have their signatures, call nothing outside this file, and are loaded by
`dualib.engine.loading`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dualib.engine import loading

_OPTIONS: Any = {"cache": loading.use_cache, "nogil": True, "error_model": "numpy"}
_F1, _F2, _I1 = "float64[::1]", "float64[:,::1]", "int64[::1]"
# CSR of p(x, y), and p(x); some may be the arrays of a joint distribution, which cannot be written to
_READ = ", ".join(f"Array({kind}, 1, 'C', readonly=True)" for kind in ("float64", "int32", "int64", "float64"))

_HALF = 0x3FE6A09E667F3BCD  # sqrt(1/2) as the bits of a float
_FRACTION = 0x000FFFFFFFFFFFFF  # bits of the fraction of a float
_WHOLE, _SHIFT = 0x4330000000000000, 2048  # 2^52, in whose fraction a whole number stands as it is; it must be positive
_LOG_2, _LOG_2_REST = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@njit(f"void({_F1}, int64, {_F1}, {_F1})", **_OPTIONS)
def xlogx(values, count, fractions, powers):  # type: ignore[no-untyped-def]
    """``v log v`` of the first `count` values >= 0, in place, 0 at 0; `fractions` and `powers` are scratch of that size.

    The logarithm is that of fdlibm (Sun Microsystems 1993, e_log.c), right to the last digit, without its branches, so that the
    machine does several at a time: with v = 2^k (1 + f) near 1 and s = f / (2 + f), log v = k log 2 + 2 artanh s. Four times as fast
    as `np.log` in a loop.
    """
    bits, fraction_bits, power_bits = values.view(np.int64), fractions.view(np.int64), powers.view(np.int64)
    for i in range(count):
        above = bits[i] - _HALF
        fraction_bits[i] = (above & _FRACTION) + _HALF
        power_bits[i] = ((above >> 52) + _SHIFT) | _WHOLE
    for i in range(count):
        k, f = powers[i] - (2.0**52 + _SHIFT), fractions[i] - 1.0
        s = f / (2.0 + f)
        z, half = s * s, 0.5 * f * f
        odd = 0.22222198432149784 + z * (0.1818357216161805 + z * (0.15313837699209373 + z * 0.14798198605116586))
        odd = z * (0.6666666666666735 + z * (0.3999999999940942 + z * (0.2857142874366239 + z * odd)))
        values[i] *= k * _LOG_2 - ((half - (s * (half + odd) + k * _LOG_2_REST)) - f)


@njit(f"float64(float64, float64, int64, int64, int64, {_READ}, {_I1}, {_F1}, {_F1}, {_F2}, {_F2})", **_OPTIONS)
def single_moves(price, least, most, enough, size, pxy, indices, ends, px, labels, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """One x at a time to the cluster of least objective, where that lowers it by more than `least`; returns the objective.

    That is ``(1 - price) sum_t w log w - sum_(t, y) S log S``, without a constant.

    Parameters
    ----------
    price : float
        1 / beta.
    least : float
    most, enough, size : int
        Passes over all x, and moves in one after which no other follows; the clusters to go to, the first so many of the arrays.
    pxy, indices, ends : CSR of p(x, y), (n, n_y)
    px : (n,)
    labels : (n,) int
        Changed in place. What follows is summed up from them first.
    counts, weights : (size or more,)
    sums, terms : (n_y, size or more)
        S and S log S, laid out by y.
    """
    n, widest = labels.shape[0], 0
    for x in range(n):
        widest = max(widest, ends[x + 1] - ends[x])
    room = max((widest + 1) * size, sums.shape[1])
    trial, fractions, powers = np.empty(room), np.empty(room), np.empty(room)
    rise, entropies = np.empty(size), np.empty(sums.shape[1])
    for t in range(sums.shape[1]):
        counts[t], weights[t] = 0.0, 0.0
    for y in range(sums.shape[0]):
        for t in range(sums.shape[1]):
            sums[y, t] = 0.0
    for x in range(n):
        t = labels[x]
        counts[t] += 1.0
        weights[t] += px[x]
        for k in range(ends[x], ends[x + 1]):
            sums[indices[k], t] += pxy[k]
    for y in range(sums.shape[0]):
        for t in range(sums.shape[1]):
            terms[y, t] = sums[y, t]
        xlogx(terms[y], sums.shape[1], fractions, powers)
    for t in range(sums.shape[1]):
        entropies[t] = weights[t]
    xlogx(entropies, sums.shape[1], fractions, powers)

    idle = 0  # x since the last move
    for _ in range(most):
        moved = 0
        for x in range(n):
            own, to, first = labels[x], labels[x], ends[x]
            alone, row, last = counts[own] == 1.0, 0, (ends[x + 1] - first) * size
            for k in range(first, ends[x + 1]):  # S with x in each cluster, of its own without it
                y = indices[k]
                for t in range(size):
                    trial[row + t] = sums[y, t] + pxy[k]
                trial[row + own] = 0.0 if alone else max(sums[y, own] - pxy[k], 0.0)
                row += size
            for t in range(size):
                trial[last + t] = weights[t] + px[x]
            trial[last + own] = 0.0 if alone else max(weights[own] - px[x], 0.0)
            xlogx(trial, last + size, fractions, powers)
            for t in range(size):
                rise[t] = (1.0 - price) * (trial[last + t] - entropies[t])
            row = 0
            for k in range(first, ends[x + 1]):
                y = indices[k]
                for t in range(size):
                    rise[t] += terms[y, t] - trial[row + t]
                row += size
            best = -least
            for t in range(size):
                if t != own and rise[own] + rise[t] < best:
                    best, to = rise[own] + rise[t], t
            if to == own:
                idle += 1
                if idle == n:
                    break
                continue
            idle, moved = 0, moved + 1
            labels[x] = to
            counts[own] -= 1.0
            counts[to] += 1.0
            weights[own] = 0.0 if alone else max(weights[own] - px[x], 0.0)
            weights[to] += px[x]
            entropies[own], entropies[to] = trial[last + own], trial[last + to]
            row = 0
            for k in range(first, ends[x + 1]):
                y = indices[k]
                sums[y, own] = 0.0 if alone else max(sums[y, own] - pxy[k], 0.0)
                sums[y, to] += pxy[k]
                terms[y, own], terms[y, to] = trial[row + own], trial[row + to]
                row += size
        if moved <= enough or idle == n:
            break

    objective = 0.0
    for t in range(size):
        objective += (1.0 - price) * entropies[t]
    for y in range(sums.shape[0]):
        for t in range(size):
            objective -= terms[y, t]
    return objective


@njit(f"int64(float64, int64, int64, {_I1}, {_F1}, {_F1}, {_F2}, {_F2}, {_F2})", **_OPTIONS)
def merge_down(price, width, size, labels, counts, weights, sums, terms, losses):  # type: ignore[no-untyped-def]
    """The cheapest two clusters of the first `width` become one until `size` are left, and on as long as that lowers the objective.

    Those that are left come to be the first; in place. `losses` is scratch (width or more, width or more).
    """
    alive = 0
    for t in range(width):
        alive += counts[t] > 0.0
        for other in range(width):
            losses[t, other] = np.nan  # not known
    while alive > 1:
        best, left, right = np.inf, -1, -1
        for i in range(width):
            for j in range(i + 1, width):
                if counts[i] == 0.0 or counts[j] == 0.0:
                    continue
                if np.isnan(losses[i, j]):
                    both, w, v = weights[i] + weights[j], weights[i], weights[j]
                    loss = (1.0 - price) * (both * np.log(both) - w * np.log(w) - v * np.log(v))
                    for y in range(sums.shape[0]):
                        if sums[y, i] > 0.0 and sums[y, j] > 0.0:
                            more = sums[y, i] + sums[y, j]
                            loss += terms[y, i] + terms[y, j] - more * np.log(more)
                    losses[i, j] = loss
                if losses[i, j] < best:
                    best, left, right = losses[i, j], i, j
        if left < 0 or (alive <= size and best >= 0.0):
            break
        for y in range(sums.shape[0]):
            if sums[y, right] > 0.0:
                sums[y, left] += sums[y, right]
                terms[y, left] = sums[y, left] * np.log(sums[y, left])
                sums[y, right] = 0.0
                terms[y, right] = 0.0
        counts[left] += counts[right]
        weights[left] += weights[right]
        counts[right] = 0.0
        weights[right] = 0.0
        for x in range(labels.shape[0]):
            if labels[x] == right:
                labels[x] = left
        for i in range(width):
            losses[i, left], losses[left, i] = np.nan, np.nan
        alive -= 1
    free = 0
    for t in range(size, width):  # into the numbers that are free
        if counts[t] > 0.0:
            while counts[free] > 0.0:
                free += 1
            for x in range(labels.shape[0]):
                if labels[x] == t:
                    labels[x] = free
            for y in range(sums.shape[0]):
                sums[y, free], terms[y, free] = sums[y, t], terms[y, t]
                sums[y, t], terms[y, t] = 0.0, 0.0
            counts[free], weights[free] = counts[t], weights[t]
            counts[t], weights[t] = 0.0, 0.0
    return alive


@njit(f"void({_READ}, {_I1}, {_F1}, {_F1}, {_F2}, {_F1})", **_OPTIONS)
def own_distortions(pxy, indices, ends, px, labels, counts, weights, sums, result):  # type: ignore[no-untyped-def]
    """``p(x) d(x, t)`` of each source and its cluster, into `result` (n,); exactly 0 where it is alone there."""
    for x in range(labels.shape[0]):
        t = labels[x]
        part = px[x] * np.log(weights[t] / px[x])
        for k in range(ends[x], ends[x + 1]):
            if pxy[k] > 0.0:
                part += pxy[k] * np.log(pxy[k] / sums[indices[k], t])
        result[x] = max(part, 0.0) if counts[t] > 1.0 else 0.0
