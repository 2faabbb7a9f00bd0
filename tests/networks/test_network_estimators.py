"""Estimators on joints of known information, with their bias against the number of samples; slow twins; what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import trapezoid
from scipy.special import digamma

import dualib
from dualib import networks


def gaussian_pairs(n, d, rho, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    return x, rho * x + np.sqrt(1.0 - rho**2) * rng.standard_normal((n, d))


def naive_ksg(x, y, k):
    """Kraskov's first estimator by all distances."""
    n = len(x)
    dx, dy = (np.abs(v[:, None] - v[None]).max(axis=2) for v in (x, y))
    total = 0.0
    for i in range(n):
        others = np.arange(n) != i
        radius = np.sort(np.maximum(dx[i], dy[i])[others])[k - 1]
        total += digamma(k) - sum(digamma(1 + np.sum(d[i][others] < radius)) for d in (dx, dy))
    return digamma(n) + total / n


def test_binned_is_a_number_for_each_distinct_row_of_bins():
    rng = np.random.default_rng(0)
    t = np.tanh(2.0 * rng.standard_normal((500, 3)))
    for bins in (2, 4, 30):
        rows = [tuple(row) for row in np.digitize(t, np.linspace(-1, 1, bins))]
        symbols = networks.binned(t, bins)
        assert len(set(zip(rows, symbols.tolist(), strict=True))) == len(set(rows)) == symbols.max() + 1
    np.testing.assert_array_equal(networks.binned([-1.0, 1.0, -2.0, 2.0]), [1, 2, 0, 2])  # as digitize treats the edges
    np.testing.assert_array_equal(networks.binned([0.1, 0.2, 0.7], bins=3, limits=(0, 1)), [0, 0, 1])


def test_binned_rows_of_many_units_do_not_overflow():
    rng = np.random.default_rng(1)
    t = np.repeat(rng.uniform(-1, 1, (40, 60)), 2, axis=0)  # 31^60 rows of bins are possible
    symbols = networks.binned(t)
    np.testing.assert_array_equal(symbols[::2], symbols[1::2])
    assert len(np.unique(symbols)) == 40


@pytest.mark.parametrize("weighted", [False, True])
def test_kde_bounds_enclose_the_information_of_a_mixture_of_gaussians(weighted):
    """I(T;X) of a mixture in one dimension by quadrature; both bounds also as double sums."""
    t = np.array([-2.0, -1.9, 0.0, 0.4, 3.0])
    w = np.array([0.3, 0.1, 0.2, 0.2, 0.2]) if weighted else np.full(5, 0.2)
    for noise in (1e-3, 0.05, 1.0, 30.0):
        grid = np.linspace(-40, 40, 400_001) if noise > 0.5 else np.linspace(-5, 6, 400_001)
        density = stats.norm.pdf(grid[:, None], t, np.sqrt(noise)) @ w
        entropy = -trapezoid(density * np.log(np.maximum(density, 1e-300)), grid)
        truth = entropy - 0.5 * np.log(2 * np.pi * np.e * noise)
        lower, upper = networks.kde_bounds(t, noise, w if weighted else None)
        assert lower - 1e-9 <= truth <= upper + 1e-9
        squares = (t[:, None] - t[None]) ** 2
        for scale, value in ((8.0, lower), (2.0, upper)):
            assert value == pytest.approx(-w @ np.log(np.exp(-squares / (scale * noise)) @ w), abs=1e-12)


def test_kde_bounds_with_little_noise_are_the_entropy_and_with_much_none():
    t = np.arange(16.0)
    assert networks.kde_bounds(t, 1e-4) == pytest.approx((np.log(16), np.log(16)))
    assert networks.kde_bounds(t, 1e8) == pytest.approx((0.0, 0.0), abs=1e-5)


@pytest.mark.parametrize("k", [1, 4])
def test_ksg_is_its_slow_twin(k):
    x, y = gaussian_pairs(120, 2, 0.7)
    assert networks.ksg(x, y, k) == pytest.approx(naive_ksg(x, y, k), abs=1e-12)
    assert networks.ksg(x, y[:, 0], k) == pytest.approx(naive_ksg(x, y[:, :1], k), abs=1e-12)


