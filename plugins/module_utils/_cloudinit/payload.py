# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be delivered: metadata, user data and vendor data as given, and as texts. Pure.

Every message names where something is wrong and never what is there, which may be a secret.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t

from .._errors import InvalidOption, VforgeError
from . import documents, multipart, networks, report_script
from .encoding import Undecodable, decode, encode, fingerprint

METADATA, USERDATA, VENDORDATA = "metadata", "userdata", "vendordata"
KINDS = (METADATA, USERDATA, VENDORDATA)

AUTO = "auto"

# cloud-init's own spelling; Ansible's users write underscores.
_METADATA_KEYS = ("instance-id", "local-hostname", "wait-on-network", "public-keys")


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Metadata: a mapping in cloud-init's spelling.

    :ivar raw: the text that it was given as, and is delivered as; None where it was a mapping.
    :ivar seed: what the instance-id is to be derived from, besides the data; empty for the VM's instance UUID, None where it is
        given.
    """

    mapping: dict[str, t.Any] = dataclasses.field(repr=False)
    raw: str | None = dataclasses.field(default=None, repr=False)
    seed: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def redact(self) -> tuple[str, ...]:
        """The keys that cloud-init is asked to overwrite once it has read them."""
        asked = self.mapping.get("redact", self.mapping.get("cleanup-guestinfo")) or ()
        return tuple(str(key) for key in ([asked] if isinstance(asked, str) else asked))

    @property
    def instance_id(self) -> str | None:
        """The instance-id that was given; None where it is to be derived, or where there is none."""
        given = None if self.seed is not None else self.mapping.get("instance-id")
        return None if given is None else str(given)

    def derived_id(self, instance_uuid: str, *texts: str | None) -> str:
        """An instance-id that is the VM's own, or that of the seed, and another one for other texts or another network."""
        seed = self.seed or instance_uuid
        return f"{seed}-{fingerprint(seed, [*(text or '' for text in texts), self.network])[:8]}"

    @property
    def network(self) -> str:
        """The network, for what an instance-id is derived from."""
        return multipart.as_json(self.mapping.get("network"))

    @property
    def network_given(self) -> t.Any:
        """The network, taken out of its encoding; None where there is none, or nobody can read it."""
        network = self.mapping.get("network")
        if not isinstance(network, str):
            return network
        try:
            text = decode(network, str(self.mapping.get("network.encoding") or ""))
            return documents.load(text or "", "metadata.network")
        except (Undecodable, VforgeError):
            return None  # what cannot be read here gives no address, and cloud-init says the rest

    def text(self, instance_id: str) -> str:
        """As it is delivered."""
        if self.raw is not None:
            return self.raw
        return multipart.as_json({**self.mapping, **({"instance-id": instance_id} if self.seed is not None else {})}) + "\n"


@dataclasses.dataclass(frozen=True)
class Data:
    """What one VM is to be given; None leaves what it has.

    :ivar vendordata_plain: the vendor data without the script that reports the end; the two count as the same.
    """

    metadata: Metadata | None = None
    userdata: str | None = dataclasses.field(default=None, repr=False)
    vendordata: str | None = dataclasses.field(default=None, repr=False)
    vendordata_plain: str | None = dataclasses.field(default=None, repr=False)

    @property
    def fixed(self) -> networks.Fixed:
        """The addresses that the VM is given."""
        return networks.fixed(self.metadata.network_given) if self.metadata else networks.NOTHING_FIXED

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be known before it is delivered."""
        return self.metadata.warnings if self.metadata else ()


def unsealed(given: t.Any) -> t.Any:
    """An option as it was written. The action plugin has made JSON of it, so that it is one secret and not many."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def build(given: t.Mapping[str, t.Any], common: t.Mapping[str, t.Any], where: str, *, mend: bool, report: bool) -> Data:
    """The data of one VM from its own options over common ones.

    :param mend: whether a header that is not in the first line is put there.
    :param report: whether a script is to report the end.
    :raises InvalidOption: naming the VM and the option.
    """
    own, shared = ({kind: _unsealed_text(params, kind, where) for kind in KINDS} for params in (given, common))
    texts = {
        kind: user_text(own[kind] if own[kind] not in (None, "") else shared[kind], f"{where}: {kind}", mend=mend)
        for kind in (USERDATA, VENDORDATA)
    }
    plain = texts[VENDORDATA]
    return Data(
        metadata=_metadata(own[METADATA], shared[METADATA], where),
        userdata=texts[USERDATA],
        vendordata=report_script.added(plain) if report else plain,
        vendordata_plain=plain,
    )


def _unsealed_text(params: t.Mapping[str, t.Any], kind: str, where: str) -> t.Any:
    value = unsealed(params.get(kind))
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise InvalidOption(f"{where}: {kind} has half of a surrogate pair, which is no character.", option=kind) from None
    return value


