"""Sparse p(y|x) kept sparse: the same optima as of its dense form, and what is refused (its sweeps: tests/engine/test_sparse.py)."""

import tracemalloc
import warnings

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import dualib
from dualib import JointDistribution
from dualib.engine import choice
from dualib.engine.sparse import SparseProblem


def table(seed, n_x=20, n_y=12, density=0.4):
    rng = np.random.default_rng(seed)
    pxy = rng.gamma(1.0, size=(n_x, n_y)) * (rng.random((n_x, n_y)) < density)
    pxy[0, 0] = 1.0
    return pxy / pxy.sum()


def thin(pxy):
    return JointDistribution(sparse.csr_array(pxy))


@pytest.fixture
def always_sparse(monkeypatch):
    monkeypatch.setattr(choice, "DENSE_CELLS", 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("beta", [1.5, 4.0, 15.0])
def test_the_optimum_is_that_of_the_dense_form(seed, beta, always_sparse):
    pxy = table(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        own, dense = dualib.solve(thin(pxy), beta), dualib.solve(JointDistribution(pxy), beta)
    assert own.objective == pytest.approx(dense.objective, abs=1e-9 + own.gap + dense.gap)
    assert own.gap < 1e-7
    assert own.relevance == pytest.approx(dense.relevance, abs=1e-6)
    assert own.encoder.shape == (len(pxy), own.n_clusters)


def test_a_search_that_rises_slowly_beside_a_bifurcation_still_finds_the_optimum(always_sparse):
    pxy = table(8)  # 30 ascent steps leave every c below 1, 4e-7 nats above the optimum
    own, dense = dualib.solve(thin(pxy), 3.0), dualib.solve(JointDistribution(pxy), 3.0)
    assert own.objective == pytest.approx(dense.objective, abs=1e-9)


@pytest.mark.parametrize("seed, beta", [(3, 2.0), (4, 3.0), (7, 2.0)])
def test_surplus_clusters_are_gone_in_the_end(seed, beta, always_sparse):
    own = dualib.solve(thin(table(seed)), beta)  # without their removal it ends unsettled, with a warning
    assert own.status is dualib.Status.CONVERGED and own.residual < 1e-10


def test_a_solution_is_saved_and_encodes(tmp_path, always_sparse):
    pxy = table(2)
    pxy[11] = 0.0
    solution = dualib.solve(thin(pxy / pxy.sum()), 15.0)
    solution.save(tmp_path / "s.npz")
    again = dualib.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(again.encoder, solution.encoder)
    rows = solution.joint.py_x.toarray()
    live = solution.joint.px > 0.0
    np.testing.assert_allclose(solution.encode(rows[live]), solution.encoder[live], atol=1e-9)
    np.testing.assert_allclose(solution.encode(rows[:3]), solution.encoder[:3], atol=1e-9)


def test_only_large_sparse_tables_of_the_ib_stay_sparse():
    large = thin(table(0, 500, 300, 0.05))
    assert isinstance(choice.problem_of(large, dualib.IB()), SparseProblem)
    assert not isinstance(choice.problem_of(thin(table(0)), dualib.IB()), SparseProblem)
    assert not isinstance(choice.problem_of(large, dualib.DualIB()), SparseProblem)


def test_what_cannot_fit_is_refused(monkeypatch):
    from dualib import memory

    joint = thin(table(0, 500, 300, 0.05))
    monkeypatch.setattr(memory, "_ALWAYS_FITS", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    with pytest.raises(MemoryError, match="a sparse problem of 500 x by 300 y with"):
        dualib.solve(joint, 3.0)


@st.composite
def ragged(draw):
    """A sparse table with empty rows and columns, equal rows, and cells over many orders of magnitude; and an encoder for it."""
    n_x, n_y, n_t = draw(st.integers(1, 8)), draw(st.integers(1, 6)), draw(st.integers(1, 10))
    cell = st.sampled_from([0.0, 0.0, 1e-9, 0.3, 1.0, 1.0, 7.0])
    counts = np.array(draw(st.lists(st.lists(cell, min_size=n_y, max_size=n_y), min_size=n_x, max_size=n_x)))
    counts[0, 0] += 1.0
    if n_x > 2 and draw(st.booleans()):
        counts[-1] = 2.0 * counts[0]
    encoder = np.random.default_rng(draw(st.integers(0, 99))).dirichlet(np.ones(n_t), n_x)
    return counts, encoder


@settings(max_examples=30, deadline=None, derandomize=True)
@given(ragged(), st.sampled_from([0.5, 2.0, 6.0]), st.sampled_from([None, 1, 2, 50]))
def test_solutions_are_those_of_the_dense_form_of_any_table(case, beta, n_clusters):
    counts, _ = case
    joint = JointDistribution.from_counts(sparse.csr_array(counts))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        patch.setattr(choice, "DENSE_CELLS", 0)
        own = dualib.solve(joint, beta, n_clusters=n_clusters, max_iter=3000)
        full = dualib.solve(joint.to_dense(), beta)
    # the objective lies within its own gap of the global optimum, or by what the cap costs above that
    above = own.gap if n_clusters is None else own.cap_cost
    assert above is None or own.objective - full.objective <= above + 1e-8
    assert full.objective - own.objective <= full.gap + 1e-8
    if n_clusters in (None, 50):
        assert own.gap <= (1e-9 if own.status is dualib.Status.CONVERGED else 1e-5)
    # its numbers are those of its encoder, by the definitions
    pt = joint.px @ own.encoder
    pairs = joint.px[:, None] * own.encoder
    rate = dualib.information.mutual_information(pairs)
    distances = np.array([[dualib.information.kl_divergence(row, r) for r in own.decoder] for row in joint.to_dense().py_x])
    expected = float(np.sum(pairs[pairs > 0.0] * distances[pairs > 0.0]))
    np.testing.assert_allclose(own.weights, pt, atol=1e-12)
    assert own.rate == pytest.approx(rate, abs=1e-9)
    assert own.expected_distortion == pytest.approx(expected, abs=1e-9)
    assert own.objective == pytest.approx(rate + beta * expected, abs=1e-8)


def random_counts(n_x, n_y, nonzeros):
    rng = np.random.default_rng(0)
    cells = rng.integers(n_x, size=nonzeros), rng.integers(n_y, size=nonzeros)
    return sparse.csr_array((rng.gamma(1.0, size=nonzeros), cells), shape=(n_x, n_y))


def test_peak_memory_is_below_three_times_input_and_encoder():
    counts, n_t = random_counts(20_000, 500, 500_000), 50
    unit = counts.data.nbytes + counts.indices.nbytes + counts.indptr.nbytes + 8 * counts.shape[0] * n_t
    tracemalloc.start()
    try:
        joint = JointDistribution.from_counts(counts)
        made = tracemalloc.get_traced_memory()[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dualib.ConvergenceWarning)  # of 20 sweeps
            dualib.solve(joint, 5.0, n_clusters=n_t, n_restarts=1, max_iter=20, certify=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made < 1.4 * unit
    assert peak < 2.6 * unit  # the counts themselves, made before, are up to 0.43 of the 3


def test_conditionals_share_the_indices_of_the_joint():
    joint = thin(table(0, density=0.9))
    assert np.shares_memory(joint.pxy.indices, joint.py_x.indices)
    assert not joint.py_x.data.flags.writeable


def test_the_fill_of_empty_rows_is_refused_where_it_cannot_fit(monkeypatch):
    from dualib import memory

    monkeypatch.setattr(memory, "_ALWAYS_FITS", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 1000)
    counts = sparse.csr_array((np.ones(50), (np.zeros(50, dtype=int), np.arange(50))), shape=(100, 50))
    with pytest.raises(MemoryError, match="p\\(y\\|x\\) = p\\(y\\) of the x of probability 0: leave them out"):
        JointDistribution.from_counts(counts)


@pytest.mark.parametrize("seed", range(3))
def test_an_encoder_is_improved_and_its_gap_reaches_the_optimum(seed, always_sparse):
    pxy, beta = table(seed), 5.0
    encoder = np.random.default_rng(seed).dirichlet(np.full(6, 0.5), len(pxy))
    joint = JointDistribution(pxy)
    live = joint.px > 0.0
    given = naive.objective_of_encoder("ib", joint.px[live], joint.py_x[live], encoder[live], beta)
    best = dualib.solve(joint, beta).objective
    local = dualib.solve(thin(pxy), beta, init=encoder, certify=False)
    assert local.residual < 1e-10 and best - 1e-9 <= local.objective < given
    assert local.n_clusters <= 6 and local.gap == np.inf and local.status is dualib.Status.NOT_CERTIFIED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        own = dualib.solve(thin(pxy), beta, init=encoder, max_iter=300)
    assert own.objective <= local.objective + 1e-9
    assert own.objective - own.gap - 1e-9 <= best <= own.objective + 1e-9


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"init": "identity"}, "init must be an encoder .*got 'identity'"),
        ({"init": np.ones((19, 1))}, r"init must have one row for each of the 20 x, got shape \(19, 1\)"),
        ({"init": np.ones((20, 2))}, "init"),
        ({"init": np.full((20, 4), 0.25), "n_clusters": 3}, "init must have at most n_clusters = 3 clusters, got 4"),
    ],
)
def test_bad_starts_are_named(options, match, always_sparse):
    with pytest.raises(ValueError, match=match):
        dualib.solve(thin(table(0)), 3.0, **options)


