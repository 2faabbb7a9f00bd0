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
        Changed in place, as are all that follow.
    counts, weights : (size or more,)
    sums, terms : (n_y, size or more)
        S and S log S, laid out by y.
    """
    moves = 0
    rise = np.empty(size)
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


@njit(f"void(int64, {_READ}, {_I1}, {_F1}, {_F1}, {_F2}, {_F2})", **_OPTIONS)
def sum_up(size, data, indices, ends, px, labels, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """Counts, weights, S and S log S of clusters from their labels, in place."""
    counts[:] = 0.0
    weights[:] = 0.0
    sums[:] = 0.0
    terms[:] = 0.0
    for x in range(labels.shape[0]):
        t = labels[x]
        counts[t] += 1.0
        weights[t] += px[x]
        for k in range(ends[x], ends[x + 1]):
            sums[indices[k], t] += px[x] * data[k]
    for y in range(sums.shape[0]):
        for t in range(size):
            if sums[y, t] > 0.0:
                terms[y, t] = sums[y, t] * np.log(sums[y, t])


@njit(f"float64(float64, int64, {_F1}, {_F2})", **_OPTIONS)
def cost_of(price, size, weights, terms):  # type: ignore[no-untyped-def]
    """``sum_t (1 - price) w log w - sum_y S log S``."""
    total = 0.0
    for t in range(size):
        if weights[t] > 0.0:
            total += (1.0 - price) * weights[t] * np.log(weights[t])
    for y in range(terms.shape[0]):
        for t in range(size):
            total -= terms[y, t]
    return total


@njit(f"int64(float64, {_F1})", **_OPTIONS)
def drawn(share, chances):  # type: ignore[no-untyped-def]
    """The index at a share, within [0, 1), of the sum of chances."""
    total = 0.0
    for x in range(chances.shape[0]):
        total += chances[x]
    left = share * total
    for x in range(chances.shape[0]):
        left -= chances[x]
        if left < 0.0 and chances[x] > 0.0:
            return x
    return np.argmax(chances)


@njit(f"void(float64, int64, {_READ}, {_F1}, {_F1}, {_F1})", **_OPTIONS)
def pairings(price, one, data, indices, ends, px, work, masses, result):  # type: ignore[no-untyped-def]
    """What the objective rises by where source `one` and each other, alone so far, share a cluster, into `result` (n,).

    `work` (n_y,) holds zeros and does again; `masses` are the p(x, y) times their logarithms, entry by entry.
    """
    for k in range(ends[one], ends[one + 1]):
        work[indices[k]] = px[one] * data[k]
    own = (1.0 - price) * px[one] * np.log(px[one])
    for x in range(px.shape[0]):
        both = px[one] + px[x]
        rise = (1.0 - price) * (both * np.log(both) - px[x] * np.log(px[x])) - own
        for k in range(ends[x], ends[x + 1]):
            here = work[indices[k]]
            if here > 0.0:
                more = here + px[x] * data[k]
                rise += masses[k] + here * np.log(here) - more * np.log(more)
        result[x] = max(rise, 0.0)
    result[one] = 0.0
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


_COUNTS = ", ".join(["int64"] * 8)


@njit(f"void(float64, float64, {_COUNTS}, {_READ}, {_F1}, int64[:,::1], {_F1})", **_OPTIONS)
def search(  # type: ignore[no-untyped-def]
    price, least, most, size, more, turns, patience, followed, given, last, data, indices, ends, px, draws, labels, values
):
    """Single moves from seeds, then from the best with up to `more` clusters more and as many mergers.

    Seeds are as of k-means++, two times of three, or a random partition. The restarts end when no more than a fiftieth of all x
    moves; the best `followed` of them go on to their ends. Where these are the same there are no further trials.

    Parameters
    ----------
    price, least, most, size, data, indices, ends, px
        As of `single_moves`.
    more, turns, patience, followed : int
        Trials after the restarts, at most, and how many in a row may bring nothing.
    given, last : int
        So many of the first restarts begin from their labels, not from seeds; how many restarts there are.
    draws : (any,)
        Random numbers within [0, 1), taken in turn and again.
    labels : (last + 1 + any, n) int, values : (last + 1 + any,)
        The end of each restart, the best, and the last ones of the further trials; and their costs.
    """
    n, n_y, width, kept = px.shape[0], 0, size + more, labels.shape[0] - 1 - last
    for k in range(indices.shape[0]):
        n_y = max(n_y, indices[k] + 1)
    counts, weights, sums, terms = np.zeros(width), np.zeros(width), np.zeros((n_y, width)), np.zeros((n_y, width))
    losses, work, masses = np.zeros((width, width)), np.zeros(n_y), np.zeros(data.shape[0])
    nearest, rise = np.zeros(n), np.zeros(n)
    for x in range(n):
        for k in range(ends[x], ends[x + 1]):
            if data[k] > 0.0:
                masses[k] = px[x] * data[k] * np.log(px[x] * data[k])
    took, idle, best, order = 0, 0, np.inf, np.zeros(last, dtype=np.int64)
    trial = np.zeros(n, dtype=np.int64)
    for turn in range(last + turns):
        seeded, grown = turn < last, 0
        if turn == last:
            order[:] = np.argsort(values[:last])
        if turn < given:
            trial[:] = labels[turn]
        elif seeded and turn % 3 == 2:
            for x in range(n):
                trial[x] = int(size * draws[took % draws.shape[0]])
                took += 1
        elif seeded:
            trial[:] = 0
            nearest[:] = px
            for seed in range(size):
                if seed > 0 and not nearest.max() > 0.0:
                    break
                one = drawn(draws[took % draws.shape[0]], nearest)
                took += 1
                pairings(price, one, data, indices, ends, px, work, masses, rise)
                for x in range(n):
                    if seed == 0 or rise[x] < nearest[x]:
                        nearest[x] = rise[x]
                        trial[x] = seed
        elif turn < last + min(last, followed):
            trial[:] = labels[order[turn - last]]
        else:
            alike = last >= followed and values[order[followed - 1]] <= best + least
            if idle >= patience or alike:
                break
            grown = 1 + turn % more
            trial[:] = labels[last]
            sum_up(width, data, indices, ends, px, trial, counts, weights, sums, terms)
            for x in range(n):  # p(x) d(x, t) of each source and its cluster
                t, part = trial[x], px[x] * np.log(weights[trial[x]] / px[x])
                for k in range(ends[x], ends[x + 1]):
                    if data[k] > 0.0:
                        part += masses[k] - px[x] * data[k] * np.log(sums[indices[k], t])
                nearest[x] = max(part, 0.0) if counts[t] > 1.0 else 0.0
            for t in range(grown):
                if nearest.max() > 0.0:
                    one = drawn(draws[took % draws.shape[0]], nearest)
                    took += 1
                    trial[one] = size + t
                    nearest[one] = 0.0
        sum_up(width, data, indices, ends, px, trial, counts, weights, sums, terms)
        for wide in (size + grown, size):
            some = n // 50 if seeded and turn >= given else 0
            single_moves(price, least, most, some, wide, data, indices, ends, px, masses, trial, counts, weights, sums, terms)
            if grown == 0:
                break
            if wide > size:
                noise = 1.0 if turn % 5 > 2 else 0.0
                merge_down(price, wide, size, noise, trial, counts, weights, sums, terms, losses)
        value = cost_of(price, width, weights, terms)
        at = turn
        if grown > 0:
            at = last + 1 + turn % kept if kept > 0 else -1
        elif not seeded:
            at = order[turn - last]
        if at >= 0:
            labels[at] = trial
            values[at] = value
        idle += grown > 0
        if not seeded and value < best - least:
            best, values[last], idle = value, value, 0
            labels[last] = trial
