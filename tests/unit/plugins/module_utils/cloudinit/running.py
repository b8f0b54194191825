# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks that deliver data for cloud-init against a simulator, and look at it from outside."""

from __future__ import annotations

import base64
import gzip
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import info, task
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.model import CloudOptions
from ansible_collections.vforge.vsphere.plugins.modules.cloud_init_guestinfo import argument_spec
from ansible_collections.vforge.vsphere.plugins.modules.cloud_init_guestinfo_info import argument_spec as info_spec
from ansible_collections.vforge.vsphere.tests.unit.plugins.accepted import accepted
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work, succeeded


def validated(spec: dict[str, t.Any], **given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over: with defaults, types converted."""
    return accepted(spec, given)


def options(**given: t.Any) -> CloudOptions:
    """Typed options; the VM is web-1 unless others are given."""
    named = {} if "vms" in given or "vm" in given else {"vm": {"name": "web-1"}}
    return CloudOptions.from_params(validated(argument_spec(), **{**named, **given}))


class Cloud(Runner):
    """Runs tasks against one simulator; ``warnings`` has those of the last one."""

    module = "cloud_init_guestinfo"

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of cloud_init_guestinfo."""
        return lambda session: task.run(session, options(**given), check=check)

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module."""
        asked = info.InfoOptions.from_params(validated(info_spec(), **given))
        ran = self.ran(lambda session: info.run(session, asked))
        return succeeded(self.documented(ran, "cloud_init_guestinfo_info"))

    def ran(self, work: Work, before: t.Callable[[], None] = lambda: None) -> Ran:
        """As ever, with warnings of its own."""
        self.warnings.clear()
        return super().ran(work, before)

    def config(self, name: str) -> dict[str, str]:
        """A VM's extraConfig, as the simulator tells."""
        return t.cast("dict[str, str]", self.sim.vm(name)["extra_config"])

    def delivered(self, name: str, kind: str) -> str | None:
        """What a VM has of one kind, unpacked here and not by the code under test."""
        config = self.config(name)
        value, encoding = config.get(f"guestinfo.{kind}"), config.get(f"guestinfo.{kind}.encoding")
        if value is None or encoding is None:
            return value
        data = base64.b64decode(value, validate=True) if encoding.strip() else value.encode()
        return (gzip.decompress(data) if encoding == "gzip+base64" else data).decode()
