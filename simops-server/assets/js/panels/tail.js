/** A scrolling list of rows, newest first, that holds new rows back while a person reads. */

import { button, h, keyed, show, text } from '../dom.js';
import { plural } from '../format.js';

/** The list of `topic`; `create(row)` makes an element, `update(node, row)` patches it, `match(row)` filters. */
export function tail(app, { topic, label, noun, create, update: patch, match = () => true, nothing, hasOlder = () => app.feeds.hasOlder(topic), older: fetchOlder = () => app.feeds.older(topic) }) {
  const list = h('ul', { class: 'rows' });
  const older = button('Show older', { class: 'quiet', on: { click: () => loadMore() } });
  const none = h('p', { class: 'empty' }, nothing);
  const box = h(
    'div',
    { class: 'tail', tabindex: '0', role: 'group', 'aria-label': label },
    list,
    none,
    h('div', { class: 'actions' }, older),
  );
  const waiting = button('', { class: 'waiting', hidden: true, on: { click: () => release() } });
  const frame = h('div', { class: 'tail-frame' }, waiting, box);
  let rows = [];
  let shown = [];
  let held = false;
  let hovered = false;

  const reading = () => hovered || box.scrollTop > 4 || frame.contains(document.activeElement);

  function draw() {
    const visible = shown.filter(match);
    keyed(list, visible, (row) => row.id, create, patch);
    show(none, visible.length === 0);
    show(older, hasOlder());
  }

  function update() {
    const newest = shown[0]?.id ?? 0;
    const fresh = shown.length ? rows.filter((row) => row.id > newest && match(row)).length : 0;
    held = fresh > 0 && reading();
    // Older rows may be appended while newer ones are held back.
    shown = held ? rows.filter((row) => row.id <= newest) : rows;
    draw();
    show(waiting, held);
    if (held) text(waiting, `Show ${plural(fresh, `new ${noun}`)}`);
  }

  function release() {
    shown = rows;
    held = false;
    draw();
    show(waiting, false);
    box.scrollTop = 0;
    box.focus({ preventScroll: true });
  }

  async function loadMore() {
    older.disabled = true;
    await fetchOlder().catch((error) => app.toast.failed(error.message));
    older.disabled = false;
    draw();
  }

  frame.addEventListener('pointerenter', () => { hovered = true; });
  frame.addEventListener('pointerleave', () => {
    hovered = false;
    if (held && !reading()) update();
  });
  frame.addEventListener('focusout', () => setTimeout(() => held && !reading() && update()));
  box.addEventListener('scroll', () => held && !reading() && update());

  return {
    frame,
    set(next) {
      rows = next;
      update();
    },
    /** The filter has changed. */
    redraw() {
      shown = rows;
      draw();
      show(waiting, false);
      held = false;
    },
  };
}
