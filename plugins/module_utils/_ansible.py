# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge between Ansible and everything else: one place that connects, catches and exits.

The only ``fail_json`` of the collection is here. What a module does is a function of a Session and
plain options.
"""

from __future__ import annotations

import platform
import time
import traceback
import typing as t

from ansible.module_utils import errors
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from . import _argspec, _lifeline, _secrets, _signals
from ._connector.options import ConnectionOptions
from ._connector.pyvmomi import require
from ._errors import Interrupted, InvalidOption, NoThread, PartialFailure, Reason
from ._progress import Progress
from ._text import one_line, shown

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ._connector.session import Session

O = t.TypeVar("O")  # noqa: E741

# Shows one line of how far the work is.
Tell: t.TypeAlias = t.Callable[[str], None]

# What Python says, as a RuntimeError, where a limit of processes and threads is reached.
_NO_THREAD = "can't start new thread"

# What an argument spec says of options that need or exclude each other.
CONSTRAINT_ERRORS = (
    errors.MutuallyExclusiveError,
    errors.RequiredTogetherError,
    errors.RequiredOneOfError,
    errors.RequiredIfError,
    errors.RequiredByError,
)


def make_module(
    base: type[AnsibleModule],
    argument_spec: dict[str, t.Any],
    rules: dict[str, t.Any],
    prepare: t.Callable[[t.Mapping[str, t.Any]], t.Any],
) -> AnsibleModule:
    """Ansible's object of a module, whose refusals of options have an ``error_code``, as all other
    refusals have.

    Options that need or exclude each other are refused in the words of ``prepare`` where it refuses
    them too, since it says what to do. Ansible's words are the same for everything.

    :param base: AnsibleModule as the module imported it: what checks playbooks puts a class of its
        own in that place.
    :param rules: the constraints, by the names of AnsibleModule's arguments.
    :param prepare: turns parameters into the module's own options.
    """

    class Module(base):  # type: ignore[misc, valid-type]
        """It has other words while options are checked, which is while it is made."""

        made = False

        def fail_json(self, msg: str, **result: t.Any) -> None:
            refused = result if self.made else _refusal(self, rules, prepare, msg)
            if refused is not None:
                super().fail_json(**{"msg": msg, **result, **refused})

    module = Module(argument_spec=argument_spec, supports_check_mode=True, **rules)
    module.made = True
    return t.cast("AnsibleModule", module)


def _refusal(
    module: AnsibleModule,
    rules: dict[str, t.Any],
    prepare: t.Callable[[t.Mapping[str, t.Any]], t.Any],
    message: str,
) -> dict[str, t.Any] | None:
    """What a module that Ansible refuses to begin ends with; None where there is nothing to refuse."""
    account = _Account()
    found = getattr(getattr(module, "validation_result", None), "errors", ())
    if found and all(isinstance(error, CONSTRAINT_ERRORS) for error in found):
        params = _secrets.parameters(module)
        # A survey or a template gives null or an empty text for "not set"; Ansible counts these as
        # set.
        validator = t.cast("t.Any", ArgumentSpecValidator)(module.argument_spec, **rules)
        # With its secrets sealed, as it came: Ansible notes those that it checks.
        if not validator.validate(_without_empty(module.params)).error_messages:
            return None
        try:
            prepare(params)
        except InvalidOption as error:
            return account.complete(error.as_result())
    return account.complete({"error_code": InvalidOption.error_code, "msg": message})


def _without_empty(value: t.Any) -> t.Any:
    """A copy of parameters without what is null or an empty text, at every depth."""
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None and item != ""}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def run(
    module: AnsibleModule,
    prepare: t.Callable[[t.Mapping[str, t.Any]], O],
    work: t.Callable[[Session, O], dict[str, t.Any]],
    alone: t.Callable[[O, Tell], dict[str, t.Any] | None] = lambda _options, _show: None,
) -> None:
    """Run a module from its parameters to its exit.

    :param prepare: turns the parameters into the module's own options, before anything is
        connected.
    :param work: does the task in a session; returns the result.
    :param alone: does a task that needs no vCenter, and says how far it is by its second argument;
        returns None for any other, which is then done by ``work``.

    The result gains ``timing`` (seconds by phase, with ``total``), and where a connection was tried
    ``connect`` in it, and ``calls`` (SOAP calls).
    """
    account = _Account(with_diff=module._diff)

    def body(progress: Progress) -> dict[str, t.Any]:
        params = _secrets.parameters(module)
        require()
        _refuse_nul(params)
        _argspec.check_bounds(params)
        options = prepare(params)
        warn, show = _warning(module), _clean(progress.show)
        done = alone(options, show)
        if done is not None:
            return done
        connection = ConnectionOptions.from_params(params)
        from ._connector.session import Session

        if connection.doubt:
            warn(connection.doubt)
        account.session = session = Session(connection, warn, show, account.begun, params.get("timeout"))
        with session:
            account.connected = time.monotonic()
            return _worked(work, session, options)

    _end(module, account, body)


def run_alone(
    module: AnsibleModule,
    prepare: t.Callable[[t.Mapping[str, t.Any]], O],
    work: t.Callable[[O, t.Callable[[str], None]], dict[str, t.Any]],
) -> None:
    """Run a module that needs no vCenter, and has no options for one; pyVmomi need not be there.

    :param prepare: turns the parameters into the module's own options.
    :param work: does the task; is given a function that shows one line of progress.
    """

    def body(progress: Progress) -> dict[str, t.Any]:
        params = _secrets.parameters(module)
        _refuse_nul(params)
        _argspec.check_bounds(params)
        return work(prepare(params), _clean(progress.show))

    _end(module, _Account(with_diff=module._diff), body)


def _end(module: AnsibleModule, account: _Account, body: t.Callable[[Progress], dict[str, t.Any]]) -> None:
    """Do the work of a module, and exit with what came of it, whatever that is."""
    signals: list[Interrupted] = []
    try:
        with (
            _lifeline.held() as line,
            Progress(line) as progress,
            _signals.as_interrupts() as signals,
        ):
            result = body(progress)
    except PartialFailure as error:
        failed = _as_failure(error, signals)
        # The result says what was asked for and done; of the error it is only given what it lacks.
        said = {key: failed[key] for key in ("error_code", "msg")}
        module.fail_json(**_whole(module, account, {**failed, **error.result, **said}))
    except Reason as error:
        module.fail_json(**_whole(module, account, _as_failure(error, signals)))
    except Exception as error:  # noqa: BLE001 (the edge: a defect must reach the user as a sentence too)
        module.fail_json(**_whole(module, account, _refused_by_system(error) or _defect(error)))
    module.exit_json(**_whole(module, account, result))


def _whole(module: AnsibleModule, account: _Account, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """The result as it is returned. Its warnings are given to Ansible one by one, which wants no list of them."""
    whole = account.complete(result)
    warn = _warning(module)
    for warning in whole.pop("warnings", ()):
        warn(warning)
    return _secrets.hide_documents(module, whole)


def _warning(module: AnsibleModule) -> t.Callable[[str], None]:
    """Give Ansible one line of text as a warning, without secrets and what a terminal would obey."""
    return lambda text: module.warn(_secrets.without_documents(module, one_line(text)))


def _clean(show: t.Callable[[str], None]) -> t.Callable[[str], None]:
    """Show one line of text from wherever, without what a terminal would obey."""
    return lambda text: show(one_line(text))


def _worked(work: t.Callable[[Session, O], dict[str, t.Any]], session: Session, options: O) -> dict[str, t.Any]:
    """Do the work.

    What it returns, or how it failed, is reported; a signal to the closing of the session cannot take it away.
    """
    try:
        return work(session, options)
    except Reason as error:
        from ._connector.find import name_subjects

        name_subjects(session, [error])
        raise
    finally:
        session.limit.finish()
        if not _signals.ended():
            _signals.settle()


def _as_failure(error: Reason, signals: t.Sequence[Interrupted]) -> dict[str, t.Any]:
    """An error as a result.

    After a signal it is the signal that ended the run, whatever failed on the way out.
    """
    result = error.as_result()
    if signals:
        said = signals[0].message
        result["error_code"] = signals[0].error_code
        result["msg"] = result["msg"] if said in result["msg"] else f"{said} {result['msg']}"
    return result


def _refuse_nul(value: t.Any, option: str = "") -> None:
    """No option can hold the character NUL, and the system calls that meet one raise what looks
    like a defect.

    :raises InvalidOption: naming the option.
    """
    if isinstance(value, str) and "\0" in value:
        raise InvalidOption(f"The option {option} has the character NUL.", option=option)
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        _refuse_nul(item, key if isinstance(key, str) else option)


class _Account:
    """Adds the figures of the run to a result, and takes out of it what was not asked for.

    :param with_diff: whether this is diff mode.
    """

    def __init__(self, *, with_diff: bool = False) -> None:
        self._with_diff = with_diff
        self.begun = time.monotonic()
        self.connected: float | None = None
        self.session: Session | None = None

    def complete(self, result: dict[str, t.Any]) -> dict[str, t.Any]:
        now = time.monotonic()
        timing = {**result.get("timing", {}), "total": round(now - self.begun, 3)}
        figures: dict[str, t.Any] = {"timing": timing}
        if self.session is not None:
            connecting = round((self.connected or now) - self.begun, 3)
            figures = {"timing": {"connect": connecting, **timing}, "calls": self.session.stats.summary()}
        if not self._with_diff:
            result = {key: value for key, value in result.items() if key != "diff"}
        # Names, outputs and messages come from guests and servers; what a terminal would obey is
        # made visible.
        return {**t.cast("dict[str, t.Any]", shown(result)), **figures}


def _no_thread() -> dict[str, t.Any]:
    return NoThread(
        f"{platform.node()} lets this user start no further thread. What was done until then is in no result.",
        hint="Raise the limit of processes there (ulimit -u) or of its container (pids limit), or lower forks. Run again.",
    ).as_result()


def _refused_by_system(error: Exception) -> dict[str, t.Any]:
    """What the system refuses, such as room on a disk or one more thread, is no defect; empty for all else."""
    from ._files import refused_by_system

    if str(error) == _NO_THREAD:
        return _no_thread()
    found = refused_by_system(error) if isinstance(error, OSError) else None
    return found.as_result() if found is not None else {}


def _defect(error: Exception) -> dict[str, t.Any]:
    """A defect of the collection: where it is, without the message, which could quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename.rsplit('/ansible_collections/')[-1]}:{frames[-1].lineno}" if frames else "unknown place"
    return {
        "error_code": "internal_error",
        "msg": f"A defect in vforge.vsphere: {type(error).__name__} at {where}. Please report it with this line and your task.",
        "trace": [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames],
    }
