# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster written into a Git working tree: what is written, kept, refused and removed, and that no secret comes along."""

from __future__ import annotations

import base64
import sys
import time

import pytest
import yaml

from ansible_collections.vforge.vsphere.plugins.module_utils import _files
from ansible_collections.vforge.vsphere.plugins.module_utils._capv import documents, plan, task
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.applications import IN_CLUSTER
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.manifests import WAVE
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.secrets import SealingFailed
from ansible_collections.vforge.vsphere.plugins.module_utils._capv.tree import NoWorkingTree, Tree
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption, TimedOut
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import (
    CERTIFICATE,
    KEY,
    PASSWORD,
    git,
    options,
    repository,
)

_REGISTRATION = {"ca": CERTIFICATE, "client_certificate": CERTIFICATE, "client_key": KEY, "token": None}

_ALL = [
    "app/prod/cloud-provider-app.yaml",
    "app/prod/cni-app.yaml",
    "app/prod/csi-app.yaml",
    "capi-cluster/prod/cluster.yaml",
    "capi-cluster/prod/credentials.yaml",
    "management/management-app.yaml",
    "management/prod/apps-app.yaml",
    "management/prod/cluster-app.yaml",
]
_REGISTERED = "management/prod/registration.yaml"
_CLUSTER = "capi-cluster/prod/cluster.yaml"


@pytest.fixture
def tree(tmp_path):
    """An empty repository."""
    return repository(tmp_path / "tree")


def _run(tree, *, check_mode=False, **changes):
    return task.run_task(options(path=str(tree), **changes), check_mode=check_mode)


def _done(result):
    return {entry["path"]: entry["action"] for entry in result["files"]}


def _bytes(tree):
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*.yaml")}


def test_from_nothing_to_a_cluster_and_back(tree):
    would = _run(tree, check_mode=True, registration=_REGISTRATION)
    assert _bytes(tree) == {}
    done = _run(tree, registration=_REGISTRATION)
    assert _done(would) == _done(done) == dict.fromkeys([*_ALL, _REGISTERED], "created")
    before = _bytes(tree)
    again = _run(tree, registration=_REGISTRATION)
    assert (again["changed"], again["files"], _bytes(tree)) == (False, [], before)
    gone = _run(tree, state="absent")
    assert set(_done(gone).values()) == {"removed"}
    assert sorted(_bytes(tree)) == ["management/management-app.yaml"]
    assert sorted(path.name for path in tree.iterdir()) == [".git", "management"]
    assert _run(tree, state="absent")["changed"] is False


def test_no_secret_is_in_the_tree_the_result_or_the_diff(tree):
    done = _run(tree, registration=_REGISTRATION)
    shown = repr(done).encode() + b"".join(_bytes(tree).values())
    for secret in (PASSWORD, KEY, base64.b64encode(KEY.encode()).decode(), base64.b64encode(PASSWORD.encode()).decode()):
        assert secret.encode() not in shown
    assert PASSWORD not in repr(task.Cluster.from_params(options()))


@pytest.mark.parametrize("check_mode", [True, False])
def test_no_object_is_of_two_clusters(tree, check_mode):
    _run(tree, name="prod", workers=[{"name": "eu-md-0"}])
    before = _bytes(tree)
    with pytest.raises(InvalidOption, match=r"The .* prod-eu-md-0.* would be of two clusters: capi-cluster/prod/cluster\.yaml"):
        _run(tree, name="prod-eu", workers=[{"name": "md-0"}], check_mode=check_mode)
    assert _bytes(tree) == before
    # In another namespace, or with another name, it is another object.
    _run(tree, name="prod-eu", workers=[{"name": "md-0"}], namespace="other")
    _run(tree, name="prod-eu", state="absent", namespace="other")
    _run(tree, name="prod-eu", workers=[{"name": "md-1"}])
    assert _run(tree, name="prod", workers=[{"name": "eu-md-0"}])["changed"] is False


def test_what_is_sealed_is_in_the_wave_of_its_secret(tree):
    """kubeseal leaves no annotation at the SealedSecret, by which Argo CD would know it."""
    _run(tree, registration=_REGISTRATION)
    for file in ("capi-cluster/prod/credentials.yaml", _REGISTERED):
        for sealed in yaml.safe_load_all((tree / file).read_text(encoding="utf-8")):
            assert sealed["metadata"]["annotations"] == {WAVE: "-1"}
            assert sealed["spec"]["template"]["metadata"]["annotations"] == {WAVE: "-1"}


