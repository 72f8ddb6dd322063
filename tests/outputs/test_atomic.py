import signal
import subprocess
import sys

import pytest

from rs_monitor.outputs.atomic import clean_leftovers, replacing, write_json, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from rs_monitor.outputs.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (leftover,) = clean_leftovers(tmp_path)
    assert leftover.name.startswith(".tmp-")
    assert names(tmp_path) == ["a.txt"]


def test_failed_writer_leaves_the_old_file_and_no_leftover(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), replacing(path) as temporary:
        temporary.with_name("absent").rename(temporary)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_folders_are_made_and_ending_is_kept(tmp_path):
    with replacing(tmp_path / "a" / "b.tif") as temporary:
        assert temporary.suffix == ".tif"
        temporary.write_bytes(b"x")
    assert (tmp_path / "a" / "b.tif").read_bytes() == b"x"


def test_json_refuses_what_json_lacks(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert names(tmp_path) == []
