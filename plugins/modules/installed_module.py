# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

DOCUMENTATION = r"""
---
module: installed_module
short_description: Starts a module of this collection where the collection is installed
version_added: 0.9.0
description:
  - By this module the other modules of the collection start where ansible-playbook itself
    runs. It is not for playbooks.
  - Ansible sends a module, and all that it imports, to where it runs, as one file that is made once
    a play and compiled at each start. On the machine where the collection is installed there is
    nothing to send, and Python keeps what it has compiled.
  - Modules start in the usual way on other machines, as another user (C(become)),
    and in the background (C(async)).
extends_documentation_fragment:
  - vforge.vsphere.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
# Nothing to be written: the other modules use it by themselves.
- name: Clone a VM, which starts the module where the collection is installed
  vforge.vsphere.instant_clone:
    parent:
      name: golden-parent
    name: web-1
"""

RETURN = r"""
error_code:
  description: V(invalid_option) where it was called by a playbook. All else is
    returned by the module that it starts.
  returned: on failure
  type: str
"""

import importlib
import os
import sys

# What the modules import of Ansible. Ansible looks for imports here, and only what it finds can be
# imported later; a test holds this list to what they need.
from ansible.module_utils import basic, errors
from ansible.module_utils.common import arg_spec

NEEDED = (basic, errors, arg_spec)

# The file of the module to start. The action plugins set it.
VARIABLE = "VFORGE_INSTALLED_MODULE"

_PLUGINS = "ansible_collections.vforge.vsphere.plugins"
_MODULES = _PLUGINS + ".modules"


def main():
    """Run the module that the environment names."""
    path = os.environ.pop(VARIABLE, "")
    if not path:
        refuse()
    folder, file = os.path.split(path)
    # Ansible has put packages of these names into its file, with this module alone.
    sys.modules[_PLUGINS].__path__.insert(0, os.path.dirname(folder))
    sys.modules[_MODULES].__path__.insert(0, folder)
    importlib.import_module(_MODULES + "." + os.path.splitext(file)[0]).main()


def refuse():
    """End a task that calls this module."""
    basic.AnsibleModule(argument_spec={}, supports_check_mode=True).fail_json(
        msg="vforge.vsphere.installed_module is what the other modules start by. Call the module that is to run.",
        error_code="invalid_option",
    )


if __name__ == "__main__":
    main()
