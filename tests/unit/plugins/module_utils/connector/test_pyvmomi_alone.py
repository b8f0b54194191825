# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plain client of pyVmomi reads of the simulator, as others write them: one property at a time, and exit codes."""

from __future__ import annotations

import ssl
import time

import pytest
from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim

_PATIENCE = 120.0


@pytest.fixture
def content(shared_sim):
    context = ssl.create_default_context(cafile=shared_sim.ca)
    instance = SmartConnect(
        host=shared_sim.host, port=shared_sim.port, user=shared_sim.username, pwd=shared_sim.password, sslContext=context
    )
    yield instance.RetrieveContent()
    Disconnect(instance)


def _parent(content):
    return content.searchIndex.FindByInventoryPath("DC0/vm/golden-parent")


def test_a_property_that_is_not_set_reads_as_none(content):
    vm = _parent(content)
    assert vm.parentVApp is None
    assert vm.name == "golden-parent"


def test_a_program_that_succeeds_has_an_exit_code(content, shared_sim):
    vm, processes = _parent(content), content.guestOperationsManager.processManager
    auth = vim.vm.guest.NamePasswordAuthentication(username=shared_sim.guest_username, password=shared_sim.guest_password)
    codes = {"true": 0, "false": 1}
    started = {
        processes.StartProgramInGuest(
            vm, auth, vim.vm.guest.ProcessManager.ProgramSpec(programPath=f"/bin/{name}", arguments="")
        ): code
        for name, code in codes.items()
    }
    end = time.monotonic() + _PATIENCE
    while True:
        known = processes.ListProcessesInGuest(vm, auth, list(started))
        if all(each.endTime for each in known):
            break
        assert time.monotonic() < end, known
    assert {each.pid: each.exitCode for each in known} == started
