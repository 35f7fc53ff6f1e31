"""How a result takes its place: whose it is then, and what killed runs have left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, leftovers, noise, saved
from PIL import Image

from imgconv.errors import WriteError
from imgconv.formats import place

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="owners, attributes and locks of Linux")
root = pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root may give files away")


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    Path("b.png").write_bytes(saved(Image.fromarray(noise(12, 16, 3)), "PNG"))
    os.chmod(tmp_path, 0o777)


def rights(path):
    found = os.stat(path)
    return found.st_uid, found.st_gid, oct(stat.S_IMODE(found.st_mode))


def replaced(*before, **options):
    """Replaces b.png twice, as an input and as a result; returns its rights, which are the same both times."""
    found = []
    for words in (["b.png", "--in-place"], ["a.png", "-o", "b.png", "--overwrite"]):
        inode = os.stat("b.png").st_ino
        done = imgconv("apply", *words, "-k", "blur", **options)
        assert (done.returncode, done.stderr) == (0, "")
        assert os.stat("b.png").st_ino != inode
        found.append(rights("b.png"))
    assert found[0] == found[1]
    return found[0]


@root
def test_root_keeps_owner_group_and_every_bit():
    os.chown("b.png", 1000, 1000)
    os.chmod("b.png", 0o4755)
    assert replaced() == (1000, 1000, "0o4755")


def test_owner_keeps_every_bit():
    os.chmod("b.png", 0o6751)
    assert replaced() == (os.geteuid(), os.getegid(), "0o6751")


@root
def test_who_may_not_give_files_away_keeps_no_set_user_bit(tmp_path):
    """As a user who may write in the folder: the new file is this user's, and must not run with that user's rights."""
    os.chown("b.png", 1000, 1000)
    os.chmod("b.png", 0o6755)
    cannot = (
        "import os, sys\n"
        "def refuse(descriptor, owner, group):\n"
        "    raise PermissionError(1, 'Operation not permitted')\n"
        "os.fchown = refuse\n"
        "sys.argv = ['imgconv', *sys.argv[1:]]\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    subprocess.run([sys.executable, "-c", cannot, "apply", "b.png", "-k", "blur", "--in-place"], check=True)
    assert rights("b.png") == (0, 0, "0o755")


def test_attributes_and_acl_are_kept():
    try:
        os.setxattr("b.png", "user.origin", b"a camera")
    except OSError:
        pytest.skip("this file system holds no attributes")
    # an ACL as the kernel has it: user::rw-, user 12345:r--, group::r--, mask::r--, other::---
    acl = bytes.fromhex("02000000 01000600ffffffff 0200040039300000 04000400ffffffff 10000400ffffffff 20000000ffffffff")
    names = {"user.origin"}
    try:
        os.setxattr("b.png", "system.posix_acl_access", acl)
        names.add("system.posix_acl_access")
    except OSError:  # nor ACLs
        pass
    before = rights("b.png")
    assert replaced() == before
    assert set(os.listxattr("b.png")) >= names
    assert os.getxattr("b.png", "user.origin") == b"a camera"
    if len(names) == 2:
        assert os.getxattr("b.png", "system.posix_acl_access") == acl
        # the ACL that a folder gives its new files is not that of the old one
        os.setxattr(".", "system.posix_acl_default", acl)
        os.removexattr("b.png", "system.posix_acl_access")
        os.chmod("b.png", 0o600)
        assert replaced()[2] == "0o600"
        assert "system.posix_acl_access" not in os.listxattr("b.png")


# what has no name before it is complete, and how several are synced


@pytest.fixture
def folder(tmp_path):
    """An empty one, of which nothing is known yet."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def written(folder, count=3):
    """Files that are synced together; what stood in the folder before they had their names."""
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(place.placed(folder / f"{n}", overwrite=False)) for n in range(count)]
        for number, file in enumerate(files):
            place.put(file, bytes([number]))
        there = os.listdir(folder)
        place.sync(files)
    assert sorted(os.listdir(folder)) == [f"{n}" for n in range(count)]
    assert [(folder / f"{n}").read_bytes() for n in range(count)] == [bytes([n]) for n in range(count)]
    return there


