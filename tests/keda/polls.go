package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"github.com/kedacore/keda/v2/pkg/scaling/cache"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// What our server returns beside a value.
const (
	ageHeader   = "backlog-scaler-sample-age-ms"
	staleHeader = "backlog-scaler-stale"
)

type polledGroups []*polledGroup

type polledGroup struct {
	outcomes
	triggers []*polled
	// For GetMetrics by itself. KEDA's scaler keeps its own client to itself.
	connection *grpc.ClientConn
}

// polled is a trigger that the operator and the HPA poll, each at its own time,
// so sometimes both at once: as in KEDA they share the trigger's cache.
type polled struct {
	group    *polledGroup
	expected float64

	mu         sync.Mutex
	trigger    *trigger
	metricName string // empty until GetMetricSpec has returned it
}

func newPolledGroups(p plan, log *kedaLog) (polledGroups, error) {
	var groups polledGroups
	var connection *grpc.ClientConn
	if p.Mode == "external" && p.HPA == hpaGetMetrics {
		var err error
		// With KEDA's own options (pkg/scalers/external_scaler.go).
		connection, err = grpc.NewClient(p.Scaler,
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin":{}}]}`),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
	}
	for _, g := range p.Groups {
		group := &polledGroup{outcomes: outcomes{name: g.Name}, connection: connection}
		triggers := newTriggers(benchOptions{
			mode:     p.Mode,
			backend:  g.Backend,
			scaler:   p.Scaler,
			triggers: g.Count,
			metadata: g.Metadata,
		}, log)
		for i, t := range triggers {
			// Names are unique in the process, as in KEDA's log.
			t.config.ScalableObjectName = fmt.Sprintf("%s-%d", g.Name, i)
			t.config.TriggerUniqueKey = fmt.Sprintf("ScaledObject-default-%s-%d", g.Name, i)
			group.triggers = append(group.triggers, &polled{
				group:    group,
				expected: g.Expected[i%len(g.Expected)],
				trigger:  t,
			})
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func (groups polledGroups) close() {
	for _, g := range groups {
		for _, t := range g.triggers {
			t.trigger.close()
		}
		if g.connection != nil {
			g.connection.Close() // shared; closing it again is an error without consequence
		}
	}
}

// poll starts the polls of all triggers. They end at the end; what began before
// it is waited for. Only what was planned for after measured is counted.
func (groups polledGroups) poll(start, measured, end time.Time) *sync.WaitGroup {
	var all []*polled
	for _, g := range groups {
		all = append(all, g.triggers...)
	}
	var polls sync.WaitGroup
	for i, t := range all {
		// Spread evenly, and in no order, so that each group is spread as well.
		share := func(prime int) float64 { return float64(i*prime%len(all)) / float64(len(all)) }
		operator := start.Add(time.Duration(share(7919) * float64(operatorPeriod)))
		hpa := start.Add(time.Duration(share(104_729) * float64(hpaPeriod)))
		polls.Go(func() { t.every(operatorPeriod, operator, measured, end, t.operatorPoll) })
		polls.Go(func() { t.every(hpaPeriod, hpa, measured, end, t.hpaPoll) })
	}
	return &polls
}

// every makes a poll at each of its times. As in KEDA a poll waits for the one
// before; those whose time passes meanwhile are left out.
func (t *polled) every(period time.Duration, at, measured, end time.Time, poll func(context.Context, bool)) {
	for ; at.Before(end); at = at.Add(period) {
		counted := !at.Before(measured)
		if time.Since(at) > period {
			if counted {
				t.group.add(func(o *outcomes) { o.counts.Skipped++ })
			}
			continue
		}
		time.Sleep(time.Until(at))
		if counted {
			late := time.Since(at)
			t.group.add(func(o *outcomes) { o.late = append(o.late, late) })
		}
		poll(context.Background(), counted)
	}
}

// operatorPoll is a turn of KEDA's polling loop: GetMetricSpec, then GetMetrics
// and IsActive. After an error KEDA's cache builds the scaler anew and calls once
// more, which is part of the time taken.
func (t *polled) operatorPoll(ctx context.Context, counted bool) {
	var spec, both time.Duration
	var value float64
	var active bool
	err := t.withScalers(ctx, func(scalers *cache.ScalersCache) error {
		started := time.Now()
		name, err := t.spec(ctx, scalers)
		if err != nil {
			return err
		}
		spec = time.Since(started)

		started = time.Now()
		values, isActive, _, err := scalers.GetMetricsAndActivityForScaler(ctx, 0, name)
		if err != nil {
			return err
		}
		both = time.Since(started)
		if len(values) != 1 {
			return fmt.Errorf("want one value of %s, got %d", name, len(values))
		}
		value, active = number(values[0].Value), isActive
		return nil
	})
	if !counted {
		return
	}
	t.group.add(func(o *outcomes) {
		o.counts.Evaluations++
		if spec > 0 {
			o.spec = append(o.spec, spec)
		}
		if err != nil {
			o.failed(err)
			return
		}
		o.both = append(o.both, both)
		if value != t.expected || active != (value > 0) {
			o.wrong(t.trigger.config.ScalableObjectName, value, t.expected)
		}
	})
}

// hpaPoll is what the HPA's request for a metric leads to. KEDA 2.21 then calls
// all that a turn of its loop calls; with a plan for GetMetrics only that.
func (t *polled) hpaPoll(ctx context.Context, counted bool) {
	if t.group.connection == nil {
		t.operatorPoll(ctx, counted)
		return
	}
	var took time.Duration
	var value float64
	var header metadata.MD
	err := t.withScalers(ctx, func(scalers *cache.ScalersCache) error {
		name, err := t.knownName(ctx, scalers)
		if err != nil {
			return err
		}
		request := &pb.GetMetricsRequest{
			// Without the prefix that KEDA gives to the name for the HPA.
			MetricName: strings.TrimPrefix(name, "s0-"),
			ScaledObjectRef: &pb.ScaledObjectRef{
				Name:           t.trigger.config.ScalableObjectName,
				Namespace:      t.trigger.config.ScalableObjectNamespace,
				ScalerMetadata: t.trigger.config.TriggerMetadata,
			},
		}
		client := pb.NewExternalScalerClient(t.group.connection)
		started := time.Now()
		response, err := client.GetMetrics(ctx, request, grpc.Header(&header))
		if err != nil {
			// As KEDA's cache does.
			response, err = client.GetMetrics(ctx, request, grpc.Header(&header))
		}
		if err != nil {
			return err
		}
		took = time.Since(started)
		if len(response.MetricValues) != 1 {
			return fmt.Errorf("want one value of %s, got %d", name, len(response.MetricValues))
		}
		value = response.MetricValues[0].MetricValueFloat
		return nil
	})
	if !counted {
		return
	}
	t.group.add(func(o *outcomes) {
		o.counts.Evaluations++
		if err != nil {
			o.failed(err)
			return
		}
		o.metrics = append(o.metrics, took)
		if len(header.Get(staleHeader)) > 0 {
			o.counts.Stale++
		}
		for _, age := range header.Get(ageHeader) {
			if age, err := strconv.ParseInt(age, 10, 64); err == nil {
				o.age = append(o.age, time.Duration(age)*time.Millisecond)
			}
		}
		if value != t.expected {
			o.wrong(t.trigger.config.ScalableObjectName, value, t.expected)
		}
	})
}

// withScalers builds the scaler unless it is there, and drops it after an error,
// as the operator does.
func (t *polled) withScalers(ctx context.Context, f func(*cache.ScalersCache) error) error {
	t.mu.Lock()
	err := t.trigger.open(ctx)
	scalers := t.trigger.cache
	t.mu.Unlock()
	if err != nil {
		return err
	}
	if err = f(scalers); err != nil {
		t.mu.Lock()
		if t.trigger.cache == scalers {
			t.trigger.cache = nil
		}
		t.mu.Unlock()
		// Closing waits for calls in flight and may be done twice.
		go scalers.Close(context.Background())
	}
	return err
}

// spec calls GetMetricSpec, and returns the name under which KEDA requests the metric.
func (t *polled) spec(ctx context.Context, scalers *cache.ScalersCache) (string, error) {
	specs, err := scalers.GetMetricSpecForScalingForScaler(ctx, 0)
	if err != nil {
		if cause := t.trigger.log.lastError(t.trigger.config.ScalableObjectName); cause != "" {
			err = fmt.Errorf("%w: %s", err, cause)
		}
		return "", err
	}
	if len(specs) != 1 || specs[0].External == nil {
		return "", fmt.Errorf("want one external metric, got %d metric specs", len(specs))
	}
	name := specs[0].External.Metric.Name
	t.mu.Lock()
	t.metricName = name
	t.mu.Unlock()
	return name, nil
}

func (t *polled) knownName(ctx context.Context, scalers *cache.ScalersCache) (string, error) {
	t.mu.Lock()
	name := t.metricName
	t.mu.Unlock()
	if name != "" {
		return name, nil
	}
	return t.spec(ctx, scalers)
}
