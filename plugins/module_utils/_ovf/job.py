# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the parts of one task share, and what is told of it at its end."""

from __future__ import annotations

import dataclasses
import datetime
import socket
import threading
import time
import typing as t
import uuid

from . import facts
from .identity import Digester, Identity
from .lookup import Home
from .options import OvfOptions
from .package import Package
from .signature import Signer

if t.TYPE_CHECKING:
    from .._connector.session import Session

_MIB = 2**20


class Meter:
    """How far a transfer is; safe for many threads. Tells percent, rate and the time left.

    :param what: begins each line.
    """

    def __init__(self, what: str, total: int, tell: t.Callable[[str], None]) -> None:
        self._what = what
        self._tell = tell
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self.total = total
        self.done = 0

    def add(self, count: int) -> None:
        """Note bytes that went through; a negative number takes back what has to be sent again."""
        with self._lock:
            self.done += count
        if count > 0:
            self._tell(self.line(time.monotonic()))

    def reach(self, done: int, total: int) -> None:
        """Note how far it is."""
        with self._lock:
            self.done, self.total = done, total
        self._tell(self.line(time.monotonic()))

    def percent(self) -> int:
        """Whole percent, 99 until the end is confirmed."""
        return min(99, 100 * self.done // self.total) if self.total else 0

    def line(self, now: float) -> str:
        """``web.ova: 43 % of 1190 MiB, 88 MiB/s, 8 s left``."""
        rate = self.done / max(now - self._begun, 0.001)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        return f"{self._what}: {self.percent()} % of {self.total / _MIB:.0f} MiB, {rate / _MIB:.0f} MiB/s{left}"


@dataclasses.dataclass
class Account:
    """What was done, grows while the task runs.

    :ivar actions: imported, completed, waited, swapped, removed.
    :ivar sent: bytes that were sent.
    :ivar removed: paths of versions that were removed; ``kept`` of those that clones depend on.
    """

    actions: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    descriptor_warnings: list[str] = dataclasses.field(default_factory=list)
    sent: int = 0
    attempts: int = 0
    transfer_seconds: float = 0.0
    removed: list[str] = dataclasses.field(default_factory=list)
    kept: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    signer: Signer | None = None
    timing: dict[str, float] = dataclasses.field(default_factory=dict)


def owner_mark() -> str:
    """Names one run, for other runs and for people."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{uuid.uuid4()} {socket.gethostname()} {now}"


@dataclasses.dataclass(frozen=True)
class Job:
    """A task whose package is known.

    :ivar deadline: of ``time.monotonic()``, for all of the work.
    :ivar owner: the mark of this run.
    """

    session: Session
    options: OvfOptions
    package: Package
    identity: Identity
    home: Home
    deadline: float
    digester: Digester
    account: Account = dataclasses.field(default_factory=Account)
    owner: str = dataclasses.field(default_factory=owner_mark)

    def marks(self) -> dict[str, str]:
        """What a VM carries from the moment on in which it has its name."""
        return {
            facts.DIGEST_KEY: self.identity.digest,
            facts.OWNER_KEY: self.owner,
            facts.NAME_KEY: self.options.name,
            facts.SOURCE_KEY: self.package.source.label,
        }
