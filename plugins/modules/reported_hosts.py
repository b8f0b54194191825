# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: reported_hosts
short_description: Make hosts for the inventory of what guests report, and
  write their SSH host keys down
version_added: 0.9.0
description:
  - Whoever has root in a guest decides which address and which SSH host keys it reports. The
    modules of this collection judge that beside the other VMs of their task. This one holds it
    against the rest, the inventory and the file of known hosts.
  - It connects to no vCenter, and does all of its work on the controller.
  - It adds nothing to the inventory itself. Loop over RV(inventory) with M(ansible.builtin.add_host).
  - A VM whose report does not fit is left out with an C(error_code), a warning
    says so, and the others go on.
  - Lines of keys end with a mark that names the VM. A line for the address of a VM that has no such
    mark, or that of another VM, is taken for somebody else's, unless it names the VM, or has the
    VM's key and the user gave the VM this address.
  - Of several VMs that report one address none is believed, whichever comes first, unless
    O(addresses) gives it to one of them. Nor are VMs that have the same name.
  - An address that another host of the inventory has is refused too. A host counts as the VM itself
    when its name is the VM's, alone or before a dot or an underscore.
options:
  vms:
    description:
      - Entries of results, such as RV(vforge.vsphere.cloud_init_guestinfo#module:vms) or
        RV(vforge.vsphere.linked_clone#module:clones). Of each are read C(name), C(instance_uuid),
        C(ip) or C(local_ipv4) or C(local_ipv6), C(ssh_host_keys) and C(refused). Those without an
        address are passed over.
    type: list
    elements: dict
    required: true
  addresses:
    description:
      - The addresses that you give to VMs, by their names, with or without prefix. Such a VM has
        this address or none, and no other VM has it.
    type: dict
  known_hosts:
    description:
      - File of known hosts to write the keys to, such as V(~/.ssh/known_hosts). It and its
        folder must be yours alone to write.
      - Beside it lies a file with C(.lock) at its end, by which two runs take turns.
    type: path
  replace_host_keys:
    description:
      - Whether lines that the file holds for the same address, and for somebody else, give way.
    type: bool
    default: false
  groups:
    description:
      - Groups that the hosts in RV(inventory) are to be in.
    type: list
    elements: str
    default: []
  variables:
    description:
      - Variables that each host in RV(inventory) gets besides its address, such as C(ansible_user).
    type: dict
    default: {}
  timeout:
    description:
      - Seconds that the task may take, from its beginning. It waits as long for another
        run that writes the same file.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: full
seealso:
  - module: vforge.vsphere.cloud_init_guestinfo
  - name: Role vforge.vsphere.guest_cloud_init
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/guest_cloud_init/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Give VMs their data, and wait until cloud-init is done
  vforge.vsphere.cloud_init_guestinfo:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - {name: web-1}
      - {name: web-2}
    metadata: {redact: [userdata]}
    power_on: true
    wait: finished
  register: delivered

- name: Take what they report for true, as far as it is
  vforge.vsphere.reported_hosts:
    vms: "{{ delivered.vms }}"
    known_hosts: ~/.ssh/known_hosts
    groups: [web]
    variables: {ansible_user: admin}
  register: reported

- name: Add them to the inventory
  ansible.builtin.add_host: "{{ item }}"
  loop: "{{ reported.inventory }}"
  loop_control:
    label: "{{ item.name }} {{ item.ansible_host }}"
"""

RETURN = r"""
hosts:
  description: The VMs that can be hosts of the inventory.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      sample: web-1
    address:
      description: Its address.
      type: str
      sample: 10.20.0.17
inventory:
  description: The same hosts, each as all arguments of M(ansible.builtin.add_host) in one mapping. Given so, they
    cost Ansible one template for each host, and not one for each argument.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      sample: web-1
    groups:
      description: As O(groups).
      type: list
      elements: str
      sample: [web]
    ansible_host:
      description: Its address.
      type: str
      sample: 10.20.0.17
refused:
  description: What was not taken for true, and the VMs that are left out for it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
    error_code:
      description: V(reported_address_refused), V(host_key_refused) or V(host_name_refused).
      type: str
    msg:
      description: Why.
      type: str
error_code:
  description: A stable code for what went wrong, such as V(file_refused) where others may
    write the file of known hosts.
  returned: on failure
  type: str
"""
