/** Arithmetic on the ledger's series: steps without a call filled in, sums, trailing windows. */

/** Every step of a series in order: `{at (s), calls, failed, cost}`; providers are summed. */
export function steps({ since, until, step_seconds: step, items }) {
  const first = Math.floor(Date.parse(since) / 1000 / step) * step;
  const last = Math.floor(Date.parse(until) / 1000 / step) * step;
  const all = [];
  for (let at = first; at <= last; at += step) all.push({ at, calls: 0, failed: 0, cost: 0 });
  for (const item of items) {
    const step_ = all[Math.round((Date.parse(item.at) / 1000 - first) / step)];
    if (!step_) continue;
    step_.calls += item.calls;
    step_.failed += item.failed;
    step_.cost += item.cost_usd;
  }
  return all;
}

/** Sums per provider, most calls first: `{provider, calls, failed, cost}`. */
export function byProvider({ items }) {
  const sums = new Map();
  for (const { provider, calls, failed, cost_usd: cost } of items) {
    const sum = sums.get(provider) ?? { provider, calls: 0, failed: 0, cost: 0 };
    sums.set(provider, { provider, calls: sum.calls + calls, failed: sum.failed + failed, cost: sum.cost + cost });
  }
  return [...sums.values()].sort((a, b) => b.calls - a.calls || a.provider.localeCompare(b.provider));
}

/** Each value and those before it, summed. */
export function running(values) {
  let sum = 0;
  return values.map((value) => (sum += value));
}

/** Each value with the `width - 1` before it, summed. */
export function trailing(values, width) {
  const sums = running(values);
  return sums.map((sum, n) => sum - (sums[n - width] ?? 0));
}

/** The steps from shortly before the first call on, at least `least` of them: the empty part before is left out. */
export function fromFirstCall(all, least) {
  const first = all.findIndex((step) => step.calls > 0);
  return first < 0 ? all.slice(-least) : all.slice(Math.max(0, Math.min(first - 2, all.length - least)));
}
