# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plays of tests: a role, or tasks, against a simulator, and what they leave."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ansible_collections.vforge.vsphere.plugins.modules import linked_clone
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import budget
from vforge_playbook import Playbook
from vforge_python import interpreter

# Where the folder ansible_collections lies, in the run's copy of the checkout.
_COLLECTIONS = str(Path(linked_clone.__file__).parents[5])

# Starts ansible-playbook: for tests of its start, of its end, and of programs that start it. `python -m ansible` looks for
# entry points, which a run from the source of ansible-core has not.
PLAYBOOK = (sys.executable, "-c", "import sys; from ansible.cli.playbook import main; sys.exit(main())")


def environment(folder: Path, sim: Any = None) -> dict[str, str]:
    """The environment of an ansible-playbook that keeps its files in a folder.

    :param sim: the simulator that its modules connect to, if any.
    """
    connection: dict[str, str] = {}
    if sim is not None:
        connection = {
            "VMWARE_HOST": sim.host,
            "VMWARE_PORT": str(sim.port),
            "VMWARE_USER": sim.username,
            "VMWARE_PASSWORD": sim.password,
            "VMWARE_CA_PATH": sim.ca,
        }
    return {
        **os.environ,
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "ANSIBLE_ACTION_PLUGINS": str(Path(__file__).with_name("plugins")),
        "ANSIBLE_COLLECTIONS_PATH": _COLLECTIONS,
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        **connection,
    }


def forking() -> dict[str, str]:
    """The variable by which modules are forked: see vforge_python. Not for plays that are killed, or end in another way."""
    return {"ansible_python_interpreter": interpreter(Path(_COLLECTIONS))}


def kept(content: str, file: Path | str) -> dict[str, Any]:
    """A task that writes a template's value into a file: see plugins/keep.py."""
    return {"keep": {"content": content, "dest": str(file)}}


@dataclasses.dataclass(frozen=True)
class Played:
    """A play that ended: what it printed, what it left in variables, and what the server counted by method."""

    code: int
    output: str
    left: dict[str, Any]
    calls: dict[str, int]

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return budget(self.calls)

    @property
    def clones(self) -> list[dict[str, Any]]:
        """The entries of the task that makes the clones."""
        result = self.left["result"]
        return list(result.get("clones", result.get("children")))

    @property
    def counts(self) -> dict[str, int]:
        """What was done with how many clones."""
        return dict(self.left["result"]["counts"])


def _descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have: a module has a group of its own."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in children.read_text(encoding="ascii").split():
                found += [int(child), *_descendants(int(child))]
    return found


class Plays:
    """Plays one role against one simulator.

    :param keep: variables of the role that are kept of each play, without their prefix.
    """

    def __init__(self, sim: Any, folder: Path, role: str, keep: tuple[str, ...]) -> None:
        self.sim = sim
        self._role = role
        self._folder = folder
        self._kept = {"groups": "{{ groups }}", **{name: f"{{{{ {role}_{name} | default({{}}) }}}}" for name in keep}}

    def start(self, *words: str, others: dict[str, Any] | None = None, check_mode: bool = False, **given: Any) -> Playbook:
        """Start a play; the variables of the role are given without their prefix.

        :param others: variables with the names that they have.
        :param check_mode: the play's own, of which ansible_check_mode says nothing: with --check among the words it does.
        """
        steps = {
            "block": [{"ansible.builtin.include_role": {"name": f"vforge.vsphere.{self._role}"}}],
            "always": [kept("{{ kept | to_json }}", self._folder / "left.json")],
        }
        variables = {**{f"{self._role}_{name}": value for name, value in given.items()}, **(others or {}), "kept": self._kept}
        play = [{"hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [steps]}]
        play[0] |= {"check_mode": True} if check_mode else {}
        (self._folder / "play.json").write_text(json.dumps(play), encoding="utf-8")
        self.sim.reset_calls()
        return Playbook(*words, "play.json", cwd=self._folder, env=environment(self._folder, self.sim))

    def run(self, *words: str, others: dict[str, Any] | None = None, **given: Any) -> Played:
        """Play to the end: see start."""
        with self.start(*words, others={**forking(), **(others or {})}, **given) as process:
            output, _none = process.communicate()
        kept = self._folder / "left.json"
        assert kept.exists(), output
        left = json.loads(kept.read_text(encoding="utf-8"))
        return Played(process.wait(), output, left, self.sim.calls()["by_method"])

    def kill_at(self, method: str, calls: int, /, *, nth: int | None = None, **given: Any) -> None:
        """Start a play, and kill it when it has made so many calls of a method.

        :param nth: which of these calls is not answered by then; none is, where it is None.
        """
        self.sim.inject(method=method, do="delay", **({"nth": nth} if nth else {"times": 0}))
        with self.start(**given) as process:
            while not self.sim.called(method, calls) and process.poll() is None:
                pass  # it has waited a while
            for each in (process.pid, *_descendants(process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.communicate()
        self.sim.settle()
        self.sim.clear()

    def vms(self, pattern: str) -> dict[str, dict[str, Any]]:
        """VMs by name, as govc reads them.

        :param pattern: of their paths.
        """
        found = self.sim.govc("vm.info", pattern)["virtualMachines"] or []
        return {vm["name"]: vm for vm in found}
