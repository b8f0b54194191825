# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest that is frozen, and the clones that wake in it, tell vCenter of their scripts. Pure.

A guest writes single pairs of guestinfo, which vCenter keeps in the extraConfig of its VM:

- right before a parent freezes, which run freezes it and with which scripts (``FROZEN_KEY``). It is
  written by the script that freezes, so that it tells of the scripts that wait in the frozen guest,
  whoever started them. It counts only on the VM whose instance UUID it holds, since clones inherit it.
- in each clone, how its scripts for waking went (``STATE_KEY``), and where one failed the end of its
  output (``LOG_KEY``). They begin with the token that the clone got from the one who made it
  (``TOKEN_KEY``): what a clone inherited is not taken for its own.

Whoever has root in a guest can write these pairs. They tell of that guest alone, nothing of them
reaches a command or another VM, and what does not have their form is not read.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import hashlib
import re
import secrets
import typing as t

from .._errors import GuestError, TimedOut
from .._text import printable

FROZEN_KEY = "guestinfo.vforge.frozen"
TOKEN_KEY = "guestinfo.vforge.token"  # noqa: S105 (a name, no secret)
STATE_KEY = "guestinfo.vforge.wake"
LOG_KEY = "guestinfo.vforge.wake_log"

# Keys of the collection's own among guestinfo; users set none of them.
OWN_PREFIX = "guestinfo.vforge."

# How a child of VMFork reads what it was given.
FORK_PREFIX = "guestinfo.fork."
FORK_TOKEN_KEY = FORK_PREFIX + "vforge.token"

RUNNING, OK, FAILED = "running", "ok", "failed"

# Bytes of the output of a failed script that a clone tells.
LOG_BYTES = 1024
_LONGEST_LOG = 2 * LOG_BYTES

_CONFIG = "config.extraConfig"

# What a copy tells, as paths of properties: a pair each, so that not all of its configuration is sent.
PATHS = tuple(f'{_CONFIG}["{key}"]' for key in (TOKEN_KEY, FORK_TOKEN_KEY, STATE_KEY, LOG_KEY))

_ROUNDS = 100_000

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_RECORD = re.compile(rf"({_UUID}) ([0-9a-f]{{16}}) ([0-9]{{1,4}}) ([0-9a-f]{{16}}) ([0-9a-f]{{32}})")
_TOKEN = re.compile(r"[0-9a-f]{16}")
_STATE = re.compile(r"(?:(running)|(?:(ok)|(failed) ([0-9]{1,4}) ([0-9]{1,4})) (same|new|none))")


@dataclasses.dataclass(frozen=True)
class FreezeRecord:
    """Which run froze a VM, and with which scripts.

    :ivar vm: instance UUID of the VM.
    :ivar run: of the task that froze it.
    :ivar wakes: how many scripts its clones run when they wake.
    :ivar salt: of the digest of the scripts.
    """

    vm: str
    run: str
    wakes: int
    salt: str
    digest: str

    def __str__(self) -> str:
        return f"{self.vm} {self.run} {self.wakes} {self.salt} {self.digest}"

    @classmethod
    def parse(cls, value: str, instance_uuid: str) -> FreezeRecord | None:
        """The record that a VM shows, or None where it shows none of its own."""
        found = _RECORD.fullmatch(value.strip())
        if found is None or found[1].lower() != instance_uuid.lower():
            return None
        return cls(found[1], found[2], int(found[3]), found[4], found[5])


@dataclasses.dataclass(frozen=True)
class WakeReport:
    """How the scripts of a clone went.

    :ivar state: ``running``, ``ok`` or ``failed``.
    :ivar script: number of the script that failed, from 1.
    :ivar exit_code: how it ended.
    :ivar parents_keys: whether the clone has the SSH host keys of its parent still.
    :ivar log: the end of the output of the script that failed, fit to be shown.
    """

    state: str
    script: int | None = None
    exit_code: int | None = None
    parents_keys: bool = False
    log: str = ""


