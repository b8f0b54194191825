# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be delivered: metadata, user data and vendor data as given, and as texts. Pure.

Every message names where something is wrong and never what is there, which may be a secret.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import json
import re
import typing as t

from .._errors import InvalidOption, VforgeError
from . import advice, documents, multipart, networks, report_script
from .encoding import BASE64, GZIP, KNOWN, Undecodable, decode, encode, fingerprint

METADATA, USERDATA, VENDORDATA = "metadata", "userdata", "vendordata"
KINDS = (METADATA, USERDATA, VENDORDATA)

AUTO = "auto"

# cloud-init's own spelling; Ansible's users write underscores.
_METADATA_KEYS = (
    "instance-id",
    "local-hostname",
    "wait-on-network",
    "public-keys",
    "cleanup-guestinfo",
    "network-drivers",
)


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Metadata: a mapping in cloud-init's spelling.

    :ivar raw: the text that it was given as, and is delivered as; None where it was a mapping.
    :ivar seed: what the instance-id is to be derived from, besides the data; empty for the VM's
        instance UUID, None where it is given.
    """

    mapping: dict[str, t.Any] = dataclasses.field(repr=False)
    raw: str | None = dataclasses.field(default=None, repr=False)
    seed: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def redact(self) -> tuple[str, ...]:
        """The keys that cloud-init is asked to overwrite once it has read them."""
        return redact_names(self.mapping)

    @property
    def instance_id(self) -> str | None:
        """The instance-id that was given; None where it is to be derived, or where there is none."""
        given = None if self.seed is not None else self.mapping.get("instance-id")
        return None if given is None else str(given)

    def derived_id(self, instance_uuid: str, *texts: str | None) -> str:
        """An instance-id that is the VM's own, or that of the seed, and another one for other texts
        or another network.
        """
        seed = self.seed or instance_uuid
        # The network is another one for each VM, and no secret: it takes no slow step of its own.
        made = fingerprint(f"{seed}\0{self.network}", [text or "" for text in texts])
        return f"{seed}-{made[:8]}"

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
            return _network_text(network, self.mapping.get("network.encoding"), "metadata.network")
        except VforgeError:
            return None  # what cannot be read here gives no address, and cloud-init says the rest

    def with_cards(self, cards: t.Sequence[networks.Card], where: str) -> Metadata:
        """The metadata for a VM that has these cards: their labels in the network become MAC
        addresses.

        :raises InvalidOption: for a label that no card has.
        """
        network = self.network_given
        if not networks.names_macs(network):
            return self
        made, warnings = networks.with_cards(network, cards, f"{where}: metadata.network")
        mapping = {**self.mapping, "network": made} if networks.names_labels(network) else self.mapping
        return dataclasses.replace(self, mapping=mapping, warnings=(*self.warnings, *warnings))

    def text(self, instance_id: str) -> str:
        """As it is delivered."""
        if self.raw is not None:
            return self.raw
        return multipart.as_json({**self.mapping, **({"instance-id": instance_id} if self.seed is not None else {})}) + "\n"


@dataclasses.dataclass(frozen=True)
class Data:
    """What one VM is to be given; None leaves what it has.

    :ivar vendordata_plain: the vendor data without the script that reports the
        end; the two count as the same.
    """

    metadata: Metadata | None = None
    userdata: str | None = dataclasses.field(default=None, repr=False)
    vendordata: str | None = dataclasses.field(default=None, repr=False)
    vendordata_plain: str | None = dataclasses.field(default=None, repr=False)
    text_warnings: tuple[str, ...] = ()

    @property
    def fixed(self) -> networks.Fixed:
        """The addresses that the VM is given."""
        return networks.fixed(self.metadata.network_given) if self.metadata else networks.NOTHING_FIXED

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should be known before it is delivered."""
        return (*(self.metadata.warnings if self.metadata else ()), *self.text_warnings)

    @property
    def names_cards(self) -> bool:
        """Whether the network names cards of the VM by MAC address or by label."""
        return self.metadata is not None and networks.names_macs(self.metadata.network_given)

    def with_cards(self, cards: t.Sequence[networks.Card], where: str) -> Data:
        """The data for a VM that has these cards: see ``Metadata.with_cards``."""
        return dataclasses.replace(self, metadata=self.metadata.with_cards(cards, where)) if self.metadata else self


