"""`compare_predictions`: scores recomputed by other means, choices that the test part cannot touch, tables, pictures, errors."""

import numpy as np
import pytest
from comparisons import FEATURES, GRID, METHODS, RNG, TEST, TRAIN, compare
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

import dualib
from dualib.predict.scores import COLUMNS, SCORES, Scores, score
from dualib.predict.tables import draw


@pytest.fixture(scope="module")
def result():
    return compare(features=FEATURES, methods=METHODS, n_train=[60, 300], n_splits=4)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_scikit_learn_on_the_single_samples():
    prediction = RNG.dirichlet(np.ones(5), 14)
    x, y = (np.repeat(index, TEST.ravel()) for index in np.indices(TEST.shape).reshape(2, -1))
    found = score(prediction, TEST)
    assert found.log_loss == pytest.approx(log_loss(y, prediction[x], labels=range(5)), rel=1e-12)
    assert found.accuracy == pytest.approx(accuracy_score(y, prediction[x].argmax(axis=1)), rel=1e-12)
    assert found.brier == pytest.approx(np.mean(np.sum((prediction[x] - np.eye(5)[y]) ** 2, axis=1)), rel=1e-12)


def test_an_impossible_event_costs_an_infinite_log_loss_and_no_nan():
    found = score([[1.0, 0.0]], [[1, 1]])
    assert found == Scores(np.inf, 0.5, 1.0)
    assert score([[1.0, 0.0], [0.0, 1.0]], [[3, 0], [0, 0]]) == Scores(0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("prediction", "counts", "match"),
    [
        ([[0.5, 0.5]], [[1, 2, 3]], "prediction must have 3 columns"),
        ([[0.5, 0.5]], [[1, 2], [3, 4]], "one row for each of the 2 rows"),
        ([[0.5, 0.6]], [[1, 2]], "row 0 must sum to 1"),
        ([[0.5, 0.5]], [[0, 0]], "counts must not be all zero"),
        ([[0.5, 0.5]], [[-1, 2]], "counts must be non-negative"),
    ],
)
def test_bad_scores(prediction, counts, match):
    with pytest.raises(ValueError, match=match):
        score(prediction, counts)


# --- the rows against the public solver -------------------------------------------------------------------------------


def smoothed(counts, amount):
    """Each cell with its pseudocount, spread like the marginal with one added."""
    q = (counts.sum(axis=0) + 1.0) / (counts.sum() + counts.shape[1])
    rows = np.array([[n + amount * counts.shape[1] * q[y] for y, n in enumerate(row)] for row in counts])
    return rows / rows.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("method", ["ib", "dualib"])
@pytest.mark.parametrize(("decoder", "assignment"), [("problem", "soft"), ("bayes", "map")])
def test_rows_are_solved_and_scored_as_by_hand(method, decoder, assignment):
    """All symbols and one smoothing: nothing is drawn for the fit, so that it can be repeated with the public functions."""
    options = {"methods": [method], "smoothing": 0.2, "n_splits": 1, "decoder": decoder, "assignment": assignment}
    rows = smoothed(TRAIN, 0.2)
    joint = dualib.JointDistribution.from_conditionals(rows, TRAIN.sum(axis=1) / TRAIN.sum())
    certified, quick = compare(certify=True, **options), compare(**options)
    for i, beta in enumerate(GRID["betas"]):
        solution = dualib.solve(joint, beta, method)
        prediction = solution.predict_proba(rows, decoder=decoder, assignment=assignment)
        expected = score(prediction, TEST)
        for name in SCORES:
            assert certified[name][i] == pytest.approx(getattr(expected, name), abs=1e-6)
            if assignment == "soft":
                assert quick[name][i] == pytest.approx(getattr(expected, name), abs=3e-3)
        assert (certified["rate"][i], certified["relevance"][i]) == pytest.approx(
            (solution.rate, solution.relevance), abs=1e-6
        )
        assert (quick["rate"][i], quick["relevance"][i]) == pytest.approx((solution.rate, solution.relevance), abs=2e-2)
        assert certified["n_clusters"][i] == solution.n_clusters


