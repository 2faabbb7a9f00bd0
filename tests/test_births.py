"""Clusters born beside others that all but split: against 50 digits, and where the path had once gone past them."""

import mpmath
import numpy as np
import pytest

import dualib
from dualib import JointDistribution
from dualib.ascent import log_c
from dualib.births import find_birth
from dualib.branch import Branch
from dualib.continuation import correct
from dualib.distortions import as_distortion
from dualib.optimise import atoms_of_encoder
from dualib.problem import Atoms, Problem, sweep
from dualib.search import search


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


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_a_birth_is_found_from_either_side(kind):
    rng = np.random.default_rng(4)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(4), 9), rng.dirichlet(np.full(9, 3.0)))
    problem, found, tried = Problem(joint, as_distortion(kind)), 0, 0
    for event in dualib.anneal(joint, kind, beta_min=2.0, beta_max=20.0).events:
        if event.after < event.before:
            continue
        state = correct(problem, event.below.beta, atoms_of_encoder(problem, event.below.encoder))
        newborn = np.argmin(event.above.weights)
        mean = Atoms(np.zeros(1), event.above.means[[newborn]], None)
        branch = Branch(problem, state)
        for factor in (0.999, 1.001):
            within = (0.9 * event.beta, 1.1 * event.beta)
            start = branch.at(factor * event.beta)
            if start is None:  # the branch has no such end
                continue
            tried += 1
            birth = find_birth(problem, start.beta, start.atoms, mean, rising=True, within=within)
            if birth is None:
                continue
            found += 1
            assert birth.point.beta == pytest.approx(event.beta, rel=3e-10)
            value = log_c(problem, birth.state.beta, np.log(problem.px) - birth.state.log_z, birth.mean)[0][0]
            assert abs(value) < 1e-12
            assert find_birth(problem, start.beta, start.atoms, mean, rising=False, within=within) is None
    assert found > 0.7 * tried > 5


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


@pytest.mark.parametrize(("kind", "n_x", "n_y"), [("ib", 40, 6), ("dualib", 40, 6), ("ib", 20, 15)])
def test_a_quarter_search_sees_every_cluster_just_born(kind, n_x, n_y):
    """Past each event, on the branch that lacks the cluster, from any seed and with no hint of it."""
    rng = np.random.default_rng(2)
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 3.0)))
    problem = Problem(joint, as_distortion(kind))
    events = dualib.anneal(joint, kind, beta_max=30.0).events
    looked_at = 0
    for event in events:
        rises = event.after > event.before
        side = event.below if rises else event.above
        state = correct(problem, side.beta, atoms_of_encoder(problem, side.encoder))
        past = Branch(problem, state).at(event.beta * np.exp(1e-3 if rises else -1e-3))
        if past is None:
            continue
        looked_at += 1
        rng = np.random.default_rng(looked_at)
        found = search(problem, past.beta, past.atoms, past.posterior, past.log_z, rng, effort=0.25)
        assert found.best > 1e-9
    assert looked_at > 0.8 * len(events) > 8


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
            assert (
                sweep(
                    Problem(joint, dualib.IB()), side.beta, atoms_of_encoder(Problem(joint, dualib.IB()), side.encoder)
                ).residual
                < 1e-8
            )
