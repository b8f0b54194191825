# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task tells: one entry a clone, the diff, the summary. Pure.

Of extraConfig and guestinfo only the names of the keys are told; their values may be secrets.
"""

from __future__ import annotations

import typing as t

from .. import _engine
from .._connector import names
from .._vsphere.addresses import Verdict, Word, vet, without_prefix
from .._vsphere.customization import DHCP
from .._vsphere.wake import is_own
from .facts import Existing, Nic, Parent
from .job import Standing
from .options import CloneOptions
from .plan import NicEdit, Step

# What the scripts of on_wake take for the clone's address.
_IPV4 = "guestinfo.ipv4"


def entries(standings: t.Sequence[Standing], options: CloneOptions) -> list[dict[str, t.Any]]:
    """The results of all clones; what they report is judged beside what the others do."""
    verdicts = vet([_word(standing) for standing in standings])
    return [entry(standing, options, verdict) for standing, verdict in zip(standings, verdicts, strict=True)]


def _word(standing: Standing) -> Word:
    """What is said of a clone's addresses.

    The pair of guestinfo is the user's word only where this task has just written it: the guest can change it.
    """
    request, vm = standing.step.request, standing.vm
    cards = request.customization.cards if request.customization is not None else ()
    given = [card.ip for card in cards if card.ip != DHCP]
    given += [request.config[_IPV4]] if standing.made and _IPV4 in request.config else []
    tools = tuple(vm.addresses()) if vm is not None else ()
    return Word(standing.step.name, told=tools, given=tuple(map(without_prefix, given)), tools=tools)


def entry(standing: Standing, options: CloneOptions, verdict: Verdict) -> dict[str, t.Any]:
    """The result of one clone.

    :param verdict: which of its addresses are taken for its own.

    ``ip`` is an address as the options ask for it, by family and NIC.
    ``action`` is created, updated, unchanged, removed, absent, rolled_back or failed; in check mode a change that would
    be made is told as if it had been, as Ansible's other modules do.
    """
    step, vm = standing.step, standing.vm
    told: dict[str, t.Any] = {
        "name": step.name,
        "action": standing.action,
        "changed": standing.changed,
        "seconds": standing.seconds,
        "calls": standing.calls,
        "moid": standing.moid,
    }
    if step.parent is not None:
        told[step.parent.role] = step.parent.path
    if step.placement is not None:
        place = step.placement
        told["folder"] = place.folder_path
        told["path"] = names.join([*names.split(place.folder_path), step.name])
        told["resource_pool"] = place.pool.name
    if vm is not None:
        told.update(_vm_facts(vm, verdict))
        told["ip"] = next(iter(_own(vm.addresses(options.ip_family, options.ip_nic), verdict)), None)
        told["refused"] = [refusal.told() for refusal in verdict.refusals]
    if standing.customized is not None:
        told["customized"] = standing.customized
    if standing.ready is not None:
        told["ready"] = standing.ready
    if options.wait_for_wake:
        told["wake"] = standing.wake
    told["guestinfo"] = _guestinfo(step, vm)
    told["differences"] = [item.told() for item in step.differences]
    told["warnings"] = standing.warnings
    if standing.error is not None:
        told["error"] = standing.error.as_result()
    return told


def failure(standing: Standing) -> dict[str, t.Any]:
    """A failed clone in short, for who reads only the end of the output."""
    return {"name": standing.step.name, **(standing.error.as_result() if standing.error else {})}


def parent(known: Parent) -> dict[str, t.Any]:
    """What was cloned, for the result."""
    return {
        "name": known.name,
        "moid": known.moid,
        "path": known.path,
        "instance_uuid": known.instance_uuid,
        "host": known.host_name,
    }


def _guestinfo(step: Step, vm: Existing | None) -> list[str]:
    """The names of the guestinfo keys. A key that was just written counts, though the VM was read without its extraConfig."""
    removed = step.kind in ("destroy", "nothing")
    keys = {*(step.config if not removed else ()), *(step.existing.extra_config if step.existing else ())}
    keys |= set(vm.extra_config if vm else ())
    return sorted(key for key in keys if key.startswith("guestinfo.") and not is_own(key))


def diff(steps: t.Iterable[Step]) -> dict[str, str]:
    """Ansible's ``diff`` of what the steps change."""
    before, after = [], []
    for step in steps:
        old, new = _diff_lines(step)
        before += old
        after += new
    return _engine.diff(before, after)


def _diff_lines(step: Step) -> tuple[list[str], list[str]]:
    head = f"{step.name}:\n"
    if step.kind == "create" and step.placement is not None:
        place = step.placement
        lines = [head, f"  folder: {place.folder_path}\n", f"  resource_pool: {place.pool.path}\n"]
        lines += [f"  datastore: {step.request.datastore}\n"] if step.request.datastore else []
        lines += ["  customization: done\n"] if step.customize else []
        lines += [f"  {_nic_line(edit)}\n" for edit in step.nics]
        lines += [f"  {key}: (set)\n" for key in sorted(step.config)]
        return [], lines
    if step.kind == "destroy" and step.existing is not None:
        return [head, f"  moid: {step.existing.moid}\n", f"  power_state: {step.existing.power_state}\n"], []
    return _engine.changes(head, step.differences) if step.kind == "update" else ([], [])


def _nic_line(edit: NicEdit) -> str:
    parts = [edit.network.name if edit.network else edit.nic.network or "the parent's network", edit.mac or "automatic MAC"]
    if edit.connected is not None:
        parts.append("connected" if edit.connected else "not connected")
    return f"{edit.nic.label}: {', '.join(parts)}"


def _own(addresses: t.Iterable[str], verdict: Verdict) -> list[str]:
    return [address for address in addresses if address in verdict.addresses]


def _vm_facts(vm: Existing, verdict: Verdict) -> dict[str, t.Any]:
    nics = [_nic_facts(nic, vm, verdict) for nic in vm.nics]
    facts: dict[str, t.Any] = {
        "moid": vm.moid or None,
        "instance_uuid": vm.instance_uuid or None,
        "bios_uuid": vm.bios_uuid or None,
        "host": vm.host_name or None,
        "datastore": ", ".join(vm.datastore_names),
        "power_state": vm.power_state,
        "nics": nics,
        "ip_addresses": list(verdict.addresses),
    }
    return {**facts, "resource_pool": vm.pool_name} if vm.pool_name else facts


def _nic_facts(nic: Nic, vm: Existing, verdict: Verdict) -> dict[str, t.Any]:
    return {
        "label": nic.label,
        "mac": nic.mac or None,
        "network": nic.network,
        "connected": nic.connected,
        "ip_addresses": _own(vm.addresses(label=nic.label), verdict),
    }
