// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inject

import (
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Latencies are the delays added to calls: one for all, and by method.
type Latencies struct {
	mu  sync.Mutex
	all time.Duration
	by  map[string]time.Duration
}

// Set sets the delay of a method; "*" is all of them.
func (l *Latencies) Set(method string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if method == "*" {
		l.all, l.by = d, nil
		return
	}
	if l.by == nil {
		l.by = make(map[string]time.Duration)
	}
	l.by[method] = d
}

// Of is the delay of a method.
func (l *Latencies) Of(method string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d, ok := l.by[method]; ok {
		return d
	}
	return l.all
}

// HangUp closes the connection without an answer.
func HangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		err = conn.Close()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrHijacked) {
		log.Printf("vforge-sim: dropping a connection: %v", err)
	}
}