# paths and what is refused


def test_a_path_on_a_sparse_problem_is_as_good_as_separate_dense_solves(always_sparse):
    pxy = table(4)
    betas = [2.0, 3.0, 5.0, 8.0]
    curve = dualib.anneal(thin(pxy), betas=betas, events=False, n_clusters=40)
    assert [solution.beta for solution in curve] == betas
    assert len(curve.events) == 0 and curve.onset is None
    for solution in curve:
        dense = dualib.solve(JointDistribution(pxy), solution.beta)
        assert solution.certificate == "multistart"
        assert solution.objective == pytest.approx(dense.objective, abs=1e-8)
        assert solution.gap < 1e-7


def test_a_path_without_a_cap_is_solved_in_batches_of_betas(always_sparse):
    pxy, betas, seen = table(5), [1.5, 4.0, 2.5], []
    curve = dualib.anneal(
        thin(pxy), betas=betas, events=False, progress=lambda done, total: seen.append((done, total)), direction="up"
    )
    dense = dualib.anneal(JointDistribution(pxy), betas=betas, events=False)
    assert curve.onset == pytest.approx(dense.onset, rel=1e-10) and seen[-1] == (3, 3)
    np.testing.assert_allclose(curve.objective, dense.objective, atol=1e-9)
    np.testing.assert_allclose(curve.relevance, dense.relevance, atol=1e-6)
    assert all(solution.converged and solution.certificate == "multistart" for solution in curve)
    assert all(0.0 < solution.rho < 1.0 and solution.stability.max() < 1.0 for solution in curve)
    assert [event.located for event in curve.events] == [False, False]  # between its points


