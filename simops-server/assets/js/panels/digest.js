/** Weekly digests: create, read with evidence, publish or discard, download. */

import { attr, button, h, keyed, show, text } from '../dom.js';
import { download } from '../download.js';
import { showEvidence } from '../evidence.js';
import { count, sentence, setTime, shortTime, words } from '../format.js';
import { markdown } from '../markdown.js';
import { panel } from '../panel.js';
import { pill, setPill } from '../parts.js';
import { coveredRuns, maker, numberField, runsFields } from '../report-form.js';

const TONES = { created: 'good', existing: 'busy', insufficient_evidence: 'warn', published: 'good', draft: 'busy', discarded: 'plain', verified: 'good', partial: 'warn', unverified: 'bad' };

function state(of, name, props) {
  const node = pill(props);
  setPill(node, name, words(name));
  attr(node, 'data-tone', TONES[name] ?? 'plain');
  return of ? h('span', { class: 'with-pill' }, h('span', { class: 'hint' }, of), node) : node;
}

/** A date field; `read()` returns the date, '' when empty, or null after showing a validation message. */
function dateField() {
  const message = h('p', { id: 'digest-anchor-message', class: 'field-message', hidden: true });
  const input = h('input', {
    id: 'digest-anchor', type: 'text', placeholder: 'YYYY-MM-DD', autocomplete: 'off', class: 'mono',
    'data-testid': 'digest-anchor', 'aria-describedby': 'digest-anchor-message', on: { input: () => say('') },
  });
  function say(wrong) {
    text(message, wrong);
    show(message, Boolean(wrong));
    attr(input, 'aria-invalid', wrong ? 'true' : null);
  }
  return {
    node: h('div', { class: 'field' }, h('label', { for: 'digest-anchor' }, 'Anchor date (UTC), today when empty'), input, message),
    read() {
      const typed = input.value.trim();
      const real = typed === '' || (/^\d{4}-\d{2}-\d{2}$/.test(typed) && !Number.isNaN(Date.parse(`${typed}T00:00:00Z`)));
      say(real ? '' : 'A date like 2026-03-01.');
      if (!real) input.focus();
      return real ? typed : null;
    },
  };
}

