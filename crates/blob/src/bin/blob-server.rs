//! The local S3 server as a process of its own, for tests that kill it.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use blob::LocalS3;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str =
    "blob-server --folder DIR --listen ADDR --access-key KEY --secret-key-file FILE --bucket NAME";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            // With nowhere to write to, the exit code says it.
            let _ = writeln!(std::io::stderr(), "{error}{cause}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut settings: HashMap<&str, &str> = HashMap::new();
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(USAGE.into()) };
        settings.insert(name, value);
    }
    let setting = |name| settings.get(name).copied().ok_or(USAGE);
    let secret_key = std::fs::read_to_string(setting("--secret-key-file")?)?;
    let credentials = (setting("--access-key")?.to_owned(), secret_key.trim().to_owned().into());
    let folder = Path::new(setting("--folder")?);
    let mut end = signal(SignalKind::terminate())?;

    let server =
        LocalS3::start_with(folder, setting("--listen")?.parse()?, setting("--bucket")?, credentials).await?;
    writeln!(std::io::stdout(), r#"{{"ready":true,"endpoint":"{}"}}"#, server.endpoint())?;
    end.recv().await;
    server.stop().await;
    Ok(())
}
