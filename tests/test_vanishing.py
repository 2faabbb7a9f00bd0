"""A branch followed down through its vanishing clusters: against solves of their own, and the events located without it."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.distortions import as_distortion
from dualib.old_path import Path
from dualib.optimise import initial_atoms, optimise
from dualib.problem import Problem, natural_distance
from dualib.vanishing import Descent


def random_problem(seed, kind, n_x=12, n_y=4):
    rng = np.random.default_rng(seed)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 3.0)))
    return joint, Problem(joint, as_distortion(kind))


def descent_from(problem, beta):
    rng = np.random.default_rng(0)
    return Descent(problem, optimise(problem, beta, initial_atoms(problem), tol=1e-9, max_iter=20_000, rng=rng).state)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(5))
def test_events_are_those_located_without_it(seed, kind, monkeypatch):
    """The roots of weights from above against the roots of log c from below, over whole paths."""
    joint, _ = random_problem(seed, kind)
    options = {"beta_min": 2.0, "beta_max": 30.0}
    curve = dualib.anneal(joint, kind, **options)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "_descent", lambda path, beta: None)
        other = dualib.anneal(joint, kind, **options)
    assert len(curve.events) == len(other.events) > 3
    for event, twin in zip(curve.events, other.events, strict=True):
        assert event.beta == pytest.approx(twin.beta, rel=event.precision + twin.precision)
        assert event.precision <= 1e-8
        assert (event.kind, event.before, event.after) == (twin.kind, twin.before, twin.after)
    np.testing.assert_allclose(curve.objective, other.objective, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_states_on_the_way_are_optimal_where_the_branch_is(kind):
    joint, problem = random_problem(0, kind)
    descent = descent_from(problem, 30.0)
    last = descent.between(5.0, 30.0)[-1].beta
    betas = np.geomspace(29.0, last, 8)
    assert sum(vanishing.beta > betas[-2] for vanishing in descent.vanishings) >= 3
    for beta in betas[:-1].tolist():
        state = descent.at(beta)
        assert state.residual <= 1e-11
        assert state.objective == pytest.approx(dualib.solve(joint, beta, kind).objective, abs=1e-11)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_the_order_of_questions_changes_no_bit(kind):
    _, problem = random_problem(1, kind)
    first, second = descent_from(problem, 30.0), descent_from(problem, 30.0)
    betas = np.geomspace(6.0, 29.0, 9).tolist()
    forward = {beta: first.at(beta) for beta in betas}
    for beta in betas[::-1]:
        state = second.at(beta)
        assert (state is None) == (forward[beta] is None)
        if state is not None:
            np.testing.assert_array_equal(state.atoms.weights, forward[beta].atoms.weights)
            np.testing.assert_array_equal(state.atoms.means, forward[beta].atoms.means)
    assert [vanishing.beta for vanishing in first.vanishings] == [vanishing.beta for vanishing in second.vanishings]


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_both_sides_of_a_vanishing_meet(kind):
    _, problem = random_problem(2, kind)
    for vanishing in descent_from(problem, 30.0).between(8.0, 30.0):
        above, rest = vanishing.state, vanishing.rest
        assert 0.0 < np.log(above.beta / vanishing.beta) < 1e-6
        assert above.residual < 1e-11 and rest.residual < 1e-11
        others = np.arange(len(above.atoms)) != vanishing.cluster
        assert natural_distance(problem, rest.beta, above.atoms.pick(others), rest.atoms).max() < 1e-8
        assert above.objective == pytest.approx(rest.objective, rel=1e-5)


def test_it_ends_where_two_clusters_vanish_at_once():
    """Equal sources up to a permutation of y: what vanishes does so in pairs, which is for the general search of events."""
    p = np.array([[0.7, 0.2, 0.1], [0.7, 0.1, 0.2], [0.1, 0.45, 0.45], [0.2, 0.4, 0.4]])
    joint = JointDistribution.from_conditionals(p, [0.2, 0.2, 0.3, 0.3])
    descent = descent_from(Problem(joint, dualib.IB()), 60.0)
    assert all(len(np.unique(np.round(v.state.atoms.weights, 12))) > 1 for v in descent.between(1e-3, 60.0))
    assert descent.at(1e-3) is None or len(descent.at(1e-3).atoms) == 1
    curve = dualib.anneal(joint, "ib", beta_min=1.0, beta_max=60.0)
    assert max(curve.gap) < 1e-9 and all(event.located for event in curve.events)


def test_above_its_top_it_knows_nothing():
    _, problem = random_problem(3, "ib")
    descent = descent_from(problem, 20.0)
    assert descent.at(21.0) is None
    assert descent.at(20.0) is not None
