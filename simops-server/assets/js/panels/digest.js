/** The weekly digest: drafted on demand when there is evidence enough, read with its evidence, downloaded. */

import { download } from '../download.js';
import { attr, button, h, show, text } from '../dom.js';
import { count, words } from '../format.js';
import { showEvidence } from '../evidence.js';
import { markdown } from '../markdown.js';
import { panel } from '../panel.js';
import { pill, setPill } from '../parts.js';
import { maker, numberField } from '../report-form.js';

const TONE = { created: 'good', existing: 'busy', insufficient_evidence: 'warn' };

/** The panel. */
export function digestPanel(app) {
  return panel(app, { id: 'digest', title: 'Digest', topic: 'status' }, (body) => {
    const lookback = numberField({ id: 'digest-lookback', label: 'Days back', min: 1, max: 90, fallback: 7 });
    const anchor = h('input', {
      id: 'digest-anchor', type: 'text', placeholder: 'YYYY-MM-DD', autocomplete: 'off', class: 'mono', 'data-testid': 'digest-anchor',
      'aria-describedby': 'digest-anchor-message', on: { input: () => sayAnchor('') },
    });
    const anchorMessage = h('p', { id: 'digest-anchor-message', class: 'field-message', hidden: true });
    const duplicate = h('input', { id: 'digest-duplicate', type: 'checkbox', 'data-testid': 'digest-duplicate' });
    const go = maker(app, 'Generate digest', 'digest-generate', generate);
    const shown = h('div', { class: 'report', hidden: true, 'data-testid': 'digest-report' });
    body.append(
      h('p', { class: 'hint' }, 'A draft of what happened, each claim with links to its evidence. One per anchor date; none when there is too little evidence.'),
      h('div', { class: 'compare-form' }, lookback.node,
        h('div', { class: 'field' }, h('label', { for: 'digest-anchor' }, 'Anchor date (UTC), today when empty'), anchor, anchorMessage)),
      h('label', { class: 'check' }, duplicate, h('span', null, 'Allow another draft of the same date')),
      go.node, go.failure, shown);

    function sayAnchor(message) {
      text(anchorMessage, message);
      show(anchorMessage, Boolean(message));
      attr(anchor, 'aria-invalid', message ? 'true' : null);
    }

    async function generate() {
      const days = lookback.read();
      if (days === null) return lookback.focus();
      const date = anchor.value.trim();
      const real = date === '' || (/^\d{4}-\d{2}-\d{2}$/.test(date) && !Number.isNaN(Date.parse(`${date}T00:00:00Z`)));
      sayAnchor(real ? '' : 'A date like 2026-03-01.');
      if (!real) return anchor.focus();
      const answer = await app.api.write('digest', {
        ...(days && { lookback_days: days }),
        ...(date && { anchor_date: date }),
        ...(duplicate.checked && { allow_duplicate_anchor: true }),
      });
      draw(answer);
      return undefined;
    }

    function draw(answer) {
      const state = pill({ 'data-testid': 'digest-status' });
      setPill(state, answer.status, words(answer.status));
      state.dataset.tone = TONE[answer.status] ?? 'plain';
      const { requirements = {}, observed = {} } = answer.evidence_gate ?? {};
      const gate = `Evidence: ${count(observed.total_events)} events (at least ${count(requirements.min_events)}), ${count(observed.llm_calls)} model calls (at least ${count(requirements.min_llm_calls)}).`;
      const source = answer.markdown ?? null;
      shown.replaceChildren(
        ...[h('p', { class: 'with-pill' }, state, h('span', null, answer.message ?? '')),
          h('p', { class: 'hint' }, gate),
          source && h('div', { class: 'actions' }, button('Download Markdown', {
            'data-testid': 'digest-download',
            on: { click: () => download(`${answer.slug ?? 'digest'}.md`, source, 'text/markdown') },
          })),
          source && h('article', { class: 'prose' }, markdown(source, (path, label) => showEvidence(app, path, label)))].filter(Boolean));
      show(shown, true);
    }

    return (status) => go.hold(status);
  });
}
