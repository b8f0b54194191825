# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task returns: one entry a clone, the counts, and the diff. Pure.

Of extraConfig and guestinfo only the names of the keys are in it; their values may be secrets.
"""

from __future__ import annotations

import collections
import typing as t

from .. import _engine
from .._connector import names
from .._vm_stages import ACTIONS, CREATE
from .._vsphere.addresses import ReportedAddresses, UsedAddresses, refusals, vet, without_prefix
from .._vsphere.vm import Nic
from .._vsphere.wake import is_own
from .model import CloneOptions, Existing, LinkedOptions, Parent
from .plan import CUSTOMIZE, PUBLISH, Change, Create, NicEdit, Plan, Publish, Remove

if t.TYPE_CHECKING:
    from .task import CloneItem

_IPV4 = "guestinfo.ipv4"

# What was done to a clone, by the step that did it.
_ACTIONS = {**ACTIONS, CUSTOMIZE: "customized", PUBLISH: "published"}


def result(items: t.Sequence[CloneItem], options: CloneOptions) -> dict[str, t.Any]:
    """``changed``, ``clones`` (one entry each), ``refusals``, ``counts`` and ``diff``.

    In check mode a change that would be made is listed as if it had been, as Ansible's other
    modules do.
    """
    clones = entries(items, options)
    return {
        "changed": any(clone["changed"] for clone in clones),
        "clones": clones,
        "refusals": refusals(clones),
        "counts": dict(collections.Counter(clone["action"] for clone in clones)),
        "diff": diff([item.plan for item in items if item.error is None]),
    }


def entries(items: t.Sequence[CloneItem], options: CloneOptions) -> list[dict[str, t.Any]]:
    """The entries of all clones; what they report is judged beside what the others do."""
    all_used = vet([_reported(item) for item in items])
    return [_entry(item, options, used) for item, used in zip(items, all_used, strict=True)]


def _reported(item: CloneItem) -> ReportedAddresses:
    """What is said of a clone's addresses.

    The pair of guestinfo is the user's word only where this task has just written it: the guest can
    change it.
    """
    request, vm = item.plan.request, item.vm
    given = request.customization.addresses() if request.customization is not None else []
    given += [request.config[_IPV4]] if CREATE in item.done and _IPV4 in request.config else []
    tools = tuple(vm.addresses()) if vm is not None else ()
    return ReportedAddresses(item.name, reported=tools, given=tuple(map(without_prefix, given)), tools=tools)


def _entry(item: CloneItem, options: CloneOptions, used: UsedAddresses) -> dict[str, t.Any]:
    """The entry of one clone.

    :param used: which of its addresses are taken for its own.

    ``ip`` is an address as the options ask for it, by family and NIC.
    """
    planned, vm = item.plan, item.vm
    entry: dict[str, t.Any] = {
        "name": item.name,
        "action": item.action,
        "actions": [] if item.rolled_back else item.actions(_ACTIONS),
        "changed": item.changed,
        "seconds": item.seconds,
        "calls": item.calls,
        "moid": item.moid or None,
    }
    if planned.parent is not None:
        entry[planned.parent.role] = planned.parent.path
    if planned.place is not None:
        folder = planned.place.folder_path
        entry["folder"] = folder
        entry["path"] = names.join([*names.split(folder), item.name])
        entry["resource_pool"] = planned.place.pool.name
    if vm is not None:
        entry.update(_of_vm(vm, used))
        own = _own(vm.addresses(options.ip_family, options.ip_nic), used)
        entry["ip"] = next(iter(own), None)
        entry["refused"] = [refusal.as_result() for refusal in used.refusals]
    if item.customized is not None:
        entry["customized"] = item.customized
    if item.ready is not None:
        entry["ready"] = item.ready
    elif isinstance(options, LinkedOptions) and options.as_template:
        # In check mode nobody waits for other runs: what is no template yet is not ready.
        entry["ready"] = bool(vm and vm.template)
    if options.wait_for_wake:
        entry["wake"] = item.wake
    entry["guestinfo"] = _guestinfo(planned, vm)
    entry["differences"] = [difference.as_result() for difference in planned.differences]
    entry["warnings"] = item.warnings
    if item.error is not None:
        entry["error"] = item.error.as_result()
    return entry


def source(parent: Parent) -> dict[str, t.Any]:
    """What was cloned, for the result."""
    return {**parent.naming, "host": parent.host_name}


def _guestinfo(planned: Plan, vm: Existing | None) -> list[str]:
    """The names of the guestinfo keys.

    A key that was just written counts, though the VM was read without its extraConfig.
    """
    before = planned.existing.extra_config if planned.existing else ()
    keys = {*planned.written, *before, *(vm.extra_config if vm else ())}
    return sorted(key for key in keys if key.startswith("guestinfo.") and not is_own(key))


def diff(plans: t.Iterable[Plan]) -> dict[str, str]:
    """Ansible's ``diff`` of what the plans change."""
    before, after = [], []
    for planned in plans:
        old, new = _diff_lines(planned)
        before += old
        after += new
    return _engine.diff(before, after)


