package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

type rhythmReport struct {
	Event              string         `json:"event"`
	Mode               string         `json:"mode"`
	Evaluations        int            `json:"evaluations"`        // measured, of all groups
	CPUUsPerEvaluation float64        `json:"cpuUsPerEvaluation"` // this process, user and system
	RSSMiB             float64        `json:"rssMiB"`             // at the end of the measured time
	Sockets            int            `json:"sockets"`            // established TCP, at the same time
	Groups             []groupReport  `json:"groups"`
	FlatOut            *flatOutReport `json:"flatOut"` // null without rounds
}

type flatOutReport struct {
	Rounds             int           `json:"rounds"`
	WallMsPerRound     spread        `json:"wallMsPerRound"`
	CPUUsPerEvaluation float64       `json:"cpuUsPerEvaluation"`
	Groups             []groupReport `json:"groups"`
}

// groupReport counts polls of the operator and of the HPA as one evaluation each.
type groupReport struct {
	Name        string `json:"name"`
	Evaluations int    `json:"evaluations"`
	Errors      int    `json:"errors"`  // after KEDA's own retry
	Wrong       int    `json:"wrong"`   // values or activity that are not what is expected
	Skipped     int    `json:"skipped"` // not made, because the one before took longer than a period
	Stale       int    `json:"stale"`   // responses that our server marked as stale
	// How long calls took that succeeded. GetMetrics is an HPA poll's alone.
	GetMetricSpec         longTail `json:"getMetricSpecMs"`
	GetMetrics            longTail `json:"getMetricsMs"`
	GetMetricsAndIsActive longTail `json:"getMetricsAndIsActiveMs"`
	// How old the samples were that GetMetrics returned, as our server reports it.
	SampleAge longTail `json:"sampleAgeMs"`
	// How much later than planned polls began: this process' own lack of CPU.
	Late longTail `json:"lateMs"`
}

type longTail struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// outcomes collects what a group's polls saw.
type outcomes struct {
	mu                     sync.Mutex
	name                   string
	counts                 groupReport
	spec, metrics, both    []time.Duration
	age, late              []time.Duration
	reportedError, misread bool
}

func (o *outcomes) add(f func(*outcomes)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

// failed counts an error and reports the first one of the group, of possibly thousands.
func (o *outcomes) failed(err error) {
	o.counts.Errors++
	if !o.reportedError {
		o.reportedError = true
		fmt.Fprintf(os.Stderr, "judge: first error of %s: %v\n", o.name, err)
	}
}

func (o *outcomes) wrong(trigger string, got, want float64) {
	o.counts.Wrong++
	if !o.misread {
		o.misread = true
		fmt.Fprintf(os.Stderr, "judge: first wrong value of %s: %s is %v, expected %v\n", o.name, trigger, got, want)
	}
}

func (o *outcomes) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.counts = groupReport{}
	o.spec, o.metrics, o.both, o.age, o.late = nil, nil, nil, nil, nil
}

func (o *outcomes) report() groupReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	report := o.counts
	report.Name = o.name
	report.GetMetricSpec = tailOf(o.spec)
	report.GetMetrics = tailOf(o.metrics)
	report.GetMetricsAndIsActive = tailOf(o.both)
	report.SampleAge = tailOf(o.age)
	report.Late = tailOf(o.late)
	return report
}

func tailOf(durations []time.Duration) longTail {
	if len(durations) == 0 {
		return longTail{}
	}
	return longTail{
		Count: len(durations),
		P50:   percentile(durations, 50),
		P99:   percentile(durations, 99),
		P999:  percentile(durations, 99.9),
		Max:   percentile(durations, 100),
	}
}
