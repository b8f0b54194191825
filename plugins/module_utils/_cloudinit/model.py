# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs and what they hold for cloud-init, and what a task is asked to do with them. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from .._errors import InvalidOption
from .._vsphere.markers import is_redacted
from .._vsphere.vm import Vm
from . import checks, encoding, keys, payload, report_script
from .networks import Card
from .payload import KINDS, METADATA, Data

PRESENT, ABSENT, REDACTED = "present", "absent", "redacted"
GUESTINFO, CUSTOMIZATION = "guestinfo", "customization"
NOTHING, READ, NETWORK, FINISHED = "none", "read", "network", "finished"


@dataclasses.dataclass(frozen=True)
class Held:
    """One kind of data as a VM has it. The text may hold secrets and is never in ``repr``.

    :ivar text: as cloud-init reads it; None where it reads nothing.
    :ivar redacted: whether it was there and was overwritten.
    :ivar broken: why cloud-init cannot read it, or empty.
    :ivar size: bytes of the value as it is kept.
    """

    text: str | None = dataclasses.field(default=None, repr=False)
    encoding: str = ""
    redacted: bool = False
    broken: str = ""
    size: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine(Vm):
    """A VM.

    :ivar running_since: when it was powered on; empty for a VM that is off.
    :ivar tools: whether VMware Tools run in its guest.
    :ivar addresses: that VMware Tools report for its own cards.
    :ivar cards: its NICs, where they were asked for.
    :ivar ovf_transport: how its guest gets the OVF environment of the package that it was made of;
        empty where it gets none.
    :ivar config: what it has of our keys, and of those of cloud-init; never in ``repr``.
    """

    running_since: str = ""
    tools: bool = False
    addresses: tuple[str, ...] = ()
    cards: tuple[Card, ...] = ()
    ovf_transport: tuple[str, ...] = ()
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def booted(self) -> bool:
        """Whether its guest has booted already. That of a suspended VM has: it goes on, and does
        not boot.
        """
        return self.power_state in ("poweredOn", "suspended")

    @property
    def pending(self) -> tuple[str, ...]:
        """The kinds of data that it was given since it was powered on, by who did not reboot it."""
        since, _bar, kinds = self.config.get(keys.PENDING, "").partition("|")
        return tuple(kinds.split()) if self.booted and since == self.running_since else ()

    def held(self, kind: str) -> Held:
        """What it has of one kind of data."""
        value, name = (
            self.config.get(keys.value(kind)),
            self.config.get(keys.encoding(kind), "").rstrip(),
        )
        size = len((value or "").encode())
        try:
            text, broken = encoding.decode(value, name), ""
        except encoding.Undecodable as error:
            text, broken = None, str(error)
        return Held(text, name, is_redacted(value), broken, size)


@dataclasses.dataclass(frozen=True)
class Request:
    """One VM and what it is to be given."""

    selector: Selector
    data: Data


