// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package accounts

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/vmware/govmomi/vim25/soap"

	"vforge.vsphere/simulator/internal/ids"
)

// Session is a login that is alive.
type Session struct {
	Token string // the cookie's value; vcsim never sees it
	Key   string // UserSession.key, which is vcsim's own cookie
	User  string
	since time.Time
	calls int
	// active is when its last call came or was answered, running how many are not answered yet.
	active  time.Time
	running int
}

// Sessions knows the live sessions by cookie. The cookie is not the session's
// key, as in vCenter: a key that leaks through the API logs nobody in.
type Sessions struct {
	mu      sync.Mutex
	byToken map[string]*Session
	// Idle is how long a session lives without a call; 0 for ever.
	Idle time.Duration
	// clock is that of a test; nil for the machine's.
	clock func() time.Time
	// missingSet has property reads on a dead session answered with a fault for
	// each property in place of one fault for the call.
	missingSet bool
}

// Open gives a new login its cookie.
func (t *Sessions) Open(key, user string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byToken == nil {
		t.byToken = make(map[string]*Session)
	}
	s := &Session{Token: ids.NewToken(), Key: key, User: user, since: time.Now(), active: t.now()}
	t.byToken[s.Token] = s
	return s
}

func (t *Sessions) now() time.Time {
	if t.clock != nil {
		return t.clock()
	}
	return time.Now()
}

// SetClock has a test say what time it is.
func (t *Sessions) SetClock(now func() time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clock = now
}

// EndIdle ends the sessions of which nothing was heard for as long as one lives without a call, and returns them. A call
// that is not answered yet keeps its session.
func (t *Sessions) EndIdle() []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.Idle <= 0 {
		return nil
	}
	var dead []*Session
	for token, s := range t.byToken {
		if s.running == 0 && t.now().Sub(s.active) > t.Idle {
			delete(t.byToken, token)
			dead = append(dead, s)
		}
	}
	return dead
}

// Begin notes that a session has a call, and End that it is answered.
func (t *Sessions) Begin(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.running++
	s.active = t.now()
}

// End is for Begin.
func (t *Sessions) End(s *Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.running--
	s.active = t.now()
}

// Of returns the session of a request's cookie, or nil.
func (t *Sessions) Of(r *http.Request) *Session {
	cookie, err := r.Cookie(soap.SessionCookieName)
	if err != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.byToken[cookie.Value]
	if s != nil {
		s.calls++
		s.active = t.now()
	}
	return s
}

// Named returns the session of a cookie's value, or nil.
func (t *Sessions) Named(token string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byToken[token]
}

// ByKey returns the live session with a key, or nil.
func (t *Sessions) ByKey(key string) *Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.byToken {
		if s.Key == key {
			return s
		}
	}
	return nil
}

// Alive tells if a session with this key lives.
func (t *Sessions) Alive(key string) bool { return t.ByKey(key) != nil }

// Close ends a session.
func (t *Sessions) Close(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for token, s := range t.byToken {
		if s.Key == key {
			delete(t.byToken, token)
		}
	}
}

// Expire ends all sessions and returns them.
func (t *Sessions) Expire(missingSet bool) []*Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	var dead []*Session
	for _, s := range t.byToken {
		dead = append(dead, s)
	}
	t.byToken, t.missingSet = nil, missingSet
	return dead
}

// HidesFaults tells if property reads on a dead session answer without a fault of the call.
func (t *Sessions) HidesFaults() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.missingSet
}

// List describes the live sessions; keys are cut short.
func (t *Sessions) List() []map[string]any {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]map[string]any, 0, len(t.byToken))
	for _, s := range t.byToken {
		key, _, _ := strings.Cut(s.Key, "-")
		out = append(out, map[string]any{
			"key": key + "...", "username": s.User, "since": s.since.UTC().Format(time.RFC3339Nano), "calls": s.calls,
		})
	}
	return out
}

// CookieWriter gives a client the session's cookie in place of vcsim's.
type CookieWriter struct {
	http.ResponseWriter
	Open func(key string) string
}

// WriteHeader rewrites Set-Cookie on the way out, spelled as vCenter does: quoted.
func (w *CookieWriter) WriteHeader(status int) {
	cookies := w.Header()["Set-Cookie"]
	for i, line := range cookies {
		c, err := http.ParseSetCookie(line)
		if err == nil && c.Name == soap.SessionCookieName {
			cookies[i] = soap.SessionCookieName + `="` + w.Open(c.Value) + `"; Path=/; HttpOnly; Secure;`
		}
	}
	w.ResponseWriter.WriteHeader(status)
}
