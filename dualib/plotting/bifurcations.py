"""Clusters against beta: trees of decoders, and the stability numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import IntArray, shown
from dualib.path.onset import local_critical_beta
from dualib.plotting.tree import (
    FULL_WIDTH,
    GREY,
    INK,
    PALETTE,
    Colour,
    draw_tree,
    link,
    name_leaves,
    new_axes,
    plain,
    with_sides,
)
from dualib.results.curve import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from dualib.plotting.marks import FEW_POINTS, beta_axis, draw_events, event_handles, legend_above

_BESIDE_NAMES = 0.7  # of the width of axes, what the names beside them leave


def plot_bifurcations(
    curve: Curve,
    ax: Axes | None = None,
    *,
    y_index: int | None = None,
    mark_events: bool = True,
    label_clusters: bool = True,
    legend: bool = True,
    show_onset: bool = True,
    color: Colour = None,
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
        A thin vertical line at the beta of each event, with a marker for its kind; ticks where there are more than 30, or where
        they were not located.
    label_clusters : bool
        Name the clusters at the largest beta by their members, as many as there is room for.
    legend : bool
    show_onset : bool
        The one-cluster solution goes on as a dashed line where it has ceased to be optimal, and the textbook's local critical
        beta is marked on it: from the onset to there an annealer that perturbs and follows is stuck.
    color : colour, or sequence of colours, optional
        Of all lines, or of the main branches in place of the palette.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_bifurcations(curve, y_index=1)
    >>> axes.get_ylabel()
    'decoder  p(y = 1 | t)'
    """
    column = _checked_column(curve, int(varying_columns(curve)[0]) if y_index is None else y_index)
    ax = new_axes((7.2, 4.6)) if ax is None else ax
    whole = with_sides(curve)
    draw_tree(ax, whole, column, link(whole), color)
    beta_axis(ax, curve)
    onset_handles = _draw_trivial(ax, curve, column) if show_onset else []
    ax.set(ylabel=f"decoder  p({_column_name(curve, column)} | t)")
    if mark_events:
        draw_events(ax, curve)
    if legend:
        handles = _width_handles() + event_handles([curve] if mark_events else ()) + onset_handles
        legend_above(ax, handles, _BESIDE_NAMES if label_clusters else 0.97)
    if label_clusters:
        name_leaves(ax, curve[-1], column)
    return ax


def plot_stability(curve: Curve, ax: Axes | None = None, *, mark_events: bool = True, color: str | None = None) -> Axes:
    """The stability numbers beta lambda_max of all clusters against beta: one splits where its number reaches 1.

    Parameters
    ----------
    curve : Curve
    ax : Axes, optional
    mark_events : bool
        A thin vertical line at each event. A cluster born at a distance needs no number at 1.
    color : colour, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_stability(curve)
    >>> axes.get_ylabel()
    'stability number  beta lambda_max'
    """
    ax = new_axes((7.2, 4.2)) if ax is None else ax
    beta_axis(ax, curve)
    solutions = sorted([*curve, *(e.below for e in curve.events if e.below is not None)], key=lambda s: s.beta)
    beta = np.concatenate([np.full(s.n_clusters, s.beta) for s in solutions])
    weights = np.concatenate([s.weights for s in solutions])
    numbers = np.concatenate([s.stability for s in solutions])
    ax.scatter(beta, numbers, 4.0 + 40.0 * weights, color=color or PALETTE[0], alpha=0.7, lw=0, label="clusters, area by p(t)")
    ax.axhline(1.0, color=INK, lw=1.0, ls="--", label="1: splits here")
    if mark_events:
        draw_events(ax, curve)
    ax.set(ylabel="stability number  beta lambda_max")
    ax.set_ylim(0.0, max(1.1, 1.05 * float(numbers.max())))
    legend_above(ax, ax.get_legend_handles_labels()[0] + event_handles([curve] if mark_events else ()))
    return ax


