# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run tasks that deliver data for cloud-init against a simulator, and look at it from outside."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit import flow, info
from ansible_collections.vforge.vsphere.plugins.module_utils._cloudinit.options import CloudOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import ConnectionOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.session import Session
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import PartialFailure, VforgeError
from ansible_collections.vforge.vsphere.plugins.modules.cloud_init_guestinfo import argument_spec
from ansible_collections.vforge.vsphere.plugins.modules.cloud_init_guestinfo_info import argument_spec as info_spec

ROUNDS = ("WaitForUpdatesEx", "ContinueRetrievePropertiesEx")


def validated(spec: dict[str, t.Any], **given: t.Any) -> dict[str, t.Any]:
    """Parameters as AnsibleModule would hand them over: with defaults, types converted."""
    answer = ArgumentSpecValidator(spec).validate(given)
    assert not answer.error_messages, answer.error_messages
    return t.cast("dict[str, t.Any]", answer.validated_parameters)


def options(**given: t.Any) -> CloudOptions:
    """Typed options; the VM is web-1 unless others are given."""
    named = {} if "vms" in given or "vm" in given else {"vm": {"name": "web-1"}}
    return CloudOptions.from_params(validated(argument_spec(), **{**named, **given}))


@dataclasses.dataclass(frozen=True)
class Ran:
    """A task that ran: what it returned, the error that it raised, and what the server counted by method."""

    result: dict[str, t.Any]
    error: VforgeError | None
    calls: dict[str, int]

    @property
    def vms(self) -> list[dict[str, t.Any]]:
        """The entries."""
        return t.cast("list[dict[str, t.Any]]", self.result["vms"])

    @property
    def one(self) -> dict[str, t.Any]:
        """The entry of the only VM."""
        assert len(self.vms) == 1
        return self.vms[0]

    @property
    def total(self) -> int:
        """Calls in the budget."""
        return sum(count for method, count in self.calls.items() if method not in ROUNDS)


class Cloud:
    """Runs tasks against one simulator."""

    def __init__(self, sim: t.Any) -> None:
        self.sim = sim
        self._connection = ConnectionOptions(
            hostname=sim.host,
            port=sim.port,
            username=sim.username,
            password=sim.password,
            ca_path=sim.ca,
            session_cache=False,
        )
        self.warnings: list[str] = []

    def run(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that must succeed."""
        ran = self.attempt(check=check, **given)
        if ran.error is not None:
            raise ran.error
        return ran

    def attempt(self, *, check: bool = False, **given: t.Any) -> Ran:
        """Run one task that may fail."""
        return self._ran(lambda session: flow.run(session, options(**given), check=check))

    def info(self, **given: t.Any) -> Ran:
        """Run one task of the information module."""
        asked = info.InfoOptions.from_params(validated(info_spec(), **given))
        ran = self._ran(lambda session: info.run(session, asked))
        if ran.error is not None:
            raise ran.error
        return ran

    def _ran(self, work: t.Callable[[Session], dict[str, t.Any]]) -> Ran:
        self.sim.reset_calls()
        self.warnings.clear()
        result: dict[str, t.Any] = {}
        failure: VforgeError | None = None
        try:
            with Session(self._connection, self.warnings.append) as session:
                result = work(session)
        except PartialFailure as error:
            result, failure = error.result, error
        except VforgeError as error:
            failure = error
        return Ran(result, failure, self.sim.calls()["by_method"])

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
