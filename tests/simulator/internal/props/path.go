// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package props

import (
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"vforge.vsphere/simulator/internal/deepcopy"
	"vforge.vsphere/simulator/internal/dsfiles"
)

// Managed returns the managed object (a struct of package mo) that a registered
// object is or wraps: vcsim's own types embed it as their first field.
func Managed(obj mo.Reference) reflect.Value {
	// Some objects show the API a view of themselves, event collectors for one.
	if v, ok := obj.(interface{ Get() mo.Reference }); ok {
		obj = v.Get()
	}
	v := reflect.ValueOf(obj).Elem()
	for path.Base(v.Type().PkgPath()) != "mo" {
		if v.Kind() != reflect.Struct || v.NumField() == 0 {
			return reflect.Value{}
		}
		if v = v.Field(0); v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
	}
	return v
}

// IsA tells if the managed object type t is, or descends from, the type of that
// name.
func IsA(t reflect.Type, ref types.ManagedObjectReference, name string) bool {
	if ref.Type == name || t.Name() == name || name == "ManagedObject" {
		return true
	}
	return ancestor(t, name) != nil
}

// ancestors keeps what reflection says of embedded types: a traversal asks it of each
// object for each of its steps.
var ancestors sync.Map // fieldKey to reflect.Type, nil for none

// ancestor returns the type of that name that a managed object type descends from, or
// nil.
func ancestor(t reflect.Type, name string) reflect.Type {
	key := fieldKey{t, name}
	if known, ok := ancestors.Load(key); ok {
		found, _ := known.(reflect.Type)
		return found
	}
	var found reflect.Type
	if f, ok := t.FieldByName(name); ok && f.Anonymous {
		found = f.Type
	}
	ancestors.Store(key, found)
	return found
}

// declaring returns the type whose properties a PropertySpec may name: the one that
// it says, not the one that the object happens to be.
func declaring(t reflect.Type, ref types.ManagedObjectReference, name string) reflect.Type {
	if ref.Type == name || t.Name() == name {
		return t
	}
	if found := ancestor(t, name); found != nil {
		return found
	}
	return t
}

type fieldKey struct {
	t    reflect.Type
	name string
}

var fieldIndex sync.Map // fieldKey to []int, empty for no such field

// field finds a property's struct field by its name in the API.
func field(t reflect.Type, name string) ([]int, bool) {
	key := fieldKey{t, name}
	if index, ok := fieldIndex.Load(key); ok {
		return index.([]int), len(index.([]int)) > 0
	}
	var index []int
	r, size := utf8.DecodeRuneInString(name)
	title := string(unicode.ToUpper(r)) + name[size:]
	f, ok := t.FieldByName(title)
	var above []int
	if ok && f.Anonymous && f.Type.Kind() == reflect.Struct {
		// A vApp is a ResourcePool, and has the property resourcePool from it.
		above = f.Index
		f, ok = f.Type.FieldByName(title)
	}
	if ok && unicode.IsLower(r) && !f.Anonymous && f.Name != "Self" {
		index = append(slices.Clone(above), f.Index...)
	}
	fieldIndex.Store(key, index)
	return index, len(index) > 0
}

// readProperty reads a property path. ok is false when there can be no such path; a
// path that is merely unset has a nil value.
func readProperty(obj reflect.Value, p string) (value any, ok bool) {
	if !strings.ContainsRune(p, '[') {
		v, ok := walkPath(obj, p)
		if !ok || !v.IsValid() {
			return nil, ok
		}
		return asVCenterTells(p, wrap(v)), true
	}
	var f mo.Field
	if !f.FromString(p) {
		return nil, false
	}
	v, ok := walkPath(obj, f.Path)
	if !ok || !v.IsValid() {
		return nil, ok
	}
	return keyed(v, f)
}

// entityKinds are the managed objects that a task can be about: the subtypes of ManagedEntity.
var entityKinds = map[string]bool{
	"ClusterComputeResource": true, "ComputeResource": true, "Datacenter": true, "Datastore": true,
	"DistributedVirtualPortgroup": true, "DistributedVirtualSwitch": true, "Folder": true, "HostSystem": true,
	"Network": true, "OpaqueNetwork": true, "ResourcePool": true, "StoragePod": true, "VirtualApp": true,
	"VirtualMachine": true, "VmwareDistributedVirtualSwitch": true,
}

