"""Every event between certified solutions of a grid of betas, as batches of root findings.

A `Chain` starts with the solutions of the grid. In each round all of its open links (whose atoms do not match one to one) are worked
on at once. Where clusters are only born, or only die, the first touching along the branch without them is sought; where the atoms on
either side differ otherwise, the crossing of the two branches. What is found and certified goes into the chain with a solution on
either side, so that the rest of the interval is judged like any other. What fails is divided by a certified solution. When
no link is open the changes of the number of clusters from one end of the grid to the other are explained, one by one.
"""

from __future__ import annotations

import numpy as np

from dualib.engine import Array, Batch, Problem, Sweep, certify, heights, nearest, price
from dualib.path.branch import arranged, copied, followed, predicted, tangents, whole
from dualib.path.chain import Bifurcation, Chain
from dualib.path.crossing import Reach, crossing, reach
from dualib.path.touching import Touching, touching

TOUCH = 1e-9  # gap allowed at an event
LOCATED = 1e-10  # relative accuracy stated of a root
TIED = 1e-9  # difference in log beta below which clusters are born at once
BEYOND = (1e-5, 1e-6, 2e-7)  # in log beta, from an event to the solution on its far side
BESIDE = 0.1  # squared natural distance below which a cluster is born so near another that Newton's method may go astray
SMOOTH = 1e3  # weight, by distance in log beta from the event, of what grows out of it
SAME = 1e-13  # nats, within which two solutions are as good as each other
NARROW = 1e-7  # links are not divided further, in log beta
MOST_BIRTHS = 4  # clusters sought at once between two points
MOST_ROUNDS = 60

Piece = tuple[float, Batch, Bifurcation | None]  # of a chain: place, one solution, what follows it


def locate(problem: Problem, batch: Batch, log: list | None = None) -> Chain:
    """The chain between certified solutions in ascending order of beta, every link explained.

    Parameters
    ----------
    problem : Problem
    batch : Batch
        Solutions at S betas, ascending, each certified to be optimal.

    Returns
    -------
    Chain
        With the same betas among its own; solutions of the grid that a neighbour's branch replaces are as good.
    """
    chain, cleaned = Chain(problem, batch), set[float]()
    for round_ in range(MOST_ROUNDS + 1):
        clear(chain, cleaned)
        links = chain.open()
        narrow = links[(chain.width[links] < NARROW) | (round_ == MOST_ROUNDS)]
        for i in narrow:
            chain.events[i] = bracketed(chain, i)
        links = np.setdiff1d(links, narrow)
        if not len(links):
            break
        one_way = (np.minimum(chain.died, chain.born) == 0)[links]
        few = (chain.died + chain.born)[links] <= MOST_BIRTHS
        pieces, leaping = births(chain, links[one_way & few])
        crossed, replaced = jumps(chain, np.union1d(links[~one_way], leaping).astype(int))
        pieces += crossed
        done = np.unique([int(place) for place, _, _ in pieces] + replaced).astype(int)
        if log is not None:
            log.append((round_, len(links), int((one_way & few).sum()), len(done), len(replaced)))
        pieces += middles(chain, np.setdiff1d(links, done))
        if pieces:
            places, parts, events = zip(*pieces, strict=True)
            chain.insert(np.array(places), joined(parts), list(events))
    return chain


def joined(parts) -> Batch:
    """One batch of batches of one."""
    return arranged([(np.array([i]), part) for i, part in enumerate(parts)])


def single(batch: Batch, i: int) -> Batch:
    return copied(batch, np.array([i]))[0]


# --------------------------------------------------------------------------------------------------------------------- births
def births(chain: Chain, links: Array) -> tuple[list[Piece], list[int]]:
    """The first birth in links across which clusters are only born, the last death in those where they only die.

    And the links in which what touches first is a jump: its clusters begin with weight.
    """
    if not len(links):
        return [], []
    problem, rising = chain.problem, chain.born[links] > 0
    atoms = [chain.odd(i, rise) for i, rise in zip(links, rising, strict=True)]
    link, rise = (np.repeat(values, [len(rows) for rows in atoms]) for values in (links, rising))
    rows = np.concatenate(atoms)
    branch = copied(chain.batch, np.where(rise, link, link + 1))[0]
    ends = chain.log_beta[link], chain.log_beta[link + 1]
    found = touching(problem, branch, chain.batch.M[rows], *ends, rise)
    first, tied = leading(found, link, rise)
    if not len(first):
        return [], []
    at = copied(found.branch, first)[0]
    certain = price(problem, at, Sweep(problem, at))[3] <= TOUCH
    first, tied = first[certain], [some for some, ok in zip(tied, certain, strict=True) if ok]
    if not len(first):
        return [], []
    others, smooth = beyond(chain, found, first, tied, link[first], rise[first])
    pieces: list[Piece] = []
    for j, (one, many) in enumerate(zip(first, tied, strict=True)):
        i, beta = int(link[one]), float(np.exp(found.log_beta[one]))
        if not smooth[j]:
            continue
        event = Bifurcation("split" if found.divides[one] else "appearance", beta, len(many), 2.0 * LOCATED, True)
        near, far = single(found.branch, one), single(others, j)
        near.beta[:] = beta
        below, above = (near, far) if rise[one] else (far, near)
        pieces += [(i + 0.3, below, event), (i + 0.6, above, None)]
    return pieces, [int(link[one]) for one, ok in zip(first, smooth, strict=True) if not ok]


