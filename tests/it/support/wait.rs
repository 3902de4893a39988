//! Waiting for a state, never for a time.

use std::time::Duration;

/// How long between two looks: short against everything waited for, long against the cost of a look.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` finds something, and fails with `what` when it has not within `deadline`.
pub async fn until<T, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    match tokio::time::timeout(deadline, looking).await {
        Ok(found) => found,
        Err(_) => panic!("waited {deadline:?} in vain for: {what}"),
    }
}
