"""Channel capacity against closed forms and its own bound; gNID against partitions and its definition."""

import itertools
import warnings

import numpy as np
import pytest
from naive import kl, mutual_information
from scipy.stats import entropy

import dualib
from dualib.information import channel_capacity, gnid

LN2 = np.log(2.0)


def channel(seed, n_x, n_y, zeros=0.0):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(n_y, 0.5), n_x) * (rng.random((n_x, n_y)) >= zeros)
    rows[np.arange(n_x), rng.integers(n_y, size=n_x)] += 0.1
    return rows / rows.sum(axis=1, keepdims=True)


def bound(py_x, px):
    """``max_x KL(p(.|x) || p(y))``."""
    return max(kl(row, px @ py_x) for row in py_x)


# ---------------------------------------------------------------------------------------------------------------------- capacity


def z_channel(a):
    """1 is taken for 0 with probability a."""
    return [[1.0, 0.0], [a, 1.0 - a]], np.log1p((1.0 - a) * a ** (a / (1.0 - a)))


CLOSED = {
    "binary symmetric": ([[0.9, 0.1], [0.1, 0.9]], LN2 - entropy([0.9, 0.1])),
    "erasure": ([[0.7, 0.3, 0.0], [0.0, 0.3, 0.7]], 0.7 * LN2),
    "Z": z_channel(0.3),
    "Z, nearly noiseless": z_channel(1e-6),
    "typewriter": (np.eye(6) / 2 + np.roll(np.eye(6), 1, axis=1) / 2, np.log(3.0)),
    "noiseless": (np.eye(7), np.log(7.0)),
    "useless": (np.full((3, 4), 0.25), 0.0),
    "one of three is of no use": ([[1, 0], [0.5, 0.5], [0, 1]], LN2),
    "symmetric": (0.1 + 0.6 * np.eye(4), np.log(4.0) - entropy([0.7, 0.1, 0.1, 0.1])),
    "one x": ([[0.2, 0.8]], 0.0),
    "one y": ([[1.0], [1.0]], 0.0),
}


@pytest.mark.parametrize("name", CLOSED)
def test_capacity_in_closed_form(name):
    py_x, value = CLOSED[name]
    capacity, px, gap = channel_capacity(py_x)
    assert capacity == pytest.approx(value, abs=2e-9)
    assert 0.0 <= gap <= 1e-9
    assert px.shape == (len(py_x),)
    assert px.sum() == pytest.approx(1.0, abs=1e-14)


def test_an_x_of_no_use_has_probability_zero():
    capacity, px, gap = channel_capacity([[1, 0], [0.5, 0.5], [0, 1]], unit="bits")
    assert capacity == pytest.approx(1.0, abs=1e-12)
    assert px[1] == 0.0
    assert px == pytest.approx([0.5, 0.0, 0.5], abs=1e-12)
    assert gap <= 1e-12


def test_probability_is_exactly_where_the_divergence_is_largest():
    """Thirty Gaussian bumps on a line: a few are used, and none that has less than the capacity to tell."""
    places = np.arange(30)
    py_x = np.exp(-0.5 * ((places[:, None] - places) / 3.0) ** 2)
    py_x /= py_x.sum(axis=1, keepdims=True)
    capacity, px, _ = channel_capacity(py_x)
    divergence = np.array([kl(row, px @ py_x) for row in py_x])
    assert (px[divergence < capacity - 1e-6] == 0.0).all()
    assert divergence[px > 0.0] == pytest.approx(capacity, abs=1e-8)
    assert np.count_nonzero(px) < 10
    assert px == pytest.approx(px[::-1], abs=1e-6)


@pytest.mark.parametrize("zeros", [0.0, 0.5])
@pytest.mark.parametrize(("n_x", "n_y"), [(2, 3), (7, 4), (4, 9), (60, 12), (12, 60)])
def test_capacity_is_certified_by_the_bound(n_x, n_y, zeros):
    """Both sides computed from the definition: the information at p(x) from below, the largest divergence from above."""
    py_x = channel(n_x, n_x, n_y, zeros)
    capacity, px, gap = channel_capacity(py_x)
    assert capacity == pytest.approx(mutual_information(px[:, None] * py_x), abs=1e-12)
    assert bound(py_x, px) == pytest.approx(capacity + gap, abs=1e-12)
    assert gap <= 1e-9


def test_capacity_is_that_of_a_grid():
    """Three x, two y: no p(x) on a fine grid has more information."""
    py_x = channel(5, 3, 2)
    steps = np.linspace(0.0, 1.0, 101)
    most = max(
        mutual_information(np.array([a, b, 1.0 - a - b])[:, None] * py_x)
        for a, b in itertools.product(steps, steps)
        if a + b <= 1.0 and (a, b) != (0.0, 0.0)
    )
    capacity = channel_capacity(py_x).capacity
    assert most <= capacity + 1e-9
    assert most == pytest.approx(capacity, abs=1e-4)


