# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module of the collection as a process of its own, as Ansible starts it, against a simulator."""

from __future__ import annotations

import json
import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ansible.module_utils.common.parameters import PASS_VARS

from vforge_sim import Simulator

# What Ansible shows in the place of a secret, and of an option that is one; the first from 2.22 on.
MASK = "$REDACTED$"
HIDDEN = (MASK, "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER")

# Since ansible-core 2.21 a module says how it was invoked only where that is asked for.
INVOCATION = {"_ansible_inject_invocation": True} if "inject_invocation" in PASS_VARS else {}

# What only one that hangs takes, on however busy a machine.
PATIENCE = 300.0

_COLLECTION = "ansible_collections.vforge.vsphere.plugins"

# Since 2.19 the encoding of the arguments has a name as well.
_START = """
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
from {package}.modules.{name} import main
main()
"""


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process waits for this signal: a module that is told to end has it take its course from then on.

    Raises:
        OSError: it is gone.
    """
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) >> (number - 1) & 1)


def as_shown(result: dict[str, Any]) -> dict[str, Any]:
    """What Ansible shows of what a module printed: from ansible-core 2.22 on it is the controller that masks secrets."""
    secrets = sorted(result.pop("_ansible_new_secrets", ()), key=len, reverse=True)
    masked: dict[str, Any] = _masked(result, secrets)
    return masked


def _masked(value: Any, secrets: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, secrets) for item in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
    return value


class ModuleProcess:
    """Starts one module.

    Args:
        sim: what it connects to, by way of the environment.
        which: the name of the module.
        path: of the folder in which ``ansible_collections`` lies.
        runtime_dir: where it keeps its sessions.
        common: parameters of each run that are not given otherwise.
    """

    def __init__(self, sim: Simulator, which: str, path: str, runtime_dir: str | os.PathLike[str], /, **common: Any) -> None:
        self.sim = sim
        self.program = _START.format(package=_COLLECTION, name=which)
        self.common = {**common, **INVOCATION}
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([path, *filter(None, [os.environ.get("PYTHONPATH")])]),
            "XDG_RUNTIME_DIR": os.fspath(runtime_dir),
            "VMWARE_HOST": sim.host,
            "VMWARE_PORT": str(sim.port),
            "VMWARE_USER": sim.username,
            "VMWARE_PASSWORD": sim.password,
            "VMWARE_CA_PATH": sim.ca,
        }

    def start(self, **params: Any) -> subprocess.Popen[bytes]:
        """The running process; the simulator counts its calls from here on."""
        self.sim.reset_calls()
        process = subprocess.Popen(
            [sys.executable, "-c", self.program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
        )
        if process.stdin is not None:
            process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**self.common, **params}}).encode())
            process.stdin.close()
            process.stdin = None
        return process

    def result(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """What the module returned; it must end by itself and say nothing else."""
        out, err = process.communicate(timeout=PATIENCE)
        assert b"Traceback" not in out + err, (out + err).decode()
        result: dict[str, Any] = json.loads(out)
        assert process.returncode == (1 if result.get("failed") else 0)
        return as_shown(result)

    def run(self, **params: Any) -> dict[str, Any]:
        """Run the module to its end."""
        return self.result(self.start(**params))

    def until(self, process: subprocess.Popen[bytes], enough: Callable[[], object]) -> None:
        """Watch the simulator while the module is held up by it."""
        end = time.monotonic() + PATIENCE
        while not enough():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "the module did not come so far"

    def until_called(self, process: subprocess.Popen[bytes], method: str, count: int) -> None:
        """Wait until the module has called a method so often, in which the simulator holds it up."""
        self.until(process, lambda: self.sim.called(method, count))

    def strike(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send the module, which the simulator holds up, a signal, and let the calls go on once it has noticed that."""

        def noticed() -> bool:
            select.select([], [], [], 0.01)  # only to leave the processor to the module
            return not catches(process.pid, number)

        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait(PATIENCE)
            self.sim.settle()
        else:
            self.until(process, noticed)
            # From its handler to where it lets no more calls begin; for those under way it waits five times as long.
            select.select([], [], [], 1.0)
        self.sim.clear()

    def calls(self, method: str) -> int:
        """How often the server was called since the module was started."""
        counts: dict[str, int] = self.sim.calls()["by_method"]
        return counts.get(method, 0)
