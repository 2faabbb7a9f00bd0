"""Entropies, divergences and estimates from counts, against scipy, mpmath and their own invariances."""

import mpmath
import numpy as np
import pytest
from scipy import optimize, sparse, special, stats

from dualib import information as info

LN2 = np.log(2.0)
PAIRS = {
    "generic": ([0.2, 0.5, 0.3], [0.6, 0.1, 0.3]),
    "near": ([0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6]),
    "far": ([1 - 1e-12, 1e-12], [1e-12, 1 - 1e-12]),
    "zeros": ([0.5, 0.5, 0.0], [0.2, 0.3, 0.5]),
    "many": (np.random.default_rng(1).dirichlet(np.full(40, 0.3)), np.random.default_rng(2).dirichlet(np.full(40, 3.0))),
}
pairs = pytest.mark.parametrize(("p", "q"), [pytest.param(*map(np.asarray, pair), id=name) for name, pair in PAIRS.items()])


def table(seed, shape=(5, 4), concentration=1.0):
    return np.random.default_rng(seed).dirichlet(np.full(np.prod(shape), concentration)).reshape(shape)


def exact_sum(function, *arrays):
    """sum function(...) in 50 digits."""
    with mpmath.workdps(50):
        rows = zip(*([mpmath.mpf(float(value)) for value in array] for array in arrays), strict=True)
        return float(mpmath.fsum(function(*row) for row in rows))


# --------------------------------------------------------------------------------------------------- against other computations


@pairs
def test_entropy(p, q):
    for distribution in (p, q):
        assert info.entropy(distribution) == pytest.approx(stats.entropy(distribution), rel=1e-13)
        exact = exact_sum(lambda x: -x * mpmath.log(x) if x > 0 else 0, distribution)
        assert info.entropy(distribution) == pytest.approx(exact, rel=1e-13)


@pairs
def test_kl_divergence(p, q):
    """Absolute accuracy: the sum has terms of both signs, so for near distributions it cannot be relative."""
    value = info.kl_divergence(p, q)
    assert value == pytest.approx(np.sum(special.rel_entr(p, q)), rel=1e-13, abs=1e-15)
    exact = exact_sum(lambda x, y: x * mpmath.log(x / y) if x > 0 else 0, p, q)
    assert value == pytest.approx(exact, rel=1e-13, abs=1e-15)


@pairs
@pytest.mark.parametrize("weights", [None, [0.3, 0.7], [1.0, 0.0]])
def test_jensen_shannon(p, q, weights):
    """The definition by divergences from the mixture; with equal weights, the square of scipy's distance."""
    first, second = weights or (0.5, 0.5)
    mixed = first * p + second * q
    parts = [w * np.sum(special.rel_entr(r, mixed)) for w, r in ((first, p), (second, q)) if w > 0.0]
    assert info.jensen_shannon(p, q, weights) == pytest.approx(sum(parts), rel=1e-12, abs=1e-15)
    if weights is None:
        from scipy.spatial.distance import jensenshannon

        assert info.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-12, abs=1e-15)


