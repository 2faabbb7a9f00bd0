"""The tree of merged hard clusters: its dendrogram beside a map of an encoder, and what every number of clusters keeps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import Array, IntArray, Unit
from dualib.plotting.cluster_map import shades
from dualib.plotting.marks import legend_above, log_axis
from dualib.plotting.tree import GREY, INK, PALETTE, new_axes, plain, several_axes
from dualib.results.curve import Curve
from dualib.results.solution import Solution
from dualib.results.status import Status
from dualib.results.units import unit_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from dualib.clusters.agglomerate import Tree

_MOST_NAMED = 60  # x whose labels are written


def plot_dendrogram(
    tree: Tree,
    axes: Sequence[Axes] | None = None,
    *,
    n_clusters: int | None = None,
    solution: Solution | None = None,
    unit: Unit = "nats",
    color: str | None = None,
) -> np.ndarray:
    """The dendrogram of a tree, by the information lost, beside the map of an encoder p(t|x), rows in the order of the leaves.

    Parameters
    ----------
    tree : Tree
    axes : sequence of two Axes, optional
        For the dendrogram and the map, side by side; by default those of a new figure.
    n_clusters : int, optional
        Where the tree is cut: the clusters have colours, and the map shows them. By default as many as the solution has, or about
        sqrt(n_x).
    solution : Solution, optional
        The encoder of the map, in place of the clusters of the tree; of the same x.
    unit : {"nats", "bits"}
        Of the information lost.
    color : colour, optional
        Of the whole dendrogram and of the map.

    Returns
    -------
    ndarray of Axes, shape (2,)

    Raises
    ------
    ValueError
        A solution of another number of x, a wrong number of axes, `n_clusters` out of range.

    Examples
    --------
    >>> import dualib
    >>> tree = dualib.agglomerate(dualib.datasets.toy())
    >>> axes = dualib.plotting.plot_dendrogram(tree, n_clusters=2)
    >>> axes[0].get_xlabel(), axes[1].get_xlabel()
    ('information lost  [nats]', 'cluster t')
    """
    n_x = tree.joint.n_x
    if solution is not None and solution.n_x != n_x:
        raise ValueError(f"solution must be of the {n_x} x of the tree, got one of {solution.n_x}")
    if n_clusters is None:
        n_clusters = round(math.sqrt(n_x)) if solution is None else min(solution.n_clusters, n_x)
    labels = tree.cut(n_clusters)
    encoder = np.eye(n_clusters)[labels] if solution is None else solution.encoder
    width, height = 1.2 + 0.17 * min(max(encoder.shape[1], 3), 40), 1.3 + 0.165 * min(max(n_x, 12), 60)
    left, right = several_axes(axes, 2, figsize=(4.2 + width, height), gridspec_kw={"width_ratios": (4.2, width)})
    leaves, segments = dendrogram_lines(tree.linkage, n_x)
    _draw_dendrogram(left, unit_factor(unit) * segments, _link_colours(tree.linkage, labels, color))
    left.set(xlabel=f"information lost  [{unit}]", ylim=(n_x - 0.5, -0.5), yticks=[])
    _draw_encoder(right, encoder[leaves], color)
    right.set_yticks([])
    if n_x <= _MOST_NAMED:
        right.yaxis.tick_right()
        names = [plain(tree.joint.x_labels[x]) for x in leaves]
        right.set_yticks(range(n_x), names, fontsize=9.0 if n_x <= 30 else 7.0)
    return np.array([left, right])


def plot_relevance(
    tree: Tree,
    ax: Axes | None = None,
    *,
    curve: Curve | None = None,
    solutions: Iterable[Solution] = (),
    unit: Unit = "nats",
    color: str | None = None,
) -> Axes:
    """The relevance I(T;Y) that a tree keeps against the number of clusters K, and the most that any K clusters can keep.

    K clusters, hard or soft, have a rate of at most log K, so that none keep more than the IB curve has there. With the certified
    lower bounds F of a curve, I(T;Y) <= min over its betas of ``I(X;Y) + ( log K - F(beta) ) / beta``.

    Parameters
    ----------
    tree : Tree
    ax : Axes, optional
    curve : Curve, optional
        Of the IB, of the same p(x, y) and without a cap, as `dualib.anneal` makes it. Without one the bound is min(log K, I(X;Y)),
        which is known without any work.
    solutions : iterable of Solution, optional
        Others to compare with, drawn as points: those of `dualib.quantize` at several K, for instance.
    unit : {"nats", "bits"}
    color : colour, optional
        Of the tree's line.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A curve of another problem, with a cap, or without certificates.

    Examples
    --------
    >>> import dualib
    >>> joint = dualib.datasets.toy()
    >>> curve = dualib.anneal(joint, betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_relevance(dualib.agglomerate(joint), curve=curve)
    >>> axes.get_xlabel()
    'clusters  K'
    """
    factor, n_x = unit_factor(unit), tree.joint.n_x
    sizes = np.arange(1, n_x + 1)
    bound, name = relevance_bounds(tree, sizes, curve)
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    few: dict[str, Any] = {"marker": "o", "ms": 3.5} if n_x <= _MOST_NAMED else {}
    ax.plot(sizes, factor * tree.relevance, color=color or PALETTE[0], lw=1.4, label="agglomerated", **few)
    ax.plot(sizes, factor * bound, color=INK, lw=1.0, ls="--", label=name)
    ax.fill_between(sizes, factor * bound, 1.3 * factor * bound[-1], color=GREY, alpha=0.12, lw=0)
    others = np.array([(solution.n_clusters, factor * solution.relevance) for solution in solutions])
    if len(others):
        ax.plot(*others.T, ls="", marker="D", ms=5, mfc="white", mec=PALETTE[1], mew=1.2, label="solutions", zorder=4)
    log_axis(ax, 0.95, 1.05 * n_x)
    ax.set(xlabel="clusters  K", ylabel=f"relevance  I(T;Y)  [{unit}]")
    ax.set_ylim(0.0, 1.05 * factor * max(float(bound[-1]), float(tree.relevance[-1])) or 1.0)
    legend_above(ax, ax.get_legend_handles_labels()[0])
    return ax


def relevance_bounds(tree: Tree, sizes: IntArray, curve: Curve | None) -> tuple[Array, str]:
    """The most I(T;Y), nats, that so many clusters can keep, and how that is known, in words."""
    information = tree.joint.mutual_information
    known = np.minimum(np.log(sizes), information)
    if curve is None:
        return known, "at most min( log K, I(X;Y) )"
    if curve.distortion.name != "ib" or curve.joint != tree.joint:
        raise ValueError("curve must be of the IB and of the p(x, y) of the tree")
    if any(s.status is Status.CAPPED or s.alpha != 1.0 for s in curve):
        raise ValueError("curve must be without a cap on the clusters and of alpha = 1: others bound fewer encoders")
    if not np.isfinite(curve.lower_bound).any():
        raise ValueError("curve must be certified: no solution of it has a finite gap")
    lines = information + (np.log(sizes)[:, None] - curve.lower_bound) / curve.beta
    return np.minimum(known, lines.min(axis=1)), "at most, certified"


def dendrogram_lines(linkage: Array, n: int) -> tuple[IntArray, Array]:
    """The order of the leaves, the first of a pair above, and the three lines of each merger, (n - 1, 4, 2), heights and places."""
    pairs = linkage[:, :2].astype(np.int64)
    leaves, waiting = [], [2 * n - 2]
    while waiting:
        node = waiting.pop()
        if node < n:
            leaves.append(node)
        else:
            waiting += pairs[node - n, ::-1].tolist()
    place, height = np.empty(2 * n - 1), np.zeros(2 * n - 1)
    place[leaves] = np.arange(n)
    height[n:] = linkage[:, 2]
    segments = np.empty((n - 1, 4, 2))
    for i, (first, second) in enumerate(pairs):
        segments[i] = [
            (height[first], place[first]),
            (height[n + i], place[first]),
            (height[n + i], place[second]),
            (height[second], place[second]),
        ]
        place[n + i] = 0.5 * (place[first] + place[second])
    return np.array(leaves, dtype=np.int64), segments


def _link_colours(linkage: Array, labels: IntArray, color: str | None) -> list[str]:
    """That of its cluster of each merger inside one, ink of those that join clusters."""
    n = len(labels)
    cluster = np.append(labels, np.full(n - 1, -1))
    for i, (first, second) in enumerate(linkage[:, :2].astype(int)):
        cluster[n + i] = cluster[first] if cluster[first] == cluster[second] else -1
    return [color or (INK if t < 0 else PALETTE[t % len(PALETTE)]) for t in cluster[n:]]


def _draw_dendrogram(ax: Axes, segments: Array, colours: list[str]) -> None:
    from matplotlib.collections import LineCollection

    width = 1.2 if len(segments) <= _MOST_NAMED else 0.5
    ax.add_collection(LineCollection(list(segments), colors=colours, linewidths=width))
    ax.set_xlim(1.03 * segments[:, :, 0].max(initial=0.0) or 1.0, 0.0)
    for side in ("left", "right", "top"):
        ax.spines[side].set_visible(False)


def _draw_encoder(ax: Axes, rows: Array, color: str | None) -> None:
    """The map, clusters in the order of their members."""
    weights = rows.sum(axis=0)
    middle = np.arange(len(rows)) @ rows / np.where(weights > 0.0, weights, 1.0)
    image = rows[:, np.argsort(middle, kind="stable")]
    ax.imshow(image, cmap=shades(color), vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for edge in range(1, rows.shape[1]):
        ax.axvline(edge - 0.5, color=GREY, lw=0.3)
    ax.set_xticks([])
    ax.set_xlabel("cluster t")
    ax.tick_params(length=0)
