package contract

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What is wrong must be found: a validator that accepts everything proves nothing.
func TestCheck(t *testing.T) {
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	header := func(contentType string) http.Header {
		h := http.Header{}
		for _, name := range []string{"Api-Version", "Docker-Experimental", "Ostype", "Server"} {
			h.Set(name, "x")
		}
		if contentType != "" {
			h.Set("Content-Type", contentType)
		}
		return h
	}
	const js = "application/json"
	for _, c := range []struct {
		name, method, path string
		status             int
		header             http.Header
		body, wrong        string
	}{
		{"list", "GET", "/v1.55/containers/json", 200, header(js), `[{"Ports":null}]`, ""},
		{"list is null", "GET", "/containers/json", 200, header(js), `null`, "body is null"},
		{"list is an object", "GET", "/containers/json", 200, header(js), `{}`, "must be an array"},
		{"wrong type", "GET", "/containers/json", 200, header(js), `[{"Created":"x"}]`, "must be an integer"},
		{"null number", "GET", "/containers/json", 200, header(js), `[{"Created":null}]`, "not nullable"},
		{"wrong value", "GET", "/containers/json", 200, header(js), `[{"State":"well"}]`, "not one of the allowed values"},
		{"field missing", "POST", "/containers/create", 201, header(js), `{"Id":"x"}`, "Warnings"},
		{"wrong status", "POST", "/containers/create", 200, header(js), `{"Id":"x","Warnings":[]}`, "status is not in the schema"},
		{"wrong media", "GET", "/info", 200, header("text/plain"), `{}`, "content type text/plain"},
		{"no media", "GET", "/info", 200, header(""), `{}`, "no media type"},
		{"no JSON", "GET", "/info", 200, header(js), `{`, "unexpected end"},
		{"no headers", "GET", "/info", 200, http.Header{}, `{}`, "header Api-Version is missing"},
		{"body where none is", "POST", "/containers/x/start", 204, header(js), `{}`, "where the schema has none"},
		{"not modified", "POST", "/containers/x/start", 304, header(""), ``, ""},
		{"error", "POST", "/containers/x/start", 404, header(js), `{"message":"x"}`, ""},
		{"error in another shape", "POST", "/containers/x/start", 404, header(js), `{"error":"x"}`, "message"},
		{"no operation", "GET", "/what", 200, header(js), `{}`, "no operation"},
		{"refused", "GET", "/what", 404, header(js), `{"message":"x"}`, ""},
		{"name with slashes", "GET", "/images/a/b/json", 200, header(js), `{"Id":7}`, "must be a string"},
		{"stream", "POST", "/images/create", 200, header(js), "{\"status\":\"a\"}\r\n{\"status\":\"b\"}\r\n", ""},
		{"stream of rubbish", "POST", "/images/create", 200, header(js), "x", "invalid character"},
		{"event", "GET", "/events", 200, header(js), `{"Type":"nothing"}`, "not one of the allowed values"},
		{"ping without headers", "GET", "/_ping", 200, header("text/plain"), `OK`, "is missing"},
		{"logs", "GET", "/containers/x/logs", 200, header("text/plain"), `x`, "content type text/plain"},
		{"upgraded", "POST", "/containers/x/attach", 101, header("application/vnd.docker.raw-stream"), ``, ""},
		{"old shape, old version", "GET", "/v1.41/images/json", 200, header(js), `[{"Id":"x","ParentId":"","RepoTags":[],"RepoDigests":[],"Created":1,"Size":1,"SharedSize":1,"VirtualSize":1,"Labels":{},"Containers":1}]`, ""},
		{"new shape, old version", "GET", "/v1.41/images/json", 200, header(js), `[{"Id":"x","ParentId":"","RepoTags":[],"RepoDigests":[],"Created":1,"Size":1,"SharedSize":1,"Labels":{},"Containers":1}]`, "VirtualSize"},
		{"no schema so old", "GET", "/v1.24/images/json", 200, header(js), `7`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := v.Check(c.method, c.path, c.status, c.header, []byte(c.body))
			switch {
			case c.wrong == "" && err != nil:
				t.Error(err)
			case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
				t.Errorf("%v, want %s", err, c.wrong)
			}
		})
	}
	if got := v.Exercised(); slices.Contains(got, "NetworkList") || !slices.Contains(got, "ContainerStart") {
		t.Errorf("exercised %v", got)
	}
}
