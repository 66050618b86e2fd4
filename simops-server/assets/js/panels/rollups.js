/** KPI rollups: the latest day's funnel and rates, retention, and the days as charts and a table. */

import { chart, dayOf } from '../chart.js';
import { attr, button, h, show, text } from '../dom.js';
import { count, shortTime } from '../format.js';
import { FUNNEL, ONBOARDING, RATES, against, figure, interval, mature, oldestFirst, rate } from '../kpi.js';
import { panel } from '../panel.js';
import { bar } from '../parts.js';
import { dayTable } from './days.js';

const SPANS = [14, 30, 90];
const at = (row) => Date.parse(`${row.day_key}T00:00:00Z`) / 1000;
const column = (rows, field) => rows.map((row) => row[field] ?? null);

function funnelPart() {
  const list = h('ul', { class: 'funnel' });
  const rows = FUNNEL.map(([label, visitors, events, ratio, of]) => {
    const people = h('span', { class: 'figure' });
    const share = h('b');
    const meter = bar(`${label}, visitors`);
    list.append(h('li', null, h('span', null, label), people, h('span', { class: 'hint figure' }, share, of ? ` ${of}` : ''), meter.svg));
    return { label, visitors, events, ratio, people, share, meter };
  });
  return {
    list,
    set(day) {
      const most = Math.max(1, ...FUNNEL.map(([, visitors]) => day[visitors] ?? 0));
      for (const row of rows) {
        text(row.people, figure(day[row.visitors]));
        attr(row.people, 'title', `${figure(day[row.events])} events`);
        text(row.share, row.ratio ? rate(day[row.ratio]) : '');
        const range = row.ratio && interval(day.intervals?.[row.ratio]);
        attr(row.share, 'title', range ? `95 % interval ${range}` : null);
        row.meter.set({ value: day[row.visitors] ?? 0, max: most, tone: 'line', words: `${figure(day[row.visitors])} visitors` });
      }
    },
  };
}

function retentionTile(which, label, wait) {
  const value = h('strong', { class: 'hero small' });
  const note = h('p', { class: 'hint' });
  const node = h('div', { class: 'tile', 'data-testid': `retention-${which}` }, h('h4', null, label), value, note);
  return {
    node,
    set(items, latest, averages) {
      const cohort = mature(items, which);
      text(value, cohort ? rate(cohort[`${which}_retention_rate`]) : 'n/a');
      const change = cohort ? against(cohort[`${which}_retention_rate`], averages?.[`${which}_retention_rate`]) : '';
      const range = interval(cohort?.intervals?.[`${which}_retention_rate`]);
      text(note, cohort
        ? `${range ? `95 % interval ${range}. ` : ''}Cohort of ${cohort.day_key}: ${figure(cohort[`${which}_returning_users`])} of ${figure(cohort[`${which}_cohort_size`])} came back${change ? `; ${change} to the 7-day mean` : ''}. Later cohorts: n/a until day + ${wait} is over.`
        : `n/a: no cohort with viewers is ${wait} whole ${wait === 1 ? 'day' : 'days'} old yet.`);
    },
  };
}

