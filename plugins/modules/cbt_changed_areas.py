# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changed block tracking: switch it on, ask what changed, prove it."""

DOCUMENTATION = r"""
module: cbt_changed_areas
short_description: Track changed blocks of virtual disks, and ask which areas changed
version_added: 0.9.0
description:
  - Switches changed block tracking (CBT) on, makes it active and proves that it is; or asks which
    areas of disks changed since an earlier time. Of one VM or of many in one task.
  - Every answer is proved to cover the whole disk, whatever its size. Answers that overlap
    or are not in order are refused.
  - Where vCenter cannot tell what changed, the disk is reported as one that has to be read whole,
    with the reason. That is never an empty list, which would look like "nothing changed".
  - A snapshot that is made for the question is removed in every ending, signals included. Where
    the module was killed, the next run on the same VM recognizes the snapshot and removes it.
    Snapshots of yours are never touched.
  - Of a list, a VM that cannot be found, or that is one of several, is a failure of
    its own, and the others go on.
options:
  state:
    description:
      - V(queried) asks what changed. Where there is an O(state_file), the question is noted in it
        as one that was asked; from where the next one asks stays as it is. It is a state of this
        module, and no C(_info) module, since most questions make a snapshot, which stuns a running
        VM; what they note, and the left-over snapshots that they remove, stay changed.
      - V(committed) notes in the O(state_file) that the answer to O(question) was used, such as by
        a backup that succeeded. From then on questions ask from where that answer ended. Once more
        it changes nothing. Needs no vCenter. With O(vm) or O(vms) only of these VMs.
      - V(enabled) switches tracking on and makes it active, as O(activation) says. The VM must have
        no snapshots. Where tracking is active already, nothing is done.
      - V(disabled) switches tracking off. vSphere goes on tracking until the VM is next powered on,
        or has a snapshot made or removed. After it has stopped, all disks have to be read whole.
      - V(reset) has tracking begin again, such as after an audit
        (O(vforge.vsphere.vm_backup#module:mode)) has found that it misses changes. It is switched
        off and on, each made effective by a snapshot that is made and removed; two short stuns of a
        running VM. Afterwards all disks have to be read whole. Each run resets again.
    type: str
    choices: [queried, committed, enabled, disabled, reset]
    default: queried
  vm:
    description:
      - The VM, named in exactly one way. Either this, O(vms) or O(first_class_disk) is
        required, but with O(state=committed).
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
  datacenter:
    description:
      - Name or path of the datacenter to look in. Without it the whole inventory is searched.
    type: str
  disks: &disks
    description:
      - The disks to ask about, each named in exactly one way. Without it all disks of the VM.
    type: list
    elements: dict
    suboptions:
      label:
        description: Label of the disk, such as V(Hard disk 1).
        type: str
      key:
        description: Device key of the disk, such as V(2000).
        type: int
      unit:
        description: Controller, bus and unit of the disk, such as V(scsi0:1),
          V(sata0:0), V(nvme0:2) or V(ide0:0).
        type: str
      backing:
        description: File of the disk, such as V([datastore1]
          web-1/web-1.vmdk), or one that it builds on.
        type: str
      change_id:
        description: What to compare this disk with; see O(change_id).
        type: str
  change_id: &change_id
    description:
      - What to compare the disks with. A changeId of an earlier run, or V(*)
        for all areas that are in use.
      - A changeId of one disk means nothing for another one; where there
        are several, give it in O(disks).
      - With O(state_file) it is for disks of which the file knows nothing yet; without
        it, those have to be read whole.
      - By default V(*) where there is no O(state_file).
    type: str
  snapshot: &snapshot
    description:
      - An existing snapshot to ask about, named in exactly one way. It stays.
        Without it see O(create_snapshot).
      - A text is its name, or its path where it begins with a slash.
    type: dict
    suboptions:
      name:
        description: Name of the snapshot. When several have it, the VM fails
          and lists their paths and moids.
        type: str
      path:
        description:
          - Names from the root of the snapshot tree down to it, joined by
            slashes, such as V(base/patched).
          - A slash within a name is written V(%2f).
        type: str
      moid:
        description: Managed object ID of the snapshot, such as V(snapshot-42).
        type: str
      current:
        description: Whether the current snapshot is meant.
        type: bool
        default: false
  vms:
    description:
      - The VMs, when there is more than one. They are worked on at once, in one session, with
        one lookup and one wait a step.
    type: list
    elements: dict
    suboptions:
      <<: *vm
      disks: *disks
      change_id: *change_id
      snapshot: *snapshot
  first_class_disk:
    description:
      - A first class disk that no VM has, asked about in place of O(vm) and
        O(vms), with O(state=queried).
      - It is tracked where its control flag is set, see
        O(vforge.vsphere.first_class_disk#module:disks[].change_tracking). The snapshot that is made
        for the question is removed in every ending that leaves time for it.
      - Of one that a VM has, that VM is asked.
    type: dict
    suboptions:
      id:
        description: ID of the disk.
        type: str
      name:
        description: Name of the disk. Where several have it, the message lists their IDs.
        type: str
      datastore:
        description: The datastore on which it is, by its name, its inventory path or its moid.
        type: str
        required: true
      snapshot:
        description: An existing snapshot of it to ask about. It stays. Without it one
          is made, see O(create_snapshot).
        type: dict
        suboptions:
          id:
            description: ID of the snapshot.
            type: str
          description:
            description: Description of the snapshot.
            type: str
  create_snapshot:
    description:
      - Whether a snapshot is made for the question, and removed with it.
      - V(auto) makes one unless the VM is powered off. A running VM cannot be asked without.
    type: str
    choices: [auto, always, never]
    default: auto
  quiesce:
    description:
      - Whether VMware Tools bring the file systems of the guest to
        rest before the snapshot is made.
    type: bool
    default: false
  memory:
    description:
      - Whether the snapshot has the memory of the VM. Not together with O(quiesce).
    type: bool
    default: false
  activation:
    description:
      - How tracking is made active when it is switched on. Switching alone does nothing
        until the disks are opened again.
      - V(snapshot) makes a snapshot and removes it, which stuns the VM for a moment.
      - V(power_cycle) powers a running VM off, without asking its guest, and on again. For a VM
        that is off it does the same as V(snapshot).
    type: str
    choices: [snapshot, power_cycle]
    default: snapshot
  on_full_required:
    description:
      - Whether a disk that has to be read whole is a failure. It is in the result either way.
      - With V(fail) the O(state_file) keeps what it knows of this disk.
    type: str
    choices: [report, fail]
    default: report
  on_excluded:
    description:
      - Whether a disk of which nothing can be known is a failure, such as an independent one.
    type: str
    choices: [report, fail]
    default: report
  return_areas:
    description:
      - Whether the areas are returned. With V(false) there are figures alone, such as for a
        report, and no files of areas.
    type: bool
    default: true
  areas_limit:
    description:
      - How many areas of a disk the result may hold. Where there are more, all
        of them are in a file instead.
      - At most V(100000), which is also what the result holds of all disks together; the areas of
        further disks are in files. So a result never takes more than some 100 MB of memory.
    type: int
    default: 1000
  areas_directory:
    description:
      - Folder, on the machine that runs the module, for files of areas. They are named by
        instance UUID and device key. The next run replaces the file of a disk, or removes it
        where the areas are in the result.
      - By default a new folder in the temporary one, which only this user can read. It goes where a
        signal ends the run, and where nothing could be written into it.
    type: path
  areas_compress:
    description:
      - Whether files of areas are compressed. Needs the Python library zstandard.
    type: bool
    default: false
  state_file:
    description:
      - File, on the machine that runs the module, that keeps from where each disk is asked. A task
        that runs every night asks what changed since the last answer that was used. It also keeps
        figures of the last 30 of them, see O(runs).
      - A question alone moves nothing on. O(state=committed) does, when its answer was used. Until
        then the next question asks from the same point again, warns, and returns the earlier
        questions in RV(uncommitted). So an answer that was lost on its way, or a backup that
        failed, loses nothing.
      - With O(state=enabled) it is only made sure that this file and those in O(areas_directory)
        can be written, and that this user may read changed areas. So a play that switches tracking
        on and then asks fails before anything was changed.
      - It must be a regular file of this user or of root that nobody else may write, in folders for
        which the same holds. The same is true for the files in O(areas_directory).
      - It is written whole or not at all, after the files of areas, under a
        lock that is a file beside it.
    type: path
  question:
    description:
      - With O(state=committed), which question is meant, as RV(question.id) of
        the task that asked returned it.
    type: str
  runs:
    description:
      - How many of the last runs about each disk the result has in RV(vms[].disks[].runs), this one
        included, with what changed in each of at most 64 regions of the disk. For reports; see
        M(vforge.vsphere.changed_areas_page).
      - Earlier runs are known from the O(state_file), which keeps 30 of each disk.
      - A result has V(4000) of them at the most, of all disks together; of very many disks
        each has fewer, and one at least.
    type: int
    default: 0
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
      - As many snapshots of the task exist at the same time.
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
      - Makes no snapshot and writes no file. What can be asked without a snapshot of its own is
        asked; of the other disks the result has what they would be compared with.
  diff_mode:
    support: full
  idempotent:
    support: full
    details:
      - A question leaves the VM as it was and is no change, and neither are the files
        that it writes. Removing the left-over snapshot of an earlier run is one.
        O(state=reset) resets each time.
  action_group:
    support: full
notes:
  - Needs the privileges VirtualMachine.Config.ChangeTracking to switch;
    VirtualMachine.State.CreateSnapshot and VirtualMachine.State.RemoveSnapshot to make and remove
    snapshots; VirtualMachine.Provisioning.DiskRandomRead to ask; for O(activation=power_cycle)
    VirtualMachine.Interact.PowerOff and VirtualMachine.Interact.PowerOn. What is missing is named
    before anything is done, in check mode too.
  - What changed may be reported with more around it, never with less. That is how vSphere tracks.
seealso:
  - module: vforge.vsphere.changed_areas_page
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Track the disks of two VMs from now on
  vforge.vsphere.cbt_changed_areas:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    state: enabled
    vms:
      - name: web-1
      - path: /DC0/vm/databases/db-1

- name: Every night
  block:
    - name: What changed since the last backup
      vforge.vsphere.cbt_changed_areas:
        vms:
          - name: web-1
          - path: /DC0/vm/databases/db-1
        state_file: /var/lib/backup/changed-areas.json
        areas_directory: /var/lib/backup/areas
      register: night

    - name: Back that up, by tasks of your own
      ansible.builtin.include_tasks: backup.yml

    # Not reached when one of those fails: the next night then asks from the same point again.
    - name: From here on the next night asks
      when: night.question is not none  # in check mode nothing was noted
      vforge.vsphere.cbt_changed_areas:
        state: committed
        state_file: /var/lib/backup/changed-areas.json
        question: "{{ night.question.id }}"

- name: Commit a part of a question, of the one VM whose backup succeeded
  when: night.question is not none
  vforge.vsphere.cbt_changed_areas:
    state: committed
    state_file: /var/lib/backup/changed-areas.json
    question: "{{ night.question.id }}"
    vm:
      name: web-1

- name: Which areas of the first disk are in use, at a snapshot that is there
  vforge.vsphere.cbt_changed_areas:
    vm:
      name: db-1
    snapshot:
      path: base/patched
    disks:
      - label: Hard disk 1
        change_id: "*"

- name: What changed since a changeId that was kept elsewhere, many areas into a file
  vforge.vsphere.cbt_changed_areas:
    vm:
      name: db-1
    quiesce: true
    disks:
      - unit: scsi0:1
        change_id: 52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81
    areas_directory: /var/tmp/areas
    on_full_required: fail
"""

