"""The scikit-learn estimators: scikit-learn's own checks, and what they return beside the solver."""

import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

import dualib
from dualib import DualInformationBottleneck, InformationBottleneck

RNG = np.random.default_rng(11)
TOPICS = RNG.dirichlet(np.full(8, 0.4), 3)
TRUTH = RNG.integers(0, 3, 30)
COUNTS = np.array([RNG.multinomial(60, TOPICS[topic]) for topic in TRUTH])
BOTH = pytest.mark.parametrize("estimator", [InformationBottleneck, DualInformationBottleneck])

SIGNS = "clusters points with negative coordinates, which are no counts; the tag positive_only is declared"
EMPTY = "has rows of zeros, which say nothing about y and are refused unless a smoothing is given"
SMOOTHED_FAILURES = {"check_clustering": SIGNS}
PLAIN_FAILURES = {
    **SMOOTHED_FAILURES,
    "check_estimators_dtypes": EMPTY,
    "check_estimator_sparse_tag": EMPTY,
    "check_estimator_sparse_array": EMPTY,
    "check_estimator_sparse_matrix": EMPTY,
    "check_fit2d_1feature": EMPTY,
}


@BOTH
@pytest.mark.parametrize(("smoothing", "failures"), [(0.01, SMOOTHED_FAILURES), (0.0, PLAIN_FAILURES)])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks_pass_but_for_the_declared(estimator, smoothing, failures):
    model = estimator(smoothing=smoothing, n_init=1)
    results = check_estimator(model, expected_failed_checks=failures, on_fail=None, on_skip=None)
    found = {result["check_name"]: repr(result["exception"]) for result in results if result["status"] == "failed"}
    assert not found
    assert {result["check_name"] for result in results if result["status"] == "xfail"} == set(failures)
    assert sum(result["status"] == "passed" for result in results) > 40
    for result in results:
        if result["status"] == "xfail" and failures[result["check_name"]] is SIGNS:
            assert "Negative values in data" in str(result["exception"])


@BOTH
def test_the_answer_is_that_of_the_solver(estimator):
    model = estimator(beta=7.0, smoothing=0.5).fit(COUNTS)
    joint = dualib.JointDistribution.from_counts(COUNTS, smoothing=0.5)
    solution = dualib.solve(joint, 7.0, "dualib" if estimator is DualInformationBottleneck else "ib", tol=1e-6)
    np.testing.assert_allclose(model.transform(COUNTS), solution.encoder, atol=1e-6)
    np.testing.assert_allclose(model.cluster_centers_, solution.decoder, atol=1e-12)
    assert model.n_clusters_ == solution.n_clusters
    np.testing.assert_array_equal(model.labels_, model.predict(COUNTS))
    np.testing.assert_array_equal(model.labels_, solution.encoder.argmax(axis=1))
    np.testing.assert_allclose(model.inverse_transform(model.transform(COUNTS)), solution.predict_proba(), atol=1e-6)
    assert model.solution_.gap <= 1e-6


@BOTH
def test_topics_are_found(estimator):
    model = estimator(beta=30.0, n_clusters=3, smoothing=0.1)
    assert adjusted_rand_score(TRUTH, model.fit_predict(COUNTS)) == 1.0
    assert model.n_clusters_ == 3
    unseen = np.array([RNG.multinomial(200, topic) for topic in TOPICS])
    assert model.predict(unseen).tolist() == [model.labels_[np.flatnonzero(k == TRUTH)[0]] for k in range(3)]


