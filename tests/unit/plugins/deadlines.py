# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let deadlines pass at an exact moment of a run, whatever the machine is busy with."""

from __future__ import annotations

import contextlib
import time
import typing as t
from unittest import mock

from ansible_collections.vforge.vsphere.plugins.module_utils._connector import soap

# Longer than any task may take.
_FOR_EVER = 10.0**6


@contextlib.contextmanager
def time_over(
    after: str, count: int = 1, *, since: tuple[str, int] | None = None, saying: str = "", seconds: float = _FOR_EVER
) -> t.Iterator[None]:
    """Let the time be over when a call has come to its end.

    Deadlines count by ``time.monotonic``, which leaps then: none that is nearer is missed before, and none is met any more. No
    other thread may be in the middle of a call, or that one is late, too.

    :param after: the method of the call.
    :param count: which of its calls it is.
    :param since: its calls count from where another method has been called so often.
    :param saying: only those count whose answer has this text in it.
    :param seconds: how far the clock leaps.
    """
    clock, send, ended = time.monotonic, soap.Stub._invoke, dict[str, int]()
    ahead = 0.0

    def invoke(stub: t.Any, mo: t.Any, info: t.Any, *args: t.Any) -> t.Any:
        nonlocal ahead
        name, answer = info.wsdlName, None
        counts = name != after or since is None or ended.get(since[0], 0) >= since[1]
        try:
            answer = send(stub, mo, info, *args)
        finally:
            ended[name] = ended.get(name, 0) + (counts and (name != after or not saying or saying in str(answer)))
            if ended.get(after, 0) >= count:
                ahead = seconds
        return answer

    def now() -> float:
        return clock() + ahead

    with mock.patch.object(time, "monotonic", now), mock.patch.object(soap.Stub, "_invoke", invoke):
        yield
    assert ahead, f"{after} was not called {count} times: {ended}"
