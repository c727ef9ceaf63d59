//! The live view: what each stage has done, how fast, how far behind, and whether the loss equation holds.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use console::wire::{LossEquation, Status};
use sandbox::{Account, Progress, ProgressCounts};
use tokio::time::Instant;

use crate::cli::Failure;
use crate::demo::gather::{self, Summary};
use crate::demo::paint::{Canvas, Ink, number, spark};
use crate::demo::{Stage, setup};

/// How many seconds the bars go back.
const HISTORY: usize = 30;

/// The live view.
pub(crate) struct Board {
    canvas: Canvas,
    progress: Arc<Progress>,
    started: Instant,
    /// The account that is not connected yet.
    late: Option<Account>,
    before: Option<Look>,
    history: VecDeque<u64>,
}

/// Everything that was read at one moment.
struct Look {
    at: Instant,
    sent: ProgressCounts,
    equation: LossEquation,
    lags: Lags,
    organisations: Vec<Summary>,
}

#[derive(Default)]
struct Lags {
    router: u64,
    view: u64,
}

impl Board {
    pub(crate) fn new(progress: Arc<Progress>, late: Account) -> Self {
        Self {
            canvas: Canvas::new(),
            progress,
            started: Instant::now(),
            late: Some(late),
            before: None,
            history: VecDeque::from(vec![0; HISTORY]),
        }
    }

    pub(crate) fn canvas(&mut self) -> &mut Canvas {
        &mut self.canvas
    }

    /// Prints a line that stays.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.canvas.say(text)
    }

    /// Connects the account that was left out, once.
    pub(crate) async fn connect_late(&mut self, stage: &Stage) -> Result<(), Failure> {
        let Some(account) = self.late.clone() else { return Ok(()) };
        let parked = self.look(stage).await?.unroutable;
        setup::connect(stage, &account).await?;
        let said = format!(
            "\n  → {}'s WhatsApp number is connected now: the {} items parked for it are routed.\n",
            name(stage, &account),
            number(parked)
        );
        self.late = None;
        let said = self.canvas.ink(Ink::Warm, said);
        self.say(&said)
    }

    /// Reads everything and shows it. Returns the loss equation.
    pub(crate) async fn look(&mut self, stage: &Stage) -> Result<LossEquation, Failure> {
        let equation: LossEquation = stage.client.get(&["verify"], &[]).await?;
        let status: Status = stage.client.get(&["status"], &[]).await?;
        let look = Look {
            at: Instant::now(),
            sent: self.progress.counts(),
            equation: equation.clone(),
            lags: lags(&status),
            organisations: gather::summaries(stage).await?,
        };
        let rates = Rates::between(self.before.as_ref(), &look);
        self.history.pop_front();
        self.history.push_back(rates.projected);
        if self.canvas.is_live() {
            let block = self.block(stage, &look, &rates)?;
            self.canvas.draw(&block)?;
        } else {
            self.canvas.say(&plain(self.started, &look, &rates))?;
        }
        self.before = Some(look);
        Ok(equation)
    }

    fn block(&self, stage: &Stage, look: &Look, rates: &Rates) -> Result<String, Failure> {
        let mut out = String::new();
        let seconds = self.started.elapsed().as_secs();
        let Look { sent, equation, lags, organisations, .. } = look;
        let ink = |ink, text: &str| self.canvas.ink(ink, text);
        let title = format!(
            "  {}  {:02}:{:02} · {} · seed {} · {}",
            ink(Ink::Bold, "Tidings"),
            seconds / 60,
            seconds % 60,
            stage.log,
            stage.seed,
            ink(Ink::Good, &spark(self.history.iter().copied())),
        );
        let _ = writeln!(out, "{title}\n");
        let _ = writeln!(
            out,
            "{}",
            ink(Ink::Dim, "  STAGE       WHAT                              COUNT     PER S     BEHIND")
        );
        let mut row = |stage: &str, what: &str, count: u64, rate: Option<u64>, behind: Option<u64>| {
            let rate = rate.map(number).unwrap_or_default();
            let behind = behind.map(number).unwrap_or_default();
            let _ = writeln!(out, "  {stage:<11} {what:<26} {:>12} {rate:>9} {behind:>10}", number(count));
        };
        row("Meta", "deliveries answered 200", sent.acknowledged, Some(rates.acknowledged), None);
        row("", "  of them repeats", sent.repeats, None, None);
        row("", "forged, answered 401", sent.refused, None, None);
        row("ingest", "deliveries kept", equation.received, Some(rates.received), None);
        row("router", "items routed", equation.routed, Some(rates.routed), Some(lags.router));
        row("", "items parked", equation.unroutable, None, None);
        row("", "items in quarantine", equation.quarantined, None, None);
        row("projector", "events in the views", equation.projected, Some(rates.projected), Some(lags.view));
        let _ = writeln!(out);
        let _ = writeln!(
            out,
            "{}",
            ink(Ink::Dim, "  ORGANISATION                CONVERSATIONS  MESSAGES  ACCOUNTS")
        );
        for summary in organisations {
            let waiting = self.late.as_ref().is_some_and(|late| stage.world.tenant(late) == summary.tenant);
            let accounts = if waiting {
                format!("messenger instagram {}", ink(Ink::Warm, "whatsapp not connected yet: parked"))
            } else {
                "messenger instagram whatsapp".to_owned()
            };
            let _ = writeln!(
                out,
                "  {:<27} {:>13} {:>9}  {accounts}",
                summary.name,
                number(summary.conversations),
                number(summary.messages)
            );
        }
        let _ = writeln!(out);
        let [items, routed, parked, quarantined, projected, pending] = [
            equation.items,
            equation.routed,
            equation.unroutable,
            equation.quarantined,
            equation.projected,
            equation.pending,
        ]
        .map(number);
        let _ = writeln!(out, "  {}", ink(Ink::Dim, "LOSS EQUATION"));
        let _ = writeln!(
            out,
            "  {items} items = {routed} routed + {parked} unroutable + {quarantined} in quarantine"
        );
        // Two views count at two moments: while something is under way, neither has to be ahead.
        let equals = if equation.routed == equation.projected { "=" } else { "→" };
        let _ = writeln!(out, "  {routed} routed {equals} {projected} projected, {pending} under way");
        let holes = match equation.holes {
            0 => ink(Ink::Good, "✓ no holes: nothing is lost"),
            holes => ink(Ink::Bad, &format!("✗ {holes} holes")),
        };
        let latency = self.progress.latency();
        let _ =
            writeln!(out, "  {holes}      answers to Meta: p50 {:.1?}, p99 {:.1?}", latency.p50, latency.p99);
        Ok(out)
    }
}

