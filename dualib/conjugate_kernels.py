"""Newton's direction by conjugate gradients, in place of the elimination of `dualib.stationary_kernels`.

At a minimum the scaled Hessian H of `dualib.curvature` has eigenvalues in (0, 1], most of them near 1, so that some ten products
``H step``, each shorter than a sweep, give what an elimination gives that is as long as 10 to 100 sweeps. In the place of
``zeta_t = sqrt(beta w_t) R_t^T dM_t`` stands ``m_t = sqrt(beta w_t) dM_t``, so that ``zeta_t = R_t^T m_t`` and inner products are
``<m, J m'>``: R_t, which need not be invertible, is not used. A step (n_t, 1 + k) has the scaled step of the weight first.

Pairs of cluster and source with next to no p(t|x) are left out of H where they are many.

All arrays are of one precision: a direction, which is judged by the objective, needs few digits, so single precision is as good,
and takes half the time where products of matrices are all it is.
"""

from __future__ import annotations

import numpy as np

from dualib.jit import helper
from dualib.linear_kernels import BY_HAND, apply, inner, multiply
from dualib.row_kernels import TINY

_SLIGHT, _SLIGHTEST, _MOST_SLIGHT = 1e-3, 1e-10, 1e-6  # p(t|x) that counts for nothing, by the residual; at least, at most
_FILLED = 0.1  # part of the pairs that count, up to which loops over these are quicker than products of matrices
_LARGE = 50**3  # multiplications of such a product, below which they never are
_LEAST, _FAINT = 1e-30, 1e-12  # in single precision: mean, and p(t|x), that stands for smaller ones, or 0 for it
_FARTHEST = 0.5  # the longest move of a mean, in natural coordinates, along a direction of negative curvature


@helper
def conjugate(kind, beta, px, ut, weights, means, v, face, post, c, gradient, residual, part, most):  # type: ignore[no-untyped-def]
    """Solve H step = gradient to a part of its length by at most `most` products (Steihaug 1983).

    Parameters
    ----------
    post, c, residual : (n_t, n), (n_t,), float
        Of the sweep from this point.
    gradient : (n_t, 1 + k)
        Minus the gradient, or another right-hand side.

    Returns
    -------
    step : (n_t, 1 + k)
        It ends before a direction of negative curvature; where the first one is of that kind, it goes along that.
    longest : float
        The longest move of a mean, in its natural coordinates.
    taken : int
        Products.
    """
    n_t = means.shape[0]
    pairs = pairs_of(beta, px, ut, weights, means, post, residual)
    step, pushed_step = np.zeros_like(gradient), np.zeros_like(gradient)
    rest, pushed, bent = gradient.copy(), np.empty_like(gradient), np.empty_like(gradient)
    room = _room(beta, ut, n_t, pairs[1].shape[0] > 0)
    _push(kind, means, v, face, rest, pushed)
    way, ahead, length, taken = rest.copy(), pushed.copy(), _inner(rest, pushed), 0
    end = part * part * length
    while length > end and taken < most:
        _bend(beta, means, pairs, c, way, ahead, room, bent)
        curvature, taken = _inner(ahead, bent), taken + 1
        if not curvature > 0.0:
            if taken == 1:
                far = _longest(way, ahead, weights)
                _add(step, _FARTHEST / far, way)
                _add(pushed_step, _FARTHEST / far, ahead)
            break
        _add(step, length / curvature, way)
        _add(pushed_step, length / curvature, ahead)
        _add(rest, -length / curvature, bent)
        _push(kind, means, v, face, rest, pushed)
        before, length = length, _inner(rest, pushed)
        _go_on(way, length / before, rest)
        _go_on(ahead, length / before, pushed)
    return step, _longest(step, pushed_step, weights), taken


@helper
def scaled_gradient(beta, weights, means, moved_weights, moved_means):  # type: ignore[no-untyped-def]
    """Minus the gradient at a point, from where a sweep leads."""
    n_t, k = means.shape
    gradient = np.empty((n_t, 1 + k))
    for t in range(n_t):
        gradient[t, 0] = (moved_weights[t] - weights[t]) / np.sqrt(weights[t])
        scale = np.sqrt(beta / weights[t]) * moved_weights[t]
        for y in range(k):
            gradient[t, 1 + y] = scale * (moved_means[t, y] - means[t, y])
    return gradient


