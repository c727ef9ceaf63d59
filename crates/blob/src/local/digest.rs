//! Checksums that a client sent along, held against what arrived.

use s3s::checksum::ChecksumHasher;
use s3s::dto::{Checksum, ChecksumAlgorithm};
use s3s::{S3Result, TrailingHeaders, s3_error};

/// Sums up a body as it arrives.
pub(super) struct Digest {
    hasher: ChecksumHasher,
    expected: Checksum,
}

impl Digest {
    /// `expected` is what came before the body; `algorithm` announces what comes after it.
    pub(super) fn new(expected: Checksum, algorithm: Option<&ChecksumAlgorithm>) -> S3Result<Self> {
        let mut hasher = ChecksumHasher {
            crc32: expected.checksum_crc32.as_ref().map(|_| Default::default()),
            crc32c: expected.checksum_crc32c.as_ref().map(|_| Default::default()),
            sha1: expected.checksum_sha1.as_ref().map(|_| Default::default()),
            sha256: expected.checksum_sha256.as_ref().map(|_| Default::default()),
            crc64nvme: expected.checksum_crc64nvme.as_ref().map(|_| Default::default()),
        };
        match algorithm.map(ChecksumAlgorithm::as_str) {
            None => {}
            Some(ChecksumAlgorithm::CRC32) => hasher.crc32 = Some(Default::default()),
            Some(ChecksumAlgorithm::CRC32C) => hasher.crc32c = Some(Default::default()),
            Some(ChecksumAlgorithm::SHA1) => hasher.sha1 = Some(Default::default()),
            Some(ChecksumAlgorithm::SHA256) => hasher.sha256 = Some(Default::default()),
            Some(ChecksumAlgorithm::CRC64NVME) => hasher.crc64nvme = Some(Default::default()),
            Some(_) => return Err(s3_error!(NotImplemented, "this checksum is not known here")),
        }
        Ok(Self { hasher, expected })
    }

    pub(super) fn update(&mut self, chunk: &[u8]) {
        self.hasher.update(chunk);
    }

    /// The sums, unless one of them is not what the client said.
    pub(super) fn finish(self, trailers: Option<TrailingHeaders>) -> S3Result<Checksum> {
        let mut expected = self.expected;
        if let Some(trailers) = trailers.and_then(|trailers| trailers.take()) {
            let read = |name: &str| Some(trailers.get(name)?.to_str().ok()?.to_owned());
            for (name, sum) in [
                ("x-amz-checksum-crc32", &mut expected.checksum_crc32),
                ("x-amz-checksum-crc32c", &mut expected.checksum_crc32c),
                ("x-amz-checksum-sha1", &mut expected.checksum_sha1),
                ("x-amz-checksum-sha256", &mut expected.checksum_sha256),
                ("x-amz-checksum-crc64nvme", &mut expected.checksum_crc64nvme),
            ] {
                *sum = read(name).or_else(|| sum.take());
            }
        }
        let found = self.hasher.finalize();
        if found == expected { Ok(found) } else { Err(s3_error!(BadDigest)) }
    }
}