@dataclasses.dataclass(frozen=True)
class CloudOptions:
    """What one task is asked to do.

    :ivar kinds: what is removed or overwritten.
    :ivar finished_key: by which guests report that they are done.
    :ivar own_report: whether that is by our script, and not by the user's own data.
    :ivar timeout: seconds for all of the work, the lookup included.
    """

    state: str
    requests: tuple[Request, ...]
    datacenter: str | None
    transport: str
    encoding: str
    kinds: tuple[str, ...]
    power_on: bool
    allow_reboot: bool
    wait: str
    finished_key: str
    own_report: bool
    parallel: int
    timeout: int

    @property
    def needs_cards(self) -> bool:
        """Whether a network names cards by MAC address or by label, so that those of the VMs have
        to be known.
        """
        return any(request.data.names_cards for request in self.requests)

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> CloudOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the VM and the option.
        """
        for option in ("timeout", "parallel"):
            if params[option] < 1:
                raise InvalidOption(f"The option {option} must be at least 1.", option=option)
        if params["parallel"] > 64:
            raise InvalidOption("The option parallel can be at most 64.", option="parallel")
        own_key = params.get("finished_key") or None
        if own_key and not own_key.startswith("guestinfo."):
            raise InvalidOption(
                f"The finished_key {own_key} cannot be written by a guest.",
                hint="Begin it with guestinfo.",
                option="finished_key",
            )
        options = cls(
            state=params["state"],
            requests=_requests(params, report=params["wait"] == FINISHED and own_key is None),
            datacenter=params.get("datacenter"),
            transport=params["transport"],
            encoding=params["encoding"],
            kinds=_kinds(params),
            power_on=params["power_on"],
            allow_reboot=params["allow_reboot"],
            wait=params["wait"],
            finished_key=own_key or report_script.KEY,
            own_report=own_key is None,
            parallel=params["parallel"],
            timeout=params["timeout"],
        )
        if options.state == PRESENT:
            _check_requests(options, params)
        return options


def selectors(params: t.Mapping[str, t.Any]) -> list[tuple[Selector, t.Mapping[str, t.Any]]]:
    """The VMs that a module's parameters name, ``vm`` or the list ``vms``, each with the options
    that are its own.

    :raises InvalidOption: when neither is given, or both, or one names no VM.
    """
    listed = params.get("vms")
    if bool(params.get("vm")) == (listed is not None):
        raise InvalidOption("Set either vm, for one VM, or vms, for a list of them.", option="vm")
    if listed is None:
        return [(Selector.from_params(params["vm"], "vm"), {})]
    return [(Selector.from_params(item, "vms"), item) for item in listed]


def _requests(params: t.Mapping[str, t.Any], *, report: bool) -> tuple[Request, ...]:
    named = selectors(params)
    if params["state"] != PRESENT:
        return tuple(Request(selector, Data()) for selector, _own in named)
    mend = params["mend_header"]
    return tuple(
        Request(
            selector,
            payload.build(own, params, f"VM with the {selector}", mend=mend, report=report),
        )
        for selector, own in named
    )


def _kinds(params: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    given = params.get("keys")
    if given is not None and params["state"] == PRESENT:
        raise InvalidOption("The option keys is for the states absent and redacted.", option="keys")
    # Without its metadata a VM is a new instance to cloud-init, so that is not redacted unless it
    # is asked for.
    usual = [kind for kind in KINDS if params["state"] == ABSENT or kind != METADATA]
    return tuple(kind for kind in KINDS if kind in (usual if given is None else given))


def _check_requests(options: CloudOptions, params: t.Mapping[str, t.Any]) -> None:
    content = checks.Content(params["validate"], params.get("schema_path"))
    for request in options.requests:
        where, data = f"VM with the {request.selector}", request.data
        if data.metadata is None and data.userdata is None and data.vendordata_plain is None:
            raise InvalidOption(
                f"{where}: nothing is to be delivered.",
                hint="Set metadata, userdata or vendordata.",
                option=METADATA,
            )
        content.check(data, where)
        _check_waiting(options, data, where)
        if options.transport == CUSTOMIZATION:
            checks.check_customization(data, where)
        else:
            checks.check_guestinfo(data, options.encoding, where)


def _check_waiting(options: CloudOptions, data: Data, where: str) -> None:
    if options.wait == READ and not read_by(data):
        raise InvalidOption(
            f"{where}: that cloud-init has read its data shows only when it overwrites them.",
            hint="Set metadata.redact to a list with userdata, or another wait.",
            option="wait",
        )
    if options.transport != CUSTOMIZATION:
        return
    if data.metadata is None or data.vendordata_plain is not None:
        raise InvalidOption(
            f"{where}: transport customization carries metadata, which it needs, and userdata, and nothing else.",
            option="transport",
        )
    if options.wait == READ or (options.wait == FINISHED and options.own_report):
        raise InvalidOption(
            f"{where}: with transport customization nothing in guestinfo tells of it.",
            hint="Set wait to none or network, or name a finished_key that your user data writes.",
            option="wait",
        )


def read_by(data: Data) -> tuple[str, ...]:
    """The kinds that cloud-init overwrites when it has read them."""
    redact = data.metadata.redact if data.metadata else ()
    given = {
        payload.METADATA: data.metadata,
        payload.USERDATA: data.userdata,
        payload.VENDORDATA: data.vendordata,
    }
    return tuple(kind for kind in KINDS if kind in redact and given[kind] is not None)