/** The panel. */
export function digestPanel(app) {
  return panel(app, { id: 'digest', title: 'Digest', topic: 'status', also: ['digests'] }, (body) => {
    const lookback = numberField({ id: 'digest-lookback', label: 'Days back', min: 1, max: 90, fallback: 7 });
    const anchor = dateField();
    const duplicate = h('input', { id: 'digest-duplicate', type: 'checkbox', 'data-testid': 'digest-duplicate' });
    const runs = runsFields('digest');
    const go = maker(app, 'Generate digest', 'digest-generate', generate);
    const outcome = h('div', { class: 'report', hidden: true, 'data-testid': 'digest-outcome' });
    const reader = h('div', { class: 'report', hidden: true, 'data-testid': 'digest-report' });
    const list = h('ul', { class: 'rows', 'data-testid': 'digest-list' });
    const none = h('p', { class: 'empty' });
    let read = null;
    body.append(
      h('p', { class: 'hint' }, 'A draft report of the days before the anchor date; each claim links to its evidence. One per anchor date and selection of runs; none without enough evidence.'),
      h('div', { class: 'compare-form' }, lookback.node, anchor.node), runs.node,
      h('label', { class: 'check' }, duplicate, h('span', null, 'Allow another draft of the same date')),
      go.node, go.failure, outcome, h('h3', null, 'Digests'), list, none, reader);

    async function generate() {
      const days = lookback.read();
      if (days === null) return lookback.focus();
      const date = anchor.read();
      if (date === null) return undefined;
      const selected = runs.read();
      if (selected === null) return undefined;
      const answer = await app.api.write('digest', {
        ...(days && { lookback_days: days }),
        ...(date && { anchor_date: date }),
        ...(duplicate.checked && { allow_duplicate_anchor: true }),
        ...selected,
      });
      tell(answer);
      await app.feeds.refresh('digests');
      if (answer.markdown) open(answer.slug, answer);
      return undefined;
    }

    /** Shows the result of a digest request. */
    function tell(answer) {
      const { requirements = {}, observed = {} } = answer.evidence_gate ?? {};
      outcome.replaceChildren(
        h('p', { class: 'with-pill' }, state('', answer.status, { 'data-testid': 'digest-status' }), h('span', null, sentence(answer.message ?? ''))),
        coveredRuns(answer.runs) && h('p', { class: 'hint' }, coveredRuns(answer.runs)),
        h('p', { class: 'hint' }, `Evidence: ${count(observed.total_events)} events (at least ${count(requirements.min_events)}), ${count(observed.llm_calls)} model calls (at least ${count(requirements.min_llm_calls)}).`));
      show(outcome, true);
    }

    /** Shows a digest; `known` when its text is already loaded. */
    async function open(slug, known) {
      try {
        const draft = known?.markdown ? known : await app.api.get(`digests/${encodeURIComponent(slug)}`);
        read = slug;
        reader.replaceChildren(
          h('div', { class: 'actions' },
            button('Download Markdown', { 'data-testid': 'digest-download', on: { click: () => download(`${slug}.md`, draft.markdown, 'text/markdown') } }),
            button('Publish', { 'data-testid': 'digest-publish', on: { click: () => move(slug, 'publish') } }),
            button('Discard', { class: 'danger-quiet', 'data-testid': 'digest-discard', on: { click: () => move(slug, 'discard') } }),
            draft.verification ? state('evidence', draft.verification) : ''),
          h('article', { class: 'prose', 'aria-label': slug }, markdown(draft.markdown, (path, label) => showEvidence(app, path, label))));
        show(reader, true);
        manage();
      } catch (error) {
        app.toast.failed(`Digest: ${error.message}`);
      }
    }

    async function move(slug, verb) {
      const publish = verb === 'publish';
      const agreed = await app.confirm({
        title: publish ? 'Publish the digest?' : 'Discard the digest?',
        effects: [publish ? 'It becomes a published record. Its text never changes.' : 'It cannot be published afterwards. Its text is kept.'],
        facts: [['Digest', slug]], ok: publish ? 'Publish' : 'Discard', danger: !publish, askReason: true,
      });
      if (!agreed) return;
      try {
        await app.api.write(`digests/${encodeURIComponent(slug)}/${verb}`, agreed.reason ? { reason: agreed.reason } : {});
        app.toast.done(publish ? 'Published.' : 'Discarded.');
      } catch (error) {
        app.toast.failed(error.message);
      }
      await app.feeds.refresh('digests');
    }

    /** Updates the controls of the digest that is shown. */
    function manage() {
      const locked = !app.store.get('status')?.admin_write_enabled;
      const draft = (app.store.get('digests')?.items ?? []).find(({ slug }) => slug === read);
      for (const [id, allowed] of [['digest-publish', ['draft']], ['digest-discard', ['draft', 'published']]]) {
        const control = reader.querySelector(`[data-testid=${id}]`);
        if (control) attr(control, 'disabled', locked || !allowed.includes(draft?.status));
      }
    }

    function create(draft) {
      const status = pill();
      const row = h('li', { 'data-digest': draft.slug, class: 'with-pill' },
        button(draft.slug, { class: 'link', on: { click: () => open(draft.slug) } }), status,
        h('span', { class: 'hint' }, setTime(h('time'), draft.created_at, shortTime), ` · ${draft.created_by}`));
      return row;
    }

    return (status) => {
      go.hold(status);
      const { data, error } = app.store.slot('digests');
      keyed(list, data?.items ?? [], ({ slug }) => slug, create, (row, draft) => {
        const node = row.querySelector('.pill');
        setPill(node, draft.status, words(draft.status));
        attr(node, 'data-tone', TONES[draft.status] ?? 'plain');
      });
      show(none, !data?.items?.length);
      text(none, error && !data ? `Digests could not be loaded: ${error.message}` : 'No digest has been drafted yet.');
      manage();
    };
  });
}
