/** The theme: light, dark or the system's; notifies listeners of changes. */

const CHOICES = ['auto', 'light', 'dark'];
const system = window.matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set();
const tell = () => listeners.forEach((listener) => listener());

system.addEventListener('change', tell);

/** The current theme. */
export const theme = () => document.documentElement.dataset.theme ?? 'auto';

/** Switches to the next theme. */
export function nextTheme() {
  const next = CHOICES[(CHOICES.indexOf(theme()) + 1) % CHOICES.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem('simops:theme', next);
  } catch {
    // Storage is blocked: the choice lasts as long as the page.
  }
  tell();
  return next;
}

/** Calls `listener` whenever colours change. */
export const onTheme = (listener) => listeners.add(listener);

const probe = document.createElement('i');
probe.hidden = true;

/** Resolves a token such as `--c1` to a colour for a canvas. */
export function colour(token) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${token})`;
  return getComputedStyle(probe).color;
}
