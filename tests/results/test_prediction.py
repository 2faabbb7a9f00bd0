"""Encoding and prediction of sources, seen or not: soft and hard assignments, the problem's decoder and Bayes' rule."""

import numpy as np
import pytest

import dualib
from dualib.results.encoding import bayes_decoder

RNG = np.random.default_rng(7)
JOINT = dualib.JointDistribution.from_conditionals(RNG.dirichlet(np.ones(4), 7), RNG.dirichlet(np.ones(7)))
UNSEEN = RNG.dirichlet(np.ones(4), 5)
DISTORTIONS = ("ib", "dualib", dualib.Alpha(0.5))


def by_hand(solution, rows):
    """p(t|x) from the definition of each distance, pair by pair."""
    encoder = np.zeros((len(rows), solution.n_clusters))
    for x, p in enumerate(rows):
        for t, r in enumerate(solution.decoder):
            if solution.distortion.name == "ib":
                distance = np.sum(p * np.log(p / r))
            elif solution.distortion.name == "dualib":
                distance = np.sum(r * np.log(r / p))
            else:
                distance = 4.0 * (1.0 - np.sum(np.sqrt(p * r)))  # alpha = 1/2
            encoder[x, t] = solution.weights[t] * np.exp(-solution.beta * distance)
    return encoder / encoder.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module", params=DISTORTIONS, ids=str)
def solution(request):
    return dualib.solve(JOINT, 9.0, request.param)


def test_encoding_is_the_definition_for_seen_and_unseen(solution):
    np.testing.assert_allclose(solution.encode(UNSEEN), by_hand(solution, UNSEEN), atol=1e-12)
    np.testing.assert_allclose(solution.encode(JOINT.py_x), solution.encoder, atol=1e-7)


def test_map_assignment_is_the_likeliest_cluster(solution):
    soft, hard = solution.encode(UNSEEN), solution.encode(UNSEEN, assignment="map")
    assert set(np.unique(hard)) <= {0.0, 1.0}
    assert hard.sum(axis=1).tolist() == [1.0] * len(UNSEEN)
    assert hard.argmax(axis=1).tolist() == [max(range(len(row)), key=row.__getitem__) for row in soft]


def test_of_equally_likely_clusters_the_first_is_taken():
    solution = dualib.solve(dualib.datasets.binary_symmetric(0.1), 5.0)
    assert solution.n_clusters == 2
    assert solution.encode([[0.5, 0.5]]) == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-9)
    assert solution.encode([[0.5, 0.5]], assignment="map").sum() == 1.0


def test_prediction_is_the_mixture_of_decoders(solution):
    for rows, encoder in ((UNSEEN, by_hand(solution, UNSEEN)), (None, solution.encoder)):
        for assignment in ("soft", "map"):
            weights = encoder if assignment == "soft" else np.eye(solution.n_clusters)[encoder.argmax(axis=1)]
            for decoder in ("problem", "bayes"):
                clusters = solution.decoder if decoder == "problem" else bayes_decoder(solution)
                found = solution.predict_proba(rows, decoder=decoder, assignment=assignment)
                np.testing.assert_allclose(found, weights @ clusters, atol=1e-12)
                np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-14)


def test_the_bayes_decoder_is_bayes_rule(solution):
    expected = np.zeros((solution.n_clusters, JOINT.n_y))
    for t in range(solution.n_clusters):
        for x in range(JOINT.n_x):
            expected[t] += JOINT.px[x] * solution.encoder[x, t] * JOINT.py_x[x] / solution.weights[t]
    np.testing.assert_allclose(bayes_decoder(solution), expected, atol=1e-12)
    differ = np.abs(bayes_decoder(solution) - solution.decoder).max()
    assert differ < 1e-8 if solution.distortion.name == "ib" else differ > 1e-4


def test_the_bayes_decoder_scores_best_on_the_training_joint(solution):
    """Of all decoders of a given hard or soft clustering, Bayes' rule has the least expected log loss of y given t."""
    pty = solution.encoder.T @ JOINT.pxy
    loss = {
        name: -np.sum(pty * np.log(table))
        for name, table in (("bayes", bayes_decoder(solution)), ("problem", solution.decoder))
    }
    assert loss["bayes"] <= loss["problem"] + 1e-12
    assert loss["bayes"] == pytest.approx(dualib.information.entropy(JOINT.py) - solution.relevance, abs=1e-10)


