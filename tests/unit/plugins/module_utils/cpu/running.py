# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks about processors against a simulator, and have vCenter do what the tasks speak of."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._connector.batch import Work as Call
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.batch import run_batch
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.find import Selector, find_entity, find_vm
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.pyvmomi import vim
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu import task
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.model import Options
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import Fault
from ansible_collections.vforge.vsphere.plugins.modules import cpu_features_info
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work


class Processors(Runner):
    """Runs tasks of cpu_features_info against one simulator."""

    module = "cpu_features_info"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task that tells; check mode changes nothing of it."""
        del check
        options = Options.from_params(accepted(cpu_features_info.argument_spec(), given))
        return lambda session: task.run(session, options)

    def host(self, name: str, **given: t.Any) -> dict[str, t.Any]:
        """The entry of one host."""
        (entry,) = self.run(hosts=[name], **given).result["hosts"]
        return t.cast("dict[str, t.Any]", entry)

    def group_of(self, ran: Ran, vm: str) -> dict[str, t.Any]:
        """The group of a comparison in which a VM is."""
        (found,) = [each for each in ran.result["comparison"]["groups"] if vm in [one["name"] for one in each["vms"]]]
        return t.cast("dict[str, t.Any]", found)

    # What vCenter does

    def set_mode(self, cluster: str, key: str) -> None:
        """Set the EVC mode of a cluster; raises the fault of what stands in its way."""
        self._do(lambda session: find_entity(session, cluster).EvcManager().ConfigureEvcMode_Task(key))

    def mask_vm(self, name: str, key: str) -> None:
        """Give a VM that is off an EVC mode of its own."""

        def start(session: Session) -> t.Any:
            modes = session.reference(vim.ServiceInstance, "ServiceInstance").capability.supportedEVCMode
            (mode,) = [each for each in modes if each.key == key]
            return _vm(session, name).ApplyEvcModeVM_Task(mode.featureMask, True)

        self._do(start)

    def power(self, name: str, on: bool) -> None:
        """Power a VM on or off."""
        self._do(lambda session: _vm(session, name).PowerOnVM_Task() if on else _vm(session, name).PowerOffVM_Task())

    def moves(self, name: str, host: str) -> bool:
        """Whether vCenter itself migrates a running VM to a host of its cluster."""

        def start(session: Session) -> t.Any:
            return _vm(session, name).RelocateVM_Task(vim.vm.RelocateSpec(host=find_entity(session, host)), None)

        try:
            self._do(start)
        except Fault as error:
            if error.fault != "FeatureRequirementsNotMet":
                raise
            return False
        return True

    def _do(self, start: t.Callable[[Session], t.Any]) -> None:
        def work(session: Session) -> dict[str, t.Any]:
            done = run_batch(session, [Call("it", lambda: start(session), False)], 1, time.monotonic() + 30, "done")
            error = done.outcomes["it"].error
            if error is not None:
                raise error
            return {}

        ran = self.ran(work)
        if ran.error is not None:
            raise ran.error


def _vm(session: Session, name: str) -> t.Any:
    return find_vm(session, Selector(name=name))
