# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Python for the modules of a play that is not started for each of them: a process that has loaded what they import forks.

Python, Ansible's libraries, pyVmomi and the collection take three quarters of the processor time of a task that has little to
do. Each module has its own process, environment, folder and files, as if it had been started; where the start itself is
tested, or how a module is killed, start it. Linux only.

    with Python(collections) as python:
        ...  # python.path is what ansible_python_interpreter names
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import marshal
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from pathlib import Path

# What stands in the interpreter's place. It loads nothing but what Python has built in, asks for a fork, hands on signals,
# and ends as the module does. What is no module of Ansible's, and what needs other libraries, gets a Python of its own.
_CLIENT = """\
#!{python} -IS
import _signal, _socket, marshal, os, posix, sys

def start():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])

# With pipelining, modules come by standard input.
path = "".join(sys.argv[1:2])
name = path.rpartition("/")[2] or "AnsiballZ_"
if len(sys.argv) > 2 or not name.startswith("AnsiballZ_") or "async" in name:
    start()
if any(os.environ.get(key, "") != same for key, same in {same!r}.items()):
    start()
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
try:
    line.connect({address!r})
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    mask = os.umask(0)
    os.umask(mask)
    asked = marshal.dumps((path, os.getcwd(), mask, dict(os.environ)))
    line.sendmsg([asked], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
except OSError:
    start()
for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP):
    _signal.signal(number, lambda number, frame: line.send(b"%d" % number))
for file in range(3):
    os.close(file)
code = int(line.recv(64) or b"70")
if code < 0:
    if -code != _signal.SIGKILL:
        _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
posix._exit(code)
"""

# What a request is at most: the path and the environment.
_MOST = 2**20

# What Python and the loader of libraries read when they start.
_READ_AT_START = ("LD_LIBRARY_PATH", "PYTHONPATH")

_SOCKET = "forks"

_PACKAGE = "ansible_collections.vforge.vsphere.plugins"


class Python:
    """The process that forks, and what asks it; a context manager. It ends with this process, whatever ends that.

    Args:
        collections: the folder in which ``ansible_collections`` lies.
        executable: the Python that it is.
        same: variables of the environment that have to be for a module as they are here, or it gets a Python of its own.

    Attributes:
        path: of the interpreter.
    """

    def __init__(self, collections: Path, executable: str = sys.executable, same: tuple[str, ...] = _READ_AT_START) -> None:
        self._of = (collections, executable)
        self._same = {name: os.environ.get(name, "") for name in same}
        self._owner = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self.path = ""

    def __enter__(self) -> Python:
        collections, executable = self._of
        # Sockets need a short path.
        folder = Path(tempfile.mkdtemp(prefix="vforge-python-"))
        client = folder / "python"
        text = _CLIENT.format(python=executable, same=self._same, address=str(folder / _SOCKET))
        client.write_text(text, encoding="utf-8")
        client.chmod(0o700)
        self._process = subprocess.Popen(
            [executable, __file__, str(folder), str(collections)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Ctrl-C ends the tests, and this process with them.
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "what forks modules has not come to begin"
        self.path = str(client)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        assert self._process is not None
        self._process.communicate()

    def serves(self) -> bool:
        """Whether it was started by this very process, in the environment that this one has now."""
        return self._owner == os.getpid() and all(os.environ.get(name, "") == value for name, value in self._same.items())


_latest: dict[tuple[Path, str], tuple[Python, contextlib.ExitStack]] = {}
_starting = threading.Lock()


def interpreter(collections: Path, executable: str = sys.executable, same: tuple[str, ...] = _READ_AT_START) -> str:
    """The path of the one of this process, started with the first call, and another one where that serves no more."""
    which = (collections, executable)
    with _starting:
        if which not in _latest or not _latest[which][0].serves():
            stack = contextlib.ExitStack()
            _latest[which] = (stack.enter_context(Python(collections, executable, same)), stack)
        return _latest[which][0].path


def _load(collections: str) -> None:
    """What modules would load in any case."""
    sys.path.insert(0, collections)
    for name in ("module_utils.basic", "module_utils.errors", "module_utils._internal._ansiballz._loader"):
        with contextlib.suppress(ImportError):  # the last is there since 2.19
            importlib.import_module(f"ansible.{name}")
    for path in sorted(Path(collections, *_PACKAGE.split("."), "modules").glob("[!_]*.py")):
        if path.stem != "installed_module":
            importlib.import_module(f"{_PACKAGE}.modules.{path.stem}")
    # As they are in Ansible's file.
    for name in (_PACKAGE, f"{_PACKAGE}.modules"):
        package = sys.modules[name]
        package.__path__ = list(package.__path__)
    sys.path.remove(collections)
    # What is loaded by now is no garbage, and shared with the modules.
    gc.collect()
    gc.freeze()


def _serve(folder: str) -> None:
    """Fork for each module, until standard input ends; the folder goes with this process."""
    requests = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    requests.bind(os.path.join(folder, _SOCKET))
    requests.listen(64)
    print("ready", flush=True)
    while True:
        ready = select.select([requests, sys.stdin], [], [], 1.0)[0]
        # Those that have ended are reaped, so that what they have cost is known.
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if sys.stdin in ready:
            shutil.rmtree(folder)
            return
        if requests in ready:
            line, _address = requests.accept()
            if os.fork() == 0:
                requests.close()
                _keep(line)
                return
            line.close()


def _keep(line: socket.socket) -> None:
    """Start a module, hand on signals, and say how it has ended; it ends when who asked for it is gone."""
    os.setsid()
    request, files, _flags, _address = socket.recv_fds(line, _MOST, 3)
    if not request:
        os._exit(0)
    child = os.fork()
    if child == 0:
        line.close()
        _run(files, *marshal.loads(request))  # noqa: S302 (of the client above)
    for file in [*files, 0, 1]:
        os.close(file)
    ended = os.pidfd_open(child)
    while ended not in (ready := select.select([line.fileno(), ended], [], [])[0]):
        if ready:
            said = line.recv(64)
            os.kill(child, int(said) if said else signal.SIGKILL)
            if not said:
                break
    _pid, code = os.waitpid(child, 0)
    with contextlib.suppress(OSError):
        line.send(b"%d" % os.waitstatus_to_exitcode(code))
    os._exit(0)


def _run(files: list[int], path: str, cwd: str, mask: int, environment: dict[str, str]) -> None:
    """Become the module."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    os.chdir(cwd)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.argv = [path]
    sys.path[0] = os.path.dirname(path)  # the folder of this file is not the module's
    code = 0
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if path:
        main.__file__ = path
    source = Path(path or "/dev/stdin").read_bytes()
    try:
        exec(compile(source, path or "<stdin>", "exec"), main.__dict__)  # noqa: S102 (what Python is for)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    # As Python ends, without the time to forget all that was loaded.
    threading._shutdown()  # type: ignore[attr-defined]
    importlib.import_module("atexit")._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _load(sys.argv[2])
    _serve(sys.argv[1])
