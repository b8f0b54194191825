# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of all modules do: seal the secrets, run the module of the same name, show its progress, and
end it when its task ends in another way than by its result."""

from __future__ import annotations

import contextlib
import signal
import types
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.vforge.vsphere.plugins.module_utils._lifeline import VARIABLE
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made
from ansible_collections.vforge.vsphere.plugins.plugin_utils.lifeline import SECONDS_TO_END, Lifeline, parent_gone
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed, sealed_texts


class ModuleAction(ActionBase):
    """Runs the module of the same name.

    :cvar SECRET: options that are mappings with secrets in them.
    :cvar LISTS: options that are lists of mappings, in which SECRET holds too.
    :cvar ADDRESS: whether the option ``source`` may be an address.
    """

    SECRET: t.ClassVar[tuple[str, ...]] = ()
    LISTS: t.ClassVar[tuple[str, ...]] = ()
    ADDRESS: t.ClassVar[bool] = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module; its result is the task's.

        :raises AnsibleActionFail: the task's ``timeout`` has passed, or ansible-playbook is gone. The module has ended.
        """
        self._supports_async = True
        self._refuse_without_playbook()
        result = super().run(tmp, task_vars)
        args = self.arguments()
        with self._lifeline(task_vars or {}) as line, _timeout_cuts(line) as timed_out:
            result.update(self._execute_module(module_args=args, task_vars=task_vars, wrap_async=bool(self._task.async_val)))
        self._refuse_without_playbook()
        if timed_out and result.get("failed"):
            raise self._too_late(result, killed=line is not None and line.killed)
        return result

    def arguments(self) -> dict[str, t.Any]:
        """What the module is given: the task's arguments, with the secrets sealed."""
        return sealed_texts(sealed(self._task.args, self.SECRET, self.LISTS), address=self.ADDRESS)

    @contextlib.contextmanager
    def _lifeline(self, task_vars: dict[str, t.Any]) -> t.Iterator[Lifeline | None]:
        """Tie the module to this task, where it can reach us: on this machine, and not in the background.

        However the context is left, the module has ended then.
        """
        if self._connection.transport != "local" or self._task.async_val:
            yield None
            return
        host = task_vars.get("inventory_hostname", "localhost")
        try:
            line = Lifeline(lambda text: Display().display(f"  [{host}] {text}"))
        except OSError as error:
            raise AnsibleActionFail(f"The socket that ties a module to its task cannot be made: {error}") from error
        before = self._task.environment
        self._task.environment = [*(before or []), {VARIABLE: line.path}]
        try:
            with line.nothing_left():
                yield line
        finally:
            self._task.environment = before
            line.close()

    def _too_late(self, result: dict[str, t.Any], *, killed: bool) -> AnsibleActionFail:
        """The failure of a task whose ``timeout`` has passed: what the module says of its end, and what Ansible would.

        An exception, not a result: Ansible does not try such a task again.
        """
        why = (
            f"The module had not ended {SECONDS_TO_END:.0f} seconds later, and was killed." if killed else result.get("msg", "")
        )
        told = {"timedout": {"period": self._task.timeout}, "_ansible_no_log": self._task.no_log}
        failure = AnsibleActionFail(
            f"The task's timeout of {self._task.timeout} seconds has passed. {why}", result={**result, **told}
        )
        failure.result.pop("exception", None)  # there is none
        return failure

    def _refuse_without_playbook(self) -> None:
        """Without ansible-playbook nobody reads a result, and the next round of a loop is not to begin.

        :raises AnsibleActionFail: it is gone.
        """
        if parent_gone():
            raise AnsibleActionFail("The ansible-playbook that this task belongs to has ended.")


@contextlib.contextmanager
def _timeout_cuts(line: Lifeline | None) -> t.Iterator[list[int]]:
    """Let the task's ``timeout`` end the module, whose result then comes as always.

    Ansible's own way, an exception, would lose it. That way is left to a module that has not come yet, or does not end.

    :returns: a list that is no longer empty when the timeout has passed.
    """
    passed: list[int] = []
    ansibles = signal.getsignal(signal.SIGALRM)
    if line is None or not callable(ansibles):
        yield passed
        return

    def cut(number: int, frame: types.FrameType | None) -> None:
        if not line.opened:
            ansibles(number, frame)
        passed.append(number)
        signal.signal(number, ansibles)
        signal.alarm(int(SECONDS_TO_END + 10))
        line.cut()

    signal.signal(signal.SIGALRM, cut)
    try:
        yield passed
    finally:
        if passed:
            signal.alarm(0)
        signal.signal(signal.SIGALRM, ansibles)


class ScriptsAction(ModuleAction):
    """For a module with scripts for guests. It has no files of its own, so those of the collection are read on the controller.

    :cvar BEFORE: option for the script that runs before a guest is brought to a stand.
    """

    BEFORE: t.ClassVar[str]

    def arguments(self) -> dict[str, t.Any]:
        """The task's arguments, with the names of ready-made scripts replaced by their texts."""
        args = super().arguments()
        if "on_wake" in args:
            args["on_wake"] = ready_made.resolved(args["on_wake"])
        if self.BEFORE in args:
            args[self.BEFORE] = ready_made.ended(args[self.BEFORE])
        return args
