# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done: options and what there is become one plan a VM. Pure.

Check mode, diff and the real run all consume the same plan.
"""

from __future__ import annotations

import dataclasses

from .._errors import InvalidOption, VforgeError
from .._vsphere.markers import OVERWRITTEN, is_redacted
from . import documents, encoding, keys, multipart, report_script
from .encoding import Encoded
from .model import (
    ABSENT,
    CUSTOMIZATION,
    FINISHED,
    NETWORK,
    NOTHING,
    PRESENT,
    READ,
    CloudOptions,
    Held,
    Machine,
    Request,
    read_by,
)
from .payload import KINDS, METADATA, USERDATA, VENDORDATA, Data

WRITE, CUSTOMIZE, POWER_ON, REBOOT, SETTLE = "write", "customize", "power_on", "reboot", "settle"

AT_POWER_ON, AT_NEXT_BOOT = "at_power_on", "at_next_boot"

_NOTHING_HELD = Held()


@dataclasses.dataclass(frozen=True)
class Change:
    """One kind of data that changes.

    :ivar after: what is there afterwards; None for nothing.
    """

    kind: str
    before: Held
    after: Encoded | None
    text: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be done to one VM.

    :ivar steps: some of customize, write, power_on, reboot and settle, in
        the order in which they are done.
    :ivar config: pairs of extraConfig to write; an empty value takes a key away. Never in ``repr``.
    :ivar customization: the two texts for the other transport. Never in ``repr``.
    :ivar changes: for the diff.
    :ivar takes_effect: when cloud-init reads what changes, or what waits
        for a boot; None where it has all.
    :ivar wait: what is waited for; nothing where that could never come.
    """

    machine: Machine
    steps: tuple[str, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)
    customization: tuple[str, str] = dataclasses.field(default=("", ""), repr=False)
    changes: tuple[Change, ...] = ()
    instance_id: str | None = None
    takes_effect: str | None = None
    wait: str = NOTHING
    redacting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    refusal: VforgeError | None = None


def decide(machine: Machine, request: Request, options: CloudOptions) -> Plan:
    """The plan that brings a VM to what is asked."""
    if options.state == PRESENT:
        try:
            data = request.data.with_cards(machine.cards, f"VM {machine.name}")
        except InvalidOption as refusal:
            return Plan(machine, refusal=refusal)
        request = dataclasses.replace(request, data=data)
        give = _customized if options.transport == CUSTOMIZATION else _given
        decided = give(machine, request, options)
    else:
        decided = _taken(machine, options)
    # vSphere changes nothing of a template but its name and its notes.
    return Plan(machine, refusal=_template(machine)) if machine.template and decided.steps else decided


# What is given


def _given(machine: Machine, request: Request, options: CloudOptions) -> Plan:
    texts, instance_id = wanted(machine, request)
    redacting = read_by(request.data)
    config: dict[str, str] = {}
    changes: list[Change] = []
    for kind, text in texts.items():
        fitting = _fitting(machine, request.data, kind, text, more=bool(changes))
        if text != request.data.vendordata_plain and _is_missed(machine, options, kind, more=bool(changes)):
            fitting = ()
        change, pairs = _settled(machine, options, kind, (text, instance_id, kind in redacting), fitting)
        config |= pairs
        changes += [change] if change is not None else []
    warnings = [
        *request.data.warnings,
        *_large(changes),
        *_same_instance(machine, changes, texts, instance_id),
        *_unreadable(machine, texts),
        *_nothing_to_redact(machine, request.data, texts),
        *(_beside_ovf_environment(machine) if changes else []),
    ]
    return _with_power(
        Plan(
            machine,
            config=config,
            changes=tuple(changes),
            instance_id=instance_id,
            redacting=redacting,
        ),
        options,
        warnings,
    )


def _beside_ovf_environment(machine: Machine) -> list[str]:
    """Older releases of cloud-init ask the OVF environment first, and then look no further."""
    if not machine.ovf_transport:
        return []
    return [
        f"{machine.name} has an OVF environment ({', '.join(machine.ovf_transport)}), from the package that it was made of. "
        "cloud-init of before December 2024 reads that and not guestinfo. There, name VMware before OVF in the guest's "
        "datasource_list, or take the OVF environment from the template."
    ]


def wanted(machine: Machine, request: Request) -> tuple[dict[str, str], str | None]:
    """The texts by their kinds, and the instance-id; one that is derived is the VM's own, and
    another for other data.

    cloud-init does what it does once an instance again when user data, vendor data or network
    change. It sets a changed host name at every boot by itself, so that is no reason for a new
    instance with new SSH host keys.
    """
    data = request.data
    texts = {USERDATA: data.userdata, VENDORDATA: data.vendordata}
    instance_id = None
    if data.metadata is not None:
        instance_id = data.metadata.instance_id
        if data.metadata.seed is not None:
            instance_id = data.metadata.derived_id(machine.instance_uuid, data.userdata, data.vendordata_plain)
        texts = {METADATA: data.metadata.text(instance_id or ""), **texts}
    return {kind: text for kind, text in texts.items() if text is not None}, instance_id


