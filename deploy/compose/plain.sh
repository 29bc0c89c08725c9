#!/bin/sh
# What docker-compose.yaml starts, as plain processes of this machine, and whether its parts reach each other: the demo
# service blocks, the collector stores it, Alertmanager is told. ClickHouse is the embedded engine; Grafana is left out.
#
#   cargo build -p holdup-collector -p holdup-demo && target/debug/holdup engine install
#   deploy/compose/plain.sh             it checks and stops; with --stay it runs until Ctrl-C
#
# It needs curl and Alertmanager (Debian's package prometheus-alertmanager). Other ports: OTLP_HTTP=14318 and so on.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
programs=${HOLDUP_PROGRAMS:-$here/../../target/debug}
grpc=${OTLP_GRPC:-4317} http=${OTLP_HTTP:-4318} page=${PAGE:-4380} engine=${ENGINE:-8123}
alertmanager=${ALERTMANAGER:-9093} demo=${DEMO:-4390}
page_url=http://127.0.0.1:$page alertmanager_url=http://127.0.0.1:$alertmanager

work=$(mktemp -d)
started=
finish() {
    # The last that was started goes first; the collector writes what it has before it ends.
    for pid in $started; do
        kill "$pid" 2> /dev/null || true
        wait "$pid" 2> /dev/null || true
    done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

start() {
    name=$1
    shift
    "$@" > "$work/$name.log" 2>&1 &
    started="$! $started"
}

# Waits for a command to succeed; tells what it waited for, and the log of the part that it is about.
wait_for() {
    what=$1 part=$2
    shift 2
    deadline=$(($(date +%s) + ${PATIENCE:-120}))
    until "$@" > "$work/answer" 2>&1; do
        if [ "$(date +%s)" -ge "$deadline" ]; then
            echo "not within ${PATIENCE:-120} s: $what. The log of $part:" >&2
            tail -n 20 "$work/$part.log" "$work/answer" >&2
            exit 1
        fi
        sleep 0.5
    done
    echo "$what"
}

found() {
    curl --silent --fail "$1" | grep -q "$2"
}

start alertmanager "$(command -v prometheus-alertmanager || command -v alertmanager || echo prometheus-alertmanager)" \
    --config.file="$here/../alertmanager/alertmanager.yml" --storage.path="$work/alertmanager" \
    --web.listen-address="127.0.0.1:$alertmanager" --cluster.listen-address=
wait_for "Alertmanager is healthy" alertmanager curl --silent --fail "$alertmanager_url/-/healthy"

# The configuration that the container has, with this machine's address of Alertmanager.
sed "s#http://alertmanager:9093#$alertmanager_url#; s#localhost:4380#localhost:$page#" "$here/holdup.toml" > "$work/holdup.toml"
start holdup "$programs/holdup" serve --config="$work/holdup.toml" --data-dir="$work/data" \
    --grpc-listen="127.0.0.1:$grpc" --http-listen="127.0.0.1:$http" --page-listen="127.0.0.1:$page" --engine-listen="127.0.0.1:$engine"
wait_for "the collector is healthy" holdup "$programs/holdup" query overview --page "$page_url"

export OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:$http"
start demo "$programs/holdup-demo" --listen "127.0.0.1:$demo"
wait_for "the demo service answers" demo curl --silent --fail "http://127.0.0.1:$demo/truth"
wait_for "its blocking functions are in the page's list" holdup found "$page_url/api/v1/query/top?service=demo" holdup_demo::faults::
wait_for "Alertmanager has been told of an alert" holdup found "$alertmanager_url/api/v2/alerts" Holdup

[ "${1:-}" != --stay ] || { echo "page $page_url, Alertmanager $alertmanager_url; Ctrl-C ends it"; wait; }
