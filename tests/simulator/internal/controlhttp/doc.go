// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package controlhttp is how the control endpoint speaks: JSON comes in, JSON goes out, and so does what is refused.
package controlhttp
