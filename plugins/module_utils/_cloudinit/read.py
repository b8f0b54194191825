# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function costs a constant number of calls for any number
of VMs.
"""

from __future__ import annotations

import functools
import typing as t

from .._connector import versions
from .._connector.find import TO_ANCESTORS, find_each
from .._connector.props import Row, collect
from .._connector.pyvmomi import vim
from .._errors import VforgeError
from .._vsphere.addresses import guest_nics, usable
from .._vsphere.vm import (
    ABOVE,
    BASICS,
    DEVICES,
    basics,
    config_in,
    config_paths,
    is_readable,
    nics_in,
    reference,
)
from . import keys
from .model import Machine
from .networks import Card

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session

VIRTUAL_MACHINE = vim.VirtualMachine

POWER_STATE = "runtime.powerState"

# What VMware Tools report of the guest's network.
GUEST_NET = "guest.net"

# When it was last powered on; neither a resume nor a reboot of its guest changes it.
_BOOT_TIME = "runtime.bootTime"
_TOOLS = "guest.toolsRunningStatus"
_OVF_TRANSPORT = "config.vAppConfig.ovfEnvironmentTransport"


def require_customization(session: Session) -> None:
    """Make sure that this vCenter carries data for cloud-init in a customization, which came with API 7.0.3.

    :raises NotSupported: on an older one.
    """
    hint = "It came with vCenter 7.0.3. Use transport guestinfo."
    versions.require(session, "7.0.3", "knows no customization by cloud-init", hint)


def find_machines(
    session: Session,
    selectors: t.Sequence[Selector],
    datacenter: str | None,
    more_keys: t.Iterable[str] = (),
    *,
    cards: bool = False,
) -> list[Machine | VforgeError]:
    """The VMs that the selectors name, in their order; in the place of one of several that is not found, why not.

    :param more_keys: of extraConfig, to read besides our own.
    :param cards: whether their NICs are read, which are the largest part of an answer.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    read = functools.partial(read_machines, session, more_keys=more_keys, cards=cards)
    return find_each(session, selectors, datacenter, read)


def read_machines(
    session: Session,
    moids: t.Sequence[str],
    more_keys: t.Iterable[str] = (),
    *,
    cards: bool = False,
) -> dict[str, Machine]:
    """What is known of these VMs, by moid; one that cannot be read is left out."""
    wanted = _machine_paths({*keys.DATA, *keys.REPORTS, *more_keys}, cards=cards)
    roots = [reference(session, moid) for moid in moids]
    rows = {row.moid: row for row in collect(session, roots, wanted, TO_ANCESTORS)} if roots else {}
    return {moid: _machine(rows, rows[moid]) for moid in moids if is_readable(rows.get(moid))}


def tools_addresses(net: t.Iterable[t.Any] | None) -> tuple[str, ...]:
    """The addresses that VMware Tools report for the VM's own cards.

    vCenter finds the card by the MAC address; what has no card, such as a bridge within the guest, has no key.
    """
    return tuple(usable(address for nic in guest_nics(net or ()) if nic.key is not None for address in nic.addresses))


def _machine_paths(wanted: t.Iterable[str], *, cards: bool) -> dict[type, tuple[str, ...]]:
    """What is read of VMs and of what they lie in."""
    more = (
        _BOOT_TIME,
        _TOOLS,
        GUEST_NET,
        _OVF_TRANSPORT,
        *([DEVICES] if cards else []),
        *config_paths(wanted),
    )
    return {**ABOVE, VIRTUAL_MACHINE: (*BASICS, *more)}


def _machine(rows: t.Mapping[str, Row], row: Row) -> Machine:
    return Machine(
        **basics(rows, row),
        running_since=str(row.get(_BOOT_TIME) or ""),
        tools=row.get(_TOOLS) == "guestToolsRunning",
        addresses=tools_addresses(row.get(GUEST_NET)),
        cards=tuple(Card(nic.label, nic.mac) for nic in nics_in(row.get(DEVICES) or (), running=False)),
        ovf_transport=tuple(row.get(_OVF_TRANSPORT) or ()),
        config=config_in(row.values),
    )
