"""Compiled kernels of the branch and bound in `dualib.bounds`, whose docstring derives every inequality used here.

Conventions: ``weight = beta U`` (n, k); `alpha` (n,) with ``Lambda(z) = log sum_x exp(alpha_x + weight_x . z)``; `size` (n,)
the magnitude of what alpha was summed from; ``kind`` 0 for the dual IB (z = s), 1 for the IB (z = log s up to a constant).
A *record* is one point: ``[z (k), grad Lambda (k), sqrt(s) (k), Lambda, error bound]``; a cell (k, 3k + 2) holds one
per vertex. Kernels return status codes and never raise.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dualib.jit import kernel, leaf
from dualib.kernels import exp, expm1, log, square
from dualib.row_kernels import put
from dualib.view_kernels import as_row

Array = npt.NDArray[np.float64]

_EPS = 2.220446049250313e-16
_LOOSE = 0.5  # natural squared edge length below which the quadratic bound around the cell's own point is tried
_WIDE = 8.0  # natural squared edge length below which the nearest centre is tried
_REACH = 0.125  # ... up to this natural squared distance times the edge length (at most 1) to the power 0.4
_APART = 1.0  # natural squared distance from the nearest centre from which on a climb looks for a new one
_LENGTH = 0.1  # weight of natural length against the chord's error when an edge is chosen
_STACK = 2048
INSIDE = 0.98  # part of a tolerance for the bounds, the rest for their rounding
PROVED, OUT_OF_CELLS, STUCK = 0, 1, 2  # how a branch and bound may end


@kernel("float64(float64)", leaf=True)
def _phi(m: float) -> float:
    """``(exp(m) - 1 - m) / m^2``, which increases with m; 1/2 at 0."""
    if abs(m) < 0.05:
        return 0.5 + m * (1.0 / 6.0 + m * (1.0 / 24.0 + m * (1.0 / 120.0 + m * (1.0 / 720.0 + m / 5040.0))))
    return (expm1(m) - m) / m / m


@kernel("float64(float64)", leaf=True)
def _psi(t: float) -> float:
    """``((1 + t) log(1 + t) - t) / t^2`` for t >= -1, which decreases with t; 1/2 at 0."""
    if abs(t) < 0.02:
        return 0.5 - t * (1.0 / 6.0 - t * (1.0 / 12.0 - t * (1.0 / 20.0 - t * (1.0 / 30.0 - t * (1.0 / 42.0 - t / 56.0)))))
    if t <= -1.0:
        return 1.0
    return ((1.0 + t) * math.log1p(t) - t) / t / t


@kernel("float64(float64[::1], float64[::1], float64[:, ::1], float64, int64, float64[::1], float64[::1])", leaf=True)
def evaluate(alpha: Array, size: Array, weight: Array, beta: float, kind: int, record: Array, terms: Array) -> float:
    """Complete the record of the point ``record[:k]``; terms (n,) becomes log q_x. Returns log c there."""
    n, k = weight.shape
    top = -np.inf
    for x in range(n):
        t = alpha[x]
        for y in range(k):
            t += weight[x, y] * record[y]
        terms[x] = t
        top = max(top, t)
    largest = 0.0
    for y in range(k):
        record[k + y] = 0.0
        largest = max(largest, abs(record[y]))
    total, extent = 0.0, 0.0
    for x in range(n):
        e = terms[x] - top
        if e > -46.0:  # what is left out is below n exp(-46), which the error bound holds
            e = exp(e)
            total += e
            extent += e * (size[x] + (beta * largest if kind == 1 else abs(terms[x] - alpha[x])))
            for y in range(k):
                record[k + y] += e * weight[x, y]
    value = top + log(total)
    for y in range(k):
        record[k + y] /= total
    for x in range(n):
        terms[x] -= value
    record[3 * k] = value
    record[3 * k + 1] = _EPS * ((2 * k + 8) * (extent / total + abs(top)) + n + 8)
    if kind == 1:
        high = -np.inf
        for y in range(k):
            high = max(high, record[y])
        norm = 0.0
        for y in range(k):
            norm += exp(record[y] - high)
        for y in range(k):
            record[2 * k + y] = np.sqrt(exp(record[y] - high) / norm)
        return value - beta * (high + log(norm))
    for y in range(k):
        record[2 * k + y] = np.sqrt(record[y])
        if record[y] > 0.0:
            value -= beta * record[y] * log(record[y])
    return value


@kernel("float64(float64[:, ::1], float64, int64, float64, float64[:, ::1], float64[::1])", leaf=True)
def chord_bound(cell: Array, beta: float, kind: int, limit: float, work: Array, point: Array) -> float:
    """Bound of log c by the chord of Lambda over the cell; point (k,) becomes the maximiser so far.

    Mirror ascent on the barycentric coordinates; each iterate's tangent of the concave part gives a valid bound, and the
    ascent ends as soon as one is below `limit` or the value itself is above. ``work[3, 0]`` becomes the bound plus its
    rounding error.
    """
    k = cell.shape[0]
    lam, slope, tangent = work[0], work[1], work[2]
    for v in range(k):
        lam[v] = 1.0 / k
    best, before, step = np.inf, -np.inf, 0.0
    work[3, 0] = np.inf
    for sweep in range(14):
        for y in range(k):
            z = 0.0
            for v in range(k):
                z += lam[v] * cell[v, y]
            point[y] = z
        constant = 0.0
        if kind == 1:
            high, norm = point[0], 0.0
            for y in range(k):
                high = max(high, point[y])
            for y in range(k):
                norm += exp(point[y] - high)
            shift = high + log(norm)
            for y in range(k):
                tangent[y] = beta * exp(point[y] - shift)
                constant += tangent[y] * (point[y] - shift)
        else:
            for y in range(k):
                tangent[y] = beta * log(point[y])
        bound, honest, value, low = -np.inf, -np.inf, 0.0, np.inf
        for v in range(k):
            g = cell[v, 3 * k] + constant
            extent = abs(cell[v, 3 * k]) + abs(constant) + beta
            for y in range(k):
                part = tangent[y] * cell[v, y]
                g -= part
                extent += abs(part)
            if not abs(g) < 1e290:
                return best
            slope[v] = g
            value += lam[v] * g
            bound, low = max(bound, g), min(low, g)
            honest = max(honest, g + cell[v, 3 * k + 1] + _EPS * (2 * k + 8) * extent)
        if bound < best:
            best = bound
            work[3, 0] = honest
        if best <= limit or value > limit or bound - value < 1e-12 + 0.02 * (limit - value):
            break
        if sweep == 0:
            step = 2.0 / (bound - low)
        elif value < before:
            step *= 0.3
        else:
            step *= 1.3
        before = value
        norm = 0.0
        for v in range(k):
            lam[v] = max(lam[v], 1e-9) * exp(max(step * (slope[v] - bound), -6.0))
            norm += lam[v]
        for v in range(k):
            lam[v] /= norm
    return best


@kernel("float64(float64, int64, float64[::1], float64[:, ::1], float64[:, ::1], float64[::1])", leaf=True)
def _curvature(beta: float, kind: int, centre: Array, offset: Array, gram: Array, curve: Array) -> float:
    """Subtract the concave part's quadratic from gram (lower triangle); returns its largest diagonal entry."""
    k = offset.shape[0]
    if kind == 1:
        excess = 0.0
        for v in range(k):
            mean = 0.0
            for y in range(k):
                mean += square(centre[2 * k + y]) * offset[v, y]
            spread = 0.0
            for y in range(k):
                offset[v, y] -= mean
                spread += square(centre[2 * k + y]) * expm1(min(offset[v, y], 300.0))
            excess = max(excess, spread)
        if not excess < 1e100:
            return 0.0  # no curvature counted: still a bound
        damp = math.log1p(excess) / excess if excess > 1e-8 else 1.0 - 0.5 * excess
        for y in range(k):
            low = np.inf
            for v in range(k):
                low = min(low, offset[v, y])
            curve[y] = beta * damp * square(centre[2 * k + y]) * _phi(low)
    else:
        for y in range(k):
            high = -1.0
            for v in range(k):
                high = max(high, offset[v, y] / centre[y])
            curve[y] = beta * _psi(high) / centre[y]
    largest = 0.0
    for v in range(k):
        for w in range(v + 1):
            total = 0.0
            for y in range(k):
                total += curve[y] * offset[v, y] * offset[w, y]
            gram[v, w] -= total
        largest = max(largest, total)
    return largest


