# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One template for many items: what it comes to, and that it is compiled once for all of them."""

from __future__ import annotations

import jinja2
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.vforge.vsphere.plugins.plugin_utils import templates

_TEXT = "#cloud-config\n{% set role = guest.role | upper %}\nfqdn: {{ guest.name }}.{{ domain }}\nrole: {{ role }}\n"


@pytest.fixture
def compiled(monkeypatch):
    """The texts that Jinja has compiled since the beginning of the test."""
    found = []
    compile_ = jinja2.Environment._compile

    def counting(self, source, filename):
        found.append(source)
        return compile_(self, source, filename)

    monkeypatch.setattr(jinja2.Environment, "_compile", counting)
    return found


@pytest.fixture
def template(tmp_path):
    """A function that makes a template of a text."""

    def made(text):
        path = tmp_path / "userdata.j2"
        path.write_text(text, encoding="utf-8")
        templar = Templar(loader=DataLoader(), variables={"domain": "example.test"})
        return templates.Template(DataLoader(), templar, str(path), path.name, [str(tmp_path)])

    return made


def test_a_template_is_compiled_once_however_many_items_there_are(template, compiled):
    found = template(_TEXT)
    texts = [found.rendered(guest={"name": f"web-{number}", "role": "db"}) for number in range(30)]
    assert texts[29] == "#cloud-config\nfqdn: web-29.example.test\nrole: DB\n"
    assert len(set(texts)) == 30
    # Before ansible-core 2.19 there is nothing that could keep it.
    assert len(compiled) == (1 if templates._BY_TRUST else 30)


def test_a_template_that_cannot_be_compiled_says_so_for_each_item(template):
    found = template("#cloud-config\na: {% if %}\n")
    for _item in range(2):
        with pytest.raises(templates.NotRendered, match=r"userdata\.j2, line 2, cannot be rendered"):
            found.rendered(guest={"name": "web-1"})


def test_an_error_of_one_item_is_none_of_the_next(template):
    found = template("a: {{ guest.role }}\n")
    with pytest.raises(templates.NotRendered, match=r"line 1, cannot be rendered: .*has no attribute 'role'"):
        found.rendered(guest={"name": "web-1"})
    assert found.rendered(guest={"name": "web-2", "role": "db"}) == "a: db\n"
