"""Copies a topic exactly once: records and the group's offsets in one transaction, every third of which is aborted.

usage: transactions.py BOOTSTRAP write|copy|check
"write" fills the topic; "copy" goes on where the group is until all of it is copied and says so after each commit;
"check" reads the copy, committed records only: each is there once.
"""

import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

RECORDS = 400
BATCH = 10
LIMIT = 60
BOOTSTRAP, PHASE = sys.argv[1:3]
SOURCE, COPY, GROUP = "source", "copy", "copiers"
# What librdkafka hands on when a coordinator goes elsewhere, without calling it retriable.
MOVED = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)


def write():
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
    for number in range(RECORDS):
        producer.produce(SOURCE, value=str(number))
    assert producer.flush(LIMIT) == 0


def consumer(group, **more):
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
    return Consumer(settings | more)


def patiently(action):
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return action()
        except KafkaException as error:
            moved = error.args[0].code() in MOVED
            if not (moved or error.args[0].retriable()) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def positions(reader):
    committed = patiently(lambda: reader.committed(reader.assignment(), timeout=LIMIT))
    return {it.partition: max(it.offset, 0) for it in committed}


def copy():
    # A static member, so that nobody waits for the session of one that was killed.
    reader = consumer(GROUP, **{"group.instance.id": "copier", "session.timeout.ms": 6000})
    reader.subscribe([SOURCE])
    writer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": "copier", "transaction.timeout.ms": 10000})
    patiently(lambda: writer.init_transactions(LIMIT))
    attempts = 0
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if reader.assignment() and sum(positions(reader).values()) == RECORDS:
            reader.close()
            return
        messages = [it for it in reader.consume(BATCH, timeout=0.5) if not it.error()]
        if not messages:
            continue
        attempts += 1
        writer.begin_transaction()
        try:
            for message in messages:
                writer.produce(COPY, value=message.value())
            ends = {it.partition(): it.offset() + 1 for it in messages}
            offsets = [TopicPartition(SOURCE, partition, offset) for partition, offset in ends.items()]
            metadata = reader.consumer_group_metadata()
            patiently(lambda: writer.send_offsets_to_transaction(offsets, metadata, LIMIT))
            if attempts % 3 == 0:
                raise InterruptedError("every third")
            patiently(lambda: writer.commit_transaction(LIMIT))
            print("COPIED", len(messages), flush=True)
        except (KafkaException, InterruptedError) as error:
            if isinstance(error, KafkaException) and not error.args[0].txn_requires_abort():
                raise
            patiently(lambda: writer.abort_transaction(LIMIT))
            for partition, offset in positions(reader).items():
                reader.seek(TopicPartition(SOURCE, partition, offset))
    sys.exit("not copied in time")


def check():
    reader = consumer("checkers")
    reader.subscribe([COPY])
    found = []
    deadline = time.monotonic() + LIMIT
    last = time.monotonic()
    while time.monotonic() < deadline and (len(found) < RECORDS or time.monotonic() < last + 1):
        for message in reader.consume(RECORDS, timeout=0.5):
            assert not message.error(), message.error()
            found.append(int(message.value()))
            last = time.monotonic()
    assert sorted(found) == list(range(RECORDS)), f"{len(found)} records: {sorted(found)}"
    reader.close()


{"write": write, "copy": copy, "check": check}[PHASE]()
