// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package vstorage

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	vim "github.com/vmware/govmomi/vim25/types"
	service "github.com/vmware/govmomi/vslm"
	vslmmethods "github.com/vmware/govmomi/vslm/methods"
	vslm "github.com/vmware/govmomi/vslm/types"

	"vforge.vsphere/simulator/internal/faults"
	"vforge.vsphere/simulator/internal/fcd"
	"vforge.vsphere/simulator/internal/shim"
)

// vslmLimit is how many disks one answer of the global catalogue has at the most, whatever was asked for.
// The API reference says that there is such a limit, not which.
const vslmLimit = 1000

// vslmState is what is chosen for the service of the global catalogue.
type vslmState struct{ limit atomic.Int64 }

var vslmContent = vslm.VslmServiceInstanceContent{
	AboutInfo: vslm.VslmAboutInfo{
		Name: "VMware Virtual Storage Lifecycle Manager Service", FullName: "VMware Virtual Storage Lifecycle Manager Service 1.0.0",
		Vendor: "VMware, Inc.", ApiVersion: "1.0.0", InstanceUuid: "31c68687-4f1e-4247-8158-f31d1ce95bbe",
	},
	SessionManager:          vim.ManagedObjectReference{Type: "VslmSessionManager", Value: "SessionManager"},
	VStorageObjectManager:   vim.ManagedObjectReference{Type: "VslmVStorageObjectManager", Value: "VStorageObjectManager"},
	StorageLifecycleManager: vim.ManagedObjectReference{Type: "VslmStorageLifecycleManager", Value: "StorageLifecycleManager"},
}

// InstallVSLM adds the service of the global catalogue of first class disks. vcsim has one too; its disks are
// not ours.
func (s *VStorage) InstallVSLM() {
	reg := simulator.NewRegistry()
	reg.Namespace, reg.Path = service.Namespace, service.Path
	reg.Cookie = simulator.HTTPCookie // serveBeside has looked at the one in the SOAP header
	reg.Put(&vslmInstance{service.ServiceInstance})
	reg.Put(&vslmManager{vslmContent.VStorageObjectManager, s})
	s.vslm.limit.Store(vslmLimit)
	s.Service.RegisterSDK(reg)
}

type vslmInstance struct{ vim.ManagedObjectReference }

// RetrieveContent tells which objects the service has.
func (*vslmInstance) RetrieveContent(*vslm.RetrieveContent) soap.HasFault {
	return &vslmmethods.RetrieveContentBody{Res: &vslm.RetrieveContentResponse{Returnval: vslmContent}}
}

// vslmManager is the global catalogue. What changes a disk is what the manager of vim does.
type vslmManager struct {
	vim.ManagedObjectReference
	s *VStorage
}

// vslmTask stands for a task of vim, which clients of this service cannot wait for in another way.
type vslmTask struct {
	vim.ManagedObjectReference
	s *VStorage
}

func (m *vslmManager) task(ctx *simulator.Context, ref vim.ManagedObjectReference) vim.ManagedObjectReference {
	made := &vslmTask{vim.ManagedObjectReference{Type: "VslmTask", Value: ref.Value}, m.s}
	return ctx.Map.Put(made).Reference()
}

func (t *vslmTask) info() vim.TaskInfo {
	task := t.s.Reg.Get(vim.ManagedObjectReference{Type: "Task", Value: t.Value}).(*simulator.Task)
	var info vim.TaskInfo
	t.s.Background("").WithLock(task, func() { info = task.Info })
	return info
}

// VslmQueryInfo tells how far a task is.
func (t *vslmTask) VslmQueryInfo(*vslm.VslmQueryInfo) soap.HasFault {
	info := t.info()
	return &vslmmethods.VslmQueryInfoBody{Res: &vslm.VslmQueryInfoResponse{Returnval: vslm.VslmTaskInfo{
		Key: t.Value, Task: t.ManagedObjectReference, DescriptionId: "com.vmware.cns.vslm.tasks." + info.Name,
		State: vslm.VslmTaskInfoState(info.State), Error: info.Error, Result: info.Result,
		QueueTime: info.QueueTime, StartTime: info.StartTime, CompleteTime: info.CompleteTime, Reason: &vslm.VslmTaskReasonSystem{},
	}}}
}

// VslmQueryTaskResult is the result of a task.
func (t *vslmTask) VslmQueryTaskResult(*vslm.VslmQueryTaskResult) soap.HasFault {
	return &vslmmethods.VslmQueryTaskResultBody{Res: &vslm.VslmQueryTaskResultResponse{Returnval: t.info().Result}}
}

