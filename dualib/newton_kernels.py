"""The sweep, and Newton's method to a stationary point, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.problem` and `dualib.stationary`, for the IB (`ARITHMETIC`) and the dual IB (`GEOMETRIC`), without
NumPy's calls on small arrays, which would cost ten times the arithmetic. Other distortions go the way of those modules.

The linear system of `dualib.stationary` is filled from the pairs that matter alone: a source whose row in Y_t is shorter than
sqrt(_SLIGHT) changes the matrix by less than _SLIGHT, which Newton's method, whose right-hand side is exact, does not notice.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import MORE, helper, kernel
from dualib.kernels import applied, eliminate, exp_row, log, product, square
from dualib.kernels import posterior as posterior_kernel

ARITHMETIC, GEOMETRIC = 0, 1  # V = log M; V = softmax(M)
NOTHING, STEP, TANGENT = 0, 1, 2
LARGEST = 200  # unknowns n + n_t up to which the elimination written here is as quick as LAPACK's

_TINY = 1e-300
_SLIGHT = 1e-12
NUDGE = 1e-8  # added to c_t - Y_t^T Y_t: see dualib.stationary
_DENSE = 64**3  # numbers multiplied, above those of any interpreted call, from which a matrix product is worth its zeros
_FILLED = 0.4  # ... part of the pairs that must matter
_TOGETHER = 100  # columns of a matrix product, so that it stays in the cache
_BY_LAPACK = 130  # unknowns above which LAPACK is quicker than the elimination written here
_ROUNDING = 1e-9  # a residual that Newton's steps no longer lower is accepted below this


@helper
def link(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means; `face` is empty where no zero matters."""
    n_t, k = means.shape
    everywhere = face.shape[0] == 0
    work = np.empty(k)
    for t in range(n_t):
        b[t] = 0.0
        if kind == 0:
            for y in range(k):
                v[t, y] = log(max(means[t, y], _TINY)) if everywhere or face[t, y] else 0.0
            continue
        top = -np.inf
        for y in range(k):
            if everywhere or face[t, y]:
                top = max(top, means[t, y])
        total, finite = 0.0, True
        for y in range(k):
            v[t, y] = means[t, y] - top if everywhere or face[t, y] else -np.inf
            finite = finite and v[t, y] <= 0.0
        if finite:
            exp_row(v[t], work)
        for y in range(k):
            total += v[t, y]
        log_total = log(total)
        for y in range(k):
            v[t, y] /= total
            if everywhere or face[t, y]:
                b[t] += v[t, y] * (means[t, y] - top - log_total)


@helper
def _sweep(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b):  # type: ignore[no-untyped-def]
    """One Blahut-Arimoto step from atoms whose V and b are given; see `dualib.problem.Sweep`."""
    n_t, k = means.shape
    n = px.shape[0]
    terms = product(beta * v, ut)
    for t in range(n_t):
        shift = log(weights[t]) - beta * b[t]
        row = terms[t]
        for x in range(n):
            row[x] += shift
    if allowed.shape[0] > 0:
        for t in range(n_t):
            for x in range(n):
                if not allowed[t, x]:
                    terms[t, x] = -np.inf
    log_z, work = np.empty(n), np.empty(n)
    posterior_kernel(terms, log_z, work)
    value = 0.0
    for x in range(n):
        value += px[x] * log_z[x]
    new_weights = applied(terms, px)
    new_means = product(terms, pxu)
    c = np.empty(n_t)
    new_v, new_b = np.empty((n_t, k)), np.empty(n_t)
    for t in range(n_t):
        c[t] = new_weights[t] / weights[t]
        for y in range(k):
            new_means[t, y] = new_means[t, y] / new_weights[t] if new_weights[t] > 0.0 else means[t, y]
    link(kind, new_means, face, new_v, new_b)
    residual = 0.0
    for t in range(n_t):
        away = 0.0
        for y in range(k):
            away += (new_means[t, y] - means[t, y]) * (new_v[t, y] - v[t, y])
        residual = max(residual, max(abs(c[t] - 1.0), np.sqrt(max(beta * away, 0.0))))
    if not np.isfinite(value):
        value, residual = -np.inf, np.inf
    return value, residual, terms, log_z, c, new_weights, new_means, new_v, new_b


