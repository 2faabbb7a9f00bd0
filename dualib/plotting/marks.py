"""What the pictures share: markers of events, and the axis of beta."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dualib.plotting.tree import (
    GREY,
    INK,
)
from dualib.results.curve import Curve
from dualib.results.event import EVENT_KINDS
from dualib.results.solution import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes


Array = npt.NDArray[np.float64]


IntArray = npt.NDArray[np.int64]


Quantity = Callable[[Solution], float]


MARKERS = {"appearance": "o", "split": "D", "jump": "s"}


def draw_events(ax: Axes, curve: Curve) -> None:
    """A thin vertical line at each event, with a marker for its kind on the upper edge."""
    top: dict[str, Any] = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 4}
    for event in curve.events:
        ax.axvline(event.beta, color=GREY, lw=0.5, alpha=0.5, zorder=0.5)
        ax.plot([event.beta], [1.0], MARKERS[event.kind], ms=4, mfc="white", mec=INK, mew=0.8, **top)


def event_handles(curves: Iterable[Curve]) -> list[Any]:
    """One entry of the legend for each kind of event drawn."""
    from matplotlib.lines import Line2D

    kinds = {event.kind for curve in curves for event in curve.events}
    style: dict[str, Any] = {"ls": "", "mfc": "white", "mec": INK, "ms": 4.5}
    return [Line2D([], [], marker=MARKERS[kind], label=kind, **style) for kind in EVENT_KINDS if kind in kinds]


def log_beta_axis(ax: Axes, low: float, high: float) -> None:
    """A log axis with ticks that read as plain numbers, however short or long it is."""
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
