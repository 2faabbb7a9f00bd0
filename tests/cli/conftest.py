"""Every test of the command line runs in a folder of its own, with these files."""

import pytest

TABLE = ",a,b,c\nu,5,3,1\nv,1,8,2\nw,0,1,9\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "ragged.csv").write_text("1,2\n3,4\n5\n", encoding="utf-8")
    (tmp_path / "text.npy").write_text("1,2\n3,4\n", encoding="utf-8")
    (tmp_path / "taken").write_text("", encoding="utf-8")
    (tmp_path / "wide.csv").write_text(",a,b,c,d\nu,5,3,1,1\nv,1,8,2,1\nw,0,1,9,1\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text(TABLE.replace("a,b,c", "a,b,d"), encoding="utf-8")
    (tmp_path / "bare.csv").write_text("5,3,1\n1,8,2\n0,1,9\n", encoding="utf-8")
    (tmp_path / "half.csv").write_text(TABLE.replace("5,3,1", "5,3,0.5"), encoding="utf-8")
    return tmp_path
