"""The search for points where c exceeds 1, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.ascent` and `dualib.search`, for the IB and the dual IB; others go the way of these modules.
"""

from __future__ import annotations

import numpy as np

from dualib.block_kernels import own_of
from dualib.jit import MORE, helper, kernel, leaf
from dualib.kernels import distances, shared, softmax
from dualib.linear_kernels import BY_HAND, apply, eliminate, multiply_across, product
from dualib.newton_kernels import link, link_one
from dualib.row_kernels import put
from dualib.view_kernels import as_table

_TINY = 1e-300
LEAP = 1.0  # squared natural distance of a Newton step beyond which it may end in another basin
LONGEST = 64.0  # ascent steps at once
FASTEST = 0.95  # the linear rate of an ascent that its extrapolation assumes at most
_SLIGHT = 1e-16  # weight of a source that does not change Newton's step
ABOUT = 1e-6  # error allowed to a distance between points far apart
AHEAD = 0.25  # ... of an extrapolation, which else may leave a basin; not where zeros matter: ascents towards a face need long ones
_MOST_COMPARED = 2000  # points that are compared with each other
AT_REST = 1e-24  # squared natural distance of an ascent step


@kernel(
    "void(int64, float64, float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[::1],"
    " float64[:, ::1])",
    few=MORE,
)
def log_c_known(kind, beta, ut, log_a, means, face, allowed, values, terms):  # type: ignore[no-untyped-def]
    """Log c at points given by their means, and the weights over the sources of its ascent step; see `dualib.ascent.log_c`."""
    m, k = means.shape
    n = log_a.shape[0]
    v, b = np.empty((m, k)), np.empty(m)
    link(kind, means, face, v, b)
    inner = product(beta * v, ut, 0 if ut.size > MORE else BY_HAND)
    for j in range(m):
        shift = beta * b[j]
        for x in range(n):
            terms[j, x] = inner[j, x] - shift
    if allowed.shape[0] > 0:
        for j in range(m):
            for x in range(n):
                if not allowed[j, x]:
                    terms[j, x] = -np.inf
    shared(terms, log_a, values, ut.size > MORE)


@leaf
def _value(kind, beta, ut, log_a, mean, face, allowed, v, q):  # type: ignore[no-untyped-def]
    """Log c at one mean (k,), its V into `v` and the weights over the sources of its ascent step into `q`."""
    k, n = ut.shape
    shift = beta * link_one(kind, mean, face, v)
    for x in range(n):
        q[x] = log_a[x] - shift
    for y in range(k):
        factor, line = beta * v[y], ut[y]
        for x in range(n):
            q[x] += factor * line[x]
    if allowed.shape[0] > 0:
        for x in range(n):
            if not allowed[x]:
                q[x] = -np.inf
    return softmax(q, ut.size > MORE)


@leaf
def distance(beta, mean, v, other, other_v):  # type: ignore[no-untyped-def]
    """``beta <M' - M, V' - V>``."""
    total = 0.0
    for y in range(mean.shape[0]):
        total += (other[y] - mean[y]) * (other_v[y] - v[y])
    return beta * total


@helper
def _room(k, n):  # type: ignore[no-untyped-def]
    """What `_newton_step` needs: sources, their features, the system, its right-hand side, and another row."""
    return np.empty(n, np.int64), np.empty(k * n), np.empty((k, k)), np.empty((k, 1)), np.empty(k)


@leaf
def _newton_step(kind, beta, ut, mean, v, face, q, plain, step, room):  # type: ignore[no-untyped-def]
    """(I - beta Cov_q(U) J)^-1 (plain - mean), Cov about the mean, into `step`; False where that is singular."""
    (k, n), count = ut.shape, 0
    source, numbers, system, right, along = room
    for x in range(n):
        if q[x] > _SLIGHT:
            source[count] = x
            count += 1
    rows = as_table(numbers, 0, k, count)
    for i in range(count):
        root = np.sqrt(q[source[i]])
        for y in range(k):
            rows[y, i] = root * (ut[y, source[i]] - mean[y])
    multiply_across(rows, rows, system, MORE * k)
    if kind == 1:
        apply(system, v, along, BY_HAND)
    for i in range(k):
        right[i, 0] = plain[i] - mean[i]
        for y in range(k):
            if face.shape[0] > 0 and not face[y]:
                system[i, y] = 0.0
            elif kind == 0:
                system[i, y] *= -beta / max(mean[y], _TINY)
            else:
                system[i, y] = -beta * (system[i, y] - along[i]) * v[y]
        system[i, i] += 1.0
    if not eliminate(system, right):
        return False
    for y in range(k):
        step[y] = right[y, 0]
    return True


