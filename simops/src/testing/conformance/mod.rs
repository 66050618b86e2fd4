//! The suite that every store passes: one named case per promise of [`crate::store`].
//!
//! Write a [`StoreBuilder`] for your store and one line:
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

pub mod alerts;
pub mod answers;
pub mod audit;
pub mod control;
pub mod counter_epochs;
pub mod counting;
pub mod digests;
pub mod events;
pub mod handles;
pub mod hosts;
pub mod kpi;
pub mod leader_leases;
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

pub use counting::Counting;

use crate::store::RunStore;
use crate::{Error, Result};

/// Makes stores to be tested.
#[async_trait]
pub trait StoreBuilder: Send + Sync {
    /// The store.
    type Store: RunStore;
    /// What must outlive a store: a temporary folder, a database to drop, nothing.
    type Guard: Send + Sync;

    /// A new, empty store.
    async fn build(&self) -> Result<(Self::Store, Self::Guard)>;

    /// Another handle on the content of the store that came with `guard`, which may be closed by
    /// now. `None`, as given, when the content cannot be reached by a second handle.
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

/// Makes counters to be tested.
#[async_trait]
pub trait CounterBuilder: Send + Sync {
    /// What must outlive a counter.
    type Guard: Send + Sync;

    /// A new counter with an empty ledger.
    async fn build(&self) -> Result<(Counting, Self::Guard)>;
}

/// A store as the counter that it is.
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

/// What a case needs to go on.
fn present<T>(value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::internal("the store holds nothing where something was written"))
}

/// The end of a task that a case began.
async fn joined<T>(task: tokio::task::JoinHandle<T>) -> Result<T> {
    task.await.map_err(|error| Error::internal("a task of the case failed").with_source(error))
}

/// Tests a store: expands to one `#[tokio::test]` per case, under the case's name.
///
/// Takes an expression for a [`StoreBuilder`](crate::testing::StoreBuilder). Put it into a module
/// of its own. The crate that uses it needs `tokio` with `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! store_conformance {
    ($builder:expr) => {
        $crate::store_conformance! { @on_a_store $builder;
            control:
                a_new_store_is_empty,
                a_commit_shows_everything_it_carries,
                a_commit_on_another_generation_changes_nothing,
                a_commit_under_an_answered_key_changes_nothing,
                of_concurrent_commits_on_one_generation_one_is_done,
                concurrent_commits_that_decide_anew_are_all_done,
                the_run_shown_is_the_one_that_the_setting_names,
                a_second_open_run_is_refused;
            answers:
                an_answer_is_recorded_once,
                of_concurrent_answers_to_one_key_one_is_kept,
                answers_are_forgotten_by_age;
            runs:
                every_field_of_a_run_is_kept,
                runs_are_listed_newest_first_in_pages,
                a_replaced_run_keeps_its_place,
                an_unknown_run_is_none;
            audit:
                audit_rows_are_paged_newest_first,
                audit_rows_are_read_on_oldest_first,
                the_stored_trail_verifies;
            watching:
                a_commit_moves_the_watch,
                a_host_moves_the_watch_by_news_but_not_by_a_sign_of_life,
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
                alerts_are_kept_with_their_change,
                an_outdated_change_brings_nothing_along,
                messages_are_listed_with_their_deliveries,
                a_try_is_kept_by_whoever_has_the_duty,
                a_try_moves_the_watch;
            leader_leases:
                a_tenure_is_kept,
                a_tenure_that_has_moved_is_not_replaced,
                of_concurrent_takers_one_has_the_duty;
            digests:
                a_digest_is_kept_by_the_commit_that_carries_it,
                digests_are_listed_by_date_and_status,
                a_report_of_an_end_is_kept_once,
                runs_without_a_report_are_found;
            tallies:
                a_window_leaves_out_its_begin_and_holds_its_end,
                events_are_tallied_by_class,
                days_are_tallied_as_events_come,
                events_of_a_window_are_read_in_the_order_of_time,
                the_last_event_of_a_type_before_a_time_is_found;
            hosts:
                a_report_replaces_the_one_before,
                hosts_are_listed_by_name_since_a_time,
                a_host_that_leaves_is_forgotten,
                silent_hosts_are_forgotten;
            kpi:
                a_day_is_summed_by_kind_and_visitor,
                an_event_of_a_visitor_counts_once,
                late_events_complete_returns_both_ways,
                days_are_listed_within_a_range,
                concurrent_days_of_a_visitor_see_each_other,
                a_random_history_sums_as_the_plain_recount_does;
            usage:
                a_day_is_summed_by_provider,
                a_row_is_recorded_once,
                a_run_is_summed,
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
                old_events_are_deleted_in_parts_and_stay_counted,
                old_calls_are_deleted_in_parts_and_stay_summed,
                old_visits_are_deleted_in_parts_and_stay_summed,
                a_log_whose_rows_are_all_old_keeps_its_last_place,
                rebuilding_keeps_what_was_counted_of_old_rows;
            counter_epochs:
                a_counter_epoch_is_kept,
                of_concurrent_epoch_changes_one_succeeds,
                a_new_counter_epoch_wakes_watchers,
                no_calls_are_admitted_while_another_backend_counts,
                leases_are_transferred_once,
                the_allotment_of_an_outdated_client_counts;
            worlds:
                an_epoch_is_asked_for_claimed_and_finished,
                an_epoch_that_fails_says_why,
                of_concurrent_claims_one_wins,
                only_an_epoch_that_is_being_built_can_end,
                epochs_asked_for_lately_are_listed_oldest_first,
                old_epochs_are_forgotten_but_for_the_newest_and_the_shown,
                an_unknown_epoch_is_an_empty_world,
                a_turn_changes_documents_and_events_together,
                a_turn_of_an_older_gate_is_stale,
                a_turn_in_another_epoch_is_stale,
                a_turn_on_a_moved_version_is_stale,
                of_concurrent_turns_on_one_version_one_is_done;
            values:
                odd_text_is_kept,
                times_are_kept_to_the_microsecond,
                great_integers_are_kept,
                json_is_kept_to_the_last_bit;
        }
        $crate::store_conformance! { @on_a_builder $builder;
            handles:
                another_handle_sees_what_was_written,
                another_handle_is_told_of_changes,
                handles_do_not_outdate_each_other_unseen,
                what_was_written_survives_reopening;
            kpi:
                handles_count_a_visitors_events_together;
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
/// Takes an expression for a [`CounterBuilder`](crate::testing::CounterBuilder). Stores are counters,
/// too: [`store_conformance!`](crate::store_conformance) includes this suite.
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
    };
    (@ $builder:expr; $($case:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() -> $crate::Result<()> {
            use $crate::testing::conformance::{check_counter, counting};
            check_counter(&$builder, counting::$case).await
        }
    )+ };
}
