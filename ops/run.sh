#!/bin/sh
# What make run starts: a ledger with a first intercom, kept in .data, and what
# to type next. A second run finds everything as it was. Ctrl-C ends the server
# cleanly; its exit status is ours.
#   GATEBOOK       the built program
#   GATEBOOK_DATA  the data folder, .data unless set
#   GATEBOOK_HTTP, GATEBOOK_NATS  where to listen
set -eu

program=${GATEBOOK:?set GATEBOOK to the built program, or use: make run}
data=${GATEBOOK_DATA:-.data}
intercom=front-gate
creds=$data/$intercom.creds

"$program" serve --data "$data" \
	--http "${GATEBOOK_HTTP:-127.0.0.1:8420}" --nats-listen "${GATEBOOK_NATS:-127.0.0.1:4222}" &
server=$!
caught=
stop() {
	caught=yes
	kill -TERM "$server" 2>/dev/null || true
}
trap stop INT TERM
trap stop EXIT # whatever goes wrong below, no server is left behind

# ends waits for the server, also where a signal ended the wait, and ends as it did.
ends() {
	while :; do
		caught= status=0
		wait "$server" || status=$?
		[ "$caught" ] || break
	done
	trap - EXIT
	exit "$status"
}

# Requests are answered once the address is ours: another's may stand there from
# a process that was killed, or that holds the folder and makes ours end.
until grep -qs "\"pid\":$server[,}]" "$data/address.json"; do
	kill -0 "$server" 2>/dev/null || ends
	sleep 0.1
done

# ready makes what a first run lacks.
ready() {
	"$program" settings "$intercom" --data "$data" >/dev/null 2>&1 ||
		"$program" settings "$intercom" --data "$data" --entry-device main-gate >/dev/null || return
	[ -e "$creds" ] || "$program" enroll "$intercom" --data "$data" --out "$creds" >/dev/null
}
if ! ready; then
	[ "$caught" ] && ends
	exit 1
fi

cat <<END

  The ledger runs, and $intercom has settings. In a second terminal, in this folder:

    export GATEBOOK_DATA=$data

  Give a guest a code:
    $program issue $intercom --name "Ada Byron" --mobile "+44 20 7946 0000"

  Stand at the keypad of $intercom; type the four digits, or "exit" and the digits:
    $program intercom $intercom --creds $creds --state $data/keypad

  See who may come in, end a code, read the history:
    $program list $intercom
    $program revoke $intercom CODE_ID
    $program audit

  Ctrl-C ends it; the next make run finds everything as it was.

END
ends
