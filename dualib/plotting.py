"""Pictures of curves and solutions: axes in, axes out.

Each function draws on the `ax` it is given, or makes one new figure when it is given none, and returns the Axes.
Matplotlib is imported at the first call. The colours are those of Okabe and Ito, which any colour vision tells apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.results import EVENT_KINDS, Curve, Solution, Unit, unit_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Links = list[tuple[IntArray, npt.NDArray[np.bool_]]]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY = "#222222", "#8A8A8A"
NAMES = {"ib": "IB", "dualib": "dual IB", "dualexpib": "dualExpIB"}
MARKERS = {"appearance": "o", "split": "D", "jump": "s"}
FULL_WIDTH, LEAST_WIDTH = 9.0, 0.7  # line widths in points, of a cluster of weight 1 and of the lightest


def plot_information_plane(
    curves: Curve | Sequence[Curve] | Mapping[str, Curve],
    ax: Axes | None = None,
    *,
    unit: Unit = "nats",
    show_bound: bool = True,
    mark_events: bool = True,
) -> Axes:
    """Relevance I(T;Y) against rate I(X;T): what each problem keeps of Y for what it keeps of X.

    Parameters
    ----------
    curves : Curve, sequence of Curve, or mapping of label to Curve
        All on one pair of axes, so that they compare at equal rate.
    ax : Axes, optional
    unit : {"nats", "bits"}
    show_bound : bool
        Draw I(X;Y), above which no representation can be, and the data-processing limit I(T;Y) = I(X;T).
    mark_events : bool
        A marker at each event; the straight piece of a jump is a dashed segment in any case.

    Returns
    -------
    Axes
    """
    labelled = _labelled(curves)
    factor = unit_factor(unit)
    ax = _new_axes((6.4, 4.4)) if ax is None else ax
    for number, (label, curve) in enumerate(labelled.items()):
        style = {"color": PALETTE[number % len(PALETTE)], "lw": max(1.2, 3.2 - 1.6 * number)}  # the last lies on top
        _draw_curve(ax, curve, label, style, factor, mark_events)
    most = factor * max(curve.joint.mutual_information for curve in labelled.values())
    right = 1.04 * factor * max(float(curve.rate.max()) for curve in labelled.values())
    right, top = right or 1.0, 1.14 * most or 1.0
    if show_bound:
        _draw_bounds(ax, {factor * curve.joint.mutual_information for curve in labelled.values()}, unit, right, top)
    ax.set(xlim=(-0.02 * right, right), ylim=(-0.03 * top, top))
    ax.set(xlabel=f"rate  I(X;T)  [{unit}]", ylabel=f"relevance  I(T;Y)  [{unit}]")
    handles = ax.get_legend_handles_labels()[0] + _event_handles(labelled.values() if mark_events else ())
    ax.legend(handles=handles, loc="lower right", frameon=False)
    return ax


def plot_bifurcations(
    curve: Curve,
    ax: Axes | None = None,
    *,
    y_index: int | None = None,
    mark_events: bool = True,
    label_clusters: bool = True,
    legend: bool = True,
) -> Axes:
    """The tree of clusters: a decoder coordinate p(y|t) of each against beta, line width in proportion to p(t).

    Lines are linked from each beta to the next by nearest decoder and encoder, and branch where a cluster splits. A
    cluster born away from the others is tied to the nearest by a dotted line. Colours follow the main branches.

    Parameters
    ----------
    curve : Curve
    ax : Axes, optional
    y_index : int, optional
        Column of the decoder; by default the one that varies most between the clusters.
    mark_events : bool
        A thin vertical line at the beta of each event, with a marker for its kind.
    label_clusters : bool
        Name the clusters at the largest beta by their members.
    legend : bool

    Returns
    -------
    Axes
    """
    column = _checked_column(curve, int(_varying_columns(curve)[0]) if y_index is None else y_index)
    ax = _new_axes((7.2, 4.6)) if ax is None else ax
    _draw_tree(ax, curve, column, _link(curve))
    low, high = curve.beta[0], curve.beta[-1]
    _log_beta_axis(ax, low, high if high > low else 1.01 * low)
    ax.set(xlabel="beta", ylabel=f"decoder  p({_column_name(curve, column)} | t)")
    if mark_events:
        for event in curve.events:
            ax.axvline(event.beta, color=GREY, lw=0.5, alpha=0.5, zorder=0.5)
            top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4}
            ax.plot([event.beta], [1.0], MARKERS[event.kind], ms=4, mfc="white", mec=INK, mew=0.8, **top)
    if label_clusters and curve.n_clusters[-1] <= 40:
        _name_leaves(ax, curve[-1], column)
    if legend:
        handles = _width_handles() + _event_handles([curve] if mark_events else ())
        ax.legend(handles=handles, loc="best", fontsize=8, framealpha=0.85)
    return ax


def plot_bifurcation_grid(curve: Curve, y_indices: Iterable[int] | None = None, *, columns: int = 3) -> np.ndarray:
    """`plot_bifurcations` for several y as small multiples in a new figure; by default the six that vary most.

    Returns
    -------
    ndarray of Axes, shape (rows, columns)
        Unused places are invisible.
    """
    import matplotlib.pyplot as plt

    chosen = [int(y) for y in (_varying_columns(curve)[:6] if y_indices is None else y_indices)]
    if not chosen or columns < 1:
        raise ValueError(f"y_indices and columns must ask for at least one picture, got {chosen!r} and {columns!r}")
    columns = min(columns, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 2.7 * rows), squeeze=False, sharex=True, layout="constrained"
    )
    for place, (ax, y) in enumerate(itertools.zip_longest(axes.flat, chosen)):
        if y is None:
            ax.set_visible(False)
            continue
        plot_bifurcations(curve, ax=ax, y_index=y, label_clusters=False, legend=False)
        ax.set_xlabel("beta" if place + columns >= len(chosen) else "")
        ax.xaxis.set_tick_params(labelbottom=place + columns >= len(chosen))
    handles = _width_handles() + _event_handles([curve])
    figure.legend(handles=handles, loc="outside upper left" if _has_outside() else "upper left", ncols=6, frameon=False)
    return np.asarray(axes)


def plot_clusters(
    result: Solution | Curve, ax: Axes | None = None, *, beta: float | None = None, colorbar: bool = True
) -> Axes:
    """The encoder p(t|x) as a map, x down and clusters across, sorted so that the members of a cluster stand together.

    Parameters
    ----------
    result : Solution or Curve
        Of a curve, the solution nearest to `beta`; by default where exp H(T) is about sqrt(n_x).
    ax : Axes, optional
    beta : float, optional
        Only with a Curve.
    colorbar : bool

    Returns
    -------
    Axes
        Its ticks name the sources (up to 60 of them) and the weights p(t) of the clusters.
    """
    solution = _chosen(result, beta)
    ax = _new_axes(_map_size(solution)) if ax is None else ax
    image = _draw_map(ax, solution)
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="p(t|x)", shrink=0.6, ticks=[0.0, 0.5, 1.0])
    return ax


def plot_clusters_grid(curve: Curve, betas: Iterable[float] | None = None) -> np.ndarray:
    """`plot_clusters` at several betas side by side in a new figure.

    Parameters
    ----------
    curve : Curve
    betas : iterable of float, optional
        The nearest solutions are drawn; by default three, where exp H(T) is about 3, sqrt(n_x), 2 sqrt(n_x).

    Returns
    -------
    ndarray of Axes, shape (n,)
    """
    import matplotlib.pyplot as plt

    root = math.sqrt(curve.joint.n_x)
    if betas is None:
        betas = sorted({_coarse(curve, clusters).beta for clusters in (3.0, root, 2.0 * root)})
    solutions = [curve.nearest(beta) for beta in betas]
    if not solutions:
        raise ValueError("betas must hold at least one beta, got none")
    sizes = [_map_size(solution) for solution in solutions]
    widths = [width for width, _ in sizes]
    figure, axes = plt.subplots(
        *(1, len(solutions)),
        figsize=(sum(widths), max(height for _, height in sizes)),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"width_ratios": widths},
    )
    images = [_draw_map(ax, solution) for ax, solution in zip(axes[0], solutions, strict=True)]
    for ax in axes[0, 1:]:
        ax.set_ylabel("")
    figure.colorbar(images[-1], ax=axes[0, -1], label="p(t|x)", shrink=0.6, ticks=[0.0, 0.5, 1.0])
    return np.asarray(axes[0])


def _new_axes(size: tuple[float, float]) -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def _has_outside() -> bool:
    """Whether figure legends know the places "outside ..." (matplotlib 3.7)."""
    import matplotlib

    return tuple(int(part) for part in matplotlib.__version__.split(".")[:2]) >= (3, 7)


def _labelled(curves: Curve | Sequence[Curve] | Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves by label; those of one distortion are numbered."""
    found = list(curves.values()) if isinstance(curves, Mapping) else [curves] if isinstance(curves, Curve) else curves
    if not isinstance(found, Sequence) or not found or not all(isinstance(curve, Curve) for curve in found):
        raise TypeError(f"curves must be a Curve, a sequence of them or a mapping of label to Curve, got {curves!r}")
    if isinstance(curves, Mapping):
        return dict(curves)
    labelled: dict[str, Curve] = {}
    for curve in found:
        name = _name(curve)
        taken = sum(label.split(" #")[0] == name for label in labelled)
        labelled[f"{name} #{taken + 1}" if taken else name] = curve
    return labelled


