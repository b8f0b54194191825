# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the action plugins of all modules do: hold the arguments against the shapes that the module
wants, seal the secrets, run the module of the same name, show its progress, and end it when its
task ends in another way than by its result."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import signal
import types
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.vforge.vsphere.plugins import modules
from ansible_collections.vforge.vsphere.plugins.module_utils._connector.options import VARIABLES
from ansible_collections.vforge.vsphere.plugins.module_utils._errors import NoThread, VforgeError
from ansible_collections.vforge.vsphere.plugins.module_utils._job_container import why_not_kept
from ansible_collections.vforge.vsphere.plugins.module_utils._lifeline import VARIABLE
from ansible_collections.vforge.vsphere.plugins.modules import installed_module
from ansible_collections.vforge.vsphere.plugins.plugin_utils import ready_made, shapes
from ansible_collections.vforge.vsphere.plugins.plugin_utils.argument_specs import argument_spec
from ansible_collections.vforge.vsphere.plugins.plugin_utils.lifeline import SECONDS_TO_END, Lifeline, parent_gone
from ansible_collections.vforge.vsphere.plugins.plugin_utils.progress import shown_for
from ansible_collections.vforge.vsphere.plugins.plugin_utils.secrets import sealed, sealed_texts


class ModuleAction(ActionBase):
    """Runs the module of the same name.

    :cvar SECRET: options that are mappings with secrets in them.
    :cvar LISTS: options that are lists of mappings, in which SECRET holds too.
    :cvar ADDRESS: whether the option ``source`` may be an address.
    :cvar KEPT: options that name a file or a folder which is to outlive the job.
    """

    SECRET: t.ClassVar[tuple[str, ...]] = ()
    LISTS: t.ClassVar[tuple[str, ...]] = ()
    ADDRESS: t.ClassVar[bool] = False
    KEPT: t.ClassVar[tuple[str, ...]] = ()

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module; its result is the task's.

        :raises AnsibleActionFail: the task's ``timeout`` has passed, or
            ansible-playbook is gone. The module has ended.
        """
        self._supports_async = True
        self._refuse_without_playbook()
        result = super().run(tmp, task_vars)
        try:
            args = self.arguments()
            if self._on_this_machine:
                self.check_kept(args)
        except VforgeError as error:
            # No module has run: there is nothing to measure, and no argument to show.
            return {**result, "failed": True, **error.as_result(), "timing": {"total": 0.0}}
        with self._lifeline(task_vars or {}) as line, _timeout_cuts(line) as timed_out, self._started() as module:
            in_background = bool(self._task.async_val)
            result.update(
                self._execute_module(module_name=module, module_args=args, task_vars=task_vars, wrap_async=in_background)
            )
        self._refuse_without_playbook()
        if timed_out and result.get("failed"):
            raise self._too_late(result, killed=line is not None and line.killed)
        return self._saying_where_to_set_it(result, task_vars or {})

    @property
    def _name(self) -> str:
        """The module's name in the collection."""
        return type(self).__module__.rpartition(".")[2]

    def meant(self) -> dict[str, t.Any]:
        """The task's arguments, in the shapes that the module wants.

        :raises InvalidOption: one has another shape, and cannot be read in one way alone.
        """
        return shapes.fitted(self._task.args, argument_spec(self._name))

    def arguments(self) -> dict[str, t.Any]:
        """What the module is given: the task's arguments in their shapes, with the secrets sealed.

        :raises InvalidOption: as of ``meant``.
        """
        return self.with_sealed_secrets(self.meant())

    @classmethod
    def with_sealed_secrets(cls, args: dict[str, t.Any]) -> dict[str, t.Any]:
        """Arguments of such a task, with their secrets sealed."""
        return sealed_texts(sealed(args, cls.SECRET, cls.LISTS), address=cls.ADDRESS)

    def kept(self, args: dict[str, t.Any]) -> list[str]:
        """The files and folders that the module writes to and that are to outlive the job."""
        return [args[name] for name in self.KEPT if isinstance(args.get(name), str)]

    def check_kept(self, args: dict[str, t.Any]) -> None:
        """Warn of what the module writes here and that would be gone with the job.

        :param args: what the module is given.
        """
        for reason in filter(None, map(why_not_kept, self.kept(args))):
            self._display.warning(reason)

    def _saying_where_to_set_it(self, result: dict[str, t.Any], task_vars: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result; where a module on another machine, or of another user, misses what a variable
        would give it, with the place to set that.
        """
        variable = VARIABLES.get(result.get("option", ""))
        if result.get("error_code") != "invalid_option" or variable is None:
            return result
        known = bool(os.environ.get(variable))
        if self._on_this_machine and not (known and self._connection.become is not None):
            return result
        host = self._task.delegate_to or task_vars.get("inventory_hostname", "another machine")
        runner = "the user of become, as whom" if self._on_this_machine else f"{host}, where"
        is_set = f"{variable} is set where ansible-playbook runs, but the" if known else "The"
        where = (
            f"{is_set} environment of ansible-playbook does not reach {runner} the module ran: set {result['option']} in "
            f"the task or in module_defaults, or {variable} under the task's keyword environment."
        )
        return {**result, "msg": f"{result['msg']} {where}"}

    @contextlib.contextmanager
    def _lifeline(self, task_vars: dict[str, t.Any]) -> t.Iterator[Lifeline | None]:
        """Tie the module to this task, where it can reach us: on this machine, and not in the
        background.

        However the context is left, the module has ended then.
        """
        if not self._is_here:
            yield None
            return
        host = task_vars.get("inventory_hostname", "localhost")
        try:
            line = Lifeline(_show_nothing if self._task.no_log else shown_for(host))
        except OSError as error:
            raise AnsibleActionFail(f"The socket that ties a module to its task cannot be made: {error}") from error
        except RuntimeError as error:
            raise AnsibleActionFail(
                f"The thread that ties a module to its task cannot be started: {error}. Raise the limit of processes "
                "(ulimit -u) or that of the container (pids limit), or lower forks.",
                result={"error_code": NoThread.error_code},
            ) from error
        try:
            with self._environment(VARIABLE, line.path), line.nothing_left():
                yield line
        finally:
            line.close()

    @property
    def _on_this_machine(self) -> bool:
        return self._connection.transport == "local"

    @property
    def _is_here(self) -> bool:
        """Whether the module runs on this machine, and not in the background."""
        return self._on_this_machine and not self._task.async_val

    @contextlib.contextmanager
    def _started(self) -> t.Iterator[str | None]:
        """Have the module start where the collection is installed, if it can: on this machine, and
        as this user.

        It then costs less than half: see modules/installed_module.py.

        :returns: the module that Ansible is to run; None for the task's own, in the usual way.
        """
        file = importlib.resources.files(modules) / f"{self._name}.py"
        if not self._is_here or self._connection.become is not None or not os.path.isfile(str(file)):
            yield None
            return
        with self._environment(installed_module.VARIABLE, str(file)):
            yield installed_module.__name__.removeprefix("ansible_collections.").replace(".plugins.modules.", ".")

    @contextlib.contextmanager
    def _environment(self, name: str, value: str) -> t.Iterator[None]:
        """Give the module one more variable, beside those of the task."""
        before = self._task.environment
        self._task.environment = [*(before or []), {name: value}]
        try:
            yield
        finally:
            self._task.environment = before

    def _update_module_args(self, *args: t.Any, **more: t.Any) -> None:
        # The first is the name by which the module writes to the system's log:
        # the task's, whatever starts it.
        super()._update_module_args(self._task.action, *args[1:], **more)

    def _too_late(self, result: dict[str, t.Any], *, killed: bool) -> AnsibleActionFail:
        """The failure of a task whose ``timeout`` has passed: what the module says of its end, and
        what Ansible would.

        An exception, not a result: Ansible does not try such a task again.
        """
        why = f"The module had not ended {SECONDS_TO_END:.0f} s later, and was killed." if killed else result.get("msg", "")
        msg = f"The task's timeout of {self._task.timeout} s has passed. {why}"
        # The message is in the result as well: up to ansible-core 2.20 the exception's is shown, from 2.21 on that.
        more = {"msg": msg, "timedout": {"period": self._task.timeout}, "_ansible_no_log": self._task.no_log}
        failure = AnsibleActionFail(msg, result={**result, **more})
        failure.result.pop("exception", None)  # there is none
        return failure

    def _refuse_without_playbook(self) -> None:
        """Without ansible-playbook nobody reads a result, and the next round of a loop is not to
        begin.

        :raises AnsibleActionFail: it is gone.
        """
        if parent_gone():
            raise AnsibleActionFail("The ansible-playbook that this task belongs to has ended.")


def _show_nothing(_line: str) -> None:
    """What no_log hides of a result, its progress does not show either."""


@contextlib.contextmanager
def _timeout_cuts(line: Lifeline | None) -> t.Iterator[list[int]]:
    """Let the task's ``timeout`` end the module, whose result then comes as always.

    Ansible's own way, an exception, would lose it. That way is left to a module that has not come
    yet, or does not end.

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
    """For a module with scripts for guests. It has no files of its own, so those of the
    collection are read on the controller.

    :cvar BEFORE: option for the script that runs before a guest is frozen.
    """

    BEFORE: t.ClassVar[str]

    def meant(self) -> dict[str, t.Any]:
        """The task's arguments, with the names of ready-made scripts replaced by their texts."""
        args = super().meant()
        if "on_wake" in args:
            args["on_wake"] = ready_made.resolved(args["on_wake"])
        if self.BEFORE in args:
            args[self.BEFORE] = ready_made.ended(args[self.BEFORE])
        return args
