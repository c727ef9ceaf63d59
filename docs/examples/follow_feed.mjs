#!/usr/bin/env node
// Follows a tenant's feed and keeps an inbox of it, in which every event counts once, whatever repeats or is killed.
//
//   node follow_feed.mjs FEED --brokers HOST:PORT[,HOST:PORT]     FEED is `inbox.` and the tenant: inbox.bakery
//
// Prints a JSON object a line for each event that is new. Needs `npm ci` (in this folder) and Node 20.19 or newer.
//
// What any consumer of a feed has to do, and where this one does it:
//
// * A feed repeats: the same event can stand in it more than once. `ce_id` tells             -> Inbox.take
// * The effect, the ids that were seen and the cursor are made durable together, or none of them is: whatever kills this
//   program, it goes on where it was, with nothing missing and nothing twice                 -> Inbox.take
// * A record without a value says that the event of its key was forgotten: delete it         -> Inbox.#changeOf
// * A type that is not known is no error: new ones come                                      -> KNOWN
// * A message can be several events: live, in standby, of a history import. `message` tells  -> entryOf
// * Not every message is for an answer: an imported one is old, in standby another app has the conversation, and what is
//   restricted is kept and used for nothing                                                  -> entryOf
// * A feed keeps seven days. Who is away for longer has missed something                     -> Follower.startOver
//
// Order holds within a conversation (it stays in one partition), not between conversations.
import { once } from 'node:events';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const packages = Promise.all([import('@platformatic/kafka'), import('cloudevents')]);
const [{ Consumer, ListOffsetTimestamps }, { Kafka }] = await packages.catch((cause) => {
  const isMissing = cause.code === 'ERR_MODULE_NOT_FOUND';
  const what = isMissing ? 'run `npm ci` in the folder of this program' : 'this needs Node 20.19 or newer';
  console.error(`follow_feed: ${cause.message}: ${what}`);
  process.exit(1);
});

// What this inbox shows. All types, and what their data holds: docs/events.md.
const KNOWN = new Set([
  'message.received', 'message.sent', 'message.edited', 'message.deleted', 'message.reacted', 'message.status',
  'conversation.read', 'conversation.delivered', 'postback.received', 'referral.received',
  'attachment.stored', 'attachment.failed',
].map((kind) => `org.tidings.${kind}.v1`));
const FOR_AN_ANSWER = new Set(['org.tidings.message.received.v1', 'org.tidings.postback.received.v1']);
const [REFUSED, USAGE, UNREACHABLE] = [1, 2, 3];
const AT_ONCE = 100; // Records that are made durable together.
const LARGEST = 6 * 2 ** 20; // Bytes: more than the largest record of a feed has, so that none is ever left out.
const [OFFSET_OUT_OF_RANGE, IS_CONTROL] = [1, 0x20]; // Of Kafka's protocol.

const say = (what) => console.error(`follow_feed: ${what}`);
const stop = (code, what) => {
  say(what);
  process.exit(code);
};

// An event as a line of the inbox, and its text.
function entryOf(event) {
  const isOpen = event.datacontenttype === 'application/json'; // Else the feed is encrypted: open_feed.mjs opens the value.
  const { content, message = null, imported, standby } = isOpen ? event.data : {};
  const marks = { restricted: event.restricted === 'true', imported: imported === true, standby: standby === true };
  const holding = Object.entries(marks).filter(([, holds]) => holds);
  const entry = {
    id: event.id,
    type: event.type,
    time: event.time,
    conversation: event.subject,
    message,
    kind: isOpen ? content?.kind ?? null : 'encrypted',
    notify: isOpen && FOR_AN_ANSWER.has(event.type) && holding.length === 0,
    ...Object.fromEntries(holding),
  };
  return { entry, text: marks.restricted ? undefined : content?.text };
}

// One file of JSON lines: the effect (`entry`), the ids that were seen, and the offset that a partition is read from next.
//
// A line holds all three of one record, so they cannot come apart; a line that a crash cut short does not count. No text is
// kept here. A service keeps these three in its own database, in the transaction that does its own work. Ids of more than a
// month ago can go: neither the feed nor a replay reaches back so far. One process a file.
class Inbox {
  next = new Map(); // Of each partition.
  seen = new Set();
  entries = new Map();

  constructor(path) {
    if (existsSync(path)) {
      const lines = readFileSync(path, 'utf8').split('\n');
      lines.pop(); // Nothing, or what was cut short.
      for (const line of lines) this.#apply(JSON.parse(line));
    }
    this.path = path;
    this.#rewrite();
  }

