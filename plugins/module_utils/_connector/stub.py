# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's SOAP stub, made to count its calls and to raise typed errors only.

Safe for many threads: each call takes a connection of the pool for its own, and every connection of the pool makes its own
TLS handshake under the same checked context.
"""

from __future__ import annotations

import collections
import http.client
import threading
import typing as t
import xml.parsers.expat

from .._errors import ConnectionFailed, ConnectionLost, VforgeError
from . import faults, tls
from .options import ConnectionOptions
from .pyvmomi import SoapStubAdapter, VmomiSupport, vmodl

# vSphere 5.5 speaks it and so does everything since: enough to ask for the real version.
OLDEST_VERSION = "vim25/5.5"

# Calls that may be sent a second time when the answer to the first was lost: they change nothing, or
# (WaitForUpdatesEx) name the version of the state that they continue from.
_REPEATABLE = frozenset(
    (
        "CheckInstantClone_Task",
        "FindByInventoryPath",
        "FindAllByUuid",
        "FindChild",
        "RetrievePropertiesEx",
        "RetrieveServiceContent",
        "WaitForUpdatesEx",
    )
)

# Answers to one long question, or pages of it, which budgets of calls leave out.
_ROUNDS = frozenset(("WaitForUpdatesEx", "ContinueRetrievePropertiesEx"))


class CallStats:
    """How many SOAP calls were sent, by method; safe for many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter[str] = collections.Counter()

    def add(self, method: str) -> None:
        """Count one call of ``method`` (its wire name)."""
        with self._lock:
            self._counts[method] += 1

    def summary(self) -> dict[str, t.Any]:
        """``total`` calls, ``update_rounds`` (waiting and paging, not in the total) and the counts ``by_method``."""
        with self._lock:
            counts = dict(sorted(self._counts.items()))
        rounds = sum(count for method, count in counts.items() if method in _ROUNDS)
        return {"total": sum(counts.values()) - rounds, "update_rounds": rounds, "by_method": counts}


class Stub(SoapStubAdapter):  # type: ignore[misc]
    """The way to one vCenter.

    :param options: where and how to connect.
    :param stats: where calls are counted.
    :raises VforgeError: every method does, and nothing else.
    """

    def __init__(self, options: ConnectionOptions, stats: CallStats) -> None:
        self._options = options
        self.stats = stats
        super().__init__(
            host=options.hostname,
            port=options.port,
            path="/sdk",
            version=VmomiSupport.versionMap[OLDEST_VERSION],
            poolSize=64,
            sslContext=tls.context_for(options),
            httpProxyHost=options.proxy_host,
            httpProxyPort=options.proxy_port,
            httpConnectionTimeout=options.connection_timeout,
        )

    def speak(self, api_version: str) -> None:
        """Use the newest version that both the server (``8.0.3.0``) and pyVmomi know."""
        self.ComputeVersionInfo(VmomiSupport.versionMap[newest_common(api_version, VmomiSupport.versionMap)])

    def GetConnection(self) -> t.Any:  # noqa: N802 (pyVmomi's name)
        """A connection of the pool, or a new one.

        :raises ConnectionFailed: nothing was sent.
        """
        try:
            return super().GetConnection()
        except OSError as error:
            raise tls.failure(error, self._options) from error
        except http.client.HTTPException as error:
            raise tls.failure(OSError(str(error) or type(error).__name__), self._options) from error

    def InvokeMethod(self, mo: t.Any, info: t.Any, args: t.Any, outerStub: t.Any = None) -> t.Any:  # noqa: N802, N803
        """Send one call.

        :raises Fault: vCenter refused it.
        :raises SessionExpired: it was not carried out, for want of a session.
        :raises ConnectionLost: it may have been carried out.
        """
        try:
            return self._invoke(mo, info, args, outerStub)
        except ConnectionLost:
            if info.wsdlName not in _REPEATABLE:
                raise
            return self._invoke(mo, info, args, outerStub)

    def _invoke(self, mo: t.Any, info: t.Any, args: t.Any, outer: t.Any) -> t.Any:
        self.stats.add(info.wsdlName)
        try:
            return super().InvokeMethod(mo, info, args, outer)
        except vmodl.MethodFault as fault:
            raise faults.translate(fault) from fault
        except TimeoutError as error:
            raise self._lost(info, f"did not answer within {self._options.connection_timeout} seconds") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._lost(info, f"broke the connection ({error or type(error).__name__})") from error
        except xml.parsers.expat.ExpatError as error:
            raise self._lost(info, f"answered with something that is not SOAP ({error})") from error

    def _lost(self, info: t.Any, what: str) -> VforgeError:
        if info.wsdlName == "RetrieveServiceContent":
            return not_a_vcenter(self._options, what)
        return ConnectionLost(
            f"{self._options.endpoint} {what} during {info.wsdlName}.",
            hint="Run again: what was done is then found as done.",
        )


def not_a_vcenter(options: ConnectionOptions, why: str) -> ConnectionFailed:
    """The error for an address behind which there is no vCenter."""
    return ConnectionFailed(
        "not_a_vcenter",
        f"{options.endpoint} is not a vCenter: it {why}.",
        hint="Set hostname and port to those of a vCenter Server.",
    )


def newest_common(api_version: str, known: t.Iterable[str]) -> str:
    """The newest of ``known`` namespaces (``vim25/8.0.3.0``) that is not newer than the server's API version.

    A server speaks every version before its own (vSphere Web Services SDK Programming Guide, "Versioning").
    """
    numbered = {_numbers(name[len("vim25/") :]): name for name in known if name.startswith("vim25/") and name[6:7].isdigit()}
    numbered.pop(None, None)
    server = _numbers(api_version) or (0,)
    older = [number for number in numbered if number is not None and _padded(number) <= _padded(server)]
    return numbered[max(older, key=_padded)] if older else OLDEST_VERSION


def _numbers(version: str) -> tuple[int, ...] | None:
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else None


def _padded(number: tuple[int, ...]) -> tuple[int, ...]:
    return (*number, 0, 0, 0, 0)[:4]