def test_equal_rows_share_and_order_does_not_matter():
    py_x = channel(1, 5, 4)
    alone = channel_capacity(py_x)
    doubled = channel_capacity(np.concatenate([py_x, py_x[:2]])[:, ::-1])
    assert doubled.capacity == pytest.approx(alone.capacity, abs=1e-9)
    assert doubled.px[:2].tolist() == doubled.px[5:].tolist()
    merged = doubled.px[:5] + np.append(doubled.px[5:], np.zeros(3))
    assert merged == pytest.approx(alone.px, abs=1e-4)


def test_capacity_is_the_information_of_the_joint_and_no_prior_has_more():
    py_x = channel(2, 6, 5)
    found = channel_capacity(py_x)
    joint = dualib.JointDistribution.from_conditionals(py_x, found.px)
    assert joint.mutual_information == pytest.approx(found.capacity, abs=1e-12)
    others = np.random.default_rng(0).dirichlet(np.ones(6), 50)
    assert max(mutual_information(p[:, None] * py_x) for p in others) < found.capacity


def test_what_is_not_reached_is_said():
    gaps = []
    for seed in range(3, 9):  # the rounding of some comes out as 0, which ones depends on the processor
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            gaps.append(channel_capacity(channel(seed, 6, 4), tol=1e-30).gap)
        expected = [dualib.ConvergenceWarning] if gaps[-1] > 1e-30 else []
        assert [warning.category for warning in said] == expected
        assert all(
            "channel_capacity: gap " in str(warning.message) and "tol 1e-30" in str(warning.message) for warning in said
        )
    assert 0.0 < max(gaps) < 1e-13


# -------------------------------------------------------------------------------------------------------------------------- gNID


def encoders(seed, n_x=6, sizes=(3, 4), concentration=0.3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(n_x)), *(rng.dirichlet(np.full(size, concentration), n_x) for size in sizes)


def gnid_by_loops(u, v, px):
    def shared(a, b):
        pairs = np.zeros((a.shape[1], b.shape[1]))
        for x, p in enumerate(px):
            for s in range(a.shape[1]):
                for t in range(b.shape[1]):
                    pairs[s, t] += p * a[x, s] * b[x, t]
        return mutual_information(pairs)

    return 1.0 - shared(u, v) / max(shared(u, u), shared(v, v))


@pytest.mark.parametrize("seed", range(5))
def test_gnid_is_its_definition(seed):
    px, u, v = encoders(seed)
    assert gnid(u, v, px) == pytest.approx(gnid_by_loops(u, v, px), abs=1e-12)
    assert gnid(v, u, px) == pytest.approx(gnid(u, v, px), abs=1e-14)
    assert gnid(u, u[:, [2, 0, 1]], px) == pytest.approx(0.0, abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(px))
    assert gnid(u[order], v[order], px[order]) == pytest.approx(gnid(u, v, px), abs=1e-12)


def test_gnid_may_be_below_zero():
    """Two soft encoders can tell more of each other than each of a second draw of its own."""
    seeds = range(400)
    least = min((gnid_by_loops(u, v, px), seed) for seed in seeds for px, u, v in [encoders(seed, 4, (2, 3), 0.1)])
    px, u, v = encoders(least[1], 4, (2, 3), 0.1)
    assert least[0] < 0.0
    assert gnid(u, v, px) == pytest.approx(least[0], abs=1e-12)


def test_gnid_of_labels():
    even = np.full(4, 0.25)
    assert gnid([0, 0, 1, 1], [7, 7, 3, 3], even) == pytest.approx(0.0, abs=1e-14)
    assert gnid([0, 0, 1, 1], [0, 1, 0, 1], even) == pytest.approx(1.0, abs=1e-14)
    assert gnid([0, 0, 0, 0], [1, 1, 1, 1], even) == 0.0
    assert gnid([0, 0, 0, 0], [0, 1, 1, 0], even) == pytest.approx(1.0, abs=1e-14)
    # normalised information distance of partitions: 1 - I / max(H, H)
    assert gnid([0, 0, 1, 1], [0, 1, 2, 3], even) == pytest.approx(1.0 - LN2 / np.log(4.0), abs=1e-14)
    assert gnid([0, 0, 1, 1], np.eye(2)[[0, 0, 1, 1]], even) == pytest.approx(0.0, abs=1e-14)


# --------------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: channel_capacity([[0.5, 0.6]]), "^py_x: row 0 must sum to 1, got .*1.1"),
        (lambda: channel_capacity([[0.5, 0.5]], tol=0.0), "^tol must be a positive number, got 0.0"),
        (lambda: channel_capacity([[0.5, 0.5]], unit="bit"), "^unit must be"),
        (lambda: gnid([0, 1], [0, 1, 1], [0.5, 0.5]), "^v must have one label for each of the 2 x, got 3"),
        (lambda: gnid([[1.0], [0.5]], [0, 1], [0.5, 0.5]), "^u: row 1 must sum to 1"),
        (lambda: gnid([0, 1], [0, 1], [0.5, 0.6]), "^px must sum to 1"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
