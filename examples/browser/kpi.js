// Sends visitor events in batches.
//   <script src="kpi.js" data-endpoint="https://HOST/api/analytics/kpi/events"></script>
//   simopsKpi('landing_view', { surface: 'landing' })
(() => {
  const endpoint = document.currentScript?.dataset.endpoint ?? '/api/analytics/kpi/events';
  const read = (name) => { try { return localStorage.getItem(name); } catch {} };
  const write = (name, text) => { try { localStorage.setItem(name, text); } catch {} };
  const id = () => crypto.randomUUID?.() ?? Date.now() + '-' + Math.random();
  const visitor_id = read('simops.visitor') ?? id(), session_id = id();
  write('simops.visitor', visitor_id);
  let queue = [], timer, pause = 1e3, busy;
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
      // Invalid events are dropped.
      const bad = reply.status === 422 && await reply.text();
      if (reply.ok || bad || /40[03]|413/.test(reply.status))
        queue.splice(0, body.length, ...body.filter((_, n) => bad && !bad.includes(`"[${n}].`)));
      if (!reply.ok) wait = 1e3 * reply.headers.get('retry-after') || pause;
    } catch { wait = pause; }
    busy = false;
    pause = wait ? Math.min(pause * 2, 6e4) : 1e3;
    save();
    if (queue.length) later(wait);
  }

  window.simopsKpi = (event_name, fields) => {
    queue.push({ visitor_id, session_id, path: location.pathname, ...fields, event_name,
      occurred_at: new Date().toISOString(), event_uid: id() });
    save();
    later(500);
  };
  addEventListener('pagehide', () => {
    if (queue.length) navigator.sendBeacon(endpoint, JSON.stringify(queue.slice(0, 100)));
  });
  later(0);
})();
