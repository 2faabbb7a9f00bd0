"""A sparse p(y|x) kept sparse for the IB: the reduced problem, its sweep and its gradient function, by rows of a CSR matrix.

Clusters have dense decoders (n_t, n_y) and the encoder (n_x, n_t) is made once, at the end: a sweep keeps none.
Its sums are split into at most CHUNKS runs of rows, done by as many threads as there are, and added up in the order of the rows, so
that results are the same bit for bit with any number of threads.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dualib import sparse_kernels as kernels
from dualib.distortions import IB, Array, Distortion, Mask
from dualib.engine.problem import Problem as EngineProblem
from dualib.joint import JointDistribution
from dualib.memory import check_sparse_fits
from dualib.problem import NEGLIGIBLE, Atoms, Problem, Sweep, natural_distance

CHUNKS = 8
MOST_DENSE_CELLS = 10_000_000  # of a sparse p(x, y) that is made dense unasked: 80 MB
_FEW_ROWS = 512  # a chunk has at least so many
_DENSE_CELLS = 100_000  # p(y|x) of up to so many cells is solved in its dense form, which is as fast and searched more closely


def problem_of(joint: JointDistribution, distortion: Distortion) -> Problem:
    """The reduced problem: sparse where p(x, y) is, the distortion is the IB, and the dense form would be large; else dense.

    Raises
    ------
    MemoryError
        It cannot fit, with the size that it would need.
    """
    if solves_sparse(joint, distortion):
        return SparseProblem(joint)
    return dense_problem(joint, distortion, f"distortion {distortion!r}")


def solves_sparse(joint: JointDistribution, distortion: Distortion) -> bool:
    """Whether `solve` keeps a joint distribution sparse."""
    large = isinstance(joint, JointDistribution) and joint.is_sparse and joint.n_x * joint.n_y > _DENSE_CELLS
    return bool(large and type(distortion) is IB)


def engine_problem(joint: JointDistribution, distortion: Distortion, caller: str) -> EngineProblem:
    """`dense_problem` for the engine."""
    _refuse_to_densify(joint, caller)
    return EngineProblem(joint, distortion)


def stays_sparse(joint: JointDistribution, distortion: Distortion, n_clusters: int | None) -> bool:
    """Whether `anneal` keeps a joint distribution sparse.

    Raises
    ------
    ValueError
        A cap on the clusters of a problem that is not kept sparse.
    """
    cells = joint.n_x * joint.n_y if isinstance(joint, JointDistribution) and joint.is_sparse else 0
    if type(distortion) is IB and cells > (MOST_DENSE_CELLS if n_clusters is None else _DENSE_CELLS):
        return True
    if n_clusters is not None:
        raise ValueError(
            f"n_clusters must be None but for a sparse p(x, y) of more than {_DENSE_CELLS} cells and the IB, got {n_clusters!r}:"
            " solve has it for all"
        )
    return False


def dense_problem(joint: JointDistribution, distortion: Distortion, caller: str) -> Problem:
    """The dense reduced problem; a sparse joint distribution is made dense up to MOST_DENSE_CELLS and refused beyond.

    Raises
    ------
    ValueError
        The table is sparse and larger: nothing has been made dense yet.
    """
    _refuse_to_densify(joint, caller)
    return Problem(joint, distortion)


def _refuse_to_densify(joint: JointDistribution, caller: str) -> None:
    if isinstance(joint, JointDistribution) and joint.is_sparse and joint.n_x * joint.n_y > MOST_DENSE_CELLS:
        raise ValueError(
            f"joint: {caller} needs the dense form of p(x, y), and this sparse one has {joint.n_x} x {joint.n_y} cells, more than"
            f" {MOST_DENSE_CELLS}; solve, and anneal with betas and events=False, keep it sparse for the IB;"
            " joint.to_dense() has the dense form made all the same"
        )


class SparseProblem(Problem):
    """A sparse joint distribution seen through the IB's distortion.

    Of `Problem` it has what needs no dense array over x: p(x), offsets, `row_of`, the link and the decoder of clusters. The
    posterior of its sweeps is left empty, (n_t, 0).

    Attributes
    ----------
    rows : CSR array (n, n_y)
        p(y|x) of the distinct live sources, in the order of their first.
    px : (n,)
    a : (n,)
        ``sum_y p(y|x) log p(y|x)``.
    """

    is_sparse = True

    def __init__(self, joint: JointDistribution) -> None:
        check_sparse_fits(joint)
        self.joint = joint
        self.distortion: Distortion = IB()
        first, self.row_of = _distinct_rows(joint)
        live = self.row_of >= 0
        merged = np.bincount(self.row_of[live], joint.px[live], minlength=len(first))
        self.px: Array = merged / merged.sum()
        self.rows: Any = joint.py_x if len(first) == joint.n_x else joint.py_x[first]
        self._csr = csr_parts(self.rows)
        self.a: Array = _row_sums(self.rows, _xlogx(self.rows.data))
        self.constant: float = float(np.sum(self.px * self.a))
        self.support = None
        self.known = None  # the kernels of known distortions are dense over x
        self._links: deque[tuple[Atoms, tuple[Array, Array]]] = deque(maxlen=2)
        self._turned: deque[tuple[Atoms, float, Array]] = deque(maxlen=2)

    def sweep(self, beta: float, atoms: Atoms) -> Sweep:
        """`dualib.problem.sweep`, its posterior left empty."""
        n_t = len(atoms)
        log_z, weights, moments = self.sums(beta, atoms)
        finite = bool(np.isfinite(log_z).all())
        live = weights > 0.0
        means = atoms.means.copy()
        means[live] = moments.T[live] / weights[live, None]
        new = Atoms(weights, means, atoms.face)
        c = weights / atoms.weights
        objective = self.objective(beta, log_z)
        move = np.sqrt(np.max(natural_distance(self, beta, atoms, new)))
        residual = float(max(np.max(np.abs(c - 1.0)), move)) if finite else np.inf
        return Sweep(atoms, beta, objective, np.zeros((n_t, 0)), log_z, c, new, residual)

    def objective(self, beta: float, log_z: Array) -> float:
        """G(w, r) of the normalisers, nats; inf where some source is infinitely far from every atom."""
        if not np.isfinite(log_z).all():
            return np.inf
        return float(beta * self.constant - np.sum(self.px * log_z))  # by NumPy's sum: BLAS rounds by its number of threads

    def sums(self, beta: float, atoms: Atoms, *, moments: bool = True) -> tuple[Array, Array, Array]:
        """Log Z (n,), the new weights (n_t,), and the new weights times the new means (n_y, n_t), or (0, n_t) without `moments`."""
        n_t, n_y = len(atoms), self.joint.n_y if moments else 0
        table, log_w = self.table(beta, atoms), np.log(atoms.weights)
        log_z, no_encoder = np.empty(self.n), np.empty((0, n_t))

        def part(first: int, last: int) -> tuple[Array, Array]:
            sums = np.zeros(n_t), np.zeros((n_y, n_t))
            kernels.sweep_rows(*self._csr, self.px, table, log_w, first, last, log_z, no_encoder, *sums)
            return sums

        weights, sums = _summed(part, self.n)
        return log_z, weights, sums

    def encoder(self, beta: float, atoms: Atoms, rows: Any = None) -> tuple[Array, Array]:
        """p(t|x) (m, n_t) and log Z (m,) of the sources, or of any CSR `rows` of conditionals; rows of zeros where log Z is -inf."""
        csr = self._csr if rows is None else csr_parts(rows)
        m, n_t = len(csr[2]) - 1, len(atoms)
        with np.errstate(divide="ignore"):
            table, log_w = self.table(beta, atoms), np.log(atoms.weights)
        log_z, encoder, no_moments = np.empty(m), np.empty((m, n_t)), np.zeros((0, n_t))

        def part(first: int, last: int) -> tuple[Array, ...]:
            kernels.sweep_rows(*csr, np.ones(m), table, log_w, first, last, log_z, encoder, np.zeros(n_t), no_moments)
            return ()

        _summed(part, m)
        return encoder, log_z

    def ascent(self, beta: float, log_a: Array, points: Atoms, *, moments: bool = True) -> tuple[Array, Array]:
        """Log c at each point (m,), and where its ascent step leads (m, n_y), or (m, 0) without `moments`."""
        m, n_y = len(points), self.joint.n_y if moments else 0
        table = self.table(beta, points)

        def part(first: int, last: int) -> tuple[Array, Array, Array]:
            own = np.full(m, -np.inf), np.zeros(m), np.zeros((n_y, m))
            kernels.ascent_rows(*self._csr, log_a, table, first, last, *own)
            return own

        with np.errstate(invalid="ignore", divide="ignore"):
            shift, totals, sums = functools.reduce(_scaled_sum, _in_order(part, self.n))
            values = np.where(totals > 0.0, shift + np.log(totals), -np.inf)
            means = np.where(totals > 0.0, sums / totals, points.means.T[:n_y]).T
        return values, np.ascontiguousarray(means)

    def tangent(self, state: Sweep, turn: Array, lift: Array) -> tuple[Array, Array]:
        """The derivatives of the weights (n_t,) and of the moments (n_y, n_t) of a sweep, where its terms move and log Z stays."""
        n_t = len(lift)
        table, log_w = self.table(state.beta, state.atoms), np.log(state.atoms.weights)
        turn = np.ascontiguousarray(turn)

        def part(first: int, last: int) -> tuple[Array, Array]:
            sums = np.zeros(n_t), np.zeros((self.joint.n_y, n_t))
            kernels.tangent_rows(*self._csr, self.px, table, log_w, state.log_z, turn, lift, first, last, *sums)
            return sums

        weights, moments = _summed(part, self.n)
        return weights, moments

    def table(self, beta: float, atoms: Atoms) -> Array:
        """``beta log p(y|t)`` laid out (n_y, n_t), -inf off the faces; that of the last atoms is kept."""
        for known, at, table in self._turned:
            if known is atoms and at == beta:
                return table
        assert atoms.face is not None
        table = np.ascontiguousarray(beta * self.link(atoms)[0].T)
        table[~atoms.face.T] = -np.inf
        self._turned.append((atoms, beta, table))
        return table

    def centroids(self, members: Any, weights: Array | None = None) -> Atoms:
        """Atoms at the centroids of the rows of a sparse `members` (m, n), rows summing to 1."""
        means = np.asarray((members @ self.rows).toarray())
        weights = np.full(len(means), 1.0 / len(means)) if weights is None else weights
        return Atoms(weights, means, means > 0.0)

    def allowed(self, face: Mask | None, support: Array | None = None) -> Mask:
        """Pairs (n_t, n) of finite divergence: dense, so for a few atoms only."""
        if face is None or support is not None:
            return super().allowed(face, support)
        from scipy import sparse

        pattern = sparse.csr_array((np.ones(self.rows.nnz), self.rows.indices, self.rows.indptr), shape=self.rows.shape)
        return np.asarray((pattern @ (~face).T.astype(np.float64)) == 0.0).T


def csr_parts(rows: Any) -> tuple[Array, np.ndarray, np.ndarray]:
    """The arrays of a CSR matrix in the types that the kernels take; not copied where they are of these types."""
    return (
        np.ascontiguousarray(rows.data, dtype=np.float64),
        np.ascontiguousarray(rows.indices, dtype=np.int32),
        np.ascontiguousarray(rows.indptr, dtype=np.int64),
    )


def n_threads() -> int:
    """How many threads the sweeps use: the CPUs of this process, or NUMBA_NUM_THREADS where that is less."""
    try:
        available = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        available = os.cpu_count() or 1
    from numba import config

    return max(1, min(available, int(vars(config)["NUMBA_NUM_THREADS"]), CHUNKS))


def _in_order(part: Callable[[int, int], tuple[Array, ...]], n: int) -> Iterator[tuple[Array, ...]]:
    """The results of `part` on successive runs of the n rows, in their order."""
    chunks = max(1, min(CHUNKS, n // _FEW_ROWS))
    ends = [n * i // chunks for i in range(chunks + 1)]
    if chunks == 1 or n_threads() == 1:
        for i in range(chunks):
            yield part(ends[i], ends[i + 1])
        return
    with ThreadPoolExecutor(min(n_threads(), chunks)) as pool:
        yield from pool.map(part, ends[:-1], ends[1:])


def _summed(part: Callable[[int, int], tuple[Array, ...]], n: int) -> tuple[Array, ...]:
    """The sums over the runs of rows."""
    results = _in_order(part, n)
    total = next(results)
    for more in results:
        for whole, own in zip(total, more, strict=True):
            whole += own
    return total


def _scaled_sum(first: tuple[Array, ...], second: tuple[Array, ...]) -> tuple[Array, ...]:
    """Sums that carry a scale, added."""
    shift = np.maximum(np.maximum(first[0], second[0]), -1e300)
    left, right = np.exp(first[0] - shift), np.exp(second[0] - shift)
    return shift, left * first[1] + right * second[1], left * first[2] + right * second[2]


def _distinct_rows(joint: JointDistribution) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the first of each set of equal live rows, and for each row its set (-1: p(x) = 0), as for dense ones.

    Rows with one hash that differ from the first with that hash stay apart.
    """
    csr = csr_parts(joint.py_x)
    hashes = np.empty(joint.n_x, dtype=np.uint64)
    kernels.hash_rows(*csr, hashes)
    live = np.flatnonzero(joint.px > NEGLIGIBLE)
    _, start, of = np.unique(hashes[live], return_index=True, return_inverse=True)
    head = live[start][of.ravel()]
    same = np.empty(len(live), dtype=np.bool_)
    kernels.equal_rows(*csr, head, live, same)
    first, index = np.unique(np.where(same, head, live), return_inverse=True)
    row_of = np.full(joint.n_x, -1)
    row_of[live] = index.ravel()
    return first, row_of


def _row_sums(rows: Any, values: Array) -> Array:
    """Sums of values at the nonzeros, row by row; no row is empty."""
    return np.add.reduceat(values, rows.indptr[:-1])


def _xlogx(p: Array) -> Array:
    result = np.log(p)
    result *= p
    return result
