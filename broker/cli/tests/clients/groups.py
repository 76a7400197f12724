"""Members of one group share a topic; one dies without a word and the other takes over.

usage: groups.py confluent|confluent-consumer|kafka-python BOOTSTRAP share|continue|member
"share" writes records, reads them by two members, kills one and commits; "continue" finds every partition where the
group left it, reads one more record from each and commits that.
"""

import subprocess
import sys
import time

PARTITIONS = 4
RECORDS = 25
LIMIT = 60
LIBRARY, BOOTSTRAP, PHASE = sys.argv[1:4]
TOPIC, GROUP = "shared", "sharers"


class Confluent:
    def __init__(self):
        from confluent_kafka import Consumer

        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
        # In the new protocol the broker says how long a session is and how often to call.
        of_protocol = {
            "confluent": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 300},
            "confluent-consumer": {"group.protocol": "consumer"},
        }
        self.consumer = Consumer(settings | of_protocol[LIBRARY])
        self.consumer.subscribe([TOPIC])

    def poll(self):
        message = self.consumer.poll(0.2)
        return [(message.partition(), message.offset())] if message and not message.error() else []

    def assigned(self):
        return {partition.partition for partition in self.consumer.assignment()}

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def committed(self):
        return {p.partition: p.offset for p in self.consumer.committed(self.consumer.assignment(), timeout=LIMIT)}

    def close(self):
        self.consumer.close()


class KafkaPython:
    def __init__(self):
        from kafka import KafkaConsumer

        self.consumer = KafkaConsumer(
            TOPIC,
            bootstrap_servers=BOOTSTRAP,
            group_id=GROUP,
            auto_offset_reset="earliest",
            session_timeout_ms=6000,
            heartbeat_interval_ms=300,
            enable_auto_commit=False,
            max_poll_records=1,
        )

    def poll(self):
        polled = self.consumer.poll(200)
        return [(record.partition, record.offset) for records in polled.values() for record in records]

    def assigned(self):
        return {partition.partition for partition in self.consumer.assignment()}

    def commit(self):
        self.consumer.commit()

    def committed(self):
        return {p.partition: self.consumer.committed(p) for p in self.consumer.assignment()}

    def close(self):
        self.consumer.close()


def member():
    return KafkaPython() if LIBRARY == "kafka-python" else Confluent()


def write(count):
    if LIBRARY != "kafka-python":
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": BOOTSTRAP})
        for number in range(count * PARTITIONS):
            producer.produce(TOPIC, str(number).encode(), partition=number % PARTITIONS)
        assert producer.flush(LIMIT) == 0
    else:
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP, acks="all", enable_idempotence=False)
        sent = [producer.send(TOPIC, str(n).encode(), partition=n % PARTITIONS) for n in range(count * PARTITIONS)]
        for future in sent:
            future.get(LIMIT)


def until(what, condition, members):
    end, got = time.time() + LIMIT, []
    while not condition(got):
        assert time.time() < end, f"{what}: {[m.assigned() for m in members]}, {len(got)} records"
        for one in members:
            got += one.poll()
    return got


EVERYTHING = set(range(PARTITIONS))
if PHASE == "member":
    one = member()
    while True:
        one.poll()
elif PHASE == "share":
    # Partitions of the topic: the broker's default may differ.
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    end = time.time() + LIMIT
    while True:
        try:
            admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(LIMIT)
            break
        except KafkaException as error:
            # Not all brokers have registered yet.
            assert error.args[0].name() == "INVALID_REPLICATION_FACTOR" and time.time() < end, error
            time.sleep(0.5)
    time.sleep(0.5)
    write(RECORDS)
    first = member()
    until("the first alone", lambda _: first.assigned() == EVERYTHING, [first])
    second = subprocess.Popen([sys.executable, __file__, LIBRARY, BOOTSTRAP, "member"])
    until("sharing", lambda _: 0 < len(first.assigned()) < PARTITIONS, [first])
    # It says nothing any more: its session ends.
    second.kill()
    second.wait()
    until("taking over", lambda _: first.assigned() == EVERYTHING, [first])
    empty = 0
    while empty < 15:
        empty = 0 if first.poll() else empty + 1
    first.commit()
    committed = first.committed()
    assert set(committed.values()) == {RECORDS}, committed
    first.close()
else:
    one = member()
    until("assignment", lambda _: one.assigned() == EVERYTHING, [one])
    before = one.committed()
    assert all(offset and offset >= RECORDS for offset in before.values()), f"commits were lost: {before}"
    write(1)
    seen = until("new records", lambda got: {partition for partition, _ in got} == EVERYTHING, [one])
    assert all(offset >= before[partition] for partition, offset in seen), f"{seen} begins before {before}"
    one.commit()
    after = one.committed()
    assert all(after[partition] > before[partition] for partition in EVERYTHING), f"{before} and then {after}"
    one.close()
