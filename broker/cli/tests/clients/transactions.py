"""Copies a topic exactly once: records and the group's offsets in one transaction, every third of which is aborted.

usage: transactions.py confluent|kafka-python BOOTSTRAP write|copy|check
"write" fills the topic; "copy" goes on where the group is until all of it is copied and says so after each commit;
"check" reads the copy, committed records only: each is there once.
"""

import sys
import time

RECORDS = 400
BATCH = 10
LIMIT = 60
LIBRARY, BOOTSTRAP, PHASE = sys.argv[1:4]
SOURCE, COPY, GROUP = f"{LIBRARY}-source", f"{LIBRARY}-copy", f"{LIBRARY}-copiers"


class Aborted(Exception):
    """This transaction came to nothing; the next one may begin."""


class Confluent:
    """What a copier needs of librdkafka. Records are (partition, offset, value)."""

    def __init__(self, group, member):
        from confluent_kafka import Consumer

        settings = {
            "bootstrap.servers": BOOTSTRAP,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
        # A static member, so that nobody waits for the session of one that was killed.
        static = {"group.instance.id": member, "session.timeout.ms": 6000} if member else {}
        self.reader = Consumer(settings | static)

    def subscribe(self, topic):
        self.reader.subscribe([topic])

    def poll(self, count):
        return [(it.partition(), it.offset(), it.value()) for it in self.reader.consume(count, timeout=0.5) if not it.error()]

    def positions(self):
        committed = self.patiently(lambda: self.reader.committed(self.reader.assignment(), timeout=LIMIT))
        return {it.partition: max(it.offset, 0) for it in committed}

    def rewind(self):
        from confluent_kafka import TopicPartition

        for partition, offset in self.positions().items():
            self.reader.seek(TopicPartition(SOURCE, partition, offset))

    def close(self):
        self.reader.close()

    def start_writer(self):
        from confluent_kafka import Producer

        settings = {"bootstrap.servers": BOOTSTRAP, "transactional.id": "copier", "transaction.timeout.ms": 10000}
        self.writer = Producer(settings)
        self.patiently(lambda: self.writer.init_transactions(LIMIT))

    def transaction(self, records, commit):
        from confluent_kafka import KafkaException, TopicPartition

        self.writer.begin_transaction()
        try:
            for _, _, value in records:
                self.writer.produce(COPY, value=value)
            ends = {partition: offset + 1 for partition, offset, _ in records}
            offsets = [TopicPartition(SOURCE, partition, offset) for partition, offset in ends.items()]
            metadata = self.reader.consumer_group_metadata()
            self.patiently(lambda: self.writer.send_offsets_to_transaction(offsets, metadata, LIMIT))
            if commit:
                self.patiently(lambda: self.writer.commit_transaction(LIMIT))
                return
        except KafkaException as error:
            if not error.args[0].txn_requires_abort():
                raise
        self.patiently(lambda: self.writer.abort_transaction(LIMIT))
        raise Aborted

    @staticmethod
    def patiently(action):
        from confluent_kafka import KafkaError, KafkaException

        # What librdkafka hands on when a coordinator goes elsewhere, without calling it retriable.
        moved = (
            KafkaError.NOT_COORDINATOR,
            KafkaError.COORDINATOR_NOT_AVAILABLE,
            KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        )
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                return action()
            except KafkaException as error:
                again = error.args[0].code() in moved or error.args[0].retriable()
                if not again or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    @staticmethod
    def fill(values):
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
        for value in values:
            producer.produce(SOURCE, value=value)
        assert producer.flush(LIMIT) == 0


class KafkaPython:
    """The same with kafka-python."""

    def __init__(self, group, member):
        from kafka import KafkaConsumer

        static = {"group_instance_id": member, "session_timeout_ms": 6000, "heartbeat_interval_ms": 500} if member else {}
        self.reader = KafkaConsumer(
            bootstrap_servers=BOOTSTRAP.split(","),
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            **static,
        )

    def subscribe(self, topic):
        self.reader.subscribe([topic])

    def poll(self, count):
        polled = self.reader.poll(timeout_ms=500, max_records=count)
        return [(it.partition, it.offset, it.value) for of_one in polled.values() for it in of_one]

    def positions(self):
        return {it.partition: self.reader.committed(it) or 0 for it in self.reader.assignment()}

    def rewind(self):
        from kafka import TopicPartition

        for partition, offset in self.positions().items():
            self.reader.seek(TopicPartition(SOURCE, partition), offset)

    def close(self):
        self.reader.close()

    def start_writer(self):
        from kafka import KafkaProducer

        servers = BOOTSTRAP.split(",")
        self.writer = KafkaProducer(bootstrap_servers=servers, transactional_id="copier", transaction_timeout_ms=10000)
        self.writer.init_transactions()

    def transaction(self, records, commit):
        from kafka import TopicPartition
        from kafka.errors import KafkaError, ProducerFencedError
        from kafka.structs import OffsetAndMetadata

        self.writer.begin_transaction()
        try:
            sent = [self.writer.send(COPY, value) for _, _, value in records]
            for future in sent:
                future.get(LIMIT)
            ends = {TopicPartition(SOURCE, it): OffsetAndMetadata(offset + 1, "", -1) for it, offset, _ in records}
            self.writer.send_offsets_to_transaction(ends, self.reader.group_metadata())
            if commit:
                self.writer.commit_transaction()
                return
        except ProducerFencedError:
            raise
        except KafkaError as error:
            print("aborting:", repr(error), file=sys.stderr)
        self.writer.abort_transaction()
        raise Aborted

    @staticmethod
    def fill(values):
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=BOOTSTRAP.split(","), enable_idempotence=True)
        for future in [producer.send(SOURCE, value) for value in values]:
            future.get(LIMIT)


CLIENT = {"confluent": Confluent, "kafka-python": KafkaPython}[LIBRARY]


def write():
    CLIENT.fill([str(number).encode() for number in range(RECORDS)])


def copy():
    client = CLIENT(GROUP, "copier")
    client.subscribe(SOURCE)
    client.start_writer()
    attempts = 0
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        records = client.poll(BATCH)
        if sum(client.positions().values()) == RECORDS:
            client.close()
            return
        if not records:
            continue
        attempts += 1
        try:
            client.transaction(records, commit=attempts % 3 != 0)
            print("COPIED", len(records), flush=True)
        except Aborted:
            client.rewind()
    sys.exit("not copied in time")


def check():
    client = CLIENT(f"{LIBRARY}-checkers", None)
    client.subscribe(COPY)
    found = []
    deadline = time.monotonic() + LIMIT
    last = time.monotonic()
    while time.monotonic() < deadline and (len(found) < RECORDS or time.monotonic() < last + 1):
        for _, _, value in client.poll(RECORDS):
            found.append(int(value))
            last = time.monotonic()
    assert sorted(found) == list(range(RECORDS)), f"{len(found)} records: {sorted(found)}"
    client.close()


{"write": write, "copy": copy, "check": check}[PHASE]()
