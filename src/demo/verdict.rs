//! The end: wait until what was acknowledged has gone all its way, and let the ledger judge what is shown.

use std::time::Duration;

use console::wire::LossEquation;
use tokio::time::{Instant, sleep};

use crate::cli::Failure;
use crate::demo::board::Board;
use crate::demo::paint::Ink;
use crate::demo::{Stage, gather, sample};

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// Waits until nothing is under way or parked. Returns also when that takes too long: the verdict tells.
pub(crate) async fn settle(stage: &Stage, board: &mut Board) -> Result<LossEquation, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        let equation = board.look(stage).await?;
        let settled = equation.pending == 0 && equation.holes == 0 && equation.unroutable == 0;
        if settled || Instant::now() >= until {
            return Ok(equation);
        }
        sleep(LOOK).await;
    }
}

/// Prints a conversation and the ledger's verdict; says whether it is good.
pub(crate) async fn give(stage: &Stage, board: &mut Board, equation: &LossEquation) -> Result<bool, Failure> {
    let verdict = stage.ledger.compare(&gather::shown(stage).await?);
    let holds = equation.pending == 0
        && equation.holes == 0
        && equation.items
            == equation.routed + equation.unroutable + equation.quarantined + equation.forgotten
        && equation.routed == equation.projected;
    let good = verdict.is_good() && holds && verdict.sent == verdict.acknowledged;
    let conversation = sample::conversation(stage, board.canvas()).await?;
    board.say(&format!("\n{conversation}"))?;
    for finding in &verdict.findings {
        board.say(&format!("  {finding}"))?;
    }
    let (ink, words) = if good {
        (
            Ink::Good,
            "✓ everything that was acknowledged is shown, once, in order and at the right organisation",
        )
    } else {
        (Ink::Bad, "✗ what is shown is not what was sent")
    };
    let words = board.canvas().ink(ink, words);
    let equation = if holds { "holds" } else { "does not hold" };
    board.say(&format!(
        "  {words}\n  ledger: seed={} {verdict}; the loss equation {equation}\n",
        stage.seed
    ))?;
    Ok(good)
}
