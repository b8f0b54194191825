# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of disks as qemu-img and qemu-nbd write and read them; the collection knows no format of
its own.

Their exit codes are no proof: an image that was cut short converts to zeros, and a killed writer
leaves one that ``qemu-img check`` passes (tried with 7.2.22). What was written is therefore read
back, and compared with digests.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import typing as t

from .. import _programs
from .._connector import tls
from .._errors import MissingLibrary, TimedOut, VforgeError
from .._programs import environment, find
from .model import BackupDamaged, ToolFailed, ToolNotRun

# Of block status in one question: nbdkit refuses more than 4 GiB, and answers wrongly near it.
_MOST_STATUS = 2**30

_PR_SET_PDEATHSIG = 1

# Where a program that is activated by systemd finds its first socket (sd_listen_fds).
_FIRST_SOCKET = 3

# What qemu-img check exits with where clusters are leaked, and nothing is damaged (its manual).
_ONLY_LEAKS = 3

# What it says where somebody else has locked an image (QEMU, block/file-posix.c).
_IN_USE = "Is another process using the image"

# Milliseconds that a connection is waited for, until whether to go on is asked again.
_TURN_MS = 1000

# For a server to end that has nobody to serve any more: it writes what it still holds.
_END_SECONDS = 60.0


# Is called each second while something is waited for; raises why that is to end.
GoOn: t.TypeAlias = t.Callable[[], None]


def to_the_end() -> None:
    """For a wait that only its deadline ends."""


@contextlib.contextmanager
def damage_of(what: str) -> t.Iterator[None]:
    """What a program cannot do with images of a point is damage, which names the point.

    :param what: it is, such as ``Hard disk 1 of the backup 20261129T011500Z-1f0e9c3a``.
    """
    try:
        yield
    except VforgeError as error:
        if not isinstance(error, ToolFailed):
            raise
        raise BackupDamaged(
            f"{what} cannot be read: {error.message}",
            hint="Take another point, or restore the images of this one and of those below it from another copy of the "
            "repository.",
        ) from error


# Programs


def require() -> None:
    """Make sure that all that is needed is there.

    :raises MissingProgram: without qemu-img or qemu-nbd.
    :raises MissingLibrary: without libnbd's Python module.
    """
    find("qemu-img")
    find("qemu-nbd")
    library()


def library() -> t.Any:
    """libnbd's Python module.

    :raises MissingLibrary: when it cannot be imported, or another one of its name is there.
    """
    try:
        nbd: t.Any = importlib.import_module("nbd")
    except ImportError:
        nbd = None
    # The package of the name nbd on PyPI compares notebooks.
    if not hasattr(nbd, "NBD"):
        raise MissingLibrary(
            "Backups need libnbd's Python module, and there is none.",
            hint="Install python3-libnbd (Debian, Ubuntu, RHEL), and run the module with the system's "
            "Python, or with an environment that sees its packages. PyPI's nbd is something else.",
        )
    return nbd


def _ending_with_us(listener: int | None = None, kept: t.Sequence[int] = ()) -> t.Callable[[], None]:
    """What a child does before it becomes another program: it asks to end when this thread does,
    however that happens.

    :param listener: a socket that it gets where systemd puts the first one.
    :param kept: descriptors that it has under the same numbers.
    """
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for each in kept:
            os.set_inheritable(each, True)
        if listener is not None:
            with contextlib.suppress(OSError):
                # The lock may be there: it is inherited under another number.
                if listener != _FIRST_SOCKET and os.get_inheritable(_FIRST_SOCKET):
                    os.set_inheritable(os.dup(_FIRST_SOCKET), True)
            os.dup2(listener, _FIRST_SOCKET)
            os.set_inheritable(_FIRST_SOCKET, True)

    return ask


