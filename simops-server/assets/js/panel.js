/** The frame of a panel: title, age of stale data, and a failure that stays inside it. */

import { h, show, text } from './dom.js';
import { duration } from './format.js';

const AWAY = ['reconnecting', 'offline', 'locked'];

/**
 * A section fed by one topic of the store. `build(body, tools)` fills it once and returns the
 * function that patches it with the topic's data; `also` names topics that patch it too.
 */
export function panel(app, { id, title, topic, also = [] }, build) {
  const note = h('span', { class: 'panel-note', hidden: true });
  const tools = h('div', { class: 'panel-tools' });
  const problem = h('p', { class: 'panel-problem', role: 'alert', hidden: true });
  const loading = h('p', { class: 'empty' }, 'Loading…');
  const body = h('div', { class: 'panel-body', hidden: true });
  const section = h(
    'section',
    { id, class: 'panel', tabindex: '-1', 'data-testid': `panel-${id}`, 'aria-labelledby': `${id}-title` },
    h('header', { class: 'panel-head' }, h('h2', { id: `${id}-title` }, title), note, tools),
    problem,
    loading,
    body,
  );

  const patch = build(body, tools);

  function age() {
    const ms = app.store.staleness(topic);
    show(note, ms > 0);
    if (ms > 0) text(note, `${duration(ms)} old`);
  }

  function render() {
    const { data, error } = app.store.slot(topic);
    // When nothing answers at all the page says so once; the panel's part is the age of what it shows.
    const everywhere = error && data !== null && AWAY.includes(app.store.get('live')?.state);
    let message = error && !everywhere && `${title} could not be loaded: ${error.message}`;
    show(body, data !== null);
    show(loading, data === null && !error);
    if (data !== null) {
      try {
        patch(data);
      } catch (defect) {
        console.error(defect);
        message = `${title} cannot be shown: the answer of the server was not understood.`;
      }
    }
    show(problem, Boolean(message));
    text(problem, message || '');
    age();
  }

  for (const name of [topic, 'live', ...also]) app.store.on(name, render);
  app.store.on('tick', age);
  return section;
}
