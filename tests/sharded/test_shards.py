"""Shards from files and functions: what is written is read again, and what is no shard is refused by its name."""

import functools
import re
import sys

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib.sharded import ShardedJoint, write_shards
from dualib.sharded.parquet import Format
from dualib.sharded.shards import load

COUNTS = np.array([[3, 0, 1, 0], [0, 0, 0, 0], [0, 2, 0, 5], [1, 1, 1, 1], [0, 0, 7, 0]])
pyarrow = pytest.importorskip("pyarrow")


def dense(shard, n_y):
    """The rows as they were given."""
    return shard.part(0, len(shard.mass), n_y).toarray() * shard.mass[:, None]


def long_table(path, columns, names=("x", "y", "count")):
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(dict(zip(names, columns, strict=True))), path)
    return path


@pytest.mark.parametrize("size", [1, 2, 5, 9])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array, sparse.coo_array, sparse.csc_matrix])
def test_what_is_written_is_read_again(tmp_path, size, form):
    files = write_shards(form(COUNTS), tmp_path / "new" / "shards", size)
    assert [path.name for path in files] == sorted(path.name for path in (tmp_path / "new" / "shards").iterdir())
    assert len(files) == -(-5 // size) and not (tmp_path / "new" / "shards.part").exists()
    shards = [load(path, Format()) for path in files]
    np.testing.assert_allclose(np.vstack([dense(shard, 4) for shard in shards]), COUNTS, rtol=1e-15)
    joint = ShardedJoint(tmp_path / "new" / "shards")
    assert (joint.n_shards, joint.n_x, joint.n_y, joint.nonzeros, joint.total) == (len(files), 5, 4, 9, 22.0)
    assert joint.rows == tuple(len(shard.mass) for shard in shards)
    assert joint.x_labels(0) == tuple(map(str, range(min(size, 5))))


def test_a_joint_distribution_and_a_frame_can_be_written(tmp_path):
    pandas = pytest.importorskip("pandas")
    pxy = dualib.JointDistribution.from_counts(COUNTS)
    write_shards(pxy, tmp_path / "a", 3)
    write_shards(pandas.DataFrame(COUNTS, index=list("abcde")), tmp_path / "b", 3)
    for name, total in (("a", 1.0), ("b", 22.0)):
        joint = ShardedJoint(tmp_path / name)
        assert joint.total == pytest.approx(total, rel=1e-15)
        assert joint.mutual_information == pytest.approx(pxy.mutual_information, rel=1e-13)


def test_nothing_is_written_over(tmp_path):
    write_shards(COUNTS, tmp_path / "shards", 2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    with pytest.raises(FileExistsError, match="shards' is there and not empty: give another one, or remove it"):
        write_shards(2 * COUNTS, tmp_path / "shards", 3)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    (tmp_path / "left.part").mkdir()
    (tmp_path / "left.part" / "shard-00000.npz").touch()  # of a process that died
    with pytest.raises(FileExistsError, match=r"left\.part' is there and not empty"):
        write_shards(COUNTS, tmp_path / "left", 3)
    (tmp_path / "empty").mkdir()
    assert len(write_shards(COUNTS, tmp_path / "empty", 3)) == 2


def test_counts_of_parquet_files(tmp_path):
    """Lines in any order, some pairs twice; x are text or numbers, y numbers or text with their labels."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 6, 50), rng.integers(0, 4, 50)
    counts = rng.integers(1, 5, 50)
    expected = np.zeros((6, 4))
    np.add.at(expected, (x, y), counts)
    order = list(dict.fromkeys(x.tolist()))
    ways = np.array(["north", "east", "south", "west"])
    for i, column in enumerate((x, x.astype(str), np.array([f"2026-01-0{v + 1}" for v in x], dtype="datetime64[D]"))):
        path = long_table(tmp_path / f"{i}.parquet", (column, y, counts))
        np.testing.assert_allclose(dense(load(path, Format()), 4), expected[order], rtol=1e-15)
        names = ShardedJoint([path]).x_labels(0)
        assert names == tuple(f"2026-01-0{v + 1}" if i == 2 else str(v) for v in order)
    path = long_table(tmp_path / "t.parquet", (x, ways[y], counts / 7.0), ("user", "way", "n"))
    form = Format(("user", "way", "n"), ("west", "north", "up", "east", "south"))
    found = dense(load(path, form), 5)
    np.testing.assert_allclose(7.0 * found[:, [1, 3, 4, 0]], expected[order], rtol=1e-14)
    assert not found[:, 2].any()
    joint = ShardedJoint([path, path], columns=("user", "way", "n"), y_labels=form.y_labels)
    assert (joint.n_y, joint.n_x) == (5, 12)


def test_widths_of_parquet_files_are_the_largest_y_unless_they_are_said(tmp_path):
    files = [long_table(tmp_path / f"{i}.parquet", ([0, 1], [0, top], [1, 2])) for i, top in enumerate((2, 6))]
    assert ShardedJoint(files).n_y == 7
    assert ShardedJoint(files, n_y=9).n_y == 9
    with pytest.raises(ValueError, match=r"1\.parquet' has a y of number 6, beyond the n_y = 5: give n_y, or all y_labels"):
        ShardedJoint(files, n_y=5)
    wide = tmp_path / "a.npz"
    sparse.save_npz(wide, sparse.csr_array(np.eye(6)))
    with pytest.raises(ValueError, match=r"1\.parquet' has a y of number 6, beyond the 6 of .*a\.npz"):
        ShardedJoint([wide, *files])


BAD_LINES = [
    (([0], [-1], [1]), ValueError, "column 'y' must hold whole numbers from 0 on, got -1"),
    (([0], [0.5], [1]), TypeError, "column 'y' must hold whole numbers from 0 on, got double: give y_labels"),
    (([0], ["a"], [1]), TypeError, "column 'y' must hold whole numbers from 0 on, got string: give y_labels"),
    (([0], [0], [-1]), ValueError, "must be non-negative, got -1.0"),
    (([0], [0], ["1"]), TypeError, "column 'count' must hold real numbers"),
    (([0, None], [0, 1], [1, 1]), ValueError, "column 'x' has 1 missing values: leave these lines out"),
    (([0], [0], [float("nan")]), ValueError, "must be finite, got nan"),
]


@pytest.mark.parametrize(("columns", "error", "message"), BAD_LINES)
def test_bad_lines_of_a_parquet_file(tmp_path, columns, error, message):
    path = long_table(tmp_path / "bad.parquet", columns)
    with pytest.raises(error, match=r"^shard '.*bad\.parquet'.*" + re.escape(message)):
        ShardedJoint([path])


def test_columns_and_labels_that_are_not_there(tmp_path):
    path = long_table(tmp_path / "a.parquet", ([0], ["up"], [1]), ("x", "y", "n"))
    with pytest.raises(ValueError, match=r"must have a column 'count', it has \['x', 'y', 'n'\]: give columns="):
        ShardedJoint([path])
    with pytest.raises(ValueError, match="column 'y' has 'up', which y_labels has not"):
        ShardedJoint([path], columns=("x", "y", "n"), y_labels=["down"])
    with pytest.raises(ValueError, match="columns must be three names, of x, y and count, got 'xyc'"):
        ShardedJoint([path], columns="xyc")
    (tmp_path / "b.parquet").write_bytes(b"no such thing")
    with pytest.raises(ValueError, match=r"b\.parquet' cannot be read as Parquet"):
        ShardedJoint([tmp_path / "b.parquet"])


def test_without_pyarrow_and_without_dask(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r'reading a Parquet file needs pyarrow: pip install "dualib\[dask\]"'):
        ShardedJoint([tmp_path / "a.parquet"])
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r'a client needs dask: pip install "dualib\[dask\]"'):
        ShardedJoint([lambda: COUNTS], client="tcp://127.0.0.1:8786")


def make(what):
    return what


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.array([[1.0, -2.0]]), ValueError, "must be non-negative, got -2.0"),
        (np.array([[1.0, np.nan]]), ValueError, "must be finite, got nan"),
        (np.array([[1.0, np.inf]]), ValueError, "must be finite, got inf"),
        (np.array([1.0, 2.0]), ValueError, r"must have 2 dimensions, got shape \(2,\)"),
        (np.array([["a", "b"]]), TypeError, "must hold real numbers, got dtype <U1"),
        (np.zeros((0, 2)), ValueError, "must not be empty"),
    ],
)
def test_bad_rows_are_refused_by_the_name_of_their_shard(rows, error, message):
    good = functools.partial(make, np.eye(2))
    with pytest.raises(error, match=r"^shard .*" + message):
        ShardedJoint([good, functools.partial(make, rows)])


def test_shards_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*none'; one file is given as a list of one"):
        ShardedJoint(tmp_path / "none")
    with pytest.raises(ValueError, match=r"has no file \.npz or \.parquet"):
        ShardedJoint(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        ShardedJoint([tmp_path / "none.npz"])
    with pytest.raises(ValueError, match=r"shards must be files \.npz or \.parquet, got 'a\.csv'"):
        ShardedJoint(["a.csv"])
    with pytest.raises(ValueError, match="shards must not be empty"):
        ShardedJoint([])
    for wrong, kind in (
        (dualib.datasets.toy(), "shards must be a folder"),
        ([COUNTS], "shards must be files or functions, got ndarray"),
    ):
        with pytest.raises(TypeError, match=kind):
            ShardedJoint(wrong)
    for content in (b"", b"PK\x03\x04"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz' is no CSR array as of scipy\.sparse\.save_npz"):
            ShardedJoint(tmp_path)
    np.savez(tmp_path / "a.npz", COUNTS)
    with pytest.raises(ValueError, match=r"a\.npz' is no CSR array as of scipy\.sparse\.save_npz"):
        ShardedJoint(tmp_path)
    with pytest.raises(ValueError, match=r"sum that is positive and finite, got 0\.0"):
        ShardedJoint([functools.partial(make, np.zeros((2, 2)))])
    with pytest.raises(
        ValueError, match=r"^shard make\(\) has 3 columns, and not the 2 of shard make\(\): all shards are parts of one table"
    ):
        ShardedJoint([functools.partial(make, np.eye(2)), functools.partial(make, np.eye(3))])
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client, or None for this process, got 'tcp://a'"):
        ShardedJoint([functools.partial(make, np.eye(2))], client="tcp://a")
    with pytest.raises(ValueError, match="rows_per_shard must be an integer of at least 1, got 0"):
        write_shards(COUNTS, tmp_path / "new", 0)
    with pytest.raises(ValueError, match="counts must not be all zero"):
        write_shards(np.zeros((2, 2)), tmp_path / "new", 1)
    assert not (tmp_path / "new").exists()
