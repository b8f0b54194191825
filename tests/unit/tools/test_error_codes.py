# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guide of error codes is that of the code, and none is missing."""

from __future__ import annotations

import functools
import re

from devtools import error_codes
from devtools.error_codes import PAGE, page, read

_PLUGINS = PAGE.parents[3] / "plugins"


@functools.cache
def _known():
    return read(_PLUGINS / "module_utils")


def test_the_guide_is_that_of_the_code():
    assert PAGE.read_text(encoding="utf-8") == page(_known()), "make pages writes it"


def test_no_code_that_the_code_names_is_missing():
    named = set()
    for path in _PLUGINS.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r"""error_code["']?\s*[:=]=?\s*["']([a-z_]+)["']""", text))
        named |= set(re.findall(r"""^ +code = ["']([a-z_]+)["']$""", text, re.MULTILINE))
    assert len(named) > 30
    assert named - set(_known()) == {"error"}  # of the base, of which nothing is made


def test_codes_in_tables_and_of_each_way_to_freeze_are_read():
    known = _known()
    wrong = known["guest_wrong_credentials"]
    assert wrong.happened == ["The guest of ... refuses the password of ..., or does not know the user."]
    assert wrong.hints == ["Check guest_username and guest_password; they are those of the guest, not of the vCenter."]
    assert known["freeze_timeout"].happened == ["... was not frozen after ... s; its script was ended."]
    assert {"freeze_failed", "quiesce_failed", "quiesce_timeout", "delta_levels", "lease_lost", "rest_error"} <= set(known)


def test_each_code_has_what_to_do():
    assert [code for code, entry in _known().items() if not "".join(entry.hints)] == []


def test_nobody_meets_an_error_without_a_code_of_its_own():
    bare = re.compile(r"(?:raise|return|fail\(|=) (?:VforgeError|Reason)\(")
    assert [path.name for path in _PLUGINS.rglob("*.py") if bare.search(path.read_text(encoding="utf-8"))] == []


def test_what_says_nothing_and_what_is_said_again_is_left_out():
    entry = error_codes.Entry(["... is ....", "The disk ... is full."], ["Run again.", "It has ....", "Run again: it goes on."])
    told = page({"full": entry}).partition("* - ``full``\n")[2].split("\n")
    assert told == ["     - The disk ... is full.", "     - Run again: it goes on.", ""]


def test_what_is_raised_is_read(tmp_path):
    (tmp_path / "code.py").write_text(
        '''
class Taken(Exception):
    """Somebody has it.

    More.
    """

    error_code = "taken"


class Failed(Exception):
    def __init__(self, error_code, message, *, hint=""):
        pass


class Late(Failed):
    pass


raise Taken("x", hint="Wait.")
raise Failed("no_way", f"{1} has no way" " to it", hint="Make one.")
raise Late("too_late", "It is over.")
''',
        encoding="utf-8",
    )
    known = read(tmp_path)
    assert (known["taken"].happened, known["taken"].hints) == (["Somebody has it."], ["Wait."])
    assert (known["no_way"].happened, known["no_way"].hints) == (["... has no way to it"], ["Make one."])
    assert known["too_late"].happened == ["It is over."]
    assert set(known) == {"taken", "no_way", "too_late", *error_codes._OTHERS}


def test_a_hint_that_is_chosen_is_read_where_there_is_no_other(tmp_path):
    (tmp_path / "code.py").write_text(
        """
_WAYS = {"a": "Mend a.", "b": f"Mend {1}.{2}."}


def advice(many) -> str:
    if many:
        return "Ask for fewer."
    return "Ask again."


class Failed(Exception):
    def __init__(self, error_code, message, *, hint=""):
        pass


raise Failed("broken", "It broke.", hint=_WAYS[way])
raise Failed("full", "It is full.", hint=advice(many))
raise Failed("other", "It is other.", hint=advice(many))
raise Failed("other", "It is another.", hint="Wait.")
""",
        encoding="utf-8",
    )
    known = read(tmp_path)
    assert known["broken"].hints == ["Mend a.", "Mend ...."]
    assert known["full"].hints == ["Ask for fewer.", "Ask again."]
    assert known["other"].hints == ["Wait."]
