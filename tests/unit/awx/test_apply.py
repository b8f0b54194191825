# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What automation/awx puts into AWX: every task fits the arguments of awx.awx, and every name is that of something there."""

from __future__ import annotations

import re
import textwrap

import pytest
import yaml

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT, Awx

# They have variables of their own, and no role's arguments. vcenter_role is played once, by the administrator of the vCenter.
_NO_FLOW = {"demo", "vcenter_role"}

_SECRETS = {
    "vcenter": {"host": "vcenter.example.com", "username": "automation@vsphere.local", "password": "secret-of-the-vcenter"},
    "guest": {"username": "root", "password": "secret-of-guests"},
}
# Of each kind of question one, and one that no survey asks for.
_VARIABLES = {
    "restore_drill": {"restore_drill_vms": ["web-1"]},
    "instant_clone_fleet": {
        "instant_clone_fleet_name": "web-###",
        "instant_clone_fleet_count": 200,
        "instant_clone_fleet_golden_version": 7,
        "instant_clone_fleet_clusters": ["Berlin-1"],
    },
    "evc_baseline": {"evc_baseline_apply": True, "evc_baseline_mode": "intel-broadwell"},
    "cbt_backup": {"cbt_backup_keep_daily": 7, "cbt_backup_quiesce": "require"},
}
_CREDENTIALS = {"vCenter", "guests"}


@pytest.fixture(name="awx", scope="module")
def _awx(tmp_path_factory):
    """A site that has a vCenter and guests, after apply.yml."""
    awx = Awx(tmp_path_factory.mktemp("awx"))
    code, output = awx.apply(
        vforge_awx_secrets=_SECRETS,
        vforge_awx_backup_repository="/mnt/backups",
        vforge_awx_extra_vars=_VARIABLES,
        vforge_awx_webhook_url="https://hooks.example.com/secret-of-the-hook",
    )
    assert code == 0, output
    assert "secret-of" not in output
    return awx


def _playbooks():
    return {path.stem for path in (ROOT / "playbooks").glob("*.yml")} - _NO_FLOW


def test_each_playbook_has_one_job_template_and_each_job_template_a_playbook(awx):
    named = [template["playbook"] for template in awx.asked("job_template").values()]
    assert sorted(named) == sorted(f"playbooks/{name}.yml" for name in _playbooks())


@pytest.mark.parametrize("flow", sorted(_playbooks()))
def test_the_flow_of_a_job_template_is_the_role_of_its_playbook(flow):
    plays = yaml.safe_load((ROOT / "playbooks" / f"{flow}.yml").read_text(encoding="utf-8"))
    assert [play["roles"] for play in plays] == [[f"vforge.vsphere.{flow}"]]


def test_what_objects_name_is_there(awx):
    environments, projects, inventories = (
        {f"vSphere: {name}" for name in awx.asked(kind)} for kind in ("execution_environment", "project", "inventory")
    )
    credentials = {f"vSphere: {name}" for name in awx.asked("credential")}
    labels, notifications = set(awx.asked("label")), {f"vSphere: {name}" for name in awx.asked("notification_template")}
    assert credentials == {f"vSphere: {name}" for name in _CREDENTIALS}
    for template in awx.asked("job_template").values():
        assert template["execution_environment"] in environments
        assert template["project"] in projects
        assert template["inventory"] in inventories
        assert set(template["credentials"]) <= credentials
        assert template["credentials"]
        assert set(template["labels"]) <= labels
        assert set(template["notification_templates_error"]) <= notifications
    for source in awx.asked("inventory_source").values():
        assert source["inventory"] in inventories
        assert source["source_project"] in projects
        assert source["credential"] in credentials
        assert (ROOT / source["source_path"]).is_file()
    types = {f"vSphere: {name}" for name in awx.asked("credential_type")} | {"VMware vCenter"}
    assert {credential["credential_type"] for credential in awx.asked("credential").values()} <= types


