//! The form of a backup before it is sealed: frames of one byte for the kind, four for the length, and what they hold.
//!
//! `H` names the database and the version of its schema; `T` a table and its columns; `D` holds some of what `COPY …
//! (FORMAT binary)` gave for it; `E` ends the table and counts its rows; `Z` ends the backup. Without `Z` it is none.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::BackupError;

const MAGIC: &str = "tidings-backup-v1";
const HEAD_BYTES: usize = 5;
/// A row may hold 5 MiB; nothing holds more than a few of them.
const MOST_BYTES: usize = 64 << 20;
/// Rows are gathered to frames of about this size.
const FRAME_BYTES: usize = 64 << 10;

/// What a frame holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Frame {
    Head { database: String, schema: u32 },
    Table { name: String, columns: String },
    Data(Bytes),
    Rows(u64),
    End,
}

impl Frame {
    fn encode(&self) -> Bytes {
        let (kind, held) = match self {
            Self::Head { database, schema } => (b'H', Bytes::from(format!("{MAGIC}\n{database}\n{schema}"))),
            Self::Table { name, columns } => (b'T', Bytes::from(format!("{name}\n{columns}"))),
            Self::Data(data) => (b'D', data.clone()),
            Self::Rows(rows) => (b'E', Bytes::copy_from_slice(&rows.to_be_bytes())),
            Self::End => (b'Z', Bytes::new()),
        };
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + held.len());
        bytes.put_u8(kind);
        bytes.put_u32(u32::try_from(held.len()).unwrap_or(u32::MAX));
        bytes.extend_from_slice(&held);
        bytes.freeze()
    }

    fn decode(kind: u8, held: Bytes) -> Option<Self> {
        let text = || std::str::from_utf8(&held).ok();
        match kind {
            b'H' => {
                let (database, schema) = text()?.strip_prefix(MAGIC)?.strip_prefix('\n')?.split_once('\n')?;
                Some(Self::Head { database: database.to_owned(), schema: schema.parse().ok()? })
            }
            b'T' => {
                let (name, columns) = text()?.split_once('\n')?;
                Some(Self::Table { name: name.to_owned(), columns: columns.to_owned() })
            }
            b'D' => Some(Self::Data(held)),
            b'E' => Some(Self::Rows(u64::from_be_bytes(held.as_ref().try_into().ok()?))),
            b'Z' if held.is_empty() => Some(Self::End),
            _ => None,
        }
    }
}

/// Writes frames; rows are gathered.
pub(crate) struct FrameWriter<'a> {
    sink: &'a mpsc::Sender<Bytes>,
    held: BytesMut,
}

impl<'a> FrameWriter<'a> {
    pub(crate) fn new(sink: &'a mpsc::Sender<Bytes>) -> Self {
        Self { sink, held: BytesMut::new() }
    }

    pub(crate) async fn rows(&mut self, some: &[u8]) -> Result<(), BackupError> {
        self.held.extend_from_slice(some);
        if self.held.len() >= FRAME_BYTES { self.flush().await } else { Ok(()) }
    }

    pub(crate) async fn frame(&mut self, frame: &Frame) -> Result<(), BackupError> {
        self.flush().await?;
        self.send(frame).await
    }

    async fn flush(&mut self) -> Result<(), BackupError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let data = Frame::Data(self.held.split().freeze());
        self.send(&data).await
    }

    async fn send(&self, frame: &Frame) -> Result<(), BackupError> {
        self.sink.send(frame.encode()).await.map_err(|_| BackupError::Unread)
    }
}

/// Reads frames out of pieces of any size.
pub(crate) struct FrameReader {
    source: mpsc::Receiver<Bytes>,
    held: BytesMut,
}

impl FrameReader {
    pub(crate) fn new(source: mpsc::Receiver<Bytes>) -> Self {
        Self { source, held: BytesMut::new() }
    }

    pub(crate) async fn next(&mut self) -> Result<Frame, BackupError> {
        self.fill(HEAD_BYTES).await?;
        let kind = self.held.get_u8();
        let length = self.held.get_u32() as usize;
        if length > MOST_BYTES {
            return Err(BackupError::Damaged);
        }
        self.fill(length).await?;
        Frame::decode(kind, self.held.split_to(length).freeze()).ok_or(BackupError::Damaged)
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), BackupError> {
        while self.held.len() < wanted {
            let piece = self.source.recv().await.ok_or(BackupError::Damaged)?;
            self.held.extend_from_slice(&piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_survive_any_cut_and_what_ends_early_is_none() {
        let frames = [
            Frame::Head { database: "views".into(), schema: 5 },
            Frame::Table { name: "message".into(), columns: "a, b".into() },
            Frame::Data(Bytes::from(vec![7; 100_000])),
            Frame::Rows(3),
            Frame::End,
        ];
        let whole: Vec<u8> = frames.iter().flat_map(|frame| frame.encode().to_vec()).collect();
        for (size, length) in
            [(1, whole.len()), (7, whole.len()), (70_000, whole.len()), (64, whole.len() - 1)]
        {
            let (sink, source) = mpsc::channel(whole.len());
            for piece in whole[..length].chunks(size) {
                sink.send(Bytes::copy_from_slice(piece)).await.unwrap();
            }
            drop(sink);
            let mut reader = FrameReader::new(source);
            for frame in &frames {
                match reader.next().await {
                    Ok(read) => assert_eq!(read, *frame),
                    Err(cause) => {
                        assert!(length < whole.len() && matches!(cause, BackupError::Damaged));
                        assert_eq!(*frame, Frame::End);
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for wrong in
            [&b"X\0\0\0\0"[..], b"D\xff\xff\xff\xff", b"H\0\0\0\x01x", b"E\0\0\0\x01x", b"Z\0\0\0\x01x"]
        {
            let (sink, source) = mpsc::channel(1);
            sink.send(Bytes::copy_from_slice(wrong)).await.unwrap();
            drop(sink);
            assert!(matches!(FrameReader::new(source).next().await, Err(BackupError::Damaged)), "{wrong:?}");
        }
    }
}
