"""The compiled loop of single moves of hard clusters by the IB: see `dualib.hard`, which has it for every distortion in NumPy.

For the IB a cluster costs ``(1 - price) w log w - sum_y S_y log S_y``, S_y = sum of p(x, y) over its members, of which a move of x
changes the terms of the y that go with x. Whole capped solves of the letters take half the time that they take without it.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import kernel
from dualib.kernels import log

_FIXED = "Array({}, 1, 'C', readonly=True)"
_ROWS = ", ".join(_FIXED.format(kind) for kind in ("float64", "int32", "int64"))  # a CSR matrix


@kernel(
    f"int64(float64, float64, int64, {_ROWS}, {_FIXED.format('float64')},"
    " int64[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1])"
)
def ib_single_moves(price, least, most, data, indices, indptr, px, labels, counts, weights, sums, terms):  # type: ignore[no-untyped-def]
    """One x at a time to the cluster of least objective, where that lowers it by more than `least`; returns the number of moves.

    Parameters
    ----------
    price : float
        1 / beta.
    least : float
    most : int
        Passes over all x.
    data, indices, indptr : CSR of p(y|x), (n, n_y)
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
            for k in range(indptr[x], indptr[x + 1]):
                mass, y = p * data[k], indices[k]
                if mass <= 0.0:
                    continue
                rest = sums[y, own] - mass
                left += terms[y, own]
                if rest > 0.0:
                    left -= rest * log(rest)
                for t in range(size):
                    more = sums[y, t] + mass
                    rise[t] += terms[y, t] - more * log(more)
            w = weights[own]
            gain = left - (1.0 - price) * w * log(w)
            if counts[own] > 1.0 and w > p:
                gain += (1.0 - price) * (w - p) * log(w - p)
            best, to = -least, own
            for t in range(size):
                if t == own:
                    continue
                more = weights[t] + p
                change = gain + rise[t] + (1.0 - price) * more * log(more)
                if weights[t] > 0.0:
                    change -= (1.0 - price) * weights[t] * log(weights[t])
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
            for k in range(indptr[x], indptr[x + 1]):
                mass, y = p * data[k], indices[k]
                rest = max(sums[y, own] - mass, 0.0) if counts[own] > 0.0 else 0.0
                sums[y, own] = rest
                terms[y, own] = rest * log(rest) if rest > 0.0 else 0.0
                sums[y, to] += mass
                terms[y, to] = sums[y, to] * log(sums[y, to]) if sums[y, to] > 0.0 else 0.0
        moves += moved
        if moved == 0:
            break
    return moves
