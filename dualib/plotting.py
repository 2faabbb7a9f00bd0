"""Pictures of curves and solutions: axes in, axes out.

Each function draws on the `ax` it is given, or makes one new figure when it is given none, and returns the Axes.
Matplotlib is imported at the first call. The colours are those of Okabe and Ito, which any colour vision tells apart.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib._validation import shown
from dualib.cluster_map import plot_clusters, plot_clusters_grid
from dualib.path.onset import local_critical_beta
from dualib.results import EVENT_KINDS, Curve, Event, Solution, Unit, distortion_factor, unit_factor
from dualib.tree import (
    FULL_WIDTH,
    GREY,
    INK,
    PALETTE,
    distortion_name,
    draw_tree,
    emptiest_corner,
    link,
    name_leaves,
    new_axes,
    plain,
    with_sides,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "plot_bifurcation_grid",
    "plot_bifurcations",
    "plot_clusters",
    "plot_clusters_grid",
    "plot_information_plane",
    "plot_rate_distortion",
    "plot_stability",
]

Array = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Quantity = Callable[[Solution], float]

MARKERS = {"appearance": "o", "split": "D", "jump": "s"}


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
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    for number, (label, curve) in enumerate(labelled.items()):
        style = {"color": PALETTE[number % len(PALETTE)], "lw": max(1.2, 3.2 - 1.6 * number)}  # the last lies on top
        _draw_curve(ax, curve, label, style, _scaled("rate", factor), _scaled("relevance", factor), mark_events)
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
    show_onset: bool = True,
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
    show_onset : bool
        The one-cluster solution goes on as a dashed line where it has ceased to be optimal, and the textbook's local critical
        beta is marked on it: from the onset to there an annealer that perturbs and follows is stuck.

    Returns
    -------
    Axes
    """
    column = _checked_column(curve, int(_varying_columns(curve)[0]) if y_index is None else y_index)
    ax = new_axes((7.2, 4.6)) if ax is None else ax
    whole = with_sides(curve)
    draw_tree(ax, whole, column, link(whole))
    low, high = curve.beta[0], curve.beta[-1]
    _log_beta_axis(ax, low, high if high > low else 1.01 * low)
    onset_handles = _draw_trivial(ax, curve, column) if show_onset else []
    ax.set(xlabel="beta", ylabel=f"decoder  p({_column_name(curve, column)} | t)")
    if mark_events:
        _mark_events(ax, curve)
    if label_clusters and curve.n_clusters[-1] <= 40:
        name_leaves(ax, curve[-1], column)
    if legend:
        handles = _width_handles() + _event_handles([curve] if mark_events else ()) + onset_handles
        ax.legend(handles=handles, loc=emptiest_corner(ax, curve, column), fontsize=8, framealpha=0.85)
    return ax


def plot_rate_distortion(
    curves: Curve | Sequence[Curve] | Mapping[str, Curve],
    ax: Axes | None = None,
    *,
    unit: Unit = "nats",
    mark_events: bool = True,
) -> Axes:
    """Each problem's rate against its own expected distortion: the curve that is convex and falls, whatever the distortion.

    Parameters
    ----------
    curves : Curve, sequence of Curve, or mapping of label to Curve
    ax : Axes, optional
    unit : {"nats", "bits"}
        Of the rate, and of the distortion where that is an information.
    mark_events : bool

    Returns
    -------
    Axes
    """
    labelled = _labelled(curves)
    factor = unit_factor(unit)
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    for number, (label, curve) in enumerate(labelled.items()):
        scale = distortion_factor(curve.distortion, unit)
        style = {"color": PALETTE[number % len(PALETTE)], "lw": max(1.2, 3.2 - 1.6 * number)}
        _draw_curve(ax, curve, label, style, _scaled("expected_distortion", scale), _scaled("rate", factor), mark_events)
    in_unit = f"  [{unit}]" if all(distortion_factor(c.distortion, "bits") != 1.0 for c in labelled.values()) else ""
    ax.set(xlabel=f"expected distortion  E d{in_unit}", ylabel=f"rate  I(X;T)  [{unit}]")
    ax.set_xlim(left=0.0)
    ax.set_ylim(bottom=0.0)
    handles = ax.get_legend_handles_labels()[0] + _event_handles(labelled.values() if mark_events else ())
    ax.legend(handles=handles, loc="upper right", frameon=False)
    return ax


