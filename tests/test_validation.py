"""Bad input: an error that names the argument and the value, from every public door."""

import fractions

import numpy as np
import pytest

import dualib
from dualib import JointDistribution, _validation

JOINT = dualib.datasets.three_by_three()
ENCODER = np.eye(3)

# what is wrong, the array, the error, a word of the message
TABLES = [
    ("NaN", [[0.5, np.nan]], ValueError, "nan at index (0, 1)"),
    ("inf", [[np.inf, 0.5]], ValueError, "inf at index (0, 0)"),
    ("negative", [[1.5], [-0.5]], ValueError, "-0.5 at index (1, 0)"),
    ("complex", [[0.5, 0.5j]], TypeError, "complex128"),
    ("object", np.array([[0.5, None]], dtype=object), TypeError, "dtype object"),
    ("text", [["0.5", "0.5"]], TypeError, "'0.5'"),
    ("dates", np.array([["2020-01-01"]], dtype="datetime64[D]"), TypeError, "datetime64"),
    ("nothing", None, TypeError, "None"),
    ("ragged", [[0.5, 0.25], [0.25]], ValueError, "rectangular"),
    ("empty", [[]], ValueError, "shape (1, 0)"),
    ("no rows", np.zeros((0, 3)), ValueError, "shape (0, 3)"),
    ("one-dimensional", [0.5, 0.5], ValueError, "shape (2,)"),
    ("three-dimensional", np.full((1, 1, 1), 1.0), ValueError, "shape (1, 1, 1)"),
    ("all zero", np.zeros((2, 3)), ValueError, "zero"),
]
UNNORMALISED = [("too much", [[0.7, 0.7]], ValueError, "1.4"), ("too little", [[0.5, 0.49]], ValueError, "0.99")]


def cases(*lists):
    return [pytest.param(*case[1:], id=case[0]) for cases in lists for case in cases]


def refused(name, error, word, call):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error  # not a subclass from deep inside numpy, such as LinAlgError
    assert name in str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize(("table", "error", "word"), cases(TABLES, UNNORMALISED))
def test_bad_joint(table, error, word):
    refused("pxy", error, word, lambda: JointDistribution(table))


@pytest.mark.parametrize(("table", "error", "word"), cases(TABLES))
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_bad_counts(table, error, word, smoothing):
    refused("counts", error, word, lambda: JointDistribution.from_counts(table, smoothing))


@pytest.mark.parametrize(("table", "error", "word"), cases(TABLES, UNNORMALISED))
def test_bad_conditionals(table, error, word):
    refused("py_x", error, word, lambda: JointDistribution.from_conditionals(table))


@pytest.mark.parametrize(
    ("px", "error", "word"),
    [
        ([0.5, np.nan], ValueError, "nan at index 1"),
        ([1.5, -0.5], ValueError, "-0.5 at index 1"),
        ([0.5, 0.6], ValueError, "1.1"),
        ([1.0], ValueError, "length 2, got 1"),
        ([[0.5, 0.5]], ValueError, "shape (1, 2)"),
        (["a", "b"], TypeError, "'a'"),
        ([0, 0], ValueError, "zero"),
    ],
)
def test_bad_source(px, error, word):
    refused("px", error, word, lambda: JointDistribution.from_conditionals([[0.5, 0.5], [0.1, 0.9]], px))


def test_rows_are_named_by_their_index():
    with pytest.raises(ValueError, match=r"py_x: row 1 must sum to 1, got .*0\.9"):
        JointDistribution.from_conditionals([[0.5, 0.5], [0.5, 0.4]])


BETAS = [
    ("zero", 0, ValueError),
    ("negative zero", -0.0, ValueError),
    ("negative", -2.5, ValueError),
    ("NaN", np.nan, ValueError),
    ("inf", np.inf, ValueError),
    ("minus inf", -np.inf, ValueError),
    ("beyond floats", 10**400, ValueError),
    ("text", "2", TypeError),
    ("none", None, TypeError),
    ("bool", True, TypeError),
    ("numpy bool", np.bool_(True), TypeError),
    ("complex", 2 + 0j, TypeError),
    ("numpy complex", np.complex128(2), TypeError),
    ("list", [2.0], TypeError),
    ("array", np.array([2.0]), TypeError),
]


def as_written(value):
    """How the message has it: NumPy's numbers as Python's."""
    return repr(value.item() if isinstance(value, np.generic) else value)


@pytest.mark.parametrize(("beta", "error"), cases(BETAS))
def test_bad_beta(beta, error):
    refused("beta", error, as_written(beta), lambda: dualib.solve(JOINT, beta))
    refused("beta", error, as_written(beta), lambda: dualib.certify(JOINT, ENCODER, beta))
    refused("beta", error, as_written(beta), lambda: dualib.closed_forms.erasure(0.3, beta))


