// What the panels of a Grafana dashboard show of recorded pages of /metrics, by Prometheus's own code:
//
//	panels DASHBOARD.json PAGES
//
// PAGES is a directory of pages in the text format, each named by its time: MILLISECONDS.txt. Prints
// JSON: [{"title", "lines": [{"name", "points": [[seconds since the first page, value], …]}]}].
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// step is the distance of the points of a line.
const step = 5 * time.Second

// What Grafana puts in place of a variable of which everything is chosen. The pages are some seconds
// apart, so that the interval of a rate is short.
var variables = strings.NewReplacer(
	"$namespace", ".*", "$scaled_object", ".*", "$connection", ".*", "$__rate_interval", "30s")

type dashboard struct {
	Panels []struct {
		Type    string
		Title   string
		Targets []struct {
			Expr         string
			LegendFormat string
		}
	}
}

type panel struct {
	Title string `json:"title"`
	Lines []line `json:"lines"`
}

type line struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 {
		return errors.New("usage: panels DASHBOARD.json PAGES")
	}
	var read dashboard
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &read); err != nil {
		return fmt.Errorf("%s: %w", os.Args[1], err)
	}
	directory, err := os.MkdirTemp("", "panels")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	db, err := tsdb.Open(directory, nil, nil, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	defer db.Close()
	first, last, err := store(db, os.Args[2])
	if err != nil {
		return err
	}
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:    10_000_000,
		Timeout:       time.Minute,
		LookbackDelta: 15 * time.Second,
	})
	var panels []panel
	for _, of := range read.Panels {
		if of.Type != "timeseries" {
			continue
		}
		shown := panel{Title: of.Title, Lines: []line{}}
		for _, target := range of.Targets {
			query, err := engine.NewRangeQuery(context.Background(), db, nil,
				variables.Replace(target.Expr), first, last, step)
			if err != nil {
				return fmt.Errorf("%s: %w", of.Title, err)
			}
			result := query.Exec(context.Background())
			matrix, err := result.Matrix()
			if err != nil {
				return fmt.Errorf("%s: %w", of.Title, err)
			}
			for _, series := range matrix {
				shown.Lines = append(shown.Lines, line{
					Name:   legend(target.LegendFormat, series.Metric),
					Points: points(series, first),
				})
			}
			query.Close()
		}
		panels = append(panels, shown)
	}
	return json.NewEncoder(os.Stdout).Encode(panels)
}

// store reads the pages, and returns the times of the first and the last one.
func store(db *tsdb.DB, directory string) (first, last time.Time, err error) {
	pages, err := filepath.Glob(filepath.Join(directory, "*.txt"))
	if err != nil {
		return first, last, err
	}
	if len(pages) == 0 {
		return first, last, fmt.Errorf("%s: has no pages", directory)
	}
	sort.Strings(pages)
	for index, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".txt")
		millis, err := strconv.ParseInt(name, 10, 64)
		if err != nil {
			return first, last, fmt.Errorf("%s: %w", page, err)
		}
		last = time.UnixMilli(millis)
		if index == 0 {
			first = last
		}
		if err := add(db, page, millis); err != nil {
			return first, last, fmt.Errorf("%s: %w", page, err)
		}
	}
	return first, last, nil
}

func add(db *tsdb.DB, page string, millis int64) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	parser, err := textparse.New(text, "text/plain; version=0.0.4", "", true, true, false, labels.NewSymbolTable())
	if err != nil {
		return err
	}
	appender := db.Appender(context.Background())
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return appender.Commit()
		}
		if err != nil {
			return errors.Join(err, appender.Rollback())
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := parser.Series()
		var of labels.Labels
		parser.Labels(&of)
		if _, err := appender.Append(0, of, millis, value); err != nil {
			return errors.Join(err, appender.Rollback())
		}
	}
}

var placeholder = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)

func legend(format string, of labels.Labels) string {
	return placeholder.ReplaceAllStringFunc(format, func(found string) string {
		return of.Get(placeholder.FindStringSubmatch(found)[1])
	})
}

func points(series promql.Series, first time.Time) [][2]float64 {
	found := [][2]float64{}
	for _, point := range series.Floats {
		if !math.IsNaN(point.F) && !math.IsInf(point.F, 0) {
			at := time.UnixMilli(point.T).Sub(first).Seconds()
			found = append(found, [2]float64{at, point.F})
		}
	}
	return found
}
