"""The pictures of a report as SVG, whose colours the page's style sheet gives: light, dark and printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from dualib.plotting.bifurcations import varying_columns
from dualib.plotting.tree import INK, PALETTE, Point, link, member_names, spread, strokes, with_sides
from dualib.predict.cross_fit_result import CrossFit
from dualib.report.facts import Facts
from dualib.results.common import counted
from dualib.results.event import Event
from dualib.results.solution import Solution

_COLOURS = {INK: "ink", **{colour: f"c{i}" for i, colour in enumerate(PALETTE)}}  # to classes of the style sheet
_MOST_LEAVES = 40  # that are named at the right end of the tree


@dataclass(frozen=True)
class Frame:
    """Axes: from data to pixels of the view box."""

    x: Point
    y: Point
    log_x: bool = False
    width: float = 720.0
    height: float = 400.0
    left: float = 58.0
    right: float = 14.0
    top: float = 14.0
    bottom: float = 46.0

    def at(self, x: float, y: float) -> Point:
        """Pixels of a point."""
        low, high, value = (*map(math.log, self.x), math.log(x)) if self.log_x else (*self.x, x)
        across = (value - low) / (high - low)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            self.left + across * (self.width - self.left - self.right),
            self.height - self.bottom - up * (self.height - self.top - self.bottom),
        )

    def line(self, points: Iterable[Point], style: str, more: str = "") -> str:
        """A polyline of data points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        return f'<polyline class="{style}" points="{path}"{more}/>'

    def axes(self, x_name: str, y_name: str) -> str:
        """Frame, ticks and names."""
        left, low = self.at(self.x[0], self.y[0])
        right, high = self.at(self.x[1], self.y[1])
        parts = [f'<rect class="frame" x="{left:.1f}" y="{high:.1f}" width="{right - left:.1f}" height="{low - high:.1f}"/>']
        for value in log_ticks(*self.x) if self.log_x else ticks(*self.x):
            place = self.at(value, self.y[0])[0]
            parts.append(f'<path class="tick" d="M{place:.1f} {low:.1f}v5"/>')
            parts.append(f'<text class="number" x="{place:.1f}" y="{low + 18:.1f}" text-anchor="middle">{value:g}</text>')
        for value in ticks(*self.y):
            place = self.at(self.x[0], value)[1]
            parts.append(f'<path class="tick" d="M{left:.1f} {place:.1f}h-5"/>')
            parts.append(f'<text class="number" x="{left - 8:.1f}" y="{place + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = 0.5 * (left + right)
        parts.append(
            f'<text class="name" x="{middle:.1f}" y="{self.height - 8:.1f}" text-anchor="middle">{escape(x_name)}</text>'
        )
        up = 0.5 * (low + high)
        turned = f'transform="translate(14 {up:.1f}) rotate(-90)"'
        parts.append(f'<text class="name" {turned} text-anchor="middle">{escape(y_name)}</text>')
        return "".join(parts)

    def svg(self, name: str, title: str, content: str) -> str:
        """The whole picture, with the title that a reader of the screen is told."""
        return (
            f'<svg id="{name}" viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{escape(title)}">'
            f"{content}</svg>"
        )


def plane(facts: Facts) -> str:
    """Relevance against rate; each point says what it is."""
    curve, factor, unit = facts.curve, facts.factor, facts.unit
    total = factor * curve.joint.mutual_information
    right = 1.04 * factor * float(curve.rate.max()) or 1.0
    frame = Frame((0.0, right), (0.0, 1.12 * total or 1.0))
    parts = [frame.axes(f"rate I(X;T), {unit}", f"relevance I(T;Y), {unit}")]
    reach = min(right, frame.y[1])
    parts.append(frame.line([(0.0, 0.0), (reach, reach)], "limit"))
    parts.append(frame.line([(0.0, total), (right, total)], "limit"))
    x, y = frame.at(right, total)
    parts.append(f'<text class="note" x="{x - 6:.1f}" y="{y - 5:.1f}" text-anchor="end">I(X;Y) = {total:.4g}</text>')
    if facts.sample is not None and facts.sample.fit is not None:
        parts += _measured(frame, facts.sample.fit, factor)
    parts += _pieces(frame, facts)
    for i, solution in enumerate(curve):
        x, y = frame.at(factor * solution.rate, factor * solution.relevance)
        parts.append(
            f'<circle class="point" data-point="{i}" cx="{x:.1f}" cy="{y:.1f}" r="3.2">'
            f"<title>{escape(summary_of(solution, facts))}</title></circle>"
        )
    return frame.svg("plane", "Information plane: relevance against rate", "".join(parts))


def _measured(frame: Frame, fit: CrossFit, factor: float) -> list[str]:
    """Relevance on the halves that did not choose the encoders, at the rate of those of all observations."""
    errors = fit.cross_fitted_se
    assert errors is not None  # there is more than one division
    values = np.maximum(fit.cross_fitted_relevance, 0.0)
    parts = [frame.line([(factor * x, factor * y) for x, y in zip(fit.rate, values, strict=True)], "honest")]
    for rate, value, error in zip(factor * fit.rate, factor * values, factor * errors, strict=True):
        parts.append(frame.line([(rate, max(0.0, value - error)), (rate, value + error)], "bar"))
    return parts


def _pieces(frame: Frame, facts: Facts) -> list[str]:
    """The curve between its jumps, and the jumps, straight and dashed."""
    factor, jumps = facts.factor, [event for event in facts.curve.events if event.kind == "jump" and event.located]

    def place(solution: Solution | None) -> Point:
        assert solution is not None  # a located event has both its sides
        return (factor * solution.rate, factor * solution.relevance)

    parts: list[str] = []
    piece: list[Point] = []
    waiting = list(jumps)
    for solution in facts.curve:
        while waiting and waiting[0].beta <= solution.beta:
            jump = waiting.pop(0)
            parts.append(frame.line([*piece, place(jump.below)], "curve"))
            parts.append(frame.line([place(jump.below), place(jump.above)], "curve jump"))
            piece = [place(jump.above)]
        piece.append(place(solution))
    return [*parts, frame.line(piece, "curve")]


def tree(facts: Facts) -> str:
    """The clusters against beta, lines as wide as p(t), with the events."""
    curve = facts.curve
    column = int(varying_columns(curve)[0])
    whole = with_sides(curve)
    drawn, ties = strokes(whole, column, link(whole))
    heights = [point[1] for _, _, points in drawn for point in points] or [float(curve[0].decoder[0, column])]
    low, high = min(heights), max(heights)
    margin = 0.06 * (high - low) or 0.05
    names = _leaf_names(curve[-1])
    right = 24.0 + 6.2 * max(map(len, names), default=0)
    frame = Frame((curve.beta[0], curve.beta[-1]), (low - margin, high + margin), log_x=True, right=right)
    name = curve.joint.y_labels[column]
    parts = [frame.axes("beta", f"p(y = {name if len(name) < 20 else name[:19] + '…'} | t)")]
    parts += [_event_line(frame, event) for event in curve.events]
    for width, colour, points in drawn:
        parts.append(frame.line(points, f"branch {_COLOURS[colour]}", f' stroke-width="{width:g}"'))
    parts += [frame.line(points, "tie") for points in ties]
    parts += _leaves(frame, curve[-1], column, names)
    (x, low_y), (_, high_y) = frame.at(curve.beta[-1], frame.y[0]), frame.at(curve.beta[-1], frame.y[1])
    ends = f'data-low="{math.log(curve.beta[0]):.12g}" data-high="{math.log(curve.beta[-1]):.12g}" data-left="{frame.left:g}"'
    parts.append(f'<path class="cursor" {ends} data-right="{x:.1f}" d="M0 {high_y:.1f}V{low_y:.1f}"/>')
    return frame.svg("tree", "Tree of clusters against beta", "".join(parts))


def _event_line(frame: Frame, event: Event) -> str:
    x, low = frame.at(event.beta, frame.y[0])
    high = frame.at(event.beta, frame.y[1])[1]
    words = f"{event.kind} at beta = {event.beta:.8g}: {event.before} to {event.after} clusters"
    return f'<path class="event" d="M{x:.1f} {high:.1f}V{low:.1f}"><title>{escape(words)}</title></path>'


def _leaf_names(solution: Solution) -> list[str]:
    """The members of each cluster, a few; none where they are too many to be read."""
    if solution.n_clusters > _MOST_LEAVES:
        return []
    return [member_names(solution, t).replace(r"\$", "$") for t in range(solution.n_clusters)]


def _leaves(frame: Frame, solution: Solution, column: int, names: Sequence[str]) -> list[str]:
    """The names of the clusters at the right end, pushed apart."""
    if not names:
        return []
    order = np.argsort(solution.decoder[:, column], kind="stable")
    at = np.array([frame.at(solution.beta, float(solution.decoder[t, column]))[1] for t in order])
    low, span = frame.height - frame.bottom, frame.height - frame.top - frame.bottom
    places = low - span * spread((low - at) / span, min(12.0 / span, 1.0 / len(order)))
    x = frame.width - frame.right
    parts = []
    for t, height, place in zip(order, at, places, strict=True):
        parts.append(f'<path class="tie" d="M{x + 2:.1f} {height:.1f}L{x + 12:.1f} {place:.1f}"/>')
        parts.append(f'<text class="leaf" x="{x + 15:.1f}" y="{place + 3.5:.1f}">{escape(names[t])}</text>')
    return parts


def summary_of(solution: Solution, facts: Facts) -> str:
    """One line on one point."""
    clusters = counted(solution.n_clusters, "cluster")
    numbers = f"rate {facts.factor * solution.rate:.4f}, relevance {facts.factor * solution.relevance:.4f} {facts.unit}"
    return f"beta {solution.beta:.5g}: {clusters}, {numbers}, gap {facts.factor * solution.gap:.0e}"


def ticks(low: float, high: float, about: int = 6) -> Sequence[float]:
    """Round numbers between the ends."""
    step = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(step))
    step = next(unit * m for m in (1.0, 2.0, 5.0, 10.0) if unit * m >= step * (1.0 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.10g}") for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> Sequence[float]:
    """1, 2 and 5 times powers of ten between the ends; round numbers where these are close."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**k for k in powers for m in (1.0, 2.0, 5.0) if low <= m * 10.0**k <= high]
    return [float(f"{value:.10g}") for value in found] if len(found) > 2 else [v for v in ticks(low, high) if v > 0.0]
