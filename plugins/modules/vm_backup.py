# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Back up VMs by changed areas."""

DOCUMENTATION = r"""
module: vm_backup
short_description: Back up VMs by changed areas, into images that qemu-img reads
version_added: 0.9.0
description:
  - Backs VMs up into a repository, one VM or many in one task. The first backup of a disk has all
    of it, each later one what changed, by changed block tracking. No VDDK is needed.
  - A backup is a folder in the repository, called a point. It has an image of each disk (qcow2,
    over that of the point before), the SHA-256 of each MiB, and a manifest. Every point reads as
    the whole disk. It can be read, mounted and started without this collection.
  - A snapshot is made of each VM and removed in every ending, signals included. Where the
    module was killed, the next run on the same VM recognizes the snapshot and removes it, and
    removes what was half written.
  - What is written is read back and compared before the point is there. A
    point is there whole or not at all.
  - A disk is read whole where vCenter cannot say what changed, for example after a revert.
    RV(vms[].disks[].reason) says why.
  - Tracking is switched on by M(vforge.vsphere.cbt_changed_areas) with its state V(enabled).
    Without it every backup is a full one.
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
    suboptions: *vm
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
    type: str
  repository:
    description:
      - Folder of the backups, on the machine that runs the module, on any file system. It must be
        there, must be this user's or root's, and nobody else may write into it.
      - In a job of AWX or of ansible-runner, which plays in a container, a folder of the container
        itself is refused. The backups in it would be gone when the job ends.
    type: path
    required: true
  mode:
    description:
      - V(auto) reads what changed where vCenter can say it, else all of a disk.
      - V(full) reads all, whatever tracking says; of a disk that comes from an NBD server all
        that this one does not call a hole. Of a disk that V(auto) reads whole only what is in
        use is read, as tracking knows it.
      - V(incremental) fails a VM of which a disk would have to be read whole.
      - V(audit) reads all, compares it with the newest backup, and says what changed block tracking
        has missed, in RV(vms[].disks[].missed) and as a warning. What differs is in the new point,
        so that this one is right in any case. A disk of which vCenter cannot say what changed is
        read whole. Tracking is reset by M(vforge.vsphere.cbt_changed_areas) with its state
        V(reset).
    type: str
    choices: [auto, full, incremental, audit]
    default: auto
  transport:
    description:
      - How the disks of a snapshot are read. Before the snapshot is made, each transport says of a
        VM whether it leads to its disks, and why not. RV(vms[].transports) has that, and so has the
        error of a VM that cannot be read.
      - V(nbd) reads from a server that O(nbd) names.
      - V(hotadd) attaches the disks, one at a time, to the VM that the module runs in, reads them
        there, and detaches them. It needs nothing but vCenter's public API. See O(hotadd).
      - V(datastore_http) reads ranges of the disk's file from the vCenter, over HTTPS. The VM must
        be powered off and have no snapshots, and the datastore must not be vSAN.
      - V(export) receives whole disks by an export lease, with nothing but vCenter and its hosts,
        in any power state. Every backup by it is a full one.
      - V(auto) is the first of V(nbd), V(hotadd) and V(datastore_http) that leads to all disks of a
        VM, since these read increments. With O(mode=incremental) it fails a VM to whose disks none
        of them leads. Otherwise it reads that VM by V(export), with a warning where its changes are
        tracked.
    type: str
    choices: [auto, nbd, hotadd, datastore_http, export]
    default: auto
  nbd:
    description:
      - Where the disk of a snapshot is served over NBD.
      - In both suboptions C({vm}) and C({snapshot}) are managed object IDs, C({file}) is the path
        of the disk on its datastore, C({key}) its device key, C({server}) the vCenter, C({user})
        its user, C({thumbprint}) the SHA-256 of its certificate as C(AA:BB:...),
        C({thumbprint_sha1}) the SHA-1, and C({libdir}) is O(nbd.libdir).
    type: dict
    suboptions:
      uri:
        description:
          - URI of a server that is there, such as V(nbd://10.0.0.5/{snapshot}-{key}). It must take
            O(streams) connections at the same time, which C(qemu-nbd) does with C(--shared).
        type: str
      command:
        description:
          - A program and its arguments that serves the disk on the socket that it gets
            as systemd gives one, as C(nbdkit) does. It is started for each of
            O(streams) and ended with its connection.
          - Command lines can be seen by other users of the machine. C({password_file}) is a path
            from which the program reads the password of the connection. It is memory that no other
            program has, and nothing of it is left on a disk.
          - Where one of its words is C(vddk), C(nbdkit vddk --dump-plugin) is asked first whether
            plugin and library are there. Debian's nbdkit has no such plugin. That of Fedora and
            RHEL has it in the package C(nbdkit-vddk-plugin), and so has nbdkit's source.
        type: list
        elements: str
      libdir:
        description:
          - Folder of VDDK, or of OpenVDDK, which takes its place.
        type: path
  hotadd:
    description:
      - How disks are attached to the VM that the module runs in.
      - That VM needs C(disk.EnableUUID=TRUE) in its extraConfig, a SCSI controller with a free
        place, a guest with udev, and root, or a user of the group that may read disks. Its host
        must have the datastores of the disks. It must be in the same datacenter. Disks on vSAN need
        a VM that lies on vSAN alone, encrypted ones an encrypted VM.
      - Disks are attached as independent nonpersistent ones, so that nothing is
        ever written to their files. What a run that was killed has left attached,
        the next one on the same VM detaches.
      - Keep Storage vMotion off the VMs meanwhile, since it would have to
        remove files that are attached.
      - Keep LVM and multipath in that VM from using foreign disks by themselves
        (C(filter) in F(/etc/lvm/lvm.conf)).
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
  quiesce:
    description:
      - Whether VMware Tools bring the file systems of a running guest to rest for the snapshot.
      - V(try) does without where they do not run, or fail at it. A failure is a warning, and
        RV(vms[].point.consistency) says what was reached.
      - V(require) fails such a VM. V(no) does not try.
    type: str
    choices: ["try", "require", "no"]
    default: "try"
  scripts:
    description:
      - Scripts for the guests of running VMs, before and after the snapshot, that bring
        applications to rest for it. They need VMware Tools, O(guest_username) and
        O(guest_password). POSIX shell on Linux, PowerShell on Windows.
      - The script after runs right after the snapshot, before anything is read. It runs in every
        ending of the one before, also where that failed, where there is no snapshot, after a signal
        and when the time is over. Where the module was killed between the two, the next run on this
        VM begins with it.
      - RV(vms[].point.consistency) is V(application-consistent) only if the script before
        succeeded, and the file systems were quiesced or O(quiesce=no).
      - Without effect for VMs that do not run.
    type: dict
    suboptions:
      before:
        description:
          - Script for the time before the snapshot, such as one that flushes a database and holds
            its writes back. It fails with any other exit code than 0.
          - A text that looks like the path of a file is refused. The text of a file comes by
            P(ansible.builtin.file#lookup).
          - Not shown at any verbosity, since a script may hold secrets. What it prints
            is in the result where it fails.
        type: str
      after:
        description:
          - Script for the time after it, which undoes what C(before) has done, also a part of it.
          - Where it fails, the backup is there all the same, and its VM is reported as failed or
            with a warning, by C(on_failure).
        type: str
      timeout:
        description:
          - Seconds that each script may take. It is terminated then, and counts as failed.
        type: int
        default: 60
      on_failure:
        description:
          - V(fail) fails a VM in which a script fails, and makes no
            snapshot where that is the one before.
          - V(continue) makes its backup without scripts, as O(quiesce) says, with a warning.
        type: str
        choices: [fail, continue]
        default: fail
  excluded_disks:
    description:
      - What becomes of a VM with disks that snapshots leave out (independent ones, and
        raw devices in physical mode).
      - V(report) backs up the others and says so in RV(vms[].disks[].kind). V(fail) fails the VM.
    type: str
    choices: [report, fail]
    default: report
  gap:
    description:
      - Changed areas with at most so many unchanged KiB between them are read at once,
        which is faster than two requests.
      - It may be 0 to 65536.
    type: int
    default: 256
  streams:
    description:
      - Connections to each disk at the same time. It may be 1 to 16.
    type: int
    default: 4
  max_chain:
    description:
      - At most so many images stand one over the other. Where a new point would make them more, the
        newest one is made a synthetic full before, from the repository alone. RV(vms[].merged)
        names it. It takes the time and the room of a full backup, and is done before there is a
        snapshot.
      - Whoever reads an image has all that are below it open, so chains
        have an end. It may be 2 to 500.
    type: int
    default: 100
  fresh_hours:
    description:
      - A VM with a point that is not older than so many hours is left as it is, so that a run after
        a failure backs up exactly the VMs that are missing.
      - With V(0) each run makes another point of each VM.
    type: int
    default: 0
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. As many VMs are backed up at a time,
        and as many snapshots of the task exist.
      - No VM waits for the slowest of others. Each is begun as soon as one has ended.
    type: int
    default: 8
  per_host:
    description:
      - How many VMs of one ESXi host are backed up at the same time, at the most. V(0)
        is for as many as O(parallel).
    type: int
    default: 0
  per_datastore:
    description:
      - How many VMs with a disk on one datastore are backed up at the same time, at the most. V(0)
        is for as many as O(parallel).
    type: int
    default: 0
  timeout:
    description:
      - Seconds that the task may take, from its beginning. Removing its
        snapshots is not limited by it.
    type: int
    default: 3600
extends_documentation_fragment:
  - vforge.vsphere.guest
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Makes no snapshot and writes no file. Of each disk it says whether it would
        be read whole, as far as that is known without asking what changed. With
        O(scripts) it logs in to the guests.
  diff_mode:
    support: none
  idempotent:
    support: partial
    details:
      - With O(fresh_hours). Else each run makes another point of each VM.
  action_group:
    support: full
requirements:
  - qemu-img and qemu-nbd 6.1 or later
  - python3-libnbd 1.14 or later, for the Python that runs the module
notes:
  - Needs the privileges VirtualMachine.State.CreateSnapshot and VirtualMachine.State.RemoveSnapshot
    on the VM, for increments VirtualMachine.Provisioning.DiskRandomRead as well, for
    O(transport=export) VApp.Export, for O(transport=datastore_http) Datastore.FileManagement on the
    datastore.
  - Needs StorageProfile.View on the vCenter. Without it a warning says that the backups have no
    storage policies.
  - O(transport=hotadd) needs VirtualMachine.Config.AddExistingDisk, VirtualMachine.Config.RemoveDisk
    and VirtualMachine.Config.AdvancedConfig on the VM that the module runs in.
  - O(scripts) need VirtualMachine.GuestOperations.Execute, VirtualMachine.GuestOperations.Modify
    and VirtualMachine.GuestOperations.Query, and port 443 of the hosts.
  - Independent disks and raw devices in physical mode are in no snapshot, and in no backup.
  - A VM with a 4Kn disk (vSphere 9.0 and later) is refused, with the error code V(sector_format),
    since a restored disk has sectors of 512 bytes. M(vforge.vsphere.backup_clone) has vCenter
    clone the VM, with such disks, which was not tried.
  - Proved on a simulator alone, O(transport=hotadd) with files in place of devices. Images and
    points are proved by qemu-img there. nbdkit's plugin for VDDK was not tried.
seealso:
  - module: vforge.vsphere.cbt_changed_areas
  - module: vforge.vsphere.backup_info
  - module: vforge.vsphere.backup_repository
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Back up two VMs, whole, by an export lease
  vforge.vsphere.vm_backup:
    vms:
      - name: web-1
      - path: /DC0/vm/db/db-1
    repository: /srv/backups
    transport: export

- name: The same after a failure, for the VMs that have no backup of this night yet
  vforge.vsphere.vm_backup:
    vms:
      - name: web-1
      - path: /DC0/vm/db/db-1
    repository: /srv/backups
    transport: export
    fresh_hours: 12

- name: Back up a database at rest, at most two VMs of a datastore at a time
  vforge.vsphere.vm_backup:
    vm:
      name: db-1
    repository: /srv/backups
    per_datastore: 2
    guest_username: root
    guest_password: "{{ guest_root_password }}"
    scripts:
      before: |
        systemctl stop postgresql
      after: |
        systemctl start postgresql

- name: Back up what changed, read by nbdkit with a VDDK of your own
  vforge.vsphere.vm_backup:
    vm:
      name: db-1
    repository: /srv/backups
    mode: incremental
    transport: nbd
    nbd:
      command:
        - nbdkit
        - --foreground
        - vddk
        - libdir={libdir}
        - server={server}
        - user={user}
        - password=+{password_file}
        - thumbprint={thumbprint}
        - vm=moref={vm}
        - snapshot={snapshot}
        - "{file}"
      libdir: /opt/vmware-vix-disklib-distrib

- name: Back up what changed, from within a VM of the same vCenter, without any VDDK
  vforge.vsphere.vm_backup:
    vms:
      - name: web-1
      - name: db-1
    repository: /srv/backups
    mode: incremental
    transport: hotadd
    hotadd:
      proxy:
        name: backup-proxy
"""

