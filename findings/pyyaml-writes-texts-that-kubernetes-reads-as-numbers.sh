#!/usr/bin/env bash
# Copyright: the vforge.vsphere authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# PyYAML 6.0.3 with sigs.k8s.io/yaml 1.6.0, which Kubernetes' tools and Cluster API read manifests with. Needs Go 1.24 or later.
#
# Guess: a text that PyYAML writes, with quotes where it finds them needed, is read as that text by every reader of YAML.
# Seen:  PyYAML asks its own rules, and others call more texts numbers and booleans. It leaves n, 1e3, 08 and 0o17 without quotes;
#        Kubernetes' reader has false, 1000, 8 and 15 of them. A network that is called n, a folder "08" or a short hash like 1e3
#        is another value, or a refused manifest.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check PyYAML==6.0.3
venv/bin/python - > written.yaml <<'PYTHON'
import yaml

print(yaml.safe_dump({"network": "n", "commit": "1e3", "folder": "08", "mode": "0o17", "answer": "no"}, sort_keys=False), end="")
PYTHON
cat > main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	text, err := os.ReadFile("written.yaml")
	if err == nil {
		text, err = yaml.YAMLToJSON(text)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}
GO
cat > go.mod <<'MOD'
module example.com/finding

go 1.24
MOD
if ! { go get sigs.k8s.io/yaml@v1.6.0 && go mod tidy; } >go.log 2>&1; then
  cat go.log
  exit 1
fi
cat written.yaml
go run . | tee read.json
echo '{"answer":"no","commit":1000,"folder":8,"mode":15,"network":false}' | diff read.json -
