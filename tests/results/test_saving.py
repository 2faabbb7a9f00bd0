"""What `save` accepts `load` returns, bit for bit: tables by hypothesis down to the smallest float, every distortion, old files."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import dualib
from dualib import Alpha, Bregman, Curve, DualIB, Event, ExponentialFamily, JointDistribution, RateDistortion, Solution, Status
from dualib.results.storage import load

OLD = Path(__file__).parents[1] / "reference" / "saved"  # written by 0.1.0, before this file was
SMALLEST = 5e-324
RNG = np.random.default_rng(11)
FEATURES = RNG.normal(size=(5, 2))
PARAMETERS = RNG.normal(size=(2, 3))
DISTORTIONS = {
    "ib": dualib.IB(),
    "dualib": DualIB(),
    "alpha": Alpha(0.3),
    "alpha near 0": Alpha(1e-3),
    "bregman": Bregman.squared_euclidean(),
    "rate-distortion": RateDistortion(RNG.random((5, 4))),
    "family": ExponentialFamily(FEATURES, PARAMETERS, RNG.normal(size=3)),
    "sparse family": ExponentialFamily(scipy.sparse.csr_array(np.where(FEATURES > 0.0, FEATURES, 0.0)), PARAMETERS),
}
CELLS = st.one_of(st.just(0.0), st.just(SMALLEST), st.floats(-323.0, 0.0).map(lambda power: 10.0**power))


def bits(array):
    """The bytes of an array, so that -0.0 is not 0.0 and order and type count."""
    if scipy.sparse.issparse(array):
        return [bits(part) for part in (array.data, array.indices.astype(int), array.indptr.astype(int))]
    return array.dtype.str, array.shape, array.tobytes()


def assert_same_joint(found, expected):
    assert found.is_sparse == expected.is_sparse
    assert (found.x_labels, found.y_labels) == (expected.x_labels, expected.y_labels)
    for name in ("pxy", "px", "py", "py_x"):
        assert bits(getattr(found, name)) == bits(getattr(expected, name)), name
    assert found.mutual_information == expected.mutual_information


def assert_same(found, expected):
    """Every field of a solution, to the bit; of its joint and its distortion too."""
    assert type(found) is Solution
    for name in Solution.__dataclass_fields__:
        if name in ("joint", "distortion", "_deferred"):
            continue
        one, other = getattr(found, name), getattr(expected, name)
        assert bits(one) == bits(other) if isinstance(other, np.ndarray) else (one, type(one)) == (other, type(other)), name
    assert type(found.distortion) is type(expected.distortion) and found.distortion == expected.distortion
    assert_same_joint(found.joint, expected.joint)


def returned(result, folder):
    result.save(folder / "s.npz")
    return load(folder / "s.npz")


def labelled_by_hand(joint, rng):
    """A solution that no solver made: what is saved does not depend on how it came about."""
    n_t = int(rng.integers(1, 4))
    encoder, decoder = rng.dirichlet(np.ones(n_t), joint.n_x), rng.dirichlet(np.full(joint.n_y, 0.1), n_t)
    numbers = ("objective", "rate", "relevance", "expected_distortion", "decoder_information", "residual")
    return Solution(
        joint=joint,
        distortion=dualib.IB(),
        beta=float(10.0 ** rng.uniform(-300, 300)),
        encoder=encoder,
        weights=rng.dirichlet(np.full(n_t, 0.1)),
        means=decoder * 1e-310,
        decoder=decoder,
        **{name: float(rng.normal() * 10.0 ** rng.uniform(-320, 300)) for name in numbers},
        gap=float(rng.choice([0.0, SMALLEST, np.inf])),
        certificate=None,
        status=Status.MAX_ITER,
        n_iter=3,
        error_bound=np.inf,
        rho=np.inf,
        stability=np.full(n_t, np.inf),
    )


@st.composite
def joints(draw):
    """Joint distributions from every door, with zeros, equal rows, and cells and p(x) down to the smallest float."""
    n_x, n_y = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    table = np.array(draw(st.lists(CELLS, min_size=n_x * n_y, max_size=n_x * n_y))).reshape(n_x, n_y)
    if n_x > 1 and draw(st.booleans()):
        table[-1] = table[0]
    table[draw(st.integers(0, n_x - 1)), draw(st.integers(0, n_y - 1))] = 1.0
    labels = draw(st.sampled_from([None, [f"x\u00e9,\n{i}" for i in range(n_x)], ["same" + i * " " for i in range(n_x)]]))
    door = draw(st.sampled_from(["pxy", "counts", "sparse", "sparse counts", "conditionals"]))
    if door == "pxy":
        return JointDistribution(table / table.sum(), labels)
    if door == "counts":
        return JointDistribution.from_counts(table, draw(st.sampled_from([0.0, 1e-320, 0.5])), labels)
    if door == "sparse":
        return JointDistribution(scipy.sparse.csr_array(table / table.sum()), labels)
    if door == "sparse counts":
        return JointDistribution.from_counts(scipy.sparse.coo_array(table), 0.0, labels)
    px = np.array(draw(st.lists(CELLS, min_size=n_x, max_size=n_x)))
    px[draw(st.integers(0, n_x - 1))] = 1.0
    table[table.sum(axis=1) == 0.0, 0] = 1.0
    table /= table.max(axis=1, keepdims=True)
    return JointDistribution.from_conditionals(table / table.sum(axis=1, keepdims=True), px / px.sum(), labels)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(joints(), st.integers(0, 2**32 - 1))
def test_any_joint_distribution_comes_back_to_the_bit(tmp_path_factory, joint, seed):
    solution = labelled_by_hand(joint, np.random.default_rng(seed))
    assert_same(returned(solution, tmp_path_factory.getbasetemp()), solution)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(joints(), st.floats(-1.0, 2.0), st.sampled_from(["ib", "dualib"]))
def test_what_solve_makes_of_any_table_comes_back_to_the_bit(tmp_path_factory, joint, power, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.ConvergenceWarning)
        solution = dualib.solve(joint, 10.0**power, kind)
    assert_same(returned(solution, tmp_path_factory.getbasetemp()), solution)


@pytest.mark.parametrize("kind", ["ib", "dualib"])
def test_a_prior_with_a_subnormal_probability(kind, tmp_path):
    """As Blahut-Arimoto leaves them: the conditional of an x of probability 1e-320 is not that of its joint probabilities."""
    joint = JointDistribution.from_conditionals([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], [0.5, 0.5, 1e-320])
    quotient = joint.pxy[2] / joint.pxy[2].sum()
    assert np.abs(quotient - joint.py_x[2]).max() > 1e-5
    curve = dualib.anneal(joint, kind, [1.0, 3.0, 9.0])
    back = returned(curve, tmp_path)
    np.testing.assert_array_equal(back.joint.py_x[2], [0.2, 0.2, 0.6])
    for found, expected in zip(back, curve, strict=True):
        assert_same(found, expected)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_every_distortion_with_a_configuration(name, tmp_path):
    distortion = DISTORTIONS[name]
    joint = distortion.joint() if isinstance(distortion, ExponentialFamily) else DISTORTIONS["family"].joint()
    solution = dualib.solve(joint, 4.0, distortion)
    back = returned(solution, tmp_path)
    assert_same(back, solution)
    if name != "rate-distortion":  # which encodes the x it was given for, and no others
        np.testing.assert_array_equal(back.predict_proba(joint.py_x[::-1]), solution.predict_proba(joint.py_x[::-1]))


def test_the_penalty_of_a_fitted_family_comes_back(tmp_path):
    family = ExponentialFamily.fit([[-1.0], [0.2], [0.6]], [0, 1, 2, 0], [0, 1, 1, 0], l2=0.25)
    back = returned(dualib.solve(family.joint(), 3.0, family), tmp_path)
    assert back.distortion.l2 == 0.25
    assert back.distortion == ExponentialFamily(
        family.features, family.parameters, family.intercept
    )  # as ever, by its numbers


@pytest.mark.parametrize("penalty", [-1.0, float("nan"), "1", True, [1.0]])
def test_a_penalty_that_is_none_is_refused(penalty, tmp_path):
    config = {**DISTORTIONS["family"].to_config(), "l2": penalty}
    with pytest.raises(ValueError, match="l2 must be a finite number >= 0 or None"):
        ExponentialFamily.from_config(config)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_curve_with_its_events_and_the_solutions_beside_them(sparse, tmp_path):
    table = np.array([[0.3, 0.05, 0.0], [0.02, 0.28, 0.05], [0.0, 0.1, 0.2]])
    joint = JointDistribution(scipy.sparse.csr_array(table) if sparse else table)
    curve = dualib.anneal(joint, "ib", [1.0, 2.0, 5.0])
    back = returned(curve, tmp_path)
    assert len(curve.events) >= 1 and back.events == curve.events and back.onset == curve.onset
    for found, expected in zip(back, curve, strict=True):
        assert_same(found, expected)
    for found, expected in zip(back.events, curve.events, strict=True):
        for side in ("below", "above"):
            assert_same(getattr(found, side), getattr(expected, side))


def test_an_event_of_numpy_numbers(tmp_path):
    solutions = [dualib.solve(dualib.datasets.toy(), beta) for beta in (1.0, 8.0)]
    event = Event("split", np.float64(3.0), np.array([2.0, 4.0]), np.int64(1), np.int64(2), located=np.bool_(True))
    assert returned(Curve(solutions, [event]), tmp_path).events == (event,)


class Tilted(DualIB):
    """A distortion of one's own that says nothing of itself: its configuration is that of the dual IB."""

    def link(self, means, face=None):
        v, b = super().link(means, face)
        return v, b