// entry is what the catalogue has of a disk, whether its files are there or not.
func (m *vslmManager) entry(d *fcd.Disk) vslm.VslmVsoVStorageObjectResult {
	entry := vslm.VslmVsoVStorageObjectResult{
		Id: vim.ID{Id: d.ID}, Name: d.Name, CapacityInMB: d.CapacityMB, CreateTime: &d.Created, DiskPath: d.Top().FileName,
		UsedCapacityInMB: m.s.usedMB(d), BackingObjectId: &vim.ID{Id: d.BackingID}, Metadata: slices.Clone(d.Metadata),
	}
	if ds, ok := m.s.Reg.Get(d.Datastore).(*simulator.Datastore); ok {
		entry.DatastoreUrl = ds.Info.GetDatastoreInfo().Url
	}
	for at, snapshot := range d.Snapshots {
		entry.SnapshotInfo = append(entry.SnapshotInfo, vslm.VslmVsoVStorageObjectSnapshotResult{
			BackingObjectId: vim.ID{Id: snapshot.BackingID}, SnapshotId: &vim.ID{Id: snapshot.ID},
			Description: snapshot.Description, DiskPath: d.Layers[at].FileName,
		})
	}
	return entry
}

// usedMB is what the layers of a disk occupy.
func (s *VStorage) usedMB(d *fcd.Disk) int64 {
	var bytes int64
	for _, b := range d.Layers {
		if l, err := s.DiskLayers.Layer(b, d.Bytes()); err == nil {
			bytes += l.Written().Bytes()
		}
	}
	return (bytes + fcd.MB - 1) / fcd.MB
}

// matches tells if a disk fits a query; ok is false for a query that the catalogue does not take.
func (m *vslmManager) matches(d *fcd.Disk, q vslm.VslmVsoVStorageObjectQuerySpec) (fits, ok bool) {
	value := q.QueryValue[0]
	switch vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnum(q.QueryField) {
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumId:
		return compareText(q.QueryOperator, d.ID, value)
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumName:
		return compareText(q.QueryOperator, d.Name, value)
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumDatastoreMoId:
		return strings.TrimPrefix(d.Datastore.Value, "datastore-") == strings.TrimPrefix(value, "datastore-"), true
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumCapacity:
		n, err := strconv.ParseInt(value, 10, 64)
		fits, ok = compareNumber(q.QueryOperator, d.CapacityMB, n)
		return fits, ok && err == nil
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumMetadataKey:
		return anyPair(q.QueryOperator, d.Metadata, value, func(p vim.KeyValue) string { return p.Key })
	case vslm.VslmVsoVStorageObjectQuerySpecQueryFieldEnumMetadataValue:
		return anyPair(q.QueryOperator, d.Metadata, value, func(p vim.KeyValue) string { return p.Value })
	}
	return false, false // backingObjectId is documented, and refused by vCenter
}

func anyPair(op string, pairs []vim.KeyValue, value string, of func(vim.KeyValue) string) (fits, ok bool) {
	ok = true
	for _, pair := range pairs {
		found, known := compareText(op, of(pair), value)
		fits, ok = fits || found, ok && known
	}
	return fits, ok
}

func compareNumber(op string, a, b int64) (fits, ok bool) {
	switch op {
	case "equals":
		return a == b, true
	case "notEquals":
		return a != b, true
	case "lessThan":
		return a < b, true
	case "greaterThan":
		return a > b, true
	case "lessThanOrEqual":
		return a <= b, true
	case "greaterThanOrEqual":
		return a >= b, true
	}
	return false, false
}

func compareText(op, a, b string) (fits, ok bool) {
	switch op {
	case "contains":
		return strings.Contains(a, b), true
	case "startsWith":
		return strings.HasPrefix(a, b), true
	case "endsWith":
		return strings.HasSuffix(a, b), true
	}
	return compareNumber(op, int64(strings.Compare(a, b)), 0)
}

