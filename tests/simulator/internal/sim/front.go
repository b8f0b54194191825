// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// maxBody is the largest SOAP request that is read; vCenter's own limit is of this
// order.
const maxBody = 64 << 20

// openMethods can be called without a login. Property reads can too: what they
// answer is the property collector's business.
var openMethods = map[string]bool{
	"RetrieveServiceContent": true, "RetrieveInternalContent": true,
	"Login": true, "LoginByToken": true, "LoginExtensionByCertificate": true, "CloneSession": true,
	"Fetch": true, "RetrieveProperties": true, "RetrievePropertiesEx": true,
}

// latencies are the delays added to calls: one for all, and by method.
type latencies struct {
	mu  sync.Mutex
	all time.Duration
	by  map[string]time.Duration
}

func (l *latencies) set(method string, d time.Duration) {
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

func (l *latencies) of(method string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d, ok := l.by[method]; ok {
		return d
	}
	return l.all
}

// front is the HTTP handler of the SDK endpoint: it sees every call before vcsim
// does.
func (s *Sim) front() http.Handler {
	s.svc.Listen = &url.URL{Scheme: "https", Host: s.sdkAddr.String(), Path: "/sdk", User: url.User(s.cfg.Username)}
	m := s.reg.SessionManager()
	m.ServiceHostName = s.sdkAddr.String()
	m.ValidLogin = func(*types.Login) bool { return true } // the shim has checked
	s.svc.RegisterSDK(s.reg, s.reg.Path+"/vimService")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sdk/vimServiceVersions.xml", s.serveVersions)
	mux.HandleFunc("POST /sdk", s.serveSDK)
	mux.HandleFunc("POST /sdk/{$}", s.serveSDK)
	mux.HandleFunc("POST /sdk/vimService", s.serveSDK)
	s.installPolicies()
	mux.HandleFunc("POST /pbm", s.servePBM)
	mux.HandleFunc("POST /pbm/sdk", s.servePBM)
	mux.Handle("/folder/", s.loggedIn(s.serveFolder))
	mux.HandleFunc("/nfc/", s.serveNFC)
	mux.Handle(rest.Path+"/", s.serveREST())
	mux.HandleFunc("/guestFile", s.serveGuestFile)
	return s.guarded(mux)
}

// loggedIn lets only requests with a live session through.
func (s *Sim) loggedIn(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.sessions.of(r) == nil {
			http.Error(w, "not authenticated", http.StatusUnauthorized)
			return
		}
		h(w, r)
	})
}

func (s *Sim) serveSDK(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return
	}
	call, err := parseCall(body)
	if err != nil {
		writeFault(w, &types.InvalidRequest{}, err.Error())
		return
	}
	s.calls.add(call.method)
	call.session = s.sessions.of(r)
	call.version = requestVersion(r.Header.Get("SOAPAction"), s.cfg.APIVersion)
	rule := s.inject.match(call.method, func() []string { return s.names(call) })
	sleep(r.Context(), s.latency.of(call.method))
	s.act(w, r, call, rule)
}

// act answers a call, or does to it what a rule says.
func (s *Sim) act(w http.ResponseWriter, r *http.Request, call *sdkCall, rule *rule) {
	if rule == nil {
		s.answer(w, r, call, nil)
		return
	}
	switch rule.Do {
	case doDelay:
		rule.delay(r.Context())
		s.answer(w, r, call, nil)
	case doFault:
		fault, _ := newFault(rule.Fault, rule.Message) // checked when the rule was made
		writeFault(w, fault, rule.Message)
	case doTaskFault:
		s.answer(w, r, call, rule)
	case doStatus:
		http.Error(w, rule.Message, rule.Status)
	case doDropAfter:
		s.answer(httptest.NewRecorder(), r, call, nil)
		hangUp(w)
	case doDrop:
		hangUp(w)
	case doHalf:
		s.answerHalf(w, r, call, time.Duration(rule.DelayMS)*time.Millisecond)
	case doExpire:
		s.endSessions(false)
		s.answer(w, r, call, nil)
	case doSignal:
		if err := syscall.Kill(rule.PID, ruleSignals[rule.Signal]); err != nil {
			log.Printf("vforge-sim: sending a signal to %d: %v", rule.PID, err)
		}
		sleep(r.Context(), time.Duration(rule.DelayMS)*time.Millisecond)
		s.answer(w, r, call, nil)
	case doSilence, doFreeze, doGone, doRestart:
		if rule.Do == doRestart {
			s.endSessions(false)
		}
		s.gate.become(rule.Do, time.Duration(rule.DelayMS)*time.Millisecond)
		s.turnAway(w, r, rule.Do)
	}
}

