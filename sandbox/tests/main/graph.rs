//! The Graph API over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use sandbox::{Graph, Media, World, WorldConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

async fn get(url: &str, token: Option<&str>) -> (u16, Bytes) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut request = http::Request::get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
    (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn gives_media_to_whoever_has_the_token() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let world = Arc::new(World::new(WorldConfig::default()));
    let stop = CancellationToken::new();
    let serving = tokio::spawn(Graph::new(world, "token", &base).serve(listener, stop.clone()));

    let id = "1234567890123456";
    let media = Media::of(id).unwrap();
    assert_eq!(get(&format!("{base}/v25.0/{id}"), None).await.0, 401);
    assert_eq!(get(&format!("{base}/v25.0/no-media"), Some("token")).await.0, 400);
    let (status, body) = get(&format!("{base}/v25.0/{id}"), Some("token")).await;
    assert_eq!(status, 200);
    let described: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(described["sha256"], media.sha256_hex());
    let url = described["url"].as_str().unwrap();
    assert_eq!(get(url, None).await.0, 401);
    assert_eq!(get(url, Some("token")).await, (200, media.bytes.clone()));
    let old = format!("{base}/whatsapp_business/attachments/?mid={id}&ext=1");
    assert_eq!(get(&old, Some("token")).await.0, 404);
    assert_eq!(get(&format!("{base}/cdn/{id}"), None).await, (200, media.bytes));

    stop.cancel();
    serving.await.unwrap().unwrap();
}
