"""The search for points where c exceeds 1, as compiled kernels for the distortions whose link is known here.

The same equations as in `dualib.search`, for the IB and the dual IB; other distortions go the way of that module.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import MORE, helper, kernel
from dualib.kernels import responsibility as responsibility_kernel
from dualib.linear_kernels import applied, eliminate, product
from dualib.newton_kernels import link

_TINY = 1e-300
LEAP = 1.0  # squared natural distance of a Newton step beyond which it may end in another basin
LONGEST = 64.0  # ascent steps at once
_AT_REST = 1e-24  # squared natural distance of an ascent step


@helper
def _log_c(kind, beta, ut, log_a, means, face, allowed, values, terms):  # type: ignore[no-untyped-def]
    """See `log_c_known`; gives V too."""
    m, k = means.shape
    n = log_a.shape[0]
    v, b = np.empty((m, k)), np.empty(m)
    link(kind, means, face, v, b)
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
    return v


@kernel(
    "void(int64, float64, float64[:, ::1], float64[::1], float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[::1],"
    " float64[:, ::1])",
    few=MORE,
)
def log_c_known(kind, beta, ut, log_a, means, face, allowed, values, terms):  # type: ignore[no-untyped-def]
    """Log c at points given by their means, and the weights over the sources of its ascent step; see `dualib.search.log_c`."""
    _log_c(kind, beta, ut, log_a, means, face, allowed, values, terms)


@helper
def _newton_step(kind, beta, u, mean, v, face, q, plain, step):  # type: ignore[no-untyped-def]
    """(I - beta Cov_q(U) J)^-1 (plain - mean), Cov about the mean, into `step`; False where that is singular."""
    n, k = u.shape
    rows = np.empty((n, k))
    for x in range(n):
        root = np.sqrt(q[x])
        for y in range(k):
            rows[x, y] = root * (u[x, y] - mean[y])
    system, right = product(rows.T, rows), np.empty((k, 1))
    if kind == 1:
        along = applied(system, v)
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


@kernel(
    "Tuple((float64[:, ::1], float64[::1]))(int64, float64, float64[:, ::1], float64[:, ::1], float64[::1], float64[:, ::1],"
    " boolean[:, ::1], boolean[:, ::1], int64)"
)
def rise_known(kind, beta, u, ut, log_a, means, face, allowed, steps):  # type: ignore[no-untyped-def]
    """Move points up log c: see `dualib.search.rise`. Returns the means and log c there."""
    m, k = means.shape
    n = log_a.shape[0]
    terms, values = np.empty((m, n)), np.empty(m)
    v = _log_c(kind, beta, ut, log_a, means, face, allowed, values, terms)
    plain_terms, plain_values = np.empty((m, n)), np.empty(m)
    ahead_terms, ahead_values = np.empty((m, n)), np.empty(m)
    step, factor = np.empty(k), np.zeros(m)
    for _ in range(steps):
        plain = product(terms, u)
        plain_v = _log_c(kind, beta, ut, log_a, plain, face, allowed, plain_values, plain_terms)
        longest = 0.0
        ahead = np.empty((m, k))
        for j in range(m):
            away = 0.0
            for y in range(k):
                away += (plain[j, y] - means[j, y]) * (plain_v[j, y] - v[j, y])
            longest = max(longest, beta * away)
            own = face[j] if face.shape[0] > 0 else np.empty(0, np.bool_)
            longer = factor[j] > 0.0
            regular = not longer and _newton_step(kind, beta, u, means[j], v[j], own, terms[j], plain[j], step)
            for y in range(k):
                if longer:
                    ahead[j, y] = means[j, y] + factor[j] * (plain[j, y] - means[j, y])
                else:
                    ahead[j, y] = means[j, y] + step[y] if regular and np.isfinite(step[y]) else plain[j, y]
        if longest < _AT_REST:
            break
        # one ascent step brings the point ahead, which may have left the domain, back to a true mean
        _log_c(kind, beta, ut, log_a, ahead, face, allowed, ahead_values, ahead_terms)
        ahead = product(ahead_terms, u)
        ahead_v = _log_c(kind, beta, ut, log_a, ahead, face, allowed, ahead_values, ahead_terms)
        new_means, new_v = np.empty((m, k)), np.empty((m, k))
        moved = 0.0
        for j in range(m):
            leap = 0.0
            for y in range(k):
                leap += (ahead[j, y] - means[j, y]) * (ahead_v[j, y] - v[j, y])
            better = ahead_values[j] >= plain_values[j] and beta * leap <= LEAP
            if better:
                factor[j] = min(2.0 * factor[j], LONGEST)
            else:  # by turns: where log c is not concave Newton's steps fail, and plain ones are short
                factor[j] = 4.0 if factor[j] == 0.0 else 0.0
            new_means[j] = ahead[j] if better else plain[j]
            new_v[j] = ahead_v[j] if better else plain_v[j]
            terms[j] = ahead_terms[j] if better else plain_terms[j]
            value = ahead_values[j] if better else plain_values[j]
            if value != values[j]:
                moved = max(moved, abs(value - values[j]))
            values[j] = value
        means, v = new_means, new_v
        if moved == 0.0:
            break
    return means, values
