// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"fmt"
	"regexp"
	"strings"
)

var sedCommand = regexp.MustCompile(`^(?:/((?:[^/\\]|\\.)*)/)?\s*(?:s([/|#,])(.*)|([pd]))$`)

// sed knows s/a/b/g, /re/d, /re/p and -n, -i, -e, -E.
func sed(i *invocation) int {
	var scripts []string
	for {
		text, ok := i.option("-e")
		if !ok {
			break
		}
		scripts = append(scripts, text)
	}
	short, _, rest := i.flags()
	if len(scripts) == 0 && len(rest) > 0 {
		scripts, rest = rest[:1], rest[1:]
	}
	edit := strings.Contains(short, "i")
	if !edit {
		data, code := i.input(rest)
		text, err := sedText(scripts, string(data), short)
		if err != nil {
			return i.fail(1, "%v", err)
		}
		i.out.WriteString(text)
		return code
	}
	return i.each(rest, func(p string) error {
		data, err := i.sys.Read(i.user, i.abs(p))
		if err != nil {
			return err
		}
		text, err := sedText(scripts, string(data), short)
		if err != nil {
			return err
		}
		return i.sys.Write(i.user, i.abs(p), []byte(text), 0o644, Replace)
	})
}

func sedText(scripts []string, text, short string) (string, error) {
	quiet, extended := strings.Contains(short, "n"), strings.ContainsAny(short, "Er")
	var out strings.Builder
	for _, l := range lines([]byte(text)) {
		keep := !quiet
		for _, script := range scripts {
			m := sedCommand.FindStringSubmatch(strings.TrimSpace(script))
			if m == nil {
				return "", fmt.Errorf("%q is not simulated", script)
			}
			hit := true
			if m[1] != "" {
				re, err := basicRegexp(m[1], extended)
				if err != nil {
					return "", err
				}
				hit = re.MatchString(l)
			}
			switch {
			case !hit:
			case m[4] == "d":
				keep = false
			case m[4] == "p":
				keep = true
			default:
				changed, replaced, err := sedReplace(m[2], m[3], l, extended)
				if err != nil {
					return "", err
				}
				keep = keep || (replaced && strings.HasSuffix(m[3], m[2]+"p"))
				l = changed
			}
		}
		if keep {
			out.WriteString(l + "\n")
		}
	}
	return out.String(), nil
}

// sedReplace carries out s with what follows its first delimiter: a/b/flags.
func sedReplace(delimiter, rest, line string, extended bool) (string, bool, error) {
	parts := strings.Split(rest, delimiter)
	if len(parts) != 3 {
		return "", false, fmt.Errorf("s%s%s is not simulated", delimiter, rest)
	}
	re, err := basicRegexp(parts[0], extended)
	if err != nil {
		return "", false, err
	}
	with := regexp.MustCompile(`\\(\d)`).ReplaceAllString(strings.ReplaceAll(parts[1], "$", "$$"), "$${$1}")
	with = strings.ReplaceAll(with, "&", "${0}")
	hits := re.FindAllStringSubmatchIndex(line, -1)
	if !strings.Contains(parts[2], "g") {
		hits = hits[:min(1, len(hits))]
	}
	var out []byte
	at := 0
	for _, hit := range hits {
		out = append(out, line[at:hit[0]]...)
		out = re.ExpandString(out, with, line, hit)
		at = hit[1]
	}
	return string(append(out, line[at:]...)), len(hits) > 0, nil
}

// basicRegexp turns a basic regular expression into one of Go's.
func basicRegexp(text string, extended bool) (*regexp.Regexp, error) {
	if !extended {
		swap := strings.NewReplacer(`\(`, "(", `\)`, ")", `\{`, "{", `\}`, "}", `\|`, "|", `\+`, "+", `\?`, "?",
			"(", `\(`, ")", `\)`, "{", `\{`, "}", `\}`, "|", `\|`, "+", `\+`, "?", `\?`)
		text = swap.Replace(text)
	}
	return regexp.Compile(text)
}
