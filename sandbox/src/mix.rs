//! How often which shape of delivery comes.

/// Shares of the shapes of a delivery, in thousandths; they add up to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// One WhatsApp message.
    pub whatsapp_message: u32,
    /// WhatsApp statuses only.
    pub whatsapp_status: u32,
    /// One Messenger or Instagram item.
    pub page: u32,
    /// One message with an attachment, on any channel.
    pub attachment: u32,
    /// 10 to 30 items, several accounts.
    pub batch: u32,
    /// 200 to 260 items, several accounts.
    pub large_batch: u32,
}

impl Mix {
    /// `meta-mix v1` of `performance.md` §4: what an endpoint sees.
    pub const META: Self = Self {
        whatsapp_message: 550,
        whatsapp_status: 250,
        page: 120,
        attachment: 60,
        batch: 18,
        large_batch: 2,
    };

    /// More of what views have to fold: Messenger and Instagram, attachments, batches.
    pub const LIVELY: Self = Self {
        whatsapp_message: 380,
        whatsapp_status: 120,
        page: 380,
        attachment: 85,
        batch: 33,
        large_batch: 2,
    };

    /// The shape at a point from 0 to 999.
    pub(crate) fn shape(&self, mut point: u32) -> Shape {
        let shapes = [
            (self.whatsapp_message, Shape::WhatsappMessage),
            (self.whatsapp_status, Shape::WhatsappStatus),
            (self.page, Shape::Page),
            (self.attachment, Shape::Attachment),
            (self.batch, Shape::Batch),
            (self.large_batch, Shape::LargeBatch),
        ];
        for (share, shape) in shapes {
            if point < share {
                return shape;
            }
            point -= share;
        }
        Shape::WhatsappMessage
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    WhatsappMessage,
    WhatsappStatus,
    Page,
    Attachment,
    Batch,
    LargeBatch,
}
