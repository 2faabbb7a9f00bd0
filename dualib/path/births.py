"""Births, deaths and splits in the links of a chain: the first touching of each, certified, and a solution on its far side."""

from __future__ import annotations

import numpy as np

from dualib.distortions.bottlenecks import IB
from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import Batch, in_order, nearest
from dualib.engine.faces import has_faces
from dualib.engine.judge import judge
from dualib.engine.optimum import certify
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.search import Found, price
from dualib.engine.sweep import Sweep, log_c
from dualib.path.branch import MOST_PRODUCTS, followed, led, polished, predicted, response, settled, stepped, tangents, whole
from dualib.path.chain import Bifurcation, Chain, Piece
from dualib.path.inside import Sought
from dualib.path.maxima import BESIDE, maxima_near, ridges, rise
from dualib.path.touching import Touching, touching

TOUCH = 1e-9  # gap allowed at an event, nats
FAINT = 1e-12  # gap to which a solution past an event is closed: what a newborn cluster is worth there
MOST_TRIES = 4  # touchings, each of what was lacking at the last, before the first one is found
LOCATED = 1e-10  # relative accuracy stated of a root
TIED = 1e-9  # difference in log beta below which clusters are born at once
TWO = 1e-3  # squared natural distance of two clusters that are born at once
# in log beta, from an event to the solution on its far side; where a cluster grows fast; where an atom divides only slowly
BEYOND, NEARER, FARTHER = 1e-5, 1e-6, 1e-3
RESPONSE = 1e-4  # relative residual of what the other atoms do as a cluster grows
NOTHING = 1e-50  # of a mean, which sweeps would take to 0
AT_REST = 1e-11  # residual there; where an atom has all but divided the weights are far off with one of 1e-9
STEPS_BACK = 8  # of a branch from the far end of its link to BEYOND
CLOSE = 0.04  # twice that step, by the squared natural distance of a newborn cluster from the nearest
SMOOTH, JUMPED = 1e5, 0.03  # weight of what grows out of an event, by the distance in log beta from it, and at most


def births(chain: Chain, sought: Sought, tries: int = MOST_TRIES) -> tuple[list[Piece], list[int]]:
    """The first birth of each group, where it is certain; and the links in which what touches first is a jump.

    Where another cluster is lacking already when one touches, as one off its face is, it is that one's birth, after so many `tries`.
    """
    problem = chain.problem
    means, face = _narrowed(problem, sought.means, sought.face)
    low, high = chain.log_beta[sought.link], chain.log_beta[sought.link + 1]
    found = touching(problem, sought.branch, means, face, low, high, sought.rise)
    first, tied = _leading(found, sought.group, sought.rise)
    pieces, leaping = list[Piece](), list[int]()
    if len(first):
        states = found.branch.copied(first)[0]
        seen = looked_at(problem, states)
        certain, link = seen.gap <= TOUCH, sought.link[first]
        others, one_each = np.unique(np.where(np.isin(link, link[certain]), -1, link), return_index=True)
        others, one_each = others[others >= 0], one_each[others >= 0]
        if tries > 1 and len(others):
            branch, best = states.copied(one_each)[0], seen.best.pick(one_each)
            again = Sought(others, others, sought.rise[first[one_each]], best.means, best.face, branch)
            pieces, leaping = births(chain, again, tries - 1)
        first, tied = first[certain], [some for some, ok in zip(tied, certain, strict=True) if ok]
    if not len(first):
        return pieces, leaping
    order = np.lexsort((found.log_beta[first], sought.link[first]))
    link, log_beta = sought.link[first[order]], found.log_beta[first[order]]
    order = order[(np.diff(link, prepend=-1) > 0) | (np.diff(log_beta, prepend=-np.inf) > TIED)]  # each once
    first = first[order]
    tied = _tied_too(problem, found, first, [tied[i] for i in order], sought.link)
    sign = np.where(sought.rise[first], 1, -1)
    room, other_ends = _ahead(chain, sought.link[first], found.log_beta[first], found.branch.copied(first)[0], sign)
    begin, end = (np.where(sought.rise, *pair)[first] for pair in ((low, high), (high, low)))
    at = found.log_beta[first]
    inside = (sign * (at - begin) > -LOCATED) & (sign * (end - at) > 0.0)  # at the end that it begins from, perhaps
    far, smooth = _beyond(problem, found, first, tied, sign, np.maximum(room, 2e-9), other_ends)
    smooth &= inside
    for j in np.flatnonzero(smooth):
        one = first[j]
        kind = "split" if found.divides[one] else "appearance"
        near, beyond = found.branch.one(one), far[j]
        many = len(beyond[0].weights) - len(near.weights)
        beta = float(np.exp(np.clip(found.log_beta[one], low[one], high[one])))
        event = Bifurcation(kind, beta, many, 2.0 * LOCATED, True)
        near.beta[:] = event.beta
        solutions, events = [near, *beyond], [event, *[None] * len(beyond)]
        if sign[j] < 0:
            solutions, events = solutions[::-1], [*events[1:-1], event, None]
        pieces += [(int(sought.link[one]), *pair) for pair in zip(solutions, events, strict=True)]
    return pieces, leaping + [int(sought.link[one]) for one, ok in zip(first, smooth, strict=True) if not ok]


