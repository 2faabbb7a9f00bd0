"""What people give by mistake, and what they are told: the argument, the value as they would write it, and the remedy."""

import io
import os
import pydoc
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import dualib
from dualib import JointDistribution, Status, _validation
from dualib.cli.main import main
from dualib.data.tables import read_table
from dualib.results.solution import status_text

TOY = dualib.datasets.toy()
COUNTS = np.array([[5, 3, 1], [1, 8, 2], [0, 1, 9]])
LETTERS = dualib.datasets.load_letters()


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


# --- labels ----------------------------------------------------------------------------------------------------------------

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
    joint = JointDistribution.from_counts(scipy.sparse.csr_array(table))
    labels = rng.integers(3, size=600)
    solutions = [
        dualib.solve(joint, 5.0, init=form, certify=False, n_clusters=3, n_restarts=1, tol=1e-6)
        for form in (labels, np.eye(3)[labels])
    ]
    np.testing.assert_array_equal(solutions[0].encoder, solutions[1].encoder)
    hamming = dualib.RateDistortion(1.0 - np.eye(3))
    source = JointDistribution.from_counts(COUNTS)
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
    found = []
    for path in Path(dualib.__file__).parent.glob("*.py"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(
                r"\{(beta|tol|value|total|totals\[.*\]|target|smoothing|effort|n_clusters|alpha|rate|init)!r\}", line
            ):
                found.append(f"{path.name}:{number}")
    assert [
        place for place in found if not place.startswith(("branch.py", "comparison_tables.py", "tables.py"))
    ] == []  # Python's own there


# --- beta -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ib", "dualib"])
@pytest.mark.parametrize("beta", [1e8, 1e12, 1e15])
def test_the_rounding_of_beta_d_is_called_so(kind, beta):
    """No iteration lowers it: the advice is another beta, or another tol, which is then reached."""
    with pytest.warns(dualib.ConvergenceWarning, match=f"beta={beta:g}".replace("+", r"\+")) as caught:
        solution = dualib.solve(TOY, beta, kind)
    text = str(caught[0].message)
    assert "no more than the rounding of beta d" in text and "a smaller beta, or a larger tol" in text
    assert "max_iter" not in text and "random_state" not in text
    assert solution.status is Status.GAP_OPEN and 1e-9 < solution.gap < 1e-12 * beta
    assert dualib.solve(TOY, beta, kind, tol=1e-12 * beta).converged


def test_what_iterations_can_lower_keeps_its_advice():
    with pytest.warns(dualib.ConvergenceWarning, match="raise max_iter") as caught:
        solution = dualib.solve(LETTERS, 30.0, max_iter=3)
    assert "rounding" not in str(caught[0].message)
    assert status_text(solution) == solution.status.value


def test_a_beta_below_the_onset_is_said_by_the_solution():
    onset = dualib.onset(TOY)
    below, above = dualib.solve(TOY, 0.9 * onset), dualib.solve(TOY, 1.1 * onset)
    line = "one cluster is optimal: beta is not above the onset of learning (dualib.onset)"
    assert below.n_clusters == 1 and repr(below).splitlines()[-1].strip() == line
    assert above.n_clusters > 1 and line not in repr(above)
    capped = dualib.solve(TOY, 2.0 * onset, n_clusters=1)
    unknown = dualib.solve(TOY, 0.9 * onset, certify=False)
    assert capped.n_clusters == unknown.n_clusters == 1
    assert line not in repr(capped) and line not in repr(unknown)  # the cap's doing; not known


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(",a,b,c\nu,5,3,1\nv,1,8,2\nw,0,1,9\n", encoding="utf-8")
    (tmp_path / "flat.csv").write_text(",a,b\nu,1,2\nv,2,4\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "large.npy", rng.poisson(2.0, (300, 80)) + 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def output(command, capsys):
    assert main(command.split()) == 0
    return capsys.readouterr().out


def test_the_command_line_names_the_onset(folder, capsys):
    onset = dualib.onset(JointDistribution.from_counts(COUNTS))
    out = output("solve t.csv --beta 0.5", capsys)
    assert re.search(rf"one cluster +beta is below the onset of learning, {onset:.6g}: give a larger one\n", out)
    assert "onset" not in output("solve t.csv --beta 9", capsys)
    assert "nothing can be learned: y does not depend on x" in output("solve flat.csv --beta 9", capsys)
    joint = JointDistribution.from_counts(np.load("large.npy"))
    bound = dualib.local_critical_beta(joint)
    assert f"the onset of learning, at most {bound:.6g}: give" in output("solve large.npy --beta 2 --tol 1e-6", capsys)


def test_a_cap_above_the_number_of_x_is_said(folder, capsys):
    assert "12 is more than the 3 x, so it caps nothing" in output("solve t.csv --beta 9 --n-clusters 12", capsys)
    assert "caps nothing" not in output("solve t.csv --beta 9 --n-clusters 3", capsys)
    capped, free = (dualib.solve(TOY, 50.0, n_clusters=k) for k in (12, None))
    assert capped.status is Status.CONVERGED and capped.objective == free.objective


# --- files and the command line -----------------------------------------------------------------------------------------------

ENDINGS = {
    "t.xlsx": "export the sheet as CSV",
    "T.XLS": "export the sheet as CSV",
    "t.ods": "export the sheet as CSV",
    "t.parquet": "write it as CSV first",
    "t.txt": r"name a table of text \.csv \(commas or semicolons\) or \.tsv \(tabs\)",
    "t": r"name a table of text \.csv",
    "t.csv.gz": "unpack it first",
    "t.mat": "save the table in it as CSV",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_file_of_another_kind_has_its_remedy(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)  # as where nothing is there to read sheets
    path = str(tmp_path / name)
    with pytest.raises(ValueError, match=rf"path must end in one of \.csv, .*, got {re.escape(repr(path))}: {ENDINGS[name]}"):
        read_table(path)
    assert main(["solve", path, "--beta", "3"]) == 2
    assert re.search(ENDINGS[name], capsys.readouterr().err)


def test_a_spreadsheet_by_another_name(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    for content in (buffer.getvalue(), b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40)):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"t\.csv': this is a spreadsheet or an archive, .*: export the sheet as CSV"):
            read_table(tmp_path / "t.csv")


SUGGESTED = {
    "anneal t.csv --beta 3": ("dualib anneal: error: unrecognized arguments: --beta 3", "--betas"),
    "anneal t.csv --beta=3": ("dualib anneal: error: unrecognized arguments: --beta=3", "--betas"),
    "solve t.csv --betas 3": ("dualib solve: error: the following arguments are required: --beta", "--beta"),
    "solve t.csv --beta 3 --n_clusters 2": ("unrecognized arguments: --n_clusters 2", "--n-clusters"),
    "solve t.csv -beta 3": ("required: --beta", "--beta"),
    "solve t.csv --beta 3 --Smoothing 1": ("unrecognized arguments", "--smoothing"),
    "anneal t.csv --betamin 1 --betamax 2": ("unrecognized arguments", "--beta-min and --beta-max"),
    "compare t.csv t.csv --ntrain 10": ("dualib compare: error: unrecognized arguments", "--n-train"),
    "aneal t.csv": ("dualib: error: argument COMMAND: invalid choice: 'aneal'", "anneal"),
    "Solve t.csv": ("dualib: error: argument COMMAND: invalid choice: 'Solve'", "solve"),
}


@pytest.mark.parametrize("command", SUGGESTED)
def test_the_nearest_option_or_command_is_suggested(command, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    err = capsys.readouterr().err
    start, name = SUGGESTED[command]
    assert stop.value.code == 2 and err.count("\n") == 1
    assert start in err and f"; did you mean {name}? (see 'dualib" in err


@pytest.mark.parametrize("command", ["solve t.csv --beta 3 --frobnicate 1", "xyzzy", "", "solve t.csv --beta -3 -3"])
def test_nothing_is_suggested_for_what_is_like_nothing(command, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command.split())
    assert stop.value.code == 2
    assert "did you mean" not in capsys.readouterr().err


# --- where to start ------------------------------------------------------------------------------------------------------------


def test_the_help_of_the_package_begins_with_where_to_start():
    code = "import dualib, pydoc; print(pydoc.plain(pydoc.render_doc(dualib)))"
    environment = {**os.environ, "COLUMNS": "200"}
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
    start = text[: text.index("PACKAGE CONTENTS")]
    calls = re.findall(r">>> (?:\w+ = )?([\w.]+)", start)
    assert calls == [
        "import",
        *(
            "dualib.JointDistribution.from_counts",
            "dualib.solve",
            "dualib.anneal",
            "curve.save",
            "curve.plot_information_plane",
        ),
    ]
    for word in ("Where to start", "`onset`", "`certify`", "`read_table`", "`compare_predictions`", "dualib --help"):
        assert word in start


def test_the_five_calls_run(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib.pyplot").switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for line in re.findall(r"^>>> (.*)$", dualib.__doc__, re.M):
        exec(line, names)  # the package's own docstring
    assert names["solution"].gap < 1e-8 and len(names["curve"]) == 4
    assert len(dualib.load("curve.npz")) == 4


def test_dir_has_the_public_names_only():
    code = "import dualib, dualib.cli; dualib.solve; dualib.JointDistribution; print(*dir(dualib))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(names) == {*dualib.__all__, "networks", "plotting", "sharded", "__version__"}
    assert names == sorted(names)
    assert not {"Any", "importlib", "annotations", "joint", "solver", "cli", "_validation"} & set(names)
    assert all(hasattr(dualib, name) for name in names)
    assert pydoc.getdoc(dualib).startswith("dualib: the Information Bottleneck")


@pytest.mark.parametrize("call", [dualib.solve, dualib.quantize, dualib.agglomerate, dualib.anneal, dualib.onset])
def test_counts_in_the_place_of_a_joint_distribution(call):
    more = {dualib.solve: (2.0,), dualib.quantize: (2,)}.get(call, ())
    for table in ([[5, 1], [1, 8]], np.eye(3), dualib.CountTable([[5, 1], [1, 8]])):
        with pytest.raises(
            TypeError, match=r"joint must be a JointDistribution, got .*: write JointDistribution\.from_counts"
        ):
            call(table, *more)
