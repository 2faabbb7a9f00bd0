"""Newton's steps by conjugate gradients where the features are an operator: `compiled.conjugate` by products with all of a batch."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Problem, inner
from dualib.engine.sweep import Sweep, dual

_FAR = 1e3  # times the force, where the objective bends down along that


@np.errstate(all="ignore")
def conjugate(
    problem: Problem, batch: Batch, sweep: Sweep, force: Array, part: Array, radius: Array, far: Array, most: int, taken: Ints
) -> Array:
    """``H^-1 force`` (m, 1 + k), each solution to a part (S,) of its length.

    Cut short where a step becomes longer than its radius (S,), or where the objective bends down: that way it goes `far` (S,)
    (Steihaug 1983). `taken` (S,) counts the products with H. Solutions that are done leave the batch.
    """
    result, numbers, rows = np.zeros_like(force), np.arange(len(batch.beta)), np.arange(len(force))
    step, told, rest, way, ahead = result.copy(), result.copy(), force.copy(), np.zeros_like(force), np.zeros_like(force)
    length = np.zeros(len(numbers))
    end = length
    for round_ in range(most + 1):
        image = dual(batch, sweep.jacobian, rest)
        after = batch.total(batch.weights * inner(rest, image))
        ratio = np.where(length > 0.0, after / length, 0.0)[batch.owner, None]
        way, ahead = rest + ratio * way, image + ratio * ahead
        end, length = (after * part**2 if round_ == 0 else end), after
        going = (length > end) & (round_ < most)
        if not going.all():
            result[rows] = step
            if not going.any():
                return result
            batch, kept = batch.pick(going)
            sweep, numbers, rows = sweep.pick(going, kept), numbers[going], rows[kept]
            step, told, rest, way, ahead = step[kept], told[kept], rest[kept], way[kept], ahead[kept]
            part, radius, far, length, end = part[going], radius[going], far[going], length[going], end[going]
        taken[numbers] += 1
        bent = hessian_product(problem, batch, sweep, way, ahead)
        curvature = batch.total(batch.weights * inner(bent, ahead))
        alpha = np.where(curvature > 0.0, length / curvature, _FAR if round_ == 0 else far)[batch.owner, None]
        step, told, rest = step + alpha * way, told + alpha * ahead, rest - alpha * bent
        end = np.where((curvature > 0.0) & (longest(batch, step, told) <= radius), end, np.inf)
    return result


def longest(batch: Batch, step: Array, told: Array) -> Array:
    """The natural length (S,) of steps, whose duals are `told`: of the mean that moves farthest, or of all relative weights."""
    means, weights = batch.highest(inner(step[:, 1:], told[:, 1:])), batch.total(batch.weights * step[:, 0] ** 2)
    return np.asarray(np.sqrt(np.maximum(np.maximum(means, weights), 0.0)))


def hessian_product(problem: Problem, batch: Batch, sweep: Sweep, step: Array, ahead: Array) -> Array:
    """H times a step (m, 1 + k) whose dual is `ahead`: ``c step - sum_x p(x|t) (delta - zeta) [1, U - M]``."""
    delta = problem.products(ahead[:, 1:])
    delta += (ahead[:, 0] - inner(ahead[:, 1:], batch.means))[:, None]
    delta *= sweep.posterior
    zeta = batch.total(delta)
    for t, s in enumerate(batch.owner):  # a row at a time: these arrays are large
        delta[t] -= sweep.posterior[t] * zeta[s]
    sums = problem.moments(delta) / batch.weights[:, None]
    bent = sweep.c[:, None] * step
    bent[:, 0] -= sums[:, 0]
    bent[:, 1:] -= sums[:, 1:] - sums[:, :1] * batch.means
    return bent
