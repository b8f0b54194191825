// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/apiversion"
	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/wire"
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
	mux.HandleFunc("POST /pbm", s.serveBeside("StorageProfile.View"))
	mux.HandleFunc("POST /pbm/sdk", s.serveBeside("StorageProfile.View"))
	s.installVSLM()
	mux.HandleFunc("POST /vslm/sdk", s.serveBeside("System.View"))
	mux.Handle("/folder/", s.counted(s.loggedIn(s.serveFolder)))
	mux.HandleFunc("/nfc/", s.counted(s.serveNFC))
	mux.Handle(rest.Path+"/", s.serveREST())
	mux.HandleFunc("/guestFile", s.counted(s.serveGuestFile))
	return s.guarded(mux)
}

// loggedIn lets only requests with a live session through.
func (s *Sim) loggedIn(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.endIdleSessions()
		if s.sessions.Of(r) == nil {
			http.Error(w, "not authenticated", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

func (s *Sim) serveSDK(w http.ResponseWriter, r *http.Request) {
	s.underway.Add(1)
	defer s.underway.Add(-1)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "request body: "+err.Error(), http.StatusBadRequest)
		return
	}
	call, err := wire.Parse(body)
	if err != nil {
		wire.WriteFault(w, &types.InvalidRequest{}, err.Error())
		return
	}
	s.calls.Add(call.Method)
	s.endIdleSessions()
	if call.Session = s.sessions.Of(r); call.Session != nil {
		session := call.Session
		s.sessions.Begin(session)
		defer s.sessions.End(session)
	}
	call.Version = apiversion.OfRequest(r.Header.Get("SOAPAction"), s.cfg.APIVersion)
	rule := s.inject.Match(call.Method, func() []string { return s.names(call) })
	clock.Sleep(r.Context(), s.latency.Of(call.Method))
	s.act(w, r, call, rule)
}

// act answers a call, or does to it what a rule says.
func (s *Sim) act(w http.ResponseWriter, r *http.Request, call *wire.Call, rule *inject.Rule) {
	if rule == nil {
		s.answer(w, r, call, nil)
		return
	}
	switch rule.Do {
	case inject.DoDelay:
		rule.Delay(r.Context())
		s.answer(w, r, call, nil)
	case inject.DoLate:
		whole := httptest.NewRecorder()
		s.answer(whole, r, call, nil)
		rule.Delay(r.Context())
		pass(w, whole)
	case inject.DoFault:
		fault, _ := faults.New(rule.Fault, rule.Message) // checked when the rule was made
		wire.WriteFault(w, fault, rule.Message)
	case inject.DoTaskFault:
		s.answer(w, r, call, rule)
	case inject.DoStatus:
		http.Error(w, rule.Message, rule.Status)
	case inject.DoStatusAfter:
		s.answer(httptest.NewRecorder(), r, call, nil)
		http.Error(w, rule.Message, rule.Status)
	case inject.DoDropAfter:
		s.answer(httptest.NewRecorder(), r, call, nil)
		inject.HangUp(w)
	case inject.DoDrop:
		inject.HangUp(w)
	case inject.DoHalf:
		s.answerHalf(w, r, call, time.Duration(rule.DelayMS)*time.Millisecond)
	case inject.DoTaskFaultAfter:
		s.answerThenFail(w, r, call, rule)
	case inject.DoExpire, inject.DoLeaseTimeout, inject.DoSignal:
		s.upset(r, rule)
		s.answer(w, r, call, nil)
	case inject.DoSilence, inject.DoFreeze, inject.DoGone, inject.DoRestart:
		if rule.Do == inject.DoRestart {
			s.endSessions(false)
		}
		s.gate.Become(rule.Do, time.Duration(rule.DelayMS)*time.Millisecond)
		s.turnAway(w, r, rule.Do)
	}
}

// answerHalf carries a call out and sends half of the answer, then nothing for a while,
// then the end of the connection.
func (s *Sim) answerHalf(w http.ResponseWriter, r *http.Request, call *wire.Call, silent time.Duration) {
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
	clock.Sleep(r.Context(), silent)
	inject.HangUp(w)
}

// answer carries out a call. With a rule, what the call starts fails.
func (s *Sim) answer(w http.ResponseWriter, r *http.Request, call *wire.Call, failing *inject.Rule) {
	if call.Session != nil && s.sessions.Named(call.Session.Token) == nil {
		call.Session = nil // it has ended while the call was held up
	}
	if fault, text := s.refuse(call); fault != nil {
		wire.WriteFault(w, fault, text)
		return
	}
	if failing != nil {
		s.answerFailing(w, call, failing)
		return
	}
	// vcsim's cookie is the session's key.
	r.Header.Del("Cookie")
	if call.Session != nil {
		r.Header.Set("Cookie", soap.SessionCookieName+"="+call.Session.Key)
	}
	if strings.HasPrefix(call.Method, "WaitForUpdates") {
		defer s.props.Hub.Waiting(call.This, r.Context())()
	}
	if mend := mends[call.Method]; mend != nil {
		whole, to := httptest.NewRecorder(), w
		w = whole
		defer func() {
			whole.Body = bytes.NewBuffer(mend(whole.Body.Bytes()))
			pass(to, whole)
		}()
	}
	r.Body = io.NopCloser(bytes.NewReader(call.Body))
	r.URL.Path = s.reg.Path
	s.svc.ServeSDK(&accounts.CookieWriter{ResponseWriter: w, Open: s.openSession}, r)
}

// nothingFetched is the answer to a read of a property that is not set.
const nothingFetched = `<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>` +
	`<FetchResponse xmlns="urn:vim25"></FetchResponse></soapenv:Body></soapenv:Envelope>`

// mends puts right what vcsim's types cannot say, by methods.
var mends = map[string]func(answer []byte) []byte{
	// Where a property is not set vcsim answers as if another method had been called.
	"Fetch": func(answer []byte) []byte {
		if bytes.Contains(answer, []byte("<RetrievePropertiesExResponse")) {
			return []byte(nothingFetched)
		}
		return answer
	},
	// An exit code of 0 is left out, and clients that wait for one would wait for ever.
	"ListProcessesInGuest": func(answer []byte) []byte {
		return bytes.ReplaceAll(answer, []byte("</endTime></returnval>"), []byte("</endTime><exitCode>0</exitCode></returnval>"))
	},
}

// openSession is called when vcsim has logged somebody in.
func (s *Sim) openSession(key string) string {
	if live := s.sessions.ByKey(key); live != nil {
		return live.Token
	}
	return s.sessions.Open(key, s.userOf(key)).Token
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
func (s *Sim) refuse(call *wire.Call) (types.BaseMethodFault, string) {
	if call.Session == nil && !openMethods[call.Method] {
		return faults.NotAuthenticated(call.This), ""
	}
	if since, ok := accounts.MethodSince[call.Method]; ok && apiversion.Less(call.Version, since) {
		return faults.UnknownMethod(call.Method)
	}
	if fault := s.forkMethodFault(call); fault != nil {
		return fault, ""
	}
	if call.Session == nil {
		return nil, ""
	}
	if name := wire.MissingParam(call); name != "" {
		return &types.InvalidRequest{}, "Required property " + name + " is missing from the parameters of " + call.Method
	}
	if call.This.Type == "VirtualMachine" && accounts.ChangesVM(call.Method) {
		if fault := s.inProgress(call.This); fault != nil {
			return fault, ""
		}
		if fault := s.worksOn(call.This, call.Method); fault != nil {
			return fault, ""
		}
	}
	if snapshot := s.Snapshot(call.This); snapshot != nil && strings.HasSuffix(call.Method, "_Task") {
		if fault := s.worksOn(snapshot.Vm, call.Method); fault != nil {
			return fault, ""
		}
	}
	if fault := s.exportedFrom(call); fault != nil {
		return fault, ""
	}
	return s.callDenied(call), ""
}

// callDenied checks the privileges that a call needs on its object, and with some also above it. What changes nothing
// needs that its caller may look at the object.
func (s *Sim) callDenied(call *wire.Call) types.BaseMethodFault {
	obj := s.reg.Get(call.This)
	if obj == nil {
		return nil
	}
	needed := accounts.MethodPrivileges(call.This.Type, call.Method)
	entity, ok := obj.(mo.Entity)
	if ok && needed == nil {
		needed = []string{"System.View"}
	}
	for _, p := range needed {
		if fault := s.auth.Denied(call.Session.User, call.This, p); fault != nil {
			return fault
		}
		// "The appropriate privilege must be held on the parent of the destroyed entity as well as the entity itself."
		if ok && call.Method == "Destroy_Task" && entity.Entity().Parent != nil {
			if fault := s.auth.Denied(call.Session.User, *entity.Entity().Parent, p); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// answerFailing accepts a call whose task then fails as a rule says.
func (s *Sim) answerFailing(w http.ResponseWriter, call *wire.Call, rule *inject.Rule) {
	fault, _ := faults.New(rule.Fault, rule.Message) // checked when the rule was made
	if call.Method == "ImportVApp" && s.reg.Get(call.This) != nil {
		wire.WriteTask(w, call.Method, s.failingImport(call, fault))
		return
	}
	if (call.Method == "ExportVm" || call.Method == "ExportSnapshot") && s.reg.Get(call.This) != nil {
		wire.WriteTask(w, call.Method, s.failingExport(call, fault))
		return
	}
	task, ok := s.failingTask(call, fault)
	if !ok {
		wire.WriteFault(w, &types.ManagedObjectNotFound{Obj: call.This}, "")
		return
	}
	wire.WriteTask(w, call.Method, task)
}

// answerThenFail carries a call out, and answers with a task of its own, which ends in error when the work is done. The task
// that does the work is seen beside it.
func (s *Sim) answerThenFail(w http.ResponseWriter, r *http.Request, call *wire.Call, rule *inject.Rule) {
	fault, _ := faults.New(rule.Fault, rule.Message) // checked when the rule was made
	whole := httptest.NewRecorder()
	s.answer(whole, r, call, nil)
	real, ok := wire.TaskIn(whole.Body.Bytes())
	if whole.Code != http.StatusOK || !ok {
		pass(w, whole)
		return
	}
	ctx := s.background(call.Session.User)
	task := s.newTask(ctx, s.entity(call), taskID(call.Method), false)
	s.startTask(ctx, task)
	s.afterTask(real, func() { s.finishTask(ctx, task, nil, faults.Localized(fault)) })
	wire.WriteTask(w, call.Method, task.Self)
}

// pass gives an answer that was held to its client, which may have gone.
func pass(w http.ResponseWriter, whole *httptest.ResponseRecorder) {
	for name, values := range whole.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(whole.Code)
	if _, err := w.Write(whole.Body.Bytes()); err != nil {
		log.Printf("vforge-sim: an answer that was held: %v", err)
	}
}
