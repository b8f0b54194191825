// Copyright: the vforge.vsphere authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package guestos

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// lines splits a text; the last one need not end.
func lines(data []byte) []string {
	text := strings.TrimSuffix(string(data), "\n")
	if text == "" && len(data) == 0 {
		return nil
	}
	return strings.Split(text, "\n")
}

// option takes the value of a flag such as -n 3 or -n3 out of the arguments.
func (i *invocation) option(flag string) (value string, ok bool) {
	for n, a := range i.args {
		if n == 0 {
			continue
		}
		if a == flag && n+1 < len(i.args) {
			value = i.args[n+1]
			i.args = append(slices.Clone(i.args[:n]), i.args[n+2:]...)
			return value, true
		}
		if v, found := strings.CutPrefix(a, flag); found && v != "" && !strings.HasPrefix(flag, "--") {
			i.args = append(slices.Clone(i.args[:n]), i.args[n+1:]...)
			return v, true
		}
	}
	return "", false
}

// head is head and tail.
func head(i *invocation) int {
	count := 10
	if text, ok := i.option("-c"); ok {
		return i.bytesOf(text)
	}
	if text, ok := i.option("-n"); ok {
		n, err := strconv.Atoi(text)
		if err != nil {
			return i.fail(1, "invalid number of lines: '%s'", text)
		}
		count = n
	}
	short, _, rest := i.flags()
	if n, err := strconv.Atoi(short); err == nil { // head -1
		count = n
	}
	data, code := i.input(rest)
	list := lines(data)
	if i.args[0] == "head" {
		list = list[:min(count, len(list))]
	} else {
		list = list[max(0, len(list)-count):]
	}
	for _, l := range list {
		i.out.WriteString(l + "\n")
	}
	return code
}

// bytesOf is head -c and tail -c: the first or the last so many bytes.
func (i *invocation) bytesOf(text string) int {
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 {
		return i.fail(1, "invalid number of bytes: '%s'", text)
	}
	_, _, rest := i.flags()
	data, code := i.input(rest)
	if i.args[0] == "head" {
		i.out.Write(data[:min(count, len(data))])
	} else {
		i.out.Write(data[max(0, len(data)-count):])
	}
	return code
}

func cut(i *invocation) int {
	delimiter, ok := i.option("-d")
	if !ok {
		delimiter = "\t"
	}
	text, ok := i.option("-f")
	from, err := strconv.Atoi(strings.TrimSuffix(text, "-"))
	if !ok || err != nil || from < 1 {
		return i.fail(1, "only -d CHARACTER -f N and -f N- are simulated")
	}
	_, _, rest := i.flags()
	data, code := i.input(rest)
	for _, l := range lines(data) {
		parts := strings.Split(l, delimiter)
		switch {
		case len(parts) == 1:
			i.out.WriteString(l)
		case strings.HasSuffix(text, "-"):
			i.out.WriteString(strings.Join(parts[min(from-1, len(parts)):], delimiter))
		case from <= len(parts):
			i.out.WriteString(parts[from-1])
		}
		i.out.WriteString("\n")
	}
	return code
}

// charSet writes out a set such as a-z, and the classes that scripts use.
func charSet(text string) []rune {
	text = strings.NewReplacer("[:upper:]", "A-Z", "[:lower:]", "a-z", "[:digit:]", "0-9", "[:space:]", " \t\n\r",
		`\n`, "\n", `\t`, "\t", `\r`, "\r").Replace(text)
	var out []rune
	r := []rune(text)
	for n := 0; n < len(r); n++ {
		if n+2 < len(r) && r[n+1] == '-' {
			for c := r[n]; c <= r[n+2]; c++ {
				out = append(out, c)
			}
			n += 2
			continue
		}
		out = append(out, r[n])
	}
	return out
}

func tr(i *invocation) int {
	short, _, rest := i.flags()
	if len(rest) == 0 {
		return i.fail(1, "missing operand")
	}
	from := charSet(rest[0])
	var to []rune
	if len(rest) > 1 {
		to = charSet(rest[1])
	}
	data, _ := i.input(nil)
	i.out.WriteString(strings.Map(func(r rune) rune {
		at := slices.Index(from, r)
		switch {
		case at < 0:
			return r
		case strings.Contains(short, "d") || len(to) == 0:
			return -1
		}
		return to[min(at, len(to)-1)]
	}, string(data)))
	return 0
}