def test_a_wave_that_the_command_leaves_is_not_touched(tree):
    """What sops prints is signed as a whole."""
    seal = (
        "import sys, yaml; s = yaml.safe_load(sys.stdin); s['stringData'] = dict.fromkeys(s['stringData'], 'ENC[]');"
        "s['metadata']['annotations'] = dict.fromkeys(s['metadata']['annotations'], 'ENC[wave]'); print(yaml.safe_dump(s))"
    )
    _run(tree, credentials={"command": [sys.executable, "-c", seal]})
    sealed = next(yaml.safe_load_all((tree / "capi-cluster/prod/credentials.yaml").read_text(encoding="utf-8")))
    assert sealed["metadata"]["annotations"] == {WAVE: "ENC[wave]"}


def test_two_trees_of_the_same_options_are_the_same(tree, tmp_path):
    other = repository(tmp_path / "other")
    for each in (tree, other):
        _run(each, credentials={"method": "referenced", "command": None, "username": None, "password": None})
    assert _bytes(tree) == _bytes(other)
    assert "capi-cluster/prod/credentials.yaml" not in _bytes(tree)


def test_credentials_are_sealed_again_only_with_another_revision(tree):
    _run(tree)
    assert _run(tree, credentials={"password": "another-one-that-nobody-sees"})["changed"] is False
    done = _run(tree, credentials={"password": "another-one", "revision": "2"})
    assert _done(done) == {"capi-cluster/prod/credentials.yaml": "updated"}
    assert done["diff"][0]["after"].startswith("sealed of revision 2 for ")


def test_a_registration_stays_and_is_renewed_with_its_certificate(tree):
    assert _run(tree)["registration"] == "pending"
    assert _run(tree, registration=_REGISTRATION)["registration"] == "written"
    kept = _run(tree)
    assert (kept["registration"], kept["changed"]) == ("kept", False)
    rotated = CERTIFICATE.replace("MIIB", "MIIC")
    done = _run(tree, registration={**_REGISTRATION, "client_certificate": rotated})
    assert _done(done) == {_REGISTERED: "updated"}
    token = _run(tree, registration={"ca": CERTIFICATE, "token": "eyJhbGciOi.a-token-of-nobody"})
    assert _done(token) == {_REGISTERED: "updated"}
    assert b"a-token" not in _bytes(tree)[_REGISTERED]


def test_an_addon_that_is_wanted_no_more_goes(tree):
    _run(tree)
    done = _run(tree, addons={"csi": None})
    assert _done(done) == {
        "app/prod/csi-app.yaml": "removed",
        _CLUSTER: "updated",
        "capi-cluster/prod/credentials.yaml": "updated",
    }
    assert _done(_run(tree))["capi-cluster/prod/credentials.yaml"] == "updated"


@pytest.mark.parametrize("name", ["shop.yaml", "shop.json"])
def test_the_app_of_apps_stays_for_applications_of_others(tree, name):
    """Argo CD would remove them with it."""
    _run(tree)
    mine = tree / "app/prod" / name
    mine.write_text(
        '{"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"}}', encoding="utf-8"
    )
    none = {"cni": None, "cloud_provider": None, "csi": None}
    removed = {path for path, action in _done(_run(tree, addons=none)).items() if action == "removed"}
    assert removed == {"app/prod/cloud-provider-app.yaml", "app/prod/cni-app.yaml", "app/prod/csi-app.yaml"}
    mine.unlink()
    assert _done(_run(tree, addons=none)) == {"management/prod/apps-app.yaml": "removed"}


def test_what_was_edited_is_named_and_nothing_is_written(tree):
    _run(tree)
    for name in (_CLUSTER, "app/prod/cni-app.yaml"):
        (tree / name).write_text((tree / name).read_text() + "# by hand\n", encoding="utf-8")
    before = _bytes(tree)
    with pytest.raises(plan.FilesEdited) as caught:
        _run(tree, control_plane={"replicas": 5})
    assert sorted(caught.value.details["edited"]) == ["app/prod/cni-app.yaml", _CLUSTER]
    assert _bytes(tree) == before
    assert _done(_run(tree, on_edited="overwrite")) == {"app/prod/cni-app.yaml": "updated", _CLUSTER: "updated"}


