"""Where c is to be searched: the faces of the simplex over Y, and a root cell for each, for the IB and the dual IB.

``log c(s) = log sum_x a_x exp(-beta d(x, s))``, with ``d = KL(p_x || s)`` (IB) or ``KL(s || p_x)`` (dual IB).

Root cells, dual IB
    The simplex over Y, of at most 4 corners. On the relative interior of a face F (a set of y) exactly the states whose support
    contains F have a term. Let c_F be the sum of these; it is continuous on the closed face, where c_F <= c. So
    ``max c = max over F of max c_F``; a face with the same states as a larger one is covered by it, and on every face searched
    all log p are finite.

Root cells, IB
    c is continuous and its maximum is a fixed point of the ascent, hence in the convex hull of the p_x. As
    ``exp(-beta d) = const prod_y s_y^(beta p(y|x))`` rises with every s_y, points that lie above those of the hull will do: a
    simplex with vertices F_v such that ``p_x <= sum_v m_xv F_v`` with barycentric m. It is one of three: the p_x themselves, if
    they are at most 4 and no more than the y; one around the p_x in their flat, if at most 4 of them span that; the smallest
    simplex ``{s_y >= min_x p(y|x)}``, if there are at most 4 y. What rounding or a deviation from the flat takes away is
    measured, and added to the vertices. Some of these may lie outside the simplex over Y; c is bounded on the part inside.

Zeros, IB
    log c falls linearly from an atom on a face into the inside, where log s is not finite, so that no quadratic form holds: such
    faces are searched by themselves. Let e be the mass of s outside a face F, and o_x that of p_x. Merging outcomes lowers KL, so
    states not on F have terms below ``R_x = a_x exp(-beta kl(o_x || e))`` (kl binary), and the others sum to
    ``(1 - e)^beta c_F`` at the normalised part of s on F. If ``sum_x R_x <= exp(T) (1 - (1 - e)^beta)`` then
    ``c(s) <= max(max c_F, exp(T))``. The quotient of the two sides increases with e while ``beta (o_x - e) >= 1 - e`` for all x
    (and beta >= 1), so checking one e proves the slab of all smaller ones. T is what the maximum is known to reach.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

MOST_VERTICES = 4  # of a root cell; from 5 on the cells are too many
_MOST_FACES = 64  # unions of supports that are looked at for slabs
_EPS = float(np.finfo(np.float64).eps)
_FLAT = 1e-13  # largest deviation from a flat
Kind = Literal["ib", "dualib"]
Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def provable(py_x: npt.ArrayLike, kind: Kind) -> bool:
    """Whether `prove` applies.

    At most four y; for the IB also any number of y with at most four x, or with all p(y|x) in a flat of dimension three.

    Parameters
    ----------
    py_x : array_like, shape (n_x, n_y)
        Conditionals p(y|x).
    kind : {"ib", "dualib"}
    """
    p = np.asarray(py_x, dtype=np.float64)
    return p.shape[1] <= MOST_VERTICES or (kind == "ib" and _hull(p[:, (p > 0.0).any(axis=0)]) is not None)


class Table:
    """Conditionals p(y|x) and one of the two problems, with what proofs need whatever log a and beta are.

    Parameters
    ----------
    py_x : ndarray, shape (n_x, n_y)
        Rows that sum to 1; zeros are exact. The table must be `provable`.
    kind : {"ib", "dualib"}
    """

    def __init__(self, py_x: Array, kind: Kind) -> None:
        self.py_x, self.kind, self.support = py_x, kind, py_x > 0.0
        self._faces: dict[bytes, Face] = {}

    def face(self, columns: Mask) -> Face:
        """What can be searched on a face, given as a mask of y."""
        key = columns.tobytes()
        if key not in self._faces:
            self._faces[key] = Face.of(self, columns)
        return self._faces[key]

    @functools.cached_property
    def closed(self) -> list[Mask]:
        """Dual IB: of the faces with the same states the largest, each once. IB: the unions of supports, the whole one first."""
        n_y = self.support.shape[1]
        if self.kind == "ib":
            unions: dict[bytes, Mask] = {row.tobytes(): row for row in np.unique(self.support, axis=0)}
            new = list(unions.values())
            while new and len(unions) < _MOST_FACES:
                joined = {row.tobytes(): row for face in new for row in self.support | face}
                new = [row for key, row in joined.items() if key not in unions]
                unions.update((row.tobytes(), row) for row in new)
            return [np.asarray(self.support.any(axis=0)), *unions.values()]
        closed: dict[bytes, Mask] = {}
        for bits in range(1, 1 << n_y):
            members = self.support[:, (bits >> np.arange(n_y)) & 1 == 1].all(axis=1)
            if members.any():
                largest = np.asarray(self.support[members].all(axis=0))
                closed[largest.tobytes()] = largest
        return list(closed.values())


@dataclass(frozen=True)
class Face:
    """States (a mask) and columns of a face, their features (n_y, n), the offsets a(x) of d, and the vertices of the root cell."""

    columns: Indices
    members: Mask
    features: Array
    offset: Array
    vertices: Array

    @classmethod
    def of(cls, table: Table, face: Mask) -> Face:
        """The face given as a mask of y."""
        columns = np.flatnonzero(face)
        if table.kind == "dualib":
            members = np.asarray(table.support[:, columns].all(axis=1))
            logs = np.log(table.py_x[np.ix_(members, columns)])
            return cls(columns, members, np.ascontiguousarray(logs.T), np.zeros(len(logs)), np.eye(len(columns)))
        members = np.asarray(~table.support[:, ~face].any(axis=1))
        p = table.py_x[np.ix_(members, columns)]
        offset = np.sum(p * np.log(np.where(p > 0.0, p, 1.0)), axis=1)
        vertices = _hull(p)
        assert vertices is not None  # a part of a provable table is provable
        return cls(columns, members, np.ascontiguousarray(p.T), offset, vertices)


def _hull(p: Array) -> Array | None:
    """At most 4 points (k, n_y) such that each row of p is at most a barycentric combination of them; None where there are none."""
    n, n_y = p.shape
    if n <= min(n_y, MOST_VERTICES):
        return p
    base = _spanning(p)
    if base is None and n_y > MOST_VERTICES:
        return p if n <= MOST_VERTICES else None
    if base is None or len(base) >= n_y:
        base = np.eye(n_y)
    weights = np.linalg.lstsq(np.vstack([base.T, np.ones(len(base))]), np.column_stack([p, np.ones(n)]).T, rcond=None)[0].T
    weights = p if len(base) == n_y and (base == np.eye(n_y)).all() else weights
    least = weights.min(axis=0)
    room = 1.0 - least.sum()
    if len(base) == 1 or not room > _FLAT:  # the rows are all one point
        return p.max(axis=0, keepdims=True)
    vertices = (least + room * np.eye(len(base))) @ base
    shares = np.maximum(weights - least, 0.0)
    shares /= shares.sum(axis=1, keepdims=True)
    lost = (p - shares @ vertices + _EPS * (2 * len(base) + 6) * (shares @ np.abs(vertices) + p)).max(axis=0)
    return np.asarray(vertices + np.where(p.any(axis=0), np.maximum(lost, 0.0), 0.0))


def _spanning(p: Array) -> Array | None:
    """At most 4 rows whose flat contains all others: each the farthest from the flat of those before."""
    chosen = [int(np.argmax(np.square(p - p.mean(axis=0)).sum(axis=1)))]
    rest = p - p[chosen[0]]
    while np.abs(rest).max() > _FLAT:
        if len(chosen) == min(MOST_VERTICES, len(p)):
            return None
        far = int(np.argmax(np.square(rest).sum(axis=1)))
        direction = rest[far] / np.linalg.norm(rest[far])
        chosen.append(far)
        rest = rest - np.outer(rest @ direction, direction)
    return p[chosen]


def slab(log_a: Array, outside: Array, beta: float, lower: float) -> float:
    """The mass of the widest slab {mass outside the face <= e} that the face bounds; 0 where there is none.

    `log_a` and `outside` (the mass of p_x outside the face) are of the states that are not on the face.
    """
    room = beta * outside.min() - 1.0
    if beta <= 1.0 or room <= 1e-3:
        return 0.0
    e = min(0.5, 0.999 * room / (beta - 1.0))
    while e > 1e-12:
        with np.errstate(divide="ignore", invalid="ignore"):
            rest = np.where(outside < 1.0, (1.0 - outside) * (np.log1p(-outside) - np.log1p(-e)), 0.0)
        divergence = outside * np.log(outside / e) + rest
        rest_of_c = np.logaddexp.reduce(log_a - beta * divergence)
        if rest_of_c <= lower + np.log(-np.expm1(beta * np.log1p(-e))) - 1e-6:
            return float(e * (1.0 - 1e-9))
        e *= 0.7
    return 0.0
