"""The loop of all: descend, price, and take up what was found, until every gap is closed.

Adding a point of c > 1 always lowers the objective and the problem over measures is convex, so this cannot end in a local optimum
that the search sees through.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from dualib.distortions.interface import Array, Mask
from dualib.engine.batch import COARSE, NEARLY, Batch, in_order, nearest
from dualib.engine.descent import ROUNDING, Descent, descend, met, without_idle
from dualib.engine.initial import rough
from dualib.engine.judge import Kinds, judge
from dualib.engine.problem import Ints, Problem
from dualib.engine.rounding import rounding
from dualib.engine.search import Found, at_rest, price
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep

MOST_ROUNDS = 60
_FEW = 2  # atoms that a solution gains in a round after so many that patience is at its end
_WANTED, _PATIENT = 0.25, 10  # part of the tolerance to which gaps are closed, for so many rounds: the rest is left to proofs
# a large problem begins with few clusters: how many it gains in a round, at most; and the residual to which it descends before it
# gains more, as a part of the gap
_GAINED, _ROUGHLY = 32, 0.1
_BESIDE, _DIVIDES = 0.1, 0.9999  # squared natural distance of a point beside an atom; stability number of one that divides
_OF_C = 4.0  # what the rounding of the largest of many log c may be beside that of an objective
_OF_PROOFS = 200.0  # what the rounding of a proof may be beside that of an objective
_AS_LOW = 1e-12  # difference of objectives that is none
_SAME_ENCODER = 1e-9  # misfit of ``L w = Z`` within which other weights give the same Z


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


def goal_of(tol: float) -> float:
    """The residual at which a solution is at rest, where its gap shall be `tol`."""
    return max(1e-2 * tol, 1e-13)


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
    parts: list[tuple[Ints, Optimum]] = []
    earlier: dict[int, Optimum] = {}
    numbers, taken = np.arange(len(batch.beta)), np.zeros(len(batch.beta), dtype=np.int64)
    fine = goal_of(tol)
    goal = np.full(len(batch.beta), _ROUGHLY if problem.is_sparse and coarse else fine)
    waited = np.zeros(len(batch.beta), dtype=np.int64)  # rounds in which a solution did not merely grow
    for round_ in range(MOST_ROUNDS):
        ended = descend(problem, batch, goal=goal, most=most - taken[numbers], coarse=coarse and round_ == 0)
        batch, sweep, more = _slim(problem, ended)
        stuck = (sweep.residual > tol) & (goal == fine)
        if stuck.any():  # by an atom beside another, perhaps, whose weight would take sweeps without end to vanish
            batch, sweep, _ = met(problem, batch, sweep, np.where(stuck, COARSE, 0.0), off=NEARLY)
        taken[numbers] += more
        found = price(problem, batch, sweep, tol=_WANTED * tol, rng=rng, effort=effort)
        patient = waited < _PATIENT
        rounded = rounding(problem, batch, sweep)
        # what log c may be by rounding alone
        rest = np.where(rounded > tol, _OF_C * rounded, np.minimum(_OF_C * rounded, tol))
        closed = found.gap <= np.maximum(np.where(patient, _WANTED, 1.0) * tol, rest)
        last = (taken[numbers] >= most) | (round_ == MOST_ROUNDS - 1)
        resting = ((sweep.residual <= tol) | (waited >= 3 * _PATIENT)) & (goal == fine)
        nothing = np.bincount(found.points.owner, minlength=len(numbers)) == 0  # there is to take up
        ending = (closed | nothing) & resting | last
        prove = ending if proofs else np.zeros_like(closed)
        found, kinds = judge(problem, batch, sweep, found, tol, prove=prove, search=ending, worthwhile=_WANTED * tol)
        found = _within_room(problem, batch, at_rest(problem, batch, sweep, found, last), patient)
        many = np.bincount(found.points.owner, minlength=len(numbers))
        closed &= found.gap <= np.maximum(tol, _OF_PROOFS * rounded)
        done = (closed | (many == 0)) & resting | last
        state = Optimum(batch, sweep, found.gap, kinds, found.best, taken[numbers])
        for i in np.flatnonzero(done & (found.gap <= tol) & (sweep.residual <= tol)):
            earlier.pop(int(numbers[i]), None)
        for i in np.flatnonzero(~done & (goal == fine)):
            _remember(earlier, int(numbers[i]), part_of(state, np.arange(len(numbers)) == i))
        if done.any():
            parts.append((numbers[done], part_of(state, done)))
        if done.all():
            break
        waited = (waited + (goal == fine))[~done]
        goal = np.where(_growing(problem, batch, many) & ~closed, np.clip(_ROUGHLY * found.gap, fine, _ROUGHLY), fine)[~done]
        batch, numbers = _grown(problem, batch, sweep, found, many, halve=round_ % 2 == 0).pick(~done)[0], numbers[~done]
        del ended, sweep, state  # posteriors, which may be large
    found_all = _together(problem, parts)
    if not earlier:
        return found_all
    again = functools.partial(judged_state, problem, tol=tol, rng=rng, effort=effort) if proofs else None
    return _or_earlier(problem, found_all, earlier, again)


def _within_room(problem: Problem, batch: Batch, found: Found, patient: Mask) -> Found:
    """What was found, the best first: of a large problem no more than a solution may gain, and little once patience is at its end.

    Near a continuum of optimal atoms many new ones at once would undo what the descents before have settled.
    """
    room, owner = np.where(patient, len(found.weights), _FEW), found.points.owner
    if problem.is_sparse:
        room = np.minimum(room, np.minimum(problem.most_atoms - batch.counts, _GAINED))
    kept = np.arange(len(owner)) - np.searchsorted(owner, owner) < room[owner]
    return found._replace(weights=found.weights[kept], points=found.points.pick(kept))


def _growing(problem: Problem, batch: Batch, many: Ints) -> Mask:
    """Which solutions, of a large problem, gain so many atoms and may gain more."""
    return (many > 0) & (batch.counts + many < problem.most_atoms) & problem.is_sparse


def part_of(state: Optimum, which: Mask) -> Optimum:
    """The solutions of a mask."""
    batch, rows = state.batch.pick(which)
    sweep, best = state.sweep.pick(which, rows), state.best.pick(which)
    return Optimum(batch, sweep, state.gap[which], state.kind[which], best, state.taken[which])


def _remember(earlier: dict[int, Optimum], number: int, one: Optimum) -> None:
    """Keep the better state of one solution: the lower, or as low to rounding with a smaller gap."""
    if number not in earlier or _better(one, earlier[number]):
        earlier[number] = one


def _better(one: Optimum, other: Optimum) -> bool:
    difference = float(one.sweep.objective[0] - other.sweep.objective[0])
    return difference < -_AS_LOW or (difference <= _AS_LOW and float(one.gap[0]) <= float(other.gap[0]))


def optimum(problem: Problem, beta: npt.ArrayLike, **options: object) -> Optimum:
    """`certify` from a rough start."""
    rng = options.get("rng") or np.random.default_rng(0)
    return certify(problem, rough(problem, beta, rng), **options)  # type: ignore[arg-type]


def judged_state(
    problem: Problem, batch: Batch, sweep: Sweep, *, tol: float, rng: np.random.Generator, effort: float = 1.0
) -> Optimum:
    """The gaps of a batch as it is: what `price` finds, exact or proved where that is to be had."""
    found = price(problem, batch, sweep, tol=tol, rng=rng, effort=effort)
    whole = np.ones(len(batch.beta), dtype=bool)
    found, kinds = judge(problem, batch, sweep, found, tol, prove=whole, search=whole)
    found = at_rest(problem, batch, sweep, found, whole)
    return Optimum(batch, sweep, found.gap, kinds, found.best, np.ones(len(batch.beta), dtype=np.int64))


def _grown(problem: Problem, batch: Batch, sweep: Sweep, found: Found, many: Ints, *, halve: bool) -> Batch:
    """The batch with the points found as new atoms, which share the weight of a step along the mixture.

    With `halve`, one beside an atom that divides takes half of its weight, and the atom goes as far to the other side: from there
    Newton's method has a way down, where a light newborn would have to grow out of a flat place.
    """
    points = found.points
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
    whole = Batch(batch.beta, old, means, batch.owner, batch.face).joined(weights, points.means, points.owner, points.face)
    return whole.keep(np.ones(len(whole.weights), dtype=bool))


def _slim(problem: Problem, ended: Descent) -> Descent:
    """The same optima on no more atoms than sources, by Caratheodory's theorem, where a solution has more.

    All weights with the same ``L w = Z`` have the same objective; non-negative least squares finds a basic one among them.
    """
    batch, sweep = ended.batch, ended.sweep
    weights, changed = batch.weights.copy(), False
    for s in np.flatnonzero(batch.counts > problem.n):
        own = slice(batch.ends[s], batch.ends[s + 1])
        ratio = sweep.posterior[own] / batch.weights[own, None]
        try:
            fewer, misfit = nnls(ratio.T, np.ones(problem.n))
        except RuntimeError:  # its iteration cap
            continue
        if misfit < _SAME_ENCODER and fewer.sum() > 0.0:
            weights[own], changed = fewer / fewer.sum(), True
    if not changed:
        return ended
    slim = Batch(batch.beta, weights, batch.means, batch.owner, batch.face).keep(weights > 0.0)
    again = Sweep(problem, slim)
    worse = ~(again.objective <= sweep.objective + ROUNDING * (1.0 + np.abs(sweep.objective)))
    if worse.any():  # the cluster of some x too rare to be noticed was lost
        if worse.all():
            return ended
        both = [(np.flatnonzero(worse), batch.pick(worse)[0]), (np.flatnonzero(~worse), slim.pick(~worse)[0])]
        slim = in_order(both)
        again = Sweep(problem, slim)
    return Descent(*without_idle(problem, slim, again), ended.taken)


def _together(problem: Problem, parts: list[tuple[Ints, Optimum]]) -> Optimum:
    """One optimum of parts, by their numbers."""
    order = np.argsort(np.concatenate([numbers for numbers, _ in parts]))
    found = [part for _, part in parts]
    batch = in_order([(numbers, part.batch) for numbers, part in parts])
    gap, kinds, taken = (np.concatenate([getattr(p, name) for p in found])[order] for name in ("gap", "kind", "taken"))
    means, face = (np.concatenate([getattr(part.best, name) for part in found])[order] for name in ("means", "face"))
    best = Points(means, face, np.arange(len(order)))
    return Optimum(batch, Sweep(problem, batch), gap, kinds, best, taken)


def _or_earlier(
    problem: Problem, found: Optimum, earlier: dict[int, Optimum], judged: Callable[[Batch, Sweep], Optimum] | None
) -> Optimum:
    """With the best earlier state of each solution that has not come to rest, where that is better, also once it is `judged`."""
    parts = []
    for i in range(len(found.gap)):
        one = part_of(found, np.arange(len(found.gap)) == i)
        if i in earlier and not _better(one, earlier[i]):
            before = earlier[i] if judged is None else judged(earlier[i].batch, earlier[i].sweep)
            one = one if _better(one, before) else before._replace(taken=one.taken)
        parts.append((np.array([i]), one))
    return _together(problem, parts)
