"""Events of tables with zeros, where an atom that loses a y changes its face and is no new cluster."""

import itertools

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


COARSE = [1, 2, 4, 8, 16, 40]  # a grid of a user's own, with several events between two of its points
MOVING = "6 1 0 0 0/0 1 2 3 0/0 0 0 1 3/4 10 8 0 0/1 1 5 2 0/2 0 0 1 5/4 0 0 1 4/3 0 3 5 5/2 1 7 0 0/6 9 13 3 1"
TABLES = {
    # two clusters so near each other, just divided, that neither tells which of two farther on is its own: no event
    "just divided": (
        [[3, 13, 1], [0, 0, 2], [4, 5, 0], [1, 5, 0], [0, 2, 0], [0, 9, 1], [4, 0, 21], [1, 5, 11]],
        "ib",
        (5, 10),
    ),
    "one that moves": (
        np.array([[int(digit) for digit in row.split()] for row in MOVING.split("/")]),
        "dualib",
        (8, 16),
    ),
    # born with 0.0088 of the last y, which it loses later: followed back from there it has none, and is born too late
    "born off its face": ([[1, 0, 0, 0], [0, 0, 1, 6], [3, 1, 2, 0], [1, 2, 1, 0], [0, 1, 1, 3], [0, 0, 1, 3]], "ib", (1, 2)),
    "born off several": (
        [[0, 4, 5, 0, 0, 1], [0, 4, 0, 0, 2, 0], [0, 0, 1, 1, 0, 1], [1, 0, 0, 8, 2, 0], [1, 0, 4, 1, 0, 0]],
        "ib",
        (1, 2),
    ),
    # a decoder without the last y that was there twice, on its own face and on that of everything: two brackets
    "one atom on two faces": (
        [[1, 2, 0, 2, 0], [1, 0, 0, 0, 2], [0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1]],
        "ib",
        (2, 3),
    ),
    # grows to a quarter of all weight within 1e-4 of beta, and vanishes: it was taken for a jump that could not be found
    "born and dead at once": ([[1, 1, 1, 0, 2], [0, 4, 1, 1, 2], [1, 1, 1, 0, 1]], "dualib", (2.5, 4)),
    "still faster": (
        [[0, 1, 1, 1, 3], [1, 0, 0, 0, 1], [0, 1, 0, 3, 0], [1, 4, 3, 0, 0], [2, 0, 1, 0, 0], [0, 1, 1, 1, 2]],
        "dualib",
        (1.05, 1.3),
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_events_of_a_coarse_grid_are_located_and_separate_solves_agree(name):
    counts, kind, (low, high) = TABLES[name]
    joint = dualib.JointDistribution.from_counts(counts)
    events = [event for event in dualib.anneal(joint, kind, COARSE).events if low < event.beta < high]
    assert all(event.located for event in events)
    ends = [low, *(event.beta for event in events), high]
    middles = np.sqrt(np.array(ends[1:]) * np.array(ends[:-1]))
    found = [dualib.solve(joint, beta, kind).n_clusters for beta in middles]
    assert list(itertools.pairwise(found)) == [(event.before, event.after) for event in events]
