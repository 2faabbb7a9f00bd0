"""Located events against closed forms, fifty digits, a naive twin (bisection of certified solves), and pairs that a grid hides."""

import functools
import itertools
import math

import mpmath
import numpy as np
import pytest

import dualib
from dualib import JointDistribution, closed_forms, datasets
from dualib.distortions.named import as_distortion
from dualib.engine.optimum import optimum
from dualib.engine.problem import Problem
from dualib.engine.search import price
from dualib.engine.sweep import Sweep
from dualib.path.events import locate

KINDS = ("ib", "dualib")


def random_joint(n_x, n_y, seed):
    rng = np.random.default_rng(seed)
    px = rng.dirichlet(2 * np.ones(n_x))
    return JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), px)


def chain_of(joint, kind, betas):
    problem = Problem(joint, as_distortion(kind))
    return locate(problem, optimum(problem, np.array(betas, dtype=float)).batch)


def located(chain):
    """(kind, beta, before, after) of all events, each of which must have been found as a root."""
    events = [(i, event) for i, event in enumerate(chain.events) if event is not None]
    assert all(event.located for _, event in events)
    return [(event.kind, event.beta, int(chain.counts[i]), int(chain.counts[i + 1])) for i, event in events]


def bisected(count, low, high, width):
    """Changes of the number of clusters, by nothing but certified solves: intervals of a given width in log beta."""
    if count(low) == count(high):
        return []
    if math.log(high / low) < width:
        return [(low, high, count(low), count(high))]
    middle = math.sqrt(low * high)
    return bisected(count, low, middle, width) + bisected(count, middle, high, width)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n_x", "n_y", "seed"), [(5, 3, 1), (6, 5, 2)])
def test_the_same_events_by_bisection(n_x, n_y, seed, kind):
    joint = random_joint(n_x, n_y, seed)
    grid = 0.8 * dualib.onset(joint, kind) * np.geomspace(1.0, 20.0, 12)
    count = functools.cache(lambda beta: dualib.solve(joint, beta, kind).n_clusters)
    twin = [interval for ends in itertools.pairwise(grid.tolist()) for interval in bisected(count, *ends, 1e-3)]
    found = located(chain_of(joint, kind, grid[[0, 5, 11]]))
    assert len(found) == len(twin) > 1
    for (_, beta, before, after), (below, above, n_below, n_above) in zip(found, twin, strict=True):
        assert below * (1.0 - 1e-4) <= beta <= above  # within its tolerance a solve may lack a cluster just born
        assert (before, after) == (n_below, n_above)


@pytest.mark.parametrize(
    ("n_x", "n_y", "seed", "betas", "pair", "counts"),
    [
        (12, 3, 4, [25.5, 26.2], (25.801592, 25.952951), (9, 10, 9)),
        (12, 3, 4, [24.9, 30.0], (25.801592, 25.952951), (9, 10, 9)),
        (30, 4, 7, [10.7, 10.9], (10.745073, 10.757800), (12, 13, 12)),
    ],
)
def test_a_cluster_that_is_born_and_dies_between_two_points(n_x, n_y, seed, betas, pair, counts):
    """Nothing at the points themselves tells of it: as many clusters on either side."""
    chain = chain_of(random_joint(n_x, n_y, seed), "ib", betas)
    events = [event for event in located(chain) if 0.999 * pair[0] < event[1] < 1.001 * pair[1]]
    np.testing.assert_allclose([beta for _, beta, _, _ in events], pair, rtol=5e-8)
    assert [(before, after) for _, _, before, after in events] == [counts[:2], counts[1:]]


# counts, what is added to them, the problem, a pair of betas between which there is one cluster more or less, and how many
HIDING = [
    (  # another one is born where a cluster would arrive that moves fast; the branch folds in between
        "2044330 3112301 5231001 3342014 5411202 2131132 5231430",
        ("ib", 0.0),
        [(6.890431834, 6.894208422, 4, 5), (8.165531987, 8.174836736, 5, 6)],
    ),
    (  # one dies and comes back
        "224 112 221 100 444 442 332 231 301 134 544 131",
        ("ib", 0.0),
        [(5.154510468, 6.256747534, 3, 2)],
    ),
    (  # the branch that lacks it ends before it is born there
        "4435044 3550153 2252315 0453104 3343443 0303551 5221415 2002243 2551050 4120505 1531044 4533514",
        ("dualib", 0.5),
        [(7.953590111, 8.228254747, 6, 7)],
    ),
]


