//! Access tokens: who holds a good one. A token's end is noticed when a call begins; a stream that runs goes on.

use std::collections::HashMap;

use parking_lot::Mutex;

#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, i64>>);

impl Tokens {
    /// A new token, good until `expires_at_ms`.
    pub(crate) fn issue(&self, organization_id: &str, expires_at_ms: i64) -> String {
        // Two UUIDs make the ~112 characters of a real token, which also has a '!' after the org's id.
        let random = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        let token = format!("{organization_id}!AQ{random}{}", &random[..30]);
        self.0.lock().insert(token.clone(), expires_at_ms);
        token
    }

    pub(crate) fn accept(&self, token: &str) {
        self.0.lock().insert(token.to_owned(), i64::MAX);
    }

    pub(crate) fn is_good(&self, token: &str, now_ms: i64) -> bool {
        self.0
            .lock()
            .get(token)
            .is_some_and(|&expires_at_ms| now_ms < expires_at_ms)
    }

    pub(crate) fn revoke_all(&self) {
        self.0.lock().clear();
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.0.lock().remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let tokens = Tokens::default();
        let token = tokens.issue("00DSB0000000001", 1_000);
        assert!(
            token.starts_with("00DSB0000000001!") && token.len() == 112,
            "{}",
            token.len()
        );
        assert!(tokens.is_good(&token, 999));
        assert!(!tokens.is_good(&token, 1_000));
        tokens.accept("mine");
        tokens.revoke(&token);
        assert!(!tokens.is_good(&token, 0) && tokens.is_good("mine", 0));
        tokens.revoke_all();
        assert!(!tokens.is_good("mine", 0));
    }
}