def plot_stability(curve: Curve, ax: Axes | None = None, *, mark_events: bool = True) -> Axes:
    """The stability numbers beta lambda_max of all clusters against beta: one splits where its number reaches 1.

    Parameters
    ----------
    curve : Curve
    ax : Axes, optional
    mark_events : bool
        A thin vertical line at each event. A cluster born at a distance needs no number at 1.

    Returns
    -------
    Axes
    """
    ax = new_axes((7.2, 4.2)) if ax is None else ax
    low, high = curve.beta[0], curve.beta[-1]
    _log_beta_axis(ax, low, high if high > low else 1.01 * low)
    solutions = sorted([*curve, *(e.below for e in curve.events if e.below is not None)], key=lambda s: s.beta)
    beta = np.concatenate([np.full(s.n_clusters, s.beta) for s in solutions])
    weights = np.concatenate([s.weights for s in solutions])
    numbers = np.concatenate([s.stability for s in solutions])
    ax.scatter(beta, numbers, 4.0 + 40.0 * weights, color=PALETTE[0], alpha=0.7, lw=0, label="clusters, area by p(t)")
    ax.axhline(1.0, color=INK, lw=1.0, ls="--", label="1: splits here")
    if mark_events:
        _mark_events(ax, curve)
    ax.set(xlabel="beta", ylabel="stability number  beta lambda_max")
    ax.set_ylim(0.0, max(1.1, 1.05 * float(numbers.max())))
    ax.legend(handles=ax.get_legend_handles_labels()[0] + _event_handles([curve] if mark_events else ()), fontsize=8)
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
        raise ValueError(f"y_indices and columns must ask for at least one picture, got {shown(chosen)} and {shown(columns)}")
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


def _has_outside() -> bool:
    """Whether figure legends know the places "outside ..." (matplotlib 3.7)."""
    import matplotlib

    return tuple(int(part) for part in matplotlib.__version__.split(".")[:2]) >= (3, 7)


def _labelled(curves: Curve | Sequence[Curve] | Mapping[str, Curve]) -> dict[str, Curve]:
    """The curves by label; those of one distortion are numbered."""
    found = list(curves.values()) if isinstance(curves, Mapping) else [curves] if isinstance(curves, Curve) else curves
    if not isinstance(found, Sequence) or not found or not all(isinstance(curve, Curve) for curve in found):
        raise TypeError(f"curves must be a Curve, a sequence of them or a mapping of label to Curve, got {shown(curves)}")
    if isinstance(curves, Mapping):
        return dict(curves)
    labelled: dict[str, Curve] = {}
    for curve in found:
        name = distortion_name(curve)
        taken = sum(label.split(" #")[0] == name for label in labelled)
        labelled[f"{name} #{taken + 1}" if taken else name] = curve
    return labelled


def _scaled(name: str, factor: float) -> Quantity:
    return lambda solution: factor * float(getattr(solution, name))


