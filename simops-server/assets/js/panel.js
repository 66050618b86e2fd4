/** The frame of a panel: title, age of stale data, and error isolation. */

import { attr, h, show, text } from './dom.js';
import { duration } from './format.js';

const DISCONNECTED = ['reconnecting', 'offline', 'locked'];

/**
 * A section fed by one topic of the store. `build(body, tools)` fills it once and returns the
 * function that patches it with the topic's data; `also` names topics that patch it too. Hidden
 * panels are not patched until their view opens.
 */
export function panel(app, { id, title, topic, also = [] }, build) {
  const age = h('span', { class: 'panel-note', hidden: true, 'data-testid': `age-${id}` });
  // In the head, so that it does not shift content.
  const note = h('span', { class: 'panel-note failed', role: 'alert', hidden: true, 'data-testid': `failure-${id}` });
  const tools = h('div', { class: 'panel-tools' });
  const problem = h('p', { class: 'panel-problem', role: 'alert', hidden: true });
  const loading = h('p', { class: 'empty' }, 'Loading…');
  const body = h('div', { class: 'panel-body', hidden: true });
  const section = h(
    'section',
    { id, class: 'panel', tabindex: '-1', 'data-testid': `panel-${id}`, 'aria-labelledby': `${id}-title` },
    h('header', { class: 'panel-head' }, h('h2', { id: `${id}-title` }, title), age, note, tools),
    problem,
    loading,
    body,
  );

  const patch = build(body, tools);
  const seen = () => section.closest('.view')?.hidden === false;

  function showAge() {
    if (!seen()) return;
    const ms = app.store.staleness(topic);
    show(age, ms > 0);
    if (ms > 0) text(age, `${duration(ms)} old`);
    attr(body, 'data-stale', ms > 0 ? 'true' : null);
  }

  /** The error text; empty when there is none or when the page as a whole shows it. */
  function failure(data, error) {
    if (!error) return '';
    // A lost connection is shown once for the page; the panel shows the age of its data.
    if (data !== null && DISCONNECTED.includes(app.store.get('live')?.state)) return '';
    if (error.status === 404) return `${title} is not available on this server: ${error.message}`;
    return `${title} could not be loaded: ${error.message}`;
  }

  function render() {
    if (!seen()) return;
    const { data, error } = app.store.slot(topic);
    let message = failure(data, error);
    let defective = false;
    show(body, data !== null);
    show(loading, data === null && !error);
    if (data !== null) {
      try {
        patch(data);
      } catch (defect) {
        console.error(defect);
        defective = true;
        message = `${title} cannot be shown: the answer of the server was not understood.`;
      }
    }
    const whole = data === null || defective;
    show(problem, Boolean(message) && whole);
    text(problem, whole ? message : '');
    show(note, Boolean(message) && !whole);
    text(note, whole ? '' : message);
    attr(note, 'title', whole ? null : message);
    showAge();
  }

  for (const name of [topic, 'live', 'view', ...also]) app.store.on(name, render);
  app.store.on('tick', showAge);
  return section;
}
