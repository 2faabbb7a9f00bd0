"""Descent to a local minimum on given atoms, as one compiled kernel for the distortions whose link is known here.

Newton's directions by conjugate gradients (`dualib.conjugate_kernels`), which leave saddles by their directions of negative
curvature, each step judged by the objective; where none lowers it, a plain sweep, which always does.
"""

from __future__ import annotations

import numpy as np

from dualib.block_kernels import closest_pairs
from dualib.conjugate_kernels import conjugate, scaled_gradient
from dualib.exchange_kernels import pairs_left
from dualib.jit import MORE, helper, kernel, leaf
from dualib.kernels import distances, total
from dualib.linear_kernels import by_hand
from dualib.newton_kernels import link, swept
from dualib.row_kernels import single

_LOOSE, _ENOUGH = 0.3, 0.3  # part of the gradient that a direction leaves; of the residual aimed at
_FAR, _WORTH = (
    0.5,
    1e-3,
)  # residual above which a sweep is made in place of a step, while it lowers the objective by more than that
_HURRIED, _PATIENT, _NEAR = 50, 200, 1e-2  # products of one direction, where the residual is above the last, and below
# numbers n n_t k from which directions are eased by pairs of close clusters, and by how many pairs, up to which squared natural
# distance; residual from which on that is done, where steps are whole: far from a minimum plain directions lead further. Not where
# atoms are not watched for pairs that meet: those that only crawl towards each other would be followed to the end
_EASED, _CLOSE, _FORWARD = ((25_000, 16), (1_000_000, 32)), 8.0, 0.2
_SHORT, _LEAST = 0.1, 5  # part of a direction below which the next one is made of fewer products; of as many at least
_ROUNDING = 1e-9  # a residual that steps no longer lower is accepted below this
_RISE = 1e-14  # the objective may rise by this much, relative: rounding
_BARELY = 0.1  # of its weight is left to an atom that a step would drop though a sweep would make it heavier
_NOTHING = 1e-14  # weight of an atom that is dropped
_TRIALS, _SHORTER = 3, 0.25
_ROUGH, _ROUGHLY = (
    1e-6,
    1e-3,
)  # residual above which a direction is made in single precision; part that it then leaves at least


