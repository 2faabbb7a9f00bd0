"""Sparse p(y|x) kept sparse: the same sweeps and optima as of its dense form, with any number of threads."""

import warnings

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution, sparse_problem
from dualib.optimise import atoms_of_encoder
from dualib.problem import Problem, sweep
from dualib.sparse_problem import SparseProblem, problem_of
from dualib.sparse_solver import atoms_of_encoder as sparse_atoms_of_encoder
from dualib.sparse_solver import random_atoms


def table(seed, n_x=20, n_y=12, density=0.4):
    rng = np.random.default_rng(seed)
    pxy = rng.gamma(1.0, size=(n_x, n_y)) * (rng.random((n_x, n_y)) < density)
    pxy[0, 0] = 1.0
    return pxy / pxy.sum()


def thin(pxy):
    return JointDistribution(sparse.csr_array(pxy))


@pytest.fixture
def always_sparse(monkeypatch):
    monkeypatch.setattr(sparse_problem, "_DENSE_CELLS", 0)


@pytest.mark.parametrize("seed", range(10))
def test_one_sweep_is_that_of_the_dense_form(seed):
    pxy = table(seed)
    encoder = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), len(pxy))
    encoder[:3] = np.eye(4)[:3]
    dense, own = Problem(JointDistribution(pxy), dualib.IB()), SparseProblem(thin(pxy))
    first = sweep(dense, 3.0, atoms_of_encoder(dense, encoder))
    second = sweep(own, 3.0, sparse_atoms_of_encoder(own, encoder, "encoder"))
    assert second.objective == pytest.approx(first.objective, rel=1e-13)
    np.testing.assert_allclose(second.new.weights, first.new.weights, rtol=1e-12)
    np.testing.assert_allclose(second.new.means, first.new.means, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(own.encoder(3.0, second.atoms)[0].T, first.posterior, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beta", [1.5, 4.0, 15.0])
def test_the_optimum_is_that_of_the_dense_form(seed, beta, always_sparse):
    pxy = table(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        own, dense = dualib.solve(thin(pxy), beta), dualib.solve(JointDistribution(pxy), beta)
    assert own.objective == pytest.approx(dense.objective, abs=1e-9 + own.gap + dense.gap)
    assert own.gap < 1e-7
    assert own.relevance == pytest.approx(dense.relevance, abs=1e-6)
    assert own.encoder.shape == (len(pxy), own.n_clusters)


def test_the_number_of_threads_does_not_change_a_bit(monkeypatch):
    problem = SparseProblem(thin(table(0, 5000, 40, 0.1)))
    atoms = random_atoms(problem, 7, np.random.default_rng(0))
    found = []
    for count in (1, 2, 5):
        monkeypatch.setattr(sparse_problem, "n_threads", lambda count=count: count)
        state = sweep(problem, 4.0, atoms)
        found.append(state.new.means.tobytes() + state.log_z.tobytes() + problem.ascent(4.0, state.log_z, atoms)[1].tobytes())
    assert found[0] == found[1] == found[2]


def test_equal_rows_are_merged_and_empty_rows_left_out():
    pxy = table(1)
    pxy[7], pxy[9], pxy[11], pxy[:, 5] = pxy[3], pxy[3], 0.0, 0.0
    joint = thin(pxy / pxy.sum())
    own, dense = SparseProblem(joint), Problem(joint, dualib.IB())
    np.testing.assert_array_equal(own.row_of, dense.row_of)
    np.testing.assert_allclose(own.px, dense.px, rtol=1e-14)
    np.testing.assert_array_equal(own.rows.toarray(), dense.py_x)


def test_a_solution_is_saved_and_encodes(tmp_path, always_sparse):
    pxy = table(2)
    pxy[11] = 0.0
    solution = dualib.solve(thin(pxy / pxy.sum()), 15.0)
    solution.save(tmp_path / "s.npz")
    again = dualib.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(again.encoder, solution.encoder)
    rows = solution.joint.py_x.toarray()
    live = solution.joint.px > 0.0
    np.testing.assert_allclose(solution.encode(rows[live]), solution.encoder[live], atol=1e-9)
    np.testing.assert_allclose(solution.encode(rows[:3]), solution.encoder[:3], atol=1e-9)


def test_only_large_sparse_tables_of_the_ib_stay_sparse():
    large = thin(table(0, 500, 300, 0.05))
    assert isinstance(problem_of(large, dualib.IB()), SparseProblem)
    assert not isinstance(problem_of(thin(table(0)), dualib.IB()), SparseProblem)
    assert not isinstance(problem_of(large, dualib.DualIB()), SparseProblem)


def test_what_cannot_fit_is_refused(monkeypatch):
    from dualib import memory

    joint = thin(table(0, 500, 300, 0.05))
    monkeypatch.setattr(memory, "_ALWAYS_FITS", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="a sparse problem of 500 x by 300 y with"):
        dualib.solve(joint, 3.0)
