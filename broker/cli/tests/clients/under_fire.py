"""Produces with acks=all while the test kills a leader, then reads: nothing acknowledged may be missing.

usage: under_fire.py BOOTSTRAP SECONDS [idempotent]
Prints "LOAD" when records flow, and exits 0 if every acknowledged record was read; with an idempotent producer
also only if no record is there twice and those of a partition are in the order in which they were sent.
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition

TOPIC = "under-fire"
PARTITIONS = 3


def produce(bootstrap, seconds, idempotent):
    acknowledged, failed = set(), []

    def delivered(error, message):
        if error:
            failed.append(error)
        else:
            acknowledged.add((message.partition(), message.offset(), message.value()))

    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 2, "message.timeout.ms": 60_000,
                         "enable.idempotence": idempotent})
    end, number, told = time.time() + seconds, 0, False
    while time.time() < end:
        producer.produce(TOPIC, f"{number}".encode(), partition=number % PARTITIONS, on_delivery=delivered)
        number += 1
        producer.poll(0)
        if number % 100 == 0:
            time.sleep(0.02)
        if acknowledged and not told:
            print("LOAD", flush=True)
            told = True
    assert producer.flush(90) == 0, "records still in flight"
    print(f"sent {number}, acknowledged {len(acknowledged)}, failed {len(failed)}", flush=True)
    return acknowledged


def read(bootstrap):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    partitions = [TopicPartition(TOPIC, index, 0) for index in range(PARTITIONS)]
    ends = {p.partition: consumer.get_watermark_offsets(p, timeout=30)[1] for p in partitions}
    consumer.assign(partitions)
    positions, found, patience = dict.fromkeys(ends, 0), set(), time.time() + 60
    while any(positions[index] < ends[index] for index in ends):
        assert time.time() < patience, f"reading stopped at {positions} of {ends}"
        for message in consumer.consume(5000, 1.0):
            if not message.error():
                found.add((message.partition(), message.offset(), message.value()))
                positions[message.partition()] = message.offset() + 1
    consumer.close()
    return found


def check_series(found):
    """The records of each partition are every third number, ascending; what failed may be missing."""
    for index in range(PARTITIONS):
        numbers = [int(value) for _, _, value in sorted(record for record in found if record[0] == index)]
        twice = len(numbers) - len(set(numbers))
        assert twice == 0, f"partition {index} has {twice} records twice"
        assert numbers == sorted(numbers), f"partition {index} is out of order"


idempotent = "idempotent" in sys.argv[3:]
acknowledged = produce(sys.argv[1], float(sys.argv[2]), idempotent)
found = read(sys.argv[1])
lost = acknowledged - found
if idempotent:
    check_series(found)
assert acknowledged, "nothing was acknowledged"
assert not lost, f"{len(lost)} acknowledged records are missing, e.g. {sorted(lost)[:3]}"
