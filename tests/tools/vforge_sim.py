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
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import types
from typing import Any

from vforge_control import Control, SimulatorError

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0


class Simulator(Control):
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
        # Memory for processor time: most simulators of tests are small, and live for a second.
        environment.setdefault("GOGC", "400")
        # But not more of it than a machine of the tests has: a large inventory would be there four times.
        environment.setdefault("GOMEMLIMIT", "2GiB")
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
