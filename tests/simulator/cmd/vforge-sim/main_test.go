// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBadCommandLines(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no state directory":   {nil, "--state-dir is required"},
		"unknown flag":         {[]string{"--state-dir", dir, "--colour"}, "colour"},
		"not a number":         {[]string{"--state-dir", dir, "--vms", "many"}, "many"},
		"not a duration":       {[]string{"--state-dir", dir, "--clone-time", "soon"}, "soon"},
		"certificate":          {[]string{"--state-dir", dir, "--cert", "pretty"}, "pretty"},
		"public control":       {[]string{"--state-dir", dir, "--control", "0.0.0.0:0"}, "loopback"},
		"argument":             {[]string{"--state-dir", dir, "extra"}, "extra"},
		"no password file":     {[]string{"--state-dir", dir, "--password-file", filepath.Join(dir, "none")}, "--password-file"},
		"empty password file":  {[]string{"--state-dir", dir, "--password-file", empty}, "is empty"},
		"password as argument": {[]string{"--state-dir", dir, "--password", "secret"}, "password"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if status := run(c.args, strings.NewReader(""), &out, &errs); status != exitUsage {
				t.Errorf("status %d, want %d", status, exitUsage)
			}
			if text := errs.String(); !strings.Contains(text, c.says) || strings.Count(text, "\n") != 1 || out.Len() > 0 {
				t.Errorf("it said %q and %q; want one line with %q", out.String(), text, c.says)
			}
		})
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out bytes.Buffer
	if status := run([]string{"--help"}, strings.NewReader(""), &out, io.Discard); status != 0 {
		t.Errorf("status %d", status)
	}
	for _, flag := range []string{
		"state-dir", "listen", "control", "username", "password-file", "api-version", "cert", "datacenters", "clusters", "hosts", "pools",
		"datastores", "portgroups", "folders", "vms", "parents", "clone-time", "guest-time", "latency", "strict-datastore", "exit-with-stdin",
	} {
		if !strings.Contains(out.String(), "-"+flag) {
			t.Errorf("--%s is not in the help", flag)
		}
	}
}

func TestRunsUntilStandardInputEnds(t *testing.T) {
	t.Setenv("VFORGE_SIM_PASSWORD", "from the environment")
	dir := t.TempDir()
	stdin, keep := io.Pipe()
	stdout, says := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run([]string{"--state-dir", dir, "--vms", "0", "--exit-with-stdin"}, stdin, says, os.Stderr)
	}()
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "ready\n" {
		t.Fatalf("it said %q, %v", line, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ready.json"))
	if err != nil || !json.Valid(text) {
		t.Errorf("ready.json: %s, %v", text, err)
	}
	if password, err := os.ReadFile(filepath.Join(dir, "password")); err != nil || string(password) != "from the environment" {
		t.Errorf("password %q, %v", password, err)
	}
	if err := keep.Close(); err != nil {
		t.Fatal(err)
	}
	if status := <-ended; status != 0 {
		t.Errorf("status %d", status)
	}
}

func TestStateDirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	if status := run([]string{"--state-dir", file}, strings.NewReader(""), io.Discard, &errs); status != 1 {
		t.Errorf("status %d: %s", status, errs.String())
	}
}
