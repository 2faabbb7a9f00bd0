"""The clusters of x of next to no probability, and of weights that leave others next to none."""

import warnings

import numpy as np
import pytest
from relations import thinned

import dualib


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


def test_a_start_that_no_counting_source_reaches():
    """Zeros and large weights: a centroid once divided 0 by 0."""
    joint = dualib.JointDistribution.from_counts([[0, 1000, 0, 1000], [0, 0, 30, 801], [0, 433, 207, 0]])
    assert dualib.solve(joint, 3.0).gap <= 1e-9