def _settled(
    machine: Machine,
    options: CloudOptions,
    kind: str,
    asked: tuple[str, str | None, bool],
    fitting: tuple[str | None, ...],
) -> tuple[Change | None, dict[str, str]]:
    """What changes of one kind, and the pairs to write: value, encoding, and a fingerprint of what
    is to be redacted.
    """
    text, instance_id, redacting = asked
    held = machine.held(kind)
    # Another instance-id is another salt: what a clone has inherited of its parent's marks proves
    # nothing.
    salt = instance_id or machine.instance_uuid
    marked = machine.config.get(keys.mark(kind), "")
    if (
        held.redacted
        and marked
        and marked in {encoding.fingerprint(salt, [option]) for option in fitting if option is not None}
    ):
        return None, {}
    mark = {keys.mark(kind): encoding.fingerprint(salt, [text])} if redacting else _gone(machine, keys.mark(kind))
    mark = {key: value for key, value in mark.items() if machine.config.get(key) != value}
    if any(_same(kind, held, option) for option in fitting):
        return None, mark
    value = encoding.encode(text, options.encoding)
    pairs = {keys.value(kind): value.value, keys.encoding(kind): value.encoding, **mark}
    if value.encoding == encoding.NO_ENCODING and keys.encoding(kind) not in machine.config:
        del pairs[keys.encoding(kind)]
    return Change(kind, held, value, text), pairs


def _fitting(machine: Machine, data: Data, kind: str, text: str, *, more: bool) -> tuple[str | None, ...]:
    """What counts as the text. With or without the script that reports the end
    vendor data are the same, unless it is asked for and will be read: by a VM that
    is off, or with more that changes."""
    if kind != VENDORDATA or (text != data.vendordata_plain and (more or not machine.powered_on)):
        return (text,)
    return (text, data.vendordata_plain, report_script.added(data.vendordata_plain))


def _is_missed(machine: Machine, options: CloudOptions, kind: str, *, more: bool) -> bool:
    """Whether the script that reports the end would be missed at the next boot: it has been
    overwritten at an earlier one.
    """
    boots = more or (options.power_on and not machine.booted)
    return kind == VENDORDATA and options.wait == FINISHED and boots and machine.held(kind).redacted


def _same(kind: str, held: Held, option: str | None) -> bool:
    if held.redacted or held.broken:
        return False
    if encoding.same_text(held.text, option):
        return True
    if kind != METADATA or held.text is None or option is None:
        return False
    wanted = _mapping(option)
    return wanted is not None and _mapping(held.text) == wanted


def _mapping(text: str) -> object:
    """Metadata as a mapping, whoever wrote it and however; None for what is none."""
    try:
        found = documents.load_of_guest(text, METADATA)
    except VforgeError:
        return None
    return found if isinstance(found, dict) else None


def _unreadable(machine: Machine, texts: dict[str, str]) -> list[str]:
    """A word where what the VM has besides keeps cloud-init from all of its data."""
    return [
        f"{machine.name} has {kind} that cannot be decoded ({machine.held(kind).broken}), and cloud-init then reads no "
        f"data at all. Deliver {kind}, or take it away with state absent and keys [{kind}]."
        for kind in KINDS
        if kind not in texts and machine.held(kind).broken
    ]


def _nothing_to_redact(machine: Machine, data: Data, texts: dict[str, str]) -> list[str]:
    """A word where redact names only what the VM neither has nor is given. Naming one kind too many
    is usual.
    """
    named = [kind for kind in KINDS if data.metadata is not None and kind in data.metadata.redact]
    if not named or any(kind in texts or keys.value(kind) in machine.config for kind in named):
        return []
    return [
        f"metadata.redact names {' and '.join(named)}, of which {machine.name} has nothing and is given nothing: "
        "nothing will be overwritten. Name what holds the secrets."
    ]


def _large(changes: list[Change]) -> list[str]:
    return [
        f"{change.kind} has {change.after.size} bytes as {change.after.encoding.strip() or 'plain text'}; above "
        f"{encoding.COMFORTABLE} some releases of VMware Tools fail to read it."
        for change in changes
        if change.after is not None and change.after.size > encoding.COMFORTABLE
    ]


