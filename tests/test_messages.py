"""What people give by mistake, and what they are told: the argument, the value as they would write it, and the remedy."""

import re
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import dualib
from dualib import JointDistribution, _validation

TOY = dualib.datasets.toy()
COUNTS = np.array([[5, 3, 1], [1, 8, 2], [0, 1, 9]])


# --- one argument in the place of another --------------------------------------------------------------------------------


@pytest.mark.parametrize("betas", [[1, 2, 3], (1.0, 2.0), np.array([1.0, 2.0]), range(1, 4), 3.0, np.float64(3.0)], ids=repr)
def test_trade_offs_given_as_the_distortion(betas):
    with pytest.raises(TypeError) as caught:
        dualib.anneal(TOY, betas)
    text = str(caught.value)
    assert text.startswith("distortion must be 'ib', 'dualib' or a Distortion, got ")
    assert text.endswith("trade-offs are given as beta= (solve) or betas= (anneal)")
    assert "np." not in text


@pytest.mark.parametrize("distortion", ["ib", dualib.DualIB()], ids=repr)
def test_the_distortion_given_as_beta(distortion):
    with pytest.raises(TypeError, match=r"^beta must be a real number > 0, got .*: beta comes before distortion$"):
        dualib.solve(TOY, distortion, 3.0)
    with pytest.raises(TypeError, match=r"^beta must be a real number > 0, got None$"):
        dualib.solve(TOY, None)


@pytest.mark.parametrize("betas", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0])], ids=repr)
def test_trade_offs_given_as_one(betas):
    with pytest.raises(TypeError, match=r"^beta must be a real number > 0, got .*: many trade-offs are anneal's betas=$"):
        dualib.solve(TOY, betas)


def test_a_file_given_as_the_joint():
    with pytest.raises(TypeError, match=r"got str: write JointDistribution\.from_counts\(read_table\('counts\.csv'\)\)"):
        dualib.anneal("counts.csv")


def test_numbers_as_text():
    with pytest.raises(TypeError, match=r"\(first value '1'\): if these are numbers as text, turn them into numbers first$"):
        JointDistribution.from_counts([["1", "2"], ["3", "4"]])


@pytest.mark.parametrize("given", ["a", -1, 1.5], ids=repr)
def test_seeds_that_are_none(given):
    words = re.escape(f"random_state must be None, an integer >= 0 or a numpy.random.Generator, got {given!r}")
    calls = [
        lambda **seed: dualib.solve(TOY, 3.0, **seed),
        lambda **seed: dualib.certify(TOY, np.ones((TOY.n_x, 1)), 3.0, **seed),
        lambda **seed: dualib.anneal(TOY, betas=[1.0, 2.0], **seed),
        lambda **seed: dualib.anneal(TOY, betas=[1.0, 2.0], n_clusters=2, **seed),
        lambda **seed: dualib.solve_at(TOY, rate=0.1, **seed),
        lambda **seed: dualib.follow(dualib.solve(TOY, 3.0), [3.0, 4.0], **seed),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match=f"^{words}$"):
            call(random_state=given)


@pytest.mark.parametrize(
    "samples, words",
    [(iter("ab"), r"got a str_\w*iterator: write list\(\.\.\.\)"), ({1, 2}, "got a set, which has no order")],
    ids=["iterator", "set"],
)
def test_samples_that_are_no_sequence(samples, words):
    with pytest.raises(TypeError, match=f"^x must be a sequence of samples, {words}$"):
        JointDistribution.from_samples(samples, [1, 2])


@pytest.mark.parametrize(
    "value, words",
    [(np.nan, r"finite, got nan at index \(1, 2\) \(a missing value\)"), (-2.0, r"non-negative, got -2\.0 at index \(1, 2\)")],
)
def test_a_wrong_cell_of_a_sparse_table(value, words):
    counts = COUNTS.astype(float)
    counts[1, 2] = value
    with pytest.raises(ValueError, match=f"^counts must be {words}$"):
        JointDistribution.from_counts(scipy.sparse.csr_array(counts))


def test_counts_given_as_conditionals():
    match = re.escape(
        "py_x: row 0 must sum to 1, got 9.0: divide each row by its sum, or use JointDistribution.from_counts for counts"
    )
    with pytest.raises(ValueError, match=f"^{match}$"):
        JointDistribution.from_conditionals(COUNTS)
    solution = dualib.solve(JointDistribution.from_counts(COUNTS), 3.0)
    for rows in (COUNTS, scipy.sparse.csr_array(COUNTS)):
        with pytest.raises(ValueError, match=r"^py_x: row 0 must sum to 1, got 9\.0: divide each row by its sum$"):
            solution.encode(rows)
    with pytest.raises(ValueError, match=r"^px must sum to 1, got 17\.0: divide it by its sum$"):
        JointDistribution.from_conditionals(COUNTS / COUNTS.sum(axis=1, keepdims=True), [5, 3, 9])


# --- NumPy's numbers are shown as Python's ----------------------------------------------------------------------------------