@kernel("boolean(float64[:, ::1], float64[:, ::1], float64)", leaf=True)
def _negative(gram: Array, factor: Array, slack: float) -> bool:
    """Whether ``slack I - gram`` has a Cholesky factor (lower triangle of `factor`, which may be gram itself)."""
    k = gram.shape[0]
    for v in range(k):
        for w in range(v):
            total = -gram[v, w]
            for u in range(w):
                total -= factor[v, u] * factor[w, u]
            factor[v, w] = total / factor[w, w]
        total = slack - gram[v, v]
        for u in range(v):
            total -= square(factor[v, u])
        if not total > 0.0:
            return False
        factor[v, v] = np.sqrt(total)
    return True


@kernel("float64(float64[:, ::1], float64[::1], float64, float64[::1], float64[::1])", leaf=True)
def _concave_maximum(gram: Array, linear: Array, limit: float, lam: Array, slope: Array) -> float:
    """Bound of ``linear . l + l' gram l`` over the simplex of l by its tangents along a mirror ascent, for a concave form."""
    k = len(linear)
    best, before, step = -np.inf, -np.inf, 0.0
    for v in range(k):
        lam[v] = 1.0 / k
        best = max(best, linear[v])
    for sweep in range(20):
        if best <= limit:
            break
        square, value, high, low = 0.0, 0.0, -np.inf, np.inf
        for v in range(k):
            product = 0.0
            for w in range(k):
                product += gram[v, w] * lam[w]
            slope[v] = linear[v] + 2.0 * product
            square += lam[v] * product
            value += lam[v] * linear[v]
            high, low = max(high, slope[v]), min(low, slope[v])
        value += square
        best = min(best, high - square)
        if value > limit or not high > low:
            break
        if sweep == 0:
            step = 2.0 / (high - low)
        elif value < before:
            step *= 0.3
        else:
            step *= 1.3
        before, norm = value, 0.0
        for v in range(k):
            lam[v] = max(lam[v], 1e-9) * exp(max(step * (slope[v] - high), -6.0))
            norm += lam[v]
        for v in range(k):
            lam[v] /= norm
    return best


