"""Bounds between the points of a curve, where no encoder goes below a certain distortion."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.distortions.named import as_distortion
from dualib.results.enclosure import least_distortion

RNG = np.random.default_rng(6)
MATRIX = 0.2 + RNG.random((5, 3))  # no column is free for any x
JOINT = JointDistribution.from_conditionals(np.eye(5), RNG.dirichlet(np.full(5, 2.0)))


def test_the_least_distortion_is_that_of_each_source_in_its_nearest_column():
    nearest = sum(p * min(row) for p, row in zip(JOINT.px, MATRIX.tolist(), strict=True))
    assert least_distortion(JOINT, dualib.RateDistortion(MATRIX)) == pytest.approx(nearest, rel=1e-14)
    sparse = pytest.importorskip("scipy.sparse").csr_array(JOINT.pxy)
    thin = least_distortion(JointDistribution(sparse), dualib.RateDistortion(MATRIX))
    assert thin == pytest.approx(nearest, rel=1e-14)
    for kind in ("ib", "dualib"):
        assert least_distortion(JOINT, as_distortion(kind)) == 0.0


@pytest.mark.parametrize("beta", [0.5, 2.0, 3.0, 7.0, 30.0, 300.0])
def test_the_enclosure_of_rate_distortion_holds_beyond_its_ends(beta):
    """Above the last point the lower bound rises by the least distortion for each unit of beta."""
    distortion = dualib.RateDistortion(MATRIX)
    curve = dualib.anneal(JOINT, distortion, [2.0, 4.0, 9.0], events=False)
    lower, upper = curve.objective_bounds(beta)
    best = dualib.solve(JOINT, beta, distortion).objective
    assert lower - 1e-9 <= best <= upper + 1e-9
    point = curve.at(beta)
    assert point.objective - point.error_bound - 1e-9 <= best <= point.objective + 1e-9
    if beta > 9.0:
        last = curve[-1]
        assert lower == pytest.approx(last.lower_bound + (beta - 9.0) * least_distortion(JOINT, distortion), rel=1e-12)
        assert point.parts == ((1.0, last),)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_between_rates_the_distortion_is_within_its_bound(share):
    distortion = dualib.RateDistortion(MATRIX)
    curve = dualib.anneal(JOINT, distortion, [2.0, 4.0, 9.0, 20.0], events=False)
    rate = curve[0].rate + share * (curve[-1].rate - curve[0].rate)
    point = curve.at_rate(rate)
    best = dualib.solve_at(JOINT, distortion, rate=rate).expected_distortion
    assert point.expected_distortion - point.error_bound - 1e-9 <= best <= point.expected_distortion + 1e-9
