#!/usr/bin/env bash
# Runs Cordboard from its source tree with everything it needs: what `make run` and `make psql` call after building.
#
#   config/run.sh            the database, its schema, the demo office at first, then the PBX in the foreground
#   config/run.sh psql ...   psql as the administrator, on the database of a running instance or of a stopped one
#
# RUN_DIR (var)              where everything is kept; several instances have several
# SIP_ADDR (all addresses)   addresses to listen on, several with spaces or commas between them
# SIP_PORT (5060)            TLS_PORT (5061), WS_PORT (5066), WSS_PORT (5067): none if SIP_PORT is another
# RTP_PORTS (16384-32767)
# DEMO_SECRET                extension N of the demo office gets this and N as its password, instead of a random one
# DATABASE_URL               an existing PostgreSQL database, in place of a private one
# CORDBOARD, PROMPTS_DIR     the server, and the converted prompts
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
run_dir=${RUN_DIR:-$root/var}
server=${CORDBOARD:-$root/build/cordboard}
prompts=${PROMPTS_DIR:-$root/build/prompts}
sip_port=${SIP_PORT:-5060}
# An instance beside the one on the usual port takes no other ports unless it is told which; empty ones are off.
if [ "$sip_port" = 5060 ]; then
	tls_port=${TLS_PORT-5061} ws_port=${WS_PORT-5066} wss_port=${WSS_PORT-5067}
else
	tls_port=${TLS_PORT-} ws_port=${WS_PORT-} wss_port=${WSS_PORT-}
fi
rtp_ports=${RTP_PORTS:-16384-32767}

fail() {
	echo "run: $*" >&2
	exit 1
}

am_root() { [ "$(id -u)" -eq 0 ]; }

# test(1) as the user of the server, who may be kept out of a folder.
user_may() { (cd / && exec setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups -- test "$@"); }

# One instance a folder. The lock ends with this process, however that ends.
lock() {
	install -d -m 755 "$run_dir"
	run_dir=$(cd "$run_dir" && pwd)
	exec 9>"$run_dir/lock"
	flock -n 9
}

# Sets $user, as which root has things run, and $state: where the database and the spool are. That is $run_dir, unless $user can't
# reach it, as below /root: then $run_dir/state leads there.
place() {
	state=$run_dir
	user=
	am_root || return 0
	user=$("$root/sql/cluster.sh" owner)
	if ! user_may -x "$run_dir"; then
		if [ ! -d "$run_dir/state" ]; then
			install -d -m 755 /var/lib/cordboard
			ln -sfn "$(mktemp -d /var/lib/cordboard/run-XXXXXX)" "$run_dir/state"
		fi
		state=$(readlink "$run_dir/state")
		chmod 755 "$state"
	fi
}

start_database() {
	if [ -n "${DATABASE_URL:-}" ]; then
		conninfo=$DATABASE_URL
	else
		# 9>&-: a database that inherited the lock would hold it beyond our end
		conninfo=$("$root/sql/cluster.sh" start "$state" 9>&-)
	fi
}

stop_database() {
	if [ -n "${state:-}" ] && [ -z "${DATABASE_URL:-}" ]; then
		"$root/sql/cluster.sh" stop "$state"
	fi
}

ask() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$conninfo" "$@"; }

# On the first start, which is when there is no domain yet.
demo() {
	local accounts=$run_dir/accounts.txt
	if [ "$(ask -c 'SELECT NOT EXISTS (SELECT FROM pbx.domain)')" = t ]; then
		install -m 600 /dev/null "$accounts.new"
		if ! psql -X -q -1 -v ON_ERROR_STOP=1 -v secret="${DEMO_SECRET:-}" -P footer=off -d "$conninfo" -f "$root/sql/demo.sql" >"$accounts.new"; then
			rm -f "$accounts.new"
			fail "the demo office is not made"
		fi
		mv "$accounts.new" "$accounts"
		echo "The accounts of the demo office, kept in $accounts:"
		cat "$accounts"
	elif [ -s "$accounts.new" ] && [ ! -e "$accounts" ]; then
		# the first start was cut off between its commit and the renaming
		mv "$accounts.new" "$accounts"
	fi
}

