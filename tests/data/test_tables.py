"""Tables from files: what is read, and what is refused with which words."""

import io
import re
import struct
import zipfile

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

from dualib import JointDistribution, read_table
from dualib.cli.main import main

COUNTS = np.array([[5.0, 3.0, 0.0], [2.0, 8.0, 2.0]])


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- text -------------------------------------------------------------------------------------------------------------

NUMBERS = "5,3,0\n2,8,2\n"
LABELLED = ",a,b,c\nu,5,3,0\nv,2,8,2\n"
TEXT = {
    "bare": (NUMBERS, None, None),
    "no newline at the end": (NUMBERS[:-1], None, None),
    "header": ("a,b,c\n5,3,0\n2,8,2\n", None, "abc"),
    "label column": ("u,5,3,0\nv,2,8,2\n", "uv", None),
    "both, empty corner": (LABELLED, "uv", "abc"),
    "both, named corner": ("x" + LABELLED, "uv", "abc"),
    "both, no corner, as R writes": ('"a","b","c"\n"u",5,3,0\n"v",2,8,2\n', "uv", "abc"),
    "numbers as labels, as pandas writes": (",0,1,2\n0,5,3,0\n1,2,8,2\n", "01", "012"),
    "numbers as labels, named corner": ("x,0,1,2\n0,5,3,0\n1,2,8,2\n", "01", "012"),
    "labels some of which are numbers": (",a,1,c\nu,5,3,0\n2,2,8,2\n", "u2", "a1c"),
    "byte order mark": ("\ufeff" + LABELLED, "uv", "abc"),
    "CRLF": (LABELLED.replace("\n", "\r\n"), "uv", "abc"),
    "old Mac": (LABELLED.replace("\n", "\r"), "uv", "abc"),
    "UTF-16": (LABELLED.encode("utf-16"), "uv", "abc"),
    "blank lines at the ends": ("\n\n" + LABELLED + "\n \n,,,\n", "uv", "abc"),
    "spaces": (" , a, b ,c\nu , 5, 3,0 \nv,2, 8,2\n", "uv", "abc"),
    "semicolons": (LABELLED.replace(",", ";"), "uv", "abc"),
    "tabs in a .csv": (LABELLED.replace(",", "\t"), "uv", "abc"),
    "floats": ("5.,3e0,0.0\n+2,80e-1,.2e1\n", None, None),
    "decimal commas": ("5,0;3,0;0\n2,0;8,00;2\n", None, None),
}


@pytest.mark.parametrize(("content", "rows", "columns"), TEXT.values(), ids=TEXT)
def test_text_tables_are_read(tmp_path, content, rows, columns):
    table = read_table(written(tmp_path, "t.csv", content))
    assert table.counts.tolist() == COUNTS.tolist()
    assert table.x_labels == (None if rows is None else tuple(rows))
    assert table.y_labels == (None if columns is None else tuple(columns))
    assert table.kind == "counts"


def test_tsv_is_read(tmp_path):
    table = read_table(written(tmp_path, "t.TSV", LABELLED.replace(",", "\t").replace("a", '"a,b"')))
    assert table.counts.tolist() == COUNTS.tolist()
    assert table.y_labels == ("a,b", "b", "c")


def test_quotes_hold_separators_and_line_breaks(tmp_path):
    table = read_table(written(tmp_path, "t.csv", ',"a,\n;","say ""b"""\n"u,v",1,2\n'))
    assert (table.x_labels, table.y_labels) == (("u,v",), ("a,\n;", 'say "b"'))


def test_a_number_of_one_row_or_one_column_is_a_table(tmp_path):
    assert read_table(written(tmp_path, "a.csv", "5\n6\n")).counts.tolist() == [[5.0], [6.0]]
    assert read_table(written(tmp_path, "b.csv", "a\n5\n6\n")).y_labels == ("a",)
    assert read_table(written(tmp_path, "c.csv", "r,5,6\n"), header=False).x_labels == ("r",)


def test_decimal_commas_between_semicolons_are_probabilities(tmp_path):
    table = read_table(written(tmp_path, "t.csv", "0,5;0,25\n0,1;0,15\n"))
    assert table.counts.tolist() == [[0.5, 0.25], [0.1, 0.15]]
    assert table.kind == "probabilities"


