"""The compiled loops over the nonzeros of a sparse p(y|x): one row x at a time, all clusters of it in contiguous memory.

A table (n_y, n_t) holds ``beta log p(y|t)``, -inf where p(y|t) is 0; row x of the terms is then the sum over its nonzeros of
``p(y|x) table[y]``, -inf exactly where the divergence is infinite. Each call takes the rows `first` to `last` and adds to its own
sums, so that calls can run at once; `dualib.sparse_problem` adds these up in the order of the rows, whatever the number of threads.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import kernel, leaf
from dualib.kernels import exp, log
from dualib.row_kernels import exp_row

_FIXED = "Array({}, 1, 'C', readonly=True)"  # takes writeable arrays too; those of a joint distribution are not
_ROWS = ", ".join(_FIXED.format(kind) for kind in ("float64", "int32", "int64"))  # a CSR matrix
_PX = _FIXED.format("float64")
_JUMP = 200.0  # by how much a term may exceed the scale of its sum before the sum is scaled anew: exp(200) is no overflow


@leaf
def _add_terms(data, indices, begin, end, table, terms):  # type: ignore[no-untyped-def]
    """Add ``sum_y p(y|x) table[y]`` over the nonzeros of one row to `terms` (n_t,)."""
    n_t = terms.shape[0]
    for k in range(begin, end):
        value = data[k]
        row = table[indices[k]]
        for t in range(n_t):
            terms[t] += value * row[t]


@leaf
def _scatter(data, indices, begin, end, pulls, moments):  # type: ignore[no-untyped-def]
    """Add ``pulls p(y|x)`` to the rows y of `moments` (n_y, n_t)."""
    n_t = pulls.shape[0]
    for k in range(begin, end):
        value = data[k]
        row = moments[indices[k]]
        for t in range(n_t):
            row[t] += value * pulls[t]


@kernel(
    f"void({_ROWS}, {_PX}, float64[:, ::1], float64[::1], int64, int64,"
    " float64[::1], float64[:, ::1], float64[::1], float64[:, ::1])"
)
def sweep_rows(data, indices, indptr, px, table, log_w, first, last, log_z, encoder, weights, moments):  # type: ignore[no-untyped-def]
    """Softmax over the clusters, and the sums of which the new clusters are made.

    Parameters
    ----------
    data, indices, indptr : CSR of p(y|x), (n, n_y)
    px : (n,)
    table : (n_y, n_t)
        ``beta log p(y|t)``.
    log_w : (n_t,)
    first, last : int
        The rows to do.
    log_z : (n,)
        Receives ``log sum_t w_t exp(terms)``; -inf where all terms are.
    encoder : (n, n_t), or (0, n_t) where it is not wanted
        Receives p(t|x); zeros where log_z is -inf.
    weights : (n_t,)
        ``sum_x p(x) p(t|x)`` is added to it.
    moments : (n_y, n_t), or (0, n_t) where they are not wanted
        ``sum_x p(x) p(t|x) p(y|x)`` is added to it.
    """
    n_t = log_w.shape[0]
    terms = np.empty(n_t)
    for x in range(first, last):
        terms[:] = log_w
        _add_terms(data, indices, indptr[x], indptr[x + 1], table, terms)
        top = -1e300  # where all is -inf: -inf - (-1e300) stays -inf, never NaN
        for t in range(n_t):
            top = max(top, terms[t])
        for t in range(n_t):
            terms[t] -= top
        exp_row(terms)
        total = 0.0
        for t in range(n_t):
            total += terms[t]
        log_z[x] = top + log(total) if total > 0.0 else -np.inf
        scale = 1.0 / total if total > 0.0 else 0.0
        if encoder.shape[0] > 0:
            for t in range(n_t):
                encoder[x, t] = terms[t] * scale
        scale *= px[x]
        for t in range(n_t):
            terms[t] *= scale
            weights[t] += terms[t]
        if moments.shape[0] > 0:
            _scatter(data, indices, indptr[x], indptr[x + 1], terms, moments)


@kernel(f"void({_ROWS}, {_PX}, float64[:, ::1], int64, int64, float64[::1], float64[::1], float64[:, ::1])")
def ascent_rows(data, indices, indptr, log_a, table, first, last, shift, totals, moments):  # type: ignore[no-untyped-def]
    """The gradient function c(s) of the certificate at many points s, and the sums of its ascent step.

    Parameters
    ----------
    data, indices, indptr : CSR of p(y|x), (n, n_y)
    log_a : (n,)
        ``log p(x) - log Z(x)``.
    table : (n_y, m)
        ``beta log s(y)``.
    first, last : int
        The rows to do.
    shift, totals : (m,)
        -inf and 0 to begin with; in the end ``c = exp(shift) totals`` over these rows.
    moments : (n_y, m), or (0, m) where they are not wanted
        ``exp(-shift) sum_x a_x exp(terms) p(y|x)`` is added to it.
    """
    m = totals.shape[0]
    terms = np.empty(m)
    for x in range(first, last):
        terms[:] = log_a[x]
        _add_terms(data, indices, indptr[x], indptr[x + 1], table, terms)
        for j in range(m):
            if terms[j] > shift[j] + _JUMP:
                scale = exp(shift[j] - terms[j])
                shift[j] = terms[j]
                totals[j] *= scale
                for y in range(moments.shape[0]):
                    moments[y, j] *= scale
        for j in range(m):
            terms[j] -= max(shift[j], -1e300)
        exp_row(terms)
        for j in range(m):
            totals[j] += terms[j]
        if moments.shape[0] > 0:
            _scatter(data, indices, indptr[x], indptr[x + 1], terms, moments)


@kernel(
    f"void({_ROWS}, {_PX}, float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[::1],"
    " int64, int64, float64[::1], float64[:, ::1])"
)
def tangent_rows(data, indices, indptr, px, table, log_w, log_z, turn, lift, first, last, weights, moments):  # type: ignore[no-untyped-def]
    """The derivative of the sums of `sweep_rows` where the terms move by ``lift_t + sum_y p(y|x) turn[y, t]`` and log Z stays.

    Parameters
    ----------
    data, indices, indptr, px, table, log_w, log_z
        As of `sweep_rows`, at a point where log_z is finite.
    turn, lift : (n_y, n_t), (n_t,)
    first, last : int
        The rows to do.
    weights, moments : (n_t,), (n_y, n_t)
        The derivatives are added to them.
    """
    n_t = log_w.shape[0]
    terms, moved = np.empty(n_t), np.empty(n_t)
    for x in range(first, last):
        terms[:] = log_w
        moved[:] = lift
        _add_terms(data, indices, indptr[x], indptr[x + 1], table, terms)
        _add_terms(data, indices, indptr[x], indptr[x + 1], turn, moved)
        for t in range(n_t):
            terms[t] -= log_z[x]
        exp_row(terms)
        for t in range(n_t):
            terms[t] *= px[x] * moved[t]
            weights[t] += terms[t]
        _scatter(data, indices, indptr[x], indptr[x + 1], terms, moments)


@kernel(f"void({_ROWS}, uint64[::1])", leaf=True)
def hash_rows(data, indices, indptr, hashes):  # type: ignore[no-untyped-def]
    """A number of each row, (n,), equal for rows with equal entries, and otherwise different but by rare chance (FNV-1a)."""
    bits = data.view(np.uint64)
    prime = np.uint64(1099511628211)
    for x in range(hashes.shape[0]):
        value = np.uint64(14695981039346656037)
        for k in range(indptr[x], indptr[x + 1]):
            value = (value ^ np.uint64(indices[k])) * prime
            value = (value ^ bits[k]) * prime
            value ^= value >> np.uint64(29)
        hashes[x] = value


@kernel(f"void({_ROWS}, int64[::1], int64[::1], boolean[::1])", leaf=True)
def equal_rows(data, indices, indptr, left, right, same):  # type: ignore[no-untyped-def]
    """Whether rows ``left[i]`` and ``right[i]`` have the same entries, (m,)."""
    for i in range(left.shape[0]):
        a, b = indptr[left[i]], indptr[right[i]]
        length = indptr[left[i] + 1] - a
        alike = length == indptr[right[i] + 1] - b
        k = 0
        while alike and k < length:
            alike = indices[a + k] == indices[b + k] and data[a + k] == data[b + k]
            k += 1
        same[i] = alike
