# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One set of rules for every file that is written or trusted: what is refused, and that nothing is done half."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils import _files
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.steps import Steps, failing_at, killed_at

_STRANGER = 12345

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def place(tmp_path):
    """A folder of this user, and in it a file that is whole and one folder that others may write, as /tmp is."""
    place = tmp_path / "above" / "place"
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"whole")
    (place / "file").chmod(0o600)
    (place / "shared").mkdir()
    (place / "shared").chmod(0o1777)
    (place / "folder").mkdir()
    return place


def read(path):
    return _files.read(str(path), 100, what="file")


def write(path):
    _files.replace(str(path), b"new", what="file")


def check(path):
    _files.check(str(path), what="file")


def refused(act, path, why):
    with pytest.raises(InvalidOption) as caught:
        act(path)
    assert caught.value.error_code == "file_refused"
    assert str(caught.value).startswith(f"The file {os.path.dirname(path)}")
    assert why in str(caught.value)
    assert caught.value.hint


# What stands at the path, and why it is refused.


def _pipe(place):
    os.mkfifo(place / "it")


def _folder(place):
    (place / "it").mkdir()


def _socket(place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "it"))


def _writable_by(bits):
    def make(place):
        (place / "it").write_bytes(b"")
        (place / "it").chmod(0o600 | bits)

    return make


def _foreign(place):
    (place / "it").write_bytes(b"")
    os.chown(place / "it", _STRANGER, -1)


def _in_a_foreign_folder(place):
    (place / "it").write_bytes(b"")
    os.chown(place, _STRANGER, -1)


def _in_an_open_folder(place):
    (place / "it").write_bytes(b"")
    place.chmod(0o777)


def _in_a_folder_of_a_group(place):
    (place / "it").write_bytes(b"")
    os.chown(place, -1, _STRANGER)
    place.chmod(0o770)


def _below_an_open_folder(place):
    (place / "it").write_bytes(b"")
    place.parent.chmod(0o777)


def _foreign_link(place):
    (place / "it").symlink_to(place / "file")
    os.chown(place / "it", _STRANGER, -1, follow_symlinks=False)


def _link_to_a_pipe(place):
    os.mkfifo(place / "pipe")
    (place / "it").symlink_to(place / "pipe")


def _link_to_a_folder(place):
    (place / "it").symlink_to(f"{place}/folder/")


_REFUSED = [
    pytest.param(_pipe, "it is a named pipe", id="pipe"),
    pytest.param(_folder, "it is a folder", id="folder"),
    pytest.param(_socket, "it is a socket", id="socket"),
    pytest.param(_writable_by(0o020), "others may write it", id="group-writable"),
    pytest.param(_writable_by(0o002), "others may write it", id="world-writable"),
    pytest.param(_in_an_open_folder, "others may write into the folder", id="open-folder"),
    pytest.param(_below_an_open_folder, "others may write into the folder", id="open-folder-above"),
    pytest.param(_link_to_a_pipe, "it is a named pipe", id="link-to-pipe"),
    pytest.param(_link_to_a_folder, "it is a folder", id="link-to-folder"),
    pytest.param(_foreign, "it belongs to another user (uid 12345)", id="foreign", marks=as_root),
    pytest.param(_in_a_foreign_folder, "belongs to another user", id="foreign-folder", marks=as_root),
    pytest.param(_in_a_folder_of_a_group, "others may write into the folder", id="group-folder", marks=as_root),
    pytest.param(_foreign_link, "a symbolic link that another user made", id="foreign-link", marks=as_root),
]


@pytest.mark.parametrize(("make", "why"), _REFUSED)
@pytest.mark.parametrize("act", [read, write, check])
def test_what_is_refused_and_left_as_it_is(place, make, why, act):
    make(place)
    before = _tree(place)
    refused(act, place / "it", why)
    assert _tree(place) == before


def _link_in(place, folder):
    (place / folder / "it").symlink_to(place / "file")


def _second_name(place):
    os.link(place / "file", place / "shared" / "it")


@pytest.mark.parametrize(
    ("make", "path", "why"),
    [
        (lambda place: _link_in(place, "shared"), "shared/it", "a symbolic link in a folder that others may write"),
        (_second_name, "shared/it", "it has a second name"),
        (lambda place: (place / "shared" / "it").mkdir(), "shared/it", "it is a folder"),
    ],
)
@pytest.mark.parametrize("act", [read, write, check])
def test_what_is_refused_in_a_folder_that_others_may_write(place, make, path, why, act):
    make(place)
    refused(act, place / path, why)
    assert (place / "file").read_bytes() == b"whole"


