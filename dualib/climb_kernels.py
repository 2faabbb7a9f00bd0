"""Points taken up log c many at a time, for the distortions whose link is known here, where no zero of p(y|x) matters.

In blocks of `dualib.block_kernels`. The first rounds, in which points from everywhere gather, need few digits, and single precision
serves where it has as many (`few_digits`).
"""

from __future__ import annotations

import numpy as np

from dualib.block_kernels import (
    WIDTH,
    apart,
    beside,
    block_of,
    evaluated,
    few_digits,
    heights,
    link_block,
    own_of,
    padded,
    stepped,
    width_of,
)
from dualib.jit import helper, leaf
from dualib.linear_kernels import by_hand
from dualib.row_kernels import TINY, put, single
from dualib.search_kernels import ABOUT, AHEAD, AT_REST, FASTEST, distance
from dualib.strand_kernels import inner, total

# rounds after which a point climbs a ridge, and no side of one, which hides what is on it; squared natural distance from an atom to
# points that may be led there; square of the cosine of their first step and the way
SETTLED, NEAR, ALIGNED = 4, 1.0, 0.5
CLOSER = 0.6  # ... from one look at log c on that way to the next
_ABOUT, _TOLD = 1e-2, 1e-6  # of single precision: ABOUT; the least radius within which another point may be told
# squared natural distance of an ascent step below which a point is as good as at rest; it then climbs so many rounds more, which is
# cheaper than Newton's method
_NEARLY, _FURTHER = 1e-3, 4


@helper
def _meets(beta, block, values, others, own, heights, radius, gone, hand):  # type: ignore[no-untyped-def]
    """Mark the points of a block that come within the radius of another no lower than they are; about how far all are apart.

    The others are rows of V and M, as of `apart`.
    """
    k, m = block.shape[0] // 2, block.shape[1]  # spare columns among them
    about, slack = apart(beta, block, others, own, hand), ABOUT if block.itemsize == 8 else _ABOUT
    room = np.full(m, np.inf, block.dtype)
    for i in range(others.shape[0]):
        row, near = about[i], block.dtype.type(radius[i] + slack)
        for j in range(m):
            room[j] = min(room[j], row[j] - near)
    for j in range(gone.shape[0]):
        for i in range(others.shape[0] if room[j] < 0.0 and not gone[j] else 0):
            if about[i, j] < radius[i] + slack and heights[i] >= values[j]:
                exactly = 0.0
                for y in range(k):
                    exactly += (others[i, k + y] - block[y, j]) * (others[i, y] - block[k + y, j])
                gone[j] = beta * exactly < radius[i]
                if gone[j]:
                    break
    return about


@helper
def _uphill(kind, beta, u, log_a, points, v, once, values, about, atom_means, atom_v, radius, stable, early, gone):  # type: ignore[no-untyped-def]
    """Mark the points of a block that a stable atom near by draws in: their ascent begins that way, and log c rises all of it.

    Beside an atom that is nearly unstable log c may have another maximum at any distance: it is looked at closer and closer, until
    the atom would swallow the point. That their own ascent goes there is likely, not sure: `benchmarks/search.py` counts misses.
    """
    k, m = points.shape
    which, target, count = np.empty(m, np.int64), np.empty(m, np.int64), 0
    for j in range(gone.shape[0]):
        if about.shape[0] > 0 and not (gone[j] or early[j]):
            t = 0
            for i in range(1, about.shape[0]):
                t = i if about[i, j] < about[t, j] else t
            if stable[t] and about[t, j] < NEAR:
                which[count], target[count] = j, t
                count += 1
    if count == 0:
        return
    moved_v, aligned = np.empty((k, m)), 0
    link_block(kind, once, moved_v, np.zeros(m), np.empty(m), np.empty(m))
    for i in range(count):
        j, t = which[i], target[i]
        there, step, way = 0.0, 0.0, 0.0
        for y in range(k):
            moved, turn = once[y, j] - points[y, j], atom_v[t, y] - v[y, j]
            there += moved * turn
            step += moved * (moved_v[y, j] - v[y, j])
            way += (atom_means[t, y] - points[y, j]) * turn
        if there > 0.0 and there * there >= ALIGNED * step * way:
            which[aligned], target[aligned] = j, t
            aligned += 1
    count = aligned
    if count == 0:
        return
    number, looks = np.zeros(count, np.int64), 0
    for i in range(count):
        share = CLOSER
        while not share * share * about[target[i], which[i]] < radius[target[i]]:
            share *= CLOSER
            number[i] += 1
        number[i] += 1
        looks += number[i]
    means, look = np.empty((looks, k)), 0
    for i in range(count):
        j, t, share = which[i], target[i], 1.0
        for _ in range(number[i]):
            share *= CLOSER
            for y in range(k):
                means[look, y] = atom_means[t, y] + share * (points[y, j] - atom_means[t, y])
            look += 1
    here, look = heights(kind, beta, u, log_a, means), 0
    for i in range(count):
        last, rises = values[which[i]], True
        for _ in range(number[i]):
            rises = rises and last < here[look] < 0.0
            last = here[look]
            look += 1
        gone[which[i]] = rises


