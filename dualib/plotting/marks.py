"""What the pictures share: markers of events, and the axis of beta."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from dualib.plotting.tree import GREY, INK
from dualib.results.curve import Curve
from dualib.results.event import EVENT_KINDS, Event
from dualib.results.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Quantity = Callable[[Solution], float]


MOST_MARKED = 30  # events whose kinds are marked: more are ticks
FEW_POINTS = 8  # a curve of fewer is drawn as points, for the lines between them would not be it
MARKERS = {"appearance": "o", "split": "D", "jump": "s"}


def is_bracketed(event: Event) -> bool:
    """Whether all that is known is that the number of clusters differs between two points of the curve: no kind, and no beta."""
    return not event.located and event.below is not None


def draw_events(ax: Axes, curve: Curve) -> None:
    """A thin vertical line at each event, with a marker for its kind on the upper edge; a tick for each where they are many.

    One that is only bracketed is a tick, too.
    """
    top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4, "mec": INK}
    known = [event for event in curve.events if not is_bracketed(event)] if len(curve.events) <= MOST_MARKED else []
    for event in known:
        ax.axvline(event.beta, color=GREY, lw=0.5, alpha=0.5, zorder=0.5)
        ax.plot([event.beta], [1.0], MARKERS[event.kind], ms=4, mfc="white", mew=0.8, **top)
    ticks = [event.beta for event in curve.events if is_bracketed(event) or len(curve.events) > MOST_MARKED]
    if ticks:
        ax.plot(ticks, [1.0] * len(ticks), "|", ms=6, mew=0.6, **top)


def event_handles(curves: Iterable[Curve]) -> list[Any]:
    """One entry of the legend for each kind of event drawn."""
    from matplotlib.lines import Line2D

    curves = list(curves)
    handles = kind_handles(curve for curve in curves if len(curve.events) <= MOST_MARKED)
    tick: dict[str, Any] = {"ls": "", "marker": "|", "color": INK, "ms": 6}
    if any(len(curve.events) > MOST_MARKED and not all(map(is_bracketed, curve.events)) for curve in curves):
        handles.append(Line2D([], [], label="event", **tick))
    if any(map(is_bracketed, (event for curve in curves for event in curve.events))):
        handles.append(Line2D([], [], label="not located", **tick))
    return handles


def kind_handles(curves: Iterable[Curve]) -> list[Any]:
    """One entry of the legend for each kind of event that is known."""
    from matplotlib.lines import Line2D

    kinds = {event.kind for curve in curves for event in curve.events if not is_bracketed(event)}
    style: dict[str, Any] = {"ls": "", "mfc": "white", "mec": INK, "ms": 4.5}
    return [Line2D([], [], marker=MARKERS[kind], label=kind, **style) for kind in EVENT_KINDS if kind in kinds]


def legend_above(ax: Axes, handles: list[Any], width: float = 0.97) -> None:
    """A legend along the upper edge, and so much more room above the data that it covers none of them.

    It has as many columns as fit into a part of the `width`, and smaller letters where it would take more than a third of the axes.
    """
    if not handles:
        return
    _laid_out(ax)
    whole = ax.get_window_extent()
    style: dict[str, Any] = {"loc": "upper center", "framealpha": 0.85, "columnspacing": 1.2, "handlelength": 1.6}
    for size in (8.0, 6.0):
        for columns in (4, 3, 2, 1):
            legend = ax.legend(handles=handles, fontsize=size, ncols=min(columns, len(handles)), labelspacing=0.3, **style)
            extent = legend.get_window_extent()
            if extent.width < width * whole.width:
                break
        share = (extent.height + 12.0) / whole.height
        if share < 1.0 / 3.0:
            break
    (low, high), ticks = ax.get_ylim(), ax.get_yticks()
    ax.set_yticks([tick for tick in ticks if low <= tick <= high])
    ax.set_ylim(low, low + (high - low) / (1.0 - min(share, 0.6)))


def beta_axis(ax: Axes, curve: Curve) -> None:
    """A log axis of x over the betas of a curve."""
    low, high = curve.beta[0], curve.beta[-1]
    log_axis(ax, low, high if high > low else 1.01 * low)
    ax.set_xlabel("beta")


def _laid_out(ax: Axes) -> None:
    """Give axes the width that the layout of their figure leaves them; before, those of several columns are too narrow."""
    figure = ax.figure.figure  # of a subfigure too
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


def log_axis(ax: Axes, low: float, high: float) -> None:
    """A log axis of x with ticks that read as plain numbers, however short or long it is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    ax.set_xscale("log")
    ax.set_xlim(low, high)
    decades = math.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)
    ax.xaxis.set_major_locator(MaxNLocator(5) if decades < 0.7 else LogLocator(10.0, subs=subs, numticks=15))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def interval_of(curve: Curve, beta: float) -> int:
    """The k of the interval (beta_k, beta_k+1) with `beta`; at a grid point, the side where the rate moves more."""
    left = int(np.clip(np.searchsorted(curve.beta, beta) - 1, 0, len(curve) - 2))
    if left + 1 < len(curve) - 1 and curve.beta[left + 1] == beta:
        step = np.abs(np.diff(curve.rate[left : left + 3]))
        return left + int(step[1] > step[0])
    return left
