# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is, read from vCenter: two calls."""

from __future__ import annotations

import typing as t

from .._connector.find import TO_ANCESTORS, find_vm, unreadable
from .._connector.props import Route, collect
from .._connector.pyvmomi import vim
from .._vsphere import hardware_version
from .._vsphere.disks import disks_in
from .._vsphere.snapshots import snapshots_in
from .._vsphere.vm import ABOVE, BASICS, DEVICES, basics, config_in, config_paths, is_readable, moid_of, row_of
from .model import GUEST_KEYS, NodeTemplate

if t.TYPE_CHECKING:
    from .._connector.session import Session
    from .model import Options

_PRODUCTS, _PROPERTIES = "config.vAppConfig.product", "config.vAppConfig.property"
_TRANSPORTS = "config.vAppConfig.ovfEnvironmentTransport"
_WANTED: dict[type, tuple[str, ...]] = {
    **ABOVE,
    vim.VirtualMachine: (
        *BASICS,
        DEVICES,
        "config.version",
        "runtime.host",
        "snapshot",
        _PRODUCTS,
        _PROPERTIES,
        _TRANSPORTS,
        *config_paths(GUEST_KEYS),
    ),
    vim.HostSystem: ("parent",),
    vim.ComputeResource: ("resourcePool",),
}
_ROUTES = (
    *TO_ANCESTORS,
    Route("vm-host", vim.VirtualMachine, "runtime.host", ("host-compute",)),
    Route("host-compute", vim.HostSystem, "parent"),
)


def find(session: Session, options: Options) -> NodeTemplate:
    """The template that the options name.

    :raises NotFound: it is not there.
    :raises Ambiguous: there are several.
    """
    ref = find_vm(session, options.selector, options.datacenter)
    return read(session, ref, options)


def read(session: Session, ref: t.Any, options: Options) -> NodeTemplate:
    """What a template is: one call.

    :raises NotFound: it is gone.
    """
    rows = {row.moid: row for row in collect(session, [ref], _WANTED, _ROUTES)}
    row = rows.get(moid_of(ref))
    if not is_readable(row):
        raise unreadable(options.selector)
    host = row_of(rows, row.get("runtime.host"))
    compute = row_of(rows, host.get("parent")) if host is not None else None
    pairs = config_in(row.values)
    return NodeTemplate(
        **basics(rows, row),
        snapshots=snapshots_in(row.get("snapshot")),
        hardware=hardware_version.number_of(str(row.get("config.version") or "")),
        vapp=any(row.get(path) for path in (_PRODUCTS, _PROPERTIES, _TRANSPORTS)),
        guest_keys=tuple(key for key in GUEST_KEYS if pairs.get(key)),
        host=moid_of(row.get("runtime.host")),
        pool=moid_of(compute.get("resourcePool")) if compute is not None else "",
        disks=len(disks_in(row.get(DEVICES))),
    )