@pytest.mark.parametrize("umask", [0o077, 0o022, 0o002])
def test_a_file_has_no_name_before_it_is_complete(folder, umask):
    before = os.umask(umask)
    try:
        there = written(folder)
    finally:
        os.umask(before)
    assert there == [] or not place._names_later(str(folder))  # not on every file system
    assert {(folder / name).stat().st_mode & 0o777 for name in os.listdir(folder)} == {0o666 & ~umask}
    with pytest.raises(WriteError, match="exists; --overwrite replaces it"):
        place.write(folder / "0", b"other", overwrite=False)
    assert (folder / "0").read_bytes() == b"\0"


@pytest.mark.parametrize("missing", ["/proc", "the umask", "the call"])
def test_where_no_name_can_be_given_later_it_has_one_from_the_start(folder, monkeypatch, missing):
    def refuse(descriptor, target):
        raise FileNotFoundError(2, "No such file or directory")

    if missing == "/proc":
        monkeypatch.setattr(place, "_name", refuse)
    elif missing == "the umask":  # as on old systems, which give more rights than it says
        monkeypatch.setattr(place, "text_of", lambda path: "Umask:\t0777\n")
    else:
        monkeypatch.setattr(place, "NAMELESS", 0)
    assert [name.endswith(".part") for name in written(folder)] == [True] * 3


class System:
    """The calls of a C library, of which one puts all of a file system on the disk."""

    def __init__(self, status=0, kind=0xEF53):
        self.status, self.kind, self.calls = status, kind, 0

    def fstatfs(self, descriptor, about):
        struct.pack_into("l", about, 0, self.kind)
        return 0

    def syncfs(self, descriptor):
        self.calls += 1
        return self.status


@pytest.mark.parametrize(
    ("system", "unwritten", "alone"),
    [
        (System(), 1000, 0),
        (System(status=-1), 1000, 3),  # something could not be written: each tells for itself
        (System(kind=0x6969), 1000, 3),  # NFS
        (System(), 400_000, 3),  # somebody writes much there
        (None, 1000, 3),
    ],
)
def test_several_files_are_synced_by_one_call_where_that_is_safe(folder, monkeypatch, system, unwritten, alone):
    synced = []
    monkeypatch.setattr(place, "_library", lambda: system)
    monkeypatch.setattr(place, "text_of", lambda path: f"Umask:\t0000\nDirty:  {unwritten} kB\nWriteback:  8 kB\n")
    monkeypatch.setattr(os, "fsync", synced.append)
    written(folder)
    assert len(synced) == alone
    assert system is None or system.calls == (alone == 0 or system.status != 0)
    written_alone = folder / "alone"
    place.write(written_alone, b"1", overwrite=False)
    place.write(written_alone, b"2", overwrite=True)
    assert len(synced) == alone + 2
    assert not place._synced


def test_a_private_file_is_private_while_it_is_written(monkeypatch):
    os.chmod("b.png", 0o600)
    seen = []
    real = os.fsync
    from imgconv.formats import place

    monkeypatch.setattr(place, "_take_rights", lambda descriptor, target: seen.append(os.fstat(descriptor).st_mode))
    monkeypatch.setattr(os, "fsync", lambda descriptor: real(descriptor))
    place.write(Path("b.png"), b"new", overwrite=True)
    assert [oct(stat.S_IMODE(mode)) for mode in seen] == ["0o600"]


# what killed runs leave


