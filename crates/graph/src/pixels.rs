//! How large an image says it is: a few kilobytes can ask whoever looks at them for gigabytes.

/// More than any camera makes, and about what a browser still shows.
const MAX_PIXELS: u64 = 200_000_000;

/// Whether the image that begins so unfolds to more than is shown. One that does not say is not, and neither is a JPEG
/// whose frame comes after the beginning.
pub(crate) fn is_huge(head: &[u8]) -> bool {
    let size = png(head).or_else(|| gif(head)).or_else(|| webp(head)).or_else(|| jpeg(head));
    size.is_some_and(|(width, height)| u64::from(width) * u64::from(height) > MAX_PIXELS)
}

type Size = Option<(u32, u32)>;

fn array<const N: usize>(head: &[u8], at: usize) -> Option<[u8; N]> {
    head.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn png(head: &[u8]) -> Size {
    let is_png = head.starts_with(b"\x89PNG\r\n\x1a\n") && array(head, 12)? == *b"IHDR";
    is_png.then_some((u32::from_be_bytes(array(head, 16)?), u32::from_be_bytes(array(head, 20)?)))
}

fn gif(head: &[u8]) -> Size {
    let size = (u16::from_le_bytes(array(head, 6)?).into(), u16::from_le_bytes(array(head, 8)?).into());
    head.starts_with(b"GIF8").then_some(size)
}

fn webp(head: &[u8]) -> Size {
    if !head.starts_with(b"RIFF") {
        return None;
    }
    match &array::<8>(head, 8)? {
        b"WEBPVP8X" => {
            let [a, b, c, d, e, f] = array(head, 24)?;
            Some((u32::from_le_bytes([a, b, c, 0]) + 1, u32::from_le_bytes([d, e, f, 0]) + 1))
        }
        b"WEBPVP8L" => {
            let bits = u32::from_le_bytes(array(head, 21)?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"WEBPVP8 " => {
            let side = |at| Some(u32::from(u16::from_le_bytes(array(head, at)?) & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        _ => None,
    }
}

/// From marker to marker, over what lies between them as decoders do.
fn jpeg(head: &[u8]) -> Size {
    if !head.starts_with(b"\xff\xd8") {
        return None;
    }
    let mut at = 2;
    loop {
        at += head.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        let [_, marker, length @ ..] = array::<4>(head, at)?;
        let length = usize::from(u16::from_be_bytes(length));
        match marker {
            // Filling, a stuffed byte, and markers that stand alone.
            0x00 | 0x01 | 0xd0..=0xd9 | 0xff => at += 1,
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, height_high, height_low, width_high, width_low, parts] = array(head, at + 4)?;
                if length == 8 + 3 * usize::from(parts) {
                    let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
                    return Some((side(width_high, width_low), side(height_high, height_low)));
                }
                at += 2;
            }
            _ => at += 2 + length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(read: fn(&[u8]) -> Size, head: &[u8], expected: Size) {
        assert_eq!(read(head), expected);
    }

    #[test]
    fn sizes() {
        let png_head = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xc3\x50\0\0\xc3\x51";
        check(png, png_head, Some((50_000, 50_001)));
        check(png, &png_head[..20], None);
        check(gif, b"GIF89a\x02\x01\x03\0", Some((258, 3)));
        check(webp, b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\x01\0\0", Some((1 << 24, 2)));
        check(webp, b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\xff\x3f\0\0", Some((16_384, 1)));
        check(webp, b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x05\0\x06\x40", Some((5, 6)));
        let jpeg_head =
            b"\xff\xd8\xff\xe0\0\x04ab garbage \xff\xff\xc4\0\x02\xff\xc2\0\x11\x08\xc3\x51\xc3\x50\x03";
        check(jpeg, jpeg_head, Some((50_000, 50_001)));
        check(jpeg, &jpeg_head[..jpeg_head.len() - 1], None);
        check(jpeg, b"\xff\xd8\xff\xe0\xff\xff", None);
    }

    #[test]
    fn huge_is_more_than_any_camera_makes() {
        let png = |width: u32, height: u32| {
            [b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes()]
                .concat()
        };
        for (width, height, expected) in
            [(1, 1, false), (16_320, 12_240, false), (50_000, 50_000, true), (u32::MAX, u32::MAX, true)]
        {
            assert_eq!(is_huge(&png(width, height)), expected, "{width} x {height}");
        }
        assert!(!is_huge(b""));
    }
}
