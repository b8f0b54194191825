# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every file that the collection writes, or reads and trusts: one set of rules for all of them.

A path is walked by descriptors of its folders, so that nobody can put another folder in its place
half way.

- A folder is trusted when root or this user owns it and nobody else may write into it. One like
  ``/tmp``, in which only the owner of a file may replace it, will do for files; so will one whose
  group is root's or this user's own.
- A symbolic link is followed when root or this user made it, in a trusted folder; the last part of
  a path never is one in a folder like ``/tmp``.
- A file is a regular one that root or this user owns and nobody else may write. In a folder like
  ``/tmp`` it has one name only: a second one may be somebody else's, for a file that was never
  meant.

Nothing here waits for a pipe, or opens a device.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import json
import os
import pwd
import re
import secrets
import shutil
import stat
import tempfile
import threading
import time
import typing as t

from ._errors import InvalidOption, TimedOut, VforgeError

_PART = 1 << 20

# Bytes of a file in a private folder: what is longer was not written by us.
_MOST_KEPT = 1 << 20

# Lists and objects in each other, in the JSON of a file. Ours have a handful.
_DEEPEST = 32

# As many as Linux follows.
_MOST_LINKS = 40

# A folder on the way need not be readable. Where there is no O_PATH, it must be.
_PASSING = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_QUIET = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FileRefused(InvalidOption):
    """A file or a folder that is not what it should be, or that others may have changed."""

    error_code = "file_refused"


class FileMissing(InvalidOption):
    """There is no such file."""

    error_code = "file_missing"


class FileUnreadable(InvalidOption):
    """The system refuses to read a file."""

    error_code = "file_unreadable"


class FileUnwritable(InvalidOption):
    """The system refuses to write a file, or it would do so."""

    error_code = "file_unwritable"


class SystemRefused(VforgeError):
    """The system refuses something to the module, such as room, memory or one more open file."""

    error_code = "system_refused"


def read(path: str, most: int, *, what: str, deadline: float | None = None) -> bytes:
    """The whole of a file that is trusted.

    :param most: bytes that it may have.
    :param what: it is, for messages: "state file".
    :param deadline: of ``time.monotonic()``.
    :raises FileMissing: when there is none; nor the folder.
    :raises FileRefused: when it is not to be trusted, or is longer.
    :raises FileUnreadable: as the system says.
    :raises TimedOut: when the deadline passes.
    """
    with _holding(path, what, FileUnreadable) as (folder, name):
        return folder.read(name, most, deadline=deadline)


def replace(path: str, data: bytes, mode: int = 0o600, *, what: str) -> None:
    """Write a file whole or not at all, whoever reads at the same moment and even when the machine
    fails in the middle.

    :param mode: of a new file; one that was there keeps its own.
    :param what: it is, for messages.
    :raises FileRefused: when what is there is none of ours.
    :raises FileUnwritable: as the system says; the file is then as it was, and nothing else is
        left.
    """
    with _holding(path, what, FileUnwritable) as (folder, name):
        folder.replace(name, data, mode)


def check(path: str, *, what: str) -> None:
    """Find out, before anything is begun, what ``replace`` would refuse. Nothing is written.

    :param what: it is, for messages.
    :raises FileRefused, FileUnwritable: as ``replace``.
    """
    with _holding(path, what, FileUnwritable) as (folder, name):
        folder.check(name)


@contextlib.contextmanager
def locked(
    path: str,
    deadline: float,
    show: t.Callable[[str], None],
    *,
    what: str,
    by_programs: bool = False,
    go_on: t.Callable[[], None] = lambda: None,
) -> t.Iterator[None]:
    """Hold the lock of a file among processes; the end of a process, however it comes, releases it.

    The lock is a file beside it, with the ending ``.lock``, which is made where there is none, and
    stays.

    :param path: of the file, which need not be there.
    :param deadline: of ``time.monotonic()``.
    :param show: called with one sentence when the lock has to be waited for.
    :param what: is locked, for messages: "state file".
    :param by_programs: whether programs that this process starts hold it as well: after its death
        it is then held until they have ended, too.
    :param go_on: is called each second while it is waited for; raises why that is to end.
    :raises FileRefused, FileUnwritable: when there can be no such file.
    :raises TimedOut: when others hold it until the deadline.
    """
    with _holding(path, f"lock of the {what}", FileUnwritable) as (folder, name):
        handle = folder.lock(f"{name}.lock", deadline, show, go_on)
        os.set_inheritable(handle, by_programs)
        try:
            yield
        finally:
            with explained(path, what):
                # Programs that others of this process have started hold it, too, and may go on for
                # hours.
                fcntl.flock(handle, fcntl.LOCK_UN)
                os.close(handle)


