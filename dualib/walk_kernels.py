"""Certified solutions from beta to beta in one compiled kernel, for the distortions whose link is known here.

Where no zero of p(y|x) matters; the same steps as in `dualib.jumps`, as long as nothing new is found on the way. Where a cluster is
missing, or a certificate fails, the walk ends, and Python goes on from there.
"""

from __future__ import annotations

import numpy as np

from dualib.bound_kernels import INSIDE, PROVED, branch_and_bound
from dualib.jit import apart, helper, kernel
from dualib.kernels import log
from dualib.maxima_kernels import maxima_known
from dualib.settle_kernels import SAME, settled_known
from dualib.start_kernels import FEW, pairs_drawn, starts_known, taken_up

ASCENTS = 4  # steps of the points that may have risen
NEAR_BIRTH = -0.5  # maxima of log c above this are tried as atoms at the next beta
ON_ATOM = 1e-11  # ... those within this of 0 are the atoms themselves
RISEN = 1e-9  # ... and become atoms above this
NOWHERE, SETTLED, CERTIFIED = 0, 1, 2  # how far a walk came at its last beta
PROOF, MISSED = 0.5, 0.25  # parts of a tolerance: that of a proof, and a larger c which a search has missed
_settle, _take_up, _draw_pairs = apart(settled_known), apart(taken_up), apart(pairs_drawn)
_starts, _maxima, _branch_and_bound = apart(starts_known), apart(maxima_known), apart(branch_and_bound)
_COURSE = "Tuple((int64, int64, int64, float64, float64))"
_SOURCES = "Tuple((int64[::1], int64[::1], int64[::1], float64[:, ::1], float64, int64))"
_PROOF = (
    "Tuple((int64[::1], float64[::1], float64[::1], float64[:, ::1], float64[:, :, ::1], float64[:, ::1], float64, int64))"
)


@kernel(
    "Tuple((int64, List(Tuple((float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64[::1],"
    " float64[::1], float64[:, ::1], float64[:, ::1], float64[::1])))))(int64, float64[::1], float64[::1], float64[:, ::1],"
    " float64[:, ::1], float64[:, ::1], float64[::1], float64[::1], float64[:, ::1], float64[:, ::1], float64[::1], float64, int64,"
    f" {_COURSE}, {_SOURCES}, {_PROOF})"
)
def walked_known(  # type: ignore[no-untyped-def]
    kind, betas, px, u, pxu, ut, log_px, weights, means, points, heights, tol, max_iter, course, sources, proof
):
    """Certified states at betas, each from the one before.

    Parameters
    ----------
    betas : (m,)
        In the order in which they are solved.
    weights, means, points, heights : (n_t,), (n_t, k), (h, k), (h,)
        The atoms, and the maxima of log c, at the beta before the first.
    tol, max_iter : float, int
        The gap allowed; sweeps and products at each beta.
    course : (most, look, times, close, closer)
        Of `dualib.settle_kernels.settled_known`.
    sources : (chosen, one, other, draws, between, n_pairs)
        Of `dualib.start_kernels.starts_known`: sources; pairs of these, or none, and the random numbers (m, q) by which pairs are
        drawn; pairs of neighbouring atoms for each atom; how many pairs of sources count.
    proof : (columns, shift, offset, features, roots, conditionals, widest, max_cells)
        Of `dualib.bounds`, the `columns` empty where nothing is to be proved: offsets a(x) of the distortion; p(y|x); the largest
        log ratio of the root cells.

    Returns
    -------
    stage : int
        Of the last state: CERTIFIED; SETTLED, but not certified; or NOWHERE, where there is none.
    states : list
        For each beta ``[beta, px . log Z, residual, gap, sweeps]``, then weights, means, posterior, log Z, c, new weights, new
        means, and maxima of log c with their values. A gap of inf at the last: clusters are missing at these, or nothing was proved.
    """
    states, stage = [], CERTIFIED
    nowhere, proving = np.empty((0, 0), np.bool_), proof[0].shape[0] > 0
    for i in range(betas.shape[0]):
        beta, draws = betas[i], sources[3][min(i, sources[3].shape[0] - 1)]
        most, look, times, close, closer = course
        ended = _settle(
            kind, beta, px, u, pxu, ut, weights, means, nowhere, nowhere, max_iter, most, look, times, close, closer
        )
        if not ended[0]:
            stage = NOWHERE
            break
        weights, means, v, post, log_z, c = ended[3], ended[4], ended[5], ended[9], ended[10], ended[11]
        log_a, gap = log_px - log_z, np.inf
        points, heights = _near_birth(points, heights)
        if heights.shape[0] > 0:
            points, heights = _take_up(kind, beta, u, ut, log_a, points, means, v, ASCENTS, SAME)
        if heights.shape[0] == 0 or not np.max(heights) > RISEN:
            arrays = (kind, beta, px, u, ut, log_a, weights, means, v, post, c)
            points, heights = _searched(*arrays, points, draws, sources, proving)
            gap = max(0.0, heights[0])
            if proving and gap <= tol:
                gap = _proved(kind, beta, log_a, means, v, gap, tol, proof)
        numbers = np.array([beta, ended[7], ended[8], gap, float(ended[2])])
        states.append((numbers, weights, means, post, log_z, c, ended[12], ended[13], points, heights))
        if not gap <= tol:
            stage = SETTLED
            break
        if weights.shape[0] == 1 and betas[min(i + 1, betas.shape[0] - 1)] < beta:
            break  # one cluster stays optimal
    return stage, states


