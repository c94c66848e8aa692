package main

import (
	"context"
	"fmt"

	"github.com/kedacore/keda/v2/pkg/scalers"
	"github.com/kedacore/keda/v2/pkg/scalers/scalersconfig"
)

// build makes the scaler of a trigger type, as the operator does in
// pkg/scaling/scalers_builder.go. A backend that KEDA also has is one more case
// here, and nothing else.
func build(ctx context.Context, config *scalersconfig.ScalerConfig) (scalers.Scaler, error) {
	switch config.TriggerType {
	case "external":
		return scalers.NewExternalScaler(config)
	case "external-push":
		return scalers.NewExternalPushScaler(config)

	case "redis":
		return scalers.NewRedisScaler(ctx, false, false, config)
	case "redis-cluster":
		return scalers.NewRedisScaler(ctx, true, false, config)
	case "redis-sentinel":
		return scalers.NewRedisScaler(ctx, false, true, config)
	case "redis-streams":
		return scalers.NewRedisStreamsScaler(ctx, false, false, config)
	case "redis-cluster-streams":
		return scalers.NewRedisStreamsScaler(ctx, true, false, config)
	case "redis-sentinel-streams":
		return scalers.NewRedisStreamsScaler(ctx, false, true, config)

	case "kafka":
		return scalers.NewKafkaScaler(ctx, config)
	case "apache-kafka":
		return scalers.NewApacheKafkaScaler(ctx, config)

	case "temporal":
		return scalers.NewTemporalScaler(ctx, config)

	default:
		return nil, fmt.Errorf("judge knows no built-in scaler of type %q", config.TriggerType)
	}
}
