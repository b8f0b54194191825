# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Examples of guides and READMEs: all are plays that Ansible accepts, with variables that roles have; many are run.

What is run meets a simulated vCenter whose objects are called as in the guide. What is not run is listed with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

_ROOT = Path(__file__).resolve().parents[3]
_PAGES = sorted([_ROOT / "README.md", *_ROOT.glob("roles/*/README.md"), *_ROOT.glob("docs/docsite/rst/*.rst")])
_ROLE = "vforge.vsphere."


def _blocks(text):
    """What a page shows as YAML, in Markdown or reStructuredText."""
    yield from re.findall(r"^```ya?ml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in re.findall(r"^\.\. code-block:: ya?ml(?:\+jinja)?\n\n((?:(?: {2,}.*)?\n)+)", text, re.MULTILINE):
        yield textwrap.dedent(block)


def _name(page):
    return page.stem if page.suffix == ".rst" else str(page.relative_to(_ROOT).parent / "README").removeprefix("./")


_EXAMPLES = {
    f"{_name(page)} {number}": block
    for page in _PAGES
    for number, block in enumerate(_blocks(page.read_text(encoding="utf-8")), 1)
}

# Pieces of a task, files of variables and inventories: no plays. READMEs of roles have variables of that role besides.
_PIECES = {
    "README 2": "collections of a project",
    "guide_backup 4": "an option",
    "guide_cluster_api 2": "variables",
    "guide_inventory 1": "an inventory, as test_vms.py has them",
    "guide_inventory 2": "a file of variables",
}


def _is_play(where, block):
    return where not in _PIECES and isinstance(yaml.safe_load(block), list)


def _plays(block):
    """The plays of an example; tasks alone become one, and so do roles."""
    data = yaml.safe_load(block)
    if "hosts" in data[0]:
        return data
    kind = "roles" if "role" in data[0] else "tasks"
    return [{"name": "Example", "hosts": "localhost", "gather_facts": False, kind: data}]


def _ansible_playbook(folder, *words, **env):
    """Run ansible-playbook on the checkout that is tested, from an environment without anything else of Ansible."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "VMWARE_", "VFORGE_"))}
    kept |= {"ANSIBLE_COLLECTIONS_PATH": str(_ROOT.parents[2]), "ANSIBLE_LOCALHOST_WARNING": "0", "LC_ALL": "C.UTF-8"}
    kept |= {
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(folder / "tmp"),
        "ANSIBLE_NOCOLOR": "1",
        **env,
    }
    command = [sys.executable, "-c", "from ansible.cli.playbook import main; main()", *words]
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False)


def _written(folder, examples):
    """The examples as files of plays, each in its turn."""
    paths = []
    for number, block in enumerate(examples):
        path = folder / f"example-{number:03}.yml"
        path.write_text(yaml.safe_dump(_plays(block)), encoding="utf-8")
        paths.append(str(path))
    return paths


def test_every_example_is_a_play_that_ansible_accepts(tmp_path):
    assert set(_PIECES) <= set(_EXAMPLES)
    playable = {where: block for where, block in _EXAMPLES.items() if _is_play(where, block)}
    others = set(_EXAMPLES) - set(playable) - set(_PIECES)
    assert all(where.startswith("roles/") for where in others), others
    assert len(playable) > 60
    done = _ansible_playbook(tmp_path, "--syntax-check", *_written(tmp_path, playable.values()))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_ansible_does_not_accept_is_found(tmp_path):
    wrong = "- name: A module that is not there\n  vforge.vsphere.no_such_module:\n    x: 1\n"
    done = _ansible_playbook(tmp_path, "--syntax-check", *_written(tmp_path, [wrong]))
    assert done.returncode != 0
    assert "no_such_module" in done.stdout + done.stderr


def _roles(plays):
    """The roles of ours in plays: name and variables."""
    for play in plays:
        for role in play.get("roles") or ():
            name = role if isinstance(role, str) else role.get("role", "")
            if name.startswith(_ROLE):
                given = {} if isinstance(role, str) else {**(role.get("vars") or {}), **(play.get("vars") or {})}
                yield name.removeprefix(_ROLE), given


_WITH_ROLES = {
    f"{where} {name}": (name, given)
    for where, block in _EXAMPLES.items()
    if _is_play(where, block)
    for name, given in _roles(_plays(block))
}
_WITH_ROLES |= {
    where: (where.split("/")[1], yaml.safe_load(block))
    for where, block in _EXAMPLES.items()
    if where.startswith("roles/") and not _is_play(where, block)
}


@pytest.mark.parametrize("where", sorted(_WITH_ROLES))
def test_examples_of_roles_have_variables_that_the_role_has(where):
    name, given = _WITH_ROLES[where]
    specs = yaml.safe_load((_ROOT / "roles" / name / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    options = specs["argument_specs"]["main"]["options"]
    mine = {key: value for key, value in given.items() if key.startswith(f"{name}_")}
    assert mine.keys() <= options.keys()
    # What only a run knows has no type yet.
    known = {key: value for key, value in mine.items() if "{{" not in str(value)}
    spec = {key: {**item, "required": False} if key not in known else item for key, item in options.items()}
    result = ArgumentSpecValidator(spec).validate(known)
    assert not result.error_messages, result.error_messages


# What is run, page by page, in its order: the VMs that the page takes for granted.
_GOLDEN_WEB = {"golden-web": {"folder": "templates"}}
_ROCKY = {"rocky": {"folder": "templates", "on": False}}
_SERVERS = {"web-1": {"on": False}, "db-1": {"folder": "databases", "on": False}}
_RUN = {
    "guide_quickstart": ([1], {}),
    "guide_golden_images": ([1, 3], {}),
    "guide_instant_clone": ([2], _GOLDEN_WEB),
    "guide_parents": ([1, 2, 3], {f"golden-esx{number}": {} for number in (1, 2, 3)}),
    "guide_given_up": ([1], {}),
    "guide_fleets": ([2], _GOLDEN_WEB),
    "guide_linked_clones": ([2], {"golden": {"on": False}}),
    "guide_cloud_init": ([2], {"win-1": {"on": False}}),
    "guide_moving": ([1], _ROCKY),
    "guide_ovf_templates": ([1, 6], {}),
    "guide_changed_areas": ([1, 3], _SERVERS),
    "guide_first_class_disks": ([1, 2], _SERVERS),
    "guide_exports": ([1], _SERVERS),
    "guide_evc": ([1, 2, 3], {name: {} for name in ("web-1", "web-2", "ledger", "printing")}),
    "guide_cpu_features": ([1, 2], {}),
}

# What is not run here, and why: a page means what is left of it. Plays of roles are run by integration targets.
_IMAGES = "needs qemu-img or libnbd: the module's own tests and integration target have it"
_ELSEWHERE = "names a vCenter, a server or files of its own; its options are held against the module's"
_NOT_RUN = {
    "guide_backup": _IMAGES,
    "guide_changed_areas": _ELSEWHERE,
    "guide_cpu_features": "asks a guest for its processor, which simulated guests have only in tests of that module",
    "guide_disk_tools": _IMAGES,
    "guide_disks": _IMAGES,
    "guide_first_class_disks": _ELSEWHERE,
    "guide_golden_images 2": "no Windows guest is simulated",
    "guide_instant_clone 1": "has no tasks",
    "guide_linked_clones 1": "needs a template with a delta disk: the integration target of linked_clone has it",
    "guide_linked_clones 3": _ELSEWHERE,
    "guide_ovf_templates": _ELSEWHERE,
    "guide_vmfork": _ELSEWHERE,
    "README 1": _ELSEWHERE,
}


def test_every_example_is_run_or_the_reason_is_given():
    run = {f"{page} {number}" for page, (numbers, _vms) in _RUN.items() for number in numbers}
    assert run <= set(_EXAMPLES)
    assert all(any(f"{where} ".startswith(f"{reason} ") for where in _EXAMPLES) for reason in _NOT_RUN)
    left = {
        where
        for where, block in _EXAMPLES.items()
        if _is_play(where, block)
        and where not in run
        and not {where, where.rpartition(" ")[0]} & set(_NOT_RUN)
        and not list(_roles(_plays(block)))
    }
    assert left == set(), "run these, or say why not"


_SHOWN_ROLES = sorted({name for name, _given in _WITH_ROLES.values()})


@pytest.mark.parametrize("name", _SHOWN_ROLES)
def test_a_role_that_is_shown_is_run_by_an_integration_target(name):
    files = (_ROOT / "tests/integration/targets").rglob("*.yml")
    assert any(re.search(rf"vforge\.vsphere\.{name}$", path.read_text(encoding="utf-8"), re.MULTILINE) for path in files)


@pytest.fixture
def berlin(make_sim):
    """A simulated vCenter with the folders of the guides."""
    sim = make_sim("--vms", "0", "--clone-time", "10ms", "--guest-time", "30ms")
    for path in ("/DC0/vm/templates", "/DC0/vm/web", "/DC0/vm/databases"):
        sim.govc("folder.create", path)
    return sim


# What the guides call things, and what the simulated vCenter does.
_NAMES = {
    "/Berlin/": "/DC0/",
    "datacenter: Berlin\n": "datacenter: DC0\n",
    "Berlin-1": "DC0_C0",
    "Berlin-2": "DC0_C1",
    "cluster: production": "cluster: DC0_C0",
    "resource_pool: production/Resources": "resource_pool: DC0_C0/Resources",
    "[production]": "[DC0_C0]",
    "datastore1": "LocalDS_0",
    "default_network: servers": "default_network: VM Network",
    "name: template-data}": "name: template-data-1}",
}


def _ready(sim, page, folder, tiny_ova):
    """What a page takes for granted, besides VMs."""
    if page == "guide_linked_clones":
        sim.govc("snapshot.create", "-vm", "golden", "-m=false", "base")
        sim.govc("snapshot.create", "-vm", "golden", "-m=false", "patched")
    if page == "guide_moving":
        sim.govc("snapshot.create", "-vm", "rocky", "-m=false", "base")
    if page == "guide_ovf_templates":
        (folder / "srv/images").mkdir(parents=True)
        (folder / "srv/images/debian-13.ova").write_bytes(tiny_ova.ova.read_bytes())
    if page == "guide_first_class_disks":
        sim.request("POST", "/fcds", {"datastore": "LocalDS_0", "prefix": "template-data-", "count": 1, "size_mb": 1})


def _placed(block, folder):
    """An example with the names of this datacenter, and with files below the test's folder."""
    text = re.sub(r"(?<![\w./])/(srv|var/lib|var/www)/", rf"{folder}/\1/", block)
    for name, here in _NAMES.items():
        text = text.replace(name, here)
    return text


@pytest.mark.parametrize("page", sorted(_RUN))
def test_examples_run_as_they_stand(page, berlin, tmp_path, tiny_ova):
    numbers, vms = _RUN[page]
    for name, options in vms.items():
        berlin.create_vm(name, **options)
    _ready(berlin, page, tmp_path, tiny_ova)
    for name in ("var/lib/backup", "var/lib/exports", "var/www/html"):
        (tmp_path / name).mkdir(parents=True, mode=0o700)
    blocks = [_placed(_EXAMPLES[f"{page} {number}"], tmp_path) for number in numbers]
    given = {
        "golden_root_password": berlin.guest_password,
        "my_vms": [{"name": "web-1"}],
    }
    if page == "guide_given_up":
        # The name of a registered result on another page.
        given["fleet"] = [{"name": "given-1"}]
    variables = tmp_path / "variables.yml"
    variables.write_text(yaml.safe_dump(given), encoding="utf-8")
    done = _ansible_playbook(
        tmp_path,
        *("-e", f"@{variables}"),
        *_written(tmp_path, blocks),
        VMWARE_HOST=berlin.host,
        VMWARE_PORT=str(berlin.port),
        VMWARE_USER=berlin.username,
        VMWARE_PASSWORD=berlin.password,
        VMWARE_CA_PATH=berlin.ca,
        VFORGE_SESSION_CACHE="false",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^localhost +: ok=[1-9]", done.stdout, re.MULTILINE), done.stdout
