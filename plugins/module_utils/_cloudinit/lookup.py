# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function costs a constant number of calls for any number of VMs."""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.find import find_each, path_in, unreadable
from .._connector.props import Row, collect
from . import api, keys
from .facts import Machine

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session


def find_machines(
    session: Session, selectors: t.Sequence[Selector], datacenter: str | None, more_keys: t.Iterable[str] = ()
) -> list[Machine]:
    """The VMs that the selectors name, in their order.

    :param more_keys: of extraConfig, to read besides our own.
    :raises NotFound: one of them fits no VM.
    :raises InvalidOption: two of them fit the same one.
    """
    moids = [ref._GetMoId() for ref in find_each(session, selectors, datacenter, option="vms")]
    found = read_machines(session, moids, more_keys)
    for moid, selector in zip(moids, selectors, strict=True):
        if moid not in found:
            raise unreadable(selector)
    return [found[moid] for moid in moids]


def read_machines(session: Session, moids: t.Sequence[str], more_keys: t.Iterable[str] = ()) -> dict[str, Machine]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    wanted = api.machine_paths({*keys.DATA, *keys.REPORTS, *more_keys})
    roots = [api.vm(session, moid) for moid in moids]
    rows = {row.moid: row for row in collect(session, roots, wanted, api.AROUND_MACHINE)}
    return {moid: _machine(rows, rows[moid]) for moid in moids if moid in rows and rows[moid].get("config.instanceUuid")}


def _machine(rows: t.Mapping[str, Row], vm: Row) -> Machine:
    return Machine(
        moid=vm.moid,
        name=names.unescape(vm.get("name") or ""),
        path=path_in(rows, vm.moid),
        instance_uuid=vm.get("config.instanceUuid") or "",
        power_state=str(vm.get(api.POWER_STATE)),
        running_since=str(vm.get(api.BOOT_TIME) or ""),
        template=bool(vm.get("config.template")),
        tools=vm.get("guest.toolsRunningStatus") == "guestToolsRunning",
        addresses=api.tools_addresses(vm.get(api.GUEST_NET)),
        config=api.config_in(vm.values),
    )
