//! What came of a comparison.

use std::fmt;

/// Most findings that are spelled out.
const FINDINGS: usize = 20;

/// How what is shown differs from what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Updates sent.
    pub sent: u64,
    /// Updates acknowledged.
    pub acknowledged: u64,
    /// Messages shown.
    pub shown: u64,
    /// Messages acknowledged and not shown.
    pub lost: u64,
    /// Messages shown more than once.
    pub duplicated: u64,
    /// Messages shown that were never sent, or were sent with a wrong signature.
    pub invented: u64,
    /// Messages shown with a wrong text, time, place, order, reaction or status.
    pub wrong: u64,
    /// People whose updates call them by different names, and who are shown: were they shown as several, it would be wrong.
    pub joined: u64,
    /// The first of what is amiss, in words. Made-up data: safe to print.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Nothing lost, duplicated, invented or wrong.
    pub fn is_good(&self) -> bool {
        self.lost + self.duplicated + self.invented + self.wrong == 0
    }

    pub(crate) fn find(&mut self, finding: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS {
            self.findings.push(finding());
        }
    }
}

/// `sent=… acked=… shown=… lost=… duplicated=… invented=… wrong=… joined=…`
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, acknowledged, shown, lost, duplicated, invented, wrong, joined, .. } = self;
        write!(
            f,
            "sent={sent} acked={acknowledged} shown={shown} lost={lost} duplicated={duplicated} invented={invented} wrong={wrong} joined={joined}"
        )
    }
}
