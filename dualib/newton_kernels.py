"""The sweep, and Newton's method to a stationary point, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.problem` and `dualib.stationary`, for the IB (`ARITHMETIC`) and the dual IB (`GEOMETRIC`), without
NumPy's calls on small arrays, which would cost ten times the arithmetic. Other distortions go the way of those modules.

The linear system of `dualib.stationary` is filled from the pairs that matter alone: a source whose row in Y_t is shorter than
sqrt(_SLIGHT) changes the matrix by less than _SLIGHT, which Newton's method, whose right-hand side is exact, does not notice.
"""

from __future__ import annotations

import numba
import numpy as np

from dualib.jit import kernel
from dualib.kernels import _exp_row
from dualib.kernels import posterior as posterior_kernel
from dualib.kernels import responsibility as responsibility_kernel

ARITHMETIC, GEOMETRIC = 0, 1  # V = log M; V = softmax(M)
NOTHING, STEP, TANGENT = 0, 1, 2
LARGEST = 200  # unknowns n + n_t up to which the elimination written here is as quick as LAPACK's

_TINY = 1e-300
_SLIGHT = 1e-12
_ROUNDING = 1e-9  # a residual that Newton's steps no longer lower is accepted below this

_helper = numba.njit(nogil=True, error_model="numpy")