BAD_TEXT = {
    "ragged": ("1,2,3\n4,5,6\n7,8\n", "line 3: ragged: 2 cell.* line 1 has 3"),
    "ragged header": ("a,b\n7,1,2\n9,3,4\n", "line 2: ragged"),
    "ragged after quoted line breaks": (',"a\nb",c\nu,1,2\nv,1\n', "line 4: ragged"),
    "blank line inside": ("1,2\n\n3,4\n", "line 2: an empty line"),
    "empty cell": ("1,2\n3,\n", r"line 2: a missing value \(an empty cell\) in column 2: write 0 if nothing was counted"),
    "trailing commas": ("1,2,\n3,4,\n", r"line 1: a missing value \(an empty cell\) in column 3"),
    "not a number": ("1,2\n3,x\n", "line 2: 'x' is not a finite number"),
    "NaN": ("a,b\n1,2\n3,nan\n", r"line 3: a missing value \('nan'\) in column 'b'"),
    "missing first": ("NA,2\n3,4\n", r"line 1: a missing value \('NA'\)"),
    "infinite": ("1,2\ninf,4\n", "line 2: 'inf' is not a finite"),
    "overflow": ("1,2\n3,1e999\n", "line 2: .*finite, got 1e999"),
    "underscore": ("1,2\n3,1_000\n", "line 2: '1_000' is not"),
    "negative": ("a,b\n1,2\n-3,4\n", "line 3: entries must be >= 0 and finite, got -3"),
    "thousands": ('"1,234",2\n3,4\n', "line 1: '1,234' is not .* without commas"),
    "decimal or thousands": ("1,234;567\n1;2\n", "line 1: '1,234' may have a decimal comma"),
    "comma and point": ("0.5;2\n0,5;1\n", "line 1: '0.5' has a decimal point, but '0,5' in line 2"),
    "slip in the first column": ("1,2\n4x,5\n", "line 2: text .'4x'. mixed with numbers in the first column"),
    "slip in the first line": ("1,2x\n3,4\n", "line 1: text .'2x'. mixed with numbers"),
    "slip in the corner": ("1O,2\n3,4\n", "line 1: '1O' is not a finite number"),
    "header or data": ("w,0,1\na,5,3\nb,2,1\n", "line 1: cannot tell whether w,0,1... is a header or counts: say header=True"),
    "labels or data": ("a,b,c\n0,5,3\n1,2,1\n", "line 1: cannot tell whether 0,1... below each other are labels or counts"),
    "open quote": ('1,"2\n3,4\n', "line 1: unexpected end"),
    "empty": ("", "the file is empty"),
    "blank": ("\r\n\r\n", "the file is empty"),
    "header only": ("a,b,c\n", "no numbers, only labels"),
    "prose": ("Dear reader\nthere is no table here\n", "no numbers, only labels"),
    "all zero": ("0,0,0\n0,0,0\n", "the sum of the table must be positive and finite, got 0.0"),
    "infinite sum": ("1e308,1e308\n1e308,1\n", "the sum of the table must be positive and finite, got inf"),
    "binary": (b"1,2\n\x00,4\n", "line 2: a zero byte"),
    "Latin-1": ("1,2\né,4\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00", "line 1: byte 0x89 is not UTF-8"),
}


@pytest.mark.parametrize(("content", "message"), BAD_TEXT.values(), ids=BAD_TEXT)
def test_bad_text_is_refused_with_file_and_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"^path '.*bad\.csv'.*{message}"):
        read_table(written(tmp_path, "bad.csv", content))


def test_decimal_commas_between_tabs_are_refused_with_the_line(tmp_path):
    with pytest.raises(ValueError, match=r"bad\.tsv', line 2: '0,5' is not a finite number: write numbers without commas"):
        read_table(written(tmp_path, "bad.tsv", "1\t2\n0,5\t1\n"))


