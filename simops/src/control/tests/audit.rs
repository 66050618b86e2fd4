//! A trail that was tampered with does not verify.

use crate::control::audit::{Tampered, verify};
use crate::control::{AuditHead, AuditRow};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn trail() -> impl Strategy<Value = Vec<AuditRow>> {
    let row = (any::<String>(), any::<i64>(), any::<Option<String>>(), 0..4_000_000_000_i64);
    proptest::collection::vec(row, 1..20).prop_map(|rows| {
        let mut head = AuditHead::default();
        rows.into_iter()
            .map(|(actor, value, reason, second)| {
                let row = AuditRow {
                    id: 0,
                    run_id: (second % 2 == 0).then(|| "run".to_owned()),
                    key: "LLM_MAX_CALLS_PER_DAY_TOTAL".to_owned(),
                    old_value: Value::Null,
                    new_value: json!(value),
                    changed_by: actor,
                    environment: "development".to_owned(),
                    reason,
                    created_at: Timestamp::from_second(second).unwrap(),
                    hash: String::new(),
                }
                .chained(&head);
                head = row.head();
                row
            })
            .collect()
    })
}

fn head_of(rows: &[AuditRow]) -> AuditHead {
    rows.last().map(AuditRow::head).unwrap_or_default()
}

proptest! {
    #[test]
    fn an_untouched_trail_verifies_against_every_head_it_ever_had(rows in trail()) {
        let heads: Vec<_> = rows.iter().map(AuditRow::head).collect();
        prop_assert_eq!(verify(&rows, heads).unwrap(), head_of(&rows));
    }

    #[test]
    fn an_edited_row_is_found(rows in trail(), at in any::<prop::sample::Index>(), field in 0..8) {
        let mut edited = rows.clone();
        let at = at.index(rows.len());
        let row = &mut edited[at];
        match field {
            0 => row.key.push('x'),
            1 => row.old_value = json!("other"),
            2 => row.new_value = json!("other"),
            3 => row.changed_by.push('x'),
            4 => row.environment = "production".to_owned(),
            6 => row.run_id = row.run_id.is_none().then(|| "run".to_owned()),
            5 => row.reason = Some(format!("{}x", row.reason.clone().unwrap_or_default())),
            _ => row.created_at = Timestamp::from_second(4_100_000_000).unwrap(),
        }
        prop_assert_eq!(verify(&edited, None), Err(Tampered::Edited(rows[at].id)));
    }

    #[test]
    fn an_edit_whose_hashes_were_all_recomputed_is_found_by_a_remembered_head(
        rows in trail(),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(rows.len());
        let mut head = at.checked_sub(1).map(|before| rows[before].head()).unwrap_or_default();
        let mut forged = rows.clone();
        for row in &mut forged[at..] {
            if row.id == rows[at].id {
                row.changed_by.push('x');
            }
            *row = row.clone().chained(&head);
            head = row.head();
        }
        prop_assert!(verify(&forged, None).is_ok());
        prop_assert_eq!(
            verify(&forged, [head_of(&rows)]),
            Err(Tampered::Rewritten(head_of(&rows).id))
        );
    }

    #[test]
    fn a_deleted_row_is_found(rows in trail(), at in any::<prop::sample::Index>()) {
        let mut rest = rows.clone();
        rest.remove(at.index(rows.len()));
        prop_assert!(verify(&rest, [head_of(&rows)]).is_err());
    }

    #[test]
    fn rows_in_another_order_are_found(
        rows in trail(),
        (a, b) in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let (a, b) = (a.index(rows.len()), b.index(rows.len()));
        prop_assume!(a != b);
        let mut swapped = rows.clone();
        swapped.swap(a, b);
        prop_assert!(verify(&swapped, None).is_err());
        let (id_a, id_b) = (swapped[a].id, swapped[b].id);
        (swapped[a].id, swapped[b].id) = (id_b, id_a);
        // Rows that are alike in everything but their place have not been reordered.
        prop_assume!(rows[a].new_value != rows[b].new_value);
        prop_assert!(verify(&swapped, None).is_err());
    }

    #[test]
    fn a_cut_tail_is_found_by_a_remembered_head(rows in trail(), kept in any::<prop::sample::Index>()) {
        let kept = kept.index(rows.len());
        let remembered = head_of(&rows);
        prop_assert_eq!(
            verify(&rows[..kept], [remembered.clone()]),
            Err(Tampered::Truncated { remembered: remembered.id, found: head_of(&rows[..kept]).id })
        );
    }
}
