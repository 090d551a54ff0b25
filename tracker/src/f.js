/*
 * The tracker: says to Forebay what page is being looked at, and what the page tells it to.
 *
 *   <script defer src="https://host/f.js" data-site="example.com"></script>
 *
 * data-site              the site; left out, the server takes the host of the page
 * data-api               where events go, if not /f on the host of this script
 * data-hash              the site routes by fragment: #/a and #/b are two pages
 * data-ignore-localhost  send nothing from this machine
 *
 * An event of the page's own, at any time, with this line before it if that may be before we are loaded:
 *   window.forebay=window.forebay||function(){(forebay.q=forebay.q||[]).push(arguments)}
 *   forebay('signup', {plan: 'pro'})
 *   forebay('purchase', {plan: 'pro'}, {revenue: {amount: '9.90', currency: 'EUR'}})
 *
 * It throws nothing into the page and writes no cookie and no storage. It does not promise delivery: what a
 * beacon could not deliver is gone, what fetch could not deliver is tried once more while the page lives.
 */
(function () {
  // Whatever the page did to its globals costs an event, never the page.
  const guard = (act) => function () {
    try {
      return act.apply(this, arguments);
    } catch (e) {}
  };
  const listen = guard((target, type, act) => target.addEventListener(type, guard(act)));

  guard(() => {
    const script = document.currentScript || document.querySelector('script[data-site]');
    const option = (name) => script.getAttribute('data-' + name);
    const stub = window.forebay;
    if (stub && stub.on) return; // a second tag of the same page
    const api = option('api') || script.src.split('/', 3).join('/') + '/f'; // not URL(): pages have a `var URL`
    const site = option('site') || undefined;
    const ignored = option('ignore-localhost') !== null
      && /^(127\.[\d.]+|\[::1]|(.+\.)?localhost)$/.test(location.hostname);
    let waiting = (stub && stub.q) || []; // calls from before the first pageview
    let url; // of the page last counted
    let referrer; // of that page
    let untitled; // the timer of a pageview that waits for its title

    const here = () => option('hash') === null ? location.href.split('#')[0] : location.href;

    // One per event, so that a retry is the same event. randomUUID exists on HTTPS and localhost only.
    const newId = guard(() => crypto.randomUUID ? crypto.randomUUID()
      : Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte + 256).toString(16).slice(1)).join(''));

    // Nothing where the page has a `var screen` of its own.
    const size = guard(() => screen.width > 0 ? [screen.width, screen.height] : undefined);

    // A string body is text/plain: no preflight. Without an id a retry could count twice, so there is none.
    const post = (body, id) => fetch(api, { method: 'POST', body, keepalive: true, credentials: 'omit' })
      .then((answer) => {
        if (answer.status > 499) throw answer;
      })
      // 1 to 3 s, spread, so that a server that shed load does not get it all back at once.
      .catch(guard(() => id && setTimeout(guard(() => post(body)), 1e3 + Math.random() * 2e3)));

    const beacon = guard((body) => navigator.sendBeacon(api, body));

    const send = (name, props, revenue, page) => {
      if (ignored) return;
      const id = newId();
      const body = JSON.stringify({
        name,
        url: page || here(),
        site,
        referrer,
        title: document.title,
        language: navigator.language,
        screen: size(),
        props,
        revenue,
        id,
      });
      if (!beacon(body)) post(body, id);
    };

    // Before anything else is sent or the page is left.
    const settle = guard(() => {
      if (!untitled) return;
      clearTimeout(untitled);
      untitled = 0;
      send(undefined, undefined, undefined, url);
    });

    const view = guard((restored) => {
      const now = here();
      if (document.prerendering || (now === url && !restored)) return;
      settle();
      // A page from the back-forward cache was come to from nobody knows where.
      referrer = restored ? undefined : url || document.referrer || undefined;
      const first = !url;
      url = now;
      // A router names the page after it has pushed it; 300 ms later the title is the new page's.
      untitled = !first && !restored && setTimeout(settle, 300);
      if (!untitled) send();
    });

    const start = () => {
      view();
      if (url && waiting) {
        const calls = waiting;
        waiting = 0;
        calls.forEach((call) => track.apply(null, call));
      }
    };

    const track = guard((name, props, options) => {
      if (waiting) {
        waiting.push([name, props, options]);
      } else {
        settle();
        send(name, props, options && options.revenue);
      }
    });
    track.on = 1;
    window.forebay = track;

    ['pushState', 'replaceState'].forEach(guard((method) => {
      const native = history[method];
      if (native) history[method] = function () {
        const result = native.apply(this, arguments);
        view();
        return result;
      };
    }));
    listen(window, 'popstate', () => view());
    listen(window, 'hashchange', () => view());
    listen(window, 'pageshow', (event) => event.persisted && view(true));
    listen(window, 'pagehide', settle);
    listen(document, 'prerenderingchange', start);
    start();
  })();
})();
