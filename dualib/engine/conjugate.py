"""Newton's steps by conjugate gradients where the features are an operator: of atoms, as `compiled.conjugate`, and of points."""

from __future__ import annotations

import numpy as np

from dualib.distortions.interface import Array
from dualib.engine.batch import Batch
from dualib.engine.problem import Ints, Jacobian, Problem, inner
from dualib.engine.sweep import Sweep, dual

_FAR = 1e3  # times the force, where the objective bends down along that
_CHECKED = 10  # steps of Lanczos's method after which it is asked whether it has come to rest
_SETTLED, _SPENT = 1e-15, 1e-10  # relative change that is none; length of a next direction that is rounding
_CLOSE = 1e-6  # part of its length to which a point's step is solved for: the next one takes up the rest


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


@np.errstate(all="ignore")
def to_maxima(
    problem: Problem,
    beta: Array,
    q: Array,
    means: Array,
    jacobian: Jacobian,
    right: Array,
    most: int,
    across: Array | None = None,
) -> Array:
    """``(I - beta Cov_q(U) J)^-1 right`` (p, k): Newton's steps of points towards maxima of log c, by products with all of them.

    The matrix is self-adjoint in the inner product ``<u, J v>`` and positive below a maximum; each point ends at `_CLOSE` of its
    length, or where c bends up. The members `q` (p, n) sum to 1 and have the means (p, k). With directions `across` (p, k), of
    natural length 1, the projection on these is added to the matrix.
    """
    step, rest, way = np.zeros_like(right), right.copy(), np.zeros_like(right)
    length = np.zeros(len(right))
    first, going = length, np.ones(len(right), dtype=bool)
    for round_ in range(most + 1):
        after = inner(rest, jacobian.times(rest))
        first = after if round_ == 0 else first
        going &= after > _CLOSE**2 * first
        if not going.any() or round_ == most:
            break
        way = rest + np.where(length > 0.0, after / length, 0.0)[:, None] * way
        ahead, length = jacobian.times(way), after
        image = way - beta[:, None] * covariance_times(problem, q, means, ahead)
        if across is not None:
            image += (beta * inner(across, ahead))[:, None] * across
        curvature = inner(image, ahead)
        if round_ == 0:  # where c bends up at once: as far as an ascent step
            step[curvature <= 0.0] = right[curvature <= 0.0]
        going &= curvature > 0.0
        alpha = np.where(going, length / curvature, 0.0)[:, None]
        step, rest = step + alpha * way, rest - alpha * image
    return step


def covariance_times(problem: Problem, q: Array, means: Array, ahead: Array) -> Array:
    """``Cov_q(U) ahead`` (p, k) by members q (p, n) and their means (p, k)."""
    lean = problem.products(ahead)
    lean -= inner(ahead, means)[:, None]
    lean *= q
    return problem.sums(lean) - lean.sum(axis=1)[:, None] * means


@np.errstate(all="ignore")
def softest(
    problem: Problem, beta: Array, q: Array, means: Array, jacobian: Jacobian, most: int = 200, *, vectors: bool = True
) -> tuple[Array, Array]:
    """The largest eigenvalue (p,) of ``beta Cov_q(U) J`` and its vector (p, k), of natural length 1, by Lanczos's method.

    On R^T Cov R with J = R R^T: where J is diag(D) - u u^T and n = u / sqrt(D), of length 1 or 0, R = diag(sqrt D) (1 - n n^T).
    Its vectors are not made orthogonal to all before: that only repeats eigenvalues. Without `vectors` none is kept, and the second
    result is of no use.
    """
    scale = np.sqrt(jacobian.diagonal)
    normal = np.divide(jacobian.vector, scale, out=np.zeros_like(scale), where=scale > 0.0)

    def across(rows: Array) -> Array:
        return np.asarray(rows - inner(rows, normal)[:, None] * normal)

    def spread(rows: Array) -> Array:
        return covariance_times(problem, q, means, scale * across(rows))

    following = across(np.where(scale > 0.0, np.random.default_rng(0).standard_normal(means.shape), 0.0))
    vector, basis, largest = np.zeros_like(means), [], np.zeros(len(means))
    ritz = np.zeros((len(means), most, most))
    for i in range(most):
        length = np.sqrt(inner(following, following))
        length[length < _SPENT] = 0.0
        before, vector = vector, np.zeros_like(vector)
        np.divide(following, length[:, None], out=vector, where=length[:, None] > 0.0)
        if vectors:
            basis.append(vector)
        image = across(scale * spread(vector))
        ritz[:, i, i] = inner(vector, image)
        if i:
            ritz[:, i, i - 1] = ritz[:, i - 1, i] = length
            image -= length[:, None] * before
        following = image - ritz[:, i, i, None] * vector
        if i % _CHECKED == _CHECKED - 1 or i == most - 1:
            known = largest
            values, coefficients = np.linalg.eigh(ritz[:, : i + 1, : i + 1])
            largest = np.maximum(values[:, -1], 0.0)
            if (largest <= known * (1.0 + _SETTLED)).all():
                break
    way = spread(sum((coefficients[:, i, -1:] * v for i, v in enumerate(basis)), start=np.zeros_like(means)))
    return beta * largest, way / np.sqrt(np.maximum(beta * inner(way, jacobian.times(way)), 1e-300))[:, None]