ENDS = [case for case in BETAS if case[0] != "none"]  # None is the automatic end


@pytest.mark.parametrize(("beta", "error"), cases(ENDS))
@pytest.mark.parametrize("name", ["beta_min", "beta_max"])
def test_bad_ends_of_the_path(name, beta, error):
    refused(name, error, as_written(beta), lambda: dualib.anneal(JOINT, **{name: beta}))


@pytest.mark.parametrize("beta", [2, 2.0, np.float32(2), np.int8(2), np.uint64(2), fractions.Fraction(2)])
def test_any_real_number_is_a_beta(beta):
    value = _validation.validate_beta(beta)
    assert type(value) is float
    assert value == 2.0


@pytest.mark.parametrize(
    ("betas", "error", "word"),
    [
        ([1.0, 0.0], ValueError, "0.0"),
        ([1.0, -2.0], ValueError, "-2.0"),
        ([1.0, np.nan], ValueError, "nan at index 1"),
        ([1.0, np.inf], ValueError, "inf at index 1"),
        ([], ValueError, "shape (0,)"),
        (3.0, ValueError, "shape ()"),
        ([[1.0, 2.0]], ValueError, "shape (1, 2)"),
        (["1", "2"], TypeError, "'1'"),
        ([1.0, None], TypeError, "dtype object"),
        ([1.0, 2j], TypeError, "complex128"),
    ],
)
def test_bad_betas_of_the_path(betas, error, word):
    refused("betas", error, word, lambda: dualib.anneal(JOINT, "ib", betas))


@pytest.mark.parametrize("name", ["rate", "relevance", "expected_distortion"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(np.nan, ValueError), (np.inf, ValueError), ("0.1", TypeError), (True, TypeError), (1j, TypeError), ([0.1], TypeError)],
)
def test_bad_targets(name, value, error):
    refused(name, error, repr(value), lambda: dualib.solve_at(JOINT, **{name: value}))


@pytest.mark.parametrize(
    ("name", "value"), [("rate", -1.0), ("rate", 50.0), ("relevance", 50.0), ("expected_distortion", -1.0)]
)
def test_targets_out_of_range_state_the_range(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be between .* and .*, got {value}"):
        dualib.solve_at(JOINT, **{name: value})


DOORS = {
    "solve": lambda **options: dualib.solve(JOINT, 2.0, **options),
    "anneal": lambda **options: dualib.anneal(JOINT, betas=[2.0], **options),
    "certify": lambda **options: dualib.certify(JOINT, ENCODER, 2.0, **options),
    "solve_at": lambda **options: dualib.solve_at(JOINT, rate=0.1, **options),
    "onset": lambda **options: dualib.onset(JOINT, **options),
    "local_critical_beta": lambda **options: dualib.local_critical_beta(JOINT, **options),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("distortion", "error", "word"),
    [
        ("IB", ValueError, "'IB'"),
        ("", ValueError, "''"),
        (None, TypeError, "None"),
        (3, TypeError, "3"),
        (dualib.IB, TypeError, "write IB()"),
    ],
)
def test_unknown_distortion(door, distortion, error, word):
    refused("distortion", error, word, lambda: DOORS[door](distortion=distortion))


@pytest.mark.parametrize("door", ["solve", "anneal", "certify", "solve_at"])
@pytest.mark.parametrize("tol", [-1, -1e-9, 0.0, np.nan, np.inf, None, "1e-9", True, 1e-9j], ids=repr)
def test_bad_tolerance(door, tol):
    refused("tol", ValueError, repr(tol), lambda: DOORS[door](tol=tol))


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), (np.nan, TypeError), ("2", TypeError), (True, TypeError)],
)
@pytest.mark.parametrize("name", ["n_clusters", "max_iter", "n_restarts"])
def test_bad_counts_of_things(name, value, error):
    refused(name, error, repr(value), lambda: dualib.solve(JOINT, 2.0, **{name: value}))


@pytest.mark.parametrize("door", ["anneal", "solve_at"])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError)])
def test_bad_max_iter(door, value, error):
    refused("max_iter", error, repr(value), lambda: DOORS[door](max_iter=value))


ENCODERS = [
    ("too few rows", np.eye(2), ValueError, "shape (2, 2)"),
    ("too many rows", np.eye(4), ValueError, "shape (4, 4)"),
    ("one-dimensional", [1.0, 0.0, 0.0], ValueError, "shape (3,)"),
    ("no cluster", np.zeros((3, 0)), ValueError, "shape (3, 0)"),
    ("rows that do not sum to 1", np.full((3, 2), 0.4), ValueError, "row 0"),
    ("a row of zeros", [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], ValueError, "row 1"),
    ("negative", [[1.5, -0.5]] * 3, ValueError, "-0.5"),
    ("NaN", [[np.nan, 1.0]] * 3, ValueError, "nan"),
    ("text", [["1", "0"]] * 3, TypeError, "'1'"),
]