// VslmListVStorageObjectForSpec lists the disks that fit all queries, in the order of their IDs, a page of them.
func (m *vslmManager) VslmListVStorageObjectForSpec(_ *simulator.Context, req *vslm.VslmListVStorageObjectForSpec) soap.HasFault {
	body := &vslmmethods.VslmListVStorageObjectForSpecBody{}
	if req.MaxResult <= 0 {
		body.Fault_ = faults.SOAP(faults.Invalid("maxResult"))
		return body
	}
	for _, q := range req.Query {
		if len(q.QueryValue) != 1 {
			body.Fault_ = faults.SOAP(faults.Invalid("values"))
			return body
		}
	}
	m.s.Catalogue.Lock()
	defer m.s.Catalogue.Unlock()
	res := &vslm.VslmVsoVStorageObjectQueryResult{AllRecordsReturned: true}
	for _, d := range m.s.Catalogue.All(nil) {
		fits := true
		for _, q := range req.Query {
			one, ok := m.matches(d, q)
			if !ok {
				body.Fault_ = faults.SOAP(&vim.SystemError{Reason: "Undeclared fault"})
				return body
			}
			fits = fits && one
		}
		if !fits {
			continue
		}
		if int64(len(res.Id)) >= min(int64(req.MaxResult), m.s.vslm.limit.Load()) {
			res.AllRecordsReturned = false
			break
		}
		res.Id = append(res.Id, vim.ID{Id: d.ID})
		res.QueryResults = append(res.QueryResults, m.entry(d))
	}
	body.Res = &vslm.VslmListVStorageObjectForSpecResponse{Returnval: res}
	return body
}

// VslmRetrieveVStorageObjects tells what the catalogue has of any number of disks.
func (m *vslmManager) VslmRetrieveVStorageObjects(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjects) soap.HasFault {
	m.s.Catalogue.Lock()
	defer m.s.Catalogue.Unlock()
	res := &vslm.VslmRetrieveVStorageObjectsResponse{}
	for _, id := range req.Ids {
		if int64(len(res.Returnval)) >= m.s.vslm.limit.Load() {
			break
		}
		if d := m.s.Catalogue.Named(id.Id); d != nil {
			res.Returnval = append(res.Returnval, m.entry(d))
		} else {
			res.Returnval = append(res.Returnval, vslm.VslmVsoVStorageObjectResult{
				Id: id, CapacityInMB: -1, Error: faults.Localized(&vim.NotFound{}),
			})
		}
	}
	return &vslmmethods.VslmRetrieveVStorageObjectsBody{Res: res}
}

// VslmRetrieveVStorageObjectAssociations tells which VMs have disks, of any number of them.
func (m *vslmManager) VslmRetrieveVStorageObjectAssociations(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjectAssociations) soap.HasFault {
	m.s.Catalogue.Lock()
	defer m.s.Catalogue.Unlock()
	res := &vslm.VslmRetrieveVStorageObjectAssociationsResponse{}
	for _, id := range req.Ids {
		found := vslm.VslmVsoVStorageObjectAssociations{Id: id}
		switch d := m.s.Catalogue.Named(id.Id); {
		case d == nil:
			found.Fault = faults.Localized(&vim.NotFound{})
		case d.VM != nil:
			found.VmDiskAssociation = []vslm.VslmVsoVStorageObjectAssociationsVmDiskAssociation{{VmId: d.VM.Value, DiskKey: d.Key}}
		}
		res.Returnval = append(res.Returnval, found)
	}
	return &vslmmethods.VslmRetrieveVStorageObjectAssociationsBody{Res: res}
}

// where is the datastore of a disk; vCenter names the argument VolumeId when there is none.
func (m *vslmManager) where(id string) (vim.ManagedObjectReference, *soap.Fault) {
	m.s.Catalogue.Lock()
	defer m.s.Catalogue.Unlock()
	if d := m.s.Catalogue.Named(id); d != nil {
		return d.Datastore, nil
	}
	return vim.ManagedObjectReference{}, faults.SOAP(faults.Invalid("VolumeId"))
}

// onVim is the context of the service that the disks belong to.
func (m *vslmManager) onVim(ctx *simulator.Context) *simulator.Context { return ctx.For(m.s.Reg.Path) }

// VslmRetrieveVStorageObject shows a disk.
func (m *vslmManager) VslmRetrieveVStorageObject(ctx *simulator.Context, req *vslm.VslmRetrieveVStorageObject) soap.HasFault {
	body := &vslmmethods.VslmRetrieveVStorageObjectBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		sh := &fcdShim{shim.For("VcenterVStorageObjectManager", m.s)}
		found := sh.RetrieveVStorageObject(m.onVim(ctx), &vim.RetrieveVStorageObject{Id: req.Id, Datastore: ds}).(*methods.RetrieveVStorageObjectBody)
		if fault = found.Fault_; fault == nil {
			body.Res = &vslm.VslmRetrieveVStorageObjectResponse{Returnval: found.Res.Returnval}
		}
	}
	body.Fault_ = fault
	return body
}

