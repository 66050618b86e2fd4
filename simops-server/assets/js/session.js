/** The session: the token lasts as long as the tab unless remembered; the actor name is stored. */

const scope = `simops:${new URL('.', document.baseURI).pathname}:`;

// Storage may be blocked; the session then lasts as long as the page.
function attempt(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

/** Text for a header: printable ASCII. Accents are dropped, other letters become `?`. */
export function headerText(name) {
  return name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^\x20-\x7e]/gu, '?')
    .trim()
    .slice(0, 120);
}

/** The session of this tab. */
export function createSession() {
  const read = (store, name) => attempt(() => store().getItem(scope + name)) ?? '';
  const write = (store, name, content) =>
    attempt(() => (content ? store().setItem(scope + name, content) : store().removeItem(scope + name)));
  const tab = () => window.sessionStorage;
  const device = () => window.localStorage;

  const session = {
    token: read(tab, 'token') || read(device, 'token'),
    actor: read(device, 'actor'),
    remembered: Boolean(read(device, 'token')),

    /** Starts a session; `remember` keeps the token on this device. */
    open({ token, actor, remember }) {
      Object.assign(session, { token, actor, remembered: remember });
      write(tab, 'token', token);
      write(device, 'token', remember ? token : '');
      write(device, 'actor', actor);
    },

    /** Deletes the token, also from the device. */
    close() {
      Object.assign(session, { token: '', remembered: false });
      write(tab, 'token', '');
      write(device, 'token', '');
    },
  };
  return session;
}
