# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options are held against a module as the module itself would hold them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.vforge.vsphere.plugins.filter.option_errors import option_errors

_VM = {"name": "golden"}


@pytest.mark.parametrize(
    ("module", "options", "words"),
    [
        ("linked_clone", {"source": _VM, "clones": [{"name": "a"}], "folder": "", "cpu": {}}, []),
        ("instant_clone", {"clones": [{"name": "a", "parent": _VM, "guestinfo": {"ipv4": "10.0.0.1/24"}}]}, []),
        ("fork_parent", {"parents": [_VM], "children": [{"name": "a", "parent": _VM}]}, []),
        ("linked_clone", {"source": _VM, "clones": [{"name": "a"}], "cpu": {"cores": 0}}, ["cores"]),
        ("linked_clone", {"source": _VM, "clones": [{"name": "a"}, {"name": "b", "memory": {"size_mb": "much"}}]}, ["size_mb"]),
        ("linked_clone", {"clones": [{"name": "a"}]}, ["Name the VM or template to clone."]),
        ("linked_clone", {"source": _VM, "clones": [{"name": "a"}], "sauce": 1}, ["sauce"]),
        ("linked_clone", {"source": _VM, "clones": [{"name": "a"}], "parallel": 65}, ["parallel"]),
        ("instant_clone", {"clones": [{"name": "a"}]}, ["parent"]),
        ("fork_parent", {"parents": [_VM, {"name": "b"}], "children": [{"name": "a"}]}, ["several parents"]),
    ],
)
def test_what_is_wrong_is_one_sentence_each(module, options, words):
    found = option_errors(options, module)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_no_secret_is_quoted():
    secret = "correct horse battery"  # noqa: S105 (it is to be looked for)
    options = {
        "source": _VM,
        "clones": [{"name": "a", "customize": {"windows": {"admin_password": secret, "timezone": secret}}}],
    }
    (found,) = option_errors(options, "linked_clone")
    assert "timezone" in found
    assert secret not in found


def test_nothing_that_is_checked_is_looked_for_in_what_the_run_still_shows():
    """From ansible-core 2.22 on; a value of guestinfo may be the name of the clone."""
    masking = pytest.importorskip("ansible.module_utils.secrets", reason="before ansible-core 2.22 nothing is looked for")
    clones = [{"name": "zebra-1", "parent": _VM, "guestinfo": {"hostname": "zebra-1", "role": "zebra"}}]
    assert option_errors({"clones": clones, "guest_username": "root", "guest_password": "zebra"}, "instant_clone") == []
    windows = {"admin_password": "zebra", "timezone": "85"}
    asked = {"source": _VM, "clones": [{"name": "zebra-1", "customize": {"windows": windows}}]}
    assert "zebra" not in str(option_errors({**asked, "sauce": 1}, "linked_clone"))
    assert masking.mask_secrets("zebra-1, hostname zebra") == "zebra-1, hostname zebra"


@pytest.mark.parametrize(("options", "module"), [([], "linked_clone"), ({}, "file")])
def test_what_it_cannot_ask_is_refused(options, module):
    with pytest.raises(AnsibleFilterError):
        option_errors(options, module)
