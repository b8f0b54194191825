# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases without VMFork are told so, at once."""

from __future__ import annotations

import pytest

from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.fork.running import Forks, named


@pytest.mark.parametrize("version", ["6.7", "8.0.3.0"])
def test_a_later_release_is_one_sentence_that_names_the_way_there_and_four_calls(make_sim, version):
    forks = Forks(make_sim("--vms", "2", "--api-version", version))
    before = forks.vm()["config"]["changeVersion"]
    ran = forks.attempt(children=named("web-1"))
    assert (ran.error.error_code, ran.result) == ("not_supported", {})
    sentence = str(ran.error)
    assert "vforge.vsphere.instant_clone" in sentence
    assert version in sentence
    assert sentence.count(". ") == 0
    assert ran.calls == {"RetrieveServiceContent": 1, "Login": 1, "CreatePropertyCollector": 1, "Logout": 1}
    assert forks.vm()["config"]["changeVersion"] == before


def test_6_0_has_it(make_sim):
    ran = Forks(make_sim("--vms", "2", "--api-version", "6.0")).run(children=named("web-1"))
    assert (ran.one["state"], ran.actions) == ("quiesced", {"web-1": "created"})
