# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talk to the control endpoint of a simulated vCenter. Standard library only."""

from __future__ import annotations

import http.client
import json
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

_PATIENCE = 300.0


class SimulatorError(Exception):
    """The simulator did not start, or its control endpoint refused a request."""


class Control:
    """What a test can ask of a simulator, and do to it, that vCenter does not offer.

    Attributes:
        control: the address of the endpoint.
    """

    control = ""

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request to the control endpoint and return its JSON.

        Raises:
            SimulatorError: it was refused; the message says why.
        """
        return json.loads(self._send(method, path, body))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        text = b"" if body is None else json.dumps(body).encode()
        # Straight to the loopback address: a proxy in the environment is not asked.
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.control).netloc, timeout=_PATIENCE)
        try:
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise SimulatorError(f"{method} {path}: {response.status} {answer.decode(errors='replace').strip()}")
        return answer

    def calls(self) -> dict[str, Any]:
        """SOAP calls since the start or the last reset: ``{"total": N, "by_method": {...}}``."""
        return dict(self.request("GET", "/calls"))

    def called(self, method: str, count: int, within: float = 1.0) -> bool:
        """Wait until a method was called so often since the start or the last reset.

        Args:
            method: name of a SOAP method.
            count: how often.
            within: seconds to wait at most.

        Returns:
            Whether it was.
        """
        query = urllib.parse.urlencode({"method": method, "count": count, "within_ms": int(within * 1000)})
        return int(self.request("GET", f"/calls?{query}")["by_method"].get(method, 0)) >= count

    def settle(self) -> None:
        """Wait until no call is under way: those of a client that was killed are carried out all the same."""
        self.request("GET", "/calls?settled")

    def reset_calls(self) -> None:
        """Count from zero again."""
        self.request("POST", "/calls/reset")

    def inject(self, **rule: Any) -> int:
        """Add a rule of failure and return its number; the fields are in the simulator's README."""
        return int(self.request("POST", "/inject", rule)["id"])

    def injections(self) -> list[dict[str, Any]]:
        """The rules, each with ``hits``: how many calls it has struck."""
        return list(self.request("GET", "/inject")["rules"])

    def clear(self, rule: int | None = None) -> None:
        """Remove one rule, or all of them."""
        self.request("DELETE", "/inject" if rule is None else f"/inject/{rule}")

    def latency(self, ms: float, method: str = "*") -> None:
        """Add a delay to each call of a method, from now on."""
        self.request("POST", "/latency", {"ms": ms, "method": method})

    def sessions(self) -> dict[str, Any]:
        """The live SDK sessions: ``{"count": N, "sessions": [...]}``."""
        return dict(self.request("GET", "/sessions"))

    def expire_sessions(self, as_: str = "fault") -> int:
        """Kill all SDK sessions on the server and return how many there were.

        Args:
            as_: ``fault``, or ``missingSet`` to have reads on a dead session answered
                without a fault but with NotAuthenticated for each property.
        """
        return int(self.request("POST", "/sessions/expire", {"as": as_})["expired"])

    def add_user(self, username: str, password: str, privileges: list[str] | None = None, locked: bool = False) -> None:
        """Add or replace a user; without ``privileges`` one who may do everything."""
        body = {"username": username, "password": password, "privileges": privileges or ["*"], "locked": locked}
        if privileges is not None:
            body["privileges"] = privileges
        self.request("POST", "/users", body)

    def add_user_with_roles(self, username: str, password: str, roles: Mapping[str, Iterable[str]]) -> None:
        """Add or replace a user who has roles on some objects, and sees nothing besides.

        Args:
            roles: privileges by the path of the object on which the role is given; it propagates, and looking is in it.
        """
        given = {path: sorted(privileges) for path, privileges in roles.items()}
        self.request("POST", "/users", {"username": username, "password": password, "roles": given})

    def vm(self, name: str) -> dict[str, Any]:
        """A raw view of one VM; ``name`` is a name or a managed object id."""
        return dict(self.request("GET", "/vms/" + urllib.parse.quote(name, safe="")))

    def patch_vm(self, name: str, **state: Any) -> dict[str, Any]:
        """Set the state of a VM that vCenter offers no call for, for example ``frozen=True``."""
        return dict(self.request("PATCH", "/vms/" + urllib.parse.quote(name, safe=""), state))

    def patch_guest(self, name: str, **state: Any) -> dict[str, Any]:
        """Set what is inside a VM's guest, for example ``hang="vmware-rpctool*"`` or ``missing=["nmcli"]``."""
        return self.patch_vm(name, guest=state)

    def guest_file(self, name: str, path: str) -> str:
        """What a file inside a VM's guest holds.

        Raises:
            SimulatorError: there is no such VM, or no such file in its guest.
        """
        query = urllib.parse.urlencode({"file": path})
        return str(self.request("GET", f"/vms/{urllib.parse.quote(name, safe='')}?{query}")["text"])

    def create_vm(self, name: str, **options: Any) -> dict[str, Any]:
        """Make a VM directly; the options are in the simulator's README."""
        return dict(self.request("POST", "/vms", {"name": name, **options}))

    def host_state(self, name: str, **state: Any) -> dict[str, Any]:
        """Set the state of a host, for example ``maintenance=True``."""
        return dict(self.request("POST", "/hosts/" + urllib.parse.quote(name, safe=""), state))

    def cluster_drs(self, name: str, behavior: str) -> None:
        """Have a cluster's DRS be ``fullyAutomated``, ``partiallyAutomated``, ``manual`` or ``off``."""
        self.request("POST", "/clusters/" + urllib.parse.quote(name, safe=""), {"drs": behavior})

    def power_failure(self, name: str) -> None:
        """Take the power from a running VM; its tracked changes are no good afterwards."""
        self.request("POST", f"/vms/{urllib.parse.quote(name, safe='')}/power-failure")

    def datastore_type(self, name: str, type_: str) -> None:
        """Make a datastore ``VMFS``, ``NFS``, ``NFS41`` or ``vsan``."""
        self.request("POST", "/datastores/" + urllib.parse.quote(name, safe=""), {"type": type_})

    # Disks

    def disk(self, name: str, key: int = 2000, snapshot: str | None = None) -> dict[str, Any]:
        """A disk of a VM: ``bytes``, ``change_id``, ``written`` as [start, length] pairs, ``layers`` with their files.

        Args:
            name: name or managed object id of the VM.
            key: the disk's device key.
            snapshot: managed object id of a snapshot, for the disk as it was then.
        """
        return dict(self.request("GET", self._disk_path(name, key, "", snapshot=snapshot)))

    def read_disk(
        self, name: str, key: int = 2000, offset: int = 0, length: int | None = None, snapshot: str | None = None
    ) -> bytes:
        """What a disk shows, through all its layers: at most 256 MiB at once."""
        return self._send("GET", self._disk_path(name, key, "/bytes", offset=offset, length=length, snapshot=snapshot))

    def write_disk(self, name: str, key: int = 2000, **write: Any) -> int:
        """Have the guest write, and return how many bytes that was.

        Args:
            name: name or managed object id of the VM, which must be running.
            key: the disk's device key.
            **write: ``offset`` and ``length`` with a ``seed`` for the content, or with ``data`` in base64; with ``count``
                and ``stride`` as often; or ``writes``, a list of such.
        """
        return int(self.request("POST", self._disk_path(name, key, "/writes"), write)["bytes"])

    def start_workload(self, name: str, key: int = 2000, **options: Any) -> None:
        """Have the guest go on writing at random places: ``seed``, ``rate`` a second, ``max_length``, ``within``."""
        self.request("POST", self._disk_path(name, key, "/workload"), options)

    def workload(self, name: str, key: int = 2000) -> dict[str, int]:
        """How much a workload has written so far: ``writes`` and ``bytes``."""
        return dict(self.request("GET", self._disk_path(name, key, "/workload")))

    def stop_workload(self, name: str, key: int = 2000) -> dict[str, int]:
        """End a workload and return how much it has written."""
        return dict(self.request("DELETE", self._disk_path(name, key, "/workload")))

    def cbt_granule(self, size: int) -> None:
        """Widen changed areas to multiples of ``size`` bytes, as real hosts may; 0 tells them exactly."""
        self.request("POST", "/cbt", {"granule": size})

    def _disk_path(self, name: str, key: int, what: str, **query: Any) -> str:
        given = urllib.parse.urlencode({k: v for k, v in query.items() if v is not None})
        return f"/vms/{urllib.parse.quote(name, safe='')}/disks/{key}{what}" + (f"?{given}" if given else "")

    # Imports

    def uploads(self) -> dict[str, Any]:
        """What came in for imports since ``reset_calls``: ``{"count", "done", "bytes", "uploads": [...]}``."""
        return dict(self.request("GET", "/uploads"))

    def disturb_uploads(self, **trouble: Any) -> None:
        """Make trouble for uploads to come; ``clear`` ends it.

        Args:
            **trouble: ``drop_after`` bytes, ``rate`` in bytes a second or ``status``; ``file``, a glob, and ``times``.
        """
        self.request("POST", "/uploads", trouble)

    def leases(self) -> list[dict[str, Any]]:
        """All leases since the start, the oldest first."""
        return list(self.request("GET", "/leases")["leases"])

    def open_leases(self) -> int:
        """How many leases live."""
        return int(self.request("GET", "/leases")["open"])

    def leases_over(self, within: float = 60.0) -> bool:
        """Wait until no lease lives; returns whether that is so.

        Args:
            within: seconds to wait at most; a request may not take longer.
        """
        return not self.request("GET", f"/leases?within_ms={int(within * 1000) - 1000}")["open"]

    def fail_leases(self, fault: str = "SystemError") -> int:
        """End all leases that live with a fault, as a host that goes down, and return how many there were."""
        return int(self.request("POST", "/leases", {"fail": fault})["ended"])

    def forget_leases(self, within: float = 1.0) -> int:
        """Have the leases that live now time out soon: those who held them have ended, and no lease is theirs who live.

        So what a killed client leaves is there for the next one, and no lease of a client that lives times out because the
        machine is busy, as it could where all leases were short.

        Args:
            within: seconds until they end.

        Returns:
            How many there were.
        """
        return int(self.request("POST", "/leases", {"fail": "Timedout", "after_ms": int(within * 1000)})["ended"])

    def relay_leases(self, relayed: bool = True) -> None:
        """Have the URLs of leases to come lead to the server that was asked (``*``), or to the hosts again."""
        self.request("POST", "/leases", {"relayed": relayed})

    def orphans(self) -> list[str]:
        """The files on datastores that no VM and no open lease refers to."""
        return list(self.request("GET", "/orphans")["files"])
