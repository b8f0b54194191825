# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seal the secrets of a task, before Ansible learns its arguments: see
``module_utils/_secrets.py`` for texts and addresses.

Mappings become one string each. Ansible hides every leaf of a mapping that is marked no_log
wherever its text appears: a guestinfo value of "1" or "web-1" would be starred out in the whole
result. As one string it is hidden as a whole, and nothing else is.
"""

from __future__ import annotations

import json
import typing as t

from ansible_collections.vforge.vsphere.plugins.module_utils import _secrets


def sealed(
    args: t.Mapping[str, t.Any],
    secret: t.Collection[str],
    lists: t.Collection[str] = (),
) -> dict[str, t.Any]:
    """The arguments with each mapping named in ``secret`` as one JSON string; also inside the items
    of ``lists``.

    What is no mapping stays as it is: the module then says what is wrong with it. So does an empty
    mapping, which has no secret, and whose text "{}" would be starred out wherever else it appears.
    """
    return _replaced(args, secret, lists, lambda value: _as_json(value) if isinstance(value, dict) else value)


def sealed_whole(
    args: t.Mapping[str, t.Any],
    secret: t.Collection[str],
    lists: t.Collection[str] = (),
) -> dict[str, t.Any]:
    """As ``sealed``, for options that may be texts and lists too: whatever is not empty becomes
    JSON.
    """
    return _replaced(args, secret, lists, _as_json)


def sealed_texts(args: t.Mapping[str, t.Any], *, address: bool = False) -> dict[str, t.Any]:
    """The arguments with each secret text sealed, at every depth.

    :param address: whether the option ``source`` may be an address; its secrets are
        sealed in options of their own.
    """
    bare = _secrets.moved_out_of_address(args) if address else args
    return {key: _with_texts(key, value) for key, value in bare.items()}


def _with_texts(key: t.Any, value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {inner: _with_texts(inner, item) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_texts(key, item) for item in value]
    if key in _secrets.TEXTS and isinstance(value, str) and value:
        return _secrets.sealed(value)
    return value


def _replaced(
    args: t.Mapping[str, t.Any],
    secret: t.Collection[str],
    lists: t.Collection[str],
    seal: t.Callable[[t.Any], t.Any],
) -> dict[str, t.Any]:
    done = {key: seal(value) if key in secret else value for key, value in args.items()}
    for key in lists:
        items = done.get(key)
        if isinstance(items, (list, tuple)):
            done[key] = [_replaced(item, secret, (), seal) if isinstance(item, dict) else item for item in items]
    return done


def _as_json(value: t.Any) -> t.Any:
    """A value as a JSON text; what is empty stays as it is."""
    return json.dumps(value, default=str) if value else value
