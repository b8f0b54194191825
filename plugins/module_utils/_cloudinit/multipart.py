# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User data of several parts, as cloud-init takes them: one MIME message. Pure."""

from __future__ import annotations

import dataclasses
import email
import email.mime.multipart
import email.mime.text
import hashlib
import json
import re
import typing as t

from .._errors import InvalidOption

# By the first line of a part, as cloud-init's ``user_data.py`` and ``handlers/__init__.py`` know
# them.
_TYPES = (
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#part-handler", "text/part-handler"),
    ("#!", "text/x-shellscript"),
    ("## template: jinja", "text/jinja2"),
)

CLOUD_CONFIG, SHELLSCRIPT, JINJA = "text/cloud-config", "text/x-shellscript", "text/jinja2"
ARCHIVE, BOOTHOOK, JSON_PATCH = "text/cloud-config-archive", "text/cloud-boothook", "text/cloud-config-jsonp"
TYPES = frozenset(kind for _start, kind in _TYPES)

# What may have blank lines before its header: cloud-init looks behind them, and what reads the part
# does not mind.
_AFTER_BLANKS = (
    ARCHIVE,
    "text/cloud-config-jsonp",
    CLOUD_CONFIG,
    "text/x-include-once-url",
    "text/x-include-url",
)

# What is no part but a message of parts begins with a header of mail, or looks as if.
_HEADER = re.compile(r"From |[!-9;-~]+:")
_LIKE_A_MESSAGE = re.compile(r"From |(?:content-type|mime-version):", re.IGNORECASE)

# Whether it is one cloud-init knows by this header alone, in so many bytes (its user_data.py, convert_string).
_SAYS_SO, _SAYS_SO_WITHIN = b"mime-version:", 4096

# Parts of these types are taken for what their first line says.
OF_NO_TYPE = ("text/plain", "text/x-not-multipart")
_BY_FIRST_LINE = (*OF_NO_TYPE, "text/x-shellscript")

_KEYS = {"content", "type", "filename", "merge"}

# Scripts of cloudbase-init, which is what Windows has for cloud-init (its plugins/common/userdatautils.py).
_OF_WINDOWS = re.compile(r"rem\s+cmd\s|#ps1(?:_sysnative|_x86)?\s|<(?:script|powershell)>")


def type_of(text: str) -> str | None:
    """The content type that cloud-init gives a text by its header, or None for a text that it would
    ignore.
    """
    beginning = text.lstrip()[:40].lower()
    kind = next((kind for start, kind in _TYPES if beginning.startswith(start)), None)
    return kind if kind in _AFTER_BLANKS or not text[:1].isspace() else None


def is_for_windows(text: str) -> bool:
    """Whether a text is a script that cloudbase-init runs, and cloud-init passes over."""
    return _OF_WINDOWS.match(text) is not None


def is_message(text: str) -> bool:
    """Whether cloud-init takes a text for a message of parts."""
    return _HEADER.match(text) is not None and _SAYS_SO in text.encode()[:_SAYS_SO_WITHIN].lower()


def looks_like_message(text: str) -> bool:
    """Whether whoever wrote a text meant a message of parts."""
    return _LIKE_A_MESSAGE.match(text) is not None


def message(parts: t.Sequence[t.Any]) -> str:
    """Parts as one MIME message.

    :param parts: each a text, a mapping of cloud-config, or one with ``content`` and at will
        ``type``, ``filename``, ``merge``.

    :raises InvalidOption: naming the part.
    """
    if not parts:
        raise InvalidOption("The list of parts is empty.", hint="Leave the option out, or give it a part.")
    made = [_part(part, number) for number, part in enumerate(parts, 1)]
    # The boundary depends on nothing but what is between, so that the same parts give the same
    # text.
    total = hashlib.sha256("\0".join(part.as_string() for part in made).encode()).hexdigest()
    whole = email.mime.multipart.MIMEMultipart(boundary=f"==vforge-{total[:32]}==")
    for part in made:
        whole.attach(part)
    return whole.as_string()