@kernel(
    "float64(float64[::1], float64[:, ::1], float64, int64, float64[::1], float64[::1], float64, float64[:, ::1],"
    " float64, float64[:, ::1], float64[:, ::1])",
    leaf=True,
)
def quadratic_bound(
    size: Array,
    weight: Array,
    beta: float,
    kind: int,
    centre: Array,
    log_q: Array,
    value: float,
    cell: Array,
    limit: float,
    work: Array,
    tilts: Array,
) -> float:
    """Bound of log c on the cell by a quadratic around a centre (its record, log q_x and log c), rounding error included.

    Work (2k + 3, k) and tilts (k + 1, n) are scratch.
    """
    n, k = weight.shape
    gram, offset, linear = work[:k], work[k : 2 * k], work[2 * k]
    z, curve = work[2 * k + 1], work[2 * k + 2]
    lean = 0.0
    for y in range(k):  # gradient of log c, moved along the direction that cells do not have
        if kind == 1:
            curve[y] = centre[k + y] - beta * square(centre[2 * k + y])
        else:
            curve[y] = centre[k + y] - beta * log(centre[y])
            lean += centre[y] * curve[y]
    rough, mass, wobble, largest = 0.0, 0.0, 0.0, 0.0
    for v in range(k):
        largest = max(largest, abs(centre[v]))
        linear[v], extent = 0.0, 0.0
        for y in range(k):
            offset[v, y] = cell[v, y] - centre[y]
            linear[v] += (curve[y] - lean) * offset[v, y]
            extent += (abs(centre[k + y]) + abs(curve[y]) + abs(lean)) * abs(offset[v, y])
        rough = max(rough, extent)
    factor = tilts[k]  # row by row, so that the loops over x vectorise
    for v in range(k):
        row = tilts[v]
        for x in range(n):
            row[x] = 0.0
        for y in range(k):
            step, mean = offset[v, y], centre[k + y]
            for x in range(n):
                row[x] += (weight[x, y] - mean) * step
    for x in range(n):
        high = tilts[0, x]
        for v in range(1, k):
            high = max(high, tilts[v, x])
        if log_q[x] + high > 600.0:
            return np.inf
        if high > 1.0:
            tilted = exp(log_q[x] + high)
            factor[x] = tilted / high / high
        else:
            tilted = 3.0 * exp(log_q[x])
            factor[x] = tilted * _phi(high) / 3.0
        mass += tilted  # q_x stays below `tilted` on the whole cell
        wobble += tilted * (2.0 * size[x] + abs(log_q[x]))
    for v in range(k):
        row = tilts[v]
        for w in range(v + 1):
            other = tilts[w]
            total = 0.0
            for x in range(n):
                total += factor[x] * row[x] * other[x]
            gram[v, w] = total
    scale = 0.0
    for v in range(k):
        scale = max(scale, gram[v, v])
    scale += _curvature(beta, kind, centre, offset, gram, curve)
    slack = _EPS * (4 * n + 200) * scale
    bound = -np.inf
    for v in range(k):
        for w in range(v + 1):
            gram[w, v] = gram[v, w]
            entry = 0.5 * (linear[v] + linear[w]) + gram[v, w]
            if not abs(entry) < 1e290:
                return np.inf
            bound = max(bound, entry)
    if value + bound > limit and _negative(gram, offset, slack):
        bound = min(bound, _concave_maximum(gram, linear, limit - value, z, curve))
    wobble += mass * (abs(centre[3 * k]) + (beta * largest if kind == 1 else 0.0))
    rough = _EPS * (n + 2 * k + 8) * (rough + abs(value) + beta) * (1.0 + 2.0 * np.sqrt(scale * mass) + scale)
    return value + bound + 3.0 * slack + centre[3 * k + 1] + rough + _EPS * (2 * k + 8) * wobble


