# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the options of a task that is still to come."""

from __future__ import annotations

import importlib
import typing as t

from ansible.errors import AnsibleFilterError

if t.TYPE_CHECKING:
    from ansible_collections.vforge.vsphere.plugins.plugin_utils.module_action import ModuleAction

DOCUMENTATION = r"""
name: option_errors
short_description: What is wrong with the options of a task that is still to come
version_added: 0.9.0
description:
  - Holds options against a module of this collection without running it, and without a
    vCenter. So a sequence of tasks refuses what cannot be right in its last task before
    its first one changes anything.
  - What only the vCenter knows, such as whether a folder is there, is no matter of it.
positional: _input, module
options:
  _input:
    description:
      - The options, as the task would have them. Those that are none, an empty text
        or an empty mapping are not set.
    type: dict
    required: true
  module:
    description: Name of the module.
    type: str
    choices: [instant_clone, linked_clone, fork_parent]
    required: true
author:
  - The vforge.vsphere authors (@vforge)
"""

EXAMPLES = r"""
- name: Before anything is made, see whether the clones can be as they are asked for
  vars:
    asked:
      source:
        name: template-1
      clones: "{{ my_clones }}"
    wrong: "{{ asked | vforge.vsphere.option_errors('linked_clone') }}"
  ansible.builtin.assert:
    that: wrong | length == 0
    fail_msg: "{{ wrong | join(' ') }}"
"""

RETURN = r"""
_value:
  description: A sentence for each thing that is wrong; an empty list where nothing is.
  type: list
  elements: str
"""

# What makes typed options of a module's parameters, and refuses what cannot be right.
_MODULES = ("instant_clone", "linked_clone", "fork_parent")

_NOT_SET: tuple[t.Any, ...] = (None, "", {})


def option_errors(options: t.Any, module: str) -> list[str]:
    """What is wrong with options.

    :raises AnsibleFilterError: the input is no mapping, or the module is none that can be asked.
    """
    if not isinstance(options, dict):
        raise AnsibleFilterError("option_errors wants a mapping of options.")
    if module not in _MODULES:
        raise AnsibleFilterError(f"option_errors knows the modules {', '.join(_MODULES)}.")
    return _errors(module, _fresh({name: value for name, value in options.items() if value not in _NOT_SET}))


def _errors(module: str, given: dict[str, t.Any]) -> list[str]:
    # Imported here, since Ansible loads all filters of a collection in each task that uses one of
    # them.
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
    from ansible.module_utils.common.parameters import remove_values

    from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _secrets
    from ansible_collections.vforge.vsphere.plugins.module_utils._ansible import CONSTRAINT_ERRORS
    from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption

    found, from_params = _typed(module)
    # Sealed, as the task gives them to the module: from ansible-core 2.22 on, whatever is checked as a secret is looked
    # for in all that the run still shows, and a value of guestinfo may be the name of a clone.
    sealed = _action_of(module).with_sealed_secrets(given)
    answer = t.cast("t.Any", ArgumentSpecValidator)(found.argument_spec(), **found.rules()).validate(sealed)
    # Ansible quotes values, secret ones too.
    secrets = {*answer._no_log_values, *_secrets.unsealed(list(answer._no_log_values))}
    others = [error for error in answer.errors if not isinstance(error, CONSTRAINT_ERRORS)]
    if others:
        return [remove_values(str(error), secrets) for error in others]
    params = _secrets.unsealed(answer.validated_parameters)
    try:
        _argspec.check_bounds(params)
        from_params(params)
    except InvalidOption as error:
        return [str(error)]
    return [remove_values(str(error), secrets) for error in answer.errors]


def _action_of(module: str) -> type[ModuleAction]:
    """The action plugin of a module, which knows its secrets."""
    plugin = importlib.import_module(f"ansible_collections.vforge.vsphere.plugins.action.{module}")
    return t.cast("type[ModuleAction]", plugin.ActionModule)


def _typed(module: str) -> tuple[t.Any, t.Callable[[t.Mapping[str, t.Any]], object]]:
    """A module, and what turns its parameters into its own options."""
    if module == "fork_parent":
        from ansible_collections.vforge.vsphere.plugins.module_utils._fork.model import ForkOptions
        from ansible_collections.vforge.vsphere.plugins.modules import fork_parent

        return fork_parent, ForkOptions.from_params
    from ansible_collections.vforge.vsphere.plugins.module_utils._clone.model import InstantOptions, LinkedOptions
    from ansible_collections.vforge.vsphere.plugins.modules import instant_clone, linked_clone

    if module == "instant_clone":
        return instant_clone, InstantOptions.from_params
    return linked_clone, LinkedOptions.from_params


def _fresh(value: t.Any) -> t.Any:
    """A copy in which nothing is there twice, since checking writes defaults into it; what is none
    is left out.
    """
    if isinstance(value, dict):
        return {key: _fresh(item) for key, item in value.items() if item is not None}
    return [_fresh(item) for item in value] if isinstance(value, list) else value


class FilterModule:
    """The filter, for Ansible."""

    def filters(self) -> dict[str, t.Callable[..., list[str]]]:
        """Name and function."""
        return {"option_errors": option_errors}
