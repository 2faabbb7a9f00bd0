"""Curves as a whole: with and without events, chains of events, clusters that come and go, and the one cluster below the onset."""

import mpmath
import numpy as np
import pytest

import dualib
from dualib import JointDistribution

KINDS = ("ib", "dualib")


def random_joint(seed, n_x, n_y, concentration, zeros=0.0):
    rng = np.random.default_rng(seed)
    pxy = rng.dirichlet(np.full(n_x * n_y, concentration)).reshape(n_x, n_y)
    pxy[rng.random(pxy.shape) < zeros] = 0.0
    pxy[np.arange(n_x), np.arange(n_x) % n_y] += 1e-2  # no empty row
    return JointDistribution(pxy / pxy.sum())


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zeros", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_a_curve_without_events_is_the_one_with_them(seed, zeros, kind, direction):
    joint = random_joint(seed, 8, 5, 0.6, zeros)
    betas = np.geomspace(0.5, 80.0, 14)
    alone = dualib.anneal(joint, kind, betas, events=False, direction=direction)
    followed = dualib.anneal(joint, kind, betas)
    assert alone.gap.max() <= 1e-9
    np.testing.assert_allclose(alone.objective, followed.objective, atol=2e-9, rtol=0)
    assert max(solution.residual for solution in alone) <= 1e-10


@pytest.mark.parametrize(
    ("px_seeded", "ends", "counts"),
    [
        (False, (9.97, 10.04), [(64, 65), (65, 66), (66, 67), (67, 66)]),
        (True, (13.2, 13.5), [(74, 75), (75, 76), (76, 75)]),
    ],
)
def test_clusters_that_come_and_go_within_a_step(px_seeded, ends, counts):
    """Two pieces of a path of the dual IB on which a search from fewer sources saw nothing, and other events instead."""
    rng = np.random.default_rng(0)
    py_x = rng.dirichlet(np.ones(10), 100)
    joint = JointDistribution.from_conditionals(py_x, rng.dirichlet(np.full(100, 2.0)) if px_seeded else None)
    curve = dualib.anneal(joint, "dualib", ends)
    assert [(event.before, event.after) for event in curve.events] == counts
    middle = float(np.sqrt(curve.events[1].beta * curve.events[2].beta))
    assert dualib.solve(joint, middle, "dualib", random_state=3).n_clusters == counts[1][1]


def test_events_of_a_path_are_a_chain():
    """What one event leaves the next one finds, also where clusters are born on the way down."""
    rng = np.random.default_rng(0)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(10), 100))
    curve = dualib.anneal(joint, "ib", [16.2, 17.0, 17.6])
    counts = [curve.n_clusters[0], *(event.after for event in curve.events)]
    assert [event.before for event in curve.events] == counts[:-1]
    assert counts[-1] == curve.n_clusters[-1]
    assert any(event.after < event.before for event in curve.events)
    for event in curve.events:
        for side in (event.below, event.above):
            assert side.gap < 1e-9
            assert dualib.certify(joint, side.encoder, side.beta).residual < 1e-8


def test_where_two_clusters_vanish_at_once_all_events_are_located():
    """Sources equal but for a permutation of y: what vanishes does so in pairs."""
    p = np.array([[0.7, 0.2, 0.1], [0.7, 0.1, 0.2], [0.1, 0.45, 0.45], [0.2, 0.4, 0.4]])
    joint = JointDistribution.from_conditionals(p, [0.2, 0.2, 0.3, 0.3])
    curve = dualib.anneal(joint, "ib", beta_min=1.0, beta_max=60.0)
    assert max(curve.gap) < 1e-9 and all(event.located for event in curve.events)