def _diff_lines(planned: Plan) -> tuple[list[str], list[str]]:
    head = f"{planned.name}:\n"
    if isinstance(planned, Create):
        return [], [head, *(f"  {line}\n" for line in _of_new(planned))]
    if isinstance(planned, Remove):
        vm = planned.existing
        return [head, f"  moid: {vm.moid}\n", f"  power_state: {vm.power_state}\n"], []
    if isinstance(planned, (Change, Publish)) and planned.steps:
        return _engine.changes(head, planned.differences)
    return [], []


def _of_new(planned: Create) -> list[str]:
    """What the diff says of a clone that is made."""
    place, request = planned.place, planned.request
    lines = [f"folder: {place.folder_path}", f"resource_pool: {place.pool.path}"]
    lines += [f"host: {request.host}"] if request.host else []
    lines += [f"datastore: {request.datastore}"] if request.datastore else []
    lines += [f"{setting.option}: {value}" for setting, value in request.settings.items()]
    lines += [] if request.powered_on else ["power_state: poweredOff"]
    lines += ["customization: done"] if planned.customize else []
    lines += [_nic_line(edit) for edit in place.nics]
    return [*lines, *(f"{key}: (set)" for key in sorted(planned.written))]


def _nic_line(edit: NicEdit) -> str:
    network = edit.network.name if edit.network else edit.nic.network or "the parent's network"
    parts = [network, edit.mac or "automatic MAC"]
    if edit.connected is not None:
        parts.append("connected" if edit.connected else "not connected")
    return f"{edit.nic.label}: {', '.join(parts)}"


def _own(addresses: t.Iterable[str], used: UsedAddresses) -> list[str]:
    return [address for address in addresses if address in used.addresses]


def _of_vm(vm: Existing, used: UsedAddresses) -> dict[str, t.Any]:
    entry: dict[str, t.Any] = {
        "moid": vm.moid or None,
        "instance_uuid": vm.instance_uuid or None,
        "bios_uuid": vm.bios_uuid or None,
        "host": vm.place.host_name or None,
        "datastore": ", ".join(vm.place.datastore_names),
        "power_state": vm.power_state,
        "nics": [_of_nic(nic, vm, used) for nic in vm.nics],
        "ip_addresses": list(used.addresses),
    }
    return {**entry, "resource_pool": vm.place.pool_name} if vm.place.pool_name else entry


def _of_nic(nic: Nic, vm: Existing, used: UsedAddresses) -> dict[str, t.Any]:
    return {
        "label": nic.label,
        "mac": nic.mac or None,
        "network": nic.network,
        "connected": nic.connected,
        "ip_addresses": _own(vm.addresses(label=nic.label), used),
    }