def extended(text: str, part: t.Any) -> str:
    """A message of parts with one more.

    :raises InvalidOption: where it is no such message.
    """
    whole = email.message_from_string(text)
    if not whole.is_multipart():
        raise InvalidOption("A MIME message of one part cannot be added to.", hint="Give the parts as a list.")
    whole.attach(_part(part, len(t.cast("list[t.Any]", whole.get_payload())) + 1))
    return whole.as_string()


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of user data.

    :ivar kind: its content type, as cloud-init takes it; None for a text that it would ignore.
    :ivar merge: how it is to be merged, by its header; empty where it has none.
    """

    kind: str | None
    content: str = dataclasses.field(repr=False)
    merge: str = ""


def parts(text: str) -> list[Part]:
    """The parts of user data; of a text that is no message, itself.

    :raises InvalidOption: for a character set that there is not, or a message without the boundary that it names.
    """
    if not is_message(text):
        return [Part(type_of(text), text)]
    found = []
    for part in email.message_from_string(text).walk():
        if part.get_content_maintype() == "multipart" and not part.is_multipart():
            raise InvalidOption(
                "It is a message of parts whose boundary is not in it, so that cloud-init finds no part.",
                hint="Give the parts as a list.",
            )
        if not part.is_multipart():
            payload = part.get_payload(decode=True)
            content = _decoded(payload, part.get_content_charset("utf-8")) if isinstance(payload, bytes) else ""
            merge = str(part.get("Merge-Type") or part.get("X-Merge-Type") or "")
            found.append(Part(_kind_of(part.get_content_type(), content), content, merge))
    return found


def _kind_of(declared: str, content: str) -> str | None:
    """For what cloud-init takes a part that is declared as something. A script stays one, so that
    it is known for what it was to be.
    """
    if declared not in _BY_FIRST_LINE:
        return declared
    return type_of(content) or (SHELLSCRIPT if declared == SHELLSCRIPT else None)


def leaves(text: str) -> list[tuple[str | None, str]]:
    """The parts of user data, each as its content type and its content."""
    return [(part.kind, part.content) for part in parts(text)]


def _decoded(payload: bytes, charset: str) -> str:
    try:
        return payload.decode(charset, "replace")
    except LookupError:
        raise InvalidOption(f"A part has the character set {charset}, which is none.", hint="Write it as utf-8.") from None


def _part(given: t.Any, number: int) -> email.mime.text.MIMEText:
    item = given if isinstance(given, dict) and "content" in given else {"content": given}
    unknown = sorted(str(key) for key in set(item) - _KEYS)
    if unknown:
        raise InvalidOption(
            f"Part {number} has {', '.join(unknown)}.",
            hint=f"A part has {', '.join(sorted(_KEYS))}.",
        )
    for key in ("filename", "merge", "type"):
        if not str(item.get(key) or "").isprintable():
            raise InvalidOption(f"Part {number} has a {key} of more than one line.", hint="Write it in one.")
    content = item["content"]
    text = cloud_config(content) if isinstance(content, dict) else content
    if not isinstance(text, str) or not text.strip():
        raise InvalidOption(f"Part {number} has no content.", hint="It is a text, or a mapping for cloud-config.")
    of_windows = is_for_windows(text)
    kind = item.get("type") or type_of(text) or (SHELLSCRIPT if of_windows else None)
    if of_windows and not item.get("filename"):
        raise InvalidOption(
            f"Part {number} is for cloudbase-init, which loses a script among parts that has no filename.",
            hint="Give it one, such as first.ps1.",
        )
    if kind is None:
        raise InvalidOption(
            f"Part {number} does not say what it is.",
            hint="Begin it with #cloud-config, #! or another of cloud-init's headers in the very first line, or set its type.",
        )
    if "/" not in str(kind):
        raise InvalidOption(
            f"Part {number} has the type {kind}.",
            hint="It is a MIME type such as text/cloud-config.",
        )
    part = email.mime.text.MIMEText(text, str(kind).removeprefix("text/"), "utf-8" if not text.isascii() else "us-ascii")
    part.replace_header("Content-Type", part["Content-Type"].replace(part.get_content_type(), str(kind)))
    if item.get("filename"):
        part.add_header("Content-Disposition", "attachment", filename=str(item["filename"]))
    if item.get("merge"):
        part.add_header("Merge-Type", str(item["merge"]))
    return part


def cloud_config(config: t.Mapping[str, t.Any]) -> str:
    """A mapping as cloud-config. JSON is YAML, and the same mapping always gives the same text."""
    return f"#cloud-config\n{as_json(config)}\n"


def as_json(value: t.Any) -> str:
    """JSON that every YAML 1.1 parser reads too, in the order of its keys."""
    # Keys are texts in JSON; made texts first, they can be sorted, whatever they were.
    text = json.dumps(json.loads(json.dumps(value)), indent=2, sort_keys=True, ensure_ascii=False)
    # YAML counts these as unprintable, or as line ends; JSON does not.
    return "".join(f"\\u{ord(c):04x}" if "\x7f" <= c <= "\x9f" or c in "\u2028\u2029\ufeff\ufffe\uffff" else c for c in text)
