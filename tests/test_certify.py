"""The certificate: random problems, degenerate ones, closed forms at the bifurcation, anybody's encoder."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

import dualib
import dualib.solving.certificate
from dualib import JointDistribution, closed_forms, datasets
from dualib.distortions.named import as_distortion
from dualib.engine.batch import nearest_other
from dualib.engine.initial import of_atoms, of_encoder, one_cluster
from dualib.engine.judge import judge
from dualib.engine.optimum import judged_state
from dualib.engine.problem import Problem
from dualib.engine.proof import prove
from dualib.engine.search import Found, at_rest, price
from dualib.engine.starts import Points
from dualib.engine.sweep import Sweep

KINDS = ("ib", "dualib")


def load_benchmark(name):
    """A module of benchmarks/, which is no package."""
    path = Path(__file__).parents[1] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


random_problem = load_benchmark("problems").random_problem


def gradient_function(kind, joint, solution, points):
    """Log c at points of the simplex (m, n_y), written out from the definition; p(y|x) > 0."""

    def log_terms(decoders):
        r, p = decoders[:, None, :], joint.py_x[None, :, :]
        first, second = (p, r) if kind == "ib" else (r, p)
        return -solution.beta * np.sum(first * np.log(first / second), axis=2)

    log_z = np.log(solution.weights @ np.exp(log_terms(solution.decoder)))
    return np.log(np.exp(log_terms(points) - log_z) @ joint.px)


@pytest.mark.parametrize("number", range(60))
def test_random_problems_are_certified(number):
    """A slice of benchmarks/certify.py: gap <= 1e-9, and no random point of the simplex has c above it."""
    case = random_problem(number)
    solution = dualib.solve(case.joint, case.beta, case.kind)
    assert solution.converged, str(case)
    assert solution.gap <= 1e-9, str(case)
    assert (solution.certificate == "rigorous") == (case.joint.n_y <= 4)
    rng = np.random.default_rng(number)
    points = np.concatenate([rng.dirichlet(np.ones(case.joint.n_y), 200), case.joint.py_x])
    points = 0.999 * points + 0.001 / case.joint.n_y
    assert gradient_function(case.kind, case.joint, solution, points).max() <= solution.gap + 1e-12
    assert_no_spare_atoms(case.joint, solution)


def assert_no_spare_atoms(joint, solution):
    """No cluster without weight, none twice, no more than distinct sources."""
    assert solution.weights.min() > 1e-13
    problem = Problem(joint, solution.distortion)
    batch = of_atoms(problem, [solution.beta], solution.weights, solution.means, solution.decoder)
    assert nearest_other(batch, Sweep(problem, batch).V)[0].min() > 1e-9
    assert solution.n_clusters <= problem.n


def ring(n=24):
    """Conditionals that turn into each other: a continuous symmetry, nearly, and nearly singular optima."""
    angle = 2 * np.pi * np.arange(n) / n
    rows = np.exp(2.0 * np.cos(angle[:, None] - angle[None, :]))
    return JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True))


def with_zeros():
    rng = np.random.default_rng(4)
    rows = rng.dirichlet(np.ones(6), 15) * (rng.random((15, 6)) < 0.5)
    rows[rows.sum(axis=1) == 0.0, 0] = 1.0
    return JointDistribution.from_conditionals(rows / rows.sum(axis=1, keepdims=True))


def identical_rows():
    return JointDistribution.from_conditionals(np.tile([0.2, 0.3, 0.5], (6, 1)))


DEGENERATE = {
    "zeros": with_zeros,
    "identical rows": identical_rows,
    "deterministic": lambda: datasets.deterministic([0, 0, 1, 2, 2, 2]),
    "one x": lambda: JointDistribution([[0.1, 0.2, 0.7]]),
    "one y": lambda: JointDistribution([[0.1], [0.2], [0.7]]),
    "permutation": lambda: JointDistribution.from_conditionals(np.eye(6)[[3, 1, 5, 0, 2, 4]]),
}


@pytest.mark.parametrize("beta", [0.5, 1.0, 1.7, 6.0, 80.0])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_problems_are_certified(name, kind, beta):
    joint = DEGENERATE[name]()
    solution = dualib.solve(joint, beta, kind)
    assert solution.converged
    assert solution.gap <= 1e-9
    assert_no_spare_atoms(joint, solution)
    if name in ("identical rows", "one x", "one y"):
        assert solution.n_clusters == 1
        assert solution.objective == pytest.approx(0.0, abs=1e-12)
    if name in ("permutation", "deterministic"):
        entropy = np.log(6) if name == "permutation" else -np.sum(joint.py * np.log(joint.py))
        assert solution.objective == pytest.approx(closed_forms.deterministic(entropy, beta, kind).objective, abs=1e-10)


@pytest.mark.parametrize("ratio", [0.9, 1.0001, 1.1, 2.0, 8.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_ring_of_smooth_conditionals(kind, ratio):
    joint = ring()
    solution = dualib.solve(joint, ratio * dualib.onset(joint, kind), kind)
    assert solution.gap <= 1e-9
    assert solution.residual <= 1e-9
    assert (solution.n_clusters == 1) == (ratio < 1.0)
    angle = 2 * np.pi * np.arange(24) / 24
    turned = JointDistribution.from_conditionals(np.roll(joint.py_x, 5, axis=0))
    again = dualib.solve(turned, solution.beta, kind)
    assert again.objective == pytest.approx(solution.objective, abs=1e-9)
    assert abs(np.sum(solution.weights @ solution.decoder * np.cos(angle))) < 1e-2  # p(y) stays nearly even


@pytest.mark.parametrize("beta", [2.0, 4.0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_gaussian_on_a_hundred_points(kind, beta):
    """The objective of the grid tends to the closed form; the optimum is a continuum of decoders, so the gap may be 1e-7."""
    joint = datasets.gaussian(100, 0.8)
    solution = dualib.solve(joint, beta, kind, tol=1e-7)
    assert solution.gap <= 1e-7
    assert solution.converged
    assert solution.objective == pytest.approx(closed_forms.gaussian_ib(0.8, beta, kind).objective, abs=2e-3)


@pytest.mark.parametrize(("ratio", "least", "most"), [(1.02, 2, 10), (1.08, 8, 20), (1.15, 15, 30)])
def test_colours_have_few_names_near_the_onset(ratio, least, most):
    """330 colours, whose clusters overlap so far that their places hardly matter."""
    joint = datasets.colour_solid().joint
    solution = dualib.solve(joint, ratio * 1.0210838208414306, tol=1e-6)  # times `dualib.onset(joint)`
    assert solution.converged and solution.gap <= 1e-6 and solution.certificate == "multistart"
    assert least <= solution.n_clusters <= most  # not one for every colour that a rough start has


def test_a_flat_valley_is_left_at_the_default_tolerance():
    """There a descent by conjugate gradients creeps along with a residual of 1e-9; the damped steps after it end."""
    solution = dualib.solve(datasets.gaussian(100, 0.8), 7.0, "dualib")  # a ConvergenceWarning is an error
    assert solution.converged and solution.residual <= 1e-9 and solution.gap <= 1e-9


@pytest.mark.parametrize("e", [0.05, 0.1, 0.25, 0.4])
@pytest.mark.parametrize("ratio", [1 - 1e-4, 1 + 1e-4])
@pytest.mark.parametrize("kind", KINDS)
def test_binary_symmetric_channel_beside_its_bifurcation(kind, ratio, e):
    """Where plain sweeps need some 1e5 steps: at most 50, and the closed form to 1e-9."""
    beta = ratio * closed_forms.binary_symmetric_onset(e, kind)
    solution = dualib.solve(datasets.binary_symmetric(e), beta, kind)
    exact = closed_forms.binary_symmetric(e, beta, kind)
    assert solution.n_iter <= 50
    assert solution.objective == pytest.approx(exact.objective, abs=1e-9)
    assert solution.rate == pytest.approx(exact.rate, abs=1e-9)
    assert solution.relevance == pytest.approx(exact.relevance, abs=1e-9)
    assert solution.gap <= 1e-9
    assert solution.rho < 1.0
    assert solution.error_bound == pytest.approx(solution.residual / (1.0 - solution.rho), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_bound_holds_near_a_bifurcation(kind):
    """A fixed point left early by a loose tolerance is within the error bound of the exact one."""
    e = 0.1
    beta = 1.01 * closed_forms.binary_symmetric_onset(e, kind)
    joint = datasets.binary_symmetric(e)
    exact = dualib.solve(joint, beta, kind)
    rough = dualib.solve(joint, beta, kind, init=exact.encoder * 0.999 + 0.0005, certify=False, tol=1e-2)
    assert rough.residual > 1e-9
    order = np.argsort(exact.decoder[:, 0]), np.argsort(rough.decoder[:, 0])
    moved = rough.decoder[order[1]] - exact.decoder[order[0]]
    natural = np.sqrt(beta * np.sum(moved**2 / exact.decoder[order[0]], axis=1)).max()
    assert natural <= 2.0 * rough.error_bound


@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_states_what_it_costs_beside_the_optimum_without_it(kind):
    case = random_problem(11 if kind == "dualib" else 10)
    full = dualib.solve(case.joint, 12.0, kind)
    costs = []
    for k in (1, 2, 4):
        capped = dualib.solve(case.joint, 12.0, kind, n_clusters=k, random_state=0)
        assert capped.n_clusters <= k
        assert capped.status is dualib.Status.CAPPED
        assert capped.cap_cost == pytest.approx(capped.objective - full.objective, abs=2e-9)
        assert dualib.certify(case.joint, capped.encoder, 12.0, kind).gap == pytest.approx(capped.cap_cost, abs=2e-9)
        assert capped.gap <= capped.cap_cost + 2e-9
        costs.append(capped.cap_cost)
    assert costs[0] > costs[1] > costs[2] > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_k_means_clustering_is_judged(kind):
    """Its objective from the definitions, its gap from it to the optimum, and a witness where another cluster would help."""
    joint = datasets.load_letters(smoothing=0.5)
    beta = 5.0
    best = dualib.solve(joint, beta, kind)
    _, labels = kmeans2(joint.py_x, best.n_clusters, minit="++", seed=1)
    encoder = np.eye(best.n_clusters)[labels]
    judged = dualib.certify(joint, encoder, beta, kind)
    weights = joint.px @ encoder
    members = (joint.px[:, None] * encoder / weights).T
    decoder = members @ joint.py_x if kind == "ib" else np.exp(members @ np.log(joint.py_x))
    decoder /= decoder.sum(axis=1, keepdims=True)
    p, r = joint.py_x, decoder[labels]
    first, second = (p, r) if kind == "ib" else (r, p)
    objective = joint.px @ (-np.log(weights[labels]) + beta * np.sum(first * np.log(first / second), axis=1))
    assert judged.objective == pytest.approx(objective, abs=1e-11)
    assert judged.gap == pytest.approx(objective - best.objective, abs=2e-9)
    assert judged.gap > 0.01
    assert judged.lower_bound <= best.objective + 1e-12
    assert judged.kind == "multistart"
    assert judged.residual > 1e-3
    assert judged.witness.sum() == pytest.approx(1.0)


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


# ---------------------------------------------------------------------------------------- what mutation testing found untested


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
