#!/bin/sh
# Serves: with CONFIG=FILE your settings alone; else beside a private Redis whose list `jobs`
# fills and drains, so that there is something to see.
set -eu

scaler=target/release/backlog-scaler
if [ -n "${CONFIG:-}" ]; then
    exec "$scaler" serve --config "$CONFIG"
fi

dir=$(mktemp -d)
port=${REDIS_PORT:-16379}
pids=
stop() {
    trap - EXIT INT TERM
    # shellcheck disable=SC2086 # one process id a word
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$dir"
}
trap stop EXIT
# The server itself ends on the same Ctrl-C; wait for it, then stop the rest.
trap : INT TERM

if redis-cli -p "$port" ping >/dev/null 2>&1; then
    echo "Port $port is in use; choose another: REDIS_PORT=16380 make run" >&2
    exit 1
fi
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" --loglevel warning >"$dir/log" 2>&1 &
pids=$!
until redis-cli -p "$port" ping >/dev/null 2>&1; do
    kill -0 "$pids" 2>/dev/null || { cat "$dir/log" >&2; exit 1; }
    sleep 0.1
done

# Forty jobs come at once, then two go a second.
sample() {
    while :; do
        for i in $(seq 40); do echo "RPUSH jobs job-$i"; done | redis-cli -p "$port" >/dev/null
        for _ in $(seq 20); do
            sleep 1
            redis-cli -p "$port" LPOP jobs 2 >/dev/null
        done
    done
}
sample 2>/dev/null &
pids="$pids $!"

cat >&2 <<TEXT

A Redis runs on 127.0.0.1:$port; its list \`jobs\` fills and drains. Try in another terminal:

  $scaler probe deploy/examples/redis-list.yaml
  redis-cli -p $port rpush jobs one two three
  curl -s 127.0.0.1:9091/metrics | grep trigger_value

Ctrl-C stops both.

TEXT
"$scaler" serve &
server=$!
pids="$pids $server"
status=0
wait "$server" || status=$?
# A signal interrupts wait; the server is stopped, and then waited for.
kill -TERM "$server" 2>/dev/null && wait "$server" && status=0
exit "$status"
