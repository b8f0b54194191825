# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kept sessions: files that only their owner can read, and only who knows the password can use."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pathlib
import shutil
import stat
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import session as stores
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import KeptSession, SessionStore

PASSWORD = "correct horse"  # noqa: S105 (of nobody)
SESSION = KeptSession(
    cookie="a0b1c2",
    about={"apiVersion": "8.0.3.0", "apiType": "VirtualCenter"},
    references={"propertyCollector": ("vmodl.query.PropertyCollector", "propertyCollector")},
)


def options(**changes) -> ConnectionOptions:
    return ConnectionOptions(**{"hostname": "vc.example", "username": "u", "password": PASSWORD, **changes})


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def store(warnings) -> SessionStore:
    return SessionStore(options(), warnings.append)


def only_file(folder: pathlib.Path) -> pathlib.Path:
    (found,) = folder.glob("*.json")
    return found


def test_what_is_kept_is_found_again(store, warnings):
    assert store.load() is None
    assert store.save(SESSION)
    assert store.load() == SESSION
    assert SessionStore(options(), warnings.append).load() == SESSION
    assert warnings == []


def test_the_file_and_its_folder_are_their_owners_alone(store, kept_folder):
    mask = os.umask(0)
    try:
        store.save(SESSION)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(kept_folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(kept_folder).stat().st_mode) == 0o600
    # Nothing half-written is left beside it.
    assert [path.suffix for path in kept_folder.iterdir()] == [".json"]


def test_the_password_is_not_in_the_file_and_the_cookie_in_no_text(store, kept_folder):
    store.save(SESSION)
    assert PASSWORD not in only_file(kept_folder).read_text(encoding="utf-8")
    assert SESSION.cookie not in repr(SESSION)


def test_who_has_another_password_is_not_given_the_session(store, warnings):
    store.save(SESSION)
    other = SessionStore(options(password="wrong"), warnings.append)  # noqa: S106
    assert other.load() is None
    assert store.load() == SESSION
    assert warnings == []