def test_a_file_that_was_edited_in_another_encoding_is_an_edited_one(tree):
    _run(tree)
    latin = (tree / _CLUSTER).read_bytes() + b"# f\xfcr alle\n"
    (tree / _CLUSTER).write_bytes(latin)
    for changes in ({"control_plane": {"replicas": 5}}, {"state": "absent"}):
        with pytest.raises(plan.FilesEdited, match="it was edited"):
            _run(tree, **changes)
    done = _run(tree, on_edited="overwrite")
    assert _done(done) == {_CLUSTER: "updated"}
    assert "# f\ufffdr alle" in done["diff"][0]["before"]


@pytest.mark.parametrize(
    "odd",
    [
        "- a list\n",
        "a text\n",
        "kind: VSphereCluster\n",
        "{kind: VSphereCluster, spec: {controlPlaneEndpoint: []}}\n",
        "{kind: VSphereCluster, spec: {controlPlaneEndpoint: {host: 10.0.0.1}}}\n",
        "{kind: Application, spec: [a]}\n",
        "{kind: Application, spec: {destination: prod}, metadata: []}\n",
        "kind: [Application]\n",
        "&a {kind: List, items: [*a]}\n",
    ],
)
def test_documents_of_any_form_are_no_users(tree, odd):
    _run(tree)
    text = (tree / _CLUSTER).read_text()
    (tree / _CLUSTER).write_text(text.replace("---\n", f"---\n{odd}---\n", 1), encoding="utf-8")
    (tree / "app/stage").mkdir()
    (tree / "app/stage/odd.yaml").write_text(odd, encoding="utf-8")
    assert set(_done(_run(tree, state="absent", on_edited="overwrite")).values()) == {"removed"}


def test_an_application_without_a_name_is_a_user_all_the_same(tree):
    _run(tree)
    (tree / "app/prod/odd.yaml").write_text("{kind: Application, spec: {destination: {name: prod}}}\n", encoding="utf-8")
    with pytest.raises(plan.StillUsed) as caught:
        _run(tree, state="absent")
    assert caught.value.details["applications"] == ["an Application without a name (app/prod/odd.yaml)"]


def test_a_file_of_somebody_else_is_refused_and_a_neighbour_stays(tree):
    (tree / "capi-cluster/prod").mkdir(parents=True)
    (tree / _CLUSTER).write_text("kind: Cluster\n", encoding="utf-8")
    with pytest.raises(plan.FilesEdited, match=r"cluster.yaml \(no run has written it\)"):
        _run(tree)
    (tree / _CLUSTER).rename(tree / "capi-cluster/prod/mine.yaml")
    _run(tree)
    _run(tree, state="absent")
    assert "capi-cluster/prod/mine.yaml" in _bytes(tree)


def test_a_cluster_of_the_same_name_in_another_namespace_is_refused(tree):
    _run(tree)
    with pytest.raises(plan.FilesEdited, match="it is of the cluster default/prod"):
        _run(tree, namespace="other", on_edited="overwrite")


def test_a_conflict_of_git_in_a_file_is_an_edited_file(tree):
    _run(tree)
    text = (tree / _CLUSTER).read_text()
    (tree / _CLUSTER).write_text(text.replace("---\n", "<<<<<<< HEAD\n---\n", 1), encoding="utf-8")
    with pytest.raises(plan.FilesEdited, match="it was edited"):
        _run(tree)


_USER = """
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop}
spec: {destination: {%s}}
"""


_LISTED = """
apiVersion: v1
kind: List
items:
  - apiVersion: argoproj.io/v1alpha1
    kind: Application
    metadata: {name: shop}
    spec: {destination: {%s}}
"""


_USERS = """
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: shop}
spec: {generators: [], template: {spec: {destination: {%s}}}}
"""


@pytest.mark.parametrize("user", [_USER, _USERS, _LISTED])
@pytest.mark.parametrize("destination", ["name: prod", "server: 'https://10.0.50.40:6443'"])
def test_a_cluster_into_which_somebody_deploys_is_not_removed(tree, destination, user):
    _run(tree)
    (tree / "app/shops").mkdir()
    shop = tree / "app/shops/shop.yaml"
    shop.write_text(user % destination, encoding="utf-8")
    with pytest.raises(plan.StillUsed) as caught:
        _run(tree, state="absent")
    assert caught.value.details["applications"] == ["shop (app/shops/shop.yaml)"]
    assert _CLUSTER in _bytes(tree)
    shop.write_text(user % "name: other", encoding="utf-8")
    assert _run(tree, state="absent")["changed"] is True