// asVCenterTells puts two things right. It leaves the entity of a task out where it is none: the tasks of
// managers, of files or first class disks, are about nothing of the inventory, and clients that know the
// types refuse to decode vcsim's word for it. And it gives vSAN its own name.
func asVCenterTells(path string, value any) any {
	switch v := value.(type) {
	case types.DatastoreSummary:
		if v.Type == dsfiles.VSAN {
			v.Type = vsan
		}
		return v
	case string:
		if path == "summary.type" && v == dsfiles.VSAN {
			return vsan
		}
	case types.TaskInfo:
		if v.Entity != nil && !entityKinds[v.Entity.Type] {
			v.Entity, v.EntityName = nil, ""
		}
		return v
	case types.ManagedObjectReference:
		if path == "info.entity" && !entityKinds[v.Type] {
			return nil
		}
	}
	return value
}

const vsan = string(types.HostFileSystemVolumeFileSystemTypeVsan)

// walkPath follows a dotted path. The value is not valid where the path is unset.
func walkPath(v reflect.Value, p string) (reflect.Value, bool) {
	for p != "" {
		var name string
		name, p, _ = strings.Cut(p, ".")
		if v = deref(v); !v.IsValid() {
			return v, true
		}
		if v.Kind() != reflect.Struct || name == "" {
			return reflect.Value{}, false
		}
		index, ok := field(v.Type(), name)
		if !ok {
			return reflect.Value{}, false
		}
		v = v.FieldByIndex(index)
	}
	if unset(v) {
		return reflect.Value{}, true
	}
	return v, true
}

func deref(v reflect.Value) reflect.Value {
	for v.IsValid() && (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) {
		if v.IsNil() {
			return reflect.Value{}
		}
		v = v.Elem()
	}
	return v
}

func unset(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	}
	return false
}

// keyed picks the element of an array by its key, and of that a field if asked.
func keyed(v reflect.Value, f mo.Field) (any, bool) {
	if v.Kind() != reflect.Slice {
		return nil, false
	}
	for i := range v.Len() {
		item := deref(v.Index(i))
		if !item.IsValid() || item.Kind() != reflect.Struct {
			return nil, false
		}
		key := item.FieldByName("Key")
		if !key.IsValid() {
			return nil, false
		}
		if key.Interface() != f.Key {
			continue
		}
		if f.Item != "" {
			return readProperty(item, f.Item)
		}
		return deepcopy.Of(item.Interface()), true
	}
	return nil, true
}

// wrap makes a value ready for an answer: a copy, arrays in their ArrayOf type.
func wrap(v reflect.Value) any {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return wrap(v.Elem())
	}
	if v.Kind() != reflect.Slice {
		return deepcopy.Of(v.Interface())
	}
	copied := deepcopy.CloneValue(v)
	switch s := copied.Interface().(type) {
	case []string:
		return &types.ArrayOfString{String: s}
	case []byte:
		return &types.ArrayOfByte{Byte: s}
	case types.ByteSlice:
		return &types.ArrayOfByte{Byte: s}
	case []int16:
		return &types.ArrayOfShort{Short: s}
	case []int32:
		return &types.ArrayOfInt{Int: s}
	case []int64:
		return &types.ArrayOfLong{Long: s}
	}
	kind := strings.TrimPrefix(v.Type().Elem().Name(), "Base")
	array, ok := types.TypeFunc()("ArrayOf" + kind)
	if !ok {
		return copied.Interface()
	}
	out := reflect.New(array)
	out.Elem().FieldByName(kind).Set(copied)
	return out.Interface()
}

// allPaths lists the properties of a managed object type.
func allPaths(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Name == "Self" || !f.IsExported():
		case f.Anonymous:
			out = append(out, allPaths(f.Type)...)
		default:
			r, size := utf8.DecodeRuneInString(f.Name)
			out = append(out, string(unicode.ToLower(r))+f.Name[size:])
		}
	}
	return out
}

// refsOf lists the objects that a traversed property refers to.
func refsOf(value any) []types.ManagedObjectReference {
	switch v := value.(type) {
	case types.ManagedObjectReference:
		return []types.ManagedObjectReference{v}
	case *types.ArrayOfManagedObjectReference:
		return v.ManagedObjectReference
	}
	return nil
}
