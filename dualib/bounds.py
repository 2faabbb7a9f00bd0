"""A rigorous upper bound on the maximum of log c over the simplex, by branch and bound, for the IB and the dual IB.

The function is ``log c(s) = log sum_x a_x exp(-beta d(x, s))`` with ``a_x = p(x) / Z(x)``; its maximum is the duality gap.

One form for both problems
    In the coordinates z = s (dual IB) or z = log s up to a constant (IB), with the features U of the distortion,

        ``f(z) = log c = Lambda(z) - beta Psi(z)``,  ``Lambda(z) = log sum_x exp(alpha_x + beta U_x . z)``,

    a convex function less a convex function. Dual IB: ``U = log p``, ``alpha = log a``, ``Psi(z) = sum z log z``. IB: ``U = p``,
    ``alpha = log a - beta sum_y p log p``, ``Psi(z) = log sum exp z``. A cell is a simplex with vertices v in z.

First bound: the chord (large cells)
    On a cell Lambda is below the linear function l through its values at the vertices, and Psi stays exact:
    ``f <= max over the cell of (l - beta Psi)``, a concave problem. For every point m of the simplex, -Psi is below its tangent
    at m and the maximum of a linear function is at a vertex, so

        dual IB ``f <= max_v Lambda(v) - beta v . log m``;  IB ``f <= max_v Lambda(v) - beta (v . m - sum m log m)``

    whatever m is; mirror ascent in the cell finds a good one. No state x is visited: Lambda(v) comes with the vertex, and
    every split makes one new vertex for two cells.

Second bound: a quadratic around a centre r (cells around atoms)
    With ``q_x`` the terms of c at r, shares of 1, ``mu = sum_x q_x beta U_x`` and ``z_x = (beta U_x - mu) . (z - r)``, whose q-mean
    is 0, ``Lambda(z) = Lambda(r) + mu . (z - r) + log sum_x q_x exp(z_x)``. As ``log(1 + u) <= u``, and
    ``phi(m) = (exp(m) - 1 - m) / m^2`` increases,

        ``log sum_x q_x exp(z_x) <= sum_x q_x phi(m_x) z_x^2``,  ``m_x = max_v z_x(v)``.

    For the concave part, dual IB: ``KL(s || r) = sum_y r_y t_y^2 psi(t_y)``, ``t = s / r - 1``, where
    ``psi(t) = ((1 + t) log(1 + t) - t) / t^2`` decreases: put the largest t_y of the cell. IB: with h the r-centred z - r,
    ``Psi(z) - Psi(r) - r . (z - r) = log sum_y r_y exp(h_y) = log(1 + u)``, ``u = sum_y r_y h_y^2 phi(h_y)``; put the least h_y of
    the cell into phi, and use ``log(1 + u) >= u log(1 + u_max) / u_max``, u being convex in z and so largest at a vertex.
    Hence ``f(z) <= f(r) + g . (z - r) + (z - r)' A (z - r)`` on the cell. In barycentric coordinates l >= 0, sum 1, the right side
    is ``sum_vw l_v l_w [g . (d_v + d_w) / 2 + d_v' A d_w]``, d = v - r: at most its largest bracket; and where the matrix
    ``d_v' A d_w`` is negative semidefinite (Cholesky), at most its tangent anywhere, so at most ``max_v g . d_v``. With an
    atom as r, where f is stationary, that discards every cell around it on which f is proved concave, whatever its size: without
    this, cells pile up where log c = 0 is touched. Centres are the given points, climbed to their local maxima, and further
    maxima met on the way; small cells try their own best point too.

Zeros, dual IB
    On the relative interior of a face F (a set of y) exactly the states whose support contains F have a term. Let c_F be the
    sum of these terms; it is continuous on the closed face, where c_F <= c. So ``max c = max over F of max c_F``; a face with
    the same states as a larger one is covered by it, and on every face searched all log p are finite. There are at most 15.

Zeros and boundaries, IB
    c is continuous and its maximum is a fixed point of the ascent, hence in the convex hull of the p_x, so that log(s_y / s_k)
    lies between its extremes over x: a box, cut into (k - 1)! simplices. Where zeros make it infinite it is cut at +-L:
    raising every s_y to exp(-L) times the largest coordinate raises every term, and normalising costs at most ``beta log(1 + k
    exp(-L))``, which is added (1% of `tol`). Atoms on a face are touched at z = -infinity, where no bound is tight, so: let e
    be the mass of s outside a face F, and pi_x that of p_x. Merging outcomes lowers KL, so states not on F have terms below
    ``R_x = a_x exp(-beta kl(pi_x || e))`` (kl binary), and the others sum to ``(1 - e)^beta c_F`` at the normalised part of s
    on F. If ``sum_x R_x <= exp(T) (1 - (1 - e)^beta)`` then ``c(s) <= max(max c_F, exp(T))``. The quotient of the two sides
    increases with e while ``beta (pi_x - e) >= 1 - e`` for all x (and beta >= 1), so checking one e proves the slab of all
    smaller ones; F is then searched by itself. T is what the maximum is known to reach.

Rounding
    Every value used carries a bound of its error: ``eps`` times a small multiple of the magnitudes summed (k + 4 operations
    per exponent, weighted by the shares q, which on a cell are at most ``q_x exp(m_x)``; n_x for the sums). A cell is
    discarded by its computed bound, and the error is added to what is reported as `upper`. Halving an edge is checked to be
    exact (the box's corners are dyadic), so that cells leave no gaps. The inputs are taken as exact, rows of p normalised.
    numpy's and the C library's exp and log are trusted to one or two units in the last place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dualib import bound_kernels as kernels
from dualib._validation import shown
from dualib.bound_kernels import Array
from dualib.jit import python_only

MAX_N_Y = 4
_DUAL, _IB = 0, 1
_NONE = np.empty((0, 1, 1))
TRIAL = 200  # cells looked at by interpreted code before it is compiled
_GRID = 4096.0  # the corners of the box are multiples of 1/4096, so that halving them stays exact in floating point


@dataclass(frozen=True)
class BoundResult:
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


def prove(
    log_a: npt.ArrayLike,
    py_x: npt.ArrayLike,
    beta: float,
    kind: Literal["ib", "dualib"],
    *,
    points: npt.ArrayLike | None = None,
    tol: float = 1e-9,
    lower: float = 0.0,
    max_cells: int = 400_000,
) -> BoundResult:
    """Bound the maximum over the simplex of ``log c(s) = log sum_x a_x exp(-beta d(x, s))`` from above, rigorously.

    Parameters
    ----------
    log_a : array_like, shape (n_x,)
        ``log a_x = log p(x) - log Z(x)``, nats; -inf leaves a state out.
    py_x : array_like, shape (n_x, n_y)
        Conditionals p(y|x), at most 4 columns; zeros are exact.
    beta : float
        Trade-off, > 0.
    kind : {"ib", "dualib"}
        ``d(x, s) = KL(p_x || s)`` or ``KL(s || p_x)``.
    points : array_like, shape (n_t, n_y), optional
        Points near which log c has its highest local maxima, such as the decoders of a solution. They only save time.
    tol : float
        Cells whose bound is at most ``max(lower, largest log c found) + tol`` are discarded, nats.
    lower : float
        A value that the maximum is known to reach, nats; 0 at a solution, whose atoms have c = 1.
    max_cells : int
        Cells after which to give up; the result is then not `proved`, its `upper` still a bound.

    Returns
    -------
    BoundResult

    Raises
    ------
    ValueError
        More than 4 columns, wrong shapes, negative or non-finite entries, or no finite `log_a`.
    """
    if not lower < np.inf:
        raise ValueError(f"lower must be below infinity and not NaN: {lower!r}")
    rows = Rows(py_x)
    a = np.asarray(log_a, dtype=np.float64)
    if a.shape != rows.p.shape[:1]:
        raise ValueError(f"log_a must have shape ({len(rows.p)},), one entry per row of py_x, not {a.shape}")
    if len(a) and not a.max() < np.inf:
        raise ValueError(f"log_a must not be NaN or +inf: {a[~(a < np.inf)][0]}")
    if not (len(a) and a.min() > -np.inf):
        live = a > -np.inf
        if not live.any():
            raise ValueError("log_a has no finite entry, so c(s) is 0 everywhere")
        a, rows = a[live], Rows(rows.p[live])
    starts = rows.p[:0] if points is None else _distributions("points", points, rows.n_y)
    if kind not in ("ib", "dualib"):
        raise ValueError(f"kind must be 'ib' or 'dualib', not {shown(kind)}")
    found = bound(a, rows, _positive("beta", beta), kind, starts, _positive("tol", tol), float(lower), max_cells)
    return BoundResult(found.upper, found.best_point(), found.best, found.cells, found.proved)


def bound(
    log_a: Array,
    rows: Rows,
    beta: float,
    kind: Literal["ib", "dualib"],
    points: Array,
    tol: float,
    lower: float,
    max_cells: int,
) -> Bound:
    """`prove` of arguments that need no check: finite log a, `points` whose rows sum to 1."""
    found = Bound(log_a, rows, points, beta, tol, lower, max_cells)
    (found.ib if kind == "ib" else found.dual)()
    found.upper = max(found.upper, found.best, found.lower)
    return found


def _positive(name: str, value: float) -> float:
    number = float(value)
    if not 0.0 < number < np.inf:
        raise ValueError(f"{name} must be finite and > 0, not {shown(value)}")
    return number


def _distributions(name: str, values: npt.ArrayLike, n_y: int) -> Array:
    """Rows that sum to 1, of rows of non-negative numbers."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != n_y:
        raise ValueError(f"{name} must have shape (n_t, {n_y}), not {array.shape}")
    sums = array.sum(axis=1)
    if not (array.size == 0 or (array.min() >= 0.0 and sums.min() > 0.0 and sums.max() < np.inf)):
        bad = ~((array >= 0.0).all(axis=1) & (sums > 0.0) & np.isfinite(sums))
        raise ValueError(f"{name} must have rows of non-negative numbers that do not all vanish: {array[bad][0]}")
    return np.asarray(array / sums[:, None])


