"""The reduced problem: a joint distribution seen through a distortion, in the arrays that the engine multiplies with.

Sources of probability 0 are left out and sources with equal features are merged, both exactly and both undone in the answer.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from dualib.distortions.interface import Array, Distortion, Mask
from dualib.joint import JointDistribution, check_joint
from dualib.memory import check_fits

Ints = npt.NDArray[np.int64]

NEGLIGIBLE = 1e-200  # p(x) up to which a source is as one of probability 0: squares and quotients of less are no numbers
_MOST_PRODUCTS = 5_000_000  # of features with each other, of all sources, that are held
SLACK = 1e-9  # relative, of the box in which means can be: for rounding


class Jacobian(NamedTuple):
    """J = dV/dM of some atoms: ``diag(diagonal) - vector vector^T`` (m, k) each, or `dense` (m, k, k) where that is not empty."""

    diagonal: Array
    vector: Array
    dense: Array

    def times(self, rows: Array) -> Array:
        """J times a row (m, k) of each atom."""
        if len(self.dense):
            return np.einsum("tij,tj->ti", self.dense, rows)
        return self.diagonal * rows - self.vector * inner(self.vector, rows)[:, None]

    def pick(self, rows: npt.NDArray) -> Jacobian:
        """Of some of the atoms, by mask or index."""
        return Jacobian(*(part[rows] if len(part) else part for part in self))

    def matrices(self) -> Array:
        """J as matrices, (m, k, k)."""
        if len(self.dense):
            return self.dense
        out = -self.vector[:, :, None] * self.vector[:, None, :]
        np.einsum("tii->ti", out)[:] += self.diagonal
        return out


class Faces:
    """The faces of the simplex over Y on which atoms may lie, by number, and the sources at a finite distance from each.

    An atom of the IB is at a finite distance from the sources whose support its face covers; one of the dual IB, from those in whose
    support its face lies. A face never changes along sweeps.
    """

    def __init__(self, support: Mask, *, cover: bool) -> None:
        self.support, self.cover = support, cover
        self.masks: Mask = np.zeros((0, support.shape[1]), dtype=bool)  # (number of faces, n_y)
        self.allowed: Mask = np.zeros((0, len(support)), dtype=bool)  # (number of faces, n)
        self._number: dict[bytes, int] = {}

    def copied(self) -> Faces:
        """The same, for more faces that this one need not know."""
        new = copy.copy(self)
        new._number = dict(self._number)
        return new

    def numbers(self, masks: Mask) -> Ints:
        """The numbers of faces (m, n_y), new ones being added."""
        masks = np.ascontiguousarray(masks)
        keys = [row.tobytes() for row in masks]
        new = {key: i for i, key in enumerate(keys) if key not in self._number}
        if new:
            rows = masks[list(new.values())]
            self._number.update((key, len(self.masks) + i) for i, key in enumerate(new))
            self.masks = np.concatenate([self.masks, rows])
            self.allowed = np.concatenate([self.allowed, self.reached(rows, self.support)])
        return np.array([self._number[key] for key in keys], dtype=np.int64)

    def reached(self, masks: Mask, support: Mask) -> Mask:
        """Which sources of some supports (n, n_y) are at a finite distance from faces (m, n_y), (m, n)."""
        return reached(masks, support, cover=self.cover)


class Problem:
    """A joint distribution seen through a distortion ``d(x, t) = a(x) + b(t) - <U[x], V[t]>``.

    What the engine asks of the features is a few methods, from `features` to `sizes`; a sparse U has its own
    (`dualib.engine.sparse`).

    Attributes
    ----------
    px : (n,)
        Probabilities of the distinct live sources, summing to 1.
    U : (n, k), a : (n,), py_x : (n, n_y)
        Their features, offsets and conditionals.
    constant : float
        ``sum_x p(x) a(x)``.
    U1T : (1 + k, n), pxU1 : (n, 1 + k)
        The features with a column of ones before them, transposed, and times p(x): a product with it sums, too.
    faces : Faces or None
        None where no zero of p(y|x) matters: then every atom has the face number 0.
    source_face : (n,) int
        The face of an atom at each source.
    row_of : (n_x,) int
        The reduced source of each original one; -1 where p(x) is 0 or NEGLIGIBLE.
    column_of : (k,) int
        Of each column of a rate-distortion matrix the first that is equal to it: one reproduction has one atom.
    non_negative : bool
        Whether atoms move and no feature is below 0.
    most_atoms : int
        To which solutions grow: of a large problem, or under a cap on it. Else none needs more than there are sources, or columns.
    """

    is_sparse, has_zeros = False, True  # the latter is asked of sparse problems only

    def __init__(self, joint: JointDistribution, distortion: Distortion) -> None:
        check_joint("joint", joint)
        self.joint, self.distortion = joint, distortion
        check_fits(joint.n_x, joint.n_y, "a problem")
        py_x = joint.py_x
        if joint.is_sparse:
            py_x = py_x.toarray()
            py_x[joint.px == 0.0] = joint.py
        live = joint.px > NEGLIGIBLE
        features, offset = lifted(distortion, py_x, live)
        if not (np.isfinite(features[live]).all() and np.isfinite(offset[live]).all()):
            raise ValueError(f"distortion {distortion!r}: lift returned values that are not finite")
        support = None if distortion.support is None else py_x > 0.0
        first, self.row_of = distinct_rows(joint.px, features, offset, support)
        merged = np.bincount(self.row_of[self.row_of >= 0], joint.px[self.row_of >= 0], minlength=len(first))
        self.px: Array = np.asarray(merged / merged.sum(), dtype=np.float64)
        self.full_py_x, self.full_features = py_x, features
        self.py_x: Array = np.ascontiguousarray(py_x[first], dtype=np.float64)
        self.U: Array = np.ascontiguousarray(features[first], dtype=np.float64)
        self.a: Array = offset[first]
        self.constant: float = float(self.px @ self.a)
        self.n, self.k = self.U.shape
        self.most_atoms: int = max(self.n, self.k)  # the columns of a matrix may be more
        self.log_px: Array = np.log(self.px)
        ones = np.hstack([np.ones((self.n, 1)), self.U])
        self.U1T, self.pxU1 = np.ascontiguousarray(ones.T), self.px[:, None] * ones
        self.UT: Array = self.U1T[1:]
        self.fixed: bool = distortion.fixed_atoms
        self.column_of: Ints = _first_equal(self.U.T) if self.fixed else np.arange(self.k)
        self.non_negative: bool = not self.fixed and bool((self.U >= 0.0).all())
        low, high = self.U.min(axis=0), self.U.max(axis=0)
        self._low, self._high = low - SLACK * np.abs(low), high + SLACK * np.abs(high)
        sums = self.U.sum(axis=1)
        constant = low.min() >= 0.0 and np.ptp(sums) <= SLACK * np.abs(sums).max()
        self._sum: float | None = float(sums.mean()) if constant and not self.fixed else None
        self._has_parts = _same_class_defines(type(distortion), "jacobian_parts", "link_jacobian")
        self.faces: Faces | None = None
        self.source_face: Ints = np.zeros(self.n, dtype=np.int64)
        if support is not None and not support[first].all():
            self.faces = Faces(support[first], cover=distortion.support == "cover")
            self.source_face = self.faces.numbers(support[first])

    # ---- the distortion's functions, of atoms with means (m, k) and faces (m,)

    def _on_face(self, means: Array, face: Ints) -> tuple[Array] | tuple[Array, Mask | None]:
        """Arguments of the distortion's functions: a face only for a distortion that asks for one."""
        if self.distortion.support is None:
            return (means,)
        return means, None if self.faces is None else self.faces.masks[face]

    def link(self, means: Array, face: Ints) -> tuple[Array, Array]:
        """V (m, k) and b (m,); NaN, and no warning, where a trial step has left the domain of M."""
        with np.errstate(all="ignore"):
            V, b = self.distortion.link(*self._on_face(means, face))
        return np.ascontiguousarray(V, dtype=np.float64), b

    def jacobian(self, means: Array, face: Ints) -> Jacobian:
        """J = dV/dM."""
        arguments = self._on_face(means, face)
        if self._has_parts:
            diagonal, vector = self.distortion.jacobian_parts(*arguments)  # type: ignore[attr-defined]
            return Jacobian(np.ascontiguousarray(diagonal), np.ascontiguousarray(vector), np.zeros((0, 0, 0)))
        dense = np.ascontiguousarray(self.distortion.link_jacobian(*arguments), dtype=np.float64)
        return Jacobian(np.zeros((0, 0)), np.zeros((0, 0)), dense)

    def decoder(self, means: Array, face: Ints) -> Array:
        """The decoder p(y|t), (m, n_y)."""
        return np.ascontiguousarray(self.distortion.decoder(*self._on_face(means, face)), dtype=np.float64)

    def whitened(self, means: Array, face: Ints, which: npt.NDArray | slice = slice(None)) -> Array:
        """Rows ``(U[x] - M_t) R_t``, (m, n, k), with R R^T = J, of some sources: their squared length is the local metric of d."""
        return self.distortion.whiten(self.features(which)[0][None] - means[:, None, :], *self._on_face(means, face))

    def outside(self, means: Array, V: Array) -> Mask:
        """Which atoms have left the box around all features, where no mean can be, or have no finite V, (m,)."""
        if self.fixed:
            return np.zeros(len(means), dtype=bool)
        return np.asarray((self.beyond(means) | ~np.isfinite(V)).any(axis=1))

    def beyond(self, means: Array) -> Mask:
        """Which components are out of that box, (m, k)."""
        return np.asarray((means < self._low) | (means > self._high))

    def corrected(self, means: Array) -> Array:
        """Means whose sums are those of the features, where all of these have the same: long steps leave it by rounding.

        An IB decoder that sums to more than 1 has too low an objective, which no true one could reach again.
        """
        if self._sum is None:
            return means
        return means * (self._sum / means.sum(axis=1, keepdims=True))

    def within(self, means: Array, way: Array) -> Array:
        """The part of each way, at most 1, that stays in the box, (m, 1): nine tenths of what leads out of it."""
        with np.errstate(all="ignore"):
            room = np.where(way > 0.0, self._high - means, np.where(way < 0.0, self._low - means, np.inf)) / way
        room = np.where(way == 0.0, np.inf, room)
        return np.clip(0.9 * room.min(axis=1, keepdims=True), 0.0, 1.0)

    def lost(self, face: Ints) -> Mask | None:
        """The pairs (m, n) of infinite distortion; None where there are none."""
        return None if self.faces is None else ~self.faces.allowed[face]

    def terms(self, beta: Array, V: Array, b: Array, face: Ints) -> Array:
        """``-beta (d(x, t) - a(x))`` of the sources, (m, n); -inf where infinite."""
        terms = self.exponents(beta, V, face)
        terms -= (beta * b)[:, None]
        return terms

    def terms_of(self, beta: Array, V: Array, b: Array, face: Ints, sources: Ints) -> Array:
        """``-beta (d(x, t) - a(x))`` of original sources by number, live or not, (m, number); -inf where infinite."""
        terms = (beta[:, None] * V) @ self.full_features[sources].T - (beta * b)[:, None]
        if self.faces is not None:
            terms[~self.faces.reached(self.faces.masks[face], self.full_py_x[sources] > 0.0)] = -np.inf
        return terms

    # ---- products with the features

    def features(self, which: npt.NDArray | slice = slice(None)) -> tuple[Array, Ints]:
        """The features (m, k) of some sources, which are the means of atoms there, and the faces of these."""
        return self.U[which], self.source_face[which]

    def products(self, V: Array) -> Array:
        """``<U[x], V[t]>`` of the sources, (m, n)."""
        return V @ self.UT

    def exponents(self, b: Array, V: Array, face: Ints) -> Array:
        """``b <U[x], V[t]>`` (m, n), -inf where the distortion is infinite."""
        exponents = self.products(b[:, None] * V)
        lost = self.lost(face)
        if lost is not None:
            exponents[lost] = -np.inf
        return exponents

    def expectation(self, rows: Array) -> Array:
        """Sums under p(x) of each row (m, n)."""
        return rows @ self.px

    def sums(self, members: Any) -> Array:
        """Sums (m, k) of the features under each row (m, n)."""
        return np.asarray(members @ self.U)

    def outcomes(self, members: Array) -> Array:
        """Sums (m, n_y) of p(y|x) under each row (m, n)."""
        return np.asarray(members @ self.py_x)

    def absolute_sums(self, members: Array) -> Array:
        """Sums (m, k) of the sizes of the features under each row (m, n)."""
        return np.asarray(members @ np.abs(self.U))

    def moments(self, pairs: Array) -> Array:
        """Sums over the sources of ``p(x) [1, U[x]]`` under each row (m, n): weights, and means times these, (m, 1 + k)."""
        return pairs @ self.pxU1

    def sizes(self) -> tuple[Array, float]:
        """How large the terms of d are at each source where it is a cluster, or goes to its best column, (n,); and in U and V."""
        sizes = np.abs(self.a)
        if self.fixed:
            return sizes + np.abs(self.U).min(axis=1), float(np.abs(self.U).max())
        V, b = self.link(self.U, self.source_face)
        largest = max(np.abs(self.U).max(), np.abs(V).max())
        return sizes + np.abs(b) + np.abs(self.U * V).sum(axis=1), float(largest)

    # ---- points made of sources

    @functools.cached_property
    def _products_of_features(self) -> Array:
        """Of each source its features, less their mean, times each other (n, k k)."""
        centred = self.U - self.px @ self.U
        return (centred[:, :, None] * centred[:, None, :]).reshape(self.n, -1)

    def covariances(self, members: Array, means: Array) -> Array:
        """Cov_q(U) (p, k, k) of members q (p, n) and their means, to the rounding of all features."""
        if self.n * self.k * self.k > _MOST_PRODUCTS:
            centred = self.U - means[:, None]
            return np.asarray((members[:, :, None] * centred).transpose(0, 2, 1) @ centred)
        off = means - self.px @ self.U
        found = (members @ self._products_of_features).reshape(-1, self.k, self.k)
        return np.asarray(found - off[:, :, None] * off[:, None, :])

    @functools.cached_property
    def csr(self) -> tuple[Array, npt.NDArray[np.int32], Ints]:
        """U as the data, indices and row ends of a CSR matrix."""
        rows = sparse.csr_array(self.U)
        return rows.data, rows.indices.astype(np.int32), rows.indptr.astype(np.int64)

    def members(self, labels: Ints, size: int, shares: Array) -> Any:
        """Rows (size, n), one a cluster of a hard clustering: the shares (n,) of its members."""
        rows = np.zeros((size, self.n))
        rows[labels, np.arange(self.n)] = shares
        return rows

    def centroids(self, members: Any) -> tuple[Array, Ints, Mask]:
        """Means and faces of the rows of `members` (m, n), which sum to 1, of those which have a face; and which have, (m,)."""
        means = self.sums(members)
        if self.faces is None:
            return means, np.zeros(len(means), dtype=np.int64), np.ones(len(means), dtype=bool)
        live, support = (members > 0.0).astype(np.float64), self.faces.support
        cover = self.faces.cover
        masks = live @ support.astype(np.float64) > 0.0 if cover else live @ (~support).astype(np.float64) == 0.0
        feasible = np.asarray(masks.any(axis=1))
        return means[feasible], self.faces.numbers(masks[feasible]), feasible

    def joined_faces(self, first: Ints, second: Ints) -> tuple[Ints, Mask]:
        """The faces of atoms between each two, and which of them are none (dual IB: supports that share nothing)."""
        if self.faces is None:
            return first, np.zeros(len(first), dtype=bool)
        one, other = self.faces.masks[first], self.faces.masks[second]
        masks = one | other if self.faces.cover else one & other
        empty = ~masks.any(axis=1)
        masks[empty] = one[empty]
        return self.faces.numbers(masks), np.asarray(empty)


