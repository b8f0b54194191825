# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run instant clone tasks against a simulator, and look at it from outside."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils._clone.instant import run
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import VforgeError
from ansible_collections.vforge.vsphere.tests.unit.plugins.module_utils.clone.support import options
from ansible_collections.vforge.vsphere.tests.unit.plugins.running import Ran, Runner, Work


class Tasks(Runner):
    """Runs tasks against one simulator; the parent is golden-parent unless given."""

    def work(self, given: dict[str, t.Any], check: bool) -> Work:
        """A task of instant_clone."""
        return lambda session: run(session, options(**given), check=check)

    def refused(self, **given: t.Any) -> VforgeError:
        """Run one task that must be refused as a whole, with nothing made."""
        before = self.names()
        ran = self.attempt(**given)
        assert ran.error is not None
        assert ran.result == {}
        assert ran.called("InstantClone_Task") == 0
        assert self.names() == before
        return ran.error

    def names(self, folder: str = "/DC0/vm") -> list[str]:
        """The names in a folder, as govc reads them."""
        elements = self.sim.govc("ls", folder)["elements"] or []
        return sorted(element["Path"].rsplit("/", 1)[-1] for element in elements)

    def meanwhile(self, method: str, count: int, do: t.Callable[[], t.Any], about: str = "*", **given: t.Any) -> Ran:
        """Run one task, and while the server holds one of its calls, do something beside it.

        :param method: what is called.
        :param count: how often it is called before something is done.
        :param about: the VM whose call is held; without it the last one of ``count`` is.
        """
        self.sim.reset_calls()  # or the counts of the task before could be taken for this one's
        held = self.sim.inject(method=method, name=about, nth=count if about == "*" else 1, do="delay")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            run = pool.submit(self.attempt, **given)
            try:
                while not self.sim.called(method, count) and not run.done():
                    pass  # it has waited a while
                do()
            finally:
                self.sim.clear(held)
            return run.result()
