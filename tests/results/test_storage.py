"""save and load: exact, whole or not at all, and a clear refusal of every other file."""

import errno
import io
import json
import os
import stat

import numpy as np
import pytest
import scipy.sparse

import dualib
from dualib import Curve, Event, JointDistribution, Solution
from dualib.data import archives
from dualib.distortions.bottlenecks import IB, DualIB
from dualib.distortions.divergences import Alpha, Bregman
from dualib.distortions.matrices import RateDistortion
from dualib.results.storage import load, save

RNG = np.random.default_rng(7)
PXY = RNG.dirichlet(np.full(28, 0.7)).reshape(7, 4)
MATRIX = RNG.random((7, 3))
SOLUTION_FIELDS = (
    *("beta", "objective", "rate", "relevance", "expected_distortion", "decoder_information", "gap", "certificate"),
    *("status", "n_iter", "residual", "error_bound", "rho"),
)
ARRAYS = ("encoder", "weights", "means", "decoder", "stability")


def joint_of(pxy=PXY):
    return JointDistribution(pxy, x_labels=list("abcde\u00e9\u4e2d"), y_labels=["", "$", "two words", "\ud800"])


@pytest.fixture(scope="module")
def curve():
    solutions = [dualib.solve(joint_of(), beta, "dualib") for beta in (0.3, 2.0, 20.0)]
    events = [Event("appearance", 1 / 3, (0.3, 2.0), 1, 2, multiplicity=2, located=True, precision=1e-11)]
    return Curve(solutions, events, onset=1 / 3)


def assert_same_solution(one, other):
    for name in SOLUTION_FIELDS:
        assert getattr(one, name) == getattr(other, name), name
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.distortion == other.distortion
    assert_same_joint(one.joint, other.joint)


def assert_same_joint(one, other):
    assert one == other and one.is_sparse == other.is_sparse
    assert (one.x_labels, one.y_labels) == (other.x_labels, other.y_labels)
    for name in ("pxy", "px", "py", "py_x"):
        pair = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(*[m.toarray() if scipy.sparse.issparse(m) else m for m in pair])
    assert one.mutual_information == other.mutual_information


def test_a_curve_comes_back_number_for_number(curve, tmp_path):
    curve.save(tmp_path / "curve.npz")
    back = dualib.load(tmp_path / "curve.npz")
    assert isinstance(back, Curve) and len(back) == len(curve) == 3
    assert back.events == curve.events and back.onset == curve.onset
    for one, other in zip(back, curve, strict=True):
        assert_same_solution(one, other)
    assert back[0].joint is back[1].joint
    assert repr(back) == repr(curve)


def test_a_solution_comes_back_and_still_predicts(curve, tmp_path):
    curve[1].save(str(tmp_path / "solution"))  # no suffix is added
    back = load(tmp_path / "solution")
    assert isinstance(back, Solution)
    assert_same_solution(back, curve[1])
    np.testing.assert_array_equal(back.encode(back.joint.py_x), curve[1].encode(curve[1].joint.py_x))