def reached(masks: Mask, support: Mask, *, cover: bool) -> Mask:
    """Which sources of some supports (n, n_y) are at a finite distance from faces (m, n_y), (m, n); `cover` as of `Faces`."""
    left_out, wanted = (~masks, support) if cover else (masks, ~support)
    return np.asarray(left_out.astype(np.float64) @ wanted.T.astype(np.float64) == 0.0)


def inner(a: Array, b: Array) -> Array:
    """The inner product of each two rows."""
    return np.einsum("ij,ij->i", a, b)


def lifted(distortion: Distortion, py_x: Array, live: Mask) -> tuple[Array, Array]:
    """Features and offsets of all sources; NaN for one of probability 0 whose row, of no account, the distortion refuses."""
    if distortion.fixed_atoms or live.all():
        return distortion.lift(py_x)
    some, some_offset = distortion.lift(py_x[live])
    features, offset = np.full((len(py_x), some.shape[1]), np.nan), np.full(len(py_x), np.nan)
    features[live], offset[live] = some, some_offset
    for x in np.flatnonzero(~live):
        with contextlib.suppress(ValueError), np.errstate(all="ignore"):
            features[[x]], offset[[x]] = distortion.lift(py_x[[x]])
    return features, offset


def distinct_rows(px: Array, features: Array, offset: Array, support: Mask | None) -> tuple[Ints, Ints]:
    """Indices of the first of each set of equal live rows, and for each row its set (-1: p(x) = 0)."""
    live = np.flatnonzero(px > NEGLIGIBLE)
    columns = [features, offset[:, None]] + ([] if support is None else [support.astype(np.float64)])
    return numbered(live[_first_equal(np.concatenate(columns, axis=1)[live])], live, len(px))


def numbered(head: Ints, live: Ints, n: int) -> tuple[Ints, Ints]:
    """The distinct `head` of live sources, ascending, and for each of n sources the number of its own among them (-1: not live)."""
    first, number = np.unique(head, return_inverse=True)
    row_of = np.full(n, -1)
    row_of[live] = number.ravel()
    return first, row_of


def _first_equal(rows: Array) -> Ints:
    """The number of the first row that is equal to each."""
    seen: dict[bytes, int] = {}
    keys = np.ascontiguousarray(rows) + 0.0  # -0.0 and 0.0 are one value
    return np.array([seen.setdefault(row.tobytes(), i) for i, row in enumerate(keys)], dtype=np.int64)


def _same_class_defines(kind: type, first: str, second: str) -> bool:
    """Whether the most derived definitions of two methods are in one class: a subclass with one of its own has both, or neither."""
    owners = [next((cls for cls in kind.__mro__ if name in vars(cls)), None) for name in (first, second)]
    return owners[0] is not None and owners[0] is owners[1]
