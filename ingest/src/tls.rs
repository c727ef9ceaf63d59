//! TLS 1.2 and 1.3 with `rustls`, its files read again when they change, and Meta's client certificate if wanted.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::metrics::Metrics;
use crate::{ClientCertificates, TlsConfig, subject};

/// The TLS that is served now.
pub(crate) struct Tls {
    config: TlsConfig,
    served: RwLock<Served>,
}

struct Served {
    acceptor: TlsAcceptor,
    /// Of the files it was made from.
    digest: digest::Digest,
}

/// What the files hold.
struct Files {
    certificates: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

impl Tls {
    /// Reads the files. They have to be right at the start.
    pub(crate) fn open(config: TlsConfig) -> anyhow::Result<Self> {
        let files = Files::read(&config)?;
        let served = Served { acceptor: files.acceptor(&config)?, digest: files.digest() };
        Ok(Self { config, served: RwLock::new(served) })
    }

    /// What new connections are served with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.served.read().unwrap_or_else(PoisonError::into_inner).acceptor.clone()
    }

    /// Looks at the files again and again. Changed ones are served from then on; unusable ones are not.
    pub(crate) async fn follow(&self, metrics: &Metrics, stop: &CancellationToken) {
        stop.run_until_cancelled(async {
            let mut failing = false;
            loop {
                tokio::time::sleep(self.config.check_every).await;
                match self.reload() {
                    Ok(false) => failing = false,
                    Ok(true) => {
                        failing = false;
                        metrics.tls_reloads.inc();
                        info!("serving TLS with the changed files");
                    }
                    Err(cause) if !failing => {
                        failing = true;
                        metrics.tls_reload_failures.inc();
                        error!(
                            error = format!("{cause:#}"),
                            "the changed TLS files cannot be used; serving the ones before"
                        );
                    }
                    Err(_) => {}
                }
            }
        })
        .await;
    }

    /// Whether the files had changed. A certificate and key in the middle of being replaced do not fit: next time they will.
    fn reload(&self) -> anyhow::Result<bool> {
        let files = Files::read(&self.config)?;
        let digest = files.digest();
        if self.served.read().unwrap_or_else(PoisonError::into_inner).digest.as_ref() == digest.as_ref() {
            return Ok(false);
        }
        let acceptor = files.acceptor(&self.config)?;
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Served { acceptor, digest };
        Ok(true)
    }
}

impl Files {
    fn read(config: &TlsConfig) -> anyhow::Result<Self> {
        Ok(Self {
            certificates: read(&config.certificates)?,
            key: read(&config.key)?,
            authorities: config.clients.as_ref().map(|clients| read(&clients.authorities)).transpose()?,
        })
    }

    fn digest(&self) -> digest::Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        for file in [Some(&self.certificates), Some(&self.key), self.authorities.as_ref()] {
            let file = file.map_or(&[][..], Vec::as_slice);
            context.update(&(file.len() as u64).to_be_bytes());
            context.update(file);
        }
        context.finish()
    }

    fn acceptor(&self, config: &TlsConfig) -> anyhow::Result<TlsAcceptor> {
        let provider = Arc::new(provider::default_provider());
        let chain = certificates(&self.certificates, &config.certificates)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .with_context(|| format!("{} holds no private key in PEM", config.key.display()))?;
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let server =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions)?;
        let server = match (&config.clients, &self.authorities) {
            (Some(clients), Some(authorities)) => {
                let authorities = self::certificates(authorities, &clients.authorities)?;
                server.with_client_cert_verifier(Arc::new(Named::new(authorities, clients, provider)?))
            }
            _ => server.with_no_client_auth(),
        };
        let mut server = server.with_single_cert(chain, key).with_context(|| {
            format!("{} is not the key of {}", config.key.display(), config.certificates.display())
        })?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(server)))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn certificates(pem: &[u8], path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is not PEM", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

/// Takes a client certificate when its chain verifies and its common name is the configured one.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    common_name: String,
}

impl Named {
    fn new(
        authorities: Vec<CertificateDer<'static>>,
        clients: &ClientCertificates,
        provider: Arc<CryptoProvider>,
    ) -> anyhow::Result<Self> {
        let path = clients.authorities.display();
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots
                .add(authority)
                .with_context(|| format!("{path} holds a certificate that cannot be used"))?;
        }
        let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .with_context(|| format!("using {path}"))?;
        Ok(Self { chain, common_name: clients.common_name.clone() })
    }
}

impl ClientCertVerifier for Named {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        let refused = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let certificate = webpki::EndEntityCert::try_from(end_entity).map_err(|_| refused.clone())?;
        if subject::is_named(certificate.subject(), &self.common_name) { Ok(verified) } else { Err(refused) }
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
