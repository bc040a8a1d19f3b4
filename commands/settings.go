package commands

import (
	"math"
	"time"

	"gatebook/events"
	"gatebook/projections"
)

// The bounds and the defaults of an intercom's settings.
const (
	DefaultLimit    = 10
	MaxLimit        = 1000
	CarefulLimit    = 50
	DefaultValidity = 12 * time.Hour
	MinValidity     = time.Minute
	MaxValidity     = 720 * time.Hour
	MaxGrace        = 24 * time.Hour
	DefaultRetry    = 60 * time.Second
	MaxRetry        = 5 * time.Minute
)

// DecideConfigure saves settings: what the request names, over what was saved
// before, over the defaults. Codes that live keep what they have (law 10).
func DecideConfigure(s projections.State, m Meta, r ConfigureRequest) (events.Event, error) {
	d := merge(s, m, r)
	if err := checkSettings(d, r); err != nil {
		return events.Event{}, err
	}
	return m.event(events.Configured, d)
}

func merge(s projections.State, m Meta, r ConfigureRequest) events.ConfiguredData {
	d := events.ConfiguredData{
		EntryDevice: m.Intercom, Limit: DefaultLimit,
		ValidityS: seconds(DefaultValidity), RetryS: seconds(DefaultRetry),
	}
	if s.Settings != nil {
		d = *s.Settings
	}
	set(&d.EntryDevice, r.EntryDevice)
	set(&d.ExitDevice, r.ExitDevice)
	set(&d.Limit, r.Limit)
	set(&d.ValidityS, r.ValidityS)
	set(&d.GraceS, r.GraceS)
	set(&d.RetryS, r.RetryS)
	set(&d.LeaveOnce, r.LeaveOnce)
	return d
}

// Saved reports whether d is what the request asked for, as far as it named it.
func (r ConfigureRequest) Saved(d events.ConfiguredData) bool {
	return same(r.EntryDevice, d.EntryDevice) && same(r.ExitDevice, d.ExitDevice) && same(r.Limit, d.Limit) &&
		same(r.ValidityS, d.ValidityS) && same(r.GraceS, d.GraceS) && same(r.RetryS, d.RetryS) && same(r.LeaveOnce, d.LeaveOnce)
}

func same[T comparable](named *T, saved T) bool { return named == nil || *named == saved }

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func checkSettings(d events.ConfiguredData, r ConfigureRequest) error {
	const device = "use lower-case letters, digits and dashes, at most 63, beginning with a letter or digit"
	switch {
	case !events.ValidID(d.EntryDevice):
		return bad(device, "the entry device is not a device name")
	case d.ExitDevice != "" && !events.ValidID(d.ExitDevice):
		return bad(device+"; empty means the same as the entry device", "the exit device is not a device name")
	case d.Limit < 1 || d.Limit > MaxLimit:
		return bad("name a limit from 1 to 1000", "a limit of %d is out of range", d.Limit)
	case !within(d.ValidityS, MinValidity, MaxValidity):
		return bad("name a validity from 1m to 720h", "a validity of %d s is out of range", d.ValidityS)
	case !within(d.GraceS, 0, MaxGrace):
		return bad("name a grace from 0 to 24h", "a grace of %d s is out of range", d.GraceS)
	case !within(d.RetryS, 0, MaxRetry):
		return bad("name a retry window from 0 to 5m", "a retry window of %d s is out of range", d.RetryS)
	case r.Limit != nil && d.Limit > CarefulLimit && !r.Yes:
		return bad("repeat with --yes if that is what you want",
			"with %d live codes one guess at the keypad opens with a chance of 1 in %.0f", d.Limit, math.Round(1/GuessChance(d.Limit)))
	}
	return nil
}

// GuessChance is the chance that one guess of four digits hits one of n codes.
func GuessChance(n int) float64 { return float64(n) / 10000 }

func within(s int64, low, high time.Duration) bool { return s >= seconds(low) && s <= seconds(high) }

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
