#!/usr/bin/env python3
"""Reads a tenant's feed as a client would: confluent-kafka for the records, the CloudEvents SDK for what they are.

usage: read.py BROKERS TOPIC COUNT
Prints COUNT events, one JSON object a line, and exits 1 when they do not come within a minute.
"""
import json
import sys
import time

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from confluent_kafka import Consumer, KafkaException

SECONDS = 60


def main():
    brokers, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    consumer = Consumer({
        "bootstrap.servers": brokers,
        "group.id": f"{topic}.reader",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([topic])
    until, seen = time.monotonic() + SECONDS, 0
    try:
        while seen < count:
            if time.monotonic() > until:
                sys.exit(f"only {seen} of {count} events came")
            record = consumer.poll(0.5)
            if record is None:
                continue
            if record.error():
                raise KafkaException(record.error())
            headers = {name: value for name, value in record.headers() or []}
            event = from_kafka_event(KafkaMessage(headers=headers, key=record.key(), value=record.value()))
            print(json.dumps({
                "id": event.get_id(),
                "type": event.get_type(),
                "source": event.get_source(),
                "subject": event.get_subject(),
                "time": event.get_time().isoformat(),
                "datacontenttype": event.get_datacontenttype(),
                "tenant": event.get_extension("tenant"),
                "rawposition": event.get_extension("rawposition"),
                "data": event.get_data(),
            }))
            seen += 1
    finally:
        consumer.close()


main()