  // Takes records in; returns the lines to print, once it is durable that they were taken.
  take(records) {
    const changes = records.map((record) => this.#takeOne(record));
    // What was forgotten has to be gone from the file, too.
    if (changes.some(({ forgotten }) => forgotten)) this.#rewrite();
    else this.#append(changes);
    return changes.filter(({ entry, forgotten }) => entry || forgotten)
      .map(({ id, entry, text, forgotten }) => (forgotten ? { id, forgotten } : { ...entry, text }));
  }

  #takeOne(record) {
    const change = this.#changeOf(record);
    this.#apply(change);
    return change;
  }

  #changeOf({ partition, offset, key, value, headers }) {
    const read = { partition, next: Number(offset) + 1 };
    if (value === null) {
      // The id stays: should its event be read again, it stays forgotten.
      const id = String(key);
      return { ...read, id, forgotten: this.entries.has(id) || undefined };
    }
    let event;
    try {
      event = Kafka.toEvent({ key: String(key), value, headers });
    } catch (cause) { // However it is broken: one strange record must not stop all that follow.
      say(`partition ${partition} offset ${offset} is no CloudEvent, skipped: ${cause.message}`);
      return read;
    }
    if (!KNOWN.has(event.type) || this.seen.has(event.id)) return read;
    return { ...read, id: event.id, ...entryOf(event) };
  }

  #apply({ partition, next, id, entry, forgotten }) {
    if (next !== undefined) this.next.set(partition, next);
    if (id !== undefined) this.seen.add(id);
    if (entry) this.entries.set(id, entry);
    if (forgotten) this.entries.delete(id);
  }

  // Writes what is so now: the name holds the old file or the new one, whole.
  #rewrite() {
    if (this.file !== undefined) closeSync(this.file);
    this.file = openSync(`${this.path}.new`, 'w', 0o600);
    this.#append([
      ...[...this.next].map(([partition, next]) => ({ partition, next })),
      ...[...this.seen].map((id) => ({ id, entry: this.entries.get(id) })),
    ]);
    renameSync(`${this.path}.new`, this.path);
    const folder = openSync(dirname(this.path));
    fsyncSync(folder);
    closeSync(folder);
  }

  #append(changes) {
    const lines = changes.map(({ text, ...kept }) => `${JSON.stringify(kept)}\n`);
    writeFileSync(this.file, lines.join(''));
    fsyncSync(this.file);
  }
}

// Reads all partitions of a feed from where the inbox stands. It joins no consumer group: the cursor is ours.
class Follower {
  position = new Map(); // Of each partition: the offset to ask for. Ahead of the cursor where the log has gaps.
  atEnd = new Set();

  constructor(options) {
    this.options = options;
    this.feed = options.feed;
    this.consumer = new Consumer({ clientId: 'follow_feed', groupId: 'unused', ...connection(options) });
  }

  async run() {
    await this.topic().catch((cause) => {
      this.refuse(cause);
      stop(UNREACHABLE, `no broker answers at ${this.options.brokers}: ${reason(cause)}. Does it want --username, or --tls?`);
    });
    this.inbox = new Inbox(this.options.state ?? `${this.feed}.jsonl`);
    for (let changed = Date.now(), isAway = false; ;) {
      try {
        if (await this.read()) changed = Date.now();
        isAway = false;
      } catch (cause) {
        // Most of what goes wrong passes: a broker that is away, or that is no longer the one to ask.
        this.refuse(cause);
        if (!isAway) say(`waiting: ${reason(cause)}`);
        isAway = true;
        this.consumer.clearMetadata();
        await sleep(1000);
      }
      const isRead = !isAway && this.atEnd.size === this.position.size;
      if (isRead && Date.now() - changed >= this.options.idleSeconds * 1000) return this.consumer.close();
    }
  }

  async topic() {
    return (await this.consumer.metadata({ topics: [this.feed] })).topics.get(this.feed);
  }

