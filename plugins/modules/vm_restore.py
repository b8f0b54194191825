# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup into a VM, to image files, or to an OVF package."""

DOCUMENTATION = r"""
module: vm_restore
short_description: Restore a backup into a VM, to image files, or to an OVF package
version_added: 0.9.0
description:
  - With O(into) it puts disks as they were at any point of a repository into a VM that is there,
    all or some of them. Each is brought in beside the disk that it replaces and read back where its
    datastore allows that. Only when all have come, one call exchanges them, and the old ones are
    deleted last. A VM that is to be powered off runs until then.
  - A run that ends in the middle, also by a kill, leaves the VM with all of its old disks
    or with all of the restored ones. The next run into the same VM goes on with what has
    come, and removes what is not needed.
  - With O(dest) alone it writes disks into files of this machine, and compares every MiB with the
    digest of the backup. A file is there when that is done, and not before. No vCenter is asked.
  - Disks of a VM that is off, and files, which already have what the point has are left alone.
  - With O(format=ovf) it writes an OVF package of the whole VM, with its hardware, firmware and
    networks, of which M(vforge.vsphere.cached_ovf_template) and other importers make a VM again.
    The role C(vm_restore) makes a new VM so.
  - Single files are read straight from the image of a point, by programs that the guide
    C(Backup and restore) names.
options:
  repository:
    description:
      - Folder of the backups, on the machine that runs the module.
    type: path
    required: true
  vm:
    description:
      - Instance UUID of the VM that was backed up, or the name that it had at its newest backup.
    type: str
    required: true
  point:
    description:
      - Which backup, by its C(id) as M(vforge.vsphere.backup_info) lists it, or
        V(newest). V(latest) means the same.
    type: str
    default: newest
  before:
    description:
      - A time of ISO 8601, such as V(2026-11-28T06:00:00+01:00). Of the backups that were made
        until then the newest is restored. Without a zone it is UTC.
    type: str
  disks:
    description:
      - Disks by their labels, such as V(Hard disk 1), their places (V(scsi0:1)), their device keys
        (V(2000)) or the UUIDs of their backings, as they were at the point. All disks by default.
    type: list
    elements: str
    default: []
  into:
    description:
      - The VM whose disks are replaced, named in exactly one way. It may be the VM that was backed
        up, or another one with controllers of the same names.
      - A text is its name, or its path where it begins with a slash.
      - A disk takes the place that it had at the point. What else is on the VM stays,
        and so does its configuration.
    type: dict
    suboptions: &vm
      name:
        description:
          - Name of the VM. When several VMs have it, the task fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/web-1), or its path below
            the VM folder of O(datacenter).
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with O(into.use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether O(into.uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by O(into.name).
        type: str
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
      - For O(into) alone.
    type: str
  power_off:
    description:
      - Whether a VM that is not powered off is powered off (not shut down) when the disks have
        come. Without it such a VM is refused; one that is suspended is refused in any case.
      - Where the disks are then not replaced, a VM that ran is powered on again with those that it
        had, whatever O(powered_on) says.
    type: bool
    default: false
  powered_on:
    description:
      - Whether the VM is powered on in the end.
    type: bool
    default: false
  snapshots:
    description:
      - What becomes of a VM that has snapshots, which belong to the disks
        that it has now. V(refuse) fails.
      - V(remove) removes them all when the restored disks have come.
    type: str
    choices: [refuse, remove]
    default: refuse
  keep_replaced:
    description:
      - Whether the disks that were replaced stay on their datastores, where they belong to no VM.
        RV(disks[].replaced) has their paths, and nobody removes them later. A disk that an earlier
        run has replaced and not yet deleted stays, too, and a warning has its path.
    type: bool
    default: false
  verify:
    description:
      - How a restored disk is proved before anything is exchanged.
      - V(content) reads it from its datastore and compares every MiB with the digests of the
        backup. This is not possible on vSAN.
      - V(manifest) compares the size and the digest of the upload as the host reports them. A
        release of vSphere need not report them. The disk is deleted then, and the task fails.
      - V(auto) does the first where it is possible, else the second as far as the host reports it,
        with a warning where that is not all. With O(transport=hotadd) each disk is read back as a
        device, whatever is set here. RV(disks[].compared) says which it was.
    type: str
    choices: [auto, content, manifest]
    default: auto
  transport:
    description:
      - How a disk comes to its datastore.
      - V(import) sends it to a host by an import lease, compressed. It needs nothing but vCenter
        and its hosts, and room on this machine.
      - V(hotadd) has vCenter make the disk on the VM that the module runs in, writes it there as a
        device, reads it back, compares every MiB, and detaches it. It needs nothing but vCenter's
        public API, and it proves disks on vSAN by their content. See O(hotadd).
      - V(auto) is V(hotadd) where that leads to all disks that are to be restored, else V(import).
        RV(into.transports) says why not.
      - With O(into).
    type: str
    choices: [import, hotadd, auto]
    default: import
  hotadd:
    description:
      - How disks are attached to the VM that the module runs in.
      - That VM needs C(disk.EnableUUID=TRUE) in its extraConfig, a SCSI controller with a free
        place, a guest with udev, and root, or a user of the group that may write disks. Its host
        must have the datastores of the disks. It must be in the same datacenter. Disks on vSAN need
        a VM that lies on vSAN alone. IDE disks are refused.
      - Before the first byte is written, the device must have the size of the disk, be used by
        nothing else, and begin and end with zeros.
      - Disks are attached as independent persistent ones. What a run that was killed has left
        attached, the next restore into the same VM detaches and deletes.
      - Keep LVM and multipath in that VM from using foreign disks by themselves
        (C(filter) in F(/etc/lvm/lvm.conf)).
      - With O(transport=hotadd) or O(transport=auto).
    type: dict
    suboptions:
      proxy:
        description:
          - The VM that the module runs in, named in exactly one way. Without it, it is looked for
            by the BIOS UUID of the machine, which only root can read.
        type: dict
        suboptions: *vm
      device_folder:
        description:
          - Where udev names the disks of that VM by their UUIDs.
        type: path
        default: /dev/disk/by-id
  content:
    description:
      - Whether disks are restored. V(false) leaves the content of disks as it is, and puts back only
        what O(settings) names. O(disks) are then those whose storage policies are put back.
      - With O(into), and with O(settings) or O(storage_policy).
    type: bool
    default: true
  storage_policy:
    description:
      - Name of the storage policy that restored disks are made with. It has to allow the datastores
        of the disks that they replace. With O(content=false) the disks of the VM are changed to it.
      - By default a disk gets the policy of the one that it replaces, and where it replaces none,
        that which it had at the backup, with a warning where that is not possible.
      - With O(into).
    type: str
  settings:
    description:
      - What is put back besides the content of the disks. Nothing by default, since the VM may have
        been changed for good reason.
      - V(storage_policies) has disks that are restored made with the policies that they had at the
        backup. With O(content=false) disks of the VM that have others are changed to these, by one
        call; of a disk that had none at the backup nothing is changed.
      - V(nvram) puts the settings of the firmware back, such as its boot order, of backups that have
        them. The VM has to be off, see O(power_off), and have the same kind of firmware.
      - V(tags) attaches the tags that the VM had. Others that it has by now stay. Where one is gone
        the task fails before anything is done. Where one cannot be attached, since its category
        allows one alone, for example, it fails after the VM was powered on as O(powered_on) says.
      - With O(into).
    type: list
    elements: str
    choices: [storage_policies, nvram, tags]
    default: []
  dest:
    description:
      - Folder for the files, which must be there. They are named after the keys of the disks, such
        as C(disk-2000.qcow2). The descriptor of a package is C(vm.ovf), its manifest C(vm.mf), and
        its disks are C(vm-disk-2000.vmdk) and so on.
      - With O(into) it is where one disk at a time is made ready for its upload, by default in the
        repository. There has to be room for what is used of the largest disk.
    type: path
  format:
    description:
      - Format of the files, V(qcow2) by default. Not with O(into).
      - V(ovf) is a package, with all disks as streamOptimized VMDKs, a descriptor and a manifest
        (SHA-256). What may be a secret is not in a backup, so it is not in the package either, nor
        are the MAC addresses and UUIDs of the VM. Its NVRAM is C(vm.nvram), where the backup has
        it.
    type: str
    choices: [qcow2, raw, vmdk, ovf]
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Disks that can be read are compared in check mode, too. So it tells
        whether a VM has what a point has.
  diff_mode:
    support: partial
    details:
      - With O(into).
  idempotent:
    support: full
    details:
      - Files, and disks of a VM that is off, are read and compared, and written
        only where they differ. Disks of a VM that runs, and those on vSAN, cannot
        be read, so they are restored again.
  action_group:
    support: full
requirements:
  - qemu-img and qemu-nbd 6.1 or later
  - python3-libnbd 1.14 or later, for the Python that runs the module
notes:
  - A restored disk is another disk to changed block tracking. So the next backup of
    it is a full one, and says so.
  - A disk that is a delta disk of another one, or that another VM has too, stays when
    it is replaced, and RV(disks[].replaced) says why. Raw devices, first class disks, 4Kn disks
    and encrypted VMs are refused. A restored disk has sectors of 512 bytes.
  - For storage policies the privilege StorageProfile.View is needed. Without it a warning says that
    a restored disk has the default policy of its datastore. It is made with its policy, not changed
    to it later.
  - With O(into) it needs the privileges VApp.Import (on the resource pool and on the folder),
    Resource.AssignVMToPool, Datastore.AllocateSpace, Datastore.FileManagement,
    VirtualMachine.Inventory.Create and VirtualMachine.Inventory.Delete for the import, and
    VirtualMachine.Config.AddExistingDisk and VirtualMachine.Config.RemoveDisk on the VM.
    O(snapshots=remove) needs
    VirtualMachine.State.RemoveSnapshot, O(power_off) VirtualMachine.Interact.PowerOff and
    VirtualMachine.Interact.PowerOn, O(powered_on) VirtualMachine.Interact.PowerOn.
  - With O(transport=hotadd) it needs, in place of those for the import,
    VirtualMachine.Config.AddNewDisk, VirtualMachine.Config.RemoveDisk and
    VirtualMachine.Config.AdvancedConfig on the VM that the module runs in, and
    Datastore.AllocateSpace and Datastore.FileManagement.
  - With O(content=false) storage policies need VirtualMachine.Config.EditDevice on the VM.
  - To attach tags (O(settings)) it needs InventoryService.Tagging.AttachTag on the tags, which only
    a global permission gives, or one on the tag.
  - What is restored is noted in the file C(restore-UUID.json) beside the points until it is done.
  - Proved by qemu-img, and on a simulator alone, O(transport=hotadd) with files in place of devices.
seealso:
  - module: vforge.vsphere.vm_backup
  - module: vforge.vsphere.backup_info
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Put the disks of db-1 back as they were before the upgrade
  vforge.vsphere.vm_restore:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    repository: /srv/backups
    vm: db-1
    before: "2026-11-28T06:00:00+01:00"
    into:
      name: db-1
    power_off: true
    powered_on: true

- name: Put one disk back, and keep the one that it replaces
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    disks: ["scsi0:1"]
    into:
      name: db-1
    keep_replaced: true

- name: Put the disks of db-1 back from a proxy VM, which writes them itself
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    into:
      name: db-1
    transport: hotadd
    hotadd:
      proxy:
        name: backup-proxy

- name: Give a VM that was made of a backup the tags and the storage policies that db-1 had
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    into:
      name: db-1-restored
    content: false
    settings: [storage_policies, tags]

- name: Have the disks of the newest backup of db-1
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    dest: /srv/restored
    format: raw

- name: Have the whole VM as a package
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    dest: /srv/restored/db-1
    format: ovf

- name: Have one disk as it was a week ago
  vforge.vsphere.vm_restore:
    repository: /srv/backups
    vm: db-1
    point: 20261122T011500Z-1f0e9c3a
    disks: [Hard disk 2]
    dest: /srv/restored
"""

