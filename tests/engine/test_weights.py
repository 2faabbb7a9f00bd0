"""Weights alone: against a Blahut-Arimoto iteration for the same atoms, which is slow and certain."""

import numpy as np
import pytest

from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.descent import descend
from dualib.engine.initial import identity
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep
from dualib.engine.weights import reweighed
from dualib.joint import JointDistribution

LEAST = 1e-13


def problem_of(kind, seed, n_x=30, n_y=6):
    rng = np.random.default_rng(seed)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.5), n_x), rng.dirichlet(np.full(n_x, 2.0)))
    return Problem(joint, as_distortion(kind))


def objective(problem, terms, weights):
    return -float(problem.px @ np.log(terms @ weights))


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("beta", [2.0, 5.0, 20.0])
def test_the_best_weights_of_atoms_that_stay(kind, beta):
    problem = problem_of(kind, 0)
    sweep = Sweep(problem, identity(problem, np.array([beta])))
    weights = np.full(problem.n, 1.0 / problem.n)
    terms = (sweep.posterior / problem.px[:, None]).T  # the atoms of `identity` weigh p(x)
    posterior = (terms * weights).T / (terms @ weights)
    for _ in range(5):  # each takes a few steps
        better = reweighed(problem, weights, posterior, LEAST)
        if better is None:
            break
        assert objective(problem, terms, better) < objective(problem, terms, weights)
        terms, weights = terms[:, better > 0.0], better[better > 0.0]
        posterior = (terms * weights).T / (terms @ weights)
    plain = np.full(problem.n, 1.0 / problem.n)
    of_all = (sweep.posterior / problem.px[:, None]).T
    for _ in range(20_000):
        plain = plain * ((problem.px / (of_all @ plain)) @ of_all)
    assert objective(problem, terms, weights) <= objective(problem, of_all, plain) + 1e-9
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert len(weights) <= problem.n


def test_more_atoms_than_are_needed_become_fewer():
    """At a beta of few clusters, from an atom at every source."""
    problem = problem_of("ib", 1, 60, 4)
    batch = identity(problem, np.array([2.0]))
    sweep = Sweep(problem, batch)
    better = reweighed(problem, batch.weights, sweep.posterior, LEAST)
    assert (better > 0.0).sum() < 20


def test_weights_that_are_best_stay():
    problem = problem_of("ib", 2)
    batch, sweep, _ = descend(problem, identity(problem, np.array([6.0])))
    assert reweighed(problem, batch.weights, sweep.posterior, LEAST) is None


def test_a_rare_source_keeps_its_cluster():
    """Without it the objective would rise by 1e-14, which no sum of it shows."""
    px = np.array([0.5, 0.5 - 1e-16, 1e-16])
    joint = JointDistribution.from_conditionals([[0.9, 0.1], [0.8, 0.2], [0.0, 1.0]], px)
    problem = Problem(joint, as_distortion("ib"))
    for beta in (3.0, 30.0):
        start = identity(problem, np.array([beta]))
        batch = Batch(start.beta, np.array([0.2, 0.8 - 1e-16, 1e-16]), start.means, start.owner, start.face)
        sweep = Sweep(problem, batch)
        better = reweighed(problem, batch.weights, sweep.posterior, LEAST)
        z = (sweep.posterior / batch.weights[:, None]).T @ (batch.weights if better is None else better)
        assert z[2] > 0.5
