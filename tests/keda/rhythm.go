package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

const (
	// KEDA's default polling interval, and the HPA controller's.
	operatorPeriod = 30 * time.Second
	hpaPeriod      = 15 * time.Second
	// After the measured time, so that whoever watches the servers can read their
	// figures before all triggers are evaluated at once.
	settle = 3 * time.Second
	// A plan of hours would hold the machine for hours.
	longestPlan = 2 * time.Hour
)

// plan is what rhythm reads from standard input.
type plan struct {
	Mode   string      `json:"mode"`   // external or builtin
	Scaler string      `json:"scaler"` // address of our server, for mode external
	HPA    string      `json:"hpa"`    // what an HPA poll calls in mode external: GetMetrics, or all three
	WarmUp seconds     `json:"warmUp"`
	Length seconds     `json:"length"`
	Rounds int         `json:"rounds"` // of all triggers at once, at the end
	Limit  seconds     `json:"limit"`
	Groups []planGroup `json:"groups"`
}

// planGroup is a number of triggers that are alike.
type planGroup struct {
	Name     string            `json:"name"`
	Backend  string            `json:"backend"`
	Count    int               `json:"count"`
	Metadata map[string]string `json:"metadata"` // {i} and {i%100} as in bench
	Expected []float64         `json:"expected"` // trigger i has the value at i modulo the length
}

const (
	hpaGetMetrics = "GetMetrics"
	hpaAll        = "all"
)

type seconds float64

func (s seconds) duration() time.Duration {
	return time.Duration(float64(s) * float64(time.Second))
}

// phase is a line that says what begins now.
type phase struct {
	Event string `json:"event"`
}

// rhythm evaluates many triggers as KEDA does in production: each every 30 s by
// the operator and every 15 s by the HPA, at a time of its own. Then all at once.
func rhythm(input io.Reader, results io.Writer) error {
	p, err := readPlan(input)
	if err != nil {
		return err
	}
	// KEDA sets no deadline, so a hung server would hold us for ever.
	limit := p.Limit.duration()
	watchdog := time.AfterFunc(limit, func() {
		fmt.Fprintf(os.Stderr, "judge: rhythm did not end within %v\n", limit)
		os.Exit(1)
	})
	defer watchdog.Stop()

	logging.Disable()
	groups, err := newPolledGroups(p, captureLog(io.Discard))
	if err != nil {
		return err
	}
	defer groups.close()

	lines := json.NewEncoder(results)
	report := rhythmReport{Event: "report", Mode: p.Mode}

	if err := lines.Encode(phase{"warmingUp"}); err != nil {
		return err
	}
	start := time.Now()
	measured := start.Add(p.WarmUp.duration())
	end := measured.Add(p.Length.duration())
	polls := groups.poll(start, measured, end)

	time.Sleep(time.Until(measured))
	before := cpuTime()
	if err := lines.Encode(phase{"measuring"}); err != nil {
		return err
	}
	time.Sleep(time.Until(end))
	// A poll at the end may take a moment, or as long as a server is slow.
	polls.Wait()
	cpu := cpuTime() - before
	report.RSSMiB = round(residentMiB())
	report.Sockets = establishedSockets()
	if err := lines.Encode(phase{"measured"}); err != nil {
		return err
	}
	for _, g := range groups {
		r := g.report()
		report.Groups = append(report.Groups, r)
		report.Evaluations += r.Evaluations
	}
	report.CPUUsPerEvaluation = round(micros(cpu) / float64(max(report.Evaluations, 1)))

	time.Sleep(settle)
	if p.Rounds > 0 {
		if err := lines.Encode(phase{"flatOut"}); err != nil {
			return err
		}
		report.FlatOut = groups.flatOut(p.Rounds)
	}
	return lines.Encode(report)
}

func readPlan(input io.Reader) (plan, error) {
	var p plan
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return p, fmt.Errorf("reading the plan: %w", err)
	}
	return p, p.check()
}

func (p *plan) check() error {
	if p.HPA == "" {
		p.HPA = hpaGetMetrics
	}
	total := 0
	for _, g := range p.Groups {
		if g.Backend == "" || g.Count < 1 || g.Count > 20_000 || len(g.Expected) == 0 {
			return fmt.Errorf("group %q: want a backend, a count from 1 to 20000, and expected values", g.Name)
		}
		total += g.Count
		address := benchOptions{scaler: p.Scaler, metadata: g.Metadata}
		if err := address.onlyLoopback(); err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
	}
	switch {
	case p.Mode != "external" && p.Mode != "builtin":
		return fmt.Errorf("mode %q: want external or builtin", p.Mode)
	case p.Mode == "external" && p.Scaler == "":
		return errors.New("scaler is missing")
	case p.HPA != hpaGetMetrics && p.HPA != hpaAll:
		return fmt.Errorf("hpa %q: want %s or %s", p.HPA, hpaGetMetrics, hpaAll)
	case total < 1 || total > 20_000:
		return fmt.Errorf("%d triggers: want 1 to 20000", total)
	case p.Rounds < 0 || p.Rounds > 1_000:
		return fmt.Errorf("rounds %d: want 0 to 1000", p.Rounds)
	case p.WarmUp < 0 || p.Length <= 0 || p.Limit <= 0:
		return errors.New("length and limit must be positive, warmUp not negative")
	case p.WarmUp.duration()+p.Length.duration() > longestPlan || p.Limit.duration() > longestPlan+time.Hour:
		return fmt.Errorf("want at most %v", longestPlan)
	}
	return nil
}

// flatOut evaluates all triggers at the same moment, round after round.
func (groups polledGroups) flatOut(rounds int) *flatOutReport {
	result := &flatOutReport{Rounds: rounds}
	var walls []time.Duration
	for _, g := range groups {
		g.reset()
	}
	before := cpuTime()
	for range rounds {
		started := time.Now()
		var all sync.WaitGroup
		for _, g := range groups {
			for _, t := range g.triggers {
				all.Go(func() { t.operatorPoll(context.Background(), true) })
			}
		}
		all.Wait()
		walls = append(walls, time.Since(started))
	}
	cpu := cpuTime() - before
	evaluations := 0
	for _, g := range groups {
		r := g.report()
		result.Groups = append(result.Groups, r)
		evaluations += r.Evaluations
	}
	result.WallMsPerRound = spread{percentile(walls, 0), percentile(walls, 50), percentile(walls, 100)}
	result.CPUUsPerEvaluation = round(micros(cpu) / float64(max(evaluations, 1)))
	return result
}