// started is what became of a call that starts a task.
func (m *vslmManager) started(ctx *simulator.Context, ref vim.ManagedObjectReference, refused vim.BaseMethodFault) (vim.ManagedObjectReference, *soap.Fault) {
	if refused != nil {
		return ref, faults.SOAP(refused)
	}
	return m.task(ctx, ref), nil
}

// VslmCreateDiskTask makes an empty disk.
func (m *vslmManager) VslmCreateDiskTask(ctx *simulator.Context, req *vslm.VslmCreateDisk_Task) soap.HasFault {
	body := &vslmmethods.VslmCreateDisk_TaskBody{}
	made, refused := m.s.createFCD(m.onVim(ctx), &req.Spec)
	task, fault := m.started(ctx, made, refused)
	if body.Fault_ = fault; fault == nil {
		body.Res = &vslm.VslmCreateDisk_TaskResponse{Returnval: task}
	}
	return body
}

// VslmRegisterDisk makes a first class disk of a file that is there.
func (m *vslmManager) VslmRegisterDisk(ctx *simulator.Context, req *vslm.VslmRegisterDisk) soap.HasFault {
	made, fault := m.s.registerFCD(m.onVim(ctx), req.Path, req.Name)
	if fault != nil {
		return &vslmmethods.VslmRegisterDiskBody{Fault_: faults.SOAP(fault)}
	}
	return &vslmmethods.VslmRegisterDiskBody{Res: &vslm.VslmRegisterDiskResponse{Returnval: made}}
}

// VslmDeleteVStorageObjectTask deletes a disk.
func (m *vslmManager) VslmDeleteVStorageObjectTask(ctx *simulator.Context, req *vslm.VslmDeleteVStorageObject_Task) soap.HasFault {
	body := &vslmmethods.VslmDeleteVStorageObject_TaskBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		made, refused := m.s.deleteFCD(m.onVim(ctx), ds, req.Id.Id)
		var task vim.ManagedObjectReference
		if task, fault = m.started(ctx, made, refused); fault == nil {
			body.Res = &vslm.VslmDeleteVStorageObject_TaskResponse{Returnval: task}
		}
	}
	body.Fault_ = fault
	return body
}

// VslmCreateSnapshotTask makes a snapshot.
func (m *vslmManager) VslmCreateSnapshotTask(ctx *simulator.Context, req *vslm.VslmCreateSnapshot_Task) soap.HasFault {
	body := &vslmmethods.VslmCreateSnapshot_TaskBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		made, refused := m.s.snapshotFCD(m.onVim(ctx), ds, req.Id.Id, req.Description)
		var task vim.ManagedObjectReference
		if task, fault = m.started(ctx, made, refused); fault == nil {
			body.Res = &vslm.VslmCreateSnapshot_TaskResponse{Returnval: task}
		}
	}
	body.Fault_ = fault
	return body
}

// VslmDeleteSnapshotTask removes a snapshot.
func (m *vslmManager) VslmDeleteSnapshotTask(ctx *simulator.Context, req *vslm.VslmDeleteSnapshot_Task) soap.HasFault {
	body := &vslmmethods.VslmDeleteSnapshot_TaskBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		made, refused := m.s.deleteFCDSnapshot(m.onVim(ctx), ds, req.Id.Id, req.SnapshotId.Id)
		var task vim.ManagedObjectReference
		if task, fault = m.started(ctx, made, refused); fault == nil {
			body.Res = &vslm.VslmDeleteSnapshot_TaskResponse{Returnval: task}
		}
	}
	body.Fault_ = fault
	return body
}

// VslmRetrieveSnapshotInfo lists the snapshots of a disk.
func (m *vslmManager) VslmRetrieveSnapshotInfo(ctx *simulator.Context, req *vslm.VslmRetrieveSnapshotInfo) soap.HasFault {
	body := &vslmmethods.VslmRetrieveSnapshotInfoBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		info, refused := m.s.fcdSnapshots(m.onVim(ctx), ds, req.Id.Id)
		if refused != nil {
			fault = faults.SOAP(refused)
		} else {
			body.Res = &vslm.VslmRetrieveSnapshotInfoResponse{Returnval: info}
		}
	}
	body.Fault_ = fault
	return body
}