def _name(result: Curve | Solution) -> str:
    return NAMES.get(result.distortion.name, repr(result.distortion))


def _draw_curve(ax: Axes, curve: Curve, label: str, line: dict[str, Any], factor: float, mark_events: bool) -> None:
    rate, relevance = factor * curve.rate, factor * curve.relevance
    jumps = sorted({_interval(curve, e.beta) for e in curve.events if e.kind == "jump"}) if len(curve) > 1 else []
    for start, stop in itertools.pairwise([-1, *jumps, len(curve) - 1]):
        part = slice(start + 1, stop + 1)
        ax.plot(rate[part], relevance[part], label=label if start < 0 else "_", zorder=3, **line)
    for k in jumps:
        ax.plot(rate[k : k + 2], relevance[k : k + 2], ls=(0, (3, 1)), zorder=3, **line)
    if len(curve) == 1:
        ax.plot(rate, relevance, ".", color=line["color"], zorder=3)
    for event in curve.events if mark_events else ():
        style: dict[str, Any] = {"ms": 4.5, "mfc": "white", "mec": line["color"], "mew": 1.0, "zorder": 4}
        if event.kind == "jump" and len(curve) > 1:
            k = _interval(curve, event.beta)
            ax.plot(rate[k : k + 2], relevance[k : k + 2], MARKERS["jump"], **style)
        else:
            at = [np.interp(np.log(event.beta), np.log(curve.beta), values) for values in (rate, relevance)]
            ax.plot(at[:1], at[1:], MARKERS[event.kind], **style)


