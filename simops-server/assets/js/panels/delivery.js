/** Delivery of alert messages: the current state, and the last messages with their deliveries. */

import { attr, button, h, keyed, show, text } from '../dom.js';
import { fullTime, setTime, shortTime, words } from '../format.js';
import { pill, setPill } from '../parts.js';

const REASONS = {
  disabled: 'Delivery is switched off (KPI_ALERT_WEBHOOK_ENABLED).',
  missing_webhook_url: 'Delivery is on, but no address is set (KPI_ALERT_WEBHOOK_URL).',
  no_critical_alerts: 'Nothing to deliver: only critical alerts are sent.',
  acknowledged_or_silenced: 'Not sent: what is critical is acknowledged or silenced.',
  cooldown_active: 'Delivered. An identical message is not sent again within the cooldown.',
  http_error: 'The receiver did not take the message; it is retried with backoff.',
  pending: 'A message is about to be sent.',
};
const TONES = { delivered: 'good', pending: 'busy', failed: 'bad', gone: 'bad' };

/** The state of delivery, as a sentence. */
function sentenceOf(notification) {
  if (!notification) return 'The server reports no delivery state.';
  const { reason, sent, cooldown_until: until } = notification;
  const known = REASONS[reason] ?? (sent ? 'Delivered.' : reason ? `${words(reason)}.` : 'Not sent.');
  return until && reason === 'cooldown_active' ? `${known} It ends at ${fullTime(until)}.` : known;
}

/** The progress of a delivery, as text. */
function progressOf({ attempts, last_error: error, last_status: status, next_attempt_at: next, state }) {
  const tries = attempts ? `${attempts} ${attempts === 1 ? 'try' : 'tries'}` : 'not tried yet';
  const failed = state === 'delivered' ? null : error ?? (status ? `HTTP ${status}` : null);
  const again = state === 'pending' && next ? `next at ${shortTime(next)}` : null;
  return [tries, failed, again].filter(Boolean).join('; ');
}

/** The part; `act(path, question)` asks and sends; `set(notification)` patches it. */
export function deliveryPart(app, act) {
  const state = h('p', { 'data-testid': 'alerts-delivery' });
  const list = h('ul', { class: 'messages' });
  const none = h('p', { class: 'empty' });
  const node = h('div', { class: 'block' }, h('h3', null, 'Delivery'), state, h('h3', null, 'Last messages'), list, none);
  const parts = new WeakMap();

  function createDelivery(delivery) {
    const part = { state: pill(), words: h('span', { class: 'hint' }) };
    part.replay = button('Send again', {
      class: 'quiet',
      on: { click: () => act(`kpi/deliveries/${encodeURIComponent(delivery.id)}/replay`, {
        title: 'Send the message again?', ok: 'Send again', done: 'It is being sent again.',
        effects: ['The receiver gets it under the same id, so that it can tell that it is the same.'], facts: [['Receiver', delivery.sink]],
      }) },
    });
    const node_ = h('li', { class: 'with-pill', 'data-delivery': delivery.id }, h('span', null, delivery.sink), part.state, part.words, part.replay);
    parts.set(node_, part);
    return node_;
  }

  function updateDelivery(node_, delivery) {
    const part = parts.get(node_);
    setPill(part.state, delivery.state);
    attr(part.state, 'data-tone', TONES[delivery.state] ?? 'plain');
    text(part.words, progressOf(delivery));
    show(part.replay, delivery.state !== 'pending');
    attr(part.replay, 'disabled', !app.store.get('status')?.admin_write_enabled);
  }

  function create(message) {
    const deliveries = h('ul', { class: 'plain' });
    const when = setTime(h('time'), message.created_at);
    const node_ = h('li', { 'data-message': message.id }, h('p', null, when, ' ', message.text), deliveries);
    parts.set(node_, { deliveries });
    return node_;
  }

  return {
    node,
    set(notification) {
      text(state, sentenceOf(notification));
      const { data, error } = app.store.slot('notifications');
      const messages = data?.items ?? [];
      keyed(list, messages, (message) => message.id, create, (node_, message) => {
        keyed(parts.get(node_).deliveries, message.deliveries ?? [], (delivery) => delivery.id, createDelivery, updateDelivery);
      });
      show(none, messages.length === 0);
      text(none, error && !data ? `Messages could not be loaded: ${error.message}` : 'No message has been sent.');
    },
  };
}
