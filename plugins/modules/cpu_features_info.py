# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell which processors hosts have, what VMs require of processors,
and which VM could move where.
"""

DOCUMENTATION = r"""
module: cpu_features_info
short_description: Tell which processors hosts have, what VMs require of
  them, and which VM could move where
version_added: 0.9.0
description:
  - Tells vendor, family, model and stepping of the processors of hosts, decoded from the leaves of
    the CPUID instruction that vCenter holds, with the highest EVC mode and the feature
    capabilities, and what the EVC mode of a cluster hides of these.
  - Of VMs it tells the feature requirements, the masks, the lowest EVC mode that could admit them,
    and the processor that their guests are to see.
  - With O(compare) it says which VM could move to which host and cluster, and which features stand
    in the way. This takes a handful of calls and their pages, however many VMs there are.
  - With O(in_guest) it asks the guests themselves, and names what is
    another there than vCenter says.
  - Changes nothing.
options:
  hosts:
    description:
      - Hosts that are asked about, by their names, inventory paths or moids. All where neither
        O(hosts) nor O(clusters) is set.
    type: list
    elements: str
  clusters:
    description:
      - Clusters that are asked about, with their hosts, by their names, inventory paths or moids.
    type: list
    elements: str
  vms:
    description:
      - VMs that are asked about. With O(compare) and without O(vms) it is all that there are.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the VM. When several VMs have it, this one fails and lists their paths.
        type: str
      path:
        description:
          - Inventory path of the VM, such as V(/DC0/vm/web/golden), or its path below the VM folder
            of the datacenter that the task names.
          - A slash within a name is written V(%2f).
        type: str
      uuid:
        description:
          - BIOS UUID of the VM, or its instance UUID with O(vms[].use_instance_uuid=true).
        type: str
      use_instance_uuid:
        description:
          - Whether O(vms[].uuid) is the instance UUID, which vCenter keeps
            unique, rather than the BIOS UUID.
        type: bool
        default: false
      moid:
        description:
          - Managed object ID of the VM, such as V(vm-42).
        type: str
      folder:
        description:
          - Inventory path of the folder that holds the VM named by O(vms[].name).
        type: str
  compare:
    description:
      - Whether to say which VM could move to which of the hosts and clusters, and
        which features stand in the way.
      - What is compared are feature requirements and feature capabilities, behind the masks of EVC
        modes. Whether a VM can be migrated depends on networks, datastores and devices, too.
    type: bool
    default: false
  in_guest:
    description:
      - Whether the Linux guests of O(vms) are asked what they see. It is C(/proc/cpuinfo) that is
        read, and what the program C(cpuid) says where it is installed. This needs VMware Tools,
        O(guest_username) and O(guest_password), and puts a temporary file into each guest for as
        long as it takes.
    type: bool
    default: false
  datacenter:
    description:
      - Name or path of the datacenter to look in. All by default.
    type: str
  timeout:
    description:
      - Seconds that the task may take, from its beginning.
    type: int
    default: 300
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64. Each has a connection of its own.
      - Only O(in_guest) makes more than one.
    type: int
    default: 8
extends_documentation_fragment:
  - vforge.vsphere.guest
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
    details:
      - Never changes anything in vSphere.
  diff_mode:
    support: none
  idempotent:
    support: full
  action_group:
    support: full
notes:
  - Needs the privileges System.Read and System.View; for O(in_guest)
    C(VirtualMachine.GuestOperations.*) on the VMs, too.
  - Proved on the simulator alone. The rules by which CPUID is decoded agree with Debian's C(cpuid)
    and with libcpuid on each of two hundred real processors.
seealso:
  - plugin: vforge.vsphere.cpu_compatibility_table
    plugin_type: filter
  - module: vforge.vsphere.cpu_compatibility_page
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Which processors do the hosts of a cluster have?
  vforge.vsphere.cpu_features_info:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    clusters: [production]
  register: found

- name: Show them
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.cpu.microarchitecture }}, up to {{ item.max_evc_mode.label }}"
  loop: "{{ found.hosts }}"

- name: Which VMs could move to the new cluster?
  vforge.vsphere.cpu_features_info:
    clusters: [new]
    compare: true
  register: found

