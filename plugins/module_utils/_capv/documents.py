# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests as text: YAML that every reader takes for the same, and a first line that says whose it
is.

Kubernetes reads YAML as version 1.1 has it, where a network named ``n`` is false and 1_000 is a
number; PyYAML leaves some of these without quotes. So every text is quoted but those that
nobody can take for anything else.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
import typing as t

from .. import _text
from .._errors import InvalidOption, MissingLibrary

Document: t.TypeAlias = dict[str, t.Any]

# A letter first: nothing that is a number, a date or a time. Of words, those that YAML 1.1 has
# for other things are left out.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))

_WRITTEN_BY = "# Written by vforge.vsphere.capv_cluster for the cluster "
_HEAD = re.compile(
    re.escape(_WRITTEN_BY)
    + r"(?P<owner>[-a-z0-9]+/[-a-z0-9]+)\. It is written again by the next run: change variables, not this file\.\n"
    + r"# Content sha256:(?P<digest>[0-9a-f]{64})(?: of (?P<source>[^\n]+))?\n"
)


def _yaml() -> t.Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary.of_python("The Python library PyYAML is missing.", "PyYAML") from error
    return yaml


def dump(documents: t.Iterable[Document]) -> str:
    """The documents as YAML, always the same text for the same documents, in the order of their
    keys.
    """
    yaml = _yaml()
    dumper = _dumper(yaml)
    return t.cast(
        "str",
        yaml.dump_all(
            map(plain, documents),
            Dumper=dumper,
            explicit_start=True,
            sort_keys=False,
            default_flow_style=False,
            allow_unicode=True,
            width=1_000_000,
        ),
    )


@functools.cache
def _dumper(yaml: t.Any) -> t.Any:
    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Without aliases, which not every reader follows, and with quotes."""

        def ignore_aliases(self, _data: t.Any) -> bool:
            return True

    def text(dumper: t.Any, value: str) -> t.Any:
        quoted = "|" if "\n" in value else "'"
        style = None if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else quoted
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper


def plain(value: t.Any) -> t.Any:
    """The same in plain types: Ansible's own subclasses of texts and numbers are none that PyYAML
    writes.
    """
    if isinstance(value, dict):
        return {_text.plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    # What is neither, such as a date of YAML, is none in JSON: it is a text for Kubernetes.
    return float(value) if isinstance(value, float) else _text.plain(value)


def load(text: str, where: str) -> list[t.Any]:
    """The documents of a file.

    :raises InvalidOption: it is no YAML; its content is not quoted.
    """
    yaml = _yaml()
    try:
        loaded = yaml.load_all(text, Loader=_loader(yaml))
        return [document for document in loaded if document is not None]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark is not None else ""
        raise InvalidOption(f"{where} is no YAML{line}.", hint="Mend it, or remove it.", path=where) from error


def objects(documents: t.Iterable[t.Any]) -> t.Iterator[Document]:
    """The objects among documents, those in lists of objects included. A list in a list is none
    to Kubernetes, and in YAML it may be within itself.
    """
    for document in documents:
        items = at(document, "items")
        listed = items if isinstance(items, list) else []
        yield from (each for each in (document, *listed) if isinstance(each, dict))


def at(document: t.Any, *keys: str) -> t.Any:
    """What a document of somebody else has at a path of keys; None where there is no such thing,
    whatever its form.
    """
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


@functools.cache
def _loader(yaml: t.Any) -> t.Any:
    """A safe one that leaves times as texts: JSON, which Kubernetes speaks, has none."""
    found = {}
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items():
        found[first] = [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return type("Loader", (base,), {"yaml_implicit_resolvers": found})


@dataclasses.dataclass(frozen=True)
class Head:
    """What the first lines of a file of ours say.

    :ivar owner: namespace and name of the cluster.
    :ivar source: what a sealed Secret was made of, as a text that gives nothing
        away; empty for all other files.
    :ivar edited: whether somebody has changed the file since.
    """

    owner: str
    source: str
    edited: bool


def with_head(owner: str, body: str, source: str = "") -> str:
    """A file of ours.

    :param owner: namespace and name of the cluster.
    :param source: as ``Head`` has it.
    """
    of = f" of {source}" if source else ""
    return (
        f"{_WRITTEN_BY}{owner}. It is written again by the next run: change variables, not this file.\n"
        f"# Content sha256:{_digest(body)}{of}\n{body}"
    )


def head_of(text: str) -> Head | None:
    """What a file says of itself; None where it is none of ours."""
    found = _HEAD.match(text)
    if found is None:
        return None
    return Head(found["owner"], found["source"] or "", _digest(text[found.end() :]) != found["digest"])


def _digest(body: str) -> str:
    # A file that somebody has edited may be in another encoding; its bytes are then in surrogates.
    return hashlib.sha256(body.encode(errors="surrogateescape")).hexdigest()
