//! B6: what it costs to find out whose each item of a body is.

use std::hint::black_box;
use std::time::Instant;

use crate::corpus;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often each side goes over the corpus
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Only one side, once over the corpus, for an instruction counter: `split` or `value`
    #[arg(long)]
    only: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let bodies = corpus::mix(20_000);
    let split = || {
        let mut items = 0_usize;
        for body in &bodies {
            if let Ok(split) = schemas::split(black_box(body)) {
                items += split.items.iter().filter(|item| !black_box(item.assets()).is_empty()).count();
            }
        }
        items
    };
    let value = || {
        let mut entries = 0_usize;
        for body in &bodies {
            if let Ok(value) = serde_json::from_slice::<serde_json::Value>(black_box(body)) {
                entries += black_box(&value)["entry"].as_array().map_or(0, Vec::len);
            }
        }
        entries
    };
    match args.only.as_deref() {
        Some("split") => return Ok(_ = black_box(split())),
        Some("value") => return Ok(_ = black_box(value())),
        Some("none") => return Ok(_ = black_box(bodies.len())),
        _ => {}
    }
    let items = split();
    let timed = |side: &dyn Fn() -> usize| {
        let began = Instant::now();
        black_box(side());
        #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
        let each = began.elapsed().as_nanos() as f64 / items as f64;
        each
    };
    let mut pairs = Vec::new();
    for round in 0..args.rounds {
        // A B B A: neither side always has the warmer cache.
        let (ours, theirs) = if round % 2 == 0 {
            let ours = timed(&split);
            (ours, timed(&value))
        } else {
            let theirs = timed(&value);
            (timed(&split), theirs)
        };
        pairs.push((ours, theirs));
    }
    println!("{}", serde_json::json!({"bodies": bodies.len(), "items": items, "ns_per_item": pairs}));
    Ok(())
}