func grep(i *invocation) int {
	short, _, rest := i.flags()
	if len(rest) == 0 {
		return i.fail(exitUsage, "a pattern is needed")
	}
	pat := rest[0]
	if strings.Contains(short, "F") {
		pat = regexp.QuoteMeta(pat)
	}
	re, err := basicRegexp(pat, strings.ContainsAny(short, "EP"))
	if strings.Contains(short, "i") {
		re, err = basicRegexp("(?i)"+pat, true)
	}
	if err != nil {
		return i.fail(exitUsage, "%v", err)
	}
	data, code := i.input(rest[1:])
	if code != 0 {
		return exitUsage
	}
	code, count := 1, 0
	for _, l := range lines(data) {
		if re.MatchString(l) == strings.Contains(short, "v") {
			continue
		}
		code, count = 0, count+1
		switch {
		case strings.ContainsAny(short, "qc"):
		case strings.Contains(short, "o"):
			i.out.WriteString(re.FindString(l) + "\n")
		default:
			i.out.WriteString(l + "\n")
		}
	}
	if strings.Contains(short, "c") {
		fmt.Fprintln(&i.out, count)
	}
	return code
}

func wc(i *invocation) int {
	short, _, rest := i.flags()
	data, code := i.input(rest)
	switch short {
	case "l":
		fmt.Fprintln(&i.out, bytes.Count(data, []byte("\n")))
	case "c":
		fmt.Fprintln(&i.out, len(data))
	default:
		fmt.Fprintln(&i.out, bytes.Count(data, []byte("\n")), len(strings.Fields(string(data))), len(data))
	}
	return code
}

// sorted is sort and uniq.
func sorted(i *invocation) int {
	short, _, rest := i.flags()
	data, code := i.input(rest)
	list := lines(data)
	if i.args[0] == "sort" {
		slices.Sort(list)
	}
	if i.args[0] == "uniq" || strings.Contains(short, "u") {
		list = slices.Compact(list)
	}
	for _, l := range list {
		i.out.WriteString(l + "\n")
	}
	return code
}

func seq(i *invocation) int {
	var n []int
	for _, text := range i.args[1:] {
		v, err := strconv.Atoi(text)
		if err != nil {
			return i.fail(1, "invalid argument: '%s'", text)
		}
		n = append(n, v)
	}
	if len(n) == 1 {
		n = []int{1, n[0]}
	}
	if len(n) != 2 {
		return i.fail(1, "seq LAST and seq FIRST LAST are simulated")
	}
	for v := n[0]; v <= n[1]; v++ {
		fmt.Fprintln(&i.out, v)
	}
	return 0
}

var awkPrint = regexp.MustCompile(`^(?:/(.*)/|NR==(\d+))?\s*\{\s*print \$(\d+|NF);?\s*(?:exit;?\s*)?\}$`)

// awk knows {print $N}, also behind /re/ or NR==N, and -F.
func awk(i *invocation) int {
	separator, _ := i.option("-F")
	_, _, rest := i.flags()
	if len(rest) == 0 {
		return i.fail(exitUsage, "a program is needed")
	}
	m := awkPrint.FindStringSubmatch(strings.TrimSpace(rest[0]))
	if m == nil {
		return i.fail(exitUsage, "%q is not simulated", rest[0])
	}
	re, err := regexp.Compile(m[1])
	if err != nil {
		return i.fail(exitUsage, "%v", err)
	}
	data, code := i.input(rest[1:])
	for n, l := range lines(data) {
		if !re.MatchString(l) || m[2] != "" && m[2] != strconv.Itoa(n+1) {
			continue
		}
		fields := strings.Fields(l)
		if separator != "" {
			fields = strings.Split(l, separator)
		}
		at, err := strconv.Atoi(m[3])
		if err != nil {
			at = len(fields)
		}
		switch {
		case at == 0:
			i.out.WriteString(l)
		case at <= len(fields):
			i.out.WriteString(fields[at-1])
		}
		i.out.WriteString("\n")
		if strings.Contains(rest[0], "exit") {
			break
		}
	}
	return code
}

func base64Text(i *invocation) int {
	short, long, rest := i.flags()
	data, code := i.input(rest)
	if strings.Contains(short, "d") || long["decode"] {
		raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(data)), ""))
		if err != nil {
			return i.fail(1, "invalid input")
		}
		i.out.Write(raw)
		return code
	}
	i.out.WriteString(base64.StdEncoding.EncodeToString(data) + "\n")
	return code
}