def _same_instance(machine: Machine, changes: list[Change], texts: dict[str, str], instance_id: str | None) -> list[str]:
    """A word where data change and cloud-init would not care, since it knows the instance."""
    if not changes or instance_id is None or {change.kind for change in changes} == {METADATA}:
        return []
    now = _mapping(machine.held(METADATA).text or "")
    if isinstance(now, dict) and str(now.get("instance-id")) == instance_id and METADATA in texts:
        return [
            f"The instance-id of {machine.name} stays {instance_id}, so cloud-init takes it for the instance that it has set "
            "up already, and most of the new data does nothing. Set instance_id to auto, or to another one."
        ]
    return []


# The other transport


def _customized(machine: Machine, request: Request, options: CloudOptions) -> Plan:
    texts, instance_id = wanted(machine, request)
    both = (texts[METADATA], texts.get(USERDATA, ""))
    mark = encoding.fingerprint(instance_id or machine.instance_uuid, both)
    if machine.config.get(keys.CUSTOMIZED) == mark:
        return _with_power(Plan(machine, instance_id=instance_id), options, list(request.data.warnings))
    if machine.power_state != "poweredOff":
        return Plan(
            machine,
            instance_id=instance_id,
            refusal=InvalidOption(
                f"{machine.path} is {machine.power_state}, and vSphere customizes by CustomizeVM_Task only a VM that is off.",
                hint="Power it off first, or use transport guestinfo.",
                option="transport",
            ),
        )
    changes = tuple(Change(kind, _NOTHING_HELD, Encoded(text, "customization"), text) for kind, text in texts.items())
    plan = Plan(
        machine,
        steps=(CUSTOMIZE,),
        config={keys.CUSTOMIZED: mark},
        customization=both,
        changes=changes,
        instance_id=instance_id,
    )
    return _with_power(plan, options, [*request.data.warnings, *_in_guestinfo(machine)])


def _in_guestinfo(machine: Machine) -> list[str]:
    """cloud-init asks guestinfo first, and looks no further where that has something
    (DataSourceVMware, _get_data).
    """
    there = [kind for kind in KINDS if not encoding.is_absent(machine.config.get(keys.value(kind)))]
    if not there:
        return []
    return [
        f"{machine.name} has {' and '.join(there)} in guestinfo, which cloud-init reads first: it then looks at no "
        "customization. Take them away with transport guestinfo and state absent."
    ]


# Power, and what can be waited for


def _with_power(plan: Plan, options: CloudOptions, warnings: list[str]) -> Plan:
    machine, changed = plan.machine, bool(plan.changes)
    unread = machine.booted and (changed or _pending(plan, options))
    reboots = unread and machine.powered_on and options.allow_reboot
    if reboots and not machine.tools:
        return dataclasses.replace(
            plan,
            steps=(),
            config={},
            changes=(),
            refusal=_cannot_reboot(machine),
            warnings=tuple(warnings),
        )
    starts = options.power_on and not machine.powered_on
    config = dict(plan.config)
    if changed and machine.booted:
        config[keys.PENDING] = f"{machine.running_since}|{' '.join(change.kind for change in plan.changes)}"
    if reboots or ((starts or changed) and not machine.booted):
        config |= _old_reports(machine, options, changed=changed)
    steps = [
        *plan.steps,
        *([WRITE] if config else []),
        *([POWER_ON] if starts else []),
        *([REBOOT, SETTLE] if reboots else []),
    ]
    wait = options.wait
    why = _no_use(plan, options, starts=starts, unread=unread and not reboots) if wait != NOTHING else ""
    if why:
        wait, warnings = NOTHING, [*warnings, f"{machine.name} is not waited for: {why}."]
    effect = AT_NEXT_BOOT if unread else AT_POWER_ON if changed else None
    return dataclasses.replace(
        plan,
        steps=tuple(steps),
        config=config,
        takes_effect=effect,
        wait=wait,
        warnings=tuple(warnings),
    )


def _pending(plan: Plan, options: CloudOptions) -> bool:
    """Whether an earlier task has left data for the next boot, and nothing says that it came.

    A guest that was rebooted by somebody else shows it by its report, or by what it has
    overwritten.
    """
    kinds, config = plan.machine.pending, plan.machine.config
    if not kinds:
        return False
    reported = plan.instance_id is not None and options.own_report and finished(plan, options, config) is not None
    redacting = [kind for kind in kinds if kind in plan.redacting]
    return not reported and not any(is_redacted(config.get(keys.value(kind))) for kind in redacting)


def _old_reports(machine: Machine, options: CloudOptions, *, changed: bool) -> dict[str, str]:
    """What an earlier boot has reported, or a parent: it would be taken for the answer.

    Our script tells at every boot; what tells by a key of the user's own may do so once an
    instance.
    """
    stale = keys.REPORTS if options.own_report or not changed else (*keys.REPORTS, options.finished_key)
    mark = {} if machine.booted else _gone(machine, keys.PENDING)
    return {pair: "" for key in stale for pair in _gone(machine, key)} | mark


