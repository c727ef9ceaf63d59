//! The SDK's client, with every default that could change under us set by hand.

use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
};
use aws_smithy_http_client::{Builder as Http, tls};
use http::Uri;
use secrecy::ExposeSecret;

use crate::config::BlobConfig;
use crate::error::{BlobError, Place};

const CONNECT: Duration = Duration::from_secs(3);
/// One try of one request, with at most one part to send: 8 MiB within it is 1.1 Mbit/s.
const ATTEMPT: Duration = Duration::from_secs(60);
const ATTEMPTS: u32 = 3;
/// How long nothing at all may come in before a get is given up. Bodies to send are in memory and never wait for a source.
const STALL: Duration = Duration::from_secs(30);
/// Below what servers allow: a connection that they are about to close is not used again.
const IDLE: Duration = Duration::from_secs(20);

pub(crate) async fn build(config: &BlobConfig) -> Result<(Client, Place), BlobError> {
    let scheme = config.endpoint.as_deref().map(check_endpoint).transpose()?;
    check(!config.region.is_empty(), "the region is empty")?;
    check(!config.bucket.is_empty(), "the bucket is empty")?;
    let place = Place {
        address: config.endpoint.clone().unwrap_or_else(|| format!("AWS, region {}", config.region)),
        bucket: config.bucket.clone(),
    };
    // No certificates are loaded for a server on the same machine.
    let plain = scheme == Some(Scheme::Http) && config.credentials.is_some();
    let http = http_client(plain);
    let region = Region::new(config.region.clone());
    let behavior = BehaviorVersion::v2026_01_12();
    let builder = match &config.credentials {
        Some((access_key, secret_key)) => {
            check(!access_key.is_empty(), "the access key is empty")?;
            Builder::new().behavior_version(behavior).credentials_provider(Credentials::new(
                access_key,
                secret_key.expose_secret(),
                None,
                None,
                "settings",
            ))
        }
        None => {
            let chain =
                aws_config::defaults(behavior).region(region.clone()).http_client(http.clone()).load().await;
            Builder::from(&chain)
        }
    };
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(ATTEMPT * (ATTEMPTS + 1))
        .build();
    let mut builder = builder
        .region(region)
        .http_client(http)
        .force_path_style(config.path_style)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(STALL).build())
        // Bodies are always in memory here, so their checksum is a header, which servers that do not know it ignore. It is
        // the trailer of a streamed body that some of them choke on.
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    Ok((Client::from_conf(builder.build()), place))
}

fn http_client(plain: bool) -> SharedHttpClient {
    let builder = Http::new().pool_idle_timeout(IDLE);
    if plain {
        return builder.build_http();
    }
    builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Errors name the endpoint, so it must not hold a password; and it is no place for a bucket.
fn check_endpoint(endpoint: &str) -> Result<Scheme, BlobError> {
    let wrong = "the endpoint is not of the form http://host:port or https://host:port";
    let uri: Uri = endpoint.parse().map_err(|_| BlobError::Config { what: wrong.into() })?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(BlobError::Config { what: wrong.into() }),
    };
    let bare = uri.authority().is_some_and(|at| !at.as_str().contains('@') && !at.host().is_empty());
    check(bare && uri.path() == "/" && uri.query().is_none(), wrong)?;
    Ok(scheme)
}

fn check(holds: bool, otherwise: &str) -> Result<(), BlobError> {
    if holds { Ok(()) } else { Err(BlobError::Config { what: otherwise.into() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(endpoint: &str, expected: Option<Scheme>) {
        assert_eq!(check_endpoint(endpoint).ok(), expected, "{endpoint}");
    }

    #[test]
    fn an_endpoint_is_a_place_and_nothing_more() {
        check("http://127.0.0.1:9000", Some(Scheme::Http));
        check("https://s3.example.org/", Some(Scheme::Https));
        check("http://[::1]:9000", Some(Scheme::Http));
        for wrong in [
            "",
            "s3.example.org",
            "ftp://s3.example.org",
            "http://",
            "http://user:secret@s3.example.org",
            "https://s3.example.org/bucket",
            "https://s3.example.org/?x",
            "not a url",
        ] {
            check(wrong, None);
        }
    }
}
