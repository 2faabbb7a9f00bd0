"""Relations between the answers to related problems, which hold whatever the answers are.

By default a few examples of each; ``DUALIB_EXAMPLES=thorough pytest tests/test_metamorphic.py`` tries 1,000 of each, ``nightly``
50,000.
Permuting x and y, splitting a source, adding states without probability and concavity in beta are in test_properties.py, whose
problems and profile these share.
"""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from relations import EXAMPLES, PROFILE, betas, kinds, problems, same_quantities, solve
from scipy import sparse

import dualib
from dualib import JointDistribution

FEW = settings(PROFILE, max_examples=EXAMPLES or 25)
VERY_FEW = settings(PROFILE, max_examples=EXAMPLES or 8)


@FEW
@given(problems(), betas, kinds, st.integers(0, 2**32 - 1))
def test_relabelling_the_clusters_of_an_encoder_changes_nothing(problem, beta, kind, seed):
    """Permute t: judged by `certify`, an encoder with its columns in another order is the same encoder."""
    px, py_x = problem
    s = solve(px, py_x, beta, kind)
    order = np.random.default_rng(seed).permutation(s.n_clusters)
    joint = JointDistribution.from_conditionals(py_x, px)
    first, second = (dualib.certify(joint, encoder, beta, kind) for encoder in (s.encoder, s.encoder[:, order]))
    assert first.objective == pytest.approx(second.objective, abs=1e-10, rel=1e-12)


@FEW
@given(problems(), betas, kinds, st.integers(0, 2**32 - 1))
def test_splitting_a_cluster_into_copies_of_itself_changes_nothing(problem, beta, kind, seed):
    px, py_x = problem
    s = solve(px, py_x, beta, kind)
    rng = np.random.default_rng(seed)
    t, share = rng.integers(s.n_clusters), rng.uniform(0.1, 0.9)
    encoder = np.concatenate([s.encoder, share * s.encoder[:, [t]]], axis=1)
    encoder[:, t] *= 1.0 - share
    joint = JointDistribution.from_conditionals(py_x, px)
    first, second = (dualib.certify(joint, rows, beta, kind) for rows in (s.encoder, encoder))
    assert first.objective == pytest.approx(second.objective, abs=1e-9, rel=1e-10)


@FEW
@given(problems(), betas, kinds, st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_merging_sources_of_equal_conditionals_changes_nothing(problem, beta, kind, copies, seed):
    px, py_x = problem
    shares = np.random.default_rng(seed).dirichlet(np.ones(copies))
    many = np.concatenate([px[1:], px[0] * shares])
    rows = np.concatenate([py_x[1:], np.tile(py_x[0], (copies, 1))])
    same_quantities(solve(px, py_x, beta, kind), solve(many, rows, beta, kind))


@FEW
@given(problems(), betas, kinds, st.integers(-900, 900))
def test_the_scale_of_the_counts_changes_nothing(problem, beta, kind, power):
    """By powers of two: exactly, as far as no count is lost below the least number."""
    px, py_x = problem
    counts = np.ldexp(np.rint(px[:, None] * py_x * 2**40), 0)
    assume(counts.sum() > 0)
    scaled = np.ldexp(counts, power)
    first, second = (JointDistribution.from_counts(table) for table in (counts, scaled))
    np.testing.assert_array_equal(first.pxy, second.pxy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        assert dualib.solve(first, beta, kind).objective == dualib.solve(second, beta, kind).objective


@FEW
@given(problems(), betas, kinds)
def test_dense_and_sparse_are_one(problem, beta, kind):
    px, py_x = problem
    pxy = px[:, None] * py_x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        dense = dualib.solve(JointDistribution(pxy / pxy.sum()), beta, kind)
        thin = dualib.solve(JointDistribution(sparse.csr_array(pxy / pxy.sum())), beta, kind)
    same_quantities(dense, thin)


@FEW
@given(problems(), betas, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_data_processing_of_y_lowers_what_can_be_learned(problem, beta, n_z, seed):
    """IB: with Z made from Y alone, min I(X;T) - beta I(T;Z) is not below min I(X;T) - beta I(T;Y)."""
    px, py_x = problem
    channel = np.random.default_rng(seed).dirichlet(np.ones(n_z), py_x.shape[1])
    pz_x = py_x @ channel
    pz_x /= pz_x.sum(axis=1, keepdims=True)
    y, z = solve(px, py_x, beta, "ib"), solve(px, pz_x, beta, "ib")
    of_y, of_z = (s.objective - beta * s.joint.mutual_information for s in (y, z))
    assert of_y - y.gap <= of_z + 1e-9 * (1.0 + beta)
    assert z.joint.mutual_information <= y.joint.mutual_information + 1e-12


@FEW
@given(problems(), betas, st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_data_processing_of_x_lowers_what_can_be_learned(problem, beta, n_groups, seed):
    """IB: a T of the group of x is a T of x, so pooling sources cannot lower min I(X;T) - beta I(T;Y)."""
    px, py_x = problem
    assume(len(px) > n_groups)
    group = np.random.default_rng(seed).integers(0, n_groups, len(px))
    pooled = np.array([px[group == g] @ py_x[group == g] for g in range(n_groups)])
    pg = pooled.sum(axis=1)
    pooled, pg = pooled[pg > 0.0], pg[pg > 0.0]
    fine = solve(px, py_x, beta, "ib")
    coarse = solve(pg / pg.sum(), pooled / pg[:, None], beta, "ib")
    of_fine, of_coarse = (s.objective - beta * s.joint.mutual_information for s in (fine, coarse))
    assert of_fine - fine.gap <= of_coarse + 1e-9 * (1.0 + beta)


@VERY_FEW
@given(problems(), kinds)
def test_the_curve_is_concave_in_the_plane_and_rises_in_beta(problem, kind):
    """Distortion over rate is convex, for the IB relevance over rate concave; along beta the rate rises and the distortion falls."""
    px, py_x = problem
    joint = JointDistribution.from_conditionals(py_x, px)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        curve = dualib.anneal(joint, kind, np.geomspace(0.3, 30.0, 7), events=False)
    slack = 1e-7 + 3.0 * curve.gap.max()
    assert (np.diff(curve.rate) >= -slack * (1.0 + curve.beta[1:])).all()
    assert (np.diff(curve.expected_distortion) <= slack * (1.0 + 1.0 / curve.beta[1:])).all()
    for i in range(1, len(curve) - 1):
        low, middle, high = curve[i - 1], curve[i], curve[i + 1]
        if high.rate - low.rate < 1e-6:
            continue
        share = (middle.rate - low.rate) / (high.rate - low.rate)
        chord = (1.0 - share) * low.expected_distortion + share * high.expected_distortion
        assert middle.expected_distortion <= chord + slack * (1.0 + 1.0 / low.beta) / 1e-1
        if kind == "ib":
            assert middle.relevance >= (1.0 - share) * low.relevance + share * high.relevance - 10.0 * slack * (
                1.0 + 1.0 / low.beta
            )


@FEW
@given(problems(), betas, st.floats(0.0, 1.0))
def test_the_ib_is_the_bound_of_the_information_plane(problem, beta, share):
    """The dual IB's relevance, at its rate, is not above the IB curve: its Lagrangian at any beta is not below the IB's minimum."""
    px, py_x = problem
    dual = solve(px, py_x, beta, "dualib")
    other = beta * 10.0 ** (2.0 * share - 1.0)
    ib = solve(px, py_x, other, "ib")
    lagrangian = dual.rate - other * dual.relevance + other * ib.joint.mutual_information
    assert lagrangian >= ib.objective - ib.gap - 1e-9 * (1.0 + other)
