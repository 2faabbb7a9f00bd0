"""The reduced problem that the solver works on, its clusters ("atoms"), and one sweep.

Sources of probability 0 are left out and sources with equal features are merged, both exactly and both undone in the answer.
Pairs are laid out (n_t, n_x) here, clusters first; the public results have the usual (n_x, n_t).
"""

from __future__ import annotations

import contextlib
import functools
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dualib import kernels
from dualib.descent_kernels import descend_known
from dualib.distortions import IB, Array, Distortion, DualIB, Mask
from dualib.joint import JointDistribution
from dualib.memory import check_fits
from dualib.newton_kernels import ARITHMETIC, GEOMETRIC, link_known, newton_known, sweep_known
from dualib.spread_kernels import exceeding_known, spreads_known

_FEW_FEATURES, _AT_ONCE = (
    32,
    2_000_000,
)  # features, and numbers in all, up to which the stability of all atoms is computed at once
_NOWHERE: Mask = np.zeros((0, 0), dtype=bool)
_KNOWN: dict[type, int] = {IB: ARITHMETIC, DualIB: GEOMETRIC}  # by exact type: a subclass may have another link
UNSEEN = 1e-14  # p(y|t) up to which, beside the 1 that they sum to, no number but its own logarithm can tell it from 0
NEGLIGIBLE = (
    1e-200  # p(x) up to which a source is treated as one of probability 0: squares and quotients of less are no numbers
)


_NO_MASS = 1e-20  # of a decoder, off a face: where the IB's c has a maximum off one, c gains more than this by it


@dataclass(slots=True, eq=False)
class Atoms:
    """Clusters: weights w (n_t,), mean features M (n_t, k), and the face (n_t, n_y) where each decoder may be positive.

    Nothing changes them once made; a frozen class, though, takes three times as long to make, and many are made.

    ``face`` is None where zeros of p(y|x) need no care. It never changes along sweeps: the sources allowed on a face have
    that face as the union (IB) or the intersection (dual IB) of their supports.
    """

    weights: Array
    means: Array
    face: Mask | None

    def __len__(self) -> int:
        return len(self.weights)

    def pick(self, index: np.ndarray) -> Atoms:
        """The atoms of an index array or mask, weights as they are."""
        return Atoms(self.weights[index], self.means[index], None if self.face is None else self.face[index])

    def normalised(self) -> Atoms:
        """The same atoms with weights summing to 1."""
        return Atoms(self.weights / self.weights.sum(), self.means, self.face)


def join(first: Atoms, second: Atoms) -> Atoms:
    """Both lists of atoms, one after the other."""
    face = None if first.face is None or second.face is None else np.concatenate([first.face, second.face])
    return Atoms(np.concatenate([first.weights, second.weights]), np.concatenate([first.means, second.means]), face)


