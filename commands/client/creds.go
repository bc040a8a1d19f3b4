package client

import (
	"gatebook/commands"
	"gatebook/events"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// person reads who the credentials are of. Whether they are good is for the
// server to say.
func person(creds []byte) (events.Actor, error) {
	const next = "name a creds file such as owner.creds of the data folder"
	token, err := nkeys.ParseDecoratedJWT(creds)
	if err != nil {
		return events.Actor{}, commands.Refuse(commands.BadRequest, next, "the credentials are not a NATS creds file")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return events.Actor{}, commands.Refuse(commands.BadRequest, next, "the credentials are not a NATS creds file")
	}
	if _, err := nkeys.ParseDecoratedUserNKey(creds); err != nil {
		return events.Actor{}, commands.Refuse(commands.BadRequest, next, "the credentials have no seed")
	}
	actor, err := events.ParseActor(claims.Name)
	if err != nil || actor.Kind != events.PersonActor {
		return events.Actor{}, commands.Refuse(commands.BadRequest, next, "the credentials are not those of a person")
	}
	return actor, nil
}