@as_root
@pytest.mark.parametrize("act", [read, write, check])
def test_a_link_of_another_user_on_the_way_is_refused(place, act):
    (place / "folder" / "it").write_bytes(b"whole")
    (place / "shared" / "way").symlink_to(place / "folder")
    act(place / "shared" / "way" / "it")
    os.chown(place / "shared" / "way", _STRANGER, -1, follow_symlinks=False)
    refused(act, place / "shared" / "way" / "it", "a symbolic link that another user made")


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero", "/dev/tty"])
@pytest.mark.parametrize("act", [read, write, check])
def test_a_device_is_refused(device, act):
    refused(act, device, "it is a device")


def test_links_without_end_are_reported(place):
    (place / "it").symlink_to("it")
    with pytest.raises(InvalidOption) as caught:
        read(place / "it")
    assert caught.value.error_code == "file_unreadable"


def test_what_root_or_this_user_made_is_followed_in_a_folder_of_theirs(place):
    (place / "it").symlink_to("folder/../file")
    (place / "way").symlink_to(place / "folder")
    assert read(place / "it") == b"whole"
    write(place / "it")
    assert (place / "it").is_symlink()
    assert (place / "file").read_bytes() == b"new"
    write(place / "way" / "new")
    assert (place / "folder" / "new").read_bytes() == b"new"


def test_in_a_folder_that_others_may_write_what_is_ours_is_trusted(place):
    write(place / "shared" / "it")
    check(place / "shared" / "it")
    assert read(place / "shared" / "it") == b"new"
    assert os.listdir(place / "shared") == ["it"]


@as_root
def test_a_folder_of_a_group_that_has_this_user_alone_is_trusted(place):
    os.chown(place, -1, 0)
    place.chmod(0o770)
    assert read(place / "file") == b"whole"


def test_a_relative_path_begins_where_the_process_is(place, monkeypatch):
    monkeypatch.chdir(place)
    write("folder/../it")
    assert read("./it") == b"new"
    with _files.open_folder("folder", what="file") as folder:
        folder.replace("one", b"1")
        assert folder.names() == ["one"]


def test_a_name_in_a_folder_leads_nowhere_else(place):
    with _files.open_folder(str(place / "folder"), what="file") as folder, pytest.raises(InvalidOption, match="slash"):
        folder.replace("../file", b"new")
    assert (place / "file").read_bytes() == b"whole"


def test_a_folder_that_is_not_there_is_called_a_folder(place):
    with pytest.raises(_files.FileMissing) as missing, _files.open_folder(str(place / "none"), what="disk"):
        pass
    assert str(missing.value).startswith(f"There is no folder {place}/none for the disk.")


def test_what_is_not_there_is_another_thing_than_what_is_refused(place):
    with pytest.raises(_files.FileMissing) as missing:
        read(place / "none")
    assert missing.value.error_code == "file_missing"
    for act in (write, check):
        with pytest.raises(InvalidOption, match="there is no such folder") as caught:
            act(place / "none" / "it")
        assert caught.value.error_code == "file_unwritable"


def test_no_more_is_read_than_may_be(place):
    assert _files.read(str(place / "file"), 5, what="file") == b"whole"
    with pytest.raises(InvalidOption, match="more than 4 bytes"):
        _files.read(str(place / "file"), 4, what="file")


