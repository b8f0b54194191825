# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clone as a task works on it. Pure."""

from __future__ import annotations

import dataclasses

from .._vm_stages import VmItem
from .model import Existing
from .plan import Gone, Plan, Remove


@dataclasses.dataclass(kw_only=True)
class CloneItem(VmItem):
    """A clone of the task.

    :ivar twice: whether another clone of the task has the same name, in another folder.
    :ivar vm: the VM as it was last read.
    :ivar moid: of the VM that this task has made.
    :ivar rolled_back: whether it was made by this task, and removed again.
    :ivar customized: whether its guest was customized; None where that was not begun.
    :ivar ready: whether it is a template that can be cloned; None where it is to be none.
    """

    plan: Plan
    twice: bool = False
    vm: Existing | None = None
    moid: str = ""
    rolled_back: bool = False
    customized: bool | None = None
    ready: bool | None = None

    @property
    def title(self) -> str:
        """What messages call it: the name, with the folder where two have it."""
        if not self.twice:
            return self.plan.name
        return f"{self.plan.name} in {self.plan.request.folder or 'the folder of the parent'}"

    @property
    def name(self) -> str:
        """What its entry in the result calls it."""
        return self.plan.name

    @property
    def vm_moid(self) -> str:
        """The moid of its VM; empty where there is none."""
        return self.moid or (self.vm.moid if self.vm is not None else "")

    @property
    def powered_off(self) -> bool:
        """Whether its VM is known to be off."""
        return self.vm is not None and self.vm.powered_off

    @property
    def changed(self) -> bool:
        """Whether anything was done and is still there; in check mode, whether it would be."""
        return super().changed and not self.rolled_back

    @property
    def to_be_absent(self) -> bool:
        """Whether it is asked that there be no such VM."""
        return isinstance(self.plan, (Gone, Remove))

    def become_off(self) -> None:
        """Note that its VM was powered off."""
        if self.vm is not None:
            self.vm = dataclasses.replace(self.vm, power_state="poweredOff")

    @property
    def action(self) -> str:
        """What became of it, in one word."""
        return "rolled_back" if self.rolled_back else super().action