@helper
def _near_birth(points, heights):  # type: ignore[no-untyped-def]
    """The maxima off the atoms that may rise above 0, and their values."""
    near, count = np.empty(heights.shape[0], np.int64), 0
    for i in range(heights.shape[0]):
        if heights[i] > NEAR_BIRTH and abs(heights[i]) > ON_ATOM:
            near[count] = i
            count += 1
    return points[near[:count]], heights[near[:count]]


@helper
def _searched(kind, beta, px, u, ut, log_a, weights, means, v, post, c, hints, draws, sources, proving):  # type: ignore[no-untyped-def]
    """Local maxima of log c and the values on the atoms, best first; only from the hints where a proof finds what they miss."""
    chosen, one, other, _, between, n_pairs = sources
    if proving and hints.shape[0] == 0:
        heights = np.empty(c.shape[0])
        for t in range(c.shape[0]):
            heights[t] = log(c[t])
        order = np.argsort(-heights, kind="mergesort")
        return means[order], heights[order]
    starts = hints[:0]
    if not proving:
        if draws.shape[0] > 0:
            one, other = _draw_pairs(px.shape[0], draws)
        n_between = max(int(between * weights.shape[0]), FEW)
        starts = _starts(kind, beta, px, u, ut, log_a, chosen, means, v, post, n_between, one, other, n_pairs)
    return _maxima(kind, beta, px, u, ut, log_a, weights, means, v, post, starts, hints)


@helper
def _proved(kind, beta, log_a, means, v, gap, tol, proof):  # type: ignore[no-untyped-def]
    """The gap proved by branch and bound; inf where it is not, or where that finds a maximum which was missed."""
    columns, shift, offset, features, roots, conditionals, widest, max_cells = proof
    n_t, k = means.shape
    log_a = log_a + beta * shift
    largest = np.argmax(log_a)
    decoders = np.empty((n_t + 1, k))
    decoders[:n_t] = means if kind == 0 else v
    decoders[n_t] = conditionals[largest]
    cut = max(log(100.0 * beta * k / (PROOF * tol)), 4.0) if kind == 0 else 0.0
    if widest > cut:
        return np.inf
    found, lower = np.empty(3 + k), max(gap, log_a[largest])
    whole = (decoders, cut, np.empty((0, k)), np.empty(0), lower, INSIDE * PROOF * tol, max_cells, found)
    status = _branch_and_bound(log_a, offset, features, columns, beta, 1 - kind, roots, *whole)
    if status != PROVED or found[1] > gap + MISSED * tol:
        return np.inf
    return max(max(lower, found[0]), found[1])