@BOTH
def test_the_score_is_the_mean_log_likelihood(estimator):
    model = estimator(beta=6.0, smoothing=0.2).fit(COUNTS[:20])
    rows = (COUNTS[20:] + 0.2) / (COUNTS[20:] + 0.2).sum(axis=1, keepdims=True)
    expected = np.sum(COUNTS[20:] * np.log(model.solution_.predict_proba(rows))) / COUNTS[20:].sum()
    assert model.score(COUNTS[20:]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:beta = 1.0 puts all 2 rows into one cluster")
def test_an_impossible_symbol_scores_minus_infinity():
    model = InformationBottleneck(beta=1.0).fit([[4, 4, 0], [4, 3, 0]])
    assert model.n_clusters_ == 1
    with pytest.raises(ValueError, match="row 0 is infinitely far from every cluster"):
        model.score([[0, 0, 3]])
    dual = DualInformationBottleneck(beta=1.0).fit([[4, 4, 1], [4, 3, 0]])
    assert dual.score([[4, 4, 1]]) == -np.inf


@pytest.mark.filterwarnings("ignore:beta = 1.0 puts all 20 rows into one cluster")
def test_sparse_tables_pipelines_searches_and_pickles():
    dense, thin = (InformationBottleneck(beta=6.0, smoothing=0.1).fit(table) for table in (COUNTS, sparse.csr_array(COUNTS)))
    np.testing.assert_allclose(dense.transform(COUNTS), thin.transform(sparse.csr_array(COUNTS)), atol=1e-12)
    again = pickle.loads(pickle.dumps(dense))
    np.testing.assert_array_equal(again.transform(COUNTS), dense.transform(COUNTS))
    search = GridSearchCV(InformationBottleneck(smoothing=0.1, certify=False), {"beta": [1.0, 8.0]}, cv=3).fit(COUNTS)
    assert search.best_params_ == {"beta": 8.0}
    pipeline = make_pipeline(clone(dense)).set_output(transform="pandas")
    frame = pipeline.fit_transform(COUNTS)
    assert list(frame.columns) == [f"informationbottleneck{t}" for t in range(dense.n_clusters_)]


@BOTH
def test_without_a_beta_clusters_are_the_hard_ones_that_lose_least(estimator):
    model = estimator(3, smoothing=0.1).fit(COUNTS)
    joint = dualib.JointDistribution.from_counts(COUNTS, smoothing=0.1)
    hard = dualib.quantize(joint, 3, "dualib" if estimator is DualInformationBottleneck else "ib", certify=False)
    np.testing.assert_array_equal(model.solution_.encoder, hard.encoder)
    np.testing.assert_array_equal(model.transform(COUNTS), hard.encoder)
    np.testing.assert_array_equal(model.labels_, hard.labels)
    assert model.solution_.beta == np.inf and adjusted_rand_score(TRUTH, model.labels_) == 1.0
    assert np.isinf(model.solution_.gap) and np.isfinite(estimator(3, certify=True, smoothing=0.1).fit(COUNTS).solution_.gap)


def test_the_default_clusters():
    assert InformationBottleneck().fit(COUNTS).n_clusters_ == 8
    assert DualInformationBottleneck(smoothing=0.5).fit(COUNTS).n_clusters_ == 8
    assert InformationBottleneck(n_clusters=10).fit(load_digits().data[:300]).n_clusters_ == 10


def test_fewer_clusters_where_there_are_fewer_rows_and_none_where_neither_is_given():
    assert InformationBottleneck(8).fit([[3, 1], [1, 3], [3, 1]]).labels_.tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="n_clusters and beta are both None: give"):
        InformationBottleneck(None).fit(COUNTS)
    assert InformationBottleneck(None, beta=40.0).fit(COUNTS).n_clusters_ > 8


def test_with_a_beta_a_cap_and_its_rounds_of_seeds_are_those_of_the_solver():
    joint = dualib.JointDistribution.from_counts(COUNTS)
    model = InformationBottleneck(2, 20.0, n_init=3, certify=False, random_state=5).fit(COUNTS)
    seed = int(np.random.RandomState(5).randint(2**31 - 1))
    solution = dualib.solve(joint, 20.0, n_clusters=2, n_restarts=3, certify=False, random_state=seed)
    assert model.solution_.objective == pytest.approx(solution.objective, rel=1e-9)


def test_alpha_is_handed_to_the_solver_and_changes_no_hard_clusters(monkeypatch):
    given = []
    solve = dualib.solve

    def watched(*arguments, alpha=1.0, **options):
        given.append(alpha)
        return solve(*arguments, **options)

    monkeypatch.setattr("dualib.predict.estimators.solve", watched)
    for alpha in (1.0, 0.25):
        InformationBottleneck(3, 20.0, alpha=alpha, certify=False, n_init=1).fit(COUNTS)
    assert given == [1.0, 0.25]
    labels = [InformationBottleneck(3, alpha=alpha, n_init=2).fit(COUNTS).labels_.tolist() for alpha in (1.0, 0.0)]
    assert labels[0] == labels[1] and len(given) == 2


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float64, np.float32, bool])
def test_a_sparse_table_of_any_kind_is_the_dense_one(dtype):
    table = (COUNTS > 2).astype(dtype) if dtype is bool else COUNTS.astype(dtype)
    dense, thin = (InformationBottleneck(4).fit(rows) for rows in (table.astype(float), sparse.csr_array(table)))
    np.testing.assert_array_equal(dense.labels_, thin.labels_)
    np.testing.assert_array_equal(dense.predict(table), thin.predict(sparse.csr_matrix(table)))
    assert dense.score(table) == pytest.approx(thin.score(sparse.csc_array(table)), rel=1e-12)