@pairs
@pytest.mark.parametrize("a", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_chernoff_coefficient(p, q, a):
    common = (p > 0) & (q > 0)
    assert info.chernoff_coefficient(p, q, a) == pytest.approx(np.sum(p[common] ** a * q[common] ** (1 - a)), rel=1e-13)


@pairs
def test_chernoff_information(p, q):
    """The root of the derivative of the convex log coefficient, or an end; inside, equal divergences from the tilted one."""
    value, a = info.chernoff_information(p, q, return_exponent=True)
    common = (p > 0) & (q > 0)
    log_p, log_q = np.log(p[common]), np.log(q[common])

    def slope(exponent):
        return special.softmax(exponent * log_p + (1 - exponent) * log_q) @ (log_p - log_q)

    inside = slope(0.0) < 0.0 < slope(1.0)
    best = optimize.brentq(slope, 0.0, 1.0, xtol=1e-14) if inside else float(slope(1.0) <= 0.0)
    assert value == pytest.approx(-special.logsumexp(best * log_p + (1 - best) * log_q), rel=1e-12, abs=1e-15)
    assert value == info.chernoff_information(p, q)
    if inside and value > 1e-9:
        tilted = np.where(common, p**a * q ** (1 - a), 0.0)
        tilted /= tilted.sum()
        to_p, to_q = np.sum(special.rel_entr(tilted, p)), np.sum(special.rel_entr(tilted, q))
        assert to_p == pytest.approx(value, rel=1e-5)
        assert to_q == pytest.approx(value, rel=1e-5)


def test_chernoff_information_of_mirror_images():
    """For (e, 1-e) and (1-e, e) the exponent is 1/2 and C = -log(2 sqrt(e (1-e)))."""
    for e in (0.01, 0.2, 0.4):
        value, a = info.chernoff_information([e, 1 - e], [1 - e, e], return_exponent=True)
        assert value == pytest.approx(-np.log(2 * np.sqrt(e * (1 - e))), rel=1e-12)
        assert a == pytest.approx(0.5, abs=1e-6)


def test_chernoff_of_partly_and_wholly_disjoint_supports():
    value, a = info.chernoff_information([1.0, 0.0], [0.25, 0.75], return_exponent=True)
    assert (value, a) == (pytest.approx(np.log(4.0)), 0.0)  # sum p^a q^(1-a) = .25^(1-a), least at the end a = 0
    assert info.chernoff_information([1.0, 0.0], [0.0, 1.0], return_exponent=True) == (np.inf, 0.5)
    assert info.chernoff_coefficient([1.0, 0.0], [0.0, 1.0]) == 0.0


@pytest.mark.parametrize("concentration", [0.05, 1.0, 20.0])
def test_mutual_information_by_mpmath(concentration):
    p = table(3, (6, 7), concentration)
    p[p < 1e-250] = 0.0
    p /= p.sum()
    product = np.outer(p.sum(axis=1), p.sum(axis=0))
    exact = exact_sum(lambda x, y: x * mpmath.log(x / y) if x > 0 else 0, p.ravel(), product.ravel())
    assert info.mutual_information(p) == pytest.approx(exact, rel=1e-12)
    assert info.mutual_information(p) == pytest.approx(
        info.entropy(p.sum(axis=1)) + info.entropy(p.sum(axis=0)) - info.entropy(p.ravel()), rel=1e-10
    )


def test_mutual_information_of_counts_by_scikit_learn():
    from sklearn.metrics import mutual_info_score

    counts = np.random.default_rng(0).poisson(3.0, (6, 9))
    assert info.mutual_information(counts) == pytest.approx(mutual_info_score(None, None, contingency=counts), rel=1e-12)


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("scale", [1.0, 37.0])
def test_mutual_information_of_a_sparse_table(make, scale):
    """Probabilities or counts, as for a dense one."""
    p = table(5) * (np.random.default_rng(6).random((5, 4)) < 0.5) * scale
    assert info.mutual_information(make(p)) == pytest.approx(info.mutual_information(p), rel=1e-13)


def test_mutual_information_of_a_sparse_table_with_duplicates():
    """Two halves of one cell are that cell."""
    split = sparse.coo_array(([0.25, 0.25, 0.5], ([0, 0, 1], [0, 0, 1])), shape=(2, 2))
    assert info.mutual_information(split) == pytest.approx(LN2, rel=1e-15)


def test_conditional_entropy():
    p = table(7)
    expected = np.sum(p.sum(axis=1) * stats.entropy(p, axis=1))
    assert info.conditional_entropy(p) == pytest.approx(expected, rel=1e-13)


# ------------------------------------------------------------------------------------------------------------------ exact zeros


def test_zeros_are_exact():
    assert info.entropy([0.0, 1.0, 0.0]) == 0.0
    assert info.kl_divergence([0.3, 0.7, 0.0], [0.3, 0.7, 0.0]) == 0.0
    assert info.kl_divergence([0.0, 1.0], [0.5, 0.5]) == pytest.approx(LN2, rel=1e-15)
    assert info.kl_divergence([0.5, 0.5], [0.0, 1.0]) == np.inf
    assert info.kl_divergence([0.5, 0.5], [0.0, 1.0], unit="bits") == np.inf
    assert info.jensen_shannon([0.5, 0.5], [0.5, 0.5]) == 0.0
    assert info.jensen_shannon([1.0, 0.0], [0.0, 1.0]) == pytest.approx(LN2, rel=1e-15)
    assert info.mutual_information(np.eye(4)) == pytest.approx(np.log(4.0), rel=1e-15)
    assert info.mutual_information([[1.0, 1.0], [1.0, 1.0]]) == 0.0
    assert info.mutual_information([[0.0, 3.0], [0.0, 5.0]]) == 0.0
    assert info.conditional_entropy(np.eye(3)) == 0.0
    assert info.chernoff_information([0.4, 0.6], [0.4, 0.6]) == pytest.approx(0.0, abs=1e-15)


# ------------------------------------------------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("seed", range(5))
def test_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    p, q, order = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)), rng.permutation(6)
    joint = table(seed)
    assert info.entropy(p) == pytest.approx(info.entropy(p[order]), rel=1e-14)
    for function in (info.kl_divergence, info.jensen_shannon, info.chernoff_information):
        assert function(p, q) == pytest.approx(function(p[order], q[order]), rel=1e-10)
    assert info.mutual_information(joint) == pytest.approx(info.mutual_information(joint.T), rel=1e-12)
    shuffled = joint[np.ix_(rng.permutation(5), rng.permutation(4))]
    assert info.mutual_information(joint) == pytest.approx(info.mutual_information(shuffled), rel=1e-12)
    assert info.jensen_shannon(p, q) == pytest.approx(info.jensen_shannon(q, p), rel=1e-13)
    assert info.chernoff_information(p, q) == pytest.approx(info.chernoff_information(q, p), rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_processing_loses_information(seed):
    """A channel applied to Y, or to both distributions, never adds."""
    rng = np.random.default_rng(seed)
    joint, channel = table(seed), rng.dirichlet(np.ones(3), 4)
    assert info.mutual_information(joint @ channel) < info.mutual_information(joint)
    p, q = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    for function in (info.kl_divergence, info.jensen_shannon, info.chernoff_information):
        assert function(p @ channel, q @ channel) < function(p, q)


@pytest.mark.parametrize("seed", range(5))
def test_independent_parts_add_up(seed):
    rng = np.random.default_rng(seed)
    first, second = table(seed, (3, 4)), table(seed + 50, (2, 3))
    both = np.kron(first, second)
    for function in (info.mutual_information, info.conditional_entropy):
        assert function(both) == pytest.approx(function(first) + function(second), rel=1e-10)
    p, q, r, s = (rng.dirichlet(np.ones(size)) for size in (4, 3, 4, 3))
    assert info.entropy(np.kron(p, q)) == pytest.approx(info.entropy(p) + info.entropy(q), rel=1e-12)
    whole = info.kl_divergence(np.kron(p, q), np.kron(r, s))
    assert whole == pytest.approx(info.kl_divergence(p, r) + info.kl_divergence(q, s), rel=1e-12)


CALLS = {
    "entropy": lambda **unit: info.entropy([0.2, 0.8], **unit),
    "conditional_entropy": lambda **unit: info.conditional_entropy(table(0), **unit),
    "kl_divergence": lambda **unit: info.kl_divergence([0.2, 0.8], [0.5, 0.5], **unit),
    "mutual_information": lambda **unit: info.mutual_information(table(0), **unit),
    "jensen_shannon": lambda **unit: info.jensen_shannon([0.2, 0.8], [0.5, 0.5], **unit),
    "chernoff_information": lambda **unit: info.chernoff_information([0.2, 0.8], [0.5, 0.5], **unit),
    "entropy_miller_madow": lambda **unit: info.entropy_miller_madow([3, 5, 1], **unit),
    "mutual_information_miller_madow": lambda **unit: info.mutual_information_miller_madow([[30, 5], [1, 40]], **unit),
    "channel_capacity": lambda **unit: info.channel_capacity([[0.9, 0.1], [0.2, 0.8]], **unit).capacity,
    "mutual_information_shuffled": lambda **unit: info.mutual_information_shuffled([[30, 5], [1, 40]], n_shuffles=3, **unit),
}


@pytest.mark.parametrize("name", CALLS)
def test_units(name):
    value = CALLS[name]()
    assert type(value) is float
    assert value > 0.0
    assert CALLS[name](unit="bits") == pytest.approx(value / LN2, rel=1e-14)
    with pytest.raises(ValueError, match="unit must be 'nats' or 'bits', got 'bit'"):
        CALLS[name](unit="bit")


# -------------------------------------------------------------------------------------------------------- estimates from counts


def test_miller_madow_is_its_formula():
    counts = np.array([4, 0, 1, 7])
    plug_in = stats.entropy(counts)
    assert info.entropy_miller_madow(counts) == pytest.approx(plug_in + 2 / 24, rel=1e-14)
    grid = np.array([[4, 0, 1], [2, 3, 0], [0, 0, 0]])
    plug_in = info.mutual_information(grid)
    # cells seen 4, rows seen 2, columns seen 3, N = 10
    assert info.mutual_information_miller_madow(grid) == pytest.approx(plug_in - (4 - 2 - 3 + 1) / 20, rel=1e-12)
    full = np.array([[4, 2, 1], [2, 3, 8]])
    expected = info.mutual_information(full) - (6 - 2 - 3 + 1) / (2 * full.sum())
    assert info.mutual_information_miller_madow(full) == pytest.approx(expected, rel=1e-12)


def test_miller_madow_reduces_the_bias_of_the_entropy():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(8, 3.0))
    draws = rng.multinomial(60, p, 400)
    plug_in = np.mean([stats.entropy(counts) for counts in draws]) - info.entropy(p)
    corrected = np.mean([info.entropy_miller_madow(counts) for counts in draws]) - info.entropy(p)
    assert plug_in < -0.04  # the theory says -(8 - 1) / 120 = -0.058
    assert abs(corrected) < 0.2 * abs(plug_in)