def is_own(key: str) -> bool:
    """Whether a key of extraConfig is one of these, which users do not set."""
    return key.casefold().startswith((OWN_PREFIX, FORK_PREFIX + OWN_PREFIX.removeprefix("guestinfo.")))


def new_run() -> str:
    """A name for a run, or a token for a clone: 16 hexadecimal digits that nobody guesses."""
    return secrets.token_hex(8)


@functools.lru_cache(maxsize=128)
def digest(texts: tuple[str, ...], salt: str) -> str:
    """What tells later whether scripts were the same, and does not tell what they were.

    It is kept where others can read it, and scripts may hold a password that is easily guessed, so it
    is made slowly (PBKDF2, which also works where FIPS forbids others). Blanks at the end of a text do
    not count.
    """
    total = "\0".join(text.replace("\r\n", "\n").rstrip() for text in texts).encode()
    return hashlib.pbkdf2_hmac("sha256", total, salt.encode(), _ROUNDS).hex()[:32]


def config_in(values: t.Mapping[str, t.Any]) -> dict[str, str]:
    """The pairs among properties that were read by such paths; one that is not there is empty."""
    pairs = {path[len(_CONFIG) + 2 : -2]: pair for path, pair in values.items() if path.startswith(f"{_CONFIG}[")}
    return {key: "" if pair is None else str(pair.value) for key, pair in pairs.items()}


def token_of(config: t.Mapping[str, str]) -> str:
    """The token that a clone was given; empty where it was given none."""
    value = config.get(TOKEN_KEY) or config.get(FORK_TOKEN_KEY) or ""
    return value if _TOKEN.fullmatch(value) else ""


def report_of(config: t.Mapping[str, str]) -> WakeReport | None:
    """What a clone tells, from pairs of its extraConfig; None where it has not told anything yet."""
    token = token_of(config)
    own, _blank, rest = config.get(STATE_KEY, "").strip().partition(" ")
    found = _STATE.fullmatch(rest)
    if not token or own != token or found is None:
        return None
    return WakeReport(
        state=found[1] or found[2] or found[3],
        script=int(found[4]) if found[4] else None,
        exit_code=int(found[5]) if found[5] else None,
        parents_keys=found[6] == "same",
        log=_log(config.get(LOG_KEY, ""), token) if found[3] else "",
    )


def failure(name: str, report: WakeReport) -> GuestError:
    """The error for a copy in which a script has failed; the last line of its output says why."""
    last = report.log.splitlines()[-1] if report.log else "it told no output"
    keys = " It has the SSH host keys of its parent still." if report.parents_keys else ""
    return GuestError(
        "wake_failed",
        f"{name} is there, but script {report.script} of on_wake failed in it with exit code {report.exit_code} "
        f"({last}).{keys}",
        hint="It may have the name and addresses of its parent, too: remove it. Then mend what the clone was given, or mend "
        "the script and freeze the parent with it (allow_reset), and run again.",
        script=report.script,
        exit_code=report.exit_code,
        output=report.log,
    )


def lateness(name: str, state: str | None, timeout: int) -> TimedOut:
    """The error for a copy that has not told the end of its scripts; ``state`` is what it told last."""
    how = "is still running" if state == RUNNING else "has not told that it began"
    error = TimedOut(
        f"{name} is there, but after {timeout} seconds its script for waking {how}.",
        hint="Look in its guest, by its console: in the folder of temporary files vforge-*/wake.log. Raise timeout where "
        "the scripts take longer, or do not wait for them (wait_for_wake).",
    )
    error.error_code = "wake_timeout"
    return error


def keys_warning(which: str) -> str:
    """The warning for copies whose scripts went well and left the parent's SSH host keys."""
    return (
        f"{which}: the SSH host keys are still those of the parent. Have a script of on_wake make new ones "
        "(the ready-made scripts do; cloud-init needs an instance-id of each copy's own)."
    )


def _log(value: str, token: str) -> str:
    own, _blank, encoded = value.strip().partition(" ")
    if own != token or len(encoded) > _LONGEST_LOG:
        return ""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return printable(data.decode(errors="replace"), LOG_BYTES).strip()
