//! A simulated Graph API that the tests' Tidings fetches files from.

use std::sync::Arc;

use sandbox::{Graph, World};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What it asks for.
pub(crate) const TOKEN: &str = "EAACANARYTOKEN0123456789";

/// A listening Graph API: ends when dropped.
pub(crate) struct Meta {
    pub(crate) url: String,
    listener: Option<TcpListener>,
    _ends: DropGuard,
    ends: CancellationToken,
}

impl Meta {
    /// Takes an address; it answers once it knows its world.
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ends = CancellationToken::new();
        Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            listener: Some(listener),
            _ends: ends.clone().drop_guard(),
            ends,
        }
    }

    /// Serves this world's files and profiles.
    pub(crate) fn serve(&mut self, world: Arc<World>) {
        let listener = self.listener.take().expect("served once");
        tokio::spawn(Graph::new(world, TOKEN, &self.url).serve(listener, self.ends.clone()));
    }
}
