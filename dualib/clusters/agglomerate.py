"""`agglomerate`: the whole tree of hard clusters, from one x each to a single one (agglomerative IB, Slonim and Tishby 1999)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import validate_integer
from dualib.clusters.pools import Pools, distortions_of, singles
from dualib.clusters.seeds import canonical
from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Distortion
from dualib.distortions.named import as_distortion
from dualib.doors import door
from dualib.joint import check_joint
from dualib.memory import check_fits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dualib.joint import JointDistribution


@dataclass(frozen=True, eq=False, repr=False)
class Tree:
    """The tree of merged clusters.

    Attributes
    ----------
    joint, distortion : JointDistribution, Distortion
        What was clustered.
    linkage : ndarray, shape (n_x - 1, 4)
        As SciPy's: the two clusters joined (an x by its number, the cluster of row i as n_x + i), the information lost so far in
        nats, which never falls, and how many x the new cluster has. ``scipy.cluster.hierarchy.dendrogram`` draws it.
    relevance : ndarray, shape (n_x,)
        I(T;Y), nats, with 1, 2, ..., n_x clusters.
    expected_distortion : ndarray, shape (n_x,)
        The same of E d, in the unit of the distortion.

    Examples
    --------
    >>> import dualib
    >>> tree = dualib.agglomerate(dualib.datasets.toy())
    >>> tree.linkage.shape, tree.cut(2).tolist()
    ((4, 4), [0, 0, 0, 1, 1])
    >>> tree.relevance.round(6)
    array([0.      , 0.094015, 0.111444, 0.118174, 0.122597])
    """

    joint: JointDistribution
    distortion: Distortion
    linkage: Array
    relevance: Array
    expected_distortion: Array

    def cut(self, n_clusters: int) -> npt.NDArray[np.int64]:
        """Labels (n_x,), 0 to `n_clusters` - 1 in the order of their first x, when so many clusters are left.

        Raises
        ------
        ValueError
            `n_clusters` is no whole number from 1 to n_x.
        """
        n_x = self.joint.n_x
        n_clusters = validate_integer("n_clusters", n_clusters, 1)
        if n_clusters > n_x:
            raise ValueError(f"n_clusters must be at most the {n_x} x that are clustered, got {n_clusters}")
        members = np.arange(2 * n_x - 1)
        for step, (first, second) in enumerate(self.linkage[: n_x - n_clusters, :2].astype(int)):
            members[[first, second]] = n_x + step
        for node in range(2 * n_x - 2, -1, -1):  # a node is joined by one of a larger number, whose end is known
            members[node] = members[members[node]]
        return canonical(members[:n_x])

    def plot(self, axes: Sequence[Axes] | None = None, **options: Any) -> np.ndarray:
        """The dendrogram beside the map of an encoder; see `dualib.plotting.plot_dendrogram`."""
        from dualib.plotting.hierarchy import plot_dendrogram

        return plot_dendrogram(self, axes, **options)

    def plot_relevance(self, ax: Axes | None = None, **options: Any) -> Axes:
        """The relevance against the number of clusters, and a bound above; see `dualib.plotting.plot_relevance`."""
        from dualib.plotting.hierarchy import plot_relevance

        return plot_relevance(self, ax, **options)

    def __repr__(self) -> str:
        return (
            f"<Tree of {self.joint.n_x} x, {self.distortion!r}: {self.relevance[-1]:.6g} nats of relevance with one cluster each, "
            f"{self.relevance[min(2, len(self.relevance)) - 1]:.6g} with two>"
        )


@door
def agglomerate(joint: JointDistribution, distortion: str | Distortion = "ib") -> Tree:
    """Join hard clusters two by two, each time those that raise the expected distortion least.

    Joining i and j raises ``E d`` by ``sum_x p(x) d(x, r)`` over both their members less the same of each, r being the new
    decoder; for the IB this is the information lost, ``(w_i + w_j)`` times the Jensen-Shannon divergence of both decoders.

    Parameters
    ----------
    joint : JointDistribution
        p(x, y), (n_x, n_y). An x of probability 0 joins the x of nearest conditional, at no cost.
    distortion : "ib", "dualib" or Distortion

    Returns
    -------
    Tree
        Greedy: good at large numbers of clusters, not optimal at small ones (`dualib.quantize` is better there).

    Raises
    ------
    ValueError
        The dual IB of conditionals with disjoint supports, which no cluster can hold together; a rate-distortion matrix, whose
        columns have no centroids.
    MemoryError
        A dense n_x by n_x table does not fit.

    Examples
    --------
    >>> import dualib
    >>> tree = dualib.agglomerate(dualib.datasets.toy())
    >>> tree.cut(2).tolist(), tree.linkage.shape
    ([0, 0, 0, 1, 1], (4, 4))
    """
    check_joint("joint", joint)
    distortion = as_distortion(distortion)
    if distortion.fixed_atoms:
        raise ValueError(f"distortion {distortion!r} has fixed columns: clusters cannot be joined into a common centroid")
    check_fits(joint.n_x, max(joint.n_x, joint.n_y), "the table of all pairs of x")
    py_x = joint.py_x.toarray() if joint.is_sparse else joint.py_x
    first, second, raised = _merged(distortion, singles(distortion, joint.px, py_x))
    lost = _information_lost(joint.px, py_x, first, second)
    n_x = joint.n_x
    relevance = np.append(0.0, np.cumsum(lost[::-1]))
    size = np.ones(2 * n_x - 1)
    for step in range(n_x - 1):
        size[n_x + step] = size[first[step]] + size[second[step]]
    linkage = np.stack([first, second, np.cumsum(lost), size[n_x:]], axis=1) if n_x > 1 else np.empty((0, 4))
    return Tree(joint, distortion, linkage, relevance, np.append(0.0, np.cumsum(raised))[::-1])


def _merged(distortion: Distortion, pools: Pools) -> tuple[np.ndarray, np.ndarray, Array]:
    """Which nodes are joined at each step, the smaller number first, and by how much the distortion rises."""
    n = len(pools.weights)
    pools = Pools(pools.table.copy(), pools.k)
    own = distortions_of(distortion, pools)  # of each cluster alone
    node, alive = np.arange(n), np.ones(n, dtype=bool)
    cost = np.full((n, n), np.inf)
    for i in range(n - 1):
        cost[i, i + 1 :] = _raised(distortion, pools, own, i, np.arange(i + 1, n))
    cost = np.minimum(cost, cost.T)
    nearest = np.argmin(cost, axis=1)
    first, second, raised = np.empty(n - 1, dtype=int), np.empty(n - 1, dtype=int), np.empty(n - 1)
    for step in range(n - 1):
        least = cost[np.arange(n), nearest]
        i = int(np.argmin(least))
        j = int(nearest[i])
        if not np.isfinite(least[i]):
            raise ValueError(
                f"distortion {distortion!r}: {n - step} clusters are left whose conditionals have disjoint supports, so that no "
                "cluster can hold two of them; smooth the table, or use distortion='ib'"
            )
        i, j = min(i, j), max(i, j)
        first[step], second[step], raised[step] = min(node[i], node[j]), max(node[i], node[j]), least[i]
        pools.table[i] += pools.table[j]
        own[i], node[i], alive[j] = distortions_of(distortion, pools.pick(np.array([i])))[0], n + step, False
        others = np.flatnonzero(alive)
        others = others[others != i]
        cost[j], cost[:, j] = np.inf, np.inf
        cost[i, others] = cost[others, i] = _raised(distortion, pools, own, i, others)
        stale = alive & ((nearest == i) | (nearest == j))
        closer = alive & (cost[:, i] < cost[np.arange(n), nearest])
        nearest[closer] = i
        stale[i] = True
        nearest[stale] = np.argmin(cost[stale], axis=1)
    return first, second, raised


def _raised(distortion: Distortion, pools: Pools, own: Array, i: int, others: np.ndarray) -> Array:
    """By how much the distortion rises when cluster i joins each of the others; of clusters of no weight by less than any other."""
    both = Pools(pools.table[others] + pools.table[i], pools.k)
    return np.asarray(np.maximum(distortions_of(distortion, both) - own[i] - own[others], 0.0))


def _information_lost(px: Array, py_x: Array, first: np.ndarray, second: np.ndarray) -> Array:
    """By how much I(T;Y) falls at each step, nats: the distortion of the IB, whatever the clusters were made for."""
    ib = IB()
    n = len(px)
    alone = singles(ib, px, py_x)
    table = np.concatenate([alone.table, np.zeros((n - 1, alone.table.shape[1]))])
    for step in range(n - 1):
        table[n + step] = table[first[step]] + table[second[step]]
    own = distortions_of(ib, Pools(table, alone.k))
    return np.asarray(np.maximum(own[n:] - own[first] - own[second], 0.0))
