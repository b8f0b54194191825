# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hold what a module returns against its RETURN and against the guide of error codes."""

from __future__ import annotations

import functools
import pathlib
import re
import typing as t

import yaml

from ansible_collections.vforge.vsphere.plugins import modules

FOLDER = pathlib.Path(next(iter(modules.__path__)))

# What Ansible itself adds.
_ANSIBLES = {"changed", "diff", "failed", "invocation", "msg", "warnings", "deprecations", "_ansible_no_log"}

# What the edge between a task and Ansible adds.
_OF_THE_EDGE = {"timing", "calls", "error_code"}

# What errors have that vCenter's faults are made of.
_OF_FAULTS = frozenset(
    ("fault", "fault_messages", "object", "moid", "privilege", "holder", "task", "invalid_property", "existing_state")
)

_TYPES: dict[str, t.Any] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "dict": dict,
    "list": list,
    "raw": object,
}


@functools.cache
def documented(name: str) -> dict[str, t.Any]:
    """RETURN of a module, as data."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return t.cast("dict[str, t.Any]", yaml.safe_load(text.partition('RETURN = r"""')[2].partition('"""')[0]))


@functools.cache
def _codes() -> frozenset[str]:
    page = FOLDER.parents[1] / "docs" / "docsite" / "rst" / "guide_error_codes.rst"
    return frozenset(re.findall(r"^   \* - ``(\w+)``$", page.read_text(encoding="utf-8"), re.MULTILINE))


def contradictions(value: t.Any, described: t.Mapping[str, t.Any], where: str) -> t.Iterator[str]:
    """In what a value is not as its description says; a value may always be null."""
    if value is None:
        return
    kind = described["type"]
    if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind in ("int", "float")):
        yield f"{where} is {value!r}, not {kind}"
        return
    if kind == "list":
        item = {**described, "type": described["elements"]}
        for number, each in enumerate(value):
            yield from contradictions(each, item, f"{where}[{number}]")
    inner = described.get("contains")
    if kind == "dict" and inner is not None:
        yield from (f"{where}.{key} is not documented" for key in value.keys() - inner.keys())
        for key in value.keys() & inner.keys():
            yield from contradictions(value[key], inner[key], f"{where}.{key}")


def _strange_codes(value: t.Any, where: str) -> t.Iterator[str]:
    """Error codes that the guide does not have, and that are no names of faults; and errors of what did not fail."""
    if isinstance(value, dict):
        code = value.get("error_code")
        # The failure of a task on one thing has the code of that thing, which has the fault.
        if code and code not in _codes() and not any("fault" in each for each in (value, *value.get("failures", ()))):
            yield f"{where} has the error code {code}, which is not in the guide"
        if value.get("error") == {}:
            yield f"{where} has an error that is none"
        for key, each in value.items():
            yield from _strange_codes(each, f"{where}.{key}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _strange_codes(each, f"{where}[{number}]")


def check(name: str, result: dict[str, t.Any], *, whole: bool = True, details: t.Collection[str] = ()) -> None:
    """Hold a result against the documentation.

    :param whole: whether it is what the module returned, and not what its task did.
    :param details: what the result has of the error of the task besides.
    """
    known = documented(name)
    # Errors have details of their own, which differ from one to the other. That of a task on one thing is the task's.
    failures = result.get("failures", ())
    one_error = result.get("failed") and not failures
    # What ended the task itself, and left its things unfinished, has its own fault.
    of_the_task = () if result.get("error_code") in {failure["error_code"] for failure in failures} else _OF_FAULTS
    expected = {*known, *_ANSIBLES, *details, *of_the_task, *(key for failure in failures for key in failure)}
    found = [] if one_error else [f"{key} is not documented" for key in result.keys() - expected]
    always = {"always"} if result.get("failed") else {"always", "success"}
    due = {key for key, item in known.items() if item["returned"] in always} - (set() if whole else _OF_THE_EDGE)
    found += [f"{key} is not returned" for key in due - result.keys()]
    for key in result.keys() & known.keys():
        found += contradictions(result[key], known[key], key)
    found += _strange_codes(result, name)
    assert not found, "\n".join(sorted(set(found)))
