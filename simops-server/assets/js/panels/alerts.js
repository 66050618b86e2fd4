/** Which figures have fallen: how far, how sure that is, and whether anybody was told. */

import { attr, h, keyed, show, text } from '../dom.js';
import { count, number, percent, sentence, words } from '../format.js';
import { interval, rate } from '../kpi.js';
import { panel } from '../panel.js';
import { facts, pill, setPill } from '../parts.js';

const DELIVERY = {
  disabled: 'Delivery by webhook is switched off (KPI_ALERT_WEBHOOK_ENABLED).',
  missing_webhook_url: 'Delivery is on, but no address is set (KPI_ALERT_WEBHOOK_URL).',
  no_critical_alerts: 'Nothing to deliver: only critical alerts are sent.',
  cooldown_active: 'The same alert was sent within the cooldown; it is not sent again.',
  http_error: 'The receiver did not take the message; it is sent again with growing pauses.',
};

/** What became of telling others, as a sentence. */
function delivery(notification) {
  if (!notification) return 'The server says nothing about delivery.';
  if (notification.sent) return 'The alert was delivered.';
  return DELIVERY[notification.reason] ?? (notification.reason ? words(notification.reason) : 'Not sent.');
}

/** The panel. */
export function alertsPanel(app) {
  return panel(app, { id: 'alerts', title: 'KPI Alerts', topic: 'rollups', also: ['status'] }, (body, tools) => {
    const critical = pill({ 'data-testid': 'alerts-critical' });
    const warning = pill({ 'data-testid': 'alerts-warning' });
    const list = h('ul', { class: 'alerts' });
    const none = h('p', { class: 'empty' }, 'No alert: every figure with enough visitors is above its floors and near its 7-day mean.');
    const state = h('p', { class: 'hint', 'data-testid': 'alerts-delivery' });
    tools.append(critical, warning);
    body.append(list, none, h('h3', null, 'Delivery'), state);
    const parts = new WeakMap();

    function create(item) {
      const severity = pill();
      const message = h('p', null);
      const details = facts([
        ['latest_value', 'Value', 'figure'], ['interval', '95 % interval', 'figure'], ['seven_day_avg_value', '7-day mean', 'figure'], ['drop_ratio', 'Drop', 'figure'],
        ['sample', 'Sample', 'figure'], ['day_key', 'Day', 'figure'], ['reasons', 'Reasons', 'figure'],
      ]);
      details.list.classList.add('pairs');
      const node = h('li', { 'data-alert': item.metric }, h('div', { class: 'split' }, h('strong', null, item.label ?? item.metric), severity), message, details.list);
      parts.set(node, { severity, message, details });
      return node;
    }

    function update(node, item) {
      const { severity, message, details } = parts.get(node);
      attr(node, 'data-severity', item.severity);
      setPill(severity, item.severity, words(item.severity));
      attr(severity, 'data-tone', item.severity === 'critical' ? 'bad' : 'warn');
      text(message, sentence(item.message ?? ''));
      details.set('latest_value', rate(item.latest_value));
      details.set('interval', interval(item.interval));
      details.set('seven_day_avg_value', rate(item.seven_day_avg_value));
      details.set('drop_ratio', typeof item.drop_ratio !== 'number' ? 'n/a' : item.drop_ratio > 0 ? percent(item.drop_ratio) : 'none');
      details.set('sample', `${count(item.sample_size)} (at least ${number(item.minimum_sample_size)})`);
      details.set('day_key', item.partial ? `${item.day_key} (partial)` : item.day_key);
      details.set('reasons', (item.reasons ?? []).map(words).join(', '));
    }

    return ({ alerts = {}, alert_notification: notification }) => {
      const { critical: bad = 0, warning: some = 0 } = alerts.counts ?? {};
      setPill(critical, 'critical', `${bad} critical`);
      attr(critical, 'data-tone', bad ? 'bad' : 'plain');
      setPill(warning, 'warning', `${some} warning`);
      attr(warning, 'data-tone', some ? 'warn' : 'plain');
      const items = alerts.items ?? [];
      keyed(list, items, (item) => item.metric, create, update);
      show(none, items.length === 0);
      text(state, delivery(notification));
    };
  });
}
