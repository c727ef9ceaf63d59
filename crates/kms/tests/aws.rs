//! The wire format of AWS KMS, against a server that checks requests and answers as AWS documents it
//! (JSON 1.1, `x-amz-target: TrentService.*`, SigV4).
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kms::{KmsError, Options, load_root, wrap_root};
use seal::{EdgeKey, RootKey, SealError};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

const ARN: &str = "arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
/// Stands for KMS's own form: what it wraps comes back behind these bytes, turned over.
const BLOB: &[u8] = b"\x01\x02\x02\x00x";

/// KMS, as far as it is needed.
#[derive(Clone, Default)]
struct Kms {
    calls: Arc<Mutex<Vec<String>>>,
    /// Answers to give first, instead of its own.
    first: Arc<Mutex<VecDeque<(StatusCode, Value)>>>,
}

impl Kms {
    async fn start(&self) -> Options {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        options(&format!("http://{address}"))
    }

    /// The operations since it was last asked.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn first(&self, status: u16, code: &str, message: &str) {
        let body = json!({"__type": code, "message": message});
        self.first.lock().unwrap().push_back((StatusCode::from_u16(status).unwrap(), body));
    }
}

fn options(endpoint: &str) -> Options {
    let credentials = Credentials::from_keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG", None);
    Options {
        endpoint: Some(endpoint.to_owned()),
        only_region: Some("us-west-2".to_owned()),
        credentials: Some(SharedCredentialsProvider::new(credentials)),
    }
}