@contextlib.contextmanager
def open_folder(path: str, *, what: str, trusted: bool = True, make: bool = False) -> t.Iterator[Folder]:
    """A folder, open.

    :param what: is in it, for messages: "file of areas".
    :param trusted: False for one whose files are only looked at; any link on the way is followed.
    :param make: whether it is made, for this user alone, where there is none.
    :raises FileMissing, FileRefused, FileUnreadable: when it cannot be had.
    """
    folder = held_folder(path, what=what, trusted=trusted, make=make)
    try:
        yield folder
    finally:
        folder.close()


def held_folder(path: str, *, what: str, trusted: bool = True, make: bool = False) -> Folder:
    """As ``open_folder``, for a caller who closes it."""
    kind = FileUnwritable if make else FileUnreadable
    with explained(path, what, kind), _no_folder_for(path, what):
        if trusted:
            handle, _at, _name = _walk(path, what, make=make)
        else:
            handle = os.open(path, _HOLDING & ~os.O_NOFOLLOW)
    folder = Folder(handle, path, what, trusted=trusted)
    try:
        if trusted:
            with explained(path, what, kind):
                folder.hold()
            _trust_folder(folder.handle, path, path, what)
    except BaseException:
        folder.close()
        raise
    return folder


def check_folder(path: str, *, what: str, makes: bool = True) -> None:
    """Find out whether files can be made in a folder, or it can be made itself. Nothing is written.

    :param what: will be in it, for messages.
    :param makes: whether it is going to be made where there is none.
    :raises FileMissing, FileRefused, FileUnwritable: when not.
    """
    there = os.path.join(path, "")
    if not makes and not os.path.lexists(there):
        raise FileMissing(f"There is no folder {path} for the {what}.", hint="Make it, or choose another one.", path=path)
    while not os.path.lexists(there) and there.strip("/"):
        there = os.path.dirname(there.rstrip("/"))
    with open_folder(there or ".", what=what) as folder:
        folder.check_access(path)


def check_is_file(path: str, *, what: str, hint: str) -> bool:
    """Make sure that there is a file at a path, or a link, or nothing. Nothing is opened.

    :param what: it is to be, for messages.
    :returns: whether there is something.
    :raises FileRefused: there is a folder, or something else that is no file; a link to one is refused, too.
    :raises FileUnreadable: the system does not say what there is.
    """
    with explained(path, what, FileUnreadable):
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.S_ISLNK(status.st_mode):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(path)
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):
        raise _refused(what, path, f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}", hint)
    return True


