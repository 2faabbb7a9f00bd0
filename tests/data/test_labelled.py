"""Tables and samples as people hold them in memory: labels come along, what is missing or given twice is refused with its place."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib import CountTable, JointDistribution
from dualib.data import samples

COUNTS = np.array([[5.0, 1.0, 0.0], [1.0, 6.0, 2.0]])
X, Y = ("w1", "w2"), ("0", "45", "90")
pandas = pytest.importorskip("pandas")


def frame(**changes):
    made = pandas.DataFrame(COUNTS, index=pandas.Index(X, name="word"), columns=[0, 45, 90])
    return made.astype(changes.pop("dtype")) if "dtype" in changes else made


class Columns:
    """A frame of named columns without an index, as polars and pyarrow have them."""

    def __init__(self, **columns):
        self.columns, self._values = list(columns), columns

    def __getitem__(self, name):
        return np.array(self._values[name], dtype=object if isinstance(self._values[name][0], str) else None)


def long_series():
    pairs = pandas.MultiIndex.from_product([X, [0, 45, 90]])
    return pandas.Series(COUNTS.ravel(), pairs)[lambda counts: counts > 0]


FORMS = {
    "DataFrame": frame,
    "integers": lambda: frame(dtype=int),
    "nullable": lambda: frame(dtype="Int64"),
    "sparse columns": lambda: frame(dtype=pandas.SparseDtype(float, 0.0)),
    "Series of pairs": long_series,
    "columns, labels first": lambda: Columns(word=list(X), **{y: COUNTS[:, j] for j, y in enumerate(Y)}),
    "columns, labels last": lambda: Columns(**{y: COUNTS[:, j] for j, y in enumerate(Y)}, word=list(X)),
    "CountTable": lambda: CountTable(COUNTS, X, Y),
    "CountTable of a frame": lambda: CountTable(frame()),
    "sparse CountTable": lambda: CountTable(sparse.csr_array(COUNTS), X, (0, 45, 90)),
}
EXPECTED = JointDistribution.from_counts(COUNTS, x_labels=X, y_labels=Y)


@pytest.mark.parametrize("form", FORMS)
def test_labels_come_along(form):
    table = FORMS[form]()
    joint = JointDistribution.from_counts(table)
    assert joint == EXPECTED
    assert joint.is_sparse == ("sparse" in form)
    assert JointDistribution.from_counts(table, 0.5) == JointDistribution.from_counts(COUNTS, 0.5, X, Y)
    other = JointDistribution.from_counts(table, x_labels=["a", "b"])
    assert (other.x_labels, other.y_labels) == (("a", "b"), Y)


def test_probabilities_with_labels():
    assert JointDistribution(frame() / COUNTS.sum()) == EXPECTED
    with pytest.raises(ValueError, match=r"pxy must sum to 1, got 15\.0"):
        JointDistribution(frame())


def test_conditionals_with_labels():
    made = frame()
    joint = JointDistribution.from_conditionals(made.div(made.sum(axis=1), axis=0), COUNTS.sum(axis=1) / COUNTS.sum())
    assert joint == EXPECTED
    with pytest.raises(ValueError, match=r"^py_x: row 0 must sum to 1, got 6\.0: divide each row .*from_counts for counts"):
        JointDistribution.from_conditionals(made)


def test_xarray_coordinates_are_labels():
    xarray = pytest.importorskip("xarray")
    array = xarray.DataArray(COUNTS.copy(), dims=("word", "angle"), coords={"word": list(X), "angle": [0, 45, 90]})
    assert JointDistribution.from_counts(array) == EXPECTED
    half = xarray.DataArray(COUNTS.copy(), dims=("word", "angle"), coords={"angle": [0, 45, 90]})
    assert JointDistribution.from_counts(half).x_labels == ("0", "1")
    array[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"^counts: a missing value at word 'w2', angle '90'"):
        JointDistribution.from_counts(array)
    with pytest.raises(ValueError, match=r"^counts must have 2 dimension\(s\), x and y, got the dimensions \('word',\)"):
        JointDistribution.from_counts(array[:, 0])
    with pytest.raises(TypeError, match="a DataArray, got a Dataset"):
        JointDistribution.from_counts(xarray.Dataset({"counts": array}))


def test_polars_and_pyarrow():
    for name, make in (("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            module = __import__(name)
        except ImportError:
            continue
        columns = {"word": list(X), **{y: COUNTS[:, j] for j, y in enumerate(Y)}}
        assert JointDistribution.from_counts(getattr(module, make)(columns)) == EXPECTED
        columns["0"] = [5, None]
        with pytest.raises(ValueError, match=r"^counts: a missing value at row 'w2', column '0'"):
            JointDistribution.from_counts(getattr(module, make)(columns))


def test_a_label_of_several_parts_is_text_with_commas():
    made = frame()
    made.index = pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    assert JointDistribution.from_counts(made).x_labels == ("a,1", "b,2")


def with_(**changes):
    return frame().assign(**changes)


def relabelled(index=X, columns=(0, 45, 90)):
    return frame().set_axis(list(index)).set_axis(list(columns), axis=1)


REFUSED = {
    "text column": (with_(pos=["N", "V"]), TypeError, r"a column 'pos' of .*set_index\('pos'\)"),
    "text column before": (frame().reset_index(), TypeError, r"a column 'word' of .*set_index\('word'\)"),
    "id column": (relabelled(["7", "9"]).rename_axis("unit").reset_index().astype({"unit": int}), ValueError, "column 'unit'"),
    "id column of any name": (
        frame().set_axis([7, 9]).rename_axis("animal").reset_index(),
        ValueError,
        "column 'animal' that looks",
    ),
    "dates": (with_(day=pandas.to_datetime(["2020-01-01", "2020-01-02"])), TypeError, "a column 'day' of datetime64"),
    "missing": (frame().replace(2.0, np.nan), ValueError, r"a missing value at row 'w2', column '90': .*fillna\(0\)"),
    "missing, nullable": (frame(dtype="Int64").replace(2, pandas.NA), ValueError, "a missing value at row 'w2', column '90'"),
    "x twice": (relabelled(index=("w1", "w1")), ValueError, "different x labels, got 'w1' twice, at rows 0 and 1"),
    "y twice": (relabelled(columns=(0, 45, "45")), ValueError, "different y labels, got '45' twice, at columns 1 and 2"),
    "missing label": (relabelled(index=("w1", None)), ValueError, "a missing value among the x labels, at row 1"),
    "plain Series": (pandas.Series([1, 2, 3]), ValueError, "index has two levels, x and y, got a Series of index levels 1"),
    "pairs twice": (pandas.concat([long_series(), long_series()]), ValueError, r"pair x, y once, got 'w1,0' twice"),
    "missing in a Series": (long_series().replace(2.0, np.nan), ValueError, "a missing value at 'w2,90'"),
    "masked": (np.ma.masked_equal(COUNTS, 2.0), ValueError, r"a missing value at index \(1, 2\), which is masked"),
    "None": ([[1, 2], [None, 3]], TypeError, r"dtype object \(a missing value, None, at index \(1, 0\)\)"),
    "NaN": ([[1, 2], [np.nan, 3]], ValueError, r"finite, got nan at index \(1, 0\) \(a missing value\)"),
    "two columns of text": (
        Columns(a=["u", "v"], b=["u", "v"], n=[1.0, 2.0]),
        TypeError,
        "the columns 'a', 'b': drop all but one",
    ),
    "columns of text only": (Columns(a=["u", "v"]), ValueError, "no column of numbers"),
    "an id column of numbers": (Columns(id=[7, 9], a=[1, 2], b=[2, 1]), ValueError, "a column 'id' of numbers"),
    "missing in columns": (Columns(w=["u", "v"], a=[1.0, np.nan]), ValueError, "a missing value at row 'v', column 'a'"),
    "labels missing in columns": (Columns(w=["u", None], a=[1.0, 2.0]), ValueError, "a missing value among the x labels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_counted_wrongly_is_refused(name):
    table, error, words = REFUSED[name]
    with pytest.raises(error, match=f"^counts.*{words}"):
        JointDistribution.from_counts(table)
    with pytest.raises(error, match=words):
        dualib.compare_predictions(table, table)


def test_a_count_table_is_checked_and_tells_its_kind():
    assert [CountTable(values).kind for values in (COUNTS, COUNTS / 15, [[0.5, 0.5], [0.1, 0.9]], [[0.5, 3]])] == [
        *("counts", "probabilities", "conditionals", "weights")
    ]
    assert repr(CountTable(COUNTS)) == "CountTable(2 x by 3 y, counts)"
    assert repr(CountTable(sparse.csr_array(COUNTS), X)) == "CountTable(2 x by 3 y, sparse counts, with labels of x)"
    for arguments, words in (
        ((COUNTS, ["a"]), "x_labels must have 2 labels, got 1"),
        ((COUNTS, None, ["a", "b", "a"]), "different y labels, got 'a' twice"),
        ((-COUNTS,), "counts must be non-negative, got -5"),
    ):
        with pytest.raises(ValueError, match=words):
            CountTable(*arguments)
    with pytest.raises(TypeError, match=r"got CountTable: write JointDistribution\.from_counts\(counts\)"):
        dualib.solve(CountTable(COUNTS), 3.0)


def test_tables_compare_by_their_labels():
    options = {"betas": [2.0], "methods": ["plug-in"], "smoothing": 0.5}
    found = [
        dualib.compare_predictions(table, frame(), **options)["log_loss"] for table in (COUNTS, frame(), CountTable(frame()))
    ]
    assert found[0] == found[1] == found[2]
    with pytest.raises(
        ValueError, match=r"test_counts must have the x labels of train_counts in the same order, got 'w2' for 'w1'"
    ):
        dualib.compare_predictions(CountTable(frame()), frame().iloc[::-1], **options)


def test_smoothing_a_sparse_table_that_would_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr("dualib.memory._ALWAYS_FITS", 0)
    monkeypatch.setattr("dualib.memory.available_memory", lambda: 1000)
    table = sparse.csr_array((np.ones(2), ([0, 99], [0, 99])), shape=(100, 100))
    with pytest.raises(MemoryError, match="smoothing makes a sparse table dense, which of 100 x by 100 y needs"):
        JointDistribution.from_counts(table, 0.5)


def test_smoothing_a_table_too_large_to_be_made_dense_is_kept_beside_it():
    table = sparse.csr_array((np.ones(2), ([0, 9_999], [0, 9_999])), shape=(10_000, 10_000))
    joint = JointDistribution.from_counts(table, 0.5)
    assert joint.is_sparse and joint.is_smoothed and joint.py_x[:1].toarray()[0, 0] == pytest.approx(1.5 / 5001.0)


# --- samples --------------------------------------------------------------------------------------------------------------------


def naive_counts(x, y, weights=None):
    """Pairs counted one by one: sorted states, and a table."""
    total = Counter()
    for a, b, weight in zip(x, y, [1.0] * len(x) if weights is None else weights, strict=True):
        total[a, b] += weight
    rows, columns = sorted(set(x)), sorted(set(y))
    return rows, columns, np.array([[total[a, b] for b in columns] for a in rows])


def label(state):
    return ",".join(map(str, state)) if isinstance(state, tuple) else str(state)


RNG = np.random.default_rng(5)
SPIKES, STIMULI = RNG.integers(2, size=(60, 3)), RNG.integers(4, size=60)
ROWS = [tuple(row) for row in SPIKES.tolist()]
SAMPLES = {
    "rows of an array": (SPIKES, ROWS),
    "tuples": (ROWS, ROWS),
    "an object array of tuples": (pandas.Series(ROWS).to_numpy(), ROWS),
    "lists": (SPIKES.tolist(), ROWS),
    "a DataFrame": (pandas.DataFrame(SPIKES), ROWS),
    "columns of several kinds": (
        pandas.DataFrame({"a": STIMULI, "b": STIMULI.astype(str)}),
        [(i, str(i)) for i in STIMULI.tolist()],
    ),
    "tuples of several lengths": ([row[: 1 + row[0]] for row in ROWS], [row[: 1 + row[0]] for row in ROWS]),
    "a Series": (pandas.Series(STIMULI), STIMULI.tolist()),
    "a categorical": (
        pandas.Categorical([f"s{i}" for i in STIMULI], categories=["none", "s3", "s2", "s1", "s0"]),
        [f"s{i}" for i in STIMULI],
    ),
    "text": ([f"s{i}" for i in STIMULI], [f"s{i}" for i in STIMULI]),
    "one column": (STIMULI[:, None], STIMULI.tolist()),
}


@pytest.mark.parametrize("form", SAMPLES)
@pytest.mark.parametrize("weighted", [False, True])
def test_samples_of_every_form_are_counted(form, weighted):
    given, symbols = SAMPLES[form]
    weights = RNG.uniform(0.1, 2.0, 60) if weighted else None
    rows, columns, counts = naive_counts(symbols, STIMULI.tolist(), weights)
    joint = JointDistribution.from_samples(given, STIMULI, weights=weights)
    assert joint.x_labels == tuple(map(label, rows)) and joint.y_labels == tuple(map(str, columns))
    np.testing.assert_allclose(joint.pxy, counts / counts.sum(), rtol=1e-14)
    other = JointDistribution.from_samples(STIMULI, given, weights=weights)
    np.testing.assert_allclose(other.pxy, counts.T / counts.sum(), rtol=1e-14)


def test_a_large_alphabet_is_counted_sparsely(monkeypatch):
    rng = np.random.default_rng(1)
    x, y = rng.integers(300, size=2000), rng.integers(200, size=2000)
    dense = JointDistribution.from_samples(x, y)
    monkeypatch.setattr(samples, "LARGEST_DENSE", 1000)
    joint = JointDistribution.from_samples(x, y)
    assert joint.is_sparse and not dense.is_sparse and joint == dense
    assert joint.pxy.nnz == len(set(zip(x.tolist(), y.tolist(), strict=True)))


def test_forty_thousand_symbols_a_side():
    """Whose dense table would take 13 GB."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(40_000, size=50_000), rng.integers(40_000, size=50_000)
    joint = JointDistribution.from_samples(x, y)
    assert (joint.n_x, joint.n_y) == (len(set(x.tolist())), len(set(y.tolist())))
    assert joint.is_sparse and joint.px.sum() == pytest.approx(1.0, abs=1e-12)


