package client

import "gatebook/events"

// Pretend makes a client ask as somebody else than its credentials say.
func Pretend(c *Client, person string) {
	c.actor = events.Actor{Kind: events.PersonActor, ID: person}
}