class Problem:
    """A joint distribution seen through a distortion: p(x), features, offsets, supports.

    Attributes
    ----------
    px : (n,)
        Probabilities of the distinct live sources, summing to 1.
    U : (n, k), UT : (k, n), a : (n,)
        Their features and offsets.
    py_x : (n, n_y)
        Their conditionals.
    support : (n, n_y) bool or None
        Where p(y|x) > 0; None where no zero matters.
    pxU : (n, k)
        p(x) U[x]: times an encoder, the sums of the features of each cluster.
    known : int or None
        The number by which the kernels of `dualib.newton_kernels` know the distortion.
    row_of : (n_x,) int
        The reduced source of each original one; -1 where p(x) is 0 or NEGLIGIBLE.
    is_whole : bool
        Whether each original source is one of its own here, in the same order.
    """

    is_sparse = False  # True of `dualib.sparse_problem.SparseProblem`

    def __init__(self, joint: JointDistribution, distortion: Distortion) -> None:
        if not isinstance(joint, JointDistribution):
            raise TypeError(f"joint must be a JointDistribution, got {type(joint).__name__}: write JointDistribution(pxy)")
        self.joint = joint
        self.distortion = distortion
        py_x = joint.py_x
        check_fits(joint.n_x, joint.n_y, "a problem")
        if joint.is_sparse:
            py_x = py_x.toarray()
            py_x[joint.px == 0.0] = joint.py
        self.full_py_x: Array = py_x
        live = joint.px > NEGLIGIBLE
        features, offset = _lifted(distortion, py_x, live)
        if not (np.isfinite(features[live]).all() and np.isfinite(offset[live]).all()):
            raise ValueError(f"distortion {distortion!r}: lift returned values that are not finite")
        self.full_features: Array = features
        self.full_offset: Array = offset
        support = None if distortion.support is None else py_x > 0.0
        first, self.row_of = _distinct_rows(joint.px, features, offset, support)
        self.is_whole = len(first) == len(self.row_of)
        merged = np.bincount(self.row_of[self.row_of >= 0], joint.px[self.row_of >= 0], minlength=len(first))
        self.px: Array = np.asarray(merged / merged.sum(), dtype=np.float64)
        self.py_x: Array = np.ascontiguousarray(py_x[first])
        self.U: Array = np.ascontiguousarray(features[first])
        self.UT: Array = np.ascontiguousarray(self.U.T)
        self.a: Array = offset[first]
        self.constant: float = float(self.px @ self.a)
        self.support: Mask | None = None if support is None or support[first].all() else support[first]
        self._support_f = None if self.support is None else self.support.astype(np.float64)
        self.pxU: Array = self.px[:, None] * self.U
        self.known: int | None = _KNOWN.get(type(distortion))
        self._links: deque[tuple[Atoms, tuple[Array, Array]]] = deque(maxlen=2)

    @property
    def n(self) -> int:
        """Number of distinct live sources."""
        return len(self.px)

    @functools.cached_property
    def log_px(self) -> Array:
        """Log p(x), (n,)."""
        return np.asarray(np.log(self.px))

    def allowed(self, face: Mask | None, support: Array | None = None) -> Mask:
        """Pairs (n_t, n) of finite distortion: the face covers the support of x (IB), or lies inside it (dual IB)."""
        support = self._support_f if support is None else support
        if face is None or support is None:
            return np.ones((1 if face is None else len(face), self.n if support is None else len(support)), dtype=bool)
        if self.distortion.support == "cover":
            return ((~face).astype(np.float64) @ support.T) == 0.0
        return (face.astype(np.float64) @ (1.0 - support).T) == 0.0

    def log_terms(self, atoms: Atoms, beta: float) -> Array:
        """``-beta (d(x, t) - a(x))``, (n_t, n); -inf exactly where the distortion is infinite."""
        return self._terms(atoms, beta, self.UT, None)

    def log_terms_of(self, atoms: Atoms, beta: float, features: Array, py_x: Array) -> Array:
        """The same for any sources, given their features (m, k) and conditionals (m, n_y)."""
        support = None if self.distortion.support is None or atoms.face is None else (py_x > 0.0).astype(np.float64)
        return self._terms(atoms, beta, np.ascontiguousarray(features.T), support)

    def _terms(self, atoms: Atoms, beta: float, features_t: Array, support: Array | None) -> Array:
        v, b = self.link(atoms)
        with np.errstate(all="ignore"):
            terms = (beta * v) @ features_t
            terms -= beta * b[:, None]
        if atoms.face is not None:
            terms[~self.allowed(atoms.face, support)] = -np.inf
        return terms

    def _on_face(self, atoms: Atoms) -> tuple[Any, ...]:
        """Arguments of the distortion's functions: a face only for a distortion that asks for one."""
        return (atoms.means,) if self.distortion.support is None else (atoms.means, atoms.face)

    def link(self, atoms: Atoms) -> tuple[Array, Array]:
        """V (n_t, k) and b (n_t,); NaN, and no warning, where a trial step has left the domain of M (it is then refused).

        The last two are kept: a sweep needs them at both its ends, and the next one starts where it ended.
        """
        result = self.known_link(atoms)
        if result is None:
            result = self._linked(atoms)
            self._links.append((atoms, result))
        return result

    def _linked(self, atoms: Atoms) -> tuple[Array, Array]:
        if self.known is None:
            with np.errstate(all="ignore"):
                return self.distortion.link(*self._on_face(atoms))
        v, b = np.empty(atoms.means.shape), np.empty(len(atoms))
        link_known(self.known, _writable(atoms.means), _NOWHERE if atoms.face is None else _writable(atoms.face), v, b)
        return v, b

    def known_link(self, atoms: Atoms) -> tuple[Array, Array] | None:
        """V and b where they are kept."""
        for known, result in self._links:
            if known is atoms:  # the object, not its arrays: these may be a caller's, who writes into them
                return result
        return None

    def remember_link(self, atoms: Atoms, result: tuple[Array, Array]) -> None:
        """Keep V and b of these atoms, as `link` would."""
        self._links.append((atoms, result))

    def for_kernels(self, atoms: Atoms) -> tuple[Array, Array, Mask, Mask]:
        """Weights, means, faces (n_t, n_y) and pairs (n_t, n) allowed on them, for kernels: the last two empty without zeros.

        A kernel compiled for arrays that may be written takes no other; it does not write into these.
        """
        weights, means = _writable(atoms.weights), _writable(atoms.means)
        if atoms.face is None:
            return weights, means, _NOWHERE, _NOWHERE
        return weights, means, _writable(atoms.face), self.allowed(atoms.face)

    def decoder(self, atoms: Atoms) -> Array:
        """The decoder p(y|t), (n_t, n_y)."""
        if self.known == GEOMETRIC:  # V is the decoder
            return self.link(atoms)[0].copy()
        return self.distortion.decoder(*self._on_face(atoms))

    def jacobian(self, atoms: Atoms) -> Array:
        """J = dV/dM, (n_t, k, k)."""
        return self.distortion.link_jacobian(*self._on_face(atoms))

    def whitened(self, atoms: Atoms, index: np.ndarray | slice = slice(None)) -> Array:
        """Rows ``(U[x] - M_t) R_t``, (n_t, n, k), with R R^T = J: their squared length is the local metric of d."""
        return self.distortion.whiten(self.U[None, index] - atoms.means[:, None, :], *self._on_face(atoms))

    def seen(self, atoms: Atoms) -> Atoms:
        """The atoms, without on their faces the y of which they have no more than UNSEEN, where a mean must cover its members (IB).

        The metric there is 1 / p(y|t), and the entry a power of itself: ``p(y|t)' = sum_x A_x p(y|t)^(beta p(y|x))`` over the x that
        have y, all of them far from t. On its way to a limit of, say, 1e-44 it passes 1e-123, and neither shows in anything else.
        """
        if self.distortion.support != "cover":
            return atoms
        seen = self.decoder(atoms) > UNSEEN
        if seen.all() or (atoms.face is not None and not (atoms.face & ~seen).any()):
            return atoms
        return Atoms(atoms.weights, atoms.means, seen if atoms.face is None else atoms.face & seen)

    def stability(self, atoms: Atoms, members: Array, floor: float = 0.0) -> Array:
        """lambda_max( Cov_t(U) J ) of each atom, members (n_t, n) = p(x|t): it is stable while beta times this is < 1.

        Along what is `seen` alone. Where it is below `floor` it may be given as a larger number below `floor`, which is cheaper.
        """
        k, atoms = self.U.shape[1], self.seen(atoms)
        if self.known is not None and k <= self.n:
            _, means, face, _ = self.for_kernels(atoms)
            spreads = np.empty((len(atoms), k, k))
            spreads_known(self.known, self.UT, means, self.link(atoms)[0], face, _writable(members), floor, spreads)
            found = np.sqrt(np.einsum("tij,tij->t", spreads, spreads))
            large = found >= floor
            found[large] = np.linalg.eigvalsh(spreads[large])[:, -1]
            return np.maximum(found, 0.0)
        if k <= min(self.n, _FEW_FEATURES) and members.size * k <= _AT_ONCE:
            rows = self.whitened(atoms) * np.sqrt(members)[:, :, None]
            return np.maximum(np.linalg.eigvalsh(np.matmul(rows.transpose(0, 2, 1), rows))[:, -1], 0.0)
        result = np.zeros(len(atoms))
        for t, weights in enumerate(members):
            live = np.flatnonzero(weights > 1e-14 * weights.max())
            rows = self.whitened(atoms.pick(np.array([t])), live)[0] * np.sqrt(weights[live])[:, None]
            result[t] = np.linalg.eigvalsh(rows.T @ rows if rows.shape[1] <= len(live) else rows @ rows.T)[-1]
        return np.maximum(result, 0.0)

    def exceeds(self, atoms: Atoms, members: Array, level: float) -> Mask:
        """Whether `stability` of each atom is at least `level`, (n_t,), which costs less to tell."""
        if self.known is None or self.U.shape[1] > self.n:
            return self.stability(atoms, members) >= level
        atoms = self.seen(atoms)
        _, means, face, _ = self.for_kernels(atoms)
        return exceeding_known(self.known, self.UT, means, self.link(atoms)[0], face, _writable(members), level)

    def sweep(self, beta: float, atoms: Atoms) -> Sweep:
        """`sweep` of this module."""
        return sweep(self, beta, atoms)

    def atoms_from_members(self, members: Array, weights: Array | None = None) -> Atoms:
        """Atoms at the centroids of the rows of `members` (m, n), rows summing to 1; infeasible rows are left out."""
        weights = np.full(len(members), 1.0 / len(members)) if weights is None else weights
        means = members @ self.U
        if self._support_f is None:
            return Atoms(weights, means, None)
        live = (members > 0.0).astype(np.float64)
        if self.distortion.support == "cover":
            return Atoms(weights, means, live @ self._support_f > 0.0)
        face = live @ (1.0 - self._support_f) == 0.0
        feasible = face.any(axis=1)
        return Atoms(weights[feasible], means[feasible], face[feasible])


