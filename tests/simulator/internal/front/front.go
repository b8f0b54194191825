// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package front

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
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/hosts"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/leases"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/tasks"
	"vforge.vsphere/simulator/internal/vstorage"
	"vforge.vsphere/simulator/internal/wire"
)

// Front is what stands before vcsim: every call and every file passes here first.
type Front struct {
	*core.Core
	Tasks      *tasks.Tasks
	Hosts      *hosts.Hosts
	Datastores *datastores.Datastores
	Guests     *guests.Guests
	Policies   *policies.Policies
	VStorage   *vstorage.VStorage
	Clones     *clones.Clones
	Leases     *leases.Leases
	Calls      inject.Calls
	// FilesMoved counts the requests for files, such as "PUT /nfc".
	FilesMoved inject.Calls
	Rules      inject.Rules
	Latencies  inject.Latencies
	// Gate stands in front of the SDK endpoint.
	Gate *inject.Gate
}

// maxBody is the largest SOAP request that is read; vCenter's own limit is of this
// order.
const maxBody = 64 << 20

// OpenMethods can be called without a login. Property reads can too: what they
// answer is the property collector's business.
var OpenMethods = map[string]bool{
	"RetrieveServiceContent": true, "RetrieveInternalContent": true,
	"Login": true, "LoginByToken": true, "LoginExtensionByCertificate": true, "CloneSession": true,
	"Fetch": true, "RetrieveProperties": true, "RetrievePropertiesEx": true,
}

// Handler is the HTTP handler of the SDK endpoint: it sees every call before vcsim
// does.
func (s *Front) Handler() http.Handler {
	s.Service.Listen = &url.URL{Scheme: "https", Host: s.SDKAddress.String(), Path: "/sdk", User: url.User(s.Cfg.Username)}
	m := s.Reg.SessionManager()
	m.ServiceHostName = s.SDKAddress.String()
	m.ValidLogin = func(*types.Login) bool { return true } // the shim has checked
	s.Service.RegisterSDK(s.Reg, s.Reg.Path+"/vimService")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sdk/vimServiceVersions.xml", s.serveVersions)
	mux.HandleFunc("POST /sdk", s.serveSDK)
	mux.HandleFunc("POST /sdk/{$}", s.serveSDK)
	mux.HandleFunc("POST /sdk/vimService", s.serveSDK)
	s.Policies.Install()
	mux.HandleFunc("POST /pbm", s.serveBeside("StorageProfile.View"))
	mux.HandleFunc("POST /pbm/sdk", s.serveBeside("StorageProfile.View"))
	s.VStorage.InstallVSLM()
	mux.HandleFunc("POST /vslm/sdk", s.serveBeside("System.View"))
	mux.Handle("/folder/", s.counted(s.loggedIn(s.Datastores.ServeFolder)))
	mux.HandleFunc("/nfc/", s.counted(s.Leases.ServeNFC))
	mux.Handle(rest.Path+"/", s.serveREST())
	mux.HandleFunc("/guestFile", s.counted(s.Guests.ServeFile))
	s.Hosts.AnswerWith(s.hostHandler())
	return s.guarded(mux)
}

