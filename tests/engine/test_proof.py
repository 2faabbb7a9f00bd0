"""The proved bound on log c: never below anything that can be evaluated, tight, and exact about zeros."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dualib
from dualib.engine.proof import prove_many
from dualib.engine.root_cells import Table
from engine.proofs import (
    KINDS,
    check,
    flat_table,
    mp_log_c,
    naive_log_c,
    prove,
    random_problem,
    reference_maximum,
    solved_problem,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_y", [1, 2, 3, 4])
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.7])
def test_maximum_agrees_with_an_independent_search(kind, n_y, zeros):
    rng = np.random.default_rng(100 * n_y + int(10 * zeros))
    for beta in (0.3, 1.5, 6.0, 25.0):
        log_a, py_x = random_problem(rng, int(rng.integers(1, 9)), n_y, zeros=zeros)
        result = prove(log_a, py_x, beta, kind, lower=-np.inf)
        assert result.proved
        check(result, log_a, py_x, beta, kind)
        reference = reference_maximum(log_a, py_x, beta, kind)
        assert result.best_value == pytest.approx(reference, abs=2e-8)
        assert naive_log_c(log_a, py_x, beta, kind, result.best_point) == pytest.approx(result.best_value, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beta", [0.01, 1.0, 40.0, 3000.0])
def test_bound_is_above_high_precision_values(kind, beta):
    rng = np.random.default_rng(5)
    for n_y, zeros in ((2, 0.0), (3, 0.4), (3, 0.0)):
        log_a, py_x = random_problem(rng, 5, n_y, concentration=0.5, zeros=zeros)
        result = prove(log_a, py_x, beta, kind, lower=-np.inf, max_cells=50_000)
        noisy = result.best_point * np.exp(1e-6 * rng.normal(size=(4, n_y)))
        for s in [*rng.dirichlet(np.ones(n_y), 6), *py_x, result.best_point, *noisy]:
            assert mp_log_c(log_a, py_x, beta, kind, s) <= result.upper
        assert float(mp_log_c(log_a, py_x, beta, kind, result.best_point)) == pytest.approx(
            result.best_value, abs=1e-11 * (1.0 + beta)
        )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10**6),
    n_x=st.integers(1, 12),
    n_y=st.integers(1, 4),
    log_beta=st.floats(-3.0, 4.0),
    zeros=st.sampled_from([0.0, 0.2, 0.6]),
    concentration=st.sampled_from([0.1, 1.0, 5.0]),
    kind=st.sampled_from(KINDS),
)
def test_bound_holds_for_every_shape_and_beta(seed, n_x, n_y, log_beta, zeros, concentration, kind):
    rng = np.random.default_rng(seed)
    beta = 10.0**log_beta
    log_a, py_x = random_problem(rng, n_x, n_y, concentration, zeros)
    result = prove(log_a, py_x, beta, kind, lower=-np.inf, max_cells=3000)
    assert np.isfinite(result.best_value)
    check(result, log_a, py_x, beta, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_y", [2, 3, 4])
def test_identity_and_permutation_matrices(kind, n_y):
    for py_x in (np.eye(n_y), np.eye(n_y)[::-1], np.eye(n_y)[np.r_[0, 0:n_y]]):
        log_a = np.full(len(py_x), -0.3)
        for beta in (0.7, 3.0, 200.0):
            result = prove(log_a, py_x, beta, kind, lower=-np.inf)
            assert result.proved
            reference = reference_maximum(log_a, py_x, beta, kind)
            assert result.best_value == pytest.approx(reference, abs=1e-8)
            assert reference <= result.upper + 1e-13
    if kind == "dualib":  # only the corners have any mass: c = a at each
        assert prove(np.zeros(n_y), np.eye(n_y), 2.0, kind).upper == pytest.approx(0.0, abs=2e-9)


def test_one_state_and_one_outcome():
    for kind in KINDS:
        assert prove([0.25], [[0.2, 0.5, 0.3]], 4.0, kind).best_value == pytest.approx(0.25, abs=1e-12)
        result = prove(np.log([0.5, 0.25]), np.ones((2, 1)), 4.0, kind, lower=-1.0)
        assert result.best_value == pytest.approx(np.log(0.75), abs=1e-14)
        assert result.proved
        assert result.upper == pytest.approx(np.log(0.75), abs=2e-9)
        assert result.best_point.tolist() == [1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_splitting_a_state_or_adding_an_impossible_one_changes_nothing(kind):
    rng = np.random.default_rng(3)
    log_a, py_x = random_problem(rng, 5, 3)
    plain = prove(log_a, py_x, 6.0, kind, lower=-np.inf)
    double = prove(np.tile(log_a - np.log(2.0), 2), np.tile(py_x, (2, 1)), 6.0, kind, lower=-np.inf)
    more = prove(np.append(log_a, -np.inf), np.vstack([py_x, [0.0, 0.0, 1.0]]), 6.0, kind, lower=-np.inf)
    permuted = prove(log_a, py_x[:, [2, 0, 1]], 6.0, kind, lower=-np.inf)
    empty = prove(log_a, np.insert(py_x, 1, 0.0, axis=1), 6.0, kind, lower=-np.inf)
    for other in (double, more, permuted, empty):
        assert other.proved
        assert other.best_value == pytest.approx(plain.best_value, abs=1e-10)
    assert empty.best_point[1] == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_x", "n_y", "beta", "budget"), [(6, 2, 8.0, 100), (8, 3, 5.0, 600), (8, 4, 10.0, 6000)])
def test_certificate_at_a_solution_is_cheap(kind, n_x, n_y, beta, budget):
    log_a, py_x, atoms = solved_problem(np.random.default_rng(1), n_x, n_y, beta, kind)
    lower = max(0.0, reference_maximum(log_a, py_x, beta, kind))
    assert lower < 1e-3
    result = prove(log_a, py_x, beta, kind, points=atoms, lower=lower)
    assert result.proved
    assert result.n_cells < budget
    assert 0.0 <= result.upper <= max(lower, result.best_value) + 1.01e-9
    check(result, log_a, py_x, beta, kind, lower=lower)
    without = prove(log_a, py_x, beta, kind, lower=lower)
    assert without.proved
    assert without.upper == pytest.approx(result.upper, abs=2e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_cluster_is_found(kind):
    _, py_x, atoms = solved_problem(np.random.default_rng(8), 7, 3, 12.0, kind)
    for dropped in range(len(atoms)):
        others = np.delete(atoms, dropped, axis=0)
        p, s = py_x[None], others[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        likelihood = np.exp(-12.0 * (first * np.log(first / second)).sum(axis=2))
        worse = np.log(np.full(7, 1.0 / 7.0)) - np.log(likelihood.mean(axis=0))
        result = prove(worse, py_x, 12.0, kind, points=others)
        assert result.proved
        assert result.best_value > 0.01
        assert result.best_value == pytest.approx(reference_maximum(worse, py_x, 12.0, kind), abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_proof_is_a_bound_and_says_so(kind):
    log_a, py_x = random_problem(np.random.default_rng(0), 10, 4)
    true = prove(log_a, py_x, 20.0, kind, lower=-np.inf).best_value
    previous = np.inf
    for budget in (1, 20, 60):
        result = prove(log_a, py_x, 20.0, kind, lower=-np.inf, max_cells=budget)
        assert not result.proved
        assert result.n_cells <= budget
        assert true <= result.upper <= previous
        previous = result.upper
    assert prove(log_a, py_x, 20.0, kind, max_cells=0).upper == np.inf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_many_betas_together_are_each_as_if_alone(kind, zeros):
    rng = np.random.default_rng(7)
    _, py_x = random_problem(rng, 7, 3, zeros=zeros)
    betas = np.geomspace(0.3, 60.0, 9)
    log_a = np.log(rng.dirichlet(np.ones(7), 9))
    points = [rng.dirichlet(np.ones(3), int(n)) for n in rng.integers(0, 4, 9)]
    lower = np.where(np.arange(9) % 2 == 0, -np.inf, 0.0)
    together = prove_many(Table(py_x, kind), log_a, betas, points, 1e-9, lower)
    for i, one in enumerate(together):
        alone = prove(log_a[i], py_x, betas[i], kind, points=points[i], lower=lower[i])
        assert one.proved and alone.proved
        assert one.upper == pytest.approx(alone.upper, abs=1e-12)
        assert one.best_value == pytest.approx(alone.best_value, abs=1e-12)
        assert one.n_cells == alone.n_cells
    few = prove_many(Table(py_x, kind), log_a, betas, points, 1e-9, lower, max_cells=5)
    for some, one in zip(few, together, strict=True):
        assert some.n_cells <= 5 and some.upper >= one.best_value and some.proved == (one.n_cells <= 5)


@pytest.mark.parametrize("n_x", [4, 12])
def test_solve_and_anneal_prove_such_tables(n_x):
    rng = np.random.default_rng(n_x)
    py_x = flat_table(rng, n_x, 30, 3, 0.3)
    joint = dualib.JointDistribution.from_conditionals(py_x)
    for beta in (2.0, 6.0):
        solution = dualib.solve(joint, beta)
        assert solution.certificate == "rigorous" and solution.gap <= 1e-9
        assert dualib.certify(joint, solution.encoder, beta).kind == "rigorous"
        assert dualib.solve(joint, beta, "dualib").certificate == "multistart"
    curve = dualib.anneal(joint, betas=[1.5, 3.0, 6.0], events=False)
    assert [solution.certificate for solution in curve] == ["rigorous"] * 3


class OfOnesOwn(dualib.IB):
    """The IB by another name, as far as anybody can tell."""

    def link(self, means, face=None):
        return super().link(means, face)


def test_a_distortion_derived_from_the_ib_is_not_proved_by_its_formula():
    assert dualib.solve(dualib.datasets.toy(), 8.0).certificate == "rigorous"
    assert dualib.solve(dualib.datasets.toy(), 8.0, OfOnesOwn()).certificate == "multistart"