def test_each_file_has_a_salt_of_its_own(store, kept_folder):
    store.save(SESSION)
    first = json.loads(only_file(kept_folder).read_text(encoding="utf-8"))
    store.save(SESSION)
    second = json.loads(only_file(kept_folder).read_text(encoding="utf-8"))
    assert first["salt"] != second["salt"]
    assert first["verifier"] != second["verifier"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_read_is_refused_and_replaced(store, kept_folder, warnings, mode):
    store.save(SESSION)
    only_file(kept_folder).chmod(mode)
    assert store.load() is None
    assert "is refused" in warnings[0]
    assert store.save(SESSION)
    assert store.load() == SESSION
    assert stat.S_IMODE(only_file(kept_folder).stat().st_mode) == 0o600


def test_a_file_of_somebody_else_is_refused(store, kept_folder, warnings):
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    store.save(SESSION)
    os.chown(only_file(kept_folder), 12345, -1)
    assert store.load() is None
    assert "it belongs to another user" in warnings[0]


def test_a_symbolic_link_is_not_followed(store, kept_folder, tmp_path, warnings):
    store.save(SESSION)
    target = tmp_path / "elsewhere.json"
    path = only_file(kept_folder)
    path.rename(target)
    path.symlink_to(target)
    before = target.read_bytes()
    assert store.load() is None
    assert "it is a symbolic link" in warnings[0]
    # The link gives way to a file; what it led to stays as it was.
    assert store.save(SESSION)
    assert not path.is_symlink()
    assert target.read_bytes() == before


def test_a_lock_that_is_a_symbolic_link_is_not_followed(store, kept_folder, tmp_path, warnings):
    with store.locked():
        (lock,) = kept_folder.glob("*.lock")
    lock.unlink()
    target = tmp_path / "elsewhere"
    lock.symlink_to(target)
    with store.locked():
        pass
    assert "it is a symbolic link" in warnings[0]
    assert not target.exists()


@pytest.mark.parametrize("kind", ["link", "file", "open"])
def test_a_folder_that_is_not_ours_alone_is_not_used(kept_folder, tmp_path, warnings, kind):
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        kept_folder.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        kept_folder.write_text("", encoding="utf-8")
    else:
        kept_folder.mkdir()
        kept_folder.chmod(0o755)
    store = SessionStore(options(), warnings.append)
    assert str(kept_folder) in warnings[0]
    assert not store.save(SESSION)
    assert store.load() is None
    with store.locked():
        pass
    assert list((tmp_path / "elsewhere").iterdir() if kind == "link" else []) == []


def test_without_a_runtime_directory_the_temporary_one_serves(monkeypatch, tmp_path, warnings):
    if os.path.isdir(f"/run/user/{os.geteuid()}"):
        pytest.skip("this user has a runtime directory")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert SessionStore(options(), warnings.append).save(SESSION)
    assert only_file(tmp_path / f"vforge-vsphere-{os.geteuid()}").exists()


def test_the_runtime_directory_of_another_user_is_passed_over(monkeypatch, tmp_path, warnings):
    """``su`` leaves the variable as it is."""
    if os.geteuid() != 0 or os.path.isdir("/run/user/0"):
        pytest.skip("only root can give a folder away, and has to have no runtime directory")
    runtime = tmp_path / "of-another-user"
    runtime.mkdir()
    os.chown(runtime, 12345, -1)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert SessionStore(options(), warnings.append).save(SESSION)
    assert SessionStore(options(), warnings.append).load() == SESSION
    assert (list(runtime.iterdir()), warnings) == ([], [])


def test_a_pipe_in_place_of_the_file_holds_nobody_up(store, kept_folder, warnings):
    store.save(SESSION)
    path = only_file(kept_folder)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert store.load() is None
    assert "it is a named pipe" in warnings[0]
    # It gives way to the next session, so that nobody has to remove it by hand.
    assert store.save(SESSION)
    assert store.load() == SESSION


DAMAGED = "The kept session file is damaged; a new session is opened."


def damage(path, **changes):
    """Change what a file holds, with a digest that fits: somebody has edited it."""
    data = {**json.loads(path.read_text(encoding="utf-8")), **changes}
    data["digest"] = stores._digest(data)
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b"\xff\xfe",
        b"{}",
        b'{"format": 3}',
        b'{"format": 3, "salt": 7}',
        b'{"format": Infinity}',
        b'{"format": 3, "digest": NaN}',
        pytest.param(b"[" * 9000 + b"]" * 9000, id="deep"),
        pytest.param(b'{"format": 3, "a": "' + b"a" * 2**19 + b'"}', id="large"),
    ],
)
def test_a_damaged_file_is_as_good_as_none(store, kept_folder, warnings, content):
    store.save(SESSION)
    only_file(kept_folder).write_bytes(content)
    assert store.load() is None
    assert store.load() is None
    assert warnings == [DAMAGED]
    store.save(SESSION)
    assert store.load() == SESSION


@pytest.mark.parametrize(
    "changes",
    [
        {"cookie": 7},
        {"cookie": "a\nb"},
        {"cookie": '"'},
        {"cookie": '"a"b"'},
        {"cookie": "\ud800"},
        {"about": []},
        {"about": {"apiVersion": None}},
        {"about": {}},
        {"references": {"propertyCollector": "group-d1"}},
        {"references": {"propertyCollector": ["vim.Folder", "group-d1"]}},
        {"references": {"propertyCollector": ["vmodl.query.PropertyCollector", ""]}},
        {"references": {}},
        {"salt": None},
        {"salt": "no hex"},
        {"verifier": 7},
        {"verifier": "\u00e4"},
    ],
)
def test_a_file_with_odd_parts_is_damaged(store, kept_folder, warnings, changes):
    store.save(SESSION)
    damage(only_file(kept_folder), **changes)
    assert store.load() is None
    assert warnings == [DAMAGED]


