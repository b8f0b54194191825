# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: each function is one call for any number of VMs or snapshots."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_each, readable
from .._connector.props import Row, collect, read
from .._connector.pyvmomi import vim
from .._vsphere import snapshots
from .._vsphere.disks import Disk, disks_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, is_readable, reference
from .options import Vm

if t.TYPE_CHECKING:
    from .._connector.find import Selector
    from .._connector.session import Session
    from .._errors import VforgeError

_VM: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "snapshot",
        "runtime.consolidationNeeded",
        "guest.toolsRunningStatus",
    ),
}


def find(session: Session, selectors: t.Sequence[Selector], datacenter: str | None) -> list[Vm | VforgeError]:
    """The VMs that the selectors name, in their order.

    :returns: in the place of one of several that cannot be found, why not.
    :raises VforgeError: nothing can be found, or two selectors fit the same VM.
    """
    found = find_each(session, selectors, datacenter, option="vms")
    refs = [reference(session, moid) for moid in found if isinstance(moid, str)]
    rows = {row.moid: row for row in collect(session, refs, _VM, TO_ANCESTORS)}
    known = {moid: _vm(rows, row) for moid, row in rows.items() if is_readable(row)}
    return [known[each] if isinstance(each, str) else each for each in readable(found, selectors, known)]


def _vm(rows: t.Mapping[str, Row], row: Row) -> Vm:
    return Vm(
        **basics(rows, row),
        disks=disks_in(row.get(DEVICES)),
        snapshots=snapshots_in(row.get("snapshot")),
        consolidate=bool(row.get("runtime.consolidationNeeded")),
        tools=row.get("guest.toolsRunningStatus") == "guestToolsRunning",
    )


def read_snapshot_disks(session: Session, moids: t.Sequence[str]) -> dict[str, tuple[Disk, ...]]:
    """The disks as snapshots have them, by the moids of the snapshots; what is gone is left out."""
    refs = [snapshots.reference(session, moid) for moid in moids]
    rows = read(session, refs, vim.vm.Snapshot, (DEVICES,))
    return {moid: disks_in(row.get(DEVICES)) for moid, row in rows.items()}
