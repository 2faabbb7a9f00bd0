"""The generalised bottleneck H(T) - alpha H(T|X) + beta E d: against exhaustive search, naive sweeps, neighbours and bounds."""

import itertools

import baseline
import naive
import numpy as np
import pytest
from partitions import hard_objective, least_of_all, partitions, with_zeros
from scipy import sparse

import dualib
from dualib import JointDistribution, Status
from dualib.cli.main import main
from dualib.engine import choice

KINDS = ["ib", "dualib", dualib.Bregman.squared_euclidean(), dualib.Alpha(0.5)]


def table(seed, n_x=6, n_y=4):
    rng = np.random.default_rng(seed)
    return JointDistribution.from_conditionals(rng.dirichlet(np.full(n_y, 0.8), n_x), rng.dirichlet(np.full(n_x, 3.0)))


def naive_objective(joint, kind, beta, alpha, encoder, decoder):
    """By the definitions, entry by entry, at the decoder given."""
    total = 0.0
    weights = joint.px @ encoder
    for w in weights:
        total -= w * np.log(w) if w > 0.0 else 0.0
    for x, p in enumerate(joint.px):
        for t, share in enumerate(encoder[x]):
            if share > 0.0:
                d = naive.kl(joint.py_x[x], decoder[t]) if kind == "ib" else naive.kl(decoder[t], joint.py_x[x])
                total += p * share * (alpha * np.log(share) + beta * d)
    return total


# --- alpha = 0 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(("beta", "n_clusters"), [(3.0, None), (12.0, None), (12.0, 3), (60.0, 2)])
def test_at_alpha_0_nothing_is_below_the_hard_clusters_found(kind, beta, n_clusters):
    joint = table(1)
    solution = dualib.solve(joint, beta, kind, alpha=0.0, n_clusters=n_clusters)
    least = least_of_all(kind, joint.px, joint.py_x, beta, n_clusters or joint.n_x)
    assert solution.objective == pytest.approx(least, abs=1e-10)
    assert set(np.unique(solution.encoder)) <= {0.0, 1.0} and solution.alpha == 0.0
    assert solution.lower_bound <= least + 1e-10
    np.testing.assert_array_equal(solution.encode(joint.py_x), solution.encoder)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(3))
def test_zeros_at_alpha_0(kind, seed):
    px, py_x = with_zeros(seed)
    joint = JointDistribution.from_conditionals(py_x, px)
    for beta, k in ((4.0, None), (30.0, 3)):
        solution = dualib.solve(joint, beta, kind, alpha=0.0, n_clusters=k, certify=False)
        assert solution.objective == pytest.approx(least_of_all(kind, px, py_x, beta, k or len(px)), abs=1e-10)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("n_clusters", [None, 2, 4])
def test_two_y_are_exact_and_rigorous_at_any_beta(kind, n_clusters):
    joint = table(2, n_x=9, n_y=2)
    for beta in (2.0, 8.0, 40.0):
        solution = dualib.solve(joint, beta, kind, alpha=0.0, n_clusters=n_clusters)
        least = least_of_all(kind, joint.px, joint.py_x, beta, n_clusters or 9)
        assert solution.objective == pytest.approx(least, rel=1e-12, abs=1e-12)
        assert solution.certificate == "rigorous" and solution.gap < 1e-12 * (1.0 + beta)
        assert solution.cap_cost >= -1e-12
        loose = dualib.solve(joint, beta, kind, alpha=0.0, n_clusters=n_clusters, certify=False)
        assert loose.gap == np.inf and loose.certificate is None and loose.objective == solution.objective


@pytest.mark.parametrize("n_clusters", [None, 2])
def test_columns_that_cannot_move_at_alpha_0(n_clusters):
    rng = np.random.default_rng(3)
    px, matrix = rng.dirichlet(np.full(5, 2.0)), rng.random((5, 4))
    joint = JointDistribution.from_conditionals(np.eye(5), px)

    def objective(columns):
        weights = np.bincount(columns, px, minlength=4)
        weights = weights[weights > 0.0]
        return -np.sum(weights * np.log(weights)) + 4.0 * px @ matrix[np.arange(5), columns]

    choices = map(np.array, itertools.product(range(4), repeat=5))
    least = min(objective(columns) for columns in choices if len(set(columns.tolist())) <= (n_clusters or 4))
    solution = dualib.solve(joint, 4.0, dualib.RateDistortion(matrix), alpha=0.0, n_clusters=n_clusters)
    assert solution.objective == pytest.approx(least, abs=1e-10)
    assert set(np.unique(solution.encoder)) <= {0.0, 1.0}