@pytest.mark.parametrize("dependent", [False, True])
def test_corrections_reduce_the_bias_of_the_mutual_information(dependent):
    """Mean over simulated tables; with X and Y independent the shuffled correction has no bias at all."""
    rng = np.random.default_rng(1)
    p = table(8, (4, 5), 3.0)
    if not dependent:
        p = np.outer(p.sum(axis=1), p.sum(axis=0))
    true = info.mutual_information(p)
    draws = rng.multinomial(120, p.ravel(), 200).reshape(-1, 4, 5)
    bias = {
        "plug-in": np.mean([info.mutual_information(counts) for counts in draws]) - true,
        "miller-madow": np.mean([info.mutual_information_miller_madow(counts) for counts in draws]) - true,
        "shuffled": np.mean([info.mutual_information_shuffled(counts, n_shuffles=10, random_state=rng) for counts in draws])
        - true,
    }
    assert bias["plug-in"] > 0.03  # the theory says (20 - 4 - 5 + 1) / 240 = 0.05
    assert abs(bias["miller-madow"]) < 0.25 * bias["plug-in"]
    assert abs(bias["shuffled"]) < (0.35 if dependent else 0.1) * bias["plug-in"]


def test_the_shuffled_mean_is_that_of_all_permutations():
    """Two by two with margins (2, 2), (2, 2): tables [[2,0],[0,2]], [[1,1],[1,1]], [[0,2],[2,0]] with probability 1/6, 4/6, 1/6."""
    value = info.mutual_information_shuffled([[2, 0], [0, 2]], n_shuffles=4000)
    assert value == pytest.approx(LN2 - LN2 / 3, abs=0.02)  # four standard errors


