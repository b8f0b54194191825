# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: guest_documents
short_description: Make metadata and user data for cloud-init of many VMs
  from templates, and check them
version_added: 0.9.0
description:
  - Renders a template of metadata and one of user data for each VM, with the variables of the play
    and the VM's own entry as C(guest), and checks the results as
    M(vforge.vsphere.cloud_init_guestinfo) does.
  - One task for all VMs. A loop over them costs as much for each VM as the play has variables.
  - It connects to no vCenter, changes nothing, and does all of its work on the controller.
  - What is wrong is reported for all VMs at once, each with its name, the template and
    the line, and never with a value.
options:
  guests:
    description:
      - The VMs. Each has a C(name), which no other has, and at will C(metadata), which come over
        those of the template, key by key at every depth, and C(userdata) in place of those of the
        template. A template sees all other keys too.
    type: list
    elements: dict
    required: true
  metadata_template:
    description:
      - Template of the metadata, a mapping of YAML, looked for where
        M(ansible.builtin.template) looks.
    type: str
    required: true
  userdata_template:
    description:
      - Template of the user data. Its very first line is the header.
    type: str
    required: true
  in_advance:
    description:
      - Whether the VMs are to be made with their data, as instant clones are. The
        C(instance_id) is then derived from the name in place of the instance UUID, and
        RV(clone_options) is returned too.
    type: bool
    default: false
  report:
    description:
      - Whether the script goes with them that reports when cloud-init has finished, as with
        C(wait=finished) of M(vforge.vsphere.cloud_init_guestinfo).
    type: bool
    default: false
  validate:
    description:
      - How strictly cloud-config is checked, as in M(vforge.vsphere.cloud_init_guestinfo).
    type: str
    choices: [none, syntax, schema]
    default: syntax
  schema_path:
    description:
      - Where cloud-init's schema is, as in M(vforge.vsphere.cloud_init_guestinfo).
    type: path
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: none
notes:
  - The result holds secrets. It is shown at no verbosity, but a play that
    registers it can show it itself.
seealso:
  - module: vforge.vsphere.cloud_init_guestinfo
  - name: Role vforge.vsphere.guest_cloud_init
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/guest_cloud_init/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Make the data of two VMs
  vforge.vsphere.guest_documents:
    guests:
      - {name: web-1, address: 10.0.0.11/24}
      - {name: web-2, address: 10.0.0.12/24}
    metadata_template: metadata.j2
    userdata_template: userdata.j2
  register: made

- name: Deliver them
  vforge.vsphere.cloud_init_guestinfo:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - "{{ made.documents['web-1'] | combine({'name': 'web-1'}) }}"
      - "{{ made.documents['web-2'] | combine({'name': 'web-2'}) }}"
"""

RETURN = r"""
documents:
  description: C(metadata) and C(userdata) of each VM, by its name. They hold secrets.
  returned: success
  type: dict
clone_options:
  description: The same as C(extra_config) for an item of M(vforge.vsphere.instant_clone), by the
    name of the VM, with O(in_advance=true).
  returned: success
  type: dict
failures:
  description: The VMs whose data are wrong, with C(name), C(error_code) and C(msg).
  returned: when the data of a VM are wrong
  type: list
  elements: dict
error_code:
  description: A stable code for what went wrong, such as V(invalid_option).
  returned: on failure
  type: str
"""