@pytest.mark.parametrize("name", ["shop.yaml", "shop.json"])
def test_a_cluster_is_not_removed_while_argo_cd_would_remove_what_others_have_put_into_its_folder(tree, name):
    """With the app of apps goes all that it has made, wherever that deploys to."""
    _run(tree)
    before = _bytes(tree)
    mine = tree / "app/prod" / name
    mine.write_text(_USER % f"server: '{IN_CLUSTER}'", encoding="utf-8")
    for check_mode in (True, False):
        with pytest.raises(plan.StillUsed, match=f"made of app/prod/{name}") as caught:
            _run(tree, state="absent", check_mode=check_mode)
        assert caught.value.details["others"] == [f"app/prod/{name}"]
    mine.unlink()
    assert _bytes(tree) == before
    assert set(_done(_run(tree, state="absent")).values()) == {"removed"}


def test_where_there_is_no_app_of_apps_nothing_in_its_folder_goes_with_it(tree):
    _run(tree, addons={"cni": None, "cloud_provider": None, "csi": None})
    (tree / "app/prod").mkdir(parents=True)
    (tree / "app/prod/shop.yaml").write_text(_USER % f"server: '{IN_CLUSTER}'", encoding="utf-8")
    assert "management/prod/cluster-app.yaml" in _done(_run(tree, state="absent"))


def test_a_tree_in_a_folder_of_a_repository_has_its_paths(tree):
    (tree / "k8s").mkdir()
    _run(tree / "k8s")
    text = (tree / "k8s/management/prod/cluster-app.yaml").read_text()
    assert documents.load(text, "x")[0]["spec"]["source"]["path"] == "k8s/capi-cluster/prod"


def test_the_application_of_all_clusters_is_left_as_it_is(tree):
    _run(tree)
    done = _run(tree, name="stage", argocd={"revision": "main"})
    assert "management/management-app.yaml" not in _done(done)
    assert "left as it is" in done["warnings"][0]


def test_what_is_no_working_tree_is_refused(tmp_path, tree):
    for path in (tmp_path / "nowhere", tmp_path, tree / ".git"):
        with pytest.raises(NoWorkingTree):
            _run(path)


def test_what_git_ignores_is_refused_before_anything_is_written(tree):
    (tree / ".gitignore").write_text("credentials.yaml\n", encoding="utf-8")
    with pytest.raises(NoWorkingTree, match="Git ignores capi-cluster/prod/credentials"):
        _run(tree)
    assert _bytes(tree) == {}


def test_links_of_the_tree_are_not_followed(tree, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tree / "capi-cluster").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(_files.FileRefused, match="is a symbolic link"):
        _run(tree)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_failure_in_the_middle_leaves_all_as_it_was(tree, monkeypatch):
    _run(tree)
    before = _bytes(tree)
    put, seen = Tree._put, []

    def failing(self, file, text):
        seen.append(file)
        if len(seen) == 3:
            raise _files.FileUnwritable("No space left.")
        put(self, file, text)

    monkeypatch.setattr(Tree, "_put", failing)
    with pytest.raises(_files.FileUnwritable):
        _run(tree, kubernetes_version="v1.35.0", addons={"cni": {"revision": "v4"}, "csi": {"revision": "v4"}})
    assert _bytes(tree) == before


_LEAKS = {
    "as it is": "import sys; print(sys.stdin.read())",
    "in base64": (
        "import base64, sys, yaml; s = yaml.safe_load(sys.stdin);"
        "s['data'] = {k: base64.b64encode(v.encode()).decode() for k, v in s.pop('stringData').items()};"
        "print(yaml.safe_dump(s))"
    ),
}


