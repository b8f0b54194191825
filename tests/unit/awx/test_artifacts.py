# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each flow hands a statistic on to the next node of a workflow: one mapping by the name of its role, which is documented."""

from __future__ import annotations

import pytest
import yaml

import vforge_surveys as surveys
from ansible_collections.vforge.vsphere.tests.unit.awx.stand_in import ROOT

_FLOWS = [flow["flow"] for flow in surveys.flows()]


@pytest.mark.parametrize("flow", _FLOWS)
def test_a_flow_hands_on_one_mapping_of_its_own_name(flow):
    """Ansible adds what several tasks or hosts hand on, and glues texts: so there is one task, and it does not add."""
    tasks = yaml.safe_load((ROOT / "roles" / flow / "tasks" / "main.yml").read_text(encoding="utf-8"))
    (handed,) = [task["ansible.builtin.set_stats"] for task in tasks if "ansible.builtin.set_stats" in task]
    assert list(handed["data"]) == [flow]
    assert handed["aggregate"] is False


@pytest.mark.parametrize("flow", _FLOWS)
def test_what_a_flow_hands_on_is_documented(flow):
    spec = surveys.load(ROOT / "roles" / flow / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    about = [line for line in spec["description"] if "set_stats" in line]
    guide = (ROOT / "docs" / "docsite" / "rst" / "guide_awx.rst").read_text(encoding="utf-8")
    assert len(about) == 1
    assert f"* - ``{flow}``" in guide
