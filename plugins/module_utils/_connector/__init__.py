# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a vCenter: everything that several domains need, usable part by part, in a module or
outside of one.

A session. It is opened in at most three calls, in one where an earlier task has kept it; each error
has its code::

    options = ConnectionOptions.from_params({"hostname": "vc.example", "username": "u", "password": "p"})
    with Session(options, warn=print) as session:
        ...

Finding, in a number of calls that does not depend on the size of the inventory::

    vm = find_vm(session, Selector(name="golden"), datacenter="DC0")
    paths = paths_of(session, [vm])  # {"vm-42": "/DC0/vm/golden"}

Reading many properties of many objects in one call, or along routes from a root; what is gone is
left out::

    rows = read(session, [vm], vim.VirtualMachine, ["name", "runtime.host"])
    every = collect(session, [session.content.rootFolder], {vim.VirtualMachine: ("name",)}, TO_VMS)

A single call. ``retrying`` opens a new session when vCenter has ended this one, and calls once
more::

    found = session.retrying(lambda: session.content.searchIndex.FindByInventoryPath("DC0/vm"))

Many calls at once, one wait for all of their tasks, and an account that no failure and no signal
can falsify::

    works = [Work(name, start=lambda name=name: vm.InstantClone_Task(spec(name)), repeatable=True) for name in wanted]
    done = run_batch(session, works, parallel=8, deadline=time.monotonic() + 600)
    made = [outcome.result for outcome in done.outcomes.values() if outcome.error is None]

Waiting until something holds for each of some objects, with one filter for all, at most four rounds
a second::

    paths = ["runtime.powerState"]
    is_off = lambda update: update.gone or update.state["runtime.powerState"] == "poweredOff"
    late = wait_until(session, made, vim.VirtualMachine, paths, deadline, is_off)

All parts raise ``VforgeError`` and its kinds alone (``_errors``), whose text is for the user to
read. ``faults`` makes them of vSphere's faults; ``names`` is pure. Threads may share a session,
processes may not.
"""