@pytest.mark.parametrize(("encoder", "error", "word"), cases(ENCODERS))
def test_bad_encoders(encoder, error, word):
    refused("init", error, word, lambda: dualib.solve(JOINT, 2.0, init=encoder))
    refused("encoder", error, word, lambda: dualib.certify(JOINT, encoder, 2.0))


@pytest.mark.parametrize("init", ["best", "sobol"])
def test_an_unknown_way_to_start(init):
    refused("init", ValueError, repr(init), lambda: dualib.solve(JOINT, 2.0, init=init))


@pytest.mark.parametrize("door", DOORS)
def test_something_else_than_a_joint_distribution(door):
    """A plain array in place of the joint: said, not an AttributeError from inside."""
    calls = {
        "solve": lambda joint: dualib.solve(joint, 2.0),
        "anneal": lambda joint: dualib.anneal(joint),
        "certify": lambda joint: dualib.certify(joint, ENCODER, 2.0),
        "solve_at": lambda joint: dualib.solve_at(joint, rate=0.1),
        "onset": dualib.onset,
        "local_critical_beta": dualib.local_critical_beta,
    }
    refused("joint", TypeError, "JointDistribution", lambda: calls[door](np.full((2, 2), 0.25)))


@pytest.mark.parametrize("effort", [-1.0, np.nan, np.inf, "2"], ids=repr)
def test_bad_effort(effort):
    with pytest.raises((ValueError, TypeError), match="effort"):
        dualib.certify(JOINT, ENCODER, 2.0, effort=effort)


@pytest.mark.parametrize(("name", "value"), [("e", 0.0), ("e", 1.0), ("e", -0.1), ("e", np.nan), ("e", "x"), ("e", True)])
def test_bad_parameters_of_channels(name, value):
    for function in (
        dualib.datasets.binary_symmetric,
        dualib.datasets.erasure,
        dualib.closed_forms.binary_symmetric_onset,
        dualib.closed_forms.erasure_onset,
        lambda e: dualib.closed_forms.erasure(e, 2.0),
        lambda e: dualib.closed_forms.binary_symmetric(e, 2.0),
    ):
        refused(name, ValueError, repr(value), lambda function=function: function(value))


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("n", lambda: dualib.datasets.symmetric(1, 0.5)),
        ("n", lambda: dualib.datasets.symmetric(3.0, 0.5)),
        ("a", lambda: dualib.datasets.symmetric(3, 1.0)),
        ("n", lambda: dualib.closed_forms.symmetric_onset(1, 0.5)),
        ("a", lambda: dualib.closed_forms.symmetric_local(3, 0.0)),
        ("rho", lambda: dualib.datasets.gaussian(8, 1.0)),
        ("n", lambda: dualib.datasets.gaussian(0, 0.5)),
        ("width", lambda: dualib.datasets.gaussian(8, 0.5, width=-1)),
        ("width", lambda: dualib.datasets.gaussian(8, 0.5, width=np.nan)),
        ("rho", lambda: dualib.closed_forms.gaussian_ib(1.0, 2.0)),
        ("p", lambda: dualib.datasets.bernoulli(0.0)),
        ("p", lambda: dualib.closed_forms.bernoulli_hamming(0.7, 2.0)),
        ("p", lambda: dualib.closed_forms.bernoulli_hamming_onset(np.nan)),
        ("entropy", lambda: dualib.closed_forms.deterministic(-1.0, 2.0)),
        ("classes", lambda: dualib.datasets.deterministic([0.5, 1.0])),
        ("classes", lambda: dualib.datasets.deterministic([0, -1])),
        ("classes", lambda: dualib.datasets.deterministic([])),
        ("kind", lambda: dualib.closed_forms.binary_symmetric_onset(0.1, "IB")),
        ("kind", lambda: dualib.closed_forms.binary_symmetric(0.1, 3.0, "dual")),
        ("kind", lambda: dualib.closed_forms.erasure(0.1, 3.0, None)),
        ("kind", lambda: dualib.closed_forms.deterministic(0.1, 3.0, "x")),
        ("kind", lambda: dualib.closed_forms.gaussian_ib(0.5, 3.0, "x")),
        ("kind", lambda: dualib.closed_forms.symmetric_onset(3, 0.5, "x")),
    ],
)
def test_bad_parameters_of_datasets_and_closed_forms(name, call):
    with pytest.raises(ValueError, match=rf"^{name} must be"):
        call()