WRONG = (np.float64(-1.5), np.float32(-1.5), np.int64(-2), np.bool_(True), np.str_("x"), np.longdouble(-1.5), np.array(-1.5))
DOORS = {
    "beta": lambda value: dualib.solve(TOY, value),
    "distortion": lambda value: dualib.solve(TOY, 2.0, value),
    "tol": lambda value: dualib.solve(TOY, 2.0, tol=value),
    "n_clusters": lambda value: dualib.solve(TOY, 2.0, n_clusters=value),
    "max_iter": lambda value: dualib.solve(TOY, 2.0, max_iter=value),
    "init": lambda value: dualib.solve(TOY, 2.0, init=value),
    "betas": lambda value: dualib.anneal(TOY, betas=[value, value]),
    "beta_min": lambda value: dualib.anneal(TOY, beta_min=value),
    "tol_curve": lambda value: dualib.anneal(TOY, tol_curve=value),
    "direction": lambda value: dualib.anneal(TOY, direction=value),
    "progress": lambda value: dualib.anneal(TOY, betas=[2.0], progress=1 if value is WRONG[3] else value),
    "effort": lambda value: dualib.certify(TOY, np.eye(5), 2.0, effort=-1 if value is WRONG[3] else value),
    "rate": lambda value: dualib.solve_at(TOY, rate=value),
    "py_x": lambda value: JointDistribution.from_conditionals([[value, value]]),
    "pxy": lambda value: JointDistribution([[value, value]]),
    "counts": lambda value: JointDistribution.from_counts([[value]] if value is not WRONG[3] else [[-1]]),
    "smoothing": lambda value: JointDistribution.from_counts(COUNTS, smoothing=value),
    "labels": lambda value: JointDistribution.from_counts(COUNTS, x_labels=np.str_("abc")),
    "samples": lambda value: JointDistribution.from_samples(np.array([value, None, "a"], dtype=object), [0, 1, 2]),
    "alpha": lambda value: dualib.Alpha(value),
    "matrix": lambda value: dualib.RateDistortion([[value, np.nan]]),
    "e": lambda value: dualib.datasets.binary_symmetric(value),
    "n": lambda value: dualib.datasets.symmetric(value, 0.5),
    "width": lambda value: dualib.datasets.gaussian(8, 0.5, width=-1 if value is WRONG[3] else value),
    "entropy": lambda value: dualib.closed_forms.deterministic(value if value is not WRONG[3] else np.float64(-1), 2.0),
    "kind": lambda value: dualib.closed_forms.binary_symmetric_onset(0.1, value),
    "unit": lambda value: dualib.solve(TOY, 2.0).summary(value),
    "n_splits": lambda value: dualib.compare_predictions(COUNTS, COUNTS, n_splits=value),
    "n_train": lambda value: dualib.compare_predictions(COUNTS, COUNTS, n_train=value),
    "methods": lambda value: dualib.compare_predictions(COUNTS, COUNTS, methods=[value]),
    "validation": lambda value: dualib.compare_predictions(COUNTS, COUNTS, validation=value),
    "random_state": lambda value: dualib.compare_predictions(COUNTS, COUNTS, random_state=value),
    "rank": lambda value: dualib.ExponentialFamily.from_conditionals(COUNTS / 9 + 0.1, rank=value),
    "l2": lambda value: dualib.ExponentialFamily.fit(
        np.eye(2), [0, 1], [0, 1], l2=value if value is not WRONG[3] else WRONG[2]
    ),
    "seeds": lambda value: dualib.solve_many(TOY, 2.0, seeds=value if value.ndim == 0 else None),
    "on_error": lambda value: dualib.solve_many(TOY, 2.0, on_error=value),
    "n_jobs": lambda value: dualib.solve_many(TOY, 2.0, n_jobs=value if isinstance(value, (np.floating, np.str_)) else 1.5),
    "exponent": lambda value: dualib.information.chernoff_coefficient([1], [1], value),
    "interval": lambda value: dualib.Event("split", 3.0, (np.float64(4.0), np.float64(5.0)), 1, 2),
    "event kind": lambda value: dualib.Event(value, 3.0, (2.0, 5.0), 1, 2),
    "nearest": lambda value: dualib.anneal(TOY, betas=[2.0]).nearest(value if value is not WRONG[3] else WRONG[0]),
}
NUMPY = re.compile(r"np\.|numpy|float(32|64)\(|int64\(|longdouble\(")


@pytest.mark.parametrize("door", DOORS)
def test_no_message_has_the_type_of_a_numpy_number(door):
    told = 0
    for value in WRONG:
        try:
            DOORS[door](value)
        except (ValueError, TypeError) as error:
            assert not NUMPY.search(str(error)), str(error)
            told += 1
    assert told >= 3


def test_what_is_shown():
    shown = _validation.shown
    assert shown(np.float64(-1.5)) == shown(np.longdouble(-1.5)) == "-1.5"
    assert shown([np.int64(1), (np.str_("a"), np.bool_(True))]) == "[1, ('a', True)]"
    assert shown(np.arange(3)) == "array([0, 1, 2])"
    assert shown(np.array([np.float64(1.0), None], dtype=object)) == "[1.0, None]"
    assert shown(np.zeros((30, 2))) == "an array of float64 of shape (30, 2)"
    assert len(shown("x" * 10_000)) < 600 and len(shown(list(range(100_000)))) < 600


def test_no_message_of_the_package_shows_a_value_of_the_caller_by_its_repr():
    """The names that arguments have: each goes through `shown`, which this finds where somebody forgets it."""
    names = r"\{(beta|tol|value|total|totals\[.*\]|target|smoothing|effort|n_clusters|alpha|rate|init)!r\}"
    root, found = Path(dualib.__file__).parent, []
    for path in root.rglob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(names, line):
                found.append(f"{path.relative_to(root)}:{number}")
    assert found == []


@pytest.mark.parametrize("call", [dualib.solve, dualib.quantize, dualib.agglomerate, dualib.anneal, dualib.onset])
def test_counts_in_the_place_of_a_joint_distribution(call):
    more = {dualib.solve: (2.0,), dualib.quantize: (2,)}.get(call, ())
    for table in ([[5, 1], [1, 8]], np.eye(3), dualib.CountTable([[5, 1], [1, 8]])):
        with pytest.raises(
            TypeError, match=r"joint must be a JointDistribution, got .*: write JointDistribution\.from_counts"
        ):
            call(table, *more)
