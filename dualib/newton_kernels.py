"""The sweep, and Newton's method to a stationary point, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.problem` and `dualib.stationary`, for the IB (`ARITHMETIC`) and the dual IB (`GEOMETRIC`), without
NumPy's calls on small arrays, which would cost ten times the arithmetic. Other distortions go the way of those modules.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import MORE, helper, kernel, leaf
from dualib.kernels import log, normalise
from dualib.linear_kernels import apply, by_hand, dot, multiply, product
from dualib.row_kernels import TINY, exp_in, exp_row, log_row, wide_vectors
from dualib.stationary_kernels import directions, eliminated
from dualib.strand_kernels import highest, inner, inner_of_moves, total
from dualib.view_kernels import as_row

ARITHMETIC, GEOMETRIC = 0, 1  # V = log M; V = softmax(M)
NOTHING, STEP, TANGENT = 0, 1, 2
LARGEST = 1_500  # unknowns n + n_t up to which Newton's method runs in a kernel, two to four times as fast as in NumPy
_ROUNDING = 1e-9  # a residual that Newton's steps no longer lower is accepted below this
_WORTH_KEEPING = 500  # products n n_t k from which an eliminated system is used for more than one step
_FALLS = 0.3  # the residual falls to at most this part of it over such a step, or it is the last
_MOST_KEPT = 5  # steps with one system
_TRUE_ENOUGH = 1e-3  # residual of a point whose tangent may stand for that of the stationary point


@leaf
def link_one(kind, mean, face, v):  # type: ignore[no-untyped-def]
    """V of one mean (k,), into `v`, and b; `face` is empty where no zero matters."""
    k = mean.shape[0]
    everywhere = face.shape[0] == 0
    if kind == 0:
        for y in range(k):
            v[y] = max(mean[y], TINY)
        log_row(v)
        for y in range(k):
            v[y] += 0.0 * mean[y]  # NaN stays NaN
        if not everywhere:
            for y in range(k):
                v[y] = v[y] if face[y] else 0.0
        return 0.0
    if everywhere:
        top = _below(mean, v)
    else:
        for y in range(k):
            v[y] = mean[y] if face[y] else -np.inf
        top = _below(v, v)
    if total(v) <= 0.0:  # not so where a mean is NaN
        exp_row(v)
    mass = total(v)
    shift, inverse = top + log(mass), 1.0 / mass
    for y in range(k):
        v[y] *= inverse
    return inner(v, mean) - shift


@leaf
def _below(row, lowered):  # type: ignore[no-untyped-def]
    """The largest number of a row, and what the row is less it, into `lowered`."""
    top = highest(row, -np.inf)
    for y in range(row.shape[0]):
        lowered[y] = row[y] - top
    return top


@leaf
def link(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of means (n_t, k), into `v` and `b`: those of `link_one`, the logarithms or exponentials of all in one row."""
    wide_vectors()
    n_t, k = means.shape
    numbers = as_row(v)
    everywhere = face.shape[0] == 0
    if kind == 0:
        mean = as_row(means)
        for i in range(n_t * k):
            numbers[i] = max(mean[i], TINY)
        log_row(numbers)
        for i in range(n_t * k):
            numbers[i] += 0.0 * mean[i]  # NaN stays NaN
        b[:] = 0.0
        if not everywhere:
            for t in range(n_t):
                for y in range(k):
                    v[t, y] = v[t, y] if face[t, y] else 0.0
        return
    for t in range(n_t):
        if everywhere:
            b[t] = _below(means[t], v[t])
        else:
            for y in range(k):
                v[t, y] = means[t, y] if face[t, y] else -np.inf
            b[t] = _below(v[t], v[t])
    exp_in(numbers, numbers.shape[0] > MORE)
    for t in range(n_t):
        row, mass = v[t], total(v[t])
        shift, inverse = b[t] + log(mass), 1.0 / mass
        for y in range(k):
            row[y] *= inverse
        b[t] = inner(row, means[t]) - shift
        if np.isnan(b[t]):  # as where a mean is
            row[:] = np.nan


@helper
def swept(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b):  # type: ignore[no-untyped-def]
    """One Blahut-Arimoto step from atoms whose V and b are given; see `dualib.problem.Sweep`."""
    (n_t, k), n = means.shape, px.shape[0]
    terms, log_z, work = np.empty((n_t, n)), np.empty(n), np.empty(n)
    new_weights, new_means, c = np.empty(n_t), np.empty((n_t, k)), np.empty(n_t)
    new_v, new_b = np.empty((n_t, k)), np.empty(n_t)
    atoms, to = (weights, means, face, allowed, v, b), (c, new_weights, new_means, new_v, new_b)
    value, residual = sweep_into(kind, beta, px, pxu, ut, atoms, (terms, log_z, work), to)
    return value, residual, terms, log_z, c, new_weights, new_means, new_v, new_b


