"""Mutated files for every loader: a result or a typed error, never a crash.

    OPENBLAS_NUM_THREADS=1 python benchmarks/fuzz.py --count 100000

Mutates valid files of every kind (saved curves and solutions, checkpoints; tables as .csv, .tsv, .npy, .npz, sparse .npz and .mtx)
and reads each with the loader of its kind. Archives are also mutated inside: their entries are taken out, changed and packed
again with sums that fit, as a forger would. Allowed are a result and a ValueError or OSError; anything else is printed with the
number that brings it back (``--only``). The address space is limited, so that an allocation on the word of a file shows.
"""

import argparse
import collections
import io
import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile

import numpy as np
from scipy import sparse
from scipy.io import mmwrite

import dualib
from dualib.data.tables import read_table

ALLOWED = (ValueError, OSError)
COUNTS = np.array([[5.0, 3.0, 0.0], [2.0, 8.0, 2.0], [1.0, 0.0, 4.0]])
BETAS = [1.5, 4.0]
WORDS = (
    b"0",
    b"-1",
    b"1e308",
    b"nan",
    b"inf",
    b"9" * 30,
    b"NaN",
    b"null",
    b"{}",
    b"[]",
    b'""',
    b"[" * 300,
    b"(" * 300,
    b"1e999",
)
CELLS = (
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r\n",
    b'"',
    b"\xef\xbb\xbf",
    b"\x00",
    b" ",
    b".",
    b"-",
    b"e",
    b"1,5",
    b"\xff\xfe",
    b"\n\n",
)


def seeds(folder):
    """Valid files: (name, content)."""
    joint = dualib.JointDistribution.from_counts(COUNTS)
    thin = dualib.JointDistribution.from_counts(sparse.csr_array(COUNTS))
    curve = dualib.anneal(joint, "dualib", BETAS, checkpoint=os.path.join(folder, "checkpoint.npz"))
    curve.save(os.path.join(folder, "curve.npz"))
    dualib.solve(thin, 4.0).save(os.path.join(folder, "solution.npz"))
    dualib.solve(joint, 4.0, dualib.RateDistortion(COUNTS)).save(os.path.join(folder, "matrix.npz"))
    family = dualib.ExponentialFamily(sparse.csr_array(COUNTS - 2.0), COUNTS / 9.0)
    dualib.solve(family.joint([0.5, 0.5, 1e-320]), 4.0, family).save(os.path.join(folder, "family.npz"))
    np.save(os.path.join(folder, "table.npy"), COUNTS)
    np.savez(os.path.join(folder, "table.npz"), counts=COUNTS, x_labels=list("abc"), y_labels=list("uvw"))
    for form in ("csr", "coo", "dia", "bsr"):
        sparse.save_npz(os.path.join(folder, f"table_{form}.npz"), sparse.coo_array(COUNTS).asformat(form))
    mmwrite(os.path.join(folder, "table.mtx"), sparse.coo_matrix(COUNTS))
    mmwrite(os.path.join(folder, "table_dense.mtx"), COUNTS)
    texts = {
        "table.csv": ',a,"b,c",d\r\nu,5,3,0\r\nv,2,8,2\r\nw,1,0,4\r\n\r\n',
        "table_semicolon.csv": "\ufeffx;a;b;c\nu;5,5;3,25;0\nv;2;8,5;2\n",
        "table_total.csv": "word,0,45,All\nw1,5,1,6\nw2,1,6,7\nAll,6,7,13\n",
        "table_samples.csv": "word,tag\nw1,n\nw1,v\nw2,v\nw1,n\n",
        "table_long.csv": ",word,angle,count\n0,w1,0,5\n1,w1,45,1\n2,w2,0,1\n",
        "table.tsv": "a\tb\tc\n5\t3\t0\n2\t8\t2\n",
    }
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
    found = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found.append((name, file.read()))
    return found