@kernel(
    "Tuple((float64, float64, float64[:, ::1], float64[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1],"
    " float64[::1]))(int64, float64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    " boolean[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1], boolean)"
)
def sweep_known(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b, linked):  # type: ignore[no-untyped-def]
    """One sweep: (px . log Z, residual, posterior, log Z, c, new weights, new means, their V and b).

    `v` and `b` are those of the atoms if they are `linked`, else they receive them.
    """
    if not linked:
        link(kind, means, face, v, b)
    return _sweep(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b)


@helper
def _rows(kind, beta, px, u, weights, means, v, face, post, c, rows, solved, source, start):  # type: ignore[no-untyped-def]
    """Y_t and Y_t (c_t - Y_t^T Y_t)^-1 of each cluster over the sources that matter to it, in `rows` and `solved`.

    Those of cluster t are start[t] to start[t + 1], each belonging to a source. False where one system is singular.
    """
    n_t, k = means.shape
    n = px.shape[0]
    total = 0
    everywhere = face.shape[0] == 0
    root = np.empty(k)
    for t in range(n_t):
        start[t] = total
        for y in range(k):
            if not (everywhere or face[t, y]):
                root[y] = 0.0
            elif kind == 0:
                root[y] = 1.0 / np.sqrt(max(means[t, y], _TINY))
            else:
                root[y] = np.sqrt(v[t, y])
        for x in range(n):
            factor = beta * post[t, x] * px[x] / weights[t]
            if factor == 0.0:
                continue
            row = rows[total]
            centre = 0.0
            for y in range(k):
                row[y] = u[x, y] - means[t, y]
                if kind == 1:
                    centre += v[t, y] * row[y]
            energy = 0.0
            for y in range(k):
                row[y] = (row[y] - centre) * root[y]
                energy += row[y] * row[y]
            if factor * energy > _SLIGHT:
                size = np.sqrt(factor)
                for y in range(k):
                    row[y] *= size
                source[total] = x
                total += 1
        if total > start[t] and not _respond(rows[start[t] : total], c[t] + NUDGE, solved[start[t] : total]):
            return False
    start[n_t] = total
    return True


@helper
def _respond(rows, c, solved):  # type: ignore[no-untyped-def]
    """Y (c - Y^T Y)^-1 = (c - Y Y^T)^-1 Y of one cluster, by the smaller of the two; False where that is singular."""
    count, k = rows.shape
    if k <= count:
        own, right = -product(rows.T, rows), np.eye(k)
    else:
        own, right = -product(rows, rows.T), rows.copy()
    for i in range(own.shape[0]):
        own[i, i] += c
    if not eliminate(own, right):
        return False
    solved[:] = product(rows, right) if k <= count else right
    return True