async fn answer(
    State(kms): State<Kms>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    let target = header("x-amz-target");
    kms.calls.lock().unwrap().push(target.to_owned());
    // What the service itself would refuse is refused in its place: the test sees no secret then.
    let signed = header("authorization");
    let well_formed = method == Method::POST
        && uri.path() == "/"
        && header("content-type") == "application/x-amz-json-1.1"
        && header("x-amz-date").len() == "20260101T000000Z".len()
        && signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/")
        && signed.contains("/us-west-2/kms/aws4_request, SignedHeaders=")
        && signed.contains("x-amz-target")
        && signed.split("Signature=").nth(1).is_some_and(|signature| signature.len() == 64);
    if !well_formed {
        return reply(
            StatusCode::BAD_REQUEST,
            json!({"__type": "MissingAuthenticationTokenException", "message": format!("{headers:?}")}),
        );
    }
    if let Some((status, body)) = kms.first.lock().unwrap().pop_front() {
        return reply(status, body);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let refuse = |code: &str| reply(StatusCode::BAD_REQUEST, json!({"__type": code}));
    if body["KeyId"] != ARN {
        return refuse("NotFoundException");
    }
    let bytes = |name: &str| STANDARD.decode(body[name].as_str().unwrap()).unwrap();
    let turned = |bytes: &[u8]| bytes.iter().map(|byte| !byte).collect::<Vec<u8>>();
    let context = body["EncryptionContext"] == json!({"tidings": "root"});
    match target {
        "TrentService.Encrypt" => {
            let blob = [BLOB, &turned(&bytes("Plaintext"))].concat();
            assert!(context && body.as_object().unwrap().len() == 3, "{body}");
            reply(
                StatusCode::OK,
                json!({
                    "CiphertextBlob": STANDARD.encode(blob),
                    "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                    "KeyId": ARN,
                }),
            )
        }
        "TrentService.Decrypt" => {
            let blob = bytes("CiphertextBlob");
            let Some(wrapped) = blob.strip_prefix(BLOB).filter(|_| context) else {
                return refuse("InvalidCiphertextException");
            };
            reply(
                StatusCode::OK,
                json!({
                    "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
                    "KeyId": ARN,
                    "KeyMaterialId": "0123456789abcdef",
                    "Plaintext": STANDARD.encode(turned(wrapped)),
                }),
            )
        }
        _ => refuse("UnknownOperationException"),
    }
}

fn reply(status: StatusCode, body: Value) -> Response {
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("root-key");
    (folder, path)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn opens(root: &RootKey, sealed: &str) {
    assert_eq!(root.open("app/a", sealed).unwrap().expose_secret(), b"secret");
}

// A rotation blocks its thread: the server here needs another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_root_key_is_wrapped_unwrapped_and_rotated() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    let made = wrap_root(&path, "us-west-2", ARN, options.clone()).await.unwrap();
    let sealed = made.seal("app/a", b"secret").unwrap();
    assert_eq!(kms.calls(), ["TrentService.Encrypt", "TrentService.Decrypt"]);
    let text = std::fs::read_to_string(&path).unwrap();
    let line = text.trim_end();
    assert!(line.starts_with(&format!("tidings-root-kms-v1:us-west-2:{ARN}:AQICAH")), "{line}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    let root = load_root(&path, options.clone()).await.unwrap();
    assert_eq!(kms.calls(), ["TrentService.Decrypt"]);
    for _ in 0..1000 {
        opens(&root, &sealed);
        root.seal("app/a", b"secret").unwrap();
    }
    let edge = root.edge();
    root.data_key(&edge.data_key().unwrap().wrapped).unwrap();
    assert_eq!(kms.calls(), [""; 0], "never on the way of a message");

    // Rotation from a thread of a runtime, as a service does it; others follow with one call.
    let fresh = root.rotate().unwrap();
    assert_eq!(kms.calls(), ["TrentService.Encrypt", "TrentService.Decrypt"]);
    opens(&made, &root.seal("app/a", b"secret").unwrap());
    assert_eq!(kms.calls(), ["TrentService.Decrypt"]);
    assert_eq!(made.key_ids().first(), Some(&fresh));
    let all = std::fs::read_to_string(&path).unwrap();
    assert_eq!(all.lines().count(), 2);
    assert!(all.ends_with(&text), "the older generation stands behind, as it was");

    // Without KMS there is nothing to be had from the file; what the edge holds does not need it.
    assert!(matches!(RootKey::load(&path), Err(SealError::RootWrapped { .. })));
    let edge_path = path.with_file_name("edge-key");
    root.edge().write(&edge_path).unwrap();
    let edge = EdgeKey::load(&edge_path).unwrap();
    root.data_key(&edge.data_key().unwrap().wrapped).unwrap();
    assert_eq!(kms.calls(), [""; 0]);
}

#[tokio::test]
async fn a_file_in_clear_is_read_without_kms_and_can_be_wrapped() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    let plain = RootKey::load_or_create(&path).unwrap();
    plain.rotate().unwrap();
    let sealed = plain.seal("app/a", b"secret").unwrap();
    let loaded = load_root(&path, options.clone()).await.unwrap();
    loaded.rotate().unwrap();
    assert_eq!(kms.calls(), [""; 0]);
    opens(&loaded, &sealed);

    let wrapped = wrap_root(&path, "us-west-2", ARN, options.clone()).await.unwrap();
    assert_eq!(wrapped.key_ids(), loaded.key_ids());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| line.starts_with("tidings-root-kms-v1:")), "{}", text.lines().count());
    let again = load_root(&path, options).await.unwrap();
    opens(&again, &sealed);
}

#[tokio::test]
async fn every_refusal_is_told_apart() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    wrap_root(&path, "us-west-2", ARN, options.clone()).await.unwrap();
    kms.calls();
    let cases = [
        ("AccessDeniedException", "denied"),
        ("UnrecognizedClientException", "denied"),
        ("InvalidCiphertextException", "ciphertext"),
        ("IncorrectKeyException", "ciphertext"),
        ("DisabledException", "key"),
        ("NotFoundException", "key"),
        ("SomethingNewException", "refused"),
    ];
    for (code, expected) in cases {
        kms.first(400, code, "User: arn:aws:iam::111122223333:role/x is not authorized");
        let error = load_root(&path, options.clone()).await.unwrap_err();
        let kind = match error {
            KmsError::Denied(_) => "denied",
            KmsError::Ciphertext(_) => "ciphertext",
            KmsError::Key(_) => "key",
            KmsError::Refused(_) => "refused",
            _ => "something else",
        };
        assert_eq!(kind, expected, "{code}: {error:?}");
        assert!(!error.is_transient(), "{code}");
        assert_eq!(kms.calls().len(), 1, "{code} is not tried again");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    write(&path, &text.replacen("AQICAH", "BQICAH", 1));
    let error = load_root(&path, options.clone()).await.unwrap_err();
    assert!(matches!(error, KmsError::Ciphertext(_)), "{error:?}");
    write(&path, &text.replacen("key/1234abcd", "key/9999abcd", 1));
    let error = load_root(&path, options.clone()).await.unwrap_err();
    assert!(matches!(error, KmsError::Key(_)), "{error:?}");
    write(&path, "tidings-root-kms-v1:us-west-2:alias/x:!\n");
    assert!(matches!(load_root(&path, options.clone()).await, Err(KmsError::Line)));
    // An answer that is too short for a secret.
    write(&path, &text);
    kms.first.lock().unwrap().push_back((StatusCode::OK, json!({"KeyId": ARN, "Plaintext": "AAAA"})));
    assert!(matches!(load_root(&path, options).await, Err(KmsError::Answer)));
}