def test_shuffles_repeat_with_their_seed():
    counts = np.random.default_rng(0).poisson(2.0, (4, 4))

    def estimate(seed):
        return info.mutual_information_shuffled(counts, n_shuffles=5, random_state=seed)

    assert estimate(3) == estimate(3) == estimate(np.random.default_rng(3))
    assert estimate(None) == estimate(None)
    assert estimate(3) != estimate(4)


# ---------------------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: info.entropy([0.5, 0.6]), ValueError, "^p must sum to 1, got .*1.1"),
        (lambda: info.entropy([0.5, np.nan, 0.5]), ValueError, "^p must be finite, got nan at index 1"),
        (lambda: info.entropy([[0.5, 0.5]]), ValueError, "^p must have 1 dimension"),
        (lambda: info.kl_divergence([0.5, 0.5], [1.0]), ValueError, "^q must have length 2, got 1"),
        (lambda: info.kl_divergence([0.5, 0.5], [1.5, -0.5]), ValueError, "^q must be non-negative, got -0.5"),
        (lambda: info.jensen_shannon([1.0], [1.0], [0.5, 0.4]), ValueError, "^weights must sum to 1"),
        (lambda: info.jensen_shannon([1.0], [1.0], [1.0]), ValueError, "^weights must have length 2"),
        (lambda: info.mutual_information([[1.0, -1.0]]), ValueError, "^pxy must be non-negative"),
        (lambda: info.mutual_information(sparse.csr_array([[1.0, -1.0]])), ValueError, "^pxy must be non-negative"),
        (lambda: info.mutual_information(sparse.csr_array([[1.0, np.nan]])), ValueError, "^pxy must be finite"),
        (lambda: info.mutual_information([["1"]]), TypeError, "^pxy must hold real numbers"),
        (lambda: info.chernoff_coefficient([1.0], [1.0], 1.5), ValueError, "^exponent must be between 0 and 1, got 1.5"),
        (lambda: info.chernoff_coefficient([1.0], [1.0], np.nan), ValueError, "^exponent must be between 0 and 1, got nan"),
        (lambda: info.chernoff_coefficient([1.0], [1.0], "a"), ValueError, "^exponent must be between 0 and 1, got 'a'"),
        (lambda: info.entropy_miller_madow([1, -1]), ValueError, "^counts must be non-negative"),
        (lambda: info.mutual_information_miller_madow([0, 1]), ValueError, "^counts must have 2 dimension"),
        (lambda: info.mutual_information_shuffled([[0.5, 1.0]]), ValueError, "^counts must be whole numbers .*0.5"),
        (
            lambda: info.mutual_information_shuffled([[1, 2]], n_shuffles=0),
            ValueError,
            "^n_shuffles must be at least 1, got 0",
        ),
        (
            lambda: info.mutual_information_shuffled([[1, 2]], n_shuffles=2.0),
            TypeError,
            "^n_shuffles must be an integer, got 2.0",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call()
