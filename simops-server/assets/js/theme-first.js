/* Sets the chosen colours before anything is drawn, so that nothing flashes. Not a module: it must not wait. */
try {
  const chosen = localStorage.getItem('simops:theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is blocked: the system's colours it is.
}
