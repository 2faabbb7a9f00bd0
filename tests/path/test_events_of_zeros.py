"""Events of tables with zeros, where an atom that loses a y changes its face and is no new cluster."""

import numpy as np
import pytest

import dualib


@pytest.mark.parametrize("betas", [[1, 2, 4, 8, 32], [1, 2, 4, 8, 10, 11, 11.5, 11.7, 11.8, 12, 13, 16, 32], [2, 11, 20]])
def test_a_cluster_that_has_next_to_nothing_of_a_y_is_not_born_again_without_it(betas):
    """Its mass on the second y is 6e-9 at beta 8 and below rounding at 12: two events of four clusters, or of none, stood there."""
    joint = dualib.JointDistribution.from_counts([[3, 9, 0], [12, 1, 2], [2, 0, 9], [2, 14, 1]])
    curve = dualib.anneal(joint, betas=betas)
    expected = [(1.476286117, 1, 2), (2.0506879265, 2, 3), (17.308351195, 3, 4)]
    expected = [event for event in expected if betas[0] < event[0] < betas[-1]]
    assert [(event.before, event.after, event.located) for event in curve.events] == [(*event[1:], True) for event in expected]
    np.testing.assert_allclose([event.beta for event in curve.events], [event[0] for event in expected], rtol=1e-8)
