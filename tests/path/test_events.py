"""Bifurcations located exactly, the curve between its points, and the branch that a local annealer would follow."""

import math

import naive
import numpy as np
import pytest

import dualib
from dualib import JointDistribution, closed_forms, datasets

KINDS = ("ib", "dualib")


def random_joint(seed):
    """Sizes, concentration and p(x) all drawn."""
    rng = np.random.default_rng(seed)
    n_x, n_y = int(rng.integers(3, 11)), int(rng.integers(2, 5))
    return JointDistribution.from_conditionals(
        rng.dirichlet(np.full(n_y, rng.uniform(0.4, 3.0)), n_x), rng.dirichlet(np.full(n_x, 3.0))
    )


def log_c(kind, joint, solution, decoder):
    """log of c(r) = sum_x p(x) exp(-beta d(x, r)) / Z(x), from the definition."""
    beta = solution.beta
    scores = -beta * naive.distortion_matrix(kind, joint.py_x, solution.decoder)
    log_z = np.log(np.exp(scores) @ solution.weights)
    return math.log(
        np.sum(joint.px * np.exp(-beta * naive.distortion_matrix(kind, joint.py_x, decoder[None, :])[:, 0] - log_z))
    )


# -------------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("ib", [4.365028, 12.736968, 27.860489, 44.411166]), ("dualib", [3.223708, 11.810376, 26.684257, 42.196371])],
)
def test_the_five_point_toy(kind, expected):
    """Five clusters down to one; the onset is where a cluster is born at a distance, not the textbook critical beta."""
    joint = datasets.toy()
    curve = dualib.anneal(joint, kind, beta_min=2.0, beta_max=64.0)
    np.testing.assert_allclose([event.beta for event in curve.events], expected, rtol=3e-7)
    assert [(event.before, event.after) for event in curve.events] == [(1, 2), (2, 3), (3, 4), (4, 5)]
    assert all(event.located and event.precision < 1e-8 for event in curve.events)
    assert curve.onset == pytest.approx(curve.events[0].beta, rel=1e-9)
    assert curve.onset < dualib.local_critical_beta(joint, kind) * (1.0 - 1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_at_an_appearance_c_is_one_at_the_cluster_that_is_born(kind, seed):
    """By the definition of c: the side with fewer clusters, and the decoder that the other side has besides."""
    joint = random_joint(seed)
    found = 0
    for event in dualib.anneal(joint, kind).events:
        fewer, more = sorted((event.below, event.above), key=lambda side: side.n_clusters)
        if event.kind != "appearance" or more.n_clusters != fewer.n_clusters + 1:
            continue
        away = np.array([[np.abs(r - s).sum() for s in fewer.decoder] for r in more.decoder]).min(axis=1)
        born = int(np.argmax(away))
        assert abs(log_c(kind, joint, fewer, more.decoder[born])) < 1e-7  # the decoder is from 1e-5 further on
        found += 1
    assert found


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_is_where_a_stability_number_is_one(kind):
    joint = datasets.binary_symmetric(0.1)
    (event,) = dualib.anneal(joint, kind).events
    assert (event.kind, event.before, event.after) == ("split", 1, 2)
    assert event.beta == pytest.approx(closed_forms.binary_symmetric_onset(0.1, kind), rel=1e-10)
    assert event.below.stability.max() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("kind", "expected"), [("ib", 2.7249340568), ("dualib", 2.6679793163)])
def test_a_jump_of_three_clusters_at_once(kind, expected):
    """First order: both ends are optimal at the same beta, and so is every mixture."""
    joint = datasets.symmetric(3, 0.6)
    (event,) = dualib.anneal(joint, kind).events
    assert (event.kind, event.before, event.after, event.multiplicity) == ("jump", 1, 3, 3)
    assert event.beta == pytest.approx(expected, rel=1e-9)
    assert event.below.beta == event.above.beta == event.beta
    assert event.below.objective == pytest.approx(event.above.objective, abs=1e-11)
    assert event.below.rate < 1e-12 < 0.05 < event.above.rate


@pytest.mark.parametrize("kind", KINDS)
def test_the_jump_of_the_erasure_channel(kind):
    joint = datasets.erasure(0.3)
    first = dualib.anneal(joint, kind).events[0]
    assert first.kind == "jump"
    assert first.beta == pytest.approx(dualib.onset(joint, kind), rel=1e-9)
    assert first.beta == pytest.approx({"ib": 1.4285714286, "dualib": 0.5757166425}[kind], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 5])
def test_the_number_of_clusters_changes_only_at_events(kind, seed):
    """On random problems, every gap closed, at betas that the path has not seen."""
    joint = random_joint(100 + seed)
    curve = dualib.anneal(joint, kind, tol_curve=1e-4)
    assert curve.gap.max() <= 1e-9
    assert all(event.located for event in curve.events)
    rng = np.random.default_rng(seed)
    edges = np.array([curve.beta[0], *(event.beta for event in curve.events), curve.beta[-1]])
    counts = [curve.n_clusters[0], *(event.after for event in curve.events)]
    for event, before in zip(curve.events, counts, strict=False):
        assert event.before == before
    for beta in np.exp(rng.uniform(*np.log(curve.beta[[0, -1]]), 6)):
        if np.min(np.abs(np.log(edges / beta))) > 1e-4:
            own = dualib.solve(joint, beta, kind)
            assert own.n_clusters == counts[int(np.searchsorted(edges, beta)) - 1]


