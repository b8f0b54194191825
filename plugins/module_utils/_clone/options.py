# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of an instant clone task, checked and typed. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.guest import GuestCredentials
from .request import CloneRequest, parse


@dataclasses.dataclass(frozen=True)
class CloneOptions:
    """What one task is asked to do.

    :ivar parent: of the clones that name none of their own. Without any, which is only for ``absent``, a clone of any parent
        may be removed.
    :ivar datacenter: name or path of the datacenter in which the parent is looked for.
    :ivar timeout: seconds for all of the work, the lookup included.
    :ivar ip_nic: label of the NIC whose address is waited for; None for any.
    :ivar credentials: of the guests; None only where no guest is customized.
    :ivar wait_for_wake: whether the end of the scripts that clones run when they wake is waited for.
    """

    state: str
    requests: tuple[CloneRequest, ...]
    parent: Selector | None
    datacenter: str | None
    parallel: int
    timeout: int
    wait_for_ip: bool
    ip_family: str
    ip_nic: str | None
    on_error: str
    force: bool
    credentials: GuestCredentials | None = None
    wait_for_wake: bool = False

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> CloneOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the clone.
        """
        state, parent = params["state"], params.get("parent")
        requests = tuple(parse(params))
        orphans = [request for request in requests if request.parent is None] if not parent else []
        if state == "present" and orphans:
            raise InvalidOption("The option parent is not set.", hint="Name the running VM to clone.", option="parent")
        _require_whole_folders(orphans)
        credentials = GuestCredentials.from_params(params)
        if state == "present" and credentials is None and any(request.customization for request in requests):
            raise InvalidOption(
                "The option guest_username is not set.",
                hint="Customizing works in the guest: set guest_username and guest_password.",
                option="guest_username",
            )
        selector = Selector.from_params(parent, "parent") if parent else None
        return cls(**common_fields(params, requests, selector), credentials=credentials, wait_for_wake=params["wait_for_wake"])

    @property
    def parents(self) -> list[Selector]:
        """What names the parents of the task, each once; that of the task first, be it used or not."""
        asked = [self.parent, *(request.parent for request in self.requests)]
        return list(dict.fromkeys(selector for selector in asked if selector is not None))


def common_fields(
    params: t.Mapping[str, t.Any], requests: tuple[CloneRequest, ...], parent: Selector | None
) -> dict[str, t.Any]:
    """What the options of every way of cloning have in common."""
    return {
        "state": params["state"],
        "requests": requests,
        "parent": parent,
        "datacenter": params.get("datacenter"),
        "parallel": params["parallel"],
        "timeout": params["timeout"],
        "wait_for_ip": params["wait_for_ip_address"],
        "ip_family": params["ip_family"],
        "ip_nic": params.get("ip_nic") or None,
        "on_error": params["on_error"],
        "force": params["force"],
    }


def _require_whole_folders(requests: t.Iterable[CloneRequest]) -> None:
    for request in requests:
        if not (request.folder or "").startswith("/"):
            raise InvalidOption(
                f"clone {request.name!r}: without a parent, folder must be a whole path.",
                hint="Write it as /Datacenter/vm/folder, or set parent.",
                option="folder",
            )
