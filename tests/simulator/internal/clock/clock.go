// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package sim is a vCenter for tests: govmomi's vcsim with the parts that instant
// clones need, made to refuse what vCenter refuses.
package clock

import (
	"context"
	"time"
)

// Sleep waits for d, or until the client that is waiting has gone.
func Sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
