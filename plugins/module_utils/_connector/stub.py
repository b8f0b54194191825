# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pyVmomi's SOAP stub, made to count its calls and to raise typed errors only.

Safe for many threads: each call takes a connection of the pool for its own.
"""

from __future__ import annotations

import collections
import http.client
import threading
import typing as t
import xml.parsers.expat

from .._errors import CallTimedOut, ConnectionFailed, ConnectionLost, InvalidOption, StrangeAnswer
from . import faults, tls, versions
from .options import ConnectionOptions
from .pool import ConnectionPool
from .pyvmomi import SoapStubAdapter, VmomiSupport, vim, vmodl

_VERSIONS_PATH = "/sdk/vimServiceVersions.xml"
_LONGEST_DESCRIPTION = 2**20

# Calls that may be sent a second time when the answer to the first was lost. They change nothing; or they make what
# ends with the session, and one that nobody uses costs nothing; or (WaitForUpdatesEx) they name the state that they
# continue from.
_REPEATABLE = frozenset(
    (
        "CancelTask",
        "CreateFilter",
        "CreatePropertyCollector",
        "FindAllByUuid",
        "FindByInventoryPath",
        "FindChild",
        "InitiateFileTransferFromGuest",
        "ListFilesInGuest",
        "ListProcessesInGuest",
        "PbmCheckCompatibility",
        "PbmQueryProfile",
        "PbmRetrieveContent",
        "PbmRetrieveServiceContent",
        "QueryChangedDiskAreas",
        "RetrievePropertiesEx",
        "RetrieveServiceContent",
        "ValidateCredentialsInGuest",
        "WaitForUpdatesEx",
    )
)

# Answers to one long question, or pages of it, which budgets of calls leave out.
_ROUNDS = frozenset(("WaitForUpdatesEx", "ContinueRetrievePropertiesEx"))

_RUN_AGAIN = "Run again: what was done is then found as done."

# What a gateway says for a service behind it that is not up.
_STARTING = (502, 503, 504)


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
    :param connections: to share those of another stub.
    :raises VforgeError: every method does, and nothing else.

    ``session_id`` is the session that calls are made in, None for none. ``GetSessionId`` tells the one that the server
    gave last, which is another where the server answers a dead session with the offer of a new one; a stub of its own
    makes each login, so that such an offer to one thread never takes the session of the others away.
    """

    def __init__(self, options: ConnectionOptions, stats: CallStats, connections: ConnectionPool | None = None) -> None:
        self._options = options
        self._connections = connections or ConnectionPool(options)
        self.stats = stats
        self.session_id: str | None = None
        super().__init__(
            host=options.hostname, port=options.port, path="/sdk", version=VmomiSupport.versionMap[versions.OLDEST]
        )

    @property
    def cookie(self) -> str:
        """What pyVmomi sends as the header ``Cookie``."""
        return f'vmware_soap_session="{self.session_id}"' if self.session_id else ""

    @cookie.setter
    def cookie(self, value: str) -> None:
        """pyVmomi sets it to the ``Set-Cookie`` of every answer; only a login may."""

    def for_login(self) -> Stub:
        """A stub without a session, over the same connections."""
        return Stub(self._options, self.stats, self._connections)

    def beside(self, path: str, version: str) -> Stub:
        """The way to another service of the same server, over the same connections, with the same counts.

        :param version: of pyVmomi, such as ``pbm.version.version2``.
        """
        stub = self.for_login()
        stub.path = path
        stub.ComputeVersionInfo(version)
        return stub

    def negotiate(self) -> None:
        """Ask which versions the server speaks, and use the newest that pyVmomi knows too. This is no SOAP call.

        :raises ConnectionFailed: also when what answers is no vCenter, or one that is not up yet.
        """
        connection = self._connections.take()
        try:
            connection.request("GET", _VERSIONS_PATH)
            answer = connection.getresponse()
            document = answer.read(_LONGEST_DESCRIPTION)
        except OSError as error:
            connection.close()
            raise tls.failure(error, self._options) from error
        except http.client.HTTPException as error:
            connection.close()
            raise not_a_vcenter(self._options, f"does not speak HTTP ({type(error).__name__})") from error
        if answer.isclosed():
            self._connections.give_back(connection)
        else:
            connection.close()
        if answer.status in _STARTING:
            raise _starting(self._options, answer.status, answer.reason)
        if answer.status != http.client.OK:
            raise not_a_vcenter(self._options, f"answers {answer.status} {answer.reason} when asked for its API versions")
        version = versions.offered(document)
        if version is None:
            raise not_a_vcenter(self._options, "answers, but not as vSphere does")
        self.speak(version)

    def speak(self, api_version: str) -> None:
        """Use the newest version that both the server (``8.0.3.0``) and pyVmomi know."""
        self.ComputeVersionInfo(VmomiSupport.versionMap[versions.newest_common(api_version, VmomiSupport.versionMap)])

    def GetConnection(self) -> t.Any:  # noqa: N802 (pyVmomi's name)
        """A connection of the pool, or a new one.

        :raises ConnectionFailed: nothing was sent.
        """
        return self._connections.take()

    def ReturnConnection(self, conn: t.Any) -> None:  # noqa: N802
        """Give a connection back to the pool."""
        self._connections.give_back(conn)

    def DropConnections(self) -> None:  # noqa: N802
        """Close the connections that no call uses."""
        self._connections.drop()

    def InvokeMethod(self, mo: t.Any, info: t.Any, args: t.Any, outerStub: t.Any = None) -> t.Any:  # noqa: N802, N803
        """Send one call; one that may be repeated is sent again when the connection broke.

        :raises Fault: vCenter refused it.
        :raises SessionExpired: it was not carried out, for want of a session.
        :raises ConnectionLost: it may have been carried out.
        :raises ConnectionFailed: it was not sent.
        :raises InvalidOption: it cannot be sent.
        """
        try:
            return self._invoke(mo, info, args, outerStub)
        except CallTimedOut:
            raise
        except ConnectionLost:
            if info.wsdlName not in _REPEATABLE:
                raise
            return self._invoke(mo, info, args, outerStub)

    def _invoke(self, mo: t.Any, info: t.Any, args: t.Any, outer: t.Any) -> t.Any:
        self.stats.add(info.wsdlName)
        try:
            answer = super().InvokeMethod(mo, info, args, outer)
        except vmodl.MethodFault as fault:
            raise faults.translate(fault) from fault
        except TimeoutError as error:
            raise self._late(info) from error
        except UnicodeEncodeError as error:
            raise InvalidOption("An option has a character that cannot be sent: half of a surrogate pair.") from error
        except OSError as error:
            raise self._lost(info, f"broke the connection ({error.strerror or error})") from error
        except http.client.HTTPException as error:
            raise self._strange(info, str(error) or type(error).__name__) from error
        except (xml.parsers.expat.ExpatError, KeyError, AttributeError) as error:
            # KeyError: a type that pyVmomi does not know; AttributeError: a value that its type does not have.
            raise self._strange(info, str(error)) from error
        except Exception as error:
            # What pyVmomi raises for status 500 with well-formed XML that is no fault has no class of its own.
            if error.__class__ is not Exception:
                raise
            raise self._strange(info, "status 500 without a fault") from error
        if answer is None and info.result is vim.Task:
            raise self._strange(info, "no task")
        return answer

    def _late(self, info: t.Any) -> CallTimedOut:
        return CallTimedOut(
            f"{self._options.endpoint} did not answer {info.wsdlName} within {self._options.connection_timeout} seconds.",
            hint="Raise connection_timeout if the vCenter is slow. Run again: what was done is then found as done.",
        )

    def _lost(self, info: t.Any, what: str) -> ConnectionLost:
        return ConnectionLost(f"{self._options.endpoint} {what} during {info.wsdlName}.", hint=_RUN_AGAIN)

    def _strange(self, info: t.Any, what: str) -> StrangeAnswer:
        return StrangeAnswer(
            f"{self._options.endpoint} did not answer {info.wsdlName} as vSphere does ({what}).", hint=_RUN_AGAIN
        )


def not_a_vcenter(options: ConnectionOptions, why: str) -> ConnectionFailed:
    """The error for an address behind which there is no vCenter."""
    return ConnectionFailed(
        "not_a_vcenter",
        f"{options.endpoint} is not a vCenter: it {why}.",
        hint="Set hostname and port to those of a vCenter Server.",
    )


def _starting(options: ConnectionOptions, status: int, reason: str) -> ConnectionFailed:
    return ConnectionFailed(
        "vcenter_unavailable",
        f"{options.endpoint} answers, but its vCenter service does not ({status} {reason}).",
        hint="Wait until the vCenter has started, or look at its health in its management page (port 5480).",
    )
