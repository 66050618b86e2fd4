/** One short message at a time: what was done, or why not. Failures stay until they are dismissed. */

import { attr, button, h, show, text } from './dom.js';

const SHOWN_MS = 6_000;

/** The toast region: `done`, `failed` and `clear`. */
export function createToast() {
  const message = h('p');
  const close = button('Dismiss', { class: 'quiet' });
  const region = h('div', { class: 'toast', role: 'status', 'data-testid': 'toast', hidden: true }, message, close);
  let timer = 0;

  function say(words, tone) {
    clearTimeout(timer);
    attr(region, 'data-tone', tone);
    attr(region, 'role', tone === 'bad' ? 'alert' : 'status');
    show(region, true);
    text(message, words);
    if (tone !== 'bad') timer = setTimeout(() => show(region, false), SHOWN_MS);
  }

  close.addEventListener('click', () => show(region, false));
  return {
    region,
    done: (words) => say(words, 'good'),
    failed: (words) => say(words, 'bad'),
    clear: () => show(region, false),
  };
}
