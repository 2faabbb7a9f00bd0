"""Pools: the sums over the members of hard clusters, which are all that a distortion asks of them.

With the form ``d(x, t) = a(x) + b(t) - <U[x], V[t]>`` a cluster of members x has the expected distortion, not divided by its weight,

    sum_x p(x) d(x, t) = A + w b(M) - <S, V(M)>,      w = sum p(x),  S = sum p(x) U[x],  A = sum p(x) a(x),  M = S / w,

so two clusters are joined by adding their sums. Where p(y|x) has zeros, a pool also knows where its decoder may be positive.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions import Array, Distortion, Mask


class Pools(NamedTuple):
    """Sums of m clusters.

    Attributes
    ----------
    weights, offsets : (m,)
        w and A.
    features : (m, k)
        S.
    zeros, ones : (m, n_y)
        How many members have p(y|x) = 0, and how many have not.
    """

    weights: Array
    offsets: Array
    features: Array
    zeros: Array
    ones: Array

    def __add__(self, other: Pools) -> Pools:  # type: ignore[override]
        return Pools(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def __sub__(self, other: Pools) -> Pools:
        return Pools(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))

    def pick(self, index: np.ndarray) -> Pools:
        """Those of an index array or mask."""
        return Pools(*(values[index] for values in self))


def singles(distortion: Distortion, px: Array, py_x: Array) -> Pools:
    """One pool for each x, of probabilities `px` (n,) and conditionals `py_x` (n, n_y)."""
    features, offsets = distortion.lift(py_x)
    support = py_x > 0.0
    return Pools(px, px * offsets, px[:, None] * features, (~support).astype(np.float64), support.astype(np.float64))


def face(distortion: Distortion, pools: Pools) -> Mask | None:
    """Where each decoder may be positive, (m, n_y); None for a distortion that is always finite."""
    if distortion.support is None:
        return None
    return pools.ones > 0.0 if distortion.support == "cover" else pools.zeros == 0.0


def distortions_of(distortion: Distortion, pools: Pools) -> Array:
    """``sum_x p(x) d(x, t)`` over the members of each pool, (m,), at least 0; inf where the members share no decoder."""
    allowed = face(distortion, pools)
    finite: Mask = np.ones(len(pools.weights), dtype=bool) if allowed is None else np.asarray(allowed.any(axis=1))
    if not finite.all():
        result = np.full(len(finite), np.inf)
        if finite.any():
            result[finite] = distortions_of(distortion, pools.pick(finite))
        return result
    weights = np.maximum(pools.weights, np.finfo(float).tiny)
    means = pools.features / weights[:, None]
    values, offset = distortion.link(means) if allowed is None else distortion.link(means, allowed)
    return np.maximum(pools.offsets + pools.weights * offset - np.einsum("tk,tk->t", pools.features, values), 0.0)