MISSING = {
    "None in a list": (["a", None, "b"], r"\(None\) at index 1"),
    "NaN among text": (["a", "b", float("nan")], r"\(nan\) at index 2"),
    "NaN": (np.array([1.0, 2.0, np.nan]), r"\(nan\) at index 2"),
    "a Series": (pandas.Series(["a", None, "b"]), "at index 1"),
    "a nullable Series": (pandas.Series([1, None, 2], dtype="Int64"), "at index 1"),
    "dates": (pandas.to_datetime(pandas.Series(["2020-01-01", None, "2020-01-02"])), "at index 1"),
    "a column": (np.array([[1.0, 2.0], [3.0, np.nan], [1.0, 1.0]]), "at index 1, column 1"),
    "within tuples": ([("a", 1), ("b", None), ("a", 2)], "at index 1"),
    "masked": (np.ma.masked_equal([1, 2, 3], 2), "at index 1"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_sample_is_called_one(name):
    given, words = MISSING[name]
    for arguments, which in (((given, [1, 2, 3]), "x"), (([1, 2, 3], given), "y")):
        with pytest.raises(ValueError, match=rf"^{which}: a missing value .*{words}: leave such samples out"):
            JointDistribution.from_samples(*arguments)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("abc", TypeError, r"x must be a sequence of samples, got the text 'abc': write list\(...\)"),
        (sparse.csr_array(COUNTS), TypeError, "x must be an array of samples, got a sparse matrix"),
        ([[1, 2], [3]], ValueError, "x must have rows of one length, or tuples"),
        (
            np.zeros((2, 2, 2)),
            ValueError,
            r"x must be a non-empty array of samples, \(n,\) or \(n, d\), got shape \(2, 2, 2\)",
        ),
        ([("a", 1), (1, "a")], TypeError, "x must hold samples of one sortable kind"),
    ],
)
def test_what_are_no_samples(given, error, words):
    with pytest.raises(error, match=f"^{words}"):
        JointDistribution.from_samples(given, [1, 2])


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0], "one value for each of the 2 samples, got 1"),
        ([1, -2], ">= 0 and not all 0, got -2.0"),
        ([0, 0], "not all 0"),
        ([1, np.nan], "finite, got nan at index 1"),
    ],
)
def test_bad_weights(weights, words):
    with pytest.raises(ValueError, match=f"^weights must .*{words}"):
        JointDistribution.from_samples([1, 2], [1, 2], weights=weights)