@leaf
def sweep_into(kind, beta, px, pxu, ut, atoms, room, to):  # type: ignore[no-untyped-def]
    """`swept` into arrays that exist, `work` (n,) being scratch: px . log Z and the residual."""
    wide_vectors()
    weights, means, face, allowed, v, b = atoms
    (terms, log_z, work), (c, new_weights, new_means, new_v, new_b) = room, to
    n_t, k = means.shape
    n, hand, shift = px.shape[0], by_hand(pxu.size), new_b
    for t in range(n_t):
        row, line = new_v[t], v[t]
        for y in range(k):
            row[y] = beta * line[y]
        shift[t] = log(weights[t]) - beta * b[t]
    multiply(new_v, ut, terms, hand)
    if allowed.shape[0] > 0:
        for t in range(n_t):
            for x in range(n):
                if not allowed[t, x]:
                    terms[t, x] = -np.inf
    normalise(terms, shift, log_z, work, hand == 0)
    value = dot(px, log_z, hand)
    multiply(terms, pxu, new_means, hand)
    apply(terms, px, new_weights, hand)
    for t in range(n_t):
        row, c[t] = new_means[t], new_weights[t] / weights[t]
        if new_weights[t] > TINY:
            inverse = 1.0 / new_weights[t]
            for y in range(k):
                row[y] *= inverse
        else:  # the inverse of a subnormal number is inf
            for y in range(k):
                row[y] = row[y] / new_weights[t] if new_weights[t] > 0.0 else means[t, y]
    link(kind, new_means, face, new_v, new_b)
    residual = 0.0
    for t in range(n_t):
        length = inner_of_moves(means[t], new_means[t], v[t], new_v[t])
        residual = max(residual, max(abs(c[t] - 1.0), np.sqrt(max(beta * length, 0.0))))
    if not np.isfinite(value):
        return -np.inf, np.inf
    return value, residual


@kernel(
    "Tuple((float64, float64))(int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    " boolean[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1], boolean, float64[:, ::1], float64[::1], float64[::1],"
    " float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1])",
    leaf=True,
)
def sweep_known(  # type: ignore[no-untyped-def]
    kind,
    beta,
    px,
    pxu,
    ut,
    weights,
    means,
    face,
    allowed,
    v,
    b,
    linked,
    post,
    log_z,
    work,
    c,
    new_weights,
    new_means,
    new_v,
    new_b,
):
    """One sweep: px . log Z and the residual; posterior, log Z, c, new weights, new means, their V and b into arrays that exist.

    To make these in Python takes less than handing new ones over. `v` and `b` are those of the atoms if they are `linked`,
    else they receive them; work (n,) is scratch.
    """
    if not linked:
        link(kind, means, face, v, b)
    atoms, to = (weights, means, face, allowed, v, b), (c, new_weights, new_means, new_v, new_b)
    return sweep_into(kind, beta, px, pxu, ut, atoms, (post, log_z, work), to)


@helper
def _faster(beta, ut, v, b, post):  # type: ignore[no-untyped-def]
    """Derivative of log p(t|x) by log beta at fixed atoms, 0 where p(t|x) is 0."""
    terms = product(beta * v, ut, by_hand(ut.size))
    n_t, n = post.shape
    mean = np.zeros(n)
    for t in range(n_t):
        for x in range(n):
            terms[t, x] -= beta * b[t]
            if post[t, x] > 0.0:
                mean[x] += post[t, x] * terms[t, x]
    for t in range(n_t):
        for x in range(n):
            terms[t, x] = terms[t, x] - mean[x] if post[t, x] > 0.0 else 0.0
    return terms