def _interval(curve: Curve, beta: float) -> int:
    """The k of the interval (beta_k, beta_k+1) with `beta`; at a grid point, the side where the rate moves more."""
    left = int(np.clip(np.searchsorted(curve.beta, beta) - 1, 0, len(curve) - 2))
    if left + 1 < len(curve) - 1 and curve.beta[left + 1] == beta:
        step = np.abs(np.diff(curve.rate[left : left + 3]))
        return left + int(step[1] > step[0])
    return left


def _draw_bounds(ax: Axes, bounds: set[float], unit: str, right: float, top: float) -> None:
    diagonal = [0.0, min(right, top)]
    ax.plot(diagonal, diagonal, color=GREY, lw=1.0, ls=":", zorder=1, label="I(T;Y) = I(X;T)")
    highest = max(bounds)
    corners = [0.0, highest, max(right, highest)]
    ax.fill_between(corners, [0.0, highest, highest], top, color=GREY, alpha=0.12, lw=0, zorder=0)
    style: dict[str, Any] = {"color": INK, "fontsize": 8}
    for bound in sorted(bounds):
        ax.axhline(bound, color=INK, lw=1.0, ls="--", zorder=1)
        ax.text(0.985 * right, bound + 0.015 * top, f"I(X;Y) = {bound:.4g} {unit}", ha="right", va="bottom", **style)