/// Per second, since the look before.
#[derive(Default)]
struct Rates {
    acknowledged: u64,
    received: u64,
    routed: u64,
    projected: u64,
}

impl Rates {
    fn between(before: Option<&Look>, now: &Look) -> Self {
        let Some(before) = before else { return Self::default() };
        let seconds = (now.at - before.at).as_secs_f64().max(0.001);
        let rate = |before: u64, now: u64| (now.saturating_sub(before) as f64 / seconds).round() as u64;
        Self {
            acknowledged: rate(before.sent.acknowledged, now.sent.acknowledged),
            received: rate(before.equation.received, now.equation.received),
            routed: rate(before.equation.routed, now.equation.routed),
            projected: rate(before.equation.projected, now.equation.projected),
        }
    }
}

fn lags(status: &Status) -> Lags {
    let of = |stage: &str| status.positions.iter().filter(|at| at.stage == stage).map(|at| at.lag).sum();
    Lags { router: of("router"), view: of("conversation") }
}

fn name<'a>(stage: &'a Stage, account: &Account) -> &'a str {
    &stage.world.organisations()[account.organisation].name
}

fn plain(started: Instant, look: &Look, rates: &Rates) -> String {
    let Look { sent, equation, lags, .. } = look;
    format!(
        "t={}s acknowledged={} repeats={} forged_refused={} received={} items={} routed={} parked={} quarantined={} \
         projected={} pending={} holes={} per_second={} router_behind={} projector_behind={}",
        started.elapsed().as_secs(),
        sent.acknowledged,
        sent.repeats,
        sent.refused,
        equation.received,
        equation.items,
        equation.routed,
        equation.unroutable,
        equation.quarantined,
        equation.projected,
        equation.pending,
        equation.holes,
        rates.projected,
        lags.router,
        lags.view,
    )
}
