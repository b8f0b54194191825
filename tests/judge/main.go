// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Judge holds manifests against schemas as an API server does: unknown fields, the schema, and its rules in CEL, all by the code of
// k8s.io/apiextensions-apiserver itself.
//
//	judge SCHEMAS... < MANIFESTS
//
// A file of schemas is JSON: {"group", "kind", "schemas": {version: OpenAPI schema}}. The manifests are a list in JSON. It prints, as JSON, a
// list of errors for each of them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	limits "k8s.io/apiserver/pkg/apis/cel"
)

// kind is what a file of schemas holds.
type kind struct {
	Group   string                         `json:"group"`
	Kind    string                         `json:"kind"`
	Schemas map[string]*v1.JSONSchemaProps `json:"schemas"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string) error {
	known := map[string]*v1.JSONSchemaProps{}
	for _, file := range files {
		if err := read(file, known); err != nil {
			return err
		}
	}
	var manifests []map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&manifests); err != nil {
		return fmt.Errorf("the manifests: %w", err)
	}
	found := make([][]string, len(manifests))
	for i, manifest := range manifests {
		errs, err := judge(manifest, known)
		if err != nil {
			return err
		}
		found[i] = errs
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}

func read(file string, known map[string]*v1.JSONSchemaProps) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var k kind
	if err := json.Unmarshal(data, &k); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if k.Group == "" || k.Kind == "" || len(k.Schemas) == 0 {
		return errors.New(file + " has no schemas")
	}
	for version, props := range k.Schemas {
		known[k.Group+"/"+version+" "+k.Kind] = props
	}
	return nil
}

// judge returns what an API server would refuse of a manifest.
func judge(manifest map[string]any, known map[string]*v1.JSONSchemaProps) ([]string, error) {
	found := []string{}
	name := fmt.Sprintf("%v %v", manifest["apiVersion"], manifest["kind"])
	props, served := known[name]
	if !served {
		return append(found, "not served: "+name), nil
	}
	var internal apiextensions.JSONSchemaProps
	if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	track := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(manifest, structural, true, track) {
		found = append(found, "unknown field: "+path)
	}
	validator, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, wrong := range validation.ValidateCustomResource(nil, manifest, validator) {
		found = append(found, wrong.Error())
	}
	if rules := cel.NewValidator(structural, true, limits.PerCallLimit); rules != nil {
		wrong, _ := rules.Validate(context.Background(), nil, structural, manifest, nil, limits.RuntimeCELCostBudget)
		for _, each := range wrong {
			found = append(found, each.Error())
		}
	}
	return found, nil
}