@leaf
def _step_up(kind, beta, ut, log_a, face, allowed, factor, means, v, q, values, room):  # type: ignore[no-untyped-def]
    """One step up from the point in row 0 of means (4, k), v, q and values (3, ...), which is replaced.

    By Newton's step for a factor of 0, else by so many ascent steps at once; by the plain step where that leads no higher. Returns
    the next factor, -1 where the point is at rest.
    """
    k = ut.shape[0]
    apply(ut, q[0], means[1], MORE)
    values[1] = _value(kind, beta, ut, log_a, means[1], face, allowed, v[1], q[1])
    if distance(beta, means[0], v[0], means[1], v[1]) < AT_REST:
        return -1.0
    if factor > 0.0:
        for y in range(k):
            means[2, y] = means[0, y] + factor * (means[1, y] - means[0, y])
    else:
        regular = _newton_step(kind, beta, ut, means[0], v[0], face, q[0], means[1], means[3], room)
        for y in range(k):
            means[2, y] = means[0, y] + means[3, y] if regular and np.isfinite(means[3, y]) else means[1, y]
    # one ascent step brings the point ahead, which may have left the domain, back to a true mean
    _value(kind, beta, ut, log_a, means[2], face, allowed, v[2], q[2])
    apply(ut, q[2], means[2], MORE)
    values[2] = _value(kind, beta, ut, log_a, means[2], face, allowed, v[2], q[2])
    better = values[2] >= values[1] and distance(beta, means[0], v[0], means[2], v[2]) <= LEAP
    chosen = 2 if better else 1
    rests = values[chosen] == values[0]
    _replace(means, v, q, values, chosen)
    if rests:
        return -1.0
    if better:
        return min(2.0 * factor, LONGEST)
    return 4.0 if factor == 0.0 else 0.0  # by turns: where log c is not concave Newton's steps fail, and plain ones are short


@kernel(
    "Tuple((float64[:, ::1], float64[::1]))(int64, float64, float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1],"
    " boolean[:, ::1], int64)"
)
def rise_known(kind, beta, ut, log_a, means, face, allowed, steps):  # type: ignore[no-untyped-def]
    """Move points up log c: see `dualib.ascent.rise`. Returns the means and log c there."""
    m, k = means.shape
    n = log_a.shape[0]
    risen, reached = np.empty((m, k)), np.empty(m)
    near, v, q, values = np.empty((4, k)), np.empty((3, k)), np.empty((3, n)), np.empty(3)
    nowhere, room = np.empty(0, np.bool_), _room(k, n)
    for j in range(m):
        own = face[j] if face.shape[0] > 0 else nowhere
        free = allowed[j] if allowed.shape[0] > 0 else nowhere
        put(means[j], near[0])
        _rise(kind, beta, ut, log_a, own, free, near, v, q, values, room, steps)
        risen[j], reached[j] = near[0], values[0]
    return risen, reached


@leaf
def _rise(kind, beta, ut, log_a, face, allowed, near, v, q, values, room, steps):  # type: ignore[no-untyped-def]
    """So many steps up from the point in row 0 of near."""
    values[0] = _value(kind, beta, ut, log_a, near[0], face, allowed, v[0], q[0])
    factor = 0.0
    for _ in range(steps):
        if factor < 0.0 or values[0] == -np.inf:
            break
        factor = _step_up(kind, beta, ut, log_a, face, allowed, factor, near, v, q, values, room)


