"""Makes topics, puts messages, and tells how far the group `holdup` is."""

import pathlib
import sys

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = {"otlp_spans": 3, "otlp_metrics": 1, "otlp_logs": 1}

address, settings, what, *rest = sys.argv[1:]
config = {"bootstrap.servers": address}
config.update(setting.split("=", 1) for setting in settings.split(",") if setting)


def topics():
    new = [NewTopic(name, count, 1) for name, count in PARTITIONS.items()]
    admin = AdminClient(config)
    for made in admin.create_topics(new).values():
        made.result()


def put(topic, folder):
    producer = Producer({**config, "compression.type": "zstd"})
    failed = []
    for number, path in enumerate(sorted(pathlib.Path(folder).iterdir())):
        producer.produce(
            topic,
            path.read_bytes(),
            partition=number % PARTITIONS[topic],
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
    assert producer.flush(60) == 0 and not failed, failed


def committed(topic):
    group = Consumer({**config, "group.id": "holdup"})
    places = [TopicPartition(topic, number) for number in range(PARTITIONS[topic])]
    print(sum(max(place.offset, 0) for place in group.committed(places, timeout=30)))


{"topics": topics, "put": put, "committed": committed}[what](*rest)
