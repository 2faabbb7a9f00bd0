"""The best K hard clusters for two y, exactly, by dynamic programming over the sorted x.

For fixed decoders d(x, t) is affine in one number of x: p(y=1|x) for the IB and Bregman divergences, its logit for the dual IB and
exponential families. So each x goes to the decoder of least d by intervals of that number, and the best partition is one into
intervals (Kurkoski and Yagi 2014, for quantisers of channels). The distortion of an interval is a concave function, homogeneous of
degree 1, of sums over it, and the x are sorted by the direction of their summands. Such costs satisfy the quadrangle inequality

    cost(a, c) + cost(b, d) <= cost(a, d) + cost(b, c),      a <= b <= c <= d,

(each is an integral over costs -|l|, l linear, for which it is the convexity of |.|), so the place of the last cut rises with the
end of the prefix, and the cuts of all prefixes are found by divide and conquer: O(n K log n) costs, a whole level of it at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dualib.clusters.pools import Pools, distortions_of, singles, xlogx
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.divergences import Bregman
from dualib.distortions.interface import Array, Distortion

Labels = np.ndarray


def exact(distortion: Distortion, n_y: int) -> bool:
    """Whether the best hard clusters are intervals."""
    from dualib.distortions.exponential import ExponentialFamily

    return n_y == 2 and type(distortion) in (IB, DualIB, Bregman, ExponentialFamily)  # a subclass may have another form


def best_intervals(distortion: Distortion, px: Array, py_x: Array, n_clusters: int) -> Labels:
    """The hard clusters of least expected distortion, at most `n_clusters`, as labels (n,) by rising p(y=1|x).

    Parameters
    ----------
    distortion : Distortion
        One for which `exact` holds.
    px, py_x : (n,), (n, 2)
        Probabilities > 0, and conditionals.

    Raises
    ------
    ValueError
        No clustering of so few clusters is at a finite distortion (dual IB).
    """
    n, (order, pools_between) = len(px), _sorted_sums(distortion, px, py_x)

    def cost(first: np.ndarray, end: np.ndarray) -> Array:
        return distortions_of(distortion, pools_between(first, end))

    best = cost(np.zeros(n, dtype=int), np.arange(1, n + 1))
    cuts = [np.zeros(n, dtype=int)]
    for _ in range(1, min(n_clusters, n)):
        best, cut = _with_one_more(best, cost)
        cuts.append(cut)
    return _labels(cuts, best[-1], n_clusters)[np.argsort(order)]


def best_priced_intervals(distortion: Distortion, px: Array, py_x: Array, price: float, n_clusters: int | None) -> Labels:
    """The hard clusters of least ``price H(T) + E d``, at most `n_clusters` of them (None: any number), as labels (n,).

    For fixed decoders and weights each x goes to the least ``d - price log w``, which are intervals again. With ``- w log w`` costs
    have no quadrangle inequality, so each prefix looks at every place of its last cut: O(n^2) costs, and O(n^2 K) sums of them.

    Raises
    ------
    ValueError
        As of `best_intervals`.
    """
    n, (order, pools_between) = len(px), _sorted_sums(distortion, px, py_x)
    cost = np.full((n, n), np.inf)  # of the cluster of the members from the first index to the second
    for first in range(n):
        pools = pools_between(first, np.arange(first + 1, n + 1))
        cost[first, first:] = distortions_of(distortion, pools) - price * xlogx(pools.weights)
    cuts = []
    before = np.append(0.0, np.full(n, np.inf))  # of the first 0, ..., n members
    if n_clusters is None:
        cuts = [np.zeros(n, dtype=int)]
        for end in range(n):
            total = before[: end + 1] + cost[: end + 1, end]
            cuts[0][end] = int(np.argmin(total))
            before[end + 1] = total[cuts[0][end]]
        cuts *= n  # the same cuts whatever the number of clusters
    else:
        for _ in range(min(n_clusters, n)):
            total = before[:-1, None] + cost
            cut = np.argmin(total, axis=0)
            best = total[cut, np.arange(n)]
            cut = np.where(best < before[1:], cut, np.arange(1, n + 1))  # of fewer clusters: an empty last one
            before = np.append(0.0, np.minimum(best, before[1:]))
            cuts.append(cut)
    return _labels(cuts, before[-1], n_clusters)[np.argsort(order)]


def _sorted_sums(distortion: Distortion, px: Array, py_x: Array) -> tuple[np.ndarray, Callable[[Any, np.ndarray], Pools]]:
    """The x by rising p(y=1|x), and the pools of their intervals, each from a first member to before an end.

    They are differences of sums, in extended precision where the machine has it.
    """
    order = np.argsort(py_x[:, 1], kind="stable")
    ordered = singles(distortion, px[order], py_x[order])
    table = np.concatenate([np.zeros_like(ordered.table[:1]), ordered.table])
    cumulated = np.cumsum(table, axis=0, dtype=np.longdouble)
    return order, lambda first, end: Pools((cumulated[end] - cumulated[first]).astype(np.float64), ordered.k)


def _with_one_more(best: Array, cost: Callable[[np.ndarray, np.ndarray], Array]) -> tuple[Array, np.ndarray]:
    """From the best distortions of the first 1, ..., n members in k clusters those in at most k + 1, and where the last one begins.

    The last cluster of the prefixes that end within ``[low, high)`` begins within ``[low_cut, high_cut]``: the middle one is solved,
    then both halves.
    """
    n = len(best)
    before = np.append(0.0, best)  # of the first 0, ..., n members
    result, cut = best.copy(), np.zeros(n, dtype=int)
    segments = np.array([[0], [n], [0], [n - 1]])
    while segments.size:
        low, high, low_cut, high_cut = segments
        middle = (low + high) // 2
        count = np.minimum(high_cut, middle) - low_cut + 1
        ends = np.cumsum(count)
        starts = ends - count
        first = np.arange(ends[-1]) + np.repeat(low_cut - starts, count)
        total = before[first] + cost(first, np.repeat(middle + 1, count))
        least = np.minimum.reduceat(total, starts)
        ties = np.flatnonzero(total == np.repeat(least, count))
        at = first[ties[np.searchsorted(ties, starts)]]  # the first of equals
        result[middle], cut[middle] = least, at
        halves = np.concatenate([(low, middle, low_cut, at), (middle + 1, high, at, high_cut)], axis=1)
        segments = halves[:, halves[0] < halves[1]]
    return result, cut


def _labels(cuts: list[np.ndarray], least: float, n_clusters: int | None) -> Labels:
    """Labels of the sorted members, from where the last cluster of each prefix begins with 1, 2, ..., K clusters; `least`: E d."""
    if not np.isfinite(least):
        raise ValueError(
            f"n_clusters: no {n_clusters} cluster(s) hold all x at a finite distortion: their supports are disjoint"
        )
    end = len(cuts[0])
    labels = np.zeros(end, dtype=np.int64)
    pieces = []
    for cut in reversed(cuts):
        if end == 0:
            break
        pieces.append((int(cut[end - 1]), end))
        end = int(cut[end - 1])
    for number, (first, last) in enumerate(reversed(pieces)):
        labels[first:last] = number
    return labels
