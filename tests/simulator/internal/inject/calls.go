// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inject

import (
	"context"
	"maps"
	"sync"
)

// Calls counts SOAP calls by method, as they arrive.
type Calls struct {
	mu       sync.Mutex
	total    int
	byMethod map[string]int
	// more is closed with the next call, if anybody waits for one.
	more chan struct{}
}

// Add counts a call.
func (c *Calls) Add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byMethod == nil {
		c.byMethod = make(map[string]int)
	}
	c.total++
	c.byMethod[method]++
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
}

// Wait returns when a method was called so often, or with the context.
func (c *Calls) Wait(ctx context.Context, method string, count int) {
	for {
		c.mu.Lock()
		if c.byMethod[method] >= count {
			c.mu.Unlock()
			return
		}
		if c.more == nil {
			c.more = make(chan struct{})
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// Reset counts from nothing again.
func (c *Calls) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.byMethod = 0, nil
}

// Snapshot returns how many calls there were, in all and by method.
func (c *Calls) Snapshot() (int, map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := maps.Clone(c.byMethod)
	if by == nil {
		by = map[string]int{}
	}
	return c.total, by
}
