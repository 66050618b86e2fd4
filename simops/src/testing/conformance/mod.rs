//! The test suite that every store passes: one named case per guarantee of [`crate::store`].
//!
//! Implement [`StoreBuilder`] for your store and call [`store_conformance!`](crate::store_conformance):
//!
//! ```
//! use simops::testing::{MemoryStore, StoreBuilder};
//! use simops::{Result, async_trait};
//!
//! struct Memory;
//!
//! #[async_trait]
//! impl StoreBuilder for Memory {
//!     type Store = MemoryStore;
//!     type Guard = MemoryStore;
//!
//!     async fn build(&self) -> Result<(MemoryStore, Self::Guard)> {
//!         let store = MemoryStore::new();
//!         Ok((store.clone(), store))
//!     }
//!
//!     async fn open_again(&self, guard: &Self::Guard) -> Result<Option<MemoryStore>> {
//!         Ok(Some(guard.clone()))
//!     }
//! }
//!
//! mod memory_store {
//!     simops::store_conformance!(super::Memory);
//! }
//! ```

pub mod agents;
pub mod alerts;
pub mod audit;
pub mod budgets;
pub mod control;
pub mod counter_epochs;
pub mod counting;
pub mod digests;
pub mod events;
pub mod handles;
pub mod hosts;
pub mod idempotency;
pub mod known_addresses;
pub mod kpi;
pub mod leader_leases;
pub mod recounts;
pub mod retention;
pub mod runs;
mod samples;
pub mod tallies;
pub mod usage;
pub mod values;
pub mod watching;
pub mod worlds;

use std::sync::Arc;

use async_trait::async_trait;

use crate::testing::Counting;

use crate::store::RunStore;
use crate::{Error, Result};

/// Creates the stores to test.
#[async_trait]
pub trait StoreBuilder: Send + Sync {
    /// The type of the store.
    type Store: RunStore;
    /// A resource that must outlive the store, such as a temporary directory.
    type Guard: Send + Sync;

    /// Creates a new, empty store.
    async fn build(&self) -> Result<(Self::Store, Self::Guard)>;

    /// Opens another handle to the content of the store that was created with `guard`; that store
    /// may be closed already. `None`, the default, if a second handle is not possible.
    async fn open_again(&self, guard: &Self::Guard) -> Result<Option<Self::Store>> {
        let _ = guard;
        Ok(None)
    }
}

/// Runs a case on a new store.
#[doc(hidden)]
pub async fn check<B: StoreBuilder, F: Future<Output = Result<()>>>(
    builder: &B,
    case: impl FnOnce(Arc<dyn RunStore>) -> F,
) -> Result<()> {
    let (store, guard) = builder.build().await?;
    let checked = case(Arc::new(store)).await;
    drop(guard);
    checked
}

/// Creates the counters to test.
#[async_trait]
pub trait CounterBuilder: Send + Sync {
    /// A resource that must outlive the counter.
    type Guard: Send + Sync;

    /// Creates a new counter with an empty ledger.
    async fn build(&self) -> Result<(Counting, Self::Guard)>;
}

/// Tests a store as a counter.
#[doc(hidden)]
pub struct AsCounter<B>(pub B);

#[async_trait]
impl<B: StoreBuilder> CounterBuilder for AsCounter<B> {
    type Guard = B::Guard;

    async fn build(&self) -> Result<(Counting, B::Guard)> {
        let (store, guard) = self.0.build().await?;
        let store = Arc::new(store);
        Ok((Counting { counter: Arc::clone(&store) as _, store }, guard))
    }
}

/// Runs a case on a new counter.
#[doc(hidden)]
pub async fn check_counter<B: CounterBuilder, F: Future<Output = Result<()>>>(
    builder: &B,
    case: impl FnOnce(Counting) -> F,
) -> Result<()> {
    let (counting, guard) = builder.build().await?;
    let checked = case(counting).await;
    drop(guard);
    checked
}

/// The value that a case needs, or an error.
fn present<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::internal("the store has no value where one was written"))
}

/// The result of a task that a case spawned.
async fn joined<T>(task: tokio::task::JoinHandle<T>) -> Result<T> {
    task.await.map_err(|error| Error::internal("a task of the case failed").with_source(error))
}