// answerHalf carries a call out and sends half of the answer, then nothing for a while,
// then the end of the connection.
func (s *Sim) answerHalf(w http.ResponseWriter, r *http.Request, call *sdkCall, silent time.Duration) {
	whole := httptest.NewRecorder()
	s.answer(whole, r, call, nil)
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
	w.WriteHeader(whole.Code)
	_, err := w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		log.Printf("vforge-sim: sending half of an answer: %v", err)
	}
	sleep(r.Context(), silent)
	hangUp(w)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		err = conn.Close()
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		log.Printf("vforge-sim: dropping a connection: %v", err)
	}
}

// answer carries out a call. With a rule, what the call starts fails.
func (s *Sim) answer(w http.ResponseWriter, r *http.Request, call *sdkCall, failing *rule) {
	if call.session != nil && s.sessions.named(call.session.token) == nil {
		call.session = nil // it has ended while the call was held up
	}
	if fault, text := s.refuse(call); fault != nil {
		writeFault(w, fault, text)
		return
	}
	if failing != nil {
		s.answerFailing(w, call, failing)
		return
	}
	// vcsim's cookie is the session's key.
	r.Header.Del("Cookie")
	if call.session != nil {
		r.Header.Set("Cookie", soap.SessionCookieName+"="+call.session.key)
	}
	if strings.HasPrefix(call.method, "WaitForUpdates") {
		defer s.props.hub.waiting(call.this, r.Context())()
	}
	r.Body = io.NopCloser(bytes.NewReader(call.body))
	r.URL.Path = s.reg.Path
	s.svc.ServeSDK(&cookieWriter{w, s.openSession}, r)
}

// openSession is called when vcsim has logged somebody in.
func (s *Sim) openSession(key string) string {
	if live := s.sessions.byKey(key); live != nil {
		return live.token
	}
	return s.sessions.open(key, s.userOf(key)).token
}

// userOf asks vcsim whose session a key is.
func (s *Sim) userOf(key string) string {
	view, ok := s.background("").Session.Get(s.reg.SessionManager().Self).(*simulator.SessionManager)
	if ok {
		for _, u := range view.SessionList {
			if u.Key == key {
				return u.UserName
			}
		}
	}
	return ""
}

// refuse checks what vcsim does not: the session, the API version and the caller's
// privileges on the object of the call.
func (s *Sim) refuse(call *sdkCall) (types.BaseMethodFault, string) {
	if call.session == nil && !openMethods[call.method] {
		return notAuthenticated(call.this), ""
	}
	if since, ok := methodSince[call.method]; ok && versionLess(call.version, since) {
		return unknownMethod(call.method)
	}
	if fault := s.forkMethodFault(call); fault != nil {
		return fault, ""
	}
	if call.session == nil {
		return nil, ""
	}
	if name := missingParam(call); name != "" {
		return &types.InvalidRequest{}, "Required property " + name + " is missing from the parameters of " + call.method
	}
	if call.this.Type == "VirtualMachine" && changesVM(call.method) {
		if fault := s.inProgress(call.this); fault != nil {
			return fault, ""
		}
	}
	if s.reg.Get(call.this) != nil {
		for _, p := range methodPrivileges(call.this.Type, call.method) {
			if fault := s.auth.denied(call.session.user, call.this, p); fault != nil {
				return fault, ""
			}
		}
	}
	return nil, ""
}

// notAuthenticated is the fault of a call without a live session.
func notAuthenticated(object types.ManagedObjectReference) types.BaseMethodFault {
	return &types.NotAuthenticated{NoPermission: types.NoPermission{Object: &object, PrivilegeId: "System.View"}}
}

// unknownMethod is how a server answers a method that its version does not have.
func unknownMethod(method string) (types.BaseMethodFault, string) {
	return &types.InvalidRequest{}, "Unable to resolve WSDL method name " + method + " for namespace name urn:vim25\n\n" +
		"while parsing SOAP body"
}

// answerFailing accepts a call whose task then fails as a rule says.
func (s *Sim) answerFailing(w http.ResponseWriter, call *sdkCall, rule *rule) {
	fault, _ := newFault(rule.Fault, rule.Message) // checked when the rule was made
	if call.method == "ImportVApp" && s.reg.Get(call.this) != nil {
		writeTask(w, call.method, s.failingImport(call, fault))
		return
	}
	task, ok := s.failingTask(call, fault)
	if !ok {
		writeFault(w, &types.ManagedObjectNotFound{Obj: call.this}, "")
		return
	}
	writeTask(w, call.method, task)
}
