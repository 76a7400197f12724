import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.stream.IntStream;

import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Copies a topic exactly once with Apache Kafka's own client: records and the group's offsets in one transaction, every
 * third of which is aborted. The phases are those of transactions.py.
 *
 * usage: java -cp 'JARS/*' Copy.java BOOTSTRAP write|copy|check classic|consumer
 */
public class Copy {
    static final int RECORDS = 400;
    static final Duration LIMIT = Duration.ofSeconds(60);
    static final String SOURCE = "java-source";
    static final String COPY = "java-copy";

    final String bootstrap;
    final String protocol;

    Copy(String bootstrap, String protocol) {
        this.bootstrap = bootstrap;
        this.protocol = protocol;
    }

    KafkaProducer<String, String> producer(Map<String, String> more) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        settings.putAll(more);
        return new KafkaProducer<>(settings);
    }

    KafkaConsumer<String, String> consumer(String group, Map<String, String> more) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("group.id", group);
        settings.put("group.protocol", protocol);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("isolation.level", "read_committed");
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.putAll(more);
        return new KafkaConsumer<>(settings);
    }

    void write() throws Exception {
        try (KafkaProducer<String, String> producer = producer(Map.of("compression.type", "zstd"))) {
            for (int number = 0; number < RECORDS; number++) {
                producer.send(new ProducerRecord<>(SOURCE, Integer.toString(number), Integer.toString(number)));
            }
            producer.flush();
        }
    }

    long copied(KafkaConsumer<String, String> reader) {
        long sum = 0;
        for (OffsetAndMetadata offset : reader.committed(reader.assignment(), LIMIT).values()) {
            sum += offset == null ? 0 : offset.offset();
        }
        return sum;
    }

    void rewind(KafkaConsumer<String, String> reader) {
        reader.committed(reader.assignment(), LIMIT).forEach((partition, offset) ->
            reader.seek(partition, offset == null ? 0 : offset.offset()));
    }

    void copy() {
        // A static member of the classic protocol, so that nobody waits for the session of one that was killed; in the
        // new protocol its name is not free before that session ends (UNRELEASED_INSTANCE_ID).
        Map<String, String> member = new HashMap<>(Map.of("max.poll.records", "10"));
        if (protocol.equals("classic")) {
            member.putAll(Map.of("group.instance.id", "copier", "session.timeout.ms", "6000"));
        }
        Map<String, String> identity = Map.of("transactional.id", "copier", "transaction.timeout.ms", "10000");
        long deadline = System.nanoTime() + LIMIT.toNanos();
        int attempts = 0;
        try (KafkaConsumer<String, String> reader = consumer("java-copiers-" + protocol, member);
                KafkaProducer<String, String> writer = producer(identity)) {
            reader.subscribe(List.of(SOURCE));
            writer.initTransactions();
            while (System.nanoTime() < deadline) {
                ConsumerRecords<String, String> records = reader.poll(Duration.ofMillis(500));
                if (!reader.assignment().isEmpty() && copied(reader) == RECORDS) {
                    return;
                }
                if (records.isEmpty()) {
                    continue;
                }
                attempts++;
                writer.beginTransaction();
                try {
                    Map<TopicPartition, OffsetAndMetadata> ends = new HashMap<>();
                    for (ConsumerRecord<String, String> record : records) {
                        writer.send(new ProducerRecord<>(COPY, record.key(), record.value()));
                        ends.put(new TopicPartition(SOURCE, record.partition()), new OffsetAndMetadata(record.offset() + 1));
                    }
                    writer.sendOffsetsToTransaction(ends, reader.groupMetadata());
                    if (attempts % 3 == 0) {
                        writer.abortTransaction();
                        rewind(reader);
                        continue;
                    }
                    writer.commitTransaction();
                    System.out.println("COPIED " + records.count());
                } catch (ProducerFencedException fenced) {
                    throw fenced;
                } catch (KafkaException error) {
                    System.err.println("aborting: " + error);
                    writer.abortTransaction();
                    rewind(reader);
                }
            }
        }
        throw new IllegalStateException("not copied in time");
    }

    void check() {
        List<Integer> found = new ArrayList<>();
        long deadline = System.nanoTime() + LIMIT.toNanos();
        long last = System.nanoTime();
        try (KafkaConsumer<String, String> reader = consumer("java-checkers-" + protocol, Map.of())) {
            reader.subscribe(List.of(COPY));
            while (System.nanoTime() < deadline && (found.size() < RECORDS || System.nanoTime() < last + 1_000_000_000L)) {
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(500))) {
                    found.add(Integer.valueOf(record.value()));
                    last = System.nanoTime();
                }
            }
        }
        found.sort(null);
        if (!found.equals(IntStream.range(0, RECORDS).boxed().toList())) {
            throw new IllegalStateException(found.size() + " records: " + found);
        }
    }

    public static void main(String[] arguments) throws Exception {
        Copy copy = new Copy(arguments[0], arguments[2]);
        switch (arguments[1]) {
            case "write" -> copy.write();
            case "copy" -> copy.copy();
            case "check" -> copy.check();
            default -> throw new IllegalArgumentException(arguments[1]);
        }
    }
}