#[tokio::test]
async fn trouble_that_passes_is_waited_out() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    wrap_root(&path, "us-west-2", ARN, options.clone()).await.unwrap();
    kms.calls();
    kms.first(400, "ThrottlingException", "You have exceeded the rate at which you may call KMS.");
    kms.first(500, "KMSInternalException", "");
    kms.first(503, "ServiceUnavailable", "");
    load_root(&path, options.clone()).await.unwrap();
    assert_eq!(kms.calls().len(), 4);
    for _ in 0..5 {
        kms.first(400, "ThrottlingException", "");
    }
    let error = load_root(&path, options).await.unwrap_err();
    assert!(matches!(error, KmsError::Away(_)) && error.is_transient(), "{error:?}");
    assert_eq!(kms.calls().len(), 5);
}

// A rotation blocks its thread: the server here needs another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_leaves_the_file_as_it_is() {
    let kms = Kms::default();
    let (_folder, path) = folder();
    let root = wrap_root(&path, "us-west-2", ARN, kms.start().await).await.unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    // Bound and closed again: nothing listens there.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = options(&format!("http://{gone}"));
    let error = load_root(&path, away.clone()).await.unwrap_err();
    assert!(matches!(error, KmsError::Away(_)) && error.is_transient(), "{error:?}");

    let (_other, clear) = folder();
    let plain = RootKey::load_or_create(&clear).unwrap();
    assert!(matches!(wrap_root(&clear, "us-west-2", ARN, away).await, Err(KmsError::Away(_))));
    assert_eq!(RootKey::load(&clear).unwrap().key_ids(), plain.key_ids(), "it is as it was");
    kms.first(400, "AccessDeniedException", "");
    assert!(matches!(root.rotate().map_err(KmsError::from), Err(KmsError::Denied(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn another_region_is_refused_before_anything_is_sent() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    let error = wrap_root(&path, "eu-west-1", "alias/tidings", options.clone()).await.unwrap_err();
    assert!(matches!(error, KmsError::Region { .. }), "{error:?}");
    write(&path, "tidings-root-kms-v1:eu-west-1:alias/tidings:AQID\n");
    let error = load_root(&path, options.clone()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the root key is wrapped in region eu-west-1; this deployment uses us-west-2 only"
    );
    for (region, key) in [("us-west-2", "alias%2Fx"), ("", "alias/x"), ("eu-west-1", ARN)] {
        assert!(matches!(wrap_root(&path, region, key, options.clone()).await, Err(KmsError::Name)));
    }
    assert_eq!(kms.calls(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_others_can_read_is_refused() {
    let kms = Kms::default();
    let options = kms.start().await;
    let (_folder, path) = folder();
    let missing = load_root(&path, options.clone()).await.unwrap_err();
    assert!(matches!(missing, KmsError::Root(SealError::File { .. })), "{missing:?}");
    wrap_root(&path, "us-west-2", ARN, options.clone()).await.unwrap();
    kms.calls();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let error = load_root(&path, options).await.unwrap_err();
    assert!(matches!(error, KmsError::Root(SealError::FileMode { mode: 0o640, .. })), "{error:?}");
    assert_eq!(kms.calls(), [""; 0]);
}
