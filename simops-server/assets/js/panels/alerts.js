/** KPI alerts: values and thresholds, acknowledgement, silence, and delivery of messages. */

import { attr, button, h, keyed, show, text } from '../dom.js';
import { bothTimes, count, fullTime, number, percent, sentence, words } from '../format.js';
import { interval, rate } from '../kpi.js';
import { panel } from '../panel.js';
import { facts, pill, setPill } from '../parts.js';
import { deliveryPart } from './delivery.js';

const SILENCES = [[60, '1 hour'], [240, '4 hours'], [1_440, '1 day'], [10_080, '7 days']];
const DETAILS = [
  ['latest_value', 'Value', 'figure'], ['interval', '95 % interval', 'figure'], ['seven_day_avg_value', '7-day mean', 'figure'],
  ['drop_ratio', 'Drop', 'figure'], ['sample', 'Sample', 'figure'], ['day_key', 'Day', 'figure'], ['reasons', 'Reasons', 'figure'],
];

/** Acknowledgement and silence of an alert, as a sentence. */
function standing(alert, now) {
  if (!alert) return '';
  const known = alert.acknowledged_at ? `Acknowledged by ${alert.acknowledged_by} at ${fullTime(alert.acknowledged_at)}.` : `Firing since ${fullTime(alert.fired_at)}; not acknowledged.`;
  const silent = Date.parse(alert.silenced_until) > now ? ` Silenced by ${alert.silenced_by ?? 'unknown actor'} until ${fullTime(alert.silenced_until)}.` : '';
  return known + silent;
}

/** The panel. */
export function alertsPanel(app) {
  return panel(app, { id: 'alerts', title: 'KPI Alerts', topic: 'rollups', also: ['status', 'alerts', 'notifications'] }, (body, tools) => {
    const critical = pill({ 'data-testid': 'alerts-critical' });
    const warning = pill({ 'data-testid': 'alerts-warning' });
    const list = h('ul', { class: 'alerts' });
    const none = h('p', { class: 'empty' }, 'No alert: every figure with enough visitors is above its floors and near its 7-day mean.');
    const failure = h('p', { class: 'failure', role: 'alert', hidden: true, 'data-testid': 'alerts-error' });
    const delivery = deliveryPart(app, act);
    tools.append(critical, warning);
    body.append(failure, list, none, delivery.node);
    const parts = new WeakMap();

    /** Confirms, sends the request and refreshes the panel. */
    async function act(path, question, sent = {}) {
      show(failure, false);
      const agreed = await app.confirm({ ...question, askReason: true });
      if (!agreed) return;
      try {
        await app.api.write(path, { ...sent, ...(agreed.reason && { reason: agreed.reason }) });
        app.toast.done(question.done);
      } catch (error) {
        text(failure, error.message);
        show(failure, true);
      }
      await Promise.all(['alerts', 'notifications', 'rollups'].map((topic) => app.feeds.refresh(topic)));
    }

    function create(item) {
      const label = item.label ?? item.metric;
      const part = { severity: pill(), message: h('p', null), state: h('p', { class: 'hint' }), details: facts(DETAILS), alert: null };
      part.details.list.classList.add('pairs');
      const about = { facts: [['Alert', label]] };
      const path = (verb) => `kpi/alerts/${encodeURIComponent(part.alert.id)}/${verb}`;
      part.acknowledge = button('Acknowledge', {
        'data-testid': `acknowledge-${item.metric}`,
        on: { click: () => act(path('acknowledge'), { ...about, title: 'Acknowledge the alert?', ok: 'Acknowledge', done: 'Acknowledged.', effects: ['Others see that you acknowledged it. No further message is sent unless it gets worse.'] }) },
      });
      part.length = h('select', { 'aria-label': `Silence ${label} for`, 'data-testid': `silence-for-${item.metric}` }, SILENCES.map(([minutes, name]) => h('option', { value: minutes }, name)));
      part.silence = button('Silence', {
        'data-testid': `silence-${item.metric}`,
        on: { click: () => {
          const name = part.length.selectedOptions[0].textContent;
          act(path('silence'), { ...about, title: `Silence the alert for ${name}?`, ok: 'Silence', done: `Silenced for ${name}.`, effects: ['No message is sent during that time; the alert stays on this page.'] }, { minutes: Number(part.length.value) });
        } },
      });
      part.unsilence = button('End silence', {
        'data-testid': `unsilence-${item.metric}`,
        on: { click: () => act(path('silence'), { ...about, title: 'End the silence?', ok: 'End silence', done: 'The silence has ended.', effects: ['Messages are sent again while it is critical.'] }) },
      });
      part.why = h('p', { class: 'hint' });
      part.controls = h('div', { class: 'actions' }, part.acknowledge, part.length, part.silence, part.unsilence);
      const node = h('li', { 'data-alert': item.metric },
        h('div', { class: 'split' }, h('strong', null, label), part.severity), part.message, part.details.list, part.state, part.controls, part.why);
      parts.set(node, part);
      return node;
    }

    function update(node, item) {
      const part = parts.get(node);
      const { details } = part;
      attr(node, 'data-severity', item.severity);
      setPill(part.severity, item.severity, words(item.severity));
      attr(part.severity, 'data-tone', item.severity === 'critical' ? 'bad' : 'warn');
      text(part.message, sentence(item.message ?? ''));
      details.set('latest_value', rate(item.latest_value));
      details.set('interval', interval(item.interval));
      details.set('seven_day_avg_value', rate(item.seven_day_avg_value));
      details.set('drop_ratio', typeof item.drop_ratio !== 'number' ? 'n/a' : item.drop_ratio > 0 ? percent(item.drop_ratio) : 'none');
      details.set('sample', `${count(item.sample_size)} (at least ${number(item.minimum_sample_size)})`);
      details.set('day_key', item.partial ? `${item.day_key} (partial)` : item.day_key);
      details.set('reasons', (item.reasons ?? []).map(words).join(', '));
      manage(part, item);
    }

    /** Updates the controls of the alert behind an item. */
    function manage(part, item) {
      const status = app.store.get('status');
      const alerts = app.store.get('alerts')?.items ?? [];
      part.alert = alerts.find((alert) => alert.metric === item.metric && alert.state !== 'resolved') ?? null;
      text(part.state, standing(part.alert, app.store.now()));
      const { acknowledged_at: knownAt, fired_at: firedAt, silenced_until: silentUntil } = part.alert ?? {};
      attr(part.state, 'title', [knownAt ?? firedAt, silentUntil].map(bothTimes).filter(Boolean).join('\n') || null);
      show(part.controls, Boolean(part.alert));
      const locked = !status?.admin_write_enabled;
      const silenced = Date.parse(part.alert?.silenced_until) > app.store.now();
      attr(part.acknowledge, 'disabled', locked || part.alert?.state === 'acknowledged');
      for (const control of [part.length, part.silence, part.unsilence]) attr(control, 'disabled', locked);
      show(part.silence, !silenced);
      show(part.length, !silenced);
      show(part.unsilence, silenced);
      const error = app.store.slot('alerts').error;
      text(part.why, part.alert ? (locked ? 'Read-only: write controls are disabled in this environment.' : '') : error ? `Acknowledging is not available: ${error.message}` : '');
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
      delivery.set(notification);
    };
  });
}