@pytest.mark.parametrize("points", [16, 40])
@pytest.mark.parametrize(("rows", "how", "pairs"), HIDING)
def test_pairs_of_events_are_found_on_coarse_grids_and_on_fine_ones(rows, how, pairs, points):
    """Each was missed on one of these grids; solves in the midst of them and beside them tell that they are there."""
    kind, added = how
    counts = np.array([[int(digit) for digit in row] for row in rows.split()]) + added
    joint = JointDistribution.from_counts(counts)
    events = dualib.anneal(joint, kind, np.geomspace(0.5, 60.0, points)).events
    assert all(event.located for event in events)
    for first, last, outside, inside in pairs:
        assert [dualib.solve(joint, beta, kind, tol=1e-12).n_clusters for beta in (first * 0.9995, last * 1.0005)] == [
            outside
        ] * 2
        assert dualib.solve(joint, math.sqrt(first * last), kind, tol=1e-12).n_clusters == inside
        pair = [event for event in events if 0.9999 * first < event.beta < 1.0001 * last]
        np.testing.assert_allclose([event.beta for event in pair], [first, last], rtol=1e-8)
        assert [(event.before, event.after) for event in pair] == [(outside, inside), (inside, outside)]


@pytest.mark.parametrize("points", [16, 40])
def test_a_jump_to_clusters_nearby_is_found_on_coarse_grids_and_on_fine_ones(points):
    """Three clusters on either side, nearer to each other than clusters move between the points of the coarse grid."""
    rng = np.random.default_rng(1197)
    n_x, n_y = int(rng.integers(3, 14)), int(rng.integers(2, 9))
    joint = JointDistribution.from_conditionals(rng.dirichlet(np.ones(n_y), n_x), rng.dirichlet(np.full(n_x, 2.0)))
    events = dualib.anneal(joint, "dualib", np.geomspace(0.5, 60.0, points)).events
    (jump,) = [event for event in events if event.kind == "jump"]
    assert jump.located
    assert (jump.before, jump.after) == (3, 3)
    below, above = (dualib.solve(joint, jump.beta * (1.0 + step), "dualib", tol=1e-12) for step in (-1e-6, 1e-6))
    assert below.expected_distortion - above.expected_distortion > 1e-4  # the slope of the objective, which has a kink there
    for side, other in ((below, above), (above, below)):  # the branch of one side, past the jump, is worse than the other's
        past = dualib.follow(side, [other.beta], tol=1e-12)[0]
        assert 0.0 < past.objective - other.objective < 1e-6


def test_a_pair_that_is_narrower_than_its_neighbours():
    """Of the letters, an eighth of a thousandth apart, next to another event."""
    chain = chain_of(datasets.load_letters(smoothing=0.5), "ib", [6.585, 6.6])
    assert [beta for _, beta, _, _ in located(chain)] == pytest.approx([6.593427546, 6.594203462, 6.595087316], rel=1e-9)


