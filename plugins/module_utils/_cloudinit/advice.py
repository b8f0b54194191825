# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init drops, without a word in the guest, of user data that it can read. Pure.

A part that would be lost as a whole is refused, and what is lost of a part is warned of. What is
done with parts is cloud-init's ``user_data.py``, ``handlers/`` and ``mergers/``. No message quotes
the data.
"""

from __future__ import annotations

import re
import typing as t

from .._errors import InvalidOption, VforgeError
from . import documents, multipart
from .multipart import BOOTHOOK, CLOUD_CONFIG, JINJA, SHELLSCRIPT, Part

_MERGER = re.compile(r"([a-z_][a-z0-9_]*)\((.*?)\)")

# The mergers of cloud-init and their options.
_MERGER_OPTIONS = {
    "dict": {
        "replace",
        "no_replace",
        "recurse_str",
        "recurse_array",
        "recurse_list",
        "recurse_dict",
        "allow_delete",
    },
    "list": {
        "replace",
        "no_replace",
        "append",
        "prepend",
        "recurse_str",
        "recurse_array",
        "recurse_list",
        "recurse_dict",
    },
    "str": {"append"},
}

_APPENDING = "dict(recurse_list)+list(append)"

# "ds.meta_data.role", which cloud-init renders with the metadata of the VM.
_OF_METADATA = re.compile(r"\bds\.meta_data\.([A-Za-z_][A-Za-z0-9_]*)")

# What a template may come to (cloud-init's stages.py).
_OF_TEMPLATES = (CLOUD_CONFIG, SHELLSCRIPT, BOOTHOOK)

# What the data source adds to the metadata in the guest.
_ADDED = {
    "instance_id", "hostname", "local_hostname", "local_ipv4", "local_ipv6", "network", "default_ipv4", "default_ipv6",
    "default_gateway_ipv4", "default_gateway_ipv6", "public_keys",
}  # fmt: skip

_Mergers = dict[str, set[str]]


def looked_at(text: str, where: str, metadata: t.Mapping[str, t.Any] | None) -> list[str]:
    """What should be known of user data or vendor data before they are delivered.

    :param text: as it is delivered.
    :param where: names the VM and the option, for messages.
    :param metadata: that are delivered with it; None where they are not known.
    :returns: warnings.
    :raises InvalidOption: for a part that cloud-init would drop.
    """
    try:
        parts = multipart.parts(text)
    except InvalidOption as error:
        raise InvalidOption(f"{where}: {error.message}", hint=error.hint, option=where.split(": ")[-1]) from error
    warnings: list[str] = []
    for number, part in enumerate(parts, 1):
        place = f"{where} (part {number})" if len(parts) > 1 else where
        if multipart.is_for_windows(part.content):
            warnings.append(
                f"{place} is a script for cloudbase-init on Windows, which reports nothing. cloud-init passes over it."
            )
            continue
        _check_type(part, place)
        if part.kind is None:
            warnings.append(
                f"{place} does not say what it is, and cloud-init passes over it. Begin it with a header, or declare it."
            )
        if part.kind == CLOUD_CONFIG:
            warnings += [
                f"{place} has {key} more than once, and cloud-init takes the last one alone. Put them together."
                for key in documents.repeated(part.content)
            ]
        if part.kind == JINJA and metadata is not None:
            warnings += _unknown_names(part.content, metadata, place)
    return warnings + _merging(parts, where)


def _check_type(part: Part, place: str) -> None:
    """A part is taken for what it is declared to be, whatever it begins with; only of a script
    cloud-init looks twice.
    """
    begins = multipart.type_of(part.content)
    if part.kind == SHELLSCRIPT and not part.content.startswith("#!"):
        raise _dropped(
            place,
            "is a script that does not begin with #!, and no guest can run it",
            "Begin it with #!/bin/sh.",
        )
    if part.kind in multipart.TYPES and begins not in (None, part.kind):
        end = "and is never rendered as a template" if begins == JINJA else "and taken for nothing else"
        raise _dropped(
            place,
            f"is declared as {part.kind}, {end}: it begins as {begins}",
            f"Leave its type out, or set {begins}.",
        )
    below = part.content.partition("\n")[2].lstrip()
    # Behind a tag of the template nobody knows what it comes to.
    if part.kind == JINJA and not below.startswith("{") and multipart.type_of(below) not in _OF_TEMPLATES:
        raise _dropped(
            place,
            "is a template without a header of its own below the first line",
            "Write #cloud-config there, or #! and a program.",
        )


def _unknown_names(template: str, metadata: t.Mapping[str, t.Any], place: str) -> list[str]:
    """Names of metadata that a template wants and that are not there: cloud-init writes
    CI_MISSING_JINJA_VAR for them, and for a name below one that is not there drops the part."""
    known = _ADDED | {str(key).replace("-", "_") for key in metadata}
    unknown = sorted(set(_OF_METADATA.findall(template)) - known)
    return [
        f"{place} is a template with ds.meta_data.{name}, and metadata has no {name}: cloud-init has nothing to put there, "
        f"or drops the part. Add {name} to metadata."
        for name in unknown
    ]


# How parts of cloud-config are merged


def _merging(parts: t.Sequence[Part], where: str) -> list[str]:
    configs = [(number, part) for number, part in enumerate(parts, 1) if part.kind == CLOUD_CONFIG]
    if not any(part.merge or "merge_" in part.content for _number, part in configs):
        return []
    warnings: list[str] = []
    seen: dict[str, t.Any] = {}
    for number, part in configs:
        place = f"{where} (part {number})"
        config = _config(part.content)
        mergers = {**_asked_in(config, place), **_asked_by(part.merge, place)}
        if mergers:
            warnings += _judged(mergers, place)
            lost = sorted(key for key, value in _scalars(config).items() if seen.get(key, value) != value)
            if lost and "replace" not in mergers["dict"]:
                warnings.append(
                    f"{place} sets {', '.join(lost)} otherwise than a part before it, whose value stays. "
                    "Add replace to dict(), or say it once."
                )
        seen = {**_scalars(config), **seen}
    return warnings


def _config(content: str) -> dict[str, t.Any]:
    """cloud-config as a mapping; an empty one for what is none, which the check of syntax refuses."""
    try:
        found = documents.load(content, "")
    except VforgeError:
        return {}
    return found if isinstance(found, dict) else {}


def _scalars(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {str(key): value for key, value in config.items() if not isinstance(value, (dict, list))}


def _asked_by(text: str, place: str) -> _Mergers:
    """The mergers in a text such as ``list(append)+dict(recurse_list)``, with their options."""
    found: _Mergers = {}
    for word in text.lower().split("+"):
        name = word.strip().replace("-", "_")
        if not name:
            continue
        match = _MERGER.fullmatch(name)
        if match is None:
            raise _dropped(place, "has a merge that cloud-init cannot read", f"Write it as {_APPENDING}.")
        found[match[1]] = {option.strip() for option in match[2].split(",") if option.strip()}
    return _checked_names(found, place)


def _asked_in(config: t.Mapping[str, t.Any], place: str) -> _Mergers:
    """The mergers that cloud-config asks for itself."""
    asked = config.get("merge_how", config.get("merge_type"))
    if not isinstance(asked, list):
        return _asked_by(str(asked or ""), place)
    found: _Mergers = {}
    for item in asked:
        if isinstance(item, dict):
            name, options = item.get("name"), item.get("settings") or []
        else:
            name, *options = item if isinstance(item, list) and item else [None]
        if not isinstance(name, str) or not isinstance(options, list):
            raise _dropped(place, "has a merge_how that cloud-init cannot read", f"Write it as {_APPENDING}.")
        found[name.replace("-", "_").strip()] = {str(option) for option in options}
    return _checked_names(found, place)


def _checked_names(mergers: _Mergers, place: str) -> _Mergers:
    unknown = sorted(set(mergers) - set(_MERGER_OPTIONS))
    if unknown:
        raise _dropped(
            place,
            f"is merged by {', '.join(unknown)}, which cloud-init does not have",
            f"Write {_APPENDING}.",
        )
    if mergers and "dict" not in mergers:
        raise _dropped(
            place,
            "has a merge without dict(), and cloud-config is a mapping",
            f"Write {_APPENDING}.",
        )
    return mergers


def _judged(mergers: _Mergers, place: str) -> list[str]:
    warnings = []
    appends = {"append", "prepend"} & mergers.get("list", set())
    reaches_lists = bool({"recurse_array", "recurse_list"} & mergers["dict"]) and "replace" not in mergers["dict"]
    if appends and not reaches_lists:
        warnings.append(f"{place}: list({min(appends)}) does nothing, since dict() leads to no list. Write {_APPENDING}.")
    if reaches_lists and "list" not in mergers:
        warnings.append(f"{place}: dict(recurse_list) without list() keeps the lists of the first part. Write {_APPENDING}.")
    for name, options in mergers.items():
        unknown = sorted(options - _MERGER_OPTIONS[name])
        if unknown:
            known = ", ".join(sorted(_MERGER_OPTIONS[name]))
            warnings.append(f"{place}: {name}() has {', '.join(unknown)}, which cloud-init passes over. It has {known}.")
    return warnings


def _dropped(place: str, why: str, hint: str) -> InvalidOption:
    option = place.partition(" (part ")[0].split(": ")[-1]
    return InvalidOption(f"{place} {why}: cloud-init would drop it.", hint=hint, option=option)
