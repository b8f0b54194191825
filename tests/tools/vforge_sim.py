# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start a simulated vCenter and talk to its control endpoint. Standard library only.

In Python::

    with Simulator(".build/bin/vforge-sim", "--vms", "100") as sim:
        sim.inject(method="InstantClone_Task", nth=3, do="task-fault", fault="SystemError")
        ...
        assert sim.calls()["by_method"]["InstantClone_Task"] == 3

As a script, for a command that needs a vCenter while it runs::

    vforge_sim.py run --binary .build/bin/vforge-sim [options of the simulator] -- COMMAND...

COMMAND finds the path of the simulator's ready.json in VFORGE_SIM_READY. The
simulator ends with this process, whatever ends it: it exits when its standard
input does.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import types
import urllib.parse
from typing import Any

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0


class SimulatorError(Exception):
    """The simulator did not start, or its control endpoint refused a request."""


class Simulator:
    """One running simulator; a context manager.

    Args:
        binary: path of vforge-sim.
        *args: further options for it, as on its command line.
        govc: path of a govc binary; by default the one beside ``binary``, if any.
        state_dir: directory for its files; by default a new temporary one, which is
            removed at the end.
        password: the administrator's password; by default a random one.

    Attributes:
        url, host, port, username, password, ca, thumbprint, control, pid: how to reach
            it; ``ca`` is the path of the CA file.
        guest_username, guest_password: the administrator of every guest.
        ready: path of its ready.json.
    """

    def __init__(
        self,
        binary: str | os.PathLike[str],
        *args: str,
        govc: str | None = None,
        state_dir: str | os.PathLike[str] | None = None,
        password: str | None = None,
    ) -> None:
        self.binary = os.fspath(binary)
        self.args = args
        beside = os.path.join(os.path.dirname(os.path.abspath(self.binary)), "govc")
        self.govc_binary = govc or (beside if os.path.exists(beside) else None)
        self._own_dir = state_dir is None
        self._dir = os.fspath(state_dir) if state_dir is not None else ""
        self._given_password = password
        self._process: subprocess.Popen[str] | None = None
        self.url = self.host = self.username = self.password = ""
        self.ca = self.thumbprint = self.control = self.ready = ""
        self.guest_username = self.guest_password = ""
        self.port = self.pid = 0

    def __enter__(self) -> Simulator:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the simulator and wait until it answers.

        Raises:
            SimulatorError: it ended before it was ready; the message has what it said.
        """
        if self._own_dir:
            self._dir = tempfile.mkdtemp(prefix="vforge-sim-")
        environment = dict(os.environ)
        environment.pop("VFORGE_SIM_PASSWORD", None)
        environment.pop("VFORGE_SIM_GUEST_PASSWORD", None)
        if self._given_password is not None:
            environment["VFORGE_SIM_PASSWORD"] = self._given_password
        self._process = subprocess.Popen(
            [self.binary, "--state-dir", self._dir, "--exit-with-stdin", *self.args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        try:
            self._wait_ready(self._process)
            self._read_ready()
        except BaseException:
            self.stop()
            raise

    def _wait_ready(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        # "ready" is the only line it ever prints there; end of file means that it is gone.
        if process.stdout.readline().strip() != "ready":
            code = process.wait(START_TIMEOUT)
            raise SimulatorError(f"{self.binary} ended with status {code} before it was ready")

    def _read_ready(self) -> None:
        self.ready = os.path.join(self._dir, "ready.json")
        values = json.loads(pathlib.Path(self.ready).read_text(encoding="utf-8"))
        for name in ("url", "host", "port", "username", "ca", "thumbprint", "control", "pid"):
            setattr(self, name, values[name])
        self.password = pathlib.Path(values["password_file"]).read_text(encoding="utf-8")
        self.guest_username = values["guest_username"]
        self.guest_password = pathlib.Path(values["guest_password_file"]).read_text(encoding="utf-8")

    def stop(self) -> None:
        """End the simulator and remove its temporary directory."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self._own_dir and self._dir:
            shutil.rmtree(self._dir, ignore_errors=True)

    # The control endpoint

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one request to the control endpoint and return its JSON.

        Raises:
            SimulatorError: it was refused; the message says why.
        """
        return json.loads(self._send(method, path, body))

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        text = b"" if body is None else json.dumps(body).encode()
        # Straight to the loopback address: a proxy in the environment is not asked.
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.control).netloc, timeout=START_TIMEOUT)
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

    def fail_leases(self, fault: str = "SystemError") -> int:
        """End all leases that live with a fault, as a host that goes down, and return how many there were."""
        return int(self.request("POST", "/leases", {"fail": fault})["ended"])

    def relay_leases(self, relayed: bool = True) -> None:
        """Have the URLs of leases to come lead to the server that was asked (``*``), or to the hosts again."""
        self.request("POST", "/leases", {"relayed": relayed})

    def orphans(self) -> list[str]:
        """The files on datastores that no VM and no open lease refers to."""
        return list(self.request("GET", "/orphans")["files"])

    # govc

    def govc_environment(self) -> dict[str, str]:
        """The variables that point govc at this simulator, with its CA."""
        return {
            "GOVC_URL": self.url,
            "GOVC_USERNAME": self.username,
            "GOVC_PASSWORD": self.password,
            "GOVC_TLS_CA_CERTS": self.ca,
            "GOVC_PERSIST_SESSION": "false",
            "GOVC_DATACENTER": "DC0",
        }

    def govc(self, *args: str) -> Any:
        """Run govc against this simulator and return its JSON, or its text where it has none.

        Raises:
            SimulatorError: govc failed, or there is no govc binary.
        """
        if self.govc_binary is None:
            raise SimulatorError("no govc binary is known: pass govc=...")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GOVC_")}
        environment.update(self.govc_environment())
        done = subprocess.run(
            [self.govc_binary, args[0], "-json", *args[1:]],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        if done.returncode != 0:
            raise SimulatorError(f"govc {' '.join(args)}: {_govc_error(done.stdout, done.stderr)}")
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError:
            return done.stdout


def _govc_error(stdout: str, stderr: str) -> str:
    """What govc says of a failure; with -json it shows a fault as JSON."""
    text = stderr.strip() or stdout.strip()
    try:
        return str(json.loads(text)["localizedMessage"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return text


def run(binary: str, options: list[str], command: list[str]) -> int:
    """Run ``command`` beside a simulator and return its exit status, as a shell would."""
    child: subprocess.Popen[bytes] | None = None

    def forward(number: int, _frame: types.FrameType | None) -> None:
        if child is None:
            raise SystemExit(128 + number)
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, forward)
    with Simulator(binary, *options) as sim:
        child = subprocess.Popen(command, env={**os.environ, "VFORGE_SIM_READY": sim.ready})
        code = child.wait()
    return code if code >= 0 else 128 - code


def main(argv: list[str]) -> int:
    """The command line: see the top of this file."""
    parser = argparse.ArgumentParser(prog="vforge_sim.py", description="Run a command beside a simulated vCenter.")
    commands = parser.add_subparsers(dest="do", required=True)
    runner = commands.add_parser("run", help="run a command with VFORGE_SIM_READY set")
    runner.add_argument("--binary", required=True, help="path of vforge-sim")
    if "--" not in argv:
        parser.error("a command is needed after --")
    at = argv.index("--")
    known, options = parser.parse_known_args(argv[:at])
    command = argv[at + 1 :]
    if not command:
        parser.error("a command is needed after --")
    try:
        return run(known.binary, options, command)
    except (SimulatorError, OSError) as error:
        print(f"vforge_sim.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
