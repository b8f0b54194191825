// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/soap"
)

// liveSession is a login that is alive.
type liveSession struct {
	token string // the cookie's value; vcsim never sees it
	key   string // UserSession.key, which is vcsim's own cookie
	user  string
	since time.Time
	calls int
}

// sessionTable knows the live sessions by cookie. The cookie is not the session's
// key, as in vCenter: a key that leaks through the API logs nobody in.
type sessionTable struct {
	mu      sync.Mutex
	byToken map[string]*liveSession
	// missingSet has property reads on a dead session answered with a fault for
	// each property in place of one fault for the call.
	missingSet bool
}

func newToken() string {
	var b [20]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // the system's random source is gone: nothing sensible can follow
	}
	return hex.EncodeToString(b[:])
}

// open gives a new login its cookie.
func (t *sessionTable) open(key, user string) *liveSession {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byToken == nil {
		t.byToken = make(map[string]*liveSession)
	}
	s := &liveSession{token: newToken(), key: key, user: user, since: time.Now()}
	t.byToken[s.token] = s
	return s
}

// of returns the session of a request's cookie, or nil.
func (t *sessionTable) of(r *http.Request) *liveSession {
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byToken[cookie.Value]
	if s != nil {
		s.calls++
	}
	return s
}

// named returns the session of a cookie's value, or nil.
func (t *sessionTable) named(token string) *liveSession {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byToken[token]
}

func (t *sessionTable) byKey(key string) *liveSession {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byToken {
		if s.key == key {
			return s
		}
	}
	return nil
}

// alive tells if a session with this key lives.
func (t *sessionTable) alive(key string) bool { return t.byKey(key) != nil }

func (t *sessionTable) close(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token, s := range t.byToken {
		if s.key == key {
			delete(t.byToken, token)
		}
	}
}

// expire ends all sessions and returns them.
func (t *sessionTable) expire(missingSet bool) []*liveSession {
	t.mu.Lock()
	defer t.mu.Unlock()
	var dead []*liveSession
	for _, s := range t.byToken {
		dead = append(dead, s)
	}
	t.byToken, t.missingSet = nil, missingSet
	return dead
}

func (t *sessionTable) hidesFaults() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.missingSet
}

// list describes the live sessions; keys are cut short.
func (t *sessionTable) list() []map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]map[string]any, 0, len(t.byToken))
	for _, s := range t.byToken {
		key, _, _ := strings.Cut(s.key, "-")
		out = append(out, map[string]any{
			"key": key + "...", "username": s.user, "since": s.since.UTC().Format(time.RFC3339Nano), "calls": s.calls,
		})
	}
	return out
}

// cookieWriter gives a client the session's cookie in place of vcsim's.
type cookieWriter struct {
	http.ResponseWriter
	open func(key string) string
}

// WriteHeader rewrites Set-Cookie on the way out, spelled as vCenter does: quoted.
func (w *cookieWriter) WriteHeader(status int) {
	cookies := w.Header()["Set-Cookie"]
	for i, line := range cookies {
		c, err := http.ParseSetCookie(line)
		if err == nil && c.Name == soap.SessionCookieName {
			cookies[i] = soap.SessionCookieName + `="` + w.open(c.Value) + `"; Path=/; HttpOnly; Secure;`
		}
	}
	w.ResponseWriter.WriteHeader(status)
}
