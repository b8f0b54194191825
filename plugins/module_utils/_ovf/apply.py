# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls for templates made of OVF packages.

What vCenter makes of a descriptor, and what changes something.
"""

from __future__ import annotations

import hashlib
import re
import ssl
import typing as t

from .._connector import faults, names, tasks, versions
from .._connector.props import collect
from .._connector.pyvmomi import vim
from .._errors import InvalidOption
from .._vsphere.compute import Datastore, Network, Pool
from .model import Deployment, Placement
from .read import TO_TASKS, folder, vm

if t.TYPE_CHECKING:
    from .._connector.session import Session


def _pairs(config: t.Mapping[str, str]) -> list[t.Any]:
    return [vim.option.OptionValue(key=key, value=value) for key, value in config.items()]


_NETWORKS = {
    "standard": vim.Network,
    "distributed": vim.dvs.DistributedVirtualPortgroup,
    "opaque": vim.OpaqueNetwork,
}


def network_reference(session: Session, network: Network) -> t.Any:
    """A reference of the network's own type; nothing is sent."""
    return session.reference(_NETWORKS[network.kind], network.moid)


def pool_reference(session: Session, pool: Pool) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.ResourcePool, pool.moid)


def datastore_reference(session: Session, datastore: Datastore) -> t.Any:
    """A reference; nothing is sent."""
    return session.reference(vim.Datastore, datastore.moid)


def create_import_spec(
    session: Session,
    text: str,
    name: str,
    place: Placement,
    wanted: Deployment,
    values: t.Mapping[str, str],
) -> t.Any:
    """``CreateImportSpec``: what vCenter makes of the descriptor. Changes nothing.

    :param values: of the properties that the descriptor lets users set, by their keys.
    """
    params = vim.OvfManager.CreateImportSpecParams(
        locale="",
        entityName=names.escape(name),
        deploymentOption=wanted.option or "",
        hostSystem=session.reference(vim.HostSystem, place.host.moid),
        networkMapping=[
            vim.OvfManager.NetworkMapping(name=offered, network=network_reference(session, network))
            for offered, network in place.networks.items()
        ],
        propertyMapping=[vim.KeyValue(key=key, value=value) for key, value in values.items()],
        diskProvisioning=wanted.provisioning,
    )
    pool = pool_reference(session, place.pool)
    datastore = datastore_reference(session, place.datastore)
    manager = session.manager("ovfManager")
    return session.retrying(lambda: manager.CreateImportSpec(text, pool, datastore, params))


def messages(found: t.Iterable[t.Any]) -> list[str]:
    """Errors or warnings of the descriptor, as vCenter words them."""
    return [(fault.msg or "").strip() or faults.fault_name(fault) for fault in found or ()]


def set_up(
    spec: t.Any,
    name: str,
    marks: t.Mapping[str, str],
    wanted: Deployment,
    policy: str | None,
) -> None:
    """Put into an import what comes into being together with the name.

    The marks, and what the options ask for.
    """
    config = spec.configSpec
    config.name = names.escape(name)
    config.extraConfig = [*(config.extraConfig or []), *_pairs(marks)]
    if wanted.hardware_version:
        config.version = wanted.hardware_version
    if wanted.annotation is not None:
        config.annotation = wanted.annotation
    if policy:
        profile = vim.vm.DefinedProfileSpec(profileId=policy)
        config.vmProfile = [profile]
        for change in config.deviceChange or ():
            if isinstance(change.device, vim.vm.device.VirtualDisk):
                change.profile = [profile]


def set_hidden(spec: t.Any, values: t.Mapping[str, str]) -> None:
    """Put values into an import whose properties the descriptor does not let users set.

    vCenter takes none for them with the descriptor; in what it makes of it, each is an entry like
    any other.

    :raises InvalidOption: vCenter lists no such property.
    """
    config = spec.configSpec.vAppConfig
    entries = [entry.info for entry in (config.property if config is not None else None) or ()]
    left = dict(values)
    for info in entries:
        key = ".".join(part for part in (info.classId, info.id, info.instanceId) if part)
        if key in left:
            info.userConfigurable, info.value = True, left.pop(key)
    if left:
        raise InvalidOption(
            f"vCenter makes no property {names.listing(sorted(left))} of the descriptor.",
            option="properties",
        )


