/** The runtime settings: shown in groups, edited in place, reviewed, then sent as one change. */

import { attr, button, h, show, text } from '../dom.js';
import { breakable, plural, value } from '../format.js';
import { panel } from '../panel.js';
import { checkReason } from '../rules.js';
import { settingRow } from './setting.js';

const GROUPS = [
  ['Budget and call caps', /^LLM_(DAILY_BUDGET|MAX_CALLS)/],
  ['Agents and models', /^(AGENT_|LLM_|OPENROUTER_|FORCE_)/],
  ['Stop conditions', /^STOP_/],
  ['Run state (moved by the run controls)', /^SIMULATION_/],
  ['Host settings', /./],
];
const MOVED = /^SIMULATION_/;
const SOFT = 'LLM_DAILY_BUDGET_USD_SOFT';
const HARD = 'LLM_DAILY_BUDGET_USD_HARD';

/** The panel. */
export function configPanel(app) {
  return panel(app, { id: 'config', title: 'Mutable Config', topic: 'config', also: ['status'] }, (body, tools) => {
    const rows = new Map();
    const updates = new Map();
    const wrong = new Map();
    const groups = h('div', { class: 'setting-groups' });
    const filter = h('input', {
      type: 'search', placeholder: 'Filter', 'aria-label': 'Filter settings', autocomplete: 'off',
      spellcheck: 'false', size: 14, 'data-testid': 'config-filter',
    });
    const readOnly = h('p', { class: 'hint', hidden: true }, 'Read-only: write controls are disabled in this environment.');
    const summary = h('p', { role: 'status', 'data-testid': 'config-summary' });
    const reason = h('input', {
      id: 'config-reason', type: 'text', autocomplete: 'off', placeholder: 'why, for the audit trail',
      'data-testid': 'config-reason',
    });
    const failure = h('p', { class: 'failure', role: 'alert', hidden: true });
    const review = button('Review and apply…', { class: 'primary', 'data-testid': 'config-review', on: { click: apply } });
    const discard = button('Discard', { 'data-testid': 'config-discard', on: { click: forget } });
    const drafts = h(
      'div',
      { class: 'drafts', hidden: true },
      summary,
      h('div', { class: 'field' }, h('label', { for: 'config-reason' }, 'Reason'), reason),
      failure,
      h('div', { class: 'actions' }, review, discard),
    );
    tools.append(filter);
    body.append(readOnly, groups, drafts);

    function onEdit(key, next, mistake) {
      if (next === undefined) updates.delete(key);
      else updates.set(key, next);
      if (mistake) wrong.set(key, mistake);
      else wrong.delete(key);
      sum();
    }

    function sum() {
      show(drafts, updates.size + wrong.size > 0);
      const bad = wrong.size ? `; ${plural(wrong.size, 'value')} out of range` : '';
      text(summary, `${plural(updates.size, 'change')} not applied${bad}`);
      attr(review, 'disabled', wrong.size > 0 || updates.size === 0);
    }

    /** Adds rows for new settings, by group. */
    function build(specs) {
      const fresh = Object.keys(specs).filter((key) => !rows.has(key));
      if (!fresh.length) return;
      for (const key of fresh) rows.set(key, settingRow(key, specs[key], { moved: MOVED.test(key), onEdit }));
      groups.replaceChildren(...GROUPS.map(([title], index) => {
        const group = (key) => GROUPS.findIndex(([, other]) => other.test(key));
        const keys = [...rows.keys()].filter((key) => group(key) === index);
        if (!keys.length) return null;
        return h('details', { open: true }, h('summary', null, title, h('span', { class: 'hint' }, ` ${keys.length}`)),
          keys.map((key) => rows.get(key).row));
      }).filter(Boolean));
    }

    function narrow() {
      const word = filter.value.trim().toLowerCase();
      for (const details of groups.children) {
        let hits = 0;
        for (const row of details.querySelectorAll('.setting')) {
          const hit = row.textContent.toLowerCase().includes(word);
          show(row, hit);
          hits += hit;
        }
        show(details, hits > 0);
        if (word && hits) details.open = true;
      }
    }

    function forget() {
      updates.clear();
      wrong.clear();
      for (const row of rows.values()) row.discard();
      show(failure, false);
      sum();
    }

    async function apply() {
      const { effective } = app.store.get('config');
      const why = reason.value.trim();
      const after = { ...effective, ...Object.fromEntries(updates) };
      const mistake = checkReason(why)
        ?? (after[SOFT] > 0 && after[HARD] > 0 && after[HARD] < after[SOFT] ? 'The hard budget must not be below the soft one.' : null);
      text(failure, mistake ?? '');
      show(failure, Boolean(mistake));
      app.toast.clear();
      if (mistake) return;
      const agreed = await app.confirm({
        title: `Apply ${plural(updates.size, 'change')}?`,
        effects: ['All of them together or none. They take effect at once.'],
        facts: [
          ...[...updates].map(([key, next]) => [breakable(key), `${value(effective[key])} → ${value(next)}`]),
          ['Reason', why || 'none given'],
        ],
        ok: 'Apply',
      });
      if (!agreed) return;
      const sent = { updates: Object.fromEntries(updates), ...(why && { reason: why }) };
      try {
        const { applied } = await app.api.write('config', sent, 'PATCH');
        forget();
        reason.value = '';
        app.toast.done(`${plural(Object.keys(applied).length, 'setting')} changed.`);
      } catch (error) {
        for (const { field, message } of error.errors ?? []) {
          rows.get([...rows.keys()].find((key) => field === key || field.endsWith(`.${key}`)))?.say(message);
        }
        text(failure, error.message);
        show(failure, true);
        app.toast.failed(`Settings: ${error.message}`);
      }
      await app.feeds.refresh('config');
    }

    filter.addEventListener('input', narrow);
    return (config) => {
      build(config.mutable_keys);
      const locked = !(app.store.get('status')?.admin_write_enabled ?? config.admin_write_enabled);
      show(readOnly, locked);
      for (const [key, row] of rows) {
        row.set(config.effective[key], config.defaults[key]);
        row.lock(locked);
      }
    };
  });
}
