// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package controlhttp

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
)

// Error is a refusal with its HTTP status.
type Error struct {
	status int
	err    error
}

func (e *Error) Error() string { return e.err.Error() }

// BadRequest is a request that makes no sense.
func BadRequest(err error) error { return &Error{http.StatusBadRequest, err} }

// Conflict is a request that does not fit what there is.
func Conflict(err error) error { return &Error{http.StatusConflict, err} }

// NotFound is a request for what there is not.
func NotFound(err error) error { return &Error{http.StatusNotFound, err} }

// NoSuch is notFound for something that is named.
func NoSuch(kind, name string) error {
	return NotFound(fmt.Errorf("there is no %s %q", kind, name))
}

// Handler turns a function into a handler that answers with JSON.
func Handler(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := f(r)
		status := http.StatusOK
		if err != nil {
			status = http.StatusInternalServerError
			var refused *Error
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

// Decode reads a JSON body; a field that does not exist is an error, so that a
// misspelt one is noticed.
func Decode(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return BadRequest(fmt.Errorf("body: %w", err))
	}
	return nil
}

// Done is the answer of a request that asks for nothing.
var Done = map[string]any{}
