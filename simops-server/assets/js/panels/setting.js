/** One setting: what it does, its value, and an editor for its type. */

import { attr, button, h, show, text } from '../dom.js';
import { breakable, value } from '../format.js';

/** The allowed values of a setting, as text. */
export function allowed({ type, min, max, allowed_values: choices }) {
  if (choices?.length) return choices.join(' or ');
  const has = (bound) => bound !== null && bound !== undefined;
  if (type === 'str') return has(max) ? `up to ${max} characters` : 'text';
  if (type === 'bool') return 'on or off';
  return has(min) && has(max) ? `${min} to ${max}` : type;
}

/** Parses an edit: `{value}` or `{wrong}`. */
export function parse(typed, spec) {
  const content = typed.trim();
  if (spec.type === 'bool') return { value: content === 'true' };
  if (spec.type === 'str') {
    if (spec.max !== null && spec.max !== undefined && content.length > spec.max) {
      return { wrong: `At most ${spec.max} characters.` };
    }
    return { value: content };
  }
  const form = spec.type === 'int' ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)$/;
  const number = Number(content);
  const noun = spec.type === 'int' ? 'A whole number' : 'A number';
  if (!form.test(content) || number < (spec.min ?? -Infinity) || number > (spec.max ?? Infinity)) {
    return { wrong: `${noun} from ${allowed(spec)}.` };
  }
  return { value: number };
}

function editor(key, spec, shared) {
  const choices = spec.type === 'bool' ? ['true', 'false'] : spec.allowed_values;
  if (choices?.length) {
    const label = (choice) => (spec.type === 'bool' ? (choice === 'true' ? 'on' : 'off') : choice);
    return h('select', shared, choices.map((choice) => h('option', { value: choice }, label(choice))));
  }
  const numeric = spec.type === 'int' ? 'numeric' : spec.type === 'float' ? 'decimal' : null;
  return h('input', {
    ...shared, type: 'text', inputmode: numeric, autocomplete: 'off', spellcheck: 'false',
    class: numeric ? 'figure' : 'mono',
  });
}

/** The row; `onEdit(key, value or undefined, wrong)` receives each edit. `moved` settings are read-only. */
export function settingRow(key, spec, { moved, onEdit }) {
  const id = `setting-${key}`;
  const note = h('p', { class: 'hint', id: `${id}-note` });
  const message = h('p', { class: 'field-message', id: `${id}-message`, hidden: true });
  const shared = { id, 'data-testid': id, 'aria-describedby': `${id}-note ${id}-message` };
  const input = moved ? h('output', { ...shared, class: 'mono' }) : editor(key, spec, shared);
  const back = button('Default', { class: 'quiet', hidden: true, 'aria-label': `Set ${key} to its default` });
  const changed = h('span', { class: 'tag', hidden: true }, 'changed');
  const row = h(
    'div',
    { class: 'setting', 'data-setting': key },
    h('div', null, h('label', { for: id, class: 'mono key' }, breakable(key)), ' ', changed, h('p', { class: 'what' }, spec.description)),
    input,
    h('div', { class: 'split' }, note, moved ? null : back),
    message,
  );
  let current;
  let fallback;
  let edited = false;

  function say(wrong) {
    text(message, wrong ?? '');
    show(message, Boolean(wrong));
    attr(input, 'aria-invalid', wrong ? 'true' : null);
  }

  function mark() {
    attr(row, 'data-edited', edited ? 'true' : null);
    attr(row, 'data-overridden', current !== fallback ? 'true' : null);
    show(changed, current !== fallback || edited);
    text(changed, edited ? 'edited' : 'changed');
    attr(changed, 'data-kind', edited ? 'warn' : 'system');
    const was = edited ? `; now ${value(current)}` : '';
    text(note, `${allowed(spec)}; default ${value(fallback)}${was}`);
    show(back, current !== fallback && !edited);
  }

  function read() {
    say(parse(input.value, spec).wrong);
    settle();
  }

  /** Reports the edit, if it changes the value. */
  function settle() {
    const { value: next, wrong } = parse(input.value, spec);
    edited = Boolean(wrong) || next !== current;
    mark();
    onEdit(key, edited && !wrong ? next : undefined, wrong);
  }

  if (!moved) {
    // `change` too: autofill may not send `input` events.
    for (const kind of ['input', 'change']) input.addEventListener(kind, read);
    // A server-side change during editing is shown when the field loses focus.
    input.addEventListener('blur', () => {
      if (!edited && current !== undefined) input.value = String(current);
    });
    back.addEventListener('click', () => {
      input.value = String(fallback);
      read();
      input.focus();
    });
  }

  return {
    row,
    say,
    input,
    /** Updates the server's value; an edit in progress stays. */
    set(effective, byDefault) {
      current = effective;
      fallback = byDefault;
      if (moved) text(input, value(effective));
      else if (edited) return settle();
      else if (input.value !== String(effective) && document.activeElement !== input) input.value = String(effective);
      mark();
    },
    /** Discards the edit. */
    discard() {
      edited = false;
      say(null);
      if (!moved) input.value = String(current);
      mark();
    },
    /** Enables or disables the editor. */
    lock(locked) {
      if (!moved) attr(input, 'disabled', locked);
      attr(back, 'disabled', locked);
    },
  };
}
