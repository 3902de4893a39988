"""Drives the PyPI package `aiosfpubsub` against the address in its first argument (JSON), and prints what it saw as
one JSON line. The package logs in by SOAP and trusts certifi's authorities alone: both are replaced here."""

import asyncio
import io
import json
import sys

import avro.io
import avro.schema
import grpc
from aiosfpubsub import Client

given = json.loads(sys.argv[1])


class TrustingClient(Client):
    @staticmethod
    def _default_channel_credentials():
        return grpc.ssl_channel_credentials(given["certificate"].encode())


def connect():
    client = TrustingClient(given["instance_url"], "", "", "localhost", given["port"])
    client.metadata = (
        ("accesstoken", given["access_token"]),
        ("instanceurl", given["instance_url"]),
        ("tenantid", given["organization_id"]),
    )
    return client


def publish(client):
    topic = "/event/Order_Shipped__e"
    schema_id = client.get_topic(topic).schema_id
    schema = avro.schema.parse(client.get_schema_json(schema_id))
    fields = {field.name: None for field in schema.fields}
    fields |= {
        "CreatedDate": 1700000000000,
        "CreatedById": "005SB0000000001AAA",
        "Order_Number__c": "O-2",
        "Weight__c": 2.5,
    }
    buffer = io.BytesIO()
    avro.io.DatumWriter(schema).write(fields, avro.io.BinaryEncoder(buffer))
    event = client.pb2.ProducerEvent(id="from-python", schema_id=schema_id, payload=buffer.getvalue())
    request = client.pb2.PublishRequest(topic_name=topic, events=[event])
    (result,) = client.stub.Publish(request, metadata=client.metadata).results
    return {"replay_id": result.replay_id.hex(), "correlation_key": result.correlation_key}


async def subscribe(client, topic, count):
    seen, complete = [], asyncio.Event()

    def collect(response, client):
        for event in response.events:
            schema = client.get_schema_json(event.event.schema_id)
            payload = client.decode(schema, event.event.payload)
            seen.append({"replay_id": event.replay_id.hex(), "id": event.event.id, "payload": payload})
        if len(seen) >= count:
            complete.set()

    running = asyncio.create_task(client.subscribe(topic, "EARLIEST", b"", count, collect))
    waiting = asyncio.create_task(complete.wait())
    await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not complete.is_set():
        running.result()
    running.cancel()
    return seen


async def main():
    client = connect()
    published = publish(client)
    accounts = await subscribe(client, "/data/AccountChangeEvent", given["changes"])
    shipped = await subscribe(client, "/event/Order_Shipped__e", 1)
    print(json.dumps({"published": published, "accounts": accounts, "shipped": shipped}))


asyncio.run(main())