class Rows:
    """Conditionals p(y|x), with what branch and bound needs of them whatever log a and beta are; for many bounds on one problem.

    Parameters
    ----------
    py_x : array_like, shape (n_x, n_y)

    Raises
    ------
    ValueError
        More than 4 columns, a wrong shape, negative or non-finite entries.
    """

    def __init__(self, py_x: npt.ArrayLike) -> None:
        array = np.asarray(py_x, dtype=np.float64)
        if array.ndim != 2 or not 1 <= array.shape[1] <= MAX_N_Y:
            raise ValueError(f"py_x must have shape (n_x, n_y) with n_y from 1 to {MAX_N_Y}, not {array.shape}")
        self.n_y = array.shape[1]
        self.p = _distributions("py_x", array, self.n_y)
        self.support = _as_bits(self.p > 0.0)
        self._within: dict[int, _Within] = {}

    @functools.cached_property
    def everywhere(self) -> int:
        """The face of all supports together."""
        return int(np.bitwise_or.reduce(self.support))

    @functools.cached_property
    def closed(self) -> tuple[npt.NDArray[np.int64], list[tuple[int, Any, npt.NDArray[np.intp], tuple[Array, Array, Array]]]]:
        """For each face the largest one with the same states, and those: face, states, columns; offset, log p and root cell."""
        largest = np.zeros(1 << self.n_y, dtype=np.int64)  # 0: no state
        closed = []
        for face in range(1, 1 << self.n_y):
            members = (self.support & face) == face
            if members.any():
                largest[face] = np.bitwise_and.reduce(self.support[members])
        for face in dict.fromkeys(largest[largest > 0].tolist()):
            members, columns = (self.support & face) == face, _columns(face, self.n_y)
            log_p = np.ascontiguousarray(np.log(self.p[np.ix_(members, columns)]))
            closed.append((face, members, columns, (np.zeros(len(log_p)), log_p, np.eye(len(columns))[None])))
        return largest, closed

    def interior(self, kind: Literal["ib", "dualib"]) -> tuple[Any, ...]:
        """Where no entry is 0: columns, offset, features and root cells as of the kernel, and the largest log ratio of the roots."""
        if kind == "ib":
            within = self.within(self.everywhere)
            return within.columns, within.negentropy, within.p, within.roots, within.widest if len(within.roots) else math.inf
        return np.arange(self.n_y), np.zeros(len(self.p)), np.log(self.p), np.eye(self.n_y)[None], 0.0

    def within(self, face: int) -> _Within:
        """The rows whose support is within a face."""
        if face not in self._within:
            self._within[face] = _Within.of(self, face)
        return self._within[face]


