package main

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/gavelhq/gavel/engine/web"
	"github.com/spf13/cobra"
)

// filter is the flags that select rows of a list.
type filter struct {
	params map[string]*string
	since  string
	limit  int
}

// filterFlags adds --since, --limit and a flag for each name of the API's
// parameters, with its usage.
func filterFlags(cmd *cobra.Command, flags ...[2]string) *filter {
	f := &filter{params: map[string]*string{}}
	for _, flag := range flags {
		f.params[flag[0]] = cmd.Flags().String(flag[0], "", flag[1])
	}
	cmd.Flags().StringVar(&f.since, "since", "", "only newer ones: `1h`, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
	cmd.Flags().IntVar(&f.limit, "limit", web.DefaultLimit, fmt.Sprintf("at most `n` rows, up to %d", web.MaxLimit))
	return f
}

// values are the parameters of the API.
func (f *filter) values(a *app) (url.Values, error) {
	v := url.Values{"limit": {strconv.Itoa(f.limit)}}
	for name, value := range f.params {
		if *value != "" {
			v.Set(name, *value)
		}
	}
	if f.since != "" {
		since, err := parseSince(f.since, a.now(), a.zone)
		if err != nil {
			return nil, fail(exitUsage, err, "write 90m, 1h, 7d, 2026-11-20 or 2026-11-20T14:00:00Z")
		}
		v.Set("since", since.UTC().Format(time.RFC3339))
	}
	return v, nil
}

// parseSince reads how long ago, a day, or a moment.
func parseSince(s string, now time.Time, zone *time.Location) (time.Time, error) {
	if n := len(s) - 1; n > 0 && s[n] == 'd' {
		if days, err := strconv.Atoi(s[:n]); err == nil && days >= 0 {
			return now.AddDate(0, 0, -days), nil
		}
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return day, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("--since cannot be %q", s)
}
