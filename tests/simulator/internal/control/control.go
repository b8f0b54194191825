// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/access"
	"vforge.vsphere/simulator/internal/accounts"
	"vforge.vsphere/simulator/internal/clones"
	"vforge.vsphere/simulator/internal/clusters"
	"vforge.vsphere/simulator/internal/controlhttp"
	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/datastores"
	"vforge.vsphere/simulator/internal/disks"
	"vforge.vsphere/simulator/internal/front"
	"vforge.vsphere/simulator/internal/guests"
	"vforge.vsphere/simulator/internal/guestwrites"
	"vforge.vsphere/simulator/internal/hardware"
	"vforge.vsphere/simulator/internal/inject"
	"vforge.vsphere/simulator/internal/inventory"
	"vforge.vsphere/simulator/internal/leases"
	"vforge.vsphere/simulator/internal/policies"
	"vforge.vsphere/simulator/internal/vms"
	"vforge.vsphere/simulator/internal/vstorage"
)

// Control is the control endpoint.
type Control struct {
	*core.Core
	Access     *access.Access
	Datastores *datastores.Datastores
	Disks      *disks.Disks
	Clusters   *clusters.Clusters
	Guests     *guests.Guests
	Policies   *policies.Policies
	Hardware   *hardware.Hardware
	VStorage   *vstorage.VStorage
	Inventory  *inventory.Inventory
	Writes     *guestwrites.Writes
	Clones     *clones.Clones
	VMs        *vms.VMs
	Leases     *leases.Leases
	Front      *front.Front
}

// Handler is the control endpoint: what a test needs and vCenter has not.
// README.md describes it.
func (s *Control) Handler() http.Handler {
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
		"POST /clusters/{name}":                   s.Clusters.PostCluster,
		"POST /clusters/{name}/evc":               s.Clusters.PostClusterEVC,
		"POST /datastores/{name}":                 s.postDatastore,
		"POST /policies":                          s.Policies.PostPolicy,
		"POST /cbt":                               s.postCBT,
		"POST /vms/{name}/power-failure":          s.postPowerFailure,
		"GET /vms/{name}/disks/{key}":             s.getDisk,
		"POST /vms/{name}/disks/{key}/writes":     s.postWrites,
		"POST /vms/{name}/disks/{key}/workload":   s.postWorkload,
		"GET /vms/{name}/disks/{key}/workload":    s.getWorkload,
		"DELETE /vms/{name}/disks/{key}/workload": s.deleteWorkload,
		"GET /uploads":                            s.Leases.GetUploads,
		"POST /uploads":                           s.Leases.PostUploads,
		"GET /leases":                             s.Leases.GetLeases,
		"POST /leases":                            s.Leases.PostLeases,
		"GET /orphans":                            s.getOrphans,
		"POST /fcds":                              s.postFCDs,
		"GET /fcds/{id}":                          s.getFCD,
		"POST /fcds/{id}/writes":                  s.postFCDWrites,
		"POST /vslm":                              s.VStorage.PostVSLM,
	} {
		mux.HandleFunc(pattern, controlhttp.Handler(h))
	}
	mux.HandleFunc("GET /vms/{name}/disks/{key}/bytes", s.getDiskBytes)
	mux.HandleFunc("GET /fcds/{id}/bytes", s.getFCDBytes)
	mux.HandleFunc("/", controlhttp.Handler(func(r *http.Request) (any, error) {
		return nil, controlhttp.NotFound(fmt.Errorf("nothing answers to %s %s", r.Method, r.URL.Path))
	}))
	return mux
}

// getCalls answers at once, or when a method was called so often: ?method=M&count=N&within_ms=T, but after that time
// in any case; with ?settled when no call is under way.
func (s *Control) getCalls(r *http.Request) (any, error) {
	if q := r.URL.Query(); q.Has("method") {
		count, err := strconv.Atoi(q.Get("count"))
		if err != nil {
			return nil, controlhttp.BadRequest(fmt.Errorf("count: %w", err))
		}
		within, err := strconv.Atoi(q.Get("within_ms"))
		if err != nil {
			return nil, controlhttp.BadRequest(fmt.Errorf("within_ms: %w", err))
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(within)*time.Millisecond)
		defer cancel()
		s.Front.Calls.Wait(ctx, q.Get("method"), count)
	} else if q.Has("settled") {
		s.Settle(r.Context())
	}
	total, by := s.Front.Calls.Snapshot()
	_, files := s.Front.FilesMoved.Snapshot()
	return map[string]any{"total": total, "by_method": by, "files": files}, nil
}

func (s *Control) resetCalls(*http.Request) (any, error) {
	s.Front.Calls.Reset()
	s.Front.FilesMoved.Reset()
	s.Leases.Uploads.Reset()
	return controlhttp.Done, nil
}

func (s *Control) getInject(*http.Request) (any, error) {
	return map[string]any{"rules": s.Front.Rules.List()}, nil
}

func (s *Control) postInject(r *http.Request) (any, error) {
	var add inject.Rule
	if err := controlhttp.Decode(r, &add); err != nil {
		return nil, err
	}
	if err := add.Check(); err != nil {
		return nil, controlhttp.BadRequest(err)
	}
	return map[string]int{"id": s.Front.Rules.Add(add)}, nil
}

func (s *Control) deleteInject(r *http.Request) (any, error) {
	text := r.PathValue("id")
	if text == "" {
		s.Front.Rules.Remove(0)
		s.Leases.Uploads.Calm()
		s.Front.Gate.Calm()
		return controlhttp.Done, nil
	}
	id, err := strconv.Atoi(text)
	if err != nil || id < 1 || !s.Front.Rules.Remove(id) {
		return nil, controlhttp.NoSuch("rule", text)
	}
	return controlhttp.Done, nil
}

func (s *Control) postLatency(r *http.Request) (any, error) {
	body := struct {
		MS     float64 `json:"ms"`
		Method string  `json:"method"`
	}{Method: "*"}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.MS < 0 || body.Method == "" {
		return nil, controlhttp.BadRequest(errors.New(`"ms" must not be negative, "method" not empty`))
	}
	s.Front.Latencies.Set(body.Method, time.Duration(body.MS*float64(time.Millisecond)))
	return controlhttp.Done, nil
}

func (s *Control) getSessions(*http.Request) (any, error) {
	list := s.Sessions.List()
	return map[string]any{"count": len(list), "sessions": list}, nil
}

func (s *Control) expireSessions(r *http.Request) (any, error) {
	body := struct {
		As string `json:"as"`
	}{As: "fault"}
	if err := controlhttp.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.As != "fault" && body.As != "missingSet" {
		return nil, controlhttp.BadRequest(fmt.Errorf(`"as" is %q: fault or missingSet is needed`, body.As))
	}
	return map[string]int{"expired": s.EndSessions(body.As == "missingSet")}, nil
}

func (s *Control) postUser(r *http.Request) (any, error) {
	var u accounts.User
	if err := controlhttp.Decode(r, &u); err != nil {
		return nil, err
	}
	if u.Name == "" {
		return nil, controlhttp.BadRequest(errors.New(`"username" is needed`))
	}
	on := make(map[types.ManagedObjectReference][]string)
	for path, privileges := range u.Roles {
		ref := s.Access.At(path)
		if ref == nil {
			return nil, controlhttp.NoSuch("object", path)
		}
		on[*ref] = privileges
	}
	s.Auth.Add(u)
	for ref, privileges := range on {
		s.Auth.Grant(u.Name, ref, accounts.Role(privileges...))
	}
	return controlhttp.Done, nil
}
