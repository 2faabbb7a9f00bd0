"""Every solution of a batch brought to a local minimum of its objective, by Newton's method with conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.doors import step
from dualib.engine.batch import COARSE, EQUAL, SAME, TWIN, Batch, in_order, merged, without_twins
from dualib.engine.conjugate import conjugate, longest
from dualib.engine.loading import compiled
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.sweep import Sweep, dual
from dualib.engine.weights import reweighed

ROUNDING = 1e-13  # part of 1 + |G| by which an objective may rise: what is known of it
_EXACT = 1e-14  # residual that no step need lower
RESTING = 1e-7  # residual below which a step that does not lower the objective ends the descent: it is as low as numbers tell
_PROGRESS, _STALLED = 0.9, 4  # part of a residual to which a step brings it, else it has stalled; so many times in a row
_VALLEY = 1e3  # times as large a residual may be for a step, along a curved valley, where objectives tell no difference
_SWEEPS = 2  # plain ones, from a rough start, before Newton's steps
_MANY = 20  # of Newton's steps, after each so many of which a solution that is not at rest may have more atoms than it needs
MOST_NEWTON, MOST_CG = 100, 300
# residual above which a way on which the objective bends down is gone far, so many times: below, it may bend by rounding alone
_BENDS, _TIMES = 1e-3, 1e3
_FAR = 0.5  # natural length of a plain sweep above which it is made instead of Newton's step; atoms count by their weight
_FAINT = 1e-14  # weight below which an atom is left out, unless it is the one of some source, however rare
_MAIN = 0.1  # part of a source that an atom holds, from which on it is needed
_RARE = 1e-10  # weight below which an atom takes what a sweep gives it, if that is more: it is nothing to conjugate gradients
# c below 1 by which such an atom is left out, unless it holds some source: sweeps would take 1 / (1 - c) of them
_DYING = 1e-9
# of its weight an atom keeps so much whose Newton's step leads to less, if c > 1 there or some source is in part its own; an atom
# that would keep less than _NEXT_TO_NOTHING, and is not needed so, goes
_SHRINK, _NEXT_TO_NOTHING = 0.1, 1e-3
_ONE = 1e-9  # squared natural distance of two decoders that are one
_LEAST = 1e-300  # weight that stands for 0 until it is left out


@dataclass
class _Going:
    """The solutions that still descend, a row each.

    Attributes
    ----------
    numbers : (S,) int
        Which of all.
    taken, most : (S,) int
        Sweeps so far, and allowed.
    goal : (S,)
        The residual at which a solution rests.
    rested : (S,) bool
        Whether it was there before the last step.
    radius : (S,)
        The natural length to which steps are trusted.
    stalled : (S,) int
        Steps in a row that brought next to nothing.
    apart : (S,) bool
        Whether atoms are near each other that would raise the objective as one.
    """

    numbers: Ints
    taken: Ints
    most: Ints
    goal: Array
    rested: Mask
    radius: Array
    stalled: Ints
    apart: Mask

    def pick(self, which: Mask) -> _Going:
        """Those of a mask."""
        return _Going(*(column[which] for column in vars(self).values()))

    def done(self, residual: Array) -> Mask:
        """Which end: one step after they came to rest, where no step helps, or where their sweeps are spent."""
        at_rest = (residual <= _EXACT) | (self.rested & (residual <= self.goal))
        return at_rest | (self.stalled >= _STALLED) | (self.taken >= self.most)


class Descent(NamedTuple):
    """The end of a descent: the batch, the sweep there, and the sweeps that each took, (S,)."""

    batch: Batch
    sweep: Sweep
    taken: Ints


@np.errstate(all="ignore")
def newton(problem: Problem, batch: Batch, sweep: Sweep, radius: Array) -> tuple[Array, Array, Array]:
    """Weights and means after Newton's step, or after a part in which neither a mean nor the weights move farther than a radius.

    The third result is the length of the longest of the whole step, (S,). Components that would leave the box around all features,
    as those that vanish do, make a plain step; so does an atom that would leave the domain all the same; and a whole solution, its
    step being of length inf, where a plain sweep is long.
    """
    far = batch.total(batch.weights * inner(sweep.force, dual(batch, sweep.jacobian, sweep.force))) > _FAR**2
    part_of_force = np.where(far, 1.0, np.minimum(0.3, np.sqrt(sweep.residual)))  # 1: no step is sought
    step = newton_direction(
        problem, batch, sweep, part_of_force, MOST_CG, radius=radius, bent=np.where(sweep.residual > _BENDS, _TIMES, 0.0)
    )
    length = longest(batch, step, dual(batch, sweep.jacobian, step))
    part = np.minimum(1.0, radius / np.maximum(length, _LEAST))[batch.owner]
    weights = _stepped_weights(batch, sweep, 1.0 + part * step[:, 0])
    means = sweep.new_means.copy() if problem.fixed else batch.means + part[:, None] * step[:, 1:]
    rare = batch.weights < _RARE
    means[rare] = sweep.new_means[rare]
    if not problem.fixed:
        beyond = problem.beyond(means)
        means[beyond] = sweep.new_means[beyond]
    means = problem.corrected(means)
    outside = problem.outside(means, problem.link(means, batch.face)[0])
    means[outside] = sweep.new_means[outside]
    length[far], rows = np.inf, far[batch.owner]
    weights[rows], means[rows] = np.maximum(sweep.new_weights[rows], _LEAST), sweep.new_means[rows]
    return weights, means, length


def _stepped_weights(batch: Batch, sweep: Sweep, factor: Array) -> Array:
    """Weights times a factor (m,) each: atoms that are needed vanish step by step, and those that are next to nothing by sweeps."""
    vanishing = np.flatnonzero(factor < _SHRINK)
    keeps = _holds(sweep, vanishing) | (sweep.c[vanishing] > 1.0)
    less = np.where(factor[vanishing] > _NEXT_TO_NOTHING, factor[vanishing], 0.0)
    factor[vanishing] = np.where(keeps, _SHRINK, less)
    weights = np.maximum(batch.weights * factor, _LEAST)
    rare = np.flatnonzero(batch.weights < _RARE)
    dying = (sweep.c[rare] < 1.0 - _DYING) & ~_holds(sweep, rare)
    weights[rare] = np.where(dying, _LEAST, np.maximum(weights[rare], sweep.new_weights[rare]))
    return weights


def _holds(sweep: Sweep, atoms: Ints) -> Mask:
    """Whether atoms hold a part of some source that matters, however rare the source."""
    return np.asarray(sweep.posterior[atoms].max(axis=1, initial=0.0) > _MAIN)


def newton_direction(
    problem: Problem,
    batch: Batch,
    sweep: Sweep,
    part: Array,
    most: int,
    taken: Ints | None = None,
    force: Array | None = None,
    radius: Array | None = None,
    bent: Array | None = None,
) -> Array:
    """``H^-1 force`` (m, 1 + k) by conjugate gradients, to a part (S,) of its length, by default of the sweep's own force.

    No further than to a radius (S,), and, where the objective bends down, on that way `bent` (S,) times: by default at once.
    """
    force = sweep.force if force is None else force
    S = len(batch.beta)
    products = np.zeros(S, dtype=np.int64) if taken is None else taken
    radius, bent = np.full(S, np.inf) if radius is None else radius, np.zeros(S) if bent is None else bent
    if problem.is_sparse:
        return conjugate(problem, batch, sweep, force, part, radius, bent, most, products)
    step = np.empty_like(force)
    arrays = (batch.ends, batch.beta, batch.weights, batch.means, sweep.c, *sweep.jacobian, sweep.posterior)
    compiled().conjugate(*arrays, force, part, radius, bent, problem.U1T, problem.pxU1, most, step, products)
    if problem.fixed:
        step[:, 1:] = 0.0
    return step


@step("descent")
@np.errstate(all="ignore")
def descend(
    problem: Problem,
    batch: Batch,
    *,
    goal: float | Array = 1e-11,
    most: int | Ints = 20_000,
    coarse: bool = False,
    steps: int = MOST_NEWTON,
) -> Descent:
    """Lower all objectives to local minima, without atoms that lose their weight or meet another.

    No step is taken that raises an objective beyond rounding. `coarse`: from a rough start, whose atoms are merged from farther
    away, whatever the first of these mergers do to the objective. A solution ends one step after the residual `goal`, which brings
    the error far below it where sweeps would take many; where no step leads lower; after `most` sweeps, or after so many `steps`.
    """
    S = len(batch.beta)
    number, no, none = np.arange(S), np.zeros(S, dtype=bool), np.zeros(S, dtype=np.int64)
    limits = np.broadcast_to(most, S), np.broadcast_to(goal, S)
    going = _Going(number, none.copy(), *limits, rested=no, radius=np.ones(S), stalled=none, apart=no)
    finished, total = [], none.copy()
    sweep = Sweep(problem, batch)
    for _ in range(_SWEEPS if coarse else 0):
        batch = merged(problem, needed(swept(batch, sweep), sweep), COARSE)
        sweep = Sweep(problem, batch)
        going.taken += 1
    for iteration in range(steps + 1):
        done = going.done(sweep.residual) | (iteration == steps)
        if done.any():
            finished.append((going.numbers[done], batch.pick(done)[0]))
            total[going.numbers[done]] = going.taken[done]
            if done.all():
                break
            batch, rows = batch.pick(~done)
            sweep, going = sweep.pick(~done, rows), going.pick(~done)
        if iteration % _MANY == _MANY - 1:
            batch, sweep = _on_fewer(problem, batch, sweep)
        batch, sweep = _stepped(problem, batch, sweep, going)
        if iteration % 5 < 3:
            rough = coarse and (iteration < 3 or iteration % 5 == 0)
            within = np.where(going.apart, EQUAL, COARSE if rough else SAME)
            batch, sweep, higher = met(problem, batch, sweep, within, anyhow=rough and iteration < 3)
            going.apart = going.apart | higher
    batch = in_order(finished)
    return Descent(*without_idle(problem, batch, Sweep(problem, batch)), total)


def _on_fewer(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Batch, Sweep]:
    """All solutions with better weights, on fewer atoms where they had more than they need."""
    weights = batch.weights.copy()
    for s, objective in enumerate(sweep.objective):
        own = slice(batch.ends[s], batch.ends[s + 1])
        better = reweighed(problem, batch.weights[own], sweep.posterior[own], ROUNDING * (1.0 + abs(objective)))
        if better is not None:
            weights[own] = better
    if (weights == batch.weights).all():
        return batch, sweep
    new = Batch(batch.beta, weights, batch.means, batch.owner, batch.face).keep(weights > _FAINT)
    return _unless_higher(problem, batch, sweep, new)[:2]


def _stepped(problem: Problem, batch: Batch, sweep: Sweep, going: _Going) -> tuple[Batch, Sweep]:
    """All solutions one step lower: Newton's where that helps, else a plain sweep."""
    going.rested = sweep.residual <= going.goal
    weights, means, length = newton(problem, batch, sweep, going.radius)
    going.taken = going.taken + 1
    trial = batch.moved(weights, means)
    new = Sweep(problem, trial, sweep)
    known = ROUNDING * (1.0 + np.abs(sweep.objective))
    no_lower = new.objective > sweep.objective - known
    worse = ~(new.objective <= sweep.objective + known)
    worse |= no_lower & (new.residual > _VALLEY * sweep.residual) & (sweep.residual < RESTING)
    going.radius = np.where(worse, 0.25 * np.minimum(going.radius, length), np.minimum(1.0, 2.0 * going.radius))
    if worse.any():
        _sweep_instead(problem, batch, sweep, worse, trial, new)
    idle = worse | (new.residual > _PROGRESS * sweep.residual) & (new.objective > sweep.objective - known)
    going.stalled = np.where((sweep.residual < RESTING) & idle, going.stalled + 1, 0)
    batch = needed(trial, new)
    return batch, new if len(batch.weights) == len(new.c) else Sweep(problem, batch)