def run(arguments: t.Sequence[str], deadline: float, *, accepted: t.Collection[int] = (0,), go_on: GoOn = to_the_end) -> str:
    """Run a program to its end.

    :param arguments: its name, and its arguments.
    :param deadline: of ``time.monotonic()``.
    :param accepted: exit codes that are no failure.
    :param go_on: raises why the program is to be ended.
    :returns: what it has printed.
    :raises ToolFailed: with what it says, when it fails.
    :raises ToolNotRun: it could not begin, somebody else has ended it, or has the image.
    :raises TimedOut: when the deadline passes; it is ended then, as in every other ending.
    """
    what = " ".join(arguments[:2])
    with _starting(what):
        process = _programs.start(
            [find(arguments[0]), *arguments[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
            # What it inherits is the lock of the repository alone: all other descriptors end with exec.
            close_fds=False,
            preexec_fn=_ending_with_us(),
        )
    with process:
        try:
            output, said = _ended(process, what, deadline, go_on)
        finally:
            process.kill()
    if process.returncode not in accepted:
        _refuse(what, process.returncode, said.strip())
    return output


@contextlib.contextmanager
def _starting(what: str) -> t.Iterator[None]:
    """Turn what the system has against one more program into an error for the user.

    :raises ToolNotRun: it has something against it.
    """
    try:
        yield
    except OSError as error:
        raise ToolNotRun(
            f"{what} could not be started: {error.strerror or error}.",
            hint="Look how many files and processes this user may have open, and whether there is memory and room in the "
            "temporary folder.",
        ) from error


def _refuse(what: str, code: int, said: str) -> t.NoReturn:
    """Say why a program has failed.

    :raises ToolFailed: it could not do its work.
    :raises ToolNotRun: it had no chance to.
    """
    if code < 0:
        raise ToolNotRun(f"{what} was ended by the signal {-code}.", hint="Look at the system's log: memory may be short.")
    if _IN_USE in said:
        raise _in_use(what, said)
    raise ToolFailed(f"{what} failed: {said or f'exit code {code}'}", hint="Look at what it says; it was run on this machine.")


def _in_use(what: str, said: str) -> ToolNotRun:
    return ToolNotRun(
        f"{what} may not have the image now: {said}",
        hint="Look who uses it. On NFS, a machine that has crashed may hold its lock until the server gives it up.",
    )


def _ended(process: subprocess.Popen[str], what: str, deadline: float, go_on: GoOn) -> tuple[str, str]:
    """What a program has printed, and what it has complained about, once it has ended."""
    while True:
        seconds = max(deadline - time.monotonic(), 0.1)
        try:
            return process.communicate(timeout=min(seconds, _TURN_MS / 1000))
        except subprocess.TimeoutExpired as error:
            if time.monotonic() >= deadline:
                raise TimedOut(f"{what} did not end in time.", hint="Raise the timeout.") from error
            go_on()


def create(path: str, capacity: int, backing: str | None, deadline: float, go_on: GoOn = to_the_end) -> None:
    """Make an image that reads as zeros, or as its backing file.

    :param capacity: in bytes; a multiple of 512.
    :param backing: a path relative to the image's folder.
    """
    over = ["-b", backing, "-F", "qcow2"] if backing else []
    run(["qemu-img", "create", "-q", "-f", "qcow2", *over, path, str(capacity)], deadline, go_on=go_on)


def backing_of(path: str, deadline: float, go_on: GoOn = to_the_end) -> str | None:
    """The name of an image's backing file, as the image has it."""
    name = _info(path, deadline, go_on).get("backing-filename")
    return None if name is None else str(name)


def _info(path: str, deadline: float, go_on: GoOn) -> dict[str, t.Any]:
    found: dict[str, t.Any] = json.loads(run(["qemu-img", "info", "-f", "qcow2", "--output=json", path], deadline, go_on=go_on))
    return found


def own_areas(path: str, deadline: float, go_on: GoOn = to_the_end, *, data: bool = False) -> list[tuple[int, int]]:
    """What an image has itself, and does not leave to its backing file: starts and lengths.

    :param data: whether only what takes room is meant, and no zeros.
    """
    found = json.loads(run(["qemu-img", "map", "-f", "qcow2", "--output=json", path], deadline, go_on=go_on))
    own = (area for area in found if area["depth"] == 0 and area["present"])
    return [(area["start"], area["length"]) for area in own if area["data"] or not data]


def check_backing(path: str, expected: str | None, deadline: float, go_on: GoOn = to_the_end) -> None:
    """Make sure that an image stands on the one that its manifest says.

    :raises BackupDamaged: when it is another one.
    """
    found = backing_of(path, deadline, go_on)
    if found != expected:
        raise BackupDamaged(
            f"{path} has the backing file {found or 'none'}, and its manifest says {expected or 'none'}.",
            hint="Restore it from another copy of the repository, or remove its point.",
            path=path,
        )


def check(path: str, deadline: float, *, mend: bool = False, go_on: GoOn = to_the_end) -> int:
    """Let qemu-img look for damage of an image's tables.

    Clusters that nothing refers to are no damage: they take room, and nothing else. A ``qemu-img
    commit`` that was killed may leave some.

    :param mend: whether they are given back; for who has the lock, of an image without damage.
    :returns: how many bytes such clusters take, or took.
    :raises ToolFailed: when there is damage. That there is none is no proof.
    """
    asked = ["qemu-img", "check", "-f", "qcow2", "--output=json"]
    found = json.loads(run([*asked, path], deadline, accepted=(0, _ONLY_LEAKS), go_on=go_on))
    leaks = int(found.get("leaks", 0))
    if not leaks:
        return 0
    if mend:
        run([*asked, "-r", "leaks", path], deadline, go_on=go_on)
    return leaks * int(_info(path, deadline, go_on)["cluster-size"])


def commit(path: str, deadline: float, go_on: GoOn = to_the_end) -> None:
    """Write what an image has into its backing file, which then reads as it does.

    Whenever this is broken off, the image still reads as before: what it has itself is read from
    it, and the rest of the backing file does not change. So it may be done again.
    """
    run(["qemu-img", "commit", "-q", "-d", "-f", "qcow2", path], deadline, go_on=go_on)


def convert(source: str, target: str, form: str, deadline: float, *, streamed: bool = False, go_on: GoOn = to_the_end) -> None:
    """Write the content of an image into a new one.

    :param form: ``raw``, ``qcow2`` or ``vmdk``.
    :param streamed: whether a VMDK is a streamOptimized one, as packages have them.
    """
    subformat = ["-o", "subformat=streamOptimized"] if streamed else []
    run(["qemu-img", "convert", "-q", "-f", "qcow2", "-O", form, *subformat, source, target], deadline, go_on=go_on)


def write_device(source: str, device: str, deadline: float, go_on: GoOn = to_the_end) -> None:
    """Write the content of an image to a disk that reads as zeros: zeros are not written.

    Without ``writeback`` nothing of it would have to be on the disk in the end.
    """
    how = ["-n", "--target-is-zero", "-t", "writeback"]
    run(["qemu-img", "convert", "-q", *how, "-f", "qcow2", "-O", "raw", source, device], deadline, go_on=go_on)


# NBD


class Server:
    """An NBD server for as many clients as are connected before it starts.

    It dies with the thread that has begun it: a run that is killed leaves none. Its socket has no
    name by the time it starts, so nobody else can connect.

    :param ends_itself: whether it ends with its client, as qemu-nbd does; others, such as
        nbdkit, wait for the next one.
    :param kept: descriptors that it has under the same numbers.
    :param count: of its clients.
    :ivar clients: sockets that are connected to it; whoever uses one detaches it.
    """

    def __init__(self, arguments: t.Sequence[str], *, ends_itself: bool, kept: t.Sequence[int] = (), count: int = 1) -> None:
        self._ends_itself = ends_itself
        program = find(arguments[0])
        with _starting(arguments[0]):
            self._start(program, arguments, kept, count)

    def _start(self, program: str, arguments: t.Sequence[str], kept: t.Sequence[int], count: int) -> None:
        self.clients = [socket.socket(socket.AF_UNIX) for _client in range(count)]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close)
        with socket.socket(socket.AF_UNIX) as listener:
            with tempfile.TemporaryDirectory(prefix="vforge-nbd-") as folder:
                listener.bind(os.path.join(folder, "socket"))
                listener.listen(count)
                for client in self.clients:
                    client.connect(os.path.join(folder, "socket"))
            self._process = _programs.start(
                # Only the process itself knows its number, which this way of activation asks for.
                ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", program, *arguments[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                env=environment(LISTEN_FDS="1"),
                close_fds=False,
                preexec_fn=_ending_with_us(listener.fileno(), kept),
            )

    def said(self) -> str:
        """What it has complained about."""
        self._said.seek(0)
        return self._said.read(4096).decode(errors="replace").strip()

    def close(self) -> None:
        """Wait until it has ended; end it where it does not do so by itself, or that takes long."""
        for client in self.clients:
            client.close()
        if not self._ends_itself:
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def _qemu_nbd(path: str, form: str, write: bool, count: int) -> Server:
    """A qemu-nbd that serves an image, for so many clients."""
    mode = [] if write else ["--read-only"]
    arguments = ["qemu-nbd", "--format", form, "--discard=unmap", f"--shared={count}", *mode, "--", path]
    return Server(arguments, ends_itself=True, count=count)


class Nbd:
    """A disk that is read or written over NBD, by one thread at a time.

    :param connect: begins a connection.
    :param server: that says what went wrong; it ends with this connection where that ``owns`` it.
    :param go_on: is called while a server is waited for that may never answer, and when something
        failed; raises why that is to end, or has.
    :ivar size: in bytes, as the server says. It may be rounded up: the size of a disk is known from
        vSphere.
    """

    def __init__(
        self,
        connect: t.Callable[[t.Any], None],
        what: str,
        server: Server | None = None,
        *,
        owns: bool = True,
        go_on: t.Callable[[], None] = lambda: None,
    ) -> None:
        self._go_on = go_on
        self._what = what
        self._server = server
        self._owns = owns
        self._nbd = library()
        self._handle = self._nbd.NBD()
        self._socket: socket.socket | None = None
        self._handle.add_meta_context("base:allocation")
        try:
            with self._explained():
                connect(self._handle)
                self._wait(lambda: not self._handle.aio_is_connecting())
                self._socket = socket.socket(fileno=os.dup(self._handle.aio_get_fd()))
                self.size: int = self._handle.get_size()
                self._can_zero = bool(self._handle.can_zero())
                self._has_status = bool(self._handle.can_meta_context("base:allocation"))
        except BaseException:
            self.close()
            raise

    @classmethod
    def image(cls, path: str, *, form: str = "qcow2", write: bool = False) -> Nbd:
        """An image of this machine, by a qemu-nbd of its own."""
        return cls._of(_qemu_nbd(path, form, write, 1), path)

    @classmethod
    @contextlib.contextmanager
    def images(cls, path: str, count: int, *, write: bool = False) -> t.Iterator[list[Nbd]]:
        """Connections to one qcow2 image of this machine, by a qemu-nbd of its own.

        They may read and write at the same time, each another part.
        """
        server = _qemu_nbd(path, "qcow2", write, count)
        with contextlib.closing(server), contextlib.ExitStack() as held:
            sockets = list(server.clients)
            yield [held.enter_context(cls._of(server, path, client, owns=False)) for client in sockets]

    @classmethod
    def command(
        cls, arguments: t.Sequence[str], what: str, kept: t.Sequence[int] = (), go_on: t.Callable[[], None] = lambda: None
    ) -> Nbd:
        """What a program serves that takes its socket as systemd gives one, as qemu-nbd and nbdkit
        do.

        It ends with this connection, and with the thread that has begun it.

        :param what: it serves, for messages.
        :param kept: descriptors that the program has under the same numbers.
        :param go_on: as for all of them.
        """
        return cls._of(Server(arguments, ends_itself=False, kept=kept), what, go_on=go_on)

    @classmethod
    def _of(cls, server: Server, what: str, client: socket.socket | None = None, **how: t.Any) -> Nbd:
        there = client or server.clients[0]
        return cls(lambda handle: handle.aio_connect_socket(there.detach()), what, server, **how)

    @classmethod
    def uri(cls, uri: str, go_on: t.Callable[[], None] = lambda: None) -> Nbd:
        """What a server offers under a URI, as ``nbd+unix:///?socket=/run/disk.sock``."""
        return cls(lambda handle: handle.aio_connect_uri(uri), uri, go_on=go_on)

    def _wait(self, over: t.Callable[[], bool]) -> None:
        """Let the connection work until something is over."""
        while not over():
            self._handle.poll(_TURN_MS)
            self._go_on()

    def read(self, offset: int, length: int) -> bytes | bytearray:
        """Bytes of the disk; those behind its end are zeros."""
        there = max(0, min(length, self.size - offset))
        with self._explained():
            # Not aio_pread, whose buffers are never freed (libnbd 1.14.2): ``break_off`` ends it
            # where nothing comes.
            data: bytes | bytearray = self._handle.pread(there, offset) if there else b""
        return data if there == length else bytes(data) + bytes(length - there)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write bytes."""
        with self._explained():
            self._handle.pwrite(data, offset)

    def zero(self, offset: int, length: int) -> None:
        """Write zeros, which hide what the backing file has there."""
        with self._explained():
            if self._can_zero:
                self._handle.zero(length, offset)
            else:
                self._handle.pwrite(bytes(length), offset)

    def data(self, start: int, length: int) -> t.Iterator[tuple[int, int]]:
        """Where there may be anything but zeros: starts and lengths."""
        if not self._has_status:
            yield start, length
            return
        end = min(start + length, self.size)
        while start < end:
            found = self._status(start, min(_MOST_STATUS, end - start))
            for size, flags in found:
                size = min(size, end - start)
                if not flags & self._nbd.STATE_ZERO:
                    yield start, size
                start += size

    def _status(self, start: int, length: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []

        def note(_context: str, _offset: int, entries: list[int], _error: t.Any) -> None:
            found.extend(zip(entries[::2], entries[1::2], strict=True))

        with self._explained():
            cookie = self._handle.aio_block_status(length, start, note)
            self._wait(lambda: bool(self._handle.aio_command_completed(cookie)))
        return found

    def flush(self) -> None:
        """Have all that was written on the file system."""
        with self._explained():
            self._handle.flush()

    def break_off(self) -> None:
        """Have what another thread waits for fail at once."""
        if self._socket is not None:
            tls.hang_up(self._socket)

    def close(self) -> None:
        """End the connection, and the server that was begun for it."""
        self._handle = None
        if self._socket is not None:
            self._socket.close()
        if self._server is not None and self._owns:
            self._server.close()

    def __enter__(self) -> Nbd:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _explained(self) -> t.Iterator[None]:
        try:
            yield
        except self._nbd.Error as error:
            # It may be that it was broken off.
            self._go_on()
            said = self._server.said() if self._server else ""
            if _IN_USE in said:
                raise _in_use(self._what, said) from error
            raise ToolFailed(
                f"{self._what} could not be read or written by NBD: {said or error.string}.",
                hint="Look whether the server is still there, and whether the disk is full.",
            ) from error
