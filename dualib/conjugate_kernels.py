"""Newton's direction by conjugate gradients, in place of the elimination of `dualib.stationary_kernels`.

At a minimum the scaled Hessian H of `dualib.curvature` has eigenvalues in (0, 1], most of them near 1, so that some ten products
``H step``, each shorter than a sweep, give what an elimination gives that is as long as 10 to 100 sweeps. In the place of
``zeta_t = sqrt(beta w_t) R_t^T dM_t`` stands ``m_t = sqrt(beta w_t) dM_t``, so that ``zeta_t = R_t^T m_t`` and inner products are
``<m, J m'>``: R_t, which need not be invertible, is not used. Steps are (1 + k, n_t), that of the weights first: their rows are
longer than their columns.

Pairs of cluster and source with next to no p(t|x) are left out of H where they are many. Where clusters are close, the gradients
are preconditioned by `dualib.exchange_kernels`.

All arrays are of one precision: a direction, which is judged by the objective, needs few digits, so single precision is as good,
and takes half the time where products of matrices are all it is.
"""

from __future__ import annotations

import numpy as np

from dualib.blas_kernels import by_blas
from dualib.exchange_kernels import corrected, exchanges, invert_exchanges
from dualib.jit import leaf
from dualib.linear_kernels import apply, by_hand, dot, multiply, multiply_across
from dualib.row_kernels import TINY, put
from dualib.view_kernels import as_row, as_table, whole_lines

_SLIGHT, _SLIGHTEST, _MOST_SLIGHT = 1e-3, 1e-10, 1e-6  # p(t|x) that counts for nothing, by the residual; at least, at most
_FILLED = 0.1  # part of the pairs that count, up to which loops over these are quicker than products of matrices
_LARGE = 50**3  # multiplications of such a product, below which they never are
_LEAST, _FAINT = 1e-30, 1e-12  # in single precision: mean, and p(t|x), that stands for smaller ones, or 0 for it
_TABLES = 10  # of the shape of a step, and a row more, in the room
_FARTHEST = 0.5  # the longest move of a mean, in natural coordinates, along a direction of negative curvature


@leaf
def room_for(m, n, k):  # type: ignore[no-untyped-def]
    """How many numbers, and how many integers, are room for `conjugate` on up to m clusters."""
    counting = int(_FILLED * m * n) if m * n * k >= _LARGE else 0
    numbers = _TABLES * whole_lines((k + 2) * m) + 3 * whole_lines(m * n) + 2 * whole_lines(n)
    return numbers + whole_lines(m) + whole_lines(k) + whole_lines((1 + k) * n) + counting * k, m + 1 + counting


@leaf
def conjugate(  # type: ignore[no-untyped-def]
    kind, beta, px, ut, weights, means, v, face, post, c, gradient, residual, part, most, close, known, eases, step, room
):
    """Solve H step = gradient to a part of its length by at most `most` products (Steihaug 1983).

    Parameters
    ----------
    post, c, residual : (n_t, n), (n_t,), float
        Of the sweep from this point; p(t|x) may be of any precision.
    gradient : (1 + k, n_t)
        Minus the gradient, or another right-hand side.
    close, known, eases : (p, 2), bool, (r,)
        Pairs of clusters for the preconditioner of `dualib.exchange_kernels`; whether its E^-1 of a point near by, which its room,
        `dualib.exchange_kernels.room_for_pairs`, still holds, will do.
    step : (1 + k, n_t)
        Receives the solution. It ends before a direction of negative curvature; where the first one is of that kind, it goes along
        that.
    room : tuple
        Numbers and integers, as many as `room_for` says.

    Returns
    -------
    longest : float
        The longest move of a mean, in its natural coordinates.
    taken : int
        Products.
    """
    (n_t, k), n, p, hand = means.shape, px.shape[0], close.shape[0], by_hand(px.size + ut.size)
    numbers, start, source = room[0], room[1][: n_t + 1], room[1][n_t + 1 :]
    width, each, row = whole_lines((k + 2) * n_t), whole_lines(n_t * n), whole_lines(n)
    tables, at = as_table(numbers, 0, _TABLES, width), _TABLES * width
    s, q = numbers[at : at + n_t * n], numbers[at + each : at + each + n_t * n]
    moved, at = as_table(numbers, at + 2 * each, n_t, n), at + 3 * each
    along, root_px = numbers[at : at + n], numbers[at + row : at + row + n]
    at += 2 * row
    pull, own = numbers[at : at + n_t], numbers[at + whole_lines(n_t) : at + whole_lines(n_t) + k]
    at += whole_lines(n_t) + whole_lines(k)
    features, blocks = as_table(numbers, at, 1 + k, n), numbers[at + whole_lines((1 + k) * n) :]
    count = find_pairs(beta, px, ut, weights, means, post, residual, root_px, (source, start, blocks, s, q))
    few = count > 0
    pairs = (source[:count], start[: n_t + 1 if few else 0], blocks[: count * k], s, q)
    features = features[: 0 if few else 1 + k]
    means_t, metric = as_table(tables[0], 0, k, n_t), as_table(tables[1], 0, k, n_t)
    _set_up(kind, beta, ut, means, v, face, means_t, metric, features)
    lines, parts = as_table(eases, 0, p, k), as_table(eases, p * k, p, 6)
    inverse, scratch = as_table(eases, p * (k + 6), 2 * p, 2 * p), as_table(eases, p * (k + 6 + 4 * p), 2, 2 * p)
    if p > 0:
        exchanges(beta, weights, means, close, lines, parts)
        if not known:
            invert_exchanges(kind, means, metric, pairs, ut if few else features, c, close, lines, parts, inverse)
    easing, more = (close, lines, parts, inverse, scratch), (along, pull, own, features, moved)
    return _iterated(kind, weights, c, gradient, pairs, part, most, hand, tables, more, easing, step)