def near_split_in_fifty_digits(tilt, kind, beta):
    """Where log c beside the one cluster of two sources, alike but for `tilt`, touches 0: both it and its slope vanish."""
    with mpmath.workdps(50):
        px, p = [mpmath.mpf(0.5 + tilt), mpmath.mpf(0.5 - tilt)], [mpmath.mpf(0.15), mpmath.mpf(0.85)]
        if kind == "ib":
            r = mpmath.fsum(a * b for a, b in zip(px, p, strict=True))
        else:
            r = 1 / (1 + mpmath.exp(-mpmath.fsum(a * mpmath.log(b / (1 - b)) for a, b in zip(px, p, strict=True))))

        def d(x, q):
            first, second = (p[x], q) if kind == "ib" else (q, p[x])
            return first * mpmath.log(first / second) + (1 - first) * mpmath.log((1 - first) / (1 - second))

        def log_c(q, b):
            return mpmath.log(mpmath.fsum(px[x] * mpmath.exp(b * (d(x, r) - d(x, q))) for x in range(2)))

        def equations(q, b):
            return [log_c(q, b) / (q - r) ** 2, mpmath.diff(lambda v: log_c(v, b), q) / (q - r)]

        return float(mpmath.findroot(equations, (r - 2 * (r - 0.5), mpmath.mpf(beta)), tol=1e-40)[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tilt", [0.02, 1e-3, 1e-4])
def test_a_birth_that_is_all_but_a_split(tilt, kind):
    """At 1e-4 the cluster is born 5e-4 beside the other, where log c differs from 0 by 1e-15 over all that lies between."""
    joint = JointDistribution.from_conditionals([[0.15, 0.85], [0.85, 0.15]], [0.5 + tilt, 0.5 - tilt])
    onset = dualib.onset(joint, kind)
    exact = near_split_in_fifty_digits(tilt, kind, onset)
    ((name, beta, before, after),) = located(chain_of(joint, kind, [0.9 * onset, 1.2 * onset]))
    assert (name, before, after) == ("appearance", 1, 2)
    assert beta == pytest.approx(exact, rel=3e-11) and onset == pytest.approx(exact, rel=3e-11)
    assert beta < dualib.local_critical_beta(joint, kind) * (1.0 - 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_both_sides_of_an_event_are_optimal_and_neighbours(kind):
    joint = random_joint(20, 5, 2)
    problem = Problem(joint, as_distortion(kind))
    chain = locate(problem, optimum(problem, np.geomspace(2.0, 30.0, 10)).batch)
    links = np.array([i for i, event in enumerate(chain.events) if event is not None])
    assert len(links) > 5
    for side in (links, links + 1):
        batch = chain.batch.copied(side)[0]
        sweep = Sweep(problem, batch)
        assert sweep.residual.max() < 1e-9
        assert price(problem, batch, sweep).gap.max() < 1e-9
    assert (np.diff(chain.batch.beta) >= 0.0).all()
    assert (np.abs(chain.counts[links + 1] - chain.counts[links]) == 1).all()
    assert ((chain.died + chain.born)[np.setdiff1d(np.arange(len(chain.born)), links)] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "a"), [(3, 0.6), (4, 0.5), (8, 0.9)])
def test_a_jump_is_one_event(n, a, kind):
    joint, onset = datasets.symmetric(n, a), closed_forms.symmetric_onset(n, a, kind)
    ((name, beta, before, after),) = located(chain_of(joint, kind, np.geomspace(0.5 * onset, 3.0 * onset, 9)))
    assert (name, before, after) == ("jump", 1, n)
    assert beta == pytest.approx(onset, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("e", [0.05, 0.2, 0.4])
def test_a_split_is_one_event(e, kind):
    onset = closed_forms.binary_symmetric_onset(e, kind)
    ((name, beta, before, after),) = located(
        chain_of(datasets.binary_symmetric(e), kind, np.geomspace(0.5 * onset, 3.0 * onset, 9))
    )
    assert (name, before, after) == ("split", 1, 2)
    assert beta == pytest.approx(onset, rel=1e-12)


def ring(n):
    """Sources on a circle, each seen through the same blurred window."""
    steps = np.minimum((np.arange(n)[:, None] - np.arange(n)) % n, (np.arange(n) - np.arange(n)[:, None]) % n)
    p = np.exp(-0.5 * steps**2) + 0.02
    return JointDistribution.from_conditionals(p / p.sum(axis=1, keepdims=True))


def test_four_clusters_born_out_of_one():
    """Two directions in which the one cluster divides, at the same beta."""
    joint = ring(4)
    ((name, beta, before, after),) = located(chain_of(joint, "ib", [6.0, 7.5, 9.0, 12.0]))
    assert (name, before, after) == ("split", 1, 4)
    assert beta == pytest.approx(dualib.local_critical_beta(joint, "ib"), rel=1e-12)


def test_near_a_continuum_of_optima_the_search_ends_with_brackets():
    """Six sources on a ring: rotated solutions are all but as good, so what changes between two points cannot all be told."""
    chain = chain_of(ring(6), "ib", [3.0, 3.4])
    events = [event for event in chain.events if event is not None]
    assert chain.given.sum() == 2 and 0 < len(events) < 6
    assert all(3.0 < event.beta < 3.4 for event in events)
