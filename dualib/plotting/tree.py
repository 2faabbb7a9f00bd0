"""The tree of clusters over beta: which cluster comes from which, in what colour, and the drawing of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import Array, IntArray
from dualib.results.curve import Curve
from dualib.results.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
Links = list[tuple[IntArray, npt.NDArray[np.bool_]]]
Point = tuple[float, float]
Stroke = tuple[float, str, list[Point]]  # width in points, colour, points
Colour = str | Sequence[str] | None  # one, several, or the palette

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY = "#222222", "#8A8A8A"
NAMES = {"ib": "IB", "dualib": "dual IB", "dualexpib": "dualExpIB"}
FULL_WIDTH, LEAST_WIDTH = 9.0, 0.7  # line widths in points, of a cluster of weight 1 and of the lightest
_LEADING, _LONGEST = 8.5, 30  # points from one name of a leaf to the next, and characters of it
MANY, THINNEST = 40, 0.3  # clusters above which the lightest are so thin


def with_sides(curve: Curve) -> Curve:
    """The curve with the solutions on both sides of its located events, so that branches reach to where they begin and end."""
    known = {solution.beta: solution for solution in curve}
    for event in curve.events:
        if event.located and event.below is not None and event.above is not None:
            known.setdefault(event.below.beta, event.below)
            beta = max(event.above.beta, event.below.beta * (1.0 + 1e-12))  # at a jump both are at the same beta
            known.setdefault(beta, dataclasses.replace(event.above, beta=beta))
    return Curve(list(known.values()), events=curve.events, onset=curve.onset)


def link(curve: Curve) -> Links:
    """For each step up in beta: the cluster below that each one above comes from, and whether it was born apart."""
    from scipy.optimize import linear_sum_assignment

    links = []
    for below, above in itertools.pairwise(curve):
        cost = _distance(below.decoder, above.decoder) + _distance(members(below), members(above))
        parent = np.argmin(cost, axis=0)
        rows, columns = linear_sum_assignment(cost)  # a cluster goes on as one line; only the surplus can branch off
        parent[columns] = rows
        surplus = np.ones(above.n_clusters, dtype=bool)
        surplus[columns] = False
        kinds = {event.kind for event in curve.events if below.beta <= event.beta <= above.beta}
        links.append((parent, surplus & (kinds == {"appearance"})))
    return links


def members(solution: Solution) -> Array:
    """p(x|t), (n_t, n_x)."""
    joint = (solution.joint.px[:, None] * solution.encoder).T
    total = joint.sum(axis=1, keepdims=True)
    return joint / np.where(total > 0.0, total, 1.0)


def _distance(p: Array, q: Array) -> Array:
    """Squared Hellinger distance of every pair of rows, (m, n)."""
    return np.maximum(1.0 - np.sqrt(p) @ np.sqrt(q).T, 0.0)


def _branch_colours(curve: Curve, links: Links, color: Colour = None) -> list[list[str]]:
    """One colour per cluster and beta: that of its branch where the tree is as wide as the palette, trunks in ink.

    With one `color` that, everywhere; several are the palette.
    """
    if isinstance(color, str):
        return [[color] * n for n in curve.n_clusters]
    palette = PALETTE if color is None else tuple(color)
    divided = np.flatnonzero(curve.n_clusters > 1)
    narrow = divided[curve.n_clusters[divided] <= len(palette)]
    cut = int(narrow[-1] if len(narrow) else divided[0] if len(divided) else 0)
    order = np.argsort(np.argsort(-curve[cut].weights, kind="stable"))
    colours: list[list[str]] = [[] for _ in range(len(curve))]
    colours[cut] = [palette[rank % len(palette)] for rank in order]
    for i in range(cut + 1, len(curve)):
        colours[i] = [colours[i - 1][parent] for parent in links[i - 1][0]]
    for i in range(cut - 1, -1, -1):
        own = [{colours[i + 1][t] for t in np.flatnonzero(links[i][0] == a)} for a in range(curve[i].n_clusters)]
        colours[i] = [colours_of.pop() if len(colours_of) == 1 else INK for colours_of in own]
    return colours


def line_widths(curve: Curve, weights: Array) -> Array:
    """In proportion to the weights, but for a least one, thinner where there are many clusters."""
    return np.maximum(LEAST_WIDTH if curve.n_clusters.max() <= MANY else THINNEST, FULL_WIDTH * weights)


def strokes(curve: Curve, y: int, links: Links, color: Colour = None) -> tuple[list[Stroke], list[list[Point]]]:
    """The tree as strokes, thick ones first, and the ties of clusters born apart: decoder coordinate y against beta."""
    colours = _branch_colours(curve, links, color)
    found: list[Stroke] = []
    going: dict[int, int] = {}  # cluster at the current beta -> its stroke
    ties = []
    for i, (parent, born) in enumerate(links):
        below, above = curve[i], curve[i + 1]
        going_on, going = going, {}
        widths = line_widths(curve, above.weights)
        for t in range(above.n_clusters):
            start = (below.beta, float(below.decoder[parent[t], y]))
            end = (above.beta, float(above.decoder[t, y]))
            if born[t]:
                ties.append([start, end])
                continue
            # Steps of equal width are one stroke, for pieces drawn over each other leave scalloped edges.
            look = (round(float(widths[t]), 1), colours[i + 1][t])
            stroke = going_on.pop(parent[t], -1)
            if stroke < 0 or found[stroke][:2] != look:
                found.append((*look, [start]))
                stroke = len(found) - 1
            found[stroke][2].append(end)
            going[t] = stroke
    return sorted(found, key=lambda stroke: -stroke[0]), ties


def draw_tree(ax: Axes, curve: Curve, y: int, links: Links, color: Colour = None) -> None:
    """Draw every cluster as a line of decoder coordinate y against beta, as wide as its weight."""
    from matplotlib.collections import LineCollection

    drawn, ties = strokes(curve, y, links, color)
    width, colour, points = zip(*drawn, strict=True) if drawn else ((), (), ())
    ax.add_collection(LineCollection(points, linewidths=width, colors=colour, capstyle="round", zorder=2))
    ax.add_collection(LineCollection(ties, linewidths=0.8, colors=GREY, linestyles=":", zorder=1.5))
    last = curve[-1]
    sizes = line_widths(curve, last.weights) ** 2
    colours = _branch_colours(curve, links, color)[-1]
    ax.scatter([last.beta] * last.n_clusters, last.decoder[:, y], sizes, c=colours, lw=0, zorder=2, clip_on=False)
    ax.autoscale_view()
    ax.margins(y=0.06)


def name_leaves(ax: Axes, solution: Solution, y: int) -> None:
    """Name the clusters at the right end by their members; texts are pushed apart and tied to their lines.

    Where there is no room for all, those of the heaviest clusters are there. A cluster that no x is mostly in has no name.
    """
    low, high = ax.get_ylim()
    named = np.unique(np.argmax(solution.encoder, axis=1)[solution.joint.px > 0.0])
    order = named[np.argsort(solution.decoder[named, y], kind="stable")]
    at = (solution.decoder[order, y] - low) / (high - low)
    groups = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > 0.004) + 1)  # closer: one line, one text
    height = 72.0 * ax.get_window_extent().height / ax.figure.dpi  # points
    if len(groups) > max(1, int(height / _LEADING)):
        heavy = np.argsort([-solution.weights[order[group]].sum() for group in groups], kind="stable")
        groups = [groups[i] for i in sorted(heavy[: max(1, int(height / _LEADING))])]
    anchors = np.array([at[group].mean() for group in groups])
    places = spread(anchors, min(_LEADING / height, 1.0 / len(groups)))
    arrow = {"arrowstyle": "-", "lw": 0.4, "color": GREY, "shrinkA": 0, "shrinkB": 0}
    style: dict[str, Any] = {"xycoords": "axes fraction", "va": "center", "fontsize": 7, "arrowprops": arrow}
    for group, anchor, place in zip(groups, anchors, places, strict=True):
        text = ", ".join(member_names(solution, t) for t in order[group])
        text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"
        ax.annotate(text, (1.008, anchor), (1.045, place), textcoords="axes fraction", **style)


def member_names(solution: Solution, t: int, most: int = 5) -> str:
    """The sources that belong to cluster t more than to any other, the surest first."""
    live = (np.argmax(solution.encoder, axis=1) == t) & (solution.joint.px > 0.0)
    inside = [x for x in np.argsort(-solution.encoder[:, t], kind="stable") if live[x]]
    names = [plain(solution.joint.x_labels[x]) for x in inside[:most]] + ["\u2026"] * (len(inside) > most)
    return " ".join(names)


def spread(at: Array, space: float) -> Array:
    """The nearest places in [0, 1] to `at` (ascending) that are at least `space` apart: bounded isotonic regression."""
    steps = space * np.arange(len(at))
    blocks: list[list[float]] = []  # mean, size
    for value in at - steps:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, size = blocks.pop()
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * size) / (blocks[-1][1] + size), blocks[-1][1] + size]
    level = np.concatenate([np.full(int(size), mean) for mean, size in blocks])
    return np.clip(level, 0.0, max(0.0, 1.0 - steps[-1])) + steps


def plain(label: str) -> str:
    """A label that matplotlib shows as it is, cut to a length that fits."""
    return (label if len(label) <= 14 else label[:13] + "\u2026").replace("$", r"\$")


def new_axes(size: tuple[float, float]) -> Axes:
    """The axes of one new figure."""
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def several_axes(axes: Any, count: int, **figure: Any) -> np.ndarray:
    """The axes given, so many, or those of a new figure side by side.

    Raises
    ------
    ValueError
        Another number of axes.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(1, count, layout="constrained", **figure)[1]
    found = np.asarray(axes, dtype=object).ravel()
    if len(found) != count:
        raise ValueError(f"axes must be {'two' if count == 2 else 'three'} Axes, got {len(found)}")
    return found


def distortion_name(result: Curve | Solution) -> str:
    """The distortion's name for labels."""
    return NAMES.get(result.distortion.name, repr(result.distortion))