def _draw_curve(ax: Axes, curve: Curve, label: str, line: dict[str, Any], x: Quantity, y: Quantity, marks: bool) -> None:
    """The curve (x, y), solid between its jumps; a jump is a dashed segment between its two ends; events as markers."""
    points = np.array([(x(solution), y(solution)) for solution in curve])
    jumps = [event for event in curve.events if event.kind == "jump"] if len(curve) > 1 else []
    segments = {_interval(curve, event.beta): _jump_ends(curve, event, points, x, y) for event in jumps}
    start, piece = 0, [points[:0]]
    for k in [*sorted(segments), len(curve) - 1]:
        piece.append(points[start : k + 1])
        following: list[Array] = []
        if k in segments:  # the piece goes on to the end of the jump, and the next one starts at its other end
            low, high = segments[k][:1], segments[k][1:]
            ax.plot(*segments[k].T, ls=(0, (3, 1)), zorder=3, **line)
            piece += [] if np.array_equal(low[0], points[k]) else [low]
            following = [] if np.array_equal(high[0], points[k + 1]) else [high]
        drawn = np.concatenate(piece)
        ax.plot(*drawn.T, marker="." if len(curve) == 1 else "", label=label if start == 0 else "_", zorder=3, **line)
        start, piece = k + 1, following
    style: dict[str, Any] = {"ls": "", "ms": 4.5, "mfc": "white", "mec": line["color"], "mew": 1.0, "zorder": 4}
    for event in curve.events if marks else ():
        at = segments[_interval(curve, event.beta)] if event in jumps else _event_point(curve, event, points, x, y)
        ax.plot(*at.T, marker=MARKERS[event.kind], **style)


def _jump_ends(curve: Curve, event: Event, points: Array, x: Quantity, y: Quantity) -> Array:
    """Both ends (2, 2) of a straight piece: those of the event, or the neighbouring points where it has none."""
    if event.below is None or event.above is None:
        k = _interval(curve, event.beta)
        return points[k : k + 2]
    return np.array([(x(side), y(side)) for side in (event.below, event.above)])


def _event_point(curve: Curve, event: Event, points: Array, x: Quantity, y: Quantity) -> Array:
    """The point (1, 2) of an event without a jump."""
    if event.below is not None:
        return np.array([[x(event.below), y(event.below)]])
    return np.array([[np.interp(np.log(event.beta), np.log(curve.beta), column) for column in points.T]])


def _mark_events(ax: Axes, curve: Curve) -> None:
    """A thin vertical line at each event, with a marker for its kind on the upper edge."""
    top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    for event in curve.events:
        ax.axvline(event.beta, color=GREY, lw=0.5, alpha=0.5, zorder=0.5)
        ax.plot([event.beta], [1.0], MARKERS[event.kind], ms=4, mfc="white", mec=INK, mew=0.8, **top)


def _draw_trivial(ax: Axes, curve: Curve, y: int) -> list[Any]:
    """The one-cluster solution beyond the onset, dashed, and the local critical beta on it; the handles for a legend."""
    trivial = next((solution for solution in curve if solution.n_clusters == 1), None)
    if trivial is None or curve.onset is None or not curve.onset < curve.beta[-1] or curve.distortion.fixed_atoms:
        return []
    level = float(trivial.decoder[0, y])
    handles = ax.plot(
        [curve.onset, curve.beta[-1]], [level] * 2, "--", color=GREY, lw=1.0, zorder=1, label="one cluster, not optimal"
    )
    local = local_critical_beta(curve.joint, curve.distortion)
    if curve.beta[0] < local < curve.beta[-1]:
        style: dict[str, Any] = {"ls": "", "color": GREY, "ms": 6, "mew": 1.5, "zorder": 4}
        handles += ax.plot([local], [level], marker="x", label=f"local critical beta {local:.4g}", **style)
    return handles


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
    return f"column {column}" if fixed else f"y = {plain(curve.joint.y_labels[column])}"


def _checked_column(curve: Curve, y_index: int) -> int:
    width = curve[0].decoder.shape[1]
    if isinstance(y_index, bool) or not isinstance(y_index, (int, np.integer)) or not 0 <= y_index < width:
        raise ValueError(f"y_index must be an integer from 0 to {width - 1}, got {shown(y_index)}")
    return int(y_index)


def _varying_columns(curve: Curve) -> IntArray:
    """Decoder columns, the one of largest variance between the clusters at the largest beta first."""
    last = curve[-1]
    centred = last.decoder - last.weights @ last.decoder
    return np.argsort(-(last.weights @ centred**2), kind="stable")
