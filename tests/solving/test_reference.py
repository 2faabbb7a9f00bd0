"""Objective, stationarity and certificate against mpmath at 50 digits (tests/reference, which shares no code with dualib)."""

import ast
from pathlib import Path

import numpy as np
import pytest
import reference

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep, log_c, residuals

KINDS = ("ib", "dualib")
SIZES = ((2, 2), (3, 5), (5, 3), (7, 4), (12, 3), (4, 12), (8, 8), (12, 6), (6, 2), (10, 5))


def random_joint(seed, n_x, n_y):
    """A seeded p(x, y): every second one with a third of its entries 0 (and every fourth a column without), one p(x) of them 0."""
    rng = np.random.default_rng(seed)
    pxy = rng.dirichlet(np.full(n_x, 2.0))[:, None] * rng.dirichlet(np.full(n_y, 0.7), n_x)
    if seed % 2:
        kept = rng.random((n_x, n_y)) < 0.67
        kept[np.arange(n_x), rng.integers(n_y, size=n_x)] = True
        kept[:, 0] |= seed % 4 == 1
        pxy *= kept
        pxy[-1] = 0.0
    return pxy / pxy.sum()


def problems():
    return [(seed, kind) for seed in range(len(SIZES)) for kind in KINDS]


def encoders(joint, kind, beta, seed):
    """Two far from stationary (random, where supports allow it; the optimum of another beta), one nearly so, and the optimum."""
    if kind == "ib" or seed % 4 != 3:
        yield np.random.default_rng(100 + seed).dirichlet(np.ones(3), joint.n_x)
    yield dualib.solve(joint, 0.6 * beta, kind).encoder
    yield dualib.solve(joint, 1.01 * beta, kind).encoder
    yield dualib.solve(joint, beta, kind).encoder


@pytest.mark.parametrize(("seed", "kind"), problems())
def test_the_package_agrees_with_fifty_digits(seed, kind):
    pxy = random_joint(seed, *SIZES[seed])
    joint = dualib.JointDistribution(pxy)
    beta = float(np.random.default_rng(50 + seed).uniform(2.0, 25.0))
    problem = Problem(joint, as_distortion(kind))
    for encoder in encoders(joint, kind, beta, seed):
        batch = of_encoder(problem, [beta], encoder, "encoder")
        sweep = Sweep(problem, batch)
        expected = float(reference.residual(kind, pxy, encoder, beta))
        assert residuals(problem, batch, sweep)[0] == pytest.approx(expected, rel=1e-12, abs=1e-12)
        c = [float(value) for value in reference.ratios(kind, pxy, encoder, beta)]
        np.testing.assert_allclose(sweep.c, c, rtol=1e-12, atol=1e-12)

        members = np.random.default_rng(seed).dirichlet(np.full(problem.n, 0.3), 4)
        means, face, _ = problem.centroids(np.concatenate([members, np.eye(problem.n)]))
        values = log_c(problem, batch.beta, sweep.log_z, means, face, np.zeros(len(means), dtype=np.int64))[0]
        exact = [float(value) for value in reference.log_c(kind, pxy, encoder, beta, problem.decoder(means, face))]
        np.testing.assert_allclose(values, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("seed", "kind"), problems())
def test_what_users_see_agrees_with_fifty_digits(seed, kind):
    """solve() and certify(): objective, residual, and the gap as log c at the best decoder that was found."""
    pxy = random_joint(seed, *SIZES[seed])
    joint = dualib.JointDistribution(pxy)
    solution = dualib.solve(joint, 7.0, kind)
    assert solution.objective == pytest.approx(float(reference.objective(kind, pxy, solution.encoder, 7.0)), abs=1e-12)
    assert float(reference.residual(kind, pxy, solution.encoder, 7.0)) <= 1e-9
    on_atoms = reference.log_c(kind, pxy, solution.encoder, 7.0)
    assert max(abs(float(value)) for value in on_atoms) <= 1e-9

    other = next(encoders(joint, kind, 7.0, seed))
    judged = dualib.certify(joint, other, 7.0, kind)
    objective = float(reference.objective(kind, pxy, other, 7.0))
    assert judged.objective == pytest.approx(objective, rel=1e-12, abs=1e-12)
    assert judged.residual == pytest.approx(float(reference.residual(kind, pxy, other, 7.0)), rel=1e-12)
    assert judged.gap == pytest.approx(objective - solution.objective, abs=2e-9)


def test_the_bound_holds_at_fifty_digits():
    """G - log max c <= F <= G, with c at 50 digits over a fine grid of the segment: below any solution's objective."""
    pxy = random_joint(8, 6, 2)
    first = np.linspace(1e-6, 1 - 1e-6, 201)
    grid = np.stack([first, 1 - first], axis=1)
    for kind in KINDS:
        best = float(reference.objective(kind, pxy, dualib.solve(dualib.JointDistribution(pxy), 6.0, kind).encoder, 6.0))
        stuck = dualib.solve(dualib.JointDistribution(pxy), 6.0, kind, init=np.ones((6, 1)), certify=False).encoder
        excess = float(reference.objective(kind, pxy, stuck, 6.0)) - best
        highest = float(max(reference.log_c(kind, pxy, stuck, 6.0, grid)))
        assert 0.0 <= excess <= highest + 1e-12


def test_the_reference_shares_no_code_with_the_package():
    files = sorted(Path(reference.__file__).parent.glob("*.py"))
    assert len(files) == 4
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in ("dualib", "numpy", "naive") for name in names), (path, names)
