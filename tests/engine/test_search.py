"""The engine's search finds what a weaker one misses."""

import numpy as np
import pytest
from test_certify import random_problem

import dualib
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder
from dualib.engine.problem import Problem
from dualib.engine.search import _Before, _extrapolated, price
from dualib.engine.starts import for_each
from dualib.engine.sweep import Sweep


def test_an_extrapolation_leads_to_the_top_of_a_quadratic_model():
    """Ascent steps on a bowl of two dimensions: two of them and an earlier point tell all of it; along a line one is enough."""
    rng = np.random.default_rng(0)
    basis, top = np.linalg.qr(rng.standard_normal((2, 2)))[0], rng.random(2)
    slow = basis @ np.diag([0.97, 0.6]) @ basis.T

    def ascended(points):
        return top + (points - top) @ slow

    start = top + 0.01 * rng.standard_normal((4, 2))
    once, other, b = ascended(start), top + 0.02 * rng.standard_normal((4, 2)), np.ones(4)
    twice = ascended(once)
    before = _Before(other, other, ascended(other), np.zeros(4, dtype=bool))
    result, rise, _, growing = _extrapolated(b, (start, start), (once, once), (twice, twice), before)
    np.testing.assert_allclose(result, np.broadcast_to(top, (4, 2)), atol=1e-12)
    np.testing.assert_allclose(rise, ((twice - once) ** 2).sum(axis=1))
    assert not growing.any()
    nowhere = np.full((4, 2), np.nan)
    line = top + np.outer([0.01, 0.02, -0.01, 0.03], basis[:, 0])
    once = ascended(line)
    twice = ascended(once)
    result, *_ = _extrapolated(b, (line, line), (once, once), (twice, twice), before._replace(means=nowhere, V=nowhere))
    np.testing.assert_allclose(result, np.broadcast_to(top, (4, 2)), atol=1e-12)


def from_the_sources_alone(problem, batch, *_):
    return for_each(problem, problem.U, problem.source_face, len(batch.beta)), None


@pytest.mark.parametrize(("number", "seed"), [(17, 152), (111, 107), (123, 157), (155, 137), (189, 132), (321, 144)])
def test_clusters_of_several_sources_far_from_each_are_found(number, seed, monkeypatch):
    """A search from the p(y|x) alone certifies less than the optimum on these problems; the whole one finds what that has missed."""
    case = random_problem(number, seed)
    best = dualib.solve(case.joint, case.beta, case.kind)
    with monkeypatch.context() as patch:
        patch.setattr("dualib.engine.search.starting_points", from_the_sources_alone)
        weak = dualib.solve(case.joint, case.beta, case.kind)
    assert weak.gap <= 1e-9 and weak.objective > best.objective + 1e-6
    problem = Problem(case.joint, as_distortion(case.kind))
    batch = of_encoder(problem, [case.beta], weak.encoder, "encoder")
    for random_state in range(3):
        rng = np.random.default_rng(random_state)
        assert price(problem, batch, Sweep(problem, batch), rng=rng).gap[0] > 1e-6


@pytest.mark.parametrize("beta", [9.986, 9.989, 9.9925])
def test_an_atom_that_has_just_divided_is_seen_to(beta):
    """A second direction is nearly as bad: a few steps of the power method say .997 where it is 1.0002, and miss 6e-8 of log c."""
    rng = np.random.default_rng(0)
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(10), 100))
    found = dualib.solve(joint, beta, "dualib", random_state=3)
    assert found.n_clusters == 66
    assert found.stability.max() < 1.0
