# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-playbook for tests, without its start: a process that has loaded it forks one for each play.

Loading takes as much of the processor as a short play does. Each play has its own process, environment, folder and settings,
as if it had been started; where the start itself is tested, start it.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Mapping
from typing import IO, Any

# What a request is at most: the words and the environment.
_MOST = 2**20


class Playbook:
    """An ansible-playbook that was started, in a session of its own; used as a subprocess.Popen with one output.

    Args:
        *words: of its command line.
        cwd: the folder that it runs in.
        env: all of its environment.
    """

    def __init__(self, *words: str, cwd: str | os.PathLike[str], env: Mapping[str, str]) -> None:
        asked = {"words": words, "cwd": os.fspath(cwd), "env": dict(env)}
        self._status, status = socket.socketpair()
        reading, writing = os.pipe()
        with status:
            try:
                _server(env).ask(json.dumps(asked).encode(), [status.fileno(), writing])
            finally:
                os.close(writing)
        self._output: IO[bytes] = os.fdopen(reading, "rb")
        self._lines = self._status.makefile("r")
        self.pid = self._said()
        self.returncode: int | None = None

    def _said(self) -> int:
        """What the process that starts it says next: which process it is, then its exit code."""
        line = self._lines.readline()
        assert line, "the process that starts ansible-playbook has ended"
        return int(line)

    def poll(self) -> int | None:
        """Its exit code, as of subprocess.Popen; None while it runs."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        if self.returncode is None:
            self.returncode = self._said()
        return self.returncode

    def communicate(self) -> tuple[str, None]:
        """Wait for its end, and return what it and its processes have said."""
        output = self._output.read().decode()
        self.wait()
        return output, None

    def __enter__(self) -> Playbook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: types.TracebackType | None
    ) -> None:
        if kind is not None and self.poll() is None:
            # Nobody waits for what it would still do.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        self._output.close()
        self.wait()
        self._lines.close()
        self._status.close()


def run_playbook(*words: str, cwd: str | os.PathLike[str], env: Mapping[str, str]) -> tuple[int, str]:
    """Run ansible-playbook to its end; returns its exit code and what it has said."""
    with Playbook(*words, cwd=cwd, env=env) as playbook:
        output, _none = playbook.communicate()
    return playbook.wait(), output


class _Server:
    """The process that has loaded ansible-playbook; it ends with this one, or when this object goes."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._owner = os.getpid()
        self._plugins = _plugins(env)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env=dict(env),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def serves(self, env: Mapping[str, str]) -> bool:
        """Whether it runs, looks for plugins where this environment says, and was started by this very process: a fork of that
        one must not use it beside it.
        """
        return self._owner == os.getpid() and self._plugins == _plugins(env) and self._process.poll() is None

    def ask(self, request: bytes, files: list[int]) -> None:
        """Have it start a play."""
        socket.send_fds(self._socket, [request], files)


def _plugins(env: Mapping[str, str]) -> dict[str, str]:
    """The settings that are read once, when ansible-core is loaded, and not for each play."""
    return {name: value for name, value in env.items() if name.startswith("ANSIBLE_") and name.endswith("_PLUGINS")}


_servers: list[_Server] = []
_starting = threading.Lock()


def _server(env: Mapping[str, str]) -> _Server:
    """That of this process, started with the first call, and another one for other folders of plugins."""
    with _starting:
        if not _servers or not _servers[0].serves(env):
            _servers[:] = [_Server(env)]
        return _servers[0]


def _serve(requests: socket.socket) -> None:
    """Fork for each request, until who asks is gone."""
    # What a play would load in any case.
    importlib.import_module("ansible.cli.playbook")
    for name in ("executor.task_executor", "plugins.strategy.linear", "plugins.callback.default", "plugins.connection.local"):
        importlib.import_module(f"ansible.{name}")
    # What is loaded by now is no garbage, and shared with the plays.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Ctrl-C ends the tests, and this process with them.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        request, files, _flags, _address = socket.recv_fds(requests, _MOST, 2)
        if not request:
            return
        if os.fork() == 0:
            requests.close()
            _keep(json.loads(request), interrupted, *files)
            return
        for file in files:
            os.close(file)


def _keep(asked: dict[str, Any], interrupted: Any, status: int, output: int) -> None:
    """Start a play, and say how it ended.

    interrupted: what a play does at SIGINT.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, interrupted)
        _play(status, output, **asked)
    os.close(output)
    _pid, code = os.waitpid(child, 0)
    # Who asked may be gone by now.
    with contextlib.suppress(BrokenPipeError):
        os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
    os._exit(0)


def _play(status: int, output: int, words: list[str], cwd: str, env: dict[str, str]) -> None:
    """Become ansible-playbook."""
    os.setsid()
    os.write(status, f"{os.getpid()}\n".encode())
    os.close(status)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    sys.argv = ["ansible-playbook", *words]
    # Settings are read when this is loaded.
    importlib.reload(importlib.import_module("ansible.constants"))
    sys.exit(importlib.import_module("ansible.cli.playbook").main())


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
