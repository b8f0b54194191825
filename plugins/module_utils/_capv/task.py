# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of a cluster to files in a Git working tree.

Clusters of Cluster API Provider vSphere (CAPV), as manifests for Argo CD in a Git working tree.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
import typing as t

from .._errors import InvalidOption
from . import plan, secrets
from .documents import with_head
from .model import Cluster, Params, label
from .plan import Change, Plan
from .tree import Tree, run

PRESENT, ABSENT = "present", "absent"

# Of what a sealing command says on its standard error.
_MOST_SAID = 300


def run_task(params: Params, *, check_mode: bool) -> dict[str, t.Any]:
    """Bring a tree to what is asked.

    :param params: as the argument spec of ``capv_manifests`` has them.
    :param check_mode: whether nothing is written, and nothing sealed.
    :returns: the result of the task.
    :raises VforgeError: something is wrong; no file was changed then.
    """
    deadline = time.monotonic() + params["timeout"]
    cluster = Cluster.from_params(params) if params["state"] == PRESENT else None
    tree = Tree(params["path"], deadline)
    found = _plan(tree, params, cluster)
    tree.check(found.changes)
    changes = _sealed(found.changes, cluster, deadline, check_mode=check_mode)
    if not check_mode:
        tree.write(changes)
    done = _result(tree, dataclasses.replace(found, changes=tuple(changes)))
    return {**done, "uncommitted": _uncommitted(tree, params, cluster)}


def _plan(tree: Tree, params: Params, cluster: Cluster | None) -> Plan:
    name, namespace = label(params["name"], "name"), label(params["namespace"], "namespace")
    files = tree.read(plan.folders(name), () if cluster is None else (plan.MANAGEMENT_APP,))
    if cluster is not None:
        others = tree.read((), map(plan.manifest_of, tree.below(plan.CLUSTERS)))
        return plan.present(cluster, files, tree.prefix, params["on_edited"], others)
    apps = tree.read([*tree.below("app"), *tree.below("management")])
    return plan.absent(namespace, name, files, apps, params["on_edited"])


def _uncommitted(tree: Tree, params: Params, cluster: Cluster | None) -> list[str]:
    """What a commit has to take: files of this run, and of earlier ones that were not committed."""
    folders = plan.folders(params["name"])
    paths = tree.uncommitted([*folders, plan.MANAGEMENT_APP])
    there = tree.read(folders, (plan.MANAGEMENT_APP,)) if paths else {}
    files = {path: there[path] for path in paths if path in there}
    gone = {path: tree.before(path) for path in paths if not os.path.lexists(os.path.join(tree.path, path))}
    owner = plan.owner_of(params["namespace"], params["name"])
    return plan.uncommitted(owner, cluster, files, gone, tree.prefix)


def _sealed(changes: t.Iterable[Change], cluster: Cluster | None, deadline: float, *, check_mode: bool) -> list[Change]:
    """The changes with what is sealed for them. In check mode it is only made sure that the command
    is there.
    """
    found = []
    for change in changes:
        if change.secrets is None or cluster is None:
            found.append(change)
            continue
        command = cluster.credentials.command
        _check_command(command)
        if check_mode:
            found.append(change)
            continue
        seal = _Sealer(command, deadline, change.secrets.values)
        owner = plan.owner_of(cluster.namespace, cluster.name)
        body = secrets.sealed(change.secrets, seal, change.path)
        found.append(dataclasses.replace(change, after=with_head(owner, body, change.secrets.source)))
    return found


def _check_command(command: t.Sequence[str]) -> None:
    if shutil.which(command[0]) is None:
        raise InvalidOption(
            f"The command of credentials, {command[0]}, is not there.",
            hint="Install it on the controller, or give its path.",
            option="credentials",
        )


class _Sealer:
    """Runs the command that seals: secrets go in by standard input, and never into a list of
    processes.
    """

    def __init__(self, command: t.Sequence[str], deadline: float, values: t.Sequence[str]) -> None:
        self._command = command
        self._deadline = deadline
        self._values = values

    def __call__(self, text: str) -> str:
        ran = run(self._command, text, self._deadline, os.environ)
        if ran.returncode == 0:
            return ran.stdout
        said = ran.stderr
        for value in filter(None, self._values):
            said = said.replace(value, "********")
        said = " ".join(said.split())[-_MOST_SAID:]
        raise secrets.SealingFailed(
            f"{self._command[0]} ended with {ran.returncode}: {said or 'it says nothing'}.",
            hint="Run it by hand with a Secret on its standard input.",
        )


def _result(tree: Tree, found: Plan) -> dict[str, t.Any]:
    return {
        "changed": bool(found.changes),
        "path": tree.path,
        "files": [{"path": change.path, "action": change.action} for change in found.changes],
        "registration": found.registration,
        "warnings": list(found.warnings),
        "diff": [_diff(change) for change in found.changes],
    }


def _diff(change: Change) -> dict[str, str]:
    if change.secrets is not None:
        before, after = "sealed before\n" if change.before else "", f"sealed of {change.secrets.source}\n"
    else:
        # What is not UTF-8 in a file that somebody has edited could not be shown.
        before = (change.before or "").encode(errors="surrogateescape").decode(errors="replace")
        after = change.after or ""
    return {"before_header": change.path, "after_header": change.path, "before": before, "after": after}
