# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The surveys of job templates are those of the roles' arguments, and give every argument that a role requires."""

from __future__ import annotations

import json

import pytest
import yaml

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT

_FLOWS = {flow["flow"]: flow for flow in surveys.flows()}

# The types of Ansible that an answer of each type of AWX can be.
_ANSWERS = {"text": {"str", "path"}, "integer": {"int"}, "multiplechoice": {"str", "bool"}}


@pytest.mark.parametrize("flow", sorted(_FLOWS))
def test_a_survey_is_as_the_role_has_its_arguments(flow):
    written = (surveys.SURVEYS / f"{flow}.json").read_text(encoding="utf-8")
    assert written == surveys.page(_FLOWS[flow]), "make surveys writes it"


def test_there_is_no_survey_of_nothing():
    assert {path.stem for path in surveys.SURVEYS.glob("*.json")} == set(_FLOWS)


@pytest.mark.parametrize("flow", sorted(_FLOWS))
def test_a_question_has_the_type_the_need_and_the_choices_of_its_argument(flow):
    """Read from the files, beside the code that wrote them."""
    known = yaml.safe_load((ROOT / "roles" / flow / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    options = known["argument_specs"]["main"]["options"]
    for asked in json.loads((surveys.SURVEYS / f"{flow}.json").read_text(encoding="utf-8"))["spec"]:
        argument = options[asked["variable"]]
        assert argument["type"] in _ANSWERS[asked["type"]]
        assert asked["required"] == argument.get("required", False)
        assert asked["choices"] == argument.get("choices", ["true", "false"] if argument["type"] == "bool" else [])
        assert not argument.get("no_log")
        assert not asked["variable"].endswith("password")
        if asked["choices"]:
            assert asked["default"] in [*asked["choices"], ""]


@pytest.mark.parametrize("flow", sorted(_FLOWS))
def test_what_a_role_requires_is_asked_for_or_given(flow):
    required = {name for name, argument in surveys.arguments(flow).items() if argument.get("required")}
    assert required <= {*_FLOWS[flow]["questions"], *_FLOWS[flow]["extra_vars"]}


@pytest.mark.parametrize("flow", sorted(_FLOWS))
def test_what_is_given_is_an_argument_that_no_survey_can_ask_for_or_a_choice_of_the_flow(flow):
    known = surveys.arguments(flow)
    for name, value in _FLOWS[flow]["extra_vars"].items():
        assert {"list": list, "dict": dict, "bool": bool}[known[name]["type"]] is type(value)
        assert not known[name].get("no_log")
        assert not name.endswith("password")


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("web_list", {"type": "list"}),
        ("web_dict", {"type": "dict"}),
        ("web_raw", {"type": "raw"}),
        ("web_token", {"type": "str", "no_log": True}),
        ("web_guest_password", {"type": "str"}),
    ],
)
def test_what_no_survey_may_ask_for_is_refused(name, argument):
    with pytest.raises(surveys.NoQuestion, match=name):
        surveys.question("web", name, {"description": "What.", **argument})
