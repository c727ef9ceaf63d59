//! Appending a batch's outputs until every one of them is durable.

use std::time::Duration;

use eventlog::{AppendError, Disposition, EventLog, Record, TopicPartition};

const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Returns when all of `outputs` are durable. What the log does not confirm is appended again: ids make repeats harmless.
pub(crate) async fn append_all(
    log: &EventLog, mut outputs: Vec<(TopicPartition, Record)>,
) -> Result<(), AppendError> {
    let mut pause = PAUSE;
    loop {
        let mut pending = Vec::with_capacity(outputs.len());
        let mut again = Vec::new();
        for (at, record) in outputs {
            // Cheap: bodies are shared.
            match log.append(&at, record.clone()) {
                Ok(confirmed) => pending.push((at, record, confirmed)),
                Err(cause) if cause.disposition() == Disposition::Retry => again.push((at, record)),
                Err(cause) => return Err(cause),
            }
        }
        let progress = !pending.is_empty();
        for (at, record, confirmed) in pending {
            match confirmed.await {
                Ok(_) => {}
                Err(cause) if cause.disposition() == Disposition::Retry => again.push((at, record)),
                Err(cause) => return Err(cause),
            }
        }
        if again.is_empty() {
            return Ok(());
        }
        if progress {
            pause = PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        outputs = again;
    }
}
