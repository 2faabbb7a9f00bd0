"""`Curve.deviation`: closed forms of the whole curve, a grid of solves, and invariances."""

import numpy as np
import pytest
from naive import hard_distortion, mutual_information, objective_of_encoder
from scipy.optimize import brentq
from scipy.stats import entropy

import dualib

LN2 = np.log(2.0)


def binary_entropy(a):
    return entropy([a, 1.0 - a])


def problem(seed, n_x=7, n_y=5):
    rng = np.random.default_rng(seed)
    return dualib.JointDistribution(rng.dirichlet(np.full(n_x * n_y, 0.7)).reshape(n_x, n_y))


def of_encoder(joint, encoder, kind="ib"):
    """Rate and expected distortion, from two objectives of the naive twin."""
    one, two = (objective_of_encoder(kind, joint.px, joint.py_x, encoder, beta) for beta in (1.0, 2.0))
    return 2.0 * one - two, two - one


@pytest.mark.parametrize("flips", [(0.2, 0.2), (0.3, 0.05), (0.0, 0.6)])
def test_deviation_from_the_curve_of_the_binary_symmetric_channel(flips):
    """At rate log 2 - h(a) the most relevance is log 2 - h(a * e)."""
    e, (a, b) = 0.1, flips
    curve = dualib.anneal(dualib.datasets.binary_symmetric(e), betas=[1.5, 3.0], events=False)
    encoder = np.array([[1.0 - a, a], [b, 1.0 - b]])
    rate = mutual_information(0.5 * encoder)
    relevance = mutual_information(curve.joint.pxy.T @ encoder)
    at = brentq(lambda a: LN2 - binary_entropy(a) - rate, 1e-9, 0.5)
    most = LN2 - binary_entropy(at * (1.0 - e) + (1.0 - at) * e)
    found = curve.deviation(encoder)
    assert found.epsilon == pytest.approx(most - relevance, abs=2e-9)
    assert found.error_bound <= 2e-9
    assert found.rate == pytest.approx(rate, abs=1e-12)
    assert found.solution.beta == found.beta
    assert found.solution.rate == pytest.approx(rate, abs=1e-3)


def test_deviation_on_a_straight_piece():
    """Erasure channel: the most relevance at rate R is (1 - e) R, all at the beta of the jump."""
    joint = dualib.datasets.erasure(0.3)
    encoder = np.array([[0.9, 0.1], [0.3, 0.7]])
    rate, relevance = mutual_information(0.5 * encoder), mutual_information(joint.pxy.T @ encoder)
    found = dualib.anneal(joint, betas=[2.0], events=False).deviation(encoder)
    assert found.epsilon == pytest.approx(0.7 * rate - relevance, abs=2e-9)
    assert found.beta == pytest.approx(1.0 / 0.7, rel=1e-6)


def test_deviation_for_a_rate_distortion_matrix():
    """Bernoulli(.4), Hamming: R(D) = h(.4) - h(D)."""
    joint = dualib.JointDistribution.from_conditionals(np.eye(2), [0.6, 0.4])
    curve = dualib.anneal(joint, dualib.RateDistortion(1.0 - np.eye(2)), betas=[1.0, 2.0], events=False)
    encoder = np.array([[0.7, 0.3], [0.2, 0.8]])
    rate, expected = mutual_information(joint.px[:, None] * encoder), 0.6 * 0.3 + 0.4 * 0.2
    least = brentq(lambda d: binary_entropy(0.4) - binary_entropy(d) - rate, 1e-9, 0.4)
    assert curve.deviation(encoder).epsilon == pytest.approx(expected - least, abs=2e-9)
    assert curve.deviation([0, 1]).epsilon == 0.0  # all that there is to know
    with pytest.raises(ValueError, match=r"encoder must be .* or labels, one integer for each x, got <U1"):
        curve.deviation(["a", "b"])  # of which column?


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(3))
def test_no_beta_of_a_fine_grid_is_lower(kind, seed):
    joint = problem(seed)
    encoder = np.random.default_rng(seed).dirichlet(np.full(3, 0.3), joint.n_x)
    found = dualib.anneal(joint, kind, betas=[2.0, 20.0], events=False).deviation(encoder)
    rate, expected = of_encoder(joint, encoder, kind)
    assert (found.rate, found.expected_distortion) == pytest.approx((rate, expected), abs=1e-10)
    grid = dualib.anneal(joint, kind, betas=found.beta * np.linspace(0.9, 1.1, 41), events=False)
    each = (rate + grid.beta * expected - grid.objective) / grid.beta
    assert found.epsilon <= each.min() + 1e-9
    assert found.epsilon == pytest.approx(each.min(), abs=1e-5)
    own = rate + found.beta * expected - found.solution.objective
    assert found.epsilon == pytest.approx(own / found.beta, abs=1e-12)
    assert found.solution.gap <= 1e-9


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_what_is_optimal_does_not_deviate(kind):
    joint = problem(5)
    curve = dualib.anneal(joint, kind, betas=[2.0, 6.0, 20.0], events=False)
    for encoder in (curve[1].encoder, dualib.solve(joint, 4.0, kind).encoder, np.zeros(7, dtype=int)):
        found = curve.deviation(encoder)
        assert 0.0 <= found.epsilon <= 2e-9
        assert found.error_bound <= 2e-9
    identity = curve.deviation(np.arange(7))
    assert (identity.epsilon, identity.beta) == (0.0, np.inf)
    assert identity.solution is curve[-1]
    finer = np.repeat(np.eye(7), 2, axis=1) / 2  # T carries a coin besides: nothing is lost by it
    assert curve.deviation(finer).epsilon == pytest.approx(0.0, abs=1e-12)