@contextlib.contextmanager
def explained(path: str, what: str, kind: type[InvalidOption] = FileUnwritable) -> t.Iterator[None]:
    """Turn what the system refuses about a file into an error for the user.

    :param kind: of the error.
    :raises InvalidOption: of that kind, naming the file; ``FileMissing`` where there is none.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileMissing(f"The {what} {path} is not there.", hint="Look whether its path is right.", path=path) from error
    except OSError as error:
        doing = "read" if kind is FileUnreadable else "written"
        raise kind(
            f"The {what} {path} cannot be {doing}: {error.strerror or error}.",
            hint=_advice(error, doing),
            path=path,
        ) from error


class Folder:
    """A folder that is held open; all names are names in it.

    :ivar path: for messages.
    :ivar handle: its descriptor.
    """

    def __init__(self, handle: int, path: str, what: str, *, trusted: bool = True) -> None:
        self.path = path
        self.handle = handle
        self._what = what
        self._trusted = trusted

    def hold(self) -> None:
        """Open it for more than passing through, which needs the right to read it.

        :raises OSError: as the system says.
        """
        new = os.open(".", _HOLDING, dir_fd=self.handle)
        os.close(self.handle)
        self.handle = new

    def close(self) -> None:
        """Close it.

        :raises FileUnreadable: as the system says.
        """
        with explained(self.path, self._what, FileUnreadable):
            os.close(self.handle)

    @property
    def what(self) -> str:
        """What is in it, for messages."""
        return self._what

    def path_of(self, name: str) -> str:
        """Of a file in it."""
        return os.path.join(self.path, name)

    def names(self) -> list[str]:
        """What is in it.

        :raises FileUnreadable: as the system says.
        """
        with explained(self.path, self._what, FileUnreadable):
            return os.listdir(self.handle)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of a regular file.

        Where the folder is trusted, of one that is to be trusted too.

        :raises FileMissing: when there is none.
        :raises FileRefused: when it is something else, or not to be trusted.
        :raises FileUnreadable, FileUnwritable: as the system says.
        """
        kind = FileUnreadable if flags & os.O_ACCMODE == os.O_RDONLY else FileUnwritable
        with explained(self.path_of(name), self._what, kind):
            # Looked at first, since opening a device may already do something.
            self._judge(name, os.stat(name, dir_fd=self.handle, follow_symlinks=False))
            handle = os.open(name, flags | _QUIET, dir_fd=self.handle)
            try:
                self._judge(name, os.fstat(handle))
            except BaseException:
                os.close(handle)
                raise
            return handle

    def read(self, name: str, most: int, *, deadline: float | None = None) -> bytes:
        """The whole of a file; see the function of this name."""
        handle = self.open(name)
        with explained(self.path_of(name), self._what, FileUnreadable):
            try:
                return self._read(handle, name, most, deadline)
            finally:
                os.close(handle)

    def check(self, name: str) -> None:
        """Find out what ``replace`` would refuse; see the function of this name."""
        self._check_target(name)
        self.check_access(self.path_of(name))

    def check_access(self, path: str) -> None:
        """Make sure that files can be made in it.

        :param path: that is to be made, for the message.
        :raises FileUnwritable: when they cannot.
        """
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self.handle, effective_ids=True):
            why = "this user may not write into its folder"
            hint = "Choose a folder that this user may write into."
            raise FileUnwritable(f"The {self._what} {path} cannot be written: {why}.", hint=hint, path=path)

    def replace(self, name: str, data: bytes, mode: int = 0o600, *, keep_mode: bool = True) -> None:
        """Write a file whole or not at all; see the function of this name.

        :param keep_mode: whether a file that was there keeps its own mode.
        """
        self.sweep(name)
        draft = Draft(self, name, mode, keep_mode=keep_mode)
        try:
            draft.write(data)
            draft.finish()
        finally:
            draft.abandon()

    def sync(self) -> None:
        """Have the names in it on the disk.

        :raises OSError: as the system says.
        """
        sync(self.handle)

    def remove(self, name: str) -> None:
        """Remove a file, where there is one; a link is removed, never what it points to.

        :raises FileRefused: when it is a folder.
        :raises FileUnwritable: as the system says.
        """
        with explained(self.path_of(name), self._what), contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=self.handle, follow_symlinks=False).st_mode):
                raise _refused(
                    self._what,
                    self.path_of(name),
                    "it is a folder",
                    "Choose another path, or remove it.",
                )
            os.unlink(name, dir_fd=self.handle)

    def sweep(self, name: str = "") -> None:
        """Remove drafts that killed processes have left, those of one file or of all.

        :raises FileUnwritable: as the system says.
        """
        for found in self.names():
            if not found.startswith(f".{name}") or not found.endswith(_DRAFT):
                continue
            # Another run may sweep at the same moment.
            with explained(self.path_of(found), self._what), contextlib.suppress(FileNotFoundError):
                self._sweep(found)

    def lock(
        self, name: str, deadline: float, show: t.Callable[[str], None], go_on: t.Callable[[], None] = lambda: None
    ) -> int:
        """A descriptor that holds the lock of a file, which is made where there is none.

        See ``locked``.
        """
        while True:
            handle = self.made(name, os.O_RDWR)
            _wait_for_lock(handle, _Wait(self.path_of(name), self._what, deadline, show, go_on))
            with explained(self.path_of(name), self._what):
                # One that was removed, or replaced, while it was waited for, locks nothing.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.stat(name, dir_fd=self.handle, follow_symlinks=False)):
                        return handle
                os.close(handle)

    def check_subfolder(self, name: str) -> None:
        """Make sure that a folder in it may be replaced, or made.

        :raises FileRefused: something else is there, or a folder of another user.
        :raises FileUnwritable: as the system says.
        """
        path = self.path_of(name)
        with explained(path, self._what), contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=self.handle, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                raise _refused(self._what, path, "it is no folder", "Choose another path, or remove it.")
            if status.st_uid not in _us():
                why = f"it belongs to another user ({_user(status.st_uid)})"
                raise _refused(self._what, path, why, "Choose another path.")

    def subfolder(self, name: str) -> Folder:
        """A folder in it, open; the caller closes it.

        :raises FileMissing: there is none.
        :raises FileRefused: it is not to be trusted.
        """
        self.check_subfolder(name)
        with explained(self.path_of(name), self._what, FileUnreadable):
            handle = os.open(name, _HOLDING, dir_fd=self.handle)
        folder = Folder(handle, self.path_of(name), self._what)
        try:
            _trust_folder(handle, folder.path, folder.path, self._what)
        except BaseException:
            folder.close()
            raise
        return folder

    def remove_folder(self, name: str) -> None:
        """Remove a folder in it, with all that is in that; where there is none, it does nothing.

        :raises FileRefused: it is no folder, or another user's.
        :raises FileUnwritable: as the system says.
        """
        self.check_subfolder(name)
        with explained(self.path_of(name), self._what):
            _remove_tree(name, self.handle)

    def sweep_folders(self, name: str) -> None:
        """Remove what killed processes have left of a folder in the making.

        One that was killed when the old folder was away and the new one not there yet has left the
        old one under another name: it gets its own again.

        :raises FileUnwritable: as the system says.
        """
        # The name may be the beginning of another one: web, and web.example.com.
        ours = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]+(?:{re.escape(_DRAFT)}|{re.escape(_OLD)})")
        for found in sorted(self.names()):
            if not ours.fullmatch(found):
                continue
            with explained(self.path_of(found), self._what), contextlib.suppress(FileNotFoundError):
                self._sweep_folder(found, name)

    def _sweep_folder(self, found: str, name: str) -> None:
        status = os.stat(found, dir_fd=self.handle, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            return
        handle = os.open(found, _HOLDING, dir_fd=self.handle)
        try:
            if not _is_left(handle):
                return
            if found.endswith(_OLD) and name not in self.names():
                rename(found, name, self.handle)
            else:
                _remove_tree(found, self.handle)
        finally:
            os.close(handle)

    def _sweep(self, name: str) -> None:
        status = os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return
        handle = os.open(name, os.O_RDONLY | _QUIET, dir_fd=self.handle)
        try:
            if _is_left(handle):
                os.unlink(name, dir_fd=self.handle)
        finally:
            os.close(handle)

    def made(self, name: str, flags: int) -> int:
        """As ``open``, of a file that is made, empty and for this user alone, where there is none."""
        making = flags | os.O_CREAT | os.O_EXCL | _QUIET
        with explained(self.path_of(name), self._what), contextlib.suppress(FileExistsError):
            return os.open(name, making, 0o600, dir_fd=self.handle)
        return self.open(name, flags & ~os.O_CREAT)

    def _check_target(self, name: str) -> os.stat_result | None:
        """What is to be replaced, if it may be; None where there is nothing yet."""
        if "/" in name:
            raise _refused(self._what, self.path_of(name), "its name has a slash", "Report this.")
        with explained(self.path_of(name), self._what), contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=self.handle, follow_symlinks=False)
            self._judge(name, status)
            return status
        return None

    def _judge(self, name: str, status: os.stat_result) -> None:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is not None:
            raise _refused(
                self._what,
                self.path_of(name),
                f"it is {kind}",
                "Choose another path, or remove it.",
            )
        if not self._trusted:
            return
        why = None
        if status.st_uid not in _us():
            why = f"it belongs to another user ({_user(status.st_uid)})"
        elif status.st_mode & 0o022:
            why = "others may write it"
        elif status.st_nlink > 1 and os.fstat(self.handle).st_mode & stat.S_ISVTX:
            why = "it has a second name, in a folder that others may write"
        if why is not None:
            hint = "Make it this user's own, writable by nobody else, or remove it if it may be somebody else's work."
            raise _refused(self._what, self.path_of(name), why, hint)

    def _read(self, handle: int, name: str, most: int, deadline: float | None) -> bytes:
        parts: list[bytes] = []
        left = most + 1
        while left > 0 and (part := os.read(handle, min(left, _PART))):
            if parts and deadline is not None and time.monotonic() > deadline:
                late = f"The {self._what} {self.path_of(name)} could not be read in time."
                raise TimedOut(late, hint="Raise the timeout.", path=self.path_of(name))
            parts.append(part)
            left -= len(part)
        if left <= 0:
            why = f"it has more than {most} bytes"
            raise _refused(self._what, self.path_of(name), why, "Look whether its path is right.")
        return b"".join(parts)


