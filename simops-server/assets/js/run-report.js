/** The report of a run: activity, cost, end. A run that was resumed after a guardrail's stop has one report per end. */

import { readIn } from './dialog.js';
import { button, h, show } from './dom.js';
import { download } from './download.js';
import { showEvidence } from './evidence.js';
import { fullTime } from './format.js';
import { markdown } from './markdown.js';

/** Opens a dialog with it. */
export function showReport(app, runId) {
  let shown = null;
  const text = h('article', { class: 'prose', 'aria-label': `Report of ${runId}`, 'data-testid': 'run-report-text' });
  const ends = h('select', { id: 'run-report-end', 'data-testid': 'run-report-end', on: { change: () => load(ends.value) } });
  const choice = h('div', { class: 'field', hidden: true }, h('label', { for: 'run-report-end' }, 'As it ended'), ends);
  const content = h('div', { class: 'report scroll', tabindex: '0', role: 'group', 'aria-label': 'Report' }, choice, text);
  const save = (label, id, end, type, of) =>
    button(label, { 'data-testid': id, on: { click: () => shown && download(`${runId}.${end}`, of(shown), type) } });
  readIn({ name: 'run-report', title: 'Report' }, content, [
    save('Download Markdown', 'run-report-markdown', 'md', 'text/markdown', (report) => report.markdown),
    save('Download JSON', 'run-report-json', 'json', 'application/json', ({ markdown: _, ...report }) => `${JSON.stringify(report, null, 2)}\n`),
  ]);
  load(null);

  async function load(endedAt) {
    text.replaceChildren('Loading…');
    const query = endedAt ? `?ended_at=${encodeURIComponent(endedAt)}` : '';
    try {
      shown = await app.api.get(`runs/${encodeURIComponent(runId)}/report${query}`);
      const known = shown.reported_ends;
      const now = shown.final ? [] : [h('option', { value: '' }, 'Not yet: as it is now')];
      ends.replaceChildren(...now, ...known.toReversed().map((end) => h('option', { value: end }, fullTime(end))));
      ends.value = shown.final ? shown.run.ended_at : '';
      show(choice, known.length + now.length > 1);
      text.replaceChildren(...markdown(shown.markdown, (path, label) => showEvidence(app, path, label)));
    } catch (error) {
      text.replaceChildren(h('p', { class: 'failure', role: 'alert' }, error.message));
    }
  }
}
