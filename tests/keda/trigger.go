package main

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
	"github.com/kedacore/keda/v2/pkg/scaling/cache"
	"k8s.io/apimachinery/pkg/api/resource"
)

// The operator's defaults (cmd/operator/main.go, pkg/scaling/scale_handler.go).
const (
	globalHTTPTimeout = 3 * time.Second
	readerDrainBudget = 2 * globalHTTPTimeout
)

// trigger is a ScaledObject's only trigger, held as the operator holds it. It is
// evaluated by one goroutine at a time.
type trigger struct {
	config scalersconfig.ScalerConfig
	log    *kedaLog
	cache  *cache.ScalersCache // nil until opened, and after an error
}

// reading is what KEDA makes of one evaluation. With an error the rest is zero.
type reading struct {
	MetricName string  `json:"metricName"`
	Target     float64 `json:"target"`
	Value      float64 `json:"value"`
	Active     bool    `json:"active"`
	Error      string  `json:"error"`
}

// newConfig is what the operator knows of a trigger. The name must be unique in
// this process: causes in KEDA's log are found by it.
func newConfig(triggerType, namespace, name string, metadata map[string]string) scalersconfig.ScalerConfig {
	return scalersconfig.ScalerConfig{
		ScalableObjectType:      "ScaledObject",
		ScalableObjectNamespace: namespace,
		ScalableObjectName:      name,
		GlobalHTTPTimeout:       globalHTTPTimeout,
		TriggerType:             triggerType,
		TriggerMetadata:         metadata,
		AuthParams:              map[string]string{},
		ResolvedEnv:             map[string]string{},
		TriggerUniqueKey:        fmt.Sprintf("ScaledObject-%s-%s", namespace, name),
	}
}

// externalMetadata adds the two keys that move a built-in trigger to our server.
// Keys that the trigger already has win, so that a case can point elsewhere.
func externalMetadata(metadata map[string]string, scalerAddress, backend string) map[string]string {
	result := map[string]string{"scalerAddress": scalerAddress, "backend": backend}
	maps.Copy(result, metadata)
	return result
}

// open builds the scaler unless it is there already.
func (t *trigger) open(ctx context.Context) error {
	if t.cache != nil {
		return nil
	}
	factory := func(ctx context.Context) (scalers.Scaler, *scalersconfig.ScalerConfig, error) {
		config := t.config
		scaler, err := build(ctx, &config)
		return scaler, &config, err
	}
	scaler, config, err := factory(ctx)
	if err != nil {
		return err
	}
	t.cache = &cache.ScalersCache{
		Scalers:           []cache.ScalerBuilder{{Scaler: scaler, ScalerConfig: *config, Factory: factory}},
		ReaderDrainBudget: readerDrainBudget,
	}
	return nil
}

// close is the end of the scaler; a later evaluation builds a new one.
func (t *trigger) close() {
	if t.cache != nil {
		t.cache.Close(context.Background())
		t.cache = nil
	}
}

// evaluate calls once, as one turn of the operator's polling loop does: an error
// makes the cache rebuild the scaler and call again at once, and a second one
// drops the cache.
func (t *trigger) evaluate(ctx context.Context) (reading, error) {
	if err := t.open(ctx); err != nil {
		return reading{}, err
	}
	result, err := t.call(ctx)
	if err != nil {
		// The operator closes beside the loop too, so that a slow close costs
		// no evaluation.
		go t.cache.Close(context.Background())
		t.cache = nil
	}
	return result, err
}

func (t *trigger) call(ctx context.Context) (reading, error) {
	specs, err := t.cache.GetMetricSpecForScalingForScaler(ctx, 0)
	if err != nil {
		if cause := t.log.lastError(t.config.ScalableObjectName); cause != "" {
			err = fmt.Errorf("%w: %s", err, cause)
		}
		return reading{}, err
	}
	if len(specs) != 1 || specs[0].External == nil {
		return reading{}, fmt.Errorf("want one external metric, got %d metric specs: %v", len(specs), specs)
	}
	metric := specs[0].External

	values, active, _, err := t.cache.GetMetricsAndActivityForScaler(ctx, 0, metric.Metric.Name)
	if err != nil {
		return reading{}, err
	}
	// KEDA takes none for an error of its own and hands several on to the HPA,
	// which adds them up: neither is what a trigger of ours means.
	if len(values) != 1 {
		return reading{}, fmt.Errorf("want one value of %s, got %d", metric.Metric.Name, len(values))
	}

	target := metric.Target.AverageValue
	if target == nil {
		target = metric.Target.Value
	}
	return reading{
		MetricName: metric.Metric.Name,
		Target:     number(*target),
		Value:      number(values[0].Value),
		Active:     active,
	}, nil
}

// firstPush runs the push scaler until it delivers something, nil if it does not
// within the limit. KEDA acts on true alone; a false is reported because it shows
// that the stream lives.
func (t *trigger) firstPush(ctx context.Context, limit time.Duration) *bool {
	if err := t.open(ctx); err != nil {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	active := make(chan bool)
	go t.cache.GetPushScalers()[0].Scaler.Run(ctx, active)
	defer func() {
		stop()
		for range active { // until Run has closed it, so that it outlives no scaler
		}
	}()

	select {
	case value, ok := <-active:
		if !ok {
			return nil
		}
		return &value
	case <-time.After(limit):
		return nil
	}
}

// number reads a quantity by its decimal digits: AsApproximateFloat64 multiplies,
// and makes 2.3000000000000003 of 2300m.
func number(q resource.Quantity) float64 {
	value, _ := strconv.ParseFloat(q.AsDec().String(), 64)
	return value
}
