# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that run beside a test: started, waited for, ended. None outlives the test, whatever ends that."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from devtools import processes

from .pki import LOOPBACK

# Seconds. Far more than anything takes, for machines that do other things as well.
PATIENCE = 900.0
_PAUSE = 0.2


class Gone(Exception):
    """A program ended by itself, or never became ready."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        port: int = found.getsockname()[1]
        return port


class Program:
    """One program; a context manager.

    ready: says whether it answers. Programs of others have no other way to say so than to be asked.
    """

    def __init__(
        self,
        command: list[str | Path],
        log: Path,
        ready: Callable[[], bool],
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = processes.start(command, env=env, output=output, cwd=cwd)
        try:
            self._wait(ready)
        except BaseException:
            self.stop()
            raise

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while not ready():
            if self._process.poll() is not None:
                raise Gone(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise Gone(f"{self.name} is not ready after {PATIENCE:.0f} s:\n{self.tail()}")
            pause.wait(_PAUSE)

    def tail(self, lines: int = 30) -> str:
        """The end of what it said."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End it."""
        processes.finish(self._process)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def answers(port: int, path: str, ca: Path | None = None) -> Callable[[], bool]:
    """Whether a GET is answered with 200; over TLS with the certificates that ``ca`` has issued, if there is one."""
    context = ssl.create_default_context(cafile=str(ca)) if ca else None

    def ready() -> bool:
        if context:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(LOOPBACK, port, context=context, timeout=5)
        else:
            connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    return ready