@pytest.mark.parametrize(("d", "rho"), [(1, 0.0), (1, 0.6), (1, 0.9), (2, 0.6), (3, 0.3), (5, 0.5)])
def test_ksg_on_gaussians_comes_nearer_as_samples_grow(d, rho):
    """Means over seeds: within four standard errors and a bias that shrinks with n."""
    truth = -0.5 * d * np.log(1.0 - rho**2)
    bias = {}
    for n, n_seeds in ((100, 40), (1600, 6)):
        values = np.array([networks.ksg(*gaussian_pairs(n, d, rho, seed)) for seed in range(n_seeds)])
        bias[n] = abs(values.mean() - truth)
        error = values.std(ddof=1) / np.sqrt(n_seeds)
        assert bias[n] < 4.0 * error + (0.6 if n == 100 else 0.13 if d < 4 else 0.35) * truth
    assert bias[1600] < max(bias[100], 0.02)


def test_ksg_underestimates_large_information_in_five_dimensions():
    """Said in the documentation: of 4.15 nats 200 samples show less than half, 2000 two thirds."""
    truth = -2.5 * np.log(1.0 - 0.9**2)
    assert networks.ksg(*gaussian_pairs(200, 5, 0.9)) < 0.5 * truth
    assert 0.55 * truth < networks.ksg(*gaussian_pairs(2000, 5, 0.9)) < 0.75 * truth


@pytest.mark.parametrize("as_label", [True, False])
def test_ksg_between_a_discrete_and_a_continuous_variable(as_label):
    """x one of five, y uniform on [x, x + 2]: ln 5 - 4/5 ln 2 (Gao et al. 2017)."""
    truth = np.log(5) - 0.8 * np.log(2)
    for n, tolerance in ((300, 0.12), (4000, 0.03)):
        rng = np.random.default_rng(n)
        x = rng.integers(0, 5, n)
        y = x + 2.0 * rng.random(n)
        assert networks.ksg(x if as_label else x.astype(float), y) == pytest.approx(truth, abs=tolerance)
        assert networks.ksg(y, x.astype(str) if as_label else x.astype(float)) == pytest.approx(truth, abs=tolerance)


def test_ksg_on_a_mixture_of_points_and_a_plane():
    """Half of the pairs equal and on {-8, 8}, half Gaussian: both kinds in one sample, by Gao's rule for ties.

    The kind is a function of either variable, so I = h(1/2) + 1/2 I(discrete) + 1/2 I(continuous).
    """
    rng = np.random.default_rng(3)
    n, rho = 4000, 0.8
    x, y = (v[:, 0] for v in gaussian_pairs(n, 1, rho, 5))
    tied = rng.random(n) < 0.5
    signs = rng.choice([-8.0, 8.0], n)
    x, y = np.where(tied, signs, x), np.where(tied, signs, y)
    truth = np.log(2) + 0.5 * np.log(2) - 0.25 * np.log(1 - rho**2)
    assert networks.ksg(x, y) == pytest.approx(truth, abs=0.06)


def test_ksg_of_two_labels_counts_them():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, 500)
    y = (x + (rng.random(500) < 0.2)) % 3
    table = np.zeros((3, 3))
    np.add.at(table, (x, y), 1)
    assert networks.ksg(x, y) == dualib.information.mutual_information_miller_madow(table)


def test_ksg_is_the_same_after_permutation_and_common_scaling():
    x, y = gaussian_pairs(200, 2, 0.5)
    order = np.random.default_rng(1).permutation(200)
    value = networks.ksg(x, y)
    assert networks.ksg(x[order], y[order]) == pytest.approx(value, abs=1e-12)
    assert networks.ksg(8.0 * x, 8.0 * y) == pytest.approx(value, abs=1e-12)


def gaussian_densities(n, d, rho, seed):
    x, z = gaussian_pairs(n, d, rho, seed)
    return np.sum(stats.norm.logpdf(z[:, None], rho * x[None], np.sqrt(1.0 - rho**2)), axis=2)


