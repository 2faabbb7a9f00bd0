"""The formula of memory against what is used, and the refusal of what cannot fit, before it is allocated."""

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import JointDistribution, memory
from dualib.memory import least_memory, most_memory
from dualib.problem import Problem


@pytest.mark.parametrize(
    ("n_x", "n_y", "kind", "beta"), [(150, 10, "ib", 2.0), (150, 10, "dualib", 40.0), (60, 120, "ib", 30.0)]
)
def test_the_formula_encloses_what_a_solve_takes(n_x, n_y, kind, beta):
    rng = np.random.default_rng(0)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.5), n_x))
    dualib.compile_kernels()  # imports and compiled code are not the problem's
    dualib.solve(dualib.datasets.toy(), 3.0, kind)
    tracemalloc.start()
    try:
        dualib.solve(joint, beta, kind, max_iter=40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert least_memory(n_x, n_y, n_y) <= peak <= most_memory(n_x, n_y, n_y, n_x)


def test_what_cannot_fit_is_refused_before_the_work(monkeypatch):
    rng = np.random.default_rng(0)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(3), 1500))
    needed = least_memory(1500, 3, 3)
    solution = dualib.solve(joint, 0.01)
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    message = r"a certified solve of 1500 distinct x with 3 features and 3 y needs at least 115 MiB of memory, and 115 MiB are"
    labels = np.arange(1500) % 2
    for attempt in (
        lambda: dualib.solve(joint, 2.0),
        lambda: dualib.anneal(joint, "dualib", [2.0]),
        lambda: dualib.certify(joint, np.eye(2)[labels], 2.0),
        lambda: dualib.solve_at(joint, rate=0.1),
        lambda: dualib.onset(joint),
        lambda: dualib.follow(solution, [2.0]),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(MemoryError, match=message):
                attempt()
            assert tracemalloc.get_traced_memory()[1] < needed / 20
        finally:
            tracemalloc.stop()


def test_a_sparse_problem_whose_dense_form_cannot_fit_is_refused():
    n = 2_000_000
    joint = JointDistribution(sparse.csr_array((np.full(n, 1.0 / n), (np.arange(n), np.arange(n))), shape=(n, n)))
    with pytest.raises(MemoryError, match=r"a problem of 2000000 x by 2000000 y needs at least 1\.19e\+05 GiB"):
        Problem(joint, dualib.IB())


def test_small_problems_do_not_ask_the_system(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: pytest.fail("asked"))
    assert dualib.solve(dualib.datasets.toy(), 3.0).converged


def test_the_system_tells_how_much_there_is():
    assert 2**20 < memory.available_memory() < 2**60
