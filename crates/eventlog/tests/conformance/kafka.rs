//! What only Kafka can show: brokers that are killed, away, or ask for a password.