def test_the_plug_in_is_the_smoothed_conditional():
    for prior in ("marginal", "uniform"):
        found = compare(methods="plug-in", smoothing=0.2, n_splits=1, prior=prior)
        rows = smoothed(TRAIN, 0.2) if prior == "marginal" else (TRAIN + 0.2) / (TRAIN + 0.2).sum(axis=1, keepdims=True)
        assert len(found) == 1
        assert found["beta"][0] == np.inf
        assert found["log_loss"][0] == pytest.approx(score(rows, TEST).log_loss, rel=1e-12)
        joint = dualib.JointDistribution.from_conditionals(rows, TRAIN.sum(axis=1) / TRAIN.sum())
        assert found["relevance"][0] == pytest.approx(joint.mutual_information, rel=1e-12)
        assert found["rate"][0] == pytest.approx(dualib.information.entropy(joint.px), rel=1e-12)
        assert found["n_clusters"][0] == 13


def test_maxent_is_logistic_regression():
    """Scikit-learn leaves the intercept unpenalised, so here it is one more feature."""
    design = np.column_stack([FEATURES, np.ones(14)])
    x, y = (np.repeat(index, TRAIN.ravel()) for index in np.indices(TRAIN.shape).reshape(2, -1))
    model = LogisticRegression(C=1.0 / 0.7, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(design[x], y)
    found = compare(features=FEATURES, methods=["maxent"], l2=0.7, n_splits=1)
    assert found["log_loss"][0] == pytest.approx(score(model.predict_proba(design), TEST).log_loss, abs=1e-6)


def test_the_family_at_large_beta_is_the_family_itself():
    found = compare(features=FEATURES, methods=["dualib-exp", "ib-exp", "maxent"], betas=[3e3], l2=1.0, n_splits=1)
    assert np.ptp(found["log_loss"]) < 2e-3
    without = compare(
        methods=["dualib-exp", "dualib"], rank=4, smoothing=0.3, n_splits=1
    )  # full rank: the family is everything
    np.testing.assert_allclose(without["log_loss"][:3], without["log_loss"][3:], atol=2e-3)


# --- choices ----------------------------------------------------------------------------------------------------------


def test_the_test_part_decides_nothing(result):
    other = compare(
        test=RNG.permutation(TEST.ravel()).reshape(14, 5), features=FEATURES, methods=METHODS, n_train=[60, 300], n_splits=4
    )
    for name in set(COLUMNS) - set(SCORES):
        np.testing.assert_array_equal(other[name], result[name])
    assert not np.isclose(other["log_loss"], result["log_loss"]).any()


def test_the_validation_part_decides(result):
    frame = result.to_dataframe()
    for _, group in frame.groupby(["method", "n_train", "split"]):
        assert group["chosen"].sum() == 1
        assert group.loc[group["chosen"], "validation_log_loss"].item() == group["validation_log_loss"].min()


def test_each_smoothing_has_the_least_validation_loss():
    """With one smoothing alone the validation loss is that of this smoothing: the choice is the least of them."""
    for method, grid in (("ib", [0.05, 0.5]), ("plug-in", np.geomspace(0.05, 0.5, 5))):  # the plug-in is tuned more finely
        both = compare(methods=method, n_train=200, n_splits=2, smoothing=[0.05, 0.5])
        single = [compare(methods=method, n_train=200, n_splits=2, smoothing=a)["validation_log_loss"] for a in grid]
        np.testing.assert_allclose(both["validation_log_loss"], np.min(single, axis=0), rtol=1e-12)
        np.testing.assert_allclose(both["smoothing"], np.array(grid)[np.argmin(single, axis=0)], rtol=1e-12)


def test_draws_are_parts_of_the_counts():
    rng = np.random.default_rng(0)
    drawn = [draw(rng, TRAIN.astype(float), 100) for _ in range(400)]
    assert all(d.sum() == 100 and (d >= 0).all() and (d <= TRAIN).all() for d in drawn)
    expected = TRAIN * 100 / TRAIN.sum()
    assert np.abs(np.mean(drawn, axis=0) - expected).max() < 0.3
    assert np.array_equal(draw(rng, TRAIN.astype(float), int(TRAIN.sum())), TRAIN)


def test_methods_share_their_splits_and_seeds_repeat(result):
    alone = compare(features=FEATURES, methods="dualib", n_train=[60, 300], n_splits=4)
    rows = result["method"] == "dualib"
    np.testing.assert_array_equal(alone["log_loss"], result["log_loss"][rows])
    options = {"methods": "plug-in", "n_train": 60, "n_splits": 2}
    np.testing.assert_array_equal(
        compare(random_state=5, **options)["log_loss"], compare(random_state=5, **options)["log_loss"]
    )
    assert (compare(random_state=5, **options)["log_loss"] != compare(random_state=6, **options)["log_loss"]).any()
    np.testing.assert_array_equal(*(compare(random_state=np.random.default_rng(1), **options)["log_loss"] for _ in range(2)))


def test_sparse_tables_and_a_cap_on_the_clusters():
    sparse = pytest.importorskip("scipy.sparse")
    options = {"methods": ("ib", "maxent"), "n_train": 200, "n_splits": 1}
    dense = compare(features=FEATURES, **options)
    thin = compare(sparse.csr_array(TRAIN), sparse.coo_array(TEST), features=sparse.csr_array(FEATURES), **options)
    np.testing.assert_allclose(thin["log_loss"], dense["log_loss"], rtol=1e-9)
    capped = compare(n_clusters=3, **options)
    assert capped["n_clusters"][:3].max() <= 3 < dense["n_clusters"][:3].max()


# --- tables -----------------------------------------------------------------------------------------------------------


def test_one_row_for_each_method_beta_size_and_split(result):
    frame = result.to_dataframe()
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == len(result) == 2 * 4 * (4 * 3 + 2)
    assert not frame.duplicated(["method", "beta", "n_train", "split"]).any()
    assert not frame.isna().any().any()
    assert (result.methods, result.sizes) == (METHODS, (60, 300))


def test_means_and_standard_errors_are_those_of_pandas(result):
    frame = result.to_dataframe()
    for at, keys in (("choice", ["method", "n_train"]), ("beta", ["method", "n_train", "beta"])):
        groups = (frame[frame["chosen"]] if at == "choice" else frame).groupby(keys)
        rows = result.summary(at)
        assert len(rows) == len(groups)
        for row in rows:
            group = (
                groups.get_group(tuple(row[key] for key in keys))
                if at == "beta"
                else groups.get_group((row["method"], row["n_train"]))
            )
            for name in (*SCORES, "rate", "n_clusters"):
                assert row[name] == pytest.approx(group[name].mean(), rel=1e-12)
                assert row[f"{name}_se"] == pytest.approx(group[name].sem(), rel=1e-9, abs=1e-15)


def test_differences_are_paired(result):
    frame = result.to_dataframe()
    chosen = frame[frame["chosen"]].pivot(index=["n_train", "split"], columns="method", values="log_loss")
    rows = result.against("plug-in")
    assert {row["method"] for row in rows} == set(METHODS) - {"plug-in"}
    for row in rows:
        difference = (chosen[row["method"]] - chosen["plug-in"]).loc[row["n_train"]]
        assert row["log_loss"] == pytest.approx(difference.mean(), rel=1e-9)
        assert row["log_loss_se"] == pytest.approx(difference.sem(), rel=1e-9)
        beyond = abs(difference.mean()) > 2.0 * difference.sem()
        assert row["verdict"] == ("even" if not beyond else "better" if difference.mean() < 0.0 else "worse")
    by_beta = result.against("ib", at="beta")
    assert {(row["method"], row["beta"]) for row in by_beta} >= {("dualib", 5.0)}
    assert {row["method"] for row in by_beta} == {"dualib", "dualib-exp", "ib-exp"}  # a plug-in has no beta in common


def test_scores_at_equal_rate_are_interpolated(result):
    frame = result.to_dataframe()
    ends = [
        (g["rate"].min(), g["rate"].max())
        for (m, _), g in frame[frame["n_train"] == 300].groupby(["method", "split"])
        if m in METHODS[:4]
    ]
    low, high = max(e[0] for e in ends), min(e[1] for e in ends)
    assert low < high
    rate = 0.5 * (low + high)
    rows = [row for row in result.summary("rate", rates=[rate, 99.0]) if row["n_train"] == 300]
    assert [row["method"] for row in rows] == list(METHODS[:4])
    for row in rows:
        values = []
        for split in range(4):
            path = frame[
                (frame["method"] == row["method"]) & (frame["n_train"] == 300) & (frame["split"] == split)
            ].sort_values("rate")
            below = path[path["rate"] <= rate].iloc[-1]
            above = path[path["rate"] >= rate].iloc[0]
            part = (rate - below["rate"]) / (above["rate"] - below["rate"])
            values.append((1.0 - part) * below["log_loss"] + part * above["log_loss"])
        assert row["rate"] == pytest.approx(rate)
        assert row["log_loss"] == pytest.approx(np.mean(values), rel=1e-9)
    own = [row for row in result.summary("rate") if row["n_train"] == 300]
    assert len({row["rate"] for row in own}) == 5
    assert all(low < row["rate"] < high for row in own)
    paired = result.against("plug-in", at="rate", rates=[rate])
    assert {row["method"] for row in paired} == set(METHODS[:4])


SINGLE = {
    "one split": {"n_splits": 1, "n_train": 300},
    "all symbols": {},  # each draw of all of them is the same
    "all symbols, said": {"n_train": int(TRAIN.sum()), "n_splits": 7},
    "one pair": {"train": np.where(np.indices((14, 5)).sum(axis=0) == 0, 50, 0), "n_train": 20},
}


@pytest.mark.parametrize("case", SINGLE)
def test_one_draw_has_no_standard_error_and_no_verdict(case):
    """It is computed once: repeated, it would have a standard error of 0, and a verdict from that."""
    options = {"methods": ["ib", "plug-in"], "betas": [5.0], "smoothing": 0.2, **SINGLE[case]}
    found = compare(**options)
    assert len(found) == 2 and set(found["split"]) == {0}
    for at in ("choice", "beta"):
        for row in found.summary(at):
            assert [row[f"{name}_se"] for name in (*SCORES, "rate", "n_clusters")] == [None] * 5
            assert row["n_splits"] == 1 and np.isfinite(row["log_loss"])
    (row,) = found.against("plug-in")
    assert row["verdict"] is None and row["log_loss_se"] is None
    assert row["log_loss"] == found["log_loss"][0] - found["log_loss"][1]
    text = repr(found)
    assert "+-" not in text and "inf " not in text and "nan" not in text.lower()
    assert f"one split of {found.sizes[0]} symbols: no standard error; for one, n_splits > 1 and n_train <" in text


def test_sizes_below_all_symbols_keep_their_standard_errors_beside_it():
    plt = pytest.importorskip("matplotlib.pyplot")
    total = int(TRAIN.sum())
    found = compare(methods=["ib", "plug-in"], betas=[3.0, 9.0], smoothing=[0.1, 0.5], n_train=[200, total], n_splits=3)
    alone = compare(methods=["ib", "plug-in"], betas=[3.0, 9.0], smoothing=[0.1, 0.5], n_train=200, n_splits=3)
    small = [{**row} for row in found.summary() if row["n_train"] == 200]
    assert small == alone.summary()
    rows = {(row["n_train"], row["method"]): row for row in found.summary("rate") + found.summary("beta")}
    assert {key: row["n_splits"] for key, row in rows.items()} == {
        (n, method): splits for n, splits in ((200, 3), (total, 1)) for method in ("ib", "plug-in")
    }
    assert all((row["log_loss_se"] is None) == (row["n_train"] == total) for row in found.summary("rate"))
    (one,) = (row for row in found.against() if row["n_train"] == total)
    assert one["verdict"] is None
    assert f"one split of {total} symbols" in repr(found) and repr(found).count("+-") == 2
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(found.summary())
    assert (frame["log_loss_se"].isna() == (frame["n_train"] == total)).all()
    axes = found.plot()  # no bar, rather than one of length 0
    for n, (_, caps, bars) in enumerate(axes[2].containers):
        drawn = [len(segment) == 2 and not np.isnan(segment).any() for segment in bars[0].get_segments()]
        assert drawn == [True, False], n
        assert np.isnan(caps[0].get_ydata()).tolist() == [False, True]
    plt.close("all")


def frame(counts, rows, columns="abcde"):
    return pytest.importorskip("pandas").DataFrame(counts, index=list(rows), columns=list(columns))
