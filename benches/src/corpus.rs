//! Bodies to measure with: the sandbox's mix, and single messages of a known size.

use std::sync::Arc;

use bytes::Bytes;
use sandbox::{Ledger, Secret, Traffic, TrafficConfig, World, WorldConfig};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to sign with
    #[arg(long)]
    secret: String,
}

/// `meta-mix v1`: every shape that Meta sends, in its proportions.
pub(crate) fn mix(updates: u64) -> Vec<Bytes> {
    let world = Arc::new(World::new(WorldConfig { seed: 7, organisations: 20, people: 2_000 }));
    let start_ms = jiff::Timestamp::now().as_millisecond() - 24 * 3_600_000;
    let config = TrafficConfig::new(7, updates, start_ms, Secret::new(b"bench"));
    let ledger = Arc::new(Ledger::new(world.clone()));
    Traffic::new(world, ledger, config).map(|delivery| delivery.body).collect()
}

/// One WhatsApp message of about 934 bytes, the size `performance.md` §1.1 measured with.
pub(crate) fn single() -> String {
    let text = "Good morning, could you tell me whether the pantry is open on Thursday afternoon? ".repeat(5);
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"102290129340398","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"106540352242922"}},"contacts":[{{"profile":{{"name":"Made Up"}},"wa_id":"16505551234"}}],"messages":[{{"from":"16505551234","id":"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=","timestamp":"1780000000","type":"text","text":{{"body":"{text}"}}}}]}},"field":"messages"}}]}}]}}"#
    )
}

/// Prints the signature, then the body.
pub(crate) fn print(args: &Args) -> anyhow::Result<()> {
    let body = single();
    println!("{}", sandbox::sign(&Secret::new(args.secret.as_bytes()), body.as_bytes()));
    print!("{body}");
    Ok(())
}
