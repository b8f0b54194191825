# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of a task's arguments, looked at before Ansible does: a mapping, a list or one value.

Of a text where a mapping is wanted Ansible says "dictionary requested, could not parse JSON or
key=value", and some releases end with a traceback. Neither names the option. Where an option is
secret, its value is starred out of that message besides, letter by letter. So what has another
shape than the argument spec wants is refused here, or read as what it plainly means:

- a text in place of a mapping that has a ``name`` is that name, and a
    path where it begins with a slash;
- one mapping, or one such text, in place of a list of mappings is a list of one;
- an empty text in place of a mapping is "not set".

An option that there is not is refused here too, with the one that was meant.

Pure. Types of single values, such as "five" for a number, are left to Ansible, which names the
option there; but not true for a number, which it takes.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible.module_utils.common.validation import check_type_dict

from ansible_collections.vforge.vsphere.plugins.module_utils._errors import InvalidOption
from ansible_collections.vforge.vsphere.plugins.module_utils._text import one_line

Spec = t.Mapping[str, t.Any]

# Values that fit, for examples in messages: by option and type, or else by type alone.
_SAMPLES: dict[tuple[str, str], t.Any] = {
    ("addresses", "dict"): {"web-1": "10.0.0.5"},
    ("clones", "list"): [{"name": "web-1"}, {"name": "web-2"}],
    ("config_params", "json"): {"hostname": "web-1"},
    ("disks", "list"): [{"label": "Hard disk 1"}],
    ("extra_config", "json"): {"disk.EnableUUID": "TRUE"},
    ("guestinfo", "json"): {"hostname": "web-1"},
    ("hostname", "str"): "vcenter.example.com",
    ("label", "str"): "Network adapter 1",
    ("linux", "dict"): {"domain": "example.com"},
    ("name", "str"): "web-1",
    ("networks", "dict"): {"VM Network": "Production"},
    ("networks", "list"): [{"label": "Network adapter 1", "network": "VM Network"}],
    ("nics", "list"): [{"ip": "10.0.0.5/24", "gateway": "10.0.0.1"}],
    ("properties", "json"): {"hostname": "web-1"},
    ("source_headers", "json"): {"X-Token": "TOKEN"},
    ("windows", "dict"): {"full_name": "Web team"},
}
_SAMPLE_OF_TYPE: dict[str, t.Any] = {
    "bool": True,
    "dict": {"KEY": "VALUE"},
    "float": 1.5,
    "int": 1,
    "json": {"KEY": "VALUE"},
    "path": "/path/to/file",
}

_WANTED = {
    "bool": "true or false",
    "dict": "a mapping",
    "float": "a number",
    "int": "a number",
    "json": "a mapping",
    "path": "the path of a file",
    "raw": "a text, a mapping or a list",
}

_QUOTES = "YAML takes yes, no, on and off for true and false: put such a text in quotes."

_MOST_CHARACTERS = 40

# How much of two names of options is to be the same, from 0 to 1, for one to be meant by the other.
_ALIKE = 0.7

# What needs no quotes in YAML, wherever it stands. A number, or a word that means true or false,
# does.
_PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null)$)[A-Za-z/][A-Za-z0-9 ./_-]*", re.IGNORECASE)


def fitted(args: t.Mapping[str, t.Any], spec: Spec, where: str = "") -> dict[str, t.Any]:
    """The arguments in the shapes that the argument spec wants, at every depth.

    :param spec: of these options; an empty one for a mapping that may have any key.
    :param where: what the options belong to, for messages, such as "clones, item
        2"; empty for those of the task.
    :raises InvalidOption: naming the option, what was given, and an example of what is wanted; or the
        options that there are not, with those that were meant.
    """
    known = {alias: item for item in spec.values() for alias in item.get("aliases", ())} | dict(spec)
    if known:
        _refuse_unknown([str(key) for key in args if key not in known], known, where)
    _refuse_empty([key for key, item in known.items() if item.get("required") and args.get(key, True) in (None, "")], where)
    return {
        key: _Option(key, known[key], where).fit(value) if key in known and value is not None else value
        for key, value in args.items()
    }


