# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which texts Ansible may look for in all that it shows, and which it may not.

Ansible stars out the value of each option that is marked ``no_log``, wherever its text occurs. A
password ``wrong`` so makes ``********_credentials`` of an error code, and newer releases star out
names of hosts and the recap as well. It does not even hide the password: our sentences are public,
so that stars in the middle of one show which word is missing.

So a secret that can be a part of our own words never comes to Ansible as it is. The action plugin
seals it: it puts a prefix in front, and what Ansible knows, and looks for, is the text with the
prefix, which occurs nowhere. The module takes the prefix off again, and has Ansible look for the
plain text only where that text can be no part of a code, a name of a fault, an action, a key or a
state. What protects the others is that nothing of ours ever quotes a secret.
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
import urllib.parse

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

# Options that are secret texts, or lists of such, at whatever depth.
TEXTS = frozenset(
    (
        "password",
        "pass",
        "pwd",
        "guest_password",
        "source_username",
        "source_password",
        "source_query",
        "admin_password",
        "domain_admin_password",
        "product_id",
        "script",
        "run_once",
        # Scripts, which may hold secrets, and may be one word.
        "before_freeze",
        "before_quiesce",
        "on_wake",
        "before",
        "after",
    )
)

# Options that name a host alone. A URL is refused; until then it may hold a password.
_HOSTS = ("hostname", "proxy_host")

# Headers, which are secrets as a whole.
_HEADERS = "source_headers"

_SEAL = "vforge-sealed:"

# Our codes, actions, keys and states, and the names of vSphere's faults, are letters and
# underscores, and none is longer. A shorter secret than this might be found anywhere, in a number
# for instance.
_SHORTEST = 8
_WORD = re.compile("[A-Za-z_]{1,48}")


def sealed(text: str) -> str:
    """A secret as Ansible may know it; one that is sealed already stays as it is."""
    return text if text.startswith(_SEAL) else f"{_SEAL}{text}"


def unsealed(value: t.Any) -> t.Any:
    """A copy of a value, with each secret in it as it is."""
    if isinstance(value, dict):
        return {key: unsealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unsealed(item) for item in value]
    return value.removeprefix(_SEAL) if isinstance(value, str) else value


def is_distinct(text: str) -> bool:
    """Whether a text can be looked for in everything that is shown, since it is no part of our own
    words. From 2.22 on Ansible looks for it without the blanks and line ends around it.
    """
    bare = text.strip()
    return len(bare) >= _SHORTEST and not _WORD.fullmatch(bare)


