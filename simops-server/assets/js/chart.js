/** A line or bar chart over time, drawn by uPlot: UTC, themed, read by pointer or by arrow keys. */

import { attr, h, text } from './dom.js';
import { bothTimes } from './format.js';
import { colour, onTheme } from './theme.js';

const two = (n) => String(n).padStart(2, '0');

/** 14:05, for axes and readings of hours. */
export const clockOf = (at) => {
  const date = new Date(at * 1000);
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
};

/** 03-01, for axes and readings of days. */
export const dayOf = (at) => {
  const date = new Date(at * 1000);
  return `${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;
};

/**
 * A chart of `series` (`{label, colour, write, dash, fill, bars, points}`), drawn when it is first given data.
 * `time` writes a moment, `axis` a value on the axis, `top` gives the end of the value axis for its greatest value.
 */
export function chart({ label, series, height = 150, time = clockOf, axis = String, top = null, padded = false }) {
  const box = h('div', { class: 'chart-box', tabindex: '0', role: 'img', 'aria-label': label });
  const when = h('span', { class: 'chart-when' });
  const readings = series.map((each) => {
    const reading = h('b');
    const swatch = h('span', { class: 'swatch' });
    swatch.style.background = `var(${each.colour})`;
    return { reading, item: h('li', null, swatch, each.label, ' ', reading) };
  });
  const legend = h('ul', { class: 'legend' }, readings.map(({ item }) => item), h('li', { class: 'grow' }, when));
  const node = h('figure', { class: 'chart' }, box, legend);
  let plot = null;
  let data = null;
  let spoken = '';

  const write = (n, value) => (value === null || value === undefined ? 'n/a' : (series[n].write ?? String)(value));

  /** Shows the values at an index; the last ones when the pointer leaves. */
  function read(place) {
    if (!data || !data[0].length) return;
    const known = (n) => data[n].findLastIndex((value) => value !== null && value !== undefined);
    const at = place ?? Math.max(0, known(1));
    text(when, time(data[0][at], true));
    attr(when, 'title', bothTimes(new Date(data[0][at] * 1000).toISOString()));
    readings.forEach(({ reading }, n) => text(reading, write(n, data[n + 1][place ?? Math.max(0, known(n + 1))])));
  }

  function options(width) {
    const line = colour('--grid');
    const dim = colour('--dim');
    const font = `11px ${getComputedStyle(document.body).fontFamily}`;
    const axes = { stroke: dim, font, ticks: { stroke: line, size: 4 }, grid: { stroke: line, width: 1 } };
    return {
      width,
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: (_, low, high) => [Math.min(0, low ?? 0), top ? top(high ?? 0) : (high ?? 0) * 1.08 || 1] } },
      axes: [
        { ...axes, space: 56, size: 26, values: (_, splits) => splits.map((at) => time(at)), ...(padded ? { incrs: [86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400] } : {}) },
        { ...axes, size: 46, space: 28, values: (_, splits) => splits.map(axis) },
      ],
      series: [
        {},
        ...series.map((each) => ({
          label: each.label,
          stroke: colour(each.colour),
          fill: each.fill ? colour(each.colour).replace('rgb(', 'rgba(').replace(')', `, ${each.fill})`) : undefined,
          width: each.width ?? 1.5,
          dash: each.dash,
          points: { show: each.points ?? false, size: 4 },
          spanGaps: each.spanGaps ?? false,
          paths: each.bars ? window.uPlot.paths.bars({ size: [0.7, 14], gap: 1 }) : undefined,
        })),
      ],
      hooks: { setCursor: [(u) => read(u.cursor.idx)] },
    };
  }

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (!data || !data[0].length || width < 40 || !window.uPlot) return;
    plot?.destroy();
    plot = new window.uPlot(options(width), data, box);
    read(null);
  }

  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth === width || box.clientWidth === 0) return;
    width = box.clientWidth;
    if (plot) plot.setSize({ width, height });
    else draw();
  }).observe(box);
  onTheme(draw);

  box.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !plot) return;
    event.preventDefault();
    const from = plot.cursor.idx ?? data[0].length - 1;
    const at = Math.min(data[0].length - 1, Math.max(0, from + step));
    plot.setCursor({ left: plot.valToPos(data[0][at], 'x'), top: 10 });
    attr(when, 'role', 'status');
  });

  return {
    node,
    /** New columns: times in seconds, then the values of each series; `words` is the text alternative. */
    set(next, words = '') {
      data = next;
      if (words !== spoken) attr(box, 'aria-label', words ? `${label}: ${words}` : label);
      spoken = words;
      if (!plot) draw();
      else {
        plot.setData(next);
        if (plot.cursor.idx === null || plot.cursor.idx === undefined) read(null);
      }
    },
  };
}