def _writable(array: Any) -> Any:
    return array if array.flags.carray else np.require(array, requirements=["C", "W"])


def _lifted(distortion: Distortion, py_x: Array, live: Mask) -> tuple[Array, Array]:
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


def _distinct_rows(px: Array, features: Array, offset: Array, support: Mask | None) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first of each set of equal live rows, and for each row its set (-1: p(x) = 0)."""
    columns = [features, offset[:, None]] + ([] if support is None else [support.astype(np.float64)])
    keys = np.ascontiguousarray(np.concatenate(columns, axis=1)) + 0.0  # + 0.0: -0.0 and 0.0 are one value
    row_of = np.full(len(px), -1)
    seen: dict[bytes, int] = {}
    first: list[int] = []
    for x in np.flatnonzero(px > NEGLIGIBLE):
        row_of[x] = seen.setdefault(keys[x].tobytes(), len(seen))
        if len(seen) > len(first):
            first.append(int(x))
    return np.array(first), row_of


def column_of(problem: Problem) -> np.ndarray:
    """Of fixed atoms, for each column the first that is the same to all sources, which stands for both (k,)."""
    _, first, index = np.unique(problem.UT, axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[index.ravel()])  # of NumPy 2.0 a column


def identity_atoms(problem: Problem) -> Atoms:
    """One atom per distinct source, at its own conditional: the start that is feasible for every distortion."""
    if problem.distortion.fixed_atoms:
        columns = np.unique(column_of(problem))
        return Atoms(np.full(len(columns), 1.0 / len(columns)), np.eye(problem.U.shape[1])[columns], None)
    return problem.atoms_from_members(np.eye(problem.n), problem.px.copy())


def trivial_atoms(problem: Problem) -> Atoms:
    """The one cluster of all sources; no atom at all where that is infeasible (dual IB, no common support)."""
    if problem.distortion.fixed_atoms:
        best = np.argmin(-(problem.px @ problem.U))
        return Atoms(np.ones(1), np.eye(problem.U.shape[1])[[best]], None)
    return problem.atoms_from_members(problem.px[None, :], np.ones(1))


class Sweep(NamedTuple):
    """One evaluation at `atoms`: the objective there, the encoder, and where a sweep would go.

    Attributes
    ----------
    objective : float
        G(w, r) in nats; inf where some source is infinitely far from every atom.
    posterior : (n_t, n)
        p(t|x).
    log_z : (n,)
        log Z(x), offsets a(x) left out as in the posterior.
    c : (n_t,)
        The gradient function on the atoms, 1 at a stationary point: the new weight over the old.
    new : Atoms
        The atoms after the sweep.
    residual : float
        max over clusters of ``|c - 1|`` and of the natural length ``sqrt(beta <M' - M, J (M' - M)>)`` of the mean's move.
    """

    atoms: Atoms
    beta: float
    objective: float
    posterior: Array
    log_z: Array
    c: Array
    new: Atoms
    residual: float


def sweep(problem: Problem, beta: float, atoms: Atoms) -> Sweep:
    """Evaluate the objective at `atoms` and make one Blahut-Arimoto step; all weights must be positive."""
    if problem.is_sparse:
        return problem.sweep(beta, atoms)
    return _sweep_by_link(problem, beta, atoms) if problem.known is None else _sweep_known(problem, beta, atoms)


def _sweep_known(problem: Problem, beta: float, atoms: Atoms) -> Sweep:
    link = problem.known_link(atoms)
    (n_t, k), n, empty = atoms.means.shape, problem.n, np.empty
    v, b = link or (empty((n_t, k)), empty(n_t))
    posterior, log_z, c, weights, means = empty((n_t, n)), empty(n), empty(n_t), empty(n_t), empty((n_t, k))
    new_v, new_b = empty((n_t, k)), empty(n_t)
    into = (posterior, log_z, empty(n), c, weights, means, new_v, new_b)
    value, residual = sweep_known(
        problem.known, beta, problem.px, problem.pxU, problem.UT, *problem.for_kernels(atoms), v, b, link is not None, *into
    )
    new = Atoms(weights, means, atoms.face)
    if link is None:
        problem.remember_link(atoms, (v, b))
    problem.remember_link(new, (new_v, new_b))
    return Sweep(atoms, beta, float(beta * problem.constant - value), posterior, log_z, c, new, float(residual))


def newton_steps(
    problem: Problem, beta: float, atoms: Atoms, *, goal: float, most: int, end: int, damping: float = 0.0
) -> tuple[bool, Atoms, Array, Array, float]:
    """`dualib.newton_kernels.newton_known` on atoms, for a distortion known there."""
    arrays = (problem.px, problem.U, problem.pxU, problem.UT, *problem.for_kernels(atoms))
    settled, weights, means, d_weights, d_means, last = newton_known(problem.known, beta, *arrays, goal, most, end, damping)
    return settled, Atoms(weights, means, atoms.face), d_weights, d_means, float(last)


class Descent(NamedTuple):
    """The end of `descend`: whether it settled, the sweep there, what it took, and how close two of the swept atoms are.

    `taken` counts sweeps and products with the Hessian; `closest` is the least squared natural distance.
    """

    settled: bool
    state: Sweep
    taken: int
    closest: float


def descend(problem: Problem, beta: float, atoms: Atoms, *, goal: float, most: int) -> Descent:
    """`dualib.descent_kernels.descend_known` on atoms, whatever pairs of them meet."""
    arrays = (problem.px, problem.pxU, problem.UT, *problem.for_kernels(atoms))
    settled, kept, taken, closest, *ended = descend_known(problem.known, beta, *arrays, goal, most, most, 0.0)
    return Descent(settled, swept_at(problem, beta, None if atoms.face is None else atoms.face[kept], *ended), taken, closest)


def swept_at(problem: Problem, beta: float, face: Mask | None, *ended: Any) -> Sweep:
    """The sweep at which a kernel ended, of the last 13 of its results: weights, means, V and b there, and that sweep."""
    weights, means, v, b, value, residual, posterior, log_z, c, new_weights, new_means, new_v, new_b = ended
    atoms, new = Atoms(weights, means, face), Atoms(new_weights, new_means, face)
    problem.remember_link(atoms, (v, b))
    problem.remember_link(new, (new_v, new_b))
    return Sweep(atoms, beta, beta * problem.constant - value, posterior, log_z, c, new, residual)


def _sweep_by_link(problem: Problem, beta: float, atoms: Atoms) -> Sweep:
    """The same for any distortion, through its link."""
    terms = problem.log_terms(atoms, beta)
    terms += np.log(atoms.weights)[:, None]
    log_z, work = np.empty(problem.n), np.empty(problem.n)
    kernels.posterior(terms, log_z, work)
    finite = np.isfinite(log_z).all()
    objective = float(beta * problem.constant - problem.px @ log_z) if finite else np.inf
    weights = terms @ problem.px
    live = weights > 0.0
    means = atoms.means.copy()
    if not problem.distortion.fixed_atoms:
        means[live] = (terms @ problem.pxU)[live] / weights[live, None]
    new = Atoms(weights, means, atoms.face)
    c = weights / atoms.weights
    residual = float(max(np.max(np.abs(c - 1.0)), np.sqrt(np.max(natural_distance(problem, beta, atoms, new)))))
    return Sweep(atoms, beta, objective, terms, log_z, c, new, residual if finite else np.inf)


def natural_distance(problem: Problem, beta: float, first: Atoms, second: Atoms) -> Array:
    """``beta <M2 - M1, V2 - V1>``, about ``beta <dM, J dM>``, pair by pair (n_t,): twice the fall of log L over the step."""
    v1, v2 = problem.link(first)[0], problem.link(second)[0]
    return beta * np.maximum(np.sum((second.means - first.means) * (v2 - v1), axis=1), 0.0)


def distance_matrix(problem: Problem, beta: float, first: Atoms, second: Atoms) -> Array:
    """`natural_distance` of every pair (m1, m2); inf between different faces: of the IB, those that the decoders use."""
    v1, v2 = problem.link(first)[0], problem.link(second)[0]
    out = np.empty((len(first), len(second)))
    faces = [_own_face(problem, atoms) for atoms in (first, second)]
    kernels.distances(
        beta, _writable(first.means), _writable(v1), faces[0], _writable(second.means), _writable(v2), faces[1], out
    )
    return out


def _own_face(problem: Problem, atoms: Atoms) -> Mask:
    """The face of each atom (n_t, n_y), empty without zeros; for the IB no more of it than the decoder uses."""
    if atoms.face is None:
        return _NOWHERE
    return _writable(atoms.face & (atoms.means > _NO_MASS) if problem.distortion.support == "cover" else atoms.face)


def first_of_alike(problem: Problem, beta: float, points: Atoms, others: Atoms, radius: float) -> Atoms:
    """The points that are, within a squared natural distance, where no other atom is, nor any earlier point."""
    close = distance_matrix(problem, beta, points, join(others, points)) < radius
    return points.pick(np.asarray(~np.tril(close, len(others) - 1).any(axis=1)))


def expected_distortion(problem: Problem, atoms: Atoms, posterior: Array) -> float:
    """E d = sum_x p(x) sum_t p(t|x) d(x, t), in the unit of d, of atoms at the weights and centroids of their sources; finite."""
    return expected_distortions(problem, atoms, [posterior], np.array([0, len(atoms)]))[0]


def expected_distortions(problem: Problem, atoms: Atoms, posteriors: list[Array], begins: np.ndarray) -> list[float]:
    """The same of several states, their atoms one after the other, from each of `begins` to the next."""
    if problem.known is not None:  # d is linear in the features: their means tell all that `posterior` would
        v, b = problem.link(atoms)
        terms = atoms.weights * (np.einsum("tk,tk->t", v, atoms.means) - b)
        found: list[float] = (problem.constant - np.add.reduceat(terms, begins[:-1])).tolist()
        return found
    minus_d, found = problem.log_terms(atoms, 1.0), []
    for posterior, first, last in zip(posteriors, begins[:-1], begins[1:], strict=True):
        pairs = posterior * problem.px
        minus_d[first:last][pairs == 0.0] = 0.0  # where d may be infinite
        found.append(float(problem.constant - np.sum(pairs * minus_d[first:last])))
    return found