@dataclass(frozen=True)
class _Within:
    """The rows with their support in a face: which they are, the face they fill, and their coordinates for the IB.

    `p` are their columns on that face, the one that is largest at its least put last; `low` and `high` the extremes over the rows of
    ``log(p_y / p_k)``, k the last, and `roots` the cells of that box.
    """

    members: npt.NDArray[np.bool_]
    face: int
    one_support: bool
    columns: npt.NDArray[np.intp]
    p: Array
    negentropy: Array
    low: Array
    high: Array
    roots: Array

    @classmethod
    def of(cls, rows: Rows, face: int) -> _Within:
        members = (rows.support & ~face) == 0
        face = int(np.bitwise_or.reduce(rows.support[members]))
        p, columns = rows.p[members], _columns(face, rows.n_y)
        columns = np.append(np.delete(columns, pivot := int(np.argmax(p[:, columns].min(axis=0)))), columns[pivot])
        p = p[:, columns]
        negentropy = np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=1)
        low, high = np.empty(p.shape[1] - 1), np.empty(p.shape[1] - 1)
        with np.errstate(divide="ignore"):
            for y in range(len(low)):
                both = p[:, y] + p[:, -1] > 0.0
                ratio = np.log(p[both, y]) - np.log(p[both, -1])
                low[y], high[y] = ratio.min(), ratio.max()
        one_support = bool((rows.support[members] == face).all())
        roots = _kuhn(*_ratio_box(low, high, np.inf, 1.0)[:2]) if np.isfinite(low).all() and np.isfinite(high).all() else _NONE
        return cls(members, face, one_support, columns, np.ascontiguousarray(p), negentropy, low, high, roots)

    @functools.cached_property
    def widest(self) -> float:
        """The largest ratio in the box, its logarithm."""
        return float(max(self.high.max(initial=0.0), -self.low.min(initial=0.0)))

    def box(self, longest: float, beta: float) -> tuple[Array, float]:
        """The root cells, cut at ratios of exp(longest), and what that may cost log c."""
        if len(self.roots) and self.widest <= longest:
            return self.roots, 0.0
        low, high, loss = _ratio_box(self.low, self.high, longest, beta)
        return _kuhn(low, high), loss


