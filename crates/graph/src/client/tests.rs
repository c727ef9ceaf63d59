//! The client as it is for Meta, over TLS, with names that lead to a server of our own. Only the resolver and the root of
//! trust differ from production.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::dns::{Addrs, Name};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Host, path with query, and whether the token was there.
type Asked = (String, String, bool);

/// A server that is all of Meta.
struct Meta {
    address: SocketAddr,
    root: Vec<u8>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Answer = fn(&str, &str) -> String;

impl Meta {
    async fn new(names: &[&str], answer: Answer) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let meta = Self {
            address: listener.local_addr().unwrap(),
            root: made.cert.der().to_vec(),
            asked: Arc::clone(&asked),
        };
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, asked) = (acceptor.clone(), Arc::clone(&asked));
                tokio::spawn(async move {
                    // A client that does not trust us hangs up here.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, answer, &asked).await
                    } else {
                        Ok(())
                    }
                });
            }
        });
        meta
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The client for Meta, which finds this server behind every name.
    fn client(&self, trusts: bool) -> Graph {
        let config = GraphConfig { idle_timeout: Duration::from_secs(5), ..GraphConfig::default() };
        let guard = Guard { resolver: Arc::new(SystemResolver), inside: None };
        let roots = reqwest::Certificate::from_der(&self.root).unwrap();
        let roots = if trusts { vec![roots] } else { vec![] };
        let http = http(&config, guard).tls_certs_only(roots).dns_resolver(Here(self.address));
        Graph::assemble(config, Policy::meta(), http).unwrap()
    }
}

/// Every name is here.
struct Here(SocketAddr);

impl reqwest::dns::Resolve for Here {
    fn resolve(&self, _name: Name) -> reqwest::dns::Resolving {
        let address = self.0;
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

async fn serve(
    mut stream: tokio_rustls::server::TlsStream<tokio::net::TcpStream>,
    answer: Answer,
    asked: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
        let answer = answer(&host, &path);
        asked.lock().unwrap().push((host, path, head.contains("authorization: Bearer EAAtoken\r\n")));
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn body(content: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{content}", content.len())
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// Id 1 is at lookaside, 2 goes on to a CDN and back, 3 is at another of Meta's hosts, 4 goes on
/// to the Graph API.
fn meta(host: &str, path: &str) -> String {
    match (host, path) {
        ("graph.facebook.com", "/v25.0/1?phone_number_id=111") => {
            body(r#"{"url":"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1"}"#)
        }
        ("graph.facebook.com", "/v25.0/2?phone_number_id=111") => {
            body(r#"{"url":"https://lookaside.fbsbx.com/2"}"#)
        }
        ("graph.facebook.com", "/v25.0/3?phone_number_id=111") => {
            body(r#"{"url":"https://mmg.whatsapp.net/3"}"#)
        }
        ("graph.facebook.com", "/v25.0/4?phone_number_id=111") => {
            body(r#"{"url":"https://lookaside.fbsbx.com/4"}"#)
        }
        ("lookaside.fbsbx.com", "/4") => redirect("https://graph.facebook.com/4"),
        ("lookaside.fbsbx.com", "/2") => redirect("/2/again"),
        ("lookaside.fbsbx.com", "/2/again") => redirect("https://scontent.xx.fbcdn.net/2"),
        ("scontent.xx.fbcdn.net", "/2") => redirect("https://lookaside.fbsbx.com/back"),
        ("lookaside.fbsbx.com", "/away") => redirect("https://evil.example/"),
        ("lookaside.fbsbx.com", "/down") => redirect("http://lookaside.fbsbx.com/"),
        _ => body("the file"),
    }
}

const NAMES: &[&str] =
    &["graph.facebook.com", "lookaside.fbsbx.com", "scontent.xx.fbcdn.net", "mmg.whatsapp.net"];

fn by_id(id: &str) -> MediaRequest {
    MediaRequest {
        source: MediaSource::WhatsappId { media_id: id.into(), phone_number_id: Some("111".into()) },
        declared_mime: None,
        declared_sha256: None,
    }
}

fn by_url(url: &str) -> MediaRequest {
    MediaRequest { source: MediaSource::Url(url.into()), declared_mime: None, declared_sha256: None }
}

async fn fetch(graph: &Graph, request: &MediaRequest) -> Result<u64, MediaError> {
    let mut download = graph.open(request, Some(&"EAAtoken".into())).await?;
    while download.next().await?.is_some() {}
    Ok(download.finish()?.bytes)
}

#[tokio::test]
async fn tokens_go_where_they_may() {
    for (request, expected) in [
        (
            by_id("1"),
            &[
                ("graph.facebook.com", "/v25.0/1?phone_number_id=111", true),
                ("lookaside.fbsbx.com", "/whatsapp_business/attachments/?mid=1", true),
            ] as &[_],
        ),
        (
            by_id("2"),
            &[
                ("graph.facebook.com", "/v25.0/2?phone_number_id=111", true),
                ("lookaside.fbsbx.com", "/2", true),
                ("lookaside.fbsbx.com", "/2/again", true),
                ("scontent.xx.fbcdn.net", "/2", false),
                // Once dropped it stays dropped.
                ("lookaside.fbsbx.com", "/back", false),
            ],
        ),
        (
            by_id("3"),
            &[
                ("graph.facebook.com", "/v25.0/3?phone_number_id=111", true),
                ("mmg.whatsapp.net", "/3", false),
            ],
        ),
        (
            by_id("4"),
            &[
                ("graph.facebook.com", "/v25.0/4?phone_number_id=111", true),
                ("lookaside.fbsbx.com", "/4", true),
                ("graph.facebook.com", "/4", false),
            ],
        ),
        (by_url("https://lookaside.fbsbx.com/a?b=c"), &[("lookaside.fbsbx.com", "/a?b=c", false)]),
    ] {
        let meta = Meta::new(NAMES, meta).await;
        assert_eq!(fetch(&meta.client(true), &request).await.unwrap(), 8);
        let expected: Vec<Asked> =
            expected.iter().map(|&(host, path, token)| (host.to_owned(), path.to_owned(), token)).collect();
        assert_eq!(meta.asked(), expected);
    }
}

#[tokio::test]
async fn redirects_stay_with_meta_and_with_tls() {
    let meta = Meta::new(NAMES, meta).await;
    for path in ["away", "down"] {
        let error = fetch(&meta.client(true), &by_url(&format!("https://lookaside.fbsbx.com/{path}"))).await;
        assert_eq!(error.unwrap_err().reason(), "redirect", "{path}");
    }
    assert_eq!(meta.asked().len(), 2);
}

#[tokio::test]
async fn servers_show_a_trusted_name() {
    let meta = Meta::new(&["lookaside.fbsbx.com"], meta).await;
    let file = by_url("https://lookaside.fbsbx.com/a");
    assert_eq!(fetch(&meta.client(true), &file).await.unwrap(), 8);
    // Another name than its certificate's, and a root that is not trusted.
    let elsewhere = by_url("https://scontent.xx.fbcdn.net/a");
    assert_eq!(fetch(&meta.client(true), &elsewhere).await.unwrap_err().reason(), "unreachable");
    assert_eq!(fetch(&meta.client(false), &file).await.unwrap_err().reason(), "unreachable");
    assert_eq!(meta.asked().len(), 1);
}
