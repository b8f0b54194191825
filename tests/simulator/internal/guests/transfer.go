// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guests

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/core"
	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/guestos"
)

const (
	// transferLife is how long the URL of a transfer is good.
	transferLife = 10 * time.Minute
	// maxGuestFile bounds what is kept of a file in memory.
	maxGuestFile = 256 << 20
)

// transfer is a file on its way to or from a guest. Its URL is good for one transfer.
type transfer struct {
	vm     types.ManagedObjectReference
	sys    *guestos.System
	user   string
	path   string
	token  string
	boot   int // the guest's boot that it belongs to
	until  time.Time
	upload bool
	size   int64
	mode   int64
	how    guestos.WriteMode
}

// transfers are those that have been announced and not taken place.
type transfers struct {
	mu   sync.Mutex
	next int
	open map[int]*transfer
}

func (t *transfers) add(tr *transfer) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = make(map[int]*transfer)
	}
	t.next++
	t.open[t.next] = tr
	return t.next
}

// take gives out a transfer to who has its token, for once.
func (t *transfers) take(id int, token string) *transfer {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.open[id]
	if tr == nil || subtle.ConstantTimeCompare([]byte(tr.token), []byte(token)) != 1 {
		return nil
	}
	delete(t.open, id)
	if time.Now().After(tr.until) {
		return nil
	}
	return tr
}

// InitiateFileTransferToGuest announces a file for a guest and returns where to put
// it.
func (sh *guestFileShim) InitiateFileTransferToGuest(ctx *simulator.Context, req *types.InitiateFileTransferToGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestModify)
	if fault == nil {
		fault = in.mayReceive(req)
	}
	var address string
	if fault == nil {
		how := guestos.Create
		if req.Overwrite {
			how = guestos.Replace
		}
		address, fault = sh.S.announce(req.Vm, &transfer{
			sys: in.sys, user: in.user, path: req.GuestFilePath, upload: true, size: req.FileSize,
			mode: posix(req.FileAttributes, 0o644), how: how,
		})
	}
	if fault != nil {
		return &methods.InitiateFileTransferToGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.InitiateFileTransferToGuestBody{Res: &types.InitiateFileTransferToGuestResponse{Returnval: address}}
}

// mayReceive checks the place of a file before it comes.
func (in *workInside) mayReceive(req *types.InitiateFileTransferToGuest) types.BaseMethodFault {
	if req.FileSize < 0 || req.FileSize > maxGuestFile {
		return faults.Invalid("fileSize")
	}
	if req.GuestFilePath == "" || req.GuestFilePath[0] != '/' {
		return faults.Invalid("guestFilePath")
	}
	return guestFileFault(in.sys.CanWrite(in.user, req.GuestFilePath, req.Overwrite), req.GuestFilePath)
}

// InitiateFileTransferFromGuest tells where to get a file of a guest.
func (sh *guestFileShim) InitiateFileTransferFromGuest(ctx *simulator.Context, req *types.InitiateFileTransferFromGuest) soap.HasFault {
	in, fault := sh.S.enter(ctx, req.Vm, req.Auth, guestQuery)
	var info types.FileTransferInformation
	if fault == nil {
		data, err := in.sys.Read(in.user, req.GuestFilePath)
		if fault = guestFileFault(err, req.GuestFilePath); fault == nil {
			if node, err := in.sys.Stat(req.GuestFilePath); err == nil {
				info.Attributes = attributesOf(node)
			}
			info.Size = int64(len(data))
			info.Url, fault = sh.S.announce(req.Vm, &transfer{sys: in.sys, user: in.user, path: req.GuestFilePath})
		}
	}
	if fault != nil {
		return &methods.InitiateFileTransferFromGuestBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.InitiateFileTransferFromGuestBody{Res: &types.InitiateFileTransferFromGuestResponse{Returnval: info}}
}

// announce gives a transfer its URL: at the VM's host, or with "*" for the server
// that was asked when a test wants that.
func (s *Guests) announce(ref types.ManagedObjectReference, tr *transfer) (string, types.BaseMethodFault) {
	vm := s.VM(ref)
	var host *simulator.HostSystem
	s.Background("").WithLock(vm, func() { host = s.HostOf(vm) })
	if host == nil {
		return "", &types.InvalidState{}
	}
	st := s.States.Get(ref).Guest
	address := "*"
	if !st.Relayed {
		var err error
		if address, err = s.Hosts.Address(host); err != nil {
			log.Printf("vforge-sim: %s: %v", host.Name, err)
			return "", &types.GuestOperationsUnavailable{}
		}
	}
	var token [16]byte
	if _, err := rand.Read(token[:]); err != nil {
		return "", &types.SystemError{Reason: err.Error()}
	}
	tr.vm, tr.boot, tr.until, tr.token = ref, st.bootID, time.Now().Add(transferLife), hex.EncodeToString(token[:])
	query := url.Values{"id": {strconv.Itoa(s.transfers.add(tr))}, "token": {tr.token}}
	return (&url.URL{Scheme: "https", Host: address, Path: "/guestFile", RawQuery: query.Encode()}).String(), nil
}

// ServeFile takes or gives one file.
func (s *Guests) ServeFile(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/guestFile" {
		http.NotFound(w, r)
		return
	}
	id, err := strconv.Atoi(r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, "id", http.StatusBadRequest)
		return
	}
	tr := s.transfers.take(id, r.URL.Query().Get("token"))
	switch {
	case tr == nil:
		http.Error(w, "no such transfer", http.StatusForbidden)
	case s.States.Get(tr.vm).Guest.bootID != tr.boot || !s.toolsRun(tr.vm):
		http.Error(w, "the guest has gone", http.StatusInternalServerError)
	case tr.upload && r.Method == http.MethodPut:
		tr.receive(w, r)
	case !tr.upload && r.Method == http.MethodGet:
		tr.send(w)
	default:
		http.Error(w, "the other method", http.StatusMethodNotAllowed)
	}
}

// toolsRun tells if a VM's guest can be worked with.
func (s *Guests) toolsRun(ref types.ManagedObjectReference) (run bool) {
	vm := s.VM(ref)
	if vm == nil {
		return false
	}
	s.Background("").WithLock(vm, func() {
		run = vm.Runtime.PowerState == core.PoweredOn &&
			vm.Guest.ToolsRunningStatus == string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	})
	return run
}

func (tr *transfer) receive(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxGuestFile))
	if err == nil && int64(len(data)) != tr.size {
		http.Error(w, "the file has not the size that was announced", http.StatusInternalServerError)
		return
	}
	if err == nil {
		err = tr.sys.Write(tr.user, tr.path, data, tr.mode, tr.how)
	}
	if err == nil && tr.how == guestos.Replace {
		err = tr.sys.Change(Admin, tr.path, tr.mode, "")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (tr *transfer) send(w http.ResponseWriter) {
	data, err := tr.sys.Read(tr.user, tr.path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	if _, err := w.Write(data); err != nil {
		log.Printf("vforge-sim: sending %s: %v", tr.path, err)
	}
}
