"""Where proofs search: root cells above all conditionals, for any number of y, and slabs that a face bounds."""

import numpy as np
import pytest
from scipy.optimize import linprog

from dualib.engine import proof, root_cells
from dualib.engine.root_cells import provable
from engine.proofs import centroid_steps, flat_table, many_log_c, mp_log_c, prove, random_problem


def test_a_slab_holds_a_cell_only_whole():
    corners = np.array([[[0.1, 0.9], [0.2, 0.8]], [[0.1, 0.9], [0.3, 0.7]]])
    slabs = [(np.array([True, False]), np.array([0.2, 0.25]))]
    assert proof._within(corners, slabs, np.array([0, 0])).tolist() == [True, False]
    assert proof._within(corners[::-1], slabs, np.array([1, 1])).tolist() == [False, True]
    assert proof._within(corners, [], np.array([0, 0])).tolist() == [False, False]


@pytest.mark.parametrize("beta", [2.5, 4.0, 30.0])
def test_slabs_hold_nothing_above_their_face(beta):
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(60):
        log_a, py_x = random_problem(rng, 6, 3, zeros=0.5)
        face = np.zeros(3, dtype=bool)
        face[rng.choice(3, int(rng.integers(1, 3)), replace=False)] = True
        inner = ~(py_x[:, ~face] > 0.0).any(axis=1)
        if not inner.any() or inner.all():
            continue
        level = float(log_a.max())
        mass = root_cells.slab(log_a[~inner], py_x[~inner][:, ~face].sum(axis=1), beta, level)
        if mass == 0.0:
            continue
        found += 1
        eps = mass * np.concatenate([10.0 ** -rng.uniform(0.0, 9.0, 800), np.linspace(0.5, 1.0, 100)])
        s = np.empty((900, 3))
        s[:, face] = (1.0 - eps)[:, None] * rng.dirichlet(np.full(face.sum(), 0.5), 900)
        inside = s[:, face] / s[:, face].sum(axis=1, keepdims=True)
        s[:, ~face] = eps[:, None] * rng.dirichlet(np.full((~face).sum(), 0.5), 900)
        on_face = np.zeros_like(s)
        on_face[:, face] = inside
        c_face = many_log_c(log_a[inner], py_x[inner], beta, "ib", on_face)
        assert (many_log_c(log_a, py_x, beta, "ib", s) <= np.maximum(c_face, level) + 1e-12).all()
    assert found > 3


def test_what_is_provable():
    rng = np.random.default_rng(0)
    full = rng.dirichlet(np.ones(6), 6)
    assert not provable(full, "ib") and not provable(full, "dualib")
    assert provable(full[:4], "ib") and not provable(full[:4], "dualib")
    assert provable(full[:, :4], "ib") and provable(full[:, :4], "dualib")
    assert provable(flat_table(rng, 30, 50, 3), "ib") and not provable(flat_table(rng, 30, 50, 4), "ib")
    assert not provable(flat_table(rng, 30, 50, 3) + 1e-9 * rng.random((30, 50)), "ib")


@pytest.mark.parametrize(
    ("n_x", "n_y", "rank"), [(4, 9, 3), (1, 5, 0), (9, 4, 3), (9, 3, 2), (20, 12, 2), (25, 30, 3), (7, 8, 0)]
)
def test_root_cells_lie_above_all_conditionals(n_x, n_y, rank):
    """By linear programming: barycentric weights with which the vertices are at least each p_x."""
    rng = np.random.default_rng(n_x)
    for concentration in (0.1, 1.0):
        py_x = flat_table(rng, n_x, n_y, rank, concentration)
        vertices = root_cells._hull(py_x)
        assert len(vertices) <= 4
        assert vertices.sum(axis=1) == pytest.approx(1.0, abs=1e-10)
        for p in py_x:
            fit = linprog(np.zeros(len(vertices)), -vertices.T, 1e-9 - p, np.ones((1, len(vertices))), [1.0])
            assert fit.status == 0


@pytest.mark.parametrize("shape", ["few x", "few x with zeros", "line", "plane", "space"])
def test_the_ib_is_proved_for_any_number_of_y(shape):
    rng = np.random.default_rng(len(shape))
    for trial in range(6):
        n_y, beta = int(rng.integers(5, 51)), float(10.0 ** rng.uniform(-0.5, 2.0))
        if shape.startswith("few"):
            py_x = rng.dirichlet(np.full(n_y, [0.1, 1.0, 5.0][trial % 3]), int(rng.integers(1, 5))) + 1e-12
        else:
            py_x = flat_table(rng, int(rng.integers(5, 25)), n_y, ["line", "plane", "space"].index(shape) + 1)
        if shape.endswith("zeros"):
            py_x[rng.random(py_x.shape) < 0.4] = 0.0
            py_x[:, 0] += 0.01
        py_x /= py_x.sum(axis=1, keepdims=True)
        log_a = np.log(rng.dirichlet(np.ones(len(py_x)))) + rng.normal()
        result = prove(log_a, py_x, beta, "ib", lower=-np.inf)
        starts = np.concatenate([rng.dirichlet(np.full(len(py_x), 0.3), 100), np.eye(len(py_x))]) @ py_x
        best = many_log_c(log_a, py_x, beta, "ib", centroid_steps(log_a, py_x, beta, "ib", starts, n=300)).max()
        assert result.proved and result.best_value <= result.upper <= result.best_value + 1.1e-9
        assert best <= result.upper + 1e-12
        assert result.best_value == pytest.approx(best, abs=2e-9)
        assert many_log_c(log_a, py_x, beta, "ib", result.best_point[None])[0] == pytest.approx(result.best_value, abs=1e-10)
        assert mp_log_c(log_a, py_x, beta, "ib", result.best_point) <= result.upper
