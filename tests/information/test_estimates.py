"""Entropy and information from counts: closed forms, mpmath, and values of other packages."""

import mpmath
import numpy as np
import pytest
from scipy import sparse, stats

import dualib.information as info

COUNTS = [
    ([4, 2, 3, 0, 2, 4, 0, 0, 2], 9),
    ([1, 1, 1], 50),
    ([5], 4),
    ([100, 3, 1, 1], 6),
    ([400, 300, 300], 3),
    ([1, 2, 3], 10**6),
]
ESTIMATORS = ["grassberger", "chao_shen", "nsb"]


def entropy(name, counts, **options):
    return getattr(info, f"entropy_{name}")(counts, **options)


def information(name, counts, **options):
    return getattr(info, f"mutual_information_{name}")(counts, **options)


def sampled(seed, shape=(30, 6), total=600, clusters=4):
    """A joint distribution of rows in a few clusters, and counts from it."""
    rng = np.random.default_rng(seed)
    p = (
        rng.dirichlet(np.full(shape[0], 5.0))[:, None]
        * rng.dirichlet(np.ones(shape[1]), clusters)[rng.integers(clusters, size=shape[0])]
    )
    return p, rng.multinomial(total, p.ravel()).reshape(shape)


# ------------------------------------------------------------------------------------------------------------------ Grassberger


def test_grassberger_is_the_recurrence_of_the_paper():
    """G(1) = -gamma - log 2, G(2) = 2 + G(1), G(2k+1) = G(2k), G(2k+2) = G(2k) + 2/(2k+1)."""
    G = {1: -np.euler_gamma - np.log(2.0)}
    G[2] = 2.0 + G[1]
    for k in range(1, 20):
        G[2 * k + 1], G[2 * k + 2] = G[2 * k], G[2 * k] + 2.0 / (2 * k + 1)
    for counts in ([1], [2], [7, 7], [1, 2, 3, 0, 8, 40], [39, 5, 1, 1]):
        total = sum(counts)
        expected = np.log(total) - sum(n * G[n] for n in counts if n) / total
        assert info.entropy_grassberger(counts) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("mean", [0.3, 1.0, 4.0])
def test_grassbergers_sum_has_the_mean_of_the_paper_for_poisson_counts(mean):
    """``E[n G(n)] = z log z + z E_1(2 z)`` for a Poisson n of mean z, his equation 33; ``n G(n) = n log n - n H([n])``."""
    n = np.arange(1, 60)
    terms = np.array([k * (np.log(k) - info.entropy_grassberger([k])) for k in n.tolist()])
    expected = mean * np.log(mean) + mean * float(mpmath.e1(2.0 * mean))
    assert stats.poisson.pmf(n, mean) @ terms == pytest.approx(expected, rel=1e-12)


def test_grassberger_is_that_of_dit_but_for_the_logarithm():
    """dit 2.3, inference.entropy_2, in nats: the same sum with psi(N) for log N."""
    from scipy.special import digamma

    counts = [4, 2, 3, 2, 4, 2]
    dit = 1.76015068359286  # of samples with these counts
    assert info.entropy_grassberger(counts) == pytest.approx(dit - digamma(17) + np.log(17), rel=1e-12)


# -------------------------------------------------------------------------------------------------------------------- Chao, Shen


def test_chao_shen_is_its_formula():
    counts, total = np.array([1, 1, 2, 6]), 10
    p = (1 - 2 / total) * counts / total
    expected = -sum(q * np.log(q) / (1 - (1 - q) ** total) for q in p)
    assert info.entropy_chao_shen(counts) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("counts", "value"),
    [([4, 2, 3, 2, 4, 2], 1.8633596352763704), ([1, 1, 1], 2.460486508261295), ([100, 3, 1, 1], 0.3083809600313202)],
)
def test_chao_shen_is_that_of_infomeasure(counts, value):
    """infomeasure 0.6.3; all states seen once are taken as N - 1 of them."""
    assert info.entropy_chao_shen(counts) == pytest.approx(value, rel=1e-13)


def test_a_single_observation_tells_nothing():
    assert info.entropy_chao_shen([1]) == 0.0
    assert info.entropy_chao_shen([0, 7]) == 0.0
    assert info.entropy_nsb([7]) == 0.0  # one state


# --------------------------------------------------------------------------------------------------------------------------- NSB