@helper
def climbed(kind, beta, u, ut, log_a, means, atom_means, atom_v, radius, stable, leaps, close):  # type: ignore[no-untyped-def]
    """Take points (m, k) up log c, as far as they come neither to an atom nor to a point taken up before.

    Parameters
    ----------
    radius : (n_t,)
        Squared natural distance at which each atom swallows a point.
    stable : (n_t,) bool
        Atoms that are maxima of log c, of height 0, and not nearly unstable.
    leaps : int
        How often to take two ascent steps and their extrapolation.
    close : float
        Squared natural distance below which a point is one that was taken up before, to where c is no lower.

    Returns
    -------
    means : (m', k)
    """
    begun = 0
    if few_digits(kind, beta, u):
        rough = (single(u), single(ut), single(log_a), means, single(atom_means), single(atom_v), radius)
        means, begun = _begun(kind, np.float32(beta), *rough), SETTLED
    (m, k), hand = means.shape, by_hand(u.size)
    n, n_t = log_a.shape[0], atom_means.shape[0]
    atoms, own, highest = beside(atom_v, atom_means), own_of(atom_means, atom_v), np.full(n_t, np.inf)
    kept, kept_own, reached, everywhere, count = np.empty((m, 2 * k)), np.empty(m), np.empty(m), np.full(m, close), 0
    active, taken, moved = np.empty((WIDTH, k)), np.zeros(WIDTH, np.int64), np.empty(WIDTH)
    width, following = 0, 0
    while following < m or width > 0:
        before = width
        width, following = _filled(active, taken, width, means, following, begun)
        moved[before:width] = np.inf
        block = block_of(active[:width], u)
        points, v, wide = block[:k], block[k:], block.shape[1]
        once, gone, q, numbers = np.empty((k, wide)), np.zeros(width, np.bool_), np.empty((n, wide)), np.empty((4, wide))
        evaluated(kind, beta, u, log_a, points, v, q, numbers)
        values, share = numbers[0], numbers[1]
        about = _meets(beta, block, values, atoms, own, highest, radius, gone, hand)
        if count > 0:
            _meets(beta, block, values, kept[:count], kept_own, reached, everywhere, gone, hand)
        stepped(ut, q, share, once)
        early = taken[:width] < SETTLED
        _uphill(kind, beta, u, log_a, points, v, once, values, about, atom_means, atom_v, radius, stable, early, gone)
        for j in range(width):
            gone[j] = gone[j] or not values[j] > -np.inf
            if not gone[j] and (moved[j] < AT_REST or taken[j] >= leaps + (_FURTHER if moved[j] < _NEARLY else 0)):
                gone[j] = True
                i = _same(beta, points[:, j], v[:, j], kept[:count], close)
                same = i < count
                count = max(count, i + 1)
                if not same or values[j] > reached[i]:
                    kept[i, :k], kept[i, k:], reached[i] = v[:, j], points[:, j], values[j]
                    kept_own[i] = inner(kept[i, :k], kept[i, k:])
        width, block, once = _closed_up(block, once, taken, gone, u)
        if width > 0:
            _leap(kind, beta, u, ut, log_a, block, once, active[:width], moved)
    return kept[:count, k:].copy()


