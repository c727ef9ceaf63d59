//! How to reach Kafka, on the command line. Brokers are given by each command in its own way.

use std::path::PathBuf;

use clap::Args;
use eventlog::KafkaConfig;
use secrecy::SecretString;

use crate::cli::Failure;

/// Everything about Kafka but its brokers.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kafka")]
pub(crate) struct KafkaArgs {
    /// PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
    #[arg(long, env = "TIDINGS_KAFKA_SECURITY_PROTOCOL", value_name = "PROTOCOL")]
    kafka_security_protocol: Option<String>,
    /// SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN
    #[arg(long, env = "TIDINGS_KAFKA_SASL_MECHANISM", value_name = "MECHANISM")]
    kafka_sasl_mechanism: Option<String>,
    /// SASL user
    #[arg(long, env = "TIDINGS_KAFKA_SASL_USERNAME", value_name = "USER")]
    kafka_sasl_username: Option<String>,
    /// File that holds the SASL password
    #[arg(long, env = "TIDINGS_KAFKA_SASL_PASSWORD_FILE", value_name = "FILE")]
    kafka_sasl_password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) to trust
    #[arg(long, env = "TIDINGS_KAFKA_CA_FILE", value_name = "FILE")]
    kafka_ca_file: Option<PathBuf>,
    /// Client certificate (PEM)
    #[arg(long, env = "TIDINGS_KAFKA_CERTIFICATE_FILE", value_name = "FILE", requires = "kafka_key_file")]
    kafka_certificate_file: Option<PathBuf>,
    /// Client key (PEM)
    #[arg(long, env = "TIDINGS_KAFKA_KEY_FILE", value_name = "FILE", requires = "kafka_certificate_file")]
    kafka_key_file: Option<PathBuf>,
    /// Replicas of topics that are made; 3 in production
    #[arg(long, env = "TIDINGS_KAFKA_REPLICATION", value_name = "N", default_value_t = 1)]
    kafka_replication: i32,
}

impl KafkaArgs {
    /// The configuration for these brokers. Reads the password file.
    pub(crate) fn config(&self, brokers: &str) -> Result<KafkaConfig, Failure> {
        let path = |file: &Option<PathBuf>| file.as_ref().map(|file| file.display().to_string());
        let sasl_password = match &self.kafka_sasl_password_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|cause| {
                    Failure::usage(
                        format!("the password file {} cannot be read: {cause}", file.display()),
                        "--kafka-sasl-password-file names a file that holds the SASL password alone",
                    )
                })?;
                Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
            }
        };
        let mut config = KafkaConfig::new(brokers);
        config.security_protocol.clone_from(&self.kafka_security_protocol);
        config.sasl_mechanism.clone_from(&self.kafka_sasl_mechanism);
        config.sasl_username.clone_from(&self.kafka_sasl_username);
        config.sasl_password = sasl_password;
        config.ssl_ca_file = path(&self.kafka_ca_file);
        config.ssl_certificate_file = path(&self.kafka_certificate_file);
        config.ssl_key_file = path(&self.kafka_key_file);
        config.replication = self.kafka_replication;
        Ok(config)
    }
}
