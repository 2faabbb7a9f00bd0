"""`certify`: how far anybody's encoder is from the optimum; and what searches and proofs find of it."""

import numpy as np
import pytest
from engine.proofs import prove
from problems import random_problem
from scipy import sparse

import dualib
import dualib.solving.certificate
from dualib import JointDistribution, datasets
from dualib.distortions.named import as_distortion
from dualib.engine.initial import of_encoder, one_cluster
from dualib.engine.judge import judge
from dualib.engine.optimum import judged_state
from dualib.engine.problem import Problem
from dualib.engine.search import Found, at_rest, price
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep

KINDS = ("ib", "dualib")


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_ones_own_solution(kind):
    for number in (2, 7, 13):
        case = random_problem(number)
        solution = dualib.solve(case.joint, 5.0, kind)
        judged = dualib.certify(case.joint, solution.encoder, 5.0, kind)
        assert judged.gap <= 2e-9
        assert judged.objective == pytest.approx(solution.objective, abs=1e-11)
        assert judged.kind == solution.certificate


@pytest.mark.parametrize("number", [7, 29, 137, 422])
def test_an_encoder_that_is_not_stationary_hides_no_maximum(number):
    """The largest c lies beside an atom that is no maximum itself: found by search, by proof, and on a fine grid of two y."""
    case = random_problem(number)
    joint, kind, beta = case.joint, case.kind, case.beta
    assert joint.n_y == 2
    encoder = np.random.default_rng([2, number]).dirichlet(np.ones(2), joint.n_x)
    problem = Problem(joint, as_distortion(kind))
    batch = of_encoder(problem, [beta], encoder, "encoder")
    state = Sweep(problem, batch)
    log_a = np.log(problem.px) - state.log_z[0]
    searched = at_rest(problem, batch, state, price(problem, batch, state), np.ones(1, dtype=bool)).gap[0]
    proved = prove(log_a + beta * problem.a, problem.py_x, beta, kind, tol=1e-10).upper
    assert proved == pytest.approx(searched, abs=1e-9)
    first = np.linspace(0.001, 0.999, 4001)
    r = np.stack([first, 1 - first], axis=1)[:, None, :]
    upper, lower = (joint.py_x, r) if kind == "ib" else (r, joint.py_x)
    d = np.sum(upper * np.log(upper / lower), axis=2)
    on_grid = np.log(np.exp(-beta * (d - problem.a) + log_a - log_a.max()).sum(axis=1)) + log_a.max()
    assert on_grid.max() <= searched + 1e-12
    assert on_grid.max() >= searched - 1e-3


@pytest.mark.parametrize(("number", "seed"), [(187, 0), (273, 1), (69, 2), (171, 2), (71, 5), (312, 5)])
def test_the_optimum_does_not_hang_on_the_seed_of_the_search(number, seed):
    """Problems with a cluster that few starts lead to: each pair of sources, and slow ascents, must be followed to the end."""
    case = random_problem(number, seed)
    objectives = [dualib.solve(case.joint, case.beta, case.kind, random_state=state).objective for state in (None, 1, 2)]
    assert max(objectives) - min(objectives) <= 1e-9


@pytest.mark.parametrize(
    ("number", "seed", "beta", "objective"),
    [
        (37, 31_000, 2.0037504830039636, 3.595612944),
        (203, 20_000, 1.5901209980608275, 3.461469853),
        (749, 31_000, 1.2958759232036485, 2.461662014),
    ],
)
def test_a_cluster_at_some_distance_from_an_atom_is_found(number, seed, beta, objective):
    """Three to six tenths of a natural length from one that need not be nearly unstable; a plain ascent found it."""
    case = random_problem(number, seed)
    solution = dualib.solve(case.joint, beta, case.kind)
    assert solution.objective == pytest.approx(objective, abs=2e-9)
    assert solution.gap <= 1e-9


@pytest.mark.parametrize("last", [[[1, 0, 1, 1, 0], [2, 1, 1, 0, 0]], [[1, 0, 1, 1, 1], [1, 1, 1, 0, 0]]])
def test_a_cell_that_lies_outside_the_simplex_has_no_rounding_of_nats(last):
    """A cell of their flat is below 0 in a y but for 3e-15 of it: its bound was 4.1 nats, "rigorous" (found by hypothesis)."""
    counts = [[0, 0, 0, 0, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0], *last]
    solution = dualib.solve(JointDistribution.from_counts(counts), 3.0)
    assert solution.gap <= 1e-9
    others = [
        dualib.solve(JointDistribution.from_counts(counts), 3.0, init="random", random_state=k, certify=False)
        for k in range(5)
    ]
    assert all(other.objective >= solution.objective - 1e-9 for other in others)


