// Package rights tries what the credentials of one intercom must not allow.
//
// In comes the real gatebook serve with two intercoms; one's enrolment is used
// with a bare NATS client. Every forbidden publish and subscription must be
// denied by the server, which is asserted by its asynchronous error, and neither
// the ledger nor anybody who listens may notice anything (law 8).
package rights
