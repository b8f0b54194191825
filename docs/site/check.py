# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a built site: every link within it leads somewhere, and in Chromium no picture is missing and no page is too wide.

    check.py SITE [--chromium PATH] [--pictures FOLDER]

Prints what it found, one line each, and ends with 1 if there was anything. Links to other servers are not followed. With
--chromium each page is opened as on a telephone (375 pixels) and on a desktop (1280), and pictures of some are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from bs4 import BeautifulSoup
from playwright.sync_api import Page, sync_playwright

WIDTHS = (375, 1280)
_HEIGHT = 900

# What the browser says of a page: how much wider it is than its window, which element is, and which pictures did not load.
_PROBE = """() => ({
    over: document.documentElement.scrollWidth - window.innerWidth,
    widest: [...document.querySelectorAll("article *, header *, aside *")]
        .filter(each => !each.closest(".table-wrapper, .highlight, .container, .sidebar-drawer, .toc-drawer"))
        .filter(each => each.getBoundingClientRect().right > window.innerWidth + 1)
        .slice(0, 1).map(each => each.tagName + " " + each.textContent.trim().slice(0, 60)),
    missing: [...document.images].filter(each => !each.naturalWidth).map(each => each.getAttribute("src")),
})"""


def broken_links(site: Path) -> Iterator[str]:
    """Links and pictures of all pages that lead to no file of the site or to no place in it; and what the theme refuses."""
    pages = {
        path.resolve(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))
    }
    places = {path: {tag["id"] for tag in tree.find_all(id=True)} for path, tree in pages.items()}
    for path, tree in pages.items():
        if tree.select(".contents"):
            yield f"{path.relative_to(site.resolve())}: has a table of contents, which the theme shows as an error"
        for tag in tree.find_all(["a", "img", "link", "script"]):
            address = tag.get("href") or tag.get("src")
            if address and (reason := _broken(path, address, places)):
                yield f"{path.relative_to(site.resolve())}: {address}: {reason}"


def _broken(page: Path, address: str, places: dict[Path, set[str]]) -> str:
    """Why an address on a page leads nowhere; nothing for one that does, or that is of another server."""
    if urlsplit(address).scheme or address.startswith("//"):
        return ""
    name, place = urldefrag(address)
    target = (page.parent / unquote(urlsplit(name).path)).resolve() if name else page
    if not target.is_file():
        return "no such file"
    if place and target in places and unquote(place) not in places[target]:
        return "no such place"
    return ""


def seen(site: Path, chromium: str, pictures: Path | None) -> Iterator[str]:
    """What Chromium shows of all pages and should not."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": _HEIGHT}, offline=True)
            for path in sorted(site.rglob("*.html")):
                yield from _look(page, path, f"{path.relative_to(site)} at {width} px")
                if pictures and (path.parent.name == "docsite" or path.name == "index.html"):
                    page.screenshot(path=str(pictures / f"{path.stem}-{width}.png"), full_page=True)
        browser.close()


def _look(page: Page, path: Path, name: str) -> Iterator[str]:
    page.goto(path.resolve().as_uri())
    found = page.evaluate(_PROBE)
    if found["over"] > 0:
        yield f"{name}: {found['over']} px too wide: {found['widest']}"
    yield from (f"{name}: {source} does not load" for source in found["missing"])


def main() -> int:
    """The command line: see the top of this file."""
    parser = argparse.ArgumentParser(prog="check.py")
    parser.add_argument("site", type=Path)
    parser.add_argument("--chromium", default="")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    found = list(broken_links(options.site))
    if options.chromium:
        found += seen(options.site, options.chromium, options.pictures)
    print("\n".join(found) or "nothing to complain of")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
