"""Stability numbers and linear rates of states with entries next to 0, with clusters twice, and with clusters that no x goes to."""

import math

import numpy as np
import pytest

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.descent import without_idle
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.engine.stability import error_bound, linear_rate, softest_tilt, stability
from dualib.engine.sweep import Sweep
from engine.cases import cases


def counts():
    rng = np.random.default_rng(0)
    table = rng.poisson(rng.gamma(0.5, 2.0, (60, 8)))
    return dualib.JointDistribution.from_counts(table[table.sum(axis=1) > 0])


def state_of(joint, beta, encoder, kind="ib"):
    problem = Problem(joint, as_distortion(kind))
    batch = of_encoder(problem, [beta], encoder, "encoder")
    return problem, batch, Sweep(problem, batch)


@pytest.mark.parametrize("value", [1e-300, 1e-123, 1e-60, 1e-20])
def test_an_entry_on_its_way_from_anywhere_changes_no_number(value):
    joint = counts()
    problem, batch, settled = state_of(joint, 6.0, dualib.solve(joint, 6.0).encoder)
    means = batch.means.copy()
    place = np.unravel_index(np.argmin(np.where(problem.faces.masks[batch.face], means, 1.0)), means.shape)
    assert means[place] < 1e-30
    means[place] = value
    moved = Batch(batch.beta, batch.weights, means, batch.owner, batch.face)
    sweep = Sweep(problem, moved)
    np.testing.assert_allclose(stability(problem, moved, sweep), stability(problem, batch, settled), rtol=1e-9, atol=1e-12)
    assert linear_rate(problem, moved, sweep) == pytest.approx(linear_rate(problem, batch, settled), abs=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_a_cluster_that_no_x_goes_to_has_no_number(kind):
    joint = dualib.JointDistribution.from_conditionals([[0.7, 0.3, 0.0], [0.0, 0.2, 0.8], [0.2, 0.5, 0.3]], [0.2, 0.5, 0.3])
    problem, batch, _ = state_of(joint, 1e5, np.eye(3), kind)
    mixed = (problem.px @ problem.U)[None] if kind == "ib" else problem.U[2:] + np.array([[0.0, 1.0, 0.0]])
    face = problem.faces.numbers(np.ones((1, 3), dtype=bool))
    batch = batch.joined(np.array([0.1]), mixed, np.zeros(1, dtype=np.int64), face).keep(np.ones(4, dtype=bool))
    sweep = Sweep(problem, batch)
    assert sweep.new_weights[3] == 0.0
    numbers = stability(problem, batch, sweep)
    assert numbers[3] == 0.0 and np.isfinite(numbers).all() and math.isfinite(linear_rate(problem, batch, sweep))


def test_two_clusters_of_one_decoder_have_no_error_bound_and_become_one():
    joint = dualib.datasets.toy()
    solution = dualib.solve(joint, 8.0)
    halves = np.repeat(solution.encoder, 2, axis=1) * np.tile([0.3, 0.7], solution.n_clusters)
    problem, batch, sweep = state_of(joint, 8.0, halves)
    rate = linear_rate(problem, batch, sweep)
    assert rate == pytest.approx(1.0, abs=1e-12)
    assert error_bound(1e-12, rate) == math.inf and error_bound(0.0, rate) == 0.0
    fewer, again = without_idle(problem, batch, sweep)
    assert len(fewer.weights) == solution.n_clusters
    assert again.objective[0] == pytest.approx(sweep.objective[0], abs=1e-14)


def test_clusters_of_rounding_are_left_out_and_those_of_rare_x_are_not():
    rare = 1e-40
    joint = dualib.JointDistribution(np.diag([0.6, 0.4 - rare, rare]))
    problem, batch, _ = state_of(joint, 3.0, np.eye(3))
    pooled = (problem.px @ problem.U)[None]
    face = problem.faces.numbers(np.ones((1, 3), dtype=bool))
    more = batch.joined(np.array([1e-18]), pooled, np.zeros(1, dtype=np.int64), face).keep(np.ones(4, dtype=bool))
    fewer, _ = without_idle(problem, more, Sweep(problem, more))
    assert len(more.weights) == 4 and len(fewer.weights) == 3
    assert fewer.weights.min() == pytest.approx(rare, rel=1e-6)


@pytest.mark.parametrize(("name", "joint", "distortion"), [pytest.param(*case, id=case[0]) for case in cases()])
def test_the_softest_tilt_is_the_eigenvector_of_the_stability_number(name, joint, distortion):
    """The mean moves along v with Cov J v = v stability / beta, by the matrix of all sources."""
    problem = Problem(joint, distortion)
    if problem.fixed:
        return
    beta = 2.0
    encoder = (
        np.random.default_rng(1).dirichlet(np.ones(2), joint.n_x)
        if distortion.support != "within"
        else np.ones((joint.n_x, 1))
    )
    try:
        problem, batch, sweep = state_of(joint, beta, encoder, distortion)
    except ValueError:  # zeros, and no common support
        assert distortion.support is not None
        return
    batch = Batch(batch.beta, batch.weights, sweep.new_means, batch.owner, batch.face)
    numbers = stability(problem, batch, sweep)
    jacobians = problem.jacobian(batch.means, batch.face).matrices()
    for t, number in enumerate(numbers):
        if number == 0.0:  # a face of one point: there is no way to go
            continue
        members = sweep.posterior[t] * problem.px / sweep.new_weights[t]
        tilt = softest_tilt(problem, batch, sweep, t)
        assert np.abs(tilt).max() == pytest.approx(1.0)
        centred = problem.U - members @ problem.U
        way = (members * tilt) @ centred
        covariance = centred.T @ (members[:, None] * centred)
        np.testing.assert_allclose(beta * covariance @ jacobians[t] @ way, number * way, atol=1e-9 * np.abs(way).max())
