/*
 * Stands before the tracker in the script that @vercel/analytics asks for: what it says to `va` is said to `forebay`.
 *
 * The package calls `va('event', {name, data})`, `va('pageview', {route, path})` and `va('beforeSend', act)`, and keeps in
 * `vaq` what it called before this script. Pageviews are counted by the tracker itself, so those calls say nothing new.
 *
 * Whoever gives a `beforeSend` wants to see, and to change, what is sent. The tracker shows nobody its events, so it sends
 * none of that page, and says so: a page whose addresses must not be sent has to have none of them sent.
 */
(() => {
  let queue = window.vaq || [];
  let say = (kind, given) => {
    if (kind == 'event') forebay(given.name, given.data);
  };
  window.va = (...call) => {
    try {
      say(...call);
    } catch {}
  };
  if (queue.some((call) => call[0] == 'beforeSend')) {
    console.warn('[Forebay] nothing of this page is sent: beforeSend is not supported');
    window.forebay = () => {};
    forebay.off = true; // as if the visitor had said no
    return;
  }
  window.forebay = window.forebay || ((...call) => {
    (forebay.q = forebay.q || []).push(call);
  });
  queue.splice(0).map((call) => va(...call));
})();
