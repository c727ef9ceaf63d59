//! Identifiers in the shapes Meta gives them. Like Meta's, the message ids hold the person's number: they are to be treated
//! as personal data by whoever receives them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rand::Rng;
use rand::rngs::StdRng;

/// A numeric id of this many digits, not beginning with zero.
pub(crate) fn numeric(random: &mut StdRng, digits: u32) -> String {
    random.random_range(10u64.pow(digits - 1)..10u64.pow(digits)).to_string()
}

/// A WhatsApp message id: `wamid.` and base64 around the other side's number.
pub(crate) fn wamid(random: &mut StdRng, number: &str, outbound: bool) -> String {
    let mut bytes = vec![0x1c, 0x18, number.len() as u8];
    bytes.extend_from_slice(number.as_bytes());
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, if outbound { 0x11 } else { 0x12 }, 0x18, 0x14]);
    bytes.extend_from_slice(hex::encode_upper(random.random::<[u8; 10]>()).as_bytes());
    bytes.push(0);
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// A Messenger message id.
pub(crate) fn messenger_mid(random: &mut StdRng) -> String {
    let bytes: [u8; 64] = std::array::from_fn(|_| random.random());
    format!("m_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// An Instagram message id.
pub(crate) fn instagram_mid(random: &mut StdRng, account: &str, person: &str) -> String {
    let text = format!("ig_message_item:{account}:{person}:{:020}", random.random::<u64>());
    format!("aWdfZAG1faXRlbTox{}", URL_SAFE_NO_PAD.encode(text))
}
