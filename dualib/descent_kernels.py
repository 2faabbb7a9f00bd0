"""Descent to a local minimum on given atoms, as one compiled kernel for the distortions whose link is known here.

Newton's directions by conjugate gradients (`dualib.conjugate_kernels`), which leave saddles by their directions of negative
curvature, each step judged by the objective; where none lowers it, a plain sweep, which always does.
"""

from __future__ import annotations

import numpy as np

from dualib.block_kernels import closest_pairs
from dualib.conjugate_kernels import conjugate, room_for, scaled_gradient
from dualib.exchange_kernels import keep_pairs, room_for_pairs
from dualib.jit import MORE, helper, kernel, leaf
from dualib.kernels import distances
from dualib.linear_kernels import by_hand
from dualib.newton_kernels import link, sweep_into
from dualib.row_kernels import put, single
from dualib.strand_kernels import total
from dualib.view_kernels import as_row, as_table, whole_lines

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
    (m, k), n, large = means.shape, px.shape[0], ut.size > MORE
    numbers, points, posts, log_zs = np.empty((2, 5, m)), np.empty((2, 4, m, k)), np.empty((2, m, n)), np.empty((2, n))
    faces, free = np.empty((2, face.shape[0], k), np.bool_), np.empty((2, allowed.shape[0], n), np.bool_)
    numbering, scratch = np.empty((4, m), np.int64), np.empty(n + m * m)
    room = (numbers, points, posts, log_zs, faces, free, numbering, scratch)
    pairs = _EASED[1][1] if close > 0.0 and m * k * n >= _EASED[0][0] else 0
    some, integers = room_for(m, n, k)
    one, of_pairs = whole_lines((1 + k) * m), whole_lines(room_for_pairs(pairs, k))
    exact = np.empty(3 * one + of_pairs + some)
    rough = np.empty(whole_lines((1 + k) * n) + 4 * one + some if large else 0, np.float32)
    spare = (exact, rough, np.empty((pairs, 2), np.int64), np.empty(integers, np.int64))
    atoms = (weights, means, face, allowed)
    settled, now, m, taken, closest, value, residual = _descended(
        kind, beta, px, pxu, ut, atoms, goal, most, look, close, room, spare
    )
    own, at = numbers[now, :, :m].copy(), points[now, :, :m].copy()
    where = (numbering[now, :m].copy(), taken, closest, own[0], at[0], at[1], own[1], value, residual)
    there = (posts[now, :m].copy(), log_zs[now].copy(), own[2], own[3], at[2], at[3], own[4])
    return (settled,) + where + there  # noqa: RUF005 (numba knows no other way)


@leaf
def _descended(  # type: ignore[no-untyped-def]
    kind, beta, px, pxu, ut, atoms, goal, most, look, close, room, spare
):
    """`descend_known` to m atoms in one half (`now`) of the room, which is as of `_swept_there`.

    Spare is room for directions: numbers in both precisions, single ones if those are used at all; pairs of clusters; integers.
    Returns settled, now, m, taken, closest, value, residual.
    """
    _, points, _, _, faces, _, numbering, scratch = room
    (m, k), n, pairs = atoms[1].shape, px.shape[0], spare[2]
    steps, between = as_table(spare[0], 0, m, 1 + k), scratch[n:]
    if spare[1].shape[0] > 0:
        put(px, spare[1])
        put(as_row(ut), spare[1][n:])
    value, residual = _begin(kind, beta, px, pxu, ut, atoms, room)
    now, taken, hurried, gain = 0, 1, _HURRIED, np.inf
    whole, rests = True, False  # the last step was; no step leads lower, to rounding
    eased, found, known = 0, -1, False  # pairs of close clusters, and as many when looked for; is their room filled
    next_look = look
    while residual > goal and np.isfinite(value) and taken < most:
        accepted, trials = False, 0 if residual > _FAR and gain > _WORTH else _TRIALS
        shrink, reach = 1.0, 1.0
        left, new_value, new_residual, made = 0, value, residual, 1.0
        if trials > 0:
            easing = close > 0.0 and residual <= (_FORWARD if whole else _NEAR) and m * k * n >= _EASED[0][0]
            if easing and (2 * eased < found or found < 0):
                eased = found = _easing_pairs(beta, n, ut, points[now, 0, :m], points[now, 1, :m], pairs)
                known = False
            known, p = known and residual <= _NEAR, eased if easing else 0
            shrink, reach, products = _directed(kind, beta, px, ut, residual, goal, hurried, room, now, m, p, known, spare)
            known, taken = known or p > 0, taken + products
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
            eased, known = keep_pairs(pairs[:eased], numbering[2, :left], numbering[3, :m]), False
        gain, value, residual, now, m = new_value - value, new_value, new_residual, 1 - now, left
        if taken >= next_look:
            next_look = taken + look
            if _closest(beta, points[now, 2, :m], points[now, 3, :m], faces[now, : min(m, faces.shape[1])], between) < close:
                break
    closest = _closest(beta, points[now, 2, :m], points[now, 3, :m], faces[now, : min(m, faces.shape[1])], between)
    return rests or residual <= goal, now, m, taken, closest, value, residual


