# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role capv_cluster makes of a management cluster's answers, with a stand-in for kubernetes.core."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import OPTIONS, git, repository
from vforge_playbook import run_playbook

# Answers as plugins/module_utils/k8s/service.py of kubernetes.core does: of an API that is not served, and of an object that
# has not come while it waited, it has no resources, and does not fail. The kubeconfig has what is served, the clusters or the
# Secrets, and what was asked.
_STAND_IN = """
import json
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        args = self._task.args
        with open(args["kubeconfig"], encoding="utf-8") as file:
            known = json.load(file)
        if args["kind"] == "Secret":
            return {**result, "resources": known["clusters"], "api_found": True}
        group, _slash, version = args["api_version"].rpartition("/")
        if args["kind"] == "CustomResourceDefinition":
            versions = [{"name": each, "served": True} for each in known["served"]]
            return {**result, "resources": [{"spec": {"versions": versions}}], "api_found": True}
        known["asked"].append([args["kind"], version])
        with open(args["kubeconfig"], "w", encoding="utf-8") as file:
            json.dump(known, file)
        found = version in known["served"]
        return {**result, "resources": known["clusters"] if found else [], "api_found": found}
"""


@pytest.fixture
def play(tmp_path):
    """A function that plays tasks of the role, and returns the exit code, the output, and what was asked for."""
    plugins = tmp_path / "collections/ansible_collections/kubernetes/core/plugins"
    for kind, text in (("action", _STAND_IN), ("modules", "")):
        (plugins / kind).mkdir(parents=True)
        (plugins / kind / "k8s_info.py").write_text(text, encoding="utf-8")
    path = str(repository(tmp_path / "tree"))
    management = tmp_path / "management.json"

    def played(tasks_from, *, served, clusters, **variables):
        management.write_text(json.dumps({"served": served, "clusters": clusters, "asked": []}), encoding="utf-8")
        given = {"path": path, "name": "prod", "kubeconfig": str(management), "wait": 1, **variables}
        role = {"name": "vforge.vsphere.capv_cluster", "tasks_from": tasks_from}
        each = {f"capv_cluster_{name}": value for name, value in given.items()}
        plays = [{"hosts": "localhost", "gather_facts": False, "tasks": [{"include_role": role, "vars": each}]}]
        (tmp_path / "play.json").write_text(json.dumps(plays), encoding="utf-8")
        env = environment(tmp_path)
        env["ANSIBLE_COLLECTIONS_PATH"] += f":{tmp_path / 'collections'}"
        code, output = run_playbook("play.json", cwd=tmp_path, env=env)
        return code, output, json.loads(management.read_text(encoding="utf-8"))["asked"]

    return played


@pytest.mark.parametrize(
    ("served", "given", "code", "version"),
    [
        (["v1beta1"], {}, 0, "v1beta1"),
        (["v1beta1", "v1beta2"], {}, 0, "v1beta2"),
        (["v1beta1"], {"cluster_api_version": "v1beta2"}, 2, "v1beta2"),
        # As with -e on a command line.
        (["v1beta1"], {"wait": "1"}, 0, "v1beta1"),
    ],
)
def test_a_cluster_is_gone_where_the_served_version_has_none(play, served, given, code, version):
    ended, output, asked = play("main", served=served, clusters=[], state="absent", **given)
    assert (ended, asked) == (code, [["Cluster", version]]), output


_PEM = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
_PAIR = {"client-certificate-data": _PEM, "client-key-data": _PEM}


@pytest.mark.parametrize(
    ("ca", "user", "said"),
    [
        (_PEM, {"token": "of-nobody"}, ""),
        (_PEM, _PAIR, ""),
        (_PEM, {"exec": {}}, "neither a token alone nor a client certificate"),
        ("", _PAIR, "The option ca of registration is empty."),
    ],
)
def test_the_login_that_is_kept_is_taken_or_what_it_lacks_is_named(play, ca, user, said):
    kept = {"clusters": [{"cluster": {"certificate-authority-data": ca} if ca else {}}], "users": [{"user": user}]}
    secret = {"data": {"value": base64.b64encode(json.dumps(kept).encode()).decode()}}
    given = {name: OPTIONS[name] for name in ("kubernetes_version", "vcenter", "endpoint", "argocd", "credentials")}
    machines = {"template": "node", "datastore": "LocalDS_0", "networks": [{"name": "n"}]}
    ended, output, asked = play("main", served=["v1beta1"], clusters=[secret], **given, machines=machines, wait=0)
    assert (ended, asked) == (2 if said else 0, []), output
    assert said in " ".join(output.split())
    assert ("management/prod/registration.yaml" in output) == (not said)


def test_a_release_of_other_versions_is_named_with_what_it_serves(play):
    ended, output, asked = play("main", served=["v1", "v1beta3"], clusters=[], state="absent")
    assert (ended, asked) == (2, [])
    assert "serves clusters.cluster.x-k8s.io as v1, v1beta3" in " ".join(output.split())


@pytest.mark.parametrize(
    ("served", "clusters", "code"),
    [(["v1beta2"], [{"kind": "Cluster"}], 0), (["v1beta1"], [{"kind": "Cluster"}], 2), (["v1beta2"], [], 2)],
)
def test_a_condition_needs_a_cluster_of_a_served_version(play, served, clusters, code):
    given = {"cluster_api_version": "v1beta2", "condition": "Available", "namespace": "default", "context": ""}
    ended, output, asked = play("condition", served=served, clusters=clusters, **given)
    assert (ended, asked) == (code, [["Cluster", "v1beta2"]]), output


def test_files_are_committed_where_they_are_written_whatever_host_plays_the_role(tmp_path):
    path = repository(tmp_path / "tree")
    git(path, "config", "user.name", "Nobody")
    git(path, "config", "user.email", "nobody@example.com")
    (tmp_path / "hosts").write_text("bastion ansible_host=127.0.0.1 ansible_port=1 ansible_connection=ssh\n", encoding="utf-8")
    given = {name: OPTIONS[name] for name in ("kubernetes_version", "vcenter", "endpoint", "argocd", "credentials")}
    machines = {"template": "node", "datastore": "LocalDS_0", "networks": [{"name": "n"}]}
    given |= {"path": str(path), "name": "prod", "machines": machines, "commit": True}
    include = {"include_role": {"name": "vforge.vsphere.capv_cluster"}}
    each = {f"capv_cluster_{name}": value for name, value in given.items()}
    play = {"hosts": "bastion", "gather_facts": False, "tasks": [{**include, "vars": each}]}
    (tmp_path / "play.json").write_text(json.dumps([play]), encoding="utf-8")
    code, output = run_playbook("-i", "hosts", "play.json", cwd=tmp_path, env=environment(tmp_path))
    assert code == 0, output
    assert git(path, "log", "--format=%s") == "Cluster prod\n"
