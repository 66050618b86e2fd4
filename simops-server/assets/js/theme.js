/** Light, dark, or as the system says; and who wants to know when that changes. */

const CHOICES = ['auto', 'light', 'dark'];
const system = window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set();
const tell = () => listeners.forEach((listener) => listener());

system.addEventListener('change', tell);

/** The choice in force. */
export const theme = () => document.documentElement.dataset.theme ?? 'auto';

/** Takes the next choice. */
export function nextTheme() {
  const next = CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem('simops:theme', next);
  } catch {
    // It then lasts as long as the page.
  }
  tell();
  return next;
}

/** Calls `listener` whenever colours change. */
export const onTheme = (listener) => listeners.add(listener);

const probe = document.createElement('i');
probe.hidden = true;

/** The colour behind a token such as `--c1`, as drawing on a canvas needs it. */
export function colour(token) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${token})`;
  return getComputedStyle(probe).color;
}
