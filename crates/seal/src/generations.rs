//! Generations of a key, the newest first, which another process may have added to in their file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::SealError;
use crate::file::Stamp;

/// How long a file that did not help is left alone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Generations as they were read from one writing of their file.
pub(crate) type Read<G> = (Vec<Arc<G>>, Stamp);
/// Reads the file; is told what is held already.
type Reader<G> = Box<dyn Fn(&[Arc<G>]) -> Result<Read<G>, SealError> + Send + Sync>;

/// One generation of a key.
pub(crate) trait Generation {
    /// Its key id.
    fn key_id(&self) -> &str;
}

/// The generations, never none.
pub(crate) struct Ring<G> {
    held: RwLock<Arc<[Arc<G>]>>,
    file: Option<Watched<G>>,
}

struct Watched<G> {
    path: PathBuf,
    read: Reader<G>,
    seen: Mutex<Seen>,
}

struct Seen {
    stamp: Stamp,
    tried: Instant,
    failed: bool,
}

impl<G: Generation> Ring<G> {
    /// Of one generation that is kept in no file.
    pub(crate) fn of(generation: G) -> Self {
        Self { held: RwLock::new(Arc::from([Arc::new(generation)])), file: None }
    }

    /// Of a file.
    pub(crate) fn read(
        path: &Path,
        read: impl Fn(&[Arc<G>]) -> Result<Read<G>, SealError> + Send + Sync + 'static,
    ) -> Result<Self, SealError> {
        Ok(Self::follow(path, read(&[])?, read))
    }

    /// Of a file that was read before.
    pub(crate) fn follow(
        path: &Path,
        (generations, stamp): Read<G>,
        read: impl Fn(&[Arc<G>]) -> Result<Read<G>, SealError> + Send + Sync + 'static,
    ) -> Self {
        let seen = Seen { stamp, tried: Instant::now(), failed: false };
        let file = Watched { path: path.to_owned(), read: Box::new(read), seen: Mutex::new(seen) };
        Self { held: RwLock::new(generations.into()), file: Some(file) }
    }

    /// Its file, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// What is held, the newest first.
    pub(crate) fn held(&self) -> Arc<[Arc<G>]> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest generation there is: what new things are sealed with. A file that was replaced is read first, so
    /// that nothing is sealed any more with a generation about to be retired.
    pub(crate) fn newest(&self) -> Arc<G> {
        // A file that cannot be read now changes nothing: what is held was in it.
        let _: Result<(), SealError> = self.refresh(|file, seen| Stamp::now(&file.path) != Some(seen.stamp));
        Arc::clone(self.held().first().expect("a ring is never empty"))
    }

    /// The generation of this id. One that is not known makes the file be read again, once a second at most.
    pub(crate) fn find(&self, key_id: &str) -> Result<Arc<G>, SealError> {
        if let Some(found) = self.holds(key_id) {
            return Ok(found);
        }
        self.refresh(|file, seen| {
            self.holds(key_id).is_none()
                && (seen.tried.elapsed() >= PATIENCE || Stamp::now(&file.path) != Some(seen.stamp))
        })?;
        self.holds(key_id).ok_or_else(|| SealError::UnknownKey { key_id: key_id.to_owned() })
    }

    /// Reads the file now, whatever is known of it.
    pub(crate) fn reread(&self) -> Result<Read<G>, SealError> {
        let file = self.file.as_ref().ok_or(SealError::NoFile)?;
        let mut seen = file.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.take(file, &mut seen)?;
        Ok((self.held().to_vec(), seen.stamp))
    }

    /// What was last read, if it was read from a file.
    pub(crate) fn last_read(&self) -> Option<Read<G>> {
        let seen = self.file.as_ref()?.seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some((self.held().to_vec(), seen.stamp))
    }

    fn holds(&self, key_id: &str) -> Option<Arc<G>> {
        self.held().iter().find(|generation| generation.key_id() == key_id).cloned()
    }

    fn refresh(&self, wanted: impl Fn(&Watched<G>, &Seen) -> bool) -> Result<(), SealError> {
        let Some(file) = &self.file else { return Ok(()) };
        // Whoever waits here finds what the one before read.
        let mut seen = file.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if (seen.failed && seen.tried.elapsed() < PATIENCE) || !wanted(file, &seen) {
            return Ok(());
        }
        self.take(file, &mut seen)
    }

    fn take(&self, file: &Watched<G>, seen: &mut Seen) -> Result<(), SealError> {
        let answer = (file.read)(&self.held());
        seen.tried = Instant::now();
        seen.failed = answer.is_err();
        let (generations, stamp) = answer?;
        seen.stamp = stamp;
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = generations.into();
        Ok(())
    }
}
