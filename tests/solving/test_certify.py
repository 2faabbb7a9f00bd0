"""The certificate: random problems, degenerate ones, closed forms at the bifurcation, anybody's encoder."""

import numpy as np
import pytest
from problems import random_problem
from scipy.cluster.vq import kmeans2

import dualib
import dualib.solving.certificate
from dualib import JointDistribution, closed_forms, datasets
from dualib.engine.batch import nearest_other
from dualib.engine.initial import of_atoms
from dualib.engine.problem import Problem
from dualib.engine.sweep import Sweep

KINDS = ("ib", "dualib")


def gradient_function(kind, joint, solution, points):
    """Log c at points of the simplex (m, n_y), written out from the definition; p(y|x) > 0."""

    def log_terms(decoders):
        r, p = decoders[:, None, :], joint.py_x[None, :, :]
        first, second = (p, r) if kind == "ib" else (r, p)
        return -solution.beta * np.sum(first * np.log(first / second), axis=2)

    log_z = np.log(solution.weights @ np.exp(log_terms(solution.decoder)))
    return np.log(np.exp(log_terms(points) - log_z) @ joint.px)


@pytest.mark.parametrize("number", range(60))
def test_random_problems_are_certified(number):
    """A slice of benchmarks/certify.py: gap <= 1e-9, and no random point of the simplex has c above it."""
    case = random_problem(number)
    solution = dualib.solve(case.joint, case.beta, case.kind)
    assert solution.converged, str(case)
    assert solution.gap <= 1e-9, str(case)
    assert (solution.certificate == "rigorous") == (case.joint.n_y <= 4)
    rng = np.random.default_rng(number)
    points = np.concatenate([rng.dirichlet(np.ones(case.joint.n_y), 200), case.joint.py_x])
    points = 0.999 * points + 0.001 / case.joint.n_y
    assert gradient_function(case.kind, case.joint, solution, points).max() <= solution.gap + 1e-12
    assert_no_spare_atoms(case.joint, solution)


def assert_no_spare_atoms(joint, solution):
    """No cluster without weight, none twice, no more than distinct sources."""
    assert solution.weights.min() > 1e-13
    problem = Problem(joint, solution.distortion)
    batch = of_atoms(problem, [solution.beta], solution.weights, solution.means, solution.decoder)
    assert nearest_other(batch, Sweep(problem, batch).V)[0].min() > 1e-9
    assert solution.n_clusters <= problem.n


def ring(n=24):
    """Conditionals that turn into each other: a continuous symmetry, nearly, and nearly singular optima."""
    angle = 2 * np.pi * np.arange(n) / n
    rows = np.exp(2.0 * np.cos(angle[:, None] - angle[None, :]))
    return JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True))


def with_zeros():
    rng = np.random.default_rng(4)
    rows = rng.dirichlet(np.ones(6), 15) * (rng.random((15, 6)) < 0.5)
    rows[rows.sum(axis=1) == 0.0, 0] = 1.0
    return JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True))


def identical_rows():
    return JointDistribution.from_conditionals(np.tile([0.2, 0.3, 0.5], (6, 1)))


DEGENERATE = {
    "zeros": with_zeros,
    "identical rows": identical_rows,
    "deterministic": lambda: datasets.deterministic([0, 0, 1, 2, 2, 2]),
    "one x": lambda: JointDistribution([[0.1, 0.2, 0.7]]),
    "one y": lambda: JointDistribution([[0.1], [0.2], [0.7]]),
    "permutation": lambda: JointDistribution.from_conditionals(np.eye(6)[[3, 1, 5, 0, 2, 4]]),
}


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7, 6.0, 80.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_problems_are_certified(name, kind, beta):
    joint = DEGENERATE[name]()
    solution = dualib.solve(joint, beta, kind)
    assert solution.converged
    assert solution.gap <= 1e-9
    assert_no_spare_atoms(joint, solution)
    if name in ("identical rows", "one x", "one y"):
        assert solution.n_clusters == 1
        assert solution.objective == pytest.approx(0.0, abs=1e-12)
    if name in ("permutation", "deterministic"):
        entropy = np.log(6) if name == "permutation" else -np.sum(joint.py * np.log(joint.py))
        assert solution.objective == pytest.approx(closed_forms.deterministic(entropy, beta, kind).objective, abs=1e-10)


