"""Every event between certified solutions of a grid of betas, as batches of root findings.

A `Chain` starts with the solutions of the grid. In each round all of its open links (whose atoms do not match one to one) are worked
on at once. Where the atoms at either end differ both ways, the crossing of the two branches is sought; else all births, each along
the branch of those atoms that are there by then (`inside`). What is found and certified goes into the chain with a solution on
either side, so that the rest of the interval is judged like any other. What fails is divided by certified solutions. When
no link is open the changes of the number of clusters from one end of the grid to the other are explained, one by one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from dualib.engine.batch import Batch, moved
from dualib.engine.initial import feasible
from dualib.engine.optimum import certify
from dualib.engine.problem import Ints, Problem
from dualib.path.beyond import TOUCH, looked_at
from dualib.path.births import LOCATED, births
from dualib.path.branch import polished
from dualib.path.chain import Bifurcation, Chain, Piece, together
from dualib.path.crossing import Reach, crossing, reach
from dualib.path.hidden import suspects
from dualib.path.inside import Inside, Sought
from dualib.path.meeting import meetings
from dualib.progress import Reporter

SAME = 1e-13  # part of 1 + |G| within which two solutions are as good as each other
NARROW = 1e-7  # links are not divided further, in log beta
CROWDED, PATIENCE = 1e-3, 8  # in log beta; divisions of links below that, between two points of the grid, that are worth it
QUIET = 1e-4  # width, in log beta, of links in which what is born and dies again is worth less than certificates tell
# odd atoms of a link up to which their births are sought; where some are born and some die, or the link is wide, in log beta: it is
# divided first, for one birth after the other would be found
MOST_BIRTHS, FEW, WIDE = 8, 3, 0.01
MOST_ROUNDS = 30


@np.errstate(all="ignore")
def locate(problem: Problem, batch: Batch, report: Reporter | None = None) -> Chain:
    """The chain between certified solutions in ascending order of beta, every link explained.

    Parameters
    ----------
    problem : Problem
    batch : Batch
        Solutions at S betas, ascending, each certified to be optimal.
    report : Reporter, optional
        Told of every link that is worked on.

    Returns
    -------
    Chain
        With the same betas among its own; solutions of the grid that a neighbour's branch replaces are as good.
    """
    report = Reporter() if report is None else report
    chain, cleared = Chain(problem, polished(problem, batch)), set[float]()
    looked_at = set[tuple[float, float]]()
    patience = np.full(len(batch.beta) + 1, PATIENCE)
    for round_ in range(MOST_ROUNDS + 1):
        _clear(chain, cleared)
        links = chain.open()
        interval = np.searchsorted(batch.beta, chain.batch.beta[links], side="right")
        hopeless = (chain.width[links] < CROWDED) & (patience[interval] <= 0)
        narrow = links[(chain.width[links] < NARROW) | hopeless | (round_ == MOST_ROUNDS)]
        for i in narrow:
            chain.events[i] = _bracketed(chain, i)
        links = np.setdiff1d(links, narrow)
        if not len(links):
            pieces = _hidden(chain, looked_at)
            chain.insert(pieces)
            if not pieces:
                break
            continue
        dividing, joined = _joined(chain, links)
        links = np.setdiff1d(links, joined).astype(np.int64)
        count = len(links)
        report.expect(count)
        pieces, replaced = _jumps(chain, links[np.minimum(chain.died, chain.born)[links] > 0])
        links = _without(links, pieces, replaced)
        links = links[(chain.died + chain.born)[links] > 0]
        born, died = chain.born[links], chain.died[links]
        involved = (np.minimum(born, died) > 0) | (chain.width[links] > WIDE)
        few = links[(born != died) & (born + died <= np.where(involved, FEW, MOST_BIRTHS))]
        found, leaping = births(chain, Inside(chain, few).births()) if len(few) else ([], [])
        crossed, replaced = _jumps(chain, _without(np.array(leaping, dtype=np.int64), found, []))
        pieces += found + crossed
        links = _without(links, pieces, replaced)
        crowded = chain.batch.beta[links[chain.width[links] < CROWDED]]
        np.subtract.at(patience, np.searchsorted(batch.beta, crowded, side="right"), 1)
        pieces += _middles(chain, links)
        chain.insert(pieces + dividing)
        for _ in range(count):
            report.step()
    _coarsen(chain)
    return chain


def _without(links: Ints, pieces: list[Piece], others: list[int]) -> Ints:
    """Those of some links that no piece is for, and that are not among others."""
    return np.setdiff1d(links, [link for link, _, _ in pieces] + others).astype(np.int64)


def _hidden(chain: Chain, looked_at: set[tuple[float, float]]) -> list[Piece]:
    """What links whose atoms match hide, births and deaths in pairs; each link is looked at once.

    Where the birth that is suspected cannot be found, or an atom may die, a certified solution there tells.
    """
    ends = list(itertools.pairwise(chain.batch.beta.tolist()))
    quiet = [i for i, pair in enumerate(ends) if chain.events[i] is None and chain.width[i] > QUIET and pair not in looked_at]
    looked_at.update(ends[i] for i in quiet)
    link, points, beta, odd, at = suspects(chain.problem, chain.batch, np.array(quiet, dtype=np.int64), chain.beside())
    pieces = list[Piece]()
    if len(link):
        rise = np.ones(len(link), dtype=bool)
        sought = Sought(link, link, rise, points.means, points.face, chain.batch.copied(link)[0])
        pieces = births(chain, sought)[0]
    where = dict(zip(np.append(odd, link).tolist(), np.append(at, beta), strict=True))
    found = {i for i, _, _ in pieces}
    unclear = [i for i in sorted(where) if chain.width[i] > WIDE and i not in found and not chain.is_joined(i)]
    if unclear:
        start = moved(chain.batch.copied(unclear)[0], np.array([where[i] for i in unclear]))
        pieces += _certified(chain, unclear, start)
    return pieces


def _joined(chain: Chain, links: Ints) -> tuple[list[Piece], Ints]:
    """The links between solutions of one branch, an atom of which moves too fast to be matched, and that is optimal in between.

    And solutions in those where it is not: while an atom moves fast, another one may be born in its place, and die as it arrives.
    """
    links, problem = links[chain.sliding(links)], chain.problem
    if not len(links):
        return [], links
    met = meetings(problem, chain.batch.copied(links)[0], chain.batch.copied(links + 1)[0])
    links, parts = links[[branch is not None for branch in met]], [branch for branch in met if branch is not None]
    if not parts:
        return [], links
    middles = _certified(chain, links, together(parts))
    optimal = np.array([len(middle.weights) for _, middle, _ in middles]) == chain.counts[links]
    chain.join(links[optimal])
    return [middle for middle, ok in zip(middles, optimal, strict=True) if not ok], links


def _jumps(chain: Chain, links: Ints) -> tuple[list[Piece], list[int]]:
    """The jumps in links whose two branches cross where both are optimal.

    And the links where one branch is as good as the other's end: there the optimum is flat, or the solution at that end had
    not settled on its atoms. It gives way in the chain to that branch; if both might, the one of more atoms does.
    """
    if not len(links):
        return [], []
    ends = reach(chain.problem, chain.batch.copied(links)[0], chain.batch.copied(links + 1)[0])
    cross = np.flatnonzero(ends.crosses())
    pieces = _leaps(chain, links[cross], ends.pick(cross)) if len(cross) else []
    above_gives, below_gives = ends.same(SAME)
    fewer, free = chain.counts[links] <= chain.counts[links + 1], ~chain.sides()
    rest = ~np.isin(links, [int(place) for place, _, _ in pieces])
    above_gives &= rest & free[links + 1] & (fewer | ~below_gives)
    below_gives &= rest & free[links] & ~above_gives & ~np.isin(links, links[above_gives] + 1)
    given = above_gives | below_gives
    for which, part, shift in ((above_gives, ends.up, 1), (below_gives, ends.down, 0)):
        if which.any():
            chain.replace(links[which] + shift, part.pick(which)[0])
    # of one branch now, even where two of its atoms were so near each other that matching cannot tell them apart
    chain.join(links[given])
    return pieces, links[given].tolist()


def _leaps(chain: Chain, links: Ints, ends: Reach) -> list[Piece]:
    """The jumps between branches that cross."""
    found, pieces = crossing(chain.problem, ends), list[Piece]()
    for j in np.flatnonzero(np.isfinite(found.log_beta)):
        first, second = found.below.one(j), found.above.one(j)
        if looked_at(chain.problem, first).gap[0] > TOUCH:
            continue
        i, beta = int(links[j]), float(np.exp(found.log_beta[j]))
        event = Bifurcation("jump", beta, max(int(chain.born[i]), int(chain.died[i]), 1), 2.0 * LOCATED, True)
        pieces += [(i, first, event), (i, second, None)]
    return pieces


def _middles(chain: Chain, links: Ints) -> list[Piece]:
    """Certified solutions inside links: between the betas at which their odd atoms come or go, by the tangents."""
    if not len(links):
        return []
    return _certified(chain, *Inside(chain, links).middles())


def _certified(chain: Chain, links: Sequence[int] | Ints, start: Batch) -> list[Piece]:
    """Certified solutions inside links, from starts near them."""
    batch = polished(chain.problem, certify(chain.problem, start, coarse=False, proofs=False).batch)
    return [(int(link), batch.one(j), None) for j, link in enumerate(links)]


def _clear(chain: Chain, cleared: set[float]) -> None:
    """Solutions with more atoms than both neighbours lose the odd ones once: they come back if they belong there."""
    lonely = np.add.reduceat(chain.up & chain.down, chain.batch.start, dtype=int)
    more = (lonely > 0) & (lonely < chain.counts)
    more[1:-1] &= (chain.counts[1:-1] > chain.counts[:-2]) & (chain.counts[1:-1] > chain.counts[2:])
    which = np.flatnonzero(more & ~chain.sides() & ~np.isin(chain.batch.beta, list(cleared)))
    if len(which):
        part, rows = chain.batch.copied(which)
        cleared.update(part.beta.tolist())
        matched = ~(chain.up[rows] & chain.down[rows])
        matched |= ~feasible(chain.problem, part.keep(matched))[part.owner]
        chain.replace(
            which, polished(chain.problem, certify(chain.problem, part.keep(matched), coarse=False, proofs=False).batch)
        )


def _bracketed(chain: Chain, link: int) -> Bifurcation:
    """A change of which only the two solutions around it are known."""
    beta, width = chain.batch.beta[link : link + 2], float(chain.width[link])
    number = max(int(chain.born[link]), int(chain.died[link]))
    return Bifurcation("appearance", float(np.sqrt(beta[0] * beta[1])), number, width, False)


def _coarsen(chain: Chain) -> None:
    """Brackets close to each other become one: where so many are, the optimum is flat, and what lies between them is chance."""
    brackets = [i for i, event in enumerate(chain.events) if event is not None and not event.located]
    drop: list[int] = []
    for i, j in itertools.pairwise(brackets):
        inside = np.arange(i + 1, j + 1)
        between = [chain.events[k] for k in inside[:-1]]
        if not chain.given[inside].any() and not any(between) and chain.log_beta[j] - chain.log_beta[i + 1] < CROWDED:
            drop += inside.tolist()
    if drop:
        chain.forget(np.array(drop))
        for i, event in enumerate(chain.events[:-1]):
            if event is not None and not event.located:
                chain.events[i] = _bracketed(chain, i) if chain.died[i] + chain.born[i] else None
