// Package metrics counts what berthd does, for Prometheus. Names that dockerd has
// (engine_daemon_…) mean the same here, so that its dashboards and alerts go on
// working; what only Berth has begins with berth_.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is where the figures come from.
type Config struct {
	// Info are the labels of engine_daemon_engine_info.
	Info        map[string]string
	Memory      int64 // of the host, in bytes
	Counts      func() (running, paused, stopped int)
	Published   func() uint64 // events so far
	Subscribers func() int    // of events
}

// Metrics is a registry of its own: nothing that a library registers globally
// gets in.
type Metrics struct {
	registry *prometheus.Registry
	actions  *prometheus.HistogramVec
	requests *prometheus.HistogramVec
}

// actions are the operations that dockerd has in container_actions_seconds.
var actions = map[string]string{
	"ContainerCreate":  "create",
	"ContainerStart":   "start",
	"ContainerDelete":  "delete",
	"ContainerChanges": "changes",
	"ImageCommit":      "commit",
}

// New registers everything.
func New(c Config) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		actions: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "engine", Subsystem: "daemon", Name: "container_actions_seconds",
			Help: "The number of seconds it takes to process each container action",
		}, []string{"action"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "berth", Name: "api_request_seconds",
			Help: "Time from a request's arrival to its answer's end, by operation of the Docker Engine API; streams are not in it",
		}, []string{"operation", "code"}),
	}
	for _, a := range actions {
		m.actions.WithLabelValues(a) // there from the start, as in dockerd: a rate needs a zero
	}
	m.registry.MustRegister(m.actions, m.requests, states{c.Counts},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		gauge("engine_info", "The information related to the engine and the OS it is running on", c.Info, func() float64 { return 1 }),
		gauge("engine_cpus_cpus", "The number of cpus that the host system of the engine has", nil, func() float64 { return float64(runtime.NumCPU()) }),
		gauge("engine_memory_bytes", "The number of bytes of memory that the host system of the engine has", nil, func() float64 { return float64(c.Memory) }),
		gauge("events_subscribers_total", "The number of current subscribers to events", nil, func() float64 { return float64(c.Subscribers()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "engine", Subsystem: "daemon", Name: "events_total", Help: "The number of events logged",
		}, func() float64 { return float64(c.Published()) }),
	)
	return m
}

func gauge(name, help string, labels map[string]string, value func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "engine", Subsystem: "daemon", Name: name, Help: help, ConstLabels: labels,
	}, value)
}

// Observe counts an answered request.
func (m *Metrics) Observe(operation string, status int, took time.Duration) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Observe(took.Seconds())
	if a, ok := actions[operation]; ok && status < http.StatusBadRequest {
		m.actions.WithLabelValues(a).Observe(took.Seconds())
	}
}

// Handler serves the figures in Prometheus' formats.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// states collects how many containers are in which state: of one moment.
type states struct {
	counts func() (running, paused, stopped int)
}

var statesDesc = prometheus.NewDesc("engine_daemon_container_states_containers", "The count of containers in various states", []string{"state"}, nil)

func (states) Describe(c chan<- *prometheus.Desc) { c <- statesDesc }

func (s states) Collect(c chan<- prometheus.Metric) {
	running, paused, stopped := s.counts()
	for state, n := range map[string]int{"running": running, "paused": paused, "stopped": stopped} {
		c <- prometheus.MustNewConstMetric(statesDesc, prometheus.GaugeValue, float64(n), state)
	}
}