RETURN = r"""
changed:
  description: Whether a point was made, or anything that an earlier run has left was removed.
  returned: as RV(vms)
  type: bool
repository:
  description: The folder of the backups.
  returned: as RV(vms)
  type: str
  sample: /srv/backups
vms:
  description: One entry for each VM, in the order of the options.
  returned: when the VMs were found
  type: list
  elements: dict
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
      description: Instance UUID of the VM, after which its folder in the repository is named.
      type: str
    actions:
      description: What was done, of V(leftover_removed), V(after_script_run) and V(backed_up).
      type: list
      elements: str
    changed:
      description: Whether anything was done.
      type: bool
    point:
      description: The new point, or by O(fresh_hours) the one that is new
        enough. Null where there is none.
      type: dict
      contains:
        id:
          description: Its name, which is that of its folder.
          type: str
        created:
          description: When it was made, in UTC.
          type: str
        kind:
          description: V(full), or V(incremental) where an image of it has a
            backing file in another point.
          type: str
        consistency:
          description: V(crash-consistent), V(file-system-consistent),
            V(application-consistent), or V(powered-off).
          type: str
        snapshot:
          description: Managed object ID of the snapshot that was read. It is gone by now.
          type: str
        disks:
          description: Its disks, with C(label), C(key), C(capacity), C(image), C(backing),
            C(change_id), C(transport), C(tracking) (V(active) or V(not_active)), C(reason) (why it
            was read whole), C(read) and C(written).
          type: list
          elements: dict
    merged:
      description: ID of the point that was made a synthetic full before, by
        O(max_chain). Null where none was.
      type: str
    snapshot:
      description: The snapshot that was made, with its C(moid) and whether it was
        C(removed). Null where there was none.
      type: dict
    transport:
      description: The transport that reads it; empty where none was chosen.
      type: str
    transports:
      description: What each transport said of the VM before its snapshot, with
        C(name), C(usable) and C(reason).
      type: list
      elements: dict
    scripts:
      description: >-
        What became of the scripts C(before) and C(after), each V(not_run), V(succeeded) or V(failed). Null where none was to
        run.
      type: dict
    disks:
      description: What was read of each disk.
      type: list
      elements: dict
      contains:
        label:
          description: Label of the disk.
          type: str
        key:
          description: Device key of the disk.
          type: int
        unit:
          description: Controller, bus and unit of the disk.
          type: str
        capacity:
          description: Its size in bytes.
          type: int
        kind:
          description: V(full), V(incremental), V(audit), or V(excluded) where no snapshot has it.
          type: str
        reason:
          description: Why it was read whole, or is excluded, with a stable C(code) and a sentence.
          type: dict
        read:
          description: Bytes that were read.
          type: int
        skipped:
          description: Bytes that were not, since they have not changed or are not in use.
          type: int
        written:
          description: Bytes of them that were written, since they are not all
            zeros; of an audit, those that differ.
          type: int
        missed:
          description:
            - What tracking has missed since the backup before, with O(mode=audit). C(bytes), and
              C(areas), the first hundred of them at most, each with C(start) and C(length). Null
              where the disk was not compared.
          type: dict
        transport:
          description: The transport that read it.
          type: str
        seconds:
          description: How long its reading and writing took. Null where it was not read.
          type: float
        rate:
          description: Bytes that were read in a second. With V(export) they are read from the file
            that came by the lease. Null where nothing was read.
          type: int
        consistency:
          description: As RV(vms[].point.consistency). Empty where there is no new point.
          type: str
    seconds:
      description: How long it took, from the lock to the end. Null where nothing was begun.
      type: float
    warnings:
      description: What nobody should overlook.
      type: list
      elements: str
    error:
      description: Why it has no new point, with C(error_code) and C(msg), which says what to do.
      returned: when it failed
      type: dict
detached:
  description: Files of disks that runs which were killed had left attached to the VM that the
    module runs in, and that were detached; in check mode would be.
  returned: as RV(vms)
  type: list
  elements: str
counts:
  description: How many VMs were C(backed_up), C(failed) and, by O(fresh_hours), C(unchanged).
  returned: as RV(vms)
  type: dict
missed:
  description:
    - The VMs of which tracking has missed changes, with O(mode=audit), each as
      C(moid), as other modules take them.
  returned: as RV(vms)
  type: list
  elements: dict
bytes_read:
  description: Bytes that were read from all disks.
  returned: as RV(vms)
  type: int
failures:
  description: The VMs that failed, with C(name), C(error_code) and C(msg), which says what to do.
  returned: as RV(vms)
  type: list
  elements: dict
timing:
  description: Seconds by phase. Those of VMs that are backed up at the same time add up.
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
      V(partial_failure). In RV(vms[].error) it is V(no_transport), V(full_required),
      V(consolidation_needed), V(read_back_failed), V(image_tool_failed) or V(backup_damaged), for
      example.
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.options import BackupOptions
from ansible_collections.vforge.vsphere.plugins.module_utils._backup.task import run as run_backups


def argument_spec():
    """The options of the module."""
    nbd = {"uri": {"type": "str"}, "command": {"type": "list", "elements": "str"}, "libdir": {"type": "path"}}
    scripts = {
        "before": {"type": "str", "no_log": True},
        "after": {"type": "str", "no_log": True},
        "timeout": {"type": "int", "default": 60},
        "on_failure": {"type": "str", "choices": ["fail", "continue"], "default": "fail"},
    }
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        "vm": _argspec.vm(),
        "vms": _argspec.vms({}),
        "datacenter": {"type": "str"},
        "repository": {"type": "path", "required": True},
        "mode": {"type": "str", "choices": ["auto", "full", "incremental", "audit"], "default": "auto"},
        "transport": {"type": "str", "choices": ["auto", "nbd", "hotadd", "datastore_http", "export"], "default": "auto"},
        "nbd": {
            "type": "dict",
            "options": nbd,
            "mutually_exclusive": [["uri", "command"]],
            "required_one_of": [["uri", "command"]],
        },
        "hotadd": _argspec.hotadd(),
        "quiesce": {"type": "str", "choices": ["try", "require", "no"], "default": "try"},
        "scripts": {"type": "dict", "options": scripts, "required_one_of": [["before", "after"]]},
        "excluded_disks": {"type": "str", "choices": ["report", "fail"], "default": "report"},
        "gap": {"type": "int", "default": 256},
        "streams": {"type": "int", "default": 4},
        "max_chain": {"type": "int", "default": 100},
        "fresh_hours": {"type": "int", "default": 0},
        "per_host": {"type": "int", "default": 0},
        "per_datastore": {"type": "int", "default": 0},
        **_argspec.parallel(),
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        _argspec.guest_rules(),
        _argspec.one_of("vm", "vms"),
        {"required_if": [["transport", "nbd", ["nbd"]]]},
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), BackupOptions.from_params)
    run(
        module,
        BackupOptions.from_params,
        lambda session, options: run_backups(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
