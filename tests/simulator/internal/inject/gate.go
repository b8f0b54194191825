// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package inject

import (
	"context"
	"log"
	"net"
	"sync"
	"time"
)

// Gate stands between the network and the SDK endpoint. It is open until a rule has
// the server be silent, frozen, gone or restarting, and opens again with the end of
// the rules.
type Gate struct {
	net.Listener
	mu     sync.Mutex
	state  string        // one of the actions DoSilence, DoFreeze, DoGone, DoRestart, or nothing
	until  time.Time     // when a restart is over; zero for never
	opened chan struct{} // closed when the gate opens again
	conns  map[*gateConn]bool
}

// NewGate stands before a listener, open.
func NewGate(l net.Listener) *Gate {
	return &Gate{Listener: l, conns: make(map[*gateConn]bool)}
}

// Now is what the gate does at present.
func (g *Gate) Now() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current()
}

func (g *Gate) current() string {
	if g.state == DoRestart && !g.until.IsZero() && time.Now().After(g.until) {
		g.open()
	}
	return g.state
}

// Become changes what the gate does to calls from now on, and to those that are not
// answered yet.
func (g *Gate) Become(state string, d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	g.state, g.until = state, time.Time{}
	if d > 0 {
		g.until = time.Now().Add(d)
	}
	for conn := range g.conns {
		if state == DoGone {
			conn.reset()
		}
		conn.mute = state == DoSilence || state == DoFreeze
	}
}

// Wait returns when the gate is open, or when ctx is done.
func (g *Gate) Wait(ctx context.Context) {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened == nil {
		return
	}
	select {
	case <-opened:
	case <-ctx.Done():
	}
}

// Calm opens the gate. What was held is not answered any more.
func (g *Gate) Calm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open()
	for conn := range g.conns {
		if conn.mute {
			conn.reset()
		}
	}
}

func (g *Gate) open() {
	g.state = ""
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// Accept lets nobody in while the server is gone.
func (g *Gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		known := &gateConn{Conn: conn, gate: g, closed: make(chan struct{})}
		g.mu.Lock()
		gone := g.current() == DoGone
		if !gone {
			g.conns[known] = true
		}
		g.mu.Unlock()
		if !gone {
			return known, nil
		}
		known.reset()
	}
}

// Close closes the listener and lets go of what is held.
func (g *Gate) Close() error {
	g.Calm()
	return g.Listener.Close()
}

// held returns a channel to wait on before a connection may be used, or nil.
func (g *Gate) held(reading bool, conn *gateConn) <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state := g.current(); (reading && state == DoFreeze) || (!reading && conn.mute && state != "") {
		return g.opened
	}
	return nil
}

// gateConn is a connection that is held while the server is frozen.
type gateConn struct {
	net.Conn
	gate   *Gate
	mute   bool // guarded by gate.mu: opened before the server fell silent, so that nothing comes any more
	once   sync.Once
	closed chan struct{}
}

// Read waits while the server is frozen: not even the TLS handshake gets an answer.
func (c *gateConn) Read(b []byte) (int, error) {
	if err := c.wait(true); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write waits while the server is silent.
func (c *gateConn) Write(b []byte) (int, error) {
	if err := c.wait(false); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *gateConn) wait(reading bool) error {
	held := c.gate.held(reading, c)
	if held == nil {
		return nil
	}
	select {
	case <-held:
	case <-c.closed:
	}
	return net.ErrClosed
}

// Close forgets the connection.
func (c *gateConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// reset closes the connection as the machine behind it would that is gone.
func (c *gateConn) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			log.Printf("vforge-sim: resetting a connection: %v", err)
		}
	}
	if err := c.Conn.Close(); err != nil {
		log.Printf("vforge-sim: resetting a connection: %v", err)
	}
}