@helper
def _begun(kind, beta, u, ut, log_a, means, atom_means, atom_v, radius):  # type: ignore[no-untyped-def]
    """The first SETTLED rounds of `climbed`, in the precision of u: the points (m, k) that come to no atom on the way."""
    n, n_t, most, hand = log_a.shape[0], atom_means.shape[0], width_of(u), by_hand(u.size)
    atoms, own, highest, told = beside(atom_v, atom_means), own_of(atom_means, atom_v), np.full(n_t, np.inf), np.empty(n_t)
    for t in range(n_t):
        told[t] = radius[t] if radius[t] >= _TOLD else -np.inf
    means = _away(kind, beta, means, u, atoms, own, highest, told)
    m, k = means.shape
    active, taken, moved = np.empty((most, k), u.dtype), np.zeros(most, np.int64), np.empty(most)
    reached, count, width, following = np.empty((m, k)), 0, 0, 0
    while following < m or width > 0:
        width, following = _filled(active, taken, width, means, following, 0)
        block = block_of(active[:width], u)
        wide, gone = block.shape[1], np.zeros(width, np.bool_)
        once, q, numbers = np.empty((k, wide), u.dtype), np.empty((n, wide), u.dtype), np.empty((4, wide), u.dtype)
        evaluated(kind, beta, u, log_a, block[:k], block[k:], q, numbers)
        values, share = numbers[0], numbers[1]
        _meets(beta, block, values, atoms, own, highest, told, gone, hand)
        stepped(ut, q, share, once)
        for j in range(width):
            gone[j] = gone[j] or not values[j] > -np.inf
        left, block, once = _closed_up(block, once, taken, gone, u)
        if left > 0:
            _leap(kind, beta, u, ut, log_a, block, once, active[:left], moved)
        width = 0
        width, count = _sorted_out(kind, active, taken, left, reached, count)
    return reached[:count]


@leaf
def _sorted_out(kind, active, taken, left, reached, count):  # type: ignore[no-untyped-def]
    """Move the points that have made their rounds to those reached: how many stay, and how many have been reached."""
    width = 0
    for j in range(left):
        if taken[j] == SETTLED:
            row = reached[count]
            put(active[j], row)
            mass = total(row) if kind == 0 else 1.0
            for y in range(row.shape[0]):
                row[y] /= mass
            count += 1
        else:
            put(active[j], active[width])
            taken[width] = taken[j]
            width += 1
    return width, count


@leaf
def _filled(active, taken, width, means, following, begun):  # type: ignore[no-untyped-def]
    """Fill a block up with the points that follow; how many it has then, and which point follows."""
    while width < active.shape[0] and following < means.shape[0]:
        put(means[following], active[width])
        taken[width] = begun
        width, following = width + 1, following + 1
    return width, following


@helper
def _closed_up(block, once, taken, gone, u):  # type: ignore[no-untyped-def]
    """The points of a block that are not gone, their number first, with a round more taken."""
    k, left = once.shape[0], 0
    for j in range(gone.shape[0]):
        if not gone[j]:
            taken[left] = taken[j] + 1
            for y in range(k if left < j else 0):
                block[y, left], block[k + y, left], once[y, left] = block[y, j], block[k + y, j], once[y, j]
            left += 1
    wide = padded(left, u)  # what stands in the spare columns are points, too
    if wide < block.shape[1]:
        block, once = block[:, :wide].copy(), once[:, :wide].copy()
    return left, block, once