def test_reading_ends_with_the_deadline(place):
    with open(place / "file", "wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(TimedOut, match="could not be read in time"):
        _files.read(str(place / "file"), 10 << 20, what="file", deadline=time.monotonic())


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_mode_is_what_was_asked_for_whatever_the_mask(place, mode):
    mask = os.umask(0o077)
    try:
        _files.replace(str(place / "it"), b"", mode, what="file")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((place / "it").stat().st_mode) == mode


def test_who_has_it_open_goes_on_with_what_it_was(place):
    with open(place / "file", "rb") as file:
        write(place / "file")
        assert file.read() == b"whole"


def test_a_second_name_in_a_folder_of_ours_keeps_what_it_was(place):
    os.link(place / "file", place / "other")
    write(place / "file")
    assert (place / "other").read_bytes() == b"whole"


# --- While it is done.


def _counted(monkeypatch, act):
    steps = Steps(every=True)
    with monkeypatch.context() as patch:
        patch.setattr(_files, "os", steps)
        act()
    return steps.count


def test_whichever_step_fails_the_file_is_whole_and_nothing_else_is_left(place, monkeypatch):
    count = _counted(monkeypatch, lambda: write(place / "file"))
    assert count > 6
    names = sorted(os.listdir(place))
    outcomes = set()
    for number in range(1, count + 1):
        (place / "file").write_bytes(b"whole")
        with monkeypatch.context() as patch:
            patch.setattr(_files, "os", failing_at(number, every=True))
            try:
                write(place / "file")
            except InvalidOption as error:
                outcomes.add(error.error_code)
        assert (place / "file").read_bytes() in (b"whole", b"new")
        assert sorted(os.listdir(place)) == names
    assert "file_unwritable" in outcomes


def test_a_kill_at_any_step_leaves_the_file_whole_and_the_next_write_removes_the_rest(place, monkeypatch):
    count = _counted(monkeypatch, lambda: write(place / "file"))
    names = sorted(os.listdir(place))
    seen = set()
    for number in range(1, count + 1):
        (place / "file").write_bytes(b"whole")
        child = os.fork()
        if child == 0:
            _files.os = killed_at(number, every=True)
            write(place / "file")
            os._exit(0)
        os.waitpid(child, 0)
        assert (place / "file").read_bytes() in (b"whole", b"new")
        seen.add(len(os.listdir(place)) - len(names))
        write(place / "file")
        assert sorted(os.listdir(place)) == names
    assert seen == {0, 1}


def test_a_draft_that_is_being_written_is_no_leftover(place):
    with _files.open_folder(str(place), what="file") as folder:
        draft = _files.Draft(folder, "file")
        draft.write(b"later")
        write(place / "file")
        draft.finish()
    assert (place / "file").read_bytes() == b"later"


def test_where_a_file_system_syncs_no_folders_all_is_written(place, monkeypatch):
    real = os.fsync

    def sync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(handle)

    monkeypatch.setattr(os, "fsync", sync)
    write(place / "file")
    _put_folder(place)
    assert ((place / "file").read_bytes(), os.listdir(place / "folder")) == (b"new", ["new"])
    assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def test_where_a_file_system_knows_no_locks_nothing_is_swept_and_all_is_written(place, monkeypatch):
    def refuse(_handle, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    left = (".file.0123456789abcdef.vforge-part", ".folder.0123456789abcdef.vforge-part")
    (place / left[0]).write_bytes(b"of a run that was killed, or that is at work")
    (place / left[1]).mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        write(place / "file")
        _put_folder(place)
    assert (place / "file").read_bytes() == b"new"
    assert os.listdir(place / "folder") == ["new"]
    assert sorted(os.listdir(place)) == sorted(["file", "folder", "shared", *left])
    # With locks it is known that nobody is at work.
    write(place / "file")
    _put_folder(place)
    assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def _put_folder(place):
    """Put a folder with one file into the place of the one that is there."""
    with _files.open_folder(str(place), what="package") as parent:
        parent.sweep_folders("folder")
        draft = _files.DraftFolder(parent, "folder")
        try:
            handle = draft.make("new")
            os.close(handle)
            draft.finish()
        finally:
            draft.abandon()


def test_a_folder_is_replaced_whole(place):
    (place / "folder" / "old").write_bytes(b"old")
    _put_folder(place)
    assert os.listdir(place / "folder") == ["new"]
    assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def test_whichever_step_fails_a_folder_is_whole(place, monkeypatch):
    count = _counted(monkeypatch, lambda: _put_folder(place))
    assert count > 4
    for number in range(1, count + 1):
        (place / "folder" / "new").unlink(missing_ok=True)
        (place / "folder" / "old").write_bytes(b"old")
        with monkeypatch.context() as patch:
            patch.setattr(_files, "os", failing_at(number, every=True))
            with contextlib.suppress(InvalidOption, OSError):
                _put_folder(place)
        assert os.listdir(place / "folder") in (["old"], ["new"])


def test_a_kill_at_any_step_loses_no_folder_and_the_next_run_removes_the_rest(place, monkeypatch):
    count = _counted(monkeypatch, lambda: _put_folder(place))
    for number in range(1, count + 1):
        (place / "folder" / "new").unlink(missing_ok=True)
        (place / "folder" / "old").write_bytes(b"old")
        child = os.fork()
        if child == 0:
            _files.os = killed_at(number, every=True)
            _put_folder(place)
            os._exit(0)
        os.waitpid(child, 0)
        with _files.open_folder(str(place), what="package") as parent:
            parent.sweep_folders("folder")
        assert os.listdir(place / "folder") in (["old"], ["new"])
        assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def test_a_folder_in_the_making_is_no_leftover(place):
    with _files.open_folder(str(place), what="package") as parent:
        draft = _files.DraftFolder(parent, "folder")
        parent.sweep_folders("folder")
        draft.finish()
    assert os.listdir(place / "folder") == []


def test_a_folder_is_not_put_in_the_place_of_a_file_or_a_link(place):
    (place / "link").symlink_to(place / "folder")
    with _files.open_folder(str(place), what="package") as parent:
        for name in ("file", "link"):
            with pytest.raises(_files.FileRefused):
                _files.DraftFolder(parent, name)
            with pytest.raises(_files.FileRefused):
                parent.remove_folder(name)
        parent.remove_folder("folder")
        parent.remove_folder("folder")
    assert sorted(os.listdir(place)) == ["file", "link", "shared"]


def test_a_folder_that_is_replaced_in_the_middle_changes_nothing_elsewhere(place, monkeypatch):
    """It is held open: what is written goes where it was looked at, and never where a link now leads."""
    (place / "work").mkdir()
    (place / "else").mkdir()
    (place / "else" / "it").write_bytes(b"not mine to write")

    def happen(_count, name):
        if name == "write":
            os.rename(place / "work", place / "moved")
            os.symlink(place / "else", place / "work")

    monkeypatch.setattr(_files, "os", Steps(happen))
    write(place / "work" / "it")
    assert (place / "else" / "it").read_bytes() == b"not mine to write"
    assert (place / "moved" / "it").read_bytes() == b"new"


@pytest.mark.parametrize("make", [_pipe, _folder])
def test_what_comes_into_its_place_in_the_middle_is_refused(place, monkeypatch, make):
    def happen(_count, name):
        if name == "fsync" and not (place / "it").exists():
            make(place)

    monkeypatch.setattr(_files, "os", Steps(happen))
    refused(write, place / "it", "it is a")
    assert sorted(os.listdir(place)) == ["file", "folder", "it", "shared"]


@settings(max_examples=30)
@given(st.binary(max_size=1 << 12), st.integers(0, 1 << 12))
def test_what_is_written_is_read_again(tmp_path_factory, data, most):
    path = str(tmp_path_factory.getbasetemp() / "any")
    _files.replace(path, data, what="file")
    if len(data) <= most:
        assert _files.read(path, most, what="file") == data
    else:
        with pytest.raises(_files.FileRefused):
            _files.read(path, most, what="file")


# --- Locks.


def _lock(path, seconds=30.0, tell=lambda _line: None):
    return _files.locked(str(path), time.monotonic() + seconds, tell, what="file")


def _holder(path):
    """A process that holds a lock until its input ends."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"\n"
    return process


def test_a_lock_of_another_process_is_waited_for_and_reported_with_the_process(place):
    with _lock(place / "it"):
        pass
    holder = _holder(place / "it.lock")
    said = []

    def tell(line):
        said.append(line)
        holder.stdin.close()

    with _lock(place / "it", tell=tell):
        assert holder.wait() == 0
    holder.stdout.close()
    assert said == [f"Waiting up to 30 s for the lock of the file {place}/it.lock, which process {holder.pid} holds."]


def test_a_lock_is_waited_for_until_the_deadline_and_is_free_afterwards(place):
    holder = _holder(place / "it.lock")
    with pytest.raises(TimedOut) as caught, _lock(place / "it", 0.3):
        pytest.fail("it was locked")
    assert f"is held by process {holder.pid}" in str(caught.value)
    holder.communicate()
    # The thread that went on waiting lets it go.
    with _lock(place / "it"):
        assert (place / "it.lock").exists()


def test_a_lock_that_was_removed_while_it_was_waited_for_is_taken_again(place):
    with _lock(place / "it"):
        (place / "it.lock").unlink()
        with _lock(place / "it", 5):
            assert (place / "it.lock").exists()


@pytest.mark.parametrize("make", [_pipe, _folder, _writable_by(0o022)])
def test_a_lock_that_is_no_file_of_ours_is_refused(place, make):
    make(place)
    os.rename(place / "it", place / "lock.lock")
    with pytest.raises(InvalidOption) as caught, _lock(place / "lock"):
        pytest.fail("it was locked")
    assert caught.value.error_code == "file_refused"


def test_many_threads_have_it_one_after_the_other(place):
    inside, most = [], []

    def work():
        with _lock(place / "it"):
            inside.append(1)
            most.append(len(inside))
            inside.pop()

    threads = [threading.Thread(target=work) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_a_signal_while_it_is_waited_for_lets_go_of_it(place):
    class Struck(Exception):
        """A signal came."""

    def strike(_number, _frame):
        raise Struck

    before = signal.signal(signal.SIGUSR1, strike)
    holder = _holder(place / "it.lock")
    try:
        with pytest.raises(Struck), _lock(place / "it", tell=lambda _line: os.kill(os.getpid(), signal.SIGUSR1)):
            pytest.fail("it was locked")
    finally:
        signal.signal(signal.SIGUSR1, before)
        holder.communicate()
    with open(place / "it.lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def test_whether_a_lock_is_still_wanted_is_asked_while_it_is_waited_for(place):
    class NotWanted(Exception):
        """The task ends."""

    def ended():
        raise NotWanted

    begun = time.monotonic()
    with _lock(place / "it"):
        late = time.monotonic() + 60
        with (
            pytest.raises(NotWanted),
            _files.locked(str(place / "it"), late, lambda _line: None, what="file", go_on=ended),
        ):
            pytest.fail("it was locked")
    assert time.monotonic() - begun < 20
    with _lock(place / "it", 5):
        assert (place / "it.lock").exists()


def test_a_lock_that_was_let_go_is_free_while_a_program_still_runs(place):
    with _files.locked(str(place / "it"), time.monotonic() + 5, lambda _line: None, what="file", by_programs=True):
        program = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    with _lock(place / "it", 1):
        assert program.poll() is None
    program.communicate()


# --- File systems that are not as local ones.


class _Locks:
    """``fcntl`` of a file system whose locks are others.

    :param flock: called before each lock, with the descriptor and what is asked for; may raise.
    """

    def __init__(self, flock):
        self._flock = flock

    def __getattr__(self, name):
        return getattr(fcntl, name)

    def flock(self, handle, how):
        self._flock(handle, how)
        fcntl.flock(handle, how)


def _as_on_nfs(handle, how):
    """Locks as ranges of bytes: only who may write has an exclusive one, and only who may read a shared one (flock(2))."""
    mode = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_ACCMODE
    wanted = os.O_RDONLY if how & fcntl.LOCK_EX else os.O_WRONLY if how & fcntl.LOCK_SH else None
    if mode == wanted and not stat.S_ISDIR(os.fstat(handle).st_mode):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def _without_locks(_handle, _how):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def _leave_a_draft(place, name="file"):
    """What a run leaves that is killed while it writes."""
    left = place / f".{name}.0123456789abcdef.vforge-part"
    left.write_bytes(b"half")
    left.chmod(0o600)
    return left


@pytest.mark.parametrize(("flock", "stays"), [(_as_on_nfs, False), (_without_locks, True)])
def test_what_a_killed_run_has_left_keeps_nothing_from_being_written(place, monkeypatch, flock, stays):
    left = _leave_a_draft(place)
    monkeypatch.setattr(_files, "fcntl", _Locks(flock))
    write(place / "file")
    assert ((place / "file").read_bytes(), left.exists()) == (b"new", stays)


@pytest.mark.parametrize(("flock", "stays"), [(_as_on_nfs, False), (_without_locks, True)])
def test_a_folder_that_a_killed_run_has_left_keeps_nothing_from_being_written(place, monkeypatch, flock, stays):
    left = place / ".folder.0123456789abcdef.vforge-part"
    left.mkdir()
    monkeypatch.setattr(_files, "fcntl", _Locks(flock))
    _put_folder(place)
    assert (os.listdir(place / "folder"), left.exists()) == (["new"], stays)


@pytest.mark.parametrize("flock", [_as_on_nfs, lambda _handle, _how: None])
def test_a_draft_that_is_being_written_is_no_leftover_on_any_file_system(place, monkeypatch, flock):
    monkeypatch.setattr(_files, "fcntl", _Locks(flock))
    test_a_draft_that_is_being_written_is_no_leftover(place)


def test_a_draft_that_is_just_taken_for_a_leftover_is_made_again(place, monkeypatch):
    """Somebody sweeps: it is locked between its making and its lock, and removed after that."""
    swept = {}

    def lock(handle, how):
        if not swept and how & fcntl.LOCK_EX:
            path = os.readlink(f"/proc/self/fd/{handle}")
            swept[path] = os.open(path, os.O_RDONLY)
            fcntl.flock(swept[path], fcntl.LOCK_SH)

    def remove(_count, name):
        if name == "fchmod":
            for path in swept:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    monkeypatch.setattr(_files, "fcntl", _Locks(lock))
    monkeypatch.setattr(_files, "os", Steps(remove))
    write(place / "file")
    for handle in swept.values():
        os.close(handle)
    assert ((place / "file").read_bytes(), len(swept)) == (b"new", 1)
    assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def test_a_lock_that_is_refused_while_it_is_waited_for_is_reported_at_once(place, monkeypatch):
    def refused_later(_handle, how):
        if not how & (fcntl.LOCK_NB | fcntl.LOCK_UN):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    holder = _holder(place / "it.lock")
    monkeypatch.setattr(_files, "fcntl", _Locks(refused_later))
    begun = time.monotonic()
    with pytest.raises(InvalidOption, match="No locks available") as caught, _lock(place / "it", 600):
        pytest.fail("it was locked")
    assert time.monotonic() - begun < 300
    assert (caught.value.error_code, "has no locks" in caught.value.hint) == ("file_unwritable", True)
    holder.communicate()


def _answered_twice(name):
    """The call is made, and then once more, since its first answer was lost, as by a client of NFS."""

    class Twice:
        """``os`` of such a client."""

        def __getattr__(self, wanted):
            real = getattr(os, wanted)
            if wanted != name:
                return real

            def call(*args, **kwargs):
                real(*args, **kwargs)
                return real(*args, **kwargs)

            return call

    return Twice()


def test_a_rename_that_was_done_is_no_failure_whatever_is_answered(place, monkeypatch):
    monkeypatch.setattr(_files, "os", _answered_twice("rename"))
    write(place / "file")
    _put_folder(place)
    assert ((place / "file").read_bytes(), os.listdir(place / "folder")) == (b"new", ["new"])
    assert sorted(os.listdir(place)) == ["file", "folder", "shared"]


def test_a_rename_of_what_is_not_there_is_a_failure(place):
    with pytest.raises(FileNotFoundError):
        _files.rename(str(place / "nothing"), str(place / "file"))
    assert (place / "file").read_bytes() == b"whole"


@pytest.mark.parametrize(("error", "code"), [(errno.EINVAL, ""), (errno.EIO, "file_unwritable")])
def test_a_file_system_that_cannot_be_asked_to_write_names_writes_files_all_the_same(place, monkeypatch, error, code):
    class Folders:
        """``os`` where no folder can be synced."""

        def __getattr__(self, name):
            return getattr(os, name)

        def fsync(self, handle):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(error, os.strerror(error))
            os.fsync(handle)

    monkeypatch.setattr(_files, "os", Folders())
    said = ""
    try:
        write(place / "file")
        _put_folder(place)
    except InvalidOption as caught:
        said = caught.error_code
    assert (said, (place / "file").read_bytes()) == (code, b"new")


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errno.ENOSPC, "Make room"),
        (errno.EDQUOT, "Make room"),
        (errno.ESTALE, "still mounted"),
        (errno.EIO, "still mounted"),
        (errno.EROFS, "read-only"),
        (errno.ENOLCK, "has no locks"),
        (errno.EACCES, "by this user"),
    ],
)
def test_what_to_do_depends_on_what_the_system_says(error, hint):
    with pytest.raises(_files.FileUnwritable) as caught, _files.explained("/there", "file"):
        raise OSError(error, os.strerror(error))
    assert hint in caught.value.hint


# --- What is read from files.


@pytest.mark.parametrize("text", [b'{"a": [1, "b", true, null]}', b"[]", b"-7"])
def test_plain_json_is_understood(text):
    assert _files.parsed(text) is not ...


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"1.5",
        b"[" * 3000,
        b"[" * 200 + b"]" * 200,
        b"1" * 5000,
    ],
)
def test_json_that_none_of_ours_is_raises_one_kind_of_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 (each has another message, of json's or ours)
        _files.parsed(text)


def _tree(place):
    found = {}
    for path in sorted(place.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_mode, status.st_uid, status.st_mtime_ns)
    return found