def _refuse_unknown(unknown: t.Sequence[str], known: t.Iterable[str], where: str) -> None:
    """Refuse options that there are not. Ansible would first say what is missing, which is often
    what was misspelt, and then name all options that there are.
    """
    if not unknown:
        return
    # Only an error looks for names that are alike.
    import difflib

    meant = {key: next(iter(difflib.get_close_matches(key, known, 1, _ALIKE)), "") for key in unknown}
    inside = f" in {where}" if where else ""
    each = [f"no option {key}{inside}{f' (did you mean {name}?)' if name else ''}" for key, name in meant.items()]
    raise InvalidOption(
        f"There is {' and '.join(each)}.",
        hint="" if all(meant.values()) else f"There are: {', '.join(sorted(known))}.",
        option=unknown[0],
    )


def _refuse_empty(required: t.Sequence[str], where: str) -> None:
    """Refuse a required option that is null or an empty text, which for Ansible is set: of an empty path a module would
    make the folder that it runs in.
    """
    if required:
        inside = f" of {where}" if where else ""
        raise InvalidOption(
            f"The option {required[0]}{inside} is empty.",
            hint="It is required: give it a value; a variable may be empty.",
            option=required[0],
        )


class _Option:
    """One option of a spec.

    :param accepted: its entry in the argument spec.
    :param where: see ``fitted``.
    """

    def __init__(self, name: str, accepted: Spec, where: str) -> None:
        self._name = name
        self._accepted = accepted
        self._where = where
        self._inner: Spec = accepted.get("options") or {}
        self._is_secret = bool(accepted.get("no_log"))

    def fit(self, value: t.Any) -> t.Any:
        """A value that is set, in the shape that the option wants."""
        value = _decrypted(value)
        kind = self._accepted.get("type", "str")
        if kind == "list":
            return self._as_list(value)
        if kind == "dict":
            return self._as_mapping(value, self._where)
        if kind == "json":
            return self._as_json(value)
        if kind == "raw":
            # A number would be starred out wherever the result has it.
            return self._refuse(value) if self._is_secret and isinstance(value, (bool, int, float)) else value
        if isinstance(value, (dict, list, tuple)):
            return self._refuse(value)
        if kind in ("int", "float") and isinstance(value, bool):
            # To Ansible and pyVmomi true is a number, and vCenter would get the word.
            return self._refuse(value)
        if isinstance(value, bool) and self._is_text:
            return self._refuse(value)
        return self._as_secret(value) if self._is_secret else value

    def _as_secret(self, value: t.Any) -> t.Any:
        """A secret text. Ansible would make one of a number later, when it is too late to seal it."""
        if isinstance(value, bool):
            return self._refuse(value)
        return str(value) if isinstance(value, (int, float)) else value

    def _as_list(self, value: t.Any) -> t.Any:
        of_mappings = self._accepted.get("elements") == "dict"
        if of_mappings:
            return self._as_list_of_mappings(value)
        items = value if isinstance(value, (list, tuple)) else ()
        if isinstance(value, dict) or any(isinstance(item, dict) for item in items):
            return self._refuse(value)
        for number, item in enumerate(items, 1):
            self._check_item(number, item)
        if not self._is_secret:
            return value
        # Ansible splits a text at its commas, and a script may have some.
        items = value if isinstance(value, (list, tuple)) else [value] if value != "" else []
        return [self._as_secret(item) for item in items]

    def _as_list_of_mappings(self, value: t.Any) -> t.Any:
        if value == "":
            return None
        if isinstance(value, dict) and value and value.keys() <= self._inner.keys():
            return [self._as_mapping(value, self._where)]
        if isinstance(value, str) and self._has_name and "," not in value:
            return [self._as_mapping(value, self._where)]
        if not isinstance(value, (list, tuple)):
            return self._refuse(value)
        before = f"{self._where}, " if self._where else ""
        return [
            self._as_mapping(item, f"{before}{self._name}, item {number}", in_list=True) for number, item in enumerate(value, 1)
        ]

    def _as_mapping(self, value: t.Any, where: str, *, in_list: bool = False) -> t.Any:
        if value == "" and not in_list:
            return None
        if isinstance(value, str):
            value = self._read(value)
        if not isinstance(value, dict):
            return self._refuse(value, item=where if in_list else "")
        inside = where if in_list else f"{where}, {self._name}".removeprefix(", ")
        return fitted(value, self._inner, inside)

    def _read(self, text: str) -> t.Any:
        """The mapping that a text stands for, or the text where it stands for none."""
        try:
            found = check_type_dict(text)
        except (TypeError, ValueError):
            found = None
        # Ansible reads "name=web-1" as a mapping; "web=1" is a name.
        if isinstance(found, dict) and (not self._inner or found.keys() <= self._inner.keys()):
            return found
        if not self._has_name:
            return text
        return {"path" if text.startswith("/") and "path" in self._inner else "name": text}

    def _as_json(self, value: t.Any) -> t.Any:
        if isinstance(value, str) and value:
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                found = None
            return found if isinstance(found, dict) else self._refuse(value)
        return value if value == "" or isinstance(value, dict) else self._refuse(value)

    @property
    def _has_name(self) -> bool:
        return self._inner.get("name", {}).get("type") == "str"

    @property
    def _is_text(self) -> bool:
        """Whether it is, or its items are, any text: Ansible would make the word True or False of a truth value."""
        kind = self._accepted.get("elements") or self._accepted.get("type", "str")
        return kind in ("str", "path") and not self._accepted.get("choices")

    def _check_item(self, number: int, item: t.Any) -> None:
        """Refuse a null among values, of which Ansible would make an empty text, and a truth value among texts."""
        if item is None and self._accepted.get("elements") != "raw":
            what, hint = "null", "Give it a value, or take it out; a variable may be empty."
        elif isinstance(item, bool) and self._is_text:
            what, hint = f"{_described(item)}, where a text is wanted", _QUOTES
        else:
            return
        inside = f" of {self._where}" if self._where else ""
        message = f"Item {number} of the option {self._name}{inside} is {what}."
        raise InvalidOption(message, hint=hint, option=self._name)

    def _refuse(self, value: t.Any, *, item: str = "") -> t.NoReturn:
        is_list = self._accepted.get("type") == "list"
        wanted = _WANTED.get(self._accepted.get("type", "str"), "a text")
        if is_list:
            wanted = "a list of mappings" if self._accepted.get("elements") == "dict" else "a list"
        given = _kind(value) if self._is_secret else _described(value)
        if item:
            what = f"In {item}, there is {given}, where a mapping is wanted."
        else:
            what = f"The option {self._name}{' of ' if self._where else ''}{self._where} is {given}, where {wanted} is wanted."
        hint = f"Write it as {self._name}: {in_yaml(example_of(self._name, self._accepted, value))}."
        if isinstance(value, bool) and self._is_text:
            hint = f"{hint} {_QUOTES}"
        raise InvalidOption(what, hint=hint, option=self._name)


