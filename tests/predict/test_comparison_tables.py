"""What `compare_predictions` takes and refuses, prints, draws and promises."""

import csv
import pickle
import sys

import numpy as np
import pytest
from comparisons import FEATURES, GRID, METHODS, TEST, TRAIN, compare

import dualib
from dualib.predict.scores import COLUMNS


@pytest.fixture(scope="module")
def result():
    return compare(features=FEATURES, methods=METHODS, n_train=[60, 300], n_splits=4)


def one_hot(n, seed):
    return np.eye(5)[np.random.default_rng(seed).integers(5, size=n)]


def frame(counts, rows, columns="abcde"):
    return pytest.importorskip("pandas").DataFrame(counts, index=list(rows), columns=list(columns))


REMEDY = r"use an estimator .*predict_proba.*features="


ROWS = [f"w{i}" for i in range(14)]


OTHER = {
    "examples": (one_hot(40, 0), one_hot(40, 1), {}, rf"a single count in each of the 40 rows of both, .*{REMEDY}.*labels"),
    "examples, with features": (one_hot(40, 0), one_hot(40, 1), {"features": np.eye(40)[:, :2]}, "a single count in each"),
    "fewer examples": (
        one_hot(40, 0),
        one_hot(13, 1),
        {},
        rf"shape of train_counts, \(40, 5\), got \(13, 5\); {'.*'}{REMEDY}",
    ),
    "stacked, without features": (
        np.vstack([one_hot(9, 0), np.zeros((9, 5))]),
        np.vstack([np.zeros((9, 5)), one_hot(9, 1)]),
        {},
        rf"have counts of an x of train_counts, got none: .*{REMEDY}",
    ),
    "other labels": (
        lambda: frame(TRAIN, ROWS),
        lambda: frame(TEST, [f"v{i}" for i in range(14)]),
        {},
        rf"have the x labels of train_counts in the same order, got 'v0' for 'w0': {'.*'}{REMEDY}",
    ),
    "rows drawn from one frame": (
        lambda: frame(np.vstack([TRAIN, TEST]), range(28)).iloc[0::2],
        lambda: frame(np.vstack([TRAIN, TEST]), range(28)).iloc[1::2],
        {},
        rf"x labels of train_counts in the same order, got '1' for '0': {'.*'}{REMEDY}",
    ),
    "another order": (
        lambda: frame(TRAIN, ROWS),
        lambda: frame(TEST, ROWS[::-1]),
        {},
        r"got 'w13' for 'w0': bring its rows into that order \(pandas: test.reindex_like\(train\)\)",
    ),
    "another order of y": (
        lambda: frame(TRAIN, ROWS),
        lambda: frame(TEST, ROWS, "abced"),
        {},
        "the y labels of train_counts in the same order, got 'e' for 'd': bring its columns into that order",
    ),
    "a y more": (
        lambda: frame(TRAIN[:, :4], ROWS, "abcd"),
        lambda: frame(TEST, ROWS),
        {},
        "the 4 y labels of train_counts, got 5: 'e' is new: give both tables the same y, with zeros where",
    ),
    "fewer x": (
        lambda: frame(TRAIN, ROWS),
        lambda: frame(TEST[:9], ROWS[:9]),
        {},
        "the 14 x labels of train_counts, got 9: give both tables the same x, with zeros where",
    ),
}


@pytest.mark.parametrize("case", OTHER)
def test_tables_of_other_x_or_y_are_refused_with_the_remedy(case):
    train, test, options, match = OTHER[case]
    train, test = (table() if callable(table) else table for table in (train, test))
    with pytest.raises(ValueError, match=rf"^test_counts must .*{match}"):
        compare(train, test, **options)


def test_a_joint_distribution_is_no_table_of_counts():
    with pytest.raises(TypeError, match="train_counts must be a table of counts, got a JointDistribution: give the counts"):
        compare(dualib.JointDistribution.from_counts(TRAIN))


def test_labels_and_sparse_counts_are_no_reason_to_refuse():
    """One annotator's label of each x against another's, shown to be of the same x by labels; and counts that are mostly 0."""
    options = {"methods": ["plug-in"], "smoothing": 0.2}
    index = [f"image {i}" for i in range(40)]
    replicated = compare(frame(one_hot(40, 0), index), frame(one_hot(40, 1), index), **options)
    plain = compare(frame(TRAIN, ROWS), frame(TEST, ROWS), **options)
    np.testing.assert_array_equal(plain["log_loss"], compare(**options)["log_loss"])
    rng = np.random.default_rng(5)
    thin = [compare(*rng.multinomial(60, np.full(200, 1 / 200), size=2).reshape(2, 40, 5), **options) for _ in range(20)]
    assert all(np.isfinite(found["log_loss"]).all() for found in (replicated, *thin))