@leaf
def _replace(means, v, q, values, chosen):  # type: ignore[no-untyped-def]
    """Put another point in the place of that in row 0."""
    put(means[chosen], means[0])
    put(v[chosen], v[0])
    put(q[chosen], q[0])
    values[0] = values[chosen]


@leaf
def _leap_ahead(kind, beta, ut, log_a, face, allowed, means, v, q, values):  # type: ignore[no-untyped-def]
    """Two ascent steps from the point in row 0, then Aitken's extrapolation of their slowest mode where c is higher there.

    Returns whether the point is at rest.
    """
    k = ut.shape[0]
    apply(ut, q[0], means[1], MORE)
    _value(kind, beta, ut, log_a, means[1], face, allowed, v[1], q[1])
    apply(ut, q[1], means[2], MORE)
    values[2] = _value(kind, beta, ut, log_a, means[2], face, allowed, v[2], q[2])
    first = max(distance(beta, means[0], v[0], means[1], v[1]), _TINY)
    second = max(distance(beta, means[1], v[1], means[2], v[2]), 0.0)
    rate = min(np.sqrt(second / first), FASTEST)
    for y in range(k):
        means[3, y] = means[2, y] + rate / (1.0 - rate) * (means[2, y] - means[1, y])
    near = allowed.shape[0] > 0 or (rate / (1.0 - rate)) ** 2 * second <= AHEAD
    if near:
        values[1] = _value(kind, beta, ut, log_a, means[3], face, allowed, v[1], q[1])
    if near and values[1] >= values[2]:  # False where the extrapolation has left the domain
        apply(ut, q[1], means[0], MORE)
        values[0] = _value(kind, beta, ut, log_a, means[0], face, allowed, v[0], q[0])
    else:
        _replace(means, v, q, values, 2)
    return second < AT_REST


@leaf
def _meets(beta, mean, v, face, value, others, count, work):  # type: ignore[no-untyped-def]
    """Whether a point is within the radius (squared natural distance) of one of the first `count` others no lower than it.

    The others are their means, V, <M, V>, faces, heights and radii; `work` (2, m) is scratch.
    """
    if count == 0:
        return False
    means, vs, own, faces, values, radius = others
    cross, back = work[0, :count], work[1, :count]
    here = 0.0
    for y in range(mean.shape[0]):
        here += mean[y] * v[y]
    apply(means[:count], v, cross, MORE)
    apply(vs[:count], mean, back, MORE)
    for i in range(count):
        about = beta * (own[i] + here - cross[i] - back[i])  # of few digits: it spares most distances
        if about < radius[i] + ABOUT and values[i] >= value and distance(beta, means[i], vs[i], mean, v) < radius[i]:
            same = True
            for y in range(face.shape[0]):
                same = same and face[y] == faces[i, y]
            if same:
                return True
    return False


