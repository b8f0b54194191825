// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package sim is a vCenter for tests: govmomi's vcsim with the parts that instant
// clones need, made to refuse what vCenter refuses. It joins the parts, starts and ends them,
// and hands each call to the part that answers it.
package sim