def test_results_are_printed_pickled_written_and_read_only(result, tmp_path):
    text = repr(result)
    for row in result.summary():
        assert f"{row['log_loss']:.4f} +- {row['log_loss_se']:.4f}" in text
    again = pickle.loads(pickle.dumps(result))
    for name in COLUMNS:
        np.testing.assert_array_equal(again[name], result[name])
    with pytest.raises(ValueError, match="read-only"):
        result["log_loss"][0] = 0.0
    with pytest.raises(TypeError):
        result.columns["beta"] = 1
    result.to_csv(tmp_path / "r.csv")
    with open(tmp_path / "r.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["log_loss"]) for row in rows] == result["log_loss"].tolist()
    assert [row["chosen"] for row in rows] == [str(value) for value in result["chosen"]]


def test_the_picture_shows_the_means(result):
    plt = pytest.importorskip("matplotlib.pyplot")
    axes = result.plot(score="brier", n_train=300)
    drawn = axes[2].containers[METHODS.index("dualib")].lines[0].get_ydata()
    expected = [row["brier"] for row in result.summary() if row["method"] == "dualib"]
    np.testing.assert_allclose(drawn, expected)
    beta, by_beta = axes[0].containers[0].lines[0].get_data()
    expected = [row["brier"] for row in result.summary("beta") if row["method"] == "ib" and row["n_train"] == 300]
    assert beta.tolist() == GRID["betas"]
    np.testing.assert_allclose(by_beta, expected)
    assert (np.diff(axes[1].containers[0].lines[0].get_xdata()) >= 0.0).all()
    mine = plt.subplots(1, 3)[1]
    assert result.plot(mine)[0] is mine[0]
    for options, match in (
        ({"score": "f1"}, "score must be among"),
        ({"n_train": 61}, "n_train must be among 60, 300, got 61"),
    ):
        with pytest.raises(ValueError, match=match):
            result.plot(**options)
    with pytest.raises(ValueError, match="three Axes, got 1"):
        result.plot(mine[:1])
    plt.close("all")


def test_the_bottleneck_beats_the_tuned_plug_in_on_contexts_with_few_symbols():
    contexts = dualib.datasets.load_contexts()
    found = dualib.compare_predictions(
        contexts.train_counts,
        contexts.test_counts,
        methods=("ib", "plug-in"),
        betas=[8.0, 12.0],
        smoothing=[0.05, 0.1, 0.2],
        n_train=8000,
        n_splits=10,
    )
    (row,) = found.against("plug-in")
    assert row["verdict"] == "better"
    assert row["log_loss"] < -0.01


def test_an_x_without_samples_is_predicted_by_the_prior_or_by_its_features():
    only = np.zeros_like(TEST)
    only[3] = TEST[3]
    prior = (TRAIN.sum(axis=0) + 1.0) / (TRAIN.sum() + 5.0)
    found = compare(test=only, features=FEATURES, methods=["plug-in", "maxent"], n_splits=1, l2=1.0)
    assert found["log_loss"][0] == pytest.approx(-np.sum(TEST[3] * np.log(prior)) / TEST[3].sum(), rel=1e-12)
    assert found["log_loss"][1] < found["log_loss"][0]


def test_a_y_never_seen_in_training_has_a_finite_loss():
    train = TRAIN.copy()
    train[:, 2] = 0
    found = compare(train, features=FEATURES, methods=METHODS, n_splits=1)
    assert np.isfinite(found["log_loss"]).all()


BAD = {
    "a new y": ({"test": np.ones((14, 6))}, "test_counts must have the shape of train_counts, .*got \\(14, 6\\)"),
    "a new x": ({"test": np.ones((15, 5))}, "test_counts must have the shape"),
    "nothing to test": ({"test": np.zeros((14, 5))}, "test_counts must not be all zero"),
    "parts": ({"train": TRAIN / 2.5}, "train_counts must be whole numbers, .*got"),
    "negative": ({"train": TRAIN - 1}, "train_counts must be non-negative, got -1.0"),
    "too many": ({"train": TRAIN * 10_000_000}, "train_counts must sum to less than 1e9"),
    "one y": ({"train": np.ones((3, 1)), "test": np.ones((3, 1))}, "at least 2 columns"),
    "features": ({"features": np.ones((13, 2))}, "features must have one row for each of the 14 x"),
    "nan": ({"features": np.full((14, 2), np.nan)}, "features must be finite"),
    "method": ({"methods": ["svm"]}, "methods must be among ib, .*got 'svm'"),
    "no method": ({"methods": []}, "methods must name at least one"),
    "beta": ({"betas": [1.0, -2.0]}, "betas must be finite and > 0, got -2.0"),
    "unsmoothed": ({"smoothing": [0.0, 0.1]}, "smoothing must be > 0, got 0.0"),
    "l2": ({"l2": -1.0}, "l2 must be > 0, got -1.0"),
    "size": ({"n_train": 10_000}, f"n_train must be at most the number of training symbols, {TRAIN.sum()}, got 10000"),
    "sizes": ({"n_train": []}, "n_train must hold at least one size"),
    "one symbol": ({"n_train": 1}, "n_train must be an integer of at least 2, got 1"),
    "half a symbol": ({"n_train": [50.5]}, "n_train must be an integer"),
    "splits": ({"n_splits": 0}, "n_splits must be an integer of at least 1, got 0"),
    "validation": ({"validation": 1.0}, "validation must be a number strictly between 0 and 1, got 1.0"),
    "prior": ({"prior": "flat"}, "prior must be 'marginal' or 'uniform', got 'flat'"),
    "decoder": ({"decoder": "x"}, "decoder must be 'problem' or 'bayes'"),
    "assignment": ({"assignment": "x"}, "assignment must be 'soft' or 'map'"),
    "rank": ({"rank": 5}, "rank must be at most min\\(n_x, n_y\\) - 1 = 4, got 5"),
    "clusters": ({"n_clusters": 0}, "n_clusters must be an integer of at least 1"),
    "seed": ({"random_state": -1}, "random_state must be an integer of at least 0, got -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    options, match = BAD[case]
    with pytest.raises(ValueError, match=match):
        compare(**options)


def test_bad_questions_are_named(result):
    for ask, match in (
        (lambda: result.summary("size"), "at must be 'choice', 'beta' or 'rate'"),
        (lambda: result.summary("beta", rates=[1.0]), "rates goes with at='rate'"),
        (lambda: result.against("svm"), "reference must be among ib"),
    ):
        with pytest.raises(ValueError, match=match):
            ask()
    with pytest.raises(KeyError, match="'loss'; the columns are method"):
        result["loss"]


def test_pandas_is_needed_for_a_data_frame_only(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r'to_dataframe needs pandas: pip install "dualib\[pandas\]"'):
        result.to_dataframe()
    assert result.summary()


def test_where_methods_share_no_rate_there_is_nothing_to_compare_at_equal_rate():
    without = compare(methods=["plug-in", "maxent"], features=FEATURES, n_splits=2)
    assert without.summary("rate") == [] and without.against("plug-in", at="rate") == []
    single = compare(methods=["ib", "plug-in"], betas=[5.0], n_splits=2)  # one point has no range of rates
    assert single.summary("rate") == []
    rate = float(single["rate"][single["method"] == "ib"][0])
    assert [row["method"] for row in single.summary()] == ["ib", "plug-in"]
    assert all(row["rate"] == rate for row in single.summary("rate", rates=[rate]))


def test_differences_need_a_split_in_common(result):
    """Rows put together from runs that share no split: no difference is paired, so none is stated."""
    rows = [{name: result[name][i] for name in COLUMNS} for i in range(len(result))]
    apart = [row for row in rows if row["split"] == (0 if row["method"] == "ib" else 1)]
    found = type(result).from_rows(apart)
    assert "ib" in found.methods and found.against("ib") == []
    assert {row["method"] for row in found.against("dualib")} == set(METHODS) - {"ib", "dualib"}


def test_fits_that_miss_their_tolerance_are_counted_in_one_warning(monkeypatch):
    def hasty(*arguments, **options):
        return dualib.anneal(*arguments, **{**options, "max_iter": 1})

    monkeypatch.setattr("dualib.predict.predictors.anneal", hasty)
    with pytest.warns(dualib.ConvergenceWarning, match=r"[1-9]\d* fits missed their tolerance, the first: beta=") as caught:
        found = compare(methods=["ib"], betas=[12.0], n_splits=1, certify=True, smoothing=0.5)
    assert len(caught) == 1 and len(found) == 1
