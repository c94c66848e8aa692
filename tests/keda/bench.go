package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

type benchOptions struct {
	mode, backend, scaler string
	triggers, rounds      int
	limit                 time.Duration
	metadata              map[string]string // for {i} and {i%100} in a value, see numbered
}

type benchReport struct {
	Mode               string  `json:"mode"`
	Backend            string  `json:"backend"`
	Triggers           int     `json:"triggers"`
	Rounds             int     `json:"rounds"`
	Evaluations        int     `json:"evaluations"`
	Errors             int     `json:"errors"`
	WallMsPerRound     spread  `json:"wallMsPerRound"`
	EvaluationMs       tail    `json:"evaluationMs"`
	CPUUsPerEvaluation float64 `json:"cpuUsPerEvaluation"` // this process, user and system
	RSSMiB             float64 `json:"rssMiB"`             // after the last round
	Sockets            int     `json:"sockets"`            // established TCP, after the last round
	ValuesSum          float64 `json:"valuesSum"`          // over all measured evaluations
}

type spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

type tail struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// bench evaluates many triggers at once, round after round, and reports what it
// cost this process: the share of KEDA.
func bench(args []string, results io.Writer) error {
	options, err := benchFlags(args)
	if err != nil {
		return err
	}
	// KEDA sets no deadline, so a hung server would hold us for ever.
	watchdog := time.AfterFunc(options.limit, func() {
		fmt.Fprintf(os.Stderr, "judge: bench did not end within %v\n", options.limit)
		os.Exit(1)
	})
	defer watchdog.Stop()

	// The logs of a failing bench are thousands of equal lines; the first error
	// of a round says as much.
	logging.Disable()
	triggers := newTriggers(options, captureLog(io.Discard))
	defer closeAll(triggers)
	openAll(triggers)
	evaluateAll(triggers) // warm-up

	report := benchReport{
		Mode:        options.mode,
		Backend:     options.backend,
		Triggers:    options.triggers,
		Rounds:      options.rounds,
		Evaluations: options.triggers * options.rounds,
	}
	var walls, evaluations []time.Duration
	before := cpuTime()
	for range options.rounds {
		started := time.Now()
		outcomes := evaluateAll(triggers)
		walls = append(walls, time.Since(started))

		var firstError error
		for _, o := range outcomes {
			evaluations = append(evaluations, o.took)
			report.ValuesSum += o.value
			if o.err != nil {
				report.Errors++
			}
			if firstError == nil {
				firstError = o.err
			}
		}
		if firstError != nil {
			fmt.Fprintln(os.Stderr, "judge: first error of the round:", firstError)
		}
	}
	report.CPUUsPerEvaluation = round(micros(cpuTime()-before) / float64(report.Evaluations))
	report.WallMsPerRound = spread{percentile(walls, 0), percentile(walls, 50), percentile(walls, 100)}
	report.EvaluationMs = tail{percentile(evaluations, 50), percentile(evaluations, 99)}
	report.RSSMiB = round(residentMiB())
	report.Sockets = establishedSockets()
	return json.NewEncoder(results).Encode(report)
}

func benchFlags(args []string) (benchOptions, error) {
	options := benchOptions{metadata: map[string]string{}}
	flags := flag.NewFlagSet("judge bench", flag.ContinueOnError)
	flags.StringVar(&options.mode, "mode", "", "external or builtin")
	flags.StringVar(&options.backend, "backend", "", "KEDA's trigger type of the backend")
	flags.StringVar(&options.scaler, "scaler", "", "address of our server, for mode external")
	flags.IntVar(&options.triggers, "triggers", 100, "triggers, all evaluated at once")
	flags.IntVar(&options.rounds, "rounds", 3, "measured rounds, after one to warm up")
	flags.DurationVar(&options.limit, "limit", 10*time.Minute, "give up after this time")
	flags.Func("set", "metadata as key=value; {i} in the value is the trigger's number, {i%100} its remainder", func(arg string) error {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return errors.New("want key=value")
		}
		options.metadata[key] = value
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return options, err
	}

	switch {
	case flags.NArg() > 0:
		return options, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case options.mode != "external" && options.mode != "builtin":
		return options, fmt.Errorf("--mode %q: want external or builtin", options.mode)
	case options.backend == "":
		return options, errors.New("--backend is missing")
	case options.mode == "external" && options.scaler == "":
		return options, errors.New("--scaler is missing")
	case options.triggers < 1 || options.triggers > 20_000:
		return options, fmt.Errorf("--triggers %d: want 1 to 20000", options.triggers)
	case options.rounds < 1 || options.rounds > 1_000:
		return options, fmt.Errorf("--rounds %d: want 1 to 1000", options.rounds)
	}
	return options, options.onlyLoopback()
}