def unsealed(given: t.Any) -> t.Any:
    """An option as it was written. The action plugin has made JSON of it, so that it is one secret
    and not many.
    """
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given


def build(
    given: t.Mapping[str, t.Any],
    common: t.Mapping[str, t.Any],
    where: str,
    *,
    mend: bool,
    report: bool,
) -> Data:
    """The data of one VM from its own options over common ones.

    :param mend: whether a header that is not in the first line is put there.
    :param report: whether a script is to report the end.
    :raises InvalidOption: naming the VM and the option.
    """
    own, shared = ({kind: _unsealed_text(params, kind, where) for kind in KINDS} for params in (given, common))
    texts = {
        kind: user_text(
            own[kind] if own[kind] not in (None, "") else shared[kind],
            f"{where}: {kind}",
            mend=mend,
        )
        for kind in (USERDATA, VENDORDATA)
    }
    plain = texts[VENDORDATA]
    metadata = _metadata(own[METADATA], shared[METADATA], where)
    return Data(
        metadata=metadata,
        text_warnings=_text_warnings(texts, metadata, where),
        userdata=texts[USERDATA],
        vendordata=report_script.added(plain) if report else plain,
        vendordata_plain=plain,
    )


def _unsealed_text(params: t.Mapping[str, t.Any], kind: str, where: str) -> t.Any:
    value = unsealed(params.get(kind))
    try:
        plain = json.dumps(value, ensure_ascii=False, default=_plain)
        plain.encode()
    except UnicodeEncodeError:
        raise InvalidOption(f"{where}: {kind} has half of a surrogate pair, which is no character.", option=kind) from None
    except (TypeError, ValueError):
        raise InvalidOption(
            f"{where}: {kind} has something in it that is no text, number, list or mapping.", option=kind
        ) from None
    return value if isinstance(value, str) else json.loads(plain)


def _plain(value: t.Any) -> str:
    """What YAML has besides JSON, as Ansible hands it to modules."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    raise TypeError


def user_text(value: t.Any, where: str, *, mend: bool = False) -> str | None:
    """User data or vendor data as one text: of a mapping, of a list of parts, or a text whose first
    line says what it is.

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
    if multipart.type_of(text) or multipart.is_message(text) or multipart.is_for_windows(text):
        return text
    if multipart.looks_like_message(text):
        raise InvalidOption(
            f"{where}: it is a message without the header MIME-Version, so cloud-init would ignore all of it, silently.",
            hint="Write MIME-Version: 1.0 among its first headers, or give the parts as a list.",
            option=where.split(": ")[-1],
        )
    # What stands before a header in real life: a mark of byte order, blank lines, the start of a
    # YAML document.
    rest = text.lstrip("\ufeff \t\n").removeprefix("---").lstrip(" \t\n")
    late = multipart.type_of(rest) is not None
    if late and mend:
        return rest
    hint = "Begin it with #cloud-config, #! or another header of cloud-init, or give a mapping."
    if late:
        hint = (
            "Its header comes later: remove what stands before it, such as --- or a mark of byte order. The module "
            "cloud_init_guestinfo does so itself with mend_header."
        )
    raise InvalidOption(
        f"{where}: its first line is no header of cloud-init, so cloud-init would ignore all of it, silently.",
        hint=hint,
        option=where.split(": ")[-1],
    )


def _text_warnings(texts: t.Mapping[str, str | None], metadata: Metadata | None, where: str) -> tuple[str, ...]:
    known = metadata.mapping if metadata is not None else None
    words: list[str] = []
    for kind, text in texts.items():
        if text is not None:
            words += advice.looked_at(text, f"{where}: {kind}", known)
    return tuple(words)


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
    _settle_texts(merged, where)
    _settle_redact(merged)
    _check_waiting(merged, where)
    auto, _colon, seed = merged["instance-id"].partition(":")
    made = Metadata(mapping=merged, seed=seed if auto == AUTO else None, warnings=tuple(warnings))
    return _with_warnings(made, where)