def log_c(joint, kind, beta, points):
    """Log c at decoders (m, n_y) with the one cluster as the solution, in plain NumPy."""
    p = joint.py_x
    if kind == "ib":
        d = np.array([[np.sum(a * np.log(a / q)) for q in points] for a in p])
        own = np.array([np.sum(a * np.log(a / joint.py)) for a in p])
    else:
        middle = np.exp(joint.px @ np.log(p))
        middle /= middle.sum()
        d = np.array([[np.sum(q * np.log(q / a)) for q in points] for a in p])
        own = np.array([np.sum(middle * np.log(middle / a)) for a in p])
    return np.log(joint.px @ np.exp(-beta * (d - own[:, None])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_log_c_of_one_cluster_lies_below_its_chord(seed, kind):
    """Why the onset is the end of an interval: log c is convex in beta, and 0 at beta = 0."""
    rng = np.random.default_rng(seed)
    joint = random_joint(seed, 6, 4, 1.0)
    points = np.concatenate([joint.py_x, rng.dirichlet(np.ones(4), 200)])
    whole = log_c(joint, kind, 5.0, points)
    for part in (0.9, 0.5, 0.1):
        assert (log_c(joint, kind, 5.0 * part, points) <= part * np.maximum(whole, 0.0) + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_below_the_onset_the_gap_of_the_one_cluster_bounds_a_fresh_one(kind):
    joint = random_joint(0, 6, 5, 1.0)
    betas = dualib.onset(joint, kind) * np.array([0.2, 0.5, 0.9, 0.99, 1.5, 4.0])
    for events in (False, True):
        curve = dualib.anneal(joint, kind, betas, events=events)
        np.testing.assert_array_equal(curve.n_clusters[:4], 1)
        assert curve.gap[:4].max() <= 1e-9
        for solution in [curve[i] for i in range(4)]:
            fresh = dualib.certify(joint, solution.encoder, solution.beta, kind)
            assert fresh.gap <= solution.gap + 1e-12
            assert solution.certificate == fresh.kind


def onset_in_fifty_digits(px, p, kind, s, beta):
    """The beta at which log c beside the one cluster touches 0, y binary: both log c and its slope vanish at s."""
    with mpmath.workdps(50):
        px, p = [mpmath.mpf(v) for v in px], [mpmath.mpf(v) for v in p]
        if kind == "ib":
            r = mpmath.fsum(a * b for a, b in zip(px, p, strict=True))
        else:
            log_odds = mpmath.fsum(a * mpmath.log(b / (1 - b)) for a, b in zip(px, p, strict=True))
            r = 1 / (1 + mpmath.exp(-log_odds))

        def d(x, q):
            first, second = (p[x], q) if kind == "ib" else (q, p[x])
            return first * mpmath.log(first / second) + (1 - first) * mpmath.log((1 - first) / (1 - second))

        def log_c(q, b):
            return mpmath.log(mpmath.fsum(px[x] * mpmath.exp(b * (d(x, r) - d(x, q))) for x in range(len(px))))

        def equations(q, b):  # divided by what both have where q is r: log c by (q - r)^2, its slope by q - r
            return [log_c(q, b) / (q - r) ** 2, mpmath.diff(lambda v: log_c(v, b), q) / (q - r)]

        return mpmath.findroot(equations, (mpmath.mpf(s), mpmath.mpf(beta)), tol=1e-40)[1]


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("tilt", [0.1, 0.02, 0.004])
def test_an_appearance_that_is_nearly_a_split(kind, tilt):
    """Two sources alike but for `tilt`, 0 at a split: with it log c at the touching point falls like its 4th power."""
    px, p = [0.5 + tilt, 0.5 - tilt], [0.15, 0.85]
    joint = JointDistribution.from_conditionals(np.array([p, [0.85, 0.15]]).T, px)
    (event,) = dualib.anneal(joint, kind, beta_min=0.4, beta_max=4.0).events
    born = np.argmin(event.above.weights)
    exact = onset_in_fifty_digits(px, p, kind, event.above.decoder[born, 0], event.beta)
    assert abs(float(event.beta / exact - 1)) <= event.precision <= 3e-10
    assert (event.kind, event.before, event.after) == ("appearance", 1, 2)
    assert event.above.beta < event.beta * (1.0 + 2e-5)
    beyond = dualib.solve(joint, event.above.beta, kind, tol=1e-11)
    assert event.above.weights[born] == pytest.approx(beyond.weights.min(), rel=1e-2)
    assert event.beta < dualib.local_critical_beta(joint, kind)
