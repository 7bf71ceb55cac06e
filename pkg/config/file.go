package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// maxFile bounds daemon.json: enough for any hand-written one.
const maxFile = 1 << 20

// readFile adds daemon.json to what the flags said. It returns the file's name,
// "" when the default one does not exist.
func (s *settings) readFile(flags *pflag.FlagSet) (string, error) {
	for _, o := range s.options {
		o.given = flags.Changed(o.flag)
	}
	b, err := load(s.file)
	if errors.Is(err, fs.ErrNotExist) && !flags.Changed("config-file") {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return s.file, s.merge(b, flags)
}

func load(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	return b, err
}

// merge decodes the bytes of a daemon.json into the options.
func (s *settings) merge(b []byte, flags *pflag.FlagSet) error {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))) // editors that write a BOM, as dockerd allows
	if len(b) == 0 {
		return nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(b, &keys); err != nil {
		return syntaxError(b, err)
	}
	for _, key := range []string{"proxies", "image-gc"} {
		if err := flatten(keys, key); err != nil {
			return err
		}
	}
	byKey := make(map[string]*option, len(s.options))
	for _, o := range s.options {
		if o.key != "" {
			byKey[o.key] = o
		}
	}
	var unknown, conflicts []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		o, ok := byKey[key]
		switch {
		case !ok:
			unknown = append(unknown, key)
		case o.given && !o.merge:
			conflicts = append(conflicts, fmt.Sprintf("%s: (from flag: %s, from file: %s)", key, flags.Lookup(o.flag).Value, plain(keys[key])))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the following directives don't match any configuration option: %s", strings.Join(unknown, ", "))
	}
	if len(conflicts) > 0 {
		return fmt.Errorf("the following directives are specified both as a flag and in the configuration file: %s", strings.Join(conflicts, ", "))
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if err := byKey[key].decode(keys[key]); err != nil {
			return err
		}
	}
	return nil
}

// flatten makes the members of the object that key is into keys of their own,
// "key.member". daemon.json has few such; flags have none.
func flatten(keys map[string]json.RawMessage, key string) error {
	raw, ok := keys[key]
	if !ok {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return fmt.Errorf("%s: an object expected", key)
	}
	delete(keys, key)
	for name, value := range members {
		keys[key+"."+name] = value
	}
	return nil
}

// decode sets the option from its JSON value. A wrong type is named with the key
// and what was expected.
func (o *option) decode(raw json.RawMessage) error {
	if string(raw) == "null" {
		return nil // dockerd reads null as "not said"
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if set, ok := o.dst.(*map[string]Runtime); ok {
		return o.decodeRuntimes(dec, *set)
	}
	if err := dec.Decode(o.dst); err != nil {
		return o.typeError(err)
	}
	if m, ok := o.dst.(*map[string]string); ok && *m == nil {
		*m = map[string]string{}
	}
	o.given = true
	return nil
}

// decodeRuntimes adds the file's runtimes to those of the flags.
func (o *option) decodeRuntimes(dec *json.Decoder, set map[string]Runtime) error {
	var more map[string]Runtime
	if err := dec.Decode(&more); err != nil {
		return o.typeError(err)
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if have, ok := set[name]; ok {
			return fmt.Errorf("runtime %q is defined both by flag (%s) and in the configuration file (%s)", name, have.Path, more[name].Path)
		}
		set[name] = more[name]
	}
	o.given = true
	return nil
}

func (o *option) typeError(err error) error {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return fmt.Errorf("%s: %s", o.key, strings.TrimPrefix(err.Error(), "json: "))
	}
	name := o.key
	if t.Field != "" {
		name += "." + t.Field
	}
	return fmt.Errorf("%s: %s expected, but the file has a %s", name, o.shape(), t.Value)
}

// shape says in words what the option's JSON value looks like.
func (o *option) shape() string {
	switch o.dst.(type) {
	case *bool:
		return "true or false"
	case *int:
		return "a whole number"
	case *[]string:
		return "a list of strings"
	case *map[string]bool:
		return "an object of true and false"
	case *[]Pool:
		return `a list of {"base": "PREFIX", "size": BITS}`
	case *map[string]string:
		return "an object of strings"
	case *networkOptions:
		return `an object of {"KEY": "VALUE"} by driver`
	case *map[string]Runtime:
		return `an object of {"path": "PATH"}`
	case *size:
		return `a size such as "64M"`
	case *Builder:
		return "another value"
	case *ulimits:
		return `an object of {"Name": "NAME", "Soft": N, "Hard": N}`
	default:
		return "a string"
	}
}

// plain prints a JSON value as dockerd's conflict message does: strings without
// their quotes.
func plain(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	return fmt.Sprint(v)
}

// syntaxError adds the line to an error of the JSON parser.
func syntaxError(b []byte, err error) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		line := 1 + bytes.Count(b[:min(int(s.Offset), len(b))], []byte("\n"))
		return fmt.Errorf("line %d: %w", line, err)
	}
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("an object expected, but the file has a %s", t.Value)
	}
	return err
}