def example_of(name: str, accepted: Spec, given: t.Any = None) -> t.Any:
    """A value that an option takes, for messages.

    :param accepted: its entry in the argument spec.
    :param given: what was given instead; a number is taken over where it fits.
    """
    kind = accepted.get("type", "str")
    if accepted.get("choices"):
        return [accepted["choices"][0]] if kind == "list" else accepted["choices"][0]
    sample = _SAMPLES.get((name, kind))
    if sample is not None and _has_options(accepted, sample):
        return str(given) if name == "name" and _is_count(given) else sample
    if kind == "list":
        return [example_of(name, {**accepted, "type": accepted.get("elements", "str")}, given)]
    if accepted.get("options"):
        inner = accepted["options"]
        required = [key for key, item in inner.items() if item.get("required")]
        for group in accepted.get("required_one_of") or ():
            if not set(group) & set(required):
                required.append("name" if "name" in group else group[-1])
        usual = ["name"] if "name" in inner else [next(iter(inner))]
        return {key: example_of(key, inner[key], given) for key in required or usual}
    return given if kind == "int" and _is_count(given) else _SAMPLE_OF_TYPE.get(kind, "TEXT")


def _decrypted(value: t.Any) -> t.Any:
    """A value that the playbook has encrypted, and each in a list, as the text that it is. Until ansible-core 2.18 such a
    value of a task is of a class of its own.
    """
    if isinstance(value, (list, tuple)):
        return [_decrypted(item) for item in value]
    return str(value) if getattr(value, "__ENCRYPTED__", False) else value


def _has_options(accepted: Spec, sample: t.Any) -> bool:
    """Whether an option has the suboptions of a sample: two modules may have one of the same name."""
    known = accepted.get("options")
    parts = sample if isinstance(sample, list) else [sample]
    return known is None or all(set(part) <= set(known) for part in parts)


def _is_count(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def in_yaml(value: t.Any) -> str:
    """A value as a person writes it into a playbook, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_yaml(key)}: {in_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(in_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value)
    return json.dumps(value)


def _kind(value: t.Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a text" if isinstance(value, str) else "a single value"


def _described(value: t.Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if not isinstance(value, str):
        return _kind(value)
    return f"the text {one_line(value)[:_MOST_CHARACTERS]!r}"