# --- between ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize(("alpha", "n_clusters"), [(0.9, None), (0.4, None), (0.7, 2)])
def test_a_solution_between_is_stationary_and_its_objective_that_of_the_definitions(kind, alpha, n_clusters):
    joint, beta = table(4), 9.0
    solution = dualib.solve(joint, beta, kind, alpha=alpha, n_clusters=n_clusters)
    assert solution.residual <= 1e-9 and solution.status in (Status.LOCAL, Status.CAPPED)
    d = np.array([[naive.kl(p, r) if kind == "ib" else naive.kl(r, p) for r in solution.decoder] for p in joint.py_x])
    terms = (np.log(solution.weights) - beta * d) / alpha
    encoder = np.exp(terms - terms.max(axis=1, keepdims=True))
    np.testing.assert_allclose(encoder / encoder.sum(axis=1, keepdims=True), solution.encoder, atol=1e-7)
    np.testing.assert_allclose(solution.encode(joint.py_x), solution.encoder, atol=1e-7)
    own = naive_objective(joint, kind, beta, alpha, solution.encoder, solution.decoder)
    assert solution.objective == pytest.approx(own, abs=1e-12)
    assert solution.complexity + beta * solution.expected_distortion == pytest.approx(own, abs=1e-12)
    assert np.isfinite(solution.stability).all() and solution.rho == np.inf


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize(("beta", "k"), [(5.0, 3), (60.0, 4)])
def test_nothing_is_above_the_baseline(alpha, beta, k):
    rng = np.random.default_rng(5)
    joint = JointDistribution.from_counts(rng.poisson(rng.gamma(0.5, 2.0, (24, 12))) + np.eye(24, 12))
    solution = dualib.solve(joint, beta, n_clusters=k, alpha=alpha, certify=False)
    assert solution.objective <= baseline.solve(joint.px, joint.py_x, beta, k, seeds=range(3), alpha=alpha) + 1e-9


def test_alpha_1_is_the_call_without_alpha():
    for options in ({}, {"n_clusters": 2}, {"certify": False}):
        one, other = (dualib.solve(table(6), 7.0, **given, **options) for given in ({}, {"alpha": 1.0}))
        np.testing.assert_array_equal(one.encoder, other.encoder)
        assert one.objective == other.objective and one.gap == other.gap and one.alpha == 1.0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_objective_falls_with_alpha_and_with_the_cap(kind):
    joint, encoder, before = table(7, n_x=8), None, np.inf
    for alpha in (0.0, 0.25, 0.5, 0.75, 0.9, 1.0):
        solution = dualib.solve(joint, 15.0, kind, alpha=alpha, n_clusters=3, init=encoder)
        assert solution.objective <= before + 1e-10
        encoder, before = solution.encoder, solution.objective
    encoder, before = None, np.inf
    for k in range(1, 9):
        solution = dualib.solve(joint, 15.0, kind, alpha=0.5, n_clusters=k, init=encoder)
        assert solution.objective <= before + 1e-10 and solution.n_clusters <= k
        encoder, before = solution.encoder, solution.objective


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_lower_bound_is_that_of_alpha_1_and_certify_says_the_same(kind):
    joint = table(8)
    free = dualib.solve(joint, 10.0, kind)
    for alpha in (0.0, 0.6):
        solution = dualib.solve(joint, 10.0, kind, alpha=alpha)
        assert solution.lower_bound == pytest.approx(free.lower_bound, abs=1e-8)
        assert solution.cap_cost == pytest.approx(solution.objective - free.objective, abs=1e-9)
        other = dualib.certify(joint, solution.encoder, 10.0, kind, alpha=alpha)
        assert other.objective == pytest.approx(solution.objective, abs=1e-10)
        assert other.lower_bound == pytest.approx(free.lower_bound, abs=1e-8)


def test_a_sparse_table_and_its_dense_form(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)
    rng = np.random.default_rng(9)
    counts = rng.poisson(0.5, (20, 30)) + np.eye(20, 30)
    joint = JointDistribution.from_counts(sparse.csr_array(counts[:, counts.sum(axis=0) > 0]))
    for alpha in (0.0, 0.5):
        own = dualib.solve(joint, 8.0, alpha=alpha, n_clusters=4)
        dense = dualib.solve(joint.to_dense(), 8.0, alpha=alpha, n_clusters=4)
        assert own.objective == pytest.approx(dense.objective, abs=1e-7)
        assert own.lower_bound <= dense.objective + 1e-9 and own.relevance <= own.relevance_bound


