"""Curves in the plane of rate and relevance, or of rate and distortion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib._validation import Array, Unit, shown
from dualib.plotting.tree import (
    GREY,
    INK,
    PALETTE,
    Colour,
    distortion_name,
    new_axes,
)
from dualib.results.curve import Curve
from dualib.results.event import Event
from dualib.results.units import distortion_factor, unit_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from dualib.plotting.marks import FEW_POINTS, MARKERS, Quantity, interval_of, is_bracketed, kind_handles


def plot_information_plane(
    curves: Curve | Sequence[Curve] | Mapping[str, Curve],
    ax: Axes | None = None,
    *,
    unit: Unit = "nats",
    show_bound: bool = True,
    mark_events: bool = True,
    color: Colour = None,
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
        A marker at each event that was located; the straight piece of a jump is a dashed segment in any case.
    color : colour, or sequence of colours, optional
        Of the curves, in place of the palette.

    Returns
    -------
    Axes
        A curve of fewer than eight betas is drawn as points, for the lines between them would not be the curve.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_information_plane({"IB": curve}, unit="bits")
    >>> axes.get_xlabel()
    'rate  I(X;T)  [bits]'
    """
    labelled = _labelled(curves)
    factor = unit_factor(unit)
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    _draw_all(ax, labelled, ("rate", "relevance"), unit, color, mark_events)
    most = factor * max(curve.joint.mutual_information for curve in labelled.values())
    right = 1.04 * factor * max(float(curve.rate.max()) for curve in labelled.values())
    right, top = right or 1.0, 1.14 * most or 1.0
    if show_bound:
        _draw_bounds(ax, {factor * curve.joint.mutual_information for curve in labelled.values()}, unit, right, top)
    ax.set(xlim=(-0.02 * right, right), ylim=(-0.03 * top, top))
    ax.set(xlabel=f"rate  I(X;T)  [{unit}]", ylabel=f"relevance  I(T;Y)  [{unit}]")
    handles = ax.get_legend_handles_labels()[0] + kind_handles(labelled.values() if mark_events else ())
    ax.legend(handles=handles, loc="lower right", frameon=False)
    return ax


def plot_rate_distortion(
    curves: Curve | Sequence[Curve] | Mapping[str, Curve],
    ax: Axes | None = None,
    *,
    unit: Unit = "nats",
    mark_events: bool = True,
    color: Colour = None,
) -> Axes:
    """Each problem's rate against its own expected distortion: the curve that is convex and falls, whatever the distortion.

    Parameters
    ----------
    curves : Curve, sequence of Curve, or mapping of label to Curve
    ax : Axes, optional
    unit : {"nats", "bits"}
        Of the rate, and of the distortion where that is an information.
    mark_events : bool
    color : colour, or sequence of colours, optional
        Of the curves, in place of the palette.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16, 32])
    >>> axes = dualib.plotting.plot_rate_distortion(curve)
    >>> axes.get_ylabel()
    'rate  I(X;T)  [nats]'
    """
    labelled = _labelled(curves)
    unit_factor(unit)  # refuses another
    ax = new_axes((6.4, 4.4)) if ax is None else ax
    _draw_all(ax, labelled, ("expected_distortion", "rate"), unit, color, mark_events)
    in_unit = f"  [{unit}]" if all(distortion_factor(c.distortion, "bits") != 1.0 for c in labelled.values()) else ""
    ax.set(xlabel=f"expected distortion  E d{in_unit}", ylabel=f"rate  I(X;T)  [{unit}]")
    ax.set_xlim(left=0.0)
    ax.set_ylim(bottom=0.0)
    handles = ax.get_legend_handles_labels()[0] + kind_handles(labelled.values() if mark_events else ())
    ax.legend(handles=handles, loc="upper right", frameon=False)
    return ax


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


def _style(number: int, color: Colour) -> dict[str, Any]:
    """Colour and width of a curve: the last is thin, and lies on top."""
    palette = PALETTE if color is None else (color,) if isinstance(color, str) else tuple(color)
    return {"color": palette[number % len(palette)], "lw": max(1.2, 3.2 - 1.6 * number)}


def _draw_all(ax: Axes, curves: Mapping[str, Curve], names: tuple[str, str], unit: Unit, color: Colour, marks: bool) -> None:
    """Every curve in the plane of two of its quantities, by their names."""
    for number, (label, curve) in enumerate(curves.items()):
        x, y = (_scaled(name, curve, unit) for name in names)
        _draw_curve(ax, curve, label, _style(number, color), x, y, marks)


def _scaled(name: str, curve: Curve, unit: Unit) -> Quantity:
    factor = distortion_factor(curve.distortion, unit) if name == "expected_distortion" else unit_factor(unit)
    return lambda solution: factor * float(getattr(solution, name))


def _draw_curve(ax: Axes, curve: Curve, label: str, line: dict[str, Any], x: Quantity, y: Quantity, marks: bool) -> None:
    """The curve (x, y), solid between its jumps; a jump is a dashed segment between its two ends; events as markers."""
    points = np.array([(x(solution), y(solution)) for solution in curve])
    jumps = [event for event in curve.events if event.kind == "jump"] if len(curve) > 1 else []
    segments = {interval_of(curve, event.beta): _jump_ends(curve, event, points, x, y) for event in jumps}
    start, piece = 0, [points[:0]]
    as_points: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5} if len(curve) < FEW_POINTS else {}
    for k in [*sorted(segments), len(curve) - 1]:
        piece.append(points[start : k + 1])
        following: list[Array] = []
        if k in segments:  # the piece goes on to the end of the jump, and the next one starts at its other end
            low, high = segments[k][:1], segments[k][1:]
            ax.plot(*segments[k].T, ls=(0, (3, 1)), zorder=3, **line)
            piece += [] if np.array_equal(low[0], points[k]) else [low]
            following = [] if np.array_equal(high[0], points[k + 1]) else [high]
        drawn = np.concatenate(piece)
        ax.plot(*drawn.T, label=label if start == 0 else "_", zorder=3, **line, **as_points)
        start, piece = k + 1, following
    style: dict[str, Any] = {"ls": "", "ms": 4.5, "mfc": "white", "mec": line["color"], "mew": 1.0, "zorder": 4}
    for event in (event for event in curve.events if marks and not is_bracketed(event)):
        at = segments[interval_of(curve, event.beta)] if event in jumps else _event_point(curve, event, points, x, y)
        ax.plot(*at.T, marker=MARKERS[event.kind], **style)


def _jump_ends(curve: Curve, event: Event, points: Array, x: Quantity, y: Quantity) -> Array:
    """Both ends (2, 2) of a straight piece: those of the event, or the neighbouring points where it has none."""
    if event.below is None or event.above is None:
        k = interval_of(curve, event.beta)
        return points[k : k + 2]
    return np.array([(x(side), y(side)) for side in (event.below, event.above)])


def _event_point(curve: Curve, event: Event, points: Array, x: Quantity, y: Quantity) -> Array:
    """The point (1, 2) of an event without a jump."""
    if event.below is not None:
        return np.array([[x(event.below), y(event.below)]])
    return np.array([[np.interp(np.log(event.beta), np.log(curve.beta), column) for column in points.T]])


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
