# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is looked at before data are sent: whether cloud-init can read them, and whether they fit.
Pure.

No message says what is in the data.
"""

from __future__ import annotations

import typing as t

from .._connector import names
from .._connector.names import is_sendable
from .._errors import InvalidOption
from . import documents, encoding
from .payload import METADATA, USERDATA, VENDORDATA, Data

# vSphere's limit for each of the two texts of CustomizationCloudinitPrep (API reference).
CUSTOMIZATION_LARGEST = 512 * 1024

# As long as any instance-id that is derived.
_SOME_ID = "00000000-0000-0000-0000-000000000000-00000000"


class Content:
    """Looks at cloud-config and networks as strictly as is asked for; the same text for a
    hundred VMs is looked at once.

    :param level: one of ``documents.LEVELS``.
    :param schema_path: where cloud-init's schema is; None to look where packages put it.
    :raises MissingLibrary: when what the level needs is missing.
    """

    def __init__(self, level: str, schema_path: str | None = None) -> None:
        self._level = level
        self._schemas = documents.Schemas(schema_path) if level == documents.SCHEMA else None
        self._checked: set[str] = set()

    def check(self, data: Data, where: str) -> None:
        """The data of one VM.

        :raises InvalidOption: with the path of what is wrong.
        """
        for kind, text in ((USERDATA, data.userdata), (VENDORDATA, data.vendordata_plain)):
            if text is not None and self._level != documents.NOTHING and text not in self._checked:
                documents.check(text, f"{where}: {kind}", self._schemas)
                self._checked.add(text)
        network = data.metadata.network_given if data.metadata is not None else None
        if self._schemas is not None and isinstance(network, dict):
            self._schemas.check_network(network, f"{where}: metadata.network")


def check_guestinfo(data: Data, how: str, where: str) -> None:
    """Whether data fit into guestinfo, and can be sent there in this encoding.

    :raises InvalidOption: with the sizes.
    """
    texts = _texts(data)
    sizes = {kind: encoding.encode(text, how).size for kind, text in texts.items()}
    if sum(sizes.values()) > encoding.LARGEST:
        raise _too_large(sizes, f"{encoding.LARGEST} together, which is what a VMX file holds", where)
    if how == encoding.PLAIN:
        _check_sendable(texts, where, "Leave encoding on auto.")


def check_customization(data: Data, where: str) -> None:
    """Whether data fit into a customization, which carries them as they are.

    :raises InvalidOption: with the sizes.
    """
    texts = {kind: text for kind, text in _texts(data).items() if kind != VENDORDATA}
    sizes = {kind: len(text.encode()) for kind, text in texts.items()}
    if max(sizes.values(), default=0) > CUSTOMIZATION_LARGEST:
        raise _too_large(sizes, f"{CUSTOMIZATION_LARGEST} each", where)
    _check_sendable(texts, where, "Use transport guestinfo, which encodes it.")


def _texts(data: Data) -> dict[str, str]:
    metadata = data.metadata.text(_SOME_ID) if data.metadata else None
    texts = {METADATA: metadata, USERDATA: data.userdata, VENDORDATA: data.vendordata}
    return {kind: text for kind, text in texts.items() if text is not None}


def _too_large(sizes: t.Mapping[str, int], limit: str, where: str) -> InvalidOption:
    listed = names.listing([f"{kind} {size}" for kind, size in sizes.items()])
    return InvalidOption(
        f"{where}: the data do not fit: {listed} bytes, at most {limit}.",
        hint="Fetch what is large from inside the guest, by #include or write_files from a URL.",
        option=max(sizes, key=lambda kind: sizes[kind]),
        sizes=dict(sizes),
    )


def _check_sendable(texts: t.Mapping[str, str], where: str, hint: str) -> None:
    for kind, text in texts.items():
        if not is_sendable(text):
            raise InvalidOption(
                f"{where}: {kind} has a character that vSphere's interface cannot carry, such as a control character.",
                hint=hint,
                option=kind,
            )
