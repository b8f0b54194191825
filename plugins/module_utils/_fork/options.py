# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a VMFork task, checked and typed. Pure."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from .._connector import names
from .._connector.credentials import GuestCredentials
from .._connector.find import Selector, selectors
from .._connector.pairs import pairs, vm_name
from .._connector.wakescript import Manner, Scripts
from .._errors import InvalidOption
from .facts import DISABLED, PARAMETER_PREFIX, QUIESCED

PRESENT, ABSENT = "present", "absent"

MANNER = Manner(
    commands={
        "linux": "vmtoolsd --cmd 'vmfork-begin -1 -1'",
        "windows": "& (Join-Path $env:ProgramFiles 'VMware\\VMware Tools\\vmtoolsd.exe') --cmd 'vmfork-begin -1 -1'",
    },
    shown_by="runtime.quiescedForkParent",
    verb="quiesce",
    state=QUIESCED,
)

_PLACES = ("folder", "resource_pool", "datastore")
_MOST_PARALLEL = 64


@dataclasses.dataclass(frozen=True)
class ChildRequest:
    """One child that is wanted, or is to go.

    :ivar parent: which of the task's VMs is its parent; None where there is only one.
    :ivar config: whole keys of extraConfig; may hold secrets and is never in ``repr``.
    """

    name: str
    state: str = PRESENT
    parent: Selector | None = None
    persistent: bool = False
    powered_on: bool = True
    folder: str | None = None
    resource_pool: str | None = None
    datastore: str | None = None
    config: dict[str, str] = dataclasses.field(default_factory=dict, repr=False)


@dataclasses.dataclass(frozen=True)
class ForkOptions:
    """What one task is asked to do.

    :ivar state: that the parents are brought to; None to leave them as they are.
    :ivar selectors: of the parents.
    :ivar credentials: of the parents' guests; needed only where one has to be quiesced.
    :ivar timeout: seconds for all of the work, the lookup included.
    """

    state: str | None
    selectors: tuple[Selector, ...]
    datacenter: str | None
    children: tuple[ChildRequest, ...]
    credentials: GuestCredentials | None
    scripts: Scripts
    create_snapshot: bool
    allow_reset: bool
    wait_for_ip: bool
    ip_family: str
    timeout: int
    parallel: int

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> ForkOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option and the child.
        """
        for option in ("parallel", "timeout"):
            if params[option] < 1:
                raise InvalidOption(f"The option {option} must be at least 1.", option=option)
        if params["parallel"] > _MOST_PARALLEL:
            raise InvalidOption(f"The option parallel can be at most {_MOST_PARALLEL}.", option="parallel")
        parents = selectors(params)
        children = tuple(_child(item, params) for item in params.get("children") or ())
        _check_children(children, params.get("state"), len(parents))
        return cls(
            state=params.get("state"),
            selectors=parents,
            datacenter=params.get("datacenter"),
            children=children,
            credentials=GuestCredentials.from_params(params),
            scripts=Scripts.from_params(params, MANNER),
            create_snapshot=params["create_snapshot"],
            allow_reset=params["allow_reset"],
            wait_for_ip=params["wait_for_ip_address"],
            ip_family=params["ip_family"],
            timeout=params["timeout"],
            parallel=params["parallel"],
        )


def _child(item: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any]) -> ChildRequest:
    name = vm_name(item["name"], "child")
    where = f"child {name!r}"
    flags: dict[str, bool] = {
        key: item[key] if item.get(key) is not None else common[key] for key in ("persistent", "powered_on")
    }
    # An empty text is what a survey or a template gives for "not set".
    places: dict[str, str | None] = {key: item.get(key) or common.get(key) or None for key in _PLACES}
    return ChildRequest(
        name=name,
        state=item.get("state") or PRESENT,
        parent=Selector.from_params(item["parent"], "children[].parent") if item.get("parent") else None,
        config={**_config(common, where), **_config(item, where)},
        persistent=flags["persistent"],
        powered_on=flags["powered_on"],
        **places,
    )


def _config(given: t.Mapping[str, t.Any], where: str) -> dict[str, str]:
    """``config_params`` as whole keys; a key may be written as the guest reads it, too."""
    found = pairs(given.get("config_params"), "config_params", where)
    config = {PARAMETER_PREFIX + key.removeprefix(PARAMETER_PREFIX): value for key, value in found}
    if len(config) < len(found):
        raise InvalidOption(
            f"{where}: config_params has a key twice.",
            hint=f"Write it once, with or without {PARAMETER_PREFIX}.",
            option="config_params",
        )
    return config


def _check_children(children: t.Sequence[ChildRequest], state: str | None, parents: int) -> None:
    wanted = [child for child in children if child.state == PRESENT]
    if wanted and state == DISABLED:
        raise InvalidOption(
            f"children asks for {wanted[0].name}, and a disabled parent can have no children made.",
            hint="Use state quiesced or enabled, or let children be absent.",
            option="children",
        )
    for child in children:
        if child.parent is None and parents > 1:
            raise InvalidOption(
                f"child {child.name!r}: with several parents each child needs to name its own.",
                hint="Set parent in its item of children, to one of parents.",
                option="children",
            )
    counts = collections.Counter((child.folder, child.name) for child in children)
    twice = sorted(name for (_folder, name), count in counts.items() if count > 1)
    if twice:
        raise InvalidOption(
            f"children names {names.listing(twice)} more than once in the same folder.",
            hint="Give each child of a folder its own name.",
            option="children",
        )
