// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package wire is SOAP as it comes and goes: what a request calls, and the front's own answers.
package wire