@pytest.mark.parametrize(("alpha", "error"), [(-0.1, ValueError), (1.5, ValueError), (np.nan, ValueError), ("1", TypeError)])
def test_a_bad_alpha_is_named(alpha, error):
    for call in (dualib.solve, lambda joint, beta, **options: dualib.anneal(joint, betas=[beta], **options)):
        with pytest.raises(error, match="alpha must be"):
            call(dualib.datasets.toy(), 4.0, alpha=alpha)
    with pytest.raises(error, match="alpha must be"):
        dualib.certify(dualib.datasets.toy(), [0, 0, 0, 1, 1], 4.0, alpha=alpha)


# --- bounds for so many clusters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("seed", range(4))
def test_no_clustering_is_below_the_bound_of_its_number(kind, seed):
    px, py_x = with_zeros(seed, n_x=6, n_y=4)
    joint = JointDistribution.from_conditionals(py_x, px)
    free = dualib.solve(joint, 30.0, kind)
    for k in (2, 3):
        solution = dualib.solve(joint, 30.0, kind, n_clusters=k)
        others = [hard_objective(kind, px, py_x, 30.0, labels) for labels in partitions(6, k)]
        assert solution.lower_bound <= min(others) + 1e-9 and solution.objective <= min(others) + 1e-9
        assert solution.lower_bound >= free.lower_bound - 1e-9  # never worse than the gap to the optimum without the cap
        assert solution.cap_cost == pytest.approx(solution.objective - free.objective, abs=1e-9)
        kept = [naive.mutual_information(np.eye(k)[labels].T @ joint.pxy) for labels in partitions(6, k)]
        assert max(kept) <= solution.relevance_bound + 1e-12


def test_the_bound_is_tight_where_y_is_a_function_of_x_with_so_many_equal_classes():
    joint = JointDistribution(np.kron(np.eye(3), np.ones((4, 1))) / 12.0)
    for alpha in (1.0, 0.0):
        for beta in (2.0, 50.0):
            solution = dualib.solve(joint, beta, n_clusters=3, alpha=alpha)
            assert solution.gap < 1e-9 and solution.relevance == pytest.approx(np.log(3.0), abs=1e-12)
            assert solution.relevance <= solution.relevance_bound
    two = dualib.solve(JointDistribution(np.eye(4) / 4.0), 5.0, n_clusters=2)
    assert two.gap < 1e-9 and two.objective == pytest.approx(np.log(2.0) + 5.0 * np.log(2.0), abs=1e-9)


def test_what_is_known_without_work():
    letters = dualib.datasets.load_letters()
    loose = dualib.solve(letters, 20.0, n_clusters=3, certify=False)
    assert (loose.gap, loose.certificate, loose.cap_cost) == (np.inf, None, None)
    assert loose.relevance_bound == pytest.approx(min(np.log(3.0), letters.mutual_information))
    bound = dualib.quantize(dualib.datasets.toy(), 2)
    assert bound.relevance_bound == pytest.approx(bound.relevance, abs=1e-12)  # found exactly: no two clusters keep more


def test_the_restarts_are_told_the_best_first():
    joint = table(10, n_x=12, n_y=6)
    for alpha in (1.0, 0.5, 0.0):
        solution = dualib.solve(joint, 30.0, alpha=alpha, n_clusters=3, n_restarts=4, certify=False)
        assert len(solution.restarts) == 4 and list(solution.restarts) == sorted(solution.restarts)
        assert solution.restarts[0] == pytest.approx(solution.objective, abs=1e-12)
    hard = dualib.quantize(joint, 3, n_init=5, certify=False)
    assert len(hard.restarts) == 5 and hard.restarts[0] >= hard.objective - 1e-12
    random = dualib.solve(joint, 30.0, init="random", n_restarts=3, certify=False)
    assert len(random.restarts) == 3 and random.restarts[0] == pytest.approx(random.objective, abs=1e-9)
    assert dualib.solve(joint, 30.0).restarts == ()