def is_locked(name):
    """Whether its run has come so far: until then another run may sweep the file, and it makes a new one."""
    try:
        with open(name, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def amid_writing(name):
    """A run that has begun to write and stands still there; it is killed in the end. Gives the name of its part."""
    rows, columns, there = 20_000, 15_000, set(leftovers(Path()))
    with open(name, "wb") as file:  # takes no room on the disk
        described = {"descr": "|u1", "fortran_order": False, "shape": (rows, columns, 3)}
        np.lib.format.write_array_header_1_0(file, described)
        file.truncate(file.tell() + rows * columns * 3)
    command = [sys.executable, "-m", "imgconv", "apply", name, "-k", "blur", "-o", "large.png", "--overwrite"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not (new := set(leftovers(Path())) - there) or not is_locked(*new):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGSTOP)
            yield new.pop()
        finally:
            process.kill()


def test_the_next_run_sweeps_what_a_killed_one_left_and_not_what_is_being_written():
    with amid_writing("large.npy") as part:
        pass
    assert leftovers(Path()) == [part]
    with amid_writing("large.npy") as part:
        assert imgconv("apply", "a.png", "-k", "blur").returncode == 0
        assert leftovers(Path()) == [part]
    Path(".imgconv-mine").touch()
    Path(".imgconv-x.part").symlink_to("a.png")
    assert imgconv("apply", "a.png", "-k", "sharpen").returncode == 0
    assert sorted(leftovers(Path())) == [".imgconv-mine", ".imgconv-x.part"]


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_amid_writing_leaves_nothing(signals, jobs):
    slow = (
        "import os, sys, time\n"
        "os.fsync = os.fdatasync = lambda descriptor: time.sleep(20)\n"
        "sys.argv = ['imgconv', *sys.argv[1:]]\n"
        "from imgconv.__main__ import main\n"
        "main()"
    )
    command = [sys.executable, "-c", slow, "apply", "a.png", "b.png", "-k", "blur", "-j", jobs, "--overwrite"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        for _ in range(2000):
            if len(leftovers(Path())) == int(jobs):
                break
            time.sleep(0.01)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.02)
        process.wait(timeout=60)
    assert process.returncode in (130, 143)
    for _ in range(500):  # a worker whose parent has gone takes a moment
        if not leftovers(Path()):
            break
        time.sleep(0.01)
    assert leftovers(Path()) == []


def test_a_result_that_waits_for_its_name_goes_with_its_run_or_after_a_day(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    names = [place.READY.replace("*", f"{run}-{n}") for run, n in (("aa", 0), ("bb", 0), ("bb", 1))]
    for name in names:
        (folder / name).write_bytes(b"complete")
    os.utime(folder / names[1], (0, 0))
    place.sweep(str(folder))
    assert set(os.listdir(folder)) == {names[0], names[2]}
    place.sweep(str(folder), "bb")
    assert os.listdir(folder) == [names[0]]


def test_a_complete_file_gets_its_name_as_a_written_one_does(tmp_path):
    folder = tmp_path / "there"
    folder.mkdir()
    ready, target = folder / "ready", folder / "a.png"
    target.write_bytes(b"old")
    target.chmod(0o640)
    ready.write_bytes(b"new")
    with pytest.raises(WriteError, match="exists; --overwrite replaces it"):
        place.rename(ready, target, overwrite=False)
    assert (target.read_bytes(), os.listdir(folder)) == (b"old", ["a.png"])
    ready.write_bytes(b"new")
    place.rename(ready, target, overwrite=True)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)
    ready.write_bytes(b"newer")
    place.rename(ready, folder / "b.png", overwrite=False)
    assert sorted(os.listdir(folder)) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("a.png/x/y", "a.png/x/y: a.png is no folder"), ("loop/x", "loop/x: loop is no folder"),
        ("x" * 300, f"{'x' * 300}: file name too long"), (f"new/{'x' * 300}/y", "x/y: file name too long"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_made_is_one_line(folder, says):
    Path("loop").symlink_to("loop")
    done = imgconv("apply", "a.png", "-k", "blur", "--out-dir", folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.endswith(says + "\n")