class Bound:
    """The faces of one problem, and what has been found on those searched so far: see `BoundResult`."""

    def __init__(self, log_a: Array, rows: Rows, points: Array, beta: float, tol: float, lower: float, max_cells: int) -> None:
        self.log_a, self.rows, self.py_x, self.support, self.n_y = log_a, rows, rows.p, rows.support, rows.n_y
        self.beta, self.tol, self.max_cells = beta, tol, max_cells
        largest = int(log_a.argmax())  # log c(p_x) >= log a_x, for d = 0 there
        self.lower = max(lower, float(log_a[largest]))
        self.points = np.concatenate([points, self.py_x[largest : largest + 1]])
        self.upper, self.best, self.cells, self.proved = -np.inf, -np.inf, 0, True
        self._highest: tuple[int, npt.NDArray[np.intp], Array] | None = None  # kind, columns, z

    def dual(self) -> None:
        """Search every face that is the largest one for its set of states."""
        largest, closed = self.rows.closed
        if len(closed) == 1 and closed[0][1].all():  # no zeros
            self._run(_DUAL, closed[0][2], self.log_a, *closed[0][3], self.points)
            return
        owner = largest[_as_bits(self.points > 0.0)]
        for face, members, columns, cells in closed:
            self._run(_DUAL, columns, self.log_a[members], *cells, self.points[owner == face])

    def ib(self) -> None:
        """Search the face of all supports together, and those whose slabs it leaves out."""
        self._faces: set[int] = set()
        self._ib_face(self.rows.everywhere)

    def _ib_face(self, face: int) -> None:
        within = self.rows.within(face)
        face, members, columns, p = within.face, within.members, within.columns, within.p
        if face in self._faces:
            return
        self._faces.add(face)
        slabs = []
        for part in range(1, face) if not within.one_support else ():
            if part & ~face == 0 and (inner := (self.support & ~part) == 0).any():
                outer = members & ~inner
                outside = self.py_x[outer][:, _columns(face & ~part, self.n_y)].sum(axis=1)
                ratio = _slab(self.log_a[outer], outside, self.beta, self.lower)
                if ratio > 0.0:
                    slabs.append((face & ~part, ratio))
                    self._ib_face(part)
        log_a = self.log_a if len(p) == len(members) else self.log_a[members]
        longest = max(math.log(100.0 * self.beta * len(columns) / self.tol), 4.0)
        roots, loss = within.box(longest, self.beta)
        points = self.points if face == (1 << self.n_y) - 1 else self.points[(_as_bits(self.points > 0.0) & ~face) == 0]
        cut = [(np.isin(columns, _columns(mask, self.n_y)).astype(np.float64), ratio) for mask, ratio in slabs]
        self._run(_IB, columns, log_a, within.negentropy, p, roots, points, longest, cut, loss)

    def _run(
        self,
        kind: int,
        columns: npt.NDArray[np.intp],
        log_a: Array,
        offset: Array,
        features: Array,
        roots: Array,
        points: Array,
        longest: float = 0.0,
        slabs: Sequence[tuple[Array, float]] = (),
        loss: float = 0.0,
    ) -> None:
        """Branch and bound over the root cells of one face; `loss` is added to the bound."""
        k = len(columns)
        out, masks, ratios = np.empty(3 + k), np.empty((len(slabs), k)), np.empty(len(slabs))
        for i, slab in enumerate(slabs):
            masks[i], ratios[i] = slab
        arrays = (log_a, offset, features, columns, self.beta, kind, roots, points, longest, masks, ratios)
        problem = (*arrays, max(self.lower, self.best), kernels.INSIDE * self.tol)
        status = _branch_and_bound(problem, self.max_cells - self.cells, out)
        self.upper = max(self.upper, float(out[0]) + loss)
        self.cells += int(out[2])
        self.proved = self.proved and status == kernels.PROVED
        if out[1] > self.best:
            self.best = float(out[1])
            self._highest = kind, columns, out[3:]

    def best_point(self) -> Array:
        """Where the largest log c was found (n_y,)."""
        if self._highest is None:
            return np.full(self.n_y, 1.0 / self.n_y)
        kind, columns, z = self._highest
        s = np.exp(z - z.max()) if kind == _IB else z
        point = np.zeros(self.n_y)
        point[columns] = s / s.sum()
        return point


