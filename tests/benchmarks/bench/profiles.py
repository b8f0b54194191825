# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the time goes: flame graphs of a task that makes many clones, and of the inventory plugin."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import metered
from bench.environment import HERE
from bench.inventory import OURS, source_of
from bench.report import Promise, Report
from bench.tools import Installed, Tools
from bench.vcenter import simulated
from devtools.console import Console, Outcome

# Samples a second, the first of them whose picture is small enough. More of them show rarer functions.
RATES = (40, 20, 10, 5)

# A picture in the docs is to be no larger.
LARGEST = 200 * 1024

_TITLE = "Where the time goes"
_TEXT = """## {title}

Flame graphs by [py-spy](https://github.com/benfred/py-spy): each box
is a function, as wide as the part of the samples in which it was on the stack, below what called
it. Opened by themselves they can be zoomed and searched.

- [One task of `instant_clone` with {clones:,} clones](images/{task}): the process of the module,
  on a simulator that makes clones at once.
- [`ansible-inventory` with {vms:,} VMs](images/{inventory}), by `vforge.vsphere.vms`.
"""

# py-spy writes the command line there.
_TITLE_OF_PICTURE = re.compile(r'(<text id="title"[^>]*>)[^<]*(</text>)')

_TASK, _INVENTORY = "profile-instant-clone.svg", "profile-inventory.svg"


@dataclass(frozen=True)
class Profiles:
    """Makes the flame graphs. clones: of the task; vms: of the inventory; images: where they go."""

    simulator: Path
    installed: Installed
    console: Console
    clones: int
    vms: int
    images: Path

    def run(self) -> Report:
        """Make them, and say where they are."""
        self.console.title(_TITLE)
        self.images.mkdir(parents=True, exist_ok=True)
        promises = [
            self._step(_TASK, f"instant_clone, {self.clones:,} clones", self._task),
            self._step(_INVENTORY, f"ansible-inventory, {self.vms:,} VMs", self._inventory),
        ]
        text = _TEXT.format(title=_TITLE, clones=self.clones, vms=self.vms, task=_TASK, inventory=_INVENTORY)
        return Report("profiles", text, "", promises, [_TASK, _INVENTORY])

    def _step(self, name: str, title: str, make: Callable[[Path, int], None]) -> Promise:
        target = self.images / name

        def work() -> Outcome:
            for rate in RATES:
                make(target, rate)
                entitle(target, title)
                if target.stat().st_size < LARGEST:
                    break
            return Outcome(1, note=f"{target.stat().st_size / 1024:.0f} KiB, {rate} samples a second")

        self.console.step(name, work)
        size = target.stat().st_size
        return Promise(f"size of {name}, KiB", f"below {LARGEST >> 10}", f"{size / 1024:.0f}", size < LARGEST)

    def _task(self, target: Path, rate: int) -> None:
        with simulated(self.simulator, self.installed.govc, 10, 0) as vcenter:
            names = [f"profile-{number:04d}" for number in range(self.clones)]
            wrapper = self.installed.work / "profiled-python"
            words = [*self._spy(target, rate), self.installed.python, HERE / "scripts" / "profiled.py"]
            line = shlex.join(str(word) for word in words)
            # py-spy writes to standard output, too, where Ansible looks for the result of the module.
            wrapper.write_text(f'#!/bin/sh\nexec {line} "$@" 3>&1 >/dev/null\n', encoding="utf-8")
            wrapper.chmod(0o700)
            Tools(self.installed, vcenter).profiled(names, wrapper)

    def _inventory(self, target: Path, rate: int) -> None:
        with simulated(self.simulator, self.installed.govc, self.vms, 0) as vcenter:
            source, programs, env = source_of(self.installed, OURS, {})
            listed = self.installed.work / "inventory.json"
            listing = [programs / "python", programs / "ansible-inventory", "-i", source, "--list", "--output", listed]
            metered.run([*self._spy(target, rate), *listing], self.installed.log, {**env, **vcenter.environment})

    def _spy(self, target: Path, rate: int) -> Sequence[str | Path]:
        spy = self.installed.peer / "venv" / "bin" / "py-spy"
        return [spy, "record", "--nolineno", "--rate", str(rate), "--output", target, "--"]


def entitle(picture: Path, title: str) -> None:
    """Give a picture a title in place of the command line, which names folders of this machine."""
    text = picture.read_text(encoding="utf-8")
    picture.write_text(_TITLE_OF_PICTURE.sub(rf"\g<1>{title}\g<2>", text, count=1), encoding="utf-8")