@helper
def _away(kind, beta, means, u, atoms, own, highest, radius):  # type: ignore[no-untyped-def]
    """The points (m, k) that are not at an atom from the first, told before they are evaluated: of many starts most are."""
    (m, k), left = means.shape, np.empty(means.shape[0], np.bool_)
    for first in range(0, m, width_of(u)):
        block = block_of(means[first : first + width_of(u)], u)
        nothing, gone = np.zeros(block.shape[1], u.dtype), np.zeros(min(m - first, width_of(u)), np.bool_)
        link_block(kind, block[:k], block[k:], np.empty_like(nothing), np.empty_like(nothing), np.empty_like(nothing))
        _meets(beta, block, nothing, atoms, own, highest, radius, gone, by_hand(u.size))
        for j in range(gone.shape[0]):
            left[first + j] = not gone[j]
    return means[np.flatnonzero(left)]


@leaf
def _same(beta, mean, v, others, close):  # type: ignore[no-untyped-def]
    """The index of the first other point, rows of V and M, within a squared natural distance, or the number of them."""
    k = mean.shape[0]
    for i in range(others.shape[0]):
        if distance(beta, mean, v, others[i, k:], others[i, :k]) < close:
            return i
    return others.shape[0]


@helper
def _leap(kind, beta, u, ut, log_a, block, once, active, moved):  # type: ignore[no-untyped-def]
    """Two ascent steps of a block, the first of them made, then Aitken's extrapolation of the slowest mode of each point.

    It is taken where log c is higher there than the second step leads at least: as of any expectation-maximization, a step raises it
    by the divergence that it moves, which is about half the squared natural distance. What is reached goes into `active` (m, k), the
    block having spare columns after its m points, and into `moved` (m,) that distance of the second step.
    """
    k, m = once.shape
    points, v, tables, q = block[:k], block[k:], np.empty((3, k, m), u.dtype), np.empty((u.shape[0], m), u.dtype)
    numbers, both, near = np.zeros((6, m), u.dtype), np.empty((8, m), u.dtype), np.empty(m, np.bool_)
    once_v, twice, here, ahead = tables[0], tables[1], both[:4], both[4:]
    evaluated(kind, beta, u, log_a, once, once_v, q, here)
    stepped(ut, q, here[1], twice)
    values, higher = here[0], ahead[0]
    _extrapolated(kind, beta, points, v, once, tables, values, near, numbers)
    evaluated(kind, beta, u, log_a, points, v, q, ahead)
    stepped(ut, q, ahead[1], points)
    second = numbers[1]
    for j in range(active.shape[0]):
        moved[j] = second[j]
        better = near[j] and higher[j] >= values[j]  # not so where the extrapolation has left the domain
        for y in range(k):
            active[j, y] = points[y, j] if better else twice[y, j]


@leaf
def _extrapolated(kind, beta, points, v, once, tables, values, near, numbers):  # type: ignore[no-untyped-def]
    """The points that Aitken's extrapolation leads to from two steps, in their place; see `_leap`.

    Parameters
    ----------
    tables : (3, k, m)
        V after one step; where the second led; room for V there.
    values : (m,)
        Log c after one step; becomes what it is at least after the second.
    near : (m,) bool
        Becomes whether the extrapolation is not too long.
    numbers : (6, m)
        Zeros; the second becomes the squared natural distance of the second step.
    """
    k, m = points.shape
    once_v, twice, twice_v = tables[0], tables[1], tables[2]
    first, second, factor = numbers[0], numbers[1], numbers[2]
    link_block(kind, twice, twice_v, numbers[3], numbers[4], numbers[5])
    for y in range(k):
        for j in range(m):
            first[j] += (once[y, j] - points[y, j]) * (once_v[y, j] - v[y, j])
            second[j] += (twice[y, j] - once[y, j]) * (twice_v[y, j] - once_v[y, j])
    for j in range(m):
        before, last = max(beta * first[j], TINY), max(beta * second[j], 0.0)
        rate = min(np.sqrt(last / before), FASTEST)
        factor[j] = rate / (1.0 - rate)
        near[j] = factor[j] * factor[j] * last <= AHEAD
        second[j] = last
        values[j] += 0.5 * last
        factor[j] = factor[j] if near[j] else 0.0
    for y in range(k):
        for j in range(m):
            points[y, j] = twice[y, j] + factor[j] * (twice[y, j] - once[y, j])
