# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VMs hold for cloud-init, and what their guests have reported of it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._engine import Item, Task
from . import read, report
from .model import Machine, selectors

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar show: whether the data themselves are shown.
    """

    selectors: tuple[Selector, ...]
    datacenter: str | None
    show: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        named = tuple(selector for selector, _own in selectors(params))
        return cls(named, params.get("datacenter"), params["show_content"])


@dataclasses.dataclass(kw_only=True)
class MachineItem(Item):
    """A VM that is looked at."""

    machine: Machine

    @property
    def title(self) -> str:
        """What messages call it."""
        return self.machine.path


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``vms``, one entry each in the order asked for. Changes nothing.

    :raises NotFound: the only VM is not there.
    :raises PartialFailure: one of several is not there; it holds what is known of the others.
    """
    task: Task[MachineItem] = Task(session, [], "VMs", deadline=session.limit.end, parallel=1)
    found = read.find_machines(session, options.selectors, options.datacenter)
    there = task.found("vms", found, options.selectors)
    task.items = [MachineItem(machine=machine) for _place, machine in there]
    entries = report.infos([item.machine for item in task.items], show=options.show)
    return task.finish({"changed": False, "vms": task.with_missing("vms", entries)})
