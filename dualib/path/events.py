"""Every event between certified solutions of a grid of betas, as batches of root findings.

A `Chain` starts with the solutions of the grid. In each round all of its open links (whose atoms do not match one to one) are worked
on at once. Where clusters are only born, or only die, the first touching along the branch without them is sought; where the atoms on
either side differ otherwise, the crossing of the two branches. What is found and certified goes into the chain with a solution on
either side, so that the rest of the interval is judged like any other. What fails is divided by a certified solution. When
no link is open the changes of the number of clusters from one end of the grid to the other are explained, one by one.
"""

from __future__ import annotations

import itertools

import numpy as np

from dualib.distortions.interface import Mask
from dualib.engine.batch import Batch, in_order
from dualib.engine.initial import feasible
from dualib.engine.optimum import certify
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.search import price
from dualib.engine.sweep import Sweep
from dualib.path.births import LOCATED, TOUCH, births, births_near
from dualib.path.branch import FARTHEST, one_branch, polished, predicted, settled, tangents, whole
from dualib.path.chain import Bifurcation, Chain, Piece
from dualib.path.crossing import Reach, crossing, reach
from dualib.path.hidden import suspects
from dualib.path.maxima import maxima_near
from dualib.progress import Reporter

SAME = 1e-13  # part of 1 + |G| within which two solutions are as good as each other
NARROW = 1e-7  # links are not divided further, in log beta
CROWDED, PATIENCE = 1e-3, 8  # in log beta; divisions of links below that, between two points of the grid, that are worth it
QUIET = 1e-4  # width, in log beta, of links in which what is born and dies again is worth less than certificates tell
MOST_BIRTHS = 8  # clusters sought at once in a narrow link, where they may be born together; one in others
MIXED = 3  # clusters born and dead, together, up to which a birth is sought among them, and the link is not divided at once
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
    looked_at, certified = set[tuple[float, float]](), set[float]()
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
            if round_ < MOST_ROUNDS and _improved(chain, certified):
                continue
            pieces = _hidden(chain, looked_at)
            chain.insert(pieces)
            if not pieces:
                break
            continue
        links = np.setdiff1d(links, _joined(chain, links)).astype(np.int64)
        count = len(links)
        report.expect(count)
        one_way = (np.minimum(chain.died, chain.born) == 0)[links]
        few = (chain.died + chain.born)[links] <= np.where(chain.width[links] < CROWDED, MOST_BIRTHS, 1)
        pieces, leaping = births(chain, links[one_way & few])
        crossed, replaced = _jumps(chain, np.union1d(links[~one_way], leaping).astype(np.int64))
        pieces += crossed
        mixed = links[~one_way & ((chain.died + chain.born)[links] <= MIXED)]
        mixed = np.setdiff1d(mixed, [int(place) for place, _, _ in crossed] + replaced).astype(np.int64)
        pieces += births(chain, mixed[chain.counts[mixed] != chain.counts[mixed + 1]])[0]
        done = np.unique([int(place) for place, _, _ in pieces] + replaced).astype(np.int64)
        links = np.setdiff1d(links, done).astype(np.int64)
        crowded = chain.batch.beta[links[chain.width[links] < CROWDED]]
        np.subtract.at(patience, np.searchsorted(batch.beta, crowded, side="right"), 1)
        pieces += _middles(chain, links)
        chain.insert(pieces)
        for _ in range(count):
            report.step()
    _coarsen(chain)
    return chain


def _improved(chain: Chain, certified: set[float]) -> bool:
    """Certify what was solved on the way, once each; whether some were not optimal, and gave way to those that are."""
    rest = np.flatnonzero(~chain.given & ~chain.sides() & ~np.isin(chain.batch.beta, list(certified)))
    if not len(rest):
        return False
    part = chain.batch.copied(rest)[0]
    certified.update(part.beta.tolist())
    worse = price(chain.problem, part, Sweep(chain.problem, part)).gap > TOUCH
    if worse.any():
        other = certify(chain.problem, part.pick(worse)[0], coarse=False, proofs=False).batch
        chain.replace(rest[worse], polished(chain.problem, other))
    return bool(worse.any())


def _hidden(chain: Chain, looked_at: set[tuple[float, float]]) -> list[Piece]:
    """Births in links whose atoms match, of clusters that die again; each link is looked at once."""
    ends = list(itertools.pairwise(chain.batch.beta.tolist()))
    quiet = [i for i, pair in enumerate(ends) if chain.events[i] is None and chain.width[i] > QUIET and pair not in looked_at]
    looked_at.update(ends[i] for i in quiet)
    link, points = suspects(chain.problem, chain.batch, np.array(quiet, dtype=np.int64))
    if not len(link):
        return []
    return births_near(chain, link, np.ones(len(link), dtype=bool), points.means, points.face)[0]