_DRAFT = ".vforge-part"


class Draft:
    """A file in the making, beside the one that it will replace.

    :param folder: for the file.
    :param name: that it will have.
    :param mode: of a new file.
    :param keep_mode: whether a file that was there keeps its own.
    :raises FileRefused: when what is there is none of ours.
    :raises FileUnwritable: as the system says.
    """

    def __init__(self, folder: Folder, name: str, mode: int = 0o600, *, keep_mode: bool = True) -> None:
        self._folder, self._name = folder, name
        self._part: str | None = None
        self._handle: int | None = None
        there = folder._check_target(name)
        mode = there.st_mode & 0o777 if there is not None and keep_mode else mode
        try:
            with self._explained():
                self._open()
                os.fchmod(self._descriptor(), mode)
        except BaseException:
            self.abandon()
            raise

    @property
    def path(self) -> str:
        """Where it lies until it is finished, for a program that writes it."""
        return self._folder.path_of(self._part or "")

    def write(self, data: bytes) -> int:
        """Add bytes, all of them; returns how many.

        :raises FileUnwritable: as the system says.
        """
        view = memoryview(data)
        with self._explained():
            while view:
                view = view[os.write(self._descriptor(), view[:_PART]) :]
        return len(data)

    def finish(self) -> None:
        """Put the file in its place. It, and its name, are on the disk then.

        :raises FileUnwritable: as the system says.
        """
        with self._explained():
            handle = self._descriptor()
            os.fsync(handle)
            # Looked at again: whoever has put a folder or a link there meanwhile gets an error.
            self._folder._check_target(self._name)
            rename(self._part or "", self._name, self._folder.handle)
            self._part = None
            self._folder.sync()
            self._handle = None
            os.close(handle)

    def abandon(self) -> None:
        """Leave nothing behind, after a failure; after ``finish`` it does nothing."""
        part, handle = self._part, self._handle
        self._part = self._handle = None
        if part is not None:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=self._folder.handle)
        if handle is not None:
            with contextlib.suppress(OSError):
                os.close(handle)

    def _open(self) -> None:
        """A new file, with its lock, so that nobody takes it for one that was left."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _QUIET
        while self._handle is None:
            part = f".{self._name}.{secrets.token_hex(8)}{_DRAFT}"
            handle = os.open(part, flags, 0o600, dir_fd=self._folder.handle)
            self._part, self._handle = part, handle
            if not _hold(handle) or not os.fstat(handle).st_nlink:
                self.abandon()

    def _descriptor(self) -> int:
        if self._handle is None:
            raise ValueError("the draft is finished")
        return self._handle

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explained(self._folder.path_of(self._name), self._folder._what)


_OLD = ".vforge-old"


class DraftFolder:
    """A folder in the making, beside the one that it will replace: whole or not at all, as a Draft.

    :param parent: the folder for it.
    :param name: that it will have.
    :ivar folder: to write into.
    :raises FileRefused: when what is there is none of ours.
    :raises FileUnwritable: as the system says.
    """

    def __init__(self, parent: Folder, name: str) -> None:
        self._parent, self._name = parent, name
        self._part = f".{name}.{secrets.token_hex(8)}{_DRAFT}"
        self._done = False
        parent.check_subfolder(name)
        with self._explained():
            # Nobody else has this name: a server that says so was asked twice.
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._part, 0o700, dir_fd=parent.handle)
            handle = os.open(self._part, _HOLDING, dir_fd=parent.handle)
        self.folder = Folder(handle, parent.path_of(self._part), parent.what)
        # Its lock says that somebody is at work; see Folder.sweep_folders.
        _hold(handle)

    def make(self, name: str) -> int:
        """A descriptor of a new file in it, for this user alone; the caller closes it.

        :raises FileUnwritable: as the system says.
        """
        with explained(self.folder.path_of(name), self.folder.what):
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | _QUIET, 0o600, dir_fd=self.folder.handle)

    def finish(self) -> None:
        """Put it in the place of what is there, which is removed; see ``Folder.sweep_folders`` for
        a run that is killed between the two.

        :raises FileUnwritable: as the system says.
        """
        parent = self._parent
        parent.check_subfolder(self._name)
        old = f".{self._name}.{secrets.token_hex(8)}{_OLD}"
        with self._explained():
            self.folder.sync()
            with self._set_aside(old):
                rename(self._part, self._name, parent.handle)
            self._done = True
            self.close()
            parent.sync()
            _remove_tree(old, parent.handle)

    @contextlib.contextmanager
    def _set_aside(self, old: str) -> t.Iterator[None]:
        """Give the folder that is there, if one is, another name; its own again where the block
        fails.
        """
        handle = self._parent.handle
        try:
            held = os.open(self._name, _HOLDING, dir_fd=handle)
        except FileNotFoundError:
            yield
            return
        try:
            # Locked, so that nobody who sweeps at this moment takes it for one that was left.
            _hold(held)
            rename(self._name, old, handle)
            try:
                yield
            except OSError:
                rename(old, self._name, handle)
                raise
        finally:
            os.close(held)

    def abandon(self) -> None:
        """Leave nothing behind, after a failure; after ``finish`` it does nothing."""
        if not self._done:
            self._done = True
            with contextlib.suppress(OSError):
                _remove_tree(self._part, self._parent.handle)
            self.close()

    def close(self) -> None:
        """Let it go."""
        os.close(self.folder.handle)

    def _explained(self) -> contextlib.AbstractContextManager[None]:
        return explained(self._parent.path_of(self._name), self._parent.what)


def rename(name: str, new: str, folder: int | None = None, to: int | None = None) -> None:
    """Give a file or folder another name. One that has it is no failure, whatever was answered: a server may be asked
    again that had done it, and finds nothing under the old name then (NFS).

    :param folder: descriptor of the one that it is in, ``to`` of another one that it goes to; None for paths.
    :raises OSError: as the system says.
    """
    before, to = os.stat(name, dir_fd=folder, follow_symlinks=False), folder if to is None else to
    try:
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=to)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(before, os.stat(new, dir_fd=to, follow_symlinks=False)):
                return
        raise


def sync(handle: int) -> None:
    """Have a file, or the names in a folder, on the disk.

    A file system that does the latter by itself alone refuses to be asked.

    :param handle: its descriptor.
    :raises OSError: as the system says.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        by_itself = error.errno in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
        if not by_itself or is_regular(os.fstat(handle)):
            raise


