# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The surveys of AWX's job templates, made of the argument specs of the roles: a question of a survey cannot be
another than the variable that it sets.

``automation/awx/data/job_templates.yml`` says which variables are asked for. `make surveys` runs this script, in the
environment that has PyYAML.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
AWX = ROOT / "automation" / "awx"
SURVEYS = AWX / "surveys"

# What AWX itself offers for a whole number without bounds is at most 1024.
_LARGEST = 2**31 - 1
_LONGEST = 1024

_TYPES = {"str": "text", "path": "text", "int": "integer", "bool": "multiplechoice"}

# Roles do not mark passwords: see test_no_role_hides_what_may_be_a_word.
_SECRET = re.compile("password$")


class NoQuestion(ValueError):
    """A variable that cannot be asked for: a secret, or a list or mapping, which a survey has no type for."""


class _Loader(yaml.SafeLoader):
    """YAML of Ansible: `!unsafe` is a text."""


_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def load(path: Path) -> Any:
    """What a file of variables has, templates as they are written."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a safe loader, with one tag more)


def flows() -> list[dict[str, Any]]:
    """The job templates as their data has them."""
    found: list[dict[str, Any]] = load(AWX / "data" / "job_templates.yml")["vforge_awx_job_templates"]
    return found


def arguments(role: str) -> dict[str, dict[str, Any]]:
    """The arguments of a role."""
    spec = load(ROOT / "roles" / role / "meta" / "argument_specs.yml")
    options: dict[str, dict[str, Any]] = spec["argument_specs"]["main"]["options"]
    return options


def question(role: str, variable: str, argument: dict[str, Any]) -> dict[str, Any]:
    """A question of a survey, as AWX's API takes it.

    :raises NoQuestion: where a survey cannot ask for it.
    """
    kind = argument.get("type", "str")
    if _SECRET.search(variable) or argument.get("no_log"):
        raise NoQuestion(f"{variable} is a secret, which comes from a credential")
    if kind not in _TYPES:
        raise NoQuestion(f"{variable} is a {kind}: give it in extra_vars")
    choices = argument.get("choices", ["true", "false"] if kind == "bool" else [])
    asked: dict[str, Any] = {
        "variable": variable,
        "question_name": variable.removeprefix(f"{role}_").replace("_", " ").capitalize(),
        "question_description": _described(argument["description"]),
        "type": "multiplechoice" if choices else _TYPES[kind],
        "required": bool(argument.get("required")),
        "default": _default(argument, kind),
        "choices": choices,
        "new_question": False,
    }
    if asked["type"] == "integer":
        asked.update(min=0, max=_LARGEST)
    if asked["type"] == "text":
        # AWX passes an optional text that is left empty as an empty one, unless it has to have a character.
        asked.update(min=1, max=_LONGEST)
    return asked


def _default(argument: dict[str, Any], kind: str) -> Any:
    value = argument.get("default", "")
    return str(value).lower() if kind == "bool" and value != "" else value


def _described(description: str | list[str]) -> str:
    """The first paragraph, in plain text."""
    first = description if isinstance(description, str) else description[0]
    return re.sub(r"\b[A-Z]\(([^)#]*?)(?:#\w+(?::(\w+))?)?\)", lambda match: match[2] or match[1], first)


def survey(flow: dict[str, Any]) -> dict[str, Any]:
    """The survey of a job template."""
    known = arguments(flow["flow"])
    spec = [question(flow["flow"], variable, known[variable]) for variable in flow["questions"]]
    return {"name": "", "description": "", "spec": spec}


def page(flow: dict[str, Any]) -> str:
    """The text of the file of a survey."""
    return json.dumps(survey(flow), indent=2) + "\n"


def write() -> list[Path]:
    """Write the files of all surveys, and remove those of none; returns what was written."""
    written = {SURVEYS / f"{flow['flow']}.json": page(flow) for flow in flows()}
    for path in set(SURVEYS.glob("*.json")) - set(written):
        path.unlink()
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")
    return sorted(written)


if __name__ == "__main__":
    print(f"written: {len(write())} files in {SURVEYS.relative_to(ROOT)}")
