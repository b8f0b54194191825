// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"maps"
	"sync"
)

// callCounter counts SOAP calls by method, as they arrive.
type callCounter struct {
	mu       sync.Mutex
	total    int
	byMethod map[string]int
}

func (c *callCounter) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byMethod == nil {
		c.byMethod = make(map[string]int)
	}
	c.total++
	c.byMethod[method]++
}

func (c *callCounter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.byMethod = 0, nil
}

func (c *callCounter) snapshot() (int, map[string]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := maps.Clone(c.byMethod)
	if by == nil {
		by = map[string]int{}
	}
	return c.total, by
}
