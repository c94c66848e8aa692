package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"github.com/go-logr/logr/funcr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// kedaLog remembers the last error that KEDA logged for each ScaledObject: when
// GetMetricSpec fails, the log is the only place that says why.
type kedaLog struct {
	echo io.Writer
	mu   sync.Mutex
	last map[string]string
}

// captureLog takes over the logger of the whole process and repeats it to echo.
func captureLog(echo io.Writer) *kedaLog {
	l := &kedaLog{echo: echo, last: map[string]string{}}
	logf.SetLogger(funcr.NewJSON(l.record, funcr.Options{}))
	return l
}

func (l *kedaLog) record(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintln(l.echo, line)

	// Scalers log with the name of their ScaledObject (InitializeLogger).
	var entry struct{ Name, Error string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Error != "" {
		l.last[entry.Name] = entry.Error
	}
}

func (l *kedaLog) lastError(scaledObject string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[scaledObject]
}
