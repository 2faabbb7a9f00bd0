"""`cross_fit` against twenty lines of NumPy, against the truth where it is known, and on tables without any."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from naive import mutual_information
from scipy import sparse

import dualib
from dualib.predict import cross_fit as module

COLUMNS = ["beta", "n_clusters", "rate", "relevance", "cross_fitted_relevance", "cross_fitted_se", "log_loss", "log_loss_se"]


def clustered(seed, n_x=24, n_y=4, clusters=3, total=600):
    """A joint distribution of x in a few true clusters, and counts drawn from it."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(n_y), clusters)[rng.integers(clusters, size=n_x)] / n_x
    return p, rng.multinomial(total, p.ravel()).reshape(n_x, n_y).astype(float)


def halves(seed, **options):
    _, counts = clustered(seed, **options)
    first = np.random.default_rng(seed).binomial(counts.astype(int), 0.5).astype(float)
    return first, counts - first


# ---------------------------------------------------------------------------------------------------------------------- the twin


def twin_encoder(counts, kind, beta):
    """By `solve`; p(t) for an x without counts."""
    seen = counts.sum(axis=1) > 0
    solution = dualib.solve(dualib.JointDistribution.from_counts(counts[seen]), beta, kind)
    encoder = np.tile(solution.weights, (len(counts), 1))
    encoder[seen] = solution.encoder
    return encoder


def twin_relevance(encoder, measures):
    """Plug-in, less (t - 1) (y - 1) / (2 N) with what occurs."""
    pairs = np.array([[encoder[:, t] @ measures[:, y] for y in range(measures.shape[1])] for t in range(encoder.shape[1])])
    t, y, n = (pairs.sum(axis=1) > 0).sum(), (pairs.sum(axis=0) > 0).sum(), measures.sum()
    return mutual_information(pairs / n) - (t - 1) * (y - 1) / (2 * n)


def twin_loss(encoder, chooses, measures, strength):
    """- log p(y|x) per observation, one by one."""
    n_y = chooses.shape[1]
    prior = (chooses.sum(axis=0) + 1) / (chooses.sum() + n_y)
    total = 0.0
    for x, y in np.argwhere(measures > 0):
        table = [
            [encoder[:, t] @ chooses[:, j] + strength * n_y * prior[j] for j in range(n_y)] for t in range(encoder.shape[1])
        ]
        total -= measures[x, y] * np.log(sum(encoder[x, t] * row[y] / sum(row) for t, row in enumerate(table)))
    return total / measures.sum()


@pytest.mark.parametrize(("kind", "beta"), [("ib", 5.0), ("ib", 40.0), ("dualib", 3.0)])
def test_one_direction_is_that_of_the_twin(kind, beta):
    chooses, measures = halves(1, n_x=12, total=60)  # some x have no counts in a half
    assert (chooses.sum(axis=1) == 0).any()
    distortion = dualib.IB() if kind == "ib" else dualib.DualIB()
    found = module._direction(chooses, measures, np.array([0.4]), distortion, [beta], 0.0, 1e-9)
    encoder = twin_encoder(chooses, kind, beta)
    assert found.relevance[0] == pytest.approx(twin_relevance(encoder, measures), abs=1e-6)
    assert found.loss[0] == pytest.approx(twin_loss(encoder, chooses, measures, 0.4), abs=1e-6)
    assert found.gap <= 1e-9
    strengths = np.array([0.01, 0.1, 1.0, 10.0])
    chosen, gap = module._strengths(chooses, measures, strengths, distortion, [beta], 0.0, 1e-9)
    assert chosen[0] == min(strengths, key=lambda strength: twin_loss(encoder, chooses, measures, strength))
    assert gap <= 1e-9


