//! The agents of each run that are kept apart.

use std::sync::Arc;

use crate::store::RunStore;
use crate::{AgentId, Error, Result};

/// A run keeps as many agents as it may, each for good. Runs do not share them.
pub async fn a_run_keeps_as_many_agents_as_it_may(store: Arc<dyn RunStore>) -> Result<()> {
    let agent = |text: &str| AgentId::from(text);
    for (run_id, text, is_kept) in [
        ("a", "Ann", true),
        ("a", "ann", true),
        ("a", "-7", true),
        ("a", "Bob", false),
        ("a", "Ann", true),
        ("b", "Bob", true),
        ("", "Bob", true),
        ("a", "Bob", false),
    ] {
        assert_eq!(store.keep_agent(run_id, &agent(text), 3).await?, is_kept, "{run_id} {text}");
    }
    assert!(store.keep_agent("a", &agent("Bob"), 4).await?);
    assert!(store.keep_agent("a", &agent("Bob"), 1).await?, "what is kept stays");
    assert!(!store.keep_agent("c", &agent("Bob"), 0).await?);
    Ok(())
}

/// However many callers add agents at once, a run has as many as it may and not one more.
pub async fn concurrent_callers_fill_a_run_with_agents(store: Arc<dyn RunStore>) -> Result<()> {
    let mut callers = Vec::new();
    for caller in 0..8 {
        let store = Arc::clone(&store);
        callers.push(tokio::spawn(async move {
            let mut kept = Vec::new();
            for n in 0..10 {
                let agent = AgentId::from(format!("Agent {}", (caller * 5 + n) % 45));
                if store.keep_agent("run", &agent, 30).await? {
                    kept.push(agent);
                }
            }
            Ok::<_, Error>(kept)
        }));
    }
    let mut all = std::collections::BTreeSet::new();
    for caller in callers {
        all.extend(super::joined(caller).await??);
    }
    assert_eq!(all.len(), 30);
    Ok(())
}
