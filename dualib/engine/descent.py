"""Every solution of a batch brought to a local minimum of its objective, by Newton's method with conjugate gradients."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dualib.distortions.interface import Array, Mask
from dualib.doors import step
from dualib.engine.batch import COARSE, EQUAL, SAME, TWIN, Batch, in_order, merged, without_twins
from dualib.engine.conjugate import conjugate
from dualib.engine.loading import compiled
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.sweep import Sweep, dual

ROUNDING = 1e-13  # part of 1 + |G| by which an objective may rise: what is known of it
_EXACT = 1e-14  # residual that no step need lower
RESTING = 1e-7  # residual below which a step that does not lower the objective ends the descent: it is as low as numbers tell
_PROGRESS, _STALLED = 0.9, 4  # part of a residual to which a step brings it, else it has stalled; so many times in a row
_VALLEY = 1e3  # times as large a residual may be for a step, along a curved valley, where objectives tell no difference
_SWEEPS = 2  # plain ones, from a rough start, before Newton's steps
MOST_NEWTON, MOST_CG = 100, 300
_FAR = 0.5  # natural length of a plain sweep above which it is made instead of Newton's step; atoms count by their weight
_FAINT = 1e-14  # weight below which an atom is left out, unless it is the one of some source, however rare
_MAIN = 0.1  # part of a source that an atom holds, from which on it is needed
_RARE = 1e-10  # weight below which an atom takes what a sweep gives it, if that is more: it is nothing to conjugate gradients
# c below 1 by which such an atom is left out, unless it holds some source: sweeps would take 1 / (1 - c) of them
_DYING = 1e-9
_SHRINK = (
    0.1  # of its weight keeps an atom whose Newton's step leads to less, if c > 1 there or some source is in part its own
)
_ONE = 1e-9  # squared natural distance of two decoders that are one
_LEAST = 1e-300  # weight that stands for 0 until it is left out


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
    part_of_force = np.where(far, 1.0, np.minimum(0.3, sweep.residual**0.75))  # 1: no step is sought
    step = newton_direction(problem, batch, sweep, part_of_force, MOST_CG)
    moved = batch.highest(inner(step[:, 1:], dual(batch, sweep.jacobian, step)[:, 1:]))
    longest = np.sqrt(np.maximum(np.maximum(moved, batch.total(batch.weights * step[:, 0] ** 2)), 0.0))
    part = np.minimum(1.0, radius / np.maximum(longest, _LEAST))[batch.owner]
    factor = 1.0 + part * step[:, 0]
    means = sweep.new_means.copy() if problem.fixed else batch.means + part[:, None] * step[:, 1:]
    vanishing = np.flatnonzero(factor < _SHRINK)
    held = sweep.posterior[vanishing].max(axis=1, initial=0.0) > _MAIN
    factor[vanishing] = np.where(
        held | (sweep.c[vanishing] > 1.0), _SHRINK, np.where(factor[vanishing] > 1e-3, factor[vanishing], 0.0)
    )
    weights = batch.weights * factor
    weights = np.maximum(weights, _LEAST)
    rare = np.flatnonzero(batch.weights < _RARE)
    dying = (sweep.c[rare] < 1.0 - _DYING) & ~(sweep.posterior[rare].max(axis=1, initial=0.0) > _MAIN)
    weights[rare] = np.where(dying, _LEAST, np.maximum(weights[rare], sweep.new_weights[rare]))
    means[rare] = sweep.new_means[rare]
    if not problem.fixed:
        beyond = problem.beyond(means)
        means[beyond] = sweep.new_means[beyond]
    means = problem.corrected(means)
    outside = problem.outside(means, problem.link(means, batch.face)[0])
    means[outside] = sweep.new_means[outside]
    longest[far], rows = np.inf, far[batch.owner]
    weights[rows], means[rows] = np.maximum(sweep.new_weights[rows], _LEAST), sweep.new_means[rows]
    return weights, means, longest


def newton_direction(
    problem: Problem, batch: Batch, sweep: Sweep, part: Array, most: int, taken: Ints | None = None, force: Array | None = None
) -> Array:
    """``H^-1 force`` (m, 1 + k) by conjugate gradients, to a part (S,) of its length; by default of the sweep's own force."""
    force = sweep.force if force is None else force
    products = np.zeros(len(batch.beta), dtype=np.int64) if taken is None else taken
    if problem.is_sparse:
        return conjugate(problem, batch, sweep, force, part, most, products)
    step = np.empty_like(force)
    arrays = (batch.ends, batch.beta, batch.weights, batch.means, sweep.c, *sweep.jacobian, sweep.posterior, force, part)
    compiled().conjugate(*arrays, problem.U1T, problem.pxU1, most, step, products)
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
    finished, numbers = [], np.arange(len(batch.beta))
    taken, total = np.zeros(len(batch.beta), dtype=np.int64), np.zeros(len(batch.beta), dtype=np.int64)
    radius, stalled = np.ones(len(batch.beta)), np.zeros(len(batch.beta), dtype=np.int64)
    apart = np.zeros(len(batch.beta), dtype=bool)  # solutions with atoms that are near each other and would rise as one
    limit, aim = np.broadcast_to(most, batch.beta.shape), np.broadcast_to(goal, batch.beta.shape)
    rested = np.zeros(len(batch.beta), dtype=bool)
    sweep = Sweep(problem, batch)
    for _ in range(_SWEEPS if coarse else 0):
        batch = merged(problem, _needed(swept(batch, sweep), sweep), COARSE)
        sweep = Sweep(problem, batch)
        taken += 1
    for iteration in range(steps + 1):
        done = (sweep.residual <= _EXACT) | (rested & (sweep.residual <= aim))
        done |= (stalled >= _STALLED) | (taken >= limit) | (iteration == steps)
        if done.any():
            finished.append((numbers[done], batch.pick(done)[0]))
            total[numbers[done]] = taken[done]
            if done.all():
                break
            batch, rows = batch.pick(~done)
            sweep, numbers = sweep.pick(~done, rows), numbers[~done]
            radius, taken, stalled = radius[~done], taken[~done], stalled[~done]
            apart, limit, aim = apart[~done], limit[~done], aim[~done]
        rested = sweep.residual <= aim
        weights, means, longest = newton(problem, batch, sweep, radius)
        taken += 1
        trial = Batch(batch.beta, weights, means, batch.owner, batch.face).keep(np.ones(len(weights), dtype=bool))
        new = Sweep(problem, trial, sweep)
        scale = ROUNDING * (1.0 + np.abs(sweep.objective))
        worse = ~(new.objective <= sweep.objective + scale)
        worse |= (
            (new.objective > sweep.objective - scale) & (new.residual > _VALLEY * sweep.residual) & (sweep.residual < RESTING)
        )
        radius = np.where(worse, 0.25 * np.minimum(radius, longest), np.minimum(1.0, 2.0 * radius))
        if worse.any():
            _sweep_instead(problem, batch, sweep, worse, trial, new)
        idle = worse | (new.residual > _PROGRESS * sweep.residual) & (new.objective > sweep.objective - scale)
        stalled = np.where((sweep.residual < RESTING) & idle, stalled + 1, 0)
        batch = _needed(trial, new)
        sweep = new if len(batch.weights) == len(new.c) else Sweep(problem, batch)
        if iteration % 5 < 3:
            rough = coarse and (iteration < 3 or iteration % 5 == 0)
            within = np.where(apart, EQUAL, COARSE if rough else SAME)
            batch, sweep, higher = met(problem, batch, sweep, within, anyhow=rough and iteration < 3)
            apart |= higher
    batch = in_order(finished)
    return Descent(*without_idle(problem, batch, Sweep(problem, batch)), total)


