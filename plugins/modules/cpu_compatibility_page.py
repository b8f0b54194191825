# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: cpu_compatibility_page
short_description: Write which VM could move to which host and cluster as a page for people
version_added: 0.9.0
description:
  - Makes one HTML file, which needs no network, of what M(vforge.vsphere.cpu_features_info) has
    found with its option O(vforge.vsphere.cpu_features_info#module:compare). It is a matrix of VMs
    that require the same, and of clusters and hosts, with the features that stand in the way.
  - It connects to no vCenter, and does all of its work on the controller.
  - Names are shown as text, whatever they hold, and the page forbids browsers to run scripts.
options:
  path:
    description:
      - File for the page, on the controller. It must be a regular file of this user or of root
        that nobody else may write, in folders for which the same holds, or not be there yet. It
        is written whole or not at all.
    type: path
    required: true
  result:
    description:
      - The registered result of a task of M(vforge.vsphere.cpu_features_info).
      - Without it it is only made sure that the page could be written, such
        as before anything else is done.
    type: dict
  vcenter:
    description: What the head of the page names as where the VMs are.
    type: str
    default: ""
  timeout:
    description: Seconds that the task may take, from its beginning.
    type: int
    default: 300
extends_documentation_fragment:
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details:
      - A page is made for eyes; the result that it is made of says the same in data.
  idempotent:
    support: full
    details:
      - The same VMs and hosts make the same page.
  action_group:
    support: none
    membership: []
seealso:
  - module: vforge.vsphere.cpu_features_info
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Compare all VMs with all hosts
  vforge.vsphere.cpu_features_info:
    compare: true
  register: found

- name: Write the page
  vforge.vsphere.cpu_compatibility_page:
    path: /var/www/html/cpu-compatibility.html
    result: "{{ found }}"
    vcenter: vcenter.example.com
"""

RETURN = r"""
path:
  description: The page.
  returned: success
  type: str
  sample: /var/www/html/cpu-compatibility.html
error_code:
  description: A stable code for what went wrong, such as V(invalid_option).
  returned: on failure
  type: str
"""