def test_a_name_that_says_it_is_a_table_is_refused(curve, tmp_path):
    with pytest.raises(
        ValueError, match=r"^path should end in \.npz, .*got '.*curve\.CSV': to_dataframe\(\) is for other files$"
    ):
        curve.save(str(tmp_path / "curve.CSV"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "distortion",
    [IB(), DualIB(), Alpha(0.3), RateDistortion(MATRIX), Bregman.squared_euclidean()],
    ids=lambda distortion: distortion.name,
)
def test_every_distortion(distortion, tmp_path):
    solution = dualib.solve(joint_of(), 3.0, distortion)
    solution.save(tmp_path / "s.npz")
    assert_same_solution(load(tmp_path / "s.npz"), solution)


def test_infinities_and_none_survive(tmp_path):
    curve = Curve([dualib.solve(joint_of(), 3.0, certify=False)])
    assert curve[0].gap == np.inf and curve[0].certificate is None
    curve.save(tmp_path / "c.npz")
    back = load(tmp_path / "c.npz")
    assert_same_solution(back[0], curve[0])
    assert back.onset is None
    Curve(curve.solutions, onset=np.inf).save(tmp_path / "c.npz")
    assert load(tmp_path / "c.npz").onset == np.inf


@pytest.mark.parametrize("form", ["csr", "zero-row", "given-conditional"])
def test_joints_of_every_kind(form, tmp_path):
    pxy = np.where(RNG.random((7, 4)) < 0.5, 0.0, PXY) + np.eye(7, 4) * 0.1
    pxy[2] = 0.0
    pxy /= pxy.sum()
    if form == "given-conditional":
        px = pxy.sum(axis=1)
        py_x = RNG.dirichlet(np.ones(4), 7)  # row 2 has a conditional but no probability
        joint = JointDistribution.from_conditionals(py_x, px / px.sum())
    else:
        joint = JointDistribution(scipy.sparse.csr_matrix(pxy) if form == "csr" else pxy)
    solution = dualib.solve(joint, 3.0)
    solution.save(tmp_path / "s.npz")
    assert_same_solution(load(tmp_path / "s.npz"), solution)


def test_a_sparse_index_out_of_range_is_refused(tmp_path):
    path = tmp_path / "s.npz"
    dualib.solve(JointDistribution(scipy.sparse.csr_matrix(PXY)), 3.0).save(path)
    arrays = entries(path)
    arrays["pxy.indices"] = arrays["pxy.indices"] + 100_000
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="not a readable dualib result"):
        load(path)


def test_what_cannot_be_saved_says_so(curve, tmp_path):
    with pytest.raises(TypeError, match="Curve or a Solution, got dict"):
        save({}, tmp_path / "x.npz")

    class Mine(IB):
        name = "mine"

        def to_config(self):
            raise TypeError("no config here")

    solution = dualib.solve(joint_of(), 2.0, Mine())
    with pytest.raises(TypeError, match="cannot be saved: no config here"):
        solution.save(tmp_path / "x.npz")
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_and_no_litter(curve, tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    curve[:1].save(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        curve.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["c.npz"]


def test_saving_replaces_the_target_of_a_link_with_ordinary_permissions(curve, tmp_path):
    real, link = tmp_path / "real.npz", tmp_path / "link.npz"
    real.write_bytes(b"old")
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("no symbolic links here")
    curve.save(link)
    assert link.is_symlink() and len(load(real)) == 3
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(real.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_folder_that_cannot_be_synced_does_not_keep_a_file_from_being_saved(curve, tmp_path, monkeypatch):
    """Windows opens no folder: the data are synced, the name as far as it goes."""
    real = os.open

    def no_folders(path, *arguments, **options):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", no_folders)
    curve.save(tmp_path / "c.npz")
    assert len(load(tmp_path / "c.npz")) == 3 and os.listdir(tmp_path) == ["c.npz"]


class BadSector(io.BytesIO):
    """A file on a failing disk: its first bytes cannot be read, its table of contents, at the end, can."""

    def read(self, size=-1):
        if self.tell() < 10:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_failing_disk_is_not_taken_for_a_wrong_file(curve, tmp_path):
    curve.save(tmp_path / "c.npz")
    with pytest.raises(OSError, match="Input/output error"):
        archives.read_npz(BadSector((tmp_path / "c.npz").read_bytes()))


def entries(path):
    with np.load(path) as archive:
        return dict(archive)


def with_header(arrays, **changes):
    header = {**json.loads(arrays["header"].tobytes()), **changes}
    return {**arrays, "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)}


def test_no_pickle_is_ever_written(curve, tmp_path):
    curve.save(tmp_path / "c.npz")
    assert all(array.dtype.kind in "fiu" for array in entries(tmp_path / "c.npz").values())


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "flipped", "npy", "zip", "pickled"])
def test_files_that_are_no_such_file(curve, tmp_path, damage):
    path = tmp_path / "c.npz"
    curve.save(path)
    whole = path.read_bytes()
    if damage in ("text", "empty"):
        path.write_bytes(b"beta,rate\n1,2\n" if damage == "text" else b"")
    elif damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "flipped":
        at = whole.index(b"encoder.npy") + 40  # inside the compressed encoder
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    elif damage == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(3))
    elif damage == "zip":
        np.savez(path, a=np.zeros(3))
    else:
        np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"c\.npz.*not a readable dualib result"):
        load(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: with_header(a, version=2), "version 2"),
        (lambda a: with_header(a, format="other"), "no dualib format"),
        (lambda a: with_header(a, format="dualib-solution"), "one solution"),
        (lambda a: with_header(a, status=["CONVERGED", "FINE", "CONVERGED"]), "FINE"),
        (lambda a: with_header(a, n_iter=[1]), "number of solutions"),
        (lambda a: with_header(a, x_labels=["a"]), "x_labels"),
        (lambda a: with_header(a, distortion={"name": "unheard-of"}), "unheard-of"),
        (lambda a: with_header(a, events=[{"kind": "split"}]), "interval"),
        (lambda a: {**a, "header": np.zeros(3)}, "header"),
        (lambda a: {**a, "header": np.frombuffer(b"[1]", dtype=np.uint8)}, "no dualib format"),
        (lambda a: {name: value for name, value in a.items() if name != "decoder"}, "decoder"),
        (lambda a: {**a, "decoder": a["decoder"][:-1]}, "decoder"),
        (lambda a: {**a, "encoder": a["encoder"][:, :-1]}, "encoder"),
        (lambda a: {**a, "encoder": a["encoder"] * 2}, "encoder"),
        (lambda a: {**a, "weights": a["weights"] * np.nan}, "weights"),
        (lambda a: {**a, "means": a["means"] * np.inf}, "means"),
        (lambda a: {**a, "scalars": a["scalars"][:, 1:]}, "scalars"),
        (lambda a: {**a, "scalars": a["scalars"] * np.nan}, "finite"),
        (lambda a: {**a, "offsets": a["offsets"][::-1]}, "offsets"),
        (lambda a: {**a, "onset": np.array([np.nan])}, "onset"),
        (lambda a: {**a, "pxy": -a["pxy"]}, "pxy"),
        (lambda a: {**a, "py_x": a["py_x"][::-1]}, "py_x"),
        (lambda a: {**a, "px": a["px"][:-1]}, "px"),
        (lambda a: with_header(a, mutual_information=9.0), "mutual_information"),
    ],
)
def test_wrong_contents_are_named(curve, tmp_path, change, reason):
    path = tmp_path / "c.npz"
    curve.save(path)
    np.savez(path, **change(entries(path)))
    with pytest.raises(ValueError, match=rf"not a readable dualib result.*{reason}"):
        load(path)