def lowest(ended: Descent) -> Descent:
    """The solution of least objective alone, and the sweeps of all."""
    which = np.arange(len(ended.sweep.objective)) == np.argmin(ended.sweep.objective)
    batch, rows = ended.batch.pick(which)
    return Descent(batch, ended.sweep.pick(which, rows), ended.taken.sum(keepdims=True))


def without_idle(problem: Problem, batch: Batch, sweep: Sweep) -> tuple[Batch, Sweep]:
    """The same states, atoms of one decoder as one and without those that have no weight: what every result is to hold."""
    batch, sweep, _ = met(problem, batch, sweep, np.full(len(batch.beta), _ONE), anyhow=False)
    heavy = _needed(batch, sweep)
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
    new = Batch(batch.beta, np.maximum(sweep.new_weights, _LEAST), sweep.new_means, batch.owner, batch.face)
    return new.keep(np.ones(len(new.weights), dtype=bool))


def _sweep_instead(problem: Problem, batch: Batch, sweep: Sweep, worse: Mask, trial: Batch, new: Sweep) -> None:
    """Put plain sweeps in the place of trial steps that led higher."""
    old, rows = batch.pick(worse)
    before = sweep.pick(worse, rows)
    plain = swept(old, before)
    trial.weights[rows], trial.means[rows] = plain.weights, plain.means
    new.replace(worse, rows, Sweep(problem, plain, before))


def _needed(batch: Batch, sweep: Sweep) -> Batch:
    """Without atoms of next to no weight, but for those that hold some rare source: nothing else is near it."""
    keep = batch.weights > _FAINT
    few = np.flatnonzero(~keep)
    keep[few] = sweep.posterior[few].max(axis=1, initial=0.0) > _MAIN
    return batch.keep(keep)