@pytest.mark.parametrize("ratio", [0.9, 1.0001, 1.1, 2.0, 8.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_of_smooth_conditionals(kind, ratio):
    joint = ring()
    solution = dualib.solve(joint, ratio * dualib.onset(joint, kind), kind)
    assert solution.gap <= 1e-9
    assert solution.residual <= 1e-9
    assert (solution.n_clusters == 1) == (ratio < 1.0)
    angle = 2 * np.pi * np.arange(24) / 24
    turned = JointDistribution.from_conditionals(np.roll(joint.py_x, 5, axis=0))
    again = dualib.solve(turned, solution.beta, kind)
    assert again.objective == pytest.approx(solution.objective, abs=1e-9)
    assert abs(np.sum(solution.weights @ solution.decoder * np.cos(angle))) < 1e-2  # p(y) stays nearly even


@pytest.mark.parametrize("beta", [2.0, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gaussian_on_a_hundred_points(kind, beta):
    """The objective of the grid tends to the closed form; the optimum is a continuum of decoders, so the gap may be 1e-7."""
    joint = datasets.gaussian(100, 0.8)
    solution = dualib.solve(joint, beta, kind, tol=1e-7)
    assert solution.gap <= 1e-7
    assert solution.converged
    assert solution.objective == pytest.approx(closed_forms.gaussian_ib(0.8, beta, kind).objective, abs=2e-3)


@pytest.mark.parametrize(("ratio", "least", "most"), [(1.02, 2, 10), (1.08, 8, 20), (1.15, 15, 30)])
def test_colours_have_few_names_near_the_onset(ratio, least, most):
    """330 colours, whose clusters overlap so far that their places hardly matter."""
    joint = datasets.colour_solid().joint
    solution = dualib.solve(joint, ratio * 1.0210838208414306, tol=1e-6)  # times `dualib.onset(joint)`
    assert solution.converged and solution.gap <= 1e-6 and solution.certificate == "multistart"
    assert least <= solution.n_clusters <= most  # not one for every colour that a rough start has


def test_a_flat_valley_is_left_at_the_default_tolerance():
    """There a descent by conjugate gradients creeps along with a residual of 1e-9; the damped steps after it end."""
    solution = dualib.solve(datasets.gaussian(100, 0.8), 7.0, "dualib")  # a ConvergenceWarning is an error
    assert solution.converged and solution.residual <= 1e-9 and solution.gap <= 1e-9


@pytest.mark.parametrize("e", [0.05, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("ratio", [1 - 1e-4, 1 + 1e-4])
@pytest.mark.parametrize("kind", KINDS)
def test_binary_symmetric_channel_beside_its_bifurcation(kind, ratio, e):
    """Where plain sweeps need some 1e5 steps: at most 50, and the closed form to 1e-9."""
    beta = ratio * closed_forms.binary_symmetric_onset(e, kind)
    solution = dualib.solve(datasets.binary_symmetric(e), beta, kind)
    exact = closed_forms.binary_symmetric(e, beta, kind)
    assert solution.n_iter <= 50
    assert solution.objective == pytest.approx(exact.objective, abs=1e-9)
    assert solution.rate == pytest.approx(exact.rate, abs=1e-9)
    assert solution.relevance == pytest.approx(exact.relevance, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.rho < 1.0
    assert solution.error_bound == pytest.approx(solution.residual / (1.0 - solution.rho), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_bound_holds_near_a_bifurcation(kind):
    """A fixed point left early by a loose tolerance is within the error bound of the exact one."""
    e = 0.1
    beta = 1.01 * closed_forms.binary_symmetric_onset(e, kind)
    joint = datasets.binary_symmetric(e)
    exact = dualib.solve(joint, beta, kind)
    rough = dualib.solve(joint, beta, kind, init=exact.encoder * 0.999 + 0.0005, certify=False, tol=1e-2)
    assert rough.residual > 1e-9
    order = np.argsort(exact.decoder[:, 0]), np.argsort(rough.decoder[:, 0])
    moved = rough.decoder[order[1]] - exact.decoder[order[0]]
    natural = np.sqrt(beta * np.sum(moved**2 / exact.decoder[order[0]], axis=1)).max()
    assert natural <= 2.0 * rough.error_bound


@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_states_what_it_costs_beside_the_optimum_without_it(kind):
    case = random_problem(11 if kind == "dualib" else 10)
    full = dualib.solve(case.joint, 12.0, kind)
    costs = []
    for k in (1, 2, 4):
        capped = dualib.solve(case.joint, 12.0, kind, n_clusters=k, random_state=0)
        assert capped.n_clusters <= k
        assert capped.status is dualib.Status.CAPPED
        assert capped.cap_cost == pytest.approx(capped.objective - full.objective, abs=2e-9)
        assert dualib.certify(case.joint, capped.encoder, 12.0, kind).gap == pytest.approx(capped.cap_cost, abs=2e-9)
        assert capped.gap <= capped.cap_cost + 2e-9
        costs.append(capped.cap_cost)
    assert costs[0] > costs[1] > costs[2] > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_k_means_clustering_is_judged(kind):
    """Its objective from the definitions, its gap from it to the optimum, and a witness where another cluster would help."""
    joint = datasets.load_letters(smoothing=0.5)
    beta = 5.0
    best = dualib.solve(joint, beta, kind)
    _, labels = kmeans2(joint.py_x, best.n_clusters, minit="++", seed=1)
    encoder = np.eye(best.n_clusters)[labels]
    judged = dualib.certify(joint, encoder, beta, kind)
    weights = joint.px @ encoder
    members = (joint.px[:, None] * encoder / weights).T
    decoder = members @ joint.py_x if kind == "ib" else np.exp(members @ np.log(joint.py_x))
    decoder /= decoder.sum(axis=1, keepdims=True)
    p, r = joint.py_x, decoder[labels]
    first, second = (p, r) if kind == "ib" else (r, p)
    objective = joint.px @ (-np.log(weights[labels]) + beta * np.sum(first * np.log(first / second), axis=1))
    assert judged.objective == pytest.approx(objective, abs=1e-11)
    assert judged.gap == pytest.approx(objective - best.objective, abs=2e-9)
    assert judged.gap > 0.01
    assert judged.lower_bound <= best.objective + 1e-12
    assert judged.kind == "multistart"
    assert judged.residual > 1e-3
    assert judged.witness.sum() == pytest.approx(1.0)