def _raw_metadata(text: str, where: str) -> Metadata:
    """A raw text stays as it is; what can be read of it is only looked at."""
    mapping = documents.load_json_or_yaml(text, f"{where}: metadata")
    if not isinstance(mapping, dict):
        raise InvalidOption(f"{where}: metadata is no mapping, and cloud-init reads it as one.", option=METADATA)
    for key in _TEXT_KEYS:
        if not isinstance(mapping.get(key, ""), str):
            raise InvalidOption(
                f"{where}: metadata.{key} is no text, and cloud-init then reads nothing at all.",
                hint="Write it in quotes.",
                option=METADATA,
            )
    words = redact_names(mapping)
    if isinstance(_asked_redaction(mapping), str) and len(words) > 1:
        raise InvalidOption(
            f"{where}: metadata.redact is one text, which cloud-init takes for one name, and overwrites none of them.",
            hint=f"Write it as a list, [{', '.join(words)}].",
            option=METADATA,
        )
    misspelled = {key.replace("-", "_"): key for key in _METADATA_KEYS}
    warnings = [
        f"{where}: cloud-init does not know metadata.{key}. Write {misspelled[key]} in a text of your own."
        for key in mapping
        if key in misspelled
    ]
    _check_waiting(mapping, where)
    network = mapping.get("network")
    if network not in (None, "", {}):
        warnings += _network_as_given(network, mapping.get("network.encoding"), where)
    return _with_warnings(Metadata(mapping=mapping, raw=text, warnings=tuple(warnings)), where)


# Where cloud-init wants a text: of a number it reads no data at all.
_TEXT_KEYS = ("local-hostname", "hostname")


def _settle_texts(merged: dict[str, t.Any], where: str) -> None:
    """Numbers where cloud-init wants texts become texts."""
    for key in ("instance-id", *_TEXT_KEYS):
        value = merged.get(key)
        if value is None or isinstance(value, str):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidOption(f"{where}: metadata.{key} is no text.", hint="Write it in quotes.", option=METADATA)
        merged[key] = str(value)


def _asked_redaction(mapping: t.Mapping[str, t.Any]) -> t.Any:
    return mapping.get("redact", mapping.get("cleanup-guestinfo"))


