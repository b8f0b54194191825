# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Export VMs as OVF packages."""

DOCUMENTATION = r"""
module: vm_export
short_description: Export VMs as OVF or OVA packages, running ones from a snapshot
version_added: 0.9.0
description:
  - Writes VMs as OVF packages to the machine that runs the module, with a manifest
    (SHA-256). One VM or many in one task.
  - A VM that is off is exported as it is. Of one that runs a snapshot is made, exported and
    removed, in every ending, signals included. Where the module was killed, the next run on the
    same VM recognizes the snapshot and removes it. With O(snapshot) a snapshot that is there is
    exported, in any power state.
  - The package describes the whole VM. That is CPU and memory, firmware, NVRAM, controllers, disks
    and NICs at their places, networks by their names, hardware version, guest OS, annotation, vApp
    properties, and of extraConfig what says how the VM works. What is of the place where it was, or
    may be a secret, stays behind. See O(extra_config) and O(property_values).
  - Disks are received several at a time, each through one buffer, and hashed on their way. Sizes
    and digests are held against what the host says that it has sent. A disk whose connection broke
    is received again from its start.
  - A package is complete or not there. It is written beside its place and put there at the end;
    what a run that was killed has left is removed by the next one.
  - A second run receives nothing where the VM has not changed. See
    O(refresh) for how that is known.
options:
  vm:
    description:
      - The VM, named in exactly one way. Either this or O(vms) is required.
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions: &vm
      name:
        description:
          - Name of the VM. When several VMs have it, this one fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/web-1), or its path below
            the VM folder of O(datacenter).
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with C(use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether C(uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by C(name).
        type: str
  vms:
    description:
      - The VMs, when there is more than one. They are worked on at once, in one session.
    type: list
    elements: dict
    suboptions:
      <<: *vm
      snapshot: &snapshot
        description:
          - The snapshot that is exported, in the place of the VM as it is. It stays.
          - A text is its name, or its path where it begins with a slash.
        type: dict
        suboptions:
          name:
            description:
              - Its name.
            type: str
          path:
            description:
              - Its path in the tree of snapshots, such as V(installed/patched).
              - A slash within a name is written V(%2f).
            type: str
          moid:
            description:
              - Its managed object ID, such as V(snapshot-42).
            type: str
          current:
            description:
              - Whether it is the one that the VM runs on.
            type: bool
            default: false
      package: &package
        description:
          - What the files of the package begin with, in letters,
            digits, dots, dashes and underscores.
          - By default the name of the VM, with an underscore for what else it has.
          - A package of this VM that is there is replaced. What else is there is left alone, a
            package of another VM too, and the export fails with V(exists).
        type: str
  snapshot: *snapshot
  package: *package
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
    type: str
  dest:
    description:
      - Folder for the packages, on the machine that runs the module. It is made where
        there is none, for this user alone.
      - It must be this user's or root's, and nobody else may write into it.
      - With O(format=ovf) each package is a folder in it. A file C(.vforge.json) in the package, or
        beside an archive, has what the next run compares with.
    type: path
    required: true
  format:
    description:
      - V(ovf) writes a folder with the descriptor C(.ovf), the manifest C(.mf) and the disks.
      - V(ova) writes all of that as one archive. Its disks are received beside it first, so
        for a moment it takes room twice.
    type: str
    choices: [ovf, ova]
    default: ovf
  quiesce:
    description:
      - Whether VMware Tools bring the file systems of a running guest to rest for
        the snapshot that is made of it.
      - V(try) does without where they do not run, or fail at it. A failure is a warning, and
        RV(vms[].package.consistency) says what was reached.
      - V(require) fails such a VM and exports nothing of it. V(no) does not try.
      - A package has no memory, so the memory of a running VM cannot be
        exported. Make a clone for that.
    type: str
    choices: ["try", "require", "no"]
    default: "try"
  refresh:
    description:
      - When a VM is exported of which a complete package is there.
      - V(changed) does it where the VM has changed, or where nobody can know that it has not. The
        configuration is compared with that of the last export. Of the disks of a VM that is off,
        the content IDs are compared, which change when something is written; where a host does not
        say them, the change version of the VM and vCenter's event of its last start are. A snapshot
        does not change. A VM that runs is always exported again, since its guest may have written
        in any moment.
      - V(missing) keeps every complete package. V(always) exports always.
    type: str
    choices: [changed, missing, always]
    default: changed
  extra_config:
    description:
      - Keys of extraConfig that go along besides those that are safe.
      - Without it nothing of guestinfo goes along, such as user data, in which there may be
        secrets. RV(vms[].withheld) lists the keys of guestinfo that stayed behind.
    type: list
    elements: str
    default: []
  property_values:
    description:
      - Whether the values go along that vApp properties of the VM have, those of passwords too.
      - Without it properties have the values that the maker of their package
        gave, and passwords have none.
    type: bool
    default: false
  fresh_hours:
    description:
      - A package of the VM in O(dest) that is not older than so many hours is enough,
        whatever its name, so that a run that is repeated makes no second one. With
        V(0), O(refresh) alone decides. With O(quiesce=require) only one that is consistent counts
        for a VM that runs.
    type: int
    default: 0
  dated:
    description:
      - Whether the name of a package ends with when it is made, such as V(web-1-20260501T020000Z),
        so that each run makes one more. For backups, with O(keep_last) or another rule.
    type: bool
    default: false
  keep_last:
    description:
      - So many of the newest packages of each VM in O(dest) are kept. One that another rule keeps
        stays, too.
      - Without any rule all are kept. The newest one is kept always, and nothing is removed of a VM
        whose export failed. Only what this module has made in this O(format) is counted and removed,
        by its file C(.vforge.json).
    type: int
  keep_days:
    description:
      - Packages of each VM that are not older than so many days are kept.
    type: int
  keep_daily:
    description:
      - The newest package of each of so many days that have one is kept. Days, weeks and months are those of UTC.
    type: int
  keep_weekly:
    description:
      - The newest package of each of so many ISO weeks that have one is kept.
    type: int
  keep_monthly:
    description:
      - The newest package of each of so many months that have one is kept.
    type: int
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
      - As many disks are received at the same time, and as many snapshots of the task exist.
    type: int
    default: 8
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Removing its
        snapshots is not limited by it.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Makes no snapshot and writes no file.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - See O(refresh). A VM that runs is exported again unless O(refresh=missing).
  action_group:
    support: full
notes:
  - Needs the privilege VApp.Export on the VM, and for VMs that run
    VirtualMachine.State.CreateSnapshot and VirtualMachine.State.RemoveSnapshot.
  - The host is reached on port 443, at the address that vCenter gives. Its certificate is held
    against the one that vCenter knows.
  - vSphere exports no encrypted VM and no raw device in physical mode. Independent disks are in no
    snapshot, so a VM that has one must be off. These are refused before anything is done, and so are
    VMs with 4Kn disks (vSphere 9.0 and later), since disks of packages have sectors of 512 bytes.
  - MAC addresses, BIOS UUID and instance UUID do not go along; who
    imports a package makes new ones.
  - Proved on a simulator, and by the tools that read its packages there.
seealso:
  - module: vforge.vsphere.cached_ovf_template
  - module: vforge.vsphere.linked_clone
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Export two VMs, each into a folder of its own
  vforge.vsphere.vm_export:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - name: web-1
      - path: /DC0/vm/databases/db-1
    dest: /var/lib/exports

- name: Export a running VM as one file, and only with its file systems at rest
  vforge.vsphere.vm_export:
    vm:
      name: web-1
    dest: /var/lib/exports
    format: ova
    quiesce: require

- name: Export what a snapshot has
  vforge.vsphere.vm_export:
    vm:
      name: web-1
    snapshot:
      name: before-upgrade
    package: web-1-before-upgrade
    dest: /var/lib/exports
  register: exported

- name: Make a template of it elsewhere
  vforge.vsphere.cached_ovf_template:
    name: web
    source: "{{ exported.vms[0].package.path }}"
    cluster: Cluster1
"""

