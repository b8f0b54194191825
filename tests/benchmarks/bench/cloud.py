# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tools that give VMs their data for cloud-init: metadata of their own and the same user data each."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Sequence

from bench.figures import Sample
from bench.tools import OURS, PARALLEL, Installed, Tools, WrongResult
from bench.vcenter import DATACENTER, VCenter

_USERDATA = {"packages": ["nginx"], "users": [{"name": "admin", "ssh_authorized_keys": ["ssh-ed25519 AAAAnobody"]}]}


class CloudTools(Tools):
    """Runs the tools against one vCenter, in which VMs that are off wait for their data."""

    def __init__(self, installed: Installed, vcenter: VCenter, *groups: Sequence[str]) -> None:
        super().__init__(installed, vcenter)
        for name in (name for group in groups for name in group):
            vcenter.sim.create_vm(name, on=False)

    def cloud(self, names: Sequence[str], *, tool: str = OURS, session: str = "fresh", changed: bool = True) -> Sample:
        """Our module: one task. session: the name of the folder for kept sessions; a name that is new has none."""
        vms = [{"name": name, "metadata": {"local_hostname": name}} for name in names]
        task = {"vforge.vsphere.cloud_init_guestinfo": {"vms": vms, "userdata": _USERDATA, "parallel": PARALLEL}}
        result, sample = self._task(task, names, tool, session, None)
        if [vm["changed"] for vm in result["vms"]] != [changed] * len(names):
            raise WrongResult(f"{tool.strip()} was {'' if changed else 'not '}to change {len(names)} VMs.")
        return sample

    def cloud_govc(self, names: Sequence[str]) -> Sample:
        """The command govc in a shell loop. It compares nothing, and writes the same again in a second run."""
        text = base64.b64encode(f"#cloud-config\n{json.dumps(_USERDATA)}".encode()).decode()
        pairs = [f"guestinfo.userdata={text}", "guestinfo.userdata.encoding=base64"]
        fixed = shlex.join([str(self._at.govc), "vm.change", *(word for pair in pairs for word in ("-e", pair))])
        own = f'-vm "/{DATACENTER}/vm/$name" -e "guestinfo.metadata=instance-id: $name"'
        return self._govc_loop(names, f"set -e; for name; do {fixed} {own}; done")
