"""Pools: the sums over the members of hard clusters, which are all that a distortion asks of them.

With the form ``d(x, t) = a(x) + b(t) - <U[x], V[t]>`` a cluster of members x has the expected distortion, not divided by its weight,

    sum_x p(x) d(x, t) = A + w b(M) - <S, V(M)>,      w = sum p(x),  S = sum p(x) U[x],  A = sum p(x) a(x),  M = S / w,

so two clusters are joined by adding their sums. For the IB it is ``A + w log w - sum_y S log S``. Where p(y|x) has zeros, a pool of
another distortion that they matter to also knows where its decoder may be positive.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Distortion, Mask

_LEAST = 1e-300  # in place of 0 in a logarithm or a divisor


class Pools:
    """Sums of m clusters, the columns of one table.

    Attributes
    ----------
    table : (m, 3 + k + n_y), or (m, 3 + k) where no zero matters
        All that follows.
    counts : (m,)
        Members; one without members costs nothing.
    weights, offsets : (m,)
        w and A.
    features : (m, k)
        S.
    marks : (m, n_y) or (m, 0)
        How many members widen the cluster's face by that y (support "cover") or narrow it ("inside").
    """

    __slots__ = ("counts", "features", "k", "marks", "offsets", "table", "weights")

    def __init__(self, table: Array, k: int) -> None:
        self.table, self.k = table, k
        self.counts, self.weights, self.offsets = table[:, 0], table[:, 1], table[:, 2]
        self.features, self.marks = table[:, 3 : 3 + k], table[:, 3 + k :]

    def __add__(self, other: Pools) -> Pools:
        return Pools(self.table + other.table, self.k)

    def pick(self, index: Any) -> Pools:
        """Those of an index array or mask."""
        return Pools(self.table[index], self.k)


def pools_of(counts: Array, weights: Array, offsets: Array, features: Array, marks: Array) -> Pools:
    """Pools of these columns."""
    return Pools(np.column_stack([counts, weights, offsets, features, marks]), features.shape[1])


def marks_of(distortion: Distortion, n: int, support: Mask | None) -> Array:
    """Of each of n sources whether it widens or narrows the face of its cluster by each y, (n, n_y), from where p(y|x) > 0.

    No columns where that does not matter: a distortion that is always finite, no zeros, and the IB, whose sums tell.
    """
    if support is None or distortion.support is None or type(distortion) is IB or support.all():
        return np.zeros((n, 0))
    return (support if distortion.support == "cover" else ~support).astype(np.float64)


def singles(distortion: Distortion, px: Array, py_x: Array) -> Pools:
    """One pool for each x, of probabilities `px` (n,) and conditionals `py_x` (n, n_y)."""
    features, offsets = distortion.lift(py_x)
    marks = marks_of(distortion, len(px), py_x > 0.0)
    return pools_of(np.ones(len(px)), px, px * offsets, px[:, None] * features, marks)


def face(distortion: Distortion, pools: Pools) -> Mask | None:
    """Where each decoder may be positive, (m, n_y); None where that is everywhere, or the sums tell."""
    if not pools.marks.shape[1]:
        return None
    return np.asarray(pools.marks > 0.5 if distortion.support == "cover" else pools.marks < 0.5)


def distortions_of(distortion: Distortion, pools: Pools) -> Array:
    """``sum_x p(x) d(x, t)`` over the members of each pool, (m,), at least 0; inf where the members share no decoder."""
    if type(distortion) is IB:  # by exact type: a subclass may have another link
        return np.maximum(pools.offsets + xlogx(pools.weights) - xlogx(pools.features).sum(axis=1), 0.0)
    allowed = face(distortion, pools)
    live = pools.counts > 0.0
    finite = live if allowed is None else live & allowed.any(axis=1)
    if not finite.all():
        result = np.where(live, np.inf, 0.0)
        if finite.any():
            result[finite] = distortions_of(distortion, pools.pick(finite))
        return result
    means = pools.features / np.maximum(pools.weights, _LEAST)[:, None]
    with np.errstate(all="ignore"):  # where a heavy x would leave light ones, rounding is all there is to judge by
        values, offset = distortion.link(means) if allowed is None else distortion.link(means, allowed)
        costs = pools.offsets + pools.weights * offset - np.einsum("tk,tk->t", pools.features, values)
    return np.where(np.isnan(costs), np.inf, np.maximum(costs, 0.0))


def xlogx(values: Any) -> Any:
    """``v log v``, 0 at 0 and of what rounding leaves below it."""
    logs = np.maximum(values, _LEAST)
    return np.multiply(np.log(logs, out=logs), values, out=logs)  # one array: it may be large
