"""HDF5 lives through a disk that fills up, and the failure is told instead of a crash."""

import resource
import subprocess
import sys

import h5py
import numpy as np
import pytest

from elmokit.hdf5 import SurvivingFile

CODE = """
import resource, sys, numpy as np
from elmokit.features import Features, WordVectors
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
text = WordVectors(("a",) * 50, None, np.zeros((50, 64), np.float32))
try:
    Features([text] * 300).save(sys.argv[1])
except OSError as error:
    print(error)
"""


def test_a_process_that_fills_the_disk_lives_to_tell(tmp_path):
    done = subprocess.run([sys.executable, "-c", CODE, tmp_path / "a.h5"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "a.h5: can't be written (File too large)" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_first_failure_is_told_at_the_end(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill():
        with SurvivingFile(tmp_path / "a") as file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
            assert file.write(bytes(5000)) == 5000
            assert file.tell() == 5000
            assert file.write(b"more") == 4
            with pytest.raises(OSError, match="too large"):
                file.check()

    try:
        with pytest.raises(OSError, match="too large"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_fits_is_an_ordinary_file(tmp_path):
    values = np.arange(100_000.0)
    with SurvivingFile(tmp_path / "a.h5") as disk, h5py.File(disk, "w") as file:
        file["values"] = values
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["values"][:], values)
