# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same tools, making linked clones of one snapshot, powered on, with one guestinfo pair."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bench.figures import Sample
from bench.tools import OURS, PARALLEL, PLAIN, Installed, Tools, WrongResult
from bench.vcenter import DATACENTER, VCenter

_SNAPSHOT = "base"


class LinkedTools(Tools):
    """Runs the tools against one vCenter, in which a VM that is off gets a snapshot to be cloned."""

    def __init__(self, installed: Installed, vcenter: VCenter) -> None:
        super().__init__(installed, vcenter)
        self._golden = vcenter.golden()
        vcenter.sim.govc("snapshot.create", "-vm", f"/{DATACENTER}/vm/{self._golden}", "-m=false", _SNAPSHOT)

    def linked_plain(self, names: Sequence[str]) -> Sample:
        """The yardstick."""
        job = {"parent": f"/{DATACENTER}/vm/{self._golden}", "linked": True}
        return self._plain(PLAIN, names, job)

    def linked(self, names: Sequence[str], *, tool: str = OURS, session: str = "fresh", changed: bool = True) -> Sample:
        """Our module: one task. session: the name of the folder for kept sessions; a name that is new has none."""
        clones = [{"name": name, "guestinfo": {"hostname": name}} for name in names]
        source = {"path": f"/{DATACENTER}/vm/{self._golden}"}
        asked = {"source": source, "snapshot": {"name": _SNAPSHOT}, "folder": self._vcenter.folder}
        task = {"vforge.vsphere.linked_clone": {**asked, "clones": clones, "parallel": PARALLEL}}
        result, sample = self._task(task, names, tool, session, None)
        if result["changed"] is not changed or len(result["clones"]) != len(names):
            raise WrongResult(f"{tool} was to make {len(names)} clones and says {result['counts']}.")
        return self._with_span(sample, result["timing"]["total"])

    def linked_govc(self, names: Sequence[str]) -> Sample:
        """The command govc in a shell loop. It sets guestinfo in a call of its own, before it powers the clone on."""
        where = self._vcenter
        source = ["-vm", self._golden, "-snapshot", _SNAPSHOT, "-link"]
        place = ["-pool", where.pool, "-ds", where.datastore, "-folder", where.folder]
        clone = shlex.join([str(self._at.govc), "vm.clone", *source, *place, "-on=false"])
        change, power = (shlex.join([str(self._at.govc), *words]) for words in (["vm.change"], ["vm.power", "-on"]))
        steps = f'{clone} "$name"; {change} -vm "$name" -e "guestinfo.hostname=$name"; {power} "$name"'
        return self._govc_loop(names, f"set -e; for name; do {steps}; done")

    def linked_community(self, names: Sequence[str]) -> Sample:
        """The module of community.vmware as a task with a loop."""
        where = self._vcenter
        options = {"name": "{{ item }}", "template": self._golden, "snapshot_src": _SNAPSHOT, "linked_clone": True}
        options |= {"state": "poweredon", "folder": where.folder, "datacenter": DATACENTER, "datastore": where.datastore}
        options |= {"esxi_hostname": where.host, "advanced_settings": [{"key": "guestinfo.hostname", "value": "{{ item }}"}]}
        return self._community_loop(names, {"community.vmware.vmware_guest": options, "loop": list(names)})
