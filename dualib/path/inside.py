"""What both ends of links tell of the inside: when odd atoms come or go, and which solutions lie in between, by the tangents."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, by_owner, in_order
from dualib.engine.faces import has_faces
from dualib.engine.initial import feasible
from dualib.engine.problem import Ints
from dualib.engine.sweep import Sweep
from dualib.path.branch import predicted, settled, tangents, whole
from dualib.path.chain import Chain
from dualib.path.touching import drifted

APART = 0.02  # part of a link within which the betas at which atoms come or go may as well be in another order
SHARES = np.array([0.25, 0.5, 0.75])  # where a link is divided that has no such betas


class Sought(NamedTuple):
    """E clusters to be born in links.

    Attributes
    ----------
    link, group : (E,) int
        Where; and those of which the first one counts, as they are sought on one branch.
    rise : (E,) bool
        Born as beta rises; else as it falls.
    means, face : (E, k), (E,) int
    branch : Batch
        Of each a solution, or nearly so, that lacks it.
    """

    link: Ints
    group: Ints
    rise: Mask
    means: Array
    face: Ints
    branch: Batch


class Inside:
    """Both ends of links of a chain, the lower ones first, with their tangents.

    Attributes
    ----------
    both : Batch
    upper, odd : (m,) bool
        Of each atom whether it is one of an upper end, and whether it has no partner at the other end.
    comes : (m,)
        The log beta in its link at which it would have no weight.
    """

    def __init__(self, chain: Chain, links: Ints) -> None:
        self.problem, self.links = chain.problem, links
        self.both, rows = chain.batch.copied(np.append(links, links + 1))
        self.link, self.upper = self.both.owner % len(links), self.both.owner >= len(links)
        self.odd = np.where(self.upper, chain.down[rows], chain.up[rows])
        self.grows = chain.born[links] > chain.died[links]
        self.tangent, _ = tangents(self.problem, self.both, Sweep(self.problem, self.both))
        self.low, self.width = chain.log_beta[links], chain.width[links]
        comes = np.log(self.both.b) - 1.0 / self.tangent[:, 0]
        self.comes = np.clip(comes, self.low[self.link], (self.low + self.width)[self.link])

    def births(self) -> Sought:
        """The odd atoms of the end that has more, on the way there from where they come, each on the branch of all that are there.

        Where that does not come to rest they are sought together on the branch of the end where they are lacking.
        """
        along = np.where(self.upper, self.comes, -self.comes)
        rows = np.flatnonzero(self.odd & (self.upper == self.grows[self.link]))
        rows = rows[np.lexsort((along[rows], self.link[rows]))]
        link, rise, at = self.link[rows], self.upper[rows], self.comes[rows]
        first = np.diff(link, prepend=-1) > 0
        first |= np.diff(along[rows], prepend=0.0) > APART * self.width[link]
        group, lacking = np.cumsum(first) - 1, link + len(self.links) * ~rise
        branch, fine = self._at_rest(link[first], at[first], rise[first])
        fine = fine[group] & (not has_faces(self.problem))  # there a gap that is closed need not tell what is lacking
        ways = ((fine, branch, group), (~fine, self.both, lacking))
        branch = in_order([(np.flatnonzero(which), of.copied(number[which])[0]) for which, of, number in ways if which.any()])
        face, by = self.both.face[rows], at - np.log(self.both.b[rows])
        means = drifted(self.problem, self.both.means[rows], face, by[:, None] * self.tangent[rows, 1:])
        return Sought(self.links[link], np.where(fine, group, len(rows) + lacking), rise, means, face, branch)

    def middles(self) -> tuple[Ints, Batch]:
        """Starts inside all links, between the betas at which atoms come or go, if these are apart; and the links of these."""
        rows = np.flatnonzero(
            self.odd & (self.comes > self.low[self.link]) & (self.comes < (self.low + self.width)[self.link])
        )
        rows = rows[np.lexsort((self.comes[rows], self.link[rows]))]
        link, comes = self.link[rows], self.comes[rows]
        apart = np.flatnonzero((np.diff(link) == 0) & (np.diff(comes) > APART * self.width[link[:-1]]))
        others = np.setdiff1d(np.arange(len(self.links)), link[apart])
        of = np.append(link[apart], np.repeat(others, len(SHARES)))
        at = 0.5 * (comes[apart] + comes[apart + 1])
        at = np.append(at, self.low[others, None] + SHARES * self.width[others, None])
        return self.links[of], self._led(of, at, self.grows[of])

    def _at_rest(self, of: Ints, at: Array, rise: Mask) -> tuple[Batch, Mask]:
        """Solutions at log betas (E,) in links, from either end; and which come to rest."""
        count = np.arange(len(of))
        ways = in_order([(count + len(of) * upper, self._led(of, at, np.full(len(of), upper))) for upper in (False, True)])
        ways, sweep = settled(self.problem, ways)
        below, above = np.split(whole(self.problem, ways, sweep), 2)
        upper = np.where(below == above, ~rise, above)
        return ways.copied(count + len(of) * upper)[0], below | above

    def _led(self, of: Ints, at: Array, main: Mask) -> Batch:
        """Where the tangents lead at log betas (E,) in links: the odd atoms that are there by then, and the others of one end."""
        start, rows = self.both.copied(np.append(of, of + len(self.links)))
        owner, upper = start.owner % len(of), self.upper[rows]
        there = np.where(upper, self.comes[rows] < at[owner], self.comes[rows] > at[owner])
        start = predicted(self.problem, start, self.tangent[rows], np.exp(np.tile(at, 2)))
        own = upper == main[owner]
        keep = np.where(self.odd[rows], there, own)

        def kept() -> Batch:
            beta = start.beta[: len(of)]
            return by_owner(beta, start.weights[keep], start.means[keep], owner[keep], start.face[keep]).normalised()

        keep |= own & ~(np.bincount(owner[keep], minlength=len(of)) > 0)[owner]  # some atom must
        keep |= own & ~feasible(self.problem, kept())[owner]  # ... and each source needs one that it can reach
        return kept()
