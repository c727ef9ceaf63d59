//! How the Graph API is reached, and how much of it is taken.

use std::time::Duration;

/// The version of the Graph API that is asked for unless another is named.
pub const DEFAULT_VERSION: &str = "v25.0";

/// The largest file that is fetched unless another cap is named: WhatsApp's own limit.
pub const MAX_BYTES: u64 = 100 * 1024 * 1024;

/// How the Graph API is reached, and how much of it is taken.
#[derive(Debug, Clone)]
pub struct GraphConfig {
    /// Another Graph API, such as `http://127.0.0.1:9090`: a simulated Meta. It is then the one place that is asked, for
    /// media too, and the only one that may be plain http or inside. Variable `TIDINGS_GRAPH_URL`; Meta's own by default.
    pub base: Option<String>,
    /// The version in every path.
    pub version: String,
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// How long a connection may take, its name lookup and TLS included.
    pub connect_timeout: Duration,
    /// How long may pass without a byte.
    pub idle_timeout: Duration,
    /// How long one fetch may take from the first question to the last byte. It holds whoever sends just enough.
    pub total_timeout: Duration,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self {
            base: None,
            version: DEFAULT_VERSION.to_owned(),
            max_bytes: MAX_BYTES,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(15 * 60),
        }
    }
}