@kernel(
    "Tuple((float64[:, ::1], float64[::1], int64[::1]))(int64, float64, float64[:, ::1], float64[::1],"
    " float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[::1], int64,"
    " int64, float64)",
    few=MORE,
)
def ascend_known(  # type: ignore[no-untyped-def]
    kind, beta, ut, log_a, means, face, allowed, atom_means, atom_v, atom_face, radius, leaps, steps, apart
):
    """Take points up log c one by one, highest first, as far as they come neither to an atom nor to a point taken up before.

    Parameters
    ----------
    radius : (n_t,)
        Squared natural distance at which each atom swallows a point.
    leaps, steps : int
        How often to take two ascent steps and their extrapolation, and then at most how many steps of Newton's method.
    apart : float
        Squared natural distance below which a point is one that was taken up before, to where c is no lower.

    Returns
    -------
    means, log_c, which : (m', k), (m',), (m',)
        Of the points that are left, and their places among those given; highest first.
    """
    k, n = ut.shape
    n_t = atom_means.shape[0]
    heights = _heights_off(kind, beta, ut, log_a, means, face, allowed, atom_means, atom_v, atom_face, radius)
    order = np.argsort(-heights, kind="mergesort")
    m = int(np.sum(heights > -np.inf))
    kept, kept_v, kept_face = (
        np.empty((m, k)),
        np.empty((m, k)),
        np.empty((m if face.shape[0] > 0 else 0, face.shape[1]), np.bool_),
    )
    reached, which, count = np.empty(m), np.empty(m, np.int64), 0
    near, v, q, values = np.empty((4, k)), np.empty((3, k)), np.empty((3, n)), np.empty(3)
    highest, everywhere, nowhere, room = np.full(n_t, np.inf), np.full(m, apart), np.empty(0, np.bool_), _room(k, n)
    atom_own, kept_own = own_of(atom_means, atom_v), np.empty(m)
    atoms = (atom_means, atom_v, atom_own, atom_face, highest, radius)
    others, work = (kept, kept_v, kept_own, kept_face, reached, everywhere), np.empty((2, max(n_t, m)))
    for j in order[:m]:
        own = face[j] if face.shape[0] > 0 else nowhere
        free = allowed[j] if allowed.shape[0] > 0 else nowhere
        put(means[j], near[0])
        if _taken_up(
            kind, beta, ut, log_a, own, free, near, v, q, values, room, leaps, steps, atoms, n_t, others, count, work
        ):
            kept[count], kept_v[count], reached[count], which[count] = near[0], v[0], values[0], j
            kept_own[count] = own_of(near[:1], v[:1])[0]
            if face.shape[0] > 0:
                kept_face[count] = own
            count += 1
    kept, kept_v, kept_face, reached, which = kept[:count], kept_v[:count], kept_face[:count], reached[:count], which[:count]
    first = _distinct(beta, kept, kept_v, kept_face, reached, apart)
    return kept[first], reached[first], which[first]


@leaf
def _taken_up(  # type: ignore[no-untyped-def]
    kind, beta, ut, log_a, face, allowed, near, v, q, values, room, leaps, steps, atoms, n_t, others, count, work
):
    """Whether the point in row 0 of near, taken up, comes neither to an atom nor to one of the others."""
    values[0] = _value(kind, beta, ut, log_a, near[0], face, allowed, v[0], q[0])
    factor, left = 0.0, values[0] > -np.inf
    for step in range(leaps + steps):
        if not left or factor < 0.0:
            break
        if step >= leaps:
            factor = _step_up(kind, beta, ut, log_a, face, allowed, factor, near, v, q, values, room)
        elif _leap_ahead(kind, beta, ut, log_a, face, allowed, near, v, q, values):
            factor = -1.0
        left = not _meets(beta, near[0], v[0], face, values[0], atoms, n_t, work)
        left = left and not _meets(beta, near[0], v[0], face, values[0], others, count, work)
    return left


@helper
def _heights_off(kind, beta, ut, log_a, means, face, allowed, atom_means, atom_v, atom_face, radius):  # type: ignore[no-untyped-def]
    """Log c at each point, -inf where it lies on an atom."""
    m, n_t = means.shape[0], atom_means.shape[0]
    heights, v, b, apart = np.empty(m), np.empty(means.shape), np.empty(m), np.empty((m, n_t))
    log_c_known(kind, beta, ut, log_a, means, face, allowed, heights, np.empty((m, ut.shape[1])))
    link(kind, means, face, v, b)
    distances(beta, means, v, face, atom_means, atom_v, atom_face, apart)
    for j in range(m):
        for t in range(n_t):
            if apart[j, t] < radius[t]:
                heights[j] = -np.inf
    return heights


@helper
def _distinct(beta, means, v, face, heights, apart):  # type: ignore[no-untyped-def]
    """The indices of the points, highest first, without those close to a higher one."""
    order = np.argsort(-heights, kind="mergesort")
    m = order.shape[0]
    if m > _MOST_COMPARED:
        return order
    means, v, face = means[order], v[order], face[order] if face.shape[0] > 0 else face
    between, alone = np.empty((m, m)), np.empty(m, np.bool_)
    distances(beta, means, v, face, means, v, face, between)
    for j in range(m):
        alone[j] = j == 0 or not np.min(between[j, :j]) < apart
    return order[np.flatnonzero(alone)]
