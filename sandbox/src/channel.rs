//! Meta's three messaging products.

/// One of Meta's three messaging products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Facebook Messenger, `object: page`.
    Messenger,
    /// Instagram Direct, `object: instagram`.
    Instagram,
    /// WhatsApp Cloud API, `object: whatsapp_business_account`.
    Whatsapp,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 3] = [Self::Messenger, Self::Instagram, Self::Whatsapp];

    /// The channel as its one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Messenger => "messenger",
            Self::Instagram => "instagram",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// `object` of a delivery of this channel (`meta-platform.md` §2.1).
    pub(crate) const fn object(self) -> &'static str {
        match self {
            Self::Messenger => "page",
            Self::Instagram => "instagram",
            Self::Whatsapp => "whatsapp_business_account",
        }
    }
}
