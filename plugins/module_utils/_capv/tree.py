# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Git working tree: what there is in it, and writing into it so that either all files are there
or none.

Symbolic links in the tree are refused: whoever may push to the repository could have them lead
anywhere.
"""

from __future__ import annotations

import os
import subprocess
import time
import typing as t

from .. import _files, _programs
from .._errors import InvalidOption, TimedOut, VforgeError
from .plan import Change

_WHAT = "manifest"

# Of one file. A cluster with hundreds of pools has not as much.
_MOST = 8 << 20

# Those that Argo CD takes for manifests.
_SUFFIXES = (".yaml", ".yml", ".json")


class NoWorkingTree(InvalidOption):
    """The path is no working tree of Git, or Git refuses it."""

    error_code = "no_working_tree"


class Tree:
    """A folder in a working tree.

    :ivar path: absolute.
    :ivar prefix: its path in the repository, with a slash at its end; empty for the whole.
    """

    def __init__(self, path: str, deadline: float) -> None:
        """Find out whether it is one.

        :param deadline: of ``time.monotonic()``.
        :raises NoWorkingTree: it is none.
        """
        self.path = os.path.realpath(os.path.expanduser(path))
        self._deadline = deadline
        if not os.path.isdir(self.path):
            raise NoWorkingTree(f"{self.path} is no folder.", hint="Clone the repository there first.", path=self.path)
        inside, self.prefix = self._git("rev-parse", "--is-inside-work-tree", "--show-prefix").splitlines()
        if inside != "true":
            raise NoWorkingTree(
                f"{self.path} is no working tree of Git.", hint="Give the folder of a clone, not of .git.", path=self.path
            )

    def read(self, folders: t.Iterable[str], files: t.Iterable[str] = ()) -> dict[str, str]:
        """The manifests directly in folders, and single files, by their path in the tree; those
        that are not there are left out.

        :raises InvalidOption: one of them cannot be trusted or read.
        """
        found = {}
        for folder in folders:
            for name in self._names(folder):
                found[f"{folder}/{name}"] = self._read(f"{folder}/{name}")
        for file in files:
            if os.path.lexists(os.path.join(self.path, file)):
                found[file] = self._read(file)
        return found

    def below(self, folder: str) -> list[str]:
        """A folder and all that are in it, for ``read``; links are not followed."""
        top = os.path.join(self.path, folder)
        return [os.path.relpath(at, self.path) for at, _folders, _names in os.walk(top)]

    def uncommitted(self, paths: t.Iterable[str]) -> list[str]:
        """The files in folders, and single files, that are not as in the last commit, by their path
        in the tree.

        Links, names of any form and files of others are among them.
        """
        # Without it, looking would write the index.
        words = ("--no-optional-locks", "status", "--porcelain", "--no-renames", "--untracked-files=all", "-z", "--", *paths)
        lines = [line for line in self._git(*words).split("\0") if line]
        # Each is two letters, a space, and the path in the repository.
        return sorted(line[3:].removeprefix(self.prefix) for line in lines)

    def before(self, file: str) -> str:
        """A file that is gone as the last commit has it, or as it waits for the next; empty where
        neither has it.
        """
        for where in ("HEAD", ""):
            text = self._git("show", f"{where}:./{file}", fine=(0, 128))
            if text:
                return text
        return ""

    def _names(self, folder: str) -> list[str]:
        self._refuse_links(folder)
        path = os.path.join(self.path, folder)
        if not os.path.isdir(path):
            return []
        return sorted(name for name in os.listdir(path) if name.endswith(_SUFFIXES))

    def _read(self, file: str) -> str:
        self._refuse_links(file)
        path = os.path.join(self.path, file)
        data = _files.read(path, _MOST, what=_WHAT, deadline=self._deadline)
        return data.decode(errors="surrogateescape")

    def _refuse_links(self, file: str) -> None:
        at = self.path
        for step in file.split("/"):
            at = os.path.join(at, step)
            if os.path.islink(at):
                raise _files.FileRefused(
                    f"{at} is a symbolic link.", hint="Files of the tree are written, not what links lead to.", path=at
                )

    def check(self, changes: t.Sequence[Change]) -> None:
        """Find out, before anything is written, what could not be, or would not come into a commit.

        :raises InvalidOption: a file cannot be written, or Git ignores it.
        """
        for change in changes:
            self._refuse_links(change.path)
            path = os.path.join(self.path, change.path)
            if os.path.isdir(os.path.dirname(path)):
                _files.check(path, what=_WHAT)
            else:
                _files.check_folder(os.path.dirname(path), what=_WHAT)
        ignored = self._ignored([change.path for change in changes if change.after is not None])
        if ignored:
            raise NoWorkingTree(
                f"Git ignores {', '.join(ignored)}, so that Argo CD would never see them.",
                hint="Change .gitignore: git check-ignore -v says which line of it.",
                path=self.path,
            )

    def _ignored(self, paths: t.Sequence[str]) -> list[str]:
        if not paths:
            return []
        # Its exit code is 1 where none is ignored.
        text = self._git("check-ignore", "-z", "--stdin", given="\0".join(paths), fine=(0, 1))
        return [path for path in text.split("\0") if path]

    def write(self, changes: t.Sequence[Change]) -> None:
        """Make all changes, or none.

        :raises InvalidOption: a file could not be written; those before it are as they were.
        """
        done: list[Change] = []
        try:
            for change in changes:
                done.append(change)
                self._put(change.path, change.after)
        except VforgeError:
            for change in reversed(done):
                self._put(change.path, change.before)
            raise

    def _put(self, file: str, text: str | None) -> None:
        path = os.path.join(self.path, file)
        folder, name = os.path.split(path)
        if text is None:
            if os.path.isdir(folder):
                with _files.open_folder(folder, what=_WHAT) as held:
                    held.remove(name)
            self._remove_if_empty(folder)
            return
        with _files.open_folder(folder, what=_WHAT, make=True) as held:
            held.replace(name, text.encode(errors="surrogateescape"), 0o644)

    def _remove_if_empty(self, folder: str) -> None:
        """Git has no empty folders, so none is left, nor those above it; never the tree itself."""
        while folder != self.path and os.path.isdir(folder) and not os.listdir(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)

    def _git(self, *words: str, given: str = "", fine: t.Collection[int] = (0,)) -> str:
        """What git prints.

        :raises NoWorkingTree: it fails.
        """
        command = [_programs.find("git", "git"), "-C", self.path, *words]
        ran = run(command, given, self._deadline, _environment())
        if ran.returncode not in fine:
            raise NoWorkingTree(
                f"Git does not take {self.path} for a working tree: {ran.stderr.strip()[-300:]}",
                hint="Clone the repository there first.",
                path=self.path,
            )
        return ran.stdout


def _environment() -> dict[str, str]:
    """Without what a hook of Git, in which this may run, says of another repository."""
    return {name: value for name, value in _programs.environment().items() if not name.startswith("GIT_")}


def run(command: t.Sequence[str], given: str, deadline: float, env: t.Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    :param given: its standard input.
    :param deadline: of ``time.monotonic()``.
    :raises TimedOut: it has not ended by then, and was killed.
    :raises InvalidOption: it could not be started.
    """
    left = max(deadline - time.monotonic(), 0.1)
    try:
        return _programs.run(command, left, env, given)
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{command[0]} did not end in time.", hint="Raise timeout, or look why it waits.") from error
    except OSError as error:
        raise InvalidOption(f"{command[0]} could not be started: {error.strerror}.", hint="Give its path.") from error