@helper
def pairs_of(beta, px, ut, weights, means, post, residual):  # type: ignore[no-untyped-def]
    """The pairs that count: (source, start, features, s, q), the first three empty where all do.

    Those of cluster t are start[t] to start[t + 1], each belonging to a source; ``s = p(t|x) sqrt(p(x) / w_t)``, ``q = p(x|t)``,
    and the features are blocks (k, count) of ``sqrt(beta) (U - M_t)``, one after the other.
    """
    n_t, n = post.shape
    faint = 0.0 if post.itemsize == 8 else _FAINT
    number, large = 0, n * n_t * means.shape[1] >= _LARGE
    slight = min(max(_SLIGHT * residual, _SLIGHTEST), _MOST_SLIGHT)
    if large:
        for t in range(n_t):
            for x in range(n):
                number += int(post[t, x] > slight)
    if not large or number > _FILLED * n * n_t:
        s, q, root_px, nothing = np.empty_like(post), np.empty_like(post), np.sqrt(px), post.dtype.type(0.0)
        for t in range(n_t):
            root, inverse = _of_weight(weights[t])
            for x in range(n):
                some = post[t, x] if post[t, x] > faint else nothing  # or numbers might become so small that they are slow
                s[t, x] = some * root_px[x] * root
                q[t, x] = some * px[x] * inverse
        return np.empty(0, np.int64), np.empty(0, np.int64), px[:0], s.reshape(n_t * n), q.reshape(n_t * n)
    source, start, number = np.empty(number, np.int64), np.empty(n_t + 1, np.int64), 0
    for t in range(n_t):
        start[t] = number
        for x in range(n):
            if post[t, x] > slight:
                source[number] = x
                number += 1
    start[n_t] = number
    return source, start, *_lifted(beta, px, ut, weights, means, post, source, start)


@helper
def _of_weight(weight):  # type: ignore[no-untyped-def]
    """The root of the inverse of a weight, and that inverse."""
    one = weight / weight
    return np.sqrt(one / weight), one / weight


@helper
def _lifted(beta, px, ut, weights, means, post, source, start):  # type: ignore[no-untyped-def]
    """Features, s and q of the pairs that count."""
    n_t, k = means.shape
    features, s, q = (
        np.empty(source.shape[0] * k, px.dtype),
        np.empty(source.shape[0], px.dtype),
        np.empty(source.shape[0], px.dtype),
    )
    root_beta, root_px = np.sqrt(beta), np.sqrt(px)
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        root, inverse = _of_weight(weights[t])
        for i in range(first, first + count):
            x = source[i]
            s[i] = post[t, x] * root_px[x] * root
            q[i] = post[t, x] * px[x] * inverse
        block = _block(features, first, count, k)
        for y in range(k):
            row, line, mean = block[y], ut[y], means[t, y]
            for i in range(count):
                row[i] = root_beta * (line[source[first + i]] - mean)
    return features, s, q


@helper
def _block(flat, first, count, k):  # type: ignore[no-untyped-def]
    """The (k, count) block of one cluster."""
    return flat[first * k : (first + count) * k].reshape((k, count))


@helper
def _inner(a, b):  # type: ignore[no-untyped-def]
    """The sum of the products of two arrays' numbers."""
    return inner(a.reshape(a.size), b.reshape(b.size))


@helper
def _add(a, factor, b):  # type: ignore[no-untyped-def]
    """A multiple of b, added to a."""
    one, other, factor = a.reshape(a.size), b.reshape(b.size), b.dtype.type(factor)
    for i in range(one.shape[0]):
        one[i] += factor * other[i]


@helper
def _go_on(way, factor, rest):  # type: ignore[no-untyped-def]
    """The next way: what rests, and a multiple of the last way."""
    one, other, factor = way.reshape(way.size), rest.reshape(rest.size), rest.dtype.type(factor)
    for i in range(one.shape[0]):
        one[i] = other[i] + factor * one[i]


@helper
def _longest(step, pushed, weights):  # type: ignore[no-untyped-def]
    """The longest move of a mean in its natural coordinates."""
    longest = 0.0
    for t in range(weights.shape[0]):
        longest = max(longest, max(inner(step[t, 1:], pushed[t, 1:]), 0.0) / weights[t])
    return np.sqrt(longest)