# --- binary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float32, np.float64, ">f8"])
def test_npy_is_read(tmp_path, dtype):
    np.save(tmp_path / "t.npy", COUNTS.astype(dtype))
    table = read_table(tmp_path / "t.npy")
    assert table.counts.dtype == np.float64
    assert table.counts.tolist() == COUNTS.astype(dtype).tolist()


@pytest.mark.parametrize("arrays", [{"anything": COUNTS}, {"counts": COUNTS, "other": COUNTS[:1]}, {"pxy": COUNTS}])
def test_dense_npz_is_read(tmp_path, arrays):
    np.savez(tmp_path / "t.npz", **arrays)
    assert read_table(tmp_path / "t.npz").counts.tolist() == COUNTS.tolist()


def test_npz_may_hold_labels(tmp_path):
    np.savez(tmp_path / "t.npz", table=COUNTS, x_labels=["u", "v"], y_labels=np.arange(3))
    table = read_table(tmp_path / "t.npz")
    assert (table.x_labels, table.y_labels) == (("u", "v"), ("0", "1", "2"))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
def test_sparse_npz_stays_sparse(tmp_path, form):
    sparse.save_npz(tmp_path / "t.npz", sparse.coo_array(COUNTS).asformat(form))
    table = read_table(tmp_path / "t.npz")
    assert sparse.issparse(table.counts)
    assert table.counts.toarray().tolist() == COUNTS.tolist()
    assert JointDistribution.from_counts(table).is_sparse


@pytest.mark.parametrize("matrix", [COUNTS, sparse.coo_matrix(COUNTS), sparse.coo_matrix(COUNTS.astype(int))])
def test_mtx_is_read(tmp_path, matrix):
    mmwrite(tmp_path / "t.mtx", matrix)
    values = read_table(tmp_path / "t.mtx").counts
    assert sparse.issparse(values) == sparse.issparse(matrix)
    assert (values.toarray() if sparse.issparse(values) else values).tolist() == COUNTS.tolist()


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def zipped(name, content, method=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def shortened(array, missing):
    """An .npz file with sums that fit, whose one member holds `missing` bytes less than it says."""
    content = npy(array)
    whole = zipped("a.npy", content[:-missing], zipfile.ZIP_DEFLATED)
    return whole.replace(struct.pack("<L", len(content) - missing), struct.pack("<L", len(content)))


HUGE = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
HUGE += b"{'descr': '<f8', 'fortran_order': False, 'shape': (9000000000, 9000000000), }".ljust(117) + b"\n"
MTX = "%%MatrixMarket matrix coordinate {} general\n{}"
BAD_BINARY = {
    "text.npy": (b"1,2\n3,4\n", "is not a NumPy array, as its ending says: it starts with b'1,2"),
    "text.npz": (b"1,2\n3,4\n", "is not a NumPy archive"),
    "text.mtx": (b"1,2\n3,4\n", "is not a Matrix Market file"),
    "empty.npy": (b"", "is not a NumPy array"),
    "array.npz": (npy(COUNTS), "is not a NumPy archive"),
    "archive.npy": (npz(a=COUNTS), "is not a NumPy array"),
    "cut.npy": (npy(COUNTS)[:-5], "cannot be read as a NumPy array"),
    "head.npy": (npy(COUNTS)[:9], "cannot be read as a NumPy array"),
    "huge.npy": (HUGE, "cannot be read as a NumPy array"),
    "pickle.npy": (npy(np.array([[1, "a"]], dtype=object), allow_pickle=True), "cannot be read.*allow_pickle=False"),
    "pickle.npz": (npz(a=np.array([[1, "a"]], dtype=object)), "cannot be read.*allow_pickle=False"),
    "complex.npy": (npy(COUNTS + 1j), "must hold real numbers, got dtype complex128"),
    "words.npy": (npy(np.array([["a", "b"]])), "must hold real numbers, got dtype <U1"),
    "line.npy": (npy(COUNTS[0]), r"two dimensions and at least one entry, got shape \(3,\)"),
    "cube.npy": (npy(COUNTS[None]), "two dimensions"),
    "none.npy": (npy(COUNTS[:0]), r"at least one entry, got shape \(0, 3\)"),
    "nan.npy": (npy(np.array([[1.0, np.nan]])), "entries must be finite, got nan"),
    "inf.npy": (npy(np.array([[1.0, np.inf]])), "entries must be finite, got inf"),
    "negative.npy": (npy(-COUNTS), "entries must be >= 0, got -8.0"),
    "zero.npy": (npy(0.0 * COUNTS), "sum of the table must be positive and finite, got 0.0"),
    "short.npz": (shortened(COUNTS, 8), "an array ends after 40 of 48 bytes"),
    "cut.npz": (npz(a=COUNTS)[:-30], "cannot be read as a NumPy archive"),
    "several.npz": (npz(a=COUNTS, b=COUNTS), r"one called 'counts' or 'pxy', and it holds \['a', 'b'\]"),
    "both.npz": (npz(counts=COUNTS, pxy=COUNTS), "must hold one array"),
    "labels.npz": (npz(a=COUNTS, x_labels=np.zeros((2, 2))), "labels must be one-dimensional text"),
    "other.npz": (zipped("a.txt", "hello"), "something that is not an array"),
    "sparse.npz": (npz(format=np.array(b"csr"), shape=np.array([2, 2]), data=np.ones(2)), "cannot be read"),
    "complex.mtx": (MTX.format("complex", "1 1 1\n1 1 2 3\n").encode(), "cannot be read.*real numbers"),
    "cut.mtx": (MTX.format("real", "2 2 2\n1 1 3\n").encode(), "cannot be read as a Matrix Market file"),
    "outside.mtx": (MTX.format("real", "2 2 1\n5 1 3\n").encode(), "cannot be read as a Matrix Market file"),
    "negative.mtx": (MTX.format("real", "2 2 2\n1 1 -3\n2 2 9\n").encode(), "entries must be >= 0, got -3.0"),
}


@pytest.mark.parametrize("name", BAD_BINARY)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path, name):
    content, message = BAD_BINARY[name]
    with pytest.raises(ValueError, match=f"^path '.*{name}'.*{message}"):
        read_table(written(tmp_path, name, content))