def test_a_direction_does_not_depend_on_the_order_of_x_and_y():
    chooses, measures = halves(2)
    rows, columns = np.random.default_rng(0).permutation(24), np.array([2, 0, 3, 1])
    rules = (np.array([0.1, 1.0]), dualib.IB(), [4.0, 9.0], 0.0, 1e-9)
    own = module._direction(chooses, measures, *rules)
    other = module._direction(chooses[rows][:, columns], measures[rows][:, columns], *rules)
    assert other.relevance == pytest.approx(own.relevance, abs=1e-6)
    assert other.loss == pytest.approx(own.loss, abs=1e-6)


def test_a_split_is_two_halves_of_the_observations(monkeypatch):
    """Every observation once, each half chooses and measures; means over directions and splits, standard error over splits."""
    _, counts = clustered(3, total=601)
    given, validated = [], []

    def strengths(kept, held_out, *rules):
        validated.append((kept, held_out))
        return np.ones(1), 0.0

    def direction(chooses, measures, *rules):
        given.append((chooses, measures))
        return module.Measured(np.full(1, chooses[0, 0]), np.full(1, measures[1, 1]), np.ones(1), 0.0)

    monkeypatch.setattr(module, "_strengths", strengths)
    monkeypatch.setattr(module, "_direction", direction)
    result = dualib.cross_fit(counts, betas=[4.0], n_splits=6, n_shuffles=0)
    assert len(given) == 12
    for (one, two), (three, four) in zip(given[::2], given[1::2], strict=True):
        assert (one + two).tolist() == counts.tolist()
        assert (one.sum(), two.sum()) == (300, 301)
        assert (three.tolist(), four.tolist()) == (two.tolist(), one.tolist())
    assert len({one.tobytes() for one, _ in given[::2]}) == 6
    for (kept, held_out), (chooses, _) in zip(validated, given, strict=True):
        assert (kept + held_out).tolist() == chooses.tolist()  # nothing of the half that measures
        assert held_out.sum() == 75
    values = np.array([(one[0, 0] + three[0, 0]) / 2 for (one, _), (three, _) in zip(given[::2], given[1::2], strict=True)])
    assert result.cross_fitted_relevance[0] == pytest.approx(values.mean(), rel=1e-14)
    assert result.cross_fitted_se[0] == pytest.approx(values.std(ddof=1) / np.sqrt(6), rel=1e-14)
    losses = np.array([(two[1, 1] + four[1, 1]) / 2 for (_, two), (_, four) in zip(given[::2], given[1::2], strict=True)])
    assert result.log_loss[0] == pytest.approx(losses.mean(), rel=1e-14)
    assert result.log_loss_se[0] == pytest.approx(losses.std(ddof=1) / np.sqrt(6), rel=1e-14)


# ---------------------------------------------------------------------------------------------------------------------- the truth


def test_cross_fitted_relevance_is_near_the_truth_where_the_plug_in_is_not():
    """120 x 8 counts, 6 true clusters, N = 3000: at large beta the plug-in keeps .13 nats of noise, the cross-fitted value none."""
    p, counts = clustered(1, 120, 8, 6, 3000)
    result = dualib.cross_fit(counts, betas=[6.2, 60.0], n_splits=3, n_shuffles=0)
    of_encoder = [mutual_information(solution.encoder.T @ p) for solution in result.solutions]
    true, plug_in = mutual_information(p), mutual_information(counts / counts.sum())
    assert (true, plug_in) == pytest.approx((0.2988, 0.4317), abs=1e-4)
    assert result.relevance[1] - of_encoder[1] > 0.12
    assert result.cross_fitted_relevance[1] == pytest.approx(true, abs=0.015)
    assert result.relevance[0] > of_encoder[0] > result.cross_fitted_relevance[0]  # half of the data chose it
    assert result.cross_fitted_relevance[0] == pytest.approx(of_encoder[0], abs=0.04)
    assert (result.cross_fitted_se > 0.0).all()
    assert (result.cross_fitted_se < 0.01).all()
    assert result.best_beta == 6.2  # prediction pays for every cluster
    assert result.best.n_clusters <= 6
    assert result.best.gap <= 1e-9
    assert result.solutions[1].n_clusters > 60


