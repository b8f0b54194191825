# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: changed_areas_page
short_description: Write what changed on disks as a page for people
version_added: 0.9.0
description:
  - Makes one HTML file, which needs no network, of what M(vforge.vsphere.cbt_changed_areas) has
    found. It shows how much changed, where on the disks, and run by run.
  - It connects to no vCenter, and does all of its work on the controller.
  - Names of VMs and disks are shown as text, whatever they hold, and the page
    forbids browsers to run scripts.
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
      - The registered result of a task of M(vforge.vsphere.cbt_changed_areas) that has asked with
        its option O(vforge.vsphere.cbt_changed_areas#module:runs).
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
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: none
    details:
      - A page is made for eyes; the result that it is made of says the same in data.
  idempotent:
    details:
      - The same result makes the same page.
seealso:
  - module: vforge.vsphere.cbt_changed_areas
  - name: Role vforge.vsphere.changed_areas_report
    description: Calls it.
    link: https://github.com/vforge/vforge.vsphere/blob/main/roles/changed_areas_report/README.md
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Ask what changed, with what changed in the last two weeks
  vforge.vsphere.cbt_changed_areas:
    hostname: vcenter.example.com
    username: automation@vsphere.local
    password: "{{ vcenter_password }}"
    vms:
      - name: web-1
      - path: /DC0/vm/databases/db-1
    state_file: /var/lib/backup/changed-areas.json
    runs: 14
  register: night

- name: Show it
  vforge.vsphere.changed_areas_page:
    result: "{{ night }}"
    path: /var/www/html/changed-areas.html
    vcenter: vcenter.example.com
"""

RETURN = r"""
path:
  description: Path of the page.
  returned: success
  type: str
  sample: /var/www/html/changed-areas.html
error_code:
  description: A stable code for what went wrong, such as V(file_refused)
    where others may write the file.
  returned: on failure
  type: str
"""
