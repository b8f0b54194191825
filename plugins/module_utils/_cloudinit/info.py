# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What VMs hold for cloud-init, and what their guests have told of it."""

from __future__ import annotations

import dataclasses
import typing as t

from .._connector.find import Selector
from . import read, report
from .model import selectors

if t.TYPE_CHECKING:
    from .._connector.session import Session


@dataclasses.dataclass(frozen=True)
class InfoOptions:
    """What is asked for.

    :ivar show: whether the data themselves are told.
    """

    selectors: tuple[Selector, ...]
    datacenter: str | None
    show: bool

    @classmethod
    def from_params(cls, params: t.Mapping[str, t.Any]) -> InfoOptions:
        """Take the options out of a module's parameters.

        :raises InvalidOption: naming the option.
        """
        named = tuple(selector for selector, _own in selectors(params))
        return cls(named, params.get("datacenter"), params["show_content"])


def run(session: Session, options: InfoOptions) -> dict[str, t.Any]:
    """The module's result: ``vms``, one entry each in the order asked for. Changes nothing.

    :raises NotFound: a VM that is not there.
    """
    found = read.find_machines(session, options.selectors, options.datacenter)
    return {"changed": False, "vms": report.infos(found, show=options.show)}
