# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument spec of a module, for its action plugin."""

from __future__ import annotations

import ast
import functools
import importlib.resources
import typing as t

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec

Spec = dict[str, t.Any]


@functools.cache
def argument_spec(name: str) -> Spec:
    """The options that a module takes.

    Only the functions of the module's file are compiled. To import the file would import pyVmomi
    and all of a domain with it: hundreds of milliseconds in every task, and a library that the
    controller need not have. So an ``argument_spec`` may use ``_argspec`` and the functions beside
    it, and nothing else; a test holds all modules to that.

    :param name: of the module, without its collection.
    """
    file = importlib.resources.files(modules) / f"{name}.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    names: dict[str, t.Any] = {"_argspec": _argspec}
    exec(compile(tree, str(file), "exec"), names)  # noqa: S102 (a file of this collection)
    return t.cast("Spec", names["argument_spec"]())