def leading(found: Touching, link: Array, rising: Array) -> tuple[Array, list[Array]]:
    """Of each link the root that comes first along its branch (by number), and those tied with it."""
    first, tied = [], []
    along = np.where(rising, found.log_beta, -found.log_beta)
    for i in np.unique(link):
        mine = np.flatnonzero((link == i) & np.isfinite(along))
        if len(mine):
            one = mine[np.argmin(along[mine])]
            first.append(one)
            tied.append(mine[along[mine] < along[one] + TIED])
    return np.array(first, int), tied


def beyond(chain: Chain, found: Touching, first: Array, tied: list[Array], link: Array, rising: Array) -> tuple[Batch, Array]:
    """Certified solutions a little past the touchings, and whether they grow out of these: with the clusters born there, and no other."""
    problem, sign = chain.problem, np.where(rising, 1.0, -1.0)
    room = np.where(rising, chain.log_beta[link + 1] - found.log_beta[first], found.log_beta[first] - chain.log_beta[link])
    finished, numbers, smooth = [], np.arange(len(first)), np.zeros(len(first), bool)
    for step in BEYOND:
        by = sign[numbers] * np.minimum(step, 0.5 * np.maximum(room[numbers], 2.0 * BEYOND[-1]))
        base = copied(found.branch, first[numbers])[0]
        start = grown(problem, base, found, [tied[j] for j in numbers], by)
        new, _, arrives = followed(problem, start, start.beta)
        alone = np.array([len(tied[j]) == 1 for j in numbers])
        plain = arrives & alone & (isolation(problem, base, found.M[first[numbers]]) > BESIDE)
        if not plain.all():
            again = certify(problem, start.pick(~plain)[0], [], coarse=False)[0]
            new = arranged([(np.flatnonzero(~plain), again), (np.flatnonzero(plain), copied(new, np.flatnonzero(plain))[0])])
        ok = (np.diff(new.ends) == np.diff(start.ends)) & (moved(problem, base, new) < SMOOTH * np.abs(by))
        smooth[numbers[ok]] = True
        done = ok | (step == BEYOND[-1])
        finished.append((numbers[done], copied(new, np.flatnonzero(done))[0]))
        numbers = numbers[~done]
        if not len(numbers):
            break
    return arranged(finished), smooth


def isolation(problem: Problem, batch: Batch, M: Array) -> Array:
    """The squared natural distance of a point of each solution (S, k) from its nearest atom."""
    V = problem.kind.link(batch.M)[0]
    return nearest(batch.beta, batch.ends, batch.M, V, np.arange(len(M)), M, problem.kind.link(M)[0], False)[0]


def moved(problem: Problem, base: Batch, new: Batch) -> Array:
    """The weight of each solution's atoms away from those of another (S,), by the squared natural distance, at most 1."""
    V, link = problem.kind.link(base.M)[0], problem.kind.link(new.M)[0]
    apart = nearest(base.beta, base.ends, base.M, V, new.owner, new.M, link, False)[0]
    return new.total(new.w * np.minimum(apart, 1.0))


def grown(problem: Problem, base: Batch, found: Touching, tied: list[Array], by: Array) -> Batch:
    """Starts for the solutions past touchings: the branches with the clusters that are born, or the halves of those that divide."""
    tangent, _ = tangents(problem, base, Sweep(problem, base))
    start = predicted(problem, base, tangent, by)
    owner = np.repeat(np.arange(len(tied)), [len(some) for some in tied])
    M = found.M[np.concatenate(tied)]
    value, _, _, terms = heights(problem, Sweep(problem, start).log_z, start.beta, M, owner)
    excess = np.expm1(value)
    w = np.clip(excess / np.maximum(terms**2 @ problem.px - 2.0 * excess - 1.0, 1e-12), 1e-12, 0.1)
    return start.joined(w, M, owner).keep(np.ones(len(start.w) + len(w), bool))


