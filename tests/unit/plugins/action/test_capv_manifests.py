# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The task capv_manifests as a playbook gives it: its result, its diff and its mistakes, and no secret in any of them."""

from __future__ import annotations

import json

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.action.plays import environment, kept
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.capv.clusters import (
    CERTIFICATE,
    KEY,
    PASSWORD,
    options,
    repository,
)
from vforge_playbook import run_playbook


def _set(given):
    """What a user would write: nothing that is not set."""
    if isinstance(given, dict):
        return {key: _set(value) for key, value in given.items() if value is not None}
    return given


@pytest.fixture
def play(tmp_path):
    """A function that plays the task on a tree, and returns the whole output and the result."""
    tree = repository(tmp_path / "tree")

    def played(*words, **changes):
        task = _set(options(path=str(tree), **changes))
        tasks = [
            {"vforge.vsphere.capv_manifests": task, "register": "done", "ignore_errors": True},
            kept("{{ done | to_json }}", tmp_path / "done.json"),
        ]
        text = json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])
        (tmp_path / "play.json").write_text(text, encoding="utf-8")
        _code, output = run_playbook(*words, "play.json", cwd=tmp_path, env=environment(tmp_path))
        return output, json.loads((tmp_path / "done.json").read_text(encoding="utf-8"))

    return played


_REGISTRATION = {"ca": CERTIFICATE, "client_certificate": CERTIFICATE, "client_key": KEY}


def test_a_task_shows_what_it_writes_and_no_secret(play):
    output, done = play("-vvvv", "--diff", registration=_REGISTRATION)
    assert [entry["action"] for entry in done["files"]] == ["created"] * 9
    assert "kind: KubeadmControlPlane" in output
    for secret in (PASSWORD, "a-key-of-nobody"):
        assert secret not in output
    _output, again = play(registration=_REGISTRATION)
    assert (again["changed"], again["files"]) == (False, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"wrokers": []}, "wrokers"),
        ({"machines": {"colne_mode": "linkedClone"}}, "colne_mode"),
        ({"machines": {"clone_mode": "instantClone"}}, "instantClone"),
        ({"addons": {"cni": {"chart": "calico"}}}, "revision"),
        ({"endpoint": None}, "endpoint must be set"),
        ({"credentials": {"password": {"a": "hidden-in-a-mapping"}}}, "password"),
        ({"timeout": 0}, "timeout"),
    ],
)
def test_a_mistake_is_named(play, changes, said):
    output, failed = play(**changes)
    assert (failed["failed"], failed["error_code"]) == (True, "invalid_option")
    assert said in failed["msg"]
    assert "hidden-in-a-mapping" not in output