// loggedIn lets only requests with a live session through.
func (s *Front) loggedIn(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.EndIdleSessions()
		if s.Sessions.Of(r) == nil {
			http.Error(w, "not authenticated", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

func (s *Front) serveSDK(w http.ResponseWriter, r *http.Request) {
	s.Underway.Add(1)
	defer s.Underway.Add(-1)
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
	s.Calls.Add(call.Method)
	s.EndIdleSessions()
	if call.Session = s.Sessions.Of(r); call.Session != nil {
		session := call.Session
		s.Sessions.Begin(session)
		defer s.Sessions.End(session)
	}
	call.Version = apiversion.OfRequest(r.Header.Get("SOAPAction"), s.Cfg.APIVersion)
	rule := s.Rules.Match(call.Method, func() []string { return s.names(call) })
	clock.Sleep(r.Context(), s.Latencies.Of(call.Method))
	s.act(w, r, call, rule)
}

// act answers a call, or does to it what a rule says.
func (s *Front) act(w http.ResponseWriter, r *http.Request, call *wire.Call, rule *inject.Rule) {
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
			s.EndSessions(false)
		}
		s.Gate.Become(rule.Do, time.Duration(rule.DelayMS)*time.Millisecond)
		s.turnAway(w, r, rule.Do)
	}
}

// answerHalf carries a call out and sends half of the answer, then nothing for a while,
// then the end of the connection.
func (s *Front) answerHalf(w http.ResponseWriter, r *http.Request, call *wire.Call, silent time.Duration) {
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
func (s *Front) answer(w http.ResponseWriter, r *http.Request, call *wire.Call, failing *inject.Rule) {
	if call.Session != nil && s.Sessions.Named(call.Session.Token) == nil {
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
		defer s.Props.Hub.Waiting(call.This, r.Context())()
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
	r.URL.Path = s.Reg.Path
	s.Service.ServeSDK(&accounts.CookieWriter{ResponseWriter: w, Open: s.openSession}, r)
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
func (s *Front) openSession(key string) string {
	if live := s.Sessions.ByKey(key); live != nil {
		return live.Token
	}
	return s.Sessions.Open(key, s.userOf(key)).Token
}

// userOf asks vcsim whose session a key is.
func (s *Front) userOf(key string) string {
	view, ok := s.Background("").Session.Get(s.Reg.SessionManager().Self).(*simulator.SessionManager)
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
func (s *Front) refuse(call *wire.Call) (types.BaseMethodFault, string) {
	if call.Session == nil && !OpenMethods[call.Method] {
		return faults.NotAuthenticated(call.This), ""
	}
	if since, ok := accounts.MethodSince[call.Method]; ok && apiversion.Less(call.Version, since) {
		return faults.UnknownMethod(call.Method)
	}
	if fault := s.Clones.ForkMethodFault(call); fault != nil {
		return fault, ""
	}
	if call.Session == nil {
		return nil, ""
	}
	if name := wire.MissingParam(call); name != "" {
		return &types.InvalidRequest{}, "Required property " + name + " is missing from the parameters of " + call.Method
	}
	if call.This.Type == "VirtualMachine" && accounts.ChangesVM(call.Method) {
		if fault := s.Leases.InProgress(call.This); fault != nil {
			return fault, ""
		}
		if fault := s.Tasks.WorksOn(call.This, call.Method); fault != nil {
			return fault, ""
		}
	}
	if snapshot := s.Snapshot(call.This); snapshot != nil && strings.HasSuffix(call.Method, "_Task") {
		if fault := s.Tasks.WorksOn(snapshot.Vm, call.Method); fault != nil {
			return fault, ""
		}
	}
	if fault := s.Leases.ExportedFrom(call); fault != nil {
		return fault, ""
	}
	return s.callDenied(call), ""
}

// callDenied checks the privileges that a call needs on its object, and with some also above it. What changes nothing
// needs that its caller may look at the object.
func (s *Front) callDenied(call *wire.Call) types.BaseMethodFault {
	obj := s.Reg.Get(call.This)
	if obj == nil {
		return nil
	}
	needed := accounts.MethodPrivileges(call.This.Type, call.Method)
	entity, ok := obj.(mo.Entity)
	if ok && needed == nil {
		needed = []string{"System.View"}
	}
	for _, p := range needed {
		if fault := s.Auth.Denied(call.Session.User, call.This, p); fault != nil {
			return fault
		}
		// "The appropriate privilege must be held on the parent of the destroyed entity as well as the entity itself."
		if ok && call.Method == "Destroy_Task" && entity.Entity().Parent != nil {
			if fault := s.Auth.Denied(call.Session.User, *entity.Entity().Parent, p); fault != nil {
				return fault
			}
		}
	}
	return nil
}

// answerFailing accepts a call whose task then fails as a rule says.
func (s *Front) answerFailing(w http.ResponseWriter, call *wire.Call, rule *inject.Rule) {
	fault, _ := faults.New(rule.Fault, rule.Message) // checked when the rule was made
	if call.Method == "ImportVApp" && s.Reg.Get(call.This) != nil {
		wire.WriteTask(w, call.Method, s.Leases.FailingImport(call, fault))
		return
	}
	if (call.Method == "ExportVm" || call.Method == "ExportSnapshot") && s.Reg.Get(call.This) != nil {
		wire.WriteTask(w, call.Method, s.Leases.FailingExport(call, fault))
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
func (s *Front) answerThenFail(w http.ResponseWriter, r *http.Request, call *wire.Call, rule *inject.Rule) {
	fault, _ := faults.New(rule.Fault, rule.Message) // checked when the rule was made
	whole := httptest.NewRecorder()
	s.answer(whole, r, call, nil)
	real, ok := wire.TaskIn(whole.Body.Bytes())
	if whole.Code != http.StatusOK || !ok {
		pass(w, whole)
		return
	}
	ctx := s.Background(call.Session.User)
	task := s.Tasks.New(ctx, s.Tasks.Entity(call), tasks.ID(call.Method), false)
	s.Tasks.Start(ctx, task)
	s.Tasks.After(real, func() { s.Tasks.Finish(ctx, task, nil, faults.Localized(fault)) })
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

// hostHandler serves files of guests, and takes those of imports.
func (s *Front) hostHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/nfc/", s.counted(s.Leases.ServeNFC))
	mux.HandleFunc("/", s.counted(s.Guests.ServeFile))
	return mux
}
