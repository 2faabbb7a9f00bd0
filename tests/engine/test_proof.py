"""The proved bound on log c: never below anything that can be evaluated, tight, and exact about zeros."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import dualib
from dualib.engine import proof
from dualib.engine.proof import Proof, prove

KINDS = ["ib", "dualib"]


def naive_log_c(log_a, py_x, beta, kind, s):
    """log sum_x a_x exp(-beta d(x, s)) from the definition, one state and one y at a time."""
    terms = []
    for a, p in zip(log_a, py_x, strict=True):
        first, second = (p, s) if kind == "ib" else (s, p)
        d = 0.0
        for u, v in zip(first, second, strict=True):
            if u > 0.0:
                d += u * np.log(u / v) if v > 0.0 else np.inf
        terms.append(a - beta * d)
    top = max(terms)
    return top + np.log(sum(np.exp(t - top) for t in terms)) if top > -np.inf else -np.inf


def many_log_c(log_a, py_x, beta, kind, points):
    """The same for points (m, n_y), as arrays."""
    p, s = py_x[None], points[:, None]
    first, second = (p, s) if kind == "ib" else (s, p)
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
        return np.logaddexp.reduce(log_a - beta * d, axis=1)


def mp_log_c(log_a, py_x, beta, kind, s):
    """The same with 60 digits, s renormalised in them."""
    with mpmath.workdps(60):
        s = [mpmath.mpf(float(v)) for v in s]
        s = [v / mpmath.fsum(s) for v in s]
        total = mpmath.mpf(0)
        for a, row in zip(log_a, py_x, strict=True):
            p = [mpmath.mpf(float(v)) for v in row]
            p = [v / mpmath.fsum(p) for v in p]
            first, second = (p, s) if kind == "ib" else (s, p)
            if all(v > 0 or u == 0 for u, v in zip(first, second, strict=True)):
                d = mpmath.fsum(u * mpmath.log(u / v) for u, v in zip(first, second, strict=True) if u > 0)
                total += mpmath.exp(mpmath.mpf(float(a)) - mpmath.mpf(beta) * d)
        return mpmath.log(total) if total > 0 else mpmath.mpf("-inf")


def grid(n_y, steps):
    """All points of the simplex whose coordinates are multiples of 1/steps, the faces included."""
    points = [c for c in itertools.product(range(steps + 1), repeat=n_y - 1) if sum(c) <= steps]
    points = np.array(points, dtype=float).reshape(len(points), n_y - 1)
    return np.column_stack([points, steps - points.sum(axis=1)]) / steps


def centroid_steps(log_a, py_x, beta, kind, points, n=40):
    """The ascent ``s <- centroid``, for points with c > 0."""
    points = points[many_log_c(log_a, py_x, beta, kind, points) > -np.inf]
    with np.errstate(divide="ignore"):
        log_p = np.log(py_x)
    for _ in range(n):
        p, s = py_x[None], points[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        with np.errstate(divide="ignore", invalid="ignore"):
            d = np.where(first > 0.0, first * (np.log(first) - np.log(second)), 0.0).sum(axis=2)
            q = np.exp(log_a - beta * d - np.max(log_a - beta * d, axis=1, keepdims=True))
            q /= q.sum(axis=1, keepdims=True)
            if kind == "ib":
                points = q @ py_x
            else:
                logs = np.where(q[:, :, None] > 0.0, q[:, :, None] * log_p[None], 0.0).sum(axis=1)
                points = np.exp(logs - logs.max(axis=1, keepdims=True))
        points /= points.sum(axis=1, keepdims=True)
    return points


def reference_maximum(log_a, py_x, beta, kind, steps=24):
    """Largest log c by a dense grid, the ascent from its best points, and Nelder-Mead from the best of all."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x])
    values = many_log_c(log_a, py_x, beta, kind, points)
    points = centroid_steps(log_a, py_x, beta, kind, points[np.argsort(-values)[:60]])
    values = many_log_c(log_a, py_x, beta, kind, points)
    best, point = values.max(), points[np.argmax(values)]
    face = point > 1e-9
    if face.sum() > 1:

        def loss(u):
            s = np.zeros_like(point)
            s[face] = np.exp(u - u.max())
            return -many_log_c(log_a, py_x, beta, kind, s[None] / s.sum())[0]

        fit = minimize(loss, np.log(point[face]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
        best = max(best, -fit.fun)
    return best


def random_problem(rng, n_x, n_y, concentration=1.0, zeros=0.0):
    py_x = rng.dirichlet(np.full(n_y, concentration), n_x) + 1e-12
    hide = rng.random((n_x, n_y)) < zeros
    hide[np.arange(n_x), rng.integers(n_y, size=n_x)] = False
    py_x[hide] = 0.0
    return np.log(rng.dirichlet(np.ones(n_x))) + rng.normal(0.0, 0.5), py_x / py_x.sum(axis=1, keepdims=True)


def solved_problem(rng, n_x, n_y, beta, kind, steps=3000):
    """log a at the end of plain Blahut-Arimoto from the identity: near-optimal, so that atoms touch log c = 0."""
    _, py_x = random_problem(rng, n_x, n_y)
    px = rng.dirichlet(np.full(n_x, 3.0))
    weights, atoms = px.copy(), py_x.copy()
    for _ in range(steps):
        p, s = py_x[None], atoms[:, None]
        first, second = (p, s) if kind == "ib" else (s, p)
        d = (first * np.log(first / second)).sum(axis=2)
        joint = weights[:, None] * np.exp(-beta * d)
        z = joint.sum(axis=0)
        joint *= px / z
        weights = joint.sum(axis=1)
        members = joint / weights[:, None]
        atoms = members @ py_x if kind == "ib" else np.exp(members @ np.log(py_x))
        atoms /= atoms.sum(axis=1, keepdims=True)
        keep = weights > 1e-12
        weights, atoms = weights[keep] / weights[keep].sum(), atoms[keep]
    return np.log(px / z), py_x, atoms


def check(result, log_a, py_x, beta, kind, *, tol=1e-9, lower=-np.inf, steps=12):
    """What must hold of every result, from evaluations alone."""
    points = np.concatenate([grid(py_x.shape[1], steps), py_x, result.best_point[None]])
    points = np.concatenate([points, centroid_steps(log_a, py_x, beta, kind, points, n=10)])
    values = many_log_c(log_a, py_x, beta, kind, points)
    noise = 4e-14 * (1.0 + beta) * (1.0 + np.abs(log_a).max())
    assert values.max() <= result.upper + noise
    assert result.best_point.shape == py_x.shape[1:]
    assert result.best_point.sum() == pytest.approx(1.0)
    assert (result.best_point >= 0.0).all()
    assert result.best_value <= result.upper
    if result.proved:
        # upper holds an allowance for rounding, at several times what rounding does
        assert result.upper <= max(lower, result.best_value) + 1.001 * tol + 4.0 * noise


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
    for cells in (1, 20, 60):
        result = prove(log_a, py_x, 20.0, kind, lower=-np.inf, max_cells=cells)
        assert not result.proved
        assert result.n_cells <= cells
        assert true <= result.upper <= previous
        previous = result.upper
    assert prove(log_a, py_x, 20.0, kind, max_cells=0).upper == np.inf