- name: Show it
  ansible.builtin.debug:
    msg: "{{ (found | vforge.vsphere.cpu_compatibility_table).splitlines() }}"

- name: Does the guest see what the EVC mode says?
  vforge.vsphere.cpu_features_info:
    vms:
      - name: web-1
    in_guest: true
    guest_username: root
    guest_password: "{{ guest_password }}"
  register: found
  failed_when: found.failed or found.vms[0].guest.differences | length > 0
"""

RETURN = r"""
hosts:
  description: The hosts that are asked about, in the order of their names.
  returned: on success, and when the task ended early
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    moid:
      description: Managed object ID.
      type: str
    path:
      description: Inventory path.
      type: str
    cluster:
      description: Inventory path of its cluster, or empty.
      type: str
    obstacle:
      description: Why it should get no VM now, such as V(it is in maintenance mode), or empty.
      type: str
    cpu:
      description: >-
        Which processor it has, by leaves 0 and 1 of CPUID. Null where vCenter does not have them.
      type: dict
      contains:
        vendor:
          description: V(intel), V(amd), V(hygon), V(zhaoxin) or V(via);
            others as the processor writes them.
          type: str
        family:
          description: Family, with the extended family where it counts.
          type: int
          sample: 6
        model:
          description: Model, with the extended model where it counts.
          type: int
          sample: 142
        stepping:
          description: Stepping.
          type: int
          sample: 9
        signature:
          description: EAX of leaf 1.
          type: str
          sample: "000806e9"
        microarchitecture:
          description: Name of its kind, or empty for one that is not known here.
          type: str
          sample: Kaby Lake
    description:
      description: The name of the model.
      type: str
      sample: Intel(R) Core(TM) i3-7100U CPU @ 2.40GHz
    packages:
      description: How many sockets it has.
      type: int
    cpuid:
      description: The leaves that are the same on all of its processors, by level, with the
        registers whose bits are all known.
      type: dict
      sample: {"00000001": {"eax": "000806e9"}}
    max_evc_mode:
      description: The highest EVC mode that it supports, with C(key) and C(label). Null for none.
      type: dict
    evc_mode:
      description: The EVC mode that it is in, with C(key) and C(label). Null for none.
      type: dict
    feature_capabilities:
      description: Its feature capabilities, by names in small letters.
      type: dict
    masked:
      description: Those of which VMs get another value behind the masks of
        the EVC mode, with that value.
      type: dict
clusters:
  description: The clusters that are asked about, in the order of their paths.
  returned: as RV(hosts)
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    moid:
      description: Managed object ID.
      type: str
    path:
      description: Inventory path.
      type: str
    evc_mode:
      description: The EVC mode that it is in, with C(key) and C(label). Null for none.
      type: dict
    hosts:
      description: Names of its hosts.
      type: list
      elements: str
    cpus:
      description: The processors that occur in it, in words.
      type: list
      elements: str
      sample: [Intel family 6 model 85 stepping 4 (Skylake)]
    vendors:
      description: The vendors of these. A cluster with more than one has no EVC mode.
      type: list
      elements: str
