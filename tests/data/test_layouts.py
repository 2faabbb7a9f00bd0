"""Files as people have them: which layout, header, index and totals they have, guessed or said, and what is refused."""

import logging

import numpy as np
import pytest
from scipy import sparse

from dualib import JointDistribution, read_table
from dualib.data import labelled

WORDS, ANGLES = ("w1", "w2"), ("0", "45")
TABLE = [[5.0, 1.0], [1.0, 6.0]]


def written(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# content, options, counts, labels of x and of y; counts None: TABLE
READ = {
    "crosstab with a numeric header": ("word,0,45\nw1,5,1\nw2,1,6\n", {}, None, WORDS, ANGLES),
    "columns in an order of their own": ("word,45,0\nw1,1,5\nw2,6,1\n", {}, [[1, 5], [6, 1]], WORDS, ("45", "0")),
    "labels of another form than their name": ("animal,45,0\ncat,5,1\ndog,1,6\n", {}, None, ("cat", "dog"), ("45", "0")),
    "labels of any form under rising numbers": ("animal,0,45\ncat,5,1\nhorse,1,6\n", {}, None, ("cat", "horse"), ANGLES),
    "default index, then labels": (",word,0,45\n0,w1,5,1\n1,w2,1,6\n", {}, None, WORDS, ANGLES),
    "default index, then labels that are numbers": (",word,0,45\n0,101,5,1\n1,102,1,6\n", {}, None, ("101", "102"), ANGLES),
    "default index, then a column called id": (",id,red,green\n0,17,5,1\n1,3,1,6\n", {}, None, ("17", "3"), ("red", "green")),
    "written twice by pandas": (",Unnamed: 0,a,b\n0,7,5,1\n1,9,1,6\n", {}, None, ("7", "9"), ("a", "b")),
    "row numbers called index": ("index,word,0,45\n0,w1,5,1\n1,w2,1,6\n", {}, None, WORDS, ANGLES),
    "default index only": (",a,b\n0,5,1\n1,1,6\n", {}, None, ("0", "1"), ("a", "b")),
    "numbers for labels, under a name": ("neuron,a,b\n12,5,1\n15,1,6\n", {}, None, ("12", "15"), ("a", "b")),
    "numbers for labels on both sides": ("id,0,45\n12,5,1\n15,1,6\n", {}, None, ("12", "15"), ANGLES),
    "labels keep their zeros": ("id,007,07\n010,5,1\n10,1,6\n", {}, None, ("010", "10"), ("007", "07")),
    "labels that are words for nothing": (",NA,None\nnull,5,1\nnan,1,6\n", {}, None, ("null", "nan"), ("NA", "None")),
    "some labels are numbers": (
        "word,a,b\nw1,5,1\n2,1,6\nw3,0,2\n",
        {},
        [[5, 1], [1, 6], [0, 2]],
        ("w1", "2", "w3"),
        ("a", "b"),
    ),
    "header of numbers, as R writes it": ('"0","45"\n"w1",5,1\n"w2",1,6\n', {}, None, WORDS, ANGLES),
    "Excel's first line": ("sep=;\nword;0;45\nw1;5;1\nw2;1;6\n", {}, None, WORDS, ANGLES),
    "semicolons, decimal commas": ("word;0;45\nw1;5,0;1\nw2;1;6\n", {}, None, WORDS, ANGLES),
    "Windows, no line end, a mark": ("\ufeffword,0,45\r\nw1,5,1\r\nw2,1,6".encode(), {}, None, WORDS, ANGLES),
    "quoted commas": ('"word, token",0,45\n"w,1",5,1\n"w,2",1,6\n', {}, None, ("w,1", "w,2"), ANGLES),
    "margins of pandas": ("word,0,45,All\nw1,5,1,6\nw2,1,6,7\nAll,6,7,13\n", {}, None, WORDS, ANGLES),
    "margins beside numbers": ("id,0,45,All\n7,5,1,6\n9,1,6,7\nAll,6,7,13\n", {}, None, ("7", "9"), ANGLES),
    "a row of totals": ("word,0,45\nw1,5,1\nw2,1,6\nTotal,6,7\n", {}, None, WORDS, ANGLES),
    "a column of totals": ("word,a,b,Sum\nw1,5,1,6\nw2,1,6,7\n", {}, None, WORDS, ("a", "b")),
    "totals above": ("word,a,b\nGrand total,6,7\nw1,5,1\nw2,1,6\n", {}, None, WORDS, ("a", "b")),
    "the word all": ("word,a,b\nw1,5,1\nall,1,6\n", {}, None, ("w1", "all"), ("a", "b")),
    "sums by chance among small numbers": ("1,0,0\n0,1,1\n1,1,1\n", {}, [[1, 0, 0], [0, 1, 1], [1, 1, 1]], None, None),
    "sums that are counts": ("9,0,1\n1,9,5\n10,9,6\n", {"layout": "table"}, [[9, 0, 1], [1, 9, 5], [10, 9, 6]], None, None),
    "long": ("word,stimulus,count\nw1,0,5\nw1,45,1\nw2,0,1\nw2,45,6\n", {}, None, WORDS, ANGLES),
    "long, with a default index": (",x,y,n\n0,w1,0,5\n1,w2,0,1\n2,w1,45,1\n3,w2,45,6\n", {}, None, WORDS, ANGLES),
    "long, of numbers": ("id,angle,count\n9,0,5\n9,45,1\n10,0,1\n10,45,6\n", {}, None, ("9", "10"), ANGLES),
    "long, of text without a header": ("w1,a,5\nw1,b,1\nw2,a,1\nw2,b,6\n", {}, None, WORDS, ("a", "b")),
    "long, as groupby.size writes it": ("word,y,0\nw1,0,5\nw1,45,1\nw2,0,1\nw2,45,6\n", {}, None, WORDS, ANGLES),
    "long, pairs again and pairs missing": ("x,y,count\nb,u,1\na,v,2\nb,u,4\n", {}, [[0, 2], [5, 0]], ("a", "b"), ("u", "v")),
    "long, as said": ("9,0,5\n9,45,1\n10,0,1\n10,45,6\n", {"layout": "long"}, None, ("9", "10"), ANGLES),
    "samples": ("word,stimulus\nw1,0\nw1,45\nw2,45\nw1,0\n", {}, [[2, 1], [0, 1]], WORDS, ANGLES),
    "samples of text": ("word,tag\nw1,n\nw1,v\nw2,v\nw1,n\n", {}, [[2, 1], [0, 1]], WORDS, ("n", "v")),
    "samples without a header": ("w1,n\nw1,v\nw2,v\nw1,n\n", {}, [[2, 1], [0, 1]], WORDS, ("n", "v")),
    "samples with a default index": (",word,tag\n0,w1,n\n1,w1,v\n2,w2,v\n3,w1,n\n", {}, [[2, 1], [0, 1]], WORDS, ("n", "v")),
    "samples, y a word": ("angle,word\n45,w1\n0,w1\n0,w2\n", {}, [[1, 1], [1, 0]], ANGLES, WORDS),
    "samples, as said": ("0,1\n1,0\n0,1\n", {"layout": "samples"}, [[0, 2], [1, 0]], ("0", "1"), ("0", "1")),
    "header said": ("0,45\n5,1\n1,6\n", {"header": True}, None, None, ANGLES),
    "no header said": ("0,45\n5,1\n", {"header": False}, [[0, 45], [5, 1]], None, None),
    "index said": ("1,5,1\n2,1,6\n3,2,2\n4,1,7\n", {"index": True}, [[5, 1], [1, 6], [2, 2], [1, 7]], tuple("1234"), None),
    "no index said": ("a,b\n1,5\n2,1\n3,2\n", {"index": False}, [[1, 5], [2, 1], [3, 2]], None, ("a", "b")),
    "one row": ("5,3,1\n", {}, [[5, 3, 1]], None, None),
    "probabilities are no header": ("0.1,0.2,0.3\n0.1,0.1,0.2\n", {}, [[0.1, 0.2, 0.3], [0.1, 0.1, 0.2]], None, None),
    "conditionals are no header": ("0,0.25,0.75\n0.5,0.25,0.25\n", {}, [[0, 0.25, 0.75], [0.5, 0.25, 0.25]], None, None),
}


@pytest.mark.parametrize("name", READ)
def test_files_are_read_as_what_they_are(tmp_path, name):
    content, options, counts, x_labels, y_labels = READ[name]
    table = read_table(written(tmp_path, content), **options)
    np.testing.assert_array_equal(table.counts, TABLE if counts is None else counts)
    assert (table.x_labels, table.y_labels) == (x_labels, y_labels)


HEADER, INDEX = (
    r"say header=True or header=False \(--header yes or no\)",
    r"say index=True or index=False \(--index yes or no\)",
)
LAYOUT = r"say layout='table' or layout='{0}' \(--layout table or {0}\)"
REFUSED = {
    "header only, numbers": ("word,0,45\n", f"line 1: cannot tell whether word,0,45... is a header or counts: {HEADER}"),
    "header only, text": ("word,a,b\n", r"no numbers, only labels: header=False \(--header no\)"),
    "rising numbers over numbers": (
        "0,45\n5,1\n1,6\n",
        f"line 1: cannot tell whether 0,45... is a header or counts: {HEADER}",
    ),
    "running numbers over numbers": ("0,1,2\n5,3,0\n2,8,2\n", "line 1: cannot tell whether 0,1,2... is a header"),
    "rising numbers beside a like label": ("w0,1,2\nw1,5,1\nw2,1,6\n", "line 1: cannot tell whether w0,1,2... is a header"),
    "other numbers beside words": ("the,5,3\na,1,1\nof,4,2\n", "line 1: cannot tell whether the,5,3... is a header"),
    "running numbers before numbers": (
        "0,5,3\n1,2,8\n2,4,4\n",
        f"cannot tell whether 0,1,2... below each other are .*{INDEX}",
    ),
    "rising numbers under text": ("a,b,c\n12,5,3\n15,2,8\n17,4,4\n", f"cannot tell whether 12,15,17... below .*{INDEX}"),
    "rising numbers after a default index": (
        ",a,b\n0,1,3\n1,2,8\n2,5,8\n",
        "whether 1,2,5... in column 'a' are labels or counts",
    ),
    "text among numbers above": (
        "group,control,0,45\nw1,5,1,2\nw2,1,6,2\n",
        f"line 1: text .'group'. mixed with numbers.*{HEADER}",
    ),
    "a bare long table": ("0,0,5\n0,45,1\n1,0,1\n1,45,6\n", "three columns of numbers: .*" + LAYOUT.format("long")),
    "a long table of other names": (
        "a,b,c\n0,0,5\n0,45,1\n1,0,1\n1,45,6\n",
        "three columns of numbers: .*" + LAYOUT.format("long"),
    ),
    "bare samples": ("0,1\n1,0\n0,1\n1,1\n", "two columns of numbers: .*" + LAYOUT.format("samples")),
    "columns x and y": ("x,y\n3,1\n1,2\n", "two columns of numbers: .*" + LAYOUT.format("samples")),
    "one column of counts": ("word,count\nthe,5\na,1\n", "labels and numbers: .*" + LAYOUT.format("samples")),
    "labels twice": ("word,a,b\nw1,5,1\nw2,2,2\nw1,1,6\n", "label 'w1' twice, in lines 2 and 4: .*--layout long"),
    "names twice": ("word,a,a\nw1,5,1\nw2,1,6\n", "label 'a' twice, in columns 1 and 2"),
    "counts by an id twice": ("id,a,b\n3,5,1\n3,1,6\n", "label '3' twice"),
    "an empty cell": ("word,0,45\nw1,5,\nw2,1,6\n", r"line 2: a missing value \(an empty cell\) in column '45': write 0"),
    "a missing value": ("word,0,45\nw1,5,1\nw2,NaN,6\n", r"line 3: a missing value \('NaN'\) in column '0'"),
    "a missing sample": ("word,tag\nw1,n\nw1,\n", r"line 3: a missing value \(an empty cell\) for y: leave the line out"),
    "a missing symbol of a long table": ("word,tag,n\nNA,n,1\nw1,v,2\n", r"line 2: a missing value \('NA'\) for x"),
    "a missing count of a long table": ("word,tag,n\nw1,n,1\nw1,v,\n", r"line 3: a missing value .* in the column of counts"),
    "a total that is none": ("word,a,b\nw1,5,1\nw2,1,6\nTotal,6,8\n", "the row 'Total' is not the sum of the others"),
    "sums without a name": ("5,1,6\n1,6,7\n6,7,13\n", r"the last row is the sum of the others.*--layout table"),
    "sums by another name": ("word,a,b\nw1,5,4\nw2,1,6\nN,6,10\n", r"the last row \('N'\) is the sum of the others"),
    "a column of text": ("word,pos,a,b\nw1,N,5,1\nw2,V,1,6\n", r"line 2: 'N' is not a finite number \(column 'pos'\)"),
    "thousands": ('word,a,b\nw1,"1,234",5\nw2,2,3\n', "'1,234' is not a finite number: write numbers without commas"),
    "thousands with spaces": ("word,a,b\nw1,1 234,5\nw2,2,3\n", "'1 234' is not .*without separators of thousands"),
    "thousands with points": ("word;a;b\nw1;1.234;5\nw2;2;3\n", "'1.234' may have a decimal point or a thousands separator"),
    "percent": ("word,a,b\nw1,5%,5\nw2,2,3\n", "'5%' is not .*without percent signs"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_read_in_two_ways_is_refused_with_what_decides(tmp_path, name):
    content, message = REFUSED[name]
    with pytest.raises(ValueError, match=rf"^path '.*t\.csv'.*{message}"):
        read_table(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("a,b,c\nd,e,f\n", {"layout": "samples"}, "layout='samples' has two columns, x and y, got 3 columns"),
        ("a,b\nd,e\n", {"layout": "long"}, "layout='long' has three columns, x, y and counts, got 2 columns"),
        ("a,b\n", {"layout": "samples", "header": True}, "no samples, only a header"),
        ("w1,5,1\nw2,1,6\n", {"index": False, "header": False}, "'w1' is not a finite number"),
    ],
)
def test_what_is_said_and_is_not_so_is_refused(tmp_path, content, options, message):
    with pytest.raises(ValueError, match=message):
        read_table(written(tmp_path, content), **options)


def test_arrays_have_no_header(tmp_path):
    np.save(tmp_path / "t.npy", TABLE)
    for options in ({"header": True}, {"index": True}, {"layout": "samples"}):
        with pytest.raises(ValueError, match=r"t\.npy' is an array, a table without names"):
            read_table(tmp_path / "t.npy", **options)
    assert read_table(tmp_path / "t.npy", header=False, layout="table").guess == ""


@pytest.mark.parametrize("options", [{"header": 0}, {"index": "yes"}, {"layout": "wide"}, {"layout": None}])
def test_bad_options(tmp_path, options):
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
        read_table(written(tmp_path, "a,b\n1,2\n"), **options)


# --- the guess is said ------------------------------------------------------------------------------------------------------


def test_a_guess_is_said_and_logged(tmp_path, caplog):
    path = written(tmp_path, ",word,0,45,All\n0,w1,5,1,6\n1,w2,1,6,7\n")
    with caplog.at_level(logging.INFO, logger="dualib"):
        table = read_table(path)
    assert table.guess == (
        "read as a table, line 1 is a header, the second column holds labels, the first column numbers the rows and is left out, "
        "the column 'All' holds sums and is left out"
    )
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {table.guess}"]
    assert table.guess in repr(table) and repr(table).startswith(
        "CountTable(2 x by 2 y, counts, with labels of x and y; read as"
    )
    again = read_table(written(tmp_path, "word,0,45\nw1,5,1\nw2,1,6\n"), header=True, index=True, layout="table")
    assert again.guess == "" and repr(again) == "CountTable(2 x by 2 y, counts, with labels of x and y)"


# --- against what wrote the file ------------------------------------------------------------------------------------------------


def random_labels(kind, n, rng):
    if kind == "words":
        return [f"{'abcdefghij'[i]}{'x' * int(rng.integers(5))}" for i in range(n)]
    if kind == "codes":
        return [f"w{i}" for i in range(n)]
    if kind == "numbers":
        return np.sort(rng.choice(360, n, replace=False)).tolist()
    return {"run": list(range(n)), "angles": list(range(0, 45 * n, 45)), "doses": [0.5 * 2**i for i in range(n)]}[kind]


def test_what_pandas_writes_comes_back(tmp_path):
    """Random counts with labels of many kinds, in each form that pandas writes: read right, or refused, and never read wrong."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(3)
    path, refused, number = tmp_path / "t.csv", 0, 0
    for trial in range(60):
        n_x, n_y = rng.integers(3, 9, size=2)
        counts = rng.poisson(rng.choice([2.0, 40.0]), (n_x, n_y)) + np.eye(n_x, n_y, dtype=int)
        rows = random_labels(["words", "codes", "numbers"][trial % 3], n_x, rng)
        columns = random_labels(["words", "codes", "numbers", "run", "angles", "doses"][int(rng.integers(6))], n_y, rng)
        name = ["word", "animal", None][int(rng.integers(3))]
        frame = pandas.DataFrame(counts, index=pandas.Index(rows, name=name), columns=columns)
        long = frame.stack().reset_index().set_axis([name or "x", "stimulus", "count"], axis=1)
        margins = frame.assign(All=frame.sum(axis=1))
        margins.loc["All"] = margins.sum(axis=0)
        forms = {
            "index": (frame, {}),
            "column": (frame.reset_index(), {}),
            "column alone": (frame.reset_index(), {"index": False}),
            "margins": (margins.rename_axis(name), {}),
            "long": (long, {"index": False}),
            "long with index": (long, {}),
            "semicolons": (frame, {"sep": ";"}),
        }
        for form, (source, options) in forms.items():
            source.to_csv(path, **options)
            number += 1
            try:
                table = read_table(path)
            except ValueError as error:
                assert "cannot tell" in str(error) or "mixed with numbers" in str(error), error
                refused += 1
                continue
            found = pandas.DataFrame(table.counts, index=table.x_labels, columns=table.y_labels)
            assert set(found.index) == set(map(str, rows)) and set(found.columns) == set(map(str, columns)), (
                form,
                path.read_text(),
            )
            np.testing.assert_array_equal(found.loc[list(map(str, rows)), list(map(str, columns))], counts, err_msg=form)
    assert refused < 0.1 * number


def test_large_alphabets_are_sparse(tmp_path, monkeypatch):
    monkeypatch.setattr("dualib.data.samples.LARGEST_DENSE", 8)
    content = "x,y,count\na,u,1\nb,v,2\nc,w,3\na,u,4\n"
    table = read_table(written(tmp_path, content))
    assert sparse.issparse(table.counts) and table.counts.nnz == 3
    np.testing.assert_array_equal(table.counts.toarray(), np.diag([5, 2, 3]))
    assert JointDistribution.from_counts(table).is_sparse


def test_names_of_labels_are_found_in_any_case():
    assert labelled.names_labels("Neuron") and labelled.names_labels("doc_ID") and not labelled.names_labels("grid")


# --- sheets and parquet, by pandas ----------------------------------------------------------------------------------------------


def test_sheets_are_read_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    frame = pandas.DataFrame(TABLE, index=pandas.Index(["010", "w2"], name="word"), columns=[0, 45])
    frame.to_excel(tmp_path / "t.xlsx")
    table = read_table(tmp_path / "t.xlsx")
    assert table.counts.tolist() == TABLE and (table.x_labels, table.y_labels) == (("010", "w2"), ANGLES)
    assert table.guess.startswith("read as a table, row 1 is a header")
    frame.iloc[0, 1] = np.nan
    frame.to_excel(tmp_path / "t.xlsx")
    with pytest.raises(ValueError, match=r"t\.xlsx', row 2: a missing value \(an empty cell\) in column '45'"):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "t.xlsx").write_text("no sheet", encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.xlsx' cannot be read by pandas"):
        read_table(tmp_path / "t.xlsx")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.xlsx")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parquet_is_read_by_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(TABLE, index=pandas.Index(["010", "w2"], name="word"), columns=["0", "45"])
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert table.counts.tolist() == TABLE and (table.x_labels, table.y_labels) == (("010", "w2"), ANGLES)
    samples = pandas.DataFrame({"word": ["w1", "w1", "w2"], "tag": ["n", "v", "v"]})
    samples.to_parquet(tmp_path / "s.parquet")
    table = read_table(tmp_path / "s.parquet", layout="samples")
    assert table.counts.tolist() == [[1, 1], [0, 1]] and (table.x_labels, table.y_labels) == (WORDS, ("n", "v"))