@pytest.mark.parametrize("leak", _LEAKS)
def test_a_command_that_does_not_seal_is_refused(tree, leak):
    with pytest.raises(SealingFailed, match="printed a secret as it is") as caught:
        _run(tree, credentials={"command": [sys.executable, "-c", _LEAKS[leak]]})
    assert PASSWORD not in str(caught.value)
    assert _bytes(tree) == {}


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('no key: ' + sys.stdin.read())", "ended with 1"),
        ("print('a: b: c')", "printed no YAML"),
        ("", "printed no single manifest"),
    ],
)
def test_a_command_that_fails_is_named_without_what_it_was_given(tree, program, said):
    with pytest.raises(SealingFailed, match=said) as caught:
        _run(tree, credentials={"command": [sys.executable, "-c", program]})
    assert PASSWORD not in str(caught.value)
    assert _bytes(tree) == {}


def test_a_command_that_waits_for_ever_is_ended(tree):
    began = time.monotonic()
    with pytest.raises(TimedOut):
        _run(tree, credentials={"command": [sys.executable, "-c", "import time; time.sleep(60)"]}, timeout=1)
    assert time.monotonic() - began < 30


def test_a_command_that_is_not_there_is_named_in_check_mode_too(tree):
    with pytest.raises(InvalidOption, match="no-such-seal, is not there"):
        _run(tree, check_mode=True, credentials={"command": ["no-such-seal"]})


def test_a_file_that_others_may_write_is_refused(tree):
    _run(tree)
    (tree / _CLUSTER).chmod(0o666)
    with pytest.raises(_files.FileRefused):
        _run(tree)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "Prod"}, "name is 'Prod'"),
        ({"name": "p" * 64}, "may have 63"),
        ({"workers": [{"name": "w" * 45}]}, "may have 46"),
        ({"workers": [{"name": "a"}, {"name": "a"}]}, "Several entries of workers have the name a"),
        ({"workers": [{"name": "cp"}]}, "as the control plane"),
        ({"kubernetes_version": "1.34"}, "Write it as v1.34.2"),
        ({"control_plane": {"replicas": 2}}, "control_plane.replicas is 2"),
        ({"vcenter": {"thumbprint": None}}, "does not verify"),
        ({"vcenter": {"thumbprint": ":".join(["ab"] * 32)}}, "32 pairs are a SHA-256"),
        ({"vcenter": {"server": "https://vcenter"}}, "without https"),
        ({"vcenter": {"server": "2001:db8::1"}}, "an IPv6 address in brackets"),
        ({"vcenter": {"server": "vcenter.example.com:https"}}, "no name or address of a server"),
        ({"vcenter": {"server": "vcenter.example.com:70000"}}, "no name or address of a server"),
        ({"vcenter": {"server": "vcenter.example.com:8443"}}, "by port 443 alone"),
        ({"machines": {"template": None}}, "there is no template"),
        ({"machines": {"disk_gib": 40}}, "no effect on linked clones"),
        ({"machines": {"template": "node[1]"}}, r"template has 'node\[1\]', which CAPV takes for a pattern"),
        ({"machines": {"folder": "/DC0/vm/k8s*"}}, "folder has"),
        ({"machines": {"networks": [{"name": "VM ?"}]}}, "networks has 'VM"),
        ({"machines": {"clone_mode": "fullClone", "snapshot": "a"}}, "no effect on full clones"),
        ({"machines": {"cpus": 1}}, "CAPV makes no node with fewer than 2"),
        ({"machines": {"memory_mib": 1023}}, "multiple of 4"),
        ({"machines": {"hardware_version": "19"}}, "Write it as vmx-19"),
        ({"machines": {"datastore": None}}, "neither a datastore nor a storage policy"),
        ({"machines": {"networks": []}}, "there is no network"),
        ({"machines": {"networks": [{"name": "a", "dhcp4": False}]}}, "gives no addresses"),
        ({"machines": {"networks": [{"name": "a", "nameservers": ["dns.example.com"]}]}}, "nameservers of the network a has"),
        ({"endpoint": {"host": "k8s.example.com"}}, "kube-vip needs an address"),
        ({"endpoint": {"port": 0}}, "endpoint.port is 0"),
        ({"endpoint": {"host": "k8s.example.com:6443", "load_balancer": "external"}}, "the port is endpoint.port"),
        ({"endpoint": {"host": "https://k8s", "load_balancer": "external"}}, "is no name or address"),
        ({"endpoint": {"host": "", "load_balancer": "external"}}, "is no name or address"),
        ({"pod_cidrs": ["192.168.0.1/16"]}, "has host bits set"),
        ({"pod_cidrs": ["192.168.0.0"]}, "does not say how long its prefix is"),
        ({"service_cidrs": ["10.96.0.0/255.240.0.0"]}, "does not say how long its prefix is"),
        ({"ssh_keys": [KEY]}, "no public key"),
        ({"argocd": {"repo_url": "https://me:secret@git/x"}}, "has a password or a token in it"),
        ({"argocd": {"repo_url": "https://ghp_token@git/x"}}, "has a password or a token in it"),
        ({"addons": {"cni": {"revision": "1", "repo_url": "ssh://me:secret@git/x", "path": "a"}}}, "has a password"),
        ({"addons": {"cni": {"revision": "1", "repo_url": "https://x"}}}, "neither chart nor path"),
        ({"addons": {"csi": {"revision": "1", "values": {"a": 1}}}}, "and is no chart"),
        ({"credentials": {"command": None}}, "credentials has no command"),
        ({"credentials": {"method": "referenced"}}, "Nothing of them would be used"),
        ({"registration": {"ca": CERTIFICATE, "token": "a", "client_key": KEY}}, "neither a token alone"),
        ({"registration": {"ca": "LS0tLS1CRUdJTiB", "token": "a"}}, "decoded from base64"),
    ],
)
def test_what_cannot_be_right_is_refused_by_its_name(tree, changes, said):
    with pytest.raises(InvalidOption, match=said) as caught:
        _run(tree, **changes)
    assert caught.value.hint or "Several" in str(caught.value)
    assert _bytes(tree) == {}