@helper
def _push(kind, means, v, face, step, pushed):  # type: ignore[no-untyped-def]
    """J m of each cluster, the step of its weight as it is."""
    n_t, k = means.shape
    least = TINY if means.itemsize == 8 else _LEAST
    for t in range(n_t):
        row, line, mean, own = pushed[t], step[t], means[t], v[t]
        row[0] = line[0]
        if kind == 0:
            for y in range(k):
                row[1 + y] = line[1 + y] / max(mean[y], least)
        else:
            centre = inner(own, line[1:])
            for y in range(k):
                row[1 + y] = own[y] * (line[1 + y] - centre)
        if face.shape[0] > 0:
            for y in range(k):
                row[1 + y] = row[1 + y] if face[t, y] else 0.0


@helper
def _room(beta, ut, n_t, few):  # type: ignore[no-untyped-def]
    """What products with H need besides: a number per source and per pair, and for all pairs the features sqrt(beta) [U, 1].

    Their last column makes the products of matrices in `_bend_all` centre the features, and sum.
    """
    k, n = ut.shape
    if few:
        nothing = np.empty((0, 0), ut.dtype)
        return np.empty(n, ut.dtype), nothing, nothing, nothing, nothing, nothing
    features_t, root_beta = np.empty((1 + k, n), ut.dtype), np.sqrt(beta)
    for y in range(k):
        row, line = features_t[y], ut[y]
        for x in range(n):
            row[x] = root_beta * line[x]
    features_t[k] = root_beta
    features, moved = np.ascontiguousarray(features_t.T), np.empty((n_t, n), ut.dtype)
    return (
        np.empty(n, ut.dtype),
        features_t,
        features,
        np.empty((n_t, 1 + k), ut.dtype),
        moved,
        np.empty((n_t, 1 + k), ut.dtype),
    )


@helper
def _bend(beta, means, pairs, c, step, pushed, room, bent):  # type: ignore[no-untyped-def]
    """H step into `bent`; the first of `room` is B step, the scaled step of log Z."""
    source, start, features, s, q = pairs
    if start.shape[0] == 0:
        _bend_all(means, s, q, c, step, pushed, room, bent)
        return
    n_t, k = means.shape
    along, moved = room[0], np.zeros_like(s)
    along[:] = 0.0
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        block, line, row = _block(features, first, count, k), moved[first : first + count], pushed[t]
        for y in range(k):
            factor, feature = row[1 + y], block[y]
            for i in range(count):
                line[i] += factor * feature[i]
        for i in range(count):
            along[source[first + i]] += s[first + i] * (step[t, 0] + line[i])
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        block, line = _block(features, first, count, k), moved[first : first + count]
        pull = 0.0
        for i in range(count):
            coupled = s[first + i] * along[source[first + i]]
            pull += coupled
            line[i] = coupled - q[first + i] * line[i]
        bent[t, 0] = pull
        for y in range(k):
            bent[t, 1 + y] = c[t] * step[t, 1 + y] + inner(block[y], line)


@helper
def _bend_all(means, s, q, c, step, pushed, room, bent):  # type: ignore[no-untyped-def]
    """The same by products of matrices."""
    along, features_t, features, centred, moved, gathered = room
    n_t, k = means.shape
    n = along.shape[0]
    for t in range(n_t):
        shift = 0.0
        for y in range(k):
            part_of = pushed[t, 1 + y]
            centred[t, y] = part_of
            shift -= part_of * means[t, y]
        centred[t, k] = shift
    multiply(centred, features_t, moved)
    along[:] = 0.0
    for t in range(n_t):
        line, own, omega = moved[t], s[t * n : (t + 1) * n], step[t, 0]
        for x in range(n):
            along[x] += own[x] * (omega + line[x])
    pull = np.empty(n_t, s.dtype)
    apply(s.reshape((n_t, n)), along, pull, BY_HAND)
    for t in range(n_t):
        line, own, part = moved[t], s[t * n : (t + 1) * n], q[t * n : (t + 1) * n]
        bent[t, 0] = pull[t]
        for x in range(n):
            line[x] = own[x] * along[x] - part[x] * line[x]
    multiply(moved, features, gathered)
    for t in range(n_t):
        row, mean, line = gathered[t], means[t], bent[t]
        for y in range(k):
            line[1 + y] = c[t] * step[t, 1 + y] + row[y] - row[k] * mean[y]
