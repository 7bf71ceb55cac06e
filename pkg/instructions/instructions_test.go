package instructions

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
)

func base() *dockerspec.DockerOCIImageConfig {
	c := &dockerspec.DockerOCIImageConfig{}
	c.Env, c.Cmd, c.WorkingDir = []string{"PATH=/bin", "A=1"}, []string{"sh"}, "/srv"
	return c
}

func TestApply(t *testing.T) {
	for name, c := range map[string]struct {
		changes []string
		want    string // the configuration's JSON
	}{
		"none":        {nil, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv"}`},
		"blank":       {[]string{"", " "}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv"}`},
		"env":         {[]string{"ENV A=2 B=$A", "env C=x${B}", "ENV D d e"}, `{"Env":["PATH=/bin","A=2","B=1","C=x1","D=d e"],"Cmd":["sh"],"WorkingDir":"/srv"}`},
		"cmd":         {[]string{`CMD ["a","b"]`}, `{"Env":["PATH=/bin","A=1"],"Cmd":["a","b"],"WorkingDir":"/srv"}`},
		"shell form":  {[]string{"CMD echo $A"}, `{"Env":["PATH=/bin","A=1"],"Cmd":["/bin/sh","-c","echo $A"],"WorkingDir":"/srv"}`},
		"entrypoint":  {[]string{`ENTRYPOINT ["e"]`}, `{"Env":["PATH=/bin","A=1"],"Entrypoint":["e"],"WorkingDir":"/srv"}`},
		"both":        {[]string{`CMD ["a"]`, `ENTRYPOINT ["e"]`}, `{"Env":["PATH=/bin","A=1"],"Entrypoint":["e"],"Cmd":["a"],"WorkingDir":"/srv"}`},
		"expose":      {[]string{"EXPOSE 80 53/udp 8000-8001"}, `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8000/tcp":{},"8001/tcp":{}},"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv"}`},
		"label":       {[]string{`LABEL a="b c" d=$A`}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv","Labels":{"a":"b c","d":"1"}}`},
		"user":        {[]string{"USER 5:6", "STOPSIGNAL SIGINT"}, `{"User":"5:6","Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv","StopSignal":"SIGINT"}`},
		"volume":      {[]string{"VOLUME /a /b"}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"Volumes":{"/a":{},"/b":{}},"WorkingDir":"/srv"}`},
		"workdir":     {[]string{"WORKDIR sub"}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv/sub"}`},
		"onbuild":     {[]string{"ONBUILD RUN make"}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv","OnBuild":["RUN make"]}`},
		"healthcheck": {[]string{"HEALTHCHECK --retries=3 CMD test"}, `{"Env":["PATH=/bin","A=1"],"Cmd":["sh"],"WorkingDir":"/srv","Healthcheck":{"Test":["CMD-SHELL","test"],"Retries":3}}`},
		"lines":       {[]string{"ENV X=1\nUSER u"}, `{"User":"u","Env":["PATH=/bin","A=1","X=1"],"Cmd":["sh"],"WorkingDir":"/srv"}`},
	} {
		got := base()
		if err := Apply(got, c.changes); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := json.Marshal(got); err != nil || string(b) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, b, c.want)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	for change, want := range map[string]string{
		"RUN true":         "RUN is not a valid change command",
		"from x":           "from is not a valid change command",
		"nonsense":         "nonsense is not a valid change command",
		"ENV":              "ENV requires at least one argument",
		"EXPOSE no":        `invalid port specification: "no"`,
		"EXPOSE 70000":     `invalid port specification: "70000"`,
		"VOLUME [\"\"]":    "VOLUME specified can not be an empty string",
		"STOPSIGNAL X":     "Invalid signal: X",
		"ONBUILD FROM x":   "FROM isn't allowed as an ONBUILD trigger",
		"HEALTHCHECK NOPE": "",
	} {
		err := Apply(base(), []string{change})
		if !errdefs.IsInvalidArgument(err) || !strings.EqualFold(err.Error(), want) && want != "" {
			t.Errorf("%s: %v", change, err)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, s := range []string{"ENV A=$B", "EXPOSE 1-5/udp", "CMD [\"a\"]", "HEALTHCHECK NONE", "LABEL a=b", "ONBUILD RUN x", "ENV A=${A:-$B}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, change string) {
		if err := Apply(base(), []string{change}); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
	})
}
