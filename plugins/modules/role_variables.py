# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: role_variables
short_description: Refuse misspelt variables of a role, and errors that are ignored
version_added: 0.9.0
description:
  - Ansible ignores a variable that a role does not have. So a misspelt one leaves the role with its
    default, such as a fleet with one clone. This task of a role fails for a variable of the play
    that begins with the name of the role, is nearly called as one of its argument spec, and seems
    to have been meant by it, since that one is not set.
  - Other variables that begin with the name of the role, and that the role does not have, are
    warned of. They may be somebody's own.
  - It says whether the role runs in check mode, too. C(ansible_check_mode) is true with C(--check) alone,
    and false where a play, a block or the task that includes the role has C(check_mode=true).
  - It fails for an extra variable (C(-e), and the answers of AWX's surveys) that would win over what a role of the same
    collection gives to this one, which it includes. So the VM of a drill is in no other network than the drill's.
  - It fails where a play, a block or an import around the role has C(ignore_errors=true), unless the role runs in check mode.
    The role would go on past its own checks then, and remove or restart what they are to spare. So give this
    task C(ignore_errors=false), or its failure is ignored, too.
  - The roles of this collection begin with it. It connects to no vCenter, changes nothing, and does
    all of its work on the controller.
options: {}
extends_documentation_fragment:
  - vforge.vsphere.attributes.controller
attributes:
  diff_mode:
    support: none
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Refuse misspelt variables
  vforge.vsphere.role_variables: {}
  ignore_errors: false
  register: restored_run

- name: Start the service
  ansible.builtin.command: systemctl start app
  when: not restored_run.check_mode
"""

RETURN = r"""
unknown:
  description: Variables that begin with the name of the role, and that it does not have.
  returned: success
  type: list
  elements: str
  sample: [vm_restore_owner]
check_mode:
  description: Whether this task runs in check mode, and so the role does.
  returned: success
  type: bool
option:
  description: The first misspelt variable.
  returned: where one is misspelt
  type: str
error_code:
  description: A stable code for what went wrong, such as V(invalid_option).
  returned: on failure
  type: str
"""