def _commit(tree):
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "all")


@pytest.mark.parametrize("folder", [".", "k8s"])
def test_what_no_commit_has_is_reported_until_one_has_it(tree, folder):
    at = tree / folder
    at.mkdir(exist_ok=True)
    assert _run(at, check_mode=True)["uncommitted"] == []
    assert _run(at)["uncommitted"] == _ALL
    again = _run(at)
    assert (again["changed"], again["uncommitted"]) == (False, _ALL)
    _commit(tree)
    assert _run(at)["uncommitted"] == []
    removed = [path for path in _ALL if path != "management/management-app.yaml"]
    assert [_run(at, state="absent")["uncommitted"] for _time in range(2)] == [removed, removed]
    _commit(tree)
    assert _run(at, state="absent")["uncommitted"] == []


@pytest.mark.parametrize("staged", [False, True])
def test_what_was_never_committed_and_is_removed(tree, staged):
    """What Git waits to commit has to be taken back; what it does not know of is nothing to it."""
    _run(tree)
    if staged:
        git(tree, "add", "-A")
    gone = [path for path in _ALL if path != "management/management-app.yaml"]
    assert _run(tree, state="absent")["uncommitted"] == (gone if staged else [])


def test_what_others_have_not_committed_is_theirs(tree):
    _run(tree, registration=_REGISTRATION)
    _run(tree, name="stage")
    (tree / "capi-cluster/prod/mine.yaml").write_text("kind: Cluster\n", encoding="utf-8")
    (tree / "capi-cluster/prod/gone.yaml").write_text("kind: Cluster\n", encoding="utf-8")
    _commit(tree)
    (tree / "capi-cluster/prod/gone.yaml").unlink()
    (tree / "capi-cluster/prod/mine.yaml").write_text("kind: None\n", encoding="utf-8")
    for path in ("capi-cluster/stage/cluster.yaml", _REGISTERED):
        (tree / path).write_text((tree / path).read_text() + "# by hand\n", encoding="utf-8")
    (tree / "management/management-app.yaml").write_text("kind: Application\n", encoding="utf-8")
    done = _run(tree, addons={"csi": None})
    assert done["uncommitted"] == ["app/prod/csi-app.yaml", _CLUSTER, "capi-cluster/prod/credentials.yaml"]


def test_clusters_share_a_tree(tree):
    plain = {"method": "referenced", "command": None, "username": None, "password": None}
    for name in ("a", "b", "a-cluster"):
        _run(tree, name=name, credentials=plain)
    assert len(_bytes(tree)) == 3 * 6 + 1
    assert git(tree, "status", "--porcelain", "-uall").count("\n") == 3 * 6 + 1
    _run(tree, name="a", state="absent")
    assert len(_bytes(tree)) == 2 * 6 + 1
