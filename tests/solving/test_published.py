"""Published figures that no other file reproduces: examples of Berger (1971), and the |X| + 1 letters of Benger et al. (2023)."""

import numpy as np
import pytest
from scipy.optimize import brentq

import dualib


def test_a_letter_vanishes_and_returns():
    """Berger's source (.45, .1, .45) at the distortion |i - j|: 1, 3, 2 and again 3 letters as beta rises."""
    joint = dualib.JointDistribution(np.diag([0.45, 0.1, 0.45]))
    distances = np.abs(np.subtract.outer(np.arange(3.0), np.arange(3.0)))
    curve = dualib.anneal(joint, dualib.RateDistortion(distances), np.geomspace(0.15, 4.0, 20))
    assert [(event.before, event.after) for event in curve.events] == [(1, 3), (3, 2), (2, 3)]
    np.testing.assert_allclose([event.beta for event in curve.events], [0.2006706955, 0.2611619121, 2.0414231808], rtol=3e-10)
    assert {solution.certificate for solution in curve} == {"rigorous"}


@pytest.mark.parametrize("p", [0.4, 0.5])
def test_an_erasure_letter_gives_way_in_a_jump(p):
    """Hamming distortion and a letter that costs .3 for either x: the jump is where ln 2 - ln(1 + e^-b) = .3 b, whatever p."""
    joint = dualib.JointDistribution(np.diag([1.0 - p, p]))
    curve = dualib.anneal(joint, dualib.RateDistortion([[0.0, 1.0, 0.3], [1.0, 0.0, 0.3]]), np.geomspace(0.5, 8.0, 20))
    root = brentq(lambda b: np.log(2.0) - np.log1p(np.exp(-b)) - 0.3 * b, 0.5, 5.0, xtol=1e-14)
    assert root == pytest.approx(1.8010717754, abs=1e-10)
    (jump,) = (event for event in curve.events if event.kind == "jump")
    assert jump.beta == pytest.approx(root, rel=1e-9)


def test_a_rate_on_a_jump_takes_one_letter_more_than_there_are_x():
    joint = dualib.datasets.symmetric(3, 0.6)
    solution = dualib.solve_at(joint, "ib", rate=0.03)
    assert solution.n_clusters == 4 > joint.n_x
    assert solution.relevance == pytest.approx(0.0110094407, abs=1e-10)
    lean = brentq(lambda z: rate_of(joint, z) - 0.03, 0.01, 0.9, xtol=1e-14)
    assert relevance_of(joint, lean) < solution.relevance - 3e-5  # three letters, each leaning towards its x


def rate_of(joint, z):
    return dualib.information.mutual_information(joint.px[:, None] * encoder_of(z))


def relevance_of(joint, z):
    return dualib.information.mutual_information((joint.px[:, None] * encoder_of(z)).T @ joint.py_x)


def encoder_of(z):
    return z * np.eye(3) + (1.0 - z) / 3.0
