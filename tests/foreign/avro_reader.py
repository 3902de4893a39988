"""Reads topics to their ends with the PyPI package `confluent-kafka` and its `AvroDeserializer`, as a team's own
service would: committed records alone, schemas from the registry. Told where in its first argument (JSON); prints
one JSON line a record."""

import datetime
import json
import sys
import uuid

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

given = json.loads(sys.argv[1])
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def plain(value):
    """What JSON has no word for: a timestamp in milliseconds."""
    return (value - EPOCH) // datetime.timedelta(milliseconds=1)


def read(topic, registry, deserialize):
    consumer = Consumer(
        {
            "bootstrap.servers": given["bootstrap_servers"],
            "group.id": str(uuid.uuid4()),
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    open_partitions = len(partitions)
    while open_partitions:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise SystemExit(str(message.error()))
            open_partitions -= 1
            continue
        schema_id = int.from_bytes(message.value()[1:5], "big")
        schema = json.loads(registry.get_schema(schema_id).schema_str)
        record = {
            "topic": topic,
            "key": message.key().decode(),
            "schema_id": schema_id,
            "record": f"{schema['namespace']}.{schema['name']}",
            "value": deserialize(message.value(), SerializationContext(topic, MessageField.VALUE)),
        }
        print(json.dumps(record, default=plain))
    consumer.close()


registry = SchemaRegistryClient({"url": given["registry"]})
deserialize = AvroDeserializer(registry)
for topic in given["topics"]:
    read(topic, registry, deserialize)