@kernel("boolean(float64[:, ::1], float64, int64, float64[::1], float64[::1], float64[:, ::1])", leaf=True)
def _newton(weight: Array, beta: float, kind: int, record: Array, log_q: Array, work: Array) -> bool:
    """Move ``record[:k]`` by Newton's step for log c; False, and not moved, where it has none that stays inside."""
    n, k = weight.shape
    hessian, step = work[:k], work[k]
    base = k - 1  # the basis is e_y (IB), e_y - e_base (dual IB)
    if kind == 0:
        for y in range(k):
            if record[y] > record[base]:
                base = y
    for y in range(k):
        s = square(record[2 * k + y])
        if not s > 1e-300:
            return False
        step[y] = record[k + y] - beta * (s if kind == 1 else log(s))
        for w in range(y):
            hessian[y, w] = beta * s * square(record[2 * k + w]) if kind == 1 else 0.0
        hessian[y, y] = -beta * (s - s * s if kind == 1 else 1.0 / s)
    for x in range(n):
        if log_q[x] > -46.0:
            q = exp(log_q[x])
            for y in range(k):
                part = q * (weight[x, y] - record[k + y])
                for w in range(y + 1):
                    hessian[y, w] += part * (weight[x, w] - record[k + w])
    for y in range(k):
        for w in range(y):
            hessian[w, y] = hessian[y, w]
    if kind == 0:
        slope, corner = step[base], hessian[base, base]
        for y in range(k):
            step[y] -= slope
        for y in range(k):
            for w in range(y + 1):
                if y != base and w != base:
                    hessian[y, w] += corner - hessian[y, base] - hessian[w, base]
    for y in range(k):
        hessian[base, y] = hessian[y, base] = 0.0
    hessian[base, base], step[base] = -1.0, 0.0
    if not _negative(hessian, hessian, 0.0):
        return False
    for y in range(k):
        for w in range(y):
            step[y] -= hessian[y, w] * step[w]
        step[y] /= hessian[y, y]
    for i in range(k):
        y = k - 1 - i
        for w in range(y + 1, k):
            step[y] -= hessian[w, y] * step[w]
        step[y] /= hessian[y, y]
    if kind == 0:
        total = 0.0
        for y in range(k):
            total += step[y]
        step[base] = -total
        for y in range(k):
            if not record[y] + step[y] > 0.0:
                return False
    for y in range(k):
        if not abs(step[y]) < 100.0:
            return False
    for y in range(k):
        record[y] += step[y]
    return True