def redact_names(mapping: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The names in ``redact``, which may be a list, or one text of several names."""
    asked = _asked_redaction(mapping)
    if isinstance(asked, str):
        asked = re.split(r"[\s,]+", asked.strip())
    return tuple(str(key) for key in asked) if isinstance(asked, list) else ()


def _settle_redact(merged: dict[str, t.Any]) -> None:
    """One text of several names becomes a list: cloud-init takes a text for one name."""
    asked = _asked_redaction(merged)
    if isinstance(asked, str):
        merged["redact" if "redact" in merged else "cleanup-guestinfo"] = list(redact_names(merged))


def _with_warnings(metadata: Metadata, where: str) -> Metadata:
    redact = _asked_redaction(metadata.mapping)
    if redact is not None and not isinstance(redact, (str, list)):
        raise InvalidOption(f"{where}: metadata.redact is neither a list nor a text.", option=METADATA)
    _check_texts("redact", redact if isinstance(redact, list) else [], where)
    _check_texts("network_drivers", metadata.mapping.get("network-drivers", []), where)
    warnings = list(metadata.warnings)
    for name in metadata.redact:
        meant = name.replace("-", "").replace("_", "").lower()
        close = difflib.get_close_matches(meant, KINDS, n=1, cutoff=0.8)
        if close and name not in KINDS:
            raise InvalidOption(
                f"{where}: metadata.redact names {name}, which is no key that cloud-init reads.",
                hint=f"Write {close[0]}.",
                option=METADATA,
            )
        if name not in KINDS:
            warnings.append(
                f"{where}: metadata.redact names {name}, and cloud-init writes --- into guestinfo.{name}. What it reads "
                f"are {', '.join(KINDS)}: name these where they hold secrets."
            )
    if METADATA in metadata.redact:
        warnings.append(
            f"{where}: redact names metadata. At the next boot cloud-init finds no instance-id there, takes the VM for a new "
            "instance, and makes new SSH host keys. Redact userdata and vendordata only."
        )
    if metadata.mapping.get("hostname") and not metadata.mapping.get("local-hostname"):
        warnings.append(
            f"{where}: metadata.hostname alone gives the guest no name. Set local_hostname, which cloud-init reads."
        )
    return dataclasses.replace(metadata, warnings=tuple(warnings))


def _check_texts(key: str, values: t.Any, where: str) -> None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InvalidOption(f"{where}: metadata.{key} is no list of texts, and cloud-init stops at it.", option=METADATA)


def _spelled(given: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    by_underscore = {key.replace("-", "_"): key for key in _METADATA_KEYS}
    return {by_underscore.get(key, key): value for key, value in given.items() if value is not None}


def _settle_network(merged: dict[str, t.Any], where: str) -> list[str]:
    """The network as cloud-init takes it: a mapping of version 1 or 2, or a text in an encoding."""
    network, how = merged.get("network"), merged.pop("network.encoding", None)
    if network in (None, "", {}):
        merged.pop("network", None)
        return []
    if isinstance(network, str):
        warnings = _network_as_given(network, how, where)
        if how:
            merged["network.encoding"] = how
        else:
            encoded = encode(network)
            merged["network"], merged["network.encoding"] = encoded.value, encoded.encoding
        return warnings
    if not isinstance(network, dict):
        raise InvalidOption(f"{where}: metadata.network is neither a mapping nor a text.", option=METADATA)
    merged["network"], warnings = networks.checked(network, f"{where}: metadata.network")
    return warnings


def _network_text(text: str, how: t.Any, where: str) -> t.Any:
    """What a network that is a text says.

    :param how: its encoding; None or empty for none.
    :raises InvalidOption: for what is not in this encoding, or no YAML.
    """
    if how and str(how) not in KNOWN:
        raise InvalidOption(
            f"{where} has the encoding {how}, which cloud-init does not know and takes for none.",
            hint=f"Write network.encoding: {BASE64} or {GZIP}, or leave it out and give the network as it is.",
            option=METADATA,
        )
    try:
        plain = decode(text, str(how or ""))
    except Undecodable as error:
        raise InvalidOption(
            f"{where} cannot be decoded: {error}.",
            hint="Give the network as it is, and leave network.encoding out.",
            option=METADATA,
        ) from error
    return documents.load_json_or_yaml(plain or "", where)


def _network_as_given(network: t.Any, how: t.Any, where: str) -> list[str]:
    """Look at a network that is delivered as it is given: a text, or a mapping in a text.

    :returns: warnings.
    :raises InvalidOption: for what gives a guest no network.
    """
    place = f"{where}: metadata.network"
    found = _network_text(network, how, place) if isinstance(network, str) else network
    if not isinstance(found, dict) or networks.is_netplan_file(found):
        what = "has the key network at its top" if isinstance(found, dict) else "is no mapping"
        raise InvalidOption(
            f"{place} is a text that {what}, and cloud-init cannot use it.",
            hint="Give what stands below network: version and ethernets, or config.",
            option=METADATA,
        )
    null = networks.null_in(found)
    if null:
        raise InvalidOption(
            f"{place}{null} has no value, and no guest makes a network of that.", hint="Leave the key out.", option=METADATA
        )
    made, warnings = networks.checked(found, place)
    if networks.names_labels(made):
        raise InvalidOption(
            f"{place} is delivered as it is, so the label of a card in it stays a label.",
            hint="Give the network as a mapping, or MAC addresses.",
            option=METADATA,
        )
    if "version" not in found and not networks.is_disabled(found):
        raise InvalidOption(f"{place} has no version.", hint="Write version: 2.", option=METADATA)
    if made != found:
        warnings.append(
            f"{place} has a MAC address in another form than cloud-init compares. "
            "Write 00:50:56:ab:cd:ef, in lower case with colons."
        )
    return warnings


def _check_waiting(merged: dict[str, t.Any], where: str) -> None:
    waiting = merged.get("wait-on-network", {})
    if not isinstance(waiting, dict) or set(waiting) - {"ipv4", "ipv6"}:
        raise InvalidOption(
            f"{where}: metadata.wait_on_network has ipv4 and ipv6, each true or false.",
            option=METADATA,
        )
