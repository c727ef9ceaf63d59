#!/usr/bin/env python3
"""Follows a tenant's feed and keeps an inbox of it, in which every event counts once, whatever repeats or is killed.

  follow_feed.py FEED --brokers HOST:PORT[,HOST:PORT]     FEED is `inbox.` and the tenant: inbox.bakery

Prints a JSON object a line for each event that is new. Needs `pip install -r requirements.txt` (in this folder).

What any consumer of a feed has to do, and where this one does it:

* A feed repeats: the same event can stand in it more than once. `ce_id` tells             -> Inbox.take
* The effect, the ids that were seen and the cursor are committed together, or none of them is: whatever kills this
  program, it goes on where it was, with nothing missing and nothing twice                 -> Inbox.take
* A record without a value says that the event of its key was forgotten: delete it         -> Inbox.take_one
* A type that is not known is no error: new ones come                                      -> KNOWN
* A message can be several events: live, in standby, of a history import. `message` tells  -> entry_of
* Not every message is for an answer: an imported one is old, in standby another app has the conversation, and what is
  restricted is kept and used for nothing                                                  -> entry_of
* A feed keeps seven days. Who is away for longer has missed something                     -> Follower.start_over

Order holds within a conversation (it stays in one partition), not between conversations.
"""
import argparse
import json
import math
import os
import pathlib
import sqlite3
import sys
import time

try:
    from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
    from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition
except ImportError as cause:
    sys.exit(f"follow_feed: {cause.name} is missing: pip install -r {pathlib.Path(__file__).with_name('requirements.txt')}")

# What this inbox shows. All types, and what their data holds: docs/events.md.
KNOWN = {f"org.tidings.{kind}.v1" for kind in [
    "message.received", "message.sent", "message.edited", "message.deleted", "message.reacted", "message.status",
    "conversation.read", "conversation.delivered", "postback.received", "referral.received",
    "attachment.stored", "attachment.failed",
]}
FOR_AN_ANSWER = {"org.tidings.message.received.v1", "org.tidings.postback.received.v1"}
REFUSED, USAGE, UNREACHABLE = 1, 2, 3
PATIENCE_SECONDS = 10
AT_ONCE = 100  # Records that are committed together.


def say(what):
    print(f"follow_feed: {what}", file=sys.stderr, flush=True)


def stop(code, what):
    say(what)
    sys.exit(code)


def entry_of(event):
    """An event as a line of the inbox, and its text."""
    data = event.get_data()
    is_open = isinstance(data, dict)  # Else the feed is encrypted: open_feed.py opens the value.
    data = data if is_open else {}
    content = data.get("content") or {}
    when = event.get_time()
    marks = {
        "restricted": event.get_extension("restricted") == "true",
        "imported": data.get("imported") is True,
        "standby": data.get("standby") is True,
    }
    entry = {
        "id": event.get_id(),
        "type": event.get_type(),
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None,
        "conversation": event.get_subject(),
        "message": data.get("message"),
        "kind": content.get("kind") if is_open else "encrypted",
        "notify": is_open and event.get_type() in FOR_AN_ANSWER and not any(marks.values()),
        **{mark: True for mark, holds in marks.items() if holds},
    }
    return entry, None if marks["restricted"] else content.get("text")


