//! TLS, client certificates, and new files while it runs (classes 1–3).

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ingest::{ClientCertificates, Config, TlsConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::{delivery, exchange, over, until_closed};
use crate::stage::{BODY, SECRET, Stage, short, until};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn sign(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

fn write(folder: &Path, identity: &Identity) -> TlsConfig {
    let (certificates, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificates, &identity.certificate).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    TlsConfig { certificates, key, clients: None, check_every: Duration::from_millis(10) }
}

async fn connect(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The status of a delivery over TLS; `None` when there is no connection to send it on.
async fn post(address: SocketAddr, authority: &Authority, identity: Option<&Identity>) -> Option<u16> {
    let stream = connect(address, authority, identity).await.ok()?;
    over(stream, &delivery(SECRET, BODY)).await.first().map(|answer| answer.status)
}

#[tokio::test]
async fn deliveries_come_over_tls_only() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let tls = write(folder.path(), &authority.sign("edge", |_| {}));
    let stage = Stage::with(Config { tls: Some(tls), ..short() }).await;
    assert_eq!(post(stage.address, &authority, None).await, Some(200));
    // 1: plain HTTP on the TLS port.
    assert!(refused_bytes(stage.address, &delivery(SECRET, BODY)).await);
    // 2: a hello that offers TLS 1.1 at most, as short as one can be.
    let hello =
        [&[0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2][..], &[7; 32], &[0, 0, 2, 0x00, 0x2f, 1, 0]].concat();
    assert!(refused_bytes(stage.address, &hello).await);
    // Nothing at all.
    let mut silent = TcpStream::connect(stage.address).await.unwrap();
    assert!(until_closed(&mut silent).await.is_empty());
    until("all are counted", || stage.metric("ingest_connections_total", Some("tls_refused")) == 3.0).await;
    assert_eq!(stage.raw().await.len(), 1);
}

/// Whether the edge answers with a TLS alert, or nothing, and closes.
async fn refused_bytes(address: SocketAddr, bytes: &[u8]) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut received = Vec::new();
    let _ = tokio::time::timeout(crate::client::PATIENCE, stream.read_to_end(&mut received)).await.unwrap();
    received.first().is_none_or(|kind| *kind == 0x15)
}

#[tokio::test]
async fn only_metas_certificate_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, metas, strange) = (Authority::new("ours"), Authority::new("metas"), Authority::new("strange"));
    let authorities = folder.path().join("clients.pem");
    std::fs::write(&authorities, &metas.pem).unwrap();
    let name = ClientCertificates::META_COMMON_NAME;
    let clients = Some(ClientCertificates { authorities, common_name: name.to_owned() });
    let tls = TlsConfig { clients, ..write(folder.path(), &ours.sign("edge", |_| {})) };
    let stage = Stage::with(Config { tls: Some(tls), ..short() }).await;
    let post = async |identity: Option<&Identity>| post(stage.address, &ours, identity).await;

    assert_eq!(post(Some(&metas.sign(name, |_| {}))).await, Some(200));
    assert_eq!(post(None).await, None, "no certificate");
    assert_eq!(post(Some(&strange.sign(name, |_| {}))).await, None, "another authority");
    assert_eq!(post(Some(&metas.sign("client.example", |_| {}))).await, None, "another name");
    assert_eq!(post(Some(&metas.sign(&format!("{name}.example"), |_| {}))).await, None, "a longer name");
    let expired = metas.sign(name, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert_eq!(post(Some(&expired)).await, None, "an expired certificate");
    let server_only =
        metas.sign(name, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    assert_eq!(post(Some(&server_only)).await, None, "a certificate for servers");
    assert_eq!(stage.raw().await.len(), 1);
    assert_eq!(stage.metric("ingest_connections_total", Some("tls_refused")), 6.0);
}

#[tokio::test]
async fn changed_files_are_served_and_broken_ones_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let first = authority.sign("first", |_| {});
    let tls = write(folder.path(), &first);
    let stage = Stage::with(Config { tls: Some(tls.clone()), ..short() }).await;
    let served = async || {
        let stream = connect(stage.address, &authority, None).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let der = |identity: &Identity| CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    assert_eq!(served().await, der(&first));

    let second = authority.sign("second", |_| {});
    write(folder.path(), &second);
    until("the new files are in use", || stage.metric("ingest_tls_reloads_total", None) >= 1.0).await;
    assert_eq!(served().await, der(&second));

    let failures = stage.metric("ingest_tls_reload_failures_total", None);
    std::fs::write(&tls.certificates, "not a certificate").unwrap();
    until("the failure is counted", || stage.metric("ingest_tls_reload_failures_total", None) > failures)
        .await;
    assert_eq!(served().await, der(&second));

    let third = authority.sign("third", |_| {});
    let reloads = stage.metric("ingest_tls_reloads_total", None);
    write(folder.path(), &third);
    until("the right files are in use", || stage.metric("ingest_tls_reloads_total", None) > reloads).await;
    assert_eq!(served().await, der(&third));
}

#[tokio::test]
async fn files_have_to_be_right_at_the_start() {
    use schemas::Topics;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority");
    let mut tls = write(folder.path(), &authority.sign("edge", |_| {}));
    std::fs::write(&tls.key, authority.sign("another", |_| {}).key).unwrap();
    let stage = Stage::new().await;
    let start = |tls: &TlsConfig| {
        ingest::Edge::new(
            Config { tls: Some(tls.clone()), ..Config::default() },
            stage.log.clone(),
            stage.plane.clone(),
            stage.key.clone(),
            &Topics::default(),
            &prometheus::Registry::new(),
            &service::Readiness::default(),
            service::Clock::system(),
        )
        .err()
        .map(|cause| format!("{cause:#}"))
        .unwrap()
    };
    assert!(start(&tls).contains("is not the key of"), "{}", start(&tls));
    tls.key = folder.path().join("nowhere.pem");
    assert!(start(&tls).contains("nowhere.pem"), "{}", start(&tls));
    assert!(!exchange(stage.address, &delivery(SECRET, BODY)).await.is_empty());
}