def mutated(content, draw):
    """Some bytes changed, cut, doubled or replaced by what numbers and separators look like."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(data) + 1)
        kind = draw.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << draw.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = draw.choice((0, 255, 127, 128, draw.randrange(256)))
        elif kind == 2:
            del data[at : at + draw.choice((1, 4, 64, len(data)))]
        elif kind == 3:
            data[at:at] = data[at : at + draw.choice((1, 8, 200))]
        elif kind == 4:
            data[at : at + draw.randrange(4)] = draw.choice(WORDS)
        elif kind == 5:
            data[at : at + draw.randrange(3)] = draw.choice(CELLS)
        elif kind == 6:
            value = draw.choice((-1, 0, 2**31 - 1, 2**63 - 1, draw.getrandbits(62)))
            data[at : at + 8] = value.to_bytes(8, "little", signed=True)
        else:
            data[at:at] = draw.randbytes(draw.randrange(12))
    return bytes(data)


def forged(content, draw):
    """An archive whose entries were changed, and packed again so that its sums fit."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    name = draw.choice(sorted(entries))
    kind = draw.randrange(5)
    if kind == 0:
        entries[name] = mutated(entries[name], draw)
    elif kind == 1:
        entries[name] = entries[draw.choice(sorted(entries))]
    elif kind == 2:
        del entries[name]
    elif kind == 3 and "header.npy" in entries:
        entries["header.npy"] = forged_header(entries["header.npy"], draw)
    else:
        entries[name] = forged_array(entries[name], draw)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def forged_header(entry, draw):
    """The JSON with one value, anywhere, replaced by another kind of value."""
    header = json.loads(np.load(io.BytesIO(entry)).tobytes())
    place = header
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw.choice(keys)
        if isinstance(place[key], (dict, list)) and draw.random() < 0.8:
            place = place[key]
            continue
        odd = [None, True, -1, 0, 1, 2**70, 1e308, float("nan"), float("inf"), "", "x" * 50, [], {}, [[]], [1] * 9, "rigorous"]
        place[key] = draw.choice(odd)
        break
    buffer = io.BytesIO()
    np.save(buffer, np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    return buffer.getvalue()


def forged_array(entry, draw):
    """The array with a value, its type or its shape changed, or with a shape declared that it does not have."""
    array = np.load(io.BytesIO(entry))
    kind = draw.randrange(4)
    if kind == 0 and array.size and array.dtype.kind in "iuf":
        array = array.copy()
        odd = [0, 1, -1, 2**31 - 1] if array.dtype.kind == "i" else [0, 1, 200]
        array.flat[draw.randrange(array.size)] = draw.choice(
            odd if array.dtype.kind != "f" else [-1, 0, 5, np.nan, np.inf, 1e308]
        )
    elif kind == 1:
        array = np.zeros(
            array.shape, dtype=draw.choice(["<f8", ">f8", "<f4", "<i8", "|u1", "|b1", "<U3", "<c16", "<M8[s]", "|S2"])
        )
    elif kind == 2:
        array = array.reshape(-1) if draw.random() < 0.5 else array[None]
    buffer = io.BytesIO()
    np.save(buffer, array)
    if kind < 3:
        return buffer.getvalue()
    shape = draw.choice(
        ["(9000000000, 9000000000)", "(2305843009213693951,)", "(-1,)", "(0, 4)", "(100000, 100000)", "()", "(3,)"]
    )
    head = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + head.encode() + array.tobytes()


def read(name, path):
    """Read the file by the loader of its kind."""
    if name.startswith("table"):
        return read_table(path)
    if name.startswith("checkpoint"):
        joint = dualib.JointDistribution.from_counts(COUNTS)
        return dualib.anneal(joint, "dualib", BETAS, checkpoint=path)
    return dualib.load(path)


def case(files, number, seed):
    """The name and content of mutated file `number`."""
    draw = random.Random(f"{seed} {number}")
    name, content = files[number % len(files)]
    content = forged(content, draw) if name.endswith(".npz") and draw.random() < 0.6 else mutated(content, draw)
    return name, content


def fuzz(count, seed=0, first=0, files=None):
    """Outcomes by kind of file, and what was not allowed: (number, name, traceback)."""
    outcomes, bad = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", dualib.DualibWarning)
        files = files or seeds(folder)
        for number in range(first, first + count):
            name, content = case(files, number, seed)
            path = os.path.join(folder, f"fuzz{os.path.splitext(name)[1]}")
            with open(path, "wb") as file:
                file.write(content)
            try:
                read(name, path)
                outcomes[name, "read"] += 1
            except ALLOWED:
                outcomes[name, "refused"] += 1
            except Exception:
                outcomes[name, "FAILED"] += 1
                bad.append((number, name, traceback.format_exc()))
    return outcomes, bad


def limit_memory(gibibytes):
    """Bound the address space of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (gibibytes * 2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main():
    """Fuzz and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="files (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="this one file, with its traceback")
    arguments = parser.parse_args()
    limit_memory(8)
    began = time.perf_counter()
    first, count = (0, arguments.count) if arguments.only is None else (arguments.only, 1)
    outcomes, bad = fuzz(count, arguments.seed, first)
    for name in sorted({name for name, _ in outcomes}):
        row = ", ".join(f"{outcomes[name, what]} {what}" for what in ("read", "refused", "FAILED"))
        print(f"{name:<22} {row}")
    for number, name, text in bad[:10]:
        print(f"\nno. {number}, {name}:\n{text}", file=sys.stderr)
    print(f"{count} files, {time.perf_counter() - began:.0f} s, {len(bad)} with an error that is not allowed")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