def test_an_encoder_with_a_cluster_that_its_decoder_gives_no_source_to():
    """At a large beta the posterior of such a cluster underflows to 0 for every x (found by hypothesis)."""
    joint = dualib.JointDistribution.from_conditionals(
        [[9.99999987e-01, 1.30061331e-08], [9.04548687e-02, 9.09545131e-01]], [0.40007079, 0.59992921]
    )
    encoder = np.random.default_rng(0).dirichlet(np.ones(3), 2)
    certificate = dualib.certify(joint, encoder, 1e4)
    best = dualib.solve(joint, 1e4)
    assert certificate.objective > best.objective
    assert certificate.lower_bound == pytest.approx(best.objective, abs=1e-8)


def blind(batch):
    """What a search finds that looks at the atoms alone."""
    nothing = Points(batch.means[:0], batch.face[:0], batch.owner[:0])
    return Found(np.zeros(0), nothing, np.zeros(1), Points(batch.means, batch.face, batch.owner), np.zeros(1))


def naive_log_c(joint, beta, kind, log_z, points):
    """Log c at decoders (m, n_y), from its definition; `log_z` with the whole distortion in it."""
    p, s = joint.py_x[None], points[:, None]
    first, second = (p, s) if kind == "ib" else (s, p)
    with np.errstate(all="ignore"):
        d = np.where(first > 0.0, first * np.log(first / second), 0.0).sum(axis=2)
        return np.log(np.exp(-beta * d) @ (joint.px / np.exp(log_z)))


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("joint", [dualib.datasets.toy(), dualib.datasets.erasure(0.3)], ids=["toy", "zeros"])
def test_the_proof_finds_what_the_search_has_missed(joint, kind):
    """Judged with no candidate but the atom itself, the one cluster above the onset: gap and point against a grid."""
    beta = 8.0 if joint.n_y == 2 else 3.0
    problem = Problem(joint, as_distortion(kind))
    batch = one_cluster(problem, [beta])
    if batch is None:
        pytest.skip("one cluster is infeasible")
    state = Sweep(problem, batch)
    whole = np.ones(1, dtype=bool)
    found, kinds = judge(problem, batch, state, blind(batch), 1e-9, prove=whole, search=whole)
    gap, certificate = found.gap[0], kinds[0]
    step = 1.0 / 400.0
    grid = np.array([[a, b] for a in np.arange(0.0, 1.0 + step, step) for b in np.arange(0.0, 1.0 - a + step, step)])
    grid = np.column_stack([grid, np.maximum(0.0, 1.0 - grid.sum(axis=1))]) if joint.n_y == 3 else None
    if grid is None:
        ends = np.linspace(0.0, 1.0, 100_001)
        grid = np.column_stack([ends, 1.0 - ends])
    log_z = state.log_z[0] - beta * problem.a
    values = naive_log_c(joint, beta, kind, log_z[problem.row_of], grid)
    assert values.max() > 1e-3
    assert certificate == "rigorous"
    assert gap == pytest.approx(values.max(), abs=2e-4) and gap >= values.max() - 1e-12
    point = problem.decoder(found.best.means, found.best.face)
    assert naive_log_c(joint, beta, kind, log_z[problem.row_of], point)[0] == pytest.approx(gap, abs=1e-8)


def test_a_search_that_found_the_maximum_is_kept():
    """The proof adds no second copy of a point that the search already has."""
    problem = Problem(dualib.datasets.toy(), dualib.IB())
    batch, whole = one_cluster(problem, [8.0]), np.ones(1, dtype=bool)
    state = Sweep(problem, batch)
    full = at_rest(problem, batch, state, price(problem, batch, state), whole)
    found, kinds = judge(problem, batch, state, full, 1e-9, prove=whole, search=whole)
    assert kinds[0] == "rigorous" and len(found.points.owner) == len(full.points.owner)
    assert full.gap[0] <= found.gap[0] <= full.gap[0] + 1e-9
    below = one_cluster(problem, [1.0])
    assert 0.0 <= judged_state(problem, below, Sweep(problem, below), tol=1e-9, rng=np.random.default_rng(0)).gap[0] < 1e-9


