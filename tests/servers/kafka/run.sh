#!/bin/sh
# Runs one broker to try things on, in the foreground, on 127.0.0.1: run.sh [PORT]
# Its data is gone when it ends. install.sh comes first.
set -eu

port=${1:-9092}
libs=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/kafka-4.3.1/libs
[ -d "$libs" ] || { echo "run $(dirname "$0")/install.sh first" >&2; exit 1; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/kafka.XXXXXX")
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM
cat > "$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$dir/data
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
java="java -Xms32m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
java="$java -Dlog4j2.configurationFile=$libs/../log4j2.properties"
$java -cp "$libs/*" kafka.tools.StorageTool format \
    -t 4L6g3nShT-eMCtK--X86sw -c "$dir/server.properties" > /dev/null
echo "Kafka on 127.0.0.1:$port; Ctrl-C ends it"
$java -cp "$libs/*" kafka.Kafka "$dir/server.properties" > "$dir/log"