@_helper
def _link(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means; `face` is empty where no zero matters."""
    n_t, k = means.shape
    everywhere = face.shape[0] == 0
    work = np.empty(k)
    for t in range(n_t):
        b[t] = 0.0
        if kind == 0:
            for y in range(k):
                v[t, y] = np.log(max(means[t, y], _TINY)) if everywhere or face[t, y] else 0.0
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
            _exp_row(v[t], work)
        for y in range(k):
            total += v[t, y]
        log_total = np.log(total)
        for y in range(k):
            v[t, y] /= total
            if everywhere or face[t, y]:
                b[t] += v[t, y] * (means[t, y] - top - log_total)


@_helper
def _sweep(kind, beta, px, pxu, ut, weights, means, face, allowed, v, b):  # type: ignore[no-untyped-def]
    """One Blahut-Arimoto step from atoms whose V and b are given; see `dualib.problem.Sweep`."""
    n_t, k = means.shape
    n = px.shape[0]
    terms = np.dot(beta * v, ut)
    for t in range(n_t):
        shift = np.log(weights[t]) - beta * b[t]
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
    new_weights = np.dot(terms, px)
    new_means = np.dot(terms, pxu)
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


@_helper
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
                for x in range(m):
                    right[i, x] -= factor * right[j, x]
    for j in range(n - 1, -1, -1):
        for i in range(j + 1, n):
            factor = a[j, i]
            if factor != 0.0:
                for x in range(m):
                    right[j, x] -= factor * right[i, x]
        inverse = 1.0 / a[j, j]
        for x in range(m):
            right[j, x] *= inverse
    return True


@_helper
def _rows(kind, beta, px, u, weights, means, v, face, post, c, rows, solved, source, start):  # type: ignore[no-untyped-def]
    """Y_t and (c_t - Y_t^T Y_t)^-1 Y_t^T of each cluster over the sources that matter to it, in `rows` and `solved`.

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
        count = total - start[t]
        if count == 0:
            continue
        own_rows = rows[start[t] : total]
        if k <= count:
            own = -np.dot(own_rows.T, own_rows)
            right = np.ascontiguousarray(own_rows.T)
        else:
            own = -np.dot(own_rows, own_rows.T)
            right = own_rows.copy()
        for i in range(own.shape[0]):
            own[i, i] += c[t]
        if not _eliminate(own, right):
            return False
        for i in range(count):
            for y in range(k):
                solved[y, start[t] + i] = right[y, i] if k <= count else right[i, y]
    start[n_t] = total
    return True


@_helper
def _answers(rows, solved, source, start, t, pull, moved, answer):  # type: ignore[no-untyped-def]
    """The move of the mean of cluster t to a pull (n,) on its members, into `moved` (k,), and Y_t times it, into `answer` (n,)."""
    k = moved.shape[0]
    for y in range(k):
        moved[y] = 0.0
        for i in range(start[t], start[t + 1]):
            moved[y] += solved[y, i] * pull[source[i]]
    answer[:] = 0.0
    for i in range(start[t], start[t + 1]):
        inner = 0.0
        for y in range(k):
            inner += rows[i, y] * moved[y]
        answer[source[i]] = inner


@_helper
def _pull(t, px, weights, post, faster, tangent, pull):  # type: ignore[no-untyped-def]
    """sqrt(w q) over the sources of one cluster, times the derivative of log p(t|x) by log beta for the tangent."""
    for x in range(px.shape[0]):
        pull[x] = np.sqrt(post[t, x] * px[x])
        if tangent:
            pull[x] *= faster[t, x]


@_helper
def _faster(beta, ut, v, b, post):  # type: ignore[no-untyped-def]
    """Derivative of log p(t|x) by log beta at fixed atoms, 0 where p(t|x) is 0."""
    terms = np.dot(beta * v, ut)
    n_t, n = post.shape
    for x in range(n):
        mean = 0.0
        for t in range(n_t):
            terms[t, x] -= beta * b[t]
            if post[t, x] > 0.0:
                mean += post[t, x] * terms[t, x]
        for t in range(n_t):
            terms[t, x] = terms[t, x] - mean if post[t, x] > 0.0 else 0.0
    return terms


@_helper
def _direction(kind, beta, px, u, ut, weights, means, face, v, b, post, c, tangent):  # type: ignore[no-untyped-def]
    """Steps of weights and means, to the stationary point or along the branch by log beta: (regular, dw, dM, longest, slope)."""
    n_t, k = means.shape
    n = px.shape[0]
    size = n + n_t
    d_weights, d_means = np.zeros(n_t), np.zeros((n_t, k))
    capacity = n_t * n
    rows, solved, coupling, root_post = np.empty((capacity, k)), np.empty((k, capacity)), np.empty(n), np.empty(capacity)
    source, start = np.empty(capacity, np.int64), np.empty(n_t + 1, np.int64)
    if not _rows(kind, beta, px, u, weights, means, v, face, post, c, rows, solved, source, start):
        return False, d_weights, d_means, 0.0, 0.0
    faster = _faster(beta, ut, v, b, post) if tangent else post
    system, right = np.zeros((size, size)), np.zeros((size, 1))
    pull, answer, moved = np.empty(n), np.empty(n), np.empty(k)
    for x in range(n):
        system[x, x] = 1.0
    for t in range(n_t):
        root_w = np.sqrt(weights[t])
        for x in range(n):
            border = post[t, x] * np.sqrt(px[x]) / root_w
            system[x, n + t] = -border
            system[n + t, x] = border
        first, last = start[t], start[t + 1]
        for i in range(first, last):
            root_post[i] = np.sqrt(post[t, source[i]])
        for i in range(first, last):
            xi = source[i]
            left = root_post[i]
            row = coupling[: i - first + 1]
            row[:] = 0.0
            for y in range(k):
                factor, column = left * rows[i, y], solved[y, first : i + 1]
                for j in range(row.shape[0]):
                    row[j] += factor * column[j]
            for j in range(first, i + 1):
                xj = source[j]
                inner = row[j - first] * root_post[j]
                system[xi, xj] += inner
                if j < i:
                    system[xj, xi] += inner
        _pull(t, px, weights, post, faster, tangent, pull)
        _answers(rows, solved, source, start, t, pull, moved, answer)
        for x in range(n):
            right[x, 0] += np.sqrt(post[t, x]) * answer[x]
        if tangent:
            for x in range(n):
                right[n + t, 0] += post[t, x] * px[x] * faster[t, x] / root_w
        else:
            right[n + t, 0] = root_w * (c[t] - 1.0)
    if not np.isfinite(np.sum(system)) or not _eliminate(system, right):
        return False, d_weights, d_means, 0.0, 0.0
    longest, slope = 0.0, 0.0
    share = np.empty(n)
    for t in range(n_t):
        root_w = np.sqrt(weights[t])
        d_weights[t] = root_w * right[n + t, 0]
        slope -= root_w * (c[t] - 1.0) * right[n + t, 0]
        _pull(t, px, weights, post, faster, tangent, pull)
        for x in range(n):
            share[x] = pull[x] - np.sqrt(post[t, x]) * right[x, 0]
        _answers(rows, solved, source, start, t, share, moved, answer)
        length = 0.0
        for y in range(k):
            length += moved[y] * moved[y]
        longest = max(longest, np.sqrt(length) / root_w)
        total = 0.0
        for x in range(n):
            slope -= pull[x] * answer[x]
            # R_t need not be invertible: the step of the mean as a combination of U[x] - M_t
            weight = np.sqrt(post[t, x] * px[x]) * (share[x] + answer[x]) / (weights[t] * c[t])
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


@kernel("void(int64, float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1])")
def link_known(kind, means, face, v, b):  # type: ignore[no-untyped-def]
    """V and b of the means, into `v` and `b`."""
    _link(kind, means, face, v, b)


@kernel(
    "void(int64, float64, float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[::1],"
    " float64[:, ::1])"
)
def log_c_known(kind, beta, ut, log_a, means, face, allowed, values, terms):  # type: ignore[no-untyped-def]
    """Log c at points given by their means, and the weights over the sources of its ascent step; see `dualib.search.log_c`."""
    m, k = means.shape
    n = log_a.shape[0]
    v, b = np.empty((m, k)), np.empty(m)
    _link(kind, means, face, v, b)
    product = np.dot(beta * v, ut)
    for j in range(m):
        shift = beta * b[j]
        for x in range(n):
            terms[j, x] = product[j, x] - shift
    if allowed.shape[0] > 0:
        for j in range(m):
            for x in range(n):
                if not allowed[j, x]:
                    terms[j, x] = -np.inf
    responsibility_kernel(terms, log_a, values, np.empty(n))
