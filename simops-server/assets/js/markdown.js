/** Renders the markdown that simops writes: headings, lists, paragraphs, links. Everything else stays text. */

import { button, h } from './dom.js';

const LINK = /\[((?:\\.|[^\]\\])*)\]\(([^)\s]+)\)/y;
const CODE = /`([^`]+)`/y;
const STRONG = /\*\*((?:\\.|[^*\\])+)\*\*/y;
const ESCAPED = /\\([!-/:-@[-`{-~])/y;
const ENTITY = /&(amp|lt|gt|quot|#\d{1,6});/y;
const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"' };

const at = (pattern, line, place) => {
  pattern.lastIndex = place;
  return pattern.exec(line);
};

function entity(name) {
  const code = Number(name.slice(1));
  return NAMED[name] ?? (code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : `&${name};`);
}

/** Text and elements for one line; `link(label, path)` makes the element of a link. */
function inline(line, link) {
  const parts = [];
  let plain = '';
  const take = (node) => {
    if (plain) parts.push(plain);
    plain = '';
    parts.push(node);
  };
  const bare = (text) => inline(text, null).map((part) => (typeof part === 'string' ? part : part.textContent)).join('');
  for (let place = 0; place < line.length; ) {
    const escaped = at(ESCAPED, line, place);
    const named = at(ENTITY, line, place);
    const code = at(CODE, line, place);
    const strong = at(STRONG, line, place);
    const linked = link && at(LINK, line, place);
    const found = escaped ?? named ?? code ?? strong ?? linked;
    if (!found) plain += line[place];
    else if (found === escaped) plain += escaped[1];
    else if (found === named) plain += entity(named[1]);
    else if (found === code) take(h('code', null, code[1]));
    else if (found === strong) take(h('strong', null, bare(strong[1])));
    else take(link(bare(linked[1]), linked[2]));
    place += found ? found[0].length : 1;
  }
  if (plain) parts.push(plain);
  return parts;
}

/** Elements for `source`; `open(path, label)` shows a piece of evidence. */
export function markdown(source, open) {
  // Evidence needs the token, so it is fetched; no link leaves this server.
  const link = (label, path) =>
    path.startsWith('/api/admin/')
      ? button(label, { class: 'link', title: path, on: { click: () => open(path, label) } })
      : h('span', null, `${label} (${path})`);
  const blocks = [];
  let list = null;
  let words = [];
  const flush = () => {
    if (words.length) blocks.push(h('p', null, inline(words.join(' '), link)));
    words = [];
  };
  for (const raw of source.split(/\r\n|\n|\r/)) {
    const line = raw.trimEnd();
    const heading = /^(#{1,4}) +(.+)$/.exec(line);
    const item = /^\s*[-*] +(.+)$/.exec(line);
    const continued = list && !item && /^\s+\S/.test(raw);
    if (heading || item || line === '') flush();
    if (!item && !continued && line !== '') list = null;
    if (heading) blocks.push(h(`h${Math.min(6, heading[1].length + 2)}`, null, inline(heading[2], link)));
    else if (item) {
      if (!list) blocks.push((list = h('ul', null)));
      list.append(h('li', null, inline(item[1], link)));
    } else if (continued) list.lastChild.append(h('br'), ...inline(line.trim(), link));
    else if (line !== '') words.push(line);
  }
  flush();
  return blocks;
}