def import_vapp(session: Session, spec: t.Any, place: Placement, folder_moid: str) -> t.Any:
    """``ImportVApp``; the lease.

    The name is taken by it, or DuplicateName comes, here or from the lease.
    """
    pool = pool_reference(session, place.pool)
    host = session.reference(vim.HostSystem, place.host.moid)
    return session.retrying(lambda: pool.ImportVApp(spec, folder(session, folder_moid), host))


def source_file(
    device_id: str,
    url: str,
    member: str | None,
    size: int,
    headers: t.Mapping[str, str],
    *,
    create: bool,
) -> t.Any:
    """What a host is to fetch.

    :param create: whether it makes the file, as the item of the import specification says.
    """
    return vim.HttpNfcLease.SourceFile(
        targetDeviceId=device_id,
        url=url,
        memberName=member or "",
        create=create,
        httpHeaders=[vim.KeyValue(key=name, value=value) for name, value in headers.items()],
        size=size,
    )


def pin(source: t.Any, certificate: bytes, api_version: str) -> None:
    """Say which certificate the server of a file has, as the host is to expect it.

    From API 9.0 on it is the certificate itself: vSphere refuses SHA-1 thumbprints since then. A
    pyVmomi before 9.0 does not have the property.

    :param source: as ``source_file`` makes it.
    :param api_version: of the vCenter.
    """
    if versions.at_least(api_version, "9.0") and hasattr(source, "sslCertificate"):
        source.sslCertificate = ssl.DER_cert_to_PEM_cert(certificate)
    else:
        digest = hashlib.sha1(certificate, usedforsecurity=False).hexdigest().upper()
        source.sslThumbprint = ":".join(re.findall("..", digest))


def start_reconfigure(
    session: Session,
    moid: str,
    version: str,
    marks: t.Mapping[str, str],
    changes: t.Sequence[t.Any] = (),
) -> t.Any:
    """``ReconfigVM_Task``.

    It fails with ConcurrentAccess when the VM is not of this change version any more.

    :param version: empty where vCenter does not say it.
    """
    spec = vim.vm.ConfigSpec(
        changeVersion=version or None,
        extraConfig=_pairs(marks),
        deviceChange=list(changes),
    )
    return vm(session, moid).ReconfigVM_Task(spec)


def refresh_storage(session: Session, moid: str) -> None:
    """``RefreshStorageInfo``: vCenter reads the sizes of a VM's files again.

    Done when it returns.
    """
    session.retrying(lambda: vm(session, moid).RefreshStorageInfo())


def cancel_tasks(session: Session, moid: str) -> bool:
    """``CancelTask`` for the tasks of a VM that let themselves be cancelled.

    Whether there was one.
    """
    found = collect(
        session,
        [vm(session, moid)],
        {vim.Task: ("info.state", "info.cancelable")},
        TO_TASKS,
    )
    cancelable = [row for row in found if row.get("info.cancelable")]
    due = [row.ref for row in cancelable if str(row.get("info.state")) in ("running", "queued")]
    for ref in due:
        tasks.cancel(session, ref._GetMoId())
    return bool(due)


def mark_as_template(session: Session, moid: str) -> None:
    """``MarkAsTemplate``, done when it returns."""
    vm(session, moid).MarkAsTemplate()


def start_rename(session: Session, moid: str, name: str) -> t.Any:
    """``Rename_Task``."""
    return vm(session, moid).Rename_Task(names.escape(name))


def start_destroy(session: Session, moid: str) -> t.Any:
    """``Destroy_Task``: the VM and the files that are its alone."""
    return vm(session, moid).Destroy_Task()