def is_regular(status: os.stat_result) -> bool:
    """Whether it is a file, and no folder, link, pipe or device."""
    return stat.S_ISREG(status.st_mode)


def _remove_tree(name: str, folder: int) -> None:
    """Remove a folder, with what is in it; no link is followed.

    :param folder: descriptor of the one that it is in.
    :raises OSError: as the system says; one that is not there is none.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(name, dir_fd=folder)


def parsed(data: bytes) -> t.Any:
    """The JSON of a file: objects, lists, texts, whole numbers, true, false and null, as this
    collection writes them.

    :raises ValueError: for anything else, nested deep or not even text.
    """
    try:
        found = json.loads(data.decode(), parse_float=_no_number, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    # How deep Python itself goes differs with its release, and what is done with the values later,
    # such as to compare them, may go less deep.
    level = [found]
    for _depth in range(_DEEPEST):
        level = [item for each in level for item in _inside(each)]
        if not level:
            return found
    raise ValueError("it is nested too deep")


def _inside(value: t.Any) -> t.Iterable[t.Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _no_number(text: str) -> t.NoReturn:
    raise ValueError(f"{text[:20]} is no whole number")


# --- The way to a file.


@contextlib.contextmanager
def _holding(path: str, what: str, kind: type[InvalidOption]) -> t.Iterator[tuple[Folder, str]]:
    """The folder of a file, trusted, and the file's name in it: where links lead, if the path ends
    in some.
    """
    with explained(path, what, kind), _no_folder(path, what, kind):
        handle, at, name = _walk(path, what, to_file=True)
    folder = Folder(handle, at, what)
    try:
        with explained(path, what, kind):
            folder.hold()
        _trust_folder(folder.handle, folder.path or ".", path, what)
        yield folder, name
    finally:
        folder.close()


@contextlib.contextmanager
def _no_folder(path: str, what: str, kind: type[InvalidOption]) -> t.Iterator[None]:
    """Where something is to be written, a folder that is missing is another thing than a file that
    is.
    """
    try:
        yield
    except FileNotFoundError as error:
        if kind is not FileUnwritable:
            raise
        why = "there is no such folder"
        hint = "Make the folder, or choose another path."
        raise FileUnwritable(f"The {what} {path} cannot be written: {why}.", hint=hint, path=path) from error


@contextlib.contextmanager
def _no_folder_for(path: str, what: str) -> t.Iterator[None]:
    """A folder that is missing is another thing than what is to be in it."""
    try:
        yield
    except FileNotFoundError as error:
        hint = "Look whether its path is right, or make the folder."
        raise FileMissing(f"There is no folder {path} for the {what}.", hint=hint, path=path) from error


def _walk(path: str, what: str, *, to_file: bool = False, make: bool = False) -> tuple[int, str, str]:
    """A folder: its descriptor, its path, and the name of the file in it with ``to_file``, where
    links lead to.

    :param make: whether folders are made where there are none.
    :raises FileRefused: for what is not trusted on the way.
    :raises OSError: as the system says.
    """
    _check_name(path, path, what, to_file=to_file)
    steps, links = _steps(path), _Links(path, what)
    at = "/" if path.startswith("/") else ""
    handle = os.open(at or ".", _PASSING)
    try:
        while steps:
            step = steps.pop(0)
            last = to_file and not steps
            link = _link(handle, step)
            if link is not None:
                links.trust(handle, step, os.path.join(at, step), last=last)
                _check_name(link, path, what, to_file=last)
                steps = _steps(link) + steps
                if link.startswith("/"):
                    handle, at = _stepped(handle, "/"), "/"
            elif last:
                return handle, at, step
            else:
                _trust_folder(handle, at or ".", path, what)
                handle, at = _stepped(handle, step, make=make), os.path.join(at, step)
        return handle, at, ""
    except BaseException:
        os.close(handle)
        raise


def _check_name(way: str, path: str, what: str, *, to_file: bool) -> None:
    if to_file and os.path.basename(way) in ("", ".", ".."):
        raise _refused(what, path, "it is a folder", "Choose the path of a file.")


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in ("", ".")]


def _stepped(handle: int, step: str, *, make: bool = False) -> int:
    """The next folder; the one before it is closed."""
    try:
        new = os.open(step, _PASSING, dir_fd=handle)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(step, 0o700, dir_fd=handle)
        new = os.open(step, _PASSING, dir_fd=handle)
    os.close(handle)
    return new


def _link(handle: int, name: str) -> str | None:
    """Where a link leads; None for what is none, or not there."""
    try:
        return os.readlink(name, dir_fd=handle)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise


class _Links:
    """Judges the links of one path."""

    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what
        self._left = _MOST_LINKS

    def trust(self, handle: int, name: str, at: str, *, last: bool) -> None:
        """Make sure that a link may be followed.

        :param handle: of the folder that holds it.
        :param last: whether it names the file itself.
        :raises FileRefused: when it may not.
        :raises OSError: when there are too many.
        """
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        status, folder = os.stat(name, dir_fd=handle, follow_symlinks=False), os.fstat(handle)
        why = None
        if status.st_uid not in _us():
            why = f"{at} is a symbolic link that another user made ({_user(status.st_uid)})"
        elif folder.st_uid not in _us():
            why = f"{at} is a symbolic link in a folder of another user ({_user(folder.st_uid)})"
        elif _others_write(handle, folder) and (last or not folder.st_mode & stat.S_ISVTX):
            why = f"{at} is a symbolic link in a folder that others may write"
        if why is not None:
            raise _refused(self._what, self._path, why, "Choose a path without this link.")


def _trust_folder(handle: int, at: str, path: str, what: str) -> None:
    status = os.fstat(handle)
    why = None
    if status.st_uid not in _us():
        why = f"the folder {at} belongs to another user ({_user(status.st_uid)})"
    elif _others_write(handle, status) and not status.st_mode & stat.S_ISVTX:
        why = f"others may write into the folder {at}"
    if why is not None:
        raise _refused(
            what,
            path,
            why,
            "Choose a folder that only this user, or root, may write into, or make it one.",
        )


def _others_write(handle: int, status: os.stat_result) -> bool:
    """Whether others than root and this user may write into a folder."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not (_is_own_group(status.st_gid) and not _has_acl(handle))


