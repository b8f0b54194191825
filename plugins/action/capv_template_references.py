# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells which templates Cluster API still refers to, on the controller."""

from __future__ import annotations

import fnmatch
import os
import time
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils import _argspec, _files
from ansible_collections.vforge.vsphere.plugins.module_utils._capv import documents, references
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, VforgeError
from ansible_collections.vforge.vsphere.plugins.plugin_utils.controller_action import ControllerAction

ARGUMENTS: dict[str, dict[str, t.Any]] = {
    "templates": {"type": "list", "elements": "dict", "required": True},
    "trees": {"type": "list", "elements": "path", "default": []},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "objects": {"type": "list", "elements": "dict", "default": []},
    "timeout": {"type": "int", "default": 300},
}

_SUFFIXES = (".yaml", ".yml", ".json")
_MOST = 16 << 20

# Most files of a tree have no object that names a template, and reading YAML takes a while.
_NAMES_ONE = "VSphere"


class ActionModule(ControllerAction):
    """It needs neither a vCenter nor Kubernetes: what it looks at are files, and results of other
    tasks.
    """

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Tell the templates that are used from those that are not."""
        result = super().run(tmp, task_vars)
        try:
            args = self.checked(ARGUMENTS)
            _argspec.check_bounds(args)
            references.check_templates(args["templates"])
            found = references.references_in(args["objects"], "a management cluster")
            deadline = time.monotonic() + args["timeout"]
            for tree in args["trees"]:
                found += _in_tree(os.path.abspath(os.path.expanduser(tree)), args, deadline)
        except VforgeError as error:
            return self.refused(result, error)
        return {**result, "changed": False, **_answer(args["templates"], found)}


def _answer(
    templates: t.Sequence[t.Any],
    found: t.Sequence[references.Reference],
) -> dict[str, t.Any]:
    used, unused = [], []
    for template in templates:
        entry = {key: str(template.get(key) or "") for key in ("name", "path", "instance_uuid")}
        users = references.users(template, found)
        if users:
            used.append({**entry, "referred_by": users})
        else:
            unused.append(entry)
    return {"used": used, "unused": unused, "references": len(found)}


def _in_tree(tree: str, args: t.Mapping[str, t.Any], deadline: float) -> list[references.Reference]:
    if not os.path.isdir(tree):
        raise InvalidOption(
            f"{tree} is no folder.",
            hint="Look whether its path is right.",
            option="trees",
        )
    found: list[references.Reference] = []
    for path in _manifests(tree, args["ignore"]):
        text = _files.read(path, _MOST, what="manifest", deadline=deadline).decode(errors="replace")
        objects = documents.load(text, path) if _NAMES_ONE in text else []
        here = references.references_in(objects, path)
        others = [each for each in args["templates"] if not references.users(each, here)]
        found += [*here, *references.mentions(text, others, path)]
    return found


def _manifests(tree: str, ignore: t.Sequence[str]) -> t.Iterator[str]:
    """The files to look at; what cannot be listed is an error, since it may name a template."""

    def refuse(error: OSError) -> t.NoReturn:
        raise _files.FileUnreadable(
            f"{error.filename} cannot be read: {error.strerror}.",
            hint="Let this user read it.",
        )

    for folder, folders, files in os.walk(tree, onerror=refuse):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = os.path.join(folder, name)
            below = os.path.relpath(path, tree)
            ignored = any(fnmatch.fnmatch(below, pattern) for pattern in ignore)
            if name.endswith(_SUFFIXES) and not ignored:
                yield path