def test_events_do_not_depend_on_the_grid_or_the_direction():
    joint = random_joint(7)
    betas = np.geomspace(1.0, 60.0, 9)
    first = dualib.anneal(joint, "ib", betas).events
    second = dualib.anneal(joint, "ib", np.geomspace(1.0, 60.0, 23), direction="up", random_state=5).events
    np.testing.assert_allclose([event.beta for event in first], [event.beta for event in second], rtol=1e-9)
    assert [event.kind for event in first] == [event.kind for event in second]


ON_THE_GRID = {  # counts of small whole numbers, whose events lie at round betas
    "birth": ([[0, 0, 1, 2], [1, 1, 0, 1], [0, 1, 1, 0]], "ib", [2.0, 2.0312325025]),
    "another birth": ([[0, 3, 0, 0], [1, 2, 1, 2], [0, 1, 1, 1]], "ib", [2.0]),
    "split": ([[3, 1], [1, 3]], "ib", [4.0]),
    "jump": ([[1, 1, 2, 0], [0, 2, 1, 1], [1, 0, 0, 2], [1, 1, 0, 2], [1, 0, 1, 1]], "dualib", [2.0, 2.7738179523]),
}


@pytest.mark.parametrize(("counts", "kind", "betas"), ON_THE_GRID.values(), ids=ON_THE_GRID)
def test_an_event_at_a_beta_of_the_grid_is_located_there(counts, kind, betas):
    """It was a bracket as wide as the grid; and none where the path begins at it, though more clusters follow."""
    joint = JointDistribution.from_counts(counts)
    first, last = betas[0], 1.01 * betas[-1]
    for grid in ([first / 2, first, last], [first / 2, last]):
        curve = dualib.anneal(joint, kind, grid)
        assert all(event.located for event in curve.events)
        np.testing.assert_allclose([event.beta for event in curve.events], betas, rtol=1e-9)
    curve = dualib.anneal(joint, kind, [first, last])  # the event is in it if the solution there has not passed it
    numbers = [curve.n_clusters[0], *(event.after for event in curve.events)]
    assert [event.before for event in curve.events] == numbers[:-1]
    assert numbers[-1] == curve.n_clusters[-1]


@pytest.mark.parametrize(
    ("counts", "kind", "beta", "after"),
    [
        ([[3, 3, 1], [1, 3, 3], [3, 1, 3]], "dualib", 7.2608940618, 3),
        ([[2, 2, 1, 1], [1, 2, 2, 1], [1, 1, 2, 2], [2, 1, 1, 2]], "ib", 18.0, 4),
        ([[2, 2, 1, 1], [1, 2, 2, 1], [1, 1, 2, 2], [2, 1, 1, 2]], "dualib", 16.650951848, 4),
    ],
)
def test_what_symmetry_brings_at_once_is_one_event(counts, kind, beta, after):
    (event,) = dualib.anneal(JointDistribution.from_counts(counts), kind, [1.5, 2.5, 20]).events
    assert (event.before, event.after, event.located) == (1, after, True)
    assert event.beta == pytest.approx(beta, rel=1e-9)


def test_events_do_not_depend_on_the_labels():
    joint = random_joint(3)
    rng = np.random.default_rng(0)
    shuffled = JointDistribution(joint.pxy[rng.permutation(joint.n_x)][:, rng.permutation(joint.n_y)])
    own, other = (dualib.anneal(j, "dualib").events for j in (joint, shuffled))
    np.testing.assert_allclose([event.beta for event in own], [event.beta for event in other], rtol=1e-9)


@pytest.mark.parametrize(
    "distortion",
    [
        dualib.Bregman(
            lambda m: 0.5 * np.sum(m**2, axis=1), lambda m: m, lambda m: np.tile(np.eye(m.shape[1]), (len(m), 1, 1))
        ),
        dualib.Alpha(0.5),
        dualib.RateDistortion(1.0 - np.eye(5)),
    ],
    ids=["bregman", "alpha", "rate-distortion"],
)
def test_every_distortion_has_its_events(distortion):
    joint = JointDistribution.from_conditionals(np.random.default_rng(2).dirichlet(np.ones(3), 5), [0.3, 0.25, 0.2, 0.15, 0.1])
    curve = dualib.anneal(joint, distortion, np.geomspace(0.3, 40.0, 12))
    counts = curve.n_clusters
    assert counts[-1] > counts[0]
    assert curve.gap.max() <= 1e-9
    assert curve.events
    assert all(event.located for event in curve.events)
    for event in curve.events:
        low, high = (dualib.solve(joint, event.beta * factor, distortion) for factor in (1.0 - 1e-4, 1.0 + 1e-4))
        assert (low.n_clusters, high.n_clusters) == (event.before, event.after)