def test_where_x_tells_nothing_of_y():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(800, np.outer(rng.dirichlet(np.ones(20)), rng.dirichlet(np.ones(5))).ravel()).reshape(20, 5)
    result = dualib.cross_fit(counts, betas=[5.0, 20.0, 80.0], n_splits=4, n_shuffles=8)
    assert result.relevance[2] > 0.03
    assert (np.abs(result.cross_fitted_relevance) < 0.02).all()
    assert result.onset_p_value > 0.2
    assert result.best_beta == 5.0


def test_a_real_onset_is_below_those_of_shuffled_tables():
    _, counts = clustered(4, total=2000)
    result = dualib.cross_fit(counts, betas=[3.0], n_splits=2, n_shuffles=9, smoothing=0.3)
    assert len(result.null_onsets) == 9
    assert result.onset == dualib.onset(dualib.JointDistribution.from_counts(counts))
    assert result.onset < result.null_onsets.min()
    assert result.onset_p_value == 0.1


def test_a_shuffled_table_has_the_margins_of_the_counts(monkeypatch):
    _, counts = clustered(4, total=2000)
    counts[3] = 0.0
    joints = []
    monkeypatch.setattr(module, "onset_of", lambda problem, rng: joints.append(problem.joint) or 1.0)
    assert [module._null_onset(counts, dualib.IB(), 0.0, 5, shuffle) for shuffle in (0, 1)] == [1.0, 1.0]
    for joint in joints:
        assert joint.px == pytest.approx(counts.sum(axis=1) / counts.sum(), abs=1e-15)
        assert joint.py == pytest.approx(counts.sum(axis=0) / counts.sum(), abs=1e-15)
        assert joint.mutual_information < 0.5 * mutual_information(counts / counts.sum())
    assert joints[0] != joints[1]


def test_rows_and_columns_without_counts_are_no_trouble():
    _, counts = clustered(12, n_x=8, total=200)
    padded = np.pad(counts, ((1, 2), (0, 1)))
    result = dualib.cross_fit(padded, betas=[2.0, 8.0], n_splits=2, n_shuffles=1, smoothing=0.1)
    assert np.isfinite(result.log_loss).all()
    assert result.best.n_x == 11
    assert result.relevance == pytest.approx(
        dualib.cross_fit(counts, betas=[2.0, 8.0], n_splits=2, n_shuffles=0, smoothing=0.1).relevance, abs=1e-3
    )


# --------------------------------------------------------------------------------------------------------------------- the result


def test_columns_and_values_of_the_result():
    pandas = pytest.importorskip("pandas")
    _, counts = clustered(5)
    frame = pandas.DataFrame(counts.astype(int), index=[f"w{i}" for i in range(24)], columns=list("abcd"))
    result = dualib.cross_fit(frame, "ib", [9.0, 3.0, 5.0], n_splits=3, n_shuffles=2, smoothing=0.3)
    table = result.to_dataframe()
    assert list(table.columns) == COLUMNS
    assert table["beta"].tolist() == [3.0, 5.0, 9.0]
    assert len(table.dropna()) == 3
    assert result.best.joint.x_labels[:2] == ("w0", "w1")
    assert result.best.joint.y_labels == ("a", "b", "c", "d")
    assert result.best_beta == table["beta"][table["log_loss"].idxmin()]
    joint = dualib.JointDistribution.from_counts(counts)
    for row, solution in zip(table.itertuples(), dualib.anneal(joint, betas=[3.0, 5.0, 9.0], events=False), strict=True):
        assert (row.rate, row.relevance) == pytest.approx((solution.rate, solution.relevance), abs=5e-3)
        assert row.n_clusters == solution.n_clusters
    assert result.curve.beta.tolist() == [3.0, 5.0, 9.0]
    assert result.relevance == pytest.approx(result.curve.relevance, abs=1e-12)
    text = repr(result)
    assert "600 observations, 3 splits" in text
    assert text.count("+-") == 6
    assert "<- best" in text