def test_a_capped_path_says_that_it_is(always_sparse):
    pxy = table(3)
    for direction in ("up", "down"):
        curve = dualib.anneal(thin(pxy), betas=[3.0, 8.0], events=False, n_clusters=2, direction=direction)
        for solution in curve:
            dense = dualib.solve(JointDistribution(pxy), solution.beta, n_clusters=2)
            assert solution.n_clusters <= 2 and solution.status is dualib.Status.CAPPED
            assert solution.objective == pytest.approx(dense.objective, abs=1e-7)
            assert solution.lower_bound <= dense.objective + 1e-9


def test_a_capped_path_is_that_of_the_dense_form(always_sparse):
    joint = JointDistribution(table(0))
    own, dense = (dualib.anneal(one, betas=[3.0, 12.0, 50.0], n_clusters=3) for one in (thin(table(0)), joint))
    np.testing.assert_allclose(own.objective, dense.objective, atol=1e-7)
    assert (own.lower_bound <= dense.objective + 1e-9).all() and (own.relevance <= own.relevance_bound).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda joint: dualib.onset(joint, "dualib"),
        lambda joint: dualib.local_critical_beta(joint, "dualib"),
        lambda joint: dualib.certify(joint, np.ones((joint.n_x, 1)), 2.0, "dualib"),
        lambda joint: dualib.solve_at(joint, "dualib", rate=0.5),
        lambda joint: dualib.solve(joint, 2.0, "dualib"),
        lambda joint: dualib.anneal(joint, "dualib"),
    ],
    ids=["onset", "local_critical_beta", "certify", "solve_at", "dualib", "anneal"],
)
def test_what_needs_the_dense_form_is_refused_before_it_is_made(call):
    joint = JointDistribution.from_counts(random_counts(20_000, 1_000, 300_000))
    tracemalloc.start()
    try:
        # n_x (n_x + 12 n_y) numbers of 8 bytes
        with pytest.raises(
            ValueError, match=r"^joint: .* needs the dense form .* that would take 4.77 GiB of memory at least"
        ):
            call(joint)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


def test_new_sparse_rows_are_encoded_as_dense_ones(always_sparse):
    solution = dualib.solve(thin(table(2)), 15.0)
    rows = solution.joint.py_x[:5]
    np.testing.assert_allclose(solution.encode(rows), solution.encode(rows.toarray()), atol=1e-12)
    np.testing.assert_array_equal(
        solution.encode(rows.tocoo(), assignment="map"), solution.encode(rows.toarray(), assignment="map")
    )
    np.testing.assert_allclose(solution.predict_proba(rows), solution.predict_proba(rows.toarray()), atol=1e-12)
    with pytest.raises(ValueError, match="py_x: row 0 must sum to 1"):
        solution.encode(2.0 * rows)
    with pytest.raises(ValueError, match="py_x must have 12 columns"):
        solution.encode(rows[:, :5])


def test_a_sparse_row_that_no_cluster_can_hold_is_refused(always_sparse):
    solution = dualib.solve(thin(np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])), 3.0)
    np.testing.assert_allclose(solution.encode(sparse.csr_array([[0.0, 1.0, 0.0]])).max(axis=1), 1.0)
    with pytest.raises(ValueError, match="row 1 is infinitely far from every cluster"):
        solution.encode(sparse.csr_array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))


def test_sparse_rows_are_encoded_by_the_solution_of_a_dense_problem():
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 6)
    solution = dualib.solve(JointDistribution.from_conditionals(rows), 6.0, "dualib")
    np.testing.assert_array_equal(solution.encode(sparse.csr_array(rows)), solution.encode(rows))