def test_without_events_they_are_bracketed():
    joint = datasets.toy()
    located = dualib.anneal(joint, "ib", np.geomspace(2.0, 64.0, 12)).events
    bracketed = dualib.anneal(joint, "ib", np.geomspace(2.0, 64.0, 12), events=False).events
    assert not any(event.located for event in bracketed)
    for event in located:
        assert any(known.interval[0] < event.beta < known.interval[1] for known in bracketed)


def test_a_path_too_large_to_follow_says_so(monkeypatch):
    monkeypatch.setattr("dualib.path.public.FOLLOWED", 5)
    curve = dualib.anneal(datasets.toy(), "ib", np.geomspace(2.0, 64.0, 12))
    assert curve.gap.max() <= 1e-9
    assert curve.events
    assert not any(event.located for event in curve.events)


def test_on_a_continuum_the_search_for_events_ends():
    """Conditionals of a smooth family: near-ties everywhere, and a flat optimum."""
    curve = dualib.anneal(datasets.gaussian(14, 0.8, 3.0), "ib", np.geomspace(1.2, 12.0, 5))
    assert curve.gap.max() <= 1e-8
    assert curve.events


# -------------------------------------------------------------------------------------------------------- between the points


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_independent_solves_lie_inside_the_enclosure(kind, seed):
    joint = random_joint(200 + seed)
    curve = dualib.anneal(joint, kind, tol_curve=1e-4)
    betas = np.exp(np.random.default_rng(seed).uniform(*np.log(curve.beta[[0, -1]]), 20))
    lower, upper = curve.objective_bounds(betas)
    assert (upper - lower <= 1e-4 * (1.0 + 1e-9)).all()
    for beta, low, high in zip(betas, lower, upper, strict=True):
        own = dualib.solve(joint, beta, kind, random_state=1)
        assert low - 1e-12 <= own.objective <= high + own.gap + 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_between_points_the_best_encoder_and_its_bound(kind):
    joint = datasets.toy()
    curve = dualib.anneal(joint, kind)
    for beta in (5.0, 9.1, 20.0, 33.3):
        point = curve.at(beta)
        own = dualib.solve(joint, beta, kind)
        assert 0.0 <= point.objective - own.objective <= point.error_bound + 1e-12
        assert point.objective == pytest.approx(point.rate + beta * point.expected_distortion, rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_at_a_rate_inside_a_jump_its_ends_are_mixed(kind):
    joint = datasets.erasure(0.3)
    curve = dualib.anneal(joint, kind)
    event = curve.events[0]
    for share in (0.2, 0.7):
        rate = share * event.above.rate
        point = curve.at_rate(rate)
        assert point.rate == pytest.approx(rate)
        assert point.expected_distortion == pytest.approx(
            (1.0 - share) * event.below.expected_distortion + share * event.above.expected_distortion, abs=1e-9
        )
        assert point.error_bound < 1e-8
        wanted = dualib.solve_at(joint, rate=rate, distortion=kind)
        assert point.expected_distortion == pytest.approx(wanted.expected_distortion, abs=1e-8)


def test_between_points_bad_arguments_are_named():
    curve = dualib.anneal(datasets.toy(), "ib", [2.0, 8.0])
    for call, word in [
        (lambda: curve.at(-1.0), "beta"),
        (lambda: curve.at_rate(99.0), "rate"),
        (lambda: curve.at_rate("a"), "rate"),
    ]:
        with pytest.raises((ValueError, TypeError), match=word):
            call()


# ---------------------------------------------------------------------------------------------------------------- hysteresis


def test_a_follower_stays_trivial_past_the_onset_and_its_gap_says_so():
    """From below, clusters are only ever split: the one cluster stays until the textbook critical beta."""
    joint = datasets.case_a()
    onset, local = dualib.onset(joint, "ib"), dualib.local_critical_beta(joint, "ib")
    assert onset < local
    betas = [0.9 * onset, 0.5 * (onset + local), 1.1 * local]
    followed = dualib.follow(dualib.solve(joint, betas[0], "ib"), betas)
    best = dualib.anneal(joint, "ib", betas)
    assert followed.n_clusters.tolist()[:2] == [1, 1]
    assert followed.n_clusters[2] >= 2
    assert best.n_clusters[1] == 2
    difference = followed.objective - best.objective
    assert difference[0] == pytest.approx(0.0, abs=1e-12)
    assert difference[1] > 1e-6
    assert (followed.gap >= difference - 1e-12).all()


def test_a_follower_from_above_keeps_a_cluster_past_its_jump():
    """Down through a first-order transition the three clusters outlive their optimality."""
    joint = datasets.symmetric(3, 0.6)
    onset = dualib.onset(joint, "ib")
    followed = dualib.follow(dualib.solve(joint, 1.02 * onset, "ib"), [onset * (1.0 - 1e-3)])
    assert followed.n_clusters[0] == 3
    assert followed.gap[0] > 1e-6
