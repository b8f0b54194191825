# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the unit tests: the simulator, as every test needs it.

`make test` and `make pytest` run these tests in a copy of the checkout and write `simulator.json` beside this file,
which says where the binaries are. Without it those of the last `make setup` are taken.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says nothing but how busy the machine is. The examples are the same in each run, so that a
# test does not fail for a change that has nothing to do with it; `make search` looks for others.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile("search" if os.environ.get("VFORGE_SEARCH") else "repeatable")

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parents[1]
sys.path.insert(0, str(_ROOT / "tests" / "tools"))

from devtools.debian import with_libnbd  # noqa: E402  pylint: disable=wrong-import-position
from vforge_ova import Package, write_package  # noqa: E402  pylint: disable=wrong-import-position
from vforge_sim import Simulator  # noqa: E402  pylint: disable=wrong-import-position
from vforge_spread import spread  # noqa: E402  pylint: disable=wrong-import-position

MakeSim = Callable[..., Simulator]


def _settings() -> dict[str, str]:
    generated = _HERE / "simulator.json"
    if generated.exists():
        settings: dict[str, str] = json.loads(generated.read_text(encoding="utf-8"))
        return settings
    binaries = _ROOT / ".build" / "bin"
    return {"binary": str(binaries / "vforge-sim"), "govc": str(binaries / "govc")}


def _simulator(*flags: str) -> Simulator:
    """A simulator that keeps its files where this run leaves nothing behind, even when it is killed."""
    output = _ROOT / "tests" / "output"
    output.mkdir(exist_ok=True)
    state_dir = tempfile.mkdtemp(prefix="simulator-", dir=output)
    if asked := os.environ.get("VFORGE_RELAY"):
        return _relayed(asked, *flags, state_dir=state_dir)
    return Simulator(_binary("binary"), *flags, state_dir=state_dir)


def _relayed(asked: str, *flags: str, state_dir: str) -> Simulator:
    """One that answers in other ways: kinds of these by commas, a colon, and a seed."""
    from vforge_relay import Relayed

    kinds, _colon, seed = asked.partition(":")
    identity = _HERE / "plugins" / "module_utils" / "connector" / "impostor.pem"
    return Relayed(
        _binary("binary"), *flags, identity=identity, kinds=tuple(kinds.split(",")), seed=int(seed or 1), state_dir=state_dir
    )


