//! B11l: an open loop of signed Messenger messages, each with a Meta time of its own by which its row is found.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sandbox::Secret;
use tokio::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The webhook's address
    #[arg(long)]
    target: http::Uri,
    /// What to sign with
    #[arg(long)]
    secret: String,
    /// The page
    #[arg(long)]
    page: String,
    /// Messages a second
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// How many
    #[arg(long, default_value_t = 20_000)]
    count: u32,
    /// Meta's time of the first message, Unix milliseconds; each one is a millisecond later
    #[arg(long)]
    first_ms: i64,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let secret = Secret::new(args.secret.as_bytes());
    let mut sent = Vec::with_capacity(args.count as usize);
    let mut answers = tokio::task::JoinSet::new();
    let began = Instant::now();
    for i in 0..args.count {
        let at_ms = args.first_ms + i64::from(i);
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":"{page}","time":{at_ms},"messaging":[{{"sender":{{"id":"70{}"}},"recipient":{{"id":"{page}"}},"timestamp":{at_ms},"message":{{"mid":"m_{at_ms}","text":"message {i} of a steady stream"}}}}]}}]}}"#,
            i % 500,
            page = args.page,
        );
        let request = http::Request::post(args.target.clone())
            .header("content-type", "application/json")
            .header("x-hub-signature-256", sandbox::sign(&secret, body.as_bytes()))
            .body(Full::new(Bytes::from(body)))?;
        // The time it was due, not when there was time for it: a slow answer delays nothing that is counted.
        tokio::time::sleep_until(began + Duration::from_secs(1) * i / args.rate).await;
        sent.push((at_ms, jiff::Timestamp::now().as_microsecond()));
        let answer = client.request(request);
        answers.spawn(async move {
            let answer = answer.await?;
            let status = answer.status();
            answer.into_body().collect().await?;
            Ok::<_, anyhow::Error>(status)
        });
        while let Some(done) = answers.try_join_next() {
            anyhow::ensure!(done??.is_success(), "an answer was not 200");
        }
    }
    while let Some(done) = answers.join_next().await {
        anyhow::ensure!(done??.is_success(), "an answer was not 200");
    }
    for (at_ms, due_us) in sent {
        println!("{at_ms} {due_us}");
    }
    Ok(())
}