@pytest.mark.parametrize("change", ["moved", "fewer"])
def test_conditionals_with_other_cells_than_their_joint_are_refused(change, tmp_path):
    pxy = np.array([[0.2, 0.0, 0.1], [0.0, 0.3, 0.1], [0.1, 0.2, 0.0]])
    dualib.solve(JointDistribution(scipy.sparse.csr_array(pxy)), 3.0).save(tmp_path / "s.npz")
    arrays = entries(tmp_path / "s.npz")
    (name,) = (name for name in arrays if "py_x" in name and "indices" in name)
    if change == "moved":
        arrays[name] = np.where(np.arange(6) == 1, 1, arrays[name]).astype(arrays[name].dtype)
    else:
        pointers, data = name.replace("indices", "indptr"), name.replace("indices", "data")
        arrays[name], arrays[data] = arrays[name][:-1], arrays[data][:-1]
        arrays[pointers] = np.minimum(arrays[pointers], 5)
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(ValueError, match=r"not a readable dualib result.*py_x"):
        load(tmp_path / "s.npz")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


def test_a_file_with_a_label_twice_is_still_read(tmp_path):
    """They were not refused before."""
    joint = dualib.datasets.toy()
    joint.__setstate__({"x_labels": ("a", "a", "b", "c", "d")})
    solution = dualib.solve(joint, 8.0)
    solution.save(tmp_path / "twice.npz")
    again = dualib.load(tmp_path / "twice.npz")
    assert again.joint.x_labels == again.joint.to_dense().x_labels == joint.x_labels
    np.testing.assert_array_equal(again.encoder, solution.encoder)
