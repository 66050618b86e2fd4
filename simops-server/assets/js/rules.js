/** Client-side validation of a start request's fields; the server validates again. */

const NAME = /^[A-Za-z0-9:_-]+$/;

/** The fields, in the order of the form: name, label, greatest length or number, example. */
export const FIELDS = [
  { name: 'run_id', label: 'Run ID', max: 64, hint: 'automatic' },
  { name: 'run_class', label: 'Run class', options: ['standard_72h', 'deep_96h', 'special_exploratory'] },
  { name: 'condition_name', label: 'Condition', max: 120 },
  { name: 'hypothesis_id', label: 'Hypothesis', max: 120 },
  { name: 'season_id', label: 'Season ID', max: 64 },
  { name: 'season_number', label: 'Season number', number: 9999 },
  { name: 'group_id', label: 'Group', max: 64 },
  { name: 'labels', label: 'Labels', labels: true, hint: 'seed=3, model=small' },
  { name: 'host', label: 'Host', max: 64, hint: 'automatic; or gateway' },
  { name: 'parent_run_id', label: 'Parent run', max: 64 },
  { name: 'mirror_control_run_id', label: 'Mirror of run', max: 64 },
  { name: 'carryover_agent_count', label: 'Agents carried over', number: 1_000_000 },
  { name: 'fresh_agent_count', label: 'New agents', number: 1_000_000 },
  { name: 'protocol_version', label: 'Protocol version', max: 64, hint: 'protocol_v1' },
  { name: 'transfer_policy_version', label: 'Transfer policy', max: 64 },
  { name: 'epoch_id', label: 'Epoch ID', max: 64 },
  { name: 'deviation_reason', label: 'Protocol deviation', prose: true },
];

/** The greatest length of a reason. */
const MAX_REASON = 500;

/** The validation message of a name or id, or null. */
export function wrongName(text, max) {
  if (text.length > max) return `At most ${max} characters.`;
  return NAME.test(text) ? null : 'Only letters, digits, “_”, “:” and “-”.';
}

const LABEL_NAME = /^[A-Za-z0-9_-]{1,64}$/;

/** Labels as text, as they are typed: `seed=3, model=small`. */
export function labelsText(labels) {
  return Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`).join(', ');
}

/** The names and values of labels in a text. Throws an error with a message for people. */
export function parseLabels(text) {
  const labels = new Map();
  for (const part of text.split(',').map((part) => part.trim()).filter(Boolean)) {
    const split = part.indexOf('=');
    const name = part.slice(0, split).trim();
    const value = part.slice(split + 1).trim();
    if (split < 1 || !value) throw new Error('NAME=VALUE, with commas between them.');
    if (!LABEL_NAME.test(name)) throw new Error('Names: at most 64 letters, digits, “_” and “-”.');
    if (value.length > 120) throw new Error('Values: at most 120 characters.');
    if (labels.has(name)) throw new Error(`“${name}” is given twice.`);
    labels.set(name, value);
  }
  if (labels.size > 20) throw new Error('At most 20 labels.');
  return Object.fromEntries(labels);
}

function wrongLabels(text) {
  try {
    parseLabels(text);
    return null;
  } catch (error) {
    return error.message;
  }
}

/** Validation messages by field name. `values` are trimmed texts. */
export function check(values) {
  const wrong = {};
  for (const { name, max, number, prose, labels } of FIELDS) {
    const text = values[name];
    if (!text) continue;
    if (labels) {
      const message = wrongLabels(text);
      if (message) wrong[name] = message;
    } else if (number) {
      if (!/^\d{1,7}$/.test(text) || Number(text) > number) wrong[name] = `A whole number from 0 to ${number}.`;
    } else if (prose) {
      const message = checkReason(text);
      if (message) wrong[name] = message;
    } else if (max) {
      const message = wrongName(text, max);
      if (message) wrong[name] = message;
    }
  }
  if (values.season_id && !(Number(values.season_number) >= 1)) {
    wrong.season_number ??= 'At least 1 when a season ID is given.';
  }
  if (values.run_id && values.run_id === values.parent_run_id) {
    wrong.parent_run_id ??= 'A run cannot be its own parent.';
  }
  return wrong;
}

/** The validation message of a reason, or null. */
export function checkReason(text) {
  if (text.length > MAX_REASON) return `At most ${MAX_REASON} characters.`;
  return /[^\P{Cc}\n\t]/u.test(text) ? 'No control characters.' : null;
}

/** The body of a start request: empty fields are left out. */
export function startBody(values, mode, resetWorld, reason) {
  const body = { mode };
  for (const { name, number, labels } of FIELDS) {
    const text = values[name];
    if (text) body[name] = number ? Number(text) : labels ? parseLabels(text) : text;
  }
  if (mode === 'test') body.reset_world = resetWorld;
  if (reason) body.reason = reason;
  return body;
}