// onlyLoopback refuses to put this load on anybody else's server.
func (o benchOptions) onlyLoopback() error {
	addresses := []string{o.scaler}
	for _, key := range []string{"scalerAddress", "address", "addresses", "host", "hosts", "bootstrapServers", "endpoint"} {
		addresses = append(addresses, strings.Split(o.metadata[key], ",")...)
	}
	for _, address := range addresses {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			host = address
		}
		ip := net.ParseIP(host)
		if host != "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%q is not a loopback address", address)
		}
	}
	return nil
}

func newTriggers(options benchOptions, log *kedaLog) []*trigger {
	triggers := make([]*trigger, options.triggers)
	for i := range triggers {
		metadata := make(map[string]string, len(options.metadata))
		for key, value := range options.metadata {
			metadata[key] = numbered(value, i)
		}
		triggerType := options.backend
		if options.mode == "external" {
			triggerType = "external"
			metadata = externalMetadata(metadata, options.scaler, options.backend)
		}
		triggers[i] = &trigger{
			config: newConfig(triggerType, "default", fmt.Sprintf("bench-%d", i), metadata),
			log:    log,
		}
	}
	return triggers
}

var placeholder = regexp.MustCompile(`\{i(?:%([1-9][0-9]{0,5}))?\}`)

// numbered replaces {i} by the trigger's number, and {i%100} by what is left of
// it when divided by 100, so that triggers can share a queue.
func numbered(value string, i int) string {
	return placeholder.ReplaceAllStringFunc(value, func(found string) string {
		divisor, err := strconv.Atoi(placeholder.FindStringSubmatch(found)[1])
		if err != nil {
			return strconv.Itoa(i)
		}
		return strconv.Itoa(i % divisor)
	})
}

// openAll builds the scalers a few at a time, as they come up in a cluster. One
// that fails is built by its evaluation, and counted there.
func openAll(triggers []*trigger) {
	slots := make(chan struct{}, casesAtOnce)
	forEach(triggers, func(_ int, t *trigger) {
		slots <- struct{}{}
		defer func() { <-slots }()
		_ = t.open(context.Background())
	})
}

func closeAll(triggers []*trigger) {
	forEach(triggers, func(_ int, t *trigger) { t.close() })
}

type outcome struct {
	took  time.Duration
	value float64
	err   error
}

// evaluateAll starts every evaluation at the same moment: the worst that KEDA's
// polling loops can do to a backend.
func evaluateAll(triggers []*trigger) []outcome {
	outcomes := make([]outcome, len(triggers))
	forEach(triggers, func(i int, t *trigger) {
		started := time.Now()
		result, err := t.evaluate(context.Background())
		outcomes[i] = outcome{took: time.Since(started), value: result.Value, err: err}
	})
	return outcomes
}

func forEach(triggers []*trigger, f func(int, *trigger)) {
	var all sync.WaitGroup
	for i, t := range triggers {
		all.Go(func() { f(i, t) })
	}
	all.Wait()
}

// percentile is the nearest rank, in milliseconds.
func percentile(durations []time.Duration, p float64) float64 {
	slices.Sort(durations)
	rank := int(math.Ceil(float64(len(durations)) * p / 100))
	return round(micros(durations[max(rank, 1)-1]) / 1000)
}

func micros(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000
}

// round keeps three decimals; more is noise.
func round(x float64) float64 {
	return math.Round(x*1000) / 1000
}