def _ahead(chain: Chain, link: Ints, log_beta: Array, branches: Batch, sign: Ints) -> tuple[Array, Batch]:
    """What follows on touchings, sorted in each link: how far ahead in log beta, and the solution there.

    That is the next touching, half of the way to which is left to it, or the end of the link.
    """
    following = np.clip(np.arange(len(link)) + sign, 0, len(link) - 1)
    shared = (link[following] == link) & (following != np.arange(len(link)))
    ends = chain.batch.copied(link + (sign > 0))[0]
    room = sign * (np.log(ends.beta) - log_beta)
    room[shared] = 0.5 * np.abs(log_beta[following] - log_beta)[shared]
    parts = [(np.flatnonzero(~shared), ends.pick(~shared)[0])] if not shared.all() else []
    if shared.any():
        parts.append((np.flatnonzero(shared), branches.copied(following[shared])[0]))
    return room, in_order(parts)


def _narrowed(problem: Problem, means: Array, face: Ints) -> tuple[Array, Ints]:
    """Points of the IB whose ascent has all but left some y behind: on the face without them, where Newton's method can end."""
    if problem.faces is None or type(problem.distortion) is not IB:
        return means, face
    masks = problem.faces.masks[face]
    gone = masks & (means < NOTHING)
    return np.where(gone, 0.0, means), problem.faces.numbers(masks & ~gone)


def looked_at(problem: Problem, batch: Batch) -> Found:
    """What would lower solutions, and by how much: on all faces, where no ascent leads to some."""
    sweep, every = Sweep(problem, batch), np.ones(len(batch.beta), dtype=bool)
    found = price(problem, batch, sweep)
    return judge(problem, batch, sweep, found, TOUCH, prove=~every, search=every)[0] if has_faces(problem) else found


def _all_optimal(problem: Problem, ways: list[Batch]) -> Mask:
    """Which of S solutions are optimal within TOUCH in every one of some batches: all are looked at together."""
    count = len(ways[0].beta)
    numbered = [(np.arange(count) + i * count, way) for i, way in enumerate(ways)]
    gap = looked_at(problem, in_order(numbered)).gap
    return np.asarray((gap <= TOUCH).reshape(len(ways), count).all(axis=0))


def _leading(found: Touching, link: Ints, rising: Mask) -> tuple[Ints, list[Ints]]:
    """Of each link the touching that comes first along its branch (by number), and those tied with it."""
    first, tied = [], []
    along = np.where(rising, found.log_beta, -found.log_beta)
    for i in np.unique(link):
        mine = np.flatnonzero((link == i) & np.isfinite(along))
        if len(mine):
            one = mine[np.argmin(along[mine])]
            first.append(one)
            tied.append(mine[along[mine] < along[one] + TIED])
    return np.array(first, dtype=np.int64), tied


