// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/clock"
	"vforge.vsphere/simulator/internal/inject"
)

// controlError is a refusal with its HTTP status.
type controlError struct {
	status int
	err    error
}

func (e *controlError) Error() string { return e.err.Error() }

// badRequest is a request that makes no sense.
func badRequest(err error) error { return &controlError{http.StatusBadRequest, err} }

// conflict is a request that does not fit what there is.
func conflict(err error) error { return &controlError{http.StatusConflict, err} }

// notFound is a request for what there is not.
func notFound(err error) error { return &controlError{http.StatusNotFound, err} }

// noSuch is notFound for something that is named.
func noSuch(kind, name string) error {
	return notFound(fmt.Errorf("there is no %s %q", kind, name))
}

// controlHandler is the control endpoint: what a test needs and vCenter has not.
// README.md describes it.
func (s *Sim) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(*http.Request) (any, error){
		"GET /calls":                              s.getCalls,
		"POST /calls/reset":                       s.resetCalls,
		"GET /inject":                             s.getInject,
		"POST /inject":                            s.postInject,
		"DELETE /inject":                          s.deleteInject,
		"DELETE /inject/{id}":                     s.deleteInject,
		"POST /latency":                           s.postLatency,
		"GET /sessions":                           s.getSessions,
		"POST /sessions/expire":                   s.expireSessions,
		"POST /users":                             s.postUser,
		"GET /vms/{name}":                         s.getVM,
		"PATCH /vms/{name}":                       s.patchVM,
		"POST /vms":                               s.postVM,
		"POST /hosts/{name}":                      s.postHost,
		"POST /hosts/{name}/cpu":                  s.postHostCPU,
		"POST /vms/{name}/cpu":                    s.postVMCPU,
		"POST /clusters/{name}":                   s.postCluster,
		"POST /clusters/{name}/evc":               s.postClusterEVC,
		"POST /datastores/{name}":                 s.postDatastore,
		"POST /policies":                          s.postPolicy,
		"POST /cbt":                               s.postCBT,
		"POST /vms/{name}/power-failure":          s.postPowerFailure,
		"GET /vms/{name}/disks/{key}":             s.getDisk,
		"POST /vms/{name}/disks/{key}/writes":     s.postWrites,
		"POST /vms/{name}/disks/{key}/workload":   s.postWorkload,
		"GET /vms/{name}/disks/{key}/workload":    s.getWorkload,
		"DELETE /vms/{name}/disks/{key}/workload": s.deleteWorkload,
		"GET /uploads":                            s.getUploads,
		"POST /uploads":                           s.postUploads,
		"GET /leases":                             s.getLeases,
		"POST /leases":                            s.postLeases,
		"GET /orphans":                            s.getOrphans,
		"POST /fcds":                              s.postFCDs,
		"GET /fcds/{id}":                          s.getFCD,
		"POST /fcds/{id}/writes":                  s.postFCDWrites,
		"POST /vslm":                              s.postVSLM,
	} {
		mux.HandleFunc(pattern, answer(h))
	}
	mux.HandleFunc("GET /vms/{name}/disks/{key}/bytes", s.getDiskBytes)
	mux.HandleFunc("GET /fcds/{id}/bytes", s.getFCDBytes)
	mux.HandleFunc("/", answer(func(r *http.Request) (any, error) {
		return nil, notFound(fmt.Errorf("nothing answers to %s %s", r.Method, r.URL.Path))
	}))
	return mux
}

// answer turns a function into a handler that answers with JSON.
func answer(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := f(r)
		status := http.StatusOK
		if err != nil {
			status = http.StatusInternalServerError
			var refused *controlError
			if errors.As(err, &refused) {
				status = refused.status
			}
			body = map[string]string{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(body); err != nil {
			log.Printf("vforge-sim: control: %v", err)
		}
	}
}

// decode reads a JSON body; a field that does not exist is an error, so that a
// misspelt one is noticed.
func decode(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return badRequest(fmt.Errorf("body: %w", err))
	}
	return nil
}

// done is the answer of a request that asks for nothing.
var done = map[string]any{}