/// Tests a store: expands to one `#[tokio::test]` per case, under the case's name.
///
/// Takes an expression for a [`StoreBuilder`](crate::testing::StoreBuilder). Call it in a module of its
/// own. The calling crate needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($builder:expr) => {
        $crate::store_conformance! { @on_a_store $builder;
            control:
                a_new_store_is_empty,
                a_commit_stores_all_of_its_parts,
                a_commit_on_another_generation_changes_nothing,
                a_commit_with_a_used_idempotency_key_changes_nothing,
                of_concurrent_commits_on_one_generation_one_is_done,
                concurrent_commits_that_retry_all_succeed,
                the_current_run_is_the_one_that_the_setting_names,
                every_open_run_is_part_of_the_state,
                a_second_open_run_of_a_world_is_refused;
            idempotency:
                an_idempotency_record_is_stored_once,
                of_concurrent_records_of_one_key_one_is_stored,
                an_expired_idempotency_record_is_replaced,
                expired_idempotency_records_are_deleted_in_pieces;
            runs:
                every_field_of_a_run_is_kept,
                runs_are_found_by_group_and_labels,
                runs_are_listed_newest_first_in_pages,
                a_replaced_run_keeps_its_place,
                an_unknown_run_is_none;
            audit:
                audit_rows_are_paged_newest_first,
                audit_rows_are_read_oldest_first_from_an_id,
                the_stored_trail_verifies;
            watching:
                a_commit_moves_the_watch,
                a_host_moves_the_watch_by_a_change_but_not_by_a_heartbeat,
                every_step_of_an_epoch_moves_the_watch,
                turns_events_and_usage_do_not_move_the_watch;
            events:
                events_are_appended_in_order,
                an_event_is_appended_once,
                events_are_filtered_by_run_and_type,
                events_are_filtered_by_time,
                pages_of_events_show_each_once,
                an_unknown_event_is_none,
                events_of_a_run_are_counted_by_type_and_mode,
                events_since_a_time_are_counted,
                concurrent_appends_are_all_kept;
            alerts:
                alerts_are_stored_with_their_commit,
                a_conflicting_commit_stores_no_alerts,
                messages_are_listed_with_their_deliveries,
                attempts_are_recorded_only_by_the_lease_holder,
                a_delivery_and_its_attempts_are_of_one_moment,
                an_attempt_moves_the_watch;
            agents:
                a_run_keeps_as_many_agents_as_it_may,
                concurrent_callers_fill_a_run_with_agents;
            known_addresses:
                a_known_address_is_stored_once,
                the_newest_known_addresses_are_kept;
            leader_leases:
                a_leader_lease_is_stored,
                a_changed_leader_lease_is_not_replaced,
                of_concurrent_candidates_one_acquires_the_lease;
            digests:
                a_digest_is_stored_by_its_commit,
                digests_are_listed_by_date_and_status,
                a_report_is_stored_once_per_end,
                runs_without_a_report_are_found;
            tallies:
                a_window_excludes_its_start_and_includes_its_end,
                events_are_tallied_by_class,
                days_are_tallied_as_events_come,
                the_events_of_runs_are_tallied_by_run,
                events_of_a_window_are_read_in_the_order_of_time,
                the_last_event_of_a_type_before_a_time_is_found;
            hosts:
                a_report_replaces_the_one_before,
                hosts_are_listed_by_name_since_a_time,
                a_host_that_leaves_is_removed,
                hosts_without_recent_reports_are_deleted;
            kpi:
                visits_of_some_visitors_are_deleted,
                sums_are_exact_whatever_is_deleted,
                a_day_is_summed_by_kind_and_visitor,
                an_event_of_a_visitor_counts_once,
                late_events_count_returns_in_both_directions,
                days_are_listed_within_a_range,
                concurrent_days_of_a_visitor_see_each_other,
                a_random_history_sums_as_the_plain_recount_does;
            usage:
                a_day_is_summed_by_provider,
                a_row_is_recorded_once,
                a_run_is_summed,
                calls_that_were_not_sent_use_up_nothing,
                calls_since_a_time_are_summed,
                money_is_exact,
                sums_stop_at_the_greatest_number,
                failures_are_counted_in_the_trailing_window,
                calls_are_counted_along_time,
                concurrent_rows_are_all_counted,
                a_recorded_row_ends_its_lease,
                a_random_history_of_a_store_equals_that_of_the_memory_store,
                rows_are_listed_in_pages,
                calls_of_a_window_are_tallied_by_class;
            retention:
                old_events_are_deleted_in_batches_and_stay_counted,
                old_calls_are_deleted_in_batches_and_stay_summed,
                old_visits_are_deleted_in_batches_and_stay_summed,
                an_emptied_log_continues_its_ids,
                rebuilding_keeps_the_sums_of_deleted_rows;
            recounts:
                a_recount_is_exact_while_others_record_and_prune,
                a_recount_is_exact_while_visitors_are_deleted,
                a_recount_of_calls_is_exact_while_others_record_and_prune;
            budgets:
                a_budget_is_kept_until_it_is_deleted,
                what_was_used_before_a_budget_counts,
                another_definition_is_counted_from_the_ledger,
                deleted_rows_still_count,
                wrong_uses_are_found_and_corrected,
                a_new_budget_ends_counting_in_redis;
            counter_epochs:
                a_counter_epoch_is_kept,
                of_concurrent_epoch_changes_one_succeeds,
                a_new_counter_epoch_wakes_watchers,
                no_calls_are_admitted_while_another_backend_counts,
                leases_are_transferred_once,
                the_allotment_of_an_outdated_client_counts;
            worlds:
                an_epoch_is_requested_claimed_and_finished,
                a_failed_epoch_stores_its_reason,
                of_concurrent_claims_one_wins,
                only_an_epoch_that_is_being_built_can_end,
                recent_epoch_requests_are_listed_oldest_first,
                old_epochs_are_deleted_except_the_newest_and_the_current,
                an_unknown_epoch_is_an_empty_world,
                a_turn_changes_documents_and_events_together,
                a_turn_of_an_older_gate_is_stale,
                a_turn_needs_a_run_in_its_world,
                a_turn_in_another_epoch_is_stale,
                a_turn_on_another_version_is_stale,
                of_concurrent_turns_on_one_version_one_is_done;
            values:
                unusual_text_is_preserved,
                times_are_kept_to_the_microsecond,
                large_integers_are_preserved,
                json_is_preserved_exactly;
        }
        $crate::store_conformance! { @on_a_builder $builder;
            handles:
                another_handle_sees_what_was_written,
                another_handle_is_notified_of_changes,
                conflicting_commits_of_two_handles_are_detected,
                what_was_written_survives_reopening;
            kpi:
                handles_count_a_visitors_events_together,
                handles_delete_visits_by_turns;
            retention:
                handles_prune_while_others_record;
        }
        $crate::counter_conformance!($crate::testing::conformance::AsCounter($builder));
    };
    (@on_a_store $builder:expr; $($role:ident: $($case:ident),+;)+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> $crate::Result<()> {
            use $crate::testing::conformance::{check, $role};
            check(&$builder, $role::$case).await
        }
    )+)+ };
    (@on_a_builder $builder:expr; $($role:ident: $($case:ident),+;)+) => { $($(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> $crate::Result<()> {
            $crate::testing::conformance::$role::$case(&$builder).await
        }
    )+)+ };
}

