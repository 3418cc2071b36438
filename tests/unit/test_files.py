"""Whole or not there: whatever happens while a file is written."""

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elmokit.errors import OutputError
from elmokit.files import atomic_path

FAILURES = [None, ValueError, KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit]


@given(
    old=st.none() | st.binary(max_size=20),
    parts=st.lists(st.binary(max_size=20), max_size=4),
    fails_after=st.integers(0, 4),
    failure=st.sampled_from(FAILURES),
)
def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path_factory, old, parts, fails_after, failure):
    folder = tmp_path_factory.mktemp("files")
    path = folder / "result.bin"
    if old is not None:
        path.write_bytes(old)
    raised = None
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            for i, part in enumerate(parts):
                if failure and i == fails_after:
                    raise failure
                file.write(part)
                file.flush()
                assert (path.read_bytes() if path.exists() else None) == old
    except BaseException as error:
        raised = type(error)
    failed = failure is not None and fails_after < len(parts)
    assert raised is (failure if failed else None)
    assert (path.read_bytes() if path.exists() else None) == (old if failed else b"".join(parts))
    assert [p.name for p in folder.iterdir()] == (["result.bin"] if path.exists() else [])


def test_the_temporary_file_lies_beside_and_has_the_same_suffix(tmp_path):
    with atomic_path(tmp_path / "words.npz") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npz"
        assert temporary != tmp_path / "words.npz"


def test_the_file_has_the_usual_permissions(tmp_path):
    with atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    (tmp_path / "b.txt").write_text("x")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE((tmp_path / "b.txt").stat().st_mode)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OutputError, match="does not exist; create it first"), atomic_path(tmp_path / "no" / "a.txt"):
        pass


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="this system has no /proc, where even root can't write")
def test_a_folder_that_cannot_be_written_is_told():
    with pytest.raises(OutputError, match="can't be written"), atomic_path("/proc/a.txt"):
        pass


def test_a_full_disk_is_an_output_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="No space left") as caught, atomic_path(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(caught.value.__cause__, OSError)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_files_place_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OutputError), atomic_path(tmp_path / "a"):
        pass
    assert [p.name for p in Path(tmp_path).iterdir()] == ["a"]


def test_an_existing_file_keeps_its_permissions_and_its_link(tmp_path):
    secret, link = tmp_path / "secret.txt", tmp_path / "link.txt"
    secret.write_text("old")
    secret.chmod(0o600)
    link.symlink_to(secret)
    for path in (secret, link):
        with atomic_path(path) as temporary:
            temporary.write_text(f"new {path.name}")
        assert secret.read_text() == f"new {path.name}"
        assert secret.stat().st_mode & 0o777 == 0o600
        assert link.is_symlink()


def test_a_folder_is_not_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="it is a folder"), atomic_path(tmp_path / "folder"):
        pass