# ---------------------------------------------------------------------------------------------------------------------- jumps
def jumps(chain: Chain, links: Array) -> tuple[list[Piece], list[int]]:
    """The jumps in links whose two branches cross where both are optimal.

    And the links where one branch is as good as the other's end: there the optimum is flat, or the solution at that end had
    not settled on its atoms. It gives way in the chain to that branch; if both might, the one of more atoms does.
    """
    if not len(links):
        return [], []
    problem = chain.problem
    ends = reach(problem, copied(chain.batch, links)[0], copied(chain.batch, links + 1)[0])
    above_gives, below_gives = ends.same(SAME)
    fewer = chain.counts[links] <= chain.counts[links + 1]
    free = ~sides(chain)
    above_gives &= free[links + 1] & (fewer | ~below_gives)
    below_gives &= free[links] & ~above_gives
    below_gives &= ~np.isin(links, links[above_gives] + 1)
    chosen = [(links[above_gives] + 1, ends.up.pick(above_gives)[0])] if above_gives.any() else []
    chosen += [(links[below_gives], ends.down.pick(below_gives)[0])] if below_gives.any() else []
    cross = np.flatnonzero(ends.crosses() & ~above_gives & ~below_gives)
    pieces = leaps(chain, links[cross], ends.pick(cross)) if len(cross) else []
    for numbers, part in chosen:
        chain.replace(numbers, part)
    return pieces, [int(i) for i in links[above_gives | below_gives]]


def leaps(chain: Chain, links: Array, ends: Reach) -> list[Piece]:
    """The jumps between branches that cross."""
    found, pieces = crossing(chain.problem, ends), []
    for j in np.flatnonzero(np.isfinite(found.log_beta)):
        first, second = single(found.below, j), single(found.above, j)
        if price(chain.problem, first, Sweep(chain.problem, first))[3][0] > TOUCH:
            continue
        i, beta = int(links[j]), float(np.exp(found.log_beta[j]))
        event = Bifurcation("jump", beta, max(int(chain.born[i]), int(chain.died[i]), 1), 2.0 * LOCATED, True)
        pieces += [(i + 0.3, first, event), (i + 0.6, second, None)]
    return pieces


def sides(chain: Chain) -> Array:
    """Which solutions are a side of an event."""
    left = np.array([event is not None for event in chain.events])
    return left | np.append(False, left[:-1])


# -------------------------------------------------------------------------------------------------------------------- the rest
def middles(chain: Chain, links: Array) -> list[Piece]:
    """Certified solutions inside links: between the betas at which their odd atoms lose their weight, by the tangents."""
    if not len(links):
        return []
    problem, rising = chain.problem, chain.born[links] > chain.died[links]
    part, rows = copied(chain.batch, links + rising)
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
    lasts = ~(np.add.reduceat(~odd, part.start, dtype=int) > 0)[part.owner]
    lasts |= (ends - begin[part.owner]) / by[part.owner] > 1.0
    start = predicted(problem, part, tangent, by).keep(~odd | lasts)
    solutions = certify(problem, start, [], coarse=False)[0]
    return [(float(i) + 0.5, single(solutions, j), None) for j, i in enumerate(links)]


def clear(chain: Chain, cleaned: set[float]) -> None:
    """Solutions with more atoms than both neighbours lose the odd ones once: they come back if they belong there."""
    lonely = np.add.reduceat(chain.up & chain.down, chain.batch.start, dtype=int)
    more = (lonely > 0) & (lonely < chain.counts)
    more[1:-1] &= (chain.counts[1:-1] > chain.counts[:-2]) & (chain.counts[1:-1] > chain.counts[2:])
    more &= ~sides(chain) & ~np.isin(chain.batch.beta, list(cleaned))
    which = np.flatnonzero(more)
    if len(which):
        part, rows = copied(chain.batch, which)
        cleaned.update(part.beta)
        odd = chain.up[rows] & chain.down[rows]
        chain.replace(which, certify(chain.problem, part.keep(~odd), [], coarse=False)[0])


def bracketed(chain: Chain, link: int) -> Bifurcation:
    """A change of which only the two solutions around it are known."""
    beta, width = chain.batch.beta[link : link + 2], float(chain.width[link])
    number = max(int(chain.born[link]), int(chain.died[link]))
    return Bifurcation("appearance", float(np.sqrt(beta[0] * beta[1])), number, width, False)