@kernel("void(float64, int64, float64[::1])", leaf=True)
def _centroid(beta: float, kind: int, record: Array) -> None:
    """Replace ``record[:k]`` by the centroid of the conditionals under q: log c never falls."""
    k = (record.shape[0] - 2) // 3
    if kind == 1 and not record[2 * k - 1] > 0.0:  # none of the sources that count leads off this face: the climb ends
        return
    high, norm = -np.inf, 0.0
    for y in range(k):
        high = max(high, record[k + y])
    for y in range(k):
        if kind == 1:
            record[y] = max(log(record[k + y] / record[2 * k - 1]), -700.0)
        else:
            record[y] = exp((record[k + y] - high) / beta)
            norm += record[y]
    if kind == 0:
        for y in range(k):
            record[y] /= norm


@kernel(
    "float64(float64[::1], float64[::1], float64[:, ::1], float64, int64, float64[::1], float64[::1], float64[:, ::1])",
    leaf=True,
)
def polish(
    alpha: Array, size: Array, weight: Array, beta: float, kind: int, record: Array, log_q: Array, work: Array
) -> float:
    """Climb to a local maximum of log c: Newton steps where they climb, else the centroid step. Returns log c."""
    last = work[weight.shape[1] + 1]
    value = evaluate(alpha, size, weight, beta, kind, record, log_q)
    for _ in range(40):
        put(record, last)
        new = -np.inf
        if _newton(weight, beta, kind, record, log_q, work):
            new = evaluate(alpha, size, weight, beta, kind, record, log_q)
        if not new >= value:
            put(last, record)
            _centroid(beta, kind, record)
            new = evaluate(alpha, size, weight, beta, kind, record, log_q)
        gain = new - value
        value = new
        if not gain > 1e-15 * (1.0 + abs(value)):
            break
    return value


@kernel("boolean(float64[:, ::1], float64[:, ::1], float64[::1])", leaf=True)
def in_slab(cell: Array, slabs: Array, ratios: Array) -> bool:
    """Whether some slab {sum over its y of exp(z) <= ratio * sum over the others} holds the whole cell."""
    k = cell.shape[0]
    for i in range(len(ratios)):
        inside, outside = 0.0, 0.0
        for y in range(k):
            low, high = cell[0, y], cell[0, y]
            for v in range(1, k):
                low, high = min(low, cell[v, y]), max(high, cell[v, y])
            if slabs[i, y] > 0.0:
                inside += exp(high)
            else:
                outside += exp(low)
        if inside <= ratios[i] * outside:
            return True
    return False


@kernel("int64(float64[:, ::1], float64, float64[::1])", leaf=True)
def _edge_to_split(cell: Array, beta: float, longest: Array) -> int:
    """``k * v + w`` of the edge along which the chord errs most; longest[0] becomes the largest natural squared length."""
    k = cell.shape[0]
    chosen, most = 1, -1.0
    longest[0] = 0.0
    for v in range(k):
        for w in range(v + 1, k):
            bend, length = 0.0, 0.0
            for y in range(k):
                bend += (cell[v, k + y] - cell[w, k + y]) * (cell[v, y] - cell[w, y])
                length += 4.0 * beta * square(cell[v, 2 * k + y] - cell[w, 2 * k + y])
            longest[0] = max(longest[0], length)
            score = bend + _LENGTH * length
            if score > most:
                chosen, most = k * v + w, score
    return chosen


@kernel("boolean(float64[:, ::1], int64, float64[::1])", leaf=True)
def _midpoint(cell: Array, edge: int, record: Array) -> bool:
    """Put the middle of an edge into record; False where it is not exact in floating point, so that the halves might leave a gap."""
    k = cell.shape[0]
    v, w = edge // k, edge % k
    for y in range(k):
        total = cell[v, y] + cell[w, y]
        part = total - cell[v, y]
        if (cell[v, y] - (total - part)) + (cell[w, y] - part) != 0.0:
            return False
        record[y] = 0.5 * total
    return True


