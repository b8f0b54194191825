# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guides that are made of the code are those of the code; links of the documentation lead somewhere, in ansible-doc too."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from devtools import privileges, proved, quickstart

_ROOT = Path(__file__).resolve().parents[3]
_GUIDES = _ROOT / "docs" / "docsite" / "rst"
_GALAXY = yaml.safe_load((_ROOT / "galaxy.yml").read_text(encoding="utf-8"))
_ADDRESS = f"{_GALAXY['repository']}/blob/main/"
_DOCUMENTED = [
    path for kind in ("modules", "filter", "inventory") for path in sorted((_ROOT / "plugins" / kind).glob("[!_]*.py"))
]


def test_the_guide_on_privileges_is_that_of_the_code():
    assert privileges.PAGE.read_text(encoding="utf-8") == privileges.page(privileges.load()), "make pages writes it"


def test_the_guide_on_what_is_proved_is_that_of_readme():
    readme = (_ROOT / "README.md").read_text(encoding="utf-8")
    assert proved.PAGE.read_text(encoding="utf-8") == proved.page(readme), "make pages writes it"
    assert proved.PAGE.read_text(encoding="utf-8").count("   * - ") > 8


def test_links_and_code_of_readme_become_those_of_a_guide():
    section = "## What is proved, and on what\n\nSee [it](a/b.md).\n\n| what | by |\n| --- | --- |\n| `a` | b |\n"
    readme = f"# X\n{section}\n## Next\n| c | d |\n"
    made = proved.page(readme)
    assert "See `it <https://github.com/vforge/vforge.vsphere/blob/main/a/b.md>`__." in made
    assert "   * - ``a``\n     - b\n" in made
    assert "   * - c" not in made


def test_every_guide_is_in_the_list_of_the_site():
    listed = yaml.safe_load((_ROOT / "docs/docsite/extra-docs.yml").read_text(encoding="utf-8"))["sections"]
    names = [name for section in listed for name in section["toctree"]]
    assert sorted(names) == sorted(path.stem for path in _GUIDES.glob("*.rst"))


@pytest.mark.parametrize("guide", sorted(_GUIDES.glob("*.rst")), ids=lambda path: path.stem)
def test_a_guide_refers_to_guides_and_pictures_that_there_are(guide):
    text = guide.read_text(encoding="utf-8")
    assert text.count(f".. _ansible_collections.vforge.vsphere.docsite.{guide.stem}:") == 1
    for name in re.findall(r"<ansible_collections\.vforge\.vsphere\.docsite\.(\w+)>", text):
        assert (_GUIDES / f"{name}.rst").exists(), name
    for path in re.findall(r"\.\. (?:image|figure):: (\S+)", text):
        assert (guide.parent / path).exists(), path


def test_diagrams_name_what_there_is():
    tree = ast.parse((_ROOT / "docs/site/diagrams.py").read_text(encoding="utf-8"))
    (flows,) = (node.value for node in tree.body if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "FLOWS")
    drawn = ast.literal_eval(flows)
    assert set(drawn) == {path.stem for path in (_ROOT / "docs/images").glob("flow-*.svg")}
    named = {name for steps in drawn.values() for _text, by in steps for name in re.findall(r"\w+_\w+", by)}
    there = {path.stem for path in [*_ROOT.glob("plugins/modules/*.py"), *_ROOT.glob("roles/*")]}
    assert len(named) > 10
    assert named <= there


_PAGES = sorted(
    path
    for pattern in ("*.md", "*/*.md", "roles/*/README.md", "automation/**/*.md", "tests/**/*.md", "docs/**/*.rst")
    for path in _ROOT.glob(pattern)
)


