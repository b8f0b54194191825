// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package tasks is the tasks of the API: queued, running and done, one VM's one after the other, and the room
// that clones have on hosts. The rules and their sources: "Tasks that wait" in the simulator's README.
package tasks