@helper
def _couple(rows, solved, source, start, root_post, system):  # type: ignore[no-untyped-def]
    """Add the coupling of the sources, sum over t of sqrt(p(t|x) p(t|x')) Y_t (c_t - Y_t^T Y_t)^-1 Y_t^T."""
    n_t, n = root_post.shape
    k = rows.shape[1]
    if n * n * n_t * k > _DENSE and start[n_t] > _FILLED * n * n_t:
        size = max(1, min(n_t, _TOGETHER // k))
        left, right, coupling = np.zeros((n, size * k)), np.zeros((n, size * k)), np.empty((n, n))
        for first in range(0, n_t, size):
            left[:], right[:] = 0.0, 0.0
            for t in range(first, min(first + size, n_t)):
                for i in range(start[t], start[t + 1]):
                    x = source[i]
                    for y in range(k):
                        left[x, (t - first) * k + y] = root_post[t, x] * rows[i, y]
                        right[x, (t - first) * k + y] = root_post[t, x] * solved[i, y]
            np.dot(left, right.T, coupling)
            for x in range(n):
                row, more = system[x], coupling[x]
                for other in range(n):
                    row[other] += more[other]
        return
    work, columns = np.empty(n), np.empty((k, n))
    for t in range(n_t):
        first, last = start[t], start[t + 1]
        for i in range(first, last):
            for y in range(k):
                columns[y, i - first] = root_post[t, source[i]] * solved[i, y]
        for i in range(first, last):
            xi = source[i]
            row = work[: i - first + 1]
            row[:] = 0.0
            for y in range(k):
                factor, column = root_post[t, xi] * rows[i, y], columns[y]
                for j in range(row.shape[0]):
                    row[j] += factor * column[j]
            for j in range(first, i):
                system[xi, source[j]] += row[j - first]
                system[source[j], xi] += row[j - first]
            system[xi, xi] += row[i - first]


@helper
def _answers(rows, solved, source, start, t, pulls, moved, answers):  # type: ignore[no-untyped-def]
    """The moves of the mean of cluster t to pulls (m, n) on its members, into `moved` (m, k), and Y_t times them, into `answers`."""
    first, last = start[t], start[t + 1]
    count = last - first
    forces = np.empty((pulls.shape[0], count))
    for j in range(pulls.shape[0]):
        for i in range(count):
            forces[j, i] = pulls[j, source[first + i]]
    moved[:] = product(forces, solved[first:last])
    forces[:] = product(moved, rows[first:last].T)
    answers[:] = 0.0
    for j in range(pulls.shape[0]):
        for i in range(count):
            answers[j, source[first + i]] = forces[j, i]


@helper
def _faster(beta, ut, v, b, post):  # type: ignore[no-untyped-def]
    """Derivative of log p(t|x) by log beta at fixed atoms, 0 where p(t|x) is 0."""
    terms = product(beta * v, ut)
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


@helper
def _solve(system, right):  # type: ignore[no-untyped-def]
    """The solution of the system; False where it is not finite, or singular."""
    if not np.isfinite(np.sum(system)):
        return False, right
    if right.shape[0] > _BY_LAPACK:
        return True, np.linalg.solve(system, right)  # raises LinAlgError where it is singular to the bit
    return eliminate(system, right), right


@helper
def _directions(kind, beta, px, u, ut, weights, means, face, v, b, post, c, tangent):  # type: ignore[no-untyped-def]
    """Steps of weights and means: to the stationary point, and where wanted the tangent of the branch by log beta.

    Returns whether the system is regular, the steps (m, n_t) and (m, n_t, k), and of the first the longest move of a mean and the
    slope of the objective.
    """
    n_t, k = means.shape
    n = px.shape[0]
    m = 1 + int(tangent)
    d_weights, d_means = np.zeros((m, n_t)), np.zeros((m, n_t, k))
    both = np.empty((2, n_t * n, k))  # one block: memory that comes in many large pieces goes back to the system at every call
    rows, solved = both[0], both[1]
    source, start = np.empty(n_t * n, np.int64), np.empty(n_t + 1, np.int64)
    if not _rows(kind, beta, px, u, weights, means, v, face, post, c, rows, solved, source, start):
        return False, d_weights, d_means, 0.0, 0.0
    root_px, root_post, root_w = np.sqrt(px), np.sqrt(post), np.sqrt(weights)
    pulls = np.empty(
        (m, n_t, n)
    )  # sqrt(w q) over the sources of each cluster, for the tangent times d log p(t|x) / d log beta
    for t in range(n_t):
        for x in range(n):
            pulls[:, t, x] = root_post[t, x] * root_px[x]
    system, right = np.zeros((n + n_t, n + n_t)), np.zeros((n + n_t, m))
    for t in range(n_t):
        right[n + t, 0] = root_w[t] * (c[t] - 1.0)
    if tangent:
        faster = _faster(beta, ut, v, b, post)
        for t in range(n_t):
            for x in range(n):
                pulls[1, t, x] *= faster[t, x]
                right[n + t, 1] += post[t, x] * px[x] * faster[t, x] / root_w[t]
    answers, moved = np.empty((m, n)), np.empty((m, k))
    _couple(rows, solved, source, start, root_post, system)
    for x in range(n):
        system[x, x] += 1.0
    for t in range(n_t):
        for x in range(n):
            border = post[t, x] * root_px[x] / root_w[t]
            system[x, n + t] = -border
            system[n + t, x] = border
        _answers(rows, solved, source, start, t, pulls[:, t], moved, answers)
        for i in range(m):
            for x in range(n):
                right[x, i] += root_post[t, x] * answers[i, x]
    regular, right = _solve(system, right)
    if not regular:
        return False, d_weights, d_means, 0.0, 0.0
    longest, slope = 0.0, 0.0
    shares = np.empty((m, n))
    for t in range(n_t):
        scale = 1.0 / (weights[t] * (c[t] + NUDGE))
        slope -= root_w[t] * (c[t] - 1.0) * right[n + t, 0]
        for i in range(m):
            d_weights[i, t] = root_w[t] * right[n + t, i]
            for x in range(n):
                shares[i, x] = pulls[i, t, x] - root_post[t, x] * right[x, i]
        _answers(rows, solved, source, start, t, shares, moved, answers)
        length = 0.0
        for y in range(k):
            length += square(moved[0, y])
        longest = max(longest, np.sqrt(length) / root_w[t])
        for x in range(n):
            slope -= pulls[0, t, x] * answers[0, x]
        for i in range(m):
            total = 0.0
            for x in range(n):
                # R_t need not be invertible: the step of the mean as a combination of U[x] - M_t
                weight = root_post[t, x] * root_px[x] * (shares[i, x] + answers[i, x]) * scale
                total += weight
                if weight != 0.0:
                    for y in range(k):
                        d_means[i, t, y] += weight * u[x, y]
            for y in range(k):
                d_means[i, t, y] -= total * means[t, y]
    return True, d_weights, d_means, longest, slope


@kernel(
    "Tuple((boolean, float64[::1], float64[:, ::1], float64[::1], float64[:, ::1], float64))(int64, float64, float64[::1],"
    " float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1],"
    " float64, int64, int64)"
)
def newton_known(kind, beta, px, u, pxu, ut, weights, means, face, allowed, goal, most, end):  # type: ignore[no-untyped-def]
    """At most `most` undamped Newton steps to the stationary point on these atoms, and then one direction there.

    Parameters
    ----------
    goal : float
        Residual at which to stop.
    end : int
        What to give besides: `NOTHING`, `STEP` (Newton's next step) or `TANGENT`, that of the branch by log beta at the point before
        the last step, which shares its system (one step is then made always).

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
    v, b = np.empty((n_t, k)), np.empty(n_t)
    new_weights, new_means = weights, means
    post, c = np.empty((0, 0)), np.empty(0)
    residual = np.inf
    d_weights, d_means, last = np.zeros(n_t), np.zeros((n_t, k)), 0.0
    for i in range(most + 2):
        new_v, new_b = np.empty((n_t, k)), np.empty(n_t)
        link(kind, new_means, face, new_v, new_b)
        value, new_residual, new_post, _, new_c, _, _, _, _ = _sweep(
            kind, beta, px, pxu, ut, new_weights, new_means, face, allowed, new_v, new_b
        )
        if i > 0 and not (np.isfinite(value) and new_residual <= 2.0 * max(residual, 0.1)):
            return False, weights, means, d_weights, d_means, last
        settled = i > 0 and new_residual > 0.5 * residual and residual < _ROUNDING
        if not settled:
            weights, means, v, b, post, c = new_weights, new_means, new_v, new_b, new_post, new_c
            residual = new_residual
            settled = (residual <= goal and (i > 0 or end != 2)) or i == most or not np.isfinite(residual)
        if settled and (end != 1 or (most > 0 and not residual < max(_ROUNDING, goal)) or not np.isfinite(residual)):
            return residual < max(_ROUNDING, goal), weights, means, d_weights, d_means, last
        regular, all_weights, all_means, longest, last = _directions(
            kind, beta, px, u, ut, weights, means, face, v, b, post, c, end == 2
        )
        if not regular or not np.isfinite(longest) or not np.isfinite(last):
            return False, weights, means, d_weights, d_means, last
        if end == 2:
            last = residual
        d_weights, d_means = all_weights[-1], all_means[-1]
        shrink = 1.0 / max(1.0, longest)
        new_weights, new_means = weights + shrink * all_weights[0], means + shrink * all_means[0]
        if settled:
            d_weights, d_means = shrink * d_weights, shrink * d_means
            break
        total = 0.0
        for t in range(n_t):
            if not new_weights[t] > 1e-3 * min(weights[t], 1e-9):
                return False, weights, means, d_weights, d_means, last
            total += new_weights[t]
        if not np.isfinite(total) or not np.isfinite(np.sum(new_means)):
            return False, weights, means, d_weights, d_means, last
        new_weights = new_weights / total
    return True, weights, means, d_weights, d_means, last


@kernel("void(int64, float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1])", few=MORE)
def link_known(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means, into `v` and `b`."""
    link(kind, means, face, v, b)
