// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package accounts knows who may use the server: users with their passwords and privileges, the live
// sessions, and what each method of the API needs.
package accounts
