//! Sites, as many as there are polls in a scene.

use loom::sync::atomic::{AtomicUsize, Ordering};

#[derive(Debug)]
pub(crate) struct Site(pub(crate) usize);

pub(crate) static SITES: [Site; 3] = [Site(0), Site(1), Site(2)];

pub(crate) struct SiteCell(AtomicUsize);

impl SiteCell {
    pub(crate) fn none() -> Self {
        Self(AtomicUsize::new(SITES.len()))
    }

    pub(crate) fn load(&self) -> Option<&'static Site> {
        SITES.get(self.0.load(Ordering::Acquire))
    }

    pub(crate) fn store(&self, site: Option<&'static Site>) {
        self.0.store(site.map_or(SITES.len(), |site| site.0), Ordering::Release);
    }
}
