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
from dualib.kernels import distances
from dualib.linear_kernels import by_hand
from dualib.newton_kernels import link, sweep_into
from dualib.row_kernels import put, single
from dualib.strand_kernels import total

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
    (m, k), n = means.shape, px.shape[0]
    numbers, points, posts, log_zs = np.empty((2, 5, m)), np.empty((2, 4, m, k)), np.empty((2, m, n)), np.empty((2, n))
    faces, free = np.empty((2, face.shape[0], k), np.bool_), np.empty((2, allowed.shape[0], n), np.bool_)
    numbering, work = np.empty((3, m), np.int64), np.empty(n)
    room = (numbers, points, posts, log_zs, faces, free, numbering, work)
    value, residual = _begin(kind, beta, px, pxu, ut, weights, means, face, allowed, room)
    now, taken, hurried, gain, whole, rests = 0, 1, _HURRIED, np.inf, True, False  # at rest: no step leads lower, to rounding
    nothing, alone, no_steps = np.empty((0, 0)), np.empty((0, 2), np.int64), np.empty((0, 0))
    pairs, found, inverse = alone, -1, nothing  # of close clusters, how many were found, and what they ease directions by
    next_look = look
    while residual > goal and np.isfinite(value) and taken < most:
        accepted, trials = False, 0 if residual > _FAR and gain > _WORTH else _TRIALS
        steps, shrink, reach = no_steps, 1.0, 1.0
        left, new_value, new_residual, made = 0, value, residual, 1.0
        if trials > 0:
            own, at = numbers[now], points[now]
            easing = close > 0.0 and residual <= (_FORWARD if whole else _NEAR) and m * k * n >= _EASED[0][0]
            if easing and (2 * pairs.shape[0] < found or found < 0):
                pairs = _easing_pairs(beta, px, ut, at[0, :m], at[1, :m])
                found, inverse = pairs.shape[0], nothing
            eased, known = pairs if easing else alone, nothing if residual > _NEAR else inverse
            on_face, post = faces[now, : min(m, faces.shape[1])], posts[now, :m]
            atoms, to = (own[0, :m], at[0, :m], at[1, :m], on_face, post, own[2, :m]), (own[3, :m], at[2, :m])
            steps, shrink, reach, products, inverse = _direction(
                kind, beta, px, ut, residual, goal, hurried, atoms, to, eased, known
            )
            taken += products
        for trial in range(trials + 1):
            made = shrink
            left, new_value, new_residual = _tried(kind, beta, px, pxu, ut, steps, shrink, trial == trials, room, now, m)
            shrink = reach if trial == 0 and reach < shrink else _SHORTER * shrink
            taken += int(left > 0)
            if left > 0 and np.isfinite(new_value):
                accepted = trial == trials or new_value >= value - _RISE * (1.0 + abs(value))
                if accepted:
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
        if left < m:
            pairs, inverse = pairs_left(pairs, numbering[2, :left], m), nothing
        gain, value, residual, now, m = new_value - value, new_value, new_residual, 1 - now, left
        if taken >= next_look:
            next_look = taken + look
            if _closest(beta, points[now, 2, :m], points[now, 3, :m], faces[now, : min(m, faces.shape[1])]) < close:
                break
    closest = _closest(beta, points[now, 2, :m], points[now, 3, :m], faces[now, : min(m, faces.shape[1])])
    settled, own, at = rests or residual <= goal, numbers[now, :, :m].copy(), points[now, :, :m].copy()
    where = (numbering[now, :m].copy(), taken, closest, own[0], at[0], at[1], own[1], value, residual)
    there = (posts[now, :m].copy(), log_zs[now].copy(), own[2], own[3], at[2], at[3], own[4])
    return (settled,) + where + there  # noqa: RUF005 (numba knows no other way)


@leaf
def _begin(kind, beta, px, pxu, ut, weights, means, face, allowed, room):  # type: ignore[no-untyped-def]
    """Put atoms into the first half of the room, and sweep."""
    numbers, points, _, _, faces, free, numbering, _ = room
    put(weights, numbers[0, 0])
    for t in range(weights.shape[0]):
        put(means[t], points[0, 0, t])
        numbering[0, t] = t
    for t in range(face.shape[0]):
        put(face[t], faces[0, t])
    for t in range(allowed.shape[0]):
        put(allowed[t], free[0, t])
    return _swept_there(kind, beta, px, pxu, ut, room, 0, weights.shape[0])