def _tied_too(problem: Problem, found: Touching, first: Ints, tied: list[Ints], link: Ints) -> list[Ints]:
    """Those tied with touchings, with what touches there, too, though it was sought on another branch."""
    pairs = [(j, i) for j, one in enumerate(first) for i in np.setdiff1d(np.flatnonzero(link == link[one]), tied[j])]
    if not pairs:
        return tied
    owner, others = (np.array(side) for side in zip(*pairs, strict=True))
    at, face = found.branch.copied(first)[0], found.face[others]
    maxima = maxima_near(problem, at, Sweep(problem, at), found.means[others], face, owner)
    own = found.means[first[owner]]
    way = problem.link(maxima.means, face)[0] - problem.link(own, face)[0]
    touches = maxima.exists & (np.abs(maxima.height) < TOUCH) & (at.beta[owner] * inner(maxima.means - own, way) > TWO)
    found.means[others[touches]] = maxima.means[touches]
    return [np.append(some, others[touches & (owner == j)]) for j, some in enumerate(tied)]


def _beyond(
    problem: Problem, found: Touching, first: Ints, tied: list[Ints], sign: Array, room: Array, other_ends: Batch
) -> tuple[list[list[Batch]], Mask]:
    """Solutions past each touching, nearest first, and whether they grow out of it, with the clusters born there and no other.

    By Newton's method from a cluster with the weight that its height suggests, where one is born alone; from an atom's halves;
    else from the solution at the other end of the link, followed back; and, if all that fails, as a descent will have it.
    """
    numbers, smooth = np.arange(len(first)), np.zeros(len(first), dtype=bool)
    far: list[list[Batch]] = [[] for _ in first]
    alone = np.array([len(some) for some in tied]) == 1
    one_more = other_ends.counts == found.branch.counts[first] + 1
    for attempt in ("born", "born nearer", "halves", "halves farther", "back", "descent"):
        born = attempt.startswith("born")
        base, many = found.branch.copied(first[numbers])[0], [tied[j] for j in numbers]
        if born:  # a cluster born close to another grows the faster
            some = first[numbers]
            V, means, face = problem.link(base.means, base.face)[0], found.means[some], found.face[some]
            apart = nearest(problem, base, V, np.arange(len(some)), means, problem.link(means, face)[0], face)[0]
            near = np.minimum(room[numbers], np.maximum(CLOSE * apart, 4e-8))
        step = {"born nearer": NEARER, "halves farther": FARTHER}.get(attempt, BEYOND)
        by = sign[numbers] * np.minimum(step, 0.5 * (near if born else room[numbers]))
        way: list[Batch] = []
        if attempt == "back":
            stages = _back(problem, base, other_ends.copied(numbers)[0], by)
            way, (new, ok) = [part for part, _ in stages], stages[0]
        else:
            start = (_divided if attempt.startswith("halves") else _grown)(problem, base, found, many, by)
            if attempt == "descent":
                new = polished(problem, certify(problem, start, tol=FAINT, coarse=False, proofs=False).batch)
                ok = whole(problem, new, Sweep(problem, new))
            else:
                new, sweep = settled(problem, start)
                ok = alone[numbers] & whole(problem, new, sweep) & (sweep.residual < AT_REST)
                ok &= ~(born & found.divides[first[numbers]])  # into halves: neither is a newborn
                ok &= one_more[numbers] | born  # else more may have come out of the atom than two halves
            ok &= new.counts == start.counts
        ok &= _continuous(problem, base, new, by)
        # past a birth that is alone nothing is lacking that was not at the touching, which is certified
        check = ok & ~(born & one_more[numbers])
        if check.any():
            ok[check] = _all_optimal(problem, [part.pick(check)[0] for part in way or [new]])
        smooth[numbers[ok]] = True
        if attempt == "halves farther" and ok.any():  # and nearer, as far as that can be followed
            stages = _back(problem, base, new, np.sign(by) * np.minimum(BEYOND, np.abs(by)))
            way = [*[part for part, arrives in stages if (arrives | ~ok).all()][:1], new]
        for i in np.flatnonzero(ok):
            far[numbers[i]] = [part.one(int(i)) for part in way or [new]]
        numbers = numbers[~ok]
        if not len(numbers):
            break
    return far, smooth


