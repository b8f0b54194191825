# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set the EVC mode of a cluster, or of single VMs."""

DOCUMENTATION = r"""
module: evc
short_description: Set the EVC mode of a cluster, or of single VMs
version_added: 0.9.0
description:
  - Sets or ends Enhanced vMotion Compatibility (EVC) of a cluster, by the key or the label
    of a mode. The modes are those that this vCenter offers; a name that it does not offer
    is refused with a list of them.
  - Before a cluster gets its mode, vCenter is asked to check it, in check mode too. What stands in
    the way is returned in C(obstacles), with the hosts and the running VMs, and nothing is changed.
  - VMs get a mode of their own (per-VM EVC) by O(vm) or O(vms). It can change only while a VM is
    off. With O(power_cycle) a running VM is shut down, given the mode and started again, and it
    counts as done when VMware Tools run again. A mark (C(vforge.evc) in extraConfig) is on it
    meanwhile, so that the next run starts it where this one is ended between.
  - With O(cluster) and O(vms), and O(power_cycle), those of the VMs that are in the way of the mode
    are shut down together, the cluster gets the mode, and they are started again. That is the way for
    VMs that can have no mode of their own.
  - The role P(vforge.vsphere.evc_baseline#role) brings a whole cluster
    to a mode, with its running VMs.
  - EVC changes what CPUID tells a guest. The name of the processor (C(model name) in
    C(/proc/cpuinfo)) stays that of the host.
options:
  state:
    description:
      - V(present) sets the mode.
      - V(absent) ends EVC of the cluster, or takes away the modes that the VMs have of their own.
    type: str
    choices: [present, absent]
    default: present
  mode:
    description:
      - Key of an EVC mode, such as V(intel-haswell), or its label, such as V(Intel Haswell
        Generation). Needed for O(state=present).
      - V(highest), with O(cluster), is the highest mode that every host of the cluster supports.
    type: str
  graphics_mode:
    description:
      - Key or label of an EVC graphics mode of the cluster. The one that it has stays by default.
        They came with vSphere 7.0 Update 1.
    type: str
  cluster:
    description:
      - The cluster, by its name, inventory path or managed object ID. One of
        this, O(vm) and O(vms) is required; this and O(vms) may be set together.
    type: str
  vm:
    description:
      - The VM, named in exactly one way. One of this, O(vms) and O(cluster) is required.
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
      - With O(cluster) they are those that may be off while it gets its mode. What is not in the way
        of that goes on running, but for a VM that an earlier run has shut down, which is started.
    type: list
    elements: dict
    suboptions: *vm
  datacenter:
    description:
      - Name or path of the datacenter to look in. The whole inventory by default.
    type: str
  complete_masks:
    description:
      - Whether features that the masks of the mode do not name are hidden from a VM, too. vCenter
        does not tell which of the two a VM has, so that a change of this option alone is not seen.
    type: bool
    default: true
  power_cycle:
    description:
      - Whether VMs that are on are shut down and started again. Without it a VM that is
        on and has another mode fails.
      - Needed for O(vms) with O(cluster).
    type: bool
    default: false
  force:
    description:
      - Whether a VM is powered off in which VMware Tools do not run, or whose guest does not
        shut down in O(shutdown_timeout).
    type: bool
    default: false
  shutdown_timeout:
    description:
      - Seconds in which guests have to shut down. With O(power_cycle)
        it must be less than O(timeout).
    type: int
    default: 300
  tools_timeout:
    description:
      - Seconds after which a VM that was started again, and in which VMware Tools do not
        run, has not come back. It fails.
    type: int
    default: 300
  parallel:
    description:
      - How many calls are made at the same time, from 1 to 64.
    type: int
    default: 8
  timeout:
    description:
      - Seconds that the task may take, from its beginning. VMs that it has shut down, and that are
        off then, are started again; that may take a minute more.
    type: int
    default: 900
notes:
  - Setting the mode of a cluster needs the privilege Host.Inventory.EditCluster on it. Modes of VMs
    need VirtualMachine.Config.Settings, and with O(power_cycle)
    VirtualMachine.Config.AdvancedConfig, VirtualMachine.Interact.PowerOff and
    VirtualMachine.Interact.PowerOn.
  - Proved against the simulator of this collection, whose rules have their sources in its
    README, not against a vCenter.
extends_documentation_fragment:
  - vforge.vsphere.connection
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  action_group:
    support: full
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What stands in the way of Haswell?
  vforge.vsphere.evc:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    cluster: Berlin-1
    mode: intel-haswell
  check_mode: true
  register: asked
  failed_when: asked.failed and asked.error_code != 'evc_blocked'

- name: Name the hosts and the running VMs
  ansible.builtin.debug:
    msg: "{{ asked.cluster.obstacles }}"

- name: The highest mode that every host supports
  vforge.vsphere.evc:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    cluster: /Berlin/host/Berlin-1
    mode: highest

- name: Two VMs that have to run on older hosts, too
  vforge.vsphere.evc:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - name: web-1
      - path: /Berlin/vm/web/web-2
    mode: Intel Haswell Generation
    power_cycle: true

- name: A cluster, with two old VMs that are off until it has the mode
  vforge.vsphere.evc:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    cluster: Berlin-1
    mode: intel-haswell
    vms:
      - name: ledger
      - name: printing
    power_cycle: true
"""

