"""The sweep, and Newton's method to a stationary point, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.problem` and `dualib.stationary`, for the IB (`ARITHMETIC`) and the dual IB (`GEOMETRIC`), without
NumPy's calls on small arrays, which would cost ten times the arithmetic. Other distortions go the way of those modules.

The linear system of `dualib.stationary` is filled from the pairs that matter alone: a source whose row in Y_t is shorter than
sqrt(_SLIGHT) changes the matrix by less than _SLIGHT, which Newton's method, whose right-hand side is exact, does not notice.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import MORE, helper, kernel
from dualib.kernels import applied, exp_row, log, product
from dualib.kernels import posterior as posterior_kernel
from dualib.kernels import responsibility as responsibility_kernel

ARITHMETIC, GEOMETRIC = 0, 1  # V = log M; V = softmax(M)
NOTHING, STEP, TANGENT = 0, 1, 2
LARGEST = 200  # unknowns n + n_t up to which the elimination written here is as quick as LAPACK's

_TINY = 1e-300
_SLIGHT = 1e-12
NUDGE = 1e-8  # added to c_t - Y_t^T Y_t: see dualib.stationary
_DENSE = 64**3  # numbers multiplied, above those of any interpreted call, from which a matrix product is worth its zeros
_FILLED = 0.4  # ... part of the pairs that must matter
_BY_LAPACK = 130  # unknowns above which LAPACK is quicker than the elimination written here
_ROUNDING = 1e-9  # a residual that Newton's steps no longer lower is accepted below this


@helper
def _link(kind, means, face, v, b):  # type: ignore[no-untyped-def]
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
    _link(kind, new_means, face, new_v, new_b)
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
        _link(kind, means, face, v, b)
    return _sweep(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b)


@helper
def _subtract(a, i, factor, j):  # type: ignore[no-untyped-def]
    """Row i of a less a multiple of row j."""
    if a.shape[1] == 1:
        a[i, 0] -= factor * a[j, 0]
        return
    low, high = a[i], a[j]
    for x in range(low.shape[0]):
        low[x] -= factor * high[x]


@helper
def _eliminate(a, right):  # type: ignore[no-untyped-def]
    """Solve a z = right in place by Gaussian elimination with partial pivoting; False where a is singular."""
    n, m = right.shape
    for j in range(n):
        pivot = j
        for i in range(j + 1, n):
            if abs(a[i, j]) > abs(a[pivot, j]):
                pivot = i
        if not abs(a[pivot, j]) > 0.0:
            return False
        if pivot != j:
            for i in range(j, n):
                a[j, i], a[pivot, i] = a[pivot, i], a[j, i]
            for i in range(m):
                right[j, i], right[pivot, i] = right[pivot, i], right[j, i]
        inverse = 1.0 / a[j, j]
        for i in range(j + 1, n):
            factor = a[i, j] * inverse
            if factor != 0.0:
                row, top = a[i, j + 1 :], a[j, j + 1 :]
                for x in range(row.shape[0]):
                    row[x] -= factor * top[x]
                _subtract(right, i, factor, j)
    for j in range(n - 1, -1, -1):
        for i in range(j + 1, n):
            factor = a[j, i]
            if factor != 0.0:
                _subtract(right, j, factor, i)
        inverse = 1.0 / a[j, j]
        for x in range(m):
            right[j, x] *= inverse
    return True


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
    if not _eliminate(own, right):
        return False
    solved[:] = product(rows, right) if k <= count else right
    return True


@helper
def _couple(rows, solved, source, start, root_post, system):  # type: ignore[no-untyped-def]
    """Add the coupling of the sources, sum over t of sqrt(p(t|x) p(t|x')) Y_t (c_t - Y_t^T Y_t)^-1 Y_t^T."""
    n_t, n = root_post.shape
    k = rows.shape[1]
    if n * n * n_t * k > _DENSE and start[n_t] > _FILLED * n * n_t:
        left, right = np.zeros((n, n_t * k)), np.zeros((n, n_t * k))
        for t in range(n_t):
            for i in range(start[t], start[t + 1]):
                x = source[i]
                for y in range(k):
                    left[x, t * k + y] = root_post[t, x] * rows[i, y]
                    right[x, t * k + y] = root_post[t, x] * solved[i, y]
        coupling = np.dot(left, right.T)
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
def _answers(rows, solved, source, start, t, pull, moved, answer):  # type: ignore[no-untyped-def]
    """The move of the mean of cluster t to a pull (n,) on its members, into `moved` (k,), and Y_t times it, into `answer` (n,)."""
    k = moved.shape[0]
    moved[:] = 0.0
    for i in range(start[t], start[t + 1]):
        force = pull[source[i]]
        for y in range(k):
            moved[y] += solved[i, y] * force
    answer[:] = 0.0
    for i in range(start[t], start[t + 1]):
        inner = 0.0
        for y in range(k):
            inner += rows[i, y] * moved[y]
        answer[source[i]] = inner


@helper
def _pulls(root_px, root_post, faster, tangent):  # type: ignore[no-untyped-def]
    """sqrt(w q) over the sources of each cluster, times the derivative of log p(t|x) by log beta for the tangent."""
    pulls = np.empty(root_post.shape)
    for t in range(root_post.shape[0]):
        for x in range(root_px.shape[0]):
            pulls[t, x] = root_post[t, x] * root_px[x]
            if tangent:
                pulls[t, x] *= faster[t, x]
    return pulls


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
    return _eliminate(system, right), right


@helper
def _direction(kind, beta, px, u, ut, weights, means, face, v, b, post, c, tangent):  # type: ignore[no-untyped-def]
    """Steps of weights and means, to the stationary point or along the branch by log beta: (regular, dw, dM, longest, slope)."""
    n_t, k = means.shape
    n = px.shape[0]
    d_weights, d_means = np.zeros(n_t), np.zeros((n_t, k))
    rows, solved = np.empty((n_t * n, k)), np.empty((n_t * n, k))
    source, start = np.empty(n_t * n, np.int64), np.empty(n_t + 1, np.int64)
    if not _rows(kind, beta, px, u, weights, means, v, face, post, c, rows, solved, source, start):
        return False, d_weights, d_means, 0.0, 0.0
    faster = _faster(beta, ut, v, b, post) if tangent else post
    root_px, root_post = np.sqrt(px), np.sqrt(post)
    pulls = _pulls(root_px, root_post, faster, tangent)
    system, right = np.zeros((n + n_t, n + n_t)), np.zeros((n + n_t, 1))
    answer, moved = np.empty(n), np.empty(k)
    _couple(rows, solved, source, start, root_post, system)
    for x in range(n):
        system[x, x] += 1.0
    for t in range(n_t):
        root_w = np.sqrt(weights[t])
        for x in range(n):
            border = post[t, x] * root_px[x] / root_w
            system[x, n + t] = -border
            system[n + t, x] = border
        _answers(rows, solved, source, start, t, pulls[t], moved, answer)
        for x in range(n):
            right[x, 0] += root_post[t, x] * answer[x]
        if tangent:
            for x in range(n):
                right[n + t, 0] += post[t, x] * px[x] * faster[t, x] / root_w
        else:
            right[n + t, 0] = root_w * (c[t] - 1.0)
    regular, right = _solve(system, right)
    if not regular:
        return False, d_weights, d_means, 0.0, 0.0
    longest, slope = 0.0, 0.0
    share = np.empty(n)
    for t in range(n_t):
        root_w = np.sqrt(weights[t])
        d_weights[t] = root_w * right[n + t, 0]
        slope -= root_w * (c[t] - 1.0) * right[n + t, 0]
        for x in range(n):
            share[x] = pulls[t, x] - root_post[t, x] * right[x, 0]
        _answers(rows, solved, source, start, t, share, moved, answer)
        length = 0.0
        for y in range(k):
            length += moved[y] * moved[y]
        longest = max(longest, np.sqrt(length) / root_w)
        total = 0.0
        scale = 1.0 / (weights[t] * (c[t] + NUDGE))
        for x in range(n):
            slope -= pulls[t, x] * answer[x]
            # R_t need not be invertible: the step of the mean as a combination of U[x] - M_t
            weight = root_post[t, x] * root_px[x] * (share[x] + answer[x]) * scale
            total += weight
            if weight != 0.0:
                for y in range(k):
                    d_means[t, y] += weight * u[x, y]
        for y in range(k):
            d_means[t, y] -= total * means[t, y]
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
        Which direction to give at the end: `NOTHING`, `STEP` (Newton's next step) or `TANGENT` (the branch by log beta).

    Returns
    -------
    settled : bool
        False where the steps diverge, an atom would lose its weight, or the system is singular.
    weights, means : (n_t,), (n_t, k)
    d_weights, d_means : (n_t,), (n_t, k)
        The direction.
    slope : float
        Of the objective along Newton's step.
    """
    n_t, k = means.shape
    v, b = np.empty((n_t, k)), np.empty(n_t)
    new_weights, new_means = weights, means
    post, c = np.empty((0, 0)), np.empty(0)
    residual = np.inf
    d_weights, d_means, slope = np.zeros(n_t), np.zeros((n_t, k)), 0.0
    settled = False
    for i in range(most + 2):
        if not settled:
            new_v, new_b = np.empty((n_t, k)), np.empty(n_t)
            _link(kind, new_means, face, new_v, new_b)
            value, new_residual, new_post, _, new_c, _, _, _, _ = _sweep(
                kind, beta, px, pxu, ut, new_weights, new_means, face, allowed, new_v, new_b
            )
            if i > 0 and not (np.isfinite(value) and new_residual <= 2.0 * max(residual, 0.1)):
                return False, weights, means, d_weights, d_means, slope
            settled = i > 0 and new_residual > 0.5 * residual and residual < _ROUNDING
            if not settled:
                weights, means, v, b, post, c = new_weights, new_means, new_v, new_b, new_post, new_c
                residual = new_residual
                settled = residual <= goal or i == most or not np.isfinite(residual)
            if settled and (end == 0 or (most > 0 and not residual < _ROUNDING) or not np.isfinite(residual)):
                return residual < _ROUNDING, weights, means, d_weights, d_means, slope
        regular, d_weights, d_means, longest, slope = _direction(
            kind, beta, px, u, ut, weights, means, face, v, b, post, c, settled and end == 2
        )
        if not regular or not np.isfinite(longest) or not np.isfinite(slope):
            return False, weights, means, d_weights, d_means, slope
        shrink = 1.0 if settled and end == 2 else 1.0 / max(1.0, longest)
        d_weights *= shrink
        d_means *= shrink
        if settled:
            break
        new_weights, new_means = weights + d_weights, means + d_means
        total = 0.0
        for t in range(n_t):
            if not new_weights[t] > 1e-3 * min(weights[t], 1e-9):
                return False, weights, means, d_weights, d_means, slope
            total += new_weights[t]
        if not np.isfinite(total) or not np.isfinite(np.sum(new_means)):
            return False, weights, means, d_weights, d_means, slope
        new_weights = new_weights / total
    return True, weights, means, d_weights, d_means, slope


@kernel("void(int64, float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1])", few=MORE)
def link_known(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means, into `v` and `b`."""
    _link(kind, means, face, v, b)


@kernel(
    "void(int64, float64, float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[::1],"
    " float64[:, ::1])",
    few=MORE,
)
def log_c_known(kind, beta, ut, log_a, means, face, allowed, values, terms):  # type: ignore[no-untyped-def]
    """Log c at points given by their means, and the weights over the sources of its ascent step; see `dualib.search.log_c`."""
    m, k = means.shape
    n = log_a.shape[0]
    v, b = np.empty((m, k)), np.empty(m)
    _link(kind, means, face, v, b)
    inner = product(beta * v, ut)
    for j in range(m):
        shift = beta * b[j]
        for x in range(n):
            terms[j, x] = inner[j, x] - shift
    if allowed.shape[0] > 0:
        for j in range(m):
            for x in range(n):
                if not allowed[j, x]:
                    terms[j, x] = -np.inf
    responsibility_kernel(terms, log_a, values, np.empty(n))
