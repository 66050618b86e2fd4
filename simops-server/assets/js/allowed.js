/** Which run controls are enabled now, and the reason for each disabled one. */

const isOpen = (run) => Boolean(run) && !run.ended_at;

/** Whether a live host can build a world; hosts that do not report it count as able. */
function canReset(status) {
  return (status.hosts ?? []).some((host) => host.state !== 'lost' && host.world !== null);
}

/** The open run of the world that a start for `host` would use, if any: the gateway has none. */
function inTheWay(status, host) {
  if (host === 'gateway') return null;
  const live = (status.hosts ?? []).filter((known) => known.state !== 'lost' && (!host || known.kind === host));
  const worlds = live.map((known) => known.world);
  const runs = (status.open_runs ?? []).filter((run) => run.world !== null);
  return runs.find((run) => !worlds.length || worlds.includes(run.world)) ?? null;
}

/** The reason per disabled control. `form` is {clear, resetWorld, host}. */
export function whyNot(status, form) {
  const run = status.run_metadata;
  const open = isOpen(run);
  const ops = status.viewer_ops;
  const paused = ops.simulation_paused;
  const production = status.environment === 'production';
  const reasons = {};
  const say = (control, reason) => {
    reasons[control] ??= reason;
  };

  if (!status.admin_write_enabled) {
    const stopOnly = status.admin_write_gate === 'stop_only';
    const reason = stopOnly
      ? 'Only pause, stop and degrade are enabled in this environment.'
      : 'Read-only: write controls are disabled in this environment.';
    const stopping = status.viewer_ops.force_cheapest_route ? ['pause', 'stop'] : ['pause', 'stop', 'degrade'];
    for (const control of ['start-test', 'start-real', 'pause', 'resume', 'stop', 'reset', 'degrade']) {
      if (stopOnly && stopping.includes(control)) continue;
      say(control, reason);
    }
  }

  const other = inTheWay(status, form.host);
  if (other) {
    const reason = `Run ${other.run_id} has not ended; stop it first.`;
    say('start-test', reason);
    say('start-real', reason);
  }
  if (open) {
    if (paused) say('pause', 'The run is paused already.');
    else say('resume', 'The run is not paused.');
  } else {
    // Short: the run is named above these lines.
    const none = run ? 'The run has ended.' : 'No run has been started.';
    say('pause', none);
    if (!run) say('resume', none);
    else if (run.ended_by !== 'guardrail') say('resume', 'The run has ended and cannot be resumed.');
    if (!(run && form.clear)) say('stop', none);
  }

  const noHost = 'No live host owns a world; start a worker first.';
  if (form.resetWorld && !canReset(status)) say('start-test', `${noHost} Or start without a reset.`);
  if (production) say('reset', 'World reset is blocked in production.');
  if (!canReset(status)) say('reset', noHost);
  return reasons;
}

/** The live hosts of the current run. */
function liveHosts(status) {
  const live = (status.hosts ?? []).filter((host) => host.state !== 'lost');
  const run = status.run_metadata;
  const isIts = (host) => host.world === run.world && (!run.host || run.host === host.kind);
  return run ? live.filter(isIts) : live;
}

/** What the hosts have not confirmed yet, as a sentence; empty when all is confirmed. */
export function progress(status) {
  const live = liveHosts(status);
  const calls = live.reduce((sum, host) => sum + (host.in_flight_calls ?? 0), 0);
  const open = isOpen(status.run_metadata);
  const wanted = !open ? 'idle' : status.viewer_ops.simulation_paused ? 'paused' : 'running';
  const behind = live.filter((host) => host.state !== wanted).length;
  const waiting = `waiting for ${behind || live.length} of ${live.length} host${live.length === 1 ? '' : 's'}`;
  const inFlight = calls ? `, ${calls} call${calls === 1 ? '' : 's'} in flight` : '';
  switch (status.run_state) {
    case 'starting':
      return live.length ? `Starting: ${waiting}.` : 'Starting: no host is live. Start a worker.';
    case 'pausing':
      return `Pausing: ${waiting}${inFlight}.`;
    case 'stopping':
      return `Stopping: ${waiting}${inFlight}.`;
    default:
      return '';
  }
}

/** The state that live hosts have confirmed; empty while they have not. */
export function confirmed(status) {
  const live = liveHosts(status);
  if (['starting', 'pausing', 'stopping'].includes(status.run_state) || !live.length) return '';
  const calls = live.reduce((sum, host) => sum + (host.in_flight_calls ?? 0), 0);
  const hosts = `${live.length} host${live.length === 1 ? '' : 's'}`;
  return `Confirmed by ${hosts}: ${status.run_state}${calls ? `, ${calls} call${calls === 1 ? '' : 's'} in flight` : ''}.`;
}