/** The panel. */
export function rollupsPanel(app) {
  return panel(app, { id: 'kpi', title: 'KPI Rollups', topic: 'rollups' }, (body, tools) => {
    const spans = SPANS.map((days) =>
      button(`${days} d`, { 'data-testid': `days-${days}`, on: { click: () => choose(days) } }));
    const updated = h('span', { class: 'hint' });
    tools.append(updated, h('div', { class: 'segments', role: 'group', 'aria-label': 'Days shown' }, spans));

    const day = h('strong', null);
    const partial = h('span', { class: 'tag', 'data-kind': 'warn', hidden: true }, 'partial: the day is not over');
    const funnel = funnelPart();
    const onboarding = h('dl', { class: 'facts' });
    const steps = ONBOARDING.map(([label, visitors, ratio]) => {
      const cell = h('dd', { class: 'figure' });
      onboarding.append(h('div', null, h('dt', null, label), cell));
      return { visitors, ratio, cell };
    });
    const retention = [retentionTile('d1', 'D1 retention', 1), retentionTile('d7', 'D7 retention', 7)];
    const averages = h('dl', { class: 'facts' });
    const means = RATES.map(([field, label]) => {
      const cell = h('dd', { class: 'figure' });
      averages.append(h('div', null, h('dt', null, label), cell));
      return { field, cell };
    });
    let unfinished = null;
    const wholeDay = (moment, long) => {
      if (!long) return dayOf(moment);
      const key = new Date(moment * 1000).toISOString().slice(0, 10);
      return `${key} UTC${key === unfinished ? ' (partial)' : ''}`;
    };
    const common = { time: wholeDay, padded: true, height: 160 };
    const charts = [
      chart({
        ...common,
        label: 'Visitors a day',
        axis: (value) => (Number.isInteger(value) ? count(value) : ''),
        series: [
          { label: 'Landing', colour: '--c1', fill: 0.08, write: count },
          { label: 'Run detail', colour: '--c3', write: count },
          { label: 'Replay start', colour: '--c2', write: count },
          { label: 'Replay complete', colour: '--c4', write: count },
        ],
      }),
      chart({
        ...common,
        label: 'Rates a day',
        axis: (value) => `${Math.round(value * 100)} %`,
        series: [
          { label: 'Landing -> Run CTR', colour: '--c1', write: rate, points: true },
          { label: 'Replay Completion', colour: '--c2', write: rate, points: true },
          { label: 'Share', colour: '--c3', write: rate, points: true },
        ],
      }),
      chart({
        ...common,
        label: 'Retention by day of the cohort',
        axis: (value) => `${Math.round(value * 100)} %`,
        series: [
          { label: 'D1', colour: '--c1', write: rate, points: true },
          { label: 'D7', colour: '--c4', write: rate, points: true },
        ],
      }),
    ];
    const fields = [
      ['landing_view_visitors', 'run_detail_visitors', 'replay_start_visitors', 'replay_completion_visitors'],
      ['landing_to_run_ctr', 'replay_completion_rate', 'share_action_rate'],
      ['d1_retention_rate', 'd7_retention_rate'],
    ];
    const titles = ['Visitors', 'Rates', 'Retention'];
    const drawn = h('div', { class: 'chart-grid' }, charts.map((each, n) => h('div', null, h('h3', null, titles[n]), each.node)));
    const table = dayTable();
    const none = h('p', { class: 'empty', hidden: true }, 'No visitor events on these days. Sites send them to POST /api/analytics/kpi/events.');
    const shown = h('div', { class: 'block-list' },
      h('div', { class: 'kpi-top' },
        h('div', null, h('h3', null, 'Latest day ', day, ' ', partial), funnel.list),
        h('div', { class: 'tiles' }, retention.map(({ node }) => node),
          h('div', { class: 'tile' }, h('h4', null, 'Onboarding, visitors'), onboarding)),
        h('div', { class: 'tile', 'data-testid': 'kpi-rates' }, h('h4', null, 'Rates, latest (7-day mean)'), averages)),
      drawn,
      h('h3', null, 'Days'),
      table.node);
    body.append(none, shown);

    function choose(days) {
      app.store.put('days', days);
      mark();
      app.feeds.refresh('rollups');
    }

    const mark = () => spans.forEach((node, n) => attr(node, 'aria-pressed', String(SPANS[n] === (app.store.get('days') ?? 30))));
    mark();

    return (answer) => {
      const items = oldestFirst(answer.items ?? []);
      const latest = answer.summary?.latest ?? items.at(-1) ?? null;
      mark();
      text(updated, answer.generated_at ? `as of ${shortTime(answer.generated_at)}` : '');
      const counted = items.some((row) => row.landing_views || row.run_detail_views || row.replay_starts || row.shared_link_opens || row.onboarding_shown);
      show(none, !counted);
      show(shown, Boolean(latest));
      if (!latest) return;
      text(day, latest.day_key);
      unfinished = items.find((row) => row.partial)?.day_key ?? null;
      show(partial, Boolean(latest.partial));
      funnel.set(latest);
      for (const { visitors, ratio, cell } of steps) {
        text(cell, ratio ? `${figure(latest[visitors])} · ${rate(latest[ratio])}` : figure(latest[visitors]));
      }
      const average = answer.summary?.seven_day_avg ?? {};
      for (const { field, cell } of means) {
        const cohort = field.startsWith('d') && mature(items, field.slice(0, 2));
        text(cell, `${rate((cohort || latest)[field])} (${rate(average[field])})`);
      }
      retention.forEach((tile) => tile.set(items, latest, average));
      charts.forEach((each, n) => each.set([items.map(at), ...fields[n].map((field) => column(items, field))]));
      table.set(items);
    };
  });
}