RETURN = r"""
vms:
  description:
    - One entry for each VM, in the order of the options, also when the task fails.
    - Of one of several that cannot be found it has its C(name), C(moid) and C(path), as far as the
      options say them, and its C(error).
  returned: when the VMs were found
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: web-1
    moid:
      description: Managed object ID.
      type: str
      sample: vm-42
    path:
      description: Inventory path.
      type: str
      sample: /DC0/vm/web-1
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: Power state.
      type: str
      sample: poweredOn
    actions:
      description: What was done, or in check mode would be done, of V(exported),
        V(pruned) and V(leftover_removed).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    reason:
      description:
        - Why it was exported, or why not. V(missing), there was no complete package; V(changed);
          V(unknown), nobody can know whether its disks were written; V(asked), by
          O(refresh=always); V(unchanged); V(present), with O(refresh=missing); V(fresh), by
          O(fresh_hours).
      type: str
      sample: unchanged
    package:
      description: The package that is there. Null where there is none, and in check
        mode for one that would be made.
      type: dict
      contains:
        name:
          description: What its files begin with.
          type: str
        format:
          description: As O(format).
          type: str
        path:
          description: Its descriptor or its archive, for C(source) of
            M(vforge.vsphere.cached_ovf_template).
          type: str
          sample: /var/lib/exports/web-1/web-1.ovf
        at:
          description: When it was made, in UTC.
          type: str
          sample: "2026-05-01T02:00:00+00:00"
        consistency:
          description:
            - V(crash), the disks are as after a power failure; V(file_system), the guest had
              written all, since Tools had quiesced it or it was shut down.
          type: str
          sample: file_system
        memory:
          description: Whether it has the memory of the VM. Always V(false).
          type: bool
        size:
          description: Bytes of all its files.
          type: int
        files:
          description: Its files with C(name), C(size), C(sha256) and C(role), which is
            V(descriptor), V(manifest), V(disk), V(nvram) or V(archive).
          type: list
          elements: dict
        disks:
          description:
            - Its disks with C(label), C(file), C(size), C(sha256) and C(capacity) in bytes.
            - Of those that were received in this run C(seconds), C(mib_per_second), C(populated)
              (bytes of the disk that are in use, where the host says it) and C(witnessed) (whether
              the host has reported size or digest).
          type: list
          elements: dict
    snapshot:
      description: The snapshot that was exported, with C(moid), C(created) and
        C(removed); null where there was none.
      type: dict
    removed:
      description: The packages that were removed, with C(name), C(at) and C(size).
      type: list
      elements: dict
    withheld:
      description: The keys of guestinfo that did not go along.
      type: list
      elements: str
    seconds:
      description: Seconds that vCenter has worked on its snapshot; null without one.
      type: float
    warnings:
      description: What should be known of this VM.
      type: list
      elements: str
    error:
      description: For a VM that failed its C(error_code) and C(msg).
      type: dict
failures:
  description: The VMs that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(vms)
  type: list
  elements: dict
counts:
  description: How many VMs were V(exported), V(unchanged) or V(failed).
  returned: as RV(vms)
  type: dict
  sample: {"exported": 1, "unchanged": 11}
bytes_received:
  description: Bytes that were received, of all VMs.
  returned: as RV(vms)
  type: int
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
    - A stable code for what went wrong, such as V(not_found), V(invalid_option) or
      V(partial_failure). In RV(vms[].error) it is V(not_exportable), V(export_broken),
      V(export_incomplete) or V(file_unwritable), for example.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._export.model import ExportOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._export.task import run as run_export


def _of_a_vm():
    """What is asked of one VM."""
    snapshot = {
        "name": {"type": "str"},
        "path": {"type": "str"},
        "moid": {"type": "str"},
        "current": {"type": "bool", "default": False},
    }
    return {
        # Not current, which has a default: Ansible counts that as set.
        "snapshot": {"type": "dict", "options": snapshot, "mutually_exclusive": [["name", "path", "moid"]]},
        "package": {"type": "str"},
    }


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        **_of_a_vm(),
        "vm": _argspec.vm(),
        "vms": _argspec.vms(_of_a_vm()),
        "datacenter": {"type": "str"},
        "dest": {"type": "path", "required": True},
        "format": {"type": "str", "choices": ["ovf", "ova"], "default": "ovf"},
        "quiesce": {"type": "str", "choices": ["try", "require", "no"], "default": "try"},
        "refresh": {"type": "str", "choices": ["changed", "missing", "always"], "default": "changed"},
        "extra_config": {"type": "list", "elements": "str", "default": []},
        "property_values": {"type": "bool", "default": False},
        "fresh_hours": {"type": "int", "default": 0},
        "dated": {"type": "bool", "default": False},
        "keep_last": {"type": "int"},
        "keep_days": {"type": "int"},
        "keep_daily": {"type": "int"},
        "keep_weekly": {"type": "int"},
        "keep_monthly": {"type": "int"},
        **_argspec.parallel(),
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(_argspec.connection_rules(), _argspec.one_of("vm", "vms"))


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), ExportOptions.from_params)
    run(
        module,
        ExportOptions.from_params,
        lambda session, options: run_export(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
