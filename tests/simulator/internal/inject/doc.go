// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package inject is the trouble that a test asks for: calls that are counted, delayed, failed or dropped by
// rules, and a server that is silent, frozen, gone or restarting.
package inject