def nsb_by_quadrature(counts, states):
    """The ratio of integrals over log b, at 20 digits, with nothing but gamma and polygamma functions."""
    with mpmath.workdps(20):
        n = [int(count) for count in counts if count]
        total = sum(n)

        def log_density(s):
            b = mpmath.e**s
            prior = states * mpmath.psi(1, states * b + 1) - mpmath.psi(1, b + 1)
            evidence = sum(mpmath.loggamma(k + b) - mpmath.loggamma(b) for k in n)
            return evidence + mpmath.loggamma(states * b) - mpmath.loggamma(total + states * b) + mpmath.log(prior) + s

        def mean(s):
            b = mpmath.e**s
            seen = sum((k + b) * mpmath.psi(0, k + b + 1) for k in n) + (states - len(n)) * b * mpmath.psi(0, b + 1)
            return mpmath.psi(0, total + states * b + 1) - seen / (total + states * b)

        top = max(log_density(mpmath.mpf(s)) for s in range(-20, 20))
        both = mpmath.quad(
            lambda s: mpmath.e ** (log_density(s) - top) * mpmath.mpc(1, mean(s)), list(range(-36, 37, 6)), maxdegree=5
        )
        return float(both.imag / both.real)


@pytest.mark.parametrize(("counts", "states"), COUNTS)
def test_nsb_is_the_ratio_of_integrals(counts, states):
    assert info.entropy_nsb(counts, n_states=states) == pytest.approx(nsb_by_quadrature(counts, states), abs=1e-10)


@pytest.mark.parametrize("states", [2, 3, 40, 10**5])
def test_the_prior_of_nsb_is_uniform_in_the_entropy(states):
    """A single observation of one of K equal states tells nothing of b or of H, whose prior mean is half of log K."""
    assert info.entropy_nsb([1], n_states=states) == pytest.approx(0.5 * np.log(states), rel=1e-12)


def test_nsb_of_a_large_sample_is_the_entropy():
    p = np.random.default_rng(0).dirichlet(np.ones(1000))
    counts = np.random.default_rng(1).multinomial(10**7, p)
    assert info.entropy_nsb(counts) == pytest.approx(stats.entropy(p), abs=3 * 1.2 / np.sqrt(10**7))


# ------------------------------------------------------------------------------------------------------------------------- of all


@pytest.mark.parametrize("name", ESTIMATORS)
def test_mutual_information_is_the_sum_of_three_entropies(name):
    _, counts = sampled(3)
    states = {"n_states": counts.size} if name == "nsb" else {}
    expected = entropy(name, counts.sum(axis=1)) + entropy(name, counts.sum(axis=0)) - entropy(name, counts.ravel(), **states)
    assert information(name, counts) == pytest.approx(expected, rel=1e-12)
    assert information(name, sparse.coo_array(counts)) == pytest.approx(expected, rel=1e-12)
    assert information(name, counts.T[::-1]) == pytest.approx(expected, rel=1e-10)
    assert information(name, counts, unit="bits") == pytest.approx(expected / np.log(2.0), rel=1e-12)


@pytest.mark.parametrize("name", ["miller_madow", *ESTIMATORS])
def test_states_without_counts_change_nothing_but_for_nsb(name):
    _, counts = sampled(4)
    larger = np.pad(counts, ((0, 3), (0, 2)))
    same = information(name, larger) == pytest.approx(information(name, counts), rel=1e-12)
    assert same == (name != "nsb")


@pytest.mark.parametrize("name", ["miller_madow", *ESTIMATORS])
def test_the_estimates_are_less_biased_than_the_plug_in(name):
    """Mean over tables of 30 x 6 with 600 observations: the plug-in is .12 too high."""
    pairs = [sampled(seed) for seed in range(40)]
    plug_in = np.mean([info.mutual_information(counts) - info.mutual_information(p) for p, counts in pairs])
    estimate = np.mean([information(name, counts) - info.mutual_information(p) for p, counts in pairs])
    assert plug_in > 0.08
    assert abs(estimate) < 0.35 * plug_in


@pytest.mark.parametrize("name", ESTIMATORS)
def test_bad_counts_are_refused(name):
    for call in (entropy, information):
        shape = (-1,) if call is entropy else (1, -1)
        with pytest.raises(ValueError, match=r"^counts must be whole numbers, got 1\.5"):
            call(name, np.array([1.5, 2.0]).reshape(shape))
        with pytest.raises(ValueError, match=r"^counts must be non-negative, got -1"):
            call(name, np.array([-1, 2]).reshape(shape))
        with pytest.raises(ValueError, match=r"^counts must not be all zero"):
            call(name, np.zeros(3).reshape(shape))
        with pytest.raises(ValueError, match="unit must be 'nats' or 'bits'"):
            call(name, np.array([1, 2]).reshape(shape), unit="bit")
    with pytest.raises(ValueError, match=r"^n_states must be an integer of at least 2, got 1"):
        info.entropy_nsb([1, 2], n_states=1)
