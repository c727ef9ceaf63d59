//! Behind a proxy: whose headers are believed.

use ingest::{Config, ProxyConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{next, request, sign, status};
use crate::stage::{BODY, SECRET, Stage, until};

fn config(trusted: &str) -> ProxyConfig {
    ProxyConfig {
        trusted: vec![trusted.parse().unwrap()],
        address_header: "x-forwarded-for".into(),
        requests_per_address: 0,
        common_name: None,
    }
}

fn with(header: &str) -> Vec<u8> {
    let headers = [format!("X-Hub-Signature-256: {}", sign(SECRET, BODY)), header.to_owned()];
    request("POST /webhooks/acme", &headers, BODY)
}

#[tokio::test]
async fn a_proxys_connections_are_not_counted_but_its_clients_requests_are() {
    let proxy = ProxyConfig { requests_per_address: 1, ..config("127.0.0.0/8") };
    let mut settings = Config { proxy: Some(proxy), ..Config::default() };
    settings.limits.connections_per_address = 1;
    let stage = Stage::with(settings).await;
    let bytes = with("X-Forwarded-For: 203.0.113.9, 192.0.2.1");
    let mut holding = TcpStream::connect(stage.address).await.unwrap();
    holding.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    until("it is in progress", || stage.metric("ingest_inflight_bytes", None) > 0.0).await;
    assert_eq!(status(stage.address, &with("X-Forwarded-For: 192.0.2.1")).await, 503);
    assert_eq!(status(stage.address, &with("X-Forwarded-For: 203.0.113.9, 192.0.2.2")).await, 200);
    assert_eq!(status(stage.address, &with("X-Forwarded-For: 192.0.2.3, 127.0.0.1")).await, 200);
    holding.write_all(&bytes[bytes.len() - 1..]).await.unwrap();
    assert_eq!(next(&mut holding).await.status, 200);
    assert_eq!(status(stage.address, &with("X-Forwarded-For: 192.0.2.1")).await, 200);
    assert_eq!(stage.outcome("overloaded"), 1.0);
}

#[tokio::test]
async fn a_strangers_header_is_not_believed() {
    let proxy = ProxyConfig { requests_per_address: 1, ..config("10.0.0.0/8") };
    let stage = Stage::with(Config { proxy: Some(proxy), ..Config::default() }).await;
    let bytes = with("X-Forwarded-For: 192.0.2.1");
    let mut holding = TcpStream::connect(stage.address).await.unwrap();
    holding.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    until("it is in progress", || stage.metric("ingest_inflight_bytes", None) > 0.0).await;
    assert_eq!(
        status(stage.address, &with("X-Forwarded-For: 192.0.2.2")).await,
        503,
        "counted as who connected"
    );
}

#[tokio::test]
async fn only_a_trusted_proxy_vouches_for_a_certificate() {
    let vouching = |trusted: &str| {
        let common_name = Some(("x-client-cn".to_owned(), "client.webhooks.fbclientcerts.com".to_owned()));
        Config { proxy: Some(ProxyConfig { common_name, ..config(trusted) }), ..Config::default() }
    };
    let right = "X-Client-CN: client.webhooks.fbclientcerts.com";
    let stage = Stage::with(vouching("127.0.0.1")).await;
    assert_eq!(status(stage.address, &with(right)).await, 200);
    for wrong in [
        "X-Other: x",
        "X-Client-CN: client.webhooks.fbclientcerts.com.example",
        "X-Client-CN:",
        &format!("{right}\r\n{right}"),
    ] {
        assert_eq!(status(stage.address, &with(wrong)).await, 401, "{wrong}");
    }
    let stage = Stage::with(vouching("10.0.0.0/8")).await;
    assert_eq!(status(stage.address, &with(right)).await, 401);
    assert_eq!(stage.outcome("not_vouched"), 1.0);
}