def moved_out_of_address(args: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with the secrets of the address ``source`` in options of their own: user,
    password and query.

    What such an option says already counts, of user and password; queries are added up. A fragment,
    which no server gets, goes.
    """
    done = dict(args)
    match = re.match(
        r"([A-Za-z][A-Za-z0-9+.-]*://)([^/?#]*)([^?#]*)(?:\?([^#]*))?",
        str(args.get("source") or ""),
    )
    if match is None:
        return done
    scheme, server, path, query = match.groups()
    before, _at, host = server.rpartition("@")
    user, _colon, password = before.partition(":")
    done["source"] = f"{scheme}{host}{path}"
    for option, text in (("source_username", user), ("source_password", password)):
        if text and not args.get(option):
            done[option] = urllib.parse.unquote(text)
    if query:
        done["source_query"] = "&".join(filter(None, (query, unsealed(args.get("source_query")))))
    return done


def _of_query(query: str) -> t.Iterator[str]:
    """The secrets in a query: each value, as written and as meant."""
    for pair in re.split("[&;]", query):
        value = pair.partition("=")[2] or pair
        yield from (value, urllib.parse.unquote(value), urllib.parse.unquote_plus(value))


def _of_headers(text: str) -> t.Iterator[str]:
    """The secrets in headers, which are a mapping as JSON: each value, and each word of it
    (``Bearer TOKEN``).
    """
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        return  # the module says what is wrong with it
    for value in headers.values() if isinstance(headers, dict) else ():
        yield from (str(value), *str(value).split())


def parameters(module: AnsibleModule) -> dict[str, t.Any]:
    """The parameters of a module as its options mean them.

    What Ansible is going to show of them, and what it looks for, is put right on the way: also for
    a module that was started without its action plugin, and for a password from the environment,
    which no action plugin has seen.
    """
    shown, known = module.params, module.no_log_values
    if "source_query" in shown:
        shown.update(moved_out_of_address(shown))
    for option in _HOSTS:
        if isinstance(shown.get(option), str):
            shown[option] = _without_user(shown[option])
    seals = {
        option: sealed(shown[option]) for option in TEXTS & shown.keys() if isinstance(shown[option], str) and shown[option]
    }
    shown.update(seals)
    meant: dict[str, t.Any] = unsealed(shown)
    parts = (*_of_query(meant.get("source_query") or ""), *_of_headers(meant.get(_HEADERS) or "{}"))
    secrets = {*_texts(meant), *parts}
    distinct = set(filter(is_distinct, secrets))
    known -= secrets - distinct
    known |= {*distinct, *seals.values()}
    # From ansible-core 2.22 on, which has imported this by itself, the set above is not looked at.
    if masking := sys.modules.get("ansible.module_utils.secrets"):
        masking.register_secrets({*distinct, *seals.values()})
    return meant


# So many texts are left to Ansible: its way costs nothing then.
_FEW = 100

# What Ansible puts in the place of a text that is a secret as a whole, and of one within another.
_HIDDEN, _STARS = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER", "********"


def hide_documents(module: AnsibleModule, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """A result without the mappings that the action plugin has made texts of, such as the guestinfo
    of each clone; Ansible need not look for these any more then, neither in it nor in the parameters.

    Ansible looks for each secret in each text: for 5,000 clones with guestinfo of their own that is
    a billion of searches, which took most of the task's time. Such a text begins with a brace, so it
    can only be found in a text that has one; there are few others than the parameters.
    """
    known, documents = module.no_log_values, _documents(module)
    # One secret may be a part of another, and Ansible begins with the longest.
    if len(documents) <= _FEW or any("{" in each for each in known.difference(documents)):
        return result
    module.params = _hidden(module.params, documents, frozenset(documents))
    known.difference_update(documents)
    whole: dict[str, t.Any] = _hidden(result, documents, frozenset(documents))
    return whole


def without_documents(module: AnsibleModule, text: str) -> str:
    """A warning as it may be shown, whether Ansible still looks for these texts at the end or not."""
    return str(_hidden(text, _documents(module), ())) if "{" in text else text


def _documents(module: AnsibleModule) -> list[str]:
    """The mappings that the action plugin has made texts of, the longest first."""
    return sorted((each for each in module.no_log_values if each.startswith('{"')), key=len, reverse=True)


def _hidden(value: t.Any, documents: t.Sequence[str], whole: t.Container[str]) -> t.Any:
    if isinstance(value, dict):
        return {key: _hidden(item, documents, whole) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(item, documents, whole) for item in value]
    if not isinstance(value, str) or "{" not in value:
        return value
    if value in whole:
        return _HIDDEN
    for each in documents:
        value = value.replace(each, _STARS)
    return value


def _without_user(host: str) -> str:
    """A host as it is; a URL without user and password, by which it still is none."""
    before, at, host = host.rpartition("@")
    scheme, slashes, _user = before.rpartition("://")
    return f"{scheme}{slashes}{at}{host}"


def _texts(value: t.Any) -> t.Iterator[str]:
    """The secret texts, at every depth."""
    for key, item in value.items() if isinstance(value, dict) else ():
        if key in TEXTS:
            yield from (text for text in (item if isinstance(item, list) else [item]) if isinstance(text, str) and text)
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(item)