def _binary(name: str) -> Path:
    path = Path(_settings()[name])
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make setup`, then the tests by `make pytest`.", pytrace=False)
    return path


class _Shared:
    """The simulator that all tests of one pytest worker use.

    ansible-test runs each test in a fork, where a session's fixture would live for that one test only. So the
    simulator is started in the worker itself, before the first fork, if any collected test wants it.
    """

    def __init__(self) -> None:
        self.simulator: Simulator | None = None
        self.stack = ExitStack()

    def start(self) -> Simulator:
        """The simulator, started with the first call."""
        if self.simulator is None:
            self.simulator = self.stack.enter_context(_simulator())
        return self.simulator


_SHARED = _Shared()


# Who asks for one of these waits for a simulator of its own most of the time.
_WAITING = {"make_sim", "simulator_binary"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have each of several workers begin with tests that wait."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        tests = [(str(item.path), not _WAITING.isdisjoint(getattr(item, "fixturenames", ()))) for item in items]
        items[:] = [items[place] for place in spread(tests, workers)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make this process ready, which the forks of the tests come from: start the shared simulator in it."""
    collecting_only = session.config.option.collectonly
    is_controller = getattr(session.config.option, "dist", "no") != "no" and not hasattr(session.config, "workerinput")
    if collecting_only or is_controller:
        return
    # What all tests have imported is no garbage, and is not looked through for it during each.
    gc.collect()
    gc.freeze()
    wanted = any("shared_sim" in getattr(item, "fixturenames", ()) for item in session.items)
    # When it is missing the tests that want it say so, one by one.
    if wanted and Path(_settings()["binary"]).exists():
        _SHARED.start()


def pytest_sessionfinish() -> None:
    """End the shared simulator."""
    _SHARED.stack.close()


@pytest.fixture(scope="session")
def simulator_binary() -> Path:
    """Path of the simulator."""
    return _binary("binary")


@pytest.fixture(scope="session")
def govc_binary() -> Path:
    """Path of the unmodified govc."""
    return _binary("govc")


@pytest.fixture(scope="session")
def debian() -> Path:
    """Debian's cloud-init and netplan, unpacked; where they cannot be had, the test is skipped."""
    settings = _settings()
    if not settings.get("debian"):
        pytest.skip(settings.get("no_debian") or "run this test by `make pytest`, which unpacks Debian's packages")
    return Path(settings["debian"])


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the commands of qemu-img, qemu-io, qemu-nbd, vmdkinfo, 7z, nbdkit, nbdinfo, nbdcopy, nbdfuse, fuse2fs,
    fusermount, restic, cpuid and cpuid_tool, and `disk-python`: Debian's Python with the modules `nbd` and `pyvmdk`.

    They come from Debian's packages, and are first on PATH. Where they cannot be had, the test is skipped.
    """
    settings = _settings()
    if not settings.get("disk_tools"):
        pytest.skip(settings.get("no_disk_tools") or "run this test by `make pytest`, which unpacks Debian's packages")
    monkeypatch.setenv("PATH", settings["disk_tools"], prepend=os.pathsep)
    return Path(settings["disk_tools"])


@pytest.fixture
def boot_tools(tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same of qemu-system-x86_64 and grub-mkimage, besides those of `tools`."""
    settings = _settings()
    if not settings.get("boot_tools"):
        pytest.skip(settings.get("no_boot_tools") or "run this test by `make pytest`, which unpacks Debian's packages")
    monkeypatch.setenv("PATH", settings["boot_tools"], prepend=os.pathsep)
    assert tools.is_dir()
    return Path(settings["boot_tools"])


@pytest.fixture(scope="session")
def shared_sim() -> Simulator:
    """One simulator with its default inventory for many tests: before each its counts and injected faults are reset."""
    return _SHARED.start()


@pytest.fixture(autouse=True)
def _fresh_shared_sim(request: pytest.FixtureRequest) -> None:
    if "shared_sim" in request.fixturenames:
        simulator: Simulator = request.getfixturevalue("shared_sim")
        simulator.clear()
        simulator.reset_calls()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Leave the signals as they were: what ends by one in this process ignores them from then on, as a module does."""
    ours = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGURG)
    before = {number: signal.getsignal(number) for number in ours}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def make_sim() -> Iterator[MakeSim]:
    """A function that starts a simulator of the test's own with the given flags; they all end with the test."""
    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(_simulator(*flags))


@pytest.fixture
def tiny_ova(tmp_path: Path) -> Package:
    """A small real OVA, and the same as loose files."""
    return write_package(tmp_path / "ova")


@pytest.fixture
def libnbd(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libnbd's Python module, beside the programs of `tools`."""
    monkeypatch.syspath_prepend(str(tools.parent / "usr/lib/python3/dist-packages"))
    _load(tools.parent, "libnbd.so.0")
    pytest.importorskip("libnbdmod", reason="Debian's libnbd is built for another Python than this one")


def _load(root: Path, name: str) -> None:
    """Load a library that was unpacked, after those that it needs: a running process cannot be told where they lie."""
    while True:
        try:
            ctypes.CDLL(next(str(path) for path in root.rglob(name)), ctypes.RTLD_GLOBAL)
            return
        except OSError as error:
            needed = re.match(r"(\S+): cannot open shared object file", str(error))
            if needed is None:
                raise
            _load(root, needed[1])


@pytest.fixture
def programs(tools: Path, libnbd: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """qemu-img, qemu-nbd and libnbd for the modules of a play."""
    for name, value in with_libnbd(tools.parent, tmp_path / "libraries").items():
        monkeypatch.setenv(name, value)
    assert libnbd is None