RETURN = r"""
cluster:
  description: The cluster.
  returned: when a cluster was asked for and found
  type: dict
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
    mode:
      description: Key of its mode afterwards, in check mode as it would be; null without EVC.
      type: str
    previous_mode:
      description: Key of the mode that it had.
      type: str
    requested_mode:
      description: Key of the mode that was asked for; of V(highest) the one that it is.
      type: str
    graphics_mode:
      description: Key of its graphics mode afterwards.
      type: str
    highest_mode:
      description: Key of the highest mode that every host supports; null where there is none,
        or where nothing had to be done.
      type: str
    hosts:
      description: Its hosts, with C(name), C(processor) and C(max_mode).
        Empty where nothing had to be done.
      type: list
      elements: dict
    obstacles:
      description: What vCenter found in the way of the mode.
      type: list
      elements: dict
      contains:
        code:
          description: vCenter's fault, such as V(evc_mode_unsupported_by_hosts).
          type: str
        msg:
          description: The same in words.
          type: str
        hosts:
          description: Names of the hosts that it is about.
          type: list
          elements: str
        vms:
          description: VMs on them that are on or suspended, with C(name), C(moid), C(host),
            C(power_state), C(needs_mode) and C(features).
          type: list
          elements: dict
        vms_within_mode:
          description: The same of VMs that could run in the mode as they are, on hosts of which
            vCenter names no VM. To restart them one by one changes nothing; they have to be off together.
          type: list
          elements: dict
        hosts_without_named_vms:
          description: Names of the hosts on which VMs are in the way, and vCenter names none.
          type: list
          elements: str
    interrupted:
      description: VMs of the cluster that an earlier run has shut down and not
        brought back, as in RV(cluster.obstacles[].vms). Where the cluster has the
        mode already, those of them that are off.
      type: list
      elements: dict
    actions:
      description: What was done, or in check mode would be, V(mode_set) or V(mode_removed).
        V(started) where vCenter still worked on it when the task ended.
      type: list
      elements: str
    changed:
      description: Whether anything was, or would be.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it.
      type: float
    error:
      description: Where it failed its C(error_code) and C(msg).
      type: dict
vms:
  description: One entry for each VM, in the order of the options.
  returned: when VMs were named and found
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
    mode:
      description: Key of the mode that it has of its own afterwards; null for none,
        V(custom) for masks that are no mode's.
      type: str
    previous_mode:
      description: Key of the mode that it had of its own.
      type: str
    needs_mode:
      description: Key of the lowest mode in which it could run afterwards, as vCenter says.
      type: str
    power_state:
      description: Its power state afterwards.
      type: str
    actions:
      description: What was done, or in check mode would be; of V(shut_down),
        V(mode_set), V(mode_removed) and V(powered_on). V(started) where vCenter still
        worked on it when the task ended.
      type: list
      elements: str
    changed:
      description: Whether anything was, or would be.
      type: bool
    seconds:
      description: Seconds that vCenter has worked on it.
      type: float
    error:
      description: For a VM that failed its C(error_code) and C(msg).
      type: dict
failures:
  description: The cluster or the VMs that failed, in short, with C(name), C(error_code) and C(msg).
  returned: as RV(vms) or RV(cluster)
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
  description: A stable code for what went wrong, such as V(evc_blocked), V(not_found),
    V(invalid_option) or V(partial_failure).
  returned: on failure
  type: str
"""

from ansible_collections.vforge.vsphere.plugins.module_utils import _any_python

_any_python.require()

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec
from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import make_module, run
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.model import Options
from ansible_collections.vforge.vsphere.plugins.module_utils._evc.task import run as run_task


def argument_spec():
    """The options of the module."""
    return {
        **_argspec.connection(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "mode": {"type": "str"},
        "graphics_mode": {"type": "str"},
        "cluster": {"type": "str"},
        "vm": _argspec.vm(),
        "vms": _argspec.vms(),
        "datacenter": {"type": "str"},
        "complete_masks": {"type": "bool", "default": True},
        "power_cycle": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "shutdown_timeout": {"type": "int", "default": 300},
        "tools_timeout": {"type": "int", "default": 300},
        **_argspec.parallel(),
        **_argspec.timeout(900),
    }


def rules():
    """Which options need or exclude each other."""
    return _argspec.joined(
        _argspec.connection_rules(),
        {
            "required_one_of": [["cluster", "vm", "vms"]],
            "mutually_exclusive": [["cluster", "vm"], ["vm", "vms"]],
            "required_if": [["state", "present", ["mode"]]],
        },
    )


def main():
    """Run the module."""
    module = make_module(AnsibleModule, argument_spec(), rules(), Options.from_params)
    run(
        module,
        Options.from_params,
        lambda session, options: run_task(session, options, check=module.check_mode),
    )


if __name__ == "__main__":
    main()
