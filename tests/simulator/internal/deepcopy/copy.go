// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package deepcopy

import (
	"reflect"
	"sync"
	"time"
)

// TimeType is copied by assignment: it has no exported fields.
var TimeType = reflect.TypeOf(time.Time{})

// Of returns a copy of v that shares no memory with it. vcsim copies by
// encoding to XML and back, which is too slow for inventories of thousands.
func Of[T any](v T) T {
	out, _ := CloneValue(reflect.ValueOf(&v).Elem()).Interface().(T)
	return out
}

// CloneValue is Of for a value that is known by reflection.
func CloneValue(v reflect.Value) reflect.Value {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type().Elem())
		out.Elem().Set(CloneValue(v.Elem()))
		return out
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(CloneValue(v.Elem()))
		return out
	case reflect.Slice:
		return cloneSlice(v)
	case reflect.Struct:
		if v.Type() == TimeType {
			return v
		}
		out := reflect.New(v.Type()).Elem()
		out.Set(v)
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && !isScalar(v.Field(i).Kind()) {
				out.Field(i).Set(CloneValue(v.Field(i)))
			}
		}
		return out
	default:
		return v
	}
}

func cloneSlice(v reflect.Value) reflect.Value {
	if v.IsNil() {
		return v
	}
	out := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
	if isFlat(v.Type().Elem()) {
		reflect.Copy(out, v)
		return out
	}
	for i := range v.Len() {
		out.Index(i).Set(CloneValue(v.Index(i)))
	}
	return out
}

var flat sync.Map // reflect.Type to bool

// isFlat tells if values of a type refer to nothing that could change, so that assignment copies them: numbers, texts, and
// structs of these.
func isFlat(t reflect.Type) bool {
	if isScalar(t.Kind()) {
		return true
	}
	if t.Kind() != reflect.Struct {
		return false
	}
	if known, ok := flat.Load(t); ok {
		return known.(bool)
	}
	is := true
	for i := range t.NumField() {
		is = is && isFlat(t.Field(i).Type)
	}
	flat.Store(t, is)
	return is
}

func isScalar(k reflect.Kind) bool {
	return k <= reflect.Complex128 || k == reflect.String
}