@kernel(
    "Tuple((boolean, int64[::1], int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, float64,"
    " float64[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1]))(int64, float64,"
    " float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64,"
    " int64, int64, float64)"
)
def descend_known(kind, beta, px, pxu, ut, weights, means, face, allowed, goal, most, look, close):  # type: ignore[no-untyped-def]
    """Lower the objective to a local minimum on these atoms, without those that lose their weight on the way.

    Parameters
    ----------
    goal : float
        Residual at which to stop.
    most : int
        Sweeps and products of conjugate gradients, in all.
    look, close : int, float
        After each so many of them, to end where two atoms are within this squared natural distance.

    Returns
    -------
    settled : bool
    kept : (m,) int
        The atoms left, among those given.
    taken : int
        Sweeps and products.
    closest : float
        The least squared natural distance of two atoms after the sweep.
    weights, means, v, b : (m,), (m, k), (m, k), (m,)
        The atoms.
    value, residual, posterior, log_z, c, new_weights, new_means, new_v, new_b
        The sweep there, as of `dualib.newton_kernels.swept`.
    """
    kept = np.arange(weights.shape[0])
    v, b = np.empty(means.shape), np.empty(weights.shape[0])
    link(kind, means, face, v, b)
    value, residual, post, log_z, c, to_weights, to_means, to_v, to_b = swept(
        kind, beta, px, pxu, ut, weights, means, face, allowed, v, b
    )
    taken, hurried, gain, whole, rests = 1, _HURRIED, np.inf, True, False  # at rest: no step leads lower any more, to rounding
    nothing, alone = np.empty((0, 0)), np.empty((0, 2), np.int64)
    pairs, found, inverse = alone, -1, nothing  # of close clusters, how many were found, and what they ease directions by
    next_look = look
    while residual > goal and np.isfinite(value) and taken < most:
        accepted, trials = False, 0 if residual > _FAR and gain > _WORTH else _TRIALS
        steps, shrink, reach = np.empty((0, 0)), 1.0, 1.0
        if trials > 0:
            arrays = (weights, means, v, face, post, c, to_weights, to_means)
            easing = close > 0.0 and residual <= (_FORWARD if whole else _NEAR) and means.size * px.shape[0] >= _EASED[0][0]
            if easing and (2 * pairs.shape[0] < found or found < 0):
                pairs = _easing_pairs(beta, px, ut, means, v)
                found, inverse = pairs.shape[0], nothing
            eased, known = pairs if easing else alone, nothing if residual > _NEAR else inverse
            steps, shrink, reach, products, inverse = _direction(
                kind, beta, px, ut, residual, goal, hurried, *arrays, eased, known
            )
            taken += products
        for trial in range(trials + 1):
            made = shrink
            if trial < trials:
                new_weights, new_means = _stepped(kind, beta, weights, means, c, to_means, shrink, steps)
            else:
                new_weights, new_means = to_weights, to_means
            shrink = reach if trial == 0 and reach < shrink else _SHORTER * shrink
            heavy = np.flatnonzero(new_weights > _NOTHING)
            if heavy.shape[0] == 0 or not np.isfinite(np.sum(new_means)):
                continue
            new_weights, new_means = new_weights[heavy] / np.sum(new_weights[heavy]), new_means[heavy]
            new_face = face[heavy] if face.shape[0] > 0 else face
            new_allowed = allowed[heavy] if allowed.shape[0] > 0 else allowed
            new_v, new_b = np.empty(new_means.shape), np.empty(new_weights.shape[0])
            link(kind, new_means, new_face, new_v, new_b)
            following = swept(kind, beta, px, pxu, ut, new_weights, new_means, new_face, new_allowed, new_v, new_b)
            new_value, new_residual = following[0], following[1]
            taken += 1
            if np.isfinite(new_value) and (trial == trials or new_value >= value - _RISE * (1.0 + abs(value))):
                accepted = True
                break
        if not accepted:
            rests = residual <= _ROUNDING
            break
        if trials > 0:  # a direction of which only a small part may be gone is not worth many products
            hurried = max(hurried // 4, _LEAST) if made < _SHORT else _HURRIED
        whole = trials > 0 and trial == 0 and made == 1.0
        rests = residual < _ROUNDING and not new_residual < 0.5 * residual
        if rests:
            break
        if heavy.shape[0] < weights.shape[0]:
            pairs, inverse = pairs_left(pairs, heavy, weights.shape[0]), nothing
        kept, weights, means, v, b, face, allowed = kept[heavy], new_weights, new_means, new_v, new_b, new_face, new_allowed
        gain = new_value - value
        value, residual, post, log_z, c, to_weights, to_means, to_v, to_b = following
        if taken >= next_look:
            next_look = taken + look
            if _closest(beta, to_means, to_v, face) < close:
                break
    closest = _closest(beta, to_means, to_v, face)
    settled = rests or residual <= goal
    ended = (value, residual, post, log_z, c, to_weights, to_means, to_v, to_b)
    return (settled, kept, taken, closest, weights, means, v, b) + ended  # noqa: RUF005 (numba knows no other way)


@helper
def _closest(beta, means, v, face):  # type: ignore[no-untyped-def]
    """The least squared natural distance of two atoms."""
    n_t = means.shape[0]
    least, between = np.inf, np.empty((n_t, n_t))
    distances(beta, means, v, face, means, v, face, between)
    for i in range(n_t):
        for j in range(i):
            least = min(least, between[i, j])
    return least


@helper
def _easing_pairs(beta, px, ut, means, v):  # type: ignore[no-untyped-def]
    """The pairs of clusters that conjugate gradients are preconditioned for: as many as their products are worth."""
    most = _EASED[0][1] if means.size * px.shape[0] < _EASED[1][0] else _EASED[1][1]
    if ut.size > MORE:
        return closest_pairs(np.float32(beta), single(means), single(v), _CLOSE, most, 0)
    return closest_pairs(beta, means, v, _CLOSE, most, by_hand(ut.size))


@helper
def _direction(  # type: ignore[no-untyped-def]
    kind, beta, px, ut, residual, goal, hurried, weights, means, v, face, post, c, to_weights, to_means, close, inverse
):
    """Newton's scaled steps, the part to go, the part at which a weight comes to 0, the products, and E^-1 of `conjugate`."""
    gradient = scaled_gradient(beta, weights, means, to_weights, to_means)
    few = np.sqrt(residual * np.sqrt(residual))  # convergence is still superlinear, and the products are fewest in all
    part, most = min(_LOOSE, max(few, _ENOUGH * goal / residual)), hurried if residual > _NEAR else _PATIENT
    if ut.size > MORE and residual > _ROUGH:  # a step is judged by the objective: it needs few digits
        at = (single(px), single(ut), single(weights), single(means), single(v), face, post, single(c))
        rough, longest, products, inverse = conjugate(
            kind, np.float32(beta), *at, single(gradient), residual, max(part, _ROUGHLY), most, close, inverse
        )
        steps = np.ascontiguousarray(rough.T).astype(np.float64)
        _balance(kind, means, steps)
    else:
        exact = (px, ut, weights, means, v, face, post, c, gradient)
        exactly, longest, products, inverse = conjugate(kind, beta, *exact, residual, part, most, close, inverse)
        steps = np.ascontiguousarray(exactly.T)
    shrink = 1.0 / max(1.0, longest) if np.isfinite(longest) else 0.0
    return steps, shrink, _reach(weights, steps), products, inverse


@leaf
def _balance(kind, means, steps):  # type: ignore[no-untyped-def]
    """IB: take what is off from steps of means that do not sum to 0, on which the objective depends to first order."""
    for t in range(means.shape[0] if kind == 0 else 0):
        off = total(steps[t, 1:])
        for y in range(means.shape[1]):
            steps[t, 1 + y] -= off * means[t, y]


@leaf
def _reach(weights, steps):  # type: ignore[no-untyped-def]
    """The part of a step at which the first weight comes to 0."""
    reach = np.inf
    for t in range(weights.shape[0]):
        if steps[t, 0] < 0.0:
            reach = min(reach, np.sqrt(weights[t]) / -steps[t, 0])
    return reach


@helper
def _stepped(kind, beta, weights, means, c, to_means, shrink, steps):  # type: ignore[no-untyped-def]
    """Weights and means after a part of a step; a mean that would leave its domain goes where a sweep leads."""
    n_t, k = means.shape
    new_weights, new_means = np.empty(n_t), np.empty((n_t, k))
    for t in range(n_t):
        root_w = np.sqrt(weights[t])
        weight = weights[t] + shrink * root_w * steps[t, 0]
        if not weight > 1e-3 * min(weights[t], 1e-9):
            weight = _BARELY * weights[t] if c[t] > 1.0 else 0.0
        new_weights[t] = weight
        scale, inside = shrink / (np.sqrt(beta) * root_w), True
        for y in range(k):
            new_means[t, y] = means[t, y] + scale * steps[t, 1 + y]
            inside = inside and (kind == 1 or not new_means[t, y] < 0.01 * means[t, y])
        if not inside:
            new_means[t] = to_means[t]
    return new_weights, new_means
