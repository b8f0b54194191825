// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package leases

import (
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/shim"
)

// leaseShim answers the calls on leases.
type leaseShim struct{ shim.Of[*Leases] }

// lease finds a lease of the caller's session; those of others are not to be seen.
func (sh *leaseShim) lease(ctx *simulator.Context, ref types.ManagedObjectReference) (*Lease, types.BaseMethodFault) {
	l, ok := sh.S.Reg.Get(ref).(*Lease)
	if !ok || l.session != ctx.Session.Key {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	return l, nil
}

// open finds a lease that is ready.
func (sh *leaseShim) open(ctx *simulator.Context, ref types.ManagedObjectReference) (*Lease, types.BaseMethodFault) {
	l, fault := sh.lease(ctx, ref)
	if fault == nil {
		fault = l.notReady(ctx)
	}
	return l, fault
}

// notReady tells why a lease cannot be worked with: it timed out, it is over, or it has not
// begun.
func (l *Lease) notReady(ctx *simulator.Context) (fault types.BaseMethodFault) {
	ctx.WithLock(l, func() {
		if l.State == types.HttpNfcLeaseStateReady {
			return
		}
		fault = &types.InvalidState{}
		if l.Error != nil {
			if _, late := l.Error.Fault.(*types.Timedout); late {
				fault = &types.Timedout{}
			}
		}
	})
	return fault
}

// HttpNfcLeaseProgress renews a lease. One through which nothing moves is not renewed for
// ever.
func (sh *leaseShim) HttpNfcLeaseProgress(ctx *simulator.Context, req *types.HttpNfcLeaseProgress) soap.HasFault {
	l, fault := sh.open(ctx, req.This)
	switch {
	case fault != nil:
	case req.Percent < 0 || req.Percent > 100:
		fault = faults.Invalid("percent")
	case l.stalled():
		fault = &types.Timedout{}
		l.fail(fault)
	default:
		l.renew()
		l.update(types.PropertyChange{Name: "transferProgress", Val: req.Percent})
		sh.S.Tasks.Progress(ctx, l.task, req.Percent)
	}
	if fault != nil {
		return &methods.HttpNfcLeaseProgressBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.HttpNfcLeaseProgressBody{Res: &types.HttpNfcLeaseProgressResponse{}}
}

// HttpNfcLeaseComplete ends a lease whose files are all there.
func (sh *leaseShim) HttpNfcLeaseComplete(ctx *simulator.Context, req *types.HttpNfcLeaseComplete) soap.HasFault {
	l, fault := sh.open(ctx, req.This)
	if fault == nil && (l.missing() != "" || !l.finish()) {
		fault = &types.InvalidState{}
	}
	if fault != nil {
		return &methods.HttpNfcLeaseCompleteBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.HttpNfcLeaseCompleteBody{Res: &types.HttpNfcLeaseCompleteResponse{}}
}

// missing names a file that has not come in.
func (l *Lease) missing() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.order {
		if f.busy || f.taken < f.needed {
			return f.importKey
		}
	}
	return ""
}

// HttpNfcLeaseAbort ends a lease; nothing of the import is left when it returns.
func (sh *leaseShim) HttpNfcLeaseAbort(ctx *simulator.Context, req *types.HttpNfcLeaseAbort) soap.HasFault {
	l, fault := sh.lease(ctx, req.This)
	if fault == nil {
		var why types.BaseMethodFault = &types.RequestCanceled{}
		if req.Fault != nil && req.Fault.Fault != nil {
			why = req.Fault.Fault
		}
		if !l.fail(why) {
			fault = l.notReady(ctx)
		}
	}
	if fault != nil {
		return &methods.HttpNfcLeaseAbortBody{Fault_: faults.SOAP(fault)}
	}
	return &methods.HttpNfcLeaseAbortBody{Res: &types.HttpNfcLeaseAbortResponse{}}
}

// HttpNfcLeaseGetManifest tells what has come in or gone out, file by file.
func (sh *leaseShim) HttpNfcLeaseGetManifest(ctx *simulator.Context, req *types.HttpNfcLeaseGetManifest) soap.HasFault {
	l, fault := sh.open(ctx, req.This)
	if fault != nil {
		return &methods.HttpNfcLeaseGetManifestBody{Fault_: faults.SOAP(fault)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	res := &types.HttpNfcLeaseGetManifestResponse{}
	for _, f := range l.order {
		if f.done {
			res.Returnval = append(res.Returnval, f.manifestEntry())
		}
	}
	return &methods.HttpNfcLeaseGetManifestBody{Res: res}
}
