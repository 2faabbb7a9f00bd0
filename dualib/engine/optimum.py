"""The loop of all: descend, price, and take up what was found, until every gap is closed.

Adding a point of c > 1 always lowers the objective and the problem over measures is convex, so this cannot end in a local optimum
that the search sees through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import COARSE, NEARLY, Batch, in_order, nearest
from dualib.engine.descent import descend, met
from dualib.engine.initial import rough
from dualib.engine.judge import Kinds, judge
from dualib.engine.problem import Ints, Problem
from dualib.engine.rounding import rounding
from dualib.engine.search import Found, at_rest, price
from dualib.engine.slim import slim
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep

MOST_ROUNDS = 60
_FEW = 2  # atoms that a solution gains in a round after so many that patience is at its end
_WANTED, _PATIENT = 0.25, 10  # part of the tolerance to which gaps are closed, for so many rounds: the rest is left to proofs
_TIRED = 3 * _PATIENT  # rounds after which a solution may end that does not come to rest
# a large problem begins with few clusters: how many it gains in a round, at most; and the residual to which it descends before it
# gains more, as a part of the gap
_GAINED, _ROUGHLY = 32, 0.1
_BESIDE, _DIVIDES = 0.1, 0.9999  # squared natural distance of a point beside an atom; stability number of one that divides
_OF_C = 4.0  # what the rounding of the largest of many log c may be beside that of an objective
_OF_PROOFS = 200.0  # what the rounding of a proof may be beside that of an objective
_AS_LOW = 1e-12  # difference of objectives that is none


class Optimum(NamedTuple):
    """The end of all solutions of a batch.

    Attributes
    ----------
    batch : Batch
    sweep : Sweep
        Of this batch.
    gap : (S,)
        The largest log c found at this state, or the proved bound of it, nats.
    kind : (S,) str
        That of the certificate: of the gap.
    best : Points
        Where the largest log c was found, one point for each solution.
    taken : (S,) int
        Sweeps.
    """

    batch: Batch
    sweep: Sweep
    gap: Array
    kind: Kinds
    best: Points
    taken: Ints

    def pick(self, which: Mask) -> Optimum:
        """The solutions of a mask."""
        batch, rows = self.batch.pick(which)
        sweep, best = self.sweep.pick(which, rows), self.best.pick(which)
        return Optimum(batch, sweep, self.gap[which], self.kind[which], best, self.taken[which])

    def one(self, s: int) -> Optimum:
        """One solution."""
        return self.pick(np.arange(len(self.gap)) == s)


@dataclass(frozen=True)
class _AtWork:
    """The solutions that have not ended, a row each.

    Attributes
    ----------
    numbers : (S,) int
        Which of all.
    taken, waited : (S,) int
        Sweeps so far, and rounds in which a solution did not merely grow.
    goal : (S,)
        The residual to which the next descent goes.
    fine : float
        The goal of a solution that is to end; one of a larger goal is to gain more atoms first.
    """

    numbers: Ints
    taken: Ints
    waited: Ints
    goal: Array
    fine: float

    @property
    def merely_growing(self) -> Mask:
        return self.goal != self.fine

    @property
    def patient(self) -> Mask:
        return self.waited < _PATIENT

    def next(self, which: Mask, goal: Array) -> _AtWork:
        """Those of a mask that go on to the next round, with goals for all."""
        waited = self.waited + ~self.merely_growing
        return _AtWork(self.numbers[which], self.taken[which], waited[which], goal[which], self.fine)


def goal_of(tol: float) -> float:
    """The residual at which a solution is at rest, where its gap shall be `tol`."""
    return max(1e-2 * tol, 1e-13)


def optimum(problem: Problem, beta: npt.ArrayLike, **options: object) -> Optimum:
    """`certify` from a rough start."""
    rng = options.get("rng") or np.random.default_rng(0)
    return certify(problem, rough(problem, beta, rng), **options)  # type: ignore[arg-type]


def certify(
    problem: Problem,
    batch: Batch,
    *,
    tol: float = 1e-9,
    most: int = 20_000,
    coarse: bool = True,
    proofs: bool = True,
    rng: np.random.Generator | None = None,
    effort: float = 1.0,
) -> Optimum:
    """Descend and price until no gap is above `tol`, or `most` sweeps are made.

    `coarse`: the batch is a rough start; `proofs`: prove the gaps where that can be done.
    """
    rng = np.random.default_rng(0) if rng is None else rng
    S, fine = len(batch.beta), goal_of(tol)
    nothing_yet = np.zeros(S, dtype=np.int64)
    start = np.full(S, _ROUGHLY if problem.is_sparse and coarse else fine)
    at_work = _AtWork(np.arange(S), nothing_yet, nothing_yet, start, fine)
    parts: list[tuple[Ints, Optimum]] = []
    earlier: dict[int, Optimum] = {}  # the best state so far of each solution that has not come to rest within `tol`
    for round_ in range(MOST_ROUNDS):
        batch, sweep, at_work = _descended(problem, batch, at_work, tol, most, coarse=coarse and round_ == 0)
        found = price(problem, batch, sweep, tol=_WANTED * tol, rng=rng, effort=effort)
        spent = (at_work.taken >= most) | (round_ == MOST_ROUNDS - 1)
        found, kinds, closed, done = _judged(problem, batch, sweep, found, at_work, tol, spent, proofs=proofs)
        state = Optimum(batch, sweep, found.gap, kinds, found.best, at_work.taken)
        for i in np.flatnonzero(done & (found.gap <= tol) & (sweep.residual <= tol)):
            earlier.pop(int(at_work.numbers[i]), None)
        for i in np.flatnonzero(~done & ~at_work.merely_growing):
            _remember(earlier, int(at_work.numbers[i]), state.one(int(i)))
        if done.any():
            parts.append((at_work.numbers[done], state.pick(done)))
        if done.all():
            break
        growing = _may_grow(problem, batch, found.counts) & ~closed
        at_work = at_work.next(~done, np.where(growing, np.clip(_ROUGHLY * found.gap, fine, _ROUGHLY), fine))
        batch = _grown(problem, batch, sweep, found, halve=round_ % 2 == 0).pick(~done)[0]
        del sweep, state  # posteriors, which may be large
    whole = _together(problem, parts)
    for s, before in sorted(earlier.items()):
        if not _better(whole.one(s), before):
            if proofs:
                before = judged_state(problem, before.batch, before.sweep, tol=tol, rng=rng, effort=effort)
            if not _better(whole.one(s), before):
                whole = _with(problem, whole, s, before)
    return whole


def judged_state(
    problem: Problem, batch: Batch, sweep: Sweep, *, tol: float, rng: np.random.Generator, effort: float = 1.0
) -> Optimum:
    """The gaps of a batch as it is: what `price` finds, exact or proved where that is to be had."""
    found = price(problem, batch, sweep, tol=tol, rng=rng, effort=effort)
    whole = np.ones(len(batch.beta), dtype=bool)
    found, kinds = judge(problem, batch, sweep, found, tol, prove=whole, search=whole)
    found = at_rest(problem, batch, sweep, found, whole)
    return Optimum(batch, sweep, found.gap, kinds, found.best, np.ones(len(batch.beta), dtype=np.int64))


def _descended(
    problem: Problem, batch: Batch, at_work: _AtWork, tol: float, most: int, *, coarse: bool
) -> tuple[Batch, Sweep, _AtWork]:
    """All solutions at their local minima, or as near as their goals ask; and with the sweeps that this took."""
    ended = descend(problem, batch, goal=at_work.goal, most=most - at_work.taken, coarse=coarse)
    batch, sweep = slim(problem, ended.batch, ended.sweep)
    stuck = (sweep.residual > tol) & ~at_work.merely_growing
    if stuck.any():  # by an atom beside another, perhaps, whose weight would take sweeps without end to vanish
        batch, sweep, _ = met(problem, batch, sweep, np.where(stuck, COARSE, 0.0), off=NEARLY)
    return batch, sweep, _AtWork(at_work.numbers, at_work.taken + ended.taken, at_work.waited, at_work.goal, at_work.fine)


def _judged(
    problem: Problem, batch: Batch, sweep: Sweep, found: Found, at_work: _AtWork, tol: float, spent: Mask, *, proofs: bool
) -> tuple[Found, Kinds, Mask, Mask]:
    """What is taken up, the kinds of the gaps, whose gaps are closed, and which solutions end.

    One ends that is settled (at rest, or as good as ever) and has a gap that is closed, or nothing to take up; or whose sweeps are
    spent. The gaps of these are proved where that can be done, every face is searched for them, and what that finds may have them
    go on after all.
    """
    rounded = rounding(problem, batch, sweep)
    of_c = np.where(rounded > tol, _OF_C * rounded, np.minimum(_OF_C * rounded, tol))  # what log c may be by rounding alone
    closed = found.gap <= np.maximum(np.where(at_work.patient, _WANTED, 1.0) * tol, of_c)
    settled = ((sweep.residual <= tol) | (at_work.waited >= _TIRED)) & ~at_work.merely_growing
    # a gap that is open, though there is nothing new to take up, is that of a state which is not quite at rest
    low = (found.gap <= 0.5 * tol) | (sweep.residual <= at_work.fine) | ~at_work.patient
    ending = (closed | (found.counts == 0) & low) & settled | spent
    proved = ending & proofs
    found, kinds = judge(problem, batch, sweep, found, tol, prove=proved, search=ending, worthwhile=_WANTED * tol)
    found = _within_room(problem, batch, at_rest(problem, batch, sweep, found, spent), at_work.patient)
    closed &= found.gap <= np.maximum(tol, _OF_PROOFS * rounded)
    return found, kinds, closed, (closed | (found.counts == 0) & low) & settled | spent


def _within_room(problem: Problem, batch: Batch, found: Found, patient: Mask) -> Found:
    """What was found, the best first: of a large problem no more than a solution may gain, and little once patience is at its end.

    Near a continuum of optimal atoms many new ones at once would undo what the descents before have settled.
    """
    room, owner = np.where(patient, len(found.weights), _FEW), found.points.owner
    if problem.is_sparse:
        room = np.minimum(room, np.minimum(problem.most_atoms - batch.counts, _GAINED))
    kept = np.arange(len(owner)) - np.searchsorted(owner, owner) < room[owner]
    return found._replace(weights=found.weights[kept], points=found.points.pick(kept))


def _may_grow(problem: Problem, batch: Batch, many: Ints) -> Mask:
    """Which solutions, of a large problem, gain so many atoms and may gain more."""
    return (many > 0) & (batch.counts + many < problem.most_atoms) & problem.is_sparse


def _grown(problem: Problem, batch: Batch, sweep: Sweep, found: Found, *, halve: bool) -> Batch:
    """The batch with the points found as new atoms, which share the weight of a step along the mixture.

    With `halve`, one beside an atom that divides takes half of its weight, and the atom goes as far to the other side: from there
    Newton's method has a way down, where a light newborn would have to grow out of a flat place.
    """
    points, many = found.points, found.counts
    weights = found.weights / many[points.owner]
    left = 1.0 - np.bincount(points.owner, weights, minlength=len(many))
    old, means = batch.weights * left[batch.owner], batch.means.copy()
    if halve and not problem.fixed:
        V = problem.link(points.means, points.face)[0]
        distance, atom = nearest(problem, batch, sweep.V, points.owner, points.means, V, points.face)
        beside = np.flatnonzero((distance < _BESIDE) & (found.rate[atom] > _DIVIDES))
        beside = beside[np.unique(atom[beside], return_index=True)[1]]
        halved, mirrored = atom[beside], 2.0 * batch.means[atom[beside]] - points.means[beside]
        inside = ~problem.outside(mirrored, problem.link(mirrored, batch.face[halved])[0])
        beside, halved = beside[inside], halved[inside]
        weights[beside] = old[halved] = 0.5 * old[halved]
        means[halved] = mirrored[inside]
    lighter = Batch(batch.beta, old, means, batch.owner, batch.face)
    return lighter.joined(weights, points.means, points.owner, points.face).normalised()


def _remember(earlier: dict[int, Optimum], number: int, one: Optimum) -> None:
    """Keep the better state of one solution: the lower, or as low to rounding with a smaller gap."""
    if number not in earlier or _better(one, earlier[number]):
        earlier[number] = one


def _better(one: Optimum, other: Optimum) -> bool:
    difference = float(one.sweep.objective[0] - other.sweep.objective[0])
    return difference < -_AS_LOW or (difference <= _AS_LOW and float(one.gap[0]) <= float(other.gap[0]))


def _together(problem: Problem, parts: list[tuple[Ints, Optimum]]) -> Optimum:
    """One optimum of parts, by their numbers."""
    order = np.argsort(np.concatenate([numbers for numbers, _ in parts]))
    found = [part for _, part in parts]
    batch = in_order([(numbers, part.batch) for numbers, part in parts])
    gap, kinds, taken = (np.concatenate([getattr(p, name) for p in found])[order] for name in ("gap", "kind", "taken"))
    means, face = (np.concatenate([getattr(part.best, name) for part in found])[order] for name in ("means", "face"))
    best = Points(means, face, np.arange(len(order)))
    return Optimum(batch, Sweep(problem, batch), gap, kinds, best, taken)


def _with(problem: Problem, whole: Optimum, s: int, state: Optimum) -> Optimum:
    """All solutions with another state of one of them."""
    others = np.arange(len(whole.gap)) != s
    parts = [(np.flatnonzero(others), whole.pick(others))] if others.any() else []
    return _together(problem, [*parts, (np.array([s]), state._replace(taken=whole.taken[[s]]))])
