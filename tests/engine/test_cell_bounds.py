"""The bound of log c on one cell: above everything in it, whatever its centre, with its rounding; and the halves of a cell."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

import dualib
from dualib.engine import proof
from dualib.engine.loading import compiled_cells
from engine.proofs import KINDS, many_log_c


def bounds_of(log_a, py_x, beta, kind, vertices, centre, limit=-np.inf):
    """Bound and allowance of `compiled_cells().bound_cells` for cells (b, k, n_y) around centres (b, n_y)."""
    n = len(vertices)
    negentropy = np.sum(py_x * np.log(py_x), axis=1) if kind == "ib" else np.zeros(len(py_x))
    features = np.ascontiguousarray((py_x if kind == "ib" else np.log(py_x)).T)
    alpha = log_a - beta * negentropy
    terms = proof.Terms(alpha[None], np.array([beta]), np.array([np.abs(alpha).max() + beta]), features, kind == "ib")
    upper, error, value, edge = np.empty(n), np.empty(n), np.empty(n), np.zeros(n, dtype=np.intp)
    owner = np.zeros(n, dtype=np.intp)
    limits = np.full(n, limit)
    compiled_cells().bound_cells(*terms, vertices, np.abs(vertices), centre, owner, limits, upper, error, value, edge)
    return upper, error, value, edge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "n_y"), [(2, 2), (3, 3), (4, 4), (2, 7), (4, 9)])
def test_the_bound_of_a_cell_is_above_everything_in_it(kind, k, n_y):
    """Around the centroid and around any other point; tight where the cell is small."""
    rng = np.random.default_rng(10 * k + n_y)
    tight = 0
    for _ in range(100):
        n, beta = int(rng.integers(2, 9)), float(10.0 ** rng.uniform(-1.0, 2.5))
        py_x = rng.dirichlet(np.full(n_y, rng.choice([0.3, 2.0])), n) + 1e-9
        py_x /= py_x.sum(axis=1, keepdims=True)
        log_a, radius = rng.normal(size=n), 10.0 ** rng.uniform(-3.0, 0.0)
        base = rng.dirichlet(np.full(n_y, 0.5), k + 1) + 1e-9
        base /= base.sum(axis=1, keepdims=True)
        vertices = base[0] + radius * (base[:k] - base[0])
        inside = rng.dirichlet(np.full(k, 0.5), 300) @ vertices
        true = many_log_c(log_a, py_x, beta, kind, inside).max()
        for centre in (vertices.mean(axis=0), base[0] + radius * (base[k] - base[0]), base[k]):
            for limit in (-np.inf, true):
                upper, error, value, edge = bounds_of(log_a, py_x, beta, kind, vertices[None], centre[None], limit)
                assert true <= upper[0] + error[0] + 1e-12 * (1.0 + beta)
                assert error[0] > 0.0
                assert value[0] == pytest.approx(
                    many_log_c(log_a, py_x, beta, kind, centre[None])[0], abs=1e-10 * (1.0 + beta)
                )
                v, w = divmod(int(edge[0]), k)
                assert 0 <= w < v < k
        upper, error, _, _ = bounds_of(log_a, py_x, beta, kind, vertices[None], vertices.mean(axis=0)[None])
        assert error[0] < 1e-9 * (1.0 + beta)
        if radius < 1e-2 and beta < 10.0:
            tight += 1
            assert upper[0] - true < 0.5
    assert tight > 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3, 1e6])
def test_bounds_hold_where_terms_underflow_at_the_centre(kind, beta):
    """A state that has no weight left at the centre may have all of it at a vertex."""
    rng = np.random.default_rng(0)
    py_x = np.array([[0.6, 1e-9, 0.4], [1e-7, 1.0 - 2e-7, 1e-7], [0.2, 0.3, 0.5]])
    py_x /= py_x.sum(axis=1, keepdims=True)
    vertices = np.array([[0.6, 1e-9, 0.4], [1e-7, 1.0, 1e-7], [0.3, 0.1, 0.6]])
    vertices /= vertices.sum(axis=1, keepdims=True)
    points = np.concatenate([vertices, rng.dirichlet(np.full(3, 0.5), 500) @ vertices])
    log_a = np.array([0.0, -1.0, -2.0])
    true = many_log_c(log_a, py_x, beta, kind, points).max()
    for centre in (vertices[0], vertices.mean(axis=0)):
        upper, error, _, _ = bounds_of(log_a, py_x, beta, kind, vertices[None], centre[None])
        assert true <= upper[0] + error[0] < np.inf


@pytest.mark.parametrize("is_ib", [False, True])
def test_the_remainder_of_the_concave_part_is_below_that_by_mpmath(is_ib):
    """And close to it up to t = 1; at t <= -1 it stays below the limit."""
    for t in [*np.linspace(-0.999, 0.499, 40), 0.4999999, 0.5, 0.5000001, *np.geomspace(0.5, 1e6, 40)]:
        with mpmath.workdps(60):
            x = mpmath.mpf(float(t))
            exact = mpmath.mpf(0.5) if x == 0 else ((x - mpmath.log1p(x)) if is_ib else (1 + x) * mpmath.log1p(x) - x) / x**2
        found = compiled_cells()._remainder(float(t), is_ib)
        assert found <= float(exact) * (1.0 + 1e-14)
        if abs(t) <= 0.3:
            assert found >= 0.98 * float(exact)
    assert compiled_cells()._remainder(-1.0, False) <= 1.0


def test_halves_are_exact_or_refused():
    rng = np.random.default_rng(2)
    found = {True: 0, False: 0}
    for trial in range(100):
        digits = 2.0**20 if trial % 2 else 2.0**60
        cell = np.round(rng.random((1, 3, 3)) * 10.0 ** rng.integers(-3, 4) * digits) / digits
        edge = np.array([int(rng.choice([3, 6, 7]))])
        v, w = divmod(int(edge[0]), 3)
        middle = [(Fraction(cell[0, v, y]) + Fraction(cell[0, w, y])) / 2 for y in range(3)]
        (first, second), exact = proof._halved(cell, edge)
        fine = bool(exact[0])
        assert fine == all(Fraction(float(value)) == value for value in middle)
        if fine:
            assert [Fraction(value) for value in first[0, v]] == [Fraction(value) for value in second[0, w]] == middle
            np.testing.assert_array_equal(np.delete(first[0], v, axis=0), np.delete(cell[0], v, axis=0))
            np.testing.assert_array_equal(np.delete(second[0], w, axis=0), np.delete(cell[0], w, axis=0))
        found[fine] += 1
    assert min(found.values()) > 20
    assert not proof._halved(np.ones((1, 1, 1)), np.zeros(1, dtype=int))[1][0]  # a point has no edge


class Remembered:
    """`bound_cells`, and the arguments of its calls."""

    def __init__(self):
        self.calls, self._cells = [], compiled_cells()

    def bound_cells(self, *arguments):
        self.calls.append(copied(arguments))
        self._cells.bound_cells(*arguments)


def copied(arguments):
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def test_bounds_are_the_same_wherever_arrays_lie_in_memory(monkeypatch):
    """Sums in an order of the compiler's choice came out otherwise, in the last bit, by how far apart its arrays happened to be."""
    cells = Remembered()
    monkeypatch.setattr(proof, "compiled_cells", lambda: cells)
    dualib.solve(dualib.datasets.toy(), 20.0)
    monkeypatch.undo()
    first, lying_about = None, []
    for size in np.random.default_rng(0).integers(1, 200, 1000):
        lying_about.append(np.ones(size))
        if size % 2:
            lying_about.pop(0)
        found = [copied(call) for call in cells.calls]
        for call in found:
            compiled_cells().bound_cells(*call)
        bits = [call[10].tobytes() for call in found]
        first = bits if first is None else first
        assert bits == first
