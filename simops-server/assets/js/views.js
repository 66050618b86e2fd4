/** The views of the console: their panels, and the view that the URL fragment names. */

import { attr, h, show } from './dom.js';
import { alertsPanel } from './panels/alerts.js';
import { auditPanel } from './panels/audit.js';
import { baselinePanel } from './panels/baseline.js';
import { budgetPanel } from './panels/budget.js';
import { budgetsPanel } from './panels/budgets.js';
import { comparePanel } from './panels/compare.js';
import { configPanel } from './panels/config.js';
import { controlsPanel } from './panels/controls.js';
import { digestPanel } from './panels/digest.js';
import { eventsPanel } from './panels/events.js';
import { guardrailsPanel } from './panels/guardrails.js';
import { metricsPanel } from './panels/metrics.js';
import { openRunsPanel } from './panels/open-runs.js';
import { rollupsPanel } from './panels/rollups.js';
import { runsPanel } from './panels/runs.js';
import { statusPanel } from './panels/status.js';

/** Views in the order of the navigation; each is columns of panels. */
const VIEWS = [
  { id: 'run', label: 'Run', columns: [[controlsPanel], [statusPanel, openRunsPanel, metricsPanel, eventsPanel], [budgetPanel, guardrailsPanel, budgetsPanel]] },
  { id: 'visitors', label: 'Visitors', columns: [[rollupsPanel], [alertsPanel]] },
  { id: 'settings', label: 'Settings', columns: [[configPanel]] },
  { id: 'records', label: 'Records', columns: [[runsPanel, comparePanel], [auditPanel]] },
  { id: 'reports', label: 'Reports', columns: [[baselinePanel], [digestPanel]] },
];

/** Builds all views; the address (`#records`, or a panel's `#audit`) says which one is shown. */
export function createViews(app) {
  const nodes = new Map();
  const main = h('main', { id: 'main', class: 'views', tabindex: '-1' });
  const named = () => decodeURIComponent(window.location.hash.slice(1));
  let current = VIEWS[0].id;

  app.view = () => current;
  for (const { id, columns } of VIEWS) {
    const node = h(
      'div',
      { id, class: 'view', 'data-view': id, hidden: true },
      columns.map((panels) => h('div', { class: 'column' }, panels.map((make) => make(app)))),
    );
    nodes.set(id, node);
    main.append(node);
  }

  function follow() {
    const name = named();
    const target = document.getElementById(name);
    const node = nodes.get(name) ?? target?.closest('.view');
    // `#main` and what is unknown leave the view as it is.
    if (node) current = node.dataset.view;
    for (const [id, each] of nodes) show(each, id === current);
    app.store.put('view', current);
    if (target && node && target !== node) {
      target.scrollIntoView();
      target.focus({ preventScroll: true });
    } else if (node) window.scrollTo(0, 0);
  }

  window.addEventListener('hashchange', follow);
  return {
    main,
    follow,
    /** The links to the views; `badge(id)` is an element to hold a count. */
    navigation() {
      const badges = new Map();
      const links = VIEWS.map(({ id, label }) => {
        const badge = h('span', { class: 'badge', hidden: true });
        badges.set(id, badge);
        return h('a', { href: `#${id}`, 'data-testid': `nav-${id}` }, label, badge);
      });
      app.store.on('view', ({ data }) => {
        links.forEach((link, n) => attr(link, 'aria-current', VIEWS[n].id === data ? 'page' : null));
      });
      return { node: h('nav', { class: 'tabs', 'aria-label': 'Views' }, links), badge: (id) => badges.get(id) };
    },
  };
}
