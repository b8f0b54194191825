# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_page
short_description: Write the backups of a repository as a page for people
version_added: 0.9.0
description:
  - Makes one HTML file of what M(vforge.vsphere.backup_info) has found. It has the points by VM
    and day, their sizes, when they were verified and when they were restored. It needs no
    network, and can be read on a phone.
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
      - The registered result of a task of M(vforge.vsphere.backup_info).
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
      - The same points make the same page.
  action_group:
    support: none
    membership: []
seealso:
  - module: vforge.vsphere.backup_info
  - module: vforge.vsphere.backup_repository
    description: Verifies points, which the page then shows.
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: What there is
  vforge.vsphere.backup_info:
    repository: /srv/backups
  register: backups

- name: Write the page
  vforge.vsphere.backup_page:
    path: /var/www/html/backups.html
    result: "{{ backups }}"
    vcenter: vcenter.example.com
"""

RETURN = r"""
path:
  description: The page.
  returned: success
  type: str
  sample: /var/www/html/backups.html
error_code:
  description: A stable code for what went wrong, such as V(invalid_option).
  returned: on failure
  type: str
"""