@kernel("int64(float64[:, ::1], int64, float64[::1], int64)", leaf=True)
def _nearest(centres: Array, n_centres: int, point: Array, kind: int) -> int:
    """Index of the centre nearest to a point z in the distance of sqrt(s)."""
    k = len(point) // 2
    root = point[k:]
    high, norm = -np.inf, 0.0
    for y in range(k):
        high = max(high, point[y])
    for y in range(k):
        root[y] = exp(0.5 * (point[y] - high)) if kind == 1 else np.sqrt(point[y])
        norm += square(root[y])
    norm = np.sqrt(norm)
    chosen, least = -1, np.inf
    for i in range(n_centres):
        distance = 0.0
        for y in range(k):
            distance += square(centres[i, 2 * k + y] - root[y] / norm)
        if distance < least:
            chosen, least = i, distance
    point[k] = least
    return chosen


@kernel(
    "int64(float64[::1], float64[::1], float64[:, ::1], int64[::1], float64, int64, float64[:, :, ::1], float64[:, ::1], float64,"
    " float64[:, ::1], float64[::1], float64, float64, int64, float64[::1])"
)
def branch_and_bound(
    log_a: Array,
    offset: Array,
    features: Array,
    columns: Array,
    beta: float,
    kind: int,
    roots: Array,
    points: Array,
    cut: float,
    slabs: Array,
    ratios: Array,
    lower: float,
    tol: float,
    max_cells: int,
    out: Array,
) -> int:
    """Bound log c over the root cells (m, k, k).

    ``alpha = log_a - beta offset`` and U = `features` (n, k) as in `dualib.bounds`. `points` are decoders near maxima, on all
    columns, of which those of the face are `columns` (k); their ratios are cut at exp(cut). ``out`` becomes [upper bound,
    largest log c found, cells used, its point z (k)]. Returns PROVED when every cell was discarded at
    ``max(lower, largest found) + tol``, OUT_OF_CELLS when max_cells was reached, STUCK when a cell could not be halved any more; the
    upper bound holds in every case (inf where nothing was proved).
    """
    (n, k), p = features.shape, points.shape[0]
    width, capacity = 3 * k + 2, p + 128
    by_source, wide = np.empty((capacity + k + 4, n)), np.empty((capacity + 2 * k + 4, width))
    by_feature, numbers = np.empty((n + p + 2 * k + 7, k)), np.empty(_STACK + capacity + 2 * k + 2)
    room = (np.empty((_STACK, k, width)), by_source, wide, by_feature, numbers)
    return _bounded(
        log_a, offset, features, columns, beta, kind, roots, points, cut, slabs, ratios, lower, tol, max_cells, out, room
    )


@leaf
def _chosen(points, columns, kind, cut, starts):  # type: ignore[no-untyped-def]
    """The columns of the face, or the log ratios of their numbers to the last."""
    for i in range(points.shape[0]):
        row = starts[i]
        for y in range(row.shape[0]):
            row[y] = points[i, columns[y]]
        if kind == 1:
            for y in range(row.shape[0]):
                row[y] = log(max(row[y], exp(-cut)))
            pivot = row[row.shape[0] - 1]
            for y in range(row.shape[0]):
                row[y] -= pivot