@leaf
def _swept_there(kind, beta, px, pxu, ut, room, half, m):  # type: ignore[no-untyped-def]
    """Sweep the m atoms in a half of the room, to beside them: px . log Z and the residual.

    The room has two halves, each (along its first axis) of weights, b, c, new weights and new b (5, n_t); means, V, new means and
    new V (4, n_t, k); posterior; log Z; faces; allowed; which atoms these are, and last their places in the other half; then
    scratch.
    """
    numbers, points, posts, log_zs, faces, free, _, work = room
    own, at = numbers[half], points[half]
    face, allowed = faces[half, : min(m, faces.shape[1])], free[half, : min(m, free.shape[1])]
    link(kind, at[0, :m], face, at[1, :m], own[1, :m])
    atoms = (own[0, :m], at[0, :m], face, allowed, at[1, :m], own[1, :m])
    to = (own[2, :m], own[3, :m], at[2, :m], at[3, :m], own[4, :m])
    return sweep_into(kind, beta, px, pxu, ut, atoms, (posts[half, :m], log_zs[half], work), to)


@leaf
def _tried(kind, beta, px, pxu, ut, steps, shrink, plain, room, now, m):  # type: ignore[no-untyped-def]
    """Go a part of a step, or with `plain` where a sweep leads, from one half of the room to the other.

    Returns how many atoms are left there, px . log Z and the residual; no atom where the step leads nowhere.
    """
    numbers, points, _, _, faces, free, numbering, _ = room
    n_t, k, then = m, points.shape[3], 1 - now
    weights, means, to_means = numbers[then, 0], points[then, 0], points[now, 2]
    if plain:
        for t in range(n_t):
            weights[t] = numbers[now, 3, t]
            put(to_means[t], means[t])
    else:
        _stepped(kind, beta, numbers[now, 0], points[now, 0], numbers[now, 2], to_means, shrink, steps, weights, means)
    left, mass, summed = 0, 0.0, 0.0
    for t in range(n_t):
        for y in range(k):
            summed += means[t, y]
        if weights[t] > _NOTHING:
            mass += weights[t]
            numbering[2, left] = t
            left += 1
    if left == 0 or not np.isfinite(summed):
        return 0, 0.0, np.inf
    for i in range(left):
        t = numbering[2, i]
        weights[i], numbering[then, i] = weights[t] / mass, numbering[now, t]
        if i < t:
            put(means[t], means[i])
        if faces.shape[1] > 0:
            put(faces[now, t], faces[then, i])
        if free.shape[1] > 0:
            put(free[now, t], free[then, i])
    value, residual = _swept_there(kind, beta, px, pxu, ut, room, then, left)
    return left, value, residual


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
    kind, beta, px, ut, residual, goal, hurried, atoms, to, close, inverse
):
    """Newton's scaled steps, the part to go, the part at which a weight comes to 0, the products, and E^-1 of `conjugate`."""
    weights, means, v, face, post, c = atoms
    gradient = scaled_gradient(beta, weights, means, to[0], to[1])
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


@leaf
def _stepped(kind, beta, weights, means, c, to_means, shrink, steps, new_weights, new_means):  # type: ignore[no-untyped-def]
    """Weights and means after a part of a step; a mean that would leave its domain goes where a sweep leads."""
    for t in range(steps.shape[0]):
        root_w = np.sqrt(weights[t])
        weight = weights[t] + shrink * root_w * steps[t, 0]
        if not weight > 1e-3 * min(weights[t], 1e-9):
            weight = _BARELY * weights[t] if c[t] > 1.0 else 0.0
        new_weights[t] = weight
        scale, inside = shrink / (np.sqrt(beta) * root_w), True
        for y in range(means.shape[1]):
            new_means[t, y] = means[t, y] + scale * steps[t, 1 + y]
            inside = inside and (kind == 1 or not new_means[t, y] < 0.01 * means[t, y])
        if not inside:
            put(to_means[t], new_means[t])
