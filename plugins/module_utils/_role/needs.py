# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which privileges each module and each flow needs.

This is the source of the guide on privileges and of what ``vcenter_role`` puts into a role. The
notes of the modules say the same, which a test holds equal; another runs each module as a user who
has what stands here and no more.
"""

from __future__ import annotations

import typing as t


class Need(t.NamedTuple):
    """One privilege.

    :ivar name: as the API has it.
    :ivar on: the kind of object on which it is needed, as the vSphere Client calls it.
    :ivar when: an option or a case without which it is not needed; empty where it always is.
    """

    name: str
    on: str
    when: str = ""


_VM, _HOST, _CLUSTER, _POOL = "VM", "host", "cluster", "resource pool"
_FOLDER, _DATASTORE, _NETWORK, _VCENTER = "VM folder", "datastore", "network", "vCenter"
_PROXY = "VM that the module runs in"
# Permissions on objects of the inventory do not reach tags ("Permissions on Tag Objects", vSphere Security).
_TAGS = "tags (global permission)"

_CLONE = "VirtualMachine.Provisioning.Clone"
_DEPLOY = "VirtualMachine.Provisioning.DeployTemplate"
_TEMPLATE = "VirtualMachine.Provisioning.MarkAsTemplate"
_NO_TEMPLATE = "VirtualMachine.Provisioning.MarkAsVM"
_CUSTOMIZE = "VirtualMachine.Provisioning.Customize"
_RANDOM_READ = "VirtualMachine.Provisioning.DiskRandomRead"
_CREATE = "VirtualMachine.Inventory.Create"
_CREATE_OF = "VirtualMachine.Inventory.CreateFromExisting"
_DELETE = "VirtualMachine.Inventory.Delete"
_ON = "VirtualMachine.Interact.PowerOn"
_OFF = "VirtualMachine.Interact.PowerOff"
_RESET = "VirtualMachine.Interact.Reset"
_CONNECT = "VirtualMachine.Interact.DeviceConnection"
_ADVANCED = "VirtualMachine.Config.AdvancedConfig"
_SETTINGS = "VirtualMachine.Config.Settings"
_NEW_DISK = "VirtualMachine.Config.AddNewDisk"
_OLD_DISK = "VirtualMachine.Config.AddExistingDisk"
_NO_DISK = "VirtualMachine.Config.RemoveDisk"
_DEVICE = "VirtualMachine.Config.AddRemoveDevice"
_EDIT = "VirtualMachine.Config.EditDevice"
_RENAME = "VirtualMachine.Config.Rename"
_TRACKING = "VirtualMachine.Config.ChangeTracking"
_UPGRADE = "VirtualMachine.Config.UpgradeVirtualHardware"
_FORK = "VirtualMachine.Config.ToggleForkParent"
_SNAPSHOT = "VirtualMachine.State.CreateSnapshot"
_NO_SNAPSHOT = "VirtualMachine.State.RemoveSnapshot"
_GUEST = tuple(f"VirtualMachine.GuestOperations.{what}" for what in ("Execute", "Modify", "Query"))
_SPACE = "Datastore.AllocateSpace"
_FILES = "Datastore.FileManagement"
_ASSIGN_POOL = "Resource.AssignVMToPool"
_ASSIGN_NETWORK = "Network.Assign"
_IMPORT, _EXPORT = "VApp.Import", "VApp.Export"
_VAPP = "VApp.ApplicationConfig"
_POLICIES = "StorageProfile.View"
_ATTACH_TAG = "InventoryService.Tagging.AttachTag"


def _guest(when: str = "") -> tuple[Need, ...]:
    return tuple(Need(name, _VM, when) for name in _GUEST)


def _snapshots(when: str = "") -> tuple[Need, ...]:
    return Need(_SNAPSHOT, _VM, when), Need(_NO_SNAPSHOT, _VM, when)


# What any clone needs where it is to be.
_PLACE = (Need(_CREATE_OF, _FOLDER), Need(_SPACE, _DATASTORE), Need(_ASSIGN_POOL, _POOL))


def _removal(when: str) -> tuple[Need, ...]:
    """To delete a VM takes the privilege on the VM and on its folder."""
    return Need(_DELETE, _VM, when), Need(_DELETE, _FOLDER, when)


# What becomes of clones that are there.
_REMOVED = (
    Need(_OFF, _VM, "state: absent, on_error: rollback"),
    *_removal("state: absent, on_error: rollback"),
)
_NICS_CHANGED = tuple(Need(name, _VM, "networks of existing clones") for name in (_EDIT, _CONNECT))

MODULES: dict[str, tuple[Need, ...]] = {
    "backup_clone": (
        Need(_CLONE, _VM),
        Need(_DEPLOY, _VM, "the source is a template"),
        *_PLACE,
        *_snapshots("VMs that run"),
        *_removal("backups are removed"),
    ),
    "cached_ovf_template": (
        Need(_IMPORT, _POOL),
        Need(_ASSIGN_POOL, _POOL),
        Need(_SPACE, _DATASTORE),
        Need(_ASSIGN_NETWORK, _NETWORK),
        Need(_IMPORT, _FOLDER),
        Need(_CREATE, _FOLDER),
        Need(_DELETE, _FOLDER),
        Need(_ADVANCED, _FOLDER),
        Need(_NEW_DISK, _FOLDER),
        Need(_NO_DISK, _FOLDER),
        Need(_TEMPLATE, _FOLDER),
        Need(_RENAME, _FOLDER, "on_mismatch: replace"),
        Need(_POLICIES, _VCENTER, "storage_policy"),
    ),
    "capv_template": (
        Need(_NO_TEMPLATE, _VM),
        Need(_TEMPLATE, _VM),
        Need(_SNAPSHOT, _VM),
        Need(_ADVANCED, _VM),
        Need(_SETTINGS, _VM),
        Need(_UPGRADE, _VM),
        Need(_VAPP, _VM, "vApp properties"),
        Need(_ASSIGN_POOL, _POOL),
    ),
    "cbt_changed_areas": (
        *_snapshots(),
        Need(_RANDOM_READ, _VM),
        Need(_TRACKING, _VM, "tracking is switched"),
        Need(_OFF, _VM, "activation: power_cycle"),
        Need(_ON, _VM, "activation: power_cycle"),
    ),
    "cloud_init_guestinfo": (
        Need(_ADVANCED, _VM),
        Need(_ON, _VM, "power_on"),
        Need(_RESET, _VM, "allow_reboot"),
        Need(_CUSTOMIZE, _VM, "transport: customization"),
    ),
    "cpu_features_info": _guest("in_guest"),
    "evc": (
        Need("Host.Inventory.EditCluster", _CLUSTER, "cluster"),
        Need(_SETTINGS, _VM, "vms"),
        Need(_ADVANCED, _VM, "power_cycle"),
        Need(_OFF, _VM, "power_cycle"),
        Need(_ON, _VM, "power_cycle"),
    ),
    "first_class_disk": (
        Need(_FILES, _DATASTORE),
        Need(_OLD_DISK, _VM, "attached"),
        Need(_NO_DISK, _VM, "detached"),
        Need(_POLICIES, _VCENTER, "storage_policy"),
    ),
    "first_class_disk_info": (Need("Datastore.Browse", _DATASTORE, "orphans"),),
    "first_class_disk_snapshot": (Need(_FILES, _DATASTORE),),
    "fork_parent": (
        Need(_FORK, _VM),
        *_guest(),
        Need(_CLONE, _VM, "children"),
        *(need._replace(when="children") for need in _PLACE),
        Need(_ON, _VM, "children"),
        Need(_OFF, _VM, "children are removed"),
        *_removal("children are removed"),
        Need(_RESET, _VM, "allow_reset"),
        Need(_SNAPSHOT, _VM, "create_snapshot"),
    ),
    "instant_clone": (
        Need(_CLONE, _VM),
        Need(_ON, _VM),
        *_PLACE,
        Need(_ASSIGN_NETWORK, _NETWORK, "networks"),
        *_NICS_CHANGED,
        Need(_ADVANCED, _VM, "guestinfo and extra_config of existing clones"),
        *_REMOVED,
        Need(_CUSTOMIZE, _VM, "customize"),
        Need(_ADVANCED, _VM, "customize"),
    ),
    "instant_clone_parent": (
        *_guest(),
        Need(_RESET, _VM, "state: running"),
        *_snapshots("collapse_deltas"),
    ),
    "linked_clone": (
        Need(_CLONE, _VM),
        Need(_DEPLOY, _VM, "the source is a template"),
        *_PLACE,
        Need(_ON, _VM),
        Need(_ADVANCED, _VM),
        Need(_ASSIGN_NETWORK, _NETWORK, "networks"),
        *_NICS_CHANGED,
        Need("VirtualMachine.Config.CPUCount", _VM, "cpu"),
        Need(_SETTINGS, _VM, "cpu"),  # for cores_per_socket alone
        Need("VirtualMachine.Config.Memory", _VM, "memory"),
        Need("VirtualMachine.Config.Annotation", _VM, "annotation"),
        # A disk is removed and added on top of itself.
        *(Need(name, _VM, "add_delta_disks") for name in (_NEW_DISK, _NO_DISK)),
        *(Need(name, _VM, "state: published") for name in (_OFF, _NEW_DISK, _NO_DISK, _TEMPLATE)),
        *_REMOVED,
        Need(_CUSTOMIZE, _VM, "customize"),
    ),
    "vm_backup": (
        *_snapshots(),
        Need(_RANDOM_READ, _VM, "increments"),
        Need(_EXPORT, _VM, "transport: export"),
        Need(_FILES, _DATASTORE, "transport: datastore_http"),
        Need(_OLD_DISK, _PROXY, "transport: hotadd"),
        Need(_NO_DISK, _PROXY, "transport: hotadd"),
        Need(_ADVANCED, _PROXY, "transport: hotadd"),
        *_guest("scripts"),
        # Without it a backup has no policies, and a warning says so. A flow that backs up wants them.
        Need(_POLICIES, _VCENTER),
    ),
    "vm_export": (Need(_EXPORT, _VM), *_snapshots("VMs that run")),
    "vm_from_disks": (
        Need(_CREATE, _FOLDER),
        Need(_OLD_DISK, _FOLDER),
        Need(_DEVICE, _FOLDER),
        Need(_ASSIGN_POOL, _POOL),
        Need(_SPACE, _DATASTORE),
        Need(_ASSIGN_NETWORK, _NETWORK),
        Need(_ON, _VM),
        *_removal("state: absent"),
    ),
    "vm_guest_check": _guest("command"),
    "vm_restore": (
        Need(_IMPORT, _POOL, "into"),
        Need(_ASSIGN_POOL, _POOL, "into"),
        Need(_SPACE, _DATASTORE, "into"),
        Need(_FILES, _DATASTORE, "into"),
        Need(_IMPORT, _FOLDER, "into"),
        Need(_CREATE, _FOLDER, "into"),
        Need(_DELETE, _FOLDER, "into"),
        Need(_OLD_DISK, _VM, "into"),
        Need(_NO_DISK, _VM, "into"),
        Need(_NO_SNAPSHOT, _VM, "snapshots: remove"),
        Need(_OFF, _VM, "power_off"),
        Need(_ON, _VM, "power_off, powered_on"),
        Need(_POLICIES, _VCENTER, "into"),
        Need(_EDIT, _VM, "content: false, with storage policies"),
        Need(_ATTACH_TAG, _TAGS, "settings: tags"),
        Need(_NEW_DISK, _PROXY, "transport: hotadd"),
        Need(_NO_DISK, _PROXY, "transport: hotadd"),
        Need(_ADVANCED, _PROXY, "transport: hotadd"),
    ),
    "vmdk": (
        Need(_FILES, _DATASTORE),
        Need("Datastore.Config", _DATASTORE, "a new folder on vSAN or vVols"),
        Need(_EXPORT, _VM, "transport: lease"),
        *_snapshots("transport: lease of VMs that run"),
        Need(_IMPORT, _POOL, "state: imported"),
        Need(_ASSIGN_POOL, _POOL, "state: imported"),
        Need(_SPACE, _DATASTORE, "state: imported"),
        Need(_IMPORT, _FOLDER, "state: imported"),
        Need(_CREATE, _FOLDER, "state: imported"),
        Need(_DELETE, _FOLDER, "state: imported"),
        Need(_NO_DISK, _FOLDER, "state: imported"),
    ),
    "vmdk_info": (Need(_FILES, _DATASTORE),),
}

# Which of these modules a role calls, and the roles that it includes; a test reads that from their
# tasks.
FLOWS: dict[str, tuple[str, ...]] = {
    "capv_node_template": ("cached_ovf_template", "capv_template"),
    "cbt_backup": ("cbt_changed_areas", "vm_backup"),
    "changed_areas_report": ("cbt_changed_areas",),
    "evc_baseline": ("evc",),
    "fcd_audit": ("first_class_disk", "first_class_disk_info", "first_class_disk_snapshot"),
    "guest_cloud_init": ("cloud_init_guestinfo", "instant_clone", "linked_clone"),
    "instant_clone_fleet": ("instant_clone", "instant_clone_parent", "linked_clone"),
    "ovf_linked_clones": (
        "cached_ovf_template",
        "cloud_init_guestinfo",
        "instant_clone",
        "linked_clone",
    ),
    "restore_drill": ("cached_ovf_template", "linked_clone", "vm_guest_check", "vm_restore"),
    "vm_clone_backup": ("backup_clone", "cached_ovf_template", "linked_clone", "vm_export"),
    "vm_restore": ("cached_ovf_template", "linked_clone", "vm_guest_check", "vm_restore"),
    "vmdk_migrate": ("vm_from_disks", "vmdk", "vmdk_info"),
    "vmfork_fleet": ("fork_parent", "linked_clone"),
}


def needs_of(flow: str) -> tuple[Need, ...]:
    """What a flow needs, by its name in ``FLOWS``; a module that is no flow needs what it needs itself.

    A role of the name of a module calls that module, among others, so it wins.
    """
    names = FLOWS.get(flow, (flow,))
    return tuple(dict.fromkeys(need for name in names for need in MODULES[name]))


def privileges_of(flows: t.Iterable[str], *, least: bool) -> tuple[str, ...]:
    """The names of all privileges that these flows need, sorted.

    :param least: leave out what only some options or cases need.
    """
    return tuple(sorted({need.name for flow in flows for need in needs_of(flow) if not (least and need.when)}))