def _sliding(chain: Chain, links: Ints) -> Mask:
    """Links whose ends have one odd atom each, not far from each other: maybe one that moves faster than `radius` allows."""
    near = (chain.died[links] == 1) & (chain.born[links] == 1)
    gone, new = (np.array([chain.odd(i, rise)[0] for i in links[near]], dtype=np.int64) for rise in (False, True))
    means, V = chain.batch.means, chain.problem.link(chain.batch.means, chain.batch.face)[0]
    apart = chain.batch.b[new] * inner(means[new] - means[gone], V[new] - V[gone])
    near[near] = (apart < FARTHEST) & (chain.batch.face[new] == chain.batch.face[gone])
    return near


def _joined(chain: Chain, links: Ints) -> Ints:
    """The links between solutions of one branch, an atom of which moves too fast to be matched."""
    links = links[_sliding(chain, links)]
    if len(links):
        links = links[one_branch(chain.problem, chain.batch.copied(links)[0], chain.batch.copied(links + 1)[0])]
        chain.join(links)
    return links


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
        if price(chain.problem, first, Sweep(chain.problem, first)).gap[0] > TOUCH:
            continue
        i, beta = int(links[j]), float(np.exp(found.log_beta[j]))
        event = Bifurcation("jump", beta, max(int(chain.born[i]), int(chain.died[i]), 1), 2.0 * LOCATED, True)
        pieces += [(i + 0.3, first, event), (i + 0.6, second, None)]
    return pieces


def _middles(chain: Chain, links: Ints) -> list[Piece]:
    """Solutions inside links: between the betas at which their odd atoms lose their weight, by the tangents.

    Certified only where atoms that are lost, or lacking, show; all the others in the end.
    """
    if not len(links):
        return []
    problem, rising = chain.problem, chain.born[links] > chain.died[links]
    part, rows = chain.batch.copied(links + rising)
    odd = np.where(rising[part.owner], chain.down[rows], chain.up[rows])
    tangent, _ = tangents(problem, part, Sweep(problem, part))
    low, high, begin = chain.log_beta[links], chain.log_beta[links + 1], np.log(part.beta)
    middle = 0.5 * (low + high)
    ends = begin[part.owner] - 1.0 / tangent[:, 0]
    for j in range(len(links)):
        at = np.sort(ends[odd & (part.owner == j) & (ends > low[j]) & (ends < high[j])])
        widest = np.argmax(np.diff(at)) if len(at) > 1 else 0
        if len(at) > 1 and at[widest + 1] - at[widest] > 0.1 * (high[j] - low[j]):
            middle[j] = 0.5 * (at[widest] + at[widest + 1])
    by = middle - begin
    lasts = ~odd | ((ends - begin[part.owner]) / by[part.owner] > 1.0)
    lasts |= _sliding(chain, links)[part.owner]
    lasts |= ~np.logical_or.reduceat(lasts, part.start)[part.owner]  # some atom must
    lasts |= ~feasible(problem, part.keep(lasts))[part.owner]  # ... and each source needs one at a finite distance
    start = predicted(problem, part, tangent, by).keep(lasts)
    solutions, sweep = settled(problem, start)
    bad = ~whole(problem, solutions, sweep) | _lacking(chain, links, solutions, sweep)
    if bad.any():
        other = polished(problem, certify(problem, start.pick(bad)[0], coarse=False, proofs=False).batch)
        parts = [(np.flatnonzero(bad), other), (np.flatnonzero(~bad), solutions.pick(~bad)[0])]
        solutions = in_order(parts if not bad.all() else parts[:1])
    return [(float(i) + 0.5, solutions.one(j), None) for j, i in enumerate(links)]


def _lacking(chain: Chain, links: Ints, batch: Batch, sweep: Sweep) -> Mask:
    """Which solutions within links lack a cluster that would lower their objective near the odd atoms of either end."""
    odd = [[*chain.odd(i, True), *chain.odd(i, False)] for i in links]
    rows, owner = np.concatenate(odd).astype(np.int64), np.repeat(np.arange(len(links)), [len(some) for some in odd])
    maxima = maxima_near(chain.problem, batch, sweep, chain.batch.means[rows], chain.batch.face[rows], owner)
    return np.bincount(owner[maxima.exists & (maxima.height > TOUCH)], minlength=len(links)) > 0


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
