/** The connect form: admin token and actor name; explains why a connection failed. */

import { attr, button, h, show, text } from '../dom.js';
import { duration, sentence } from '../format.js';
import { headerText } from '../session.js';

const HELP = {
  0: 'Check that simops-server is running and that this address reaches it.',
  401: 'The token is printed once when the server starts in development; elsewhere it is ADMIN_API_TOKEN.',
  403: 'Ask for your address to be added to ADMIN_IP_ALLOWLIST.',
  404: 'The admin API is switched off on this server (ADMIN_ENABLED).',
};

/** The card; `onConnect` tries the session that was entered. */
export function connectCard(app, onConnect) {
  const { session } = app;
  const token = h('input', {
    id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true,
    'data-testid': 'token', 'aria-describedby': 'token-hint',
  });
  const actor = h('input', {
    id: 'actor', type: 'text', autocomplete: 'username', spellcheck: 'false', maxlength: 120,
    placeholder: 'admin', 'data-testid': 'actor', 'aria-describedby': 'actor-hint',
  });
  const remember = h('input', { id: 'remember', type: 'checkbox', 'data-testid': 'remember' });
  const submit = h('button', { type: 'submit', class: 'primary', 'data-testid': 'connect' }, 'Connect');
  const reveal = button('Show', { class: 'quiet', 'aria-pressed': 'false', 'aria-label': 'Show the token' });
  const recorded = h('p', { id: 'actor-hint', class: 'hint' });
  const kept = h('p', { id: 'token-hint', class: 'hint' });
  const failure = h('p', { class: 'failure', role: 'alert', 'data-testid': 'connect-error', hidden: true });
  const form = h(
    'form',
    { novalidate: true },
    h('label', { for: 'token' }, 'Admin token'),
    h('div', { class: 'joined' }, token, reveal),
    kept,
    h('label', { for: 'actor' }, 'Actor name'),
    actor,
    recorded,
    h('label', { class: 'check' }, remember, h('span', null, 'Remember the token on this device')),
    failure,
    h('div', { class: 'actions' }, submit),
  );
  const card = h(
    'main',
    { class: 'connect', id: 'connect', 'aria-labelledby': 'connect-title' },
    h('h2', { id: 'connect-title' }, 'Connect to simops'),
    h('p', { class: 'hint' }, 'The console controls simulation runs. Everything you change is recorded under your name.'),
    form,
  );

  let counting = 0;

  function say(message) {
    clearInterval(counting);
    text(failure, message);
    show(failure, Boolean(message));
  }

  function nameHint() {
    const name = headerText(actor.value);
    const typed = actor.value.trim();
    text(recorded, typed && name !== typed ? `Will be recorded as “${name}”.` : 'Recorded in the audit trail.');
  }

  /** Counts down while this address is locked out. */
  function wait(message, seconds) {
    const until = Date.now() + seconds * 1000;
    clearInterval(counting);
    const tell = () => {
      const left = until - Date.now();
      if (left <= 0) clearInterval(counting);
      attr(submit, 'disabled', left > 0);
      text(submit, left > 0 ? 'Locked out' : 'Connect');
      text(failure, left > 0 ? `${sentence(message)} Try again in ${duration(left + 999)}.` : 'You may try again now.');
    };
    show(failure, true);
    tell();
    counting = setInterval(tell, 1_000);
  }

  async function tryIt() {
    const given = token.value.trim() || session.token;
    if (!given) {
      say('Enter the admin token.');
      return token.focus();
    }
    if (/[^\x21-\x7e]/.test(given)) {
      say('A token has only printable ASCII characters and no spaces.');
      return token.focus();
    }
    say('');
    attr(submit, 'disabled', true);
    text(submit, 'Connecting…');
    session.open({ token: given, actor: actor.value.trim(), remember: remember.checked });
    attr(card, 'aria-busy', 'true');
    const error = await onConnect();
    attr(card, 'aria-busy', null);
    if (error?.status === 429) return undefined;
    attr(submit, 'disabled', null);
    text(submit, 'Connect');
    return undefined;
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    tryIt();
  });
  const keptHint = () => text(kept, remember.checked ? 'Kept on this device until you disconnect.' : 'Kept for this tab only.');
  actor.addEventListener('input', nameHint);
  remember.addEventListener('change', keptHint);
  reveal.addEventListener('click', () => {
    const shown = token.type === 'text';
    token.type = shown ? 'password' : 'text';
    attr(reveal, 'aria-pressed', String(!shown));
    text(reveal, shown ? 'Show' : 'Hide');
  });
  actor.value = session.actor;
  remember.checked = session.remembered;
  nameHint();
  keptHint();

  return {
    card,
    submit: tryIt,
    focus: () => token.focus(),
    fail(error) {
      if (error.status === 429 && error.retryAfter) return wait(error.message, error.retryAfter);
      say([sentence(error.message), HELP[error.status]].filter(Boolean).join(' '));
      if (!card.hidden) token.focus();
      return undefined;
    },
    clear() {
      say('');
      token.value = '';
      token.type = 'password';
      text(reveal, 'Show');
      attr(reveal, 'aria-pressed', 'false');
    },
  };
}