def test_one_split_has_no_standard_error():
    pytest.importorskip("pandas")
    _, counts = clustered(6)
    result = dualib.cross_fit(counts, betas=[4.0], n_splits=1, n_shuffles=0, smoothing=0.3)
    assert (result.cross_fitted_se, result.log_loss_se, result.onset_p_value) == (None, None, None)
    assert result.to_dataframe()[["cross_fitted_se", "log_loss_se"]].iloc[0].tolist() == [None, None]
    assert "+-" not in repr(result)
    assert "one split: no standard error" in repr(result)


def test_whatever_holds_the_counts_gives_the_same():
    _, counts = clustered(7, n_x=10, total=200)
    labels = {"x_labels": tuple(f"x{i}" for i in range(10)), "y_labels": None}
    forms = [counts, counts.astype(int).tolist(), sparse.csr_array(counts), dualib.CountTable(counts, **labels)]
    results = [
        dualib.cross_fit(form, betas=[4.0, 8.0], n_splits=2, n_shuffles=1, smoothing=0.3, random_state=3) for form in forms
    ]
    for result in results[1:]:
        assert result.relevance_of_splits.tolist() == results[0].relevance_of_splits.tolist()
        assert result.null_onsets.tolist() == results[0].null_onsets.tolist()
    assert results[3].best.joint.x_labels[0] == "x0"
    other = dualib.cross_fit(counts, betas=[4.0, 8.0], n_splits=2, n_shuffles=1, smoothing=0.3, random_state=4)
    assert other.relevance_of_splits.tolist() != results[0].relevance_of_splits.tolist()


def test_any_number_of_workers_gives_the_same():
    joblib = pytest.importorskip("joblib")
    _, counts = clustered(7, n_x=10, total=200)
    alone = dualib.cross_fit(counts, betas=[4.0], n_splits=2, n_shuffles=2, smoothing=0.3)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        shared = dualib.cross_fit(counts, betas=[4.0], n_splits=2, n_shuffles=2, smoothing=0.3)
    assert shared.log_loss_of_splits.tolist() == alone.log_loss_of_splits.tolist()
    assert shared.null_onsets.tolist() == alone.null_onsets.tolist()


def test_the_grid_of_its_own_reaches_from_below_the_onset_to_saturation():
    _, counts = clustered(8, n_x=10, total=300)
    calls = []
    result = dualib.cross_fit(counts, n_splits=2, n_shuffles=1, smoothing=0.3, progress=lambda *step: calls.append(step))
    assert len(result.beta) == 12
    assert result.beta[0] < result.onset < result.beta[-1]
    assert result.relevance[-1] > 0.95 * mutual_information(counts / counts.sum())
    assert calls[-1][0] == calls[-1][1] >= 12 + 2 + 1


def test_the_dual_ib_with_a_smoothed_table():
    p, counts = clustered(9, total=1500)
    result = dualib.cross_fit(counts, "dualib", [3.0, 12.0], 2, 0.3, n_shuffles=1, table_smoothing=0.5)
    joint = dualib.JointDistribution.from_counts(counts, smoothing=0.5)
    assert result.best.joint == joint
    assert result.solutions[1].relevance == pytest.approx(dualib.solve(joint, 12.0, "dualib").relevance, abs=5e-3)
    assert 0.3 * mutual_information(p) < result.cross_fitted_relevance[1] < 1.1 * mutual_information(p)
    assert result.relevance[1] == pytest.approx(mutual_information(result.solutions[1].encoder.T @ counts / 1500), abs=1e-12)


def test_a_given_family_is_measured_on_the_counts():
    """Its encoder depends on the counts through p(x) alone: what is chosen on a half is not fitted to it."""
    rng = np.random.default_rng(0)
    family = dualib.ExponentialFamily(rng.normal(size=(15, 2)), rng.normal(size=(2, 4)))
    p = family.joint().pxy
    counts = rng.multinomial(5000, p.ravel()).reshape(p.shape)
    result = dualib.cross_fit(counts, family, betas=[10.0], n_splits=2, smoothing=0.3)
    assert len(result.null_onsets) == 0
    of_encoder = mutual_information(result.solutions[0].encoder.T @ p)
    assert result.cross_fitted_relevance[0] == pytest.approx(of_encoder, abs=0.02)


