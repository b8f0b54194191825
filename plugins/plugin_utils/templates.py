# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One template for many items, each with a variable of its own.

The lookup ``template`` copies all variables of the play at each call, so that its cost grows with
the square of the items. Here a file is read once, and an item is one small layer over variables
that are shared.
"""

from __future__ import annotations

import collections
import functools
import os
import re
import typing as t

from ansible.errors import AnsibleError
from ansible.release import __version__ as _core
from ansible.template import generate_ansible_template_vars
from jinja2 import TemplateError

if t.TYPE_CHECKING:
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar

# From 2.19 on a text is a template only where it is marked as trusted.
_BY_TRUST = tuple(int(number) for number in _core.split(".")[:2]) >= (2, 19)

# So many compiled texts of one file's templating are kept: the file itself, and variables that are templates.
_COMPILED = 128

# What Jinja calls the code of a template that is a text.
_CODE = ("<template>", "<unknown>")

# The only messages of Jinja and Ansible that name no value.
_UNDEFINED = re.compile(r"('[A-Za-z0-9_.\[\]]+' is undefined|has no attribute '[A-Za-z0-9_.]+')")
_NAME = re.compile(r"'([A-Za-z0-9_.\[\]]+)'")


class NotRendered(Exception):
    """A template that could not be rendered for an item; says where and why, and no value."""


class Template:
    """A file with a template.

    :param path: where it is; the files that it includes lie beside it, or in the search path.
    :param name: as the user has given it, for messages.
    """

    def __init__(self, loader: DataLoader, templar: Templar, path: str, name: str, search_path: t.Sequence[str]) -> None:
        self.name = name
        self._text = _text_of(loader, path)
        around = [folder for base in search_path for folder in (os.path.join(base, "templates"), base)]
        self._about = generate_ansible_template_vars(name, path)
        self._shared: t.Any = collections.ChainMap({}, self._about, templar.available_variables)
        self._templar = templar.copy_with_new_env(searchpath=[os.path.dirname(path), *around], available_variables=self._shared)
        _compile_once(self._templar)

    def rendered(self, **variables: t.Any) -> t.Any:
        """What the template comes to with these variables over those of the play.

        :raises NotRendered: with the line, where it is known.
        """
        self._shared.maps[0].clear()
        self._shared.maps[0].update(variables)
        self._templar.available_variables = self._shared
        more: dict[str, t.Any] = {} if _BY_TRUST else {"convert_data": False}
        try:
            return self._templar.template(self._text, preserve_trailing_newlines=True, escape_backslashes=False, **more)
        except (AnsibleError, TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise NotRendered(f"{self.name}{self._place_of(error)} cannot be rendered: {_reason(error)}.") from error

    def _place_of(self, error: BaseException) -> str:
        line = next((found for one in _chain(error) if (found := _line_of(one))), None)
        name = _NAME.search(_reason(error))
        if line is None and name is not None:
            word = re.compile(rf"\b{re.escape(name[1].split('.')[-1])}\b")
            line = next((number for number, text in enumerate(self._text.split("\n"), 1) if word.search(text)), None)
        return f", line {line}," if line is not None else ""


def _compile_once(templar: Templar) -> None:
    """Have a templar compile each text once: by itself it does so again for each item, which takes longer than all else.

    There is no public way to say so; a release whose templar is made in another way is only slower.
    """
    engine = getattr(templar, "_engine", None)
    compiled = getattr(engine, "_compile_template", None)
    if compiled is not None:
        engine._compile_template = functools.lru_cache(_COMPILED)(compiled)


def _text_of(loader: DataLoader, path: str) -> str:
    if _BY_TRUST:
        from ansible.template import trust_as_template

        return trust_as_template(loader.get_text_file_contents(path))
    data, _shown = loader._get_file_contents(path)
    return data.decode("utf-8", "surrogateescape")


def _chain(error: BaseException) -> t.Iterator[BaseException]:
    """An error and those that it comes from, the first cause first."""
    above = error.__cause__ or error.__context__
    if above is not None:
        yield from _chain(above)
    yield error


def _line_of(error: BaseException) -> int | None:
    """The line of the template that an error was raised in, or None.

    Where Jinja has not put the template's own lines into the traceback, the template knows them of
    its code.
    """
    line = getattr(error, "lineno", None)
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename in _CODE:
            template = step.tb_frame.f_globals.get("__jinja_template__")
            line = template.get_corresponding_lineno(step.tb_lineno) if template is not None else step.tb_lineno
        step = step.tb_next
    return line if isinstance(line, int) else None


def _reason(error: BaseException) -> str:
    """Why, without any value: messages of filters quote what they are given."""
    for one in _chain(error):
        found = _UNDEFINED.search(str(one))
        if found is not None:
            return found[0]
    first = next(_chain(error))
    return type(first).__name__