@leaf
def _set_up(kind, beta, ut, means, v, face, means_t, metric, features):  # type: ignore[no-untyped-def]
    """The means, and what `_push` makes J of, (k, n_t) each; and, unless few pairs count, the features sqrt(beta) [U, 1]^T.

    The last row of these makes the products of matrices in `_bend_all` centre the features, and sum.
    """
    n_t, k = means.shape
    least = TINY if means.itemsize == 8 else _LEAST
    for t in range(n_t):
        for y in range(k):
            means_t[y, t] = means[t, y]
            metric[y, t] = 1.0 / max(means[t, y], least) if kind == 0 else v[t, y]
            if face.shape[0] > 0 and not face[t, y]:
                metric[y, t] = 0.0
    root_beta = np.sqrt(beta)
    for y in range(min(k, features.shape[0])):
        row, line = features[y], ut[y]
        for x in range(row.shape[0]):
            row[x] = root_beta * line[x]
    if features.shape[0] > 0:
        features[k, :] = root_beta


@leaf
def _iterated(kind, weights, c, gradient, pairs, part, most, hand, tables, room, easing, step):  # type: ignore[no-untyped-def]
    """The iterations of `conjugate`: the longest move of a mean, and the products.

    Parameters
    ----------
    tables : (_TABLES, at least (k + 2) n_t)
        The first two of `_set_up`; room for all of the shape of the step.
    room : tuple
        Room (n,), (n_t,) and (k,); features; room (n_t, n).
    easing : tuple
        Pairs of clusters, what `dualib.exchange_kernels` makes of them, and room (2, 2p).
    """
    (along, pull, own, features, moved), (close, lines, parts, inverse, scratch) = room, easing
    n_t, k, (_, start, _, s, q) = weights.shape[0], gradient.shape[0] - 1, pairs
    means_t, metric = as_table(tables[0], 0, k, n_t), as_table(tables[1], 0, k, n_t)
    rest, bent = as_table(tables[2], 0, 1 + k, n_t), as_table(tables[3], 0, 1 + k, n_t)
    way, gathered = as_table(tables[4], 0, 1 + k, n_t), as_table(tables[7], 0, 1 + k, n_t)
    pushed, ahead = as_table(tables[5], 0, 2 + k, n_t), as_table(tables[6], 0, 2 + k, n_t)
    few, eased, begun, taken = start.shape[0] > 0, close.shape[0] > 0, False, 0
    towards, eased_pushed = (
        (as_table(tables[8], 0, 1 + k, n_t), as_table(tables[9], 0, 2 + k, n_t)) if eased else (rest, pushed)
    )
    for y in range(1 + k):
        step[y, :] = 0.0
        put(gradient[y], rest[y])
    _push(kind, means_t, metric, rest, pushed)
    length = _inner(rest, pushed, hand)
    end = part * part * length
    if eased:
        corrected(close, lines, parts, inverse, rest, pushed, towards, scratch)
        _push(kind, means_t, metric, towards, ahead)
    else:
        _copy(ahead, pushed)
    _copy(way, towards)
    slope = _inner(rest, ahead, hand)
    while length > end and taken < most:
        if few:
            _bend_few(pairs, c, way, ahead, along, as_row(moved), own, bent)
        else:
            _bend_all(means_t, s, q, c, way, ahead, along, features, moved, gathered, pull, bent, hand)
        curvature, taken = _inner(bent, ahead, hand), taken + 1
        if not curvature > 0.0:
            if eased and not begun:  # a slight one: what lies there is near, and the gradient leads to it
                eased, towards, eased_pushed, slope = False, rest, pushed, length
                _copy(way, rest)
                _copy(ahead, pushed)
                continue
            if not begun:
                _add(step, _FARTHEST / _longest(way, ahead, weights, pull), way)
            break
        begun = True
        _add(step, slope / curvature, way)
        _add(rest, -slope / curvature, bent)
        _push(kind, means_t, metric, rest, pushed)
        before, length = slope, _inner(rest, pushed, hand)
        slope = length
        if eased:
            corrected(close, lines, parts, inverse, rest, pushed, towards, scratch)
            _push(kind, means_t, metric, towards, eased_pushed)
            slope = _inner(rest, eased_pushed, hand)
        _go_on(way, slope / before, towards)
        _go_on(ahead, slope / before, eased_pushed)
    _push(kind, means_t, metric, step, pushed)
    return _longest(step, pushed, weights, pull), taken