def test_labels_of_the_wrong_number_are_refused(tmp_path):
    with pytest.raises(ValueError, match="x_labels"):
        read_table(written(tmp_path, "t.npz", npz(a=COUNTS, x_labels=np.array(["u"]))))


@pytest.mark.parametrize("name", ["t.txt", "t.json", "t", "csv"])
def test_an_unknown_ending_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"path must end in one of \.csv, \.tsv, \.npy, \.npz, \.mtx, got"):
        read_table(written(tmp_path, name, NUMBERS))


def test_a_missing_file_and_a_folder_are_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OSError, match="folder"):
        read_table(tmp_path / "folder.csv")


@pytest.mark.parametrize("path", [None, 3.5, b"t.csv", ["t.csv"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError):
        read_table(path)


# --- what it becomes --------------------------------------------------------------------------------------------------

KINDS = {
    "counts": "5,3\n2,8\n",
    "probabilities": "0.25,0.25\n0.3,0.2\n",
    "conditionals": "0.25,0.75\n0.5,0.5\n",
    "weights": "0.5,3\n2,8\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_kind_is_told_and_the_table_normalised(tmp_path, kind):
    table = read_table(written(tmp_path, "t.csv", KINDS[kind]))
    assert table.kind == kind
    joint = JointDistribution.from_counts(table)
    np.testing.assert_allclose(joint.pxy, table.counts / table.counts.sum(), rtol=1e-14)
    if kind == "conditionals":
        np.testing.assert_allclose(joint.px, 0.5, rtol=1e-14)


def test_smoothing_is_added_to_every_cell(tmp_path):
    table = read_table(written(tmp_path, "t.csv", LABELLED))
    expected = JointDistribution.from_counts(COUNTS + 0.5, x_labels=list("uv"), y_labels=list("abc"))
    assert JointDistribution.from_counts(table, smoothing=0.5) == expected
    assert JointDistribution.from_counts(table) == JointDistribution.from_counts(
        COUNTS, x_labels=list("uv"), y_labels=list("abc")
    )


# --- what people have instead ----------------------------------------------------------------------------------------

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
