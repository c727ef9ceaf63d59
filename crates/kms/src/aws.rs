//! The calls to AWS KMS.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use seal::{Key, RootWrap, WrapError};
use zeroize::Zeroizing;

use crate::KmsError;
use crate::line::{KeyName, Line};

/// What every wrapped secret is bound to: KMS unwraps it with the same word only, and writes it into CloudTrail.
const CONTEXT: (&str, &str) = ("tidings", "root");
const ATTEMPTS: u32 = 5;
const ATTEMPT: Duration = Duration::from_secs(5);
const OPERATION: Duration = Duration::from_secs(20);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// How AWS KMS is reached.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Another endpoint than the region's own: that of a VPC, or a test's.
    pub endpoint: Option<String>,
    /// The one region where keys may be. A key elsewhere is refused before anything is sent.
    pub only_region: Option<String>,
    /// The credentials; without them the SDK looks in the environment, the profile, the container and the instance.
    pub credentials: Option<SharedCredentialsProvider>,
}

/// Wraps with one key; unwraps with whichever a line names.
#[derive(Debug)]
pub(crate) struct AwsWrap {
    pub(crate) name: KeyName,
    pub(crate) options: Options,
}

impl RootWrap for AwsWrap {
    fn wrap(&self, secret: &Key) -> Result<String, WrapError> {
        let ciphertext = block(self.encrypt(secret))?;
        Ok(Line { name: self.name.clone(), ciphertext }.text())
    }

    fn unwrap(&self, line: &str) -> Result<Key, WrapError> {
        let line = Line::parse(line)?;
        Ok(block(self.decrypt(&line))?)
    }
}

impl AwsWrap {
    async fn encrypt(&self, secret: &Key) -> Result<Vec<u8>, KmsError> {
        let (name, value) = CONTEXT;
        let answer = self
            .client(&self.name)
            .await?
            .encrypt()
            .key_id(&self.name.key)
            .plaintext(Blob::new(secret.expose()))
            .encryption_context(name, value)
            .send()
            .await
            .map_err(KmsError::of)?;
        let wrapped = answer.ciphertext_blob.map(Blob::into_inner).unwrap_or_default();
        if wrapped.is_empty() { Err(KmsError::Answer) } else { Ok(wrapped) }
    }

    async fn decrypt(&self, line: &Line) -> Result<Key, KmsError> {
        let (name, value) = CONTEXT;
        let answer = self
            .client(&line.name)
            .await?
            .decrypt()
            .key_id(&line.name.key)
            .ciphertext_blob(Blob::new(line.ciphertext.as_slice()))
            .encryption_context(name, value)
            .send()
            .await
            .map_err(KmsError::of)?;
        let plain = Zeroizing::new(answer.plaintext.map(Blob::into_inner).unwrap_or_default());
        Key::from_slice(&plain).map_err(|_| KmsError::Answer)
    }

    async fn client(&self, name: &KeyName) -> Result<Client, KmsError> {
        let Options { endpoint, only_region, credentials } = &self.options;
        if let Some(only) = only_region.as_ref().filter(|only| **only != name.region) {
            return Err(KmsError::Region { region: name.region.clone(), only: only.clone() });
        }
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring));
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(name.region.clone()))
            .http_client(http.build_https())
            .retry_config(
                RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF),
            )
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT)
                    .operation_timeout(OPERATION)
                    .build(),
            );
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        if let Some(credentials) = credentials {
            config = config.credentials_provider(credentials.clone());
        }
        Ok(Client::new(&config.load().await))
    }
}

/// Does this on a thread and a runtime of its own and waits: a root key is asked for from threads of every kind, also
/// from those that run a runtime. It happens when a process starts and when the root key is rotated.
fn block<T: Send>(work: impl Future<Output = Result<T, KmsError>> + Send) -> Result<T, KmsError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|cause| KmsError::Away(cause.into()))?.block_on(work)
        });
        thread.join().unwrap_or_else(|_| Err(KmsError::Away("the call panicked".into())))
    })
}