def test_the_witness_is_the_decoder_where_the_encoder_could_be_improved_most():
    joint = dualib.datasets.toy()
    certificate = dualib.certify(joint, np.ones((5, 1)), 8.0)
    problem = Problem(joint, dualib.IB())
    state = Sweep(problem, one_cluster(problem, [8.0]))
    ends = np.linspace(1e-6, 1.0 - 1e-6, 100_001)
    grid = np.column_stack([ends, 1.0 - ends])
    values = naive_log_c(joint, 8.0, "ib", (state.log_z[0] - 8.0 * problem.a)[problem.row_of], grid)
    assert certificate.witness == pytest.approx(grid[values.argmax()], abs=2e-5)


def test_sources_without_probability_have_no_part_in_an_encoders_objective():
    toy = dualib.datasets.toy()
    encoder = np.random.default_rng(1).dirichlet(np.ones(3), 5)
    padded = dualib.JointDistribution(np.concatenate([toy.pxy, np.zeros((1, 2))]))
    first, second = dualib.certify(toy, encoder, 8.0), dualib.certify(padded, np.concatenate([encoder, [[1.0, 0, 0]]]), 8.0)
    assert first.objective == pytest.approx(second.objective, abs=1e-14)
    assert first.lower_bound == pytest.approx(second.lower_bound, abs=1e-9)


def test_what_certify_takes_by_name_only_and_refuses():
    toy = dualib.datasets.toy()
    with pytest.raises(TypeError, match="positional"):
        dualib.certify(toy, np.ones((5, 1)), 8.0, "ib", 1e-9)
    for effort in (np.inf, 0.0, -1.0, np.nan, True, "1"):
        with pytest.raises(ValueError, match="effort must be a positive number"):
            dualib.certify(toy, np.ones((5, 1)), 8.0, effort=effort)


def test_the_bound_of_a_full_solve_counts_its_gap(monkeypatch):
    """Where the encoder's own bound is loose, the lower bound is the optimum's objective less the optimum's gap."""
    toy = dualib.datasets.toy()
    real = dualib.solving.certificate.optimum_from

    def with_a_gap(*arguments, **options):
        return real(*arguments, **options)._replace(gap=np.array([0.01]))

    monkeypatch.setattr("dualib.solving.certificate.optimum_from", with_a_gap)
    best = dualib.solve(toy, 30.0)
    judged = dualib.certify(toy, np.ones((5, 1)), 30.0)
    assert judged.lower_bound == pytest.approx(best.objective - 0.01, abs=1e-8)
    assert judged.gap == pytest.approx(judged.objective - judged.lower_bound)


def test_an_encoder_at_an_infinite_distance_is_refused():
    """The dual IB's decoder of a cluster lies on the common support: there is none here."""
    joint = dualib.JointDistribution(np.eye(3) / 3.0)
    with pytest.raises(ValueError, match=r"encoder|infinite|support"):
        dualib.certify(joint, np.ones((3, 1)), 2.0, "dualib")


def test_a_certificate_prints_what_matters():
    judged = dualib.certify(datasets.toy(), np.ones((5, 1)), 30.0)
    text = repr(judged)
    assert f"{judged.objective:.10g}" in text and f"gap={judged.gap:.1e} nats" in text and judged.kind in text


@pytest.mark.parametrize(("n_y", "kind"), [(4, "rigorous"), (5, "multistart")])
def test_the_bound_of_an_encoder_far_from_stationary_is_as_sure_as_the_full_solve(n_y, kind):
    rng = np.random.default_rng(n_y)
    joint = JointDistribution(rng.dirichlet(np.ones(6 * n_y)).reshape(6, n_y))
    encoder = rng.dirichlet(np.ones(3), 6)
    certificate = dualib.certify(joint, encoder, 6.0)
    solution = dualib.solve(joint, 6.0)
    assert solution.certificate == certificate.kind == kind
    assert certificate.gap > 1e-3
    assert certificate.lower_bound == pytest.approx(solution.lower_bound, abs=2e-9)  # not the loose one of the encoder itself


