"""solve_at(): wanted rates, relevances and distortions, straight pieces included."""

import numpy as np
import pytest

import dualib
from dualib import closed_forms, datasets


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("target", [{"rate": 0.5}, {"relevance": 0.05}, {"expected_distortion": 0.03}])
def test_the_target_is_met_by_a_certified_optimum(kind, target):
    joint = datasets.toy()
    solution = dualib.solve_at(joint, kind, **target)
    (name, value) = next(iter(target.items()))
    assert getattr(solution, name) == pytest.approx(value, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.certificate == "rigorous"
    again = dualib.solve(joint, solution.beta, kind)
    assert again.objective == pytest.approx(solution.objective, abs=1e-10)


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_against_the_closed_form_of_the_symmetric_channel(rate):
    solution = dualib.solve_at(datasets.binary_symmetric(0.1), rate=rate)
    exact = closed_forms.binary_symmetric(0.1, solution.beta)
    assert exact.rate == pytest.approx(rate, abs=1e-8)
    assert exact.relevance == pytest.approx(solution.relevance, abs=1e-8)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.77])
def test_on_a_straight_piece_the_ends_are_mixed(share):
    """The erasure channel: nothing at all below 1 / (1 - e), everything above."""
    e, ln2 = 0.3, np.log(2)
    solution = dualib.solve_at(datasets.erasure(e), rate=share * ln2)
    assert solution.beta == pytest.approx(1 / (1 - e), rel=1e-8)
    assert solution.rate == pytest.approx(share * ln2, abs=1e-9)
    assert solution.relevance == pytest.approx((1 - e) * share * ln2, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.n_clusters <= 3
    dual = dualib.solve_at(datasets.erasure(e), "dualib", rate=share * ln2)
    assert dual.beta == pytest.approx(ln2 / -np.log(e), rel=1e-8)
    assert dual.rate == pytest.approx(share * ln2, abs=1e-9)


def test_rate_distortion_at_a_wanted_distortion():
    p, d = 0.4, 0.1
    solution = dualib.solve_at(datasets.bernoulli(p), dualib.RateDistortion([[0, 1], [1, 0]]), expected_distortion=d)
    h = lambda q: -q * np.log(q) - (1 - q) * np.log(1 - q)  # noqa: E731
    assert solution.rate == pytest.approx(h(p) - h(d), abs=1e-8)
    assert solution.beta == pytest.approx(np.log((1 - d) / d), rel=1e-7)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "exactly one"),
        ({"rate": 0.1, "relevance": 0.1}, "exactly one"),
        ({"rate": -0.1}, "rate must be between"),
        ({"rate": 99.0}, "rate must be between"),
        ({"relevance": 0.2}, "relevance must be between"),
        ({"rate": "0.1"}, "rate must be a number"),
        ({"rate": True}, "rate must be a number"),
        ({"rate": np.nan}, "rate must be finite"),
        ({"rate": 0.1, "tol": 0.0}, "tol"),
    ],
)
def test_bad_targets(options, name):
    with pytest.raises((ValueError, TypeError), match=name):
        dualib.solve_at(datasets.toy(), **options)


def test_nothing_to_learn():
    joint = dualib.JointDistribution(np.full((2, 2), 0.25))
    with pytest.raises(ValueError, match="X and Y are independent"):
        dualib.solve_at(joint, rate=0.1)
