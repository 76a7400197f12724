"""Produces 100 000 records with acks=all in every codec and reads them back, byte for byte.

usage: codecs.py CLIENT BOOTSTRAP PHASE      CLIENT: confluent | kafka-python | kcat
PHASE: "write" produces and reads, "read" only reads (after a restart).
"""

import subprocess
import sys

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 20_000


def value(codec, number):
    return f"{codec}-{number:06d}-".encode() * 3


def confluent(bootstrap, topic, codec, write):
    from confluent_kafka import Consumer, Producer, TopicPartition

    if write:
        errors = []
        producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "compression.type": codec, "linger.ms": 5})
        for number in range(RECORDS):
            while True:
                try:
                    producer.produce(topic, value(codec, number), str(number).encode(), partition=0,
                                     headers=[("n", str(number).encode())],
                                     on_delivery=lambda error, _: errors.append(error) if error else None)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        assert producer.flush(60) == 0 and not errors, errors[:3]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while len(found) < RECORDS:
        messages = consumer.consume(5000, 20.0)
        assert messages, f"{topic}: only {len(found)} of {RECORDS} came back"
        for message in messages:
            assert not message.error(), message.error()
            found.append((message.key(), message.value(), message.headers()))
    consumer.close()
    assert found == [(str(n).encode(), value(codec, n), [("n", str(n).encode())]) for n in range(RECORDS)]


def kafka_python(bootstrap, topic, codec, write):
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    servers = bootstrap.split(",")
    if write:
        # Without idempotence a repeated batch may overtake the next one, unless one at a time is under way.
        producer = KafkaProducer(bootstrap_servers=servers, acks="all", linger_ms=5, enable_idempotence=False,
                                 max_in_flight_requests_per_connection=1,
                                 compression_type=None if codec == "none" else codec)
        futures = [producer.send(topic, value(codec, n), str(n).encode(), partition=0) for n in range(RECORDS)]
        producer.flush(60)
        assert all(future.succeeded() for future in futures)
        producer.close()
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, consumer_timeout_ms=20_000)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    found = []
    for record in consumer:
        found.append((record.key, record.value))
        if len(found) == RECORDS:
            break
    consumer.close()
    wanted = [(str(n).encode(), value(codec, n)) for n in range(RECORDS)]
    strays = [(n, found[n][0]) for n in range(min(len(found), RECORDS)) if found[n] != wanted[n]]
    assert found == wanted, (len(found), strays[:5], strays[-5:])


def kcat(bootstrap, topic, codec, write):
    expected = b"".join(value(codec, n) + b"\n" for n in range(RECORDS))
    if write:
        subprocess.run(["kcat", "-b", bootstrap, "-P", "-t", topic, "-p", "0", "-X", "acks=all", "-z", codec],
                       input=expected, check=True, timeout=120)
    read = subprocess.run(["kcat", "-b", bootstrap, "-C", "-q", "-e", "-t", topic, "-p", "0", "-o", "beginning"],
                          check=True, capture_output=True, timeout=120)
    assert read.stdout == expected, f"{topic}: {len(read.stdout)} bytes, expected {len(expected)}"


def main():
    client, bootstrap, phase = sys.argv[1:]
    run = {"confluent": confluent, "kafka-python": kafka_python, "kcat": kcat}[client]
    for codec in CODECS:
        run(bootstrap, f"{client}-{codec}", codec, phase == "write")
        print(f"{client} {codec}: {RECORDS} records {phase}")


main()
