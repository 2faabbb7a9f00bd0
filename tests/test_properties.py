"""A thousand problems by hypothesis: finite answers within their bounds, and the invariances of the problem."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relations import EXAMPLES, PROFILE, betas, kinds, problems, same_quantities, solve

import dualib
from dualib import JointDistribution

FEWER = settings(PROFILE, max_examples=EXAMPLES or 60)


def entropy(p):
    return -np.sum(p[p > 0] * np.log(p[p > 0]))


@PROFILE
@given(problems(), betas, kinds)
def test_every_answer_is_finite_and_within_its_bounds(problem, beta, kind):
    px, py_x = problem
    s = solve(px, py_x, beta, kind)
    for value in (s.objective, s.rate, s.relevance, s.expected_distortion, s.decoder_information, s.gap, s.residual):
        assert np.isfinite(value)
    for array in (s.encoder, s.weights, s.decoder, s.means, s.stability):
        assert np.isfinite(array).all()
    np.testing.assert_allclose(s.encoder.sum(axis=1), 1.0, atol=1e-13)
    np.testing.assert_allclose(s.decoder.sum(axis=1), 1.0, atol=1e-12)
    assert (s.encoder >= 0.0).all()
    assert (s.weights > 0.0).all()
    scale = 1e-10 * (1.0 + abs(s.objective))
    # the identity: rate H(X) at distortion 0; equal conditionals need not be told apart
    _, index = np.unique(py_x.round(15), axis=0, return_inverse=True)
    assert s.objective <= entropy(np.bincount(index.ravel(), px)) + 1e-9
    total = dualib.information.mutual_information(px[:, None] * py_x)
    if kind == "ib":
        assert s.objective <= beta * total + scale  # one cluster
        assert s.objective == pytest.approx(s.rate + beta * (total - s.relevance), abs=1e-9 * (1.0 + beta))
    assert -1e-12 <= s.relevance <= min(total, s.rate) + 1e-9
    assert s.rate <= entropy(px) + 1e-9
    assert s.gap <= 1e-7 * (1.0 + beta * 1e-3)


@FEWER
@given(problems(), betas, kinds, st.integers(0, 2**32 - 1))
def test_relabelling_changes_nothing(problem, beta, kind, seed):
    px, py_x = problem
    rng = np.random.default_rng(seed)
    x, y = rng.permutation(len(px)), rng.permutation(py_x.shape[1])
    same_quantities(solve(px, py_x, beta, kind), solve(px[x], py_x[np.ix_(x, y)], beta, kind))


@FEWER
@given(problems(), betas, kinds, st.floats(0.1, 0.9))
def test_splitting_a_source_into_copies_changes_nothing(problem, beta, kind, share):
    px, py_x = problem
    split = np.concatenate([px, [share * px[0]]])
    split[0] *= 1.0 - share
    same_quantities(solve(px, py_x, beta, kind), solve(split, np.concatenate([py_x, py_x[:1]]), beta, kind))


@FEWER
@given(problems(), betas, kinds)
def test_states_without_probability_change_nothing(problem, beta, kind):
    px, py_x = problem
    more = np.concatenate([py_x, np.zeros((len(px), 1))], axis=1)
    more = np.concatenate([more, np.full((1, more.shape[1]), 1.0 / more.shape[1])])
    same_quantities(solve(px, py_x, beta, kind), solve(np.append(px, 0.0), more, beta, kind))


@FEWER
@given(problems(), st.lists(betas, min_size=3, max_size=3, unique=True), kinds)
def test_the_optimum_is_concave_in_beta_and_the_distortion_falls(problem, three, kind):
    px, py_x = problem
    low, middle, high = sorted(three)
    first, second, third = (solve(px, py_x, beta, kind) for beta in (low, middle, high))
    t = (middle - low) / (high - low)
    tolerance = 1e-8 * (1.0 + abs(third.objective))
    assert second.objective >= (1 - t) * first.objective + t * third.objective - tolerance
    assert first.expected_distortion >= third.expected_distortion - tolerance / (high - low) - 1e-9


@FEWER
@given(problems(), betas, kinds, st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_no_encoder_is_below_the_certified_bound(problem, beta, kind, n_t, seed):
    px, py_x = problem
    s = solve(px, py_x, beta, kind)
    encoder = np.random.default_rng(seed).dirichlet(np.full(n_t, 0.3), len(px))
    encoder = np.nan_to_num(encoder, nan=1.0)
    encoder /= encoder.sum(axis=1, keepdims=True)
    try:
        judged = dualib.certify(JointDistribution.from_conditionals(py_x, px), encoder, beta, kind)
    except ValueError as error:
        assert "without a common support" in str(error) or "infinite" in str(error)
        assert kind == "dualib"
        return
    assert judged.objective >= s.objective - s.gap - 1e-9 * (1.0 + abs(s.objective))
    assert judged.lower_bound <= s.objective + 1e-9 * (1.0 + abs(s.objective))
