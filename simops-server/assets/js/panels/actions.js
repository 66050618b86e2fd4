/** The run controls as data: label, confirmation text, request and success message of each. */

import { startBody } from '../rules.js';

const COSTS = 'Agents begin to take turns and may call paid models, within the budget.';
const quiet = 'New turns and model calls end within a second; calls in flight finish.';

function start(mode, label) {
  const id = `start-${mode}`;
  return {
    id,
    label,
    form: true,
    path: 'control/run/start',
    body: ({ values, resetWorld, reason }) => startBody(values, mode, resetWorld, reason),
    ask({ values, resetWorld }) {
      const effects = [COSTS];
      if (mode === 'real') effects.push('The run counts as a real run. The current world continues.');
      else if (resetWorld) {
        effects.push('First a new world is built and seeded; it replaces the current one. Records of earlier runs are kept.');
      } else effects.push('The current world continues; it is not reset.');
      return {
        title: mode === 'real' ? 'Start a real run?' : 'Start a test run?',
        effects,
        facts: [
          ['Run ID', values.run_id || `${mode}-(time of start)`],
          ...(values.condition_name ? [['Condition', values.condition_name]] : []),
          ...(values.season_number ? [['Season', values.season_number]] : []),
        ],
        ok: label,
      };
    },
    done: (answer) => `Run ${answer.run_id} started.`,
  };
}

/** `ask({run, values, resetWorld, clear, degraded})` returns the confirmation text; `label` may depend on the status. */
export const ACTIONS = [
  {
    id: 'pause',
    label: 'Pause',
    path: 'control/pause',
    ask: ({ run }) => ({
      title: 'Pause the run?',
      effects: [quiet, 'The run stays open; Resume continues it.'],
      facts: [['Run', run?.run_id ?? '–']],
      ok: 'Pause',
    }),
    done: () => 'Paused.',
  },
  {
    id: 'resume',
    label: 'Resume',
    path: 'control/resume',
    ask: ({ run }) => ({
      title: 'Resume the run?',
      effects: run?.ended_at
        ? [`A guardrail stopped it (${run.end_reason}). Its record is opened again; check the cause first.`, COSTS]
        : [COSTS],
      facts: [['Run', run?.run_id ?? '–']],
      ok: 'Resume',
    }),
    done: () => 'Run resumed.',
  },
  {
    id: 'stop',
    label: 'Stop Run',
    danger: true,
    path: 'control/run/stop',
    body: ({ clear, reason }) => ({ clear_run_id: clear, ...(reason && { reason }) }),
    ask: ({ run, clear }) => ({
      title: run?.ended_at ? 'Clear the run ID?' : 'Stop the run?',
      effects: [
        ...(run?.ended_at ? [] : [quiet, 'The run ends for good: it can be neither resumed nor started again.']),
        ...(clear ? ['The run ID is cleared; no run is shown afterwards.'] : []),
      ],
      facts: [['Run', run?.run_id ?? '–']],
      ok: run?.ended_at ? 'Clear run ID' : 'Stop Run',
    }),
    done: () => 'Run stopped.',
  },
  {
    id: 'degrade',
    label: (status) => (status.viewer_ops.force_cheapest_route ? 'Clear degrade' : 'Degrade'),
    path: ({ degraded }) => (degraded ? 'control/degrade/clear' : 'control/degrade'),
    ask: ({ degraded }) => ({
      title: degraded ? 'Use the usual routes again?' : 'Degrade to the cheapest route?',
      effects: [
        degraded
          ? 'Model calls go to their usual routes again, which may cost more.'
          : 'Every model call goes to the cheapest route until this is cleared. The run continues.',
      ],
      ok: degraded ? 'Clear degrade' : 'Degrade',
    }),
    done: (answer) => (answer.force_cheapest_route ? 'Calls go to the cheapest route.' : 'Calls go to their usual routes.'),
  },
  {
    id: 'reset',
    label: 'Reset Dev World',
    danger: true,
    path: 'control/run/reset-dev',
    ask: ({ run }) => ({
      title: 'Reset the development world?',
      effects: [
        'A new world is built and seeded; it replaces the current one.',
        ...(run && !run.ended_at ? [`Run ${run.run_id} ends for good.`] : []),
        'Records of earlier runs, events and the audit trail are kept.',
      ],
      ok: 'Reset Dev World',
    }),
    done: () => 'Dev world reset + reseeded',
  },
  start('test', 'Start Test Run'),
  start('real', 'Start Real Run'),
];
