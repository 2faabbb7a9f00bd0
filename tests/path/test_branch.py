"""Branches followed along beta: their tangents against differences, and the births on them from either side, and by a search."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.distortions.named import as_distortion
from dualib.engine.batch import Batch
from dualib.engine.initial import of_atoms
from dualib.engine.optimum import optimum
from dualib.engine.problem import Problem
from dualib.engine.search import at_rest, price
from dualib.engine.sweep import Sweep, log_c
from dualib.path.branch import followed, response, settled, tangents
from dualib.path.meeting import meetings
from dualib.path.touching import touching

KINDS = ("ib", "dualib")


def random_joint(seed, n_x, n_y):
    rng = np.random.default_rng(seed)
    return JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 3.0)))


def of_solution(problem, solution):
    return of_atoms(problem, [solution.beta], solution.weights, solution.means, solution.decoder)


@pytest.mark.parametrize(
    ("kind", "n_x", "n_y", "beta"), [("ib", 6, 3, 12.0), ("dualib", 7, 4, 5.0), ("ib", 5, 9, 8.0), ("dualib", 4, 8, 3.0)]
)
def test_the_tangent_is_the_derivative_along_the_branch(kind, n_x, n_y, beta):
    problem = Problem(random_joint(n_x, n_x, n_y), as_distortion(kind))
    batch, sweep = settled(problem, optimum(problem, [beta]).batch)
    tangent, change_of_log_z = tangents(problem, batch, sweep)
    h = 1e-5
    below, above = (
        settled(problem, Batch(batch.beta * np.exp(step), batch.weights, batch.means, batch.owner, batch.face))
        for step in (-h, h)
    )
    assert max(sweep.residual[0] for _, sweep in (below, above)) < 1e-11
    weights = (np.log(above[0].weights) - np.log(below[0].weights)) / (2.0 * h)
    np.testing.assert_allclose(tangent[:, 0], weights, atol=2e-3 * np.abs(weights).max() + 1e-6)
    moves = (above[0].means - below[0].means) / (2.0 * h)
    np.testing.assert_allclose(tangent[:, 1:], moves, atol=2e-3 * np.abs(moves).max() + 1e-6)
    logs = (above[1].log_z - below[1].log_z) / (2.0 * h)
    np.testing.assert_allclose(change_of_log_z, logs, atol=2e-3 * np.abs(logs).max() + 1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_response_to_a_new_atom_is_the_derivative_by_its_weight(kind):
    """Of c where it is, and of the others: with a little of it, they come to rest where the response says."""
    problem = Problem(random_joint(3, 9, 4), as_distortion(kind))
    batch, sweep = settled(problem, optimum(problem, [6.0]).batch)
    one, face, owner = problem.U[:1], batch.face[:1], np.zeros(1, dtype=np.int64)
    value, _, _, terms = log_c(problem, batch.beta, sweep.log_z, one, face, owner)
    step, log_z = response(problem, batch, sweep, -terms[batch.owner], terms, 1e-4, 300)
    bent = problem.expectation(terms * log_z)
    h = 1e-6
    moved = Batch(batch.beta, batch.weights * (1.0 + h * step[:, 0]), batch.means + h * step[:, 1:], batch.owner, batch.face)
    z = np.exp(Sweep(problem, moved).log_z) + h * np.exp(sweep.log_z) * terms
    changed = np.exp(log_c(problem, batch.beta, np.log(z), one, face, owner)[0]) - np.exp(value)
    assert -changed[0] / h == pytest.approx(bent[0], rel=1e-3)
    kept = np.exp(log_c(problem, batch.beta, np.log(z), moved.means, moved.face, moved.owner)[0])
    alone = np.exp(log_c(problem, batch.beta, np.log(z), batch.means, batch.face, batch.owner)[0])
    assert np.abs(kept - 1.0).max() < 1e-2 * max(np.abs(alone - 1.0).max(), h)


@pytest.mark.parametrize("kind", KINDS)
def test_solutions_of_one_branch_lead_to_each_other(kind):
    problem = Problem(random_joint(5, 8, 3), as_distortion(kind))
    below, sweep = settled(problem, optimum(problem, [6.0]).batch)
    above, _, arrives = followed(problem, below, np.array([6.3]))
    assert sweep.residual[0] < 1e-11
    assert arrives[0]
    (met,) = meetings(problem, below, above)
    assert met is not None
    assert below.beta[0] < met.beta[0] < above.beta[0]
    middle = followed(problem, below, met.beta)[0]
    np.testing.assert_allclose(met.weights, middle.weights, rtol=1e-9)
    order = np.arange(len(above.weights))[::-1]
    turned = Batch(above.beta, above.weights[order], above.means[order], above.owner, above.face[order])
    assert meetings(problem, below, turned)[0] is not None
    fewer = above.keep(above.weights > above.weights.min())
    assert meetings(problem, below, settled(problem, fewer)[0]) == [None]


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_of_features(kind):
    problem, rng = Problem(random_joint(2, 7, 4), as_distortion(kind)), np.random.default_rng(0)
    members = rng.dirichlet(np.ones(problem.n), 5)
    means = members @ problem.U
    found = problem.covariances(members, means)
    for q, mean, own in zip(members, means, found, strict=True):
        np.testing.assert_allclose(
            own, sum(p * np.outer(u - mean, u - mean) for p, u in zip(q, problem.U, strict=True)), atol=1e-12
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_birth_is_found_from_either_side(kind):
    """On the branch that lacks the cluster, from before the event and from past it; there is none on the way down."""
    joint = random_joint(4, 9, 4)
    problem, found, tried = Problem(joint, as_distortion(kind)), 0, 0
    for event in dualib.anneal(joint, kind, beta_min=2.0, beta_max=20.0).events:
        if event.after < event.before:
            continue
        newborn = event.above.means[[np.argmin(event.above.weights)]]
        branch, low, high = of_solution(problem, event.below), *np.log([[0.9 * event.beta], [1.1 * event.beta]])
        for factor in (0.999, 1.001):
            start, _, arrived = followed(problem, branch, np.array([factor * event.beta]))
            if not arrived[0]:  # the branch has no such end
                continue
            tried += 1
            birth = touching(problem, start, newborn, np.zeros(1, dtype=np.int64), low, high, np.array([True]))
            if np.isnan(birth.log_beta[0]):
                continue
            found += 1
            assert np.exp(birth.log_beta[0]) == pytest.approx(event.beta, rel=3e-10)
            there, _, _ = followed(problem, birth.branch, np.exp(birth.log_beta))
            height = log_c(
                problem, there.beta, Sweep(problem, there).log_z, birth.means, birth.face, np.zeros(1, dtype=np.int64)
            )[0]
            assert abs(height[0]) < 1e-12
            down = touching(problem, start, newborn, np.zeros(1, dtype=np.int64), low, high, np.array([False]))
            assert np.isnan(down.log_beta[0]) or abs(down.log_beta[0] - np.log(event.beta)) > 1e-9
    assert found > 0.7 * tried > 5


@pytest.mark.parametrize(("kind", "n_x", "n_y"), [("ib", 40, 6), ("dualib", 40, 6), ("ib", 20, 15)])
def test_a_quarter_of_a_search_sees_every_cluster_just_born(kind, n_x, n_y):
    """Past each event, on the branch that lacks the cluster, from any seed and with no hint of it."""
    joint = random_joint(2, n_x, n_y)
    problem, looked_at = Problem(joint, as_distortion(kind)), 0
    events = dualib.anneal(joint, kind, beta_max=30.0).events
    for event in events:
        rises = event.after > event.before
        branch = of_solution(problem, event.below if rises else event.above)
        past, sweep, arrived = followed(problem, branch, np.array([event.beta * np.exp(1e-3 if rises else -1e-3)]))
        if not arrived[0]:
            continue
        looked_at += 1
        assert price(problem, past, sweep, rng=np.random.default_rng(looked_at), effort=0.25).gap[0] > 1e-9
    assert looked_at > 0.8 * len(events) > 8


def test_a_violation_at_the_end_of_a_long_ridge_is_found():
    """The optimum has 86 clusters at 16.5 and one more below 16.488; ascents to where that one is born creep along a ridge."""
    rng = np.random.default_rng(0)
    problem = Problem(JointDistribution.from_conditionals(rng.dirichlet(np.ones(10), 100)), as_distortion("ib"))
    batch, sweep, arrived = followed(problem, optimum(problem, [16.5]).batch, np.array([16.4428]))
    assert arrived[0]
    for seed in range(5):
        found = price(problem, batch, sweep, rng=np.random.default_rng(seed))
        rested = at_rest(problem, batch, sweep, found, np.ones(1, dtype=bool))
        assert rested.gap[0] == pytest.approx(3.3661e-4, rel=1e-3)
