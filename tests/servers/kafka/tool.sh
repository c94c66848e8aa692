#!/bin/sh
# Kafka's own tools: tool.sh NAME ARGUMENTS...
#   topics           --create --topic orders --partitions 3
#   console-producer --topic orders
#   console-consumer --topic orders --group billing
#   groups           --describe --group billing
# --bootstrap-server is $KAFKA, or 127.0.0.1:9092.
set -eu

libs=${BACKLOG_SCALER_CACHE:-$HOME/.cache/backlog-scaler}/kafka-4.3.1/libs
[ -d "$libs" ] || { echo "run $(dirname "$0")/install.sh first" >&2; exit 1; }
case $1 in
topics) class=org.apache.kafka.tools.TopicCommand ;;
console-producer) class=org.apache.kafka.tools.ConsoleProducer ;;
console-consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
*) class=$1 ;;
esac
shift
exec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -Dlog4j2.configurationFile="$libs/../log4j2.properties" \
    -cp "$libs/*" "$class" --bootstrap-server "${KAFKA:-127.0.0.1:9092}" "$@"
