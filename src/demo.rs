//! `tidings demo`: everything in one process, three made-up organisations, a simulated Meta, and a live view of what flows.
//! It ends with the verdict of the simulated Meta's own ledger.
//!
//! It uses nothing that an operator could not: signed webhooks go in, the admin API is what it looks through.

mod board;
mod gather;
mod paint;
mod sample;
mod setup;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sandbox::{Graph, Ledger, Mix, Pace, Sender, SenderConfig, Traffic, TrafficConfig, World, WorldConfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::cli::{Client, Failure};
use crate::kafka::KafkaArgs;
use crate::up;

const EXAMPLES: &str = "\
Examples:
  tidings demo                          # until Ctrl-C
  tidings demo --events 5000 --rate 500 # ends by itself; exit code 0 when the ledger finds nothing amiss
  tidings demo --kafka 127.0.0.1:9092   # on Kafka instead of the embedded log

Everything it sends is made up. Without --data it runs in a folder of its own and removes it afterwards.";

const PEOPLE: usize = 240;
/// Meta's clock starts this long before now, so that conversations have a past.
const PAST_MS: i64 = 24 * 60 * 60 * 1000;
/// How much of the traffic goes by before the account that was left out is connected.
const LATE_SHARE: f64 = 0.3;
const LATE_AFTER: Duration = Duration::from_secs(12);
const LOOK: Duration = Duration::from_secs(1);

/// Show Tidings at work with simulated traffic.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// End after this many messages, statuses and the like; without it, Ctrl-C ends
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Deliveries a second
    #[arg(long, value_name = "R", default_value_t = 120.0)]
    rate: f64,
    /// The folder for everything that is kept; a new one. Default: one that is removed afterwards
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Kafka instead of the embedded log: host:port,host:port. Its topics begin with demo-
    #[arg(long, value_name = "BROKERS")]
    kafka: Option<String>,
    /// The same seed makes the same people and messages
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Which log lines, in RUST_LOG's syntax; they go to standard error
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", default_value = "error,s3s=off")]
    log: String,
    #[command(flatten)]
    kafka_args: KafkaArgs,
}

/// What the parts of the demo share.
pub(crate) struct Stage {
    pub(crate) world: Arc<World>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) client: Client,
    pub(crate) webhooks: String,
    pub(crate) admin: String,
    pub(crate) token_file: PathBuf,
    pub(crate) log: String,
    pub(crate) seed: u64,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if !(args.rate.is_finite() && args.rate > 0.0) {
        return Err(Failure::usage("--rate is a number above 0", "such as --rate 120"));
    }
    service::init_logs(service::LogFormat::Text, &args.log)?;
    let folder = setup::Folder::new(args.data.clone())?;
    paint::line("Starting PostgreSQL, the log, ingest, router, projector and console in one process …")?;
    let (mut options, log) = setup::options(&args, folder.path())?;
    // Files are fetched from a simulated Graph API, as from Meta's.
    let graph = TcpListener::bind("127.0.0.1:0").await.context("listening for the simulated Graph API")?;
    let graph_url = format!("http://{}", graph.local_addr().context("the simulated Graph API")?);
    let world = World::new(WorldConfig { seed: args.seed, organisations: 3, people: PEOPLE });
    let world = Arc::new(world.with_media_at(&graph_url));
    let graph_ends = CancellationToken::new();
    let _graph = graph_ends.clone().drop_guard();
    tokio::spawn(Graph::new(world.clone(), setup::GRAPH_TOKEN, &graph_url).serve(graph, graph_ends));
    options.graph_url = Some(graph_url);
    let running = up::start(options).await?;
    running.ready().await;

    let stage = Stage {
        ledger: Arc::new(Ledger::new(world.clone())),
        client: Client::at(&running.admin, &running.token_file)?,
        webhooks: running.webhooks.clone(),
        admin: running.admin.clone(),
        token_file: running.token_file.clone(),
        log,
        seed: args.seed,
        world,
    };
    // The parts run already; only when the demo is over are they waited for. So Ctrl-C ends the traffic first, and what was
    // acknowledged by then is still shown and counted.
    let verdict = show(&stage, &args).await;
    running.stop().cancel();
    let stopped = running.run().await;
    drop(folder);
    Ok(if verdict? { stopped } else { ExitCode::FAILURE })
}

/// Sets the stage, lets the traffic run, and says whether all of it is there.
async fn show(stage: &Stage, args: &Args) -> Result<bool, Failure> {
    let late = setup::organisations(stage).await?;
    paint::line(&setup::addresses(stage))?;

    let stop = CancellationToken::new();
    let give_up = CancellationToken::new();
    let traffic = TrafficConfig {
        mix: Mix::LIVELY,
        repeats: 0.05,
        disorder: 24,
        forged: 0.005,
        partly_named: 0.3,
        ..TrafficConfig::new(
            args.seed,
            args.events.unwrap_or(u64::MAX),
            jiff::Timestamp::now().as_millisecond() - PAST_MS,
            setup::secret(),
        )
    };
    let deliveries = Traffic::new(stage.world.clone(), stage.ledger.clone(), traffic);
    let target =
        format!("{}/webhooks/{}", stage.webhooks, setup::APP).parse().context("the webhook's address")?;
    let sender = Sender::new(
        SenderConfig { pace: Pace::PerSecond(args.rate), ..SenderConfig::new(target) },
        stage.ledger.clone(),
    );
    let mut board = board::Board::new(sender.progress(), late);
    let mut sending = tokio::spawn(sender.run(deliveries, stop.clone(), give_up.clone()));

    let started = Instant::now();
    let late_events = args.events.map(|events| (events as f64 * LATE_SHARE) as u64);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut interrupted = false;
    // One listener for all the time: what is pressed during a look is not lost.
    let mut interrupts = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    loop {
        tokio::select! {
            ended = &mut sending => {
                ended.context("the simulated Meta broke")?.context("the simulated Meta stopped")?;
                break;
            }
            Some(()) = interrupts.recv() => {
                if interrupted {
                    give_up.cancel();
                }
                interrupted = true;
                stop.cancel();
                board.say("Ctrl-C: no more is sent; waiting until what was acknowledged shows …")?;
            }
            _ = look.tick() => {
                let due = late_events.map_or(started.elapsed() >= LATE_AFTER, |events| stage.ledger.tally().acknowledged >= events);
                if due || interrupted {
                    board.connect_late(stage).await?;
                }
                board.look(stage).await?;
            }
        }
    }
    board.connect_late(stage).await?;
    let equation = verdict::settle(stage, &mut board).await?;
    verdict::give(stage, &mut board, &equation).await
}