@leaf
def scaled_gradient(beta, weights, means, moved_weights, moved_means, gradient):  # type: ignore[no-untyped-def]
    """Minus the gradient at a point, from where a sweep leads, into `gradient` (1 + k, n_t)."""
    for t in range(means.shape[0]):
        gradient[0, t] = (moved_weights[t] - weights[t]) / np.sqrt(weights[t])
        scale = np.sqrt(beta / weights[t]) * moved_weights[t]
        for y in range(means.shape[1]):
            gradient[1 + y, t] = scale * (moved_means[t, y] - means[t, y])


@leaf
def find_pairs(beta, px, ut, weights, means, post, residual, root_px, pairs):  # type: ignore[no-untyped-def]
    """Find the pairs that count, which `pairs` = (source, start, features, s, q) receives: how many, 0 where all do.

    Those of cluster t are start[t] to start[t + 1], each belonging to a source; ``s = p(t|x) sqrt(p(x) / w_t)``, ``q = p(x|t)``,
    and the features are blocks (k, count) of ``sqrt(beta) (U - M_t)``, one after the other. Where all count there are only s and q.
    """
    (n_t, n), (source, start, _, s, q) = post.shape, pairs
    faint = 0.0 if px.itemsize == 8 else _FAINT
    number, large = 0, n * n_t * means.shape[1] >= _LARGE
    slight = min(max(_SLIGHT * residual, _SLIGHTEST), _MOST_SLIGHT)
    for x in range(n):
        root_px[x] = np.sqrt(px[x])
    if large:
        for t in range(n_t):
            for x in range(n):
                number += int(post[t, x] > slight)
    if not large or number > _FILLED * n * n_t:
        _filled(px, root_px, weights, post, px.dtype.type(faint), s, q)
        return 0
    number = 0
    for t in range(n_t):
        start[t] = number
        for x in range(n):
            if post[t, x] > slight:
                source[number] = x
                number += 1
    start[n_t] = number
    _lifted(beta, px, ut, weights, means, post, root_px, pairs)
    return number


@leaf
def _filled(px, root_px, weights, post, faint, s, q):  # type: ignore[no-untyped-def]
    """Put s and q of all pairs where they belong."""
    (n_t, n), nothing = post.shape, px.dtype.type(0.0)
    for t in range(n_t):
        root, inverse = _of_weight(weights[t])
        own, line, row = s[t * n : (t + 1) * n], q[t * n : (t + 1) * n], post[t]
        for x in range(n):
            some = px.dtype.type(row[x])
            some = some if some > faint else nothing  # or numbers might become so small that they are slow
            own[x] = some * root_px[x] * root
            line[x] = some * px[x] * inverse


@leaf
def _of_weight(weight):  # type: ignore[no-untyped-def]
    """The root of the inverse of a weight, and that inverse."""
    one = weight / weight
    return np.sqrt(one / weight), one / weight


@leaf
def _lifted(beta, px, ut, weights, means, post, root_px, pairs):  # type: ignore[no-untyped-def]
    """Features, s and q of the pairs that count."""
    (n_t, k), (source, start, features, s, q) = means.shape, pairs
    root_beta = np.sqrt(beta)
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        root, inverse = _of_weight(weights[t])
        for i in range(first, first + count):
            x = source[i]
            some = px.dtype.type(post[t, x])
            s[i] = some * root_px[x] * root
            q[i] = some * px[x] * inverse
        lifted = as_table(features, first * k, k, count)
        for y in range(k):
            row, line, mean = lifted[y], ut[y], means[t, y]
            for i in range(count):
                row[i] = root_beta * (line[source[first + i]] - mean)


@leaf
def _inner(a, b, most):  # type: ignore[no-untyped-def]
    """The sum of the products of the numbers of a and as many of b; `most` as of `dot`."""
    return dot(as_row(a), as_row(b)[: a.size], most)


