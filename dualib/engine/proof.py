"""The proof: a rigorous upper bound on the maximum of log c over the simplex, by branch and bound in batches of cells.

``log c(s) = log sum_x a_x exp(-beta d(x, s))`` with ``a_x = p(x) / Z(x)``; its maximum is the duality gap. Where to look, and what
zeros of p(y|x) ask for, is in `dualib.engine.root_cells`; the bounds on a cell, and how their rounding is counted, are in
`dualib.engine.compiled_cells`.

A round takes a batch of cells, of many betas at once; discards those whose bound is at most the largest log c known plus the
tolerance; and halves the others. The error of a bound is added to what is reported as `upper`. Cells are kept in barycentric
coordinates of the root cell, in which halving an edge is exact (it is checked), so that they leave no gaps. The inputs are taken
as exact, rows of p normalised. numpy's and the C library's exp and log are trusted to one or two units in the last place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dualib.engine.loading import compiled_cells
from dualib.engine.root_cells import Array, Face, Indices, Mask, Table, slab

_BATCH = 1024  # cells
_SMALL = 4.0  # 4 beta times the squared radius of a cell (of sqrt s) below which the nearest atom is looked for
_NEAR = 4.0  # ... which is near if its squared distance is less than so many times the squared radius
_NOTHING = 1e-14  # coordinates that are rounding, by the magnitudes they are summed from
_SLIVER = 1e-10  # allowance for rounding, by the size of the terms, that is none of theirs
_INSIDE = 0.98  # part of a tolerance for the bounds, the rest for their rounding


class Terms(NamedTuple):
    """``c`` of many owners (betas) on one face.

    Attributes
    ----------
    alpha : (m, n_x), beta : (m,)
        For each owner ``log c(s) = log sum_x exp(alpha_x + beta U_x . h(s)) - beta psi(s)``, h and psi as in
        `dualib.engine.compiled_cells`.
    size : (m,)
        Largest magnitude of what an alpha was summed from.
    features : (n_y, n_x)
        U, transposed.
    is_ib : bool
    """

    alpha: Array
    beta: Array
    size: Array
    features: Array
    is_ib: bool


@dataclass(frozen=True)
class Proof:
    """What branch and bound knows of the maximum of log c over the simplex over Y.

    Attributes
    ----------
    upper : float
        log c is nowhere larger, nats; rounding included. Holds whether or not `proved`; inf where nothing is known.
    best_point : ndarray, shape (n_y,)
        Where the largest log c was found.
    best_value : float
        log c there, nats.
    n_cells : int
        Cells looked at.
    proved : bool
        Whether every cell could be discarded, so that ``upper`` is within `tol` (and rounding) of ``max(lower, best_value)``.
    """

    upper: float
    best_point: Array
    best_value: float
    n_cells: int
    proved: bool


def prove_many(
    table: Table, log_a: Array, beta: Array, points: Sequence[Array], tol: float, lower: Array, max_cells: int = 400_000
) -> list[Proof]:
    """Bound the maximum of log c over the simplex from above, rigorously, for many betas of one table together.

    Parameters
    ----------
    table : Table
    log_a : (m, n_x), beta : (m,)
        ``log a_x = log p(x) - log Z(x)``, finite, nats; and trade-offs.
    points : one (n_t, n_y) for each beta
        Where log c is high, such as the decoders of a solution. They only save time.
    tol : float
        Cells whose bound is at most ``max(lower, largest log c found) + tol`` are discarded, nats.
    lower : (m,)
        What the maxima are known to reach, nats; 0 at a solution, whose atoms have c = 1.
    max_cells : int
        Cells of a beta after which to give up; the result is then not `proved`, its `upper` still a bound.
    """
    search = _Search(table, log_a, beta, points, tol, lower, max_cells)
    if table.kind == "ib":
        search.run_with_slabs(table.closed[0], np.arange(len(beta)))
    else:
        for columns in table.closed:
            search.run(table.face(columns), np.arange(len(beta)))
    return search.proofs()


class _Search:
    """The owners (betas) of one table, and what has been found for each."""

    def __init__(
        self, table: Table, log_a: Array, beta: Array, points: Sequence[Array], tol: float, lower: Array, max_cells: int
    ) -> None:
        self.table, self.log_a, self.beta, self.tol, self.max_cells = table, log_a, beta, tol, max_cells
        n = len(beta)
        largest = log_a.argmax(axis=1)  # log c(p_x) >= log a_x, for d = 0 there
        self.lower = np.maximum(lower, log_a[np.arange(n), largest])
        self.points = np.concatenate([*points, table.py_x[largest]])
        self.point_owner = np.concatenate([np.repeat(np.arange(n), [len(each) for each in points]), np.arange(n)])
        order = np.argsort(self.point_owner, kind="stable")
        self.points, self.point_owner = self.points[order], self.point_owner[order]
        self.upper, self.best = np.full(n, -np.inf), np.full(n, -np.inf)
        self.best_point = np.full((n, table.py_x.shape[1]), 1.0 / table.py_x.shape[1])
        self.cells, self.proved = np.zeros(n, dtype=np.intp), np.ones(n, dtype=bool)
        self._searched: dict[bytes, Mask] = {}

    def proofs(self) -> list[Proof]:
        """One for each owner."""
        upper = np.maximum(self.upper, np.maximum(self.best, self.lower))
        rows = zip(upper, self.best_point, self.best, self.cells, self.proved, strict=True)
        return [Proof(float(u), point, float(value), int(n), bool(proved)) for u, point, value, n, proved in rows]

    def run_with_slabs(self, columns: Mask, owners: Indices) -> None:
        """Search a face for the IB, those first whose slabs it may leave out."""
        searched = self._searched.setdefault(columns.tobytes(), np.zeros(len(self.beta), dtype=bool))
        owners = owners[~searched[owners]]
        searched[owners] = True
        if len(owners) == 0:
            return
        face, slabs = self.table.face(columns), []
        for part in self.table.closed[1:]:
            if (part <= columns).all() and (part < columns).any():
                outer = face.members & self.table.support[:, ~part].any(axis=1)
                outside = self.table.py_x[outer][:, ~part].sum(axis=1)
                mass = np.array([slab(self.log_a[i, outer], outside, self.beta[i], self.lower[i]) for i in owners])
                if mass.any():
                    slabs.append((~part[face.columns], mass))
                    self.run_with_slabs(part, owners[mass > 0.0])
        self.run(face, owners, slabs)

    def run(self, face: Face, owners: Indices, slabs: Sequence[tuple[Mask, Array]] = ()) -> None:
        """Branch and bound on one face, of all owners together; slabs as masks of its columns with the mass for each owner."""
        beta, log_a = self.beta[owners], self.log_a[np.ix_(owners, face.members)]
        offset = beta[:, None] * face.offset
        size = (np.abs(log_a) + np.abs(offset)).max(axis=1)
        terms = Terms(log_a - offset, beta, size, face.features, self.table.kind == "ib")
        atoms = self._start(face, terms, owners)
        k, n = len(face.vertices), len(owners)
        spent = np.zeros(n, dtype=bool)
        stack = [(np.repeat(np.eye(k)[None], n, axis=0), np.arange(n), np.full(n, np.inf))]
        while stack:
            now, mine, inherited = _taken(stack)
            spent |= self.cells[owners] + np.bincount(mine, minlength=n) > self.max_cells
            keep = ~spent[mine]
            self._give_up(owners[mine[~keep]], inherited[~keep])
            now, mine, inherited = now[keep], mine[keep], inherited[keep]
            np.add.at(self.cells, owners[mine], 1)
            corners = now @ face.vertices
            empty = (corners <= 0.0).all(axis=1)  # the boundary belongs to cells inside, too
            keep = ~(np.any(empty, axis=1) | _within(corners, slabs, mine))
            now, mine, inherited, corners = now[keep], mine[keep], inherited[keep], corners[keep]
            if len(now) == 0:
                continue
            upper, lowest, edge = self._bounded(face, terms, owners, atoms, now, corners, mine)
            done = upper <= self._limit(owners[mine])
            np.maximum.at(self.upper, owners[mine[done]], lowest[done])
            rest = np.flatnonzero(~done)
            lowest = np.fmin(lowest, inherited)
            halves, exact = _halved(now[rest], edge[rest])
            self._give_up(owners[mine[rest[~exact]]], lowest[rest[~exact]])
            rest = rest[exact]
            if len(rest):
                stack += [(half, mine[rest], lowest[rest]) for half in halves]

    def _limit(self, owner: Indices) -> Array:
        """Bounds up to which cells are discarded."""
        return np.asarray(np.maximum(self.lower, self.best)[owner] + _INSIDE * self.tol)

    def _bounded(
        self, face: Face, terms: Terms, owners: Indices, atoms: Array, cells: Array, corners: Array, owner: Indices
    ) -> tuple[Array, Array, Indices]:
        """Bounds of cells, around an atom where one is near, else around the centroid; those with rounding; the edges to halve."""
        n = len(cells)
        extent = cells @ np.abs(face.vertices)
        if terms.is_ib:
            corners, extent = _raised(corners, extent)
        centre = np.maximum(np.maximum(corners, 0.0).mean(axis=1), 1e-300)
        upper, error, value, edge = np.full(n, np.inf), np.empty(n), np.empty(n), np.zeros(n, dtype=np.intp)
        near, atom = _near(atoms, corners, centre, owner, terms.beta)
        limit = self._limit(owners[owner])
        found = (upper[near], error[near], value[near], edge[near])
        bound_cells = compiled_cells().bound_cells
        bound_cells(*terms, corners[near], extent[near], atom, owner[near], limit[near], *found)
        upper[near], error[near] = found[:2]
        open_ = np.flatnonzero(upper > limit)
        found = (upper[open_], error[open_], value[open_], edge[open_])
        bound_cells(*terms, corners[open_], extent[open_], centre[open_], owner[open_], limit[open_], *found)
        upper[open_], error[open_], value[open_], edge[open_] = found
        # of a cell outside the simplex but for a sliver, whose rounding is divided by what is left: it is halved, whatever its bound
        upper[error > _SLIVER * (1.0 + terms.size[owner])] = np.inf
        self._record(face, owners[owner[open_]], centre[open_], value[open_], terms.beta[owner[open_]])
        return upper, upper + error, edge

    def _start(self, face: Face, terms: Terms, owners: Indices) -> Array:
        """The given points that lie inside the face, (m, n_t, n_y), inf where an owner has fewer."""
        support = self.points > 0.0
        outside = np.ones(support.shape[1], dtype=bool)
        outside[face.columns] = False
        within = np.isin(self.point_owner, owners) & ~support[:, outside].any(axis=1)
        whole: Mask = np.asarray(support[:, face.columns].all(axis=1))
        points, owner, whole = self.points[within][:, face.columns], self.point_owner[within], whole[within]
        if not terms.is_ib:
            points, owner, whole = points[whole], owner[whole], whole[whole]
        points, mine = np.maximum(points, 1e-300), np.searchsorted(owners, owner)  # c of the IB is continuous
        self._record(face, owner, points, log_c(terms, points, mine), terms.beta[mine])
        points, mine = points[whole], mine[whole]
        rank = np.arange(len(mine)) - np.searchsorted(mine, mine)
        atoms = np.full((len(owners), rank.max(initial=0) + 1, len(face.columns)), np.inf)
        atoms[mine, rank] = points
        return atoms

    def _record(self, face: Face, owner: Indices, points: Array, value: Array, beta: Array) -> None:
        """Keep the largest log c of each owner, of points that may not sum to 1."""
        sums = points.sum(axis=1)
        value = value - beta * np.log(sums) if self.table.kind == "ib" else value
        for i in np.flatnonzero(value > self.best[owner]):
            if value[i] > self.best[owner[i]]:
                self.best[owner[i]] = value[i]
                self.best_point[owner[i]] = 0.0
                self.best_point[owner[i], face.columns] = points[i] / sums[i]

    def _give_up(self, owner: Indices, bound: Array) -> None:
        """Leave cells of these owners with the bounds they have."""
        np.maximum.at(self.upper, owner, bound)
        self.proved[owner] = False


def _raised(corners: Array, extent: Array) -> tuple[Array, Array]:
    """The corners of cells, with coordinates that are nothing but rounding at all of them raised by that; c rises with each."""
    highest, rounding = corners.max(axis=1), _NOTHING * extent.max(axis=1)
    nothing, raised = highest <= rounding, np.maximum(highest, 0.0) + rounding
    corners = np.where(nothing[:, None], raised[:, None], corners)
    return corners, np.where(nothing[:, None], corners, extent)


def _near(atoms: Array, corners: Array, centre: Array, owner: Indices, beta: Array) -> tuple[Indices, Array]:
    """The cells that lie near an atom of their owner, compared with their size, and these atoms."""
    middle = np.sqrt(centre)
    size = np.square(np.sqrt(np.maximum(corners, 0.0)) - middle[:, None]).sum(axis=2).max(axis=1)
    small = np.flatnonzero(4.0 * beta[owner] * size < _SMALL)
    apart = np.square(np.sqrt(atoms)[owner[small]] - middle[small, None]).sum(axis=2)
    nearest = np.argmin(apart, axis=1)
    close = apart[np.arange(len(small)), nearest] < _NEAR * size[small]
    return small[close], atoms[owner[small[close]], nearest[close]]


def _within(corners: Array, slabs: Sequence[tuple[Mask, Array]], owner: Indices) -> Mask:
    """Whether some slab {mass on its columns <= its share of all} holds the whole cell."""
    inside = np.zeros(len(corners), dtype=bool)
    for columns, mass in slabs:
        outside, every = corners[:, :, columns].sum(axis=2), corners.sum(axis=2)
        inside |= (outside <= mass[owner, None] * every).all(axis=1)
    return inside


def _taken(stack: list[tuple[Array, Indices, Array]]) -> tuple[Array, Indices, Array]:
    """The last cells of a stack of parts, up to `_BATCH`, and their owners and bounds; what is left of a part goes back."""
    parts, count = [], 0
    while stack and count < _BATCH:
        parts.append(stack.pop())
        count += len(parts[-1][0])
    cells, owner, bound = (np.concatenate(columns) for columns in zip(*parts[::-1], strict=True))
    if count > _BATCH:
        stack.append((cells[:-_BATCH], owner[:-_BATCH], bound[:-_BATCH]))
    return cells[-_BATCH:], owner[-_BATCH:], bound[-_BATCH:]


def _halved(cells: Array, edge: Indices) -> tuple[tuple[Array, Array], Mask]:
    """Both halves of the cells whose edge ``k v + w`` has a middle that is exact in floating point, and which these are."""
    k = cells.shape[1]
    rows, (v, w) = np.arange(len(cells)), divmod(edge, k)
    one, other = cells[rows, v], cells[rows, w]
    total = one + other
    part = total - one
    exact = (((one - (total - part)) + (other - part) == 0.0) & (0.5 * total * 2.0 == total)).all(axis=1) & (v != w)
    rows = np.arange(int(exact.sum()))
    first, second, middle = cells[exact], cells[exact], 0.5 * total[exact]
    first[rows, v[exact]] = middle
    second[rows, w[exact]] = middle
    return (first, second), exact


def log_c(terms: Terms, points: Array, owner: Indices) -> Array:
    """Log c (b,) at points (b, n_y) > 0."""
    beta, logs = terms.beta[owner], np.log(points)
    exponents = (beta[:, None] * (logs if terms.is_ib else points)) @ terms.features + terms.alpha[owner]
    top = exponents.max(axis=1)
    value = np.asarray(top + np.log(np.exp(exponents - top[:, None]).sum(axis=1)))
    return value if terms.is_ib else value - beta * (points * logs).sum(axis=1)