class Named(DualIB):
    name = "mine"


def half(p):
    return 0.5 * np.sum(p * p, axis=1)


DIFFERENT = {
    "a subclass": (Tilted(), r"describes DualIB\(\)"),
    "another name": (Named(), "no distortion named 'mine' can be loaded"),
    "a label of ours": (
        Bregman(half, lambda p: p, lambda p: np.tile(np.eye(p.shape[1]), (len(p), 1, 1)), label="squared-euclidean"),
        "describes Bregman",
    ),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_distortion_that_would_not_come_back_is_refused_when_saving(case, tmp_path):
    """Not when loading: then the result would be lost; and never another distortion in its place."""
    distortion, reason = DIFFERENT[case]
    solution = dualib.solve(dualib.datasets.toy(), 3.0, distortion)
    with pytest.raises(TypeError, match=rf"distortion .* cannot be saved: .*{reason}"):
        solution.save(tmp_path / "s.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["missing/curve.npz", ".", "a-file/curve.npz", "n" * 250 + ".npz"])
def test_a_place_that_cannot_be_written_is_named_as_it_was_asked_for(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").write_text("")
    solution = dualib.solve(dualib.datasets.toy(), 3.0)
    with pytest.raises(OSError) as caught:
        solution.save(where)
    assert caught.value.filename == where
    assert ".tmp" not in str(caught.value)
    if "/" in where:
        assert isinstance(caught.value, FileNotFoundError)
        assert f"the folder {str(tmp_path / Path(where).parent)!r} does not exist: make it" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-file"]


def test_a_path_of_bytes(tmp_path):
    solution = dualib.solve(dualib.datasets.toy(), 3.0)
    solution.save(bytes(tmp_path / "s.npz"))
    assert_same(load(bytes(tmp_path / "s.npz")), solution)


# --- files of 0.1.0 ----------------------------------------------------------------------------------------------------


def contents(name):
    with np.load(OLD / name) as archive:
        arrays = dict(archive)
    return json.loads(arrays.pop("header").tobytes()), arrays


@pytest.mark.parametrize(
    ("name", "clusters", "distortion"),
    [("curve-0.1.0.npz", [1, 3, 3], "dualib"), ("sparse-0.1.0.npz", [3], "ib"), ("family-0.1.0.npz", [1], "dualexpib")],
)
def test_files_of_0_1_0_are_read_to_the_bit(name, clusters, distortion):
    header, arrays = contents(name)
    back = load(OLD / name)
    solutions = list(back) if isinstance(back, Curve) else [back]
    assert [s.n_clusters for s in solutions] == clusters
    ends = np.cumsum([0, *clusters])
    for i, solution in enumerate(solutions):
        assert solution.distortion.name == distortion
        rows = slice(ends[i], ends[i + 1])
        assert bits(np.ascontiguousarray(solution.encoder.T)) == bits(arrays["encoder"][rows])
        assert bits(solution.decoder) == bits(arrays["decoder"][rows])
        for number, column in zip(arrays["scalars"][i], header["scalars"], strict=True):
            assert getattr(solution, column) == number
        relevance = dualib.information.mutual_information(solution.encoder.T @ dense(solution.joint.pxy))
        assert solution.relevance == pytest.approx(relevance, abs=1e-12)
    assert bits(solutions[0].joint.px) == bits(arrays["px"])


def dense(matrix):
    return matrix.toarray() if scipy.sparse.issparse(matrix) else matrix


def test_a_curve_of_0_1_0_has_its_labels_and_events():
    back = load(OLD / "curve-0.1.0.npz")
    assert back.joint.x_labels == ("a", "\u00e9", "$", "")
    assert back.joint.px[3] == 0.0 and back.joint.py_x[3].tolist() == [0.3, 0.3, 0.4]
    assert [(event.kind, event.before, event.after) for event in back.events] == [("appearance", 1, 2), ("appearance", 2, 3)]
    assert [event.above.n_clusters for event in back.events] == [2, 3]
    assert load(OLD / "family-0.1.0.npz").distortion.l2 is None  # 0.1.0 did not save it


def test_a_checkpoint_of_0_1_0_is_refused_with_a_way_out_and_left_as_it_is(tmp_path):
    """It holds the course of another path; what a run has computed is in no way lost."""
    path = tmp_path / "c.npz"
    path.write_bytes((OLD / "checkpoint-0.1.0.npz").read_bytes())
    with pytest.raises(
        ValueError, match=r"format version 1, .* reads version 2: finish that run with the dualib that began it"
    ):
        dualib.anneal(load(OLD / "curve-0.1.0.npz").joint, "dualib", checkpoint=path)
    assert path.read_bytes() == (OLD / "checkpoint-0.1.0.npz").read_bytes()


@pytest.mark.parametrize(
    "distortion", ["ib", "dualib", ExponentialFamily(FEATURES, PARAMETERS)], ids=["ib", "dualib", "family"]
)
def test_a_checkpoint_brings_a_subnormal_problem_back_to_the_bit(distortion, tmp_path):
    px = np.array([0.3, 0.3, SMALLEST, 1e-310, 0.4])
    joint = DISTORTIONS["family"].joint(px) if isinstance(distortion, str) else distortion.joint(px)
    once = dualib.anneal(joint, distortion, [1.0, 4.0], checkpoint=tmp_path / "c.npz")
    written = (tmp_path / "c.npz").read_bytes()
    again = dualib.anneal(joint, distortion, [1.0, 4.0], checkpoint=tmp_path / "c.npz")
    assert (tmp_path / "c.npz").read_bytes() == written  # nothing was computed anew
    for found, expected in zip(again, once, strict=True):
        assert_same(found, expected)


# --- what does not fit is refused, as before ----------------------------------------------------------------------------

FORGED = {
    "a NaN where p(x) = 0": ("py_x", 4, np.nan, "py_x must be probabilities"),
    "a negative one there": ("py_x", 5, -0.1, "py_x must be probabilities"),
    "a row there that is none": ("py_x", 5, 0.9, "py_x does not fit pxy"),
    "another conditional": ("py_x", 0, 0.5, "py_x does not fit pxy"),
    "one off by a millionth": ("py_x", 0, 0.6 + 1e-6, "py_x does not fit pxy"),
    "another p(x)": ("px", 0, 0.5 + 1e-6, "px does not fit pxy"),
    "beyond 1": ("px", 0, 1e308, "px must be probabilities"),
    "another p(y)": ("py", 0, 0.41, "py does not fit pxy"),
}


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("case", FORGED)
def test_probabilities_that_do_not_fit_together_are_refused(case, form, tmp_path):
    name, index, value, reason = FORGED[case]
    table = np.array([[0.3, 0.2], [0.1, 0.4], [0.0, 0.0]])  # the last row of p(y|x) is p(y)
    dualib.solve(JointDistribution(table if form == "dense" else scipy.sparse.csr_array(table)), 3.0).save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as archive:
        arrays = dict(archive)
    entry = f"{name}.data" if name == "py_x" and form == "sparse" else name
    arrays[entry] = arrays[entry].copy()
    arrays[entry].flat[index] = value
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=rf"not a readable dualib result: {reason}"):
        load(tmp_path / "s.npz")