def _continuous(problem: Problem, base: Batch, new: Batch, by: Array) -> Mask:
    """Which solutions have no more weight off the atoms of a branch than what grows over a step in log beta (S,)."""
    V, link = problem.link(base.means, base.face)[0], problem.link(new.means, new.face)[0]
    apart = nearest(problem, base, V, new.owner, new.means, link, new.face)[0]
    moved = new.total(new.weights * np.minimum(apart, 1.0))
    return np.asarray(moved < np.minimum(SMOOTH * np.abs(by), JUMPED))


def _back(problem: Problem, base: Batch, ends: Batch, by: Array) -> list[tuple[Batch, Mask]]:
    """The branches of the far ends of links, followed back to a step in log beta from the touchings; and which arrive there.

    The nearest solutions come first, those on the way after them. So clusters that are born several at once, out of one
    perhaps, need not be guessed.
    """
    arrives, room = np.ones(len(by), dtype=bool), np.abs(np.log(ends.beta / base.beta))
    batch, way = ends, list[tuple[Batch, Mask]]()
    for part in np.linspace(0.0, 1.0, STEPS_BACK + 1)[1:]:
        step = room ** (1.0 - part) * np.abs(by) ** part
        batch, _, fine = followed(problem, batch, base.beta * np.exp(np.sign(by) * step))
        arrives = arrives & fine & (batch.counts > base.counts)
        way.insert(0, (batch, arrives))
        if not arrives.any():
            break
    return way


def _divided(problem: Problem, base: Batch, found: Touching, tied: list[Ints], by: Array) -> Batch:
    """The same starts with each atom that is nearest to what touches first as two halves."""
    batch, sweep = led(problem, base, base.beta * np.exp(by))
    first = np.array([some[0] for some in tied])
    V, means, face = sweep.V, found.means[first], found.face[first]
    distance, atom = nearest(problem, batch, V, np.arange(len(first)), means, problem.link(means, face)[0], face)
    atom = np.where(np.isfinite(distance), atom, batch.start)
    halves = ridges(problem, batch, sweep, atom).halves
    weights = 0.5 * batch.weights[atom]
    batch.weights[atom], batch.means[atom] = weights, halves[:, 0]
    return batch.joined(weights, halves[:, 1], np.arange(len(atom)), batch.face[atom])


def _grown(problem: Problem, base: Batch, found: Touching, tied: list[Ints], by: Array) -> Batch:
    """Starts for solutions past touchings (S,), a step in log beta away: the branches with the clusters that are born there."""
    tangent, _ = tangents(problem, base, Sweep(problem, base))
    start = predicted(problem, base, tangent, base.beta * np.exp(by))
    owner, which = np.repeat(np.arange(len(tied)), [len(some) for some in tied]), np.concatenate(tied)
    means, face = found.means[which], found.face[which]
    sweep = Sweep(problem, start)
    value, _, _, terms = log_c(problem, start.beta, sweep.log_z, means, face, owner)
    apart, atom = nearest(problem, start, sweep.V, owner, means, problem.link(means, face)[0], face)
    beside = np.flatnonzero(apart < BESIDE)  # where c itself is rounding
    if len(beside) and not problem.fixed:
        value[beside] = rise(problem, start, sweep, start.means[atom[beside]], means[beside], face[beside], owner[beside])
    excess, alone = np.expm1(value), np.array([len(some) for some in tied]) == 1
    first = terms[np.searchsorted(owner, np.arange(len(tied)))]
    others, log_z = response(problem, start, sweep, -first[start.owner], first, RESPONSE, MOST_PRODUCTS)
    bent = np.where(alone, problem.expectation(first * log_z), np.nan)[owner]
    bent = np.where(bent > 0.0, bent, np.maximum(problem.expectation(terms**2) - 2.0 * excess - 1.0, 1e-12))
    weights = np.clip(excess / bent, 1e-12, 0.1)
    start = stepped(problem, start, others, np.where(alone, weights[np.searchsorted(owner, np.arange(len(tied)))], 0.0))
    return start.joined(weights, means, owner, face).normalised()
