package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// A refused or stalled backend keeps KEDA's clients busy for up to 15 s.
	caseLimit = 20 * time.Second
	pushLimit = 5 * time.Second
	// Slow cases wait rather than work, so more run at once than there are cores.
	casesAtOnce = 8
)

type document struct {
	ScalerAddress string     `json:"scalerAddress"`
	Cases         []testCase `json:"cases"`
}

// testCase is one trigger, written for KEDA's built-in scaler of that backend.
type testCase struct {
	Name      string `json:"name"`
	Backend   string `json:"backend"`
	Namespace string `json:"namespace"` // "default" if empty

	Metadata    map[string]string `json:"metadata"`
	ResolvedEnv map[string]string `json:"resolvedEnv"`
	// TriggerAuthentication parameters of the built-in scaler. KEDA never
	// forwards them to an external one.
	AuthParams map[string]string `json:"authParams"`

	// External replaces Metadata for the external trigger, where the two must differ.
	External map[string]string `json:"external"`
	// ExternalAuthParams are for the hop from KEDA to us: caCert, tlsClientCert, tlsClientKey.
	ExternalAuthParams map[string]string `json:"externalAuthParams"`

	SkipBuiltin bool `json:"skipBuiltin"`
	Push        bool `json:"push"` // external-push instead of external
}

type verdict struct {
	Name     string   `json:"name"`
	External *reading `json:"external"`
	Builtin  *reading `json:"builtin"` // null if skipped
	Pushed   *bool    `json:"pushed"`  // null if nothing came, or no push was wanted
}

// evaluate judges every case of the document and writes the verdicts in the same
// order. A failing case is a result, not an error.
func evaluate(input io.Reader, results io.Writer) error {
	var doc document
	decoder := json.NewDecoder(input)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		return fmt.Errorf("reading the cases: %w", err)
	}

	log := captureLog(os.Stderr)
	verdicts := make([]verdict, len(doc.Cases))
	slots := make(chan struct{}, casesAtOnce)
	var cases sync.WaitGroup
	for i, c := range doc.Cases {
		cases.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			verdicts[i] = c.judge(i, doc.ScalerAddress, log)
		})
	}
	cases.Wait()

	encoder := json.NewEncoder(results)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(verdicts)
}

// judge evaluates both sides at the same time, so that they see the same backlog
// and a case takes no longer than its slower side.
func (c testCase) judge(index int, scalerAddress string, log *kedaLog) verdict {
	result := verdict{Name: c.Name}
	var sides sync.WaitGroup
	sides.Go(func() {
		response := within(caseLimit, c.external(index, scalerAddress, log), c.Push)
		result.External, result.Pushed = &response.reading, response.pushed
	})
	if !c.SkipBuiltin {
		sides.Go(func() {
			response := within(caseLimit, c.builtin(index, log), false)
			result.Builtin = &response.reading
		})
	}
	sides.Wait()
	return result
}

func (c testCase) external(index int, scalerAddress string, log *kedaLog) *trigger {
	triggerType := "external"
	if c.Push {
		triggerType = "external-push"
	}
	metadata := c.Metadata
	if c.External != nil {
		metadata = c.External
	}
	config := newConfig(triggerType, c.namespace(), fmt.Sprintf("case-%d", index),
		externalMetadata(metadata, scalerAddress, c.Backend))
	config.TriggerIndex = index
	config.ResolvedEnv = c.ResolvedEnv
	config.AuthParams = c.ExternalAuthParams
	return &trigger{config: config, log: log}
}

func (c testCase) builtin(index int, log *kedaLog) *trigger {
	config := newConfig(c.Backend, c.namespace(), fmt.Sprintf("case-%d-builtin", index), c.Metadata)
	config.TriggerIndex = index
	config.ResolvedEnv = c.ResolvedEnv
	config.AuthParams = c.AuthParams
	return &trigger{config: config, log: log}
}

func (c testCase) namespace() string {
	if c.Namespace == "" {
		return "default"
	}
	return c.Namespace
}

// outcome is all that one trigger returned.
type response struct {
	reading reading
	pushed  *bool
}

// within evaluates the trigger and gives up after the limit, even on a client that
// does not heed its context. The context has no deadline, because KEDA sets none
// and gRPC would notify the server.
func within(limit time.Duration, t *trigger, push bool) response {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	done := make(chan response, 1)
	go func() {
		defer t.close()
		var a response
		var err error
		if a.reading, err = t.evaluate(ctx); err != nil {
			a.reading.Error = err.Error()
		}
		if push {
			a.pushed = t.firstPush(ctx, pushLimit)
		}
		done <- a
	}()

	select {
	case a := <-done:
		return a
	case <-time.After(limit):
		return response{reading: reading{Error: fmt.Sprintf("no response within %v", limit)}}
	}
}
