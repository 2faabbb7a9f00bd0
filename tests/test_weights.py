"""The convex problem of the weights, against plain EM steps, and with a solver of least squares that fails."""

import warnings

import numpy as np
import pytest
from relations import thinned

import dualib
from dualib.distortions import as_distortion
from dualib.problem import Atoms, Problem, sweep
from dualib.weights import fewest_atoms, reweight

BETA = 6.0


def many_atoms(kind, n_x=6, n_y=3, n_t=14):
    """A random problem, and atoms with weights that are far from the best."""
    rng = np.random.default_rng(n_t)
    joint = dualib.JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 3.0)))
    problem = Problem(joint, as_distortion(kind))
    return problem, problem.atoms_from_members(rng.dirichlet(np.full(n_x, 0.4), n_t), rng.dirichlet(np.ones(n_t)))


def by_em(problem, atoms, n_sweeps):
    """Log c of each atom and the objective after plain EM steps on the weights, the points fixed."""
    likelihood = np.exp(problem.log_terms(atoms, BETA))
    w = atoms.weights.copy()
    for _ in range(n_sweeps):
        w = w * (likelihood @ (problem.px / (w @ likelihood)))
    c = likelihood @ (problem.px / (w @ likelihood))
    return c, -float(problem.px @ np.log(w @ likelihood))


def value_of(problem, atoms):
    return -float(problem.px @ np.log(atoms.weights @ np.exp(problem.log_terms(atoms, BETA))))


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_the_weights_are_those_of_em_run_to_its_end(kind):
    problem, atoms = many_atoms(kind)
    c, least = by_em(problem, atoms, 50_000)
    assert c.max() < 1.0 + 1e-6
    best = reweight(problem, BETA, atoms)
    assert value_of(problem, best) == pytest.approx(least, abs=1e-8)
    assert len(best) < len(atoms) and best.weights.sum() == pytest.approx(1.0, abs=1e-14)
    inside = np.exp(problem.log_terms(atoms, BETA)) @ (problem.px / (best.weights @ np.exp(problem.log_terms(best, BETA))))
    assert inside.max() < 1.0 + 1e-8  # no atom left out would lower it


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_only_the_free_weights_are_changed_by_newton_steps(kind):
    """In the ratios of the others nothing changes, and of the free ones all is as good as EM steps on these alone make it."""
    problem, atoms = many_atoms(kind)
    atoms = Atoms(np.maximum(atoms.weights, 0.1 / len(atoms)), atoms.means, atoms.face).normalised()
    free = np.arange(len(atoms)) < 4
    found = reweight(problem, BETA, atoms, warm=0, newton=30, free=free)
    others = np.isin(found.means[:, 0], atoms.means[~free, 0])
    ratio = found.weights[others] / atoms.weights[~free]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    likelihood = np.exp(problem.log_terms(atoms, BETA))
    share = atoms.weights.copy()
    for _ in range(20_000):  # EM, the others in their ratios as one
        c = likelihood @ (problem.px / (share @ likelihood))
        together = share[~free] @ c[~free] / share[~free].sum()
        share = share * np.where(free, c, together)
    assert value_of(problem, found) == pytest.approx(-float(problem.px @ np.log(share @ likelihood)), abs=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_where_least_squares_fail_the_em_steps_stand(kind, monkeypatch):
    def fails(*_):
        raise RuntimeError("Maximum number of iterations reached.")

    problem, atoms = many_atoms(kind)
    monkeypatch.setattr("dualib.weights.nnls", fails)
    found = reweight(problem, BETA, atoms, warm=40)
    start = Atoms(np.maximum(atoms.weights, 0.1 / len(atoms)), atoms.means, atoms.face).normalised()
    assert value_of(problem, found) == pytest.approx(by_em(problem, start, 40)[1], abs=1e-9)
    assert fewest_atoms(problem, atoms, BETA) is atoms


@pytest.mark.parametrize("share", [0.15, 0.5, 0.8])
def test_fewer_atoms_have_the_same_objective_and_where_asked_the_same_rate(share):
    """On the straight piece of the erasure channel: nothing at all and everything, mixed, in twice as many atoms as needed."""
    beta = 1.0 / 0.7
    problem = Problem(dualib.datasets.erasure(0.3), as_distortion("ib"))
    members = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])[[0, 1, 2, 0, 1, 2]]
    split = np.array([0.3, 0.9, 0.6, 0.7, 0.1, 0.4])
    atoms = problem.atoms_from_members(members, split * np.array([0.5 * share, 0.5 * share, 1.0 - share] * 2))
    plain, same = (fewest_atoms(problem, atoms, beta, keep_rate=keep) for keep in (False, True))
    assert len(plain) <= 2 and len(same) <= 3
    states = [sweep(problem, beta, some) for some in (atoms, plain, same)]
    for state in states:
        assert state.objective == pytest.approx(np.log(2.0), abs=1e-12)
        np.testing.assert_allclose(state.log_z, states[0].log_z, atol=1e-12)
    rates = [
        float(np.sum(s.posterior * np.log(s.posterior / s.atoms.weights[:, None] + (s.posterior == 0.0)))) for s in states
    ]
    assert rates[0] / 2.0 == pytest.approx(share * np.log(2.0), abs=1e-12)
    assert rates[2] == pytest.approx(rates[0], abs=1e-12) and abs(rates[1] - rates[0]) > 0.1
    assert fewest_atoms(problem, same, beta, keep_rate=True) is same


@pytest.mark.parametrize("beta", [3.3, 9.4])
def test_the_cluster_of_a_rare_x_is_brought_back(beta):
    """One x of probability 4e-10 lost its cluster to Newton's steps, again and again, and the gap stayed at 49 nats."""
    solution = dualib.solve(thinned(20127), beta, "dualib")
    assert solution.gap <= 1e-9 and solution.residual <= 1e-9


@pytest.mark.parametrize(
    ("seed", "kind", "beta"),
    [(505256, "ib", 2.45127789), (510217, "dualib", 1.2341646895072993), (510217, "dualib", 1.5024347284951762)],
)
def test_an_x_too_rare_to_be_noticed_keeps_its_cluster(seed, kind, beta):
    """Of p(x) 1e-24 to 1e-18: no weight of 0 for the only cluster within its reach, and none lost for fewer clusters."""
    joint = thinned(seed)
    assert joint.px.min() < 1e-17
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", dualib.ConvergenceWarning
        )  # of residuals of 2e-9, at that x; other warnings are errors
        solution = dualib.solve(joint, beta, kind)
        jumped = dualib.anneal(joint, kind, [beta, 2.0 * beta], events=False)
    assert np.isfinite(solution.objective) and np.isfinite(solution.encoder).all()
    assert solution.gap <= 1e-9
    np.testing.assert_allclose(solution.encoder.sum(axis=1), 1.0, rtol=1e-12)
    assert jumped[0].objective == pytest.approx(solution.objective, abs=1e-9)
