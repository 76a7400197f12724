"""As transactions.py, with aiokafka: copies a topic exactly once, every third transaction is aborted.

usage: transactions_aiokafka.py BOOTSTRAP write|copy|check
"""

import asyncio
import sys
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

RECORDS = 400
BATCH = 10
LIMIT = 60
BOOTSTRAP, PHASE = sys.argv[1:3]
SOURCE, COPY, GROUP = "aio-source", "aio-copy", "aio-copiers"


async def write():
    async with AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, enable_idempotence=True) as producer:
        sent = [await producer.send(SOURCE, str(number).encode(), str(number).encode()) for number in range(RECORDS)]
        await asyncio.gather(*sent)


def consumer(topic, group, **more):
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=BOOTSTRAP,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        **more,
    )


async def positions(reader):
    return {partition: await reader.committed(partition) or 0 for partition in reader.assignment()}


async def rewind(reader):
    for partition, offset in (await positions(reader)).items():
        reader.seek(partition, offset)


async def copy():
    reader = consumer(SOURCE, GROUP, session_timeout_ms=6000, heartbeat_interval_ms=500, max_poll_records=BATCH)
    writer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id="aio", transaction_timeout_ms=10000)
    attempts = 0
    deadline = time.monotonic() + LIMIT
    async with reader, writer:
        while time.monotonic() < deadline:
            polled = await reader.getmany(timeout_ms=500, max_records=BATCH)
            if reader.assignment() and sum((await positions(reader)).values()) == RECORDS:
                return
            records = [record for of_one in polled.values() for record in of_one]
            if not records:
                continue
            attempts += 1
            await writer.begin_transaction()
            try:
                sent = [await writer.send(COPY, record.value, record.key) for record in records]
                await asyncio.gather(*sent)
                ends = {TopicPartition(SOURCE, record.partition): record.offset + 1 for record in records}
                await writer.send_offsets_to_transaction(ends, GROUP)
                if attempts % 3 == 0:
                    await writer.abort_transaction()
                    await rewind(reader)
                    continue
                await writer.commit_transaction()
                print("COPIED", len(records), flush=True)
            except ProducerFenced:
                raise
            except KafkaError as error:
                print("aborting:", repr(error), file=sys.stderr)
                await writer.abort_transaction()
                await rewind(reader)
    sys.exit("not copied in time")


async def check():
    found = []
    deadline = time.monotonic() + LIMIT
    last = time.monotonic()
    async with consumer(COPY, "aio-checkers") as reader:
        while time.monotonic() < deadline and (len(found) < RECORDS or time.monotonic() < last + 1):
            for of_one in (await reader.getmany(timeout_ms=500)).values():
                found += [int(record.value) for record in of_one]
                last = time.monotonic()
    assert sorted(found) == list(range(RECORDS)), f"{len(found)} records: {sorted(found)}"


asyncio.run({"write": write, "copy": copy, "check": check}[PHASE]())
