/** A sparkline: recent values against a threshold. */

import { attr, s } from './dom.js';

const WIDTH = 120;
const HEIGHT = 26;

/** The sparkline; `set(values, limit, words)` draws it. Null values are left out. */
export function spark(label) {
  const line = s('path', { class: 'spark-line', fill: 'none' });
  const area = s('path', { class: 'spark-area' });
  const mark = s('line', { class: 'spark-limit', x1: 0, x2: WIDTH });
  const node = s('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label }, area, mark, line);

  return {
    node,
    set(values, limit, words = '') {
      const known = values.filter((value) => value !== null);
      const most = Math.max(limit > 0 ? limit : 0, ...known, 0) || 1;
      const x = (n) => ((n / Math.max(1, values.length - 1)) * WIDTH).toFixed(1);
      const y = (value) => (HEIGHT - 1.5 - (value / most) * (HEIGHT - 3)).toFixed(1);
      let path = '';
      let pen = 'M';
      values.forEach((value, n) => {
        if (value === null) pen = 'M';
        else {
          path += `${pen}${x(n)} ${y(value)}`;
          pen = 'L';
        }
      });
      attr(line, 'd', path || 'M0 0');
      attr(area, 'd', path && known.length === values.length && values.length > 1 ? `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` : 'M0 0');
      attr(mark, 'y1', y(limit));
      attr(mark, 'y2', y(limit));
      attr(mark, 'visibility', limit > 0 ? 'visible' : 'hidden');
      attr(node, 'aria-label', words ? `${label}: ${words}` : label);
    },
  };
}
