# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removes every VM of one folder, so that each tool starts from the same inventory. The job is JSON on standard input."""

from __future__ import annotations

import json
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

from pyVim.task import WaitForTasks
from pyVmomi import SoapStubAdapter, vim

AT_ONCE = 8


def main() -> None:
    """Power off and destroy what the folder of the job holds."""
    job = json.load(sys.stdin)
    trust = ssl.create_default_context(cafile=job["ca"])
    stub = SoapStubAdapter(job["host"], job["port"], "vim25/8.0.3.0", path="/sdk", poolSize=AT_ONCE, sslContext=trust)
    service = vim.ServiceInstance("ServiceInstance", stub)
    content = service.RetrieveContent()
    content.sessionManager.Login(job["username"], job["password"], None)
    vms = content.searchIndex.FindByInventoryPath(job["folder"]).childEntity
    for call in (vim.VirtualMachine.PowerOffVM_Task, vim.VirtualMachine.Destroy_Task):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            WaitForTasks(list(pool.map(call, vms)), si=service)
    content.sessionManager.Logout()
    stub.DropConnections()


if __name__ == "__main__":
    main()
