//! Opening bodies that ingest sealed.

use std::sync::Arc;

use eventlog::Record;
use moka::sync::Cache;
use schemas::{Reason, raw_header};
use seal::{Cipher, Context, RootKey, SealError};
use zeroize::Zeroizing;

/// Data keys that are remembered: one per ingest process and hour.
const REMEMBERED: u64 = 1_000;

/// A body as Meta sent it; or why there is none.
pub(crate) type Body = Result<Zeroizing<Vec<u8>>, Reason>;

/// Opens bodies. Clones share the data keys they remember.
#[derive(Clone)]
pub(crate) struct Unsealer {
    root: Arc<RootKey>,
    keys: Cache<Box<str>, Arc<Cipher>>,
}

impl Unsealer {
    pub(crate) fn new(root: Arc<RootKey>) -> Self {
        Self { root, keys: Cache::new(REMEMBERED) }
    }

    /// The body of a raw record.
    ///
    /// # Errors
    /// The root key lacks the generation it was sealed for: nothing that this router may pass over.
    pub(crate) fn body(&self, record: &Record) -> Result<Body, SealError> {
        let headers = (record.header(raw_header::APP), record.header_str(raw_header::KEY));
        let (Some(app), Some(wrapped)) = headers else { return Ok(Err(Reason::NotOurs)) };
        let key = match self.keys.get(wrapped) {
            Some(key) => key,
            None => match self.root.data_key(wrapped) {
                Ok(key) => {
                    let key = Arc::new(key.cipher(0));
                    self.keys.insert(wrapped.into(), key.clone());
                    key
                }
                Err(cause @ SealError::UnknownKey { .. }) => return Err(cause),
                Err(_) => return Ok(Err(Reason::Unopenable)),
            },
        };
        let sealed = record.value.as_deref().unwrap_or_default();
        Ok(key.open(&Context::new("raw").part(app), sealed).map_err(|_| Reason::Unopenable))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eventlog::Header;

    use super::*;

    #[test]
    fn a_body_opens_for_its_app_with_the_root_it_was_sealed_for() {
        let root = Arc::new(RootKey::generate().unwrap());
        let data_key = root.edge().data_key().unwrap();
        let sealed = data_key.cipher.seal(&Context::new("raw").part("acme"), b"{}").unwrap();
        let record = |app: &'static str, key: &str, value: &[u8]| Record {
            key: None,
            value: Some(Bytes::copy_from_slice(value)),
            headers: vec![Header::new(raw_header::APP, app), Header::new(raw_header::KEY, key.to_owned())],
        };
        let unsealer = Unsealer::new(root);
        let body = |record: &Record| unsealer.body(record).map(|body| body.map(|body| body.to_vec()));
        let whole = record("acme", &data_key.wrapped, &sealed);
        assert_eq!(body(&whole).unwrap(), Ok(b"{}".to_vec()));
        assert_eq!(body(&whole).unwrap(), Ok(b"{}".to_vec()), "with the key it remembers");
        assert_eq!(body(&record("other", &data_key.wrapped, &sealed)).unwrap(), Err(Reason::Unopenable));
        assert_eq!(body(&record("acme", &data_key.wrapped, b"{}")).unwrap(), Err(Reason::Unopenable));
        assert_eq!(body(&record("acme", "h1.what", &sealed)).unwrap(), Err(Reason::Unopenable));
        let mut bare = whole.clone();
        bare.headers.pop();
        assert_eq!(body(&bare).unwrap(), Err(Reason::NotOurs));
        let other = Unsealer::new(Arc::new(RootKey::generate().unwrap()));
        assert!(matches!(other.body(&whole), Err(SealError::UnknownKey { .. })));
    }
}
