#!/usr/bin/env bash
# A private PostgreSQL cluster in a directory: reached over its Unix socket alone, by the right users alone.
#
#   sql/cluster.sh start DIR      makes it at first, starts it unless it runs, prints its conninfo
#   sql/cluster.sh stop DIR       stops it
#   sql/cluster.sh conninfo DIR   prints how to connect
#   sql/cluster.sh owner          prints the system user that clusters run as
#
# PostgreSQL refuses to run as root. Started by root it runs as $CLUSTER_USER (default: cordboard, which is made if
# missing), which must be able to reach DIR. Who may connect is decided by the kernel (peer), there is no password: that
# user, root, and those in $CLUSTER_PEERS; each as the role cordboard, which owns the database, or as postgres, the superuser.
#
# DIR/db the data, DIR/socket_dir where the socket is. $CLUSTER_INITDB, $CLUSTER_OPTIONS: further options for initdb and
# postgres. $CLUSTER_STOP: how to stop (fast).
set -euo pipefail

fail() {
	echo "cluster: $*" >&2
	exit 1
}

am_root() { [ "$(id -u)" -eq 0 ]; }

owner() {
	if ! am_root; then
		id -un
		return
	fi
	local user=${CLUSTER_USER:-cordboard}
	if ! getent passwd "$user" >/dev/null; then
		useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user" ||
			fail "can't make the system user $user; name another one in CLUSTER_USER"
	fi
	echo "$user"
}

# In / because the present folder may be closed to the owner, which PostgreSQL's tools complain about. setpriv becomes the program,
# so that a signal reaches that; su and runuser stay in between.
as_owner() {
	if am_root; then
		(cd / && exec setpriv --reuid "$owner" --regid "$(id -g "$owner")" --init-groups -- "$@")
	else
		(cd / && exec "$@")
	fi
}

pg_bin() {
	local version
	if [ -r "$data/PG_VERSION" ]; then
		version=$(<"$data/PG_VERSION")
	else
		# shellcheck disable=SC2012  # version numbers: no strange names
		version=$(ls /usr/lib/postgresql 2>/dev/null | sort -n | tail -n 1)
	fi
	[ -x "/usr/lib/postgresql/$version/bin/postgres" ] || fail "PostgreSQL $version is not installed: make deps"
	echo "/usr/lib/postgresql/$version/bin"
}

# The path of a socket has 107 bytes at most, of which its name takes 14 with the slash.
socket_dir() {
	local sock=$dir/sock
	if [ -s "$dir/socket_dir" ] && [ -d "$(<"$dir/socket_dir")" ]; then
		return
	fi
	if [ "${#sock}" -gt 90 ]; then
		sock=$(mktemp -d /tmp/cordboard-XXXXXX)
	fi
	install -d -m 700 "$sock"
	if am_root; then
		chown "$owner:" "$sock"
	fi
	printf '%s\n' "$sock" >"$dir/socket_dir"
}

conninfo() { echo "host=$(<"$dir/socket_dir") dbname=${1:-cordboard} user=${2:-cordboard}"; }

# Under another name until it is whole: one that was cut off is made anew.
make_cluster() {
	local new=$data.new
	rm -rf "$new"
	install -d -m 700 "$new"
	if am_root; then
		chown "$owner:" "$new"
	fi
	# shellcheck disable=SC2086  # several options
	as_owner "$bin/initdb" -D "$new" -U postgres -A peer -E UTF8 --locale=C.UTF-8 ${CLUSTER_INITDB:-} >"$dir/initdb.log" 2>&1 ||
		fail "initdb failed: $(tail -n 3 "$dir/initdb.log")"
	as_owner tee -a "$new/postgresql.conf" >/dev/null <<-END
		# Cordboard: this machine alone, over the socket whose folder is given at start
		listen_addresses = ''
		max_connections = 60
		timezone = 'UTC'
		log_timezone = 'UTC'
	END
	as_owner tee "$new/pg_hba.conf" >/dev/null <<<"local all all peer map=cordboard"
	mv -T "$new" "$data"
}

# Who may be whom. Written at each start: the server's user may be another one today.
write_map() {
	local user
	# shellcheck disable=SC2086  # several users
	for user in $(printf '%s\n' root "$owner" ${CLUSTER_PEERS:-} | sort -u); do
		printf 'cordboard %s cordboard\ncordboard %s postgres\n' "$user" "$user"
	done | as_owner tee "$data/pg_ident.conf" >/dev/null
}

start() {
	local log
	mkdir -p "$dir"
	dir=$(cd "$dir" && pwd)
	owner=$(owner)
	as_owner test -x "$dir" || fail "$dir is out of reach for $owner"
	data=$dir/db
	bin=$(pg_bin)
	[ -e "$data/PG_VERSION" ] || make_cluster
	socket_dir
	write_map
	log=$data/server.log
	if ! as_owner "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
		as_owner "$bin/pg_ctl" -D "$data" -l "$log" -w -s -t 60 \
			-o "-k '$(<"$dir/socket_dir")' ${CLUSTER_OPTIONS:-}" start >&2 || fail "PostgreSQL doesn't start: $(tail -n 5 "$log")"
	fi
	if [ "$(psql -X -At -d "$(conninfo postgres postgres)" -c "SELECT 1 FROM pg_database WHERE datname = 'cordboard'")" != 1 ]; then
		psql -X -q -v ON_ERROR_STOP=1 -d "$(conninfo postgres postgres)" <<-'END'
			SELECT 'CREATE ROLE cordboard LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cordboard') \gexec
			CREATE DATABASE cordboard OWNER cordboard;
		END
	fi
	# Each domain has a role of its own, which the owner makes; and he copies tables, in and out, which policies would forbid (COPY, pg_dump).
	# A cluster of an older version has one who couldn't.
	psql -X -q -v ON_ERROR_STOP=1 -d "$(conninfo postgres postgres)" <<-'END'
		SELECT 'ALTER ROLE cordboard CREATEROLE BYPASSRLS' FROM pg_roles WHERE rolname = 'cordboard' AND NOT (rolcreaterole AND rolbypassrls) \gexec
	END
	conninfo
}

stop() {
	dir=$(cd "$dir" && pwd)
	owner=$(owner)
	data=$dir/db
	[ -e "$data/PG_VERSION" ] || return 0
	bin=$(pg_bin)
	if as_owner "$bin/pg_ctl" -D "$data" status >/dev/null 2>&1; then
		as_owner "$bin/pg_ctl" -D "$data" -m "${CLUSTER_STOP:-fast}" -w -s -t 60 stop >&2
	fi
}

dir=${2:-}
case ${1:-}:$# in
start:2) start ;;
stop:2) stop ;;
conninfo:2) conninfo ;;
owner:1) owner ;;
*) fail "use: cluster.sh start|stop|conninfo DIR, or cluster.sh owner" ;;
esac
