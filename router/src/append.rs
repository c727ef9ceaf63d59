//! Appending a batch's outputs until every one of them is durable.

use eventlog::{AppendError, Disposition, EventLog, Record, TopicPartition};

use crate::patience::Patience;

/// A record on its way, and which item of the batch it is made of.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) at: TopicPartition,
    pub(crate) record: Record,
    /// Number of the delivery in its batch and index of the item; none for a pointer.
    pub(crate) of: Option<(usize, u32)>,
}

/// Returns when every output is durable, except those that the log takes from nobody: they come back, to be set aside.
///
/// What the log does not confirm is appended again: ids make repeats harmless. Records that were not handed over yet stay
/// behind those that were, so that only an unconfirmed append ever changes places with a later one.
pub(crate) async fn append_all(log: &EventLog, outputs: Vec<Output>) -> Result<Vec<Output>, AppendError> {
    let mut patience = Patience::quick();
    let mut refused = Vec::new();
    let mut waiting = outputs;
    while !waiting.is_empty() {
        let mut pending = Vec::with_capacity(waiting.len());
        let mut rest = Vec::new();
        let mut outputs = waiting.into_iter();
        for output in outputs.by_ref() {
            // Cheap: keys and bodies are shared.
            match log.append(&output.at, output.record.clone()) {
                Ok(confirmed) => pending.push((output, confirmed)),
                Err(cause) => match cause.disposition() {
                    Disposition::Retry => {
                        rest.push(output);
                        break;
                    }
                    Disposition::Park => refused.push(output),
                    Disposition::Stop => return Err(cause),
                },
            }
        }
        rest.extend(outputs);
        let mut again = Vec::new();
        let mut progress = false;
        for (output, confirmed) in pending {
            match confirmed.await {
                Ok(_) => progress = true,
                Err(cause) => match cause.disposition() {
                    Disposition::Retry => again.push(output),
                    Disposition::Park => refused.push(output),
                    Disposition::Stop => return Err(cause),
                },
            }
        }
        again.extend(rest);
        waiting = again;
        if progress {
            patience = Patience::quick();
        }
        if !waiting.is_empty() {
            patience.pause().await;
        }
    }
    Ok(refused)
}