# libconfig's strings are C's.
quote() {
	local s=${1//\\/\\\\}
	printf '"%s"' "${s//\"/\\\"}"
}

# The server opens these after it has dropped root.
make_reachable() {
	install -d -m 700 "$state/spool"
	am_root || return 0
	chown "$user:" "$state/spool"
	if ! user_may -r "$prompts"; then
		install -d -m 755 "$state/prompts"
		cp -a --no-preserve=ownership -u "$prompts/." "$state/prompts/"
		chmod -R a+rX "$state/prompts"
		prompts=$state/prompts
	fi
}

# A certificate of our own making, until one is put in its place. The server reads it again when it changes, after dropping root.
certify() {
	[ -n "$tls_port$wss_port" ] || return 0
	local cert=$state/cert.pem key=$state/key.pem
	if [ ! -e "$cert" ]; then
		(
			umask 077
			openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$(uname -n)" \
				-addext "subjectAltName=DNS:$(uname -n)" -keyout "$key" -out "$cert.new" 2>/dev/null
		) || fail "openssl makes no certificate"
		mv "$cert.new" "$cert"
	fi
	! am_root || chown "$user:" "$cert" "$key"
}

configure() {
	local addrs=${SIP_ADDR:-0.0.0.0} addr listen='' tls_listen='' ws_listen='' wss_listen='' comma=''
	if [ -z "${SIP_ADDR:-}" ] && grep -qs . /proc/net/if_inet6; then
		addrs='0.0.0.0 ::'
	fi
	for addr in ${addrs//,/ }; do
		listen+="$comma{ addr = $(quote "$addr"); port = $sip_port; }"
		tls_listen+="$comma{ addr = $(quote "$addr"); port = $tls_port; }"
		ws_listen+="$comma{ addr = $(quote "$addr"); port = $ws_port; }"
		wss_listen+="$comma{ addr = $(quote "$addr"); port = $wss_port; }"
		comma=', '
	done
	config=$run_dir/cordboard.conf
	install -m 600 /dev/null "$config"
	cat >"$config" <<-END
		# Written by make run at each start; config/cordboard.conf explains the keys.
		node = $(quote "$(uname -n)-$sip_port");
		${user:+user = $(quote "$user");}
		log_level = $(quote "${LOG_LEVEL:-info}");
		database = $(quote "$conninfo");
		spool = $(quote "$state/spool");
		prompts = $(quote "$prompts");
		sip = { listen = ( $listen ); };
		tls = { ${tls_port:+listen = ( $tls_listen );} cert = $(quote "$state/cert.pem"); key = $(quote "$state/key.pem"); };
		${ws_port:+ws = { listen = ( $ws_listen ); \};}
		${wss_port:+wss = { listen = ( $wss_listen ); \};}
		media = { port_min = ${rtp_ports%-*}; port_max = ${rtp_ports#*-}; };
	END
}

# A port that somebody else has is told at once, not when the database has been made.
check_ports() {
	conninfo=later configure
	"$server" --config "$config" --check-ports || fail "some ports are taken: SIP_PORT, TLS_PORT, WS_PORT and WSS_PORT choose others"
}

# make hands SIGTERM on to us, but a SIGINT or SIGHUP sent to it alone, not to the terminal's whole process group, it keeps: it drops its
# handler and waits. So that, or its death, is what to look for.
watch_make() {
	local was now
	[ "$(<"/proc/$PPID/comm")" = make ] || return 0
	was=$(caught_by_make)
	while now=$(caught_by_make) && [ "$now" = "$was" ]; do
		sleep 1
	done
	kill -TERM "$1" 2>/dev/null || true
}

caught_by_make() {
	local mask
	mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$PPID/status" 2>/dev/null) && echo $((0x$mask & 3))
}

# Where phones find it, for a person to read.
tell() {
	local addrs=${SIP_ADDR:-$(hostname -I 2>/dev/null || true)}
	addrs=${addrs%"${addrs##*[! ]}"}
	echo "Phones register at ${addrs:-this machine}, port $sip_port, UDP or TCP${tls_port:+, or port $tls_port, TLS}${ws_port:+, or port $ws_port, WebSocket}${wss_port:+, or port $wss_port, WebSocket over TLS}.$(
		[ ! -e "$run_dir/accounts.txt" ] || echo " Their accounts: $run_dir/accounts.txt")"
}

# The server has a process group of its own, so that a ^C reaches it once, from here.
serve() {
	local pid watcher status
	set -m
	# It keeps the lock: should we be killed, no second instance starts beside it.
	"$server" --config "$config" &
	pid=$!
	set +m
	# shellcheck disable=SC2064  # the pid of now
	trap "kill -TERM $pid 2>/dev/null || true" INT TERM HUP
	watch_make "$pid" >/dev/null 2>&1 </dev/null 9>&- &
	watcher=$!
	# wait also returns when a signal came in, with a status of its own
	while true; do
		status=0
		wait "$pid" || status=$?
		kill -0 "$pid" 2>/dev/null || break
	done
	trap '' INT TERM HUP
	kill "$watcher" 2>/dev/null || true
	return "$status"
}

run() {
	[[ $sip_port =~ ^[0-9]{1,5}$ ]] || fail "SIP_PORT is no port: $sip_port"
	[[ $tls_port =~ ^[0-9]{0,5}$ ]] || fail "TLS_PORT is no port: $tls_port"
	[[ $ws_port =~ ^[0-9]{0,5}$ ]] || fail "WS_PORT is no port: $ws_port"
	[[ $wss_port =~ ^[0-9]{0,5}$ ]] || fail "WSS_PORT is no port: $wss_port"
	[[ $rtp_ports =~ ^[0-9]{1,5}-[0-9]{1,5}$ ]] || fail "RTP_PORTS should be like 16384-32767: $rtp_ports"
	[ -x "$server" ] || fail "$server is not built"
	lock || fail "an instance already runs in $run_dir"
	trap stop_database EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	place
	check_ports
	start_database
	CORDBOARD=$server "$root/sql/setup.sh" "$conninfo"
	demo
	make_reachable
	certify
	configure
	tell
	serve
}

admin() {
	if [ -n "${DATABASE_URL:-}" ]; then
		conninfo=$DATABASE_URL
	elif lock; then
		# no instance runs: the database for as long as it is needed here
		trap stop_database EXIT
		place
		[ -e "$state/db" ] || fail "there is no database in $run_dir yet: make run makes it"
		start_database
	else
		place
		conninfo=$("$root/sql/cluster.sh" conninfo "$state")
	fi
	# Why a change is refused is one line, without the triggers that found it.
	PGOPTIONS="${PGOPTIONS:-} -c search_path=pbx,public" psql -v SHOW_CONTEXT=never -P expanded=auto -d "$conninfo" "$@"
}

case ${1:-run} in
run) run ;;
psql)
	shift
	admin "$@"
	;;
*) fail "use: run.sh, or run.sh psql ..." ;;
esac
