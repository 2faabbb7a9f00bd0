"""A slice of benchmarks/fuzz.py: mutated files of every kind give a result or a typed error; and what larger runs have found."""

import importlib.util
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import dualib
from dualib.data import archives
from dualib.data.tables import read_table

PATH = Path(__file__).parent.parent / "benchmarks" / "fuzz.py"
SPEC = importlib.util.spec_from_file_location("fuzz", PATH)
fuzz = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fuzz)


@pytest.mark.filterwarnings("error")
def test_a_thousand_mutated_files_are_read_or_refused():
    outcomes, bad = fuzz.fuzz(1000, seed=1)
    assert [text for _, _, text in bad] == []
    kinds = {name for name, _ in outcomes}
    assert len(kinds) == 19
    assert all(outcomes[name, "refused"] > 20 for name in kinds)
    assert sum(outcomes[name, "read"] for name in kinds) > 50  # the mutations are not all of the kind that any reader sees


def test_the_mutations_reach_beyond_the_sums_of_the_archive(tmp_path):
    """The forger's files: some must get as far as the JSON, the shapes and the values."""
    (tmp_path / "seeds").mkdir()
    curves = [file for file in fuzz.seeds(str(tmp_path / "seeds")) if file[0] == "curve.npz"]
    reasons = set()
    for number in range(300):
        name, content = fuzz.case(curves, number, 2)
        (tmp_path / name).write_bytes(content)
        try:
            dualib.load(tmp_path / name)
        except ValueError as error:
            reasons.add(str(error).split("result: ")[-1].split(",")[0][:24])
    assert len(reasons) > 30


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def described(descr, shape, data=b""):
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


DECLARED = {
    "more than the file": described("'<f8'", "(9000000000, 9000000000)"),
    "more by one": described("'<f8'", "(2,)", bytes(15)),
    "beyond 64 bits": described("'<f8'", "(99999999999999999999,)"),
    "negative": described("'<f8'", "(-1,)"),
    "objects": described("'|O'", "(1,)", bytes(8)),
    "a record": described("[('a', '<f8')]", "(1,)", bytes(8)),
    "no bytes each": described("'|S0'", "(1000000000000,)"),
    "code": described("__import__('os').getcwd()", "(1,)", bytes(8)),
    "brackets": described("'<f8'", "(" * 3000),
    "header cut": b"\x93NUMPY\x01\x00\xff\x00{'descr'",
    "header of 4 GB": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'",
    "no character": described("'<U1'", "(1, 1)", (0x110000).to_bytes(4, "little")),
    "version 3": b"\x93NUMPY\x03\x00" + bytes(20),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_an_array_declares_is_checked_before_it_is_allocated(name, tmp_path):
    path = tmp_path / "t.npy"
    path.write_bytes(DECLARED[name])
    with pytest.raises(ValueError, match=r"t\.npy' cannot be read as a NumPy array"):
        read_table(path)


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.array(3.0), np.zeros((0, 2)), "é"]
)
def test_arrays_are_read_as_numpy_reads_them(array):
    content = npy(np.asarray(array))
    found, expected = archives.read_npy(io.BytesIO(content)), np.load(io.BytesIO(content))
    assert found.dtype == expected.dtype and found.shape == expected.shape and found.flags.writeable
    assert found.flags.f_contiguous == expected.flags.f_contiguous
    np.testing.assert_array_equal(found, expected)


def archive(entries, **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content, **options)
    return buffer.getvalue()


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """64 MiB of zeros in 64 KiB, where memory is short."""
    path = tmp_path / "t.npz"
    path.write_bytes(archive([("a.npy", described("'<f8'", "(8, 1048576)", bytes(2**26)))]))
    assert path.stat().st_size < 2**18
    monkeypatch.setattr(archives, "available_memory", lambda: 2**24)
    for read in (read_table, dualib.load):
        with pytest.raises(ValueError, match=r"declares 671.* bytes of arrays, more than the 8388608"):
            read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "options", "reason"),
    [
        ([("a.npy", npy(np.ones((2, 2)))), ("a.npy", npy(np.ones((2, 2))))], {}, "same name"),
        ([("a.npy", npy(np.ones((2, 2))))], {"compress_type": zipfile.ZIP_BZIP2}, "compressed by method 12"),
        ([("a.npy", npy(np.ones((2, 2))) + b"more")], {}, "longer than it declares"),
        ([("a.txt", b"text")], {}, "not an array"),
    ],
)
def test_odd_archives_are_refused(entries, options, reason, tmp_path):
    path = tmp_path / "t.npz"
    path.write_bytes(archive(entries, **options))
    with pytest.raises(ValueError, match=reason):
        read_table(path)


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2, 1], [0, 1]),
        ([0, 1, 0], [0]),
        ([0, 1, 2], [0, 99]),
        ([0, 1, 9], [0, 1]),
        ([0.0, 1, 2], [0, 1]),
        ([0, 1, 2], [0, -1]),
    ],
)
def test_sparse_indices_that_would_read_foreign_memory_are_refused(indptr, indices, tmp_path):
    """Found by the fuzzer: scipy checks no pointers where the last of them is 0."""
    path = tmp_path / "t.npz"
    parts = {"data": np.ones(len(indices)), "indices": np.array(indices), "indptr": np.array(indptr)}
    np.savez(path, format=np.array(b"csr"), shape=np.array([2, 2]), **parts)
    with pytest.raises(ValueError, match=r"t\.npz' cannot be read"):
        read_table(path)


def test_a_saved_problem_too_large_for_memory_is_refused_by_its_declared_shape(tmp_path):
    """A sparse joint distribution of a few bytes whose dense form would take 80 TB."""
    path = tmp_path / "s.npz"
    dualib.solve(dualib.JointDistribution.from_counts(sparse.csr_array(np.eye(2))), 2.0).save(path)
    with np.load(path) as found:
        arrays = dict(found)
    header = json.loads(arrays["header"].tobytes())
    header["shape"] = [2, 5 * 10**12]
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="does not fit px of 2 and py of 2"):
        dualib.load(path)
