package actions

import (
	"context"
	"time"
)

const personFresh = 24 * time.Hour // an address may be given to somebody else

// address finds out what Slack is to be given for the place.
func (s *slackStep) address(ctx context.Context) error {
	s.target = s.place
	if s.p.To == "" || !s.conn.URL.IsZero() {
		return nil
	}
	var who person
	if _, err := s.read(ctx, s.personKey(), &who); err != nil {
		return err
	}
	if who.ID == "" || s.Now.Sub(who.At) > personFresh {
		user, err := s.api.GetUserByEmailContext(ctx, s.place)
		if err != nil {
			return s.api.failure(ctx, "slack "+s.place, err)
		}
		who = person{ID: user.ID, At: s.Now}
		s.leave(s.personKey(), who)
	}
	s.target = who.ID
	return nil
}
