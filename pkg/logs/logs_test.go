package logs

import (
	"testing"

	"github.com/containerd/errdefs"
)

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		driver string
		opts   map[string]string
		want   string
	}{
		{"json-file", nil, ""},
		{"", nil, ""},
		{"none", map[string]string{"x": "y"}, ""},
		{"json-file", map[string]string{"mode": "non-blocking", "max-buffer-size": "4m", "labels": "a", "cache-disabled": "true"}, ""},
		{"json-file", map[string]string{"x": "y"}, "unknown log opt 'x' for json-file log driver"},
		{"json-file", map[string]string{"mode": "x"}, "logger: logging mode not supported: x"},
		{"json-file", map[string]string{"max-buffer-size": "1m"}, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"},
		{"local", map[string]string{"max-size": "1m", "cache-disabled": "x"}, "invalid value for option cache-disabled: x"},
		{"local", map[string]string{"cache-max-size": "x"}, "options cache-*: invalid value for max-size: x: invalid size: 'x'"},
		{"local", map[string]string{"cache-size": "1"}, "unknown log opt 'cache-size' for log driver local"},
		{"syslog", map[string]string{"cache-max-size": "1m", "cache-max-file": "2", "mode": "non-blocking"}, ""},
		{"syslog", map[string]string{"max-size": "1m"}, "unknown log opt 'max-size' for syslog log driver"},
		{"journald", map[string]string{"tag": "x", "env-regex": "^A"}, ""},
		{"fluentd", map[string]string{"fluentd-address": "x:1", "fluentd-async": "true"}, ""},
		{"fluentd", map[string]string{"fluentd-address": "x:y"}, `invalid fluentd-address (x:y): parse "tcp://x:y": invalid port ":y" after host`},
		{"fancy", nil, "logger: no log driver named 'fancy' is registered"},
	} {
		err := Validate(c.driver, c.opts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want || !errdefs.IsInvalidArgument(err)) {
			t.Errorf("%s %v: %v, want %q", c.driver, c.opts, err, c.want)
		}
	}
}
