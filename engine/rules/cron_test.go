package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustCron(t *testing.T, text string) cron {
	t.Helper()
	c, err := parseCron(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func location(t *testing.T, zone string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// TestCronNext: the times after one, by the clocks of a place. 2026-11-20 is a Friday.
func TestCronNext(t *testing.T) {
	for _, x := range []struct{ cron, zone, from, want string }{
		{"0 8 * * mon-fri", "UTC", "2026-11-20 07:59:59", "20 08:00, 23 08:00, 24 08:00"},
		{"0 8 * * mon-fri", "UTC", "2026-11-20 08:00:00", "23 08:00"}, // strictly after
		{"*/15 * * * *", "Asia/Kathmandu", "2026-11-20 23:31:10", "20 23:45, 21 00:00, 21 00:15"},
		{"0 9 1 * *", "America/New_York", "2026-11-20 00:00:00", "1 09:00, 1 09:00"},
		{"0 12 * * 7", "UTC", "2026-11-20 00:00:00", "22 12:00, 29 12:00"},
		{"0 12 * * SUN,Sat", "UTC", "2026-11-20 00:00:00", "21 12:00, 22 12:00"},
		{"0 12 * * fri-mon", "UTC", "2026-11-20 13:00:00", "21 12:00, 22 12:00, 23 12:00, 27 12:00"},
		{"0 22-2 * * *", "UTC", "2026-11-20 21:00:00", "20 22:00, 20 23:00, 21 00:00, 21 01:00, 21 02:00, 21 22:00"},
		{"@daily", "Europe/Madrid", "2026-11-20 12:00:00", "21 00:00, 22 00:00"},
		{"@hourly", "Europe/Madrid", "2026-11-20 12:00:00", "20 13:00, 20 14:00"},
		{"  0  8 *  * * ", "UTC", "2026-11-20 12:00:00", "21 08:00"},
		// Either day will do where both are restricted; * with a step does not restrict.
		{"0 0 13 * fri", "UTC", "2026-11-10 00:00:00", "13 00:00, 20 00:00, 27 00:00, 4 00:00, 11 00:00, 13 00:00"},
		{"0 0 */2 * mon", "UTC", "2026-11-10 00:00:00", "23 00:00, 7 00:00"},
		{"0 0 1-7 * */2", "UTC", "2026-11-10 00:00:00", "1 00:00, 3 00:00, 5 00:00, 6 00:00"},

		// Clocks go forward from 02:00 to 03:00: what they leave out comes then, once.
		{"30 2 * * *", "Europe/Madrid", "2026-03-28 00:00:00", "28 02:30, 29 03:00, 30 02:30"},
		{"30 2 * * *", "Europe/Madrid", "2026-03-29 01:59:59", "29 03:00, 30 02:30"},
		{"30 2 * * *", "Europe/Madrid", "2026-03-29 03:00:00", "30 02:30"},
		{"30 2 * * *", "America/New_York", "2026-03-07 12:00:00", "8 03:00, 9 02:30"},
		{"0,20,40 2 * * *", "Europe/Madrid", "2026-03-29 00:00:00", "29 03:00, 30 02:00"},
		{"30 1-3 * * *", "Europe/Madrid", "2026-03-29 00:00:00", "29 01:30, 29 03:00, 29 03:30, 30 01:30"},
		{"0 3 * * *", "Europe/Madrid", "2026-03-28 12:00:00", "29 03:00, 30 03:00"},
		{"0 2,3 * * *", "Europe/Madrid", "2026-03-29 00:00:00", "29 03:00, 30 02:00"},
		{"30 2 * * mon", "Europe/Madrid", "2026-03-28 12:00:00", "30 02:30"},
		{"*/30 * * * *", "Europe/Madrid", "2026-03-29 01:15:00", "29 01:30, 29 03:00, 29 03:30"},
		{"30 * * * *", "America/New_York", "2026-03-08 01:00:00", "8 01:30, 8 03:30"},

		// Clocks go back from 03:00 to 02:00 (02:00 to 01:00): the first time counts.
		{"30 2 * * *", "Europe/Madrid", "2026-10-24 12:00:00", "25 02:30, 26 02:30"},
		{"30 1 * * *", "America/New_York", "2026-10-31 12:00:00", "1 01:30, 2 01:30"},
		{"0 2 * * *", "Europe/Madrid", "2026-10-24 12:00:00", "25 02:00, 26 02:00"},
		{"0 3 * * *", "Europe/Madrid", "2026-10-24 12:00:00", "25 03:00, 26 03:00"},
		{"*/20 2 * * *", "Europe/Madrid", "2026-10-24 12:00:00", "25 02:00, 25 02:20, 25 02:40, 26 02:00"},
		{"*/30 * * * *", "Europe/Madrid", "2026-10-25 01:30:00", "25 02:00, 25 02:30, 25 02:00, 25 02:30, 25 03:00"},
		{"0 * * * *", "America/New_York", "2026-11-01 00:30:00", "1 01:00, 1 01:00, 1 02:00"},
		// Clocks go forward at midnight.
		{"0 0 * * *", "Africa/Cairo", "2026-04-22 12:00:00", "23 00:00, 24 01:00, 25 00:00"},
	} {
		c, err := parseCron(x.cron)
		if err != nil {
			t.Errorf("%s: %v", x.cron, err)
			continue
		}
		var got []string
		now := at(t, x.zone, x.from)
		for range strings.Split(x.want, ", ") {
			now = c.next(now, now.Location())
			got = append(got, now.Format("2 15:04"))
		}
		if s := strings.Join(got, ", "); s != x.want {
			t.Errorf("%s in %s from %s: %s, expected %s", x.cron, x.zone, x.from, s, x.want)
		}
	}
}

// TestCronFirstOfTwo: the first 02:30 of the two, in whatever zone the time
// before is given.
func TestCronFirstOfTwo(t *testing.T) {
	c, madrid := mustCron(t, "30 2 * * *"), location(t, "Europe/Madrid")
	first := time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC)
	if got := c.next(first.Add(-time.Hour), madrid); !got.Equal(first) {
		t.Error(got)
	}
	for _, after := range []time.Duration{0, 10 * time.Minute, time.Hour - time.Second, time.Hour, 90 * time.Minute} {
		if got := c.next(first.Add(after), madrid); !got.Equal(first.Add(25 * time.Hour)) {
			t.Errorf("%s after the first: %s", after, got)
		}
	}
	if got := c.next(first, nil); !got.Equal(first.Add(2 * time.Hour)) {
		t.Errorf("without a zone: %s", got)
	}
}

// TestCronEveryDay: 02:30 comes exactly once on each of 800 days.
func TestCronEveryDay(t *testing.T) {
	for _, zone := range []string{"Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		c, loc := mustCron(t, "30 2 * * *"), location(t, zone)
		middle := time.Date(2026, 11, 21, 0, 0, 0, 0, loc)
		now := middle.AddDate(0, 0, -400)
		for day := range 800 {
			now = c.next(now, loc)
			if want := middle.AddDate(0, 0, day-400).Format(time.DateOnly); now.Format(time.DateOnly) != want {
				t.Fatalf("%s: %s is not on %s", zone, now, want)
			}
		}
	}
}

// TestCronModel compares with what the words say, minute for minute over a
// year of clocks that change, and from any moment in between.
func TestCronModel(t *testing.T) {
	for _, x := range []struct {
		cron string
		fits func(day time.Time, hour, minute int) bool
	}{
		{"30 2 * * *", func(_ time.Time, h, m int) bool { return h == 2 && m == 30 }},
		{"*/10 1-3 * * sun", func(d time.Time, h, m int) bool { return m%10 == 0 && h >= 1 && h <= 3 && d.Weekday() == time.Sunday }},
		{"0 0,23 * * *", func(_ time.Time, h, m int) bool { return m == 0 && (h == 0 || h == 23) }},
		{"15 */2 * 3,4,10,11 *", func(d time.Time, h, m int) bool {
			return m == 15 && h%2 == 0 && slices.Contains([]time.Month{3, 4, 10, 11}, d.Month())
		}},
		{"5 2 29 * mon", func(d time.Time, h, m int) bool {
			return h == 2 && m == 5 && (d.Day() == 29 || d.Weekday() == time.Monday)
		}},
	} {
		c := mustCron(t, x.cron)
		for _, zone := range []string{"Europe/Madrid", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "Atlantic/Azores"} {
			loc := location(t, zone)
			var want []time.Time
			for day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2027; day = day.AddDate(0, 0, 1) {
				for m := range dayMinutes {
					if !x.fits(day, m/60, m%60) {
						continue
					}
					moment := shown(loc, day.Add(time.Duration(m)*time.Minute))
					if len(want) == 0 || moment.After(want[len(want)-1]) {
						want = append(want, moment)
					}
				}
			}
			before := want[0]
			for _, w := range want[1:] {
				for _, from := range []time.Time{before, before.Add(w.Sub(before) / 2), w.Add(-time.Nanosecond)} {
					if got := c.next(from, loc); !got.Equal(w) {
						t.Fatalf("%s in %s after %s: %s, expected %s", x.cron, zone, from.In(loc), got, w.In(loc))
					}
				}
				before = w
			}
		}
	}
}

// shown is when clocks in loc first show the time that clock says in UTC; if
// they leave it out, the moment they do.
func shown(loc *time.Location, clock time.Time) time.Time {
	const text = "2006-01-02 15:04"
	for offset := 14 * time.Hour; offset >= -12*time.Hour; offset -= 15 * time.Minute {
		if moment := clock.Add(-offset).In(loc); moment.Format(text) == clock.Format(text) {
			return moment
		}
	}
	change, _ := clock.Add(12 * time.Hour).In(loc).ZoneBounds()
	for change.Add(-time.Second).In(loc).Format(text) > clock.Format(text) {
		change, _ = change.Add(-time.Second).ZoneBounds()
	}
	return change
}

// TestCronRare: 29 February, also over the year that has none though it could.
func TestCronRare(t *testing.T) {
	c, madrid := mustCron(t, "0 12 29 2 *"), location(t, "Europe/Madrid")
	for _, year := range []int{2028, 2032, 2104} {
		from := time.Date(year-4, 3, 1, 0, 0, 0, 0, time.UTC)
		if year == 2104 {
			from = time.Date(2096, 3, 1, 0, 0, 0, 0, time.UTC)
		}
		if got := c.next(from, madrid); got.Format("2006-01-02 15:04") != fmt.Sprint(year, "-02-29 12:00") {
			t.Errorf("%d: %s", year, got)
		}
	}
}

// TestCronMistakes: what is wrong, and what to write.
func TestCronMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `such as "0 8 * * mon-fri"`,
		"   ":                                    "is empty",
		"8":                                      "has 1 of five fields: write minute",
		"0 8 * *":                                "has 4 of five",
		"0 0 8 * * *":                            "without seconds",
		"0 0 8 * * * 2026":                       "has 7 of five",
		"60 8 * * *":                             `the minute cannot be "60": write 0 to 59`,
		"0 24 * * *":                             `the hour cannot be "24"`,
		"0 8:30 * * *":                           `the hour cannot be "8:30"`,
		"0 8am * * *":                            `the hour cannot be "8am"`,
		"0 8 0 * *":                              `the day of the month cannot be "0"`,
		"0 8 32 * *":                             `the day of the month cannot be "32"`,
		"0 8 L * *":                              `the day of the month cannot be "L"`,
		"0 8 * 13 *":                             `the month cannot be "13"`,
		"0 8 * jany *":                           `the month cannot be "jany"`,
		"0 8 * * mon-fry":                        `the weekday cannot be "mon-fry"`,
		"0 8 * * monday":                         `the weekday cannot be "monday"`,
		"0 8 * * 8":                              `the weekday cannot be "8"`,
		"0 8 * * fri#3":                          `the weekday cannot be "fri#3"`,
		"0 8 * * ,":                              `the weekday cannot be ","`,
		"0 8,,9 * * *":                           `the hour cannot be "8,,9"`,
		"*/0 * * * *":                            `the minute cannot be "*/0"`,
		"*/90 * * * *":                           `the minute cannot be "*/90"`,
		"H * * * *":                              `the minute cannot be "H"`,
		"-5 * * * *":                             `the minute cannot be "-5"`,
		"@every 15m":                             `write "*/15 * * * *"`,
		"@noon":                                  "write @hourly, @daily",
		"@reboot":                                "write @hourly, @daily",
		"TZ=UTC 0 8 * * *":                       "timezone: of the rules",
		"CRON_TZ=UTC 0 8 * * *":                  "timezone: of the rules",
		"0 0 30 2 *":                             "never comes",
		"0 0 31 4,6,9,11 *":                      "never comes",
		strings.Repeat("1,", 4000) + "1 8 * * *": "the minute cannot be",
	} {
		_, err := parseCron(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
			continue
		}
		checkWords(t, text, issue{What: err.Error(), Code: "x", Width: 1})
	}
}

// FuzzCron: no text breaks it, and what it takes comes.
func FuzzCron(f *testing.F) {
	for _, text := range []string{"0 8 * * mon-fri", "*/15 0-5,7 1,31 */3 7", "@daily", "5-59/7 22-2 29 feb ?", "0 0 30 2 *"} {
		f.Add(text, int64(1_790_000_000))
	}
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		c, err := parseCron(text)
		if err != nil {
			return
		}
		now := time.Unix(seconds%(1<<33), 0)
		if got := c.next(now, madrid); !got.After(now) {
			t.Errorf("%q after %s: %s", text, now, got)
		}
	})
}
