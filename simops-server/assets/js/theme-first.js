/* Applies the chosen theme before the first paint, to avoid a flash. Not a module: modules are deferred. */
try {
  const chosen = localStorage.getItem('simops:theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is blocked: the system's theme applies.
}