def lowest(ended: Descent) -> Descent:
    """The solution of least objective alone, and the sweeps of all."""
    which = np.arange(len(ended.sweep.objective)) == np.argmin(ended.sweep.objective)
    batch, rows = ended.batch.pick(which)
    return Descent(batch, ended.sweep.pick(which, rows), ended.taken.sum(keepdims=True))


def without_idle(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Batch, Sweep]:
    """The same states, atoms of one decoder as one and without those that have no weight: what every result is to hold."""
    batch, sweep, _ = met(problem, batch, sweep, np.full(len(batch.beta), _ONE), anyhow=False)
    heavy = needed(batch, sweep)
    return (batch, sweep) if len(heavy.weights) == len(batch.weights) else _unless_higher(problem, batch, sweep, heavy)[:2]


def met(
    problem: Problem, batch: Batch, sweep: Sweep, within: Array, *, anyhow: bool = False, off: float = TWIN
) -> tuple[Batch, Sweep, Mask]:
    """Atoms that met become one, but where a solution would rise by it (`anyhow`: to infinity): batch, sweep, and these (S,)."""
    fewer = merged(problem, without_twins(problem, batch, sweep.c, within, off), within)
    if len(fewer.weights) == len(batch.weights):
        return batch, sweep, np.zeros(len(batch.beta), dtype=bool)
    return _unless_higher(problem, batch, sweep, fewer, anyhow=anyhow)


