/** Offers a text as a file download, without a request. */

import { h } from './dom.js';

/** Saves `content` as `name`. */
export function download(name, content, type) {
  const link = h('a', { hidden: true });
  const address = URL.createObjectURL(new Blob([content], { type }));
  link.href = address;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Rows of objects as CSV; text that a spreadsheet would read as a formula gets a leading apostrophe. */
export function csv(rows) {
  if (!rows.length) return '';
  const cell = (value) => {
    const text = value === null || value === undefined ? '' : String(value);
    const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const names = Object.keys(rows[0]);
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((line) => line.map(cell).join(',')).join('\r\n') + '\r\n';
}
