"""The inner loops. They know arrays, never a distortion.

Arrays over pairs are laid out ``(n_t, n_x)``, clusters first: maxima and sums over the clusters then run along
contiguous memory and vectorise without reordering any sum, so results do not depend on the compiler's mood. Exponentials and
logarithms of rows are those of `dualib.row_kernels`.

A kernel gives the same bits as Python and compiled. For that, all exp and log of kernels are the C library's, by `exp`, `log` and
`expm1` below (NumPy has its own), powers are products, and matrix products sum in a fixed order up to a size beyond which no
kernel is interpreted (`dualib.linear_kernels`).
"""

from __future__ import annotations

import math

import numpy as np

from dualib.jit import MORE, kernel, leaf
from dualib.linear_kernels import BY_HAND, multiply, multiply_across
from dualib.row_kernels import TINY, exp_in, exp_less, exp_row, log_row, logarithm, wide_vectors
from dualib.strand_kernels import highest, inner, total
from dualib.view_kernels import as_row, as_table

_ROOT, _MOST_STEPS = 1e-15, 200  # relative precision of a root; steps, which halve one that comes to 0


@leaf
def exp(x):  # type: ignore[no-untyped-def]
    """e**x; inf above 709, where Python's would raise."""
    return np.inf if x > 709.0 else math.exp(x)


@leaf
def expm1(x):  # type: ignore[no-untyped-def]
    """e**x - 1; inf above 709."""
    return np.inf if x > 709.0 else math.expm1(x)


@leaf
def log(x):  # type: ignore[no-untyped-def]
    """The natural logarithm; -inf at 0, NaN below."""
    if x > 0.0:
        return math.log(x)
    return -np.inf if x == 0.0 else np.nan


@leaf
def square(x):  # type: ignore[no-untyped-def]
    """X times x, which Python's ** need not be to the last bit."""
    return x * x


@leaf
def normalise(log_terms, shift, log_z, work, large):  # type: ignore[no-untyped-def]
    """`posterior` of terms to whose rows a number each is added; `large` as of `exp_in`."""
    wide_vectors()
    n_t, n_x = log_terms.shape
    for i in range(n_x):
        work[i] = -1e300  # where all is -inf: -inf - (-1e300) stays -inf, never NaN
        log_z[i] = 0.0
    for t in range(n_t):
        row, more = log_terms[t], shift[t]
        for i in range(n_x):
            work[i] = max(work[i], row[i] + more)
    for t in range(n_t):
        exp_less(log_terms[t], shift[t], work, log_z, large)
    for i in range(n_x):
        mass, top = log_z[i], work[i]
        log_z[i] = top + logarithm(mass) if mass > 0.0 else -np.inf
        work[i] = 1.0 / mass if mass > 0.0 else 0.0
    for t in range(n_t):
        row = log_terms[t]
        for i in range(n_x):
            row[i] *= work[i]


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
    normalise(log_terms, np.zeros(log_terms.shape[0]), log_z, work, False)


@leaf
def softmax(row, large):  # type: ignore[no-untyped-def]
    """Replace a row (n,) by its softmax, or by zeros where all of it is -inf; returns log sum exp. `large` as of `exp_in`."""
    n = row.shape[0]
    top = highest(row, -1e300)
    for i in range(n):
        row[i] -= top
    exp_in(row, large)
    mass = total(row)
    scale = 1.0 / mass if mass > 0.0 else 0.0
    for i in range(n):
        row[i] *= scale
    return top + log(mass) if mass > 0.0 else -np.inf


@kernel("void(float64[:, ::1], float64[::1], float64[::1])", few=MORE, leaf=True)
def responsibility(log_terms, log_a, log_c):  # type: ignore[no-untyped-def]
    """Softmax over the sources: log c(s) and the weights of its ascent step, for many points s.

    Parameters
    ----------
    log_terms : (m, n_x)
        ``-beta d(x, s)``; becomes the weights over x, rows summing to 1 (or 0 where c(s) = 0).
    log_a : (n_x,)
        ``log p(x) - log Z(x)``.
    log_c : (m,)
        Receives ``log sum_x a_x exp(-beta d(x, s))``.
    """
    shared(log_terms, log_a, log_c, False)