@leaf
def _bounded(  # type: ignore[no-untyped-def]
    log_a, offset, features, columns, beta, kind, roots, points, cut, slabs, ratios, lower, tol, max_cells, out, room
):
    """`branch_and_bound` with room for its arrays: that of the stack, and rows of n, of 3k + 2, and of k numbers; last, numbers."""
    (n, k), p, (stack, by_source, wide, by_feature, numbers) = features.shape, points.shape[0], room
    capacity = p + 128
    alpha, size, tilts, centre_q = by_source[0], by_source[1], by_source[2 : k + 3], by_source[k + 3 :]
    middle, cell, climb, centres = wide[0], wide[1 : k + 1], wide[k + 1 : 2 * k + 3], wide[2 * k + 3 :]
    weight, starts = by_feature[:n], by_feature[n : n + p]
    work, scratch = by_feature[n + p : n + p + 4], by_feature[n + p + 4 :]
    point, longest = numbers[: 2 * k], numbers[2 * k : 2 * k + 1]
    values, bounds = numbers[2 * k + 1 : 2 * k + 2 + capacity], numbers[2 * k + 2 + capacity :]
    for x in range(n):
        alpha[x] = log_a[x] - beta * offset[x]
        size[x] = abs(log_a[x]) - beta * offset[x]
        for y in range(k):
            weight[x, y] = beta * features[x, y]
    _chosen(points, columns, kind, cut, starts)
    n_centres, top, cells, climbs = 0, 0, 0, 0
    best, upper = -np.inf, -np.inf
    for i in range(len(starts)):
        put(starts[i], centres[n_centres])
        values[n_centres] = polish(alpha, size, weight, beta, kind, centres[n_centres], centre_q[n_centres], climb)
        if values[n_centres] > best:
            best = values[n_centres]
            put(centres[n_centres], out[3:])
        n_centres += 1
    for i in range(len(roots)):
        for v in range(k):
            put(roots[i, v], stack[top, v])
            value = evaluate(alpha, size, weight, beta, kind, stack[top, v], centre_q[capacity])
            if value > best:
                best = value
                put(stack[top, v], out[3:])
        bounds[top] = np.inf
        top += 1
    status = PROVED
    while top > 0:
        if cells >= max_cells:
            status = OUT_OF_CELLS
            break
        top -= 1
        put(as_row(stack[top]), as_row(cell))
        cells += 1
        if in_slab(cell, slabs, ratios):
            continue
        limit = max(lower, best) + tol
        bound = chord_bound(cell, beta, kind, limit, work, point[:k])
        if bound <= limit:
            upper = max(upper, work[3, 0])
            continue
        bound = work[3, 0]
        edge = _edge_to_split(cell, beta, longest)
        near = _nearest(centres, n_centres, point, kind)
        distance = 4.0 * beta * point[k]
        if near >= 0 and longest[0] < _WIDE and distance < _REACH * min(longest[0], 1.0) ** 0.4:
            other = quadratic_bound(
                size, weight, beta, kind, centres[near], centre_q[near], values[near], cell, limit, scratch, tilts
            )
            bound = min(bound, other)
        if bound > limit and longest[0] < _LOOSE and n_centres < capacity:
            new = centres[n_centres]
            put(point[:k], new)
            value = evaluate(alpha, size, weight, beta, kind, new, centre_q[n_centres])
            other = quadratic_bound(size, weight, beta, kind, new, centre_q[n_centres], value, cell, limit, scratch, tilts)
            bound = min(bound, other)
            if value > best + 0.1 * tol or (bound > limit and distance > _APART and climbs < 16 + cells // 16):
                climbs += 1
                value = polish(alpha, size, weight, beta, kind, new, centre_q[n_centres], climb)
                put(new, point[:k])
                near = _nearest(centres, n_centres, point, kind)
                values[n_centres] = value
                if value > best:
                    put(new, out[3:])
                    best = value
                if near < 0 or 4.0 * beta * point[k] > 1e-6 or value > values[near] + 0.1 * tol:
                    n_centres += 1
        if bound <= limit:
            upper = max(upper, bound)
            continue
        if top + 2 > _STACK or not _midpoint(cell, edge, middle):
            bounds[top] = min(bound, bounds[top])  # the stack still holds the cell
            top += 1
            status = STUCK
            break
        value = evaluate(alpha, size, weight, beta, kind, middle, centre_q[capacity])
        if value > best:
            best = value
            put(middle, out[3:])
        inherited = min(bound, bounds[top])
        for child in range(2):
            for v in range(k):
                put(middle if v == (edge // k if child == 0 else edge % k) else cell[v], stack[top, v])
            bounds[top] = inherited
            top += 1
    for i in range(top):
        upper = max(upper, bounds[i])
    out[0], out[1], out[2] = upper, best, cells
    return status
