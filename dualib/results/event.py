"""`Event`: one bifurcation of a path over beta."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dualib._validation import shown
from dualib.markup import block, more, table
from dualib.results.common import Deferring, EventKind
from dualib.results.solution import Solution


@dataclass(frozen=True)
class Event(Deferring):
    """A beta at which the support of the optimal solution changes, named for rising beta.

    Attributes
    ----------
    kind : {"appearance", "split", "jump"}
        A cluster is born away from all others with weight 0 (or, where `after` is the smaller number, dies there); one divides;
        a whole segment of solutions is optimal, from `below` to `above`.
    beta, interval : float, (float, float)
        Where it is, and the betas between which it lies.
    before, after, multiplicity : int
        Numbers of clusters just below and above `beta`; how many events coincide there (symmetric problems).
    located, precision : bool, float
        Found by root finding, or only bracketed by the grid; relative width of the bracket, by default of `interval`.
    below, above : Solution, optional
        The solution at the event, continued from below and from above. Both are at `beta` itself for a jump; otherwise a new cluster
        has weight 0 at `beta`, and the side that has it is given a little further on. Put together at their first use.

    Examples
    --------
    >>> import dualib
    >>> curve = dualib.anneal(dualib.datasets.toy(), betas=[4, 8, 16])
    >>> [(event.kind, round(event.beta, 6), event.before, event.after) for event in curve.events]
    [('appearance', 4.365028, 1, 2), ('appearance', 12.736968, 2, 3)]
    """

    kind: EventKind
    beta: float
    interval: tuple[float, float]
    before: int
    after: int
    multiplicity: int = 1
    located: bool = False
    precision: float = math.inf
    below: Solution | None = field(default_factory=lambda: None, compare=False, repr=False)
    above: Solution | None = field(default_factory=lambda: None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in EVENT_KINDS:
            raise ValueError(f"kind must be one of {', '.join(EVENT_KINDS)}, got {shown(self.kind)}")
        low, high = (float(end) for end in self.interval)
        if not (math.isfinite(high) and 0.0 < low <= self.beta <= high):
            raise ValueError(
                f"interval must be positive, finite and hold beta = {shown(self.beta)}, got {shown(self.interval)}"
            )
        object.__setattr__(self, "beta", float(self.beta))
        object.__setattr__(self, "interval", (low, high))
        own = self.__dict__
        own["_deferred"] = {name: own.pop(name) for name in ("below", "above") if callable(own[name])}
        if math.isinf(self.precision):
            object.__setattr__(self, "precision", (high - low) / self.beta)

    def __getstate__(self) -> dict[str, Any]:
        sides = {"below": self.below, "above": self.above}
        return {**self.__dict__, **sides, "_deferred": {}}

    def _repr_html_(self) -> str:
        return block(f"Event: {self.kind}", zip(_EVENT_HEADER[1:], event_row(self)[1:], strict=True))


class Events(tuple[Event, ...]):
    """The events of a curve, by beta; a tuple that notebooks show as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return block(f"{len(self)} events", [], events_table(self, len(self)))


def events_table(events: Sequence[Event], most: int) -> str:
    """The first events as a table of HTML."""
    return table(_EVENT_HEADER, [event_row(event) for event in events[:most]], more(len(events), most, "events"))


def event_row(event: Event) -> tuple[str, ...]:
    """What there is to say of an event, in the order of the header."""
    several = f", {event.multiplicity} at once" * (event.multiplicity > 1)
    place = f"to {event.precision:.0e}" if event.located else f"between {event.interval[0]:.6g} and {event.interval[1]:.6g}"
    return event.kind, f"{event.beta:.8g}", place, f"{event.before} to {event.after}{several}"


_EVENT_HEADER = ("event", "beta", "known", "clusters")


EVENT_KINDS = ("appearance", "split", "jump")
