"""A chain of certified solutions along beta, each link between neighbours explained: by atoms that match, or by one event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dualib.engine import Array, Batch, Problem
from dualib.path.branch import arranged, copied
from dualib.path.matching import unmatched


@dataclass
class Bifurcation:
    """An event of a chain, named for rising beta; its two solutions are those on either side of its link.

    Attributes
    ----------
    kind : "appearance", "split" or "jump"
    beta : float
    multiplicity : int
        Clusters that begin, end or divide at once.
    precision : float
        Width of its interval, relative to beta.
    located : bool
        Whether it is a root that was found; else it is only bracketed.
    """

    kind: str
    beta: float
    multiplicity: int
    precision: float
    located: bool


class Chain:
    """Solutions in ascending order of beta, with what is known of the links between them.

    Attributes
    ----------
    batch : Batch
        The S solutions.
    given : ndarray of bool, (S,)
        Those that were asked for; the others were solved on the way.
    events : list of Bifurcation or None, (S,)
        What lies between a solution and the next one.
    up, down : ndarray of bool, (m,)
        The atoms without a partner in the next solution, and in the one before.
    died, born : ndarray, (S - 1,)
        How many there are on either side of each link.
    """

    def __init__(self, problem: Problem, batch: Batch) -> None:
        self.problem, self.batch = problem, batch
        self.given = np.ones(len(batch.beta), bool)
        self.events: list[Bifurcation | None] = [None] * len(batch.beta)
        self._match()

    def _match(self) -> None:
        self.up, self.down = unmatched(self.problem, self.batch)
        self.died = np.add.reduceat(self.up, self.batch.start, dtype=int)[:-1]
        self.born = np.add.reduceat(self.down, self.batch.start, dtype=int)[1:]
        self.counts = np.diff(self.batch.ends)
        self.log_beta = np.log(self.batch.beta)
        self.width = np.diff(self.log_beta)

    def open(self) -> Array:
        """The links (by their lower ends) whose atoms do not match and that no event explains."""
        unexplained = np.array([event is None for event in self.events[:-1]], bool)
        return np.flatnonzero(unexplained & (self.died + self.born > 0))

    def odd(self, link: int, rising: bool) -> Array:
        """The rows of the atoms without a partner at the upper end of a link (`rising`), or at its lower end."""
        end = link + rising
        first, last = self.batch.ends[end], self.batch.ends[end + 1]
        return first + np.flatnonzero((self.down if rising else self.up)[first:last])

    def insert(self, places: Array, part: Batch, events: list[Bifurcation | None]) -> None:
        """Put more solutions into links; the place i + 1/2 is the middle of link i."""
        own = np.arange(len(self.batch.beta), dtype=float)
        order = np.argsort(np.append(own, places), kind="stable")
        self.batch = arranged([(own, self.batch), (places, part)])
        self.given = np.append(self.given, np.zeros(len(places), bool))[order]
        every = [*self.events, *events]
        self.events = [every[i] for i in order]
        self._match()

    def replace(self, which: Array, part: Batch) -> None:
        """Put other solutions in the places of some (by number)."""
        rest = np.setdiff1d(np.arange(len(self.batch.beta)), which)
        parts = [(np.asarray(which), part)]
        self.batch = arranged([*parts, (rest, copied(self.batch, rest)[0])] if len(rest) else parts)
        self._match()

    def remove(self, which: Array) -> None:
        """Forget some solutions (by number) that are no side of an event."""
        keep = np.setdiff1d(np.arange(len(self.batch.beta)), which)
        self.batch, self.given = copied(self.batch, keep)[0], self.given[keep]
        self.events = [self.events[i] for i in keep]
        self._match()