@pytest.mark.parametrize(("d", "rho"), [(1, 0.5), (2, 0.8), (5, 0.6)])
def test_info_nce_encloses_the_information_of_gaussians_in_the_mean(d, rho):
    truth = -0.5 * d * np.log(1.0 - rho**2)
    widths = []
    for n in (20, 320):
        values = np.array([networks.info_nce(gaussian_densities(n, d, rho, seed)) for seed in range(10 if n == 320 else 100)])
        lower, upper = values.mean(axis=0)
        errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        assert lower < truth + 3 * errors[0] and upper > truth - 3 * errors[1]
        widths.append(upper - lower)
    assert widths[1] < widths[0] / 3


def test_info_nce_by_hand_and_at_its_ends():
    s = np.log([[0.5, 0.1, 0.2], [0.3, 0.6, 0.3], [0.0001, 0.2, 0.7]])
    lower = np.log(3) + np.mean([np.log(0.5 / 0.8), np.log(0.6 / 1.2), np.log(0.7 / 0.9001)])
    upper = np.log(2) + np.mean([np.log(0.5 / 0.3), np.log(0.6 / 0.6), np.log(0.7 / 0.2001)])
    assert networks.info_nce(s) == pytest.approx((lower, upper))
    apart = np.full((4, 4), -np.inf)
    np.fill_diagonal(apart, 0.0)
    assert networks.info_nce(apart) == (pytest.approx(np.log(4)), np.inf)
    assert networks.info_nce(np.zeros((4, 4))) == pytest.approx((0.0, 0.0))


def test_info_nce_over_all_inputs_is_unbiased():
    """Sixteen inputs in all, noise around each: the mean over draws is the information, by quadrature."""
    t, noise = np.linspace(-2, 2, 16), 0.1
    grid = np.linspace(-6, 6, 100_001)
    density = stats.norm.pdf(grid[:, None], t, np.sqrt(noise)).mean(axis=1)
    truth = -trapezoid(density * np.log(density), grid) - 0.5 * np.log(2 * np.pi * np.e * noise)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(400):
        z = t + np.sqrt(noise) * rng.standard_normal(16)
        values.append(networks.info_nce(stats.norm.logpdf(z[:, None], t[None], np.sqrt(noise))).lower)
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / 20)


def test_what_the_estimators_refuse():
    good = np.zeros((4, 2))
    bad = np.array([[0.0, np.nan], [1.0, 2.0]])
    for call, message in (
        (lambda: networks.binned(bad), "activations must be finite, got nan at index \\(0, 1\\)"),
        (lambda: networks.binned(good, 1), "bins must be an integer of at least 2, got 1"),
        (lambda: networks.binned(good, limits=(1, -1)), "limits must be two numbers, the first below the second"),
        (lambda: networks.kde_bounds(good, 0.0), "noise must be finite and > 0, got 0.0"),
        (lambda: networks.kde_bounds(good, np.nan), "noise must be finite and > 0, got nan"),
        (lambda: networks.kde_bounds(good, 1.0, [1.0]), "weights must have length 4, got 1"),
        (lambda: networks.ksg(good, good[:3]), "x and y must have as many samples, got 4 and 3"),
        (lambda: networks.ksg(good, good, 4), "k must be less than the number of samples, got k = 4 and 4 samples"),
        (lambda: networks.ksg(np.arange(9), np.ones(9) / 3), "every sample has a label of its own"),
        (lambda: networks.info_nce(np.zeros((3, 4))), "log_density must have shape \\(n, n\\)"),
        (lambda: networks.info_nce([[-np.inf, 0], [0, 0]]), "log_density must be finite on its diagonal, got -inf at 0"),
        (lambda: networks.info_nce([[np.nan, 0], [0, 0]]), "log_density must be finite, got nan"),
        (lambda: networks.info_nce([[np.inf, 0], [0, 0]]), "log_density must be finite, got inf"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_the_page_says_of_every_estimator_what_it_may_not_say():
    from dualib.networks.measures import _MODELS

    text = (Path(__file__).parents[2] / "docs" / "explanation" / "networks.md").read_text(encoding="utf-8")
    _, table = text.split("| estimator | stands for | may say | may not say |\n")
    rows = [line.split("|")[1].strip(" `") for line in table.splitlines()[1 : 1 + len(_MODELS)]]
    assert sorted(rows) == sorted(_MODELS)