@leaf
def _begin(kind, beta, px, pxu, ut, atoms, room):  # type: ignore[no-untyped-def]
    """Put atoms into the first half of the room, and sweep."""
    weights, means, face, allowed = atoms
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
    new V (4, n_t, k); posterior; log Z; faces; allowed; which atoms these are, their places in the other half, and scratch
    (n_t,); scratch (n + n_t^2,).
    """
    numbers, points, posts, log_zs, faces, free, _, scratch = room
    own, at = numbers[half], points[half]
    face, allowed = faces[half, : min(m, faces.shape[1])], free[half, : min(m, free.shape[1])]
    link(kind, at[0, :m], face, at[1, :m], own[1, :m])
    atoms = (own[0, :m], at[0, :m], face, allowed, at[1, :m], own[1, :m])
    to = (own[2, :m], own[3, :m], at[2, :m], at[3, :m], own[4, :m])
    return sweep_into(kind, beta, px, pxu, ut, atoms, (posts[half, :m], log_zs[half], scratch[: px.shape[0]]), to)


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
        _stepped(kind, beta, numbers[now, 0], points[now, 0], numbers[now, 2], to_means, shrink, steps, weights[:m], means)
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


@leaf
def _closest(beta, means, v, face, between):  # type: ignore[no-untyped-def]
    """The least squared natural distance of two atoms; `between` is scratch."""
    n_t = means.shape[0]
    least, apart = np.inf, as_table(between, 0, n_t, n_t)
    distances(beta, means, v, face, means, v, face, apart)
    for i in range(n_t):
        for j in range(i):
            least = min(least, apart[i, j])
    return least


@helper
def _easing_pairs(beta, n, ut, means, v, pairs):  # type: ignore[no-untyped-def]
    """Find the pairs of clusters that conjugate gradients are preconditioned for: how many, as many as their products are worth."""
    most = _EASED[0][1] if means.size * n < _EASED[1][0] else _EASED[1][1]
    if ut.size > MORE:
        found = closest_pairs(np.float32(beta), single(means), single(v), _CLOSE, most, 0)
    else:
        found = closest_pairs(beta, means, v, _CLOSE, most, by_hand(ut.size))
    put(as_row(found), as_row(pairs))
    return found.shape[0]


@leaf
def _directed(kind, beta, px, ut, residual, goal, hurried, room, now, m, eased, known, spare):  # type: ignore[no-untyped-def]
    """Newton's scaled steps (n_t, 1 + k) to the front of the spare numbers.

    Returns the part to go, the part at which a weight comes to 0, and the products.

    Parameters
    ----------
    eased, known : int, bool
        Pairs of close clusters, and whether what they ease directions by is known, as of `dualib.conjugate_kernels.conjugate`.
    """
    numbers, points, posts, _, faces, _, _, _ = room
    exact, rough, pairs, integers = spare
    own, at, k, n = numbers[now], points[now], points.shape[3], px.shape[0]
    weights, means, v, c = own[0, :m], at[0, :m], at[1, :m], own[2, :m]
    post, face = posts[now, :m], faces[now, : min(m, faces.shape[1])]
    steps, begin = as_table(exact, 0, m, 1 + k), whole_lines(own.shape[1] * (1 + k))
    end = begin + whole_lines(room_for_pairs(pairs.shape[0], k))
    few = np.sqrt(residual * np.sqrt(residual))  # convergence is still superlinear, and the products are fewest in all
    part, most = min(_LOOSE, max(few, _ENOUGH * goal / residual)), hurried if residual > _NEAR else _PATIENT
    moves, easing = (beta, weights, means, own[3, :m], at[2, :m]), (pairs[:eased], known, exact[begin:end])
    if ut.size > MORE and residual > _ROUGH:  # a step is judged by the objective: it needs few digits
        px_1, ut_1, row, one = rough[:n], as_table(rough, n, k, n), rough[whole_lines((1 + k) * n) :], whole_lines((1 + k) * m)
        means_1, v_1 = as_table(row, 0, m, k), as_table(row, one, m, k)
        weights_1, c_1 = row[k * m : (1 + k) * m], row[one + k * m : one + (1 + k) * m]
        put(weights, weights_1)
        put(c, c_1)
        put(as_row(means), as_row(means_1))
        put(as_row(v), as_row(v_1))
        atoms_1 = (px_1, ut_1, weights_1, means_1, v_1, face, post, c_1)
        where = (row[2 * one :], integers)
        longest, products = _solved(
            kind, np.float32(beta), atoms_1, moves, residual, max(part, _ROUGHLY), most, easing, where, steps
        )
        _balance(kind, means, steps)
    else:
        atoms = (px, ut, weights, means, v, face, post, c)
        longest, products = _solved(kind, beta, atoms, moves, residual, part, most, easing, (exact[end:], integers), steps)
    shrink = 1.0 / max(1.0, longest) if np.isfinite(longest) else 0.0
    return shrink, _reach(weights, steps), products


@leaf
def _solved(kind, beta, atoms, moves, residual, part, most, easing, where, steps):  # type: ignore[no-untyped-def]
    """`conjugate` in one precision, into `steps`: the longest move of a mean, and the products."""
    numbers, integers = where
    n_t, k = atoms[3].shape
    size = whole_lines((1 + k) * n_t)
    gradient, step = as_table(numbers, 0, 1 + k, n_t), as_table(numbers, size, 1 + k, n_t)
    scaled_gradient(*moves, gradient)
    room = (numbers[2 * size :], integers)
    longest, products = conjugate(kind, beta, *atoms, gradient, residual, part, most, *easing, step, room)
    for t in range(n_t):
        row = steps[t]
        for y in range(1 + k):
            row[y] = step[y, t]
    return longest, products


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
    for t in range(new_weights.shape[0]):
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