class Inbox:
    """One SQLite file: the effect (`inbox`), the ids that were seen, and the offset that each partition is read from next.

    No text is kept here. A service keeps these three in its own database, in the transaction that does its own work. Ids
    of more than a month ago can go: neither the feed nor a replay reaches back so far.
    """

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA secure_delete = ON;
            CREATE TABLE IF NOT EXISTS inbox (id TEXT NOT NULL, entry TEXT NOT NULL);
            CREATE INDEX IF NOT EXISTS inbox_id ON inbox (id);
            CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS cursor (feed TEXT, partition INTEGER, next INTEGER, PRIMARY KEY (feed, partition));
        """)

    def cursor(self, feed):
        return dict(self.db.execute("SELECT partition, next FROM cursor WHERE feed = ?", [feed]))

    def take(self, records):
        """Takes records in; returns the lines to print, once it is durable that they were taken."""
        lines = []
        with self.db:  # One transaction.
            for record in records:
                lines.append(self.take_one(record))
                self.db.execute("REPLACE INTO cursor VALUES (?, ?, ?)",
                                [record.topic(), record.partition(), record.offset() + 1])
        return [line for line in lines if line]

    def take_one(self, record):
        if record.value() is None:
            # The id stays: should its event be read again, it stays forgotten.
            forgotten = (record.key() or b"").decode()
            self.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [forgotten])
            deleted = self.db.execute("DELETE FROM inbox WHERE id = ?", [forgotten]).rowcount
            return {"id": forgotten, "forgotten": True} if deleted else None
        try:
            event = from_kafka_event(KafkaMessage(dict(record.headers() or []), record.key(), record.value()))
        except Exception as cause:  # However it is broken: one strange record must not stop all that follow.
            say(f"partition {record.partition()} offset {record.offset()} is no CloudEvent, skipped: {cause}")
            return None
        if event.get_type() not in KNOWN:
            return None
        if not self.db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [event.get_id()]).rowcount:
            return None  # A repeat.
        entry, text = entry_of(event)
        self.db.execute("INSERT INTO inbox VALUES (?, ?)", [event.get_id(), json.dumps(entry)])
        return {**entry, "text": text} if text is not None else entry


class Follower:
    """Reads all partitions of a feed from where the inbox stands. It joins no consumer group: the cursor is ours."""

    def __init__(self, options):
        self.feed, self.options = options.feed, options
        self.trouble, self.is_away = None, False
        self.consumer = Consumer({**connection(options), "error_cb": self.on_error})

    def on_error(self, error):
        """What went wrong in the background. That all brokers are away says less than why the last one is."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self.trouble:
            self.trouble = error

    def run(self):
        partitions = self.partitions()
        self.inbox = Inbox(self.options.state or f"{self.feed}.sqlite")
        cursor = self.inbox.cursor(self.feed)
        self.consumer.assign([TopicPartition(self.feed, partition, cursor.get(partition, OFFSET_BEGINNING))
                              for partition in partitions])
        self.read_to, changed = {}, time.monotonic()  # read_to: the ends that were reached.
        while time.monotonic() - changed < self.options.exit_after_idle or not self.is_at_end(partitions):
            records = [record for record in self.consumer.consume(AT_ONCE, timeout=0.2) if self.is_event(record)]
            self.check()
            if not records:
                continue
            self.is_away, changed = False, time.monotonic()
            # After the commit: whatever kills us here loses a line, never an event. A service that must not lose a
            # notification keeps beside the entry whether it was sent.
            for line in self.inbox.take(records):
                if not self.options.show_text:
                    line.pop("text", None)
                print(json.dumps(line, ensure_ascii=False), flush=True)

    def partitions(self):
        try:
            topic = self.consumer.list_topics(self.feed, timeout=PATIENCE_SECONDS).topics[self.feed]
        except KafkaException as cause:
            self.consumer.poll(0)  # Serves on_error, which knows more.
            self.refuse(self.trouble)
            why = (self.trouble or cause.args[0]).str()
            stop(UNREACHABLE, f"no broker answers at {self.options.brokers}: {why}. Does it want --username, or --tls?")
        self.refuse(topic.error)
        return sorted(topic.partitions)

    def is_at_end(self, partitions):
        try:
            return all(self.read_to.get(partition, -1) >= self.bounds(partition)[1] for partition in partitions)
        except KafkaException:
            return False  # The broker is away: who knows.

    def bounds(self, partition):
        """The oldest offset that is kept, and the end."""
        return self.consumer.get_watermark_offsets(TopicPartition(self.feed, partition), timeout=PATIENCE_SECONDS)

    def is_event(self, record):
        error = record.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self.read_to[record.partition()] = record.offset()
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self.start_over(record.partition())
        elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:  # Of the group that we do not join.
            self.trouble = error
        return False

    def start_over(self, partition):
        """The cursor points at nothing: what stood there is too old, or this is another feed than it was."""
        oldest, end = self.bounds(partition)
        next_offset = self.inbox.cursor(self.feed).get(partition, 0)
        if next_offset < oldest:
            missed = f"offsets {next_offset} to {oldest - 1} are no longer kept: up to {oldest - next_offset} events were missed"
        else:
            missed = f"offset {next_offset} is beyond the end, {end}: the feed was made anew, and events may have been missed"
        say(f"partition {partition}: {missed}; going on at the oldest kept, {oldest}")
        self.read_to.pop(partition, None)
        place = TopicPartition(self.feed, partition, oldest)
        self.consumer.incremental_unassign([place])
        self.consumer.incremental_assign([place])

    def check(self):
        """Most of what goes wrong passes, and the client tries again by itself."""
        error, self.trouble = self.trouble, None
        if error is None:
            return
        self.refuse(error)
        if not self.is_away:
            self.is_away = True
            say(f"waiting: {error.str()}")

    def refuse(self, error):
        code = error.code() if error else None
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
            stop(REFUSED, f"there is no topic {self.feed}; `tidings tenant list` shows every tenant's feed")
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            stop(REFUSED, f"this user may not read {self.feed}: it needs READ and DESCRIBE on that topic, and no group")
        if code in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            stop(REFUSED, f"the broker does not let us in: {error.str()}")


