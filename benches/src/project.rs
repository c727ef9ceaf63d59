//! B8: the projector on a full log: how fast, and what it costs PostgreSQL.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use control::{ControlPlane, Partitions, ensure_topics};
use eventlog::{EmbeddedConfig, EventLog, Header, Record, Topic, TopicPartition};
use projector::{Config, Projector};
use prometheus::Registry;
use schemas::{EventContext, IdKey, RawPosition, RawRef, SubjectId, Topics, shallow_partition, split};
use seal::{Context, Key};
use service::{Clock, Readiness};
use store::{ViewsDb, ViewsRole};
use testkit::Postgres;
use tokio_util::sync::CancellationToken;

use crate::corpus;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many events
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// A script for pgbench with one transaction per event, run on the same server afterwards
    #[arg(long)]
    naive: PathBuf,
    /// Transactions of it
    #[arg(long, default_value_t = 5_000)]
    naive_events: u64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let postgres = Postgres::start().await?;
    let url: String = postgres.database().await?;
    store::migrate_views(&url.clone().into()).await?;
    let log = EventLog::embedded(EmbeddedConfig::new(folder.path().join("log"))).await?;
    let topics = Topics::default();
    ensure_topics(&log, &topics, Partitions::default()).await?;
    let events = fill(&log, &topics, args.events).await?;

    let plane = ControlPlane::open(log.clone(), &Topic::new(topics.control())?).await?;
    let views = ViewsDb::connect(&url.clone().into(), ViewsRole::Projector, 12).await?;
    let config = Config { audit_key: folder.path().join("audit-key"), ..Config::default() };
    let projector = Projector::new(
        config,
        log.clone(),
        plane,
        views.clone(),
        &topics,
        &Registry::new(),
        &Readiness::default(),
        Clock::system(),
    )?;
    let stop = CancellationToken::new();
    let wal = wal_bytes(&url)?;
    let began = Instant::now();
    let running = tokio::spawn(projector.run(stop.clone()));
    loop {
        let offsets = views.offsets().await?;
        let done = |projection: &str| -> u64 {
            offsets
                .iter()
                .filter(|at| at.projection == projection && at.topic == "events")
                .map(|at| at.next)
                .sum()
        };
        // What was said of deliveries has to be folded too.
        if done("conversation") >= events
            && done("coverage") >= events
            && views.unfolded_coverage().await?.is_none()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    let wal = wal_bytes(&url)? - wal;
    stop.cancel();
    running.await??;

    let naive: String = postgres.database().await?;
    let rate = pgbench(&naive, &args)?;
    #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
    let (per_second, wal_per_event) = (events as f64 / seconds, wal as f64 / events as f64);
    println!(
        "{}",
        serde_json::json!({"events": events, "events_per_s": per_second, "wal_bytes_per_event": wal_per_event, "naive_per_s": rate})
    );
    Ok(())
}

/// Puts events of the mix into `events`, as the router would.
async fn fill(log: &EventLog, topics: &Topics, wanted: u64) -> anyhow::Result<u64> {
    let topic = Topic::new(topics.events())?;
    let partitions = log.partitions(&topic).await?.context("the topic was just made")?;
    let (tenant, id_key) = ("bench".parse()?, IdKey::new(&[7; 32]));
    let cipher = Key::generate()?.cipher(1);
    let (mut made, mut pending) = (0, Vec::new());
    // Deliveries stand in `raw` as ingest spreads them.
    let mut offsets = vec![0; partitions as usize];
    for body in corpus::mix(wanted) {
        let partition = shallow_partition(&body, partitions);
        let Some(offset) = offsets.get_mut(partition as usize) else { continue };
        let Ok(split) = split(&body) else { continue };
        let count = u32::try_from(split.items.len())?;
        for item in split.items {
            let Some(asset) = item.assets().first().cloned() else { continue };
            // Any stable subject does: who is who is the router's affair.
            let subject = item.persons().first().map(|person| {
                let mut bytes = [0; 16];
                for (at, byte) in person.value.bytes().enumerate() {
                    bytes[at % 16] ^= byte.rotate_left(u32::try_from(at / 16).unwrap_or(0));
                }
                SubjectId::from_bytes(bytes)
            });
            let index = item.index();
            let raw = RawPosition { raw: RawRef { partition, offset: *offset }, index, count };
            let context = EventContext {
                tenant: &tenant,
                asset: &asset,
                id_key: &id_key,
                subject,
                received_ms: jiff::Timestamp::now().as_millisecond(),
                raw,
            };
            let event = item.into_event(&context);
            // One key for all: the projector opens nothing, and sees bytes of the same length.
            let sealed = event.seal(|field, plain| {
                let place = Context::new("event").part(event.id.as_bytes()).part(field.as_str());
                cipher.seal(&place, plain)
            })?;
            let encoded = sealed.encode();
            let headers = encoded.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect();
            let record = Record { key: Some(encoded.key), value: Some(encoded.value), headers };
            pending.push(log.append(&TopicPartition::new(&topic, event.partition(partitions)), record)?);
            made += 1;
            if pending.len() == 5_000 {
                for durable in pending.drain(..) {
                    durable.await?;
                }
            }
        }
        *offset += 1;
    }
    for durable in pending {
        durable.await?;
    }
    Ok(made)
}

fn psql(url: &str, sql: &str) -> anyhow::Result<String> {
    let output =
        std::process::Command::new("psql").args([url, "-XqtAc", sql]).output().context("running psql")?;
    anyhow::ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn wal_bytes(url: &str) -> anyhow::Result<u64> {
    Ok(psql(url, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint")?.parse()?)
}

/// One transaction per event, written plainly: transactions a second.
fn pgbench(url: &str, args: &Args) -> anyhow::Result<f64> {
    psql(
        url,
        "CREATE TABLE message (tenant text, id bytea, conversation bytea, at bigint, body bytea, PRIMARY KEY (tenant, id));
         CREATE TABLE conversation (tenant text, id bytea, last_at bigint, messages bigint, PRIMARY KEY (tenant, id));
         CREATE TABLE projection_offset (partition int PRIMARY KEY, next bigint);
         INSERT INTO projection_offset VALUES (0, 0)",
    )?;
    let script = args.naive.display().to_string();
    let count = args.naive_events.to_string();
    let output = std::process::Command::new(pgbench_path())
        .args(["-n", "-M", "prepared", "-c", "1", "-t", &count, "-f", &script, url])
        .output()
        .context("running pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench said no rate: {text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn pgbench_path() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    debian
        .map(|version| version.path().join("bin/pgbench"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| "pgbench".into())
}