@leaf
def shared(log_terms, log_a, log_c, large):  # type: ignore[no-untyped-def]
    """`responsibility`; `large` as of `exp_in`."""
    for j in range(log_terms.shape[0]):
        row = log_terms[j]
        for i in range(row.shape[0]):
            row[i] += log_a[i]
        log_c[j] = softmax(row, large)


@kernel(
    "void(float64, float64[:, ::1], float64[:, ::1], boolean[:, ::1], float64[:, ::1], float64[:, ::1], boolean[:, ::1],"
    " float64[:, ::1])",
    few=MORE,
)
def distances(beta, means1, v1, face1, means2, v2, face2, out):  # type: ignore[no-untyped-def]
    """``beta <M2 - M1, V2 - V1>`` of every pair, into `out` (m1, m2); inf between different faces, unless these are empty."""
    m1, m2 = means1.shape[0], means2.shape[0]
    most = BY_HAND if means1.size <= MORE and means2.size <= MORE else 0  # none of these is interpreted
    back, own2 = np.empty((m1, m2)), np.empty(m2)
    multiply_across(means1, v2, out, most)
    multiply_across(v1, means2, back, most)
    for j in range(m2):
        own2[j] = inner(means2[j], v2[j])
    for i in range(m1):
        own1 = inner(means1[i], v1[i])
        for j in range(m2):
            distance = beta * (own1 + own2[j] - out[i, j] - back[i, j])
            out[i, j] = 0.0 if distance < 0.0 else distance
    if face1.shape[0] > 0 and face2.shape[0] > 0:
        for i in range(m1):
            for j in range(m2):
                for y in range(face1.shape[1]):
                    if face1[i, y] != face2[j, y]:
                        out[i, j] = np.inf


@kernel(
    "Tuple((float64[::1], float64[:, ::1], float64))(float64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], int64[::1])"
)
def informations(px, pxy, encoders, decoders, begins):  # type: ignore[no-untyped-def]
    """The quantities of encoders, one after the other, clusters first.

    Parameters
    ----------
    px, pxy : (n_x,), (n_x, n_y)
    encoders : (t, n_x)
        p(t|x), normalised in place for each of the encoders.
    decoders : (t, n_y)
        p(y|t).
    begins : (m + 1,)
        Where each of them begins.

    Returns
    -------
    weights : (t,)
        p(t).
    found : (m, 3)
        I(X;T), I(T;Y) of p(t,y), and the information that the decoder claims, in nats.
    off : float
        How far the decoders and p(t) are from distributions; inf where a number is negative or none, in the encoders too.
    """
    weights, found, most = np.empty(encoders.shape[0]), np.empty((begins.shape[0] - 1, 3)), 0
    for i in range(found.shape[0]):
        most = max(most, begins[i + 1] - begins[i])
    (n_x, n_y), off = pxy.shape, off_distributions(decoders)
    widest = max(n_x, n_y)
    room = (np.empty((3, most * widest)), np.empty(n_x), np.empty(most), np.empty(widest))
    return weights, found, max(off, _all_informed(px, pxy, encoders, decoders, begins, room, weights, found))


@leaf
def _all_informed(px, pxy, encoders, decoders, begins, room, weights, found):  # type: ignore[no-untyped-def]
    """`informations`, into `weights` and `found`; returns how far p(t|x) and p(t) are from distributions."""
    off = 0.0
    for i in range(found.shape[0]):
        of = (encoders[begins[i] : begins[i + 1]], decoders[begins[i] : begins[i + 1]], weights[begins[i] : begins[i + 1]])
        off = max(off, _informed(px, pxy, *of, room, found[i]))
    return off