def test_smoothing_that_is_given_is_used_and_none_may_lose_all():
    _, counts = clustered(10, total=100)
    result = dualib.cross_fit(counts, betas=[3.0, 30.0], n_splits=2, n_shuffles=0, smoothing=0.7)
    assert (result.smoothing_of_splits == 0.7).all()
    bare = dualib.cross_fit(counts, betas=[1.0, 30.0], n_splits=2, n_shuffles=0, smoothing=0)
    assert bare.log_loss[1] == np.inf == bare.log_loss_se[1]
    assert bare.best_beta == 1.0
    assert "inf" in repr(bare)


def test_the_picture():
    _, counts = clustered(11, n_x=10, total=300)
    result = dualib.cross_fit(counts, betas=[2.0, 6.0, 20.0], n_splits=2, n_shuffles=3, smoothing=0.3)
    axes = result.plot()
    assert [ax.get_ylabel() for ax in axes] == ["relevance  I(T;Y)  [nats]", "held-out log loss  [nats per observation]"]
    labels = axes[0].get_legend_handles_labels()[1]
    assert {"in the sample (plug-in)", "cross-fitted", "onsets with y shuffled"} <= set(labels)
    assert ("onset" in labels) == (2.0 <= result.onset <= 20.0)
    drawn = axes[0].lines[1].get_ydata()
    assert drawn.tolist() == result.relevance.tolist()
    one = dualib.cross_fit(counts, betas=[6.0], n_splits=1, n_shuffles=0, smoothing=0.3)
    one.plot(plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="axes must be two Axes, got 1"):
        result.plot(plt.gca())
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda c: dualib.cross_fit(c + 0.5), ValueError, r"^counts must be whole numbers, .* got \d+\.5"),
        (lambda c: dualib.cross_fit(sparse.eye(4000, format="csr")), ValueError, "^counts: cross_fit needs the dense form"),
        (lambda c: dualib.cross_fit(np.eye(2)), ValueError, "^counts must hold at least 4 observations, .* got 2 in 2"),
        (lambda c: dualib.cross_fit([[9, 0], [0, 0]]), ValueError, "^counts must hold at least 4 .* got 9 in 1"),
        (lambda c: dualib.cross_fit(dualib.datasets.toy()), TypeError, "^counts must be a table of counts, got a Joint"),
        (lambda c: dualib.cross_fit(c, "bi"), ValueError, "^distortion must be 'ib', 'dualib' or a Distortion, got 'bi'"),
        (lambda c: dualib.cross_fit(c, "ib", [0.0]), ValueError, "^betas must be finite and > 0, got 0.0"),
        (lambda c: dualib.cross_fit(c, n_splits=0), ValueError, "^n_splits must be an integer of at least 1, got 0"),
        (lambda c: dualib.cross_fit(c, n_shuffles=-1), ValueError, "^n_shuffles must be an integer of at least 0"),
        (lambda c: dualib.cross_fit(c, smoothing=-1.0), ValueError, "^smoothing must be finite and >= 0, got -1.0"),
        (lambda c: dualib.cross_fit(c, table_smoothing="a"), TypeError, "^table_smoothing must be a number >= 0, got 'a'"),
        (lambda c: dualib.cross_fit(c, tol=0.0), ValueError, "^tol must be a positive number"),
        (
            lambda c: dualib.cross_fit(c, dualib.ExponentialFamily(np.eye(3), np.eye(3))),
            ValueError,
            "^counts must have the shape of the family",
        ),
    ],
)
def test_bad_input(call, error, words):
    with pytest.raises(error, match=words):
        call(clustered(0)[1])