def _branch_and_bound(problem: tuple[Any, ...], max_cells: int, out: Array) -> int:
    """The kernel; where it would run as Python, no more than `TRIAL` cells of it."""
    if max_cells > TRIAL and kernels.branch_and_bound.interprets(*problem) and not python_only():
        status = kernels.branch_and_bound(*problem, TRIAL, out)
        if status != kernels.OUT_OF_CELLS:
            return status
        kernels.branch_and_bound.compile()
    return kernels.branch_and_bound(*problem, max_cells, out)


def _as_bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.asarray(mask @ (1 << np.arange(mask.shape[1])), dtype=np.int64)


def _columns(face: int, n_y: int) -> npt.NDArray[np.intp]:
    return np.flatnonzero((face >> np.arange(n_y)) & 1)


def _slab(log_a: Array, outside: Array, beta: float, lower: float) -> float:
    """``eps / (1 - eps)`` for the widest slab {mass outside the face <= eps} that the face bounds; 0 where there is none.

    `log_a` and `outside` (the mass of p_x outside the face) are of the states that are not on the face.
    """
    room = beta * outside.min() - 1.0
    if beta <= 1.0 or room <= 1e-3:
        return 0.0
    eps = min(0.5, 0.999 * room / (beta - 1.0))
    while eps > 1e-12:
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.where(outside < 1.0, (1.0 - outside) * (np.log1p(-outside) - np.log1p(-eps)), 0.0)
        divergence = outside * np.log(outside / eps) + rest
        rest_of_c = np.logaddexp.reduce(log_a - beta * divergence)
        if rest_of_c <= lower + np.log(-np.expm1(beta * np.log1p(-eps))) - 1e-6:
            return float(eps / (1.0 - eps) * (1.0 - 1e-9))
        eps *= 0.7
    return 0.0


def _ratio_box(low: Array, high: Array, longest: float, beta: float) -> tuple[Array, Array, float]:
    """Bounds (k - 1,) of ``log(s_y / s_k)`` that hold at the maximum, and what cutting them at +-longest may cost log c."""
    beyond = bool((high > longest).any())
    cut = beyond or bool((low < -longest).any())
    if beyond:
        low = np.minimum(low, 0.0)
    low = np.maximum(low, -longest)
    high = np.maximum(np.minimum(high, longest), low)
    margin = 1e-12 * (1.0 + np.maximum(np.abs(low), np.abs(high))) * _GRID
    loss = beta * math.log1p((len(low) + 1) * math.exp(-longest)) if cut else 0.0
    return np.floor(low * _GRID - margin) / _GRID, np.ceil(high * _GRID + margin) / _GRID, float(loss)


def _kuhn(low: Array, high: Array) -> Array:
    """Triangulate a box: (k - 1)! simplices (m, k, k), the last coordinate 0 (Kuhn's triangulation)."""
    k = len(low) + 1
    cells = np.zeros((0, k, k)) if k > 1 else np.zeros((1, 1, 1))
    for order in permutations(range(k - 1)) if k > 1 else ():
        cell = np.zeros((1, k, k))
        cell[0, :, :-1] = low
        for i, y in enumerate(order):
            cell[0, i + 1 :, y] = high[y]
        cells = np.concatenate([cells, cell])
    return cells
