/*
 * The tracker: says to Forebay what page is being looked at, and what the page tells it to.
 *
 *   <script defer src="https://host/f.js" data-site="example.com"></script>
 *
 * Its attributes, its calls, and what it does where something fails: docs/tracker.md. Why it delivers as it does:
 * docs/decisions/0020-how-the-tracker-delivers.md; why engagement comes in increments: 0033-visits-and-engagement.md.
 *
 * It throws nothing into the page and writes no cookie and no storage. An event is kept in memory until it is answered,
 * sent again while the page lives, and handed to the browser for when the page ends.
 *
 * Once a second it looks whether the page is looked at, and hands the increment that grows to the browser anew.
 *
 * Not promised: an event whose page ended while the server was away, and the last second of a page.
 */
(() => {
  // `let` throughout: with `const` the declarations are not merged, and the file is 30 bytes larger. The order of
  // declarations, of functions and of fields was found by trying some thousands: brotli makes 25 bytes less of it.
  // Whatever the page did to its globals costs a value or an event, never the page.
  let guard = (act) => (...given) => {
    try {
      return act(...given);
    } catch {}
  };
  // A property of document, also where an element has its name (<form name="title">) or the page defined its own.
  let real = guard((name) => Reflect.get(Document.prototype, name, document));
  let listen = guard((type, act) => addEventListener(type, act, true));

  guard(() => {
    let script = real('currentScript') || document.querySelector('script[data-site]'); // a module has no current one
    let data = script.dataset;
    let api = data.api || script.src.split('/', 3).join('/') + '/f'; // not URL(): pages have a `var URL`
    let stub = window.forebay || 0; // it may be an element with that id
    let referrer;
    let busy; // a request waits for its answer, or for its next try
    let copy; // of the queue, in the browser's hands
    let waiting = stub.q || []; // calls from before the first pageview
    let count = 0; // of events
    let url; // of the page last counted
    let untitled; // the timer of a pageview that waits for its title
    let depth = 0; // the lowest pixel of this page that was seen
    let page; // its url without what does not make it another page
    let increment = 0; // counts them downwards, so that its id is none of an event's
    let wait = 1e3; // before the next try, in milliseconds, at least
    let queue = []; // what is not answered, newest first: {text: JSON without its "}", at: its moment}
    let engaged = 0; // milliseconds since the last increment
    let looked; // the moment of the last look(), if the page was looked at then
    let first = Date.now().toString(36) + Math.random(); // of all ids: a page may have replaced the clock or the chance

    // `more` are the fields of an increment, which is put into the queue and not delivered.
    let send = guard((name, props, options, more) => {
      let text = write({
        referrer,
        url,
        // Only a text has substring().
        get language() { return navigator.language.substring(0, 500); },
        get revenue() { return options.revenue; },
        // Signs that a program drives the browser: 1, it says so; 2, a driver's globals; 4, a window without a size.
        get auto() {
          return /__p(w|layw)|cdc_ado/.test(Object.keys(window)) * 2
            | !(outerWidth || real('hidden')) * 4
            | navigator.webdriver
            || real; // 0 is left out, as all that can't be written is
        },
        site: data.site,
        get title() { return real('title').substring(0, 500); },
        get screen() { return [screen.width | 0, screen.height | 0]; },
        id: first + (more ? increment : ++count), // the same again is the same event
        name,
        ...more,
      }, 1 / 0);
      guard(() => {
        if (!props.lastIndexOf) text += ',"props":' + write(props, 9e3) + '}'; // neither a text nor a list
      })();
      queue = text[1] ? [{ text, at: Date.now() }, ...queue] : queue;
      if (!more) deliver();
    });

    let view = guard((event) => {
      let isRestored = event && event.persisted; // from the back-forward cache
      let address = location.href.replace('hash' in data ? '' : /#.*/, '').slice(0, 5e3);
      let now = address.replace('query' in data ? '' : /\?[^#]*/g, '');
      if (real('prerendering') || !isRestored && now == page) return;
      settle();
      handOver(1); // what remains is of the page that is left
      engaged = depth = 0;
      // A router names the page after it has pushed it; 300 ms later the title is the new page's.
      untitled = page && !isRestored && setTimeout(settle, 300);
      // A page from the back-forward cache was come to from nobody knows where.
      referrer = !isRestored ? url || real('referrer') : '';
      page = now;
      url = address;
      untitled || send();
      waiting.splice(0).map((call) => track(...call));
    });

    let track = guard((name, props, options) => {
      if (page) settle(view()), send('' + (name || ''), props, options);
      else waiting[99] || waiting.push([name, props, options]);
    });

    // Counts the time since the last look, if the page was looked at then: visible, in the window with the focus.
    let look = guard(() => {
      let passed = Date.now() - looked;
      let now = Date.now();
      looked = !real('hidden') && document.hasFocus() && now;
      // While a laptop slept nobody looked, and a clock that was set makes no time.
      if (passed < 3e4 && passed >= 0) {
        engaged += passed;
        // Until a router has drawn the next page, the place is that of the page before. Zoom rounds by up to a pixel.
        if (!untitled) depth = Math.max(depth, scrollY + innerHeight + 1);
      }
    });

    // Before anything else is sent or the page is left. As settle(view()) where the address may be another one by now.
    let settle = guard(() => {
      if (untitled) untitled = clearTimeout(untitled), send();
    });

    // Those of the queue that fit into so many bytes, and that the server would know again: it knows an id for a day. What
    // is counted is more than an event's bytes, so 1e5 are fewer than the 500 events that a body may have. Not escape():
    // pages give that name to functions of theirs.
    let some = (bytes) => queue.filter((event) =>
      Date.now() - event.at < 72e6 && (bytes -= encodeURI(event.text).length) > 0);

    // What is not answered leaves with the page: by fetchLater however it ends, else by a beacon when it is hidden.
    // So does the increment that grows. It ends when the page is left or no longer looked at, and after ten minutes, so
    // that a long reading is one visit. Then it grows no more, and is delivered as other events are.
    let handOver = guard((isLeft) => {
      look();
      let kept = queue;
      if (engaged >= 1e3) { // less waits for the next increment
        send('engagement', '', '', {
          scroll_pct: depth / Math.max(depth, real('documentElement').scrollHeight) * 100,
          engaged_ms: engaged,
        });
        if (isLeft || engaged > 6e5 || !looked) {
          engaged = 0;
          kept = queue;
          increment--;
        }
      }
      let events = some(6e4); // browsers take 64 KiB
      queue = kept;
      copy && copy.abort(); // only now: a page that dies between the two hands nothing over
      if (events[0]) try {
        copy = new AbortController();
        fetchLater(api, request(events, copy.signal));
      } catch {
        isLeft && real('hidden') && navigator.sendBeacon(api, request(events).body);
      }
    });

    // JSON of an object without its "}": each property for itself, so that one that can't be written costs no other.
    let write = (holder, room) => {
      let parts = [];
      Object.keys(holder).map(guard((name) => {
        let json = JSON.stringify(holder[name], function (key, given) {
          let value = this[key];
          if (typeof value == 'bigint') return '' + value;
          // What a library gave all objects or all arrays as toJSON is not asked.
          return Array.isArray(value) || value && value.toJSON == {}.toJSON ? value : given;
        });
        if (json.length * 5 < room) {
          room -= json.length;
          parts.push(JSON.stringify(name) + ':' + json);
        }
      }));
      return '{' + parts;
    };

    // One request at a time: what comes meanwhile goes with the next one.
    let deliver = async () => {
      let answer;
      let events = queue = some(1e5);
      if (!busy && !untitled && events[0]) try {
        busy = 1;
        answer = await fetch(api, request(events));
        if (/^5|408|429/.test(answer.status)) throw answer;
        events.map((event) => event.at = NaN); // so that some() leaves them out
        wait = 1e3;
        deliver(busy = 0);
      } catch {
        guard(setTimeout)(
          () => deliver(busy = 0),
          wait * (1 + Math.random()) + (answer ? answer.headers.get('retry-after') * 1e3 || 0 : 0),
        );
        wait *= 1.05; // for 45 s of tries a next one comes within 5 s
      }
      handOver();
    };

    let request = (events, signal) => {
      let body = events.map((event) => {
        let now = Date.now();
        // The server adds to ts what its clock is ahead of sent_at.
        return event.text + (now > event.at ? ',"ts":' + event.at + ',"sent_at":' + now : '') + '}';
      });
      return {
        method: 'POST',
        body: body[1] ? '[' + body + ']' : body[0],
        credentials: 'omit',
        // A retry is not keepalive: its bytes would count against the 64 KiB that a page has of these.
        keepalive: wait == 1e3,
        signal,
      };
    };

    if (stub.on) return; // a second tag of the same page
    window.forebay = track;
    track.on = 1;

    // A page of no host is none that anybody could look at.
    if (/^file/.test(location) || !location.host
      || 'ignoreLocalhost' in data && /^127\.|^\[::1]|localhost$/.test(location.hostname)) return;

    let start = () => {
      listen('pageshow', view);
      listen('scroll', look);
      listen('visibilitychange', () => {
        settle(view());
        handOver(1);
      });
      view();
      setInterval(() => deliver(view()), 1e3); // finds another address within a second where there is no navigation
      navigation.addEventListener('currententrychange', view);
    };
    'debug' in data ? import(api + '.debug.js').then(start, start) : start();
  })();
})();
