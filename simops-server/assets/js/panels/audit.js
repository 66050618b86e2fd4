/** Who changed what: old value, new value, when and why. */

import { h } from '../dom.js';
import { breakable, time, value } from '../format.js';
import { panel } from '../panel.js';
import { tail } from './tail.js';

function create(row) {
  return h(
    'li',
    { 'data-audit': row.id },
    h(
      'div',
      { class: 'audit-line' },
      h('span', { class: 'mono key' }, breakable(row.key)),
      h('span', { class: 'change' },
        h('del', null, value(row.old_value)),
        h('span', { 'aria-label': 'became' }, ' → '),
        h('ins', null, value(row.new_value))),
    ),
    h(
      'div',
      { class: 'hint' },
      time(row.created_at),
      ' · ',
      h('span', { class: 'actor' }, row.changed_by),
      row.reason ? ` · ${row.reason}` : null,
    ),
  );
}

/** The panel. */
export function auditPanel(app) {
  return panel(app, { id: 'audit', title: 'Audit Trail', topic: 'audit' }, (body) => {
    const list = tail(app, {
      topic: 'audit',
      label: 'Audit trail, newest first',
      noun: 'change',
      create,
      nothing: 'Nothing has been changed yet.',
    });
    body.append(list.frame);
    return (rows) => list.set(rows);
  });
}