def test_a_point_that_only_the_proof_finds_joins_the_maxima():
    """A search that has seen nothing but the one cluster, a little past the onset: c is 1 + 0.02 far from it."""
    joint = datasets.toy()
    problem = Problem(joint, as_distortion("ib"))
    batch, whole = one_cluster(problem, [1.1 * dualib.onset(joint)]), np.ones(1, dtype=bool)
    found, kinds = judge(problem, batch, Sweep(problem, batch), blind(batch), 1e-9, prove=whole, search=whole)
    assert 1e-4 < found.gap[0] < 0.2 and kinds[0] == "rigorous"
    assert len(found.points.owner) == 1 and np.abs(found.points.means - batch.means).max() > 1e-2


def test_the_x_of_probability_0_say_nothing_of_an_encoder():
    pxy = np.array([[0.3, 0.1], [0.1, 0.2], [0.0, 0.0], [0.1, 0.2]])
    encoder = np.array([[0.9, 0.1], [0.2, 0.8], [1.0, 0.0], [0.4, 0.6]])
    whole = dualib.certify(JointDistribution(pxy), encoder, 3.0)
    without = dualib.certify(JointDistribution(np.delete(pxy, 2, axis=0)), np.delete(encoder, 2, axis=0), 3.0)
    assert whole.objective == pytest.approx(without.objective, abs=1e-14)
    assert whole.lower_bound == pytest.approx(without.lower_bound, abs=2e-9)


# --- labels in the place of an encoder ------------------------------------------------------------------------------


LETTERS = datasets.load_letters()
LABELS = np.arange(27) % 4


@pytest.mark.parametrize(
    "labels", [LABELS, LABELS.astype(np.uint8) + 3, LABELS.tolist(), 10 * LABELS], ids=["array", "bytes", "list", "gaps"]
)
def test_the_labels_of_a_hard_clustering_are_its_encoder(labels):
    encoder = (LABELS[:, None] == np.arange(4)).astype(float)
    expected, found = (dualib.certify(LETTERS, form, 4.0) for form in (encoder, labels))
    assert (found.objective, found.gap, found.kind) == (expected.objective, expected.gap, expected.kind)
    joint = np.array([LETTERS.pxy[t == LABELS].sum(axis=0) for t in range(4)])
    information = dualib.information.mutual_information(joint)
    entropy = dualib.information.entropy(joint.sum(axis=1))
    assert found.objective == pytest.approx(entropy + 4.0 * (LETTERS.mutual_information - information), abs=1e-12)
    one, other = (dualib.solve(LETTERS, 4.0, init=form, certify=False) for form in (encoder, labels))
    np.testing.assert_array_equal(one.encoder, other.encoder)
    (many,) = dualib.solve_many(LETTERS, [4.0], init=labels, certify=False)
    np.testing.assert_array_equal(many.encoder, one.encoder)


def test_labels_on_a_large_sparse_table_and_of_a_rate_distortion_matrix():
    rng = np.random.default_rng(2)
    table = rng.poisson(0.1, (600, 200)) + np.eye(600, 200)
    table[:, 0] += 1
    joint = JointDistribution.from_counts(sparse.csr_array(table))
    labels = rng.integers(3, size=600)
    solutions = [
        dualib.solve(joint, 5.0, init=form, certify=False, n_clusters=3, n_restarts=1, tol=1e-6)
        for form in (labels, np.eye(3)[labels])
    ]
    np.testing.assert_array_equal(solutions[0].encoder, solutions[1].encoder)
    hamming = dualib.RateDistortion(1.0 - np.eye(3))
    source = JointDistribution.from_counts([[5, 3, 1], [1, 8, 2], [0, 1, 9]])
    found = dualib.certify(source, [0, 2, 2], 2.0, hamming)  # columns 0 and 2 of the three
    px = source.px
    expected = dualib.information.entropy([px[0], px[1] + px[2]]) + 2.0 * px[1]
    assert found.objective == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="encoder must have labels below 3, the columns of the matrix, got 3"):
        dualib.certify(source, [0, 2, 3], 2.0, hamming)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[:5], "must have one label for each of the 27 x, got 5"),
        (LABELS - 1, "must have labels >= 0, got -1 at index 0: give every x a cluster"),
        (
            LABELS * 1.0,
            r"must be p\(t\|x\) of shape \(27, n_t\), or labels, one integer for each x, got float64 of shape \(27,\)",
        ),
    ],
)
def test_bad_labels(labels, match):
    with pytest.raises(ValueError, match=f"^encoder {match}$"):
        dualib.certify(LETTERS, labels, 4.0)
    with pytest.raises(ValueError, match=f"^init {match}$"):
        dualib.solve(LETTERS, 4.0, init=labels)
