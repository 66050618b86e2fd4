/** Parses server-sent events from a fetch body. */

const MAX_PENDING_CHARS = 4_000_000;

function block(lines) {
  let type = 'message';
  const data = [];
  for (const line of lines) {
    if (line.startsWith(':')) continue;
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const content = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') type = content;
    if (field === 'data') data.push(content);
  }
  return data.length ? { type, data: data.join('\n') } : null;
}

/** Calls `onBytes` for every chunk and `onEvent({type, data})` for every event. Ends with the body. */
export async function readEvents(body, { onBytes, onEvent }) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = '';
  let lines = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    pending += value;
    // A CR at the end may be half of a CRLF: it waits for what follows.
    const whole = pending.endsWith('\r') ? pending.slice(0, -1) : pending;
    const parts = whole.split(/\r\n|\n|\r/);
    pending = parts.pop() + pending.slice(whole.length);
    if (pending.length > MAX_PENDING_CHARS) throw new Error('a line of the stream is too long');
    for (const line of parts) {
      if (line !== '') {
        lines.push(line);
        continue;
      }
      const event = block(lines);
      lines = [];
      if (event) onEvent(event);
    }
  }
}