def _places(path):
    """The anchors of a page in Markdown, as repositories show it."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", _PAGES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_a_page_links_to_what_the_repository_has(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = [_ROOT / each for each in re.findall(rf"{re.escape(_ADDRESS)}([\w./-]+)", text)]
    if page.suffix == ".md":
        for link in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", text):
            name, _hash, place = link.partition("#")
            targets.append(page.parent / name if name else page)
            assert not place or targets[-1].suffix != ".md" or place in _places(targets[-1]), link
    assert [str(target) for target in targets if not target.exists()] == []


def test_the_first_questions_name_each_release_that_the_code_asks_for():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (_ROOT / "plugins/module_utils").rglob("*.py"))
    asked = set(re.findall(r"""require\(\w*\.?session, "([\d.]+)",""", code))
    assert {"6.7", "7.0.3", "8.0.2"} <= asked
    page = (_GUIDES / "guide_questions.rst").read_text(encoding="utf-8")
    named = set(re.findall(r"\d+\.\d+(?:\.\d+)?", page.partition("Which licence?")[0]))
    assert asked <= named


def _links(path):
    """What a plugin's documentation links to under "see also"."""
    text = path.read_text(encoding="utf-8").partition('DOCUMENTATION = r"""')[2].partition('"""')[0]
    return yaml.safe_load(text).get("seealso") or []


@pytest.mark.parametrize("path", _DOCUMENTED, ids=lambda path: path.stem)
def test_what_documentation_links_to_is_there(path):
    for each in _links(path):
        # ansible-doc makes an address of a label that leads nowhere.
        assert "ref" not in each, each
        if "link" in each:
            assert each["link"].startswith(_ADDRESS), each
            assert (_ROOT / each["link"].removeprefix(_ADDRESS)).is_file(), each
        elif each.get("module", "").startswith("vforge.vsphere."):
            assert (_ROOT / "plugins/modules" / f"{each['module'].rpartition('.')[2]}.py").is_file(), each
        elif each.get("plugin", "").startswith("vforge.vsphere."):
            assert (_ROOT / "plugins" / each["plugin_type"] / f"{each['plugin'].rpartition('.')[2]}.py").is_file(), each


def _ansible_doc(*words):
    """What ansible-doc says of the checkout that is tested."""
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(_ROOT.parents[2]), "PYTHONPATH": "", "COLUMNS": "300"}
    command = [sys.executable, "-c", "from ansible.cli.doc import main; main()", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_ansible_doc_shows_addresses_that_lead_somewhere():
    linking = [path for path in _DOCUMENTED if any("link" in each for each in _links(path))]
    assert len(linking) > 5
    shown = _ansible_doc(*(f"vforge.vsphere.{path.stem}" for path in linking if path.parent.name == "modules"))
    addresses = set(re.findall(r"https?://\S+", shown))
    assert {f"{_ADDRESS}docs/docsite/rst/guide_trust.rst", f"{_ADDRESS}roles/capv_cluster/README.md"} <= addresses
    assert "#stq=" not in shown


def test_ansible_doc_has_every_variable_of_every_role():
    roles = sorted(path.name for path in (_ROOT / "roles").iterdir())
    known = json.loads(_ansible_doc("-t", "role", "--json", *(f"vforge.vsphere.{name}" for name in roles)))
    for name in roles:
        options = known[f"vforge.vsphere.{name}"]["entry_points"]["main"]["options"]
        defaults = yaml.safe_load((_ROOT / "roles" / name / "defaults/main.yml").read_text(encoding="utf-8")) or {}
        # Names that begin with two underscores are the role's own.
        assert {each for each in defaults if not each.startswith("__")} <= options.keys(), name
        tasks = "\n".join(path.read_text(encoding="utf-8") for path in (_ROOT / "roles" / name / "tasks").glob("*.yml"))
        for option, described in options.items():
            assert described["description"], (name, option)
            assert option in tasks or option in defaults, (name, option)


# The quickstart


def test_the_quickstart_has_what_its_lane_runs():
    text = quickstart.PAGE.read_text(encoding="utf-8")
    commands = quickstart.commands(text)
    assert [line.split()[0] for line in commands[-3:]] == ["ansible-playbook"] * 3
    assert not any("simulator" in line for line in commands)
    assert (
        yaml.safe_load(quickstart.playbook(text))[0]["tasks"][0]["vforge.vsphere.instant_clone"]["wait_for_ip_address"] is True
    )


def test_the_variables_of_a_simulator_hold_no_password(shared_sim):
    text = quickstart.variables(shared_sim)
    assert shared_sim.password not in text
    shown = subprocess.run(["sh", "-c", text + "env"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert {f"VMWARE_PASSWORD={shared_sim.password}", f"VMWARE_PORT={shared_sim.port}"} <= set(shown)