def _unless_higher(
    problem: Problem, batch: Batch, sweep: Sweep, fewer: Batch, *, anyhow: bool = False
) -> tuple[Batch, Sweep, Mask]:
    """A batch of fewer atoms but for the solutions that rise by it, with `anyhow` to infinity: that batch, its sweep, and these."""
    again = Sweep(problem, fewer)
    higher = ~(again.objective <= sweep.objective + ROUNDING * (1.0 + np.abs(sweep.objective)))
    if anyhow:  # but no source may be left without an atom at a finite distance
        higher = np.isinf(again.objective) & np.isfinite(sweep.objective)
    if not higher.any():
        return fewer, again, higher
    if higher.all():
        return batch, sweep, higher
    mixed = in_order([(np.flatnonzero(higher), batch.pick(higher)[0]), (np.flatnonzero(~higher), fewer.pick(~higher)[0])])
    return mixed, Sweep(problem, mixed), higher


def swept(batch: Batch, sweep: Sweep) -> Batch:
    """The batch after a plain sweep, which never leads higher."""
    return batch.moved(np.maximum(sweep.new_weights, _LEAST), sweep.new_means)


def _sweep_instead(problem: Problem, batch: Batch, sweep: Sweep, worse: Mask, trial: Batch, new: Sweep) -> None:
    """Put plain sweeps in the place of trial steps that led higher."""
    old, rows = batch.pick(worse)
    before = sweep.pick(worse, rows)
    plain = swept(old, before)
    trial.weights[rows], trial.means[rows] = plain.weights, plain.means
    new.replace(worse, rows, Sweep(problem, plain, before))


def needed(batch: Batch, sweep: Sweep, faint: float = _FAINT) -> Batch:
    """Without atoms of next to no weight, but for those that hold some rare source: nothing else is near it."""
    keep = batch.weights > faint
    few = np.flatnonzero(~keep)
    keep[few] = _holds(sweep, few)
    return batch.keep(keep)
