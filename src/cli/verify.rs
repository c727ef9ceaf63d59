//! `tidings verify` and `tidings status`: is everything there, and how far is everything?

use std::time::Duration;

use clap::Args;
use console::wire::{LossEquation, Status, TenantEquation};
use tokio::time::Instant;

use crate::cli::client::ClientArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::print;

const EXAMPLES: &str = "\
Examples:
  tidings verify
  tidings verify --wait 60 --json     # first wait, at most a minute, until nothing is under way

received = routed + unroutable + quarantined + forgotten, and routed = projected, of each tenant too. A hole is a delivery that the
router has passed and of which a part is nowhere: there must never be one. Exit 1 while there is.";

const POLL: Duration = Duration::from_millis(250);
/// As many tenants as are all shown.
const FEW: usize = 20;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Wait at most this long until nothing is under way
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

pub(crate) async fn verify(args: VerifyArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let until = Instant::now() + Duration::from_secs(args.wait.min(86_400));
    let equation = loop {
        let equation: LossEquation = client.get(&["verify"], &[]).await?;
        if (equation.pending == 0 && equation.holes == 0) || Instant::now() >= until {
            break equation;
        }
        tokio::time::sleep(POLL).await;
    };
    if args.client.json {
        print::json(&equation)?
    } else {
        show(&equation)?
    }
    if equation.holes == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::No,
        format!("{} deliveries are missing downstream", equation.holes),
        "they are in the raw log and will be routed again; if this stays, see the router's log",
    ))
}

fn show(equation: &LossEquation) -> Result<(), Failure> {
    let row =
        |name: &str, count: u64, meaning: &str| [name.to_owned(), count.to_string(), meaning.to_owned()];
    print::table(
        ["", "count", "meaning"],
        [
            row("received", equation.received, "deliveries answered with 200"),
            row("items", equation.items, "messages, statuses and the like in them"),
            row("routed", equation.routed, "became events"),
            row("unroutable", equation.unroutable, "parked until their asset is connected"),
            row("quarantined", equation.quarantined, "unusable; kept, and can be redriven"),
            row("forgotten", equation.forgotten, "repeats of people who were forgotten since; dropped"),
            row("projected", equation.projected, "events applied to the conversation view"),
            row("pending", equation.pending, "still under way"),
            row("holes", equation.holes, "missing downstream"),
        ],
    )?;
    tenants(&equation.tenants)?;
    if equation.holes == 0 && equation.pending == 0 {
        return print::line("nothing is lost and nothing is under way");
    }
    if equation.holes == 0 {
        return print::line("nothing is missing; some of it is still under way");
    }
    print::line(&format!("missing deliveries: {}", equation.hole_examples.join(" ")))
}

/// Every tenant when they are few, else those that are behind.
fn tenants(all: &[TenantEquation]) -> Result<(), Failure> {
    let shown: Vec<&TenantEquation> =
        all.iter().filter(|of| all.len() <= FEW || of.routed != of.projected).collect();
    if shown.is_empty() {
        return Ok(());
    }
    print::table(
        ["tenant", "routed", "projected"],
        shown.iter().map(|of| [of.tenant.clone(), of.routed.to_string(), of.projected.to_string()]),
    )
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn status(args: StatusArgs) -> Result<(), Failure> {
    let client = args.client.client()?;
    let status: Status = client.get(&["status"], &[]).await?;
    if args.client.json {
        print::json(&status)?;
    } else {
        let ready = if status.ready {
            "ready".to_owned()
        } else {
            format!("waiting for {}", status.waiting_for.join(", "))
        };
        print::line(&format!(
            "tidings {}: {ready}; apps: {}, tenants: {}, assets: {}",
            status.version, status.apps, status.tenants, status.assets
        ))?;
        print::table(
            ["stage", "topic", "partition", "position", "end", "lag"],
            status.positions.iter().map(|at| {
                let [partition, position] = [at.partition.to_string(), at.position.to_string()];
                [
                    at.stage.clone(),
                    at.topic.clone(),
                    partition,
                    position,
                    at.end.to_string(),
                    at.lag.to_string(),
                ]
            }),
        )?;
    }
    if status.ready {
        return Ok(());
    }
    Err(Failure::new(Exit::No, "not ready", "look at what it waits for, and at its log"))
}