def plot_clusters_vs_beta(curve: Curve, ax: Axes | None = None, *, mark_events: bool = True, color: str | None = None) -> Axes:
    """The number of clusters against beta, in steps, and exp H(T), how many of equal weight would be as many.

    Parameters
    ----------
    curve : Curve
        Steps are at its located events, else half-way between its points. Fewer than eight betas are drawn as points.
    ax : Axes, optional
    mark_events : bool
        A marker for the kind of each event on the upper edge; ticks where they are many or were not located.
    color : colour, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_clusters_vs_beta(curve)
    >>> axes.get_ylabel()
    'clusters'
    """
    from matplotlib.ticker import MaxNLocator

    ax = new_axes((6.4, 4.0)) if ax is None else ax
    beta_axis(ax, curve)
    whole = with_sides(curve)
    effective = [solution.effective_clusters for solution in whole]
    style: dict[str, Any] = {"color": color or PALETTE[0], "clip_on": False}
    ax.plot(whole.beta, whole.n_clusters, drawstyle="steps-mid", lw=1.6, label="clusters", **style)
    if len(curve) < FEW_POINTS:
        ax.plot(curve.beta, curve.n_clusters, ls="", marker="o", ms=5, **style)
    ax.plot(whole.beta, effective, lw=1.0, ls="--", color=GREY, label="exp H(T)")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(ylabel="clusters", ylim=(0.0, 1.05 * float(whole.n_clusters.max())))
    if mark_events:
        draw_events(ax, curve)
    legend_above(ax, ax.get_legend_handles_labels()[0] + event_handles([curve] if mark_events else ()))
    return ax


def plot_bifurcation_grid(curve: Curve, y_indices: Iterable[int] | None = None, *, columns: int = 3) -> np.ndarray:
    """`plot_bifurcations` for several y as small multiples in a new figure; by default the six that vary most.

    Returns
    -------
    ndarray of Axes, shape (rows, columns)
        Unused places are invisible.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> dualib.plotting.plot_bifurcation_grid(curve).size  # one for each y
    2
    """
    import matplotlib
    import matplotlib.pyplot as plt

    chosen = [int(y) for y in (varying_columns(curve)[:6] if y_indices is None else y_indices)]
    if not chosen or columns < 1:
        raise ValueError(f"y_indices and columns must ask for at least one picture, got {shown(chosen)} and {shown(columns)}")
    axes = draw_grid(plt.figure, curve, chosen, columns)
    outside = tuple(map(int, matplotlib.__version__.split(".")[:2])) >= (3, 7)
    handles = _width_handles() + event_handles([curve])
    place = "outside upper left" if outside else "upper left"
    axes[0, 0].figure.legend(handles=handles, loc=place, ncols=6, frameon=False)
    return axes


def draw_grid(new_figure: Callable[..., Any], curve: Curve, chosen: Sequence[int], columns: int, **options: Any) -> np.ndarray:
    """The tree in several coordinates of the decoder, in the axes (rows, columns) of a new figure."""
    columns = min(columns, len(chosen))
    rows = math.ceil(len(chosen) / columns)
    figure = new_figure(figsize=(3.6 * columns, 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for place, (ax, y) in enumerate(itertools.zip_longest(axes.flat, chosen)):
        if y is None:
            ax.set_visible(False)
            continue
        plot_bifurcations(curve, ax=ax, y_index=y, label_clusters=False, legend=False, **options)
        is_last = place + columns >= len(chosen)
        ax.set_xlabel("beta" if is_last else "")
        ax.xaxis.set_tick_params(labelbottom=is_last)
    return np.asarray(axes)


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


def _width_handles() -> list[Any]:
    from matplotlib.lines import Line2D

    return [Line2D([], [], color=GREY, lw=FULL_WIDTH * w, label=f"p(t) = {w:g}") for w in (1.0, 0.3, 0.1)]


def _column_name(curve: Curve, column: int) -> str:
    """What a column of the decoder stands for: a value of y, or a column of a rate-distortion matrix."""
    fixed = curve.distortion.fixed_atoms or curve[0].decoder.shape[1] != curve.joint.n_y
    return f"column {column}" if fixed else f"y = {plain(curve.joint.y_labels[column])}"


def _checked_column(curve: Curve, y_index: int) -> int:
    width = curve[0].decoder.shape[1]
    if isinstance(y_index, bool) or not isinstance(y_index, (int, np.integer)) or not 0 <= y_index < width:
        raise ValueError(f"y_index must be an integer from 0 to {width - 1}, got {shown(y_index)}")
    return int(y_index)


def varying_columns(curve: Curve) -> IntArray:
    """Decoder columns, the one of largest variance between the clusters at the largest beta first."""
    last = curve[-1]
    centred = last.decoder - last.weights @ last.decoder
    return np.argsort(-(last.weights @ centred**2), kind="stable")