def test_a_large_sparse_table_is_never_made_dense():
    rng = np.random.default_rng(3)
    n_x, n_y, topics = 1500, 4000, 4
    topic = rng.integers(topics, size=n_x)
    words = rng.integers(n_y // topics, size=(n_x, 20)) + (n_y // topics) * topic[:, None]
    table = sparse.csr_array((np.ones(words.size), (np.repeat(np.arange(n_x), 20), words.ravel())), shape=(n_x, n_y))
    InformationBottleneck(topics, n_init=1).fit(table[:100])  # what is imported and compiled at the first use
    tracemalloc.start()
    try:
        model = InformationBottleneck(topics, n_init=1).fit(table)
        model.predict(table), model.score(table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * n_x * n_y / 5  # the dense table has 46 MiB
    assert adjusted_rand_score(topic, model.labels_) == 1.0


def test_a_smoothed_sparse_table_that_cannot_fit_is_refused(monkeypatch):
    monkeypatch.setattr("dualib.memory._ALWAYS_FITS", 0)
    monkeypatch.setattr("dualib.memory.available_memory", lambda: 20_000_000)
    small, large = (sparse.eye_array(size, format="csr") for size in (900, 5_000))
    with pytest.raises(
        MemoryError, match=r"smoothing makes a sparse table dense, which of 900 x by 900 y needs at least 24.7 MiB"
    ):
        InformationBottleneck(2, smoothing=0.1).fit(small)
    with pytest.raises(
        MemoryError, match="a sparse problem of 5000 x by 5000 y with 5000 nonzeros and 1 clusters needs at least"
    ):
        InformationBottleneck(2, smoothing=0.1).fit(large)


def test_rows_of_probabilities_weigh_the_same():
    model = InformationBottleneck(beta=6.0).fit(COUNTS / COUNTS.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.solution_.joint.px, 1.0 / len(COUNTS), rtol=1e-12)
    weighted = InformationBottleneck(beta=6.0).fit(np.diag(np.arange(1.0, 31.0)) @ COUNTS)
    np.testing.assert_allclose(weighted.solution_.joint.px, np.arange(1.0, 31.0) / 465.0, rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "rows", "match"),
    [
        ({}, [[1, -1], [2, 3]], "got -1.0 at \\(0, 1\\)"),
        ({}, [[1, 1], [0, 0]], "row 1 is all zero"),
        ({"beta": 0.0}, [[1, 1], [1, 0]], "beta must be finite and > 0"),
        ({}, sparse.csr_array([[1, 0], [2, -3]]), "got -3.0 at \\(1, 1\\)"),
        ({}, sparse.csr_array([[1, 1], [0, 0]]), "row 1 is all zero"),
        ({"n_clusters": 0}, [[1, 1], [1, 0]], "n_clusters must be at least 1"),
        ({"alpha": 1.5}, [[1, 1], [1, 0]], "alpha must be from 0 to 1, got 1.5"),
        ({"n_init": 0}, [[1, 1], [1, 0]], "n_init must be at least 1"),
        ({"smoothing": -0.1}, [[1, 1], [1, 2]], "smoothing must be finite and >= 0"),
    ],
)
def test_bad_input_is_named(options, rows, match):
    with pytest.raises(ValueError, match=match):
        InformationBottleneck(**options).fit(rows)


@BOTH
def test_one_cluster_of_rows_that_differ_is_said_with_the_beta_that_parts_them(estimator):
    joint = dualib.JointDistribution.from_counts(COUNTS, smoothing=0.5)
    kind = "dualib" if estimator is DualInformationBottleneck else "ib"
    onset = dualib.onset(joint, kind)
    with pytest.warns(
        dualib.DualibWarning, match=r"puts all 30 rows into one cluster: .* onset of learning, which is at most"
    ) as caught:
        model = estimator(beta=np.float64(0.9 * onset), n_clusters=10, smoothing=0.5).fit(COUNTS)
    assert model.n_clusters_ == 1 and len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert "np.float64" not in text
    bound = float(text.split()[-1])
    assert onset <= bound * (1.0 + 1e-5)
    assert estimator(beta=1.01 * bound, n_clusters=10, smoothing=0.5).fit(COUNTS).n_clusters_ > 1


@BOTH
def test_one_cluster_is_silent_where_it_is_right_or_asked_for(estimator):
    assert estimator(beta=50.0).fit([[1, 2, 3], [2, 4, 6]]).n_clusters_ == 1
    assert estimator(beta=0.1, n_clusters=1, smoothing=0.5).fit(COUNTS).n_clusters_ == 1


def test_bad_use_is_named():
    model = InformationBottleneck().fit(COUNTS)
    with pytest.raises(ValueError, match=f"X must have shape \\(n_samples, {model.n_clusters_}\\)"):
        model.inverse_transform(np.ones((2, model.n_clusters_ + 1)))
    with pytest.raises(ValueError, match="X has 3 features, but InformationBottleneck is expecting 8"):
        model.predict(np.ones((2, 3)))
    with pytest.raises(NotFittedError):
        InformationBottleneck().score(COUNTS)


def test_without_scikit_learn_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['sklearn'] = None; sys.modules['sklearn.base'] = None\n"
        "import dualib; dualib.compare_predictions\n"
        "try:\n    dualib.InformationBottleneck\n"
        "except ImportError as error:\n    sys.exit('dualib[sklearn]' not in str(error))\n"
        "sys.exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(dualib.__file__).parents[1]).returncode == 0