vms:
  description: The VMs that O(vms) names, in that order.
  returned: as RV(hosts)
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
    moid:
      description: Managed object ID.
      type: str
    path:
      description: Inventory path.
      type: str
    instance_uuid:
      description: Instance UUID.
      type: str
    power_state:
      description: V(poweredOn), V(poweredOff) or V(suspended).
      type: str
    host:
      description: Name of the host on which it is.
      type: str
    hardware_version:
      description: Of its virtual hardware.
      type: str
      sample: vmx-19
    min_evc_mode:
      description: The lowest EVC mode that could admit it, with C(key) and C(label). Null where
        vCenter does not say.
      type: dict
    feature_requirements:
      description: What it requires while it runs or is suspended.
      type: dict
      sample: {"cpuid.avx2": "Bool:Min:1"}
    offline_feature_requirements:
      description: What it requires to be powered on.
      type: dict
    feature_masks:
      description: The masks of its own EVC mode.
      type: dict
      sample: {"cpuid.model": "Val:0x3f"}
    expected_cpu:
      description: >-
        The processor that its guest is to see when it is powered on now, as C(cpu) of a host has it, with the C(source)
        V(vm_masks), V(evc_mode) or V(host). Null where its host does not say.
      type: dict
    guest:
      description: What its guest sees.
      returned: with O(in_guest)
      type: dict
      contains:
        cpu:
          description: As C(cpu) of a host.
          type: dict
        model_name:
          description: The name of the model, which no EVC mode changes.
          type: str
        hypervisor:
          description: Whose hypervisor it runs on. Empty where it cannot tell.
          type: str
          sample: VMware
        flags:
          description: The flags of C(/proc/cpuinfo).
          type: list
          elements: str
        asked_cpuid:
          description: Whether the program C(cpuid) was there to be asked.
          type: bool
        differences:
          description: >-
            What is another than vCenter says, each with C(code), C(msg) and the C(features) that it is about. Codes are
            V(identity), V(masked_feature), V(missing_feature), V(hypervisor) and V(guest_disagrees).
          type: list
          elements: dict
    error:
      description: For a VM that could not be found or asked its C(error_code) and C(msg).
      type: dict
comparison:
  description: Which VM could move where.
  returned: with O(compare)
  type: dict
  contains:
    hosts:
      description: The hosts that are compared, with C(name), C(moid), C(cluster), C(cpu) in words,
        C(evc_mode), C(obstacle) and, where nobody can say what it offers, C(why_unknown).
      type: list
      elements: dict
    clusters:
      description: The clusters that are compared, with C(name), C(path) and C(moid).
      type: list
      elements: dict
    groups:
      description: The VMs by what they require, the largest group first.
      type: list
      elements: dict
      contains:
        vms:
          description: The VMs, with C(name) and C(moid).
          type: list
          elements: dict
        basis:
          description: >-
            V(running) for VMs that run or are suspended, V(powered_off) for those that are off (they may be moved anywhere, and
            it is their power on that is compared), V(unknown) where vCenter has no requirements of them.
          type: str
        why_unknown:
          description: Why vCenter has no requirements of them, or empty.
          type: str
        vendor:
          description: Whose processor they run on.
          type: str
        min_evc_modes:
          description: The lowest EVC modes that could admit them.
          type: list
          elements: str
        feature_requirements:
          description: What they require.
          type: dict
        hosts:
          description: Names of the hosts that have all that they require.
          type: list
          elements: str
        unknown_hosts:
          description: Names of the hosts of which nobody can say.
          type: list
          elements: str
        clusters:
          description: By path of the cluster whether V(all), V(some) or V(none) of
            its hosts have it, or V(unknown).
          type: dict
        obstacles:
          description: >-
            What stands in the way, each with C(feature), the value that is C(required), the value that the C(hosts) named there
            C(has) (null where they do not know the feature), and whether that is C(certain). The feature V(vendor) stands for
            the vendor of the processor.
          type: list
          elements: dict
failures:
  description: The VMs that could not be found or asked, in short, with
    C(name), C(error_code) and C(msg).
  returned: as RV(hosts)
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
  description: A stable code for what went wrong, such as V(not_found) or V(wrong_credentials).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.model import Options
from ansible_collections.vforge.vsphere.plugins.module_utils._cpu.task import run as tell


def argument_spec():
    """The options of the module."""
    texts = {"type": "list", "elements": "str"}
    return {
        **_argspec.connection(),
        **_argspec.guest(),
        "hosts": texts,
        "clusters": texts,
        "vms": _argspec.vms(),
        "compare": {"type": "bool", "default": False},
        "in_guest": {"type": "bool", "default": False},
        "datacenter": {"type": "str"},
        **_argspec.timeout(),
        **_argspec.parallel(),
    }


def rules():
    """Which options need or exclude each other."""
    in_guest = {"required_if": [["in_guest", True, ["vms", "guest_username", "guest_password"]]]}
    return _argspec.joined(_argspec.connection_rules(), _argspec.guest_rules(), in_guest)


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), Options.from_params)
    run(module, Options.from_params, tell)


if __name__ == "__main__":
    main()
