// Sends visitor events to simops in batches, with retries.
//   <script src="kpi.js" data-endpoint="https://HOST/api/analytics/kpi/events"></script>
//   simopsKpi('landing_view', { surface: 'landing' })
(() => {
  const endpoint = document.currentScript?.dataset.endpoint ?? '/api/analytics/kpi/events';
  const read = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const write = (name, text) => { try { localStorage.setItem(name, text); } catch {} };
  // No randomUUID without TLS.
  const id = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  const visitor_id = read('simops.visitor') ?? id();
  const session_id = id();
  write('simops.visitor', visitor_id);
  let queue = [], timer = null, pause = 1000, busy = false;
  try { queue = JSON.parse(read('simops.queue')) ?? []; } catch {}
  const save = () => write('simops.queue', JSON.stringify(queue.slice(-500)));
  const later = (wait) => { timer ??= setTimeout(send, wait); };

  async function send() {
    timer = null;
    if (busy || !queue.length) return;
    busy = true;
    const body = queue.slice(0, 100);
    let wait = 0;
    try {
      const reply = await fetch(endpoint, { method: 'POST', body: JSON.stringify(body), keepalive: true });
      // Invalid batches are not retried.
      if (reply.ok || [400, 403, 413, 422].includes(reply.status)) queue.splice(0, body.length);
      else wait = 1000 * reply.headers.get('retry-after') || pause;
    } catch { wait = pause; }
    busy = false;
    pause = wait ? Math.min(pause * 2, 60000) : 1000;
    save();
    if (queue.length) later(wait);
  }

  window.simopsKpi = (event_name, fields) => {
    queue.push({ visitor_id, session_id, path: location.pathname, ...fields, event_name,
      occurred_at: new Date().toISOString(), event_uid: id() });
    save();
    later(500);
  };
  // The page is closing.
  addEventListener('pagehide', () => {
    if (queue.length) navigator.sendBeacon(endpoint, JSON.stringify(queue.slice(0, 100)));
  });
  later(0);
})();