RETURN = r"""
first_class_disks:
  description:
    - The entry of O(first_class_disk), with C(name), C(id), C(path), C(datastore),
      C(tracking), the ID of the C(snapshot) that was asked about, and otherwise what the
      entries of RV(vms[].disks) have.
  returned: with O(first_class_disk)
  type: list
  elements: dict
vms:
  description:
    - One entry for each VM, in the order of the options, also when the task fails. Of one that
      could not be found it has what named it.
    - With O(state=committed) those of which something was committed, as they were when they were
      asked about, with C(name), C(moid), C(path), C(instance_uuid), C(changed), and of their
      C(disks) the C(label), C(key), C(since) and C(change_id).
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
    tracking:
      description: Whether tracking is switched on.
      type: bool
    actions:
      description:
        - What was done, or in check mode would be done, of V(leftover_removed), V(switched_off),
          V(deactivated), V(switched_on) and V(activated).
        - V(activated) is there when every disk was seen to have a changeId.
        - After a failure also what was done of a step that did not come to its end. V(powered_off),
          V(powered_on) and V(snapshot_created) of an activation, V(started) where vCenter still
          worked on it when the task ended.
        - V(snapshot_created) also where a snapshot for the question could not be removed.
      type: list
      elements: str
    changed:
      description: Whether this VM was changed.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it. Null where it did not.
      type: float
    snapshot:
      description:
        - The snapshot that was asked about, with its C(moid), whether it was C(created) by
          this task, and C(removed) again.
        - Null where there was none.
      type: dict
    disks:
      description: The disks that were asked about.
      type: list
      elements: dict
      contains:
        label:
          description: Label.
          type: str
          sample: Hard disk 1
        key:
          description: Device key.
          type: int
          sample: 2000
        unit:
          description: Controller, bus and unit.
          type: str
          sample: scsi0:0
        backing:
          description: File.
          type: str
          sample: "[datastore1] web-1/web-1.vmdk"
        capacity:
          description: Bytes.
          type: int
        change_id:
          description: What to keep, and to compare with next time. It stays
            valid when the snapshot is gone.
          type: str
          sample: 52 de c0 d9 b9 43 9d 10-61 d5 4c 1b e9 7b 65 63/81
        since:
          description: What it was compared with; null where nothing was known. With
            O(state=committed), from where it was asked before.
          type: str
        uncommitted:
          description: IDs of earlier questions that were asked from the same point and
            never committed, the oldest first.
          type: list
          elements: str
        full_required:
          description: Whether the disk has to be read whole.
          type: bool
        full_required_code:
          description:
            - Why, as V(no_change_id), V(tracking_restarted), V(disk_replaced),
              V(capacity_changed), V(delta_disk_gone), V(change_id_newer), V(not_tracked),
              V(no_epoch), V(change_id_unknown) or V(vcenter_refused).
          type: str
        full_required_reason:
          description: Why, as a sentence.
          type: str
        area_count:
          description: Number of areas, those that touch each other counted as
            one. Null where it is not known.
          type: int
        changed_bytes:
          description: Bytes in them. Null where it is not known.
          type: int
        changed_percent:
          description: Their share of the capacity.
          type: float
        areas:
          description: The areas, each with its C(start) and C(length) in bytes. Null where they are
            in a file, not known, or not asked for.
          type: list
          elements: dict
        areas_file:
          description: File of the areas, one in a line as JSON; null where there is none.
          type: str
        runs:
          description:
            - The last runs about this disk, the oldest first, where O(runs) asks for them.
            - Each with C(at) (when it was, in UTC), C(change_id), C(areas) (their number),
              C(changed_bytes), C(regions) (changed bytes by region; regions have equal sizes, the
              last one may be smaller) and C(full_required), the code of the reason for which the
              disk had to be read whole, or null.
          type: list
          elements: dict
        error:
          description: For a disk that failed its C(error_code) and C(msg).
          type: dict
    excluded:
      description:
        - The disks of which nothing can be known, with the C(code) V(independent),
          V(physical_rdm), V(backing) or V(not_tracked), and the C(reason); and with C(label),
          C(key), C(unit), C(backing) and C(capacity).
      type: list
      elements: dict
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
  description: How many VMs were V(changed), V(unchanged) or V(failed).
  returned: as RV(vms), but with O(state=committed)
  type: dict
  sample: {"unchanged": 11, "failed": 1}
totals:
  description:
    - Sums over all disks; C(vms), C(failures), C(disks), C(excluded_disks), C(full_required_disks),
      C(areas), C(capacity), C(changed_bytes), and C(bytes_to_read), in which a disk that has to be
      read whole counts with its capacity.
  returned: as RV(vms)
  type: dict
stopped:
  description:
    - Why the task as a whole ended early or could not write what it found, as
      C(error_code) and C(msg); what the result has of the VMs is then what was known
      until there. After a signal no question is noted.
  returned: when that happened
  type: dict
question:
  description:
    - The question as the O(state_file) has it.
    - Null where it was not noted, without a O(state_file), in check mode
      and when a signal ended the run.
  returned: as RV(vms)
  type: dict
  contains:
    id:
      description: Its ID, which O(question) takes.
      type: str
      sample: 5f1c0e9ad2b34c77
    at:
      description: When it was asked, in UTC.
      type: str
      sample: "2026-05-01T02:00:00.000+00:00"
    disks:
      description: On how many disks it can be committed; with
        O(state=committed), on how many it was now.
      type: int
uncommitted:
  description:
    - Earlier questions that were never committed, from whose point this one asks once more, each
      with its ID as C(question) and when it was asked as C(at), the oldest first.
  returned: with O(state=queried)
  type: list
  elements: dict
state_saved:
  description: Whether the state file was written.
  returned: as RV(vms)
  type: bool
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
      V(partial_failure). In RV(vms[].error) it is V(full_required), V(disk_excluded),
      V(inconsistent_areas) or V(tracking_not_proved), for example.
    - Where the task has only one VM, it is that VM's own.
    - Of files V(file_refused), for one that is no regular file or that others may have
      changed, V(file_missing), V(file_unreadable), V(file_unwritable),
      V(state_file_damaged) and V(question_unknown).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt import first_class, task
from ansible_collections.vforge.vsphere.plugins.module_utils._cbt.model import COMMITTED, AreaOptions


def _of_a_vm():
    """What is asked of one VM, or of all of them at once."""
    disk = {
        "label": {"type": "str"},
        "key": {"type": "int", "no_log": False},
        "unit": {"type": "str"},
        "backing": {"type": "str"},
        "change_id": {"type": "str"},
    }
    snapshot = {
        "name": {"type": "str"},
        "path": {"type": "str"},
        "moid": {"type": "str"},
        "current": {"type": "bool", "default": False},
    }
    return {
        "disks": {"type": "list", "elements": "dict", "options": disk, **_argspec.one_of("label", "key", "unit", "backing")},
        "change_id": {"type": "str"},
        # Not current, which has a default: Ansible counts that as set.
        "snapshot": {"type": "dict", "options": snapshot, "mutually_exclusive": [["name", "path", "moid"]]},
    }


def argument_spec():
    """The options of the module."""
    first_class_disk = {
        "id": {"type": "str"},
        "name": {"type": "str"},
        "datastore": {"type": "str", "required": True},
        "snapshot": {
            "type": "dict",
            "options": {"id": {"type": "str"}, "description": {"type": "str"}},
            **_argspec.one_of("id", "description"),
        },
    }
    return {
        **_argspec.connection(),
        **_of_a_vm(),
        "state": {"type": "str", "choices": ["queried", "committed", "enabled", "disabled", "reset"], "default": "queried"},
        "vm": _argspec.vm(),
        "vms": _argspec.vms(_of_a_vm()),
        "first_class_disk": {
            "type": "dict",
            "options": first_class_disk,
            **_argspec.one_of("id", "name"),
        },
        "datacenter": {"type": "str"},
        "create_snapshot": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
        "quiesce": {"type": "bool", "default": False},
        "memory": {"type": "bool", "default": False},
        "activation": {"type": "str", "choices": ["snapshot", "power_cycle"], "default": "snapshot"},
        "on_full_required": {"type": "str", "choices": ["report", "fail"], "default": "report"},
        "on_excluded": {"type": "str", "choices": ["report", "fail"], "default": "report"},
        "return_areas": {"type": "bool", "default": True},
        "areas_limit": {"type": "int", "default": 1000},
        "areas_directory": {"type": "path"},
        "areas_compress": {"type": "bool", "default": False},
        "state_file": {"type": "path"},
        "question": {"type": "str"},
        "runs": {"type": "int", "default": 0},
        **_argspec.parallel(),
        **_argspec.timeout(3600),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "mutually_exclusive": [["vm", "vms", "first_class_disk"]],
            "required_if": [
                ["state", "queried", ["vm", "vms", "first_class_disk"], True],
                *(["state", state, ["vm", "vms"], True] for state in ("enabled", "disabled", "reset")),
                ["state", "committed", ["state_file", "question"]],
            ],
        },
    )


def _prepared(params):
    """The options, after a look at whether what comes last can be done."""
    options = AreaOptions.from_params(params)
    task.prepare(options)
    return options


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), AreaOptions.from_params)

    def work(session, options):
        if options.disk is not None:
            return first_class.run(session, options, options.disk, check=module.check_mode)
        return task.run(session, options, check=module.check_mode)

    def alone(options, _tell):
        return task.commit(options, module.warn, check=module.check_mode) if options.state == COMMITTED else None

    run(module, _prepared, work, alone)


if __name__ == "__main__":
    main()
