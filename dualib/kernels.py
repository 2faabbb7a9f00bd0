"""The inner loops. They know arrays, never a distortion.

Arrays over pairs are laid out ``(n_t, n_x)``, clusters first: maxima and sums over the clusters then run along
contiguous memory and vectorise without reordering any sum, so results do not depend on the compiler's mood. The exponential of
rows is written out for the same reason (a call of the library's, one scalar at a time, costs eight times as much).

A kernel gives the same bits as Python and compiled. For that, all exp and log of kernels are the C library's, by `exp`, `log` and
`expm1` below (NumPy has its own), powers are products, and matrix products sum in a fixed order up to a size beyond which no
kernel is interpreted (`dualib.linear_kernels`).
"""

from __future__ import annotations

import math

import numpy as np

from dualib.jit import MORE, helper, kernel
from dualib.linear_kernels import product

_LOG2E = 1.4426950408889634
_LN2_HI = 6.93147180369123816490e-01  # ln 2 split in two (Cody and Waite), so that k * _LN2_HI is exact
_LN2_LO = 1.90821492927058770002e-10
_ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, left in the low bits
_LOWEST = -708.0  # exp below this is taken as exactly 0


@helper
def exp(x):  # type: ignore[no-untyped-def]
    """e**x; inf above 709, where Python's would raise."""
    return np.inf if x > 709.0 else math.exp(x)


@helper
def expm1(x):  # type: ignore[no-untyped-def]
    """e**x - 1; inf above 709."""
    return np.inf if x > 709.0 else math.expm1(x)


@helper
def log(x):  # type: ignore[no-untyped-def]
    """The natural logarithm; -inf at 0, NaN below."""
    if x > 0.0:
        return math.log(x)
    return -np.inf if x == 0.0 else np.nan


@helper
def square(x):  # type: ignore[no-untyped-def]
    """X times x, which Python's ** need not be to the last bit."""
    return x * x


@helper
def exp_row(values, work):  # type: ignore[no-untyped-def]
    """Replace `values` (all <= 0, -inf allowed) by their exponentials, to about 1 ulp; below exp(-708) exactly 0."""
    bits = work.view(np.int64)
    n = values.shape[0]
    for i in range(n):
        x = max(values[i], _LOWEST)
        work[i] = x * _LOG2E + _ROUND
    for i in range(n):
        x = max(values[i], _LOWEST)
        k = work[i] - _ROUND
        r = (x - k * _LN2_HI) - k * _LN2_LO
        # Taylor's polynomial of degree 13: its remainder on |r| <= ln(2)/2 is below 5e-18
        s = 1.0 / 6227020800.0
        s = s * r + 1.0 / 479001600.0
        s = s * r + 1.0 / 39916800.0
        s = s * r + 1.0 / 3628800.0
        s = s * r + 1.0 / 362880.0
        s = s * r + 1.0 / 40320.0
        s = s * r + 1.0 / 5040.0
        s = s * r + 1.0 / 720.0
        s = s * r + 1.0 / 120.0
        s = s * r + 1.0 / 24.0
        s = s * r + 1.0 / 6.0
        s = s * r + 0.5
        s = (s * r + 1.0) * r + 1.0
        values[i] = s if values[i] >= _LOWEST else 0.0
    for i in range(n):
        bits[i] = (bits[i] + 1023) << 52  # the low bits hold k: make of them the double 2**k
    for i in range(n):
        values[i] *= work[i]


@kernel("void(float64[:, ::1], float64[::1], float64[::1])", few=MORE)
def posterior(log_terms, log_z, work):  # type: ignore[no-untyped-def]
    """Softmax over the clusters, in place, and its normaliser.

    Parameters
    ----------
    log_terms : (n_t, n_x)
        ``log w_t - beta d(x, t)``; becomes p(t|x). A column that is -inf throughout gives zeros and log_z -inf.
    log_z : (n_x,)
        Receives ``log sum_t w_t exp(-beta d(x, t))``.
    work : (n_x,)
        Scratch.
    """
    n_t, n_x = log_terms.shape
    top = np.empty(n_x)
    for i in range(n_x):
        top[i] = -np.inf
        log_z[i] = 0.0
    for t in range(n_t):
        row = log_terms[t]
        for i in range(n_x):
            top[i] = max(top[i], row[i])
    for i in range(n_x):
        top[i] = max(top[i], -1e300)  # where all is -inf: -inf - (-1e300) stays -inf, never NaN
    for t in range(n_t):
        row = log_terms[t]
        for i in range(n_x):
            row[i] -= top[i]
        exp_row(row, work)
        for i in range(n_x):
            log_z[i] += row[i]
    for i in range(n_x):
        work[i] = 1.0 / log_z[i] if log_z[i] > 0.0 else 0.0
        log_z[i] = top[i] + log(log_z[i])
    for t in range(n_t):
        row = log_terms[t]
        for i in range(n_x):
            row[i] *= work[i]


@helper
def softmax(row, work):  # type: ignore[no-untyped-def]
    """Replace a row (n,) by its softmax, or by zeros where all of it is -inf; returns log sum exp."""
    n = row.shape[0]
    top = -1e300
    for i in range(n):
        top = max(top, row[i])
    for i in range(n):
        row[i] -= top
    exp_row(row, work[:n])
    total = 0.0
    for i in range(n):
        total += row[i]
    scale = 1.0 / total if total > 0.0 else 0.0
    for i in range(n):
        row[i] *= scale
    return top + log(total) if total > 0.0 else -np.inf


@kernel("void(float64[:, ::1], float64[::1], float64[::1], float64[::1])", few=MORE)
def responsibility(log_terms, log_a, log_c, work):  # type: ignore[no-untyped-def]
    """Softmax over the sources: log c(s) of section "certificate" and the weights of its ascent step, for many points s.

    Parameters
    ----------
    log_terms : (m, n_x)
        ``-beta d(x, s)``; becomes the weights over x, rows summing to 1 (or 0 where c(s) = 0).
    log_a : (n_x,)
        ``log p(x) - log Z(x)``.
    log_c : (m,)
        Receives ``log sum_x a_x exp(-beta d(x, s))``.
    work : (n_x,)
        Scratch.
    """
    m, n_x = log_terms.shape
    for j in range(m):
        row = log_terms[j]
        for i in range(n_x):
            row[i] += log_a[i]
        log_c[j] = softmax(row, work)


@kernel(
    "void(float64, float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[:, ::1], boolean[:, ::1],"
    " float64[:, ::1])",
    few=MORE,
)
def distances(beta, means1, v1, face1, means2, v2, face2, out):  # type: ignore[no-untyped-def]
    """``beta <M2 - M1, V2 - V1>`` of every pair, into `out` (m1, m2); inf between different faces, unless these are empty."""
    m1, k = means1.shape
    m2 = means2.shape[0]
    cross, back = product(means1, np.ascontiguousarray(v2.T)), product(v1, np.ascontiguousarray(means2.T))
    own2 = np.zeros(m2)
    for j in range(m2):
        for y in range(k):
            own2[j] += means2[j, y] * v2[j, y]
    for i in range(m1):
        own1 = 0.0
        for y in range(k):
            own1 += means1[i, y] * v1[i, y]
        for j in range(m2):
            distance = beta * (own1 + own2[j] - cross[i, j] - back[i, j])
            out[i, j] = 0.0 if distance < 0.0 else distance
    if face1.shape[0] > 0 and face2.shape[0] > 0:
        for i in range(m1):
            for j in range(m2):
                for y in range(face1.shape[1]):
                    if face1[i, y] != face2[j, y]:
                        out[i, j] = np.inf