// getCalls answers at once, or when a method was called so often: ?method=M&count=N&within_ms=T, but after that time
// in any case; with ?settled when no call is under way.
func (s *Sim) getCalls(r *http.Request) (any, error) {
	if q := r.URL.Query(); q.Has("method") {
		count, err := strconv.Atoi(q.Get("count"))
		if err != nil {
			return nil, badRequest(fmt.Errorf("count: %w", err))
		}
		within, err := strconv.Atoi(q.Get("within_ms"))
		if err != nil {
			return nil, badRequest(fmt.Errorf("within_ms: %w", err))
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(within)*time.Millisecond)
		defer cancel()
		s.calls.Wait(ctx, q.Get("method"), count)
	} else if q.Has("settled") {
		s.settle(r.Context())
	}
	total, by := s.calls.Snapshot()
	_, files := s.filesMoved.Snapshot()
	return map[string]any{"total": total, "by_method": by, "files": files}, nil
}

// settle returns when all calls that came in are answered, or have been carried out for a client that is gone.
func (s *Sim) settle(ctx context.Context) {
	for s.underway.Load() > 0 && ctx.Err() == nil {
		clock.Sleep(ctx, time.Millisecond)
	}
}

func (s *Sim) resetCalls(*http.Request) (any, error) {
	s.calls.Reset()
	s.filesMoved.Reset()
	s.uploads.reset()
	return done, nil
}

func (s *Sim) getInject(*http.Request) (any, error) {
	return map[string]any{"rules": s.inject.List()}, nil
}

func (s *Sim) postInject(r *http.Request) (any, error) {
	var add inject.Rule
	if err := decode(r, &add); err != nil {
		return nil, err
	}
	if err := add.Check(); err != nil {
		return nil, badRequest(err)
	}
	return map[string]int{"id": s.inject.Add(add)}, nil
}

func (s *Sim) deleteInject(r *http.Request) (any, error) {
	text := r.PathValue("id")
	if text == "" {
		s.inject.Remove(0)
		s.uploads.calm()
		s.gate.Calm()
		return done, nil
	}
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 || !s.inject.Remove(id) {
		return nil, noSuch("rule", text)
	}
	return done, nil
}

func (s *Sim) postLatency(r *http.Request) (any, error) {
	body := struct {
		MS     float64 `json:"ms"`
		Method string  `json:"method"`
	}{Method: "*"}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.MS < 0 || body.Method == "" {
		return nil, badRequest(errors.New(`"ms" must not be negative, "method" not empty`))
	}
	s.latency.Set(body.Method, time.Duration(body.MS*float64(time.Millisecond)))
	return done, nil
}

func (s *Sim) getSessions(*http.Request) (any, error) {
	list := s.sessions.List()
	return map[string]any{"count": len(list), "sessions": list}, nil
}

func (s *Sim) expireSessions(r *http.Request) (any, error) {
	body := struct {
		As string `json:"as"`
	}{As: "fault"}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.As != "fault" && body.As != "missingSet" {
		return nil, badRequest(fmt.Errorf(`"as" is %q: fault or missingSet is needed`, body.As))
	}
	return map[string]int{"expired": s.endSessions(body.As == "missingSet")}, nil
}

// endSessions ends all sessions and returns how many there were.
func (s *Sim) endSessions(missingSet bool) int {
	dead := s.sessions.Expire(missingSet)
	for _, d := range dead {
		s.endSession(d.Key)
	}
	return len(dead)
}

// endIdleSessions ends the sessions of which nothing was heard for too long.
func (s *Sim) endIdleSessions() {
	for _, d := range s.sessions.EndIdle() {
		s.endSession(d.Key)
	}
}

func (s *Sim) postUser(r *http.Request) (any, error) {
	var u accounts.User
	if err := decode(r, &u); err != nil {
		return nil, err
	}
	if u.Name == "" {
		return nil, badRequest(errors.New(`"username" is needed`))
	}
	on := make(map[types.ManagedObjectReference][]string)
	for path, privileges := range u.Roles {
		ref := s.at(path)
		if ref == nil {
			return nil, noSuch("object", path)
		}
		on[*ref] = privileges
	}
	s.auth.Add(u)
	for ref, privileges := range on {
		s.auth.Grant(u.Name, ref, accounts.Role(privileges...))
	}
	return done, nil
}