def test_labels_and_names_do_not_matter():
    joint, labels = problem(8), np.array([4, 1, 1, 4, 9, 9, 1])
    curve = dualib.anneal(joint, betas=[3.0, 9.0], events=False)
    found = curve.deviation(labels)
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)
    assert curve.deviation(one_hot).epsilon == pytest.approx(found.epsilon, abs=1e-12)
    words = [f"word {label}" for label in labels]
    for form in (words, np.array(words), np.array(words, dtype=object)):
        assert curve.deviation(form).epsilon == found.epsilon
    assert dualib.certify(joint, words, 4.0).objective == dualib.certify(joint, labels, 4.0).objective
    halves = np.concatenate([one_hot, one_hot], axis=1) / 2
    assert curve.deviation(halves).epsilon == pytest.approx(found.epsilon, abs=1e-9)
    assert found.expected_distortion == pytest.approx(hard_distortion("ib", joint.px, joint.py_x, labels), abs=1e-12)
    order = np.random.default_rng(0).permutation(7)
    other = dualib.anneal(dualib.JointDistribution(joint.pxy[order][:, ::-1]), betas=[3.0, 9.0], events=False)
    assert other.deviation(labels[order]).epsilon == pytest.approx(found.epsilon, abs=2e-9)


def test_the_points_of_the_curve_do_not_matter():
    joint = problem(9)
    encoder = np.random.default_rng(1).dirichlet(np.ones(3), 7)
    values = [
        dualib.anneal(joint, betas=betas, events=False).deviation(encoder).epsilon
        for betas in ([0.5], [80.0], np.arange(2, 9))
    ]
    assert values == pytest.approx([values[0]] * 3, abs=3e-9)


def test_progress_counts_the_solves():
    steps = []
    curve = dualib.anneal(problem(3), betas=[2.0], events=False)
    curve.deviation([0, 0, 1, 1, 2, 2, 2], progress=lambda *step: steps.append(step))
    assert [done for done, _ in steps] == list(range(1, len(steps) + 1))
    assert all(done == total for done, total in steps)


def test_disjoint_conditionals_of_the_dual_ib():
    """Every feasible encoder keeps the two apart, so all rates are log 2 and more, and the curve's rate is log 2 at small beta."""
    joint = dualib.JointDistribution([[0.3, 0.2, 0, 0], [0, 0, 0.2, 0.3]])
    curve = dualib.anneal(joint, "dualib", betas=[1.0], events=False)
    assert curve.deviation([0, 1]).epsilon == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match=r"^encoder: a cluster joins conditionals without a common support"):
        curve.deviation([0, 0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda curve: curve.deviation([0, 1]), "^encoder must have one label for each of the 5 x, got 2"),
        (lambda curve: curve.deviation(np.full((5, 2), 0.6)), "^encoder: row 0 must sum to 1"),
        (lambda curve: curve.deviation(np.arange(5), tol=-1.0), "^tol must be a positive number, got -1.0"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call(dualib.anneal(dualib.datasets.toy(), betas=[8.0], events=False))