def _no_use(plan: Plan, options: CloudOptions, *, starts: bool, unread: bool) -> str:
    """Why what is to be waited for cannot come, or empty."""
    if not plan.machine.powered_on and not starts:
        return "it is off" if not plan.machine.booted else "it is suspended"
    if unread:
        return "cloud-init reads the data at the next boot"
    if options.wait == FINISHED and options.own_report and not plan.changes and not _reports(plan):
        return "it was given its data without the script that reports the end"
    return ""


def _reports(plan: Plan) -> bool:
    """Whether a VM whose data do not change has the script, or has reported already."""
    held = plan.machine.held(VENDORDATA)
    return keys.FINISHED in plan.machine.config or held.redacted or keys.FINISHED in (held.text or "") or _packed(held)


def _packed(held: Held) -> bool:
    """Whether the text is a message, in which the script may be encoded once more."""
    return multipart.is_message(held.text or "")


def reached(plan: Plan, options: CloudOptions, config: dict[str, str]) -> bool:
    """Whether what is waited for has come, by what the VM's configuration reports."""
    if plan.wait == READ:
        return all(is_redacted(config.get(keys.value(kind))) for kind in plan.redacting)
    if plan.wait == NETWORK:
        return any(config.get(key, "").strip() for key in (keys.LOCAL_IPV4, keys.LOCAL_IPV6))
    if plan.wait == FINISHED:
        return finished(plan, options, config) is not None
    return True


def finished(plan: Plan, options: CloudOptions, config: dict[str, str]) -> str | None:
    """How cloud-init ended, as the guest reports; None where it does not, or tells of another
    instance.
    """
    value = config.get(options.finished_key, "").strip()
    if not options.own_report:
        return value or None
    return report_script.outcome(value, plan.instance_id)


# What is taken away


def _taken(machine: Machine, options: CloudOptions) -> Plan:
    config: dict[str, str] = {}
    changes = []
    for kind in options.kinds:
        held = machine.held(kind)
        there = not encoding.is_absent(machine.config.get(keys.value(kind)))
        if options.state == ABSENT:
            pairs = {key: "" for name in (keys.value, keys.encoding, keys.mark) for key in _gone(machine, name(kind))}
        else:
            pairs = _redaction(machine, kind, held) if there else {}
        config |= pairs
        if pairs:
            after = Encoded(OVERWRITTEN, encoding.NO_ENCODING) if options.state != ABSENT else None
            changes.append(Change(kind, held, after))
    if options.state == ABSENT and set(options.kinds) == set(KINDS):
        config |= {**_gone(machine, keys.CUSTOMIZED), **_gone(machine, keys.PENDING)}
    return Plan(machine, steps=(WRITE,) if config else (), config=config, changes=tuple(changes))


def _redaction(machine: Machine, kind: str, held: Held) -> dict[str, str]:
    """Overwritten as cloud-init does it, with a fingerprint, so that a later task knows what was
    delivered.
    """
    pairs = {keys.value(kind): OVERWRITTEN, keys.encoding(kind): encoding.NO_ENCODING}
    metadata = _mapping(machine.held(METADATA).text or "")
    known = metadata.get("instance-id") if isinstance(metadata, dict) else None
    if held.text is not None:
        pairs[keys.mark(kind)] = encoding.fingerprint(str(known or machine.instance_uuid), [held.text])
    return pairs


def described(kind: str, text: str) -> str | None:
    """What a text is, without what is in it: the instance-id of metadata, the content type of
    anything else.
    """
    if kind == METADATA:
        found = _mapping(text)
        known = found.get("instance-id") if isinstance(found, dict) else None
        return None if known is None else str(known)
    return "multipart/mixed" if multipart.is_message(text) else multipart.type_of(text)


def _gone(machine: Machine, key: str) -> dict[str, str]:
    return {key: ""} if machine.config.get(key) else {}


def _cannot_reboot(machine: Machine) -> InvalidOption:
    return InvalidOption(
        f"{machine.path} is to be rebooted, and VMware Tools, which would ask its guest to, do not run in it.",
        hint="Reboot it yourself, or leave allow_reboot off: cloud-init reads the data at the next boot.",
        option="allow_reboot",
    )


def _template(machine: Machine) -> InvalidOption:
    return InvalidOption(
        f"{machine.path} is a template, whose configuration cannot be changed and which cannot be powered on.",
        hint="Name its clones, or make it a VM first.",
        option="vms",
    )
