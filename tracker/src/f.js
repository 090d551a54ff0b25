/*
 * The tracker: says to Forebay what page is being looked at, what is done on it, and what the page tells it to.
 *
 *   <script defer src="https://host/f.js" data-site="example.com"></script>
 *
 * Its attributes, its calls, and what it does where something fails: docs/tracker.md. Why it delivers as it does:
 * docs/decisions/0020-how-the-tracker-delivers.md; why engagement comes in increments: 0033-visits-and-engagement.md; what is
 * here and what is in a file of its own: 0055-what-the-tracker-does.md.
 *
 * It throws nothing into the page, and writes no cookie and no storage but the visitor's "no". An event is kept in memory
 * until it is answered, sent again while the page lives, and handed to the browser for when the page ends.
 *
 * Once a second it looks whether the page is looked at, and, unless it waits for an answer or for its next try, hands the
 * increment that grows to the browser anew and tries again what was not answered.
 *
 * Not promised: an event whose page ended while the server was away, and the last second of a page.
 */
(async () => { // to wait for f.debug.js, and for nothing else
  try {
    // `let` throughout: with `const` the declarations are not merged, and the file is 30 bytes larger.
    // Whatever the page did to its globals costs a value or an event, never the page.
    let guard = (act) => (...given) => {
      try {
        return act(...given);
      } catch {}
    };

    // The order of what follows is the one that was found to take the fewest bytes.
    let untitled; // the timer of a pageview that waits, for its task or for its title
    let page; // its url without what does not make it another page
    // A property of document, also where an element has its name (<form name="title">) or the page defined its own.
    let real = guard((name) => Reflect.get(Document.prototype, name, document));

    // A click, or a form that is sent. What is tagged is an event of its own, and nothing else.
    let act = guard((event) => {
      let isForm = event.type == 'submit';
      let find = (selector) => event.composedPath().find(guard((element) => element.matches?.(selector))); // in shadows too
      // A copy of a form has no fields, of which one may be called "attributes".
      let found = isForm ? document.importNode(event.target) : find('[data-forebay-event]:not(form)') || find(':any-link');
      let { host, pathname, origin } = found;
      let given = isForm ? { event: 'Form: Submission', form: found.getAttribute('name') } : {
        event: /\.((doc|xls|ppt)x?|pdf|zip|rar|7z|gz|dmg|exe|apk|csv|txt|mp[34]|mov|avi)$/i.test(pathname) ? 'File Download'
          : host && location.host != host && 'Outbound Link: Click',
        url: host && origin + pathname,
      };
      for (let { value, name } of found.attributes) name.replace(/^data-forebay-(.+)/, (_, key) => given[key] = value);
      let { revenue, currency, event: name, ...props } = given;
      if (name && !(event.button > 1) && !data.without?.includes(name)) { // of the other buttons the middle one opens a link
        track(name, props, { revenue: revenue && { amount: revenue, currency } });
      }
    });

    let copy; // of the queue, in the browser's hands

    // Sends the pageview that waits: when it is due, before anything else is sent, and before the page is left. As settle(view())
    // where the address may be another one by now.
    let settle = guard(() => {
      if (!untitled) return;
      send(untitled = clearTimeout(untitled));
      if (waiting) {
        waiting.map(guard((call) => track(...call)), waiting = 0);
        if (performance.getEntries()[0].responseStatus == 404 && !data.without?.includes('404')) track('404');
      }
    });

    let stub = window.forebay || 0; // it may be an element with that id, or the tracker of another site
    let off = stub.off; // the visitor said no
    let url; // of the page last counted

    let request = (events, signal) => ({
      method: 'POST',
      // The server adds to ts what its clock is ahead of sent_at.
      body: '[' + events.map((event) => event.text + ',"ts":' + event.at + ',"sent_at":' + new Date / 1 + '}') + ']',
      keepalive: true,
      credentials: 'omit',
      signal,
    });

    // What the server is told of an event: its JSON without the "}", and its moment. `options` are fields of their own.
    let make = (name, props = '', options) => ({
      text: write({
        title: guard(() => real('title').substring(0, 500))(),
        id: first + JSON.stringify(++count).trim(), // the same again is the same event; where JSON is broken none is made
        // Signs that a program drives the browser: 1, it says so; 2, a driver's globals; 4, a window without a size.
        auto: guard(() => navigator.webdriver
          | /__p(w|layw)|cdc_ado/.test(Object.keys(window)) * 2
          | !(outerWidth || real('hidden')) * 4
          || guard)(), // 0 is left out, as all that can't be written is
        // Only a text has substring().
        language: guard(() => navigator.language.substring(0, 500))(),
        url,
        screen: guard(() => [screen.width | 0, screen.height | 0])(),
        referrer,
        site: data.site,
        name,
        ...options,
      }, 1 / 0) + (guard(() => props.lastIndexOf ? '' : ',"props":' + write(props, 9e3) + '}')() || ''), // neither a text nor a list
      at: new Date / 1,
    });

    let queue = []; // the events that are not answered, newest first
    let script = real('currentScript') || document.querySelector('script[data-site]'); // a module has no current one

    // JSON of an object without its "}": each property for itself, so that one that can't be written costs no other.
    let write = (holder, room) => '{' + Object.keys(holder).map(guard((name) => {
      let json = JSON.stringify(holder[name], function (key, given) {
        let value = this[key];
        if (typeof value == 'bigint') return '' + value;
        // What a library gave all objects or all arrays as toJSON is not asked.
        return value?.toJSON == {}.toJSON || value?.toJSON == [].toJSON ? value : given;
      });
      if (json?.length * 5 < room) { // to throw would take a millisecond, the first time
        room -= json.length;
        return JSON.stringify(name) + ':' + json;
      }
    })).filter((part) => part);

    let busy = 0; // a request waits for its answer, or for so many seconds until its next try
    let referrer;
    let depth = 0; // the lowest pixel of this page that was seen
    let wait = 1; // before the next try, in seconds, at least

    // What is not answered leaves with the page: by fetchLater however it ends, else by a beacon when it is hidden.
    // So does the increment that grows. It ends when the page is left or no longer looked at, and after ten minutes, so
    // that a long reading is one visit. Then it grows no more, and is delivered as other events are.
    let handOver = guard((isLeft) => {
      look();
      let events = queue;
      if (engaged >= 1e3) { // less waits for the next increment
        events = [make('engagement', '', {
          engaged_ms: engaged,
          scroll_pct: depth / (real('documentElement').scrollHeight || 1) * 100, // the server takes more than 100 for 100
          id: first + increment,
        }), ...queue];
        if (isLeft || !looked || engaged > 6e5) {
          engaged = 0;
          queue = events;
          increment--;
        }
      }
      let old = copy;
      let hand = guard(() => fetchLater(to, request(events, (copy = new AbortController()).signal)));
      events = some(events, 6e4);
      // The old one is taken back last: of a page that dies meanwhile the browser has both, with the same ids. It takes
      // 64 KiB of a page, so of more than half of that there can be one.
      events[0] && (hand() || old?.abort() || hand()
        || isLeft && real('hidden') && navigator.sendBeacon(to, request(events).body));
      old?.abort();
    });

    // Of a file that did not come nothing is said.
    let load = guard((name) => import(api + '.' + name + '.js')
      .then(guard((file) => file.default(() => off || queue, track, tag)), guard));

    let view = guard((event) => {
      let isRestored = event?.persisted; // from the back-forward cache
      let address = location.href.replace('hash' in data ? '' : /#.*/, '').slice(0, 5e3);
      let now = address.replace('query' in data ? '' : /\?[^#]*/g, '');
      if (now == page && !isRestored || off || isNowhere || real('prerendering')) return;
      settle();
      handOver(1); // what remains is of the page that is left
      engaged = depth = 0;
      // A router names the page after it has pushed it; 300 ms later the title is the new page's. The first pageview has a task
      // of its own, so that a slow phone does not stand still for all of the beginning at once.
      untitled = setTimeout(settle, page && !isRestored && 300);
      // A page from the back-forward cache was come to from nobody knows where.
      referrer = isRestored ? '' : url || real('referrer');
      page = now;
      url = address;
    });

    let data = script.dataset;

    // Those that fit into so many bytes, and that the server would know again: it knows an id for a day. What is counted is
    // more than an event's bytes. Not escape(): pages give that name to functions of theirs.
    let some = (events, bytes) => events.filter((event) =>
      new Date - event.at < 72e6 && !off && (bytes -= encodeURI(event.text).length) > 0);

    let increment = 0; // counts them downwards, so that its id is none of an event's
    let api = data.api || script.src.split('/', 3).join('/') + '/f'; // not URL(): pages have a `var URL`

    // Counts the time since the last look, if the page was looked at then: visible, in the window with the focus.
    let look = guard(() => {
      let passed = new Date - looked;
      looked = !real('hidden') && document.hasFocus() && !off && new Date;
      // While a laptop slept nobody looked, and a clock that was set makes no time.
      if (passed >= 0 && passed < 3e4) {
        engaged += passed;
        // Until a router has drawn the next page, the place is that of the page before. Zoom rounds by up to a pixel.
        if (!untitled) depth = Math.max(depth, scrollY + innerHeight + 1);
      }
    });

    let to = api + (navigator.globalPrivacyControl ? '?gpc=1' : ''); // the site's setting says what that means

    let track = guard((name, ...more) => {
      if (off || isNowhere) return;
      if (waiting) waiting = [...waiting, [name, ...more]];
      else settle(view()), send(name ? name + '' : '', ...more);
    });

    let tag = api + data.site; // by which a second tag for the same site is known

    // A page of no host is none that anybody could look at.
    let isNowhere = !location.host
      || 'ignoreLocalhost' in data && /^127\.|^\[::1]|localhost$/.test(location.hostname);

    let looked; // the moment of the last look(), if the page was looked at then
    let waiting = stub.q || []; // calls from before the first pageview is sent
    let count = 0; // of events
    // Of all ids: a page may have replaced the clock or the chance. Not Date.now(), which is replaced sooner than all of Date.
    let first = new Date / 1 + '' + Math.random();

    let send = guard((...given) => {
      queue = [make(...given), ...queue];
      deliver();
    });

    let engaged = 0; // milliseconds since the last increment

    // One request at a time: what comes meanwhile goes with the next one. Browsers take 64 KiB from a page that ends. Of many
    // calls in a row the last one delivers, when the page's own code has returned.
    let deliver = async () => {
      let answer = queue;
      await 0;
      if (answer != queue) return; // a later call or another delivery changed it
      try {
        let events = some(queue = some(queue, 3e5), 6e4);
        if (busy <= 0 && !untitled && events[0]) {
          busy = 1 / 0;
          answer = await fetch(to, request(events));
          if (/^[^2-4]|408|429/.test(answer.status)) throw answer; // no status, as of an opaque answer, says nothing
          events.map((event) => event.at = NaN); // so that they are left out
          deliver(busy = 0, wait = 1);
        }
      } catch {
        busy = wait + (guard(() => answer.headers.get('retry-after'))() | 0);
        wait *= 1.05; // for 45 s of tries a next one comes within 5 s
      }
      handOver();
    };

    if (stub[tag]) return; // a second tag of the same page
    // A stub that knows consent is the tracker of another site.
    window.forebay = Object.assign(guard((...given) => track(...given, stub.consent && stub(...given))), stub, {
      [tag]: 1,
      consent: guard((choice) => {
        guard(stub.consent)(choice);
        if (off = choice != 'granted') engaged = 0;
        else load('queue');
        deliver(view());
        if (off) localStorage.forebay = 'off'; // in the place of a queue that was kept there
      }),
    });
    guard(() => off ||= localStorage.forebay == 'off')();

    if (isNowhere) return;

    'debug' in data && await load('debug');
    Object.entries({
      click: act,
      auxclick: act,
      submit: act,
      scroll: look,
      visibilitychange: () => {
        settle(view());
        handOver(1);
      },
      pageshow: view,
    }).map(guard(([type, act]) => addEventListener(type, act, 1)));
    view();
    if (real('hidden')) settle(); // a page in the background has slow timers, and nobody waits for it
    setInterval(() => {
      look(view()); // finds another address within a second where there is no navigation
      // Between two tries nothing new is handed over: where a policy of the page forbids us, each time is a report to the site.
      if (--busy <= 0) deliver();
    }, 1e3);
    (window.requestIdleCallback || setTimeout)(() => data.with?.split(' ').map(load));
    navigation.addEventListener('currententrychange', view);
  } catch {}
})();