// VslmUpdateVStorageObjectMetadataTask sets and removes pairs.
func (m *vslmManager) VslmUpdateVStorageObjectMetadataTask(ctx *simulator.Context, req *vslm.VslmUpdateVStorageObjectMetadata_Task) soap.HasFault {
	body := &vslmmethods.VslmUpdateVStorageObjectMetadata_TaskBody{}
	ds, fault := m.where(req.Id.Id)
	if fault == nil {
		made, refused := m.s.updateFCDMetadata(m.onVim(ctx), ds, req.Id.Id, req.Metadata, req.DeleteKeys)
		var task vim.ManagedObjectReference
		if task, fault = m.started(ctx, made, refused); fault == nil {
			body.Res = &vslm.VslmUpdateVStorageObjectMetadata_TaskResponse{Returnval: task}
		}
	}
	body.Fault_ = fault
	return body
}

// VslmRetrieveVStorageObjectMetadata lists the pairs of a disk.
func (m *vslmManager) VslmRetrieveVStorageObjectMetadata(_ *simulator.Context, req *vslm.VslmRetrieveVStorageObjectMetadata) soap.HasFault {
	m.s.Catalogue.Lock()
	defer m.s.Catalogue.Unlock()
	d := m.s.Catalogue.Named(req.Id.Id)
	if d == nil {
		return &vslmmethods.VslmRetrieveVStorageObjectMetadataBody{Fault_: faults.SOAP(&vim.NotFound{})}
	}
	res := &vslm.VslmRetrieveVStorageObjectMetadataResponse{}
	for _, pair := range d.Metadata {
		if strings.HasPrefix(pair.Key, req.Prefix) {
			res.Returnval = append(res.Returnval, pair)
		}
	}
	return &vslmmethods.VslmRetrieveVStorageObjectMetadataBody{Res: res}
}

// VslmAttachTagToVStorageObject attaches a tag.
func (m *vslmManager) VslmAttachTagToVStorageObject(ctx *simulator.Context, req *vslm.VslmAttachTagToVStorageObject) soap.HasFault {
	sh := &fcdShim{shim.For("VcenterVStorageObjectManager", m.s)}
	done := sh.AttachTagToVStorageObject(m.onVim(ctx), &vim.AttachTagToVStorageObject{Id: req.Id, Category: req.Category, Tag: req.Tag})
	if fault := done.Fault(); fault != nil {
		return &vslmmethods.VslmAttachTagToVStorageObjectBody{Fault_: fault}
	}
	return &vslmmethods.VslmAttachTagToVStorageObjectBody{Res: &vslm.VslmAttachTagToVStorageObjectResponse{}}
}

// VslmDetachTagFromVStorageObject detaches a tag.
func (m *vslmManager) VslmDetachTagFromVStorageObject(ctx *simulator.Context, req *vslm.VslmDetachTagFromVStorageObject) soap.HasFault {
	sh := &fcdShim{shim.For("VcenterVStorageObjectManager", m.s)}
	done := sh.DetachTagFromVStorageObject(m.onVim(ctx), &vim.DetachTagFromVStorageObject{Id: req.Id, Category: req.Category, Tag: req.Tag})
	if fault := done.Fault(); fault != nil {
		return &vslmmethods.VslmDetachTagFromVStorageObjectBody{Fault_: fault}
	}
	return &vslmmethods.VslmDetachTagFromVStorageObjectBody{Res: &vslm.VslmDetachTagFromVStorageObjectResponse{}}
}

// VslmListTagsAttachedToVStorageObject lists the tags of a disk.
func (m *vslmManager) VslmListTagsAttachedToVStorageObject(ctx *simulator.Context, req *vslm.VslmListTagsAttachedToVStorageObject) soap.HasFault {
	sh := &fcdShim{shim.For("VcenterVStorageObjectManager", m.s)}
	done := sh.ListTagsAttachedToVStorageObject(m.onVim(ctx), &vim.ListTagsAttachedToVStorageObject{Id: req.Id})
	if fault := done.Fault(); fault != nil {
		return &vslmmethods.VslmListTagsAttachedToVStorageObjectBody{Fault_: fault}
	}
	found := done.(*methods.ListTagsAttachedToVStorageObjectBody).Res.Returnval
	return &vslmmethods.VslmListTagsAttachedToVStorageObjectBody{Res: &vslm.VslmListTagsAttachedToVStorageObjectResponse{Returnval: found}}
}
