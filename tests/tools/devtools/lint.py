# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks that read the code and run none of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from devtools import layout, processes
from devtools.console import Outcome
from devtools.lanes import Lane, counted
from devtools.processes import CommandFailed
from devtools.provision import Toolbox
from devtools.runs import Run

_SHEBANGS = (b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash")


@dataclass(frozen=True)
class Lint:
    """The linters, on one run. ansible-lint and antsibull-docs find the collection by its path in the run."""

    run: Run
    tools: Toolbox

    def lanes(self) -> list[Lane]:
        """They all, each as a step of its own."""
        steps = {
            "ansible-lint": self.ansible_lint,
            "mypy": self.mypy,
            "docs": self.docs,
            "ruff": self.ruff,
            "ruff format": self.ruff_format,
            "shellcheck": self.shellcheck,
            "gofmt": self.gofmt,
            "changelog": self.changelog,
        }
        return counted("lint", steps)

    def _check(self, name: str, *words: str | Path, cwd: Path | None = None, **env: str) -> str:
        command = [self.tools.tool(str(words[0])), *words[1:]]
        env = self.tools.env(ANSIBLE_COLLECTIONS_PATH=str(self.run.folder), **env)
        return processes.check(command, self.run.log(name), cwd=cwd or self.run.collection, env=env)

    def ruff(self) -> Outcome:
        """The rules that pyproject.toml names."""
        cache = str(layout.CACHE / "ruff")
        self._check("ruff", "ruff", "check", "--no-fix", RUFF_CACHE_DIR=cache)
        return Outcome(1, note="rules")

    def ruff_format(self) -> Outcome:
        """One format for all."""
        self._check("ruff format", "ruff", "format", "--diff", RUFF_CACHE_DIR=str(layout.CACHE / "ruff"))
        return Outcome(1, note="format")

    def mypy(self) -> Outcome:
        """mypy --strict on what the collection is made of, and on these tools."""
        cache = str(layout.CACHE / "mypy")
        config = self.run.collection / "pyproject.toml"
        options: list[str | Path] = ["--config-file", config, "--cache-dir", cache]
        package = f"ansible_collections.{layout.NAMESPACE}.{layout.NAME}.plugins.module_utils"
        self._check("mypy", "mypy", *options, "-p", package, cwd=self.run.folder)
        self._check("mypy", "mypy", *options, "-p", "devtools", cwd=self.run.collection / "tests" / "tools")
        return Outcome(2, note="module_utils, devtools")

    def ansible_lint(self) -> Outcome:
        """Profile production, nothing skipped; in a copy of its own, for it writes into the one that it reads."""
        own = replace(self, run=self.run.copy("ansible-lint"))
        own._check("ansible-lint", "ansible-lint", "--offline", "--nocolor", "--profile", "production", "--strict")
        return Outcome(1, note="profile production")

    def docs(self) -> Outcome:
        """The documentation of the plugins, and of the collection."""
        self._check("docs", "antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", ".")
        return Outcome(1, note="antsibull-docs")

    def changelog(self) -> Outcome:
        """The changelog's fragments."""
        self._check("changelog", "antsibull-changelog", "lint")
        return Outcome(1, note="antsibull-changelog")

    def shellcheck(self) -> Outcome:
        """Every shell script of the checkout."""
        scripts = [path for path in self.run.collection.rglob("*") if ".git" not in path.parts and _is_shell(path)]
        self._check("shellcheck", "shellcheck", *scripts)
        return Outcome(len(scripts), note=f"{len(scripts)} scripts")

    def gofmt(self) -> Outcome:
        """Every Go file of the simulator."""
        log = self.run.log("gofmt")
        files = sorted((self.run.collection / "tests" / "simulator").rglob("*.go"))
        if unformatted := processes.check([self.tools.go.tool("gofmt"), "-l", *files], log, env=self.tools.go.env()).strip():
            raise CommandFailed(["gofmt", "-l", unformatted], 1, log)
        return Outcome(len(files), note=f"{len(files)} files")


def _is_shell(path: Path) -> bool:
    if path.is_symlink() or not path.is_file() or path.suffix == ".py":
        return False
    with path.open("rb") as handle:
        return handle.readline().startswith(_SHEBANGS)