  // Asks the broker of each partition for what there is; whether anything came.
  async read() {
    const { id: topicId, partitions } = await this.topic();
    const asked = new Map(); // By broker.
    for (const [partition, { leader }] of partitions.entries()) {
      const fetchOffset = this.position.get(partition) ?? BigInt(this.inbox.next.get(partition) ?? await this.oldest(partition));
      this.position.set(partition, fetchOffset);
      const question = { partition, fetchOffset, partitionMaxBytes: LARGEST, currentLeaderEpoch: -1, lastFetchedEpoch: -1 };
      asked.set(leader, [...asked.get(leader) ?? [], question]);
    }
    const answers = await Promise.all([...asked].map(async ([node, questions]) => {
      const question = { node, maxWaitTime: 500, topics: [{ topicId, partitions: questions }] };
      const { responses } = await this.consumer.fetch(question).catch((cause) => {
        // One partition's trouble, which startOver sees to; the others were answered.
        if (cause.response && find(cause, 'OFFSET_OUT_OF_RANGE')) return cause.response;
        throw cause;
      });
      return responses.flatMap((response) => response.partitions);
    }));
    let hasCome = false;
    for (const answer of answers.flat()) {
      if (answer.errorCode === OFFSET_OUT_OF_RANGE) await this.startOver(answer.partitionIndex);
      else if (answer.errorCode === 0) hasCome = await this.take(answer) || hasCome;
    }
    return hasCome;
  }

  async take({ partitionIndex: partition, records: batches, highWatermark }) {
    const next = this.position.get(partition);
    const records = [];
    for (const { attributes, firstOffset, lastOffsetDelta, records: inside } of batches ?? []) {
      for (const { offsetDelta, key, value, headers } of attributes & IS_CONTROL ? [] : inside) {
        const offset = firstOffset + BigInt(offsetDelta);
        const named = Object.fromEntries(headers.map(([name, header]) => [String(name), String(header)]));
        // A batch comes whole, even when we asked for its middle.
        if (offset >= next) records.push({ partition, offset, key, value, headers: named });
      }
      this.position.set(partition, firstOffset + BigInt(lastOffsetDelta) + 1n);
    }
    this.atEnd[this.position.get(partition) >= highWatermark ? 'add' : 'delete'](partition);
    for (let from = 0; from < records.length; from += AT_ONCE) {
      // After it is durable: whatever kills us here loses a line, never an event. A service that must not lose a
      // notification keeps beside the entry whether it was sent.
      for (const { text, ...line } of this.inbox.take(records.slice(from, from + AT_ONCE))) {
        const printed = process.stdout.write(`${JSON.stringify(this.options.showText ? { ...line, text } : line)}\n`);
        if (!printed) await once(process.stdout, 'drain'); // Go no faster than whoever reads.
      }
    }
    return records.length > 0;
  }

  // The cursor points at nothing: what stood there is too old, or this is another feed than it was.
  async startOver(partition) {
    const [oldest, end] = [await this.oldest(partition), await this.offset(partition, ListOffsetTimestamps.LATEST)];
    const next = this.position.get(partition);
    const missed = next < oldest
      ? `offsets ${next} to ${oldest - 1n} are no longer kept: up to ${oldest - next} events were missed`
      : `offset ${next} is beyond the end, ${end}: the feed was made anew, and events may have been missed`;
    say(`partition ${partition}: ${missed}; going on at the oldest kept, ${oldest}`);
    this.position.set(partition, oldest);
    this.atEnd.delete(partition);
  }

  oldest(partition) {
    return this.offset(partition, ListOffsetTimestamps.EARLIEST);
  }

  async offset(partition, timestamp) {
    const topics = [this.feed];
    return (await this.consumer.listOffsets({ topics, timestamp })).get(this.feed)[partition];
  }

  refuse(cause) {
    if (cause.message?.startsWith('Unknown topic') || find(cause, 'UNKNOWN_TOPIC_OR_PARTITION')) {
      stop(REFUSED, `there is no topic ${this.feed}; \`tidings tenant list\` shows every tenant's feed`);
    }
    if (find(cause, 'TOPIC_AUTHORIZATION_FAILED')) {
      stop(REFUSED, `this user may not read ${this.feed}: it needs READ and DESCRIBE on that topic, and no group`);
    }
    if (find(cause, 'SASL_AUTHENTICATION_FAILED') || find(cause, 'UNSUPPORTED_SASL_MECHANISM')) {
      stop(REFUSED, `the broker does not let us in: ${reason(cause)}`);
    }
    if (!cause.code?.startsWith('PLT_KFK_')) throw cause; // Not the broker's doing: a full disk does not pass.
  }
}