/// Tests a counter: expands to one `#[tokio::test]` per case, under the case's name.
///
/// Takes an expression for a [`CounterBuilder`](crate::testing::CounterBuilder). Stores are counters as
/// well, so [`store_conformance!`](crate::store_conformance) includes this suite.
#[macro_export]
macro_rules! counter_conformance {
    ($builder:expr) => {
        $crate::counter_conformance! { @ $builder;
            a_lease_counts_until_its_row_does,
            a_released_lease_counts_no_more,
            repeated_steps_count_once,
            each_call_cap_refuses_its_calls,
            the_hard_budget_is_held_at_upper_bounds,
            calls_beyond_the_soft_cap_are_degraded,
            an_expired_lease_becomes_a_row,
            a_late_settle_replaces_the_expired_row,
            a_row_without_a_lease_is_booked,
            midnight_is_crossed_by_open_leases,
            concurrent_reservations_never_cross_a_cap,
            real_figures_replace_the_expired_row_of_another_day_and_run,
            a_settled_row_stands,
            a_reservation_that_is_repeated_after_its_end_counts_once,
            a_repeated_reservation_changes_no_figures,
            a_released_id_may_be_reserved_again,
            a_random_history_equals_that_of_the_memory_store,
        }
        $crate::counter_conformance! { @budgets $builder;
            the_first_of_overlapping_budgets_refuses,
            concurrent_reservations_never_cross_a_budget,
        }
    };
    (@ $builder:expr; $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> $crate::Result<()> {
            use $crate::testing::conformance::{check_counter, counting};
            check_counter(&$builder, counting::$case).await
        }
    )+ };
    (@budgets $builder:expr; $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> $crate::Result<()> {
            use $crate::testing::conformance::{budgets, check_counter};
            check_counter(&$builder, budgets::$case).await
        }
    )+ };
}