@leaf
def _copy(a, b):  # type: ignore[no-untyped-def]
    """Copy b into a, as much as both hold."""
    put(as_row(b), as_row(a))


@leaf
def _add(a, factor, b):  # type: ignore[no-untyped-def]
    """A multiple of b, added to a."""
    one, other, factor = as_row(a), as_row(b), b.dtype.type(factor)
    for i in range(one.shape[0]):
        one[i] += factor * other[i]


@leaf
def _go_on(way, factor, rest):  # type: ignore[no-untyped-def]
    """The next way: what rests, and a multiple of the last way."""
    one, other, factor = as_row(way), as_row(rest), rest.dtype.type(factor)
    for i in range(one.shape[0]):
        one[i] = other[i] + factor * one[i]


@leaf
def _longest(step, pushed, weights, squares):  # type: ignore[no-untyped-def]
    """The longest move of a mean in its natural coordinates; `squares` (n_t,) is scratch."""
    longest = 0.0
    squares[:] = 0.0
    for y in range(1, step.shape[0]):
        line, row = step[y], pushed[y]
        for t in range(squares.shape[0]):
            squares[t] += line[t] * row[t]
    for t in range(squares.shape[0]):
        longest = max(longest, max(squares[t], 0.0) / weights[t])
    return np.sqrt(longest)


@leaf
def _push(kind, means_t, metric, step, pushed):  # type: ignore[no-untyped-def]
    """J m of each cluster, the step of its weight as it is; below these minus ``<M, J m>``, for `_bend_all`."""
    k, n_t = metric.shape
    first, last = pushed[0], pushed[1 + k]
    put(step[0], first)
    last[:] = 0.0
    if kind == 1:  # centred
        for y in range(k):
            own, line = metric[y], step[1 + y]
            for t in range(n_t):
                last[t] += own[t] * line[t]
    for y in range(k):
        own, line, row = metric[y], step[1 + y], pushed[1 + y]
        for t in range(n_t):
            row[t] = own[t] * (line[t] - last[t])
    last[:] = 0.0
    for y in range(k):
        row, mean = pushed[1 + y], means_t[y]
        for t in range(n_t):
            last[t] -= row[t] * mean[t]


@leaf
def _bend_few(pairs, c, step, pushed, along, moved, own, bent):  # type: ignore[no-untyped-def]
    """H step into `bent`, by the pairs that count; `along` becomes B step, the scaled step of log Z.

    Moved, a number for each pair, and own (k,) are scratch.
    """
    source, start, features, s, q = pairs
    k, n_t = step.shape[0] - 1, step.shape[1]
    along[:] = 0.0
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        line, omega = moved[first : first + count], step[0, t]
        for y in range(k):
            own[y] = pushed[1 + y, t]
        by_blas(own, as_table(features, first * k, k, count), line)
        for i in range(count):
            along[source[first + i]] += s[first + i] * (omega + line[i])
    for t in range(n_t):
        first, count = start[t], start[t + 1] - start[t]
        line, pull = moved[first : first + count], 0.0
        for i in range(count):
            coupled = s[first + i] * along[source[first + i]]
            pull += coupled
            line[i] = coupled - q[first + i] * line[i]
        by_blas(as_table(features, first * k, k, count), line, own)
        bent[0, t] = pull
        for y in range(k):
            bent[1 + y, t] = c[t] * step[1 + y, t] + own[y]


@leaf
def _bend_all(means_t, s, q, c, step, pushed, along, features, moved, gathered, pull, bent, hand):  # type: ignore[no-untyped-def]
    """The same by products of matrices; `along` to `pull` are room of `_iterated`."""
    k, n_t = means_t.shape
    n = along.shape[0]
    multiply(pushed[1:].T, features, moved, hand)
    along[:] = 0.0
    omegas = step[0]
    for t in range(n_t):
        line, own, omega = moved[t], s[t * n : (t + 1) * n], omegas[t]
        for x in range(n):
            along[x] += own[x] * (omega + line[x])
    apply(as_table(s, 0, n_t, n), along, pull, hand)
    put(pull, bent[0])
    for t in range(n_t):
        line, own, part = moved[t], s[t * n : (t + 1) * n], q[t * n : (t + 1) * n]
        for x in range(n):
            line[x] = own[x] * along[x] - part[x] * line[x]
    multiply_across(features, moved, gathered, hand)
    summed = gathered[k]
    for y in range(k):
        line, row, mean, came = bent[1 + y], gathered[y], means_t[y], step[1 + y]
        for t in range(n_t):
            line[t] = c[t] * came[t] + row[t] - summed[t] * mean[t]