# --- time series ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("past", "future"), [(1, 1), (2, 1), (1, 3), (3, 2)])
def test_the_past_against_the_future(past, future):
    series = np.random.default_rng(2).integers(3, size=200).tolist()
    x = [tuple(series[i : i + past]) for i in range(200 - past - future + 1)]
    y = [tuple(series[i + past : i + past + future]) for i in range(200 - past - future + 1)]
    joint = JointDistribution.from_series(series, past, future)
    expected = JointDistribution.from_samples(x, y)
    assert joint == expected
    smoothed = JointDistribution.from_series(pandas.Series(series), past=past, future=future, smoothing=0.5)
    assert smoothed == JointDistribution.from_samples(x, y, smoothing=0.5)


def test_a_series_of_text_of_rows_and_of_a_chain():
    joint = JointDistribution.from_series("abracadabra")
    assert joint.x_labels == tuple("abcdr") and joint.pxy[0, 1] == pytest.approx(0.2)
    joint = JointDistribution.from_series([[0, 1], [1, 0]] * 10, past=2)
    assert joint.x_labels == ("0,1,1,0", "1,0,0,1") and joint.y_labels == ("0,1", "1,0")
    cycle = list(
        itertools.islice(itertools.cycle("aab"), 301)
    )  # the next of three is known from the last two, not from the last
    assert JointDistribution.from_series(cycle, past=2).mutual_information == pytest.approx(
        np.log(3) - 2 / 3 * np.log(2), abs=0.01
    )
    assert JointDistribution.from_series(cycle).mutual_information == pytest.approx(np.log(3) - 4 / 3 * np.log(2), abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1, 2], 2, 1), r"z must have at least past \+ future = 3 symbols, got 2"),
        (([1, 2, 3], 0, 1), "past must be an integer of at least 1, got 0"),
        (([1, 2, 3], 1, 1.5), "future must be an integer of at least 1, got 1.5"),
        (([1, None, 3], 1, 1), r"z: a missing value \(None\) at index 1"),
        (("", 1, 1), "z must be a non-empty array of samples"),
    ],
)
def test_bad_series(arguments, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        JointDistribution.from_series(*arguments)
