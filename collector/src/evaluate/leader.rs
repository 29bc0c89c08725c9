//! Which collector tells receivers, when several evaluate on one ClickHouse.
//!
//! Each says every few seconds that it is there, in a table, and the one with the lowest id leads of
//! those heard of lately. Pure: what the table said is passed in.

/// Seconds after which one that was not heard of does not count.
pub(super) const LEASE_SECONDS: u32 = 30;
/// Between two times that it says it is there.
pub(super) const INTERVAL_MS: u64 = 10_000;
/// Between two times that one that follows asks what was told.
pub(super) const TOLD_INTERVAL_MS: u64 = 60_000;
/// How far back that is asked: for longer than anything is tried.
pub(super) const TOLD_SECONDS: u32 = 2 * 86_400;
/// After so long without the table each tells receivers: twice is better than not at all.
const ALONE_AFTER_MS: u64 = 60_000;

/// This collector's role.
#[derive(Debug)]
pub(super) struct Leadership {
    id: String,
    leads: bool,
    unheard_since_ms: Option<u64>,
}

impl Leadership {
    /// Nothing is known yet, and somebody else may lead.
    pub(super) fn new(id: String) -> Self {
        Self { id, leads: false, unheard_since_ms: None }
    }

    /// Its id in the table.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether this collector tells receivers.
    pub(super) fn leads(&self) -> bool {
        self.leads
    }

    /// Takes what the table says: who leads, or nothing where it could not be asked.
    pub(super) fn hear(&mut self, leader: Option<&str>, now_ms: u64) -> bool {
        match leader {
            Some(leader) => {
                self.unheard_since_ms = None;
                self.leads = leader.is_empty() || leader == self.id;
            }
            None => {
                let since = *self.unheard_since_ms.get_or_insert(now_ms);
                self.leads |= now_ms.saturating_sub(since) >= ALONE_AFTER_MS;
            }
        }
        self.leads
    }
}

#[cfg(test)]
mod tests {
    use super::Leadership;

    #[test]
    fn the_one_that_the_table_names_leads() {
        let mut b = Leadership::new("b".into());
        assert!(!b.leads(), "it waits to hear of others");
        assert!(!b.hear(Some("a"), 0));
        assert!(b.hear(Some("b"), 10_000), "a was not heard of lately");
        assert!(!b.hear(Some("a"), 20_000), "a is back");
    }

    #[test]
    fn without_the_table_a_role_stays_and_after_a_minute_each_leads() {
        let mut a = Leadership::new("a".into());
        a.hear(Some("a"), 0);
        assert!(a.hear(None, 10_000), "it led");
        let mut b = Leadership::new("b".into());
        b.hear(Some("a"), 0);
        assert!(!b.hear(None, 10_000));
        assert!(!b.hear(None, 60_000));
        assert!(b.hear(None, 70_000));
        assert!(!b.hear(Some("a"), 80_000));
    }
}