def _event_handles(curves: Iterable[Curve]) -> list[Any]:
    from matplotlib.lines import Line2D

    kinds = {event.kind for curve in curves for event in curve.events}
    style: dict[str, Any] = {"ls": "", "mfc": "white", "mec": INK, "ms": 4.5}
    return [Line2D([], [], marker=MARKERS[kind], label=kind, **style) for kind in EVENT_KINDS if kind in kinds]


def _width_handles() -> list[Any]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=GREY, lw=FULL_WIDTH * w, label=f"p(t) = {w:g}") for w in (1.0, 0.3, 0.1)]


def _log_beta_axis(ax: Axes, low: float, high: float) -> None:
    """A log axis with ticks that read as plain numbers, however short or long it is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    ax.set_xscale("log")
    ax.set_xlim(low, high)
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    ax.xaxis.set_major_locator(MaxNLocator(5) if decades < 0.7 else LogLocator(10.0, subs=subs, numticks=15))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _column_name(curve: Curve, column: int) -> str:
    """What a column of the decoder stands for: a value of y, or a column of a rate-distortion matrix."""
    fixed = curve.distortion.fixed_atoms or curve[0].decoder.shape[1] != curve.joint.n_y
    return f"column {column}" if fixed else f"y = {_plain(curve.joint.y_labels[column])}"


def _checked_column(curve: Curve, y_index: int) -> int:
    width = curve[0].decoder.shape[1]
    if isinstance(y_index, bool) or not isinstance(y_index, (int, np.integer)) or not 0 <= y_index < width:
        raise ValueError(f"y_index must be an integer from 0 to {width - 1}, got {y_index!r}")
    return int(y_index)


def _varying_columns(curve: Curve) -> IntArray:
    """Decoder columns, the one of largest variance between the clusters at the largest beta first."""
    last = curve[-1]
    centred = last.decoder - last.weights @ last.decoder
    return np.argsort(-(last.weights @ centred**2), kind="stable")


def _link(curve: Curve) -> Links:
    """For each step up in beta: the cluster below that each one above comes from, and whether it was born apart."""
    from scipy.optimize import linear_sum_assignment

    links = []
    for below, above in itertools.pairwise(curve):
        cost = _distance(below.decoder, above.decoder) + _distance(_members(below), _members(above))
        parent = np.argmin(cost, axis=0)
        rows, columns = linear_sum_assignment(cost)  # a cluster goes on as one line; only the surplus can branch off
        parent[columns] = rows
        surplus = np.ones(above.n_clusters, dtype=bool)
        surplus[columns] = False
        kinds = {event.kind for event in curve.events if below.beta <= event.beta <= above.beta}
        links.append((parent, surplus & (kinds == {"appearance"})))
    return links


def _members(solution: Solution) -> Array:
    """p(x|t), (n_t, n_x)."""
    joint = (solution.joint.px[:, None] * solution.encoder).T
    total = joint.sum(axis=1, keepdims=True)
    return joint / np.where(total > 0.0, total, 1.0)


def _distance(p: Array, q: Array) -> Array:
    """Squared Hellinger distance of every pair of rows, (m, n)."""
    return np.maximum(1.0 - np.sqrt(p) @ np.sqrt(q).T, 0.0)


def _branch_colours(curve: Curve, links: Links) -> list[list[str]]:
    """One colour per cluster and beta: that of its branch where the tree is as wide as the palette, trunks in ink."""
    cut = int(np.flatnonzero(curve.n_clusters <= len(PALETTE))[-1]) if min(curve.n_clusters) <= len(PALETTE) else 0
    order = np.argsort(np.argsort(-curve[cut].weights, kind="stable"))
    colours: list[list[str]] = [[] for _ in range(len(curve))]
    colours[cut] = [PALETTE[rank % len(PALETTE)] for rank in order]
    for i in range(cut + 1, len(curve)):
        colours[i] = [colours[i - 1][parent] for parent in links[i - 1][0]]
    for i in range(cut - 1, -1, -1):
        own = [{colours[i + 1][t] for t in np.flatnonzero(links[i][0] == a)} for a in range(curve[i].n_clusters)]
        colours[i] = [colours_of.pop() if len(colours_of) == 1 else INK for colours_of in own]
    return colours


def _draw_tree(ax: Axes, curve: Curve, y: int, links: Links) -> None:
    from matplotlib.collections import LineCollection

    colours = _branch_colours(curve, links)
    strokes: list[tuple[float, str, list[tuple[float, float]]]] = []  # width, colour, points
    open_strokes: dict[int, int] = {}  # cluster at the current beta -> its stroke
    ties = []
    for i, (parent, born) in enumerate(links):
        below, above = curve[i], curve[i + 1]
        going_on, open_strokes = open_strokes, {}
        for t in range(above.n_clusters):
            start, end = (below.beta, below.decoder[parent[t], y]), (above.beta, above.decoder[t, y])
            if born[t]:
                ties.append([start, end])
                continue
            # Steps of equal width are one stroke, for pieces drawn over each other leave scalloped edges.
            look = (round(max(LEAST_WIDTH, FULL_WIDTH * above.weights[t]), 1), colours[i + 1][t])
            stroke = going_on.pop(parent[t], -1)
            if stroke < 0 or strokes[stroke][:2] != look:
                strokes.append((*look, [start]))
                stroke = len(strokes) - 1
            strokes[stroke][2].append(end)
            open_strokes[t] = stroke
    strokes.sort(key=lambda stroke: -stroke[0])  # thin lines on top of thick ones
    width, colour, points = zip(*strokes, strict=True) if strokes else ((), (), ())
    ax.add_collection(LineCollection(points, linewidths=width, colors=colour, capstyle="round", zorder=2))
    ax.add_collection(LineCollection(ties, linewidths=0.8, colors=GREY, linestyles=":", zorder=1.5))
    last = curve[-1]
    sizes = np.maximum(LEAST_WIDTH, FULL_WIDTH * last.weights) ** 2
    ax.scatter([last.beta] * last.n_clusters, last.decoder[:, y], sizes, c=colours[-1], lw=0, zorder=2, clip_on=False)
    ax.autoscale_view()
    ax.margins(y=0.06)


def _name_leaves(ax: Axes, solution: Solution, y: int) -> None:
    """Name the clusters at the right end by their members; texts are pushed apart and tied to their lines."""
    low, high = ax.get_ylim()
    order = np.argsort(solution.decoder[:, y], kind="stable")
    at = (solution.decoder[order, y] - low) / (high - low)
    groups = np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) > 0.004) + 1)  # closer: one line, one text
    height = 72.0 * ax.get_window_extent().height / ax.figure.dpi  # points
    anchors = np.array([at[group].mean() for group in groups])
    places = _spread(anchors, min(8.5 / height, 1.0 / len(groups)))
    arrow = {"arrowstyle": "-", "lw": 0.4, "color": GREY, "shrinkA": 0, "shrinkB": 0}
    style: dict[str, Any] = {"xycoords": "axes fraction", "va": "center", "fontsize": 7, "arrowprops": arrow}
    for group, anchor, place in zip(groups, anchors, places, strict=True):
        text = ", ".join(filter(None, (_member_names(solution, t) for t in order[group])))
        ax.annotate(text, (1.008, anchor), (1.045, place), textcoords="axes fraction", **style)


def _member_names(solution: Solution, t: int, most: int = 5) -> str:
    """The sources that belong to cluster t more than to any other, the surest first."""
    live = (np.argmax(solution.encoder, axis=1) == t) & (solution.joint.px > 0.0)
    inside = [x for x in np.argsort(-solution.encoder[:, t], kind="stable") if live[x]]
    names = [_plain(solution.joint.x_labels[x]) for x in inside[:most]] + ["\u2026"] * (len(inside) > most)
    return " ".join(names)


def _spread(at: Array, space: float) -> Array:
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


def _plain(label: str) -> str:
    """A label that matplotlib shows as it is, cut to a length that fits."""
    return (label if len(label) <= 14 else label[:13] + "\u2026").replace("$", r"\$")


def _coarse(curve: Curve, clusters: float) -> Solution:
    """The solution whose effective number of clusters, exp H(T), is nearest in ratio to `clusters`."""
    effective = np.array([s.effective_clusters for s in curve])
    return curve[int(np.argmin(np.abs(np.log(effective / clusters))))]


def _chosen(result: Solution | Curve, beta: float | None) -> Solution:
    if isinstance(result, Solution):
        if beta is not None:
            raise ValueError(f"beta is for a Curve only; this Solution has beta = {result.beta!r}, got {beta!r}")
        return result
    if not isinstance(result, Curve):
        raise TypeError(f"result must be a Solution or a Curve, got {type(result).__name__}")
    return _coarse(result, math.sqrt(result.joint.n_x)) if beta is None else result.nearest(beta)


def _map_size(solution: Solution) -> tuple[float, float]:
    return 1.7 + 0.17 * min(max(solution.n_clusters, 3), 40), 1.3 + 0.165 * min(max(solution.n_x, 8), 60)


def _draw_map(ax: Axes, solution: Solution) -> Any:
    """Clusters in the order of their first principal component, sources under the cluster each mostly belongs to."""
    clusters = _seriate(solution)
    encoder = solution.encoder[:, clusters]
    home = np.argmax(encoder, axis=1)
    order = np.lexsort((-encoder[np.arange(solution.n_x), home], home))
    image = ax.imshow(encoder[order], cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
    for row in np.flatnonzero(np.diff(home[order])):
        ax.axhline(row + 0.5, color=GREY, lw=0.6)
    for edge in range(1, solution.n_clusters):
        ax.axvline(edge - 0.5, color=GREY, lw=0.3)
    size = 9.0 if solution.n_x <= 30 else 7.0
    if solution.n_x <= 60:
        ax.set_yticks(range(solution.n_x), [_plain(solution.joint.x_labels[x]) for x in order], fontsize=size)
        ax.set_ylabel("x")
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"x  ({solution.n_x} states, sorted by cluster)")
    if solution.n_clusters <= 40:
        weights = [f"{weight:.2f}" if weight >= 0.005 else "<.01" for weight in solution.weights[clusters]]
        ax.set_xticks(range(solution.n_clusters), weights, rotation=90, fontsize=8.0)
    else:
        ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel("cluster t, with p(t)")
    ax.set_title(f"{_name(solution)}, beta = {solution.beta:.4g}", fontsize=10)
    return image


def _seriate(solution: Solution) -> IntArray:
    """Order of the clusters along the first principal component of their p(y|t)."""
    conditionals = np.asarray(_members(solution) @ solution.joint.py_x)
    centred = np.sqrt(solution.weights)[:, None] * (conditionals - solution.weights @ conditionals)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])  # a sign of its own, so that pictures at two betas agree
    return np.argsort(conditionals @ axis, kind="stable")
