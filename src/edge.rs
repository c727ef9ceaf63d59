//! How ingest is set, on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ingest::{ClientCertificates, Network, ProxyConfig, TlsConfig};

const CHECK_EVERY: Duration = Duration::from_secs(10);

/// TLS, proxies and limits of the webhook listener.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Webhooks")]
pub(crate) struct EdgeArgs {
    /// Serve TLS with this certificate chain (PEM); read again when it changes
    #[arg(long, env = "TIDINGS_TLS_CERTIFICATE", value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, env = "TIDINGS_TLS_KEY", value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Take only clients with a certificate of these authorities (PEM) and Meta's common name
    #[arg(long, env = "TIDINGS_TLS_CLIENT_AUTHORITIES", value_name = "FILE", requires = "tls_certificate")]
    tls_client_authorities: Option<PathBuf>,
    /// A network whose proxies are believed, such as 10.0.0.0/8; may be given several times
    #[arg(long, env = "TIDINGS_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    trusted_proxy: Vec<Network>,
    /// The header in which trusted proxies pass on the client's address
    #[arg(
        long,
        env = "TIDINGS_PROXY_ADDRESS_HEADER",
        value_name = "HEADER",
        default_value = "x-forwarded-for"
    )]
    proxy_address_header: String,
    /// The header in which trusted proxies pass on the client certificate's common name: only Meta's is served then
    #[arg(long, env = "TIDINGS_PROXY_NAME_HEADER", value_name = "HEADER", requires = "trusted_proxy")]
    proxy_name_header: Option<String>,
    /// The most connections from one address; 0 is no limit
    #[arg(long, env = "TIDINGS_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = 100)]
    connections_per_address: usize,
    /// Where people reach this, https://host: the address of the status page that Meta shows whoever asked for deletion
    #[arg(long, env = "TIDINGS_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
}

impl EdgeArgs {
    /// The configuration these flags mean.
    pub(crate) fn config(&self) -> ingest::Config {
        let common_name = || ClientCertificates::META_COMMON_NAME.to_owned();
        let mut config = ingest::Config::default();
        config.limits.connections_per_address = self.connections_per_address;
        config.public_url.clone_from(&self.public_url);
        config.tls =
            self.tls_certificate.clone().zip(self.tls_key.clone()).map(|(certificates, key)| TlsConfig {
                certificates,
                key,
                clients: self
                    .tls_client_authorities
                    .clone()
                    .map(|authorities| ClientCertificates { authorities, common_name: common_name() }),
                check_every: CHECK_EVERY,
            });
        config.proxy = (!self.trusted_proxy.is_empty()).then(|| ProxyConfig {
            trusted: self.trusted_proxy.clone(),
            address_header: self.proxy_address_header.clone(),
            requests_per_address: self.connections_per_address,
            common_name: self.proxy_name_header.clone().map(|header| (header, common_name())),
        });
        config
    }
}