def test_a_source_of_probability_zero_and_a_sparse_joint():
    px = np.array([0.5, 0.0, 0.5])
    rows = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    solution = dualib.solve(dualib.JointDistribution.from_conditionals(rows, px), 8.0, "dualib")
    np.testing.assert_allclose(solution.predict_proba(rows), solution.predict_proba(), atol=1e-8)
    sparse = pytest.importorskip("scipy.sparse").csr_array(JOINT.pxy)
    dense, thin = dualib.solve(JOINT, 9.0), dualib.solve(dualib.JointDistribution(sparse), 9.0)
    np.testing.assert_allclose(thin.predict_proba(decoder="bayes"), dense.predict_proba(decoder="bayes"), atol=1e-8)


@pytest.mark.parametrize("kind", DISTORTIONS, ids=str)
def test_sparse_rows_are_encoded_as_dense_ones(kind):
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(2)
    table = rng.dirichlet(np.ones(6), 9) * (rng.random((9, 6)) < 0.7) + 0.01 * np.eye(9, 6) + 0.01
    table[:5, 0] = table[5:, 5] = 0.0
    joint = dualib.JointDistribution(table / table.sum())
    solution = dualib.solve(joint, 4.0, kind)
    rows = table[::2] / table[::2].sum(axis=1, keepdims=True)
    for assignment in ("soft", "map"):
        dense, thin = (solution.encode(form, assignment=assignment) for form in (rows, sparse.csr_array(rows)))
        np.testing.assert_allclose(thin, dense, atol=1e-13)


def test_zeros_of_an_unseen_row_count_though_no_training_row_has_any():
    """The dual IB is at an infinite distance from decoders that are positive there, the IB and others are not."""
    sparse = pytest.importorskip("scipy.sparse")
    row = np.array([[0.5, 0.5, 0.0, 0.0]])
    for form in (row, sparse.csr_array(row)):
        with pytest.raises(ValueError, match="row 0 is infinitely far from every cluster"):
            dualib.solve(JOINT, 3.0, "dualib").encode(form)
        assert dualib.solve(JOINT, 3.0).encode(form).sum() == pytest.approx(1.0)


def test_features_of_unseen_sources_encode_them():
    features = RNG.normal(size=(9, 2))
    family = dualib.ExponentialFamily(features, RNG.normal(size=(2, 6)))
    solution = dualib.solve(family.joint(), 6.0, family)
    unseen = family.conditionals(RNG.normal(size=(4, 2)))
    twin = dualib.solve(family.joint(), 6.0, "dualib")
    for decoder in ("problem", "bayes"):
        mine, theirs = (s.predict_proba(unseen, decoder=decoder) for s in (solution, twin))
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        ([[0.5, 0.5]], {}, "py_x must have 4 columns"),
        ([[0.0] * 4, [0.25] * 4], {}, "row 0 must sum to 1, got .*0.0"),
        ([[0.5, 0.2, 0.2, 0.2]], {}, "row 0 must sum to 1"),
        ([[0.25] * 4], {"assignment": "hard"}, "assignment must be 'soft' or 'map', got 'hard'"),
        ([[0.25] * 4], {"decoder": "mean"}, "decoder must be 'problem' or 'bayes', got 'mean'"),
        (None, {"decoder": "mean"}, "decoder must be"),
        (None, {"assignment": 3}, "assignment must be"),
    ],
)
def test_bad_arguments(rows, options, match):
    solution = dualib.solve(JOINT, 4.0)
    with pytest.raises(ValueError, match=match):
        solution.predict_proba(rows, **options)


def test_a_source_that_no_cluster_can_hold_is_refused():
    solution = dualib.solve(dualib.datasets.deterministic([0, 1, 1]), 3.0, "dualib")
    with pytest.raises(ValueError, match="row 0 is infinitely far from every cluster"):
        dualib.solve(dualib.JointDistribution([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]]), 3.0).encode([[0.0, 0.0, 1.0]])
    assert solution.encode([[0.0, 1.0]]).max() == 1.0