def _is_own_group(gid: int) -> bool:
    """Whether only root, or only this user, is in a group; many systems give each user one."""
    if gid == 0:
        return True
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def _has_acl(handle: int) -> bool:
    """Whether more is allowed than the mode shows: with an access list, what it shows of the group
    is the list's mask.
    """
    try:
        return "system.posix_acl_access" in os.listxattr(f"/proc/self/fd/{handle}")
    except (AttributeError, OSError):
        return False


def _us() -> tuple[int, int]:
    return (0, os.geteuid())


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _refused(what: str, path: str, why: str, hint: str) -> FileRefused:
    return FileRefused(f"The {what} {path} is refused: {why}.", hint=hint, path=path)


# What a file system says whose device or server is away, or damaged.
_AWAY = (
    errno.EIO,
    errno.ESTALE,
    errno.ENODEV,
    errno.ENXIO,
    errno.ENOTCONN,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EREMOTEIO,
)


# What it says whoever asks: no defect of ours.
_REFUSED = (
    *_AWAY,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOLCK,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
)


def refused_by_system(error: OSError) -> SystemRefused | None:
    """The error for a user, where the system refused something that nobody has turned into one; None for what
    may be a defect.
    """
    if error.errno not in _REFUSED or isinstance(error, (ConnectionError, TimeoutError)):
        return None
    subject = f"{error.filename}: " if isinstance(error.filename, str) else ""
    return SystemRefused(f"The system refuses something to the module: {subject}{error.strerror}.", hint=_advice(error, "used"))


