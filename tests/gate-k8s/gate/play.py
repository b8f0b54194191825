# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays of the roles, as a user has them: ansible-playbook, with variables from a file."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools import processes
from vforge_sim import Simulator

_PLAYS = Path(__file__).resolve().parents[1] / "plays"


@dataclass(frozen=True)
class Played:
    """What came of a play. changed: how many of its tasks changed something."""

    output: str
    code: int
    changed: int

    @property
    def failed(self) -> bool:
        """Whether a task failed."""
        return self.code != 0


class Player:
    """Plays roles against one simulated vCenter. folder: for variables and logs."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self.folder, self.simulator, self._number = folder, simulator, 0

    @property
    def connection(self) -> dict[str, Any]:
        """How modules reach the vCenter."""
        found = self.simulator
        return {
            "hostname": found.host,
            "port": found.port,
            "username": found.username,
            "password": found.password,
            "ca_path": found.ca,
        }

    def play(self, role: str, *, fails: bool = False, check: bool = False, **variables: Any) -> Played:
        """Play a role once. fails: whether it is to fail; check: in check mode; variables: without the role's prefix."""
        given = {f"{role}_{name}": value for name, value in variables.items()}
        return self.run(role, fails=fails, check=check, gate_connection=self.connection, **given)

    def run(self, name: str, *, fails: bool = False, check: bool = False, **variables: Any) -> Played:
        """Run one of the plays."""
        self._number += 1
        path = self.folder / f"{self._number}-{name}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(variables), encoding="utf-8")
        log = self.folder / "logs" / f"{self._number}-{name}.log"
        command: list[str | Path] = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-c", "local"]
        command += ["-e", f"@{path}", "-e", f"ansible_python_interpreter={sys.executable}", _PLAYS / f"{name}.yml"]
        command += ["--check"] if check else []
        result = processes.run(command, log, env={**os.environ, "ANSIBLE_NOCOLOR": "1"})
        assert bool(result.code) == fails, result.output[-4000:]
        recap = result.output.rpartition("PLAY RECAP")[2]
        return Played(result.output, result.code, int(recap.partition("changed=")[2].split()[0]))
