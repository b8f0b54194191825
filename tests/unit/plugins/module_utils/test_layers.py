# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The map of CONTRIBUTING, held against the imports: who may know whom, and no circles."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

from ansible_collections.vforge.vsphere.plugins import module_utils

_ROOT = pathlib.Path(next(iter(module_utils.__path__)))
_DOMAINS = {
    "_backup",
    "_capv",
    "_capv_template",
    "_cbt",
    "_clone",
    "_clone_backup",
    "_cloudinit",
    "_cpu",
    "_disk",
    "_evc",
    "_export",
    "_fcd",
    "_fleet",
    "_fork",
    "_guest_check",
    "_inventory",
    "_ovf",
    "_parent",
    "_role",
    "_vmfromdisks",
}

# From the bottom: a part may import what stands before it, and itself. The first has what stands on nothing of ours.
_LAYERS = (
    {
        "_any_python",
        "_errors",
        "_text",
        "_secrets",
        "_signals",
        "_progress",
        "_files",
        "_argspec",
        "_job_container",
        "_lifeline",
        "_mounts",
        "_retention",
        "_programs",
        "_devices",
    },
    {"_connector"},
    {"_vsphere"},
    {"_engine"},
    {"_descriptor", "_disk_import", "_freeze_stage", "_temporary_disks", "_temporary_snapshots", "_vm_stages"},
    {"_copy_source"},
    _DOMAINS,
    {"_ansible"},
)


def _modules():
    return {file.relative_to(_ROOT).with_suffix("").parts: file for file in sorted(_ROOT.rglob("*.py"))}


def _is_for_types_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(tree, *, at_import_only):
    """The imports of a module; those that only the type checker sees are left out."""
    waiting = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node
        elif not _is_for_types_only(node) and not (at_import_only and isinstance(node, (ast.FunctionDef, ast.Lambda))):
            waiting.extend(ast.iter_child_nodes(node))


def _targets(parts, node, known):
    """The modules that an import of ours names."""
    package = parts[: len(parts) - node.level]
    base = (*package, *(node.module.split(".") if node.module else ()))
    for alias in node.names:
        for found in ((*base, alias.name), base):
            if found in known:
                yield found
                break


def _graph(*, at_import_only):
    known = _modules()
    graph = {}
    for parts, file in known.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = _imports(tree, at_import_only=at_import_only)
        graph[parts] = {target for node in nodes for target in _targets(parts, node, known)} - {parts}
    return graph


def _level(part):
    return next(number for number, layer in enumerate(_LAYERS) if part in layer)


def test_every_part_is_in_the_map():
    parts = {parts[0] for parts in _modules()}
    assert parts == set().union(*_LAYERS)


def test_rooms_need_no_init_file():
    """Ansible, Python and mypy take a folder for a package without one: less to open, and nothing that could hide in it."""
    assert list(_ROOT.rglob("__init__.py")) == []


def test_no_body_is_on_the_line_of_its_def():
    """Sanity of ansible-core 2.17 refuses it."""
    short = re.compile(r"^ *def .*: \.\.\.$", re.MULTILINE)
    assert [file for file in _ROOT.rglob("*.py") if short.search(file.read_text(encoding="utf-8"))] == []


def test_imports_are_seen():
    graph = _graph(at_import_only=False)
    assert {("_engine",), ("_fork", "read"), ("_vsphere", "compute")} <= graph[("_fork", "task")]


def test_no_layer_imports_a_higher_one_and_no_domain_another():
    wrong = [
        f"{'.'.join(parts)} imports {'.'.join(target)}"
        for parts, targets in _graph(at_import_only=False).items()
        for target in targets
        if target[0] != parts[0]
        and (_level(target[0]) > _level(parts[0]) or {target[0], parts[0]} <= _DOMAINS)
        # Where a task is called as a whole, a session is made: the edge is above all.
        and parts[0] != "_ansible"
    ]
    assert wrong == []


def test_imports_have_no_circle():
    graph = _graph(at_import_only=True)
    done, path = set(), []

    def visit(parts):
        if parts in path:
            pytest.fail(" -> ".join(".".join(each) for each in [*path[path.index(parts) :], parts]))
        if parts not in done:
            path.append(parts)
            for target in sorted(graph[parts]):
                visit(target)
            path.pop()
            done.add(parts)

    for parts in graph:
        visit(parts)
    assert len(done) == len(graph)


def test_what_is_pure_knows_no_pyvmomi():
    for parts, file in _modules().items():
        if parts[0] in _DOMAINS and parts[-1] in ("model", "plan", "facts"):
            text = file.read_text(encoding="utf-8")
            assert "pyvmomi import" not in text, file
            assert "import pyVmomi" not in text, file


def test_programs_are_started_in_one_place():
    """The sanity tests of ansible-core 2.21 and later refuse each other one."""
    starts = re.compile(r"subprocess\.(Popen|run|call|check_call|check_output)\(")
    assert [path.name for path in _ROOT.rglob("*.py") if starts.search(path.read_text(encoding="utf-8"))] == ["_programs.py"]