def test_the_image_and_the_playbooks_are_of_the_version_of_the_collection(awx):
    """AWX pulls a tag that a node has no second time."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    (environment,), (project,) = awx.asked("execution_environment").values(), awx.asked("project").values()
    assert environment["image"].endswith(f":{version}")
    assert project["scm_branch"] == version
    described = [*(ROOT / "automation").rglob("*"), ROOT / "docs" / "docsite" / "rst" / "guide_awx.rst"]
    texts = [path.read_text(encoding="utf-8") for path in described if path.is_file()]
    tags = {tag for text in texts for tag in re.findall(r"vforge-vsphere:(\S+)", text)}
    assert tags == {version}


def test_a_credential_is_one_of_a_type_for_a_job_template(awx):
    """AWX refuses two of one type."""
    kinds = {f"vSphere: {name}": given["credential_type"] for name, given in awx.asked("credential").items()}
    for template in awx.asked("job_template").values():
        used = [kinds[name] for name in template["credentials"]]
        assert len(set(used)) == len(used)


def test_the_nodes_of_a_workflow_are_job_templates_and_inventory_sources_that_are_there(awx):
    there = {"job_template": set(awx.asked("job_template")), "inventory_source": set(awx.asked("inventory_source"))}
    workflows = awx.asked("workflow_job_template")
    assert workflows
    for workflow in workflows.values():
        nodes = {node["identifier"]: node for node in workflow["workflow_nodes"]}
        for node in nodes.values():
            job = node["unified_job_template"]
            assert job["name"].removeprefix("vSphere: ") in there[job["type"]]
            for following in (node.get("related") or {}).get("success_nodes") or []:
                assert following["identifier"] in nodes


def test_schedules_are_of_job_templates_that_are_there_and_answer_questions_that_are_asked(awx):
    templates = awx.asked("job_template")
    assert awx.asked("schedule")
    for schedule in awx.asked("schedule").values():
        template = templates[schedule["unified_job_template"].removeprefix("vSphere: ")]
        questions = {each["variable"]: each for each in template["survey_spec"]["spec"]}
        for variable, answer in schedule["extra_data"].items():
            assert not questions[variable]["choices"] or answer in questions[variable]["choices"]
        # AWX takes no default of the survey for a required answer that a schedule does not give (api/serializers.py).
        required = {variable: each["default"] for variable, each in questions.items() if each["required"]}
        assert required == {"cbt_backup_repository": "/mnt/backups"}
        assert required.items() <= schedule["extra_data"].items()
    assert awx.asked("schedule")["backups read back each week"]["extra_data"]["cbt_backup_verify"] == "true"


def test_the_site_sets_answers_and_variables(awx):
    templates = awx.asked("job_template")
    asked = {each["variable"]: each for each in templates["backups by what changed"]["survey_spec"]["spec"]}
    assert asked["cbt_backup_repository"]["default"] == "/mnt/backups"
    assert asked["cbt_backup_mode"]["default"] == "auto"
    assert templates["restore drill"]["extra_vars"] == {"restore_drill_vms": ["web-1"], "restore_drill_command": []}


@pytest.mark.parametrize("flow", ["cbt_backup", "evc_baseline", "instant_clone_fleet"])
def test_what_a_site_sets_is_the_default_of_its_question(awx, flow):
    """AWX has a default of a survey win over a variable of its job template (main/models/mixins.py). Answers are texts."""
    (template,) = (each for each in awx.asked("job_template").values() if each["playbook"] == f"playbooks/{flow}.yml")
    asked = {each["variable"]: each for each in template["survey_spec"]["spec"]}
    answers = {name: value for name, value in _VARIABLES[flow].items() if name in asked}
    assert {name: asked[name]["default"] for name in answers} == {
        name: value if asked[name]["type"] == "integer" else str(value).replace("True", "true")
        for name, value in answers.items()
    }
    assert not asked.keys() & template["extra_vars"].keys()
    left = {name: value for name, value in _VARIABLES[flow].items() if name not in asked}
    assert left.items() <= template["extra_vars"].items()


def test_a_job_has_more_time_than_a_task_of_its_role(awx):
    for name, template in awx.asked("job_template").items():
        role = template["playbook"].removeprefix("playbooks/").removesuffix(".yml")
        limits = [
            argument["default"] for variable, argument in surveys.arguments(role).items() if variable.endswith("_timeout")
        ]
        assert template["timeout"] > max(limits), name


def test_only_the_flow_whose_vms_are_hosts_of_the_inventory_is_sliced(awx):
    slices = {name: template["job_slice_count"] for name, template in awx.asked("job_template").items()}
    assert {name for name, count in slices.items() if count > 1} == {"backups by what changed"}


def test_no_secret_is_in_anything_but_a_credential(awx):
    for kind in ("job_template", "inventory_source", "project", "schedule", "workflow_job_template"):
        assert "secret-of" not in str(awx.asked(kind))
    # The token of a hook is in its address.
    (notification,) = awx.asked("notification_template").values()
    configuration = notification["notification_configuration"]
    assert configuration.pop("url").endswith("secret-of-the-hook")
    assert "secret-of" not in str(notification)
    assert awx.asked("credential")["vCenter"]["inputs"] == _SECRETS["vcenter"]


def test_a_site_may_choose_flows_and_have_its_credentials_already(tmp_path):
    awx = Awx(tmp_path)
    code, output = awx.apply(vforge_awx_flows=["evc_baseline"], vforge_awx_vcenter="vcenter_builtin")
    assert code == 0, output
    templates = awx.asked("job_template")
    assert list(templates) == ["EVC mode of a cluster"]
    assert templates["EVC mode of a cluster"]["credentials"] == ["vSphere: vCenter, type of AWX"]
    assert not awx.asked("credential")
    assert not awx.asked("workflow_job_template")
    assert not awx.asked("schedule")


def test_a_site_may_have_awxs_own_type_and_a_second_vcenter(tmp_path):
    awx = Awx(tmp_path)
    second = {"host": "other.example.com", "username": "automation@vsphere.local", "password": "secret-of-the-other"}
    code, output = awx.apply(
        vforge_awx_flows=["vmdk_migrate"], vforge_awx_vcenter="vcenter_builtin", vforge_awx_secrets={"second_vcenter": second}
    )
    assert code == 0, output
    (template,) = awx.asked("job_template").values()
    assert set(template["credentials"]) == {"vSphere: vCenter, type of AWX", "vSphere: second vCenter"}


@pytest.mark.parametrize("there", [{}, {"vforge_awx_optional_credentials": []}], ids=["nowhere", "in AWX already"])
def test_a_backup_does_without_a_user_of_guests_unless_awx_has_one(tmp_path, there):
    awx = Awx(tmp_path)
    code, output = awx.apply(vforge_awx_flows=["cbt_backup"], vforge_awx_secrets={"vcenter": _SECRETS["vcenter"]}, **there)
    assert code == 0, output
    (template,) = awx.asked("job_template").values()
    assert set(template["credentials"]) == {"vSphere: vCenter", *(["vSphere: guests"] if there else [])}


def test_the_files_of_the_guide_are_those_of_a_site(tmp_path):
    page = (ROOT / "docs" / "docsite" / "rst" / "guide_awx.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^   \.\. code-block:: yaml\n\n((?:(?: {6}.*)?\n)+)", page, re.MULTILINE)
    site, secrets = (yaml.safe_load(textwrap.dedent(block)) for block in blocks)
    awx = Awx(tmp_path)
    code, output = awx.apply(**site, **secrets)
    assert code == 0, output
    templates = awx.asked("job_template")
    assert len(templates) == len(site["vforge_awx_flows"])
    assert templates["fleet of instant clones"]["extra_vars"]["instant_clone_fleet_clusters"] == ["Berlin-1"]
    assert set(awx.asked("credential")) == {"vCenter", "guests"}


@pytest.mark.parametrize(
    "site",
    [
        {"vforge_awx_flows": ["vm_restores"]},
        {"vforge_awx_secrets": {"vcentre": {}}},
        {"vforge_awx_extra_vars": {"vm_restores": {}}},
        {"vforge_awx_vcenter": "vcentre"},
    ],
    ids=lambda site: next(iter(site)),
)
def test_a_name_that_nothing_has_is_refused_before_anything_is_put_there(tmp_path, site):
    awx = Awx(tmp_path)
    code, output = awx.apply(**site)
    assert code == 2
    assert "name flows of data/job_templates.yml" in " ".join(output.split())
    assert not (tmp_path / "asked.jsonl").exists()
