# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data for cloud-init as pairs of extraConfig and back, for who delivers them by other means than
our module. Pure.
"""

from __future__ import annotations

import typing as t

from .._errors import InvalidOption
from . import checks, documents, encoding, keys, networks, payload
from .model import read_by
from .payload import KINDS, METADATA, USERDATA, VENDORDATA


def packed(
    given: t.Mapping[str, t.Any],
    how: str,
    *,
    report: bool = False,
    content: checks.Content | None = None,
    where: str = "to_guestinfo",
) -> dict[str, str]:
    """The pairs for metadata, user data and vendor data, as the module would write them.

    Metadata must name their instance-id, or what it is derived from: nothing is known of the VM.

    :param report: whether the script goes with them that reports when cloud-init has finished.
    :param content: what looks at the data; by default at their syntax.
    :param where: what messages begin with.
    :raises InvalidOption: naming what is wrong.
    """
    unknown = sorted(set(given) - set(KINDS))
    if unknown:
        raise InvalidOption(f"{', '.join(unknown)} is not among {', '.join(KINDS)}.")
    data = payload.build(given, {}, where, mend=False, report=report)
    if data.metadata is not None and data.metadata.seed == "":
        raise InvalidOption(
            f"{where}: metadata has no instance_id.",
            hint="Set one that no other VM has, such as auto:web-1, which is derived from this name and the data.",
        )
    if data.metadata is not None and networks.names_labels(data.metadata.network_given):
        raise InvalidOption(
            f"{where}: metadata.network names a card by its label, and nothing is known of the VM's cards here.",
            hint="Write its MAC address, or call the device by the interface's name.",
            option=METADATA,
        )
    (content or checks.Content(documents.SYNTAX)).check(data, where)
    checks.check_guestinfo(data, how, where)
    salt = data.metadata.instance_id if data.metadata else None
    if data.metadata is not None and data.metadata.seed:
        salt = data.metadata.derived_id("", data.userdata, data.vendordata_plain)
    texts = {
        METADATA: data.metadata.text(salt or "") if data.metadata else None,
        USERDATA: data.userdata,
        VENDORDATA: data.vendordata,
    }
    pairs: dict[str, str] = {}
    for kind, text in texts.items():
        if text is None:
            continue
        value = encoding.encode(text, how)
        pairs |= {keys.value(kind): value.value, keys.encoding(kind): value.encoding}
        if salt is not None and kind in read_by(data):
            # So that the module knows later what was delivered, when cloud-init has overwritten it.
            pairs[keys.mark(kind)] = encoding.fingerprint(salt, [text])
    return pairs


def unpacked(pairs: t.Mapping[str, t.Any]) -> dict[str, str | None]:
    """What cloud-init would read of such pairs; keys may be without their prefix.

    :raises InvalidOption: for a value that is not what its encoding says.
    """
    known = {str(key).removeprefix("guestinfo."): str(value) for key, value in pairs.items()}
    found: dict[str, str | None] = {}
    for kind in KINDS:
        try:
            found[kind] = encoding.decode(known.get(kind), known.get(f"{kind}.encoding"))
        except encoding.Undecodable as error:
            raise InvalidOption(f"{kind} cannot be decoded: {error}.") from error
    return found