@kernel(
    "Tuple((boolean, float64[::1], float64[:, ::1], float64[::1], float64[:, ::1], float64))(int64, float64, float64[::1],"
    " float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64,"
    " int64, int64, float64)"
)
def newton_known(kind, beta, px, u, pxu, ut, weights, means, face, allowed, goal, most, end, damping):  # type: ignore[no-untyped-def]
    """At most `most` undamped Newton steps to the stationary point on these atoms, and then one direction there.

    Parameters
    ----------
    goal : float
        Residual at which to stop.
    end : int
        What to give besides: `NOTHING`, `STEP` (Newton's next step) or `TANGENT`, that of the branch by log beta at the point before
        the last step, which shares its system (one step is then made always).
    damping : float
        Added to the diagonal of the Hessian, in its scaled variables.

    Returns
    -------
    settled : bool
        False where the steps diverge, an atom would lose its weight, or the system is singular.
    weights, means : (n_t,), (n_t, k)
    d_weights, d_means : (n_t,), (n_t, k)
        The direction.
    last : float
        The slope of the objective along Newton's step; with `TANGENT` the residual of the point that the tangent is of.
    """
    n_t, k = means.shape
    n = px.shape[0]
    # one block: memory that comes in many large pieces goes back to the system at every call
    both = np.empty((2, n_t * n * k))
    rows, solved = both[0], both[1]
    source, start = np.empty(n_t * n, np.int64), np.empty(n_t + 1, np.int64)
    root_post, system, pivots = np.empty((n_t, n)), np.empty((n + n_t, n + n_t)), np.empty(n + n_t, np.int64)
    m = 1 + int(end == 2)
    d_weights, d_means, last = np.zeros(n_t), np.zeros((n_t, k)), 0.0
    base_weights, base_means, base_v, base_c = weights, means, means, weights  # of the point where the system was eliminated
    v, b, post, c, moved_weights, moved_means = means, weights, means, weights, weights, means
    new_weights, new_means, residual = weights, means, np.inf
    taken, kept, keep = 0, 0, n * n_t * k > _WORTH_KEEPING
    while True:
        new_v, new_b = np.empty((n_t, k)), np.empty(n_t)
        link(kind, new_means, face, new_v, new_b)
        value, new_residual, new_post, _, new_c, to_weights, to_means, _, _ = swept(
            kind, beta, px, pxu, ut, new_weights, new_means, face, allowed, new_v, new_b
        )
        close = np.isfinite(value) and new_residual <= 2.0 * max(residual, 0.1)
        if taken > 0 and kept == 0 and not close:
            return False, weights, means, d_weights, d_means, last
        falls = taken > 0 and new_residual <= _FALLS * residual
        rests = taken > 0 and kept == 0 and new_residual > 0.5 * residual and residual < _ROUNDING
        if not rests and (kept == 0 or new_residual < residual):
            weights, means, v, b, post, c = new_weights, new_means, new_v, new_b, new_post, new_c
            moved_weights, moved_means, residual = to_weights, to_means, new_residual
        again = keep and falls and kept < _MOST_KEPT and (end != 2 or last <= _TRUE_ENOUGH)
        settled = rests or (residual <= goal and (taken > 0 or end != 2)) or not np.isfinite(residual)
        settled = settled or (taken == most and not again)
        if settled and (end != 1 or (most > 0 and not residual < max(_ROUNDING, goal)) or not np.isfinite(residual)):
            return residual < max(_ROUNDING, goal), weights, means, d_weights, d_means, last
        again = again and not settled
        forces, right = np.empty((n_t, 1 if again else m, k)), np.zeros((1 if again else m, n + n_t))
        if not again:
            base_weights, base_means, base_v, base_c = weights, means, v, c + damping
            common = (rows, solved, source, start, root_post, system, pivots)
            if not eliminated(kind, beta, px, ut, weights, means, v, face, post, base_c, damping, *common):
                return False, weights, means, d_weights, d_means, last
            if end == 2:
                _tangent_right(beta, px, u, ut, weights, means, v, b, post, forces, right)
        for t in range(n_t):
            right[0, n + t] = np.sqrt(base_weights[t]) * (c[t] - 1.0)
            for y in range(k):
                forces[t, 0, y] = moved_weights[t] * (moved_means[t, y] - means[t, y])
        all_weights, all_means, longest, slope = directions(
            kind,
            beta,
            px,
            u,
            base_weights,
            base_means,
            base_v,
            face,
            base_c,
            rows,
            solved,
            source,
            start,
            root_post,
            system,
            pivots,
            forces,
            right,
        )
        if not np.isfinite(longest) or not np.isfinite(slope):
            return False, weights, means, d_weights, d_means, last
        if not again:
            last = residual if end == 2 else slope
            d_weights, d_means = all_weights[-1], all_means[-1]
        shrink = 1.0 / max(1.0, longest)
        new_weights, new_means = weights + shrink * all_weights[0], means + shrink * all_means[0]
        if settled:
            return True, weights, means, shrink * d_weights, shrink * d_means, last
        taken, kept = (taken, kept + 1) if again else (taken + 1, 0)
        total = 0.0
        for t in range(n_t):
            if not new_weights[t] > 1e-3 * min(weights[t], 1e-9):
                return False, weights, means, d_weights, d_means, last
            total += new_weights[t]
        if not np.isfinite(total) or not np.isfinite(np.sum(new_means)):
            return False, weights, means, d_weights, d_means, last
        new_weights = new_weights / total


@helper
def _tangent_right(beta, px, u, ut, weights, means, v, b, post, forces, right):  # type: ignore[no-untyped-def]
    """The right-hand sides of the tangent by log beta, second in `forces` and `right`: see `stationary_kernels.directions`."""
    n_t, n = post.shape
    k = means.shape[1]
    pairs = _faster(beta, ut, v, b, post)
    for t in range(n_t):
        total = 0.0
        for x in range(n):
            pairs[t, x] *= post[t, x] * px[x]
            total += pairs[t, x]
        right[1, n + t] = total / np.sqrt(weights[t])
        for y in range(k):
            forces[t, 1, y] = -total * means[t, y]
    along = product(pairs, u, by_hand(u.size))
    for t in range(n_t):
        for y in range(k):
            forces[t, 1, y] += along[t, y]


@kernel("void(int64, float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1])", few=MORE)
def link_known(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means, into `v` and `b`."""
    link(kind, means, face, v, b)