def user_text(value: t.Any, where: str, *, mend: bool = False) -> str | None:
    """User data or vendor data as one text: of a mapping, of a list of parts, or a text whose first line says what it is.

    :raises InvalidOption: where cloud-init would ignore it.
    """
    if value in (None, "", [], {}):
        return None
    try:
        if isinstance(value, dict):
            return multipart.cloud_config(value)
        if isinstance(value, list):
            return multipart.message(value)
    except InvalidOption as error:
        raise InvalidOption(f"{where}: {error.message}", hint=error.hint, option=where.split(": ")[-1]) from error
    return _checked_header(str(value).replace("\r\n", "\n"), where, mend=mend)


def _checked_header(text: str, where: str, *, mend: bool) -> str:
    if multipart.type_of(text) or text.startswith(multipart.MIME_STARTS):
        return text
    # What stands before a header in real life: a mark of byte order, blank lines, the start of a YAML document.
    rest = text.lstrip("\ufeff \t\n").removeprefix("---").lstrip(" \t\n")
    late = multipart.type_of(rest) is not None
    if late and mend:
        return rest
    hint = "Begin it with #cloud-config, #! or another header of cloud-init, or give a mapping."
    if late:
        hint = "Its header comes later: no --- and no blank line may stand before it. Set mend_header to drop them."
    raise InvalidOption(
        f"{where}: its first line is no header of cloud-init, so cloud-init would ignore all of it, silently.",
        hint=hint,
        option=where.split(": ")[-1],
    )


def _metadata(own: t.Any, common: t.Any, where: str) -> Metadata | None:
    own, common = (None if value in (None, "") else value for value in (own, common))
    if own is None and common is None:
        return None
    if isinstance(own, str) or (own is None and isinstance(common, str)):
        return _raw_metadata(own or common, where)
    for value in (own, common):
        if value is not None and not isinstance(value, (dict, str)):
            raise InvalidOption(f"{where}: metadata is neither a mapping nor a text.", option=METADATA)
    merged = {**_spelled(common if isinstance(common, dict) else {}), **_spelled(own or {})}
    if merged.get("instance-id") in (None, ""):
        merged["instance-id"] = AUTO
    warnings = _settle_network(merged, where)
    _check_waiting(merged, where)
    merged["instance-id"] = str(merged["instance-id"])
    auto, _colon, seed = merged["instance-id"].partition(":")
    return _with_warnings(Metadata(mapping=merged, seed=seed if auto == AUTO else None, warnings=tuple(warnings)), where)


def _raw_metadata(text: str, where: str) -> Metadata:
    """A raw text stays as it is; what can be read of it is only looked at."""
    mapping = documents.load(text, f"{where}: metadata")
    if not isinstance(mapping, dict):
        raise InvalidOption(f"{where}: metadata is no mapping, and cloud-init reads it as one.", option=METADATA)
    return _with_warnings(Metadata(mapping=mapping, raw=text), where)


def _with_warnings(metadata: Metadata, where: str) -> Metadata:
    redact = metadata.mapping.get("redact", metadata.mapping.get("cleanup-guestinfo"))
    if redact is not None and not isinstance(redact, (str, list)):
        raise InvalidOption(f"{where}: metadata.redact is neither a list nor a text.", option=METADATA)
    warnings = list(metadata.warnings)
    if METADATA in metadata.redact:
        warnings.append(
            f"{where}: redact names metadata. At the next boot cloud-init finds no instance-id there, takes the VM for a new "
            "instance, and makes new SSH host keys. Redact userdata and vendordata only."
        )
    return dataclasses.replace(metadata, warnings=tuple(warnings))


def _spelled(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    by_underscore = {key.replace("-", "_"): key for key in _METADATA_KEYS}
    return {by_underscore.get(key, key): value for key, value in given.items() if value is not None}


def _settle_network(merged: dict[str, t.Any], where: str) -> list[str]:
    """The network as cloud-init takes it: a mapping of version 2, or a raw text in an encoding."""
    network = merged.get("network")
    if network in (None, "", {}):
        merged.pop("network", None)
        return []
    if isinstance(network, str):
        encoded = encode(network)
        merged["network"], merged["network.encoding"] = encoded.value, encoded.encoding
        return []
    if not isinstance(network, dict):
        raise InvalidOption(f"{where}: metadata.network is neither a mapping nor a text.", option=METADATA)
    merged["network"], warnings = networks.checked(network, f"{where}: metadata.network")
    return warnings


def _check_waiting(merged: dict[str, t.Any], where: str) -> None:
    waiting = merged.get("wait-on-network")
    if waiting is None:
        return
    if not isinstance(waiting, dict) or set(waiting) - {"ipv4", "ipv6"}:
        raise InvalidOption(f"{where}: metadata.wait_on_network has ipv4 and ipv6, each true or false.", option=METADATA)