# --- curves -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind"), [({"n_clusters": 3}, "ib"), ({"alpha": 0.0}, "dualib"), ({"alpha": 0.6, "n_clusters": 3}, "ib")]
)
def test_along_beta_no_distortion_rises_and_no_neighbour_is_better(options, kind):
    joint, betas = table(11, n_x=8), np.geomspace(1.5, 60.0, 7)
    curve = dualib.anneal(joint, kind, betas, **options)
    np.testing.assert_array_equal(curve.beta, betas)
    assert curve.events == () and curve.onset is None and curve.alpha == options.get("alpha", 1.0)
    assert np.diff(curve.expected_distortion).max() <= 1e-9
    for one, other in itertools.permutations(curve, 2):
        assert one.objective <= other.complexity + one.beta * other.expected_distortion + 1e-9
    assert (curve.relevance <= curve.relevance_bound).all()
    if kind == "ib":
        assert np.diff(curve.relevance).min() >= -1e-9
    lower, upper = curve.objective_bounds(curve.beta)
    assert (lower <= curve.objective + 1e-9).all() and np.allclose(upper, curve.objective, atol=1e-9)
    point = curve.at(10.0)
    again = dualib.solve(joint, 10.0, kind, init=point.parts[0][1].encoder, **options)
    assert again.objective <= point.objective + 1e-9 and again.objective >= point.objective - point.error_bound - 1e-9
    with pytest.raises(ValueError, match="rate must be that of a point"):
        curve.at_rate(0.5 * curve.rate[-1])


def test_without_betas_there_is_a_grid_around_the_onset():
    curve = dualib.anneal(dualib.datasets.toy(), alpha=0.0, beta_max=100.0)
    assert len(curve) == 24 and curve.beta[0] < dualib.onset(dualib.datasets.toy()) and curve.beta[-1] == pytest.approx(100.0)
    assert curve.n_clusters[0] == 1 and curve.n_clusters[-1] > 2
    for name, value in (("tol_curve", 0.1), ("checkpoint", "x.npz")):
        with pytest.raises(ValueError, match=f"{name} must be None with n_clusters"):
            dualib.anneal(dualib.datasets.toy(), n_clusters=2, **{name: value})


def test_saved_and_loaded_with_alpha(tmp_path):
    joint = table(12)
    solution = dualib.solve(joint, 8.0, alpha=0.5, n_clusters=3)
    solution.save(tmp_path / "a.npz")
    again = dualib.load(tmp_path / "a.npz")
    for name in ("alpha", "cap_cost", "relevance_bound", "restarts", "objective", "gap", "rho"):
        assert getattr(again, name) == getattr(solution, name)
    assert again.status is Status.CAPPED and len(again.restarts) == 10
    assert {"alpha", "cap_cost", "relevance_bound"} <= set(again.summary())
    assert "alpha=0.5" in repr(again)
    curve = dualib.anneal(joint, betas=[2.0, 9.0], alpha=0.5)
    curve.save(tmp_path / "c.npz")
    assert dualib.load(tmp_path / "c.npz").alpha == 0.5
    with pytest.raises(ValueError, match="share one alpha"):
        dualib.Curve([solution, dualib.solve(joint, 9.0)])


# --- the command line -------------------------------------------------------------------------------------------------


def test_commands_with_alpha_and_a_cap(tmp_path, capsys):
    counts = tmp_path / "counts.csv"
    np.savetxt(counts, np.random.default_rng(0).poisson(6.0, (7, 4)) + 1, fmt="%d", delimiter=",")
    assert main(["solve", str(counts), "--beta", "20", "--n-clusters", "3", "--alpha", "0"]) == 0
    out = capsys.readouterr().out
    assert "alpha = 0" in out and "at most" in out and "3 clusters" in out
    folder = tmp_path / "out"
    arguments = ["--betas", "2,20,200", "--n-clusters", "3", "--alpha", "0.5", "-o", str(folder), "-q"]
    assert main(["anneal", str(counts), *arguments]) == 0
    curve = dualib.load(folder / "ib-curve.npz")
    assert curve.alpha == 0.5 and curve.n_clusters.max() <= 3 and curve.events == ()
    assert main(["anneal", str(counts), "--betas", "2,20,200", "--no-events", "--no-plots", "-o", str(folder), "-q"]) == 0
    assert dualib.load(folder / "ib-curve.npz").alpha == 1.0
    assert main(["solve", str(counts), "--beta", "20", "--alpha", "2"]) == 2
    assert "alpha must be from 0 to 1" in capsys.readouterr().err