def _advice(error: OSError, doing: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Make room, or choose another folder."
    if error.errno in _AWAY:
        return "Look whether its file system is still mounted, and what the system's log says of it."
    if error.errno == errno.EROFS:
        return "Its file system is mounted read-only. One that finds itself damaged becomes so, too: see the system's log."
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return "Look how many open files and how much memory the module may have."
    if error.errno == errno.ENOLCK:
        return "Its file system has no locks. On NFS, look at the mount options and at the server's lock service."
    return f"Choose a path that can be {doing} by this user."


# --- Locks.


def _hold(handle: int) -> bool:
    """Lock what is in the making, so that nobody takes it for what was left; False where somebody just does so.

    Not all file systems can lock; where they cannot, nothing is swept either.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is_left(handle: int) -> bool:
    """Whether what a run was making is in nobody's hands any more, as far as the file system knows.

    A shared lock will do, since whoever makes it has an exclusive one; that NFS gives only to who may write.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


# Of a wait, until whether to go on is asked again.
_TURN_SECONDS = 1.0


class _Wait(t.NamedTuple):
    path: str
    what: str
    deadline: float
    show: t.Callable[[str], None]
    go_on: t.Callable[[], None] = lambda: None


class LockWait:
    """A thread that waits for the lock of an open file: flock knows no time-out.

    :ivar over: is set once it has the lock, or is refused it.
    :ivar refused: why it has none; None where it has it, or still waits.
    """

    def __init__(self, handle: int) -> None:
        self.over = threading.Event()
        self.refused: OSError | None = None
        self._handle = handle
        self._decision = threading.Lock()
        self._given_up = False
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        except OSError as error:
            self.refused = error
        with self._decision:
            self.over.set()
            if self._given_up:
                os.close(self._handle)

    def give_up(self) -> None:
        """Close the file, with the lock that it may have; while the thread waits, it is left that to do."""
        with self._decision:
            self._given_up = True
            late = self.over.is_set()
        if late:
            os.close(self._handle)


def _wait_for_lock(handle: int, wait: _Wait) -> None:
    """Lock an open file; it is closed where that fails."""
    try:
        with explained(wait.path, wait.what):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return
        holder = _holder(handle)
        seconds = max(wait.deadline - time.monotonic(), 0.0)
        if seconds:
            wait.show(f"Waiting up to {seconds:.0f} s for the {wait.what} {wait.path}, which {holder} holds.")
    except BaseException:
        os.close(handle)
        raise
    late = TimedOut(
        f"The {wait.what} {wait.path} is held by {holder}, and was not released in time.",
        hint="Let the other run come to its end, or raise the timeout.",
        path=wait.path,
    )
    if not seconds:
        os.close(handle)
        raise late
    waiting = LockWait(handle)
    mine = False
    try:
        mine = _is_set_in_time(waiting.over, wait) and waiting.refused is None
    finally:
        if not mine:
            waiting.give_up()
    if waiting.refused is not None:
        with explained(wait.path, wait.what):
            raise waiting.refused
    if not mine:
        raise late


def _is_set_in_time(got: threading.Event, wait: _Wait) -> bool:
    while (seconds := wait.deadline - time.monotonic()) > 0:
        if got.wait(min(seconds, _TURN_SECONDS)):
            return True
        wait.go_on()
    return got.is_set()


def _holder(handle: int) -> str:
    """Who holds the lock of a file, where the system says so."""
    status = os.fstat(handle)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    with contextlib.suppress(OSError), open("/proc/locks", encoding="ascii") as locks:
        for line in locks:
            words = line.split()
            if "->" not in words and place in words and words[4].isdigit() and words[4] != "0":
                return f"process {words[4]}"
    return "another process"


class PrivateFolder:
    """A folder of this user alone: in the runtime directory, else in the temporary one.

    :ivar path: where it is.
    """

    def __init__(self, path: str, warn: t.Callable[[str], None], what: str, instead: str) -> None:
        self.path = path
        self._warn = warn
        self._what = what
        self._instead = instead

    @classmethod
    def find(cls, warn: t.Callable[[str], None], what: str, instead: str) -> PrivateFolder | None:
        """The folder, made when missing; None, with a warning, where there can be none.

        :param warn: called with one sentence when a file or folder cannot be trusted.
        :param what: is kept in it, in the plural ("sessions"), for the warnings.
        :param instead: what happens without it ("a new session is opened").
        """
        for parent in _parents():
            folder = os.path.join(parent, f"vforge-vsphere-{os.geteuid()}")
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700)
                status = os.lstat(folder)
            except OSError:
                continue
            if stat.S_ISDIR(status.st_mode) and _is_private(status):
                return cls(folder, warn, what, instead)
            must = "it must be a directory of yours with mode 0700"
            warn(f"The folder {folder} is refused for kept {what}: {must}.")
            return None
        warn(f"{what.capitalize()} are not kept: there is no folder for them.")
        return None

    def open(self, name: str, flags: int) -> int | None:
        """A file of ours, open.

        None when there is none, or, with a warning, when it may be somebody else's.

        :param flags: with ``os.O_CREAT`` it is made where there is none.
        """
        try:
            with self._held() as folder:
                get = folder.made if flags & os.O_CREAT else folder.open
                handle = get(name, flags)
        except FileMissing:
            return None
        except InvalidOption as error:
            self._warn(f"{error.message} So {self._instead}.")
            return None
        if _is_private(os.fstat(handle)):
            return handle
        os.close(handle)
        path = os.path.join(self.path, name)
        self._warn(f"The file {path} is refused: it is not yours alone; {self._instead}.")
        return None

    def read(self, name: str) -> bytes | None:
        """What is in a file of ours; None as with ``open``."""
        handle = self.open(name, os.O_RDONLY)
        if handle is None:
            return None
        try:
            with os.fdopen(handle, "rb") as file:
                return file.read(_MOST_KEPT)
        except OSError as error:
            path = os.path.join(self.path, name)
            self._warn(f"The file {path} cannot be read ({error.strerror or error}); {self._instead}.")
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put a file there: whole or not at all, whoever reads at the same moment.

        Whatever else is there gives way: nobody but this user can have put it into this folder.

        :raises InvalidOption: it could not be written.
        """
        with self._held() as folder:
            try:
                folder.replace(name, data, keep_mode=False)
            except FileRefused:
                folder.remove(name)
                folder.replace(name, data, keep_mode=False)

    def remove(self, name: str) -> None:
        """Remove a file of ours, where it is there.

        :raises InvalidOption: it could not be removed.
        """
        with self._held() as folder:
            folder.remove(name)

    def _held(self) -> contextlib.AbstractContextManager[Folder]:
        return open_folder(self.path, what=f"file of kept {self._what}")


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_ours(path: str) -> bool:
    try:
        return os.stat(path).st_uid in _us()
    except OSError:
        return False


def _parents() -> t.Iterator[str]:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    # After become it may be that of the user before.
    if runtime and os.path.isabs(runtime) and _is_ours(runtime):
        yield runtime
    yield f"/run/user/{os.geteuid()}"
    with contextlib.suppress(FileNotFoundError):  # not even /tmp can be written
        yield tempfile.gettempdir()