def test_a_part_that_was_lost_is_noticed_wherever_it_is(store, kept_folder, warnings):
    store.save(SESSION)
    path = only_file(kept_folder)
    data = json.loads(path.read_text(encoding="utf-8"))
    data["references"].popitem()
    path.write_text(json.dumps(data), encoding="utf-8")
    assert store.load() is None
    assert warnings == [DAMAGED]


def test_a_file_of_another_format_is_passed_over(store, kept_folder, warnings):
    store.save(SESSION)
    path = only_file(kept_folder)
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), "format": 1}), encoding="utf-8")
    assert store.load() is None
    assert warnings == []


PLAIN = st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)


@settings(max_examples=40)
@given(part=st.sampled_from(["cookie", "about", "references", "salt", "verifier"]), value=PLAIN)
def test_whatever_stands_in_the_file_raises_nothing(part, value):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", folder)
        store = SessionStore(options(), [].append)
        store.save(SESSION)
        damage(only_file(pathlib.Path(folder) / f"vforge-vsphere-{os.geteuid()}"), **{part: value})
        loaded = store.load()
        assert loaded is None or loaded.about["apiVersion"]


def test_a_session_that_cannot_be_kept_is_warned_of(store, kept_folder, warnings):
    shutil.rmtree(kept_folder)
    assert store.save(SESSION) is False
    assert "cannot be kept" in warnings[0]


def test_sessions_that_are_not_to_be_kept_leave_no_trace(kept_folder, warnings):
    store = SessionStore(options(session_cache=False), warnings.append)
    assert store.save(SESSION) is False
    with store.locked():
        assert store.load() is None
    assert not kept_folder.exists()
    assert warnings == []


def test_the_lock_is_not_waited_for_without_end(kept_folder, warnings):
    store = SessionStore(options(connection_timeout=1), warnings.append)
    with store.locked():
        (path,) = kept_folder.glob("*.lock")
    with open(path, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with store.locked():
            assert "cannot be had" in warnings[0]
    # The thread that went on waiting gets the lock now, and lets it go.
    with SessionStore(options(connection_timeout=60), warnings.append).locked():
        assert len(warnings) == 1


def test_a_file_system_without_locks_keeps_nobody_from_logging_in(store, kept_folder, warnings, monkeypatch):
    def refuse(_handle, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        with store.locked():
            pass
    (warning,) = warnings
    assert f"cannot be had ({os.strerror(errno.ENOLCK)})" in warning
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert kept_folder.exists()


def test_a_file_that_cannot_be_read_to_its_end_is_as_good_as_none(store, kept_folder, warnings, monkeypatch):
    store.save(SESSION)
    real = os.fdopen

    class Broken:
        def __init__(self, handle, mode):
            self.file = real(handle, mode)

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            self.file.close()

        def read(self, _most):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", Broken)
        assert store.load() is None
    (warning,) = warnings
    assert str(only_file(kept_folder)) in warning
    assert os.strerror(errno.ESTALE) in warning
    assert store.load() == SESSION


def test_where_nothing_can_be_written_nothing_is_kept(monkeypatch, tmp_path, warnings):
    if os.path.isdir(f"/run/user/{os.geteuid()}"):
        pytest.skip("this user has a runtime directory")

    def none_is_usable():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(tempfile, "gettempdir", none_is_usable)
    store = SessionStore(options(), warnings.append)
    assert warnings == ["Sessions are not kept: there is no folder for them."]
    assert store.save(SESSION) is False
    with store.locked():
        assert store.load() is None


def test_the_lock_goes_to_the_next_when_its_holder_lets_go(store, kept_folder, warnings):
    with store.locked():
        (path,) = kept_folder.glob("*.lock")
        with open(path, "r+b") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with open(path, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert warnings == []


def test_the_death_of_the_holder_frees_the_lock(store, warnings):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with store.locked():
            os.write(writer, b"locked")
            os._exit(0)
    assert os.read(reader, 6) == b"locked"
    with store.locked():
        assert warnings == []
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
