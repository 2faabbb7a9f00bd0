"""The compiled search of hard clusters by the IB, which `dualib.clusters.hard` and `search` have for every distortion in NumPy.

For the IB a cluster costs ``(1 - price) w log w - sum_y S log S``, S(y) = sum of p(x, y) over its members, of which a move of x
changes the terms of the y that go with x. As in `dualib.engine.compiled` the functions have their signatures, call nothing outside
this file, and are loaded by `dualib.engine.loading`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dualib.engine import loading

_OPTIONS: Any = {"cache": loading.use_cache, "nogil": True, "error_model": "numpy"}
_F1, _F2, _I1 = "float64[::1]", "float64[:,::1]", "int64[::1]"
# of p(y|x) and p(x), which may be the arrays of a joint distribution: these cannot be written to
_READ = ", ".join(f"Array({kind}, 1, 'C', readonly=True)" for kind in ("float64", "int32", "int64", "float64"))


@njit(f"int64(float64, float64, int64, int64, int64, {_READ}, {_F1}, {_I1}, {_F1}, {_F1}, {_F2}, {_F2})", **_OPTIONS)
def single_moves(price, least, most, enough, size, data, indices, ends, px, masses, labels, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """One x at a time to the cluster of least objective, where that lowers it by more than `least`; returns the number of moves.

    Parameters
    ----------
    price : float
        1 / beta.
    least : float
    most, enough, size : int
        Passes over all x, and moves in one after which no other follows; the clusters to go to, the first so many of the arrays.
    data, indices, ends : CSR of p(y|x), (n, n_y)
    px : (n,)
    masses : (entries,)
        p(x, y) log p(x, y).
    labels : (n,) int
        Changed in place. What follows is summed up from them first.
    counts, weights : (size or more,)
    sums, terms : (n_y, size or more)
        S and S log S, laid out by y.
    """
    moves, rise = 0, np.empty(size)
    counts[:] = 0.0
    weights[:] = 0.0
    sums[:] = 0.0
    for x in range(labels.shape[0]):
        counts[labels[x]] += 1.0
        weights[labels[x]] += px[x]
        for k in range(ends[x], ends[x + 1]):
            sums[indices[k], labels[x]] += px[x] * data[k]
    for y in range(sums.shape[0]):
        for t in range(sums.shape[1]):
            terms[y, t] = sums[y, t] * np.log(sums[y, t]) if sums[y, t] > 0.0 else 0.0
    for _ in range(most):
        moved = 0
        for x in range(labels.shape[0]):
            own, p = labels[x], px[x]
            left = 0.0
            rise[:] = 0.0
            for k in range(ends[x], ends[x + 1]):
                mass, y = p * data[k], indices[k]
                if mass <= 0.0:
                    continue
                rest = sums[y, own] - mass
                left += terms[y, own]
                if rest > 0.0:
                    left -= rest * np.log(rest)
                alone = masses[k]
                for t in range(size):
                    if sums[y, t] > 0.0:
                        more = sums[y, t] + mass
                        rise[t] += terms[y, t] - more * np.log(more)
                    else:
                        rise[t] -= alone
            w = weights[own]
            gain = left - (1.0 - price) * w * np.log(w)
            if counts[own] > 1.0 and w > p:
                gain += (1.0 - price) * (w - p) * np.log(w - p)
            best, to = -least, own
            for t in range(size):
                if t == own:
                    continue
                more = weights[t] + p
                change = gain + rise[t] + (1.0 - price) * more * np.log(more)
                if weights[t] > 0.0:
                    change -= (1.0 - price) * weights[t] * np.log(weights[t])
                if change < best:
                    best, to = change, t
            if to == own:
                continue
            moved += 1
            labels[x] = to
            counts[own] -= 1.0
            counts[to] += 1.0
            weights[own] = max(w - p, 0.0) if counts[own] > 0.0 else 0.0
            weights[to] += p
            for k in range(ends[x], ends[x + 1]):
                mass, y = p * data[k], indices[k]
                rest = max(sums[y, own] - mass, 0.0) if counts[own] > 0.0 else 0.0
                sums[y, own] = rest
                terms[y, own] = rest * np.log(rest) if rest > 0.0 else 0.0
                sums[y, to] += mass
                terms[y, to] = sums[y, to] * np.log(sums[y, to]) if sums[y, to] > 0.0 else 0.0
        moves += moved
        if moved <= enough:
            break
    return moves


@njit(f"void(float64, {_READ}, {_F1}, {_F1}, {_F1}, {_F1}, {_F1}, {_I1})", **_OPTIONS)
def seeds(price, data, indices, ends, px, masses, draws, nearest, work, rise, labels):  # type: ignore[no-untyped-def]
    """Labels as of k-means++: seeds drawn by what the objective rises by where an x shares a cluster with the nearest seed so far.

    One for each of `draws`, within [0, 1), the first by p(x); fewer where all x are at a seed. `nearest`, `rise` (n,) and `work`
    (n_y,) are scratch.
    """
    n, zero = px.shape[0], 0.0
    work[:] = 0.0
    labels[:] = 0
    nearest[:] = px
    for seed in range(draws.shape[0]):
        total = 0.0
        for x in range(n):
            total += nearest[x]
        if not total > zero:
            return
        one, left = 0, draws[seed] * total
        for x in range(n):
            if nearest[x] > 0.0:
                one = x
                left -= nearest[x]
                if left < 0.0:
                    break
        for k in range(ends[one], ends[one + 1]):
            work[indices[k]] = px[one] * data[k]
        own = px[one] * np.log(px[one])
        for x in range(n):
            both = px[one] + px[x]
            rise[x] = (1.0 - price) * (both * np.log(both) - px[x] * np.log(px[x]) - own)
            for k in range(ends[x], ends[x + 1]):
                here = work[indices[k]]
                if here > 0.0 and data[k] > 0.0:
                    more = here + px[x] * data[k]
                    rise[x] += masses[k] + here * np.log(here) - more * np.log(more)
            if x == one:
                rise[x] = 0.0
            if seed == 0 or rise[x] < nearest[x]:
                nearest[x] = max(rise[x], 0.0)
                labels[x] = seed
        for k in range(ends[one], ends[one + 1]):
            work[indices[k]] = 0.0


@njit(f"float64(float64, int64, int64, {_F1}, {_F1}, {_F2}, {_F2})", **_OPTIONS)
def merger(price, i, j, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """What the objective rises by where two clusters become one."""
    if counts[i] == 0.0 or counts[j] == 0.0:
        return np.inf
    both = weights[i] + weights[j]
    loss = (1.0 - price) * (both * np.log(both) - weights[i] * np.log(weights[i]) - weights[j] * np.log(weights[j]))
    for y in range(sums.shape[0]):
        if sums[y, i] > 0.0 and sums[y, j] > 0.0:
            more = sums[y, i] + sums[y, j]
            loss += terms[y, i] + terms[y, j] - more * np.log(more)
    return loss


@njit(f"int64(float64, int64, int64, float64, {_I1}, {_F1}, {_F1}, {_F2}, {_F2}, {_F2})", **_OPTIONS)
def merge_down(price, width, size, noise, labels, counts, weights, sums, terms, losses):  # type: ignore[no-untyped-def]
    """The cheapest two clusters of the first `width` become one until `size` are left, which come to be the first; in place.

    `losses` is scratch (width, width). Each pair costs up to `noise` more of its loss, by a rule of their numbers alone.
    """
    alive = 0
    for t in range(width):
        alive += counts[t] > 0.0
    for i in range(width):
        for j in range(i + 1, width):
            losses[i, j] = merger(price, i, j, counts, weights, sums, terms)
    while alive > size:
        best, left, right = np.inf, -1, -1
        for i in range(width):
            for j in range(i + 1, width):
                if counts[i] > 0.0 and counts[j] > 0.0:
                    loss = losses[i, j] * (1.0 + noise * ((i * 40503 + j * 30011) % 1021) / 1021.0)
                    if loss < best:
                        best, left, right = loss, i, j
        if left < 0:
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
            if i < left:
                losses[i, left] = merger(price, i, left, counts, weights, sums, terms)
            elif i > left:
                losses[left, i] = merger(price, left, i, counts, weights, sums, terms)
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


@njit(f"void({_READ}, {_F1}, {_I1}, {_F1}, {_F1}, {_F2}, {_F1})", **_OPTIONS)
def own_distortions(data, indices, ends, px, masses, labels, counts, weights, sums, result):  # type: ignore[no-untyped-def]
    """``p(x) d(x, t)`` of each source and its cluster, into `result` (n,); exactly 0 where it is alone there."""
    for x in range(labels.shape[0]):
        t = labels[x]
        part = px[x] * np.log(weights[t] / px[x])
        for k in range(ends[x], ends[x + 1]):
            if data[k] > 0.0:
                part += masses[k] - px[x] * data[k] * np.log(sums[indices[k], t])
        result[x] = max(part, 0.0) if counts[t] > 1.0 else 0.0