@leaf
def _informed(px, pxy, encoder, decoder, weights, room, found):  # type: ignore[no-untyped-def]
    """The same of one encoder."""
    tables, scale, log_t, log_other = room
    (n_t, n_x), n_y, wrong = encoder.shape, pxy.shape[1], 0
    members, reached, claimed = (
        as_table(tables[0], 0, n_t, n_x),
        as_table(tables[1], 0, n_t, n_y),
        as_table(tables[0], 0, n_t, n_y),
    )
    scale[:] = 0.0
    for t in range(n_t):
        line = encoder[t]
        for x in range(n_x):
            scale[x] += line[x]
    for x in range(n_x):
        scale[x] = 1.0 / scale[x]
    for t in range(n_t):
        line, own = encoder[t], members[t]
        for x in range(n_x):
            line[x] *= scale[x]
            own[x] = px[x] * line[x]
            wrong += int(not line[x] >= 0.0)
        weights[t] = total(own)
    found[0] = _information(members, log_t, log_other, tables[2])
    multiply(encoder, pxy, reached, BY_HAND)
    for t in range(n_t):
        for y in range(n_y):
            claimed[t, y] = decoder[t, y] * weights[t]
    _to_one(reached)
    _to_one(claimed)
    found[1] = _information(reached, log_t, log_other, tables[2])
    found[2] = _information(claimed, log_t, log_other, tables[2])
    return np.inf if wrong > 0 else off_distributions(as_table(weights, 0, 1, n_t))


@leaf
def _to_one(table):  # type: ignore[no-untyped-def]
    """Divide a table by the sum of its numbers."""
    inverse = 1.0 / total(as_row(table))
    for t in range(table.shape[0]):
        for y in range(table.shape[1]):
            table[t, y] *= inverse


@kernel("float64[::1](float64[::1], float64[:, ::1], float64)")
def crossings(log_px, excess, beta):  # type: ignore[no-untyped-def]
    """Where ``log sum_x p(x) exp(-b excess_x)``, convex in b and 0 at b = 0, crosses 0 below a beta at which it is positive.

    For each row of `excess` (m, n), inf allowed. By Newton's method, which comes down to the root of a convex function without
    passing it, or to 0.
    """
    m, n = excess.shape
    roots, q = np.full(m, beta), np.empty(n)
    for j in range(m):
        row = excess[j]
        for _ in range(_MOST_STEPS):
            for x in range(n):
                q[x] = log_px[x] - roots[j] * row[x]
            top = highest(q, -1e300)
            for x in range(n):
                q[x] -= top
            exp_row(q)
            mass = total(q)
            for x in range(n):
                q[x] = q[x] * row[x] if q[x] > 0.0 else 0.0
            value, slope = top + log(mass), -total(q) / mass
            if not (value > 0.0 and slope > 0.0):
                break
            step = value / slope
            roots[j] -= step
            if not step > _ROOT * roots[j]:
                break
    return roots


@kernel("float64(float64[:, ::1])", leaf=True)
def off_distributions(rows):  # type: ignore[no-untyped-def]
    """How far the sums of the rows are from 1, at most; inf where a number is negative or none."""
    worst = 0.0
    for i in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            if not rows[i, y] >= 0.0:
                return np.inf
        worst = max(worst, abs(total(rows[i]) - 1.0))
    return worst


@kernel("float64(float64[:, ::1])")
def information(joint):  # type: ignore[no-untyped-def]
    """I(X;Y) of a joint distribution (m, k), nats; zeros count nothing."""
    m, k = joint.shape
    return _information(joint, np.empty(m), np.empty(k), np.empty(m * k))


@leaf
def _information(joint, log_x, log_y, logs):  # type: ignore[no-untyped-def]
    """`information`; scratch, at least (m,), (k,) and (m k,)."""
    (m, k), numbers = joint.shape, as_row(joint)
    log_x, log_y, logs = log_x[:m], log_y[:k], logs[: m * k]
    log_y[:] = 0.0
    for x in range(m):
        row = joint[x]
        log_x[x] = max(total(row), TINY)
        for y in range(k):
            log_y[y] += row[y]
    for y in range(k):
        log_y[y] = max(log_y[y], TINY)
    for i in range(m * k):
        logs[i] = max(numbers[i], TINY)
    log_row(log_x)
    log_row(log_y)
    log_row(logs)
    found = 0.0
    for x in range(m):
        row, line = joint[x], logs[x * k : (x + 1) * k]
        for y in range(k):
            line[y] = row[y] * (line[y] - log_x[x] - log_y[y])
        found += total(line)
    return max(0.0, found)
