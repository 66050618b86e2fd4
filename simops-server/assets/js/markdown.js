/** Shows the markdown that simops writes: headings, lists, paragraphs, links. Everything else stays text. */

import { button, h } from './dom.js';

const INLINE = /\[([^\]]+)\]\(([^)\s]+)\)|\*\*([^*]+)\*\*|`([^`]+)`/g;

function inline(line, open) {
  const parts = [];
  let from = 0;
  for (const match of line.matchAll(INLINE)) {
    parts.push(line.slice(from, match.index));
    const [whole, label, path, strong, code] = match;
    // Evidence needs the token, so it is fetched; nothing leads off this server.
    if (path?.startsWith('/api/admin/')) parts.push(button(label, { class: 'link', title: path, on: { click: () => open(path, label) } }));
    else if (path) parts.push(`${label} (${path})`);
    else if (strong) parts.push(h('strong', null, strong));
    else parts.push(h('code', null, code));
    from = match.index + whole.length;
  }
  parts.push(line.slice(from));
  return parts.filter((part) => part !== '');
}

/** Elements for `source`; `open(path, label)` shows a piece of evidence. */
export function markdown(source, open) {
  const blocks = [];
  let list = null;
  let words = [];
  const flush = () => {
    if (words.length) blocks.push(h('p', null, inline(words.join(' '), open)));
    words = [];
  };
  for (const raw of source.split(/\r\n|\n|\r/)) {
    const line = raw.trimEnd();
    const heading = /^(#{1,4}) +(.+)$/.exec(line);
    const item = /^\s*[-*] +(.+)$/.exec(line);
    if (heading || item || line === '') flush();
    if (!item && line !== '' && !/^\s/.test(raw)) list = null;
    if (heading) blocks.push(h(`h${Math.min(6, heading[1].length + 2)}`, null, inline(heading[2], open)));
    else if (item) {
      if (!list) blocks.push((list = h('ul', null)));
      list.append(h('li', null, inline(item[1], open)));
    } else if (list && /^\s+\S/.test(raw)) {
      list.lastChild.append(h('br'), ...inline(line.trim(), open));
    } else if (line !== '') words.push(line);
  }
  flush();
  return blocks;
}
