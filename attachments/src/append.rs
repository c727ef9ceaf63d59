//! Appending an event's two records until both are durable.

use eventlog::{AppendError, Disposition, EventLog, Record, TopicPartition};

use crate::patience::Patience;

/// Returns when the record is durable, or when the log takes it from nobody. What it does not confirm is appended again: ids
/// make repeats harmless.
async fn append(log: &EventLog, at: &TopicPartition, record: &Record) -> Result<(), AppendError> {
    let mut patience = Patience::quick();
    loop {
        // Cheap: keys and bodies are shared.
        let cause = match log.append(at, record.clone()) {
            Ok(confirmed) => match confirmed.await {
                Ok(_) => return Ok(()),
                Err(cause) => cause,
            },
            Err(cause) => cause,
        };
        match cause.disposition() {
            Disposition::Retry => patience.pause().await,
            Disposition::Park | Disposition::Stop => return Err(cause),
        }
    }
}

/// Returns when both records are durable.
pub(crate) async fn append_both(
    log: &EventLog,
    [(at, record), (beside, another)]: [(TopicPartition, Record); 2],
) -> Result<(), AppendError> {
    futures::future::try_join(append(log, &at, &record), append(log, &beside, &another)).await?;
    Ok(())
}
