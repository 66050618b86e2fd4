/** Live hosts and the run state they have acknowledged: part of the status panel. */

import { attr, h, keyed, show, text } from '../dom.js';
import { bothTimes, count, duration, plural, words } from '../format.js';
import { pill, setPill } from '../parts.js';

const HEADS = [['Host'], ['State'], ['Heartbeat', 'figure'], ['In flight', 'figure'], ['Generation', 'figure roomy']];

/** The table; `set(status)` patches it. */
export function hostsTable(app) {
  const rows = h('tbody');
  const table = h(
    'table',
    null,
    h('thead', null, h('tr', null, HEADS.map(([label, kind]) => h('th', { scope: 'col', class: kind ?? null }, label)))),
    rows,
  );
  const scroll = h('div', { class: 'scroll-x tall', tabindex: '0', role: 'group', 'aria-label': 'Hosts' }, table);
  const none = h('p', { class: 'empty' }, 'No host has reported. Start the server with its own host, or a worker.');
  const parts = new WeakMap();

  function create(host) {
    const cells = {
      name: h('span', { class: 'mono clip', title: host.id }, host.id),
      state: pill(),
      seen: h('td', { class: 'figure' }),
      calls: h('td', { class: 'figure' }),
      generation: h('td', { class: 'figure roomy' }),
    };
    const node = h(
      'tr',
      { 'data-host': host.id },
      h('th', { scope: 'row' }, cells.name),
      h('td', null, cells.state),
      cells.seen, cells.calls, cells.generation,
    );
    parts.set(node, cells);
    return node;
  }

  return {
    node: h('div', { class: 'hosts', 'data-testid': 'hosts' }, h('h3', null, 'Hosts'), scroll, none),
    set(status) {
      const hosts = status.hosts ?? [];
      show(scroll, hosts.length > 0);
      show(none, hosts.length === 0);
      keyed(rows, hosts, (host) => host.id, create, (node, host) => {
        const cells = parts.get(node);
        attr(cells.name, 'title', host.version ? `${host.id}, version ${host.version}` : host.id);
        setPill(cells.state, host.state, words(host.state));
        text(cells.seen, `${duration(app.store.now() - Date.parse(host.last_seen))} ago`);
        attr(cells.seen, 'title', bothTimes(host.last_seen));
        text(cells.calls, count(host.in_flight_calls));
        text(cells.generation, count(host.generation));
        const behind = status.generation - host.generation;
        attr(cells.generation, 'title', behind > 0 ? `${plural(behind, 'change')} behind` : 'up to date');
      });
    },
  };
}
