# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one way of cloning has of its own; all else is the same for every way."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from .._connector.batch import Work
    from .._connector.session import Session
    from .._errors import Reason
    from .facts import Existing, Parent
    from .job import Job, Standing
    from .plan import Step
    from .survey import Item, Survey


class Kind(t.Protocol):
    """A way of cloning, with the options of one task.

    :ivar source: the option that names what is cloned, which is also what messages and the result call it.
    :ivar sources: what the result calls the list of all that are cloned; empty where it can only be one.
    :ivar born: the power state of a clone that is there in full; empty where any will do.
    """

    source: str
    sources: str
    born: str

    def require(self, session: Session) -> None:
        """Make sure that this vCenter can do it.

        :raises NotSupported: on one that cannot.
        """

    def survey(self, session: Session) -> Survey:
        """Look everything up, in a number of calls that does not depend on the inventory."""

    def step(self, item: Item, folders: dict[str, tuple[str, str]]) -> Step:
        """What brings the clone of a request to what is asked."""

    def absent(self, item: Item) -> Step:
        """What removes the clone of a request."""

    def check(self, steps: t.Sequence[Step]) -> None:
        """Refuse, before anything is changed, what cannot succeed.

        :raises InvalidOption: saying why.
        """

    def prepare(self, job: Job) -> None:
        """What is done once, before clones are made.

        :raises VforgeError: then none is made.
        """

    def work(self, job: Job, title: str, step: Step) -> Work:
        """The call that makes a clone, or changes an existing one."""

    def question(self, job: Job, title: str, step: Step) -> Work:
        """The call that asks vCenter whether it would make the clone; its result is a list of CheckResult."""

    def finish(self, job: Job, standings: t.Sequence[Standing]) -> Reason | None:
        """What is done with clones that are there; each failure is its standing's.

        :returns: why it ended early, or None.
        """

    def expected(self, step: Step) -> Existing:
        """What a new clone will be, as far as that is known before it is made."""

    def told(self, parent: Parent) -> dict[str, t.Any]:
        """What the result tells of the source."""
