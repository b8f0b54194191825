# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make docs`: the guides and the reference as a site, which is then looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

from devtools import layout, processes
from devtools.builds import Build
from devtools.console import Console, Outcome
from devtools.provision import Toolbox
from devtools.pythons import Python
from devtools.runs import Run, new_run

SOURCES = layout.ROOT / "docs" / "site"
_IMAGES = layout.ROOT / "docs" / "images"
_SITE = layout.BUILD / "docs"
_PICTURES = layout.BUILD / "docs-pictures"
_PINS = (layout.ROOT / "requirements-dev.txt", layout.ROOT / "requirements-dev.lock")
_REQUIREMENTS = SOURCES / "requirements.txt"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def environment(python: Python) -> Build:
    """The site's own virtual environment: its theme and its browser's driver are of no use to anything else."""

    def make(folder: Path) -> None:
        log = layout.LOGS / "docs-venv.log"
        processes.check([python.path, "-m", "venv", folder], log)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        pins = [word for path in _PINS for word in ("-c", path)]
        processes.check([*pip, "ansible-core", "antsibull-docs", "-r", _REQUIREMENTS, *pins], log)

    return Build("docs-venv", (*_PINS, _REQUIREMENTS, python.path, python.full), make)


def run(console: Console) -> int:
    """Write the site into the build folder and look at it; returns the exit code."""
    console.title("Set up")
    tools = Toolbox(console.part).prepare(simulator=False)
    venv = environment(tools.python).ensure()
    with new_run() as this:
        console.title("Build")
        if console.step("diagrams", lambda: _diagrams(this, tools, venv)).failed:
            return console.summary()
        if console.step("pages", lambda: _build(this, tools, venv)).failed:
            return console.summary()
        console.title("Look at it")
        _check(console, this, tools, venv)
    console.text(f"\n{layout.BUILD.name}/docs/index.html")
    return console.summary()


def draw(console: Console) -> int:
    """Draw the diagrams again, into docs/images; returns the exit code."""
    tools = Toolbox(console.part).prepare(simulator=False)
    venv = environment(tools.python).ensure()
    processes.check([venv / "bin" / "python", SOURCES / "diagrams.py", _IMAGES], layout.LOGS / "diagrams.log", env=tools.env())
    return 0


def _diagrams(this: Run, tools: Toolbox, venv: Path) -> Outcome:
    """The diagrams that are committed are those that the script draws."""
    drawn, log = this.folder / "diagrams", this.log("diagrams")
    drawn.mkdir()
    processes.check([venv / "bin" / "python", SOURCES / "diagrams.py", drawn], log, env=tools.env())
    others = [path.name for path in drawn.iterdir() if path.read_bytes() != _bytes(_IMAGES / path.name)]
    if others:
        log.write_text(
            f"{', '.join(sorted(others))}: not what docs/site/diagrams.py draws; `make diagrams` does.\n", encoding="utf-8"
        )
        raise processes.CommandFailed(["diagrams.py"], 1, log)
    count = len(list(drawn.iterdir()))
    return Outcome(count, note=f"{count} as drawn")


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _build(this: Run, tools: Toolbox, venv: Path) -> Outcome:
    """What antsibull-docs makes of the collection, by Sphinx, where each warning is an error."""
    source, log = this.folder / "site", this.log("docs")
    shutil.copytree(SOURCES, source)
    shutil.copytree(_IMAGES, source / "images")
    # antsibull-docs refuses a folder that others may write to.
    (source / "rst").mkdir(mode=0o700)
    env = tools.env_of(venv, tools.home, ANSIBLE_COLLECTIONS_PATH=str(this.folder))
    words = ["collection", "--use-current", "--squash-hierarchy", "--cleanup", "everything", "--fail-on-error"]
    config: list[str | Path] = ["--config-file", source / "antsibull-docs.cfg"]
    name = f"{layout.NAMESPACE}.{layout.NAME}"
    processes.check([venv / "bin" / "antsibull-docs", *config, *words, "--dest-dir", source / "rst", name], log, env=env)
    sphinx: list[str | Path] = [venv / "bin" / "sphinx-build", "-b", "html", "-W", "--keep-going", "-j", "2", "-q"]
    processes.check([*sphinx, "-c", source, source / "rst", this.folder / "html"], log, env=env)
    shutil.rmtree(_SITE, ignore_errors=True)
    shutil.move(this.folder / "html", _SITE)
    count = len(list(_SITE.rglob("*.html")))
    return Outcome(count, note=f"{count} pages")


def _check(console: Console, this: Run, tools: Toolbox, venv: Path) -> None:
    """Every link, and every page in Chromium where this machine has one."""
    command: list[str | Path] = [venv / "bin" / "python", SOURCES / "check.py", _SITE]
    env = tools.env()

    def links() -> Outcome:
        processes.check(command, this.log("links"), env=env)
        return Outcome(1, note="each leads somewhere")

    def browser() -> Outcome:
        shutil.rmtree(_PICTURES, ignore_errors=True)
        _PICTURES.mkdir()
        processes.check([*command, "--chromium", chromium, "--pictures", _PICTURES], this.log("browser"), env=env)
        return Outcome(1, note="375 and 1280 px, pictures in .build/docs-pictures")

    console.step("links", links)
    chromium = next((path for name in _BROWSERS if (path := shutil.which(name))), "")
    if chromium:
        console.step("pages in Chromium", browser)
    else:
        console.skip("pages in Chromium", "there is none on PATH")
