# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of the simulator are tables in its README: each has a source, and each fault a test of the simulator's own."""

from __future__ import annotations

import functools
import pathlib
import re

from pyVmomi import VmomiSupport, vmodl

_SIMULATOR = pathlib.Path(__file__).parents[2] / "simulator"

# What a source is, as the README says: documentation, an SDK, the field, tried, inference.
_SOURCES = re.compile(r"\b[DSFTI]\b")


def _rules():
    """The rows of the tables that have a source in their last column."""
    lines = (_SIMULATOR / "README.md").read_text(encoding="utf-8").splitlines()
    sourced = False
    for line in lines:
        if not line.startswith("|"):
            sourced = False
        elif re.match(r"\| (rule|condition)\b.*\| source \|$", line):
            sourced = True
        elif sourced and not line.startswith("| ---"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


@functools.cache
def _is_fault(name):
    for space in ("vim.fault.", "vmodl.fault."):
        try:
            return issubclass(VmomiSupport.GetVmodlType(space + name), vmodl.MethodFault)
        except KeyError:
            continue
    return False


def test_each_rule_has_a_source():
    rules = list(_rules())
    assert len(rules) > 200
    assert [rule for rule in rules if not (_SOURCES.search(rule[-1]) or rule[-1].startswith("a limit"))] == []


def test_each_fault_of_a_rule_has_a_test_of_the_simulators_own():
    tests = "".join(path.read_text(encoding="utf-8") for path in _SIMULATOR.rglob("*_test.go"))
    named = {word for rule in _rules() for word in re.findall(r"[A-Z]\w+", " ".join(rule[1:-1])) if _is_fault(word)}
    assert len(named) > 60
    assert sorted(name for name in named if name not in tests) == []