// An error and all that caused it.
const chain = (cause) => (cause ? [cause, ...(cause.errors ?? []).flatMap(chain), ...chain(cause.cause)] : []);
const find = (cause, apiId) => chain(cause).find((link) => link.apiId === apiId);
const reason = (cause) => chain(cause).at(-1).message;

const MECHANISMS = ['SCRAM-SHA-512', 'SCRAM-SHA-256', 'PLAIN'];
const HELP = `usage: node follow_feed.mjs FEED [options]

Follows a tenant's feed and keeps an inbox of it, in which every event counts once, whatever repeats or is killed.
FEED is the topic: \`inbox.\` and the tenant, such as inbox.bakery.

  --brokers HOST:PORT[,…]    (default: 127.0.0.1:9092) [env: FEED_BROKERS]
  --state FILE               inbox, ids and cursor are kept in it (default: FEED.jsonl) [env: FEED_STATE]
  --username NAME            log in with SASL as this user [env: FEED_USERNAME]
  --password-file FILE       its password [env: FEED_PASSWORD_FILE]; or the variable FEED_PASSWORD
  --mechanism NAME           SCRAM-SHA-512 (default), SCRAM-SHA-256, PLAIN [env: FEED_MECHANISM]
  --tls                      use TLS, with Node's authorities
  --ca-file FILE             use TLS, with these authorities [env: FEED_CA_FILE]
  --certificate-file FILE    use TLS, with this certificate of ours [env: FEED_CERTIFICATE_FILE]
  --key-file FILE            the key of that certificate [env: FEED_KEY_FILE]
  --show-text                print what people wrote, too
  --exit-after-idle SECONDS  end once everything was read and nothing new came for this long

Exit codes: 0 ended, 1 refused, 2 wrong usage, 3 not reachable.`;

function options() {
  const text = ['brokers', 'state', 'username', 'password-file', 'mechanism', 'ca-file', 'certificate-file', 'key-file'];
  const flags = ['tls', 'show-text', 'help'];
  const known = {
    ...Object.fromEntries(text.map((name) => [name, { type: 'string' }])),
    ...Object.fromEntries(flags.map((name) => [name, { type: 'boolean' }])),
    'exit-after-idle': { type: 'string', default: 'Infinity' },
  };
  let parsed;
  try {
    parsed = parseArgs({ options: known, allowPositionals: true });
  } catch (cause) {
    stop(USAGE, `${cause.message}\n${HELP}`);
  }
  const { values, positionals: [feed, ...more] } = parsed;
  if (values.help) {
    console.log(HELP);
    process.exit();
  }
  const idleSeconds = Number(values['exit-after-idle']);
  if (!feed || more.length > 0 || Number.isNaN(idleSeconds)) stop(USAGE, HELP);
  const value = (name) => values[name] ?? process.env[`FEED_${name.toUpperCase().replaceAll('-', '_')}`];
  return { value, feed, brokers: value('brokers') ?? '127.0.0.1:9092', state: value('state'), tls: values.tls,
    showText: values['show-text'], idleSeconds };
}

// The settings of the client.
function connection({ value, brokers, tls: isTls }) {
  const settings = { bootstrapBrokers: brokers.split(',') };
  const username = value('username');
  if (username) {
    const file = value('password-file');
    const password = file ? readFileSync(file, 'utf8').trim() : process.env.FEED_PASSWORD;
    if (!password) stop(USAGE, 'a user needs a password: --password-file FILE, or FEED_PASSWORD');
    const mechanism = value('mechanism') ?? MECHANISMS[0];
    if (!MECHANISMS.includes(mechanism)) stop(USAGE, `--mechanism is one of ${MECHANISMS.join(', ')}`);
    settings.sasl = { mechanism, username, password };
  }
  const files = Object.entries({ ca: value('ca-file'), cert: value('certificate-file'), key: value('key-file') });
  const tls = Object.fromEntries(files.filter(([, file]) => file).map(([name, file]) => [name, readFileSync(file)]));
  if (isTls || tls.ca || tls.cert) Object.assign(settings, { tls, tlsServerName: true });
  return settings;
}

// The client tells of some broken connections outside of every call. To end is safe, and then to be started again.
process.on('uncaughtException', (cause) => stop(UNREACHABLE, `the connection broke: ${reason(cause)}`));
process.on('SIGINT', () => process.exit());
process.stdout.on('error', () => process.exit()); // Whoever read our lines has ended.
try {
  await new Follower(options()).run();
} catch (cause) {
  stop(REFUSED, cause.message);
}
