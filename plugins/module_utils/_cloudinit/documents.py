# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of YAML, and cloud-config against cloud-init's own schema.

PyYAML comes with ansible-core. jsonschema and the schema are needed only by who asks for
``validate: schema``.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import re
import typing as t

from .. import _text
from .._errors import InvalidOption, MissingLibrary
from . import multipart, networks

NOTHING, SYNTAX, SCHEMA = "none", "syntax", "schema"
LEVELS = (NOTHING, SYNTAX, SCHEMA)

_CLOUD_CONFIG = "schema-cloud-config-v1.json"
_NETWORKS = {1: "schema-network-config-v1.json", 2: "schema-network-config-v2.json"}

# Where the packages of distributions put cloud-init.
_FOLDERS = (
    "/usr/lib/python3/dist-packages/cloudinit/config/schemas",
    "/usr/lib/python3*/site-packages/cloudinit/config/schemas",
)

# Metadata have a few lines, and reading YAML takes its time.
_MOST_OF_GUEST = 64 * 1024

# One key of a path, or one index.
_PLAIN = re.compile(r"[\w-]+")


def load(text: str, where: str, *, as_ansible: bool = False) -> t.Any:
    """A YAML document, by the parser that cloud-init has.

    :param as_ansible: by the one that Ansible has, which is ten times as fast: for a text that the guest does not get.
    :raises InvalidOption: with the line where it is none.
    :raises MissingLibrary: without PyYAML.
    """
    yaml = _library("yaml", "PyYAML", "set validate to none")
    loader = _loader_of_ansible(yaml) if as_ansible else yaml.SafeLoader
    try:
        # libyaml takes a str alone, and none of the classes that Ansible makes of it.
        return yaml.load(_text.plain(text), Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # ValueError: a date that there is not, such as 2024-99-99.
        mark = getattr(error, "problem_mark", None)
        place = f" from line {mark.line + 1} on" if mark is not None else ""
        # The rest of what the library says quotes the text.
        raise InvalidOption(f"{where} cannot be read as YAML{place}.", option=where.rsplit(" ", 1)[-1]) from None


def _loader_of_ansible(yaml: t.Any) -> t.Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_json_or_yaml(text: str, where: str) -> t.Any:
    """A document as cloud-init's data source reads metadata and networks: a JSON object, or else
    YAML, which has no tabs before a key.

    :raises InvalidOption: with the line where it is neither.
    :raises MissingLibrary: without PyYAML.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else load(text, where)


def load_of_guest(text: str, where: str) -> t.Any:
    """A YAML document that a guest may have written: a short one, in which nothing is repeated by
    reference.

    :raises InvalidOption: for any other.
    """
    yaml = _library("yaml", "PyYAML", "set validate to none")
    if len(text) > _MOST_OF_GUEST:
        raise InvalidOption(f"{where} is too long to be read.", option=where)
    try:
        repeats = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text))
    except yaml.YAMLError:
        repeats = False  # reading it says what is wrong
    if repeats:
        raise InvalidOption(f"{where} repeats parts by reference.", option=where)
    return load(text, where)


def repeated(text: str) -> list[str]:
    """The keys that a mapping in a YAML document has more than once, of which readers take the last one alone, as paths.

    None of what is no YAML, which ``check`` refuses, and none without PyYAML, which ``validate: none`` needs not.
    """
    try:
        yaml = _library("yaml", "PyYAML", "set validate to none")
    except MissingLibrary:
        return []
    try:
        root = yaml.compose(_text.plain(text), Loader=_loader_of_ansible(yaml))
    except (yaml.YAMLError, ValueError, RecursionError):
        return []
    found: list[str] = []
    seen: set[int] = set()
    due = [(root, "")]
    while due:
        node, path = due.pop()
        if id(node) in seen:
            continue  # an alias of what was looked at
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            due += [(each, f"{path}[]") for each in node.value]
        if not isinstance(node, yaml.MappingNode):
            continue
        keys = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) and _PLAIN.fullmatch(key.value) else "a key"
            place = f"{path}.{name}".removeprefix(".")
            if name != "a key" and name in keys:
                found.append(place)
            keys.add(name)
            due.append((value, place))
    return sorted(dict.fromkeys(found))


def check(text: str, where: str, schemas: Schemas | None) -> None:
    """Look at every part of user data or vendor data that is cloud-config, those in archives, too, or a template.

    :param schemas: None to look at the syntax only.
    :raises InvalidOption: with the path of what is wrong.
    """
    for kind, content in multipart.leaves(text):
        if kind == multipart.CLOUD_CONFIG:
            _check_config(content, where, schemas)
        elif kind == multipart.JSON_PATCH:
            _check_patch(content, where)
        elif kind == multipart.JINJA:
            _check_template(content, where)
        elif kind == multipart.ARCHIVE:
            for part in _archived(content, where):
                _check_config(part, where, schemas)


def _check_config(content: str, where: str, schemas: Schemas | None) -> None:
    config = load(content, where)
    if config is not None and not isinstance(config, dict):
        raise _wrong(where, "has cloud-config that is no mapping")
    if schemas is not None:
        schemas.check_config(config or {}, where)


def _check_patch(content: str, where: str) -> None:
    try:
        patch = json.loads(content.partition("\n")[2])
    except (ValueError, RecursionError):
        patch = None
    if not isinstance(patch, list):
        raise _wrong(where, "has a cloud-config-jsonp that is no list in JSON, and cloud-init drops it")


def _check_template(content: str, where: str) -> None:
    try:
        jinja2 = importlib.import_module("jinja2")
    except ImportError:
        return  # where modules run without what ansible-core brings along
    try:
        jinja2.Environment(extensions=["jinja2.ext.do"]).parse(content)
    except jinja2.TemplateSyntaxError as error:
        # The rest of what the library says quotes the text.
        raise _wrong(
            where, f"has a template that cannot be read from line {error.lineno} on, and cloud-init drops it"
        ) from None
    except RecursionError:
        raise _wrong(where, "has a template that is nested too deep, and cloud-init drops it") from None


def _archived(content: str, where: str) -> list[str]:
    """The cloud-config in an archive: a list of texts, and of mappings with a text. What says not
    what it is, is cloud-config there.

    :raises InvalidOption: for what cloud-init would drop, silently.
    """
    entries = load(content, where)
    if not isinstance(entries, list):
        raise _wrong(where, "has a cloud-config-archive that is no list, and cloud-init would drop all of it")
    found = []
    for number, entry in enumerate(entries, 1):
        item = {"content": entry} if isinstance(entry, str) else entry
        if not isinstance(item, dict) or not isinstance(item.get("content"), str):
            raise _wrong(
                where,
                f"has a cloud-config-archive whose entry {number} is no text and has none as its content, and "
                "cloud-init would drop it",
            )
        kind = str(item.get("type") or multipart.type_of(item["content"]) or multipart.CLOUD_CONFIG)
        if "/" not in kind or kind in multipart.OF_NO_TYPE:
            raise _wrong(
                where,
                f"has a cloud-config-archive whose entry {number} has a type that says nothing. Leave it out there, or write "
                f"{multipart.CLOUD_CONFIG} for example",
            )
        if kind == multipart.CLOUD_CONFIG:
            found.append(item["content"])
    return found


def _wrong(where: str, what: str) -> InvalidOption:
    return InvalidOption(f"{where} {what}.", option=where.rsplit(" ", 1)[-1])


class Schemas:
    """cloud-init's published JSON schemas, from its package.

    :param path: of the schema file or the folder that holds it; None to look where packages put it.
    :raises MissingLibrary: when jsonschema or the schema is missing.
    """

    def __init__(self, path: str | None) -> None:
        self._validators = _library("jsonschema", "jsonschema", "choose another level for validate")
        self._folder, name = _located(path)
        self._config = self._read(name)

    def check_config(self, config: t.Any, where: str) -> None:
        """cloud-config against its schema.

        :raises InvalidOption: with the path of what is wrong.
        """
        self._check(self._config, config, where)

    def check_network(self, network: t.Mapping[str, t.Any], where: str) -> None:
        """A network of version 1 or 2.

        Releases of cloud-init before 23.3 and 24.1 publish no schema for these, and then nothing is
        done.

        :raises InvalidOption: with the path of what is wrong.
        """
        if networks.is_disabled(network):
            return  # the schemas of networks know no such word
        name = _NETWORKS[1 if network.get("version") == 1 else 2]
        if os.path.exists(os.path.join(self._folder, name)):
            self._check(self._read(name), {"network": network}, where)

    def _read(self, name: str) -> t.Any:
        with open(os.path.join(self._folder, name), encoding="utf-8") as file:
            return json.load(file)

    def _check(self, schema: t.Any, value: t.Any, where: str) -> None:
        kind = self._validators.validators.validator_for(schema)
        errors = sorted(
            kind(schema).iter_errors(value),
            key=lambda error: [str(part) for part in error.absolute_path],
        )
        if not errors:
            return
        error = _deepest(errors[0])
        path = _written(error.absolute_path)
        raise InvalidOption(
            f"{where} does not fit cloud-init's schema at {path or 'its top'}: {_reason(error)}.",
            hint=f"{len(errors) - 1} more places do not fit either." if len(errors) > 1 else "",
            option=where.rsplit(" ", 1)[-1],
            path=path,
        )


def _deepest(error: t.Any) -> t.Any:
    """What is wrong in the alternative that comes nearest: of ten that do not fit, the top says
    nothing.
    """
    while error.context:
        error = max(error.context, key=lambda item: (len(item.absolute_path), item.validator != "type"))
    return error


def _reason(error: t.Any) -> str:
    """Why, without the value, which the library's own message quotes."""
    expected = error.validator_value
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = set(error.schema.get("properties", {}))
        patterns = error.schema.get("patternProperties", {})
        extra = sorted(key for key in error.instance if key not in known and not any(re.search(p, key) for p in patterns))
        return f"{', '.join(extra) or 'something'} is unknown there"
    if error.validator == "required":
        return f"{', '.join(key for key in expected if key not in error.instance)} is missing"
    if error.validator in (
        "type",
        "enum",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "pattern",
        "format",
    ):
        return f"{error.validator} must be {json.dumps(expected)}"
    return f"the rule {error.validator} is not met"


def _written(path: t.Iterable[t.Any]) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if _PLAIN.fullmatch(str(part)) else f"[{json.dumps(str(part))}]"
    return text.removeprefix(".")


def _located(path: str | None) -> tuple[str, str]:
    if path and os.path.isfile(path):
        return os.path.dirname(path), os.path.basename(path)
    patterns = [path, os.path.join(path, "usr/lib/python3/dist-packages/cloudinit/config/schemas")] if path else _FOLDERS
    for pattern in patterns:
        for folder in sorted(glob.glob(pattern)):
            if os.path.isfile(os.path.join(folder, _CLOUD_CONFIG)):
                return folder, _CLOUD_CONFIG
    raise MissingLibrary(
        f"cloud-init's schema {_CLOUD_CONFIG} was not found {'in ' + path if path else 'on this machine'}.",
        hint="It is in your distribution's package cloud-init: download it, unpack it (an installed one would run at the next "
        "boot), and set schema_path to the folder.",
    )


def _library(module: str, package: str, otherwise: str) -> t.Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingLibrary.of_python(f"The Python library {package} cannot be imported.", package, otherwise) from None
