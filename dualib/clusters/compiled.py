"""The compiled loop of single moves of hard clusters by the IB, which `dualib.clusters.hard` has for every distortion in NumPy.

For the IB a cluster costs ``(1 - price) w log w - sum_y S log S``, S(y) = sum of p(x, y) over its members, of which a move of x
changes the terms of the y that go with x. As in `dualib.engine.compiled` the function has its signature, calls nothing outside this
file, and is loaded by `dualib.engine.loading`.
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


@njit(f"int64(float64, float64, int64, {_READ}, {_I1}, {_F1}, {_F1}, {_F2}, {_F2})", **_OPTIONS)
def single_moves(price, least, most, data, indices, ends, px, labels, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """One x at a time to the cluster of least objective, where that lowers it by more than `least`; returns the number of moves.

    Parameters
    ----------
    price : float
        1 / beta.
    least : float
    most : int
        Passes over all x.
    data, indices, ends : CSR of p(y|x), (n, n_y)
    px : (n,)
    labels : (n,) int
        Changed in place, as are all that follow.
    counts, weights : (size,)
    sums, terms : (n_y, size)
        S and S log S, laid out by y.
    """
    size, moves = weights.shape[0], 0
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
                for t in range(size):
                    more = sums[y, t] + mass
                    rise[t] += terms[y, t] - more * np.log(more)
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
        if moved == 0:
            break
    return moves
