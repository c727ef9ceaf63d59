//! Where attachments and backups lie, on the command line.

use std::path::PathBuf;

use blob::{BlobConfig, Sse};
use clap::Args;
use secrecy::SecretString;

use crate::cli::Failure;

/// An S3 bucket, or something that speaks like one.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Attachments and backups")]
pub(crate) struct BlobArgs {
    /// The bucket
    #[arg(long, env = "TIDINGS_S3_BUCKET", value_name = "NAME")]
    s3_bucket: Option<String>,
    /// The bucket's region
    #[arg(long, env = "TIDINGS_S3_REGION", value_name = "REGION", default_value = "us-west-2")]
    s3_region: String,
    /// Something other than AWS that speaks S3: http(s)://host[:port]; its buckets are then in the path
    #[arg(long, env = "TIDINGS_S3_ENDPOINT", value_name = "URL", requires = "s3_bucket")]
    s3_endpoint: Option<String>,
    /// Access key id; without it, whatever the AWS default chain finds
    #[arg(long, env = "TIDINGS_S3_ACCESS_KEY", value_name = "ID", requires = "s3_secret_key_file")]
    s3_access_key: Option<String>,
    /// File that holds the secret access key
    #[arg(long, env = "TIDINGS_S3_SECRET_KEY_FILE", value_name = "FILE", requires = "s3_access_key")]
    s3_secret_key_file: Option<PathBuf>,
    /// Let the store encrypt too: none, aes256, or the id of a KMS key
    #[arg(long, env = "TIDINGS_S3_SSE", value_name = "HOW", default_value = "none")]
    s3_sse: String,
    /// Refuse to start with a bucket or KMS key in any other region
    #[arg(long, env = "TIDINGS_ONLY_REGION", value_name = "REGION")]
    only_region: Option<String>,
}

impl BlobArgs {
    /// The region that everything has to be in, if there is one.
    pub(crate) fn only_region(&self) -> Option<&str> {
        self.only_region.as_deref()
    }

    /// The bucket that these flags mean; `None` when they name none.
    pub(crate) fn config(&self) -> Result<Option<BlobConfig>, Failure> {
        let Some(bucket) = &self.s3_bucket else { return Ok(None) };
        if let Some(only) = &self.only_region
            && *only != self.s3_region
        {
            return Err(Failure::usage(
                format!("the bucket is in {}, and --only-region is {only}", self.s3_region),
                "--s3-region names a bucket's region; everything has to be in the one that --only-region names",
            ));
        }
        // An ARN names its region: arn:aws:kms:REGION:…
        if let (Some(only), Some(region)) = (&self.only_region, self.s3_sse.split(':').nth(3))
            && only != region
        {
            return Err(Failure::usage(
                format!("the key of --s3-sse is in {region}, and --only-region is {only}"),
                "everything has to be in the region that --only-region names",
            ));
        }
        let credentials = match (&self.s3_access_key, &self.s3_secret_key_file) {
            (Some(id), Some(file)) => {
                let secret = std::fs::read_to_string(file).map_err(|cause| {
                    Failure::usage(
                        format!("the secret key file {} cannot be read: {cause}", file.display()),
                        "--s3-secret-key-file names a file that holds the secret access key alone",
                    )
                })?;
                Some((id.clone(), SecretString::from(secret.trim())))
            }
            _ => None,
        };
        Ok(Some(BlobConfig {
            endpoint: self.s3_endpoint.clone(),
            region: self.s3_region.clone(),
            bucket: bucket.clone(),
            credentials,
            path_style: self.s3_endpoint.is_some(),
            sse: match self.s3_sse.as_str() {
                "none" => Sse::None,
                "aes256" => Sse::S3,
                key_id => Sse::Kms { key_id: key_id.to_owned() },
            },
            make_bucket: false,
        }))
    }

    /// The bucket, which has to be named.
    pub(crate) fn required(&self) -> Result<BlobConfig, Failure> {
        self.config()?.ok_or_else(|| {
            Failure::usage(
                "there is no bucket for attachments and backups",
                "name one: --s3-bucket NAME (and --s3-endpoint URL for something other than AWS)",
            )
        })
    }
}