def connection(options):
    """The settings of librdkafka."""
    is_tls = options.tls or options.ca_file or options.certificate_file
    settings = {
        "bootstrap.servers": options.brokers,
        "security.protocol": ("SASL_" if options.username else "") + ("SSL" if is_tls else "PLAINTEXT"),
        "group.id": "unused",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",  # Never skip in silence: start_over says what was missed.
        "allow.auto.create.topics": False,
        "log_level": 0,  # What matters comes to on_error.
    }
    if options.username:
        password = options.password_file.read_text().strip() if options.password_file else os.environ.get("FEED_PASSWORD")
        if not password:
            stop(USAGE, "a user needs a password: --password-file FILE, or FEED_PASSWORD")
        settings |= {"sasl.mechanism": options.mechanism, "sasl.username": options.username, "sasl.password": password}
    files = {"ssl.ca.location": options.ca_file, "ssl.certificate.location": options.certificate_file,
             "ssl.key.location": options.key_file}
    return settings | {name: str(path) for name, path in files.items() if path}


def options():
    usage, about = __doc__.split("\n\n", 1)[0], "Exit codes: 0 ended, 1 refused, 2 wrong usage, 3 not reachable."
    parser = argparse.ArgumentParser(description=usage, epilog=about)

    def option(name, help, **more):
        variable = "FEED_" + name.upper().replace("-", "_")
        default = os.environ.get(variable, more.pop("default", None))
        parser.add_argument(f"--{name}", default=default, help=f"{help} [env: {variable}]", **more)

    parser.add_argument("feed", metavar="FEED", help="the topic: `inbox.` and the tenant, such as inbox.bakery")
    option("brokers", "HOST:PORT, several with commas between (default: 127.0.0.1:9092)", default="127.0.0.1:9092")
    option("state", "the SQLite file that inbox, ids and cursor are kept in (default: FEED.sqlite)", type=pathlib.Path)
    option("username", "log in with SASL as this user")
    option("password-file", "its password; or the variable FEED_PASSWORD", type=pathlib.Path)
    option("mechanism", "SCRAM-SHA-512 (default), SCRAM-SHA-256, PLAIN", default="SCRAM-SHA-512")
    parser.add_argument("--tls", action="store_true", help="use TLS, with the system's authorities")
    option("ca-file", "use TLS, with these authorities", type=pathlib.Path)
    option("certificate-file", "use TLS, with this certificate of ours", type=pathlib.Path)
    option("key-file", "the key of that certificate", type=pathlib.Path)
    parser.add_argument("--show-text", action="store_true", help="print what people wrote, too")
    parser.add_argument("--exit-after-idle", type=float, default=math.inf, metavar="SECONDS",
                        help="end once everything was read and nothing new came for this long")
    return parser.parse_args()


def main():
    chosen = options()
    try:
        Follower(chosen).run()
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:  # Whoever read our lines has ended.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except sqlite3.Error as cause:
        stop(REFUSED, f"the state file: {cause}")
    except KafkaException as cause:
        stop(REFUSED, cause.args[0].str())
    except OSError as cause:
        stop(REFUSED, cause)


if __name__ == "__main__":
    main()
