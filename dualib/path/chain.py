"""A chain of certified solutions along beta, each link between neighbours explained: by atoms that match, or by one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, in_order
from dualib.engine.problem import Ints, Problem, inner
from dualib.path.branch import FARTHEST
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


Piece = tuple[int, Batch, Bifurcation | None]  # of a chain: the link that it belongs into, one solution, what follows it


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
    joined : set of (float, float)
        The betas of links whose atoms move too far to be matched, but whose ends are known to be of one branch.
    """

    def __init__(self, problem: Problem, batch: Batch) -> None:
        self.problem, self.batch = problem, batch
        self.given = np.ones(len(batch.beta), bool)
        self.events: list[Bifurcation | None] = [None] * len(batch.beta)
        self.joined = set[tuple[float, float]]()
        self._match()

    def _match(self) -> None:
        self.up, self.down = unmatched(self.problem, self.batch)
        self.died = np.add.reduceat(self.up, self.batch.start, dtype=int)[:-1]
        self.born = np.add.reduceat(self.down, self.batch.start, dtype=int)[1:]
        self.counts = self.batch.counts
        self.log_beta = np.log(self.batch.beta)
        self.width = np.diff(self.log_beta)

    def open(self) -> Ints:
        """The links (by their lower ends) whose atoms do not match and that no event explains."""
        unexplained = np.array([event is None for event in self.events[:-1]], bool)
        return np.array([i for i in np.flatnonzero(unexplained & (self.died + self.born > 0)) if not self.is_joined(i)], int)

    def join(self, links: Ints) -> None:
        """Note that the ends of links are of one branch."""
        self.joined.update(self._ends(i) for i in links)

    def is_joined(self, link: int | np.integer) -> bool:
        """Whether the ends of a link are known to be of one branch."""
        return self._ends(link) in self.joined

    def _ends(self, link: int | np.integer) -> tuple[float, float]:
        return float(self.batch.beta[link]), float(self.batch.beta[link + 1])

    def sliding(self, links: Ints) -> Mask:
        """Links whose ends have one odd atom each, not far from each other: maybe one that moves faster than `radius` allows."""
        near = (self.died[links] == 1) & (self.born[links] == 1)
        gone, new = (np.array([self.odd(i, rise)[0] for i in links[near]], dtype=np.int64) for rise in (False, True))
        batch, V = self.batch, self.problem.link(self.batch.means, self.batch.face)[0]
        apart = batch.b[new] * inner(batch.means[new] - batch.means[gone], V[new] - V[gone])
        near[near] = (apart < FARTHEST) & (batch.face[new] == batch.face[gone])
        return near

    def odd(self, link: int, rising: bool) -> Ints:
        """The rows of the atoms without a partner at the upper end of a link (`rising`), or at its lower end."""
        end = link + rising
        first, last = self.batch.ends[end], self.batch.ends[end + 1]
        return first + np.flatnonzero((self.down if rising else self.up)[first:last])

    def sides(self) -> Mask:
        """Which solutions are a side of an event."""
        return np.isfinite(self.beside())

    def beside(self) -> Array:
        """How far in log beta a solution is from the event that it is a side of, (S,); inf where it is none."""
        left = np.array([event is not None for event in self.events[:-1]], dtype=bool)
        width = np.where(left, self.width, np.inf)
        return np.minimum(np.append(width, np.inf), np.append(np.inf, width))

    def insert(self, pieces: list[Piece]) -> None:
        """Put more solutions into links."""
        if not pieces:
            return
        links, parts, events = zip(*pieces, strict=True)
        S = len(self.batch.beta)
        betas = np.append(np.zeros(S), [part.beta[0] for part in parts])
        order = np.lexsort((betas, np.append(np.arange(S), links)))
        rank = np.argsort(order)
        self.batch = in_order([(rank[:S], self.batch), *((rank[[S + j]], part) for j, part in enumerate(parts))])
        self.given = np.append(self.given, np.zeros(len(links), dtype=bool))[order]
        every = [*self.events, *events]
        self.events = [every[i] for i in order]
        self._match()

    def replace(self, which: Ints, part: Batch) -> None:
        """Put other solutions in the places of some (by number)."""
        betas = set(self.batch.beta[which].tolist())
        self.joined = {ends for ends in self.joined if betas.isdisjoint(ends)}
        rest = np.setdiff1d(np.arange(len(self.batch.beta)), which)
        self.batch = in_order([(which, part)] + ([(rest, self.batch.copied(rest)[0])] if len(rest) else []))
        self._match()

    def forget(self, which: Ints) -> None:
        """Leave out some solutions (by number) that are no side of an event that is kept; their links become one."""
        keep = np.setdiff1d(np.arange(len(self.batch.beta)), which)
        self.batch, self.given = self.batch.copied(keep)[0], self.given[keep]
        self.events = [self.events[i] for i in keep]
        self._match()


def together(parts: Sequence[Batch]) -> Batch:
    """Batches of one solution each as one batch, in their order."""
    return in_order([(np.array([i]), part) for i, part in enumerate(parts)])