RETURN = r"""
repository:
  description: The folder of the backups.
  returned: when the backup was found
  type: str
  sample: /srv/backups
instance_uuid:
  description: Instance UUID of the VM.
  returned: as RV(repository)
  type: str
name:
  description: Name that the VM had at the point.
  returned: as RV(repository)
  type: str
point:
  description: The point that was restored.
  returned: as RV(repository)
  type: str
package:
  description:
    - The package, with the C(path) of its descriptor and the C(action), V(restored) or
      V(unchanged). Null for other formats.
  returned: as RV(repository)
  type: dict
into:
  description: The VM that was restored into.
  returned: with O(into)
  type: dict
  contains:
    name:
      description: Name of the VM.
      type: str
    moid:
      description: Managed object ID of the VM.
      type: str
    path:
      description: Inventory path of the VM.
      type: str
    instance_uuid:
      description: Instance UUID of the VM.
      type: str
    transport:
      description: How disks come to their datastores. As it was asked for where none is to come.
      type: str
    transports:
      description:
        - What the transports that were looked at say of the disks, each with C(name), whether it is
          C(usable), and the C(reason) why not. Empty where no disk is to come.
      type: list
      elements: dict
    actions:
      description:
        - What was done, of V(leftover_removed), V(disks_brought_in), V(powered_off),
          V(snapshots_removed), V(disks_replaced), V(replaced_disks_deleted),
          V(storage_policies_set), V(nvram_put_back), V(tags_attached) and V(powered_on).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    seconds:
      description: How long vCenter has worked on it. Null where it did not.
      type: float
    warnings:
      description: What nobody should overlook.
      type: list
      elements: str
put_back:
  description:
    - What was put back besides the disks, C(nvram) (whether), C(tags) (their names), and with
      O(content=false) C(storage_policies) (labels of the disks).
  returned: with O(into)
  type: dict
left:
  description: Labels of the VM's disks that were left alone, since they are not
    among those that are restored.
  returned: with O(into)
  type: list
  elements: str
disks:
  description: One entry for each disk of the point that is restored.
  returned: as RV(repository)
  type: list
  elements: dict
  contains:
    label:
      description: Label of the disk.
      type: str
    key:
      description: Device key of the disk.
      type: int
    capacity:
      description: Its size in bytes.
      type: int
    unit:
      description: Controller, bus and unit of the disk.
      returned: with O(into)
      type: str
    path:
      description: The file, or with O(into) the path of the VM's disk on its datastore.
      type: str
    action:
      description:
        - V(restored), or V(unchanged) where the file or the VM had it already. V(none) where it was
          not restored, since the task failed.
      type: str
    compared:
      description: How it was proved, by its V(content), by the V(manifest) of the host, which has
        the size and the digest of the upload, or by its V(size) alone. V(nothing) where the host
        reports neither. Null where no disk came.
      returned: with O(into)
      type: str
    not_read:
      description: Why the content could not be compared. Empty where it was.
      returned: with O(into)
      type: str
    storage_policies:
      description: IDs of the storage policies that the restored disk was made with. Empty for the default of its datastore.
      returned: with O(into)
      type: list
      elements: str
    replaced:
      description:
        - The disk that was there before, with its C(path), whether it was C(deleted), and the
          C(reason) why not. Null where there was none, or nothing was replaced.
      returned: with O(into)
      type: dict
failures:
  description: The VM, where it failed, with C(name), C(error_code) and C(msg).
  returned: with O(into)
  type: list
  elements: dict
timing:
  description: Seconds by phase.
  returned: always
  type: dict
calls:
  description: SOAP calls of the task, with C(total), C(update_rounds) (waiting, not in the total),
    C(by_method), C(bytes_received) and, of these, C(bytes_by_phase).
  returned: when a connection was tried
  type: dict
error_code:
  description:
    - A stable code for what went wrong, such as V(not_found), V(not_powered_off), V(snapshots),
      V(no_controller), V(no_transport), V(wrong_disk), V(read_back_failed), V(upload_unverified),
      V(tags_gone), V(concurrent_access) or V(backup_damaged).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run, run_alone
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.local import RestoreOptions, restore
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.restore_options import IntoOptions


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "repository": {"type": "path", "required": True},
        "vm": {"type": "str", "required": True},
        "point": {"type": "str", "default": "newest"},
        "before": {"type": "str"},
        "disks": {"type": "list", "elements": "str", "default": []},
        "dest": {"type": "path"},
        "format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "ovf"]},
        "into": _argspec.vm(),
        "datacenter": {"type": "str"},
        "power_off": {"type": "bool", "default": False},
        "powered_on": {"type": "bool", "default": False},
        "snapshots": {"type": "str", "choices": ["refuse", "remove"], "default": "refuse"},
        "keep_replaced": {"type": "bool", "default": False},
        "verify": {"type": "str", "choices": ["auto", "content", "manifest"], "default": "auto"},
        "transport": {"type": "str", "choices": ["import", "hotadd", "auto"], "default": "import"},
        "hotadd": _argspec.hotadd(),
        "content": {"type": "bool", "default": True},
        "storage_policy": {"type": "str"},
        "settings": {
            "type": "list",
            "elements": "str",
            "choices": ["storage_policies", "nvram", "tags"],
            "default": [],
        },
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "required_one_of": [["dest", "into"]],
            "mutually_exclusive": [["into", "format"]],
            "required_if": [["content", False, ["into"]], ["transport", "hotadd", ["into"]], ["transport", "auto", ["into"]]],
        },
    )


def prepared(params):
    """The options of either way."""
    return (IntoOptions if params.get("into") else RestoreOptions).from_params(params)


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), prepared)
    if module.params["into"] is None:
        run_alone(module, prepared, lambda options, show: restore(options, show, check=module.check_mode))
    from ansible_collections.vforge.vsphere.plugins.module_utils._backup import restoring

    run(module, prepared, lambda session, options: restoring.run(session, options, check=module.check_mode))


if __name__ == "__main__":
    main()
