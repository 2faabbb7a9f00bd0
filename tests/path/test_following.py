"""`follow` where a branch cannot be left behind, and what it refuses."""

import numpy as np
import pytest

import dualib
from dualib import JointDistribution


def test_rate_distortion_has_no_hysteresis():
    """The problem of the weights is convex: local steps alone stay at the optimum while clusters go."""
    rng = np.random.default_rng(3)
    matrix = 1.0 - np.eye(4) + 0.1 * rng.random((4, 4))
    joint = JointDistribution.from_conditionals(np.eye(4), rng.dirichlet(np.full(4, 2.0)))
    start = dualib.solve(joint, 20.0, dualib.RateDistortion(matrix))
    assert start.n_clusters == 4  # all columns
    curve = dualib.follow(start, [9.0, 5.0, 2.0, 1.0])
    assert curve.beta.tolist() == [1.0, 2.0, 5.0, 9.0]
    assert curve.n_clusters[0] < 4 and curve.gap.max() <= 1e-9
    for solution in curve:
        weights, likelihood = np.full(4, 0.25), np.exp(-solution.beta * matrix)
        for _ in range(4_000):
            weights = weights * ((joint.px / (likelihood @ weights)) @ likelihood)
        best = -joint.px @ np.log(likelihood @ weights)
        assert solution.objective == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("kind", ["ib", "dualib", dualib.Alpha(0.5)])
@pytest.mark.parametrize("seed", [0, 3])
def test_every_point_is_a_local_minimum_of_its_own_objective(kind, seed):
    """At rest, never below the optimum, and above it by no more than the gap."""
    rng = np.random.default_rng(seed)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.full(5, 0.3), 9), rng.dirichlet(np.full(9, 2.0)))
    betas = np.geomspace(0.9, 9.0, 8) * dualib.onset(joint, kind)
    best = dualib.anneal(joint, kind, betas, events=False)
    for start in (0, -1):
        curve = dualib.follow(best[start], betas if start == 0 else betas[::-1])
        difference = curve.objective - best.objective
        assert difference.min() > -1e-9
        assert (difference <= curve.gap + 1e-9).all()
        for solution in curve:
            assert solution.residual <= 1e-9


def test_a_beta_given_twice_is_kept_from_the_later_visit():
    """Up past the jump and back below it: three clusters stay there, where one came by."""
    joint = dualib.datasets.symmetric(3, 0.6)
    onset = dualib.onset(joint, "ib")
    up = onset * np.array([1.0 - 1e-3, 1.3, 1.6, 2.0])
    start = dualib.solve(joint, up[0], "ib")
    assert dualib.follow(start, up).n_clusters[[0, -1]].tolist() == [1, 3]
    curve = dualib.follow(start, np.append(up, up[::-1]))
    assert curve.beta.tolist() == up.tolist()
    assert curve.n_clusters.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("solution", "betas", "error", "match"),
    [
        ("curve", [2.0], TypeError, "solution must be a Solution, got Curve"),
        (None, [2.0], TypeError, "solution must be a Solution, got NoneType"),
        ("solution", [2.0, -1.0], ValueError, "betas must be .*-1.0"),
        ("solution", [], ValueError, "betas"),
    ],
)
def test_what_cannot_be_followed_is_named(solution, betas, error, match):
    point = dualib.solve(dualib.datasets.toy(), 3.0)
    given = {"curve": dualib.Curve([point]), "solution": point, None: None}[solution]
    with pytest.raises(error, match=match):
        dualib.follow(given, betas)
